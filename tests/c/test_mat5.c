/* test_mat5.c -- MATLAB 5 files, whole and damaged: SVHN's two variables, and tables of structs. */
#include "scratch.h"

#include <zlib.h>

enum { PIXELS = 3072, IMAGES = 3 };
enum { INT8 = 1, UINT8 = 2, UINT16 = 4, INT32 = 5, UINT32 = 6, DOUBLE = 9, MATRIX = 14, COMPRESSED = 15, UTF8 = 16 };

/* ---- building files ---- */

typedef struct {
  uint8_t bytes[1 << 16];
  size_t size;
  bool swap;  /* the other byte order */
} file;

static void put(file *f, const void *bytes, size_t size) {
  assert_true(f->size + size <= sizeof f->bytes);
  if (size > 0) memcpy(f->bytes + f->size, bytes, size);
  f->size += size;
}

static void put_word(file *f, uint32_t word) {
  if (f->swap) word = __builtin_bswap32(word);
  put(f, &word, sizeof word);
}

static void put_header(file *f) {
  char text[128];
  memset(text, ' ', sizeof text);
  memcpy(text, "MATLAB 5.0 MAT-file", 19);
  memset(text + 116, 0, 8);
  memcpy(text + 124, f->swap ? "\1\0MI" : "\0\1IM", 4);
  put(f, text, sizeof text);
}

static void put_element(file *f, uint32_t type, const void *bytes, size_t size) {
  static const uint8_t zeros[8];
  put_word(f, type);
  put_word(f, (uint32_t)size);
  put(f, bytes, size);
  put(f, zeros, (8 - size % 8) % 8);
}

/* An element whose size is filled in when it ends. */
static size_t begin(file *f, uint32_t type) {
  put_word(f, type);
  put_word(f, 0);
  return f->size;
}

static void end(file *f, size_t start) {
  uint32_t size = (uint32_t)(f->size - start);
  if (f->swap) size = __builtin_bswap32(size);
  memcpy(f->bytes + start - 4, &size, sizeof size);
}

static size_t begin_array(file *f, int class, const char *name, int axes, const int32_t *size) {
  size_t start = begin(f, MATRIX), inner = begin(f, UINT32);
  put_word(f, (uint32_t)class);
  put_word(f, 0);
  end(f, inner);
  inner = begin(f, INT32);
  for (int i = 0; i < axes; i++) put_word(f, (uint32_t)size[i]);
  end(f, inner);
  if (axes % 2) put_word(f, 0);
  put_element(f, INT8, name, strlen(name));
  return start;
}

/* The same file with each of its variables compressed. */
static void pack(const file *in, file *out) {
  *out = (file){ 0 };
  put(out, in->bytes, 128);
  for (size_t at = 128; at < in->size;) {
    uint32_t size;
    memcpy(&size, in->bytes + at + 4, sizeof size);
    uLongf room = compressBound(8 + size);
    uint8_t *bytes = malloc(room);
    assert_int_equal(compress(bytes, &room, in->bytes + at, 8 + size), Z_OK);
    put_word(out, COMPRESSED);
    put_word(out, (uint32_t)room);
    put(out, bytes, room);
    free(bytes);
    at += 8 + size;
  }
}

static uint8_t pixel(int n, int y, int x, int c) { return (uint8_t)(n * 101 + y * 7 + x * 3 + c * 50); }

static void put_images(file *f, int count, int32_t side) {
  size_t start = begin_array(f, 9, "X", 4, (int32_t[]){ side, 32, 3, count }), data = begin(f, UINT8);
  for (int n = 0; n < count; n++)
    for (int c = 0; c < 3; c++)
      for (int x = 0; x < 32; x++)
        for (int y = 0; y < 32; y++) put(f, &(uint8_t){ pixel(n, y, x, c) }, 1);
  end(f, data);
  end(f, start);
}

static void put_labels(file *f, int class, uint32_t type, size_t each, const void *labels, int count) {
  size_t start = begin_array(f, class, "y", 2, (int32_t[]){ count, 1 });
  put_element(f, type, labels, each * (size_t)count);
  end(f, start);
}

static const uint8_t labels[IMAGES] = { 1, 10, 9 };

static file *whole(void) {  /* X and y as SVHN has them, uncompressed */
  static file f;
  f = (file){ 0 };
  put_header(&f);
  put_images(&f, IMAGES, 32);
  put_labels(&f, 9, UINT8, 1, labels, IMAGES);
  return &f;
}

