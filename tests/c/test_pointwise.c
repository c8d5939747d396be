/* test_pointwise.c -- functions of the elements of one, two and three tensors against plain loops in double. */
#include "rows.h"

/* ---- one tensor ---- */

static double neg(double x) { return -x; }
static double minus_one(double x) { (void)x; return -1; }
static double reciprocal(double x) { return 1 / x; }
static double sqrt_slope(double x) { return 0.5 / sqrt(x); }
static double square(double x) { return x * x; }
static double twice(double x) { return 2 * x; }
static double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
static double tanh_slope(double x) { return 1 - tanh(x) * tanh(x); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double sigmoid_slope(double x) { return sigmoid(x) * (1 - sigmoid(x)); }
static double relu(double x) { return x > 0 ? x : 0; }
static double step(double x) { return x > 0; }
static double leaky(double x) { return x > 0 ? x : 0.2 * x; }
static double leaky_slope(double x) { return x > 0 ? 1 : 0.2; }
static double bell(double x) { return exp(-0.5 * x * x) / sqrt(2 * M_PI); }
static double gelu(double x) { return 0.5 * x * (1 + erf(x / sqrt(2))); }
static double gelu_slope(double x) { return 0.5 * (1 + erf(x / sqrt(2))) + x * bell(x); }
static double inner(double x) { return sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }
static double gelu_tanh(double x) { return 0.5 * x * (1 + tanh(inner(x))); }
static double gelu_tanh_slope(double x) {
  return 0.5 * (1 + tanh(inner(x))) + 0.5 * x * tanh_slope(inner(x)) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}
static double clamp(double x) { return x < -0.5 ? -0.5 : x > 0.25 ? 0.25 : x; }
static double clamp_slope(double x) { return x >= -0.5 && x <= 0.25; }
static double clamp_low(double x) { return x < -0.5 ? -0.5 : x; }
static double clamp_low_slope(double x) { return x >= -0.5; }

static const struct {
  const char *name;
  double (*value)(double), (*slope)(double);
  double low, high;
  nn_param params[NN_MAX_PARAMS];
} unary[] = {
  { .name = "neg", neg, minus_one, -1, 1 },
  { .name = "exp", exp, exp, -20, 5 },
  { .name = "log", log, reciprocal, 0.01, 9 },
  { .name = "sqrt", sqrt, sqrt_slope, 0.01, 9 },
  { .name = "square", square, twice, -3, 3 },
  { .name = "abs", fabs, sign, -1, 1 },
  { .name = "sign", sign, NULL, -1, 1 },
  { .name = "tanh", tanh, tanh_slope, -6, 6 },
  { .name = "sigmoid", sigmoid, sigmoid_slope, -9, 9 },
  { .name = "relu", relu, step, -1, 1 },
  { .name = "leaky_relu", leaky, leaky_slope, -1, 1, { { .given = true, .number = 0.2 } } },
  { .name = "gelu", gelu, gelu_slope, -5, 5 },
  { .name = "gelu", gelu_tanh, gelu_tanh_slope, -5, 5, { { .given = true, .integer = 1 } } },
  { .name = "clamp", clamp, clamp_slope, -1, 1,
    { { .given = true, .number = -0.5 }, { .given = true, .number = 0.25 } } },
  { .name = "clamp", clamp_low, clamp_low_slope, -1, 1, { { .given = true, .number = -0.5 } } },
};
enum { UNARY = sizeof unary / sizeof *unary };

static void one_tensor_against_loops(void **state) {
  (void)state;
  static const int64_t counts[] = { 1, 2, 15, 17, 33, 20011 };
  enum { MOST = 20011 };
  static double y[MOST], dx[MOST];
  for (int u = 0; u < UNARY; u++) {
    for (size_t s = 0; s < sizeof counts / sizeof *counts; s++) {
      int64_t count = counts[s];
      nn_tensor *x = DRAWN_IN(3, unary[u].low, unary[u].high, count);
      passes p = both_ways(unary[u].name, &x, 1, unary[u].params);
      for (int64_t i = 0; i < count; i++) {
        y[i] = unary[u].value(values(x)[i]);
        if (unary[u].slope) dx[i] = unary[u].slope(values(x)[i]) * (double)values(p.dy)[i];
      }
      assert_near(values(p.y), y, count, tolerance, unary[u].name);
      if (unary[u].slope) assert_near(values(p.dx[0]), dx, count, tolerance, unary[u].name);
      passes_free(&p);
      nn_tensor_release(x);
    }
  }
}

static double of_one(const char *name, double x, double *slope) {
  nn_tensor *t = nn_tensor_scalar(x);
  passes p = both_ways(name, &t, 1, NULL);
  double value = values(p.y)[0];
  if (slope) *slope = (double)values(p.dx[0])[0] / (double)values(p.dy)[0];
  passes_free(&p);
  nn_tensor_release(t);
  return value;
}

/* The float exp, tanh and sigmoid are ours: relative error over their whole range. */
static void exponentials_are_close(void **state) {
  (void)state;
  enum { COUNT = 200000 };
  double limit = sizeof(nn_real) == 4 ? 3e-7 : 1e-15;
  const struct {
    const char *name;
    double (*value)(double);
    double low, high;
  } cases[] = { { "exp", exp, -87, 88.7 }, { "tanh", tanh, -12, 12 }, { "tanh", tanh, -1e-3, 1e-3 },
                { "sigmoid", sigmoid, -80, 80 } };
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    nn_tensor *x = DRAWN_IN(5, cases[c].low, cases[c].high, COUNT), *y;
    assert_int_equal(apply(cases[c].name, &x, 1, NULL, &y), NN_OK);
    for (int64_t i = 0; i < COUNT; i++) {
      double wanted = cases[c].value(values(x)[i]), error = fabs((double)values(y)[i] - wanted) / fabs(wanted);
      if (!(error <= limit)) fail_msg("%s(%.9g): relative error %g", cases[c].name, (double)values(x)[i], error);
    }
    nn_tensor_release(x);
    nn_tensor_release(y);
  }
}

