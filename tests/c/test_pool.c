/* test_pool.c -- pooling against plain loops, over awkward shapes; NaN, threads, memory, messages. */
#include "rows.h"

typedef struct {
  int64_t images, height, width, channels, size, stride, padding;
} shape;

static const shape shapes[] = {
  { 2, 4, 6, 3, 2, 0, 0 },  { 1, 1, 1, 1, 1, 0, 0 },   { 2, 7, 9, 17, 3, 2, 1 }, { 1, 8, 5, 16, 2, 3, 0 },
  { 3, 5, 5, 1, 3, 1, 1 },  { 2, 6, 7, 5, 5, 2, 2 },   { 1, 9, 9, 40, 4, 5, 2 }, { 1, 2, 2, 3, 4, 1, 1 },
  { 9, 28, 28, 16, 2, 2, 0 }, { 1, 1, 1, 2, 3, 1, 1 },  { 4, 28, 28, 6, 2, 0, 0 }, { 1, 3, 300, 15, 2, 2, 0 },
  { 1, 3, 70, 2, 66, 1, 33 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef enum { MAX, AVG, AVG_INSIDE } kind;

/* A window's result, and its derivative by dy added to dx. */
static double one_window(const shape *s, kind what, const nn_real *x, int64_t top, int64_t left, int64_t height,
                         int64_t width, double d, double *dx) {
  double best = 0, sum = 0;
  int64_t place = -1, count = 0;
  for (int turn = 0; turn < 2; turn++) {
    double share = d / (double)(what == AVG_INSIDE ? count : height * width);
    for (int64_t h = top; h < top + height; h++) {
      for (int64_t w = left; w < left + width; w++) {
        if (h < 0 || w < 0 || h >= s->height || w >= s->width) continue;
        int64_t at = (h * s->width + w) * s->channels;
        if (turn == 1 && what != MAX) dx[at] += share;
        if (turn == 1) continue;
        double v = (double)x[at];
        if (place < 0 || v > best) best = v, place = at;
        sum += v;
        count++;
      }
    }
  }
  if (what == MAX) dx[place] += d;
  return what == MAX ? best : sum / (double)(what == AVG_INSIDE ? count : height * width);
}

static void check_pool(const shape *s, const char *name, kind what, bool global) {
  nn_param params[NN_MAX_PARAMS] = { whole(s->size), { 0 }, whole(s->padding), whole(what != AVG_INSIDE) };
  if (s->stride) params[1] = whole(s->stride);
  if (global || what == MAX) params[3] = (nn_param){ 0 };
  if (global) memset(params, 0, sizeof params);
  nn_tensor *x = DRAWN(1, s->images, s->height, s->width, s->channels);
  passes p = both_ways(name, &x, 1, params);
  int64_t stride = s->stride ? s->stride : s->size, reach_h = global ? s->height : s->size;
  int64_t reach_w = global ? s->width : s->size, padding = global ? 0 : s->padding;
  int64_t out_h = global ? 1 : (s->height + 2 * padding - s->size) / stride + 1;
  int64_t out_w = global ? 1 : (s->width + 2 * padding - s->size) / stride + 1;
  assert_int_equal(nn_tensor_count(p.y), s->images * out_h * out_w * s->channels);
  assert_int_equal(nn_tensor_axes(p.y), global ? 2 : 4);
  double *y = calloc((size_t)nn_tensor_count(p.y), sizeof *y), *dx = calloc((size_t)nn_tensor_count(x), sizeof *dx);
  for (int64_t i = 0; i < nn_tensor_count(p.y); i++) {
    int64_t c = i % s->channels, w = i / s->channels % out_w, h = i / s->channels / out_w % out_h;
    int64_t image = i / s->channels / out_w / out_h * s->height * s->width * s->channels;
    y[i] = one_window(s, what, values(x) + image + c, h * stride - padding, w * stride - padding, reach_h, reach_w,
                      (double)values(p.dy)[i], dx + image + c);
  }
  assert_near(values(p.y), y, nn_tensor_count(p.y), tolerance, name);
  assert_near(values(p.dx[0]), dx, nn_tensor_count(x), tolerance, name);
  free(y);
  free(dx);
  passes_free(&p);
  check_threads(name, &x, 1, params);
  if (nn_tensor_count(x) < 1000) check_memory(name, &x, 1, params);
  nn_tensor_release(x);
}

static void test_max(void **state) {
  (void)state;
  for (int i = 0; i < SHAPES; i++) check_pool(&shapes[i], "max_pool2d", MAX, false);
}

static void test_avg(void **state) {
  (void)state;
  for (int i = 0; i < SHAPES; i++) {
    check_pool(&shapes[i], "avg_pool2d", AVG, false);
    check_pool(&shapes[i], "avg_pool2d", AVG_INSIDE, false);
  }
}

static void test_global(void **state) {
  (void)state;
  for (int i = 0; i < SHAPES; i++) {
    check_pool(&shapes[i], "global_avg_pool", AVG, true);
    check_pool(&shapes[i], "global_max_pool", MAX, true);
  }
}

/* NaN wins its window, and among equals the first pixel gets the gradient. */
static void test_nan_and_ties(void **state) {
  (void)state;
  nn_tensor *x = nn_tensor_zeros(NN_REAL, 4, (int64_t[]){ 1, 2, 4, 1 });
  nn_real *v = nn_tensor_write(x);
  v[1] = (nn_real)NAN;
  v[4] = 5;
  nn_param params[NN_MAX_PARAMS] = { whole(2) };
  passes p = both_ways("max_pool2d", &x, 1, params);
  assert_true(isnan(values(p.y)[0]));
  assert_true(values(p.y)[1] == 0);
  for (int i = 0; i < 8; i++)
    assert_true(values(p.dx[0])[i] == (i == 1 ? values(p.dy)[0] : i == 2 ? values(p.dy)[1] : 0));
  passes_free(&p);
  nn_tensor_release(x);
}

/* Nothing is greater than what is infinitely small: the first pixel of a window stands for it. */
static void test_negative_infinity(void **state) {
  (void)state;
  for (int64_t channels = 1; channels <= 17; channels += 16) {
    nn_tensor *x = nn_tensor_new(NN_REAL, 4, (int64_t[]){ 1, 3, 3, channels });
    assert_int_equal(nn_tensor_fill(x, -INFINITY), NN_OK);
    nn_param params[NN_MAX_PARAMS] = { whole(3), whole(2), whole(1) };
    passes p = both_ways("max_pool2d", &x, 1, params);
    for (int64_t i = 0; i < 9 * channels; i++) {
      int64_t pixel = i / channels;  /* windows begin at pixels 0, 1, 3 and 4 */
      int64_t from = pixel == 0 ? 0 : pixel == 1 ? 1 : pixel == 3 ? 2 : pixel == 4 ? 3 : -1;
      assert_true(values(p.dx[0])[i] == (from < 0 ? 0 : values(p.dy)[from * channels + i % channels]));
    }
    passes_free(&p);
    nn_tensor_release(x);
  }
}

static void test_messages(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 2, 5, 7, 3), *flat = DRAWN(2, 5, 7), *y = NULL;
  const nn_op *max = nn_op_find("max_pool2d");
  nn_param wide[NN_MAX_PARAMS] = { whole(6) }, padded[NN_MAX_PARAMS] = { whole(3), { 0 }, whole(2) };
  nn_param zero[NN_MAX_PARAMS] = { whole(0) };
  ASSERT_FAILED(nn_apply(max, &x, 1, wide, &y), NN_ESHAPE, "max_pool2d: a window of 6", "5", "x [2x5x7x3]");
  ASSERT_FAILED(nn_apply(max, &x, 1, padded, &y), NN_EARGUMENT, "padding must be at most half of size 3, got 2");
  ASSERT_FAILED(nn_apply(max, &x, 1, zero, &y), NN_EARGUMENT, "size must be at least 1, got 0");
  ASSERT_FAILED(nn_apply(nn_op_find("global_avg_pool"), &flat, 1, NULL, &y), NN_ESHAPE, "x expects 4 axes", "got 2");
  assert_null(y);
  nn_tensor_release(x);
  nn_tensor_release(flat);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_max),          cmocka_unit_test(test_avg),
    cmocka_unit_test(test_global),       cmocka_unit_test(test_nan_and_ties),
    cmocka_unit_test(test_negative_infinity), cmocka_unit_test(test_messages),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
