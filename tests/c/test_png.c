/* test_png.c -- PNG: images written and read back by libpng; windows, damaged and hostile files. What the pixels of
 * each kind of file are is for tests/parity.
 */
#include "pictures.h"

#include <math.h>
#include <png.h>
#include <zlib.h>

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
  ASSERT_FAILED(nn_image_save(scratch_path("no/image.png"), grey, &png), NN_EIO,
                "no/image.png: cannot be written: No such");
  assert_int_not_equal(access(path, F_OK), 0);
  nn_tensor_release(two);
  nn_tensor_release(empty);
  nn_tensor_release(index);
  nn_tensor_release(grey);
}

/* ---- reading ---- */

static void windows_of(const char *name, const nni_bytes *file) {
  check_windows(name, file, (nni_decode){ 0 }, 20);
  check_windows(name, file, (nni_decode){ .channels = 1, .raw_orientation = true }, 5);
  check_windows(name, file, (nni_decode){ .channels = 4, .deep = true, .scale = 4 }, 5);
}

static void a_window_has_the_pixels_of_the_whole(void **state) {
  (void)state;
  each_fixture(".png", windows_of);
}

/* Of 16 bits, the upper 8: what everybody does. */
static void deep_pictures_as_bytes(void **state) {
  (void)state;
  static const char *const names[] = { "rgb16.png", "grey16-interlaced.png", "rgba16.png" };
  for (int i = 0; i < 3; i++) {
    nni_bytes file = fixture(names[i]);
    nni_picture deep = { 0 }, bytes = { 0 };
    assert_int_equal(nni_image_decode("x", file.data, file.size, &(nni_decode){ .deep = true }, &deep), NN_OK);
    assert_int_equal(nni_image_decode("x", file.data, file.size, &(nni_decode){ 0 }, &bytes), NN_OK);
    assert_int_equal(deep.depth, 16);
    assert_int_equal(bytes.depth, 8);
    assert_int_equal(deep.channels, bytes.channels);
    for (int64_t k = 0; k < bytes.height * bytes.width * bytes.channels; k++)
      assert_int_equal(bytes.pixels[k], ((const uint16_t *)(void *)deep.pixels)[k] >> 8);
    nni_picture_free(&deep);
    nni_picture_free(&bytes);
    nni_bytes_free(&file);
  }
}

static void what_a_header_says(void **state) {
  (void)state;
  nni_bytes file = fixture("exif8-interlaced.png");
  nn_image_about about;
  assert_int_equal(nni_image_info("x", file.data, file.size, &about), NN_OK);
  assert_int_equal(about.format, NN_PNG);
  assert_int_equal(about.height, 8);
  assert_int_equal(about.width, 5);
  assert_int_equal(about.channels, 3);
  assert_int_equal(about.depth, 8);
  assert_int_equal(about.orientation, 8);
  assert_true(about.progressive);
  nni_bytes_free(&file);
}

/* ---- damaged and hostile ---- */

static void every_beginning_is_refused(void **state) {
  (void)state;
  static const char *const names[] = { "rgb8.png", "rgb8-interlaced.png", "palette4-clear.png", "grey1.png" };
  for (int i = 0; i < 4; i++) {
    nni_bytes file = fixture(names[i]);
    check_truncated(&file);
    nni_bytes_free(&file);
  }
}

static uint8_t *put32(uint8_t *to, size_t value) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (24 - 8 * i));
  return to + 4;
}

/* Sets the checksum of the chunk whose length starts at `at`, if it is whole. */
static void seal(uint8_t *bytes, size_t size, size_t at) {
  size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 | bytes[at + 3];
  if (length <= size - at - 12) put32(bytes + at + 8 + length, crc32(0, bytes + at + 4, (uInt)length + 4));
}

