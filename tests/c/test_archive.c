/* test_archive.c -- packed files: what is written is read back, damaged and hostile ones are told. */
#include "scratch.h"

#include <zlib.h>

#include "formats/archive.h"

/* ---- archives made by hand ---- */

static uint8_t made[1 << 16];
static size_t made_size;

static void octal(char *field, int digits, uint64_t value) {
  for (int i = digits - 1; i >= 0; i--, value >>= 3) field[i] = (char)('0' + (value & 7));
}

static void sum_header(uint8_t *header) {
  unsigned sum = 0;
  memset(header + 148, ' ', 8);
  for (int i = 0; i < 512; i++) sum += header[i];
  octal((char *)header + 148, 6, sum);
  header[154] = '\0';
}

/* Adds an entry of a tar file as POSIX has it; type '0' is a file. */
static void tar_add(const char *name, char type, const char *target, const char *text, uint64_t declared) {
  uint8_t *header = made + made_size;
  memset(header, 0, 512);
  memcpy(header, name, strlen(name));
  octal((char *)header + 100, 7, 0644);
  octal((char *)header + 108, 7, 0);
  octal((char *)header + 116, 7, 0);
  octal((char *)header + 124, 11, declared);
  octal((char *)header + 136, 11, 0);
  header[156] = (uint8_t)type;
  memcpy(header + 157, target, strlen(target));
  memcpy(header + 257, "ustar\00000", 8);
  sum_header(header);
  size_t size = strlen(text), blocks = (size + 511) / 512 * 512;
  memset(header + 512, 0, blocks);
  memcpy(header + 512, text, size);
  made_size += 512 + blocks;
}

static void tar_file(const char *name, const char *text) { tar_add(name, '0', "", text, strlen(text)); }

static void tar_end(void) {
  memset(made + made_size, 0, 1024);
  made_size += 1024;
}

static void write_packed(const char *path, const void *bytes, size_t size) {
  gzFile stream = gzopen(path, "wb");
  assert_int_equal(gzwrite(stream, bytes, (unsigned)size), (int)size);
  assert_int_equal(gzclose(stream), Z_OK);
}

/* ---- reading whole archives ---- */

/* Reads everything into "name=text;" pieces; an empty text when it fails. */
static int read_all(const char *path, char *text, size_t room) {
  nni_archive *a = NULL;
  nni_entry entry;
  bool more = true;
  size_t used = 0;
  int status = nni_archive_open(path, &a);
  text[0] = '\0';
  while (status == NN_OK) {
    status = nni_archive_next(a, &entry, &more);
    if (status != NN_OK || !more) break;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (entry.kind == NNI_FILE) status = nni_archive_read_whole(a, 1 << 20, &bytes, &size);
    if (status == NN_OK)
      used += (size_t)snprintf(text + used, room - used, "%s=%.*s;", entry.name, (int)size, bytes ? (char *)bytes : "");
    free(bytes);
  }
  nni_archive_close(a);
  if (status != NN_OK) text[0] = '\0';
  return status;
}

static void a_stored_zip_round_trip(void **state) {
  (void)state;
  const char *path = scratch_path("trip.zip");
  nni_zip *z;
  char text[256];
  assert_int_equal(nni_zip_create(path, &z), NN_OK);
  assert_int_equal(nni_zip_add(z, "a.txt", 5), NN_OK);
  assert_int_equal(nni_zip_write(z, "he", 2), NN_OK);
  assert_int_equal(nni_zip_write(z, "llo", 3), NN_OK);
  assert_int_equal(nni_zip_add(z, "empty", 0), NN_OK);
  assert_int_equal(nni_zip_add(z, "folder/\xc3\xa9", 1), NN_OK);
  assert_int_equal(nni_zip_write(z, "!", 1), NN_OK);
  assert_int_equal(access(path, F_OK), -1);
  assert_int_equal(nni_zip_commit(z), NN_OK);
  assert_int_equal(read_all(path, text, sizeof text), NN_OK);
  assert_string_equal(text, "a.txt=hello;empty=;folder/\xc3\xa9=!;");
  unlink(path);
}

