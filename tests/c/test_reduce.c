/* test_reduce.c -- sums, extremes, statistics and softmax over every set of axes, against plain loops in double. */
#include "rows.h"

enum { SIDES = NN_MAX_AXES + 1 };

static const int64_t shapes[][SIDES] = {
  { 0 },            { 1 },          { 7 },           { 130 },         { 40000 },       { 3, 5 },       { 1, 6 },
  { 6, 1 },         { 200, 10 },    { 3, 1000 },     { 1000, 3 },     { 300, 70 },     { 5, 600 },     { 2, 3, 4 },
  { 4, 1, 5 },      { 3, 90, 2 },   { 2, 17, 130 },  { 9, 9, 9 },     { 2, 3, 4, 5 },  { 1, 5, 1, 3 }, { 20, 8, 9, 16 },
  { 2, 3, 2, 3, 2 }, { 2, 1, 3, 2, 1, 2 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes, MOST = 40000 };

static int axes_of(const int64_t *size) {
  int axes = 0;
  while (axes < NN_MAX_AXES && size[axes]) axes++;
  return axes;
}

/* The params of a set of axes, given as bits; no bits: none given, so all. */
static void choose(nn_param params[NN_MAX_PARAMS], unsigned set, bool keep) {
  memset(params, 0, NN_MAX_PARAMS * sizeof *params);
  params[0].given = set != 0;
  for (int i = 0; i < NN_MAX_AXES; i++)
    if (set >> i & 1) params[0].list[params[0].count++] = i;
  params[1] = whole(keep);
}

/* owner[i]: the place in y of element i of x, and n: how many elements go into one. */
static int64_t own(const int64_t *size, int axes, unsigned set, int64_t *owner, int64_t count) {
  int64_t n = 1;
  for (int a = 0; a < axes; a++)
    if (!set || set >> a & 1) n *= size[a];
  for (int64_t i = 0; i < count; i++) {
    int64_t rest = i, at = 0, step = 1;
    for (int a = axes - 1; a >= 0; a--) {
      if (set && !(set >> a & 1)) at += rest % size[a] * step, step *= size[a];
      rest /= size[a];
    }
    owner[i] = at;
  }
  return n;
}

/* ---- sums and statistics ---- */

typedef enum { SUM, MEAN, VARIANCE, BIASED, NORM_1, NORM_2, NORM_3, KINDS } kind;
static const char *const names[] = { "sum", "mean", "variance", "variance", "norm", "norm", "norm" };

static void set_option(kind k, nn_param params[NN_MAX_PARAMS]) {
  if (k == VARIANCE || k == BIASED) params[2] = whole(k == VARIANCE);
  if (k >= NORM_1) params[2] = real(k - NORM_1 + 1);
}

static void reference(kind k, const nn_real *x, const nn_real *dy, const int64_t *owner, int64_t count, int64_t n,
                      double *y, double *dx, int64_t y_count) {
  static double mean[MOST];
  double p = k - NORM_1 + 1, divisor = k == MEAN || k == BIASED ? (double)n : k == VARIANCE ? (double)n - 1 : 1;
  memset(y, 0, (size_t)y_count * sizeof *y);
  memset(mean, 0, (size_t)y_count * sizeof *mean);
  for (int64_t i = 0; i < count; i++) mean[owner[i]] += (double)x[i] / (double)n;
  for (int64_t i = 0; i < count; i++) {
    double d = (double)x[i] - mean[owner[i]];
    y[owner[i]] += k <= MEAN ? (double)x[i] / divisor : k <= BIASED ? d * d / divisor : pow(fabs((double)x[i]), p);
  }
  for (int64_t i = 0; k >= NORM_1 && i < y_count; i++) y[i] = pow(y[i], 1 / p);
  for (int64_t i = 0; i < count; i++) {
    double v = x[i], d = dy[owner[i]];
    dx[i] = k <= MEAN ? d / divisor : k <= BIASED ? d * 2 * (v - mean[owner[i]]) / divisor
          : d * (v < 0 ? -1 : 1) * pow(fabs(v) / y[owner[i]], p - 1);
  }
}

static void sums_against_loops(void **state) {
  (void)state;
  static double y[MOST], dx[MOST];
  static int64_t owner[MOST];
  for (int s = 0; s < SHAPES; s++) {
    int axes = axes_of(shapes[s]);
    nn_tensor *x = drawn(11, shapes[s]);
    int64_t count = nn_tensor_count(x);
    for (unsigned set = 0; set < 1u << axes; set++) {
      int64_t n = own(shapes[s], axes, set, owner, count);
      for (kind k = 0; k < KINDS; k++) {
        if (k == VARIANCE && n < 2) continue;
        nn_param params[NN_MAX_PARAMS];
        choose(params, set, set % 2);
        set_option(k, params);
        passes p = both_ways(names[k], &x, 1, params);
        char what[80];
        snprintf(what, sizeof what, "%s %d, shape %d, axes %x", names[k], (int)k, s, set);
        if (nn_tensor_count(p.y) != count / n) fail_msg("%s: count", what);
        reference(k, values(x), values(p.dy), owner, count, n, y, dx, count / n);
        assert_near(values(p.y), y, count / n, tolerance, what);
        assert_near(values(p.dx[0]), dx, count, 2 * tolerance, what);
        passes_free(&p);
      }
    }
    nn_tensor_release(x);
  }
}

/* Shapes of y: the axes that go disappear, or stay with size 1. */
static void axes_go_or_stay(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 2, 3, 4), *y;
  nn_param params[NN_MAX_PARAMS];
  choose(params, 2, false);
  assert_int_equal(apply("sum", &x, 1, params, &y), NN_OK);
  assert_int_equal(nn_tensor_axes(y), 2);
  assert_int_equal(nn_tensor_size(y, 1), 4);
  nn_tensor_release(y);
  choose(params, 5, true);
  assert_int_equal(apply("max", &x, 1, params, &y), NN_OK);
  assert_int_equal(nn_tensor_axes(y), 3);
  assert_int_equal(nn_tensor_size(y, 0), 1);
  assert_int_equal(nn_tensor_size(y, 1), 3);
  nn_tensor_release(y);
  choose(params, 0, false);
  assert_int_equal(apply("mean", &x, 1, params, &y), NN_OK);
  assert_int_equal(nn_tensor_axes(y), 0);
  nn_tensor_release(y);
  nn_tensor_release(x);
}