static void extremes_and_kinks(void **state) {
  (void)state;
  double slope;
  assert_true(of_one("exp", -INFINITY, NULL) == 0);
  assert_true(of_one("exp", INFINITY, NULL) == INFINITY);
  assert_true(of_one("exp", 1000, NULL) == INFINITY);
  assert_true(of_one("exp", -1000, NULL) == 0);
  assert_true(of_one("exp", 0, NULL) == 1);
  assert_true(of_one("tanh", 1000, NULL) == 1);
  assert_true(of_one("tanh", -INFINITY, NULL) == -1);
  assert_true(of_one("sigmoid", -INFINITY, NULL) == 0);
  assert_true(of_one("sigmoid", INFINITY, NULL) == 1);
  assert_true(of_one("relu", 0, &slope) == 0 && slope == 0);
  assert_true(of_one("abs", 0, &slope) == 0 && slope == 0);
  of_one("leaky_relu", 0, &slope);
  assert_true(fabs(slope - 0.01) < 1e-6);
  of_one("sqrt", 0, &slope);
  assert_true(isinf(slope));
  for (int u = 0; u < UNARY; u++) {
    nn_tensor *x = nn_tensor_scalar(NAN), *y;
    assert_int_equal(apply(unary[u].name, &x, 1, unary[u].params, &y), NN_OK);
    if (!isnan(values(y)[0])) fail_msg("%s of NaN is %g", unary[u].name, (double)values(y)[0]);
    nn_tensor_release(x);
    nn_tensor_release(y);
  }
}

static void clamp_refuses(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 3), *y = NULL;
  nn_param params[NN_MAX_PARAMS] = { real(2), real(1) };
  ASSERT_FAILED(apply("clamp", &x, 1, NULL, &y), NN_EARGUMENT, "clamp: expects min, max or both");
  ASSERT_FAILED(apply("clamp", &x, 1, params, &y), NN_EARGUMENT, "clamp: expects min <= max, got 2 and 1");
  params[0].number = -1;
  ASSERT_FAILED(apply("leaky_relu", &x, 1, params, &y), NN_EARGUMENT, "leaky_relu: slope must be at least 0");
  assert_null(y);
  nn_tensor_release(x);
}

/* ---- two tensors ---- */

