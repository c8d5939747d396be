/* test_archive.c -- packed files: what is written is read back, damaged and hostile ones are told. */
#include "scratch.h"

#include <dirent.h>
#include <sys/stat.h>
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
    nni_bytes file = { 0 };
    if (entry.kind == NNI_FILE) status = nni_archive_read_whole(a, 1 << 20, &file);
    if (status == NN_OK)
      used += (size_t)snprintf(text + used, room - used, "%s=%.*s;", entry.name, (int)file.size,
                               file.data ? (char *)file.data : "");
    nni_bytes_free(&file);
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

/* Long and even, short, noise, empty; from memory and from files; deflated and, where that is longer, stored. */
static void members_round_trip(void **state) {
  (void)state;
  static char even[300000], noise[3000], text[320000], expected[320000];
  char path[300], again[300], file[300];
  snprintf(path, sizeof path, "%s", scratch_path("members.zip"));
  snprintf(again, sizeof again, "%s", scratch_path("again.zip"));
  snprintf(file, sizeof file, "%s", scratch_path("member.txt"));
  for (size_t i = 0; i + 1 < sizeof even; i++) even[i] = (char)('a' + i / 7 % 5);
  uint32_t seed = 1;
  for (size_t i = 0; i + 1 < sizeof noise; i++) {
    seed = seed * 1664525 + 1013904223;
    noise[i] = (char)(1 + (seed >> 24) % 255);
  }
  assert_int_equal(nn_file_write(file, even, strlen(even)), NN_OK);
  nn_archive_member members[] = {
    { .name = "z/file", .file = file },
    { .name = "noise", .bytes = noise, .size = strlen(noise) },
    { .name = "empty", .bytes = "", .size = 0 },
    { .name = "a", .bytes = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", .size = 38 },
  };
  nn_archive_member other[] = { members[2], members[3], members[0], members[1] };
  assert_int_equal(nn_archive_pack(path, members, 4), NN_OK);
  assert_int_equal(nn_archive_pack(again, other, 4), NN_OK);
  assert_int_equal(read_all(path, text, sizeof text), NN_OK);
  snprintf(expected, sizeof expected, "a=%s;empty=;noise=%s;z/file=%s;", (const char *)members[3].bytes, noise, even);
  assert_string_equal(text, expected);
  size_t size, same;
  uint8_t *first = scratch_read(path, &size), *second = scratch_read(again, &same);
  assert_int_equal(size, same);
  assert_memory_equal(first, second, size);
  assert_true(size < strlen(noise) + 4000);
  free(first);
  free(second);

  other[1].name = "noise";
  ASSERT_FAILED(nn_archive_pack(again, other, 4), NN_EARGUMENT, "again.zip: member \"noise\" appears twice");
  other[1] = (nn_archive_member){ .name = "b", .file = "/none/there" };
  unlink(again);
  ASSERT_FAILED(nn_archive_pack(again, other, 4), NN_EIO, "/none/there");
  assert_int_equal(access(again, F_OK), -1);
  unlink(path);
  unlink(file);
}

/* ---- unpacking ---- */

/* What is below a folder, sorted by name: "a/ a/b=text; ". */
static void list_folder(const char *path, const char *below, char *text, size_t room) {
  struct dirent **found;
  int count = scandir(path, &found, NULL, alphasort);
  for (int i = 0; i < count; i++) {
    const char *name = found[i]->d_name;
    char whole[700], relative[300];
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
      snprintf(whole, sizeof whole, "%s/%s", path, name);
      snprintf(relative, sizeof relative, "%s%s%s", below, *below ? "/" : "", name);
      size_t used = strlen(text), size;
      struct stat about;
      assert_int_equal(lstat(whole, &about), 0);
      if (S_ISDIR(about.st_mode)) {
        snprintf(text + used, room - used, "%s/ ", relative);
        list_folder(whole, relative, text, room);
        assert_int_equal(rmdir(whole), 0);
      } else {
        assert_true(S_ISREG(about.st_mode));
        char *bytes = (char *)scratch_read(whole, &size);
        snprintf(text + used, room - used, "%s=%.*s; ", relative, (int)size, bytes);
        free(bytes);
        assert_int_equal(unlink(whole), 0);
      }
    }
    free(found[i]);
  }
  if (count >= 0) free(found);
}

