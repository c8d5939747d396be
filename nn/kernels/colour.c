/* colour.c -- colour changes of one image, in place; pixels as bytes.
 *
 * The HSV operations never form H, S and V: with V = max(r, g, b) and d = V - min(r, g, b), a channel is V - d * w, its
 * weight w a function of the hue alone. So a new saturation rescales V - c, and a new hue only replaces the weights;
 * that also keeps grey pixels (d = 0) grey without a branch.
 *
 * Every loop is one of vectors: choices are selects, and the three channels of neighbouring pixels are taken apart by
 * the compiler. Means are summed in double over NNK_LANES neighbouring pixels side by side.
 */
#include "kernels/colour.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

NNK_INLINE nn_real clip(nn_real v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

NNK_INLINE nn_real greater(nn_real a, nn_real b) { return a > b ? a : b; }
NNK_INLINE nn_real lesser(nn_real a, nn_real b) { return a < b ? a : b; }

/* The weights of ITU-R BT.601, as torchvision rounds them. */
NNK_INLINE nn_real grey(nn_real r, nn_real g, nn_real b) {
  return (nn_real)0.2989 * r + (nn_real)0.587 * g + (nn_real)0.114 * b;
}

/* x = bytes / 255 */
NNK_CLONES
void nnk_from_bytes(nn_real *restrict x, const uint8_t *restrict bytes, int64_t count) {
  for (int64_t i = 0; i < count; i++) x[i] = (nn_real)bytes[i] / 255;
}

/* out = round(255 * clip(x)), halves to even; what is not a number becomes 0. Added to 1.5 * 2^52 the product is
 * rounded to a whole number in the lowest bits. */
NNK_CLONES
void nnk_to_bytes(uint8_t *restrict out, const nn_real *restrict x, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double shifted = 255 * (double)(x[i] > 0 ? x[i] < 1 ? x[i] : 1 : 0) + 0x1.8p52;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    out[i] = (uint8_t)bits;
  }
}

/* x = clip(x + amount) */
NNK_CLONES
void nnk_add_clip(nn_real *pixels, int64_t elements, nn_real amount) {
  for (int64_t i = 0; i < elements; i++) pixels[i] = clip(pixels[i] + amount);
}

/* x = clip(x * factor) */
NNK_CLONES
void nnk_scale_clip(nn_real *pixels, int64_t elements, nn_real factor) {
  for (int64_t i = 0; i < elements; i++) pixels[i] = clip(pixels[i] * factor);
}

enum { MOST_CHANNELS = 3, WIDE = MOST_CHANNELS * NNK_LANES };

/* x_c = clip((x_c - mean_c) * factor + mean_c), mean_c over the image's pixels. Pixels are taken NNK_LANES at a time,
 * as wide rows in which every channel keeps its columns. */
NNK_CLONES
void nnk_contrast_channels(nn_real *pixels, int64_t count, int channels, nn_real factor) {
  int wide = channels * NNK_LANES;
  int64_t elements = count * channels, i = 0;
  double sum[WIDE] = { 0 }, total[MOST_CHANNELS] = { 0 };
  nn_real mean[WIDE];
  for (; i + wide <= elements; i += wide)
    for (int k = 0; k < wide; k++) sum[k] += (double)pixels[i + k];
  for (int k = 0; i + k < elements; k++) sum[k] += (double)pixels[i + k];
  for (int k = 0; k < wide; k++) total[k % channels] += sum[k];
  for (int k = 0; k < wide; k++) mean[k] = (nn_real)(total[k % channels] / (double)count);
  for (i = 0; i < elements; i += wide) {
    int here = (int)nnk_min(wide, elements - i);
    for (int k = 0; k < here; k++) pixels[i + k] = clip((pixels[i + k] - mean[k]) * factor + mean[k]);
  }
}

