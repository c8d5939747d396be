/* test_cifar.c -- reading CIFAR's binary files, whole and damaged. */
#include "scratch.h"

enum { PLANE = 1024, PIXELS = 3 * PLANE, TEN = PIXELS + 1, HUNDRED = PIXELS + 2, RECORDS = 300 };

/* Channel c of pixel p of record n. */
static uint8_t value(int n, int p, int c) { return (uint8_t)(n * 31 + p * 7 + c * 101); }

static uint8_t *make_file(int records, int label_bytes) {
  size_t size = (size_t)(label_bytes + PIXELS);
  uint8_t *file = malloc((size_t)records * size);
  assert_non_null(file);
  for (int n = 0; n < records; n++) {
    uint8_t *record = file + (size_t)n * size;
    if (label_bytes == 2) record[0] = (uint8_t)(n % 20);
    record[label_bytes - 1] = (uint8_t)(n % (label_bytes == 2 ? 100 : 10));
    for (int c = 0; c < 3; c++)
      for (int p = 0; p < PLANE; p++) record[label_bytes + c * PLANE + p] = value(n, p, c);
  }
  return file;
}

static int read_one(const char *path, int classes) {
  nn_tensor *x = NULL, *y = NULL, *z = NULL;
  int status = nn_cifar_read(&path, 1, classes, &x, &y, &z);
  if (status != NN_OK) assert_true(!x && !y && !z);
  nn_tensor_release(x);
  nn_tensor_release(y);
  nn_tensor_release(z);
  return status;
}

static void check_records(const nn_tensor *x, const nn_tensor *y, int from, int records, int classes) {
  const uint8_t *pixels = nn_tensor_data(x);
  const int32_t *label = nn_tensor_data(y);
  for (int n = 0; n < records; n++) {
    assert_int_equal(label[from + n], n % classes);
    for (int p = 0; p < PLANE; p++)
      for (int c = 0; c < 3; c++)
        if (pixels[(from + n) * PIXELS + p * 3 + c] != value(n, p, c))
          fail_msg("record %d, pixel %d, channel %d", n, p, c);
  }
}

static void two_files_of_ten(void **state) {
  (void)state;
  const char *paths[] = { scratch_path("one.bin"), scratch_path("two.bin") };
  uint8_t *file = make_file(RECORDS, 1);
  scratch_write(paths[0], file, (size_t)RECORDS * TEN);
  scratch_write(paths[1], file, (size_t)5 * TEN);
  free(file);
  nn_tensor *x = NULL, *y = NULL, *z = NULL;
  assert_int_equal(nn_cifar_read(paths, 2, 10, &x, &y, &z), NN_OK);
  assert_int_equal(nn_tensor_size(x, 0), RECORDS + 5);
  assert_int_equal(nn_tensor_size(x, 3), 3);
  assert_int_equal(nn_tensor_type(y), NN_INDEX);
  assert_null(z);
  check_records(x, y, 0, RECORDS, 10);
  check_records(x, y, RECORDS, 5, 10);
  nn_tensor_release(x);
  nn_tensor_release(y);
  unlink(paths[0]);
  unlink(paths[1]);
}

static void a_file_of_a_hundred(void **state) {
  (void)state;
  const char *path = scratch_path("train.bin");
  uint8_t *file = make_file(RECORDS, 2);
  scratch_write(path, file, (size_t)RECORDS * HUNDRED);
  free(file);
  nn_tensor *x = NULL, *y = NULL, *z = NULL;
  assert_int_equal(nn_cifar_read(&path, 1, 100, &x, &y, &z), NN_OK);
  check_records(x, y, 0, RECORDS, 100);
  for (int n = 0; n < RECORDS; n++) assert_int_equal(((const int32_t *)nn_tensor_data(z))[n], n % 20);
  nn_tensor_release(x);
  nn_tensor_release(y);
  nn_tensor_release(z);
  unlink(path);
}

