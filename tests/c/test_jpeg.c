/* test_jpeg.c -- JPEG: windows, encoding, damaged and hostile files. What the pixels are is for tests/parity. */
#include "pictures.h"

#include <math.h>
#include <sys/stat.h>

static const nni_decode plainly = { 0 };

/* ---- windows ---- */

static void windows_of(const char *name, const nni_bytes *file) {
  static const int scales[] = { 1, 2, 4, 8 };
  for (int i = 0; i < 4; i++) check_windows(name, file, (nni_decode){ .scale = scales[i] }, i == 0 ? 60 : 15);
  check_windows(name, file, (nni_decode){ .raw_orientation = true, .channels = 1 }, 10);
  check_windows(name, file, (nni_decode){ .channels = 4 }, 10);
}

static void a_window_has_the_pixels_of_the_whole(void **state) {
  (void)state;
  each_fixture(".jpg", windows_of);
}

static void a_window_has_the_pixels_of_the_whole_photograph(void **state) {
  (void)state;
  char folder[512], path[1200];
  snprintf(folder, sizeof folder, "%s/imagenet-sample/images", outside_data());
  DIR *classes = opendir(folder);
  if (!classes) {
    print_message("PENUMBRA_DATA has no imagenet-sample\n");
    skip();
    return;
  }
  struct dirent *class, *entry;
  int files = 0, grey = 0;
  while ((class = readdir(classes))) {
    if (class->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, class->d_name);
    DIR *inside = opendir(path);
    while (inside && (entry = readdir(inside))) {
      if (entry->d_name[0] == '.') continue;
      nn_image_about about;
      snprintf(path, sizeof path, "%s/%s/%s", folder, class->d_name, entry->d_name);
      nni_bytes file = picture_bytes(path);
      assert_int_equal(nni_image_info(path, file.data, file.size, &about), NN_OK);
      grey += about.channels == 1;
      check_windows(path, &file, (nni_decode){ .channels = 3 }, 3);
      check_windows(path, &file, (nni_decode){ .scale = 2 }, 1);
      nni_bytes_free(&file);
      files++;
    }
    closedir(inside);
  }
  closedir(classes);
  assert_int_equal(files, 200);
  assert_int_equal(grey, 10);
}

/* Places of odd.txt that turn the picture or do not. */
static void orientation_turns_sides(void **state) {
  (void)state;
  nni_bytes file = fixture("exif6.jpg");
  nn_image_about about;
  assert_int_equal(nni_image_info("x", file.data, file.size, &about), NN_OK);
  assert_int_equal(about.format, NN_JPEG);
  assert_int_equal(about.height, 20);
  assert_int_equal(about.width, 9);
  assert_int_equal(about.orientation, 6);
  nni_picture raw = { 0 }, upright = { 0 };
  nni_decode lying = { .raw_orientation = true };
  assert_int_equal(nni_image_decode("x", file.data, file.size, &lying, &raw), NN_OK);
  assert_int_equal(nni_image_decode("x", file.data, file.size, &plainly, &upright), NN_OK);
  assert_int_equal(raw.height, 9);
  assert_int_equal(upright.height, 20);
  /* the camera's lower left corner is the upright picture's upper left one */
  assert_memory_equal(upright.pixels, raw.pixels + 8 * 20 * 3, 3);
  nni_picture_free(&raw);
  nni_picture_free(&upright);
  nni_bytes_free(&file);
}

/* ---- encoding ---- */

static nn_tensor *drawn_picture(int64_t height, int64_t width, int64_t channels) {
  nn_tensor *t = nn_tensor_new(NN_UINT8, 3, (int64_t[]){ height, width, channels });
  uint8_t *p = nn_tensor_write(t);
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++)
      for (int64_t c = 0; c < channels; c++)
        *p++ = (uint8_t)(127.5 + 60 * sin(0.1 * (double)(x + 20 * c)) + 60 * cos(0.07 * (double)y));
  return t;
}