static double add(double a, double b) { return a + b; }
static double sub(double a, double b) { return a - b; }
static double mul(double a, double b) { return a * b; }
static double quotient(double a, double b) { return a / b; }
static double one(double a, double b) { (void)a, (void)b; return 1; }
static double minus(double a, double b) { (void)a, (void)b; return -1; }
static double first(double a, double b) { (void)b; return a; }
static double second(double a, double b) { (void)a; return b; }
static double div_to_a(double a, double b) { (void)a; return 1 / b; }
static double div_to_b(double a, double b) { return -a / (b * b); }
static double pow_to_a(double a, double b) { return b * pow(a, b - 1); }
static double pow_to_b(double a, double b) { return pow(a, b) * log(a); }
static double greater(double a, double b) { return a > b ? 1 : a == b ? 0.5 : 0; }
static double less(double a, double b) { return a < b ? 1 : a == b ? 0.5 : 0; }
static double eq(double a, double b) { return a == b; }
static double ne(double a, double b) { return a != b; }
static double lt(double a, double b) { return a < b; }
static double le(double a, double b) { return a <= b; }
static double gt(double a, double b) { return a > b; }
static double ge(double a, double b) { return a >= b; }

static const struct {
  const char *name;
  double (*value)(double, double), (*to[2])(double, double);
} binary[] = {
  { "add", add, { one, one } },          { "sub", sub, { one, minus } },       { "mul", mul, { second, first } },
  { "div", quotient, { div_to_a, div_to_b } }, { "pow", pow, { pow_to_a, pow_to_b } },
  { "maximum", fmax, { greater, less } }, { "minimum", fmin, { less, greater } }, { "eq", eq, { 0 } },
  { "ne", ne, { 0 } }, { "lt", lt, { 0 } }, { "le", le, { 0 } }, { "gt", gt, { 0 } }, { "ge", ge, { 0 } },
};
enum { BINARY = sizeof binary / sizeof *binary, SIDES = NN_MAX_AXES + 1 };

static const int64_t pairs[][2][SIDES] = {
  { { 5 }, { 5 } },                   /* one shape */
  { { 2, 3, 4 }, { 2, 3, 4 } },
  { { 0 }, { 0 } },                   /* no axes */
  { { 2, 3, 4 }, { 0 } },             /* a scalar */
  { { 1 }, { 7, 3 } },
  { { 4, 5, 3 }, { 3 } },             /* a bias */
  { { 19 }, { 300, 19 } },
  { { 2, 3, 4, 5 }, { 2, 1, 1, 1 } }, /* leading */
  { { 2, 3, 4 }, { 1, 3, 1 } },       /* in the middle */
  { { 3, 1 }, { 1, 4 } },             /* both repeated */
  { { 2, 1, 4, 1, 3 }, { 5, 1, 2, 1 } },
  { { 2, 1, 2, 1, 2, 1 }, { 1, 2, 1, 2, 1, 2 } },
  { { 1, 1 }, { 1, 1, 1 } },
  { { 40, 500 }, { 40, 500 } },       /* several pieces */
  { { 40, 1 }, { 500 } },
  { { 30, 7, 100 }, { 30, 1, 100 } },
};
enum { PAIRS = sizeof pairs / sizeof *pairs };

/* Where y's element i lies in x, whose shape is aligned with y's at the last axis. */
static int64_t place_in(const nn_tensor *x, const nn_tensor *y, int64_t i) {
  int64_t at = 0, step = 1;
  for (int axis = nn_tensor_axes(y) - 1, own = nn_tensor_axes(x) - 1; own >= 0; axis--, own--) {
    int64_t position = i % nn_tensor_size(y, axis);
    i /= nn_tensor_size(y, axis);
    if (nn_tensor_size(x, own) > 1) at += position * step;
    step *= nn_tensor_size(x, own);
  }
  return at;
}

/* Positive values on a coarse grid: some pairs are equal, and pow is defined. */
static nn_tensor *operand(uint64_t seed, const int64_t *size) {
  nn_tensor *t = drawn_in(seed, size, 0.5, 2);
  nn_real *x = nn_tensor_write(t);
  for (int64_t i = 0; i < nn_tensor_count(t); i++) x[i] = (nn_real)(round((double)x[i] * 8) / 8);
  return t;
}

