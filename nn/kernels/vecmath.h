/* vecmath.h -- exp, log and their kin for loops that the compiler vectorises, and sums over a row in fixed lanes.
 *
 * The float versions have no branch and call nothing; exp, log and tanh reduce the range and use the polynomials of
 * Cephes (S. L. Moshier). Largest errors over all floats, in units of the last place (denormal results and special
 * values included): exp 1, log 0.9, tanh 1.4, sigmoid 2.4, normal 5.1, pow 0.51. The double build takes the library's.
 * Sums over a row go through NNK_LANES accumulators, whatever the vector width, so every processor level gives the same
 * bits.
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
NNK_INLINE double nnk_log_of(double x) { return log(x); }
NNK_INLINE double nnk_tanh_of(double x) { return tanh(x); }
NNK_INLINE double nnk_normal_of(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
NNK_INLINE double nnk_pow_of(double a, double b) { return pow(a, b); }
NNK_INLINE double nnk_select(int condition, double yes, double no) { return condition ? yes : no; }

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

NNK_INLINE uint32_t nnk_bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

NNK_INLINE float nnk_float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* condition ? yes : no, on the bits. Of a plain conditional with much to compute on one side the compiler makes a
 * branch, and then no vectors. */
NNK_INLINE float nnk_select(int condition, float yes, float no) {
  uint32_t mask = condition ? ~0u : 0u;
  return nnk_float_of((nnk_bits_of(yes) & mask) | (nnk_bits_of(no) & ~mask));
}

/* x = 2^k m with m in [sqrt(1/2), sqrt(2)), for x > 0; a denormal is scaled first. Returns m. */
NNK_INLINE float nnk_split(float x, float *k) {
  const uint32_t root_half = 0x3f3504f3u;
  int denormal = x < 0x1p-126f;
  uint32_t bits = nnk_bits_of(denormal ? x * 0x1p23f : x);
  int32_t power = (int32_t)(bits - root_half) >> 23;
  *k = (float)(power - (denormal ? 23 : 0));
  return nnk_float_of(bits - ((uint32_t)power << 23));
}