/* The largest difference after writing and reading; the file's size in *size. */
static int written_apart(nn_tensor *image, const nn_image_encoding *how, int64_t *size) {
  nn_tensor *bytes, *back;
  assert_int_equal(nn_image_encode(image, how, &bytes), NN_OK);
  *size = nn_tensor_count(bytes);
  assert_int_equal(nn_image_decode("x", nn_tensor_data(bytes), (size_t)*size, NULL, &back), NN_OK);
  assert_int_equal(nn_tensor_count(back), nn_tensor_count(image));
  const uint8_t *a = nn_tensor_data(image), *b = nn_tensor_data(back);
  int apart = 0;
  for (int64_t i = 0; i < nn_tensor_count(image); i++) apart = abs(a[i] - b[i]) > apart ? abs(a[i] - b[i]) : apart;
  nn_tensor_release(bytes);
  nn_tensor_release(back);
  return apart;
}

static void what_is_written_is_read(void **state) {
  (void)state;
  int64_t coarse, fine, size;
  for (int channels = 1; channels <= 3; channels += 2) {
    nn_tensor *image = drawn_picture(61, 83, channels);
    nn_image_encoding how = { .format = NN_JPEG, .quality = 95, .chroma = NN_CHROMA_444 };
    assert_true(written_apart(image, &how, &fine) <= 8);
    how.progressive = true;
    assert_true(written_apart(image, &how, &size) <= 8);
    how.progressive = false;
    how.quality = 30;
    assert_true(written_apart(image, &how, &coarse) <= 60);
    assert_true(coarse < fine);
    nn_tensor_release(image);
  }
  nn_tensor *image = drawn_picture(64, 64, 3);
  int64_t sizes[3];
  for (int chroma = NN_CHROMA_444; chroma <= NN_CHROMA_420; chroma++) {
    nn_image_encoding how = { .format = NN_JPEG, .quality = 90, .chroma = (nn_chroma)chroma };
    assert_true(written_apart(image, &how, &sizes[chroma]) <= 20);
  }
  assert_true(sizes[0] > sizes[1] && sizes[1] > sizes[2]);
  nn_tensor_release(image);
}

static void what_cannot_be_written(void **state) {
  (void)state;
  nn_tensor *clear = nn_tensor_zeros(NN_UINT8, 3, (int64_t[]){ 4, 4, 4 }), *grey, *wide, *bytes;
  grey = nn_tensor_zeros(NN_UINT8, 2, (int64_t[]){ 4, 4 });
  wide = nn_tensor_zeros(NN_UINT8, 2, (int64_t[]){ 1, 65501 });
  nn_image_encoding how = { .format = NN_JPEG, .quality = 90 };
  ASSERT_FAILED(nn_image_encode(clear, &how, &bytes), NN_ESHAPE, "JPEG keeps no transparency, got [4x4x4]");
  ASSERT_FAILED(nn_image_encode(wide, &how, &bytes), NN_ESHAPE, "sides of at most 65500 pixels expected");
  how.quality = 101;
  ASSERT_FAILED(nn_image_encode(grey, &how, &bytes), NN_EARGUMENT, "quality: 1 to 100 expected, got 101");
  nn_tensor_release(clear);
  nn_tensor_release(grey);
  nn_tensor_release(wide);
}

/* ---- damaged and hostile ---- */

static void every_beginning_is_refused(void **state) {
  (void)state;
  static const char *const names[] = { "420.jpg", "422-progressive.jpg", "exif6.jpg", "cmyk.jpg", "restarts.jpg" };
  for (int i = 0; i < 5; i++) {
    nni_bytes file = fixture(names[i]);
    check_truncated(&file);
    nni_bytes_free(&file);
  }
}

static void flip_bytes_of(const char *name, const nni_bytes *file) {
  (void)name;
  check_flipped(file, 300);
}

static void changed_bytes_do_no_harm(void **state) {
  (void)state;
  each_fixture(".jpg", flip_bytes_of);
}

static void memory_may_run_out(void **state) {
  (void)state;
  nni_bytes file = fixture("exif6.jpg"), ink = fixture("cmyk.jpg");
  nni_decode window = { .window = true, .top = 3, .left = 2, .height = 5, .width = 4 };
  check_memory(&file, &plainly);
  check_memory(&file, &window);
  check_memory(&ink, &(nni_decode){ .channels = 1 });
  nni_bytes_free(&file);
  nni_bytes_free(&ink);
}