/* A float sum of a million equal parts keeps its digits; so does a variance far from 0. */
static void long_sums_are_accurate(void **state) {
  (void)state;
  enum { COUNT = 1000000 };
  nn_tensor *x = DRAWN_IN(2, 1000, 1001, COUNT), *y;
  double sum = 0, squares = 0;
  for (int i = 0; i < COUNT; i++) sum += values(x)[i];
  for (int i = 0; i < COUNT; i++) {
    double d = (double)values(x)[i] - sum / COUNT;
    squares += d * d;
  }
  assert_int_equal(apply("sum", &x, 1, NULL, &y), NN_OK);
  assert_true(fabs((double)values(y)[0] / sum - 1) < 1e-7);
  nn_tensor_release(y);
  nn_param params[NN_MAX_PARAMS] = { { 0 }, { 0 }, whole(true) };
  assert_int_equal(apply("variance", &x, 1, params, &y), NN_OK);
  assert_true(fabs((double)values(y)[0] * (COUNT - 1) / squares - 1) < 1e-6);
  nn_tensor_release(y);
  nn_tensor_release(x);
}

/* ---- extremes ---- */

/* A coarse grid, so that many elements are equal. */
static nn_tensor *coarse(const int64_t *size) {
  nn_tensor *t = drawn(12, size);
  nn_real *x = nn_tensor_write(t);
  for (int64_t i = 0; i < nn_tensor_count(t); i++) x[i] = (nn_real)(round((double)x[i] * 6) / 6);
  return t;
}

static void extremes_against_loops(void **state) {
  (void)state;
  static int64_t owner[MOST], best[MOST], position[MOST], seen[MOST];
  static double dx[MOST];
  for (int s = 0; s < SHAPES; s++) {
    int axes = axes_of(shapes[s]);
    nn_tensor *x = coarse(shapes[s]), *place;
    int64_t count = nn_tensor_count(x);
    for (unsigned set = 0; set < 1u << axes; set++) {
      int64_t n = own(shapes[s], axes, set, owner, count);
      for (int sign = -1; sign <= 1; sign += 2) {
        nn_param params[NN_MAX_PARAMS];
        choose(params, set, false);
        passes p = both_ways(sign > 0 ? "max" : "min", &x, 1, params);
        for (int64_t i = 0; i < count / n; i++) best[i] = -1, seen[i] = 0;
        for (int64_t i = 0; i < count; i++) {
          int64_t o = owner[i], at = seen[o]++;
          dx[i] = 0;
          if (best[o] < 0 || sign * values(x)[i] > sign * values(x)[best[o]]) best[o] = i, position[o] = at;
        }
        for (int64_t i = 0; i < count / n; i++) {
          assert_true(values(p.y)[i] == values(x)[best[i]]);
          dx[best[i]] += (double)values(p.dy)[i];
        }
        for (int64_t i = 0; i < count; i++)
          if ((double)values(p.dx[0])[i] != dx[i]) fail_msg("shape %d, axes %x: gradient at %d", s, set, (int)i);
        passes_free(&p);
        if (set & (set - 1)) continue;
        for (int a = 0; a < axes; a++)
          if (set >> a & 1) params[0].integer = a;
        assert_int_equal(apply(sign > 0 ? "argmax" : "argmin", &x, 1, params, &place), NN_OK);
        assert_int_equal(nn_tensor_type(place), NN_INDEX);
        for (int64_t i = 0; i < count / n; i++)
          assert_int_equal(((const int32_t *)nn_tensor_data(place))[i], position[i]);
        nn_tensor_release(place);
      }
    }
    nn_tensor_release(x);
  }
}

