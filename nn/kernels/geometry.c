/* geometry.c -- moving the pixels of one image. */
#include "kernels/geometry.h"

#include <string.h>

#include "kernels/kernels.h"

/* A place outside 0 .. size - 1, by less than size, mirrored at the outermost ones. */
static int64_t mirrored(int64_t i, int64_t size) { return i < 0 ? -i : i >= size ? 2 * size - 2 - i : i; }

/* out[y, x] = in[y + up, x + left] where that is inside; a row is one copy between two margins. */
void nnk_shift(nn_real *out, const nn_real *in, int64_t height, int64_t width, int channels, int64_t up, int64_t left,
               bool mirror) {
  int64_t pitch = width * channels;
  int64_t before = nnk_max(0, -left), after = nnk_max(0, left), inside = width - before - after; /* pixels of a row */
  for (int64_t y = 0; y < height; y++, out += pitch) {
    int64_t from_row = y + up;
    bool row_inside = from_row >= 0 && from_row < height;
    if (!row_inside && !mirror) {
      memset(out, 0, (size_t)pitch * sizeof *out);
      continue;
    }
    const nn_real *from = in + mirrored(from_row, height) * pitch;
    memcpy(out + before * channels, from + after * channels, (size_t)(inside * channels) * sizeof *out);
    for (int64_t x = 0; x < before + after; x++) {
      int64_t to = x < before ? x : inside + x; /* the margins' pixels: before .. , then after the inside */
      nn_real *pixel = out + to * channels;
      if (!mirror) memset(pixel, 0, (size_t)channels * sizeof *pixel);
      else memcpy(pixel, from + mirrored(to + left, width) * channels, (size_t)channels * sizeof *pixel);
    }
  }
}

void nnk_flip(nn_real *pixels, int64_t height, int64_t width, int channels) {
  for (int64_t y = 0; y < height; y++, pixels += width * channels) {
    nn_real *a = pixels, *b = pixels + (width - 1) * channels;
    for (; a < b; a += channels, b -= channels)
      for (int c = 0; c < channels; c++) {
        nn_real kept = a[c];
        a[c] = b[c];
        b[c] = kept;
      }
  }
}