/* Where the sides are in a file's first frame header. */
static uint8_t *sides_in(const nni_bytes *file) {
  for (size_t at = 2; at + 9 < file->size; at += 2 + ((size_t)file->data[at + 2] << 8 | file->data[at + 3]))
    if (file->data[at + 1] == 0xC0 || file->data[at + 1] == 0xC2) return file->data + at + 5;
  fail_msg("no frame header");
  return NULL;
}

static void declare(const nni_bytes *file, unsigned height, unsigned width) {
  uint8_t *sides = sides_in(file);
  memcpy(sides, (uint8_t[]){ (uint8_t)(height >> 8), (uint8_t)height, (uint8_t)(width >> 8), (uint8_t)width }, 4);
}

static void sizes_are_limited(void **state) {
  (void)state;
  nni_bytes file = fixture("420.jpg");
  nni_decode small = { .max_pixels = 37 * 45 - 1 }, enough = { .max_pixels = 37 * 45 };
  assert_int_equal(try_decode(file.data, file.size, &enough), NN_OK);
  ASSERT_FAILED(try_decode(file.data, file.size, &small), NN_EFORMAT,
                "x: 45x37 pixels are more than max_pixels = 1664");
  declare(&file, 65500, 65500);
  ASSERT_FAILED(try_decode(file.data, file.size, &plainly), NN_EFORMAT,
                "x: 65500x65500 pixels are more than max_pixels");
  declare(&file, 10000, 10000);
  ASSERT_FAILED(try_decode(file.data, file.size, &plainly), NN_EFORMAT,
                "x: jpeg: 10000x10000 pixels declared, more than");
  declare(&file, 0, 45);
  ASSERT_FAILED(try_decode(file.data, file.size, &plainly), NN_EFORMAT, "x: jpeg: empty JPEG image");
  declare(&file, 65535, 1);
  ASSERT_FAILED(try_decode(file.data, file.size, &plainly), NN_EFORMAT, "x: jpeg: ");
  nni_bytes_free(&file);
}

/* A file whose last scan comes again and again. */
static void scans_are_limited(void **state) {
  (void)state;
  nni_bytes file = fixture("420-progressive.jpg"), bomb = { 0 };
  size_t last = 0;
  for (size_t i = 0; i + 1 < file.size; i++)
    if (file.data[i] == 0xFF && file.data[i + 1] == 0xDA) last = i;
  assert_int_equal(nni_bytes_add(&bomb, file.data, file.size - 2), NN_OK);
  for (int i = 0; i < 2000; i++)
    assert_int_equal(nni_bytes_add(&bomb, file.data + last, file.size - 2 - last), NN_OK);
  assert_int_equal(nni_bytes_add(&bomb, "\xff\xd9", 2), NN_OK);
  nni_decode any = { .damaged = true };
  ASSERT_FAILED(try_decode(bomb.data, bomb.size, &any), NN_EFORMAT,
                "x: jpeg: too many scans for a picture of 45x37: 501");
  nni_bytes_free(&file);
  nni_bytes_free(&bomb);
}

static void damage_is_an_error_unless_it_is_asked_for(void **state) {
  (void)state;
  nni_bytes file = fixture("420.jpg");
  size_t most = file.size * 4 / 5;
  nni_decode any = { .damaged = true };
  ASSERT_FAILED(try_decode(file.data, most, &plainly), NN_EFORMAT, "x: jpeg: premature end of JPEG file at offset ");
  assert_int_equal(try_decode(file.data, most, &any), NN_OK);
  /* a window above the damage does not see it */
  nni_decode top = { .window = true, .height = 4, .width = 45 };
  assert_int_equal(try_decode(file.data, most, &top), NN_OK);
  memset(file.data + most, 0, file.size - most - 2);
  ASSERT_FAILED(try_decode(file.data, file.size, &plainly), NN_EFORMAT, "x: jpeg: corrupt JPEG data: ", " at offset ");
  assert_int_equal(try_decode(file.data, file.size, &any), NN_OK);
  nni_bytes_free(&file);
}

/* Bytes between the last block and the end marker. */
static int padded(size_t bytes) {
  nni_bytes file = fixture("420.jpg");
  static const uint8_t zeros[64];
  file.size -= 2;
  assert_int_equal(nni_bytes_add(&file, zeros, bytes), NN_OK);
  assert_int_equal(nni_bytes_add(&file, "\xff\xd9", 2), NN_OK);
  int status = try_decode(file.data, file.size, &plainly);
  nni_bytes_free(&file);
  return status;
}

