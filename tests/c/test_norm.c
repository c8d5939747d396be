/* test_norm.c -- batch normalisation against its formulas in double: both modes, running statistics, accuracy. */
#include "rows.h"

enum { INPUTS = 5 };

typedef struct {
  int64_t rows, channels;
  bool affine, running, training;
} setting;

static const setting settings[] = {
  { 6, 3, true, true, true },        { 6, 3, false, true, false },   { 2, 1, true, false, true },
  { 1, 4, true, true, false },       { 777, 17, true, true, true },  { 777, 17, true, true, false },
  { 5000, 16, false, false, true },  { 3000, 64, true, true, true },
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static const double eps = 1e-3, momentum = 0.3;

static void draw(const setting *s, nn_tensor *x[INPUTS]) {
  x[0] = s->rows % 3 ? DRAWN(1, s->rows, s->channels) : DRAWN(1, s->rows / 3, 3, s->channels);
  x[1] = s->affine ? DRAWN(2, s->channels) : NULL;
  x[2] = s->affine ? DRAWN(3, s->channels) : NULL;
  x[3] = s->running ? DRAWN(4, s->channels) : NULL;
  x[4] = s->running ? DRAWN(5, s->channels) : NULL;
  for (int64_t i = 0; i < s->channels && s->running; i++)
    ((nn_real *)nn_tensor_write(x[4]))[i] += 2;
}

static void fill_params(const setting *s, nn_param params[NN_MAX_PARAMS]) {
  memset(params, 0, NN_MAX_PARAMS * sizeof *params);
  params[0] = whole(s->training), params[1] = real(momentum), params[2] = real(eps);
}

typedef struct {
  double *y, *dx, *dweight, *dbias, *running_mean, *running_var;
} results;

static void reference(const setting *s, nn_tensor *const x[INPUTS], const nn_real *dy, results *r) {
  for (int64_t c = 0; c < s->channels; c++) {
    double mean = s->running ? (double)values(x[3])[c] : 0, variance = s->running ? (double)values(x[4])[c] : 0;
    double n = (double)s->rows;
    r->running_mean[c] = mean, r->running_var[c] = variance;
    if (s->training) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < s->rows; i++) sum += (double)values(x[0])[i * s->channels + c];
      for (int64_t i = 0; i < s->rows; i++) squares += pow((double)values(x[0])[i * s->channels + c] - sum / n, 2);
      r->running_mean[c] = (1 - momentum) * mean + momentum * sum / n;
      r->running_var[c] = (1 - momentum) * variance + momentum * squares / (n - 1);
      mean = sum / n, variance = squares / n;
    }
    double inverse = 1 / sqrt(variance + eps), weight = x[1] ? (double)values(x[1])[c] : 1;
    double bias = x[2] ? (double)values(x[2])[c] : 0, sum_d = 0, sum_dh = 0;
    for (int64_t i = 0; i < s->rows; i++) {
      int64_t at = i * s->channels + c;
      double h = ((double)values(x[0])[at] - mean) * inverse;
      r->y[at] = h * weight + bias;
      sum_d += (double)dy[at];
      sum_dh += (double)dy[at] * h;
    }
    for (int64_t i = 0; i < s->rows; i++) {
      int64_t at = i * s->channels + c;
      double h = ((double)values(x[0])[at] - mean) * inverse, d = (double)dy[at];
      r->dx[at] = weight * inverse * (s->training ? d - sum_d / n - h * sum_dh / n : d);
    }
    r->dweight[c] = sum_dh;
    r->dbias[c] = sum_d;
  }
}

static void test_against_formulas(void **state) {
  (void)state;
  for (int k = 0; k < SETTINGS; k++) {
    const setting *s = &settings[k];
    nn_tensor *x[INPUTS], *before[INPUTS];
    nn_param params[NN_MAX_PARAMS];
    draw(s, x);
    fill_params(s, params);
    for (int i = 0; i < INPUTS; i++) before[i] = x[i] ? nn_tensor_clone(x[i]) : NULL;
    passes p = both_ways("batch_norm", x, INPUTS, params);
    size_t all = (size_t)(s->rows * s->channels), some = (size_t)s->channels;
    results r = { calloc(all, 8), calloc(all, 8), calloc(some, 8), calloc(some, 8), calloc(some, 8), calloc(some, 8) };
    reference(s, before, values(p.dy), &r);
    char what[40];
    snprintf(what, sizeof what, "setting %d", k);
    assert_near(values(p.y), r.y, (int64_t)all, tolerance, what);
    assert_near(values(p.dx[0]), r.dx, (int64_t)all, 2 * tolerance, what);
    if (s->affine) assert_near(values(p.dx[1]), r.dweight, s->channels, tolerance, what);
    if (s->affine) assert_near(values(p.dx[2]), r.dbias, s->channels, tolerance, what);
    if (s->running) assert_near(values(x[3]), r.running_mean, s->channels, tolerance, what);
    if (s->running) assert_near(values(x[4]), r.running_var, s->channels, tolerance, what);
    free(r.y), free(r.dx), free(r.dweight), free(r.dbias), free(r.running_mean), free(r.running_var);
    passes_free(&p);
    check_threads("batch_norm", x, INPUTS, params);
    if (all < 100) check_memory("batch_norm", x, INPUTS, params);
    release_all(before, INPUTS);
    release_all(x, INPUTS);
  }
}

