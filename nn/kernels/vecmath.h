/* vecmath.h -- exp, tanh and sigmoid that the compiler can vectorise, and sums over a row in fixed lanes.
 *
 * The float versions reduce the range and use the polynomials of Cephes (S. L. Moshier); their error is below 2 units
 * in the last place. The double build takes the library's. Sums over a row go through NNK_LANES accumulators, whatever
 * the vector width, so every processor level gives the same bits.
 *
 * A row is taken in stretches, copied and filled up to a whole number of lanes: short rows, and ends of long ones, then
 * cost a few vector operations instead of one call for each element.
 */
#ifndef NN_KERNELS_VECMATH_H
#define NN_KERNELS_VECMATH_H

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

#ifdef NN_DOUBLE

NNK_INLINE double nnk_exp_of(double x) { return exp(x); }
NNK_INLINE double nnk_tanh_of(double x) { return tanh(x); }

#else

NNK_INLINE float nnk_power_of_two(int32_t k) {
  int32_t bits = (int32_t)((uint32_t)(k + 127) << 23);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* exp(x) = 2^k exp(r), k = round(x / ln 2), |r| <= ln 2 / 2. 2^k is applied in two steps, as neither 2^128 nor 2^-149
 * is a normal float. */
NNK_INLINE float nnk_exp_of(float x) {
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  float shifted = x * 1.44269504088896341f + 12582912.0f;  /* 1.5 * 2^23: the fraction is rounded away */
  int32_t k;
  memcpy(&k, &shifted, sizeof k);
  k = (int32_t)((uint32_t)k - 0x4B400000u);
  float whole = shifted - 12582912.0f;
  float r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  float value = p * (r * r) + r + 1.0f;
  int32_t half = k >> 1;
  return value * nnk_power_of_two(half) * nnk_power_of_two((int32_t)((uint32_t)k - (uint32_t)half));
}

NNK_INLINE float nnk_tanh_of(float x) {
  float size = x < 0 ? -x : x, z = x * x;
  float far = 1.0f - 2.0f / (nnk_exp_of(2.0f * size) + 1.0f);
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  float near = p * z * x + x;
  far = x < 0 ? -far : far;
  return size < 0.625f ? near : far;
}

#endif

NNK_INLINE nn_real nnk_sigmoid_of(nn_real x) { return 1 / (1 + nnk_exp_of(-x)); }

enum { NNK_STRETCH = 128 };

/* to = the next stretch of a row that has n elements left, and `fill` behind its end. Returns the number of elements,
 * a multiple of NNK_LANES. */
NNK_INLINE int64_t nnk_load_stretch(nn_real to[NNK_STRETCH], const nn_real *x, int64_t n, nn_real fill) {
  int64_t held = nnk_min(n, NNK_STRETCH), whole = nnk_divide_up(held, NNK_LANES) * NNK_LANES;
  memcpy(to, x, (size_t)held * sizeof *to);
  for (int64_t i = held; i < whole; i++) to[i] = fill;
  return whole;
}

NNK_INLINE void nnk_add_stretch(nn_real sum[NNK_LANES], const nn_real *x, int64_t whole) {
  for (int64_t i = 0; i < whole; i += NNK_LANES)
    for (int l = 0; l < NNK_LANES; l++) sum[l] += x[i + l];
}

NNK_INLINE nn_real nnk_fold_lanes(nn_real lane[NNK_LANES]) {
  for (int half = NNK_LANES / 2; half > 0; half /= 2)
    for (int l = 0; l < half; l++) lane[l] += lane[l + half];
  return lane[0];
}

NNK_INLINE double nnk_fold_wide_lanes(double lane[NNK_LANES]) {
  for (int half = NNK_LANES / 2; half > 0; half /= 2)
    for (int l = 0; l < half; l++) lane[l] += lane[l + half];
  return lane[0];
}

/* The greatest element; a NaN is passed over. */
NNK_INLINE nn_real nnk_row_max(const nn_real *x, int64_t n) {
  nn_real best[NNK_LANES], here[NNK_STRETCH];
  for (int l = 0; l < NNK_LANES; l++) best[l] = -INFINITY;
  for (int64_t at = 0; at < n; at += NNK_STRETCH) {
    int64_t whole = nnk_load_stretch(here, x + at, n - at, -INFINITY);
    for (int64_t i = 0; i < whole; i += NNK_LANES)
      for (int l = 0; l < NNK_LANES; l++) best[l] = here[i + l] > best[l] ? here[i + l] : best[l];
  }
  for (int half = NNK_LANES / 2; half > 0; half /= 2)
    for (int l = 0; l < half; l++) best[l] = best[l + half] > best[l] ? best[l + half] : best[l];
  return best[0];
}

/* sum_i exp(scale * (x[i] - top)) */
NNK_INLINE nn_real nnk_row_sum_exp(const nn_real *x, int64_t n, nn_real top, nn_real scale) {
  nn_real sum[NNK_LANES] = { 0 }, here[NNK_STRETCH];
  for (int64_t at = 0; at < n; at += NNK_STRETCH) {
    int64_t whole = nnk_load_stretch(here, x + at, n - at, -INFINITY);
    for (int64_t i = 0; i < whole; i++) here[i] = nnk_exp_of(scale * (here[i] - top));
    nnk_add_stretch(sum, here, whole);
  }
  return nnk_fold_lanes(sum);
}

#endif
