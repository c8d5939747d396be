/* test_conv.c -- convolution against plain loops in double, over awkward shapes; threads, memory, messages. */
#include "rows.h"

typedef struct {
  int64_t images, height, width, in, out, kh, kw, stride, padding, dilation, groups;
} shape;

static const shape shapes[] = {
  { 2, 7, 9, 3, 16, 3, 3, 1, 1, 1, 1 },    { 2, 7, 9, 3, 17, 3, 3, 2, 1, 1, 1 },
  { 1, 1, 1, 4, 16, 3, 3, 1, 1, 1, 1 },    { 3, 1, 1, 5, 2, 1, 1, 1, 0, 1, 1 },
  { 2, 11, 8, 16, 16, 3, 3, 3, 2, 2, 1 },  { 2, 11, 8, 16, 17, 1, 5, 3, 4, 1, 1 },
  { 3, 9, 9, 12, 18, 3, 3, 2, 1, 1, 3 },   { 3, 9, 9, 17, 17, 3, 3, 2, 1, 1, 17 },
  { 2, 8, 8, 16, 32, 1, 1, 2, 0, 1, 1 },   { 2, 8, 8, 5, 7, 1, 1, 1, 0, 1, 1 },
  { 2, 13, 13, 16, 48, 3, 3, 2, 3, 3, 1 }, { 1, 40, 40, 8, 16, 5, 5, 2, 2, 1, 1 },
  { 2, 5, 5, 16, 16, 3, 3, 4, 5, 2, 1 },   { 1, 5, 5, 16, 16, 2, 2, 3, 0, 4, 4 },
  { 1, 9, 9, 1, 1, 4, 3, 1, 3, 1, 1 },     { 1, 6, 6, 17, 1, 3, 3, 1, 2, 1, 1 },
  { 1, 7, 5, 1, 17, 2, 3, 1, 1, 1, 1 },    { 2, 6, 6, 16, 33, 3, 3, 1, 1, 1, 1 },
  { 1, 7, 7, 300, 260, 3, 3, 1, 1, 1, 1 }, { 2, 5, 5, 17, 34, 3, 3, 1, 1, 1, 17 },
  { 2, 3, 3, 2, 32, 3, 3, 2, 1, 1, 1 },    { 1, 3, 4, 2, 16, 3, 3, 1, 9, 9, 1 },
  { 1, 100, 30, 4, 32, 3, 3, 1, 1, 1, 1 }, { 1, 4, 4, 3, 3, 1, 1, 3, 2, 1, 1 },
  { 1, 2, 9, 3, 4, 2, 2, 5, 0, 1, 1 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void fill_params(const shape *s, nn_param params[NN_MAX_PARAMS]) {
  memset(params, 0, NN_MAX_PARAMS * sizeof *params);
  params[0] = whole(s->stride), params[1] = whole(s->padding);
  params[2] = whole(s->dilation), params[3] = whole(s->groups);
}

static void draw(const shape *s, nn_tensor *x[3], bool bias) {
  x[0] = DRAWN(1, s->images, s->height, s->width, s->in);
  x[1] = DRAWN(2, s->kh, s->kw, s->in / s->groups, s->out);
  x[2] = bias ? DRAWN(3, s->out) : NULL;
}

/* y[n,i,j,o] = b[o] + sum over u, v, c of x[n, i s - p + u d, j s - p + v d, c] w[u, v, c, o], and its derivatives */
static void reference(const shape *s, nn_tensor *const t[3], const nn_real *dy, const int64_t *out, double *y,
                      double *dx, double *dw, double *db) {
  const nn_real *x = values(t[0]), *w = values(t[1]);
  int64_t part_in = s->in / s->groups, part_out = s->out / s->groups;
  for (int64_t p = 0; p < s->images * out[1] * out[2]; p++) {
    int64_t n = p / (out[1] * out[2]), i = p / out[2] % out[1], j = p % out[2];
    for (int64_t o = 0; o < s->out; o++) {
      double sum = t[2] ? values(t[2])[o] : 0, d = dy[p * s->out + o];
      for (int64_t k = 0; k < s->kh * s->kw * part_in; k++) {
        int64_t h = i * s->stride - s->padding + k / part_in / s->kw * s->dilation;
        int64_t v = j * s->stride - s->padding + k / part_in % s->kw * s->dilation;
        if (h < 0 || h >= s->height || v < 0 || v >= s->width) continue;
        int64_t at = ((n * s->height + h) * s->width + v) * s->in + o / part_out * part_in + k % part_in;
        sum += (double)x[at] * w[k * s->out + o];
        dx[at] += d * w[k * s->out + o];
        dw[k * s->out + o] += d * x[at];
      }
      y[p * s->out + o] = sum;
      db[o] += d;
    }
  }
}

static void check_shapes(double within) {
  for (int i = 0; i < SHAPES; i++) {
    const shape *s = &shapes[i];
    nn_param params[NN_MAX_PARAMS];
    nn_tensor *x[3];
    fill_params(s, params);
    draw(s, x, i % 2 == 0);
    passes p = both_ways("conv2d", x, 3, params);
    int64_t count[4] = { nn_tensor_count(p.y), nn_tensor_count(x[0]), nn_tensor_count(x[1]), s->out };
    double *wanted[4];
    for (int k = 0; k < 4; k++) assert_non_null(wanted[k] = calloc((size_t)count[k], sizeof **wanted));
    reference(s, x, values(p.dy), nn_tensor_sizes(p.y), wanted[0], wanted[1], wanted[2], wanted[3]);
    char what[64];
    for (int k = 0; k < (x[2] ? 4 : 3); k++) {
      snprintf(what, sizeof what, "shape %d, %s", i, (const char *const[]){ "y", "dx", "dweight", "dbias" }[k]);
      assert_near(values(k ? p.dx[k - 1] : p.y), wanted[k], count[k], within, what);
    }
    for (int k = 0; k < 4; k++) free(wanted[k]);
    passes_free(&p);
    release_all(x, 3);
  }
}

static void test_against_loops(void **state) {
  (void)state;
  check_shapes(5 * tolerance);
  assert_int_equal(nn_set_precision("exact"), NN_OK);
  check_shapes(tolerance);
  assert_int_equal(nn_set_precision("fast"), NN_OK);
  ASSERT_FAILED(nn_set_precision("best"), NN_EARGUMENT, "precision: ", "\"fast\" or \"exact\" expected", "\"best\"");
  assert_string_equal(nn_precision(), "fast");
}

static void test_same_bits(void **state) {
  (void)state;
  static const shape larger[] = {
    { 16, 14, 14, 16, 32, 3, 3, 1, 1, 1, 1 }, { 9, 14, 14, 64, 64, 3, 3, 2, 1, 1, 1 },
    { 8, 8, 8, 256, 256, 3, 3, 1, 1, 1, 1 },  { 5, 16, 16, 24, 24, 3, 3, 1, 1, 1, 24 },
    { 7, 9, 9, 96, 40, 1, 1, 1, 0, 1, 1 },    { 1, 64, 64, 3, 64, 7, 7, 2, 3, 1, 1 },
  };
  for (size_t i = 0; i < SHAPES + sizeof larger / sizeof *larger; i++) {
    const shape *s = i < SHAPES ? &shapes[i] : &larger[i - SHAPES];
    nn_param params[NN_MAX_PARAMS];
    nn_tensor *x[3];
    fill_params(s, params);
    draw(s, x, true);
    check_threads("conv2d", x, 3, params);
    release_all(x, 3);
  }
}

static void test_gradients_left_out(void **state) {
  (void)state;
  nn_tensor *x[3], *y;
  nn_param params[NN_MAX_PARAMS];
  fill_params(&shapes[0], params);
  draw(&shapes[0], x, true);
  for (int wanted = 0; wanted < 3; wanted++) {
    for (int i = 0; i < 3; i++) assert_int_equal(nn_tensor_set_requires_grad(x[i], i == wanted), NN_OK);
    assert_int_equal(nn_apply(nn_op_find("conv2d"), x, 3, params, &y), NN_OK);
    assert_int_equal(nn_backward(y, y, false), NN_OK);
    for (int i = 0; i < 3; i++) assert_true((nn_tensor_grad(x[i]) != NULL) == (i == wanted));
    nn_tensor_clear_grad(x[wanted]);
    nn_tensor_release(y);
  }
  release_all(x, 3);
}

static void test_memory(void **state) {
  (void)state;
  static const int some[] = { 0, 1, 4, 6, 7, 8, 18 };  /* each way of computing */
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
    nn_param params[NN_MAX_PARAMS];
    nn_tensor *x[3];
    fill_params(&shapes[some[i]], params);
    draw(&shapes[some[i]], x, true);
    check_memory("conv2d", x, 3, params);
    release_all(x, 3);
  }
}

static void test_interrupt(void **state) {
  (void)state;
  nn_tensor *x[3], *y = NULL;
  nn_param params[NN_MAX_PARAMS];
  fill_params(&shapes[0], params);
  draw(&shapes[0], x, false);
  nn_interrupt();
  assert_int_equal(nn_apply(nn_op_find("conv2d"), x, 3, params, &y), NN_EINTERRUPT);
  assert_null(y);
  nn_interrupt_clear();
  assert_int_equal(nn_apply(nn_op_find("conv2d"), x, 3, params, &y), NN_OK);
  nn_tensor_release(y);
  release_all(x, 3);
}

static void test_empty_batch(void **state) {
  (void)state;
  nn_tensor *x[3] = { nn_tensor_new(NN_REAL, 4, (int64_t[]){ 0, 5, 5, 3 }), DRAWN(1, 3, 3, 3, 4), NULL }, *y;
  nn_tensor_set_requires_grad(x[1], true);
  assert_int_equal(nn_apply(nn_op_find("conv2d"), x, 3, NULL, &y), NN_OK);
  assert_int_equal(nn_tensor_size(y, 0), 0);
  assert_int_equal(nn_tensor_size(y, 3), 4);
  assert_int_equal(nn_backward(y, y, false), NN_OK);
  nn_tensor_release(y);
  release_all(x, 3);
}

static int apply_sizes(const int64_t *x_size, const int64_t *w_size, const int64_t *b_size, int64_t padding,
                       int64_t groups) {
  nn_tensor *x[3] = { drawn(1, x_size), drawn(2, w_size), b_size ? drawn(3, b_size) : NULL }, *y = NULL;
  nn_param params[NN_MAX_PARAMS] = { whole(1), whole(padding), whole(1), whole(groups) };
  int status = nn_apply(nn_op_find("conv2d"), x, 3, params, &y);
  assert_null(y);
  release_all(x, 3);
  return status;
}
#define SIZES(...) (const int64_t[NN_MAX_AXES + 1]){ __VA_ARGS__ }

static void test_messages(void **state) {
  (void)state;
  assert_int_equal(apply_sizes(SIZES(8, 28, 28, 1), SIZES(3, 3, 3, 16), NULL, 0, 1), NN_ESHAPE);
  assert_string_equal(nn_error(), "conv2d: weight expects 3 input channels, got 1 (x [8x28x28x1], weight [3x3x3x16])");
  ASSERT_FAILED(apply_sizes(SIZES(8, 28, 1), SIZES(3, 3, 1, 16), NULL, 0, 1), NN_ESHAPE,
                "x expects 4 axes", "got 3");
  ASSERT_FAILED(apply_sizes(SIZES(2, 9, 9, 6), SIZES(3, 3, 6, 4), NULL, 0, 4), NN_ESHAPE,
                "groups expects a divisor of 6");
  ASSERT_FAILED(apply_sizes(SIZES(2, 9, 9, 6), SIZES(3, 3, 6, 4), NULL, 0, 2), NN_ESHAPE,
                "weight expects 12 input channels, got 6");
  ASSERT_FAILED(apply_sizes(SIZES(2, 9, 9, 6), SIZES(3, 3, 6, 4), SIZES(5), 0, 1), NN_ESHAPE,
                "bias expects 1 axis of 4");
  ASSERT_FAILED(apply_sizes(SIZES(2, 3, 9, 6), SIZES(5, 5, 6, 4), NULL, 0, 1), NN_ESHAPE,
                "reaches over 5x5", "has 3x9");
  ASSERT_FAILED(apply_sizes(SIZES(2, 9, 9, 6), SIZES(5, 5, 6, 4), NULL, -1, 1), NN_EARGUMENT,
                "conv2d: padding", "at least 0");
}

/* Only the first pixel is seen: one class of pixels for each in an image, not for each in a stride. */
static void test_stride_beyond_the_image(void **state) {
  (void)state;
  nn_tensor *x[3] = { DRAWN(1, 1, 3, 2, 1), DRAWN(2, 1, 1, 1, 1), NULL }, *y = NULL, *dy = DRAWN(3, 1, 1, 1, 1);
  nn_param p[NN_MAX_PARAMS] = { whole((int64_t)1 << 30) };
  assert_int_equal(nn_tensor_set_requires_grad(x[0], true), NN_OK);
  assert_int_equal(nn_apply(nn_op_find("conv2d"), x, 3, p, &y), NN_OK);
  assert_true(values(y)[0] == values(x[0])[0] * values(x[1])[0]);
  assert_int_equal(nn_backward(y, dy, false), NN_OK);
  for (int i = 0; i < 6; i++)
    assert_true(values(nn_tensor_grad(x[0]))[i] == (i == 0 ? values(dy)[0] * values(x[1])[0] : 0));
  release_all((nn_tensor *[]){ x[0], x[1], y, dy }, 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_against_loops), cmocka_unit_test(test_same_bits), cmocka_unit_test(test_gradients_left_out),
    cmocka_unit_test(test_memory),        cmocka_unit_test(test_interrupt), cmocka_unit_test(test_empty_batch),
    cmocka_unit_test(test_messages),      cmocka_unit_test(test_stride_beyond_the_image),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
