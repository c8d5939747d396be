/* test_loss.c -- losses against plain loops in double: every reduction, both sides, saturated logits. */
#include "rows.h"

enum { MOST = 20000 };
typedef enum { MEAN, SUM, NONE, MEAN_ALL } reduction;

static const struct {
  int64_t rows, classes;
} shapes[] = { { 1, 1 }, { 1, 2 }, { 5, 3 }, { 7, 10 }, { 3, 16 }, { 4, 17 }, { 9, 100 }, { 2, 1000 }, { 2000, 10 } };
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const int32_t *places(const nn_tensor *t) { return nn_tensor_data(t); }

/* log softmax of z / t, in double */
static void log_shares(double *out, const nn_real *z, int64_t n, double t) {
  double top = -INFINITY, sum = 0;
  for (int64_t k = 0; k < n; k++) top = fmax(top, (double)z[k] / t);
  for (int64_t k = 0; k < n; k++) sum += exp((double)z[k] / t - top);
  for (int64_t k = 0; k < n; k++) out[k] = (double)z[k] / t - top - log(sum);
}

/* Brings the rows' losses and slopes (for a weight of 1) to the reduction, and compares. */
static void compare(const passes *p, const double *loss, double *const slope[2], int64_t rows, int64_t width,
                    reduction how, double extra, const char *what) {
  static double y[MOST], dx[MOST];
  double factor = extra * (how == MEAN ? 1.0 / (double)rows : how == MEAN_ALL ? 1.0 / (double)(rows * width) : 1);
  y[0] = 0;
  for (int64_t i = 0; i < rows; i++) {
    if (how == NONE) y[i] = factor * loss[i];
    else y[0] += factor * loss[i];
  }
  assert_int_equal(nn_tensor_axes(p->y), how == NONE);
  assert_near(values(p->y), y, how == NONE ? rows : 1, tolerance, what);
  for (int k = 0; k < 2; k++) {
    if (!slope[k]) continue;
    for (int64_t i = 0; i < rows * width; i++)
      dx[i] = slope[k][i] * factor * (double)values(p->dy)[how == NONE ? i / width : 0];
    assert_near(values(p->dx[k]), dx, rows * width, 2 * tolerance, what);
  }
}

static void cross_entropy_against_loops(void **state) {
  (void)state;
  static double loss[MOST], slope[MOST], share[MOST];
  static const double smoothings[] = { 0, 0.1, 1 };
  for (int s = 0; s < SHAPES; s++) {
    int64_t rows = shapes[s].rows, n = shapes[s].classes;
    nn_tensor *x[2] = { DRAWN_IN(1, -4, 4, rows, n), DRAWN_INDEX(2, n, rows) };
    for (int m = 0; m < 3; m++) {
      for (reduction how = MEAN; how <= NONE; how++) {
        double even = smoothings[m] / (double)n;
        nn_param params[NN_MAX_PARAMS] = { real(smoothings[m]), whole(how) };
        passes p = both_ways("cross_entropy", x, 2, params);
        for (int64_t i = 0; i < rows; i++) {
          log_shares(share, values(x[0]) + i * n, n, 1);
          loss[i] = 0;
          for (int64_t k = 0; k < n; k++) {
            double wanted = even + (k == places(x[1])[i] ? 1 - smoothings[m] : 0);
            loss[i] -= wanted * share[k];
            slope[i * n + k] = exp(share[k]) - wanted;
          }
        }
        compare(&p, loss, (double *const[]){ slope, NULL }, rows, n, how, 1, "cross_entropy");
        passes_free(&p);
      }
    }
    release_all(x, 2);
  }
}

static void distance_against_loops(void **state) {
  (void)state;
  static double loss[MOST], to_a[MOST], to_b[MOST];
  for (int s = 0; s < SHAPES; s++) {
    int64_t rows = shapes[s].rows, n = shapes[s].classes;
    nn_tensor *x[2] = { DRAWN(1, rows, n), DRAWN(2, rows, n) };
    for (reduction how = MEAN; how <= MEAN_ALL; how++) {
      nn_param params[NN_MAX_PARAMS] = { whole(how) };
      passes p = both_ways("squared_distance", x, 2, params);
      for (int64_t i = 0; i < rows * n; i++) {
        double d = (double)values(x[0])[i] - (double)values(x[1])[i];
        if (i % n == 0) loss[i / n] = 0;
        loss[i / n] += d * d;
        to_a[i] = 2 * d;
        to_b[i] = -2 * d;
      }
      compare(&p, loss, (double *const[]){ to_a, to_b }, rows, n, how, 1, "squared_distance");
      passes_free(&p);
    }
    release_all(x, 2);
  }
}

