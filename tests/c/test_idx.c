/* test_idx.c -- reading IDX files, whole and damaged. */
#include "scratch.h"

#include <zlib.h>

enum { IMAGES = 3, SIDE = 2, HEADER = 16, SIZE = HEADER + IMAGES * SIDE * SIDE };

static const uint8_t images_file[SIZE] = { 0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2,
                                           0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 128, 255 };
static const uint8_t labels_file[] = { 0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1 };

static void write_packed(const char *path, const void *bytes, unsigned size) {
  gzFile stream = gzopen(path, "wb");
  assert_non_null(stream);
  assert_int_equal(gzwrite(stream, bytes, size), size);
  assert_int_equal(gzclose(stream), Z_OK);
}

static int read_bytes(const void *bytes, size_t size) {
  const char *path = scratch_path("file");
  nn_tensor *t = NULL;
  scratch_write(path, bytes, size);
  int status = nn_idx_read(path, &t);
  unlink(path);
  if (status != NN_OK) assert_null(t);
  nn_tensor_release(t);
  return status;
}

static void check_images(const char *path) {
  nn_tensor *t = NULL;
  assert_int_equal(nn_idx_read(path, &t), NN_OK);
  assert_int_equal(nn_tensor_type(t), NN_UINT8);
  assert_int_equal(nn_tensor_axes(t), 3);
  assert_int_equal(nn_tensor_size(t, 0), IMAGES);
  assert_int_equal(nn_tensor_size(t, 2), SIDE);
  assert_memory_equal(nn_tensor_data(t), images_file + HEADER, SIZE - HEADER);
  nn_tensor_release(t);
}

static void reads_raw_and_packed(void **state) {
  (void)state;
  const char *path = scratch_path("images");
  scratch_write(path, images_file, SIZE);
  check_images(path);
  write_packed(path, images_file, SIZE);
  check_images(path);
  unlink(path);
}

static void a_packed_file_larger_than_one_step(void **state) {
  (void)state;
  const char *path = scratch_path("large");
  enum { BYTES = 5000000 };
  uint8_t *file = malloc(8 + BYTES);
  memcpy(file, (uint8_t[]){ 0, 0, 8, 1, BYTES >> 24, BYTES >> 16 & 255, BYTES >> 8 & 255, BYTES & 255 }, 8);
  for (int i = 0; i < BYTES; i++) file[8 + i] = (uint8_t)(i * 7 + i / 251);
  write_packed(path, file, 8 + BYTES);
  nn_tensor *t = NULL;
  assert_int_equal(nn_idx_read(path, &t), NN_OK);
  assert_int_equal(nn_tensor_count(t), BYTES);
  assert_memory_equal(nn_tensor_data(t), file + 8, BYTES);
  nn_tensor_release(t);
  unlink(path);
  free(file);
}

static void every_truncation_is_told(void **state) {
  (void)state;
  static const char *const field[] = { "magic number", "size of axis 1", "size of axis 2", "size of axis 3" };
  for (size_t size = 0; size < SIZE; size++) {
    const char *name = size < HEADER ? field[size / 4] : "elements: 12 bytes expected at offset 16";
    ASSERT_FAILED(read_bytes(images_file, size), NN_EFORMAT, "file: ", name, "the file ends there");
  }
}

static void every_truncation_of_a_packed_file_is_told(void **state) {
  (void)state;
  const char *path = scratch_path("packed");
  size_t size;
  write_packed(path, images_file, SIZE);
  uint8_t *whole = scratch_read(path, &size);
  unlink(path);
  for (size_t cut = 0; cut < size; cut++) ASSERT_FAILED(read_bytes(whole, cut), NN_EFORMAT, "file: ");
  assert_int_equal(read_bytes(whole, size), NN_OK);
  whole[size - 8] ^= 1;  /* the checksum */
  ASSERT_FAILED(read_bytes(whole, size), NN_EFORMAT, "compressed data is damaged");
  free(whole);
}

