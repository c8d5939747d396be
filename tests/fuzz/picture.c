/* picture.c -- a picture decoded whole, then a window of it, which must show the same pixels. */
#include <string.h>

#include "fuzz.h"
#include "image/image.h"

/* The options come from the bytes themselves, so that each input has its own and keeps them. */
static nni_decode choose(const uint8_t *bytes, size_t size) {
  static const int channels[] = { 0, 1, 3, 4 }, scales[] = { 1, 1, 2, 8 };
  uint32_t sum = 2166136261u;
  for (size_t i = 0; i < size; i++) sum = (sum ^ bytes[i]) * 16777619u;
  sum ^= sum >> 16;
  return (nni_decode){ .channels = channels[sum % 4], .scale = scales[sum / 4 % 4], .deep = sum / 16 % 2,
                       .raw_orientation = sum / 32 % 4 == 0, .damaged = sum / 128 % 4 == 0, .max_pixels = 1 << 18 };
}

static void compare(const nni_picture *whole, const nni_picture *part, const nni_decode *how) {
  int64_t pixel = whole->channels * whole->depth / 8;
  if (part->height != how->height || part->width != how->width || part->channels != whole->channels ||
      part->depth != whole->depth)
    fuzz_fail("a window of another shape than asked for");
  for (int64_t y = 0; y < part->height; y++)
    if (memcmp(part->pixels + y * part->width * pixel,
               whole->pixels + ((how->top + y) * whole->width + how->left) * pixel, (size_t)(part->width * pixel)) != 0)
      fuzz_fail("row %d of the window %dx%d at (%d, %d) of %dx%d differs from the whole picture", (int)y,
                (int)how->width, (int)how->height, (int)how->left, (int)how->top, (int)whole->width,
                (int)whole->height);
}

int fuzz_picture(const uint8_t *bytes, size_t size) {
  nni_picture whole = { 0 }, part = { 0 };
  nni_decode how = choose(bytes, size);
  nn_image_about about;
  int status = nni_image_info("input", bytes, size, &about);
  if (status != NN_OK) return status;
  if (about.height < 1 || about.width < 1) fuzz_fail("a picture without pixels");
  status = nni_image_decode("input", bytes, size, &how, &whole);
  if (status == NN_OK) {
    how.window = true;
    how.top = whole.height / 3;
    how.left = whole.width / 3;
    how.height = (whole.height - how.top + 1) / 2;
    how.width = (whole.width - how.left + 1) / 2;
    status = nni_image_decode("input", bytes, size, &how, &part);
    if (status == NN_OK) compare(&whole, &part, &how);
  }
  nni_picture_free(&whole);
  nni_picture_free(&part);
  return status;
}