/* Unpacks and takes the folder away again; what was in it is in text. On failure nothing is there. */
static int unpack(const char *path, char *text, size_t room) {
  const char *folder = scratch_path("unpacked");
  nn_archive_info info;
  int status = nn_archive_survey(path, &info);
  if (status == NN_OK) status = nn_archive_unpack(path, folder, &info, NULL, NULL);
  unlink(path);
  text[0] = '\0';
  if (status == NN_OK) {
    list_folder(folder, "", text, room);
    assert_int_equal(rmdir(folder), 0);
  }
  char rest[512] = "";
  list_folder(scratch_folder, "", rest, sizeof rest);
  assert_string_equal(rest, "");
  return status;
}

/* The three formats of one archive, made by the same calls: add_file, add_link, ..., write_made. */
typedef enum { ZIP, TAR, TAR_GZ, FORMATS } format;
static const char *const endings[FORMATS] = { "zip", "tar", "tar.gz" };
static uint8_t contents[1 << 14];  /* of the zip file */
static size_t contents_size, entries;

static void put(uint8_t **at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) *(*at)++ = (uint8_t)(value >> 8 * i);
}

/* An entry of a zip file with a Unix mode; `declared` bytes are promised. */
static void zip_add(const char *name, unsigned mode, const char *text, uint32_t declared) {
  size_t size = strlen(text), length = strlen(name);
  uint32_t crc = (uint32_t)crc32_z(0, (const uint8_t *)text, size), offset = (uint32_t)made_size;
  for (int central = 0; central < 2; central++) {
    uint8_t *at = central ? contents + contents_size : made + made_size, *start = at;
    put(&at, central ? 0x02014b50 : 0x04034b50, 4);
    if (central) put(&at, 20 | 3 << 8, 2);
    put(&at, 20, 2);
    put(&at, 0, 4);
    put(&at, 33 << 16, 4);
    put(&at, crc, 4);
    put(&at, declared, 4);
    put(&at, declared, 4);
    put(&at, length, 2);
    put(&at, 0, 2);
    if (central) {
      put(&at, 0, 6);
      put(&at, (uint64_t)mode << 16, 4);
      put(&at, offset, 4);
    }
    memcpy(at, name, length);
    at += length;
    if (central) {
      contents_size += (size_t)(at - start);
    } else {
      memcpy(at, text, size);
      made_size += (size_t)(at - start) + size;
    }
  }
  entries++;
}

static void start(void) { made_size = contents_size = entries = 0; }

static void add(format f, const char *name, const char *text) {
  if (f == ZIP) zip_add(name, 0100644, text, (uint32_t)strlen(text));
  else tar_file(name, text);
}

static void finish(format f) {
  if (f == ZIP) {
    size_t offset = made_size;
    memcpy(made + made_size, contents, contents_size);
    uint8_t *at = made + made_size + contents_size, *begin = at;
    put(&at, 0x06054b50, 4);
    put(&at, 0, 4);
    put(&at, entries, 2);
    put(&at, entries, 2);
    put(&at, contents_size, 4);
    put(&at, offset, 4);
    put(&at, 0, 2);
    made_size += contents_size + (size_t)(at - begin);
  } else {
    tar_end();
  }
}

/* Writes the first `size` bytes of what was made. */
static const char *write_part(format f, size_t size) {
  static char name[32];
  snprintf(name, sizeof name, "made.%s", endings[f]);
  const char *path = scratch_path(name);
  if (f == TAR_GZ) write_packed(path, made, size);
  else scratch_write(path, made, size);
  return path;
}

static const char *write_made(format f) { return write_part(f, made_size); }

/* A file cut in its own bytes, also when it is compressed. */
static const char *write_cut(format f, size_t lost) {
  const char *path = write_made(f);
  size_t size;
  uint8_t *bytes = scratch_read(path, &size);
  scratch_write(path, bytes, size - lost);
  free(bytes);
  return path;
}

static char text[4096];

#define EACH_FORMAT(f) for (format f = ZIP; f < FORMATS; f++)

