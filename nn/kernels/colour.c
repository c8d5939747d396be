/* colour.c -- colour changes of one image, in place; pixels as bytes.
 *
 * The HSV operations never form H, S and V: with V = max(r, g, b) and d = V - min(r, g, b), a channel is V - d * w, its
 * weight w a function of the hue alone. So a new saturation rescales V - c, and a new hue only replaces the weights;
 * that also keeps grey pixels (d = 0) grey without a branch.
 */
#include "kernels/colour.h"

#include <math.h>

static inline nn_real clip(nn_real v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

static inline nn_real max3(nn_real a, nn_real b, nn_real c) {
  nn_real m = a > b ? a : b;
  return m > c ? m : c;
}

static inline nn_real min3(nn_real a, nn_real b, nn_real c) {
  nn_real m = a < b ? a : b;
  return m < c ? m : c;
}

/* The weights of ITU-R BT.601, as torchvision rounds them. */
static inline nn_real grey(const nn_real *p) {
  return (nn_real)0.2989 * p[0] + (nn_real)0.587 * p[1] + (nn_real)0.114 * p[2];
}

/* out = round(255 * clip(x)); what is not a number becomes 0 */
void nnk_to_bytes(uint8_t *out, const nn_real *x, int64_t count) {
  for (int64_t i = 0; i < count; i++) out[i] = (uint8_t)lrint(255 * (double)(x[i] > 0 ? x[i] < 1 ? x[i] : 1 : 0));
}

/* x = clip(x + amount) */
void nnk_add_clip(nn_real *pixels, int64_t elements, nn_real amount) {
  for (int64_t i = 0; i < elements; i++) pixels[i] = clip(pixels[i] + amount);
}

/* x = clip(x * factor) */
void nnk_scale_clip(nn_real *pixels, int64_t elements, nn_real factor) {
  for (int64_t i = 0; i < elements; i++) pixels[i] = clip(pixels[i] * factor);
}

/* x_c = clip((x_c - mean_c) * factor + mean_c), mean_c over the image's pixels */
void nnk_contrast_channels(nn_real *pixels, int64_t count, int channels, nn_real factor) {
  for (int c = 0; c < channels; c++) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += pixels[i * channels + c];
    nn_real mean = (nn_real)(sum / (double)count);
    for (int64_t i = 0; i < count; i++) {
      nn_real *x = pixels + i * channels + c;
      *x = clip((*x - mean) * factor + mean);
    }
  }
}

/* x = clip(factor * x + (1 - factor) * m), m the mean of the grey image */
void nnk_contrast_grey(nn_real *pixels, int64_t count, int channels, nn_real factor) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += channels == 3 ? grey(pixels + 3 * i) : pixels[i * channels];
  nn_real rest = (nn_real)((1 - (double)factor) * sum / (double)count);
  for (int64_t i = 0; i < count * channels; i++) pixels[i] = clip(factor * pixels[i] + rest);
}

/* S = min(1, S * factor) in HSV: c = V - (V - c) * min(factor, V / d) */
void nnk_saturate_hsv(nn_real *pixels, int64_t count, nn_real factor) {
  for (int64_t i = 0; i < count; i++) {
    nn_real *p = pixels + 3 * i, v = max3(p[0], p[1], p[2]), d = v - min3(p[0], p[1], p[2]);
    nn_real most = v / (d > 0 ? d : 1), ratio = d > 0 && most < factor ? most : factor;
    for (int c = 0; c < 3; c++) p[c] = clip(v - (v - p[c]) * ratio);
  }
}

/* x = clip(factor * x + (1 - factor) * grey(x)) */
void nnk_saturate_blend(nn_real *pixels, int64_t count, nn_real factor) {
  for (int64_t i = 0; i < count; i++) {
    nn_real *p = pixels + 3 * i, rest = (1 - factor) * grey(p);
    for (int c = 0; c < 3; c++) p[c] = clip(factor * p[c] + rest);
  }
}

/* c = V - d * clip(min(k, 4 - k)), k = (6 h + n) mod 6 with n = 5, 3, 1 for red, green, blue; sixths is in [0, 16). */
static inline nn_real hue_channel(nn_real v, nn_real d, nn_real sixths) {
  nn_real k = sixths >= 12 ? sixths - 12 : sixths >= 6 ? sixths - 6 : sixths;
  nn_real w = k < 4 - k ? k : 4 - k;
  return clip(v - d * clip(w));
}

/* H = (H + turns) mod 1 in HSV */
void nnk_rotate_hue(nn_real *pixels, int64_t count, double turns) {
  nn_real shift = (nn_real)(6 * (turns - floor(turns))); /* [0, 6] */
  if (shift >= 6) shift = 0;
  for (int64_t i = 0; i < count; i++) {
    nn_real *p = pixels + 3 * i, r = p[0], g = p[1], b = p[2];
    nn_real v = max3(r, g, b), d = v - min3(r, g, b), scale = 1 / (d > 0 ? d : 1);
    /* 6 h, in [-1, 5] */
    nn_real sixths = r == v ? (g - b) * scale : g == v ? 2 + (b - r) * scale : 4 + (r - g) * scale;
    p[0] = hue_channel(v, d, sixths + shift + 5);
    p[1] = hue_channel(v, d, sixths + shift + 3);
    p[2] = hue_channel(v, d, sixths + shift + 1);
  }
}