/* Rows are the first axis; all others are summed over. */
static void distance_of_images(void **state) {
  (void)state;
  nn_tensor *x[2] = { DRAWN(1, 3, 4, 5, 2), DRAWN(2, 3, 4, 5, 2) }, *y;
  nn_param params[NN_MAX_PARAMS] = { whole(NONE) };
  double wanted[3] = { 0 };
  assert_int_equal(apply("squared_distance", x, 2, params, &y), NN_OK);
  assert_int_equal(nn_tensor_count(y), 3);
  for (int i = 0; i < 120; i++) wanted[i / 40] += pow((double)values(x[0])[i] - (double)values(x[1])[i], 2);
  assert_near(values(y), wanted, 3, tolerance, "squared_distance");
  nn_tensor_release(y);
  release_all(x, 2);
}

static void divergence_against_loops(void **state) {
  (void)state;
  static double loss[MOST], to_p[MOST], to_q[MOST], p_share[MOST], q_share[MOST];
  static const double temperatures[] = { 1, 0.5, 4 };
  for (int s = 0; s < SHAPES; s++) {
    int64_t rows = shapes[s].rows, n = shapes[s].classes;
    nn_tensor *x[2] = { DRAWN_IN(1, -2, 2, rows, n), DRAWN_IN(2, -2, 2, rows, n) };
    for (int m = 0; m < 3; m++) {
      for (reduction how = MEAN; how <= NONE; how++) {
        double t = temperatures[m];
        nn_param params[NN_MAX_PARAMS] = { real(t), whole(how) };
        passes p = both_ways("kl_divergence", x, 2, params);
        for (int64_t i = 0; i < rows; i++) {
          log_shares(p_share, values(x[0]) + i * n, n, t);
          log_shares(q_share, values(x[1]) + i * n, n, t);
          loss[i] = 0;
          for (int64_t k = 0; k < n; k++) loss[i] += exp(p_share[k]) * (p_share[k] - q_share[k]);
          for (int64_t k = 0; k < n; k++) {
            to_p[i * n + k] = exp(p_share[k]) * (p_share[k] - q_share[k] - loss[i]) / t;
            to_q[i * n + k] = (exp(q_share[k]) - exp(p_share[k])) / t;
          }
        }
        compare(&p, loss, (double *const[]){ to_p, to_q }, rows, n, how, 1, "kl_divergence");
        passes_free(&p);
      }
    }
    release_all(x, 2);
  }
}

static void hinge_against_loops(void **state) {
  (void)state;
  static double loss[MOST], slope[MOST];
  for (int s = 0; s < SHAPES; s++) {
    int64_t rows = shapes[s].rows, n = shapes[s].classes;
    nn_tensor *x[2] = { DRAWN(1, rows, n), DRAWN_INDEX(2, n, rows) };
    for (int over = 0; over < 2; over++) {
      for (reduction how = MEAN; how <= NONE; how++) {
        double margin = over ? 1 : 0.3;
        nn_param params[NN_MAX_PARAMS] = { real(margin), whole(over), whole(how) };
        passes p = both_ways("hinge", x, 2, params);
        for (int64_t i = 0; i < rows; i++) {
          const nn_real *z = values(x[0]) + i * n;
          int32_t y = places(x[1])[i];
          loss[i] = 0;
          for (int64_t k = 0; k < n; k++) slope[i * n + k] = 0;
          for (int64_t k = 0; k < n; k++) {
            double excess = margin - (double)z[y] + (double)z[k];
            if (k == y || excess <= 0) continue;
            loss[i] += excess;
            slope[i * n + k] += 1;
            slope[i * n + y] -= 1;
          }
        }
        compare(&p, loss, (double *const[]){ slope, NULL }, rows, n, how, over ? 1.0 / (double)n : 1, "hinge");
        passes_free(&p);
      }
    }
    release_all(x, 2);
  }
}

/* Logits thousands apart: finite losses and gradients. */
static void saturated_logits(void **state) {
  (void)state;
  nn_tensor *z = nn_tensor_new(NN_REAL, 2, (int64_t[]){ 2, 3 }), *q = nn_tensor_zeros(NN_REAL, 2, (int64_t[]){ 2, 3 });
  nn_tensor *target = nn_tensor_zeros(NN_INDEX, 1, (int64_t[]){ 2 });
  memcpy(nn_tensor_write(z), (nn_real[]){ 9000, -9000, 0, -9000, 9000, 0 }, 6 * sizeof(nn_real));
  nn_param params[NN_MAX_PARAMS] = { real(0), whole(NONE) };
  passes p = both_ways("cross_entropy", (nn_tensor *[]){ z, target }, 2, params);
  assert_true(values(p.y)[0] == 0 && values(p.y)[1] == 18000);
  for (int i = 0; i < 6; i++) assert_true(isfinite(values(p.dx[0])[i]));
  passes_free(&p);
  params[0] = real(1);
  for (int side = 0; side < 2; side++) {
    p = both_ways("kl_divergence", (nn_tensor *[]){ side ? q : z, side ? z : q }, 2, params);
    for (int i = 0; i < 2; i++) assert_true(isfinite(values(p.y)[i]));
    for (int i = 0; i < 6; i++) assert_true(isfinite(values(p.dx[0])[i]) && isfinite(values(p.dx[1])[i]));
    if (side == 0) assert_true(fabs((double)values(p.y)[0] - log(3)) < 1e-6);
    passes_free(&p);
  }
  nn_tensor_release(z);
  nn_tensor_release(q);
  nn_tensor_release(target);
}