static void two_tensors_against_loops(void **state) {
  (void)state;
  enum { MOST = 30000 };
  static double y[MOST], d[2][MOST];
  for (int b = 0; b < BINARY; b++) {
    for (int s = 0; s < 2 * PAIRS; s++) {
      nn_tensor *x[2] = { operand(1, pairs[s / 2][s % 2]), operand(2, pairs[s / 2][1 - s % 2]) };
      passes p = both_ways(binary[b].name, x, 2, NULL);
      int64_t count = nn_tensor_count(p.y);
      memset(d, 0, sizeof d);
      for (int64_t i = 0; i < count; i++) {
        int64_t at[2] = { place_in(x[0], p.y, i), place_in(x[1], p.y, i) };
        double u = values(x[0])[at[0]], v = values(x[1])[at[1]];
        y[i] = binary[b].value(u, v);
        for (int k = 0; k < 2; k++)
          if (binary[b].to[k]) d[k][at[k]] += (double)values(p.dy)[i] * binary[b].to[k](u, v);
      }
      char what[80];
      snprintf(what, sizeof what, "%s, pair %d", binary[b].name, s);
      assert_near(values(p.y), y, count, tolerance, what);
      for (int k = 0; k < 2; k++)
        if (binary[b].to[k]) assert_near(values(p.dx[k]), d[k], nn_tensor_count(x[k]), 2 * tolerance, what);
      passes_free(&p);
      release_all(x, 2);
    }
  }
}

static void powers_at_the_edge(void **state) {
  (void)state;
  const struct {
    double a, b, to_a, to_b;
  } cases[] = {
    { 0, 2, 0, 0 },       { 0, 0, 0, 0 },       { 0, 1, 1, 0 },          { -2, 2, -4, NAN },
    { -2, 3, 12, NAN },   { 3, 0, 0, log(3) },  { 4, 1, 1, 4 * log(4) },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    nn_tensor *x[2] = { nn_tensor_scalar(cases[i].a), nn_tensor_scalar(cases[i].b) };
    passes p = both_ways("pow", x, 2, NULL);
    double dy = values(p.dy)[0], got[2] = { (double)values(p.dx[0])[0] / dy, (double)values(p.dx[1])[0] / dy };
    assert_true(fabs((double)values(p.y)[0] - pow(cases[i].a, cases[i].b)) < 1e-5);
    assert_true(fabs(got[0] - cases[i].to_a) < 1e-5);
    assert_true(isnan(cases[i].to_b) ? isnan(got[1]) : fabs(got[1] - cases[i].to_b) < 1e-5);
    passes_free(&p);
    release_all(x, 2);
  }
}

static void where_takes_from_either(void **state) {
  (void)state;
  nn_tensor *x[3] = { DRAWN_INDEX(4, 2, 7, 1), DRAWN(5, 3, 7, 5), DRAWN(6, 5) };
  passes p = both_ways("where", x, 3, NULL);
  double d[2][105] = { { 0 } };
  for (int64_t i = 0; i < 105; i++) {
    int64_t c = place_in(x[0], p.y, i), b = place_in(x[2], p.y, i);
    bool from_a = ((const int32_t *)nn_tensor_data(x[0]))[c] != 0;
    assert_true(values(p.y)[i] == (from_a ? values(x[1])[i] : values(x[2])[b]));
    d[from_a ? 0 : 1][from_a ? i : b] += (double)values(p.dy)[i];
  }
  assert_near(values(p.dx[1]), d[0], 105, tolerance, "where, da");
  assert_near(values(p.dx[2]), d[1], 5, tolerance, "where, db");
  passes_free(&p);
  check_threads("where", x, 3, NULL);
  check_memory("where", x, 3, NULL);
  release_all(x, 3);
}

/* x * x: both gradients go to one tensor. */
static void an_operand_may_come_twice(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(7, 50), *twice_given[2] = { x, x }, *y, *dy = DRAWN(8, 50);
  nn_tensor_set_requires_grad(x, true);
  assert_int_equal(apply("mul", twice_given, 2, NULL, &y), NN_OK);
  assert_int_equal(nn_backward(y, dy, false), NN_OK);
  for (int i = 0; i < 50; i++)
    assert_true(fabs((double)values(nn_tensor_grad(x))[i] - 2.0 * (double)values(x)[i] * (double)values(dy)[i]) < 1e-6);
  nn_tensor_release(x);
  nn_tensor_release(y);
  nn_tensor_release(dy);
}

