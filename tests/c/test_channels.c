/* test_channels.c -- images with another number of channels, and the sizes of picture files. */
#include "scratch.h"

static nn_tensor *images_of(int64_t count, int64_t height, int64_t width, int64_t channels) {
  nn_tensor *t = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ count, height, width, channels });
  uint8_t *p = nn_tensor_write(t);
  for (int64_t i = 0; i < nn_tensor_count(t); i++) p[i] = (uint8_t)(i * 37 + i / 11);
  return t;
}

static void channels_are_repeated_or_made_grey(void **state) {
  (void)state;
  nn_tensor *grey = images_of(3, 2, 5, 1), *colour = NULL, *back = NULL;
  assert_int_equal(nn_data_channels(grey, 3, &colour), NN_OK);
  const uint8_t *g = nn_tensor_data(grey), *c = nn_tensor_data(colour);
  for (int i = 0; i < 30; i++)
    for (int k = 0; k < 3; k++) assert_int_equal(c[3 * i + k], g[i]);
  assert_int_equal(nn_data_channels(colour, 1, &back), NN_OK);
  assert_memory_equal(nn_tensor_data(back), g, 30);
  nn_tensor_release(back);
  memcpy(nn_tensor_write(colour), "\377\0\0\0\377\0\0\0\377", 9);
  assert_int_equal(nn_data_channels(colour, 1, &back), NN_OK);
  assert_memory_equal(nn_tensor_data(back), "\114\226\035", 3);  /* 76, 150, 29: Pillow's */
  nn_tensor_release(back);
  nn_tensor_release(colour);
  nn_tensor_release(grey);
}

static void other_images_are_told(void **state) {
  (void)state;
  nn_tensor *x = images_of(2, 4, 7, 3), *y = NULL;
  ASSERT_FAILED(nn_data_channels(x, 2, &y), NN_EARGUMENT, "1 or 3 expected, got 2");
  assert_int_equal(nn_data_channels(x, 3, &y), NN_OK);
  assert_ptr_equal(x, y);
  nn_tensor_release(y);
  nn_tensor_release(x);
  x = images_of(2, 4, 7, 2);
  ASSERT_FAILED(nn_data_channels(x, 3, &y), NN_ESHAPE, "with 1 or 3 channels expected, got uint8 [2x4x7x2]");
  nn_tensor_release(x);
}

static void sizes_of_files(void **state) {
  (void)state;
  nn_files *f = nn_files_new(scratch_path(""));
  nn_files_sizes sizes;
  ASSERT_FAILED(nn_files_survey(f, &sizes), NN_EARGUMENT, "the list is empty");
  static const struct {
    const char *name;
    int64_t height, width, channels;
  } pictures[] = { { "1.png", 3, 4, 1 }, { "2.png", 3, 4, 3 }, { "3.png", 5, 4, 1 } };
  nn_image_encoding png = { .format = NN_PNG };
  for (int i = 0; i < 3; i++) {
    nn_tensor *t = images_of(1, pictures[i].height, pictures[i].width, pictures[i].channels);
    nn_tensor *image = nn_tensor_row(t, 0);
    assert_int_equal(nn_image_save(scratch_path(pictures[i].name), image, &png), NN_OK);
    assert_int_equal(nn_files_add(f, pictures[i].name, 0), NN_OK);
    nn_tensor_release(image);
    nn_tensor_release(t);
    assert_int_equal(nn_files_survey(f, &sizes), NN_OK);
    assert_int_equal(sizes.height, 3);
    assert_int_equal(sizes.width, 4);
    assert_int_equal(sizes.channels, i == 0 ? 1 : 3);
    assert_int_equal(sizes.other, i == 2 ? 2 : -1);
    assert_int_equal(sizes.bad, 0);
  }
  assert_int_equal(sizes.other_height, 5);
  scratch_write(scratch_path("2.png"), "no picture", 10);
  assert_int_equal(nn_files_survey(f, &sizes), NN_OK);
  assert_int_equal(sizes.bad, 1);
  assert_int_equal(sizes.first_bad, 1);
  assert_int_equal(sizes.channels, 1);
  scratch_write(scratch_path("1.png"), "", 0);
  unlink(scratch_path("3.png"));
  ASSERT_FAILED(nn_files_survey(f, &sizes), NN_EFORMAT, "1.png: ");
  nn_files_release(f);
  unlink(scratch_path("1.png"));
  unlink(scratch_path("2.png"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(channels_are_repeated_or_made_grey),
    cmocka_unit_test(other_images_are_told),
    cmocka_unit_test(sizes_of_files),
  };
  return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