static void a_nan_shows(void **state) {
  (void)state;
  nn_tensor *z = DRAWN(1, 2, 20), *q = DRAWN(2, 2, 20), *target = DRAWN_INDEX(3, 20, 2), *y;
  ((nn_real *)nn_tensor_write(z))[25] = NAN;
  static const char *const names[] = { "cross_entropy", "squared_distance", "kl_divergence", "kl_divergence", "hinge" };
  for (int k = 0; k < 5; k++) {
    nn_tensor *x[2] = { k == 3 ? q : z, k == 0 || k == 4 ? target : k == 3 ? z : q };
    assert_int_equal(apply(names[k], x, 2, NULL, &y), NN_OK);
    if (!isnan(values(y)[0])) fail_msg("%s hides a NaN", names[k]);
    nn_tensor_release(y);
  }
  nn_tensor_release(z);
  nn_tensor_release(q);
  nn_tensor_release(target);
}

static void same_bits_with_any_team(void **state) {
  (void)state;
  nn_tensor *z = DRAWN(1, 5000, 37), *q = DRAWN(2, 5000, 37), *target = DRAWN_INDEX(3, 37, 5000);
  nn_tensor *classes[2] = { z, target }, *sides[2] = { z, q };
  check_threads("cross_entropy", classes, 2, NULL);
  check_threads("hinge", classes, 2, NULL);
  check_threads("squared_distance", sides, 2, NULL);
  check_threads("kl_divergence", sides, 2, NULL);
  nn_tensor_release(z);
  nn_tensor_release(q);
  nn_tensor_release(target);
}

static void memory_may_run_out(void **state) {
  (void)state;
  nn_tensor *z = DRAWN(1, 4, 5), *q = DRAWN(2, 4, 5), *target = DRAWN_INDEX(3, 5, 4);
  nn_tensor *classes[2] = { z, target }, *sides[2] = { z, q };
  check_memory("cross_entropy", classes, 2, NULL);
  check_memory("hinge", classes, 2, NULL);
  check_memory("squared_distance", sides, 2, NULL);
  check_memory("kl_divergence", sides, 2, NULL);
  nn_tensor_release(z);
  nn_tensor_release(q);
  nn_tensor_release(target);
}

static void messages(void **state) {
  (void)state;
  nn_tensor *x[2] = { DRAWN(1, 4, 10), DRAWN_INDEX(2, 10, 4) }, *pair[2] = { x[0], DRAWN(3, 4, 9) }, *y = NULL;
  ((int32_t *)nn_tensor_write(x[1]))[2] = 10;
  assert_int_equal(apply("cross_entropy", x, 2, NULL, &y), NN_EARGUMENT);
  assert_string_equal(nn_error(), "cross_entropy: target expects classes 1..10, got 11 at row 3");
  ((int32_t *)nn_tensor_write(x[1]))[2] = -1;
  ASSERT_FAILED(apply("hinge", x, 2, NULL, &y), NN_EARGUMENT, "hinge: target expects classes 1..10, got 0 at row 3");
  ASSERT_FAILED(apply("squared_distance", pair, 2, NULL, &y), NN_ESHAPE, "a and b", "[4x10]", "[4x9]");
  ASSERT_FAILED(apply("kl_divergence", pair, 2, NULL, &y), NN_ESHAPE, "the same two axes", "[4x10]", "[4x9]");
  nn_tensor *few = DRAWN_INDEX(2, 10, 3), *unequal[2] = { x[0], few };
  ASSERT_FAILED(apply("cross_entropy", unequal, 2, NULL, &y), NN_ESHAPE, "each of 4 rows", "target [3]");
  ASSERT_FAILED(apply("cross_entropy", pair, 2, NULL, &y), NN_ETYPE, "target expects a tensor of index, got float");
  assert_null(y);
  nn_tensor_release(few);
  nn_tensor_release(pair[1]);
  release_all(x, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(cross_entropy_against_loops), cmocka_unit_test(distance_against_loops),
    cmocka_unit_test(distance_of_images),          cmocka_unit_test(divergence_against_loops),
    cmocka_unit_test(hinge_against_loops),         cmocka_unit_test(saturated_logits),
    cmocka_unit_test(a_nan_shows),                 cmocka_unit_test(same_bits_with_any_team),
    cmocka_unit_test(memory_may_run_out),          cmocka_unit_test(messages),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