static size_t next_chunk(const uint8_t *bytes, size_t at) {
  return at + 12 + ((size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 | bytes[at + 3]);
}

/* With right checksums, changed bytes get past the first test. */
static void flip_bytes_of(const char *name, const nni_bytes *file) {
  (void)name;
  check_flipped(file, 50);
  nni_bytes copy = { 0 };
  for (int64_t i = 0; i < 100; i++) {
    copy.size = 0;
    assert_int_equal(nni_bytes_add(&copy, file->data, file->size), NN_OK);
    int64_t place = drawn(90000 + 2 * (uint64_t)i, (int64_t)file->size - 8);
    copy.data[8 + place] = (uint8_t)drawn(90001 + 2 * (uint64_t)i, 256);
    for (size_t at = 8; at + 12 <= copy.size; at = next_chunk(copy.data, at)) seal(copy.data, copy.size, at);
    int status = try_decode(copy.data, copy.size, &(nni_decode){ .max_pixels = 1 << 20, .deep = i % 2 });
    assert_true(status == NN_OK || status == NN_EFORMAT);
  }
  nni_bytes_free(&copy);
}

static void changed_bytes_do_no_harm(void **state) {
  (void)state;
  each_fixture(".png", flip_bytes_of);
}

static void memory_may_run_out(void **state) {
  (void)state;
  nni_bytes file = fixture("exif8-interlaced.png");
  check_memory(&file, &(nni_decode){ .channels = 1 });
  check_memory(&file, &(nni_decode){ .window = true, .top = 1, .left = 1, .height = 2, .width = 2 });
  nni_bytes_free(&file);
}

/* rgb8.png with other sides. */
static int declared(size_t height, size_t width, int64_t max_pixels) {
  nni_bytes file = fixture("rgb8.png");
  put32(put32(file.data + 16, width), height);
  seal(file.data, file.size, 8);
  int status = try_decode(file.data, file.size, &(nni_decode){ .max_pixels = max_pixels });
  nni_bytes_free(&file);
  return status;
}

static void sizes_are_limited(void **state) {
  (void)state;
  assert_int_equal(declared(11, 13, 143), NN_OK);
  ASSERT_FAILED(declared(11, 13, 142), NN_EFORMAT, "x: 13x11 pixels are more than max_pixels = 142");
  ASSERT_FAILED(declared(0x7fffffff, 0x7fffffff, 0), NN_EFORMAT, "x: 2147483647x2147483647 pixels are more than");
  ASSERT_FAILED(declared(0x7fffffff, 0x7fffffff, INT64_MAX), NN_EFORMAT,
                "x: png: 2147483647x2147483647 pixels declared");
  ASSERT_FAILED(declared(10000, 10000, 0), NN_EFORMAT, "x: png: 10000x10000 pixels declared, more than");
  ASSERT_FAILED(declared(0, 13, 0), NN_EFORMAT, "x: png: ");
  ASSERT_FAILED(declared(12, 13, 0), NN_EFORMAT, "x: png: ");
  ASSERT_FAILED(declared(0x80000001, 13, 0), NN_EFORMAT, "x: png: ");
}

/* rgb8.png with a chunk of its own behind the header. */
static int with_chunk(const char *name, const void *data, size_t size) {
  nni_bytes file = fixture("rgb8.png"), out = { 0 };
  size_t at = next_chunk(file.data, 8);
  uint8_t head[8];
  put32(head, size);
  memcpy(head + 4, name, 4);
  nni_bytes_add(&out, file.data, at);
  nni_bytes_add(&out, head, 8);
  nni_bytes_add(&out, data, size);
  nni_bytes_add(&out, "crc.", 4);
  seal(out.data, out.size, at);
  nni_bytes_add(&out, file.data + at, file.size - at);
  int status = try_decode(out.data, out.size, &(nni_decode){ 0 });
  nni_bytes_free(&file);
  nni_bytes_free(&out);
  return status;
}

static void chunks(void **state) {
  (void)state;
  static const char noise[] = "a profile that is none\0\0and much more";
  static const char *const unread[] = { "iCCP", "zTXt", "iTXt", "gAMA", "eXIf", "sPLT", "abCd" };
  for (int i = 0; i < 7; i++) assert_int_equal(with_chunk(unread[i], noise, sizeof noise), NN_OK);
  ASSERT_FAILED(with_chunk("ABCD", noise, sizeof noise), NN_EFORMAT, "x: png: ", "ABCD", " at offset ");
  ASSERT_FAILED(with_chunk("IEND", noise, 0), NN_EFORMAT, "x: png: ");
  nni_bytes file = fixture("rgb8.png");
  file.data[next_chunk(file.data, 8) + 20] ^= 1;  /* in the pixels */
  ASSERT_FAILED(try_decode(file.data, file.size, &(nni_decode){ 0 }), NN_EFORMAT, "x: png: ", " at offset ");
  nni_bytes_free(&file);
}

static void files_that_cannot_be_read(void **state) {
  (void)state;
  nn_tensor *t = NULL;
  const char *path = scratch_path("a.png");
  scratch_write(path, "\x89PNG\r\n\x1a\n", 8);
  ASSERT_FAILED(nn_image_load(path, NULL, &t), NN_EFORMAT, "a.png: png: the file ends early at offset 8");
  scratch_write(path, "\x89PNG\n\x1a\n", 7);
  ASSERT_FAILED(nn_image_load(path, NULL, &t), NN_EFORMAT, "a.png: a PNG or JPEG picture expected; it does not start");
  assert_null(t);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(bytes_stay_bytes),
    cmocka_unit_test(floats_are_rounded_and_clipped),
    cmocka_unit_test(a_view_is_saved_as_it_looks),
    cmocka_unit_test(what_is_no_image),
    cmocka_unit_test(a_window_has_the_pixels_of_the_whole),
    cmocka_unit_test(deep_pictures_as_bytes),
    cmocka_unit_test(what_a_header_says),
    cmocka_unit_test(every_beginning_is_refused),
    cmocka_unit_test(changed_bytes_do_no_harm),
    cmocka_unit_test(memory_may_run_out),
    cmocka_unit_test(sizes_are_limited),
    cmocka_unit_test(chunks),
    cmocka_unit_test(files_that_cannot_be_read),
  };
  return cmocka_run_group_tests_name("png", tests, scratch_open, scratch_close);
}
