/* test_png.c -- images written as PNG files, read back by libpng. */
#include "scratch.h"

#include <math.h>
#include <png.h>

static const nn_image_encoding png = { .format = NN_PNG };

/* Writes the image, reads the file back as `channels` bytes a pixel and compares. */
static void check_saved(nn_tensor *image, int width, int height, int channels, const uint8_t *expected) {
  const char *path = scratch_path("image.png");
  assert_int_equal(nn_image_save(path, image, &png), NN_OK);
  png_image read = { .version = PNG_IMAGE_VERSION };
  assert_true(png_image_begin_read_from_file(&read, path));
  unsigned kind = read.format & (PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA);
  assert_int_equal(kind, channels == 1 ? 0 : channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA);
  assert_int_equal(read.width, width);
  assert_int_equal(read.height, height);
  uint8_t *pixels = malloc(PNG_IMAGE_SIZE(read));
  assert_true(png_image_finish_read(&read, NULL, pixels, 0, NULL));
  assert_memory_equal(pixels, expected, (size_t)(width * height * channels));
  free(pixels);
  unlink(path);
}

static void bytes_stay_bytes(void **state) {
  (void)state;
  static const int channels[] = { 1, 3, 4 };
  for (int k = 0; k < 3; k++) {
    nn_tensor *image = nn_tensor_new(NN_UINT8, 3, (int64_t[]){ 5, 7, channels[k] });
    uint8_t *pixels = nn_tensor_write(image);
    for (int64_t i = 0; i < nn_tensor_count(image); i++) pixels[i] = (uint8_t)(i * 37 + 11);
    check_saved(image, 7, 5, channels[k], pixels);
    nn_tensor_release(image);
  }
}

static void floats_are_rounded_and_clipped(void **state) {
  (void)state;
  nn_tensor *image = nn_tensor_new(NN_REAL, 2, (int64_t[]){ 1, 8 });
  static const nn_real values[] = { 0, 1, -0.5, 1.5, (nn_real)0.5, (nn_real)(100.4 / 255), (nn_real)(100.6 / 255), 0 };
  memcpy(nn_tensor_write(image), values, sizeof values);
  ((nn_real *)nn_tensor_write(image))[7] = (nn_real)NAN;
  static const uint8_t expected[] = { 0, 255, 0, 255, 128, 100, 101, 0 };
  check_saved(image, 8, 1, 1, expected);
  nn_tensor_release(image);
}

static void a_view_is_saved_as_it_looks(void **state) {
  (void)state;
  nn_tensor *batch = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ 2, 1, 2, 3 });
  uint8_t *pixels = nn_tensor_write(batch);
  for (int i = 0; i < 12; i++) pixels[i] = (uint8_t)(i * 20);
  nn_tensor *second = nn_tensor_row(batch, 1);
  check_saved(second, 2, 1, 3, pixels + 6);
  nn_tensor_release(second);
  nn_tensor_release(batch);
}

static void what_is_no_image(void **state) {
  (void)state;
  const char *path = scratch_path("image.png");
  nn_tensor *two = nn_tensor_zeros(NN_UINT8, 3, (int64_t[]){ 4, 4, 2 });
  nn_tensor *empty = nn_tensor_zeros(NN_UINT8, 3, (int64_t[]){ 0, 4, 3 });
  nn_tensor *index = nn_tensor_zeros(NN_INDEX, 2, (int64_t[]){ 4, 4 });
  nn_tensor *grey = nn_tensor_zeros(NN_UINT8, 2, (int64_t[]){ 4, 4 });
  ASSERT_FAILED(nn_image_save(path, two, &png), NN_ESHAPE, "1, 3 or 4 channels expected, got [4x4x2]");
  ASSERT_FAILED(nn_image_save(path, empty, &png), NN_ESHAPE, "got [0x4x3]");
  ASSERT_FAILED(nn_image_save(path, index, &png), NN_ETYPE, "got index");
  ASSERT_FAILED(nn_image_save(scratch_path("no/image.png"), grey, &png), NN_EIO, "no/image.png: cannot be written: No such");
  assert_int_not_equal(access(path, F_OK), 0);
  nn_tensor_release(two);
  nn_tensor_release(empty);
  nn_tensor_release(index);
  nn_tensor_release(grey);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(bytes_stay_bytes),
    cmocka_unit_test(floats_are_rounded_and_clipped),
    cmocka_unit_test(a_view_is_saved_as_it_looks),
    cmocka_unit_test(what_is_no_image),
  };
  return cmocka_run_group_tests_name("png", tests, scratch_open, scratch_close);
}
