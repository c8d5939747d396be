/* rows.h -- for tests of op rows: draw inputs, run a row both ways, compare with a reference and across threads. */
#ifndef ROWS_H
#define ROWS_H

#include <math.h>

#include "scratch.h"

enum { ROWS_INPUTS = 6 };

#ifdef NN_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 1e-5;
#endif

static inline nn_param whole(int64_t value) { return (nn_param){ .given = true, .integer = value }; }
static inline nn_param real(double value) { return (nn_param){ .given = true, .number = value }; }

/* A float tensor drawn from [-1, 1], axes ending at the first 0. */
static inline nn_tensor *drawn(uint64_t seed, const int64_t *size) {
  int axes = 0;
  while (axes < NN_MAX_AXES && size[axes]) axes++;
  nn_tensor *t = nn_tensor_new(NN_REAL, axes, size);
  assert_non_null(t);
  assert_int_equal(nn_random_fill_uniform(nn_tensor_write(t), nn_tensor_count(t), -1, 1, 7, seed), NN_OK);
  return t;
}
#define DRAWN(seed, ...) drawn(seed, (const int64_t[NN_MAX_AXES + 1]){ __VA_ARGS__ })

/* The same, mapped from [-1, 1] to [low, high]. */
static inline nn_tensor *drawn_in(uint64_t seed, const int64_t *size, double low, double high) {
  nn_tensor *t = drawn(seed, size);
  nn_real *x = nn_tensor_write(t);
  for (int64_t i = 0; i < nn_tensor_count(t); i++) x[i] = (nn_real)(low + (high - low) * 0.5 * ((double)x[i] + 1));
  return t;
}
#define DRAWN_IN(seed, low, high, ...) drawn_in(seed, (const int64_t[NN_MAX_AXES + 1]){ __VA_ARGS__ }, low, high)

/* An index drawn from 0 .. below-1. */
static inline nn_tensor *drawn_index(uint64_t seed, const int64_t *size, int64_t below) {
  nn_tensor *x = drawn_in(seed, size, 0, (double)below);
  nn_tensor *t = nn_tensor_new(NN_INDEX, nn_tensor_axes(x), size);
  assert_non_null(t);
  int32_t *index = nn_tensor_write(t);
  for (int64_t i = 0; i < nn_tensor_count(t); i++) {
    int64_t value = (int64_t)((const nn_real *)nn_tensor_data(x))[i];
    index[i] = (int32_t)(value < below ? value : below - 1);
  }
  nn_tensor_release(x);
  return t;
}
#define DRAWN_INDEX(seed, below, ...) drawn_index(seed, (const int64_t[NN_MAX_AXES + 1]){ __VA_ARGS__ }, below)

static inline const nn_real *values(const nn_tensor *t) { return nn_tensor_data(t); }

/* Inputs of other types take no gradient. */
static inline bool takes_gradient(const nn_tensor *t) { return t && nn_tensor_type(t) == NN_REAL; }

/* y and the gradients of sum(y * dy), dy drawn. */
typedef struct {
  nn_tensor *dy, *y, *dx[ROWS_INPUTS];
} passes;

static inline passes both_ways(const char *name, nn_tensor *const *x, int count, const nn_param *given) {
  passes p = { 0 };
  nn_param params[NN_MAX_PARAMS] = { { 0 } };
  if (given) memcpy(params, given, sizeof params);
  for (int i = 0; i < count; i++)
    if (takes_gradient(x[i])) assert_int_equal(nn_tensor_set_requires_grad(x[i], true), NN_OK);
  int status = nn_apply(nn_op_find(name), x, count, params, &p.y);
  if (status != NN_OK) fail_msg("%s", nn_error());
  int64_t size[NN_MAX_AXES + 1] = { 0 };
  memcpy(size, nn_tensor_sizes(p.y), (size_t)nn_tensor_axes(p.y) * sizeof *size);
  if (!nn_tensor_requires_grad(p.y)) return p;  /* a row without a gradient */
  p.dy = drawn(99, size);
  status = nn_backward(p.y, p.dy, false);
  if (status != NN_OK) fail_msg("%s", nn_error());
  for (int i = 0; i < count; i++) {
    if (!takes_gradient(x[i])) continue;
    p.dx[i] = nn_tensor_clone(nn_tensor_grad(x[i]));
    nn_tensor_clear_grad(x[i]);
  }
  return p;
}