static void a_nan_is_the_extreme(void **state) {
  (void)state;
  static const int64_t sizes[] = { 5, 200, 5000 };
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    nn_tensor *x = DRAWN(1, sizes[s]), *y;
    nn_real *data = nn_tensor_write(x);
    data[sizes[s] - 2] = data[sizes[s] - 1] = NAN;
    for (int k = 0; k < 4; k++) {
      const char *name = (const char *const[]){ "max", "min", "argmax", "argmin" }[k];
      assert_int_equal(apply(name, &x, 1, NULL, &y), NN_OK);
      if (k < 2) assert_true(isnan(values(y)[0]));
      else assert_int_equal(*(const int32_t *)nn_tensor_data(y), sizes[s] - 2);
      nn_tensor_release(y);
    }
    nn_tensor_release(x);
  }
}

static void nothing_to_reduce(void **state) {
  (void)state;
  nn_tensor *x = nn_tensor_new(NN_REAL, 2, (int64_t[]){ 3, 0 }), *y = NULL;
  assert_int_equal(apply("sum", &x, 1, NULL, &y), NN_OK);
  assert_true(values(y)[0] == 0);
  nn_tensor_release(y);
  y = NULL;
  static const char *const refuse[] = { "mean", "max", "min", "argmax", "argmin" };
  for (size_t i = 0; i < sizeof refuse / sizeof *refuse; i++)
    ASSERT_FAILED(apply(refuse[i], &x, 1, NULL, &y), NN_ESHAPE, refuse[i], "at least one element", "[3x0]");
  nn_tensor_release(x);
  x = DRAWN(1, 4, 1);
  nn_param params[NN_MAX_PARAMS] = { { .given = true, .count = 1, .list = { 1 } }, { 0 }, whole(true) };
  ASSERT_FAILED(apply("variance", &x, 1, params, &y), NN_ESHAPE, "variance: expects at least 2 elements", "got 1");
  params[2] = real(INFINITY);
  ASSERT_FAILED(apply("norm", &x, 1, params, &y), NN_EARGUMENT, "norm: expects a finite p");
  assert_null(y);
  nn_tensor_release(x);
}

/* The norm of nothing but zeros has no slope. */
static void norm_of_zeros(void **state) {
  (void)state;
  nn_tensor *x = nn_tensor_zeros(NN_REAL, 1, (int64_t[]){ 4 });
  for (int p = 1; p <= 3; p++) {
    nn_param params[NN_MAX_PARAMS] = { { 0 }, { 0 }, real(p) };
    passes both = both_ways("norm", &x, 1, params);
    for (int i = 0; i < 4; i++) assert_true(values(both.dx[0])[i] == 0);
    passes_free(&both);
  }
  nn_tensor_release(x);
}

/* ---- softmax ---- */