static void a_view_is_read_as_it_looks(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(9, 30, 40), *turned, *y, *pair[2];
  nn_param axes[NN_MAX_PARAMS] = { whole(0), whole(1) };
  assert_int_equal(apply("transpose", &x, 1, axes, &turned), NN_OK);
  pair[0] = turned, pair[1] = turned;
  assert_int_equal(apply("add", pair, 2, NULL, &y), NN_OK);
  for (int64_t i = 0; i < 40; i++)
    for (int64_t j = 0; j < 30; j++) assert_true(values(y)[i * 30 + j] == 2 * values(x)[j * 40 + i]);
  nn_tensor_release(y);
  nn_tensor_release(turned);
  nn_tensor_release(x);
}

static void same_bits_with_any_team(void **state) {
  (void)state;
  for (int u = 0; u < UNARY; u++) {
    nn_tensor *x = DRAWN_IN(3, unary[u].low, unary[u].high, 3, 33333);
    check_threads(unary[u].name, &x, 1, unary[u].params);
    nn_tensor_release(x);
  }
  for (int b = 0; b < BINARY; b++) {
    for (int s = 0; s < 3; s++) {
      nn_tensor *x[2] = { operand(1, (int64_t[SIDES]){ 50, 20, 90 }),
                          operand(2, s == 0 ? (int64_t[SIDES]){ 90 } : s == 1 ? (int64_t[SIDES]){ 50, 1, 90 }
                                                                             : (int64_t[SIDES]){ 50, 20, 90 }) };
      check_threads(binary[b].name, x, 2, NULL);
      release_all(x, 2);
    }
  }
}

static void memory_may_run_out(void **state) {
  (void)state;
  nn_tensor *x = DRAWN_IN(3, 0.5, 1, 7, 3);
  for (int u = 0; u < UNARY; u++) check_memory(unary[u].name, &x, 1, unary[u].params);
  nn_tensor_release(x);
  for (int b = 0; b < BINARY; b++) {
    nn_tensor *pair[2] = { operand(1, (int64_t[SIDES]){ 3, 1, 4 }), operand(2, (int64_t[SIDES]){ 5, 1 }) };
    check_memory(binary[b].name, pair, 2, NULL);
    release_all(pair, 2);
  }
}

static void shapes_that_do_not_fit(void **state) {
  (void)state;
  nn_tensor *x[2] = { DRAWN(1, 3, 4), DRAWN(2, 2, 3) }, *y = NULL;
  assert_int_equal(apply("add", x, 2, NULL, &y), NN_ESHAPE);
  assert_string_equal(nn_error(), "add: shapes do not broadcast: sizes 3 and 2 at axis -2 (a [3x4], b [2x3])");
  assert_null(y);
  release_all(x, 2);
}

static void no_elements_give_none(void **state) {
  (void)state;
  nn_tensor *x[2] = { nn_tensor_new(NN_REAL, 2, (int64_t[]){ 0, 4 }), DRAWN(2, 4) }, *y, *z;
  nn_tensor_set_requires_grad(x[1], true);
  assert_int_equal(apply("mul", x, 2, NULL, &y), NN_OK);
  assert_int_equal(apply("exp", &y, 1, NULL, &z), NN_OK);
  assert_int_equal(nn_tensor_count(z), 0);
  assert_int_equal(nn_backward(z, z, false), NN_OK);
  for (int i = 0; i < 4; i++) assert_true(values(nn_tensor_grad(x[1]))[i] == 0);
  nn_tensor_release(y);
  nn_tensor_release(z);
  release_all(x, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_tensor_against_loops),  cmocka_unit_test(exponentials_are_close),
    cmocka_unit_test(extremes_and_kinks),        cmocka_unit_test(clamp_refuses),
    cmocka_unit_test(two_tensors_against_loops), cmocka_unit_test(powers_at_the_edge),
    cmocka_unit_test(where_takes_from_either),   cmocka_unit_test(an_operand_may_come_twice),
    cmocka_unit_test(a_view_is_read_as_it_looks), cmocka_unit_test(same_bits_with_any_team),
    cmocka_unit_test(memory_may_run_out),        cmocka_unit_test(shapes_that_do_not_fit),
    cmocka_unit_test(no_elements_give_none),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