static int read_bytes(const void *bytes, size_t size) {
  const char *path = scratch_path("file");
  nn_tensor *x = NULL, *y = NULL;
  scratch_write(path, bytes, size);
  int status = nn_svhn_read(path, &x, &y);
  unlink(path);
  if (status != NN_OK) assert_null(x);
  if (status == NN_OK) {
    const uint8_t *p = nn_tensor_data(x);
    const int32_t *l = nn_tensor_data(y);
    assert_int_equal(nn_tensor_size(x, 0), IMAGES);
    for (int n = 0; n < IMAGES; n++) {
      assert_int_equal(l[n], labels[n] % 10);
      for (int i = 0; i < PIXELS; i++) assert_int_equal(*p++, pixel(n, i / 96, i / 3 % 32, i % 3));
    }
  }
  nn_tensor_release(x);
  nn_tensor_release(y);
  return status;
}

/* ---- SVHN ---- */

static void reads_raw_and_compressed(void **state) {
  (void)state;
  static file f, packed;
  assert_int_equal(read_bytes(whole()->bytes, whole()->size), NN_OK);
  pack(whole(), &packed);
  assert_int_equal(read_bytes(packed.bytes, packed.size), NN_OK);

  f = (file){ 0 };  /* labels first, as doubles; something else between */
  put_header(&f);
  put_labels(&f, 6, DOUBLE, 8, (double[]){ 1, 10, 9 }, IMAGES);
  size_t other = begin_array(&f, 6, "other", 2, (int32_t[]){ 1, 1 });
  put_element(&f, UINT8, "x", 1);
  end(&f, other);
  put_images(&f, IMAGES, 32);
  assert_int_equal(read_bytes(f.bytes, f.size), NN_OK);
  pack(&f, &packed);
  assert_int_equal(read_bytes(packed.bytes, packed.size), NN_OK);

  f = (file){ 0 };  /* labels within their tag */
  put_header(&f);
  put_images(&f, IMAGES, 32);
  size_t y = begin_array(&f, 6, "y", 2, (int32_t[]){ 1, IMAGES });
  put_word(&f, UINT8 | IMAGES << 16);
  put(&f, "\1\12\11", 4);
  end(&f, y);
  assert_int_equal(read_bytes(f.bytes, f.size), NN_OK);

  f = (file){ .swap = true };
  put_header(&f);
  put_images(&f, IMAGES, 32);
  put_labels(&f, 9, UINT16, 2, "\0\1\0\12\0\11", IMAGES);
  assert_int_equal(read_bytes(f.bytes, f.size), NN_OK);
}

static void more_images_than_the_first_room(void **state) {
  (void)state;
  enum { MANY = 2500 };
  const char *path = scratch_path("many");
  nn_tensor *x = NULL, *y = NULL;
  file *f = whole();
  *f = (file){ 0 };
  put_header(f);
  size_t start = begin_array(f, 9, "X", 4, (int32_t[]){ 32, 32, 3, MANY });
  put_word(f, UINT8);
  put_word(f, MANY * PIXELS);
  uint32_t size = (uint32_t)(f->size - start) + MANY * PIXELS;
  memcpy(f->bytes + start - 4, &size, 4);
  FILE *stream = fopen(path, "wb");
  fwrite(f->bytes, 1, f->size, stream);
  for (int n = 0; n < MANY; n++)
    for (int i = 0; i < PIXELS; i++) putc(n % 251, stream);
  *f = (file){ 0 };
  uint8_t ones[MANY];
  memset(ones, 1, sizeof ones);
  put_labels(f, 9, UINT8, 1, ones, MANY);
  fwrite(f->bytes, 1, f->size, stream);
  fclose(stream);
  assert_int_equal(nn_svhn_read(path, &x, &y), NN_OK);
  for (int n = 0; n < MANY; n++) assert_int_equal(((const uint8_t *)nn_tensor_data(x))[n * PIXELS + 5], n % 251);
  assert_int_equal(nn_tensor_size(y, 0), MANY);
  nn_tensor_release(x);
  nn_tensor_release(y);
  unlink(path);
}

static void every_truncation_is_told(void **state) {
  (void)state;
  static file packed;
  file *f = whole();
  size_t second = f->size - 72;  /* where y starts */
  for (size_t size = 0; size < f->size; size += size < 400 || size > second - 20 ? 1 : 97)
    ASSERT_FAILED(read_bytes(f->bytes, size), NN_EFORMAT, "file: ",
                  size == 128 ? "X and y expected, X is missing" : size == second ? "y is missing"
                                                                                  : "the file ends there");
  pack(f, &packed);
  for (size_t size = 0; size < packed.size; size++)
    ASSERT_FAILED(read_bytes(packed.bytes, size), NN_EFORMAT, "file: ");
  uint32_t first;
  memcpy(&first, packed.bytes + 132, sizeof first);
  ASSERT_FAILED(read_bytes(packed.bytes, 136 + first - 100), NN_EFORMAT, "X: image 3 of 3: 3,072 bytes expected",
                "the file ends there at offset");
}

