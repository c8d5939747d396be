/* test_npy.c -- NumPy array files: what is written is read back, damaged ones are told. */
#include "scratch.h"

#include <dirent.h>

static size_t make_file(uint8_t *bytes, const char *dictionary, const void *elements, size_t size) {
  size_t text = strlen(dictionary), at = 0;
  memcpy(bytes, "\x93NUMPY\x01\x00", 8);
  bytes[8] = (uint8_t)(text & 255);
  bytes[9] = (uint8_t)(text >> 8);
  at = 10;
  memcpy(bytes + at, dictionary, text);
  at += text;
  if (size) memcpy(bytes + at, elements, size);
  return at + size;
}

static int read_bytes(const void *bytes, size_t size, nn_tensor **out) {
  const char *path = scratch_path("array.npy");
  scratch_write(path, bytes, size);
  nn_tensor *t = NULL;
  int status = nn_npy_read(path, &t);
  unlink(path);
  if (status != NN_OK) assert_null(t);
  if (out) *out = t;
  else nn_tensor_release(t);
  return status;
}

static int read_text(const char *dictionary, const void *elements, size_t size, nn_tensor **out) {
  uint8_t bytes[1024];
  return read_bytes(bytes, make_file(bytes, dictionary, elements, size), out);
}

static void a_round_trip_of_every_type(void **state) {
  (void)state;
  const char *path = scratch_path("trip.npy");
  static const nn_type types[] = { NN_REAL, NN_UINT8, NN_INT32, NN_INDEX };
  for (size_t k = 0; k < 4; k++) {
    for (int axes = 0; axes <= NN_MAX_AXES; axes++) {
      int64_t size[NN_MAX_AXES] = { 2, 3, 1, 2, 4, 2 };
      nn_tensor *t = nn_tensor_new(types[k], axes, size), *back = NULL;
      size_t bytes = (size_t)nn_tensor_count(t) * nn_type_bytes(types[k]);
      nn_real *real = nn_tensor_write(t);
      if (types[k] == NN_REAL)
        for (int64_t i = 0; i < nn_tensor_count(t); i++) real[i] = (nn_real)(i * 0.37 - 1);
      else memset(real, (int)(17 + k), bytes);
      assert_int_equal(nn_npy_write(path, t), NN_OK);
      assert_int_equal(nn_npy_read(path, &back), NN_OK);
      assert_int_equal(nn_tensor_type(back), types[k] == NN_INDEX ? NN_INT32 : types[k]);
      assert_int_equal(nn_tensor_axes(back), axes);
      for (int i = 0; i < axes; i++) assert_int_equal(nn_tensor_size(back, i), size[i]);
      assert_memory_equal(nn_tensor_data(back), nn_tensor_data(t), bytes);
      nn_tensor_release(t);
      nn_tensor_release(back);
    }
  }
  unlink(path);
}

static void the_header_is_numpys(void **state) {
  (void)state;
  const char *path = scratch_path("header.npy");
  nn_tensor *t = nn_tensor_zeros(NN_UINT8, 1, (int64_t[]){ 3 });
  assert_int_equal(nn_npy_write(path, t), NN_OK);
  nn_tensor_release(t);
  size_t size;
  uint8_t *bytes = scratch_read(path, &size);
  static const char expected[] = "\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (3,), } ";
  assert_int_equal(size, 128 + 3);
  assert_memory_equal(bytes, expected, sizeof expected - 1);
  assert_int_equal(bytes[127], '\n');
  free(bytes);
  unlink(path);
}

static void converted_types(void **state) {
  (void)state;
  nn_tensor *t;
  static const double doubles[] = { 0.5, -2.25, 1e10 };
  assert_int_equal(read_text("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", doubles, 24, &t), NN_OK);
  for (int i = 0; i < 3; i++) assert_true(((const nn_real *)nn_tensor_data(t))[i] == (nn_real)doubles[i]);
  nn_tensor_release(t);
  static const int64_t longs[] = { INT32_MIN, -1, INT32_MAX };
  assert_int_equal(read_text("{'shape':(3,),'fortran_order':False,'descr':'<i8'}\n", longs, 24, &t), NN_OK);
  for (int i = 0; i < 3; i++) assert_int_equal(((const int32_t *)nn_tensor_data(t))[i], (int32_t)longs[i]);
  nn_tensor_release(t);
  static const int64_t large[] = { 1, INT64_C(1) << 31 };
  ASSERT_FAILED(read_text("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", large, 16, NULL), NN_EFORMAT,
                "element 1: 2147483648 does not fit 32 bits");
}

static void fortran_order_is_turned(void **state) {
  (void)state;
  static const int32_t columns[] = { 0, 10, 1, 11, 2, 12 };  /* [2,3], first axis fastest */
  nn_tensor *t;
  assert_int_equal(read_text("{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }", columns, 24, &t), NN_OK);
  static const int32_t rows[] = { 0, 1, 2, 10, 11, 12 };
  assert_int_equal(nn_tensor_size(t, 0), 2);
  assert_memory_equal(nn_tensor_data(t), rows, sizeof rows);
  nn_tensor_release(t);
}