static void a_zip_is_written_as_promised_or_not_at_all(void **state) {
  (void)state;
  const char *path = scratch_path("promise.zip");
  nni_zip *z;
  assert_int_equal(nni_zip_create(path, &z), NN_OK);
  ASSERT_FAILED(nni_zip_write(z, "x", 1), NN_EARGUMENT, "promise.zip: 1 bytes for an entry that lacks 0");
  assert_int_equal(nni_zip_add(z, "a", 2), NN_OK);
  ASSERT_FAILED(nni_zip_add(z, "b", 2), NN_EARGUMENT, "promise.zip: a: 2 bytes are missing");
  assert_int_equal(nni_zip_write(z, "xy", 2), NN_OK);
  ASSERT_FAILED(nni_zip_add(z, "a", 2), NN_EARGUMENT, "two entries are named a");
  ASSERT_FAILED(nni_zip_add(z, "", 2), NN_EARGUMENT, "the name of an entry has 1 to 65535 bytes, got 0");
  assert_int_equal(nni_zip_add(z, "c", 2), NN_OK);
  ASSERT_FAILED(nni_zip_commit(z), NN_EARGUMENT, "promise.zip: c: 2 bytes are missing");
  assert_int_equal(nni_zip_create(path, &z), NN_OK);
  nni_zip_discard(z);
  assert_int_equal(access(path, F_OK), -1);
}

static void tar_files_plain_and_packed(void **state) {
  (void)state;
  const char *plain = scratch_path("plain.tar"), *packed = scratch_path("packed.tar.gz");
  char text[256];
  made_size = 0;
  tar_add("folder/", '5', "", "", 0);
  tar_file("folder/a.txt", "hello");
  tar_file("empty", "");
  tar_file("b", "!");
  tar_end();
  scratch_write(plain, made, made_size);
  write_packed(packed, made, made_size);
  assert_int_equal(read_all(plain, text, sizeof text), NN_OK);
  assert_string_equal(text, "folder/=;folder/a.txt=hello;empty=;b=!;");
  assert_int_equal(read_all(packed, text, sizeof text), NN_OK);
  assert_string_equal(text, "folder/=;folder/a.txt=hello;empty=;b=!;");
  unlink(plain);
  unlink(packed);
}

static void entries_that_are_not_read_are_passed_over(void **state) {
  (void)state;
  const char *path = scratch_path("pass.tar");
  nni_archive *a;
  nni_entry entry;
  bool more;
  char text[8] = "";
  made_size = 0;
  tar_file("a", "first");
  tar_file("b", "second");
  tar_add("c", '2', "a", "", 0);
  tar_end();
  scratch_write(path, made, made_size);
  assert_int_equal(nni_archive_open(path, &a), NN_OK);
  assert_string_equal(nni_archive_format(a), "tar");
  assert_int_equal(nni_archive_next(a, &entry, &more), NN_OK);
  assert_int_equal(nni_archive_next(a, &entry, &more), NN_OK);
  assert_string_equal(entry.name, "b");
  assert_int_equal(entry.size, 6);
  assert_int_equal(nni_archive_read(a, text, 2), NN_OK);
  assert_int_equal(nni_archive_read(a, text + 2, 2), NN_OK);
  assert_string_equal(text, "seco");
  ASSERT_FAILED(nni_archive_read(a, text, 3), NN_EFORMAT, "pass.tar: b: 3 bytes expected at byte 4, the entry has 6");
  assert_int_equal(nni_archive_next(a, &entry, &more), NN_OK);
  assert_int_equal(entry.kind, NNI_LINK);
  assert_int_equal(nni_archive_next(a, &entry, &more), NN_OK);
  assert_false(more);
  nni_archive_close(a);
  unlink(path);
}

int main(void) {
#ifndef NN_HAVE_ARCHIVE
  puts("built without libarchive: skipped");
  return 0;
#endif
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_stored_zip_round_trip),
    cmocka_unit_test(a_zip_is_written_as_promised_or_not_at_all),
    cmocka_unit_test(tar_files_plain_and_packed),
    cmocka_unit_test(entries_that_are_not_read_are_passed_over),
  };
  return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