static void unpacked_folders_are_as_packed(void **state) {
  (void)state;
  EACH_FORMAT(f) {
    start();
    add(f, "./a/b/deep", "1");
    add(f, "a/c", "22");
    add(f, "empty", "");
    add(f, "with \xc3\xa9 and blanks", "333");
    finish(f);
    assert_int_equal(unpack(write_made(f), text, sizeof text), NN_OK);
    assert_string_equal(text, "a/ a/b/ a/b/deep=1; a/c=22; empty=; with \xc3\xa9 and blanks=333; ");
  }
}

/* Does unpacking one more entry of that name after a good one fail with these words? */
static void refuses_name(const char *name, const char *words) {
  EACH_FORMAT(f) {
    start();
    add(f, "good", "1");
    add(f, name, "2");
    finish(f);
    ASSERT_FAILED(unpack(write_made(f), text, sizeof text), NN_EFORMAT, endings[f], words);
  }
}

static void names_stay_below_the_folder(void **state) {
  (void)state;
  refuses_name("/etc/passwd", "/etc/passwd: an absolute name; only names below the folder are unpacked");
  refuses_name("../x", "../x: \"..\" in a name");
  refuses_name("a/../../x", "a/../../x: \"..\" in a name");
  refuses_name("a/..", "a/..: \"..\" in a name");
  refuses_name("line\nbreak", "line\\x0abreak: a control character in a name");
  char deep[200] = "";
  for (int i = 0; i < 70; i++) strcat(deep, "a/");
  start();
  zip_add(strcat(deep, "x"), 0100644, "1", 1);
  finish(ZIP);
  ASSERT_FAILED(unpack(write_made(ZIP), text, sizeof text), NN_EFORMAT, "a/x: folders nested more than 64 deep");
}

static void names_are_there_once(void **state) {
  (void)state;
  refuses_name("good", "good: the name is there twice");
  refuses_name("./good", "./good: the name is there twice");
  refuses_name("good/below", "good/below: its folder is a file elsewhere in the archive");
}

static void links_and_devices_are_refused(void **state) {
  (void)state;
  static const char links[] = "12", devices[] = "346";
  static const unsigned modes[] = { 0120777, 0020666, 0060666, 0140777 };
  EACH_FORMAT(f) {
    for (const char *type = links; f != ZIP && *type; type++) {
      start();
      tar_add("out", *type, "/etc/passwd", "", 0);
      finish(f);
      ASSERT_FAILED(unpack(write_made(f), text, sizeof text), NN_EFORMAT, "out: a link; only files and folders");
    }
    for (const char *type = devices; f != ZIP && *type; type++) {
      start();
      tar_add("out", *type, "", "", 0);
      finish(f);
      ASSERT_FAILED(unpack(write_made(f), text, sizeof text), NN_EFORMAT, "out: a device or pipe; only files");
    }

    for (size_t i = 0; f == ZIP && i < sizeof modes / sizeof *modes; i++) {
      start();

      zip_add("out", modes[i], "/etc/passwd", 11);
      finish(f);
      ASSERT_FAILED(unpack(write_made(f), text, sizeof text), NN_EFORMAT, "out: a ", "only files and folders");
    }
  }
  /* a link in one entry, a file through it in the next */
  start();
  tar_add("out", '2', "/tmp", "", 0);
  tar_file("out/x", "1");
  finish(TAR);
  ASSERT_FAILED(unpack(write_made(TAR), text, sizeof text), NN_EFORMAT, "out: a link");
}

static void cut_files_are_told(void **state) {
  (void)state;
  EACH_FORMAT(f) {
    start();
    add(f, "first", "some bytes that are long enough to be cut in their middle");
    size_t first = made_size;
    add(f, "second", "more of them");
    finish(f);
    for (size_t lost = 1; lost < made_size; lost += lost < 40 ? 1 : 97) {
      if (f == TAR && lost <= 512) continue;  /* one of the two blocks at the end is enough */
      const char *path = write_cut(f, 0);
      size_t size;
      free(scratch_read(path, &size));
      if (lost >= size) break;
      path = write_cut(f, lost);
      assert_int_equal(unpack(path, text, sizeof text), NN_EFORMAT);
    }
    if (f != ZIP) {  /* between two entries, and without the end mark */
      ASSERT_FAILED(unpack(write_part(f, first), text, sizeof text), NN_EFORMAT, "has no end mark; it was cut short");
      ASSERT_FAILED(unpack(write_part(f, first - 512), text, sizeof text), NN_EFORMAT, "first", "runcated");
    }
  }
}