static void a_little_padding_is_fine(void **state) {
  (void)state;
  assert_int_equal(padded(1), NN_OK);
  assert_int_equal(padded(12), NN_OK);
  ASSERT_FAILED(padded(64), NN_EFORMAT, "corrupt JPEG data: ", " extraneous bytes before marker 0xd9");
}

static void what_is_no_picture(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *says;
  } cases[] = {
    { "", 0, "x: a PNG or JPEG picture expected, found nothing" },
    { "GIF89a and more", 15, "x: a PNG or JPEG picture expected; it does not start like one" },
    { "\xff\xd8", 2, "it does not start like one" },
    { "\xff\xd8\xff", 3, "x: jpeg: premature end of JPEG file at offset 3" },
    { "\xff\xd8\xff\xd9", 4, "x: jpeg: " },
    { "\xff\xd8\xff\xe1\x00\x02\xff\xe1\x00\x01", 10, "x: jpeg: " },
    { "\xff\xd8\xff\xc0\x00\x08\x08\x00\x01\x00\x01\x02", 12, "x: jpeg: " },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    ASSERT_FAILED(try_decode(cases[i].bytes, cases[i].size, &plainly), NN_EFORMAT, cases[i].says);
}

static void windows_are_checked(void **state) {
  (void)state;
  nni_bytes file = fixture("exif6.jpg");  /* upright 9 wide, 20 high */
  nni_decode beside = { .window = true, .left = 5, .height = 20, .width = 5 }, none = { .window = true, .height = 3 };
  nni_decode third = { .scale = 3 };
  ASSERT_FAILED(try_decode(file.data, file.size, &beside), NN_EARGUMENT,
                "x: the window of 5x20 at (5, 0) is not within the picture of 9x20");
  ASSERT_FAILED(try_decode(file.data, file.size, &none), NN_EARGUMENT, "is not within the picture");
  nni_picture picture = { 0 };
  ASSERT_FAILED(nni_image_decode("x", file.data, file.size, &third, &picture), NN_EARGUMENT, "scale: 1, 2, 4 or 8");
  nni_bytes_free(&file);
}

static void files_that_cannot_be_read(void **state) {
  (void)state;
  nn_tensor *t = NULL;
  nn_image_about about;
  const char *path = scratch_path("a.jpg");
  ASSERT_FAILED(nn_image_load(path, NULL, &t), NN_EIO, "a.jpg: No such file or directory");
  ASSERT_FAILED(nn_image_info(path, &about), NN_EIO, "a.jpg: No such file or directory");
  ASSERT_FAILED(nn_image_load("/tmp", NULL, &t), NN_EIO, "/tmp: not a regular file");
  scratch_write(path, "", 0);
  ASSERT_FAILED(nn_image_load(path, NULL, &t), NN_EFORMAT, "a.jpg: a PNG or JPEG picture expected, found nothing");
  if (geteuid() != 0) {
    assert_int_equal(chmod(path, 0), 0);
    ASSERT_FAILED(nn_image_load(path, NULL, &t), NN_EIO, "a.jpg: Permission denied");
  }
  assert_null(t);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_window_has_the_pixels_of_the_whole),
    cmocka_unit_test(a_window_has_the_pixels_of_the_whole_photograph),
    cmocka_unit_test(orientation_turns_sides),
    cmocka_unit_test(what_is_written_is_read),
    cmocka_unit_test(what_cannot_be_written),
    cmocka_unit_test(every_beginning_is_refused),
    cmocka_unit_test(changed_bytes_do_no_harm),
    cmocka_unit_test(memory_may_run_out),
    cmocka_unit_test(sizes_are_limited),
    cmocka_unit_test(scans_are_limited),
    cmocka_unit_test(damage_is_an_error_unless_it_is_asked_for),
    cmocka_unit_test(a_little_padding_is_fine),
    cmocka_unit_test(what_is_no_picture),
    cmocka_unit_test(windows_are_checked),
    cmocka_unit_test(files_that_cannot_be_read),
  };
  return cmocka_run_group_tests_name("jpeg", tests, scratch_open, scratch_close);
}