static void short_files(void **state) {
  (void)state;
  const char *path = scratch_path("train.bin");
  uint8_t *file = make_file(3, 2);
  scratch_write(path, file, 2 * HUNDRED + 1032);
  ASSERT_FAILED(read_one(path, 100), NN_EFORMAT,
                "train.bin: record 2 is short: 3074 bytes expected, 1032 found at offset 6,148; the file ends there");
  scratch_write(path, file, 1);
  ASSERT_FAILED(read_one(path, 100), NN_EFORMAT, "record 0 is short: 3074 bytes expected, 1 found at offset 0");
  scratch_write(path, file, 0);
  ASSERT_FAILED(read_one(path, 100), NN_EFORMAT, "record 0 is short: 3074 bytes expected, 0 found at offset 0");
  scratch_write(path, file, 2 * HUNDRED);  /* of the other kind */
  ASSERT_FAILED(read_one(path, 10), NN_EFORMAT, "record 2 is short: 3073 bytes expected, 2 found at offset 6,146");
  free(file);
  unlink(path);
}

static void labels_out_of_range(void **state) {
  (void)state;
  const char *path = scratch_path("test.bin");
  uint8_t *file = make_file(3, 2);
  file[HUNDRED + 1] = 100;
  scratch_write(path, file, 3 * HUNDRED);
  ASSERT_FAILED(read_one(path, 100), NN_EFORMAT,
                "test.bin: label of record 1: 0 to 99 expected, found 100 at offset 3,075");
  file[HUNDRED] = 20;
  scratch_write(path, file, 3 * HUNDRED);
  ASSERT_FAILED(read_one(path, 100), NN_EFORMAT,
                "coarse label of record 1: 0 to 19 expected, found 20 at offset 3,074");
  free(file);
  file = make_file(3, 1);
  file[2 * TEN] = 255;
  scratch_write(path, file, 3 * TEN);
  ASSERT_FAILED(read_one(path, 10), NN_EFORMAT, "label of record 2: 0 to 9 expected, found 255 at offset 6,146");
  free(file);
  unlink(path);
}

static void what_is_no_file(void **state) {
  (void)state;
  ASSERT_FAILED(read_one(scratch_path("absent.bin"), 10), NN_EIO, "absent.bin: No such file");
  ASSERT_FAILED(read_one(scratch_folder, 10), NN_EIO, "not a regular file");
  ASSERT_FAILED(read_one(scratch_folder, 11), NN_EARGUMENT, "10 or 100 classes expected, got 11");
}

static void allocations_that_fail(void **state) {
  (void)state;
  const char *path = scratch_path("train.bin");
  uint8_t *file = make_file(2, 2);
  scratch_write(path, file, 2 * HUNDRED);
  free(file);
  nn_memory_stats before, after;
  nn_memory_get_stats(&before);
  int status = NN_EMEMORY;
  for (uint64_t n = 1; status != NN_OK; n++) {
    nn_memory_fail_at(n);
    status = read_one(path, 100);
    nn_memory_fail_at(0);
    nn_memory_get_stats(&after);
    assert_int_equal(after.live, before.live);
    assert_true(n < 100);
  }
  unlink(path);
}

static void cifar100(void **state) {
  (void)state;
  char path[512];
  const char *paths[] = { path };
  snprintf(path, sizeof path, "%s/cifar100/cifar-100-binary/test.bin", outside_data());
  if (access(path, R_OK) != 0) {
    print_message("%s is not there: not read\n", path);
    skip();
  }
  nn_tensor *x = NULL, *y = NULL, *z = NULL;
  assert_int_equal(nn_cifar_read(paths, 1, 100, &x, &y, &z), NN_OK);
  int64_t records = nn_tensor_size(x, 0);
  int count[100] = { 0 };
  for (int64_t i = 0; i < records; i++) count[((const int32_t *)nn_tensor_data(y))[i]]++;
  for (int c = 0; c < 100; c++) assert_int_equal(count[c], records / 100);
  double mean[3], deviation[3];
  assert_int_equal(nn_data_stats(x, mean, deviation), NN_OK);
  static const double whole[] = { 0.5071, 0.4865, 0.4409 };
  for (int c = 0; c < 3; c++) assert_true(mean[c] > whole[c] - 0.01 && mean[c] < whole[c] + 0.01);
  nn_tensor_release(x);
  nn_tensor_release(y);
  nn_tensor_release(z);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(two_files_of_ten),
    cmocka_unit_test(a_file_of_a_hundred),
    cmocka_unit_test(short_files),
    cmocka_unit_test(labels_out_of_range),
    cmocka_unit_test(what_is_no_file),
    cmocka_unit_test(allocations_that_fail),
    cmocka_unit_test(cifar100),
  };
  return cmocka_run_group_tests_name("cifar", tests, scratch_open, scratch_close);
}