static void what_is_no_archive_is_told(void **state) {
  (void)state;
  EACH_FORMAT(f) {
    char name[32], words[64];
    snprintf(name, sizeof name, "none.%s", endings[f]);
    const char *path = scratch_path(name);
    ASSERT_FAILED(unpack(path, text, sizeof text), NN_EIO, endings[f], "No such file");
    scratch_write(path, "", 0);
    snprintf(words, sizeof words, "none.%s: an archive expected, the file is empty", endings[f]);
    ASSERT_FAILED(unpack(path, text, sizeof text), NN_EFORMAT, words);
    scratch_write(path, "This is a text.\n", 16);
    ASSERT_FAILED(unpack(path, text, sizeof text), NN_EFORMAT, "not a .zip, .tar or .tar.gz archive");
    assert_int_equal(mkdir(path, 0700), 0);
    nn_archive_info info;
    ASSERT_FAILED(nn_archive_survey(path, &info), NN_EIO, "not a regular file");
    assert_int_equal(rmdir(path), 0);
    if (geteuid() != 0) {
      scratch_write(path, "x", 1);
      assert_int_equal(chmod(path, 0), 0);
      ASSERT_FAILED(unpack(path, text, sizeof text), NN_EIO, "Permission denied");
    }
    start();
    finish(f);
    ASSERT_FAILED(unpack(write_made(f), text, sizeof text), NN_EFORMAT, "");
  }
}

static void changed_bytes_are_noticed(void **state) {
  (void)state;
  EACH_FORMAT(f) {
    start();
    add(f, "first", "some bytes that are protected by a checksum");
    finish(f);
    const char *path = write_made(f);
    size_t size;
    uint8_t *bytes = scratch_read(path, &size);
    if (f == ZIP) bytes[40] ^= 1;            /* its contents */
    else if (f == TAR) bytes[3] ^= 1;        /* its name */
    else bytes[size - 6] ^= 1;               /* the length after the compressed data */
    scratch_write(path, bytes, size);
    free(bytes);
    ASSERT_FAILED(unpack(path, text, sizeof text), NN_EFORMAT, endings[f]);
  }
}

static void absurd_sizes_take_no_memory(void **state) {
  (void)state;
  EACH_FORMAT(f) {
    start();
    if (f == ZIP) zip_add("huge", 0100644, "few", 0xfffffff0);
    else tar_add("huge", '0', "", "few", UINT64_C(0777777777777));
    finish(f);
    ASSERT_FAILED(unpack(write_made(f), text, sizeof text), NN_EFORMAT, "huge: declares ",
                  " bytes, more than an archive of this length can hold");
    start();
    add(f, "good", "1");
    if (f == ZIP) zip_add("longer", 0100644, "few", 300);
    else tar_add("longer", '0', "", "few", 2000);
    finish(f);
    assert_int_equal(unpack(write_made(f), text, sizeof text), NN_EFORMAT);
  }
}

/* Zeros that compress a thousandfold. */
static void bombs_are_not_unpacked(void **state) {
  (void)state;
  enum { ZEROS = 80 << 20 };
  const char *path = scratch_path("bomb.tar.gz");
  gzFile stream = gzopen(path, "wb9");
  static const uint8_t zeros[1 << 16];
  start();
  tar_add("zeros", '0', "", "", ZEROS);
  assert_int_equal(gzwrite(stream, made, 512), 512);
  for (int i = 0; i < ZEROS + 1024; i += 1 << 16) gzwrite(stream, zeros, i < ZEROS ? 1 << 16 : 1024);
  assert_int_equal(gzclose(stream), Z_OK);
  ASSERT_FAILED(unpack(path, text, sizeof text), NN_EFORMAT, "bomb.tar.gz: zeros: unpacks to more than 200 times",
                "as a bomb does");
}

static int stop_after_one(void *context, uint64_t done, uint64_t total) {
  (void)total;
  *(uint64_t *)context = done;
  return nn_fail(NN_EINTERRUPT, "enough");
}