static void wrong_headers_are_told(void **state) {
  (void)state;
  static const struct {
    size_t at;
    uint8_t value;
    const char *says;
  } wrong[] = {
    { 0, 0x50, "magic number: an IDX file starts with 00 00, found 50 00" },
    { 1, 1, "magic number: an IDX file starts with 00 00, found 00 01" },
    { 2, 0x0d, "element type: 0x08 (unsigned byte) expected, found 0x0d (float) at offset 2" },
    { 2, 0x77, "found 0x77 at offset 2" },
    { 3, 0, "number of axes: 1 to 4 expected, found 0" },
    { 3, 5, "number of axes: 1 to 4 expected, found 5" },
    { 7, 0, "size of axis 1 is 0 at offset 4" },
    { 7, 4, "elements: 16 bytes expected at offset 16, 12 found" },
    { 7, 2, "more data than the header declares: the elements end at offset 24" },
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    uint8_t bytes[SIZE];
    memcpy(bytes, images_file, SIZE);
    bytes[wrong[i].at] = wrong[i].value;
    ASSERT_FAILED(read_bytes(bytes, SIZE), NN_EFORMAT, wrong[i].says);
  }
}

/* Whatever is changed in a packed file, the reader ends with a tensor or a message. */
static void random_damage(void **state) {
  (void)state;
  const char *path = scratch_path("packed");
  size_t size;
  write_packed(path, images_file, SIZE);
  uint8_t *whole = scratch_read(path, &size), *bytes = malloc(size);
  unlink(path);
  for (uint64_t n = 0; n < 3000; n++) {
    uint32_t draw[4];
    nn_random_block(1, 2, n, draw);
    memcpy(bytes, whole, size);
    for (int k = 0; k <= (int)(draw[3] % 3); k++) bytes[draw[k] % size] = (uint8_t)(draw[k] >> 16);
    int status = read_bytes(bytes, size);
    assert_true(status == NN_OK || status == NN_EFORMAT);
  }
  free(whole);
  free(bytes);
}

/* A header that declares 2^30 and 2^124 bytes, raw and packed, must not cost that memory. */
static void hostile_sizes_cost_no_memory(void **state) {
  (void)state;
  static const uint8_t large[] = { 0, 0, 8, 3, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 1, 2, 3 };
  static const uint8_t huge[] = { 0, 0, 8, 4, 0x7f, 255, 255, 255, 0x7f, 255, 255, 255, 0x7f, 255, 255, 255,
                                  0x7f, 255, 255, 255, 1 };
  const char *path = scratch_path("hostile");
  nn_memory_stats stats;
  nn_tensor *t = NULL;
  nn_memory_reset_peak();
  nn_memory_get_stats(&stats);
  size_t before = stats.live;
  ASSERT_FAILED(read_bytes(large, sizeof large), NN_EFORMAT, "1,073,741,824 bytes expected at offset 16, 3 found");
  ASSERT_FAILED(read_bytes(huge, sizeof huge), NN_EFORMAT, "size of axis 3", "larger than memory can be");
  write_packed(path, large, sizeof large);
  ASSERT_FAILED(nn_idx_read(path, &t), NN_EFORMAT,
                "1,073,741,824 bytes expected at offset 16 of the unpacked data, 3 found");
  unlink(path);
  nn_memory_get_stats(&stats);
  assert_true(stats.peak - before <= 4 << 20);
}

/* Zeros that compress a thousandfold. */
static void bombs_are_told(void **state) {
  (void)state;
  enum { ZEROS = 80 << 20 };
  static const uint8_t zeros[1 << 20], header[] = { 0, 0, 8, 1, 5, 0, 0, 0 };
  const char *path = scratch_path("bomb.gz");
  nn_tensor *t = NULL;
  gzFile stream = gzopen(path, "wb9");
  assert_int_equal(gzwrite(stream, header, sizeof header), sizeof header);
  for (int i = 0; i < ZEROS; i += sizeof zeros) assert_int_equal(gzwrite(stream, zeros, sizeof zeros), sizeof zeros);
  assert_int_equal(gzclose(stream), Z_OK);
  ASSERT_FAILED(nn_idx_read(path, &t), NN_EFORMAT, "bomb.gz: elements: unpacks to more than 200 times",
                "as a bomb does");
  unlink(path);
}

static int read_pair(const void *images, size_t images_size, const void *labels, size_t labels_size, int64_t *classes) {
  const char *x_path = scratch_path("x"), *y_path = scratch_path("y");
  nn_tensor *x = NULL, *y = NULL;
  scratch_write(x_path, images, images_size);
  scratch_write(y_path, labels, labels_size);
  int status = nn_idx_read_pair(x_path, y_path, classes, &x, &y);
  unlink(x_path);
  unlink(y_path);
  if (status == NN_OK) {
    assert_int_equal(nn_tensor_axes(x), 4);
    assert_int_equal(nn_tensor_size(x, 3), 1);
    assert_int_equal(nn_tensor_type(y), NN_INDEX);
    assert_int_equal(((const int32_t *)nn_tensor_data(y))[0], 2);
  }
  nn_tensor_release(x);
  nn_tensor_release(y);
  return status;
}