NNK_CLONES
static double sum_grey(const nn_real *pixels, int64_t count, int channels) {
  double sum[NNK_LANES] = { 0 }, total = 0;
  int64_t i = 0;
  for (; i + NNK_LANES <= count; i += NNK_LANES) {
    if (channels == 3) {
      const nn_real *p = pixels + 3 * i;
      for (int l = 0; l < NNK_LANES; l++) sum[l] += (double)grey(p[3 * l], p[3 * l + 1], p[3 * l + 2]);
    } else {
      for (int l = 0; l < NNK_LANES; l++) sum[l] += (double)pixels[i + l];
    }
  }
  for (; i < count; i++) {
    const nn_real *p = pixels + i * channels;
    total += (double)(channels == 3 ? grey(p[0], p[1], p[2]) : p[0]);
  }
  for (int l = 0; l < NNK_LANES; l++) total += sum[l];
  return total;
}

/* x = clip(factor * x + (1 - factor) * m), m the mean of the grey image */
NNK_CLONES
void nnk_contrast_grey(nn_real *pixels, int64_t count, int channels, nn_real factor) {
  nn_real rest = (nn_real)((1 - (double)factor) * sum_grey(pixels, count, channels) / (double)count);
  for (int64_t i = 0; i < count * channels; i++) pixels[i] = clip(factor * pixels[i] + rest);
}

/* S = min(1, S * factor) in HSV: c = V - (V - c) * min(factor, V / d) */
NNK_CLONES
void nnk_saturate_hsv(nn_real *pixels, int64_t count, nn_real factor) {
  for (int64_t i = 0; i < count; i++) {
    nn_real *p = pixels + 3 * i, r = p[0], g = p[1], b = p[2];
    nn_real v = greater(greater(r, g), b), d = v - lesser(lesser(r, g), b);
    nn_real most = v / (d > 0 ? d : 1), ratio = ((d > 0) & (most < factor)) ? most : factor;
    p[0] = clip(v - (v - r) * ratio);
    p[1] = clip(v - (v - g) * ratio);
    p[2] = clip(v - (v - b) * ratio);
  }
}

/* x = clip(factor * x + (1 - factor) * grey(x)) */
NNK_CLONES
void nnk_saturate_blend(nn_real *pixels, int64_t count, nn_real factor) {
  for (int64_t i = 0; i < count; i++) {
    nn_real *p = pixels + 3 * i, r = p[0], g = p[1], b = p[2], rest = (1 - factor) * grey(r, g, b);
    p[0] = clip(factor * r + rest);
    p[1] = clip(factor * g + rest);
    p[2] = clip(factor * b + rest);
  }
}

/* c = V - d * clip(min(k, 4 - k)), k = (6 h + n) mod 6 with n = 5, 3, 1 for red, green, blue; sixths is in [0, 16). */
NNK_INLINE nn_real hue_channel(nn_real v, nn_real d, nn_real sixths) {
  nn_real turns = (sixths >= 6) + (sixths >= 12), k = sixths - 6 * turns;
  return clip(v - d * clip(lesser(k, 4 - k)));
}

/* H = (H + turns) mod 1 in HSV */
NNK_CLONES
void nnk_rotate_hue(nn_real *pixels, int64_t count, double turns) {
  nn_real shift = (nn_real)(6 * (turns - floor(turns))); /* [0, 6] */
  if (shift >= 6) shift = 0;
  for (int64_t i = 0; i < count; i++) {
    nn_real *p = pixels + 3 * i, r = p[0], g = p[1], b = p[2];
    nn_real v = greater(greater(r, g), b), d = v - lesser(lesser(r, g), b), scale = 1 / (d > 0 ? d : 1);
    /* 6 h, in [-1, 5]: where the greatest is, and how far the other two are apart */
    nn_real base = r == v ? 0 : g == v ? 2 : 4, apart = r == v ? g - b : g == v ? b - r : r - g;
    nn_real sixths = base + apart * scale + shift;
    p[0] = hue_channel(v, d, sixths + 5);
    p[1] = hue_channel(v, d, sixths + 3);
    p[2] = hue_channel(v, d, sixths + 1);
  }
}