static void a_stopped_unpacking_leaves_nothing(void **state) {
  (void)state;
  nn_archive_info info;
  uint64_t done = 0;
  start();
  add(TAR, "a/b", "12");
  add(TAR, "a/c", "345");
  finish(TAR);
  const char *path = write_made(TAR), *folder = scratch_path("unpacked");
  assert_int_equal(nn_archive_survey(path, &info), NN_OK);
  assert_int_equal(info.bytes, 5);
  assert_int_equal(info.files, 2);
  assert_int_equal(info.packed, made_size);
  ASSERT_FAILED(nn_archive_unpack(path, folder, &info, stop_after_one, &done), NN_EINTERRUPT, "enough");
  assert_int_equal(done, 2);
  nn_interrupt();
  ASSERT_FAILED(nn_archive_unpack(path, folder, &info, NULL, NULL), NN_EINTERRUPT, "interrupted");
  nn_interrupt_clear();
  /* an archive that grew since it was looked at */
  nn_archive_info less = { .packed = info.packed, .bytes = 4, .files = 2 };
  ASSERT_FAILED(nn_archive_unpack(path, folder, &less, NULL, NULL), NN_EFORMAT, "more than 4 would be unpacked");
  less = (nn_archive_info){ .packed = info.packed, .bytes = 5, .files = 1 };
  ASSERT_FAILED(nn_archive_unpack(path, folder, &less, NULL, NULL), NN_EFORMAT, "a/c: more than 1 entries");
  assert_int_equal(mkdir(folder, 0700), 0);
  ASSERT_FAILED(nn_archive_unpack(path, folder, &info, NULL, NULL), NN_EIO, "unpacked: is there already");
  assert_int_equal(rmdir(folder), 0);
  /* what a killed process left */
  char part[300];
  snprintf(part, sizeof part, "%s.part-%d-0", folder, 0x3ffffffe);
  assert_int_equal(mkdir(part, 0700), 0);
  assert_int_equal(unpack(path, text, sizeof text), NN_OK);
  assert_string_equal(text, "a/ a/b=12; a/c=345; ");
}

static void no_space_is_told_before_a_byte_is_written(void **state) {
  (void)state;
  start();
  add(TAR, "a", "1");
  finish(TAR);
  const char *path = write_made(TAR);
  const nn_archive_info info = { .packed = made_size, .bytes = UINT64_C(1) << 60, .files = 1 };
  ASSERT_FAILED(nn_archive_unpack(path, scratch_path("unpacked"), &info, NULL, NULL), NN_EIO,
                "unpacked: no space: 1,152,921,504,606,851,072", " bytes are needed, ", " are free");
  unlink(path);
}

#ifndef NN_HAVE_ARCHIVE
static void nothing_is_read(void **state) {
  (void)state;
  nni_archive *a;
  ASSERT_FAILED(nni_archive_open(scratch_folder, &a), NN_EIO, "built without libarchive");
  print_message("built without libarchive\n");
  skip();
}
#endif

int main(void) {
#ifndef NN_HAVE_ARCHIVE
  const struct CMUnitTest without[] = { cmocka_unit_test(nothing_is_read) };
  return cmocka_run_group_tests(without, scratch_open, scratch_close);
#endif
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_stored_zip_round_trip),
    cmocka_unit_test(a_zip_is_written_as_promised_or_not_at_all),
    cmocka_unit_test(members_round_trip),
    cmocka_unit_test(tar_files_plain_and_packed),
    cmocka_unit_test(entries_that_are_not_read_are_passed_over),
    cmocka_unit_test(unpacked_folders_are_as_packed),
    cmocka_unit_test(names_stay_below_the_folder),
    cmocka_unit_test(names_are_there_once),
    cmocka_unit_test(links_and_devices_are_refused),
    cmocka_unit_test(cut_files_are_told),
    cmocka_unit_test(what_is_no_archive_is_told),
    cmocka_unit_test(changed_bytes_are_noticed),
    cmocka_unit_test(absurd_sizes_take_no_memory),
    cmocka_unit_test(bombs_are_not_unpacked),
    cmocka_unit_test(a_stopped_unpacking_leaves_nothing),
    cmocka_unit_test(no_space_is_told_before_a_byte_is_written),
  };
  return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