static void every_flipped_byte_of_a_compressed_file_is_told(void **state) {
  (void)state;
  static file packed;
  pack(whole(), &packed);
  for (size_t at = 124; at < packed.size; at++) {
    packed.bytes[at] ^= 0x41;
    int status = read_bytes(packed.bytes, packed.size);
    packed.bytes[at] ^= 0x41;
    assert_int_equal(status, NN_EFORMAT);
  }
}

static void wrong_contents_are_told(void **state) {
  (void)state;
  static file f, packed;
  f = *whole();
  memcpy(f.bytes, "MATLAB 7.3", 10);
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "a MATLAB 7.3 file, which is HDF5");
  f = *whole();
  f.bytes[126] = 'X';
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "version: not a MATLAB 5 file (offset 124)");
  f = *whole();
  f.bytes[128] = 9;
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "element of type 14 or 15 expected, found 9 at offset 128");

  f = (file){ 0 };  /* absurd sizes: nothing is there */
  put_header(&f);
  size_t x = begin_array(&f, 9, "X", 4, (int32_t[]){ 32, 32, 3, 0x7fffffff / 3072 });
  put_word(&f, UINT8);
  put_word(&f, 0x7fffffff / 3072 * 3072);
  end(&f, x);
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "X: 2,147,481,600 bytes of numbers, the array has 0 left");
  uint32_t lie = 0x7ffffff0;
  memcpy(f.bytes + x - 4, &lie, 4);
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "variable: 2,147,483,632 bytes expected at offset 136, 64");
  f = (file){ 0 };
  put_header(&f);
  end(&f, begin_array(&f, 9, "X", 4, (int32_t[]){ -1, 32, 3, 1 }));
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "array sizes: size 1 cannot be -1");
  f = (file){ 0 };
  put_header(&f);
  end(&f, begin_array(&f, 9, "X", 4, (int32_t[]){ 32, 32, 3, 1 }));
  pack(&f, &packed);
  ASSERT_FAILED(read_bytes(packed.bytes, packed.size), NN_EFORMAT, "X: 8 bytes expected", "the array has 0 left");

  f = (file){ 0 };
  put_header(&f);
  put_images(&f, 1, 31);
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "X: uint8 of 32 x 32 x 3 x N expected, found 31 x 32 x 3 x 1");
  f = (file){ 0 };
  put_header(&f);
  put_images(&f, IMAGES, 32);
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "X and y expected, y is missing");
  put_labels(&f, 9, UINT8, 1, labels, 2);
  ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "X holds 3 images, y 2 labels");
  static const double wrong[] = { 0, 11, 1.5, -1, 1e300 };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    f = (file){ 0 };
    put_header(&f);
    put_labels(&f, 6, DOUBLE, 8, (double[]){ 1, wrong[i], 2 }, IMAGES);
    ASSERT_FAILED(read_bytes(f.bytes, f.size), NN_EFORMAT, "y: label of image 2: 1 to 10 expected");
  }
  nn_tensor *a = NULL, *b = NULL;
  ASSERT_FAILED(nn_svhn_read("/tmp", &a, &b), NN_EIO, "/tmp: not a regular file");
  ASSERT_FAILED(nn_svhn_read(scratch_path("none"), &a, &b), NN_EIO, "No such file");
  ASSERT_FAILED(read_bytes("", 0), NN_EFORMAT, "header: 128 bytes expected, 0 found");
}

/* ---- tables ---- */

static void put_text(file *f, const char *text) {
  size_t start = begin_array(f, 4, "", 2, (int32_t[]){ 1, (int32_t)strlen(text) }), data = begin(f, UINT16);
  for (; *text; text++) put(f, &(uint16_t){ (uint8_t)*text }, 2);
  end(f, data);
  static const uint8_t zeros[8];
  put(f, zeros, (8 - (f->size - data) % 8) % 8);
  end(f, start);
}

static void put_number(file *f, double value) {
  size_t start = begin_array(f, 6, "", 2, (int32_t[]){ 1, 1 });
  if (value == (uint8_t)value) {
    put_word(f, UINT8 | 1 << 16);
    put_word(f, (uint32_t)value);
  } else {
    put_element(f, DOUBLE, &value, 8);
  }
  end(f, start);
}

static void put_table(file *f) {
  put_header(f);
  size_t start = begin_array(f, 2, "synsets", 2, (int32_t[]){ 2, 1 });
  put_word(f, INT32 | 4 << 16);
  put_word(f, 8);
  put_element(f, INT8, "ID\0\0\0\0\0\0WNID\0\0\0\0child\0\0", 24);
  for (int row = 0; row < 2; row++) {
    put_number(f, row ? 1.5 : 7);
    put_text(f, row ? "n\xe9" : "n01440764");
    size_t list = begin_array(f, 6, "", 2, (int32_t[]){ 1, 3 });
    put_element(f, UINT8, "abc", 3);
    end(f, list);
  }
  end(f, start);
}