static void versions_two_and_three(void **state) {
  (void)state;
  static const char text[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (), }";
  uint8_t bytes[128] = "\x93NUMPY\x02\x00";
  bytes[8] = sizeof text - 1;
  memcpy(bytes + 12, text, sizeof text - 1);
  bytes[12 + sizeof text - 1] = 42;
  nn_tensor *t;
  for (uint8_t version = 2; version <= 3; version++) {
    bytes[6] = version;
    assert_int_equal(read_bytes(bytes, 12 + sizeof text, &t), NN_OK);
    assert_int_equal(nn_tensor_axes(t), 0);
    assert_int_equal(*(const uint8_t *)nn_tensor_data(t), 42);
    nn_tensor_release(t);
  }
  bytes[6] = 4;
  ASSERT_FAILED(read_bytes(bytes, 12 + sizeof text, NULL), NN_EFORMAT, "version: 1 to 3 expected, found 4");
  bytes[6] = 2;
  bytes[11] = 0x7f;
  ASSERT_FAILED(read_bytes(bytes, 12 + sizeof text, NULL), NN_EFORMAT, "header length: at most 65536 expected");
}

static void every_truncation_is_told(void **state) {
  (void)state;
  uint8_t bytes[256];
  static const float elements[] = { 1, 2, 3, 4 };
  size_t size = make_file(bytes, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", elements, 16);
  assert_int_equal(read_bytes(bytes, size, NULL), NN_OK);
  for (size_t cut = 0; cut < size; cut++)
    ASSERT_FAILED(read_bytes(bytes, cut, NULL), NN_EFORMAT, "array.npy: ", "expected at offset", "the file ends there");
  bytes[size] = 0;
  ASSERT_FAILED(read_bytes(bytes, size + 1, NULL), NN_EFORMAT, "1 bytes more than the header declares");
  bytes[1] = 'n';
  ASSERT_FAILED(read_bytes(bytes, size, NULL), NN_EFORMAT, "magic number: not a .npy file");
}

static void wrong_dictionaries_are_told(void **state) {
  (void)state;
  static const struct {
    const char *text, *says;
  } wrong[] = {
    { "", "\"{\" expected at offset 10" },
    { "{", "a short string in quotes expected at offset 11" },
    { "{}", "header: descr is missing" },
    { "{'descr': '<f4', 'shape': (1,), }", "header: fortran_order is missing" },
    { "{'descr': '<f4', 'fortran_order': False, }", "header: shape is missing" },
    { "{'descr' '<f4'}", "\":\" expected" },
    { "{'descr': '<f4' 'shape': (1,)}", "\",\" or \"}\" expected" },
    { "{'descr': '|f4', 'fortran_order': False, 'shape': (1,), }",
      "descr: floats, integers or booleans of up to 8 bytes expected, found |f4" },
    { "{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", "found <U1" },
    { "{'descr': '<c8', 'fortran_order': False, 'shape': (), }", "8 bytes expected at offset" },
    { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "a short string in quotes" },
    { "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", "fortran_order: True or False expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': 1, }", "shape: \"(\" expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "shape: a size expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2), }", "shape: \",\" or \")\" expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1), }", "shape: at most 6 axes" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "shape: a size expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "larger than memory can be" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }", "4,000,000,000,000 bytes expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "unknown key x" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } 1", "nothing more expected" },
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    ASSERT_FAILED(read_text(wrong[i].text, "\0\0\0\0", 4, NULL), NN_EFORMAT, wrong[i].says);
}

/* Whatever is changed, the reader ends with an array or a message. */
static void random_damage(void **state) {
  (void)state;
  uint8_t whole[256], bytes[256];
  static const float elements[] = { 1, 2, 3, 4 };
  size_t size = make_file(whole, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", elements, 16);
  for (uint64_t n = 0; n < 3000; n++) {
    uint32_t draw[4];
    nn_random_block(1, 2, n, draw);
    memcpy(bytes, whole, size);
    for (int k = 0; k <= (int)(draw[3] % 3); k++) bytes[draw[k] % size] = (uint8_t)(draw[k] >> 16);
    int status = read_bytes(bytes, size, NULL);
    assert_true(status == NN_OK || status == NN_EFORMAT);
  }
}

static int count_files(void) {
  DIR *folder = opendir(scratch_folder);
  int count = 0;
  assert_non_null(folder);
  for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

/* An older file stays, and no half-written one, when a write cannot end. */
static void a_failed_write_leaves_nothing(void **state) {
  (void)state;
  nn_tensor *t = nn_tensor_zeros(NN_REAL, 1, (int64_t[]){ 1000 });
  ASSERT_FAILED(nn_npy_write(scratch_path("no/such/folder.npy"), t), NN_EIO, "cannot be written: No such file");
  const char *path = scratch_path("folder.npy");
  char inside[300];
  assert_int_equal(mkdtemp(strcpy(inside, scratch_path("blocked-XXXXXX"))) != NULL, 1);
  assert_int_equal(rename(inside, path), 0);
  ASSERT_FAILED(nn_npy_write(path, t), NN_EIO, "folder.npy: cannot be written");
  assert_int_equal(count_files(), 1);
  assert_int_equal(rmdir(path), 0);
  nn_interrupt();
  assert_int_equal(nn_npy_write(path, t), NN_EINTERRUPT);
  nn_interrupt_clear();
  assert_int_equal(count_files(), 0);
  nn_tensor_release(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_round_trip_of_every_type),
    cmocka_unit_test(the_header_is_numpys),
    cmocka_unit_test(converted_types),
    cmocka_unit_test(fortran_order_is_turned),
    cmocka_unit_test(versions_two_and_three),
    cmocka_unit_test(every_truncation_is_told),
    cmocka_unit_test(wrong_dictionaries_are_told),
    cmocka_unit_test(random_damage),
    cmocka_unit_test(a_failed_write_leaves_nothing),
  };
  return cmocka_run_group_tests_name("npy", tests, scratch_open, scratch_close);
}