static inline void passes_free(passes *p) {
  nn_tensor_release(p->dy);
  nn_tensor_release(p->y);
  for (int i = 0; i < ROWS_INPUTS; i++) nn_tensor_release(p->dx[i]);
}

/* Largest difference at most `within` of the reference's root mean square (plus 1e-3, for references near 0). */
static inline void assert_near(const nn_real *got, const double *wanted, int64_t count, double within,
                               const char *what) {
  double squares = 0, worst = 0;
  int64_t place = 0;
  for (int64_t i = 0; i < count; i++) {
    double d = fabs((double)got[i] - wanted[i]);
    squares += wanted[i] * wanted[i];
    if (!(d <= worst)) worst = d, place = i;
  }
  if (!(worst <= within * (sqrt(squares / (double)(count ? count : 1)) + 1e-3)))
    fail_msg("%s: element %lld is %.9g, expected %.9g", what, (long long)place, (double)got[place], wanted[place]);
}

static inline void assert_same_bits(const nn_tensor *a, const nn_tensor *b, const char *what) {
  if (!a && !b) return;
  nn_tensor *left = nn_tensor_clone(a), *right = nn_tensor_clone(b);  /* views may have gaps */
  size_t bytes = (size_t)nn_tensor_count(a) * nn_type_bytes(nn_tensor_type(a));
  bool same = memcmp(nn_tensor_data(left), nn_tensor_data(right), bytes) == 0;
  nn_tensor_release(left);
  nn_tensor_release(right);
  if (!same) fail_msg("%s: other bits with another number of threads", what);
}

/* The row gives the same bits on 1, 2 and 3 threads. */
static inline void check_threads(const char *name, nn_tensor *const *x, int count, const nn_param *params) {
  int before = nn_threads();
  assert_int_equal(nn_set_threads(1), NN_OK);
  passes one = both_ways(name, x, count, params);
  for (int threads = 2; threads <= 3; threads++) {
    assert_int_equal(nn_set_threads(threads), NN_OK);
    passes more = both_ways(name, x, count, params);
    assert_same_bits(one.y, more.y, name);
    for (int i = 0; i < count; i++) assert_same_bits(one.dx[i], more.dx[i], name);
    passes_free(&more);
  }
  passes_free(&one);
  assert_int_equal(nn_set_threads(before), NN_OK);
}

/* Each allocation of a forward and backward run fails in turn: an error each time, and nothing is lost. */
static inline void check_memory(const char *name, nn_tensor *const *x, int count, const nn_param *params) {
  nn_memory_stats before, after;
  nn_param all[NN_MAX_PARAMS] = { { 0 } };
  if (params) memcpy(all, params, sizeof all);
  for (int i = 0; i < count; i++)
    if (takes_gradient(x[i])) assert_int_equal(nn_tensor_set_requires_grad(x[i], true), NN_OK);
  bool failed = true;
  for (uint64_t n = 1; failed; n++) {
    nn_tensor *y = NULL, *dy = NULL;
    nn_memory_get_stats(&before);
    nn_memory_fail_at(n);
    int status = nn_apply(nn_op_find(name), x, count, all, &y);
    if (status == NN_OK && !(dy = nn_tensor_clone(y))) status = NN_EMEMORY;
    if (status == NN_OK && nn_tensor_requires_grad(y)) status = nn_backward(y, dy, false);
    nn_memory_fail_at(0);
    failed = status != NN_OK;
    if (failed) assert_int_equal(status, NN_EMEMORY);
    nn_tensor_release(y);
    nn_tensor_release(dy);
    for (int i = 0; i < count; i++)
      if (x[i]) nn_tensor_clear_grad(x[i]);
    nn_memory_get_stats(&after);
    assert_int_equal(before.live_blocks, after.live_blocks);
  }
}

/* Applies a row to n tensors; NN_OK or its status. */
static inline int apply(const char *name, nn_tensor *const *x, int count, const nn_param *given, nn_tensor **y) {
  nn_param params[NN_MAX_PARAMS] = { { 0 } };
  if (given) memcpy(params, given, sizeof params);
  return nn_apply(nn_op_find(name), x, count, params, y);
}

static inline void release_all(nn_tensor **x, int count) {
  for (int i = 0; i < count; i++) nn_tensor_release(x[i]);
}

static inline int rows_open(void **state) {
  (void)state;
  return nn_start();
}

#endif