static int read_table(const void *bytes, size_t size, nn_mat_table **t) {
  const char *path = scratch_path("table");
  scratch_write(path, bytes, size);
  int status = nn_mat_table_read(path, "synsets", t);
  unlink(path);
  return status;
}

static void a_table_of_structs(void **state) {
  (void)state;
  static file f, packed;
  nn_mat_table *t = NULL;
  f = (file){ 0 };
  put_table(&f);
  pack(&f, &packed);
  for (int turn = 0; turn < 2; turn++) {
    const file *from = turn ? &packed : &f;
    assert_int_equal(read_table(from->bytes, from->size, &t), NN_OK);
    assert_int_equal(nn_mat_table_rows(t), 2);
    assert_int_equal(nn_mat_table_fields(t), 3);
    assert_string_equal(nn_mat_table_field(t, 1), "WNID");
    assert_string_equal(nn_mat_table_value(t, 0, 0), "7");
    assert_string_equal(nn_mat_table_value(t, 1, 0), "1.5");
    assert_string_equal(nn_mat_table_value(t, 0, 1), "n01440764");
    assert_string_equal(nn_mat_table_value(t, 1, 1), "n\xc3\xa9");
    assert_string_equal(nn_mat_table_value(t, 1, 2), "");
    nn_mat_table_free(t);
    t = NULL;
    for (size_t size = 0; size < from->size; size++)
      ASSERT_FAILED(read_table(from->bytes, size, &t), NN_EFORMAT, "table: ");
  }
  for (size_t at = 128; at < f.size; at++)  /* whatever is read, nothing is read outside the file or kept */
    for (int value = 0; value < 256; value += 51) {
      uint8_t kept = f.bytes[at];
      f.bytes[at] = (uint8_t)value;
      if (read_table(f.bytes, f.size, &t) == NN_OK) nn_mat_table_free(t);
      f.bytes[at] = kept;
    }
  ASSERT_FAILED(read_table(whole()->bytes, whole()->size, &t), NN_EFORMAT, "there is no variable synsets in it");
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  static file f;
  f = (file){ 0 };
  put_table(&f);
  for (int kind = 0; kind < 2; kind++) {
    file *from = kind ? &f : whole();
    scratch_write(scratch_path("file"), from->bytes, from->size);
    for (uint64_t n = 1;; n++) {
      nn_tensor *x = NULL, *y = NULL;
      nn_mat_table *t = NULL;
      nn_memory_stats before, after;
      nn_memory_get_stats(&before);
      nn_memory_fail_at(n);
      int status = kind ? nn_mat_table_read(scratch_path("file"), "synsets", &t)
                        : nn_svhn_read(scratch_path("file"), &x, &y);
      nn_memory_fail_at(0);
      if (status != NN_OK) assert_int_equal(status, NN_EMEMORY);
      nn_tensor_release(x);
      nn_tensor_release(y);
      nn_mat_table_free(t);
      nn_memory_get_stats(&after);
      assert_int_equal(before.live, after.live);
      if (status == NN_OK) break;
      assert_true(n < 1000);
    }
    unlink(scratch_path("file"));
  }
}

/* ---- real files ---- */

static void the_real_files(void **state) {
  (void)state;
  char path[512];
  nn_tensor *x = NULL, *y = NULL;
  snprintf(path, sizeof path, "%s/svhn/train_32x32.mat", outside_data());
  if (access(path, R_OK) != 0) skip();
  assert_int_equal(nn_svhn_read(path, &x, &y), NN_OK);
  assert_int_equal(nn_tensor_size(x, 0), 860);
  assert_int_equal(nn_tensor_size(y, 0), 860);
  nn_tensor_release(x);
  nn_tensor_release(y);
  x = y = NULL;
  snprintf(path, sizeof path, "%s/svhn/train_32x32.truncated.mat", outside_data());
  ASSERT_FAILED(nn_svhn_read(path, &x, &y), NN_EFORMAT, "X: image 1,084 of 73,257: 3,072 bytes expected at offset",
                "the file ends there at offset");
  assert_null(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(reads_raw_and_compressed),
    cmocka_unit_test(more_images_than_the_first_room),
    cmocka_unit_test(every_truncation_is_told),
    cmocka_unit_test(every_flipped_byte_of_a_compressed_file_is_told),
    cmocka_unit_test(wrong_contents_are_told),
    cmocka_unit_test(a_table_of_structs),
    cmocka_unit_test(every_allocation_may_fail),
    cmocka_unit_test(the_real_files),
  };
  return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