static void pairs(void **state) {
  (void)state;
  int64_t classes = 0;
  assert_int_equal(read_pair(images_file, SIZE, labels_file, sizeof labels_file, &classes), NN_OK);
  assert_int_equal(classes, 3);
  classes = 2;
  ASSERT_FAILED(read_pair(images_file, SIZE, labels_file, sizeof labels_file, &classes), NN_EFORMAT,
                "label of record 0: 0 to 1 expected, found 2 at offset 8");
  static const uint8_t two[] = { 0, 0, 8, 1, 0, 0, 0, 2, 2, 0 };
  classes = 0;
  ASSERT_FAILED(read_pair(images_file, SIZE, two, sizeof two, &classes), NN_EFORMAT, "/x holds 3 images",
                "/y holds 2 labels");
  ASSERT_FAILED(read_pair(labels_file, sizeof labels_file, labels_file, sizeof labels_file, &classes), NN_EFORMAT,
                "images have 3 or 4, found 1");
  ASSERT_FAILED(read_pair(images_file, SIZE, images_file, SIZE, &classes), NN_EFORMAT, "labels have 1, found 3");
}

static void what_is_no_file(void **state) {
  (void)state;
  nn_tensor *t = NULL;
  ASSERT_FAILED(nn_idx_read(scratch_path("absent"), &t), NN_EIO, "absent: No such file");
  ASSERT_FAILED(nn_idx_read(scratch_folder, &t), NN_EIO, "not a regular file");
}

static void allocations_that_fail(void **state) {
  (void)state;
  const char *path = scratch_path("images");
  write_packed(path, images_file, SIZE);
  nn_memory_stats before, after;
  nn_memory_get_stats(&before);
  int status = NN_EMEMORY, tries = 0;
  for (uint64_t n = 1; status != NN_OK; n++, tries++) {
    nn_tensor *t = NULL;
    nn_memory_fail_at(n);
    status = nn_idx_read(path, &t);
    nn_memory_fail_at(0);
    nn_tensor_release(t);
    nn_memory_get_stats(&after);
    assert_int_equal(after.live, before.live);
    assert_true(n < 100);
  }
  assert_true(tries > 1);
  unlink(path);
}

static void mnist(void **state) {
  (void)state;
  char images[512], labels[512];
  snprintf(images, sizeof images, "%s/mnist/train-images-idx3-ubyte.gz", outside_data());
  snprintf(labels, sizeof labels, "%s/mnist/train-labels-idx1-ubyte.gz", outside_data());
  nn_tensor *x = NULL, *y = NULL;
  int64_t classes = 10;
  if (access(images, R_OK) != 0) {
    print_message("%s is not there: not read\n", images);
    skip();
  }
  assert_int_equal(nn_idx_read_pair(images, labels, &classes, &x, &y), NN_OK);
  assert_int_equal(nn_tensor_size(x, 0), 60000);
  static const int expected[10] = { 5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949 };
  int count[10] = { 0 };
  const int32_t *label = nn_tensor_data(y);
  for (int i = 0; i < 60000; i++) count[label[i]]++;
  assert_memory_equal(count, expected, sizeof count);
  double mean, deviation;
  assert_int_equal(nn_data_stats(x, &mean, &deviation), NN_OK);
  assert_true(mean > 0.13065 && mean < 0.13067 && deviation > 0.30810 && deviation < 0.30812);
  nn_tensor_release(x);
  nn_tensor_release(y);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(reads_raw_and_packed),
    cmocka_unit_test(a_packed_file_larger_than_one_step),
    cmocka_unit_test(every_truncation_is_told),
    cmocka_unit_test(every_truncation_of_a_packed_file_is_told),
    cmocka_unit_test(wrong_headers_are_told),
    cmocka_unit_test(random_damage),
    cmocka_unit_test(hostile_sizes_cost_no_memory),
    cmocka_unit_test(bombs_are_told),
    cmocka_unit_test(pairs),
    cmocka_unit_test(what_is_no_file),
    cmocka_unit_test(allocations_that_fail),
    cmocka_unit_test(mnist),
  };
  return cmocka_run_group_tests_name("idx", tests, scratch_open, scratch_close);
}