static void softmax_against_loops(void **state) {
  (void)state;
  static double y[MOST], dx[MOST], sum[MOST], top[MOST], flow[MOST];
  static int64_t owner[MOST];
  for (int s = 1; s < SHAPES; s++) {
    int axes = axes_of(shapes[s]);
    for (int axis = 0; axis < axes; axis++) {
      for (int logarithm = 0; logarithm < 2; logarithm++) {
        nn_tensor *x = drawn_in(13, shapes[s], -5, 5);
        int64_t count = nn_tensor_count(x);
        nn_param params[NN_MAX_PARAMS] = { whole(axis) };
        passes p = both_ways(logarithm ? "log_softmax" : "softmax", &x, 1, params);
        own(shapes[s], axes, 1u << axis, owner, count);
        for (int64_t i = 0; i < count; i++) sum[i] = flow[i] = 0, top[i] = -INFINITY;
        for (int64_t i = 0; i < count; i++) top[owner[i]] = fmax(top[owner[i]], values(x)[i]);
        for (int64_t i = 0; i < count; i++) sum[owner[i]] += exp((double)values(x)[i] - top[owner[i]]);
        for (int64_t i = 0; i < count; i++) {
          double log_y = (double)values(x)[i] - top[owner[i]] - log(sum[owner[i]]), dy = values(p.dy)[i];
          y[i] = logarithm ? log_y : exp(log_y);
          flow[owner[i]] += logarithm ? dy : dy * y[i];
        }
        for (int64_t i = 0; i < count; i++) {
          double dy = values(p.dy)[i];
          dx[i] = logarithm ? dy - exp(y[i]) * flow[owner[i]] : y[i] * (dy - flow[owner[i]]);
        }
        char what[64];
        snprintf(what, sizeof what, "softmax %d, shape %d, axis %d", logarithm, s, axis);
        assert_near(values(p.y), y, count, tolerance, what);
        assert_near(values(p.dx[0]), dx, count, 2 * tolerance, what);
        passes_free(&p);
        nn_tensor_release(x);
      }
    }
  }
}

static void softmax_of_large_inputs(void **state) {
  (void)state;
  nn_tensor *x = nn_tensor_new(NN_REAL, 2, (int64_t[]){ 2, 3 }), *y;
  memcpy(nn_tensor_write(x), (nn_real[]){ 1e30f, 1e30f, -1e30f, -3e4f, -3e4f, -4e4f }, 6 * sizeof(nn_real));
  nn_param params[NN_MAX_PARAMS] = { whole(1) };
  assert_int_equal(apply("softmax", &x, 1, params, &y), NN_OK);
  for (int i = 0; i < 6; i++) assert_true(fabs((double)values(y)[i] - (i % 3 == 2 ? 0 : 0.5)) < 1e-6);
  nn_tensor_release(y);
  assert_int_equal(apply("log_softmax", &x, 1, params, &y), NN_OK);
  for (int i = 0; i < 6; i++) assert_true(isfinite(values(y)[i]));
  nn_tensor_release(y);
  nn_tensor_release(x);
}

/* ---- all of them ---- */

static void same_bits_with_any_team(void **state) {
  (void)state;
  static const int64_t larger[][SIDES] = { { 300000 }, { 5, 60000 }, { 60000, 5 }, { 3000, 100 }, { 12, 40, 25, 30 } };
  for (size_t s = 0; s < sizeof larger / sizeof *larger; s++) {
    nn_tensor *x = drawn(14, larger[s]);
    for (unsigned set = 0; set < 1u << axes_of(larger[s]); set++) {
      nn_param params[NN_MAX_PARAMS];
      for (kind k = 0; k < KINDS; k++) {
        choose(params, set, false);
        set_option(k, params);
        check_threads(names[k], &x, 1, params);
      }
      choose(params, set, false);
      check_threads("max", &x, 1, params);
    }
    for (int axis = 0; axis < axes_of(larger[s]); axis++) {
      nn_param params[NN_MAX_PARAMS] = { whole(axis) };
      check_threads("softmax", &x, 1, params);
      check_threads("log_softmax", &x, 1, params);
      check_threads("argmin", &x, 1, params);
    }
    nn_tensor_release(x);
  }
}

static void memory_may_run_out(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(15, 4, 5, 6);
  static const unsigned sets[] = { 0, 2, 5 };
  for (int s = 0; s < 3; s++) {
    nn_param params[NN_MAX_PARAMS];
    for (kind k = 0; k < KINDS; k++) {
      choose(params, sets[s], false);
      set_option(k, params);
      check_memory(names[k], &x, 1, params);
    }
    choose(params, sets[s], false);
    check_memory("max", &x, 1, params);
  }
  check_memory("argmax", &x, 1, NULL);
  nn_param last[NN_MAX_PARAMS] = { whole(2) };
  check_memory("softmax", &x, 1, last);
  nn_tensor_release(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(sums_against_loops),      cmocka_unit_test(axes_go_or_stay),
    cmocka_unit_test(long_sums_are_accurate),  cmocka_unit_test(extremes_against_loops),
    cmocka_unit_test(a_nan_is_the_extreme),    cmocka_unit_test(nothing_to_reduce),
    cmocka_unit_test(norm_of_zeros),           cmocka_unit_test(softmax_against_loops),
    cmocka_unit_test(softmax_of_large_inputs), cmocka_unit_test(same_bits_with_any_team),
    cmocka_unit_test(memory_may_run_out),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