/* A mean ten thousand deviations away costs the statistics nothing beyond the data's own rounding. */
static void test_accuracy(void **state) {
  (void)state;
  enum { ROWS = 20000, CHANNELS = 3 };
  nn_tensor *x[INPUTS] = { DRAWN(1, ROWS, CHANNELS), NULL, NULL, DRAWN(2, CHANNELS), DRAWN(3, CHANNELS) }, *y;
  nn_real *v = nn_tensor_write(x[0]);
  for (int i = 0; i < ROWS * CHANNELS; i++) v[i] = 1000 + v[i] / 4;
  nn_param params[NN_MAX_PARAMS] = { whole(true), real(1), real(1e-5) };
  assert_int_equal(nn_apply(nn_op_find("batch_norm"), x, INPUTS, params, &y), NN_OK);
  for (int c = 0; c < CHANNELS; c++) {
    long double sum = 0, squares = 0;
    for (int i = 0; i < ROWS; i++) sum += (long double)v[i * CHANNELS + c];
    for (int i = 0; i < ROWS; i++) squares += powl((long double)v[i * CHANNELS + c] - sum / ROWS, 2);
    double mean = (double)(sum / ROWS), variance = (double)(squares / (ROWS - 1));
    assert_true(fabs((double)values(x[3])[c] - mean) <= 1e-6 * mean);
    assert_true(fabs((double)values(x[4])[c] - variance) <= 1e-6 * variance);
  }
  nn_tensor_release(y);
  release_all(x, INPUTS);
}

static void test_messages(void **state) {
  (void)state;
  nn_tensor *one = DRAWN(1, 1, 3), *many = DRAWN(2, 4, 3), *three = DRAWN(3, 3), *four = DRAWN(4, 4), *y = NULL;
  const nn_op *op = nn_op_find("batch_norm");
  nn_param training[NN_MAX_PARAMS] = { whole(true) };
  ASSERT_FAILED(nn_apply(op, (nn_tensor *[INPUTS]){ one }, INPUTS, training, &y), NN_ESHAPE,
                "batch_norm: x expects more than 1 value per channel in training, got 1", "x [1x3]");
  ASSERT_FAILED(nn_apply(op, (nn_tensor *[INPUTS]){ many }, INPUTS, NULL, &y), NN_ESHAPE, "expected in evaluation");
  ASSERT_FAILED(nn_apply(op, (nn_tensor *[INPUTS]){ many, NULL, NULL, three }, INPUTS, training, &y), NN_ESHAPE,
                "running_mean and running_var expected together");
  ASSERT_FAILED(nn_apply(op, (nn_tensor *[INPUTS]){ many, four }, INPUTS, training, &y), NN_ESHAPE,
                "weight expects 3 channels, got 4");
  ASSERT_FAILED(nn_apply(op, (nn_tensor *[INPUTS]){ three }, INPUTS, training, &y), NN_ESHAPE, "at least 2 axes");
  assert_null(y);
  release_all((nn_tensor *[]){ one, many, three, four }, 4);
}

/* A copy would take the new statistics and be thrown away. */
static void test_running_statistics_in_a_column(void **state) {
  (void)state;
  nn_tensor *x[INPUTS] = { DRAWN(1, 6, 4), NULL, NULL, NULL, DRAWN(2, 4) }, *table = DRAWN(3, 4, 2), *turned = NULL;
  nn_tensor *y = NULL;
  nn_param axes[NN_MAX_PARAMS] = { whole(0), whole(1) }, training[NN_MAX_PARAMS] = { whole(1) };
  assert_int_equal(nn_apply(nn_op_find("transpose"), &table, 1, axes, &turned), NN_OK);
  x[3] = nn_tensor_row(turned, 1);
  assert_false(nn_tensor_contiguous(x[3]));
  ASSERT_FAILED(nn_apply(nn_op_find("batch_norm"), x, INPUTS, training, &y), NN_EARGUMENT,
                "batch_norm: running_mean is written to and expects a contiguous tensor");
  assert_null(y);
  release_all((nn_tensor *[]){ x[0], x[3], x[4], table, turned }, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_against_formulas), cmocka_unit_test(test_accuracy), cmocka_unit_test(test_messages),
    cmocka_unit_test(test_running_statistics_in_a_column),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