/* log x = k ln 2 + log m, log m a polynomial of f = m - 1; ln 2 in two parts, the first exact in k times it. */
NNK_INLINE float nnk_log_of(float x) {
  float k, f = nnk_split(x, &k) - 1.0f, z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  float value = f + (p * f * z - k * 2.12194440e-4f - 0.5f * z) + k * 0.693359375f;
  value = x > 0 ? value : -INFINITY;
  value = x < 0 ? NAN : value;
  return x < INFINITY ? value : x;  /* infinity, NaN */
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

/* The normal distribution function. For s >= 0 and t = s / sqrt(2):
 *   Phi(-s) = erfc(t) / 2 = exp(-s^2 / 2) Q(w) / (2 + 4t),   w = (t - 2) / (t + 2),
 * Q a minimax polynomial over t in [0, 10.2], where erfc leaves the floats. s^2 / 2 = h^2 / 2 + l, h of 12 bits and its
 * square exact: the rounding of s^2 would be 100 units in the last place of the exponential. exp(-l) is its series.
 * Phi(s) = 1 - Phi(-s). */
NNK_INLINE float nnk_normal_of(float x) {
  float s = x < 0 ? -x : x;
  s = s > 14.42f ? 14.42f : s;
  float t = s * 0.70710678118654752f;
  float w = (t - 2.0f) / (t + 2.0f);
  float q = -3.994483300e-04f;
  q = q * w - 1.228000900e-03f;
  q = q * w + 1.313308700e-03f;
  q = q * w + 8.630096000e-03f;
  q = q * w - 8.060142000e-03f;
  q = q * w - 5.420388300e-02f;
  q = q * w + 1.640554200e-01f;
  q = q * w - 1.660314600e-01f;
  q = q * w - 9.276398000e-02f;
  q = q * w + 1.276978400e+00f;
  float h = nnk_float_of(nnk_bits_of(s) & 0xfffff000u), l = 0.5f * (s - h) * (s + h);
  float tail = 1.0f - l * (1.0f - l * (0.5f - l * (1.0f / 6 - l * (1.0f / 24))));
  float value = q / (2.0f + 4.0f * t) * tail * nnk_exp_of(-0.5f * h * h);
  return x > 0 ? 1.0f - value : value;
}

/* |a|^b = 2^(b log2 |a|) in double, whose 53 bits leave a float's 24 however large the exponent:
 * log2 m = 2 / ln 2 (s + s^3/3 + s^5/5 + ...), s = (m - 1) / (m + 1); 2^r is exp's series. */
NNK_INLINE double nnk_power_of_size(float size, float b) {
  float k;
  double m = (double)nnk_split(size, &k), s = (m - 1) / (m + 1), z = s * s;
  double p = 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  double exponent = (double)b * ((double)k + 2.88539008177792681472 * (s + p * z * s));
  exponent = exponent > 1000 ? 1000 : exponent;
  exponent = exponent < -1000 ? -1000 : exponent;
  double shifted = exponent + 0x1.8p52;  /* the fraction is rounded away */
  int64_t n;
  memcpy(&n, &shifted, sizeof n);
  double r = 0.69314718055994530942 * (exponent - (shifted - 0x1.8p52));
  double e = 1.0 / 40320;
  e = e * r + 1.0 / 5040;
  e = e * r + 1.0 / 720;
  e = e * r + 1.0 / 120;
  e = e * r + 1.0 / 24;
  e = e * r + 1.0 / 6;
  e = e * r + 1.0 / 2;
  e = e * r + 1;
  e = e * r + 1;
  uint64_t bits = ((uint64_t)n + 1023) << 52;
  double scale;
  memcpy(&scale, &bits, sizeof scale);
  return e * scale;
}

/* a^b with the special values of C's pow. */
NNK_INLINE float nnk_pow_of(float a, float b) {
  float size = nnk_float_of(nnk_bits_of(a) & 0x7fffffffu), reach = nnk_float_of(nnk_bits_of(b) & 0x7fffffffu);
  float value = (float)nnk_power_of_size(size, b);
  /* sizes that have no logarithm, exponents that are not finite */
  int far = (size == 0) | (size == INFINITY) | (reach == INFINITY);
  value = nnk_select(far, nnk_select((b > 0) == (size > 1), INFINITY, 0), value);
  value = nnk_select(size == 1, 1, value);
  /* the sign; from 2^24 on all exponents are even */
  float within = nnk_select(reach < 0x1p24f, reach, 0);
  int32_t whole = (int32_t)within;
  int fraction = (float)whole < within;
  value = nnk_select(!fraction, nnk_float_of(nnk_bits_of(value) | (nnk_bits_of(a) & (uint32_t)whole << 31)), value);
  value = nnk_select((a < 0) & fraction & (size != INFINITY), NAN, value);
  value = nnk_select((a != a) | (b != b), NAN, value);
  return nnk_select((b == 0) | (a == 1), 1, value);
}

#endif

/* 1 / (1 + exp(-x)), without an exp that overflows. */
NNK_INLINE nn_real nnk_sigmoid_of(nn_real x) {
  nn_real e = nnk_exp_of(x < 0 ? x : -x);
  return (x < 0 ? e : 1) / (1 + e);
}

enum { NNK_STRETCH = 128 };

/* to = the next stretch of a row that has n elements left, and `fill` behind its end. Returns the number of elements,
 * a multiple of NNK_LANES. */
NNK_INLINE int64_t nnk_load_stretch(nn_real to[NNK_STRETCH], const nn_real *x, int64_t n, nn_real fill) {
  int64_t held = nnk_min(n, NNK_STRETCH), whole = nnk_divide_up(held, NNK_LANES) * NNK_LANES;
  for (int64_t i = 0; i < whole; i++) to[i] = i < held ? x[i] : fill;
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
