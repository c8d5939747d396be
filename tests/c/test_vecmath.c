/* test_vecmath.c -- exp, log and their kin against double, over the floats by their bits. */
#include <math.h>

#include "kernels/elementwise.h"
#include "rows.h"

#ifndef NN_DOUBLE

enum { MANY = 1021, STRIDE = 499 };  /* odd, so that ends of loops are run too */

static float of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Units in the last place between got and wanted; denormal ones all have the same size. */
static double ulps(float got, double wanted) {
  float nearest = (float)wanted;
  if (isnan(wanted)) return isnan(got) ? 0 : INFINITY;
  if (isinf(nearest) || isinf(got)) return got == nearest ? 0 : fabsf(got) >= 0x1.fffffep127f ? 1 : INFINITY;
  if (wanted == 0) return got == 0 ? 0 : INFINITY;
  int exponent;
  frexp(wanted, &exponent);
  return fabs((double)got - wanted) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

typedef double reference(double x);

static void scan_bits(const char *what, nnk_line *line, reference *wanted, double most, uint64_t begin, uint64_t end) {
  float x[MANY], y[MANY];
  const float *in[] = { x };
  const int64_t stride[] = { 1 };
  for (uint64_t bits = begin; bits < end;) {
    int n = 0;
    for (; n < MANY && bits < end; n++, bits += STRIDE) x[n] = of_bits((uint32_t)bits);
    line(y, NULL, in, stride, n, NULL);
    for (int i = 0; i < n; i++)
      if (!(ulps(y[i], wanted(x[i])) <= most))
        fail_msg("%s(%a) is %a, expected %a", what, (double)x[i], (double)y[i], wanted(x[i]));
  }
}

/* All floats with the stride, then every one near those that are special. */
static void scan(const char *what, nnk_line *line, reference *wanted, double most) {
  static const float edges[] = { 0, -0.0f, 1, -1, 0x1p-149f, -0x1p-149f, 0x1p-126f, 0x1.fffffep127f, INFINITY,
                                 -INFINITY, NAN, 88.72284f, -87.33655f, -103.97208f, 0.625f, 2, 10.2f, -14.4f };
  scan_bits(what, line, wanted, most, 0, (uint64_t)1 << 32);
  for (size_t e = 0; e < sizeof edges / sizeof *edges; e++) {
    for (int d = -300; d <= 300; d++) {
      uint32_t bits;
      memcpy(&bits, &edges[e], sizeof bits);
      bits += (uint32_t)d;
      scan_bits(what, line, wanted, most, bits, (uint64_t)bits + 1);
    }
  }
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double gelu(double x) { return 0.5 * x * erfc(-x * M_SQRT1_2); }

static void exp_is_within_2_ulp(void **state) {
  (void)state;
  scan("exp", nnk_exp.value, exp, 2);
}

static void log_is_within_2_ulp(void **state) {
  (void)state;
  scan("log", nnk_log.value, log, 2);
}

static void tanh_and_sigmoid_are_close(void **state) {
  (void)state;
  scan("tanh", nnk_tanh.value, tanh, 2);
  scan("sigmoid", nnk_sigmoid.value, sigmoid, 3);
}

/* Below -13 the distribution function is a denormal, and x times it as coarse. */
static void gelu_is_close(void **state) {
  (void)state;
  const uint32_t infinity = 0x7f800000u, minus_zero = 0x80000000u, minus_13 = 0xc1500000u;
  scan_bits("gelu", nnk_gelu.value, gelu, 6, 0, (uint64_t)infinity + 1);
  scan_bits("gelu", nnk_gelu.value, gelu, 6, minus_zero, minus_13);
  for (uint32_t bits = minus_13; bits < minus_zero + infinity; bits += 4001) {
    float x = of_bits(bits), y;
    nnk_gelu.value(&y, NULL, (const float *const[]){ &x }, (const int64_t[]){ 1 }, 1, NULL);
    if (!(fabs((double)y - gelu(x)) <= 0x1p-144)) fail_msg("gelu(%a) is %a", (double)x, (double)y);
  }
}

static void pow_is_within_2_ulp(void **state) {
  (void)state;
  static const float special[] = { 0, -0.0f, 1, -1, 2, -2, 3, -3, 0.5f, -0.5f, INFINITY, -INFINITY, NAN, 0x1p-149f,
                                   -0x1p-149f, 0x1.fffffep127f, -0x1.fffffep127f, 0xffffffp0f, -0xffffffp0f, 0x1p24f,
                                   0x800001p0f, -0x800001p0f, 8388607.5f, 1.5f, -1.5f, 1.0000001f, 0.99999994f };
  enum { SPECIAL = sizeof special / sizeof *special };
  float a[MANY], b[MANY], y[MANY];
  const int64_t stride[] = { 1, 1 };
  for (uint64_t round = 0; round < 200; round++) {
    for (int i = 0; i < MANY; i++) {
      uint32_t word[4];
      nn_random_block(1, round, (uint64_t)i, word);
      a[i] = of_bits(word[0]);
      b[i] = of_bits(word[1]);
      if (i % 2) a[i] = expf(10 - (float)(word[0] % 20000) * 1e-3f), b[i] = (float)(word[1] % 2000000) * 1e-5f - 10;
      if (round == 0 && i < SPECIAL * SPECIAL) a[i] = special[i / SPECIAL], b[i] = special[i % SPECIAL];
    }
    nnk_pow.value(y, NULL, (const float *const[]){ a, b }, stride, MANY, NULL);
    for (int i = 0; i < MANY; i++) {
      double wanted = pow(a[i], b[i]);
      if (!(ulps(y[i], wanted) <= 2) || (!isnan(wanted) && !!signbit(y[i]) != !!signbit(wanted)))
        fail_msg("pow(%a, %a) is %a, expected %a", (double)a[i], (double)b[i], (double)y[i], wanted);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(exp_is_within_2_ulp),
    cmocka_unit_test(log_is_within_2_ulp),
    cmocka_unit_test(tanh_and_sigmoid_are_close),
    cmocka_unit_test(gelu_is_close),
    cmocka_unit_test(pow_is_within_2_ulp),
  };
  return cmocka_run_group_tests_name("vecmath", tests, rows_open, NULL);
}

#else

/* The double build takes the library's functions: there is nothing of ours to test. */
static void nothing_of_ours(void **state) {
  (void)state;
  skip();
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_of_ours) };
  return cmocka_run_group_tests_name("vecmath", tests, NULL, NULL);
}

#endif
