/* test_matmul.c -- linear and matmul against plain loops in double; threads, memory, messages. */
#include "rows.h"

typedef struct {
  int64_t a[NN_MAX_AXES + 1], b[NN_MAX_AXES + 1], y[NN_MAX_AXES + 1];
} shape;

static const shape shapes[] = {
  { { 3, 4 }, { 4, 5 }, { 3, 5 } },
  { { 1, 1 }, { 1, 1 }, { 1, 1 } },
  { { 300, 17 }, { 17, 1 }, { 300, 1 } },
  { { 1, 700 }, { 700, 600 }, { 1, 600 } },
  { { 520, 90 }, { 90, 530 }, { 520, 530 } },
  { { 2, 3, 4 }, { 4, 2 }, { 2, 3, 2 } },
  { { 2, 3, 4 }, { 2, 4, 2 }, { 2, 3, 2 } },
  { { 3, 1, 2, 4 }, { 2, 4, 3 }, { 3, 2, 2, 3 } },
  { { 5, 1, 1, 3 }, { 1, 7, 3, 2 }, { 5, 7, 1, 2 } },
  { { 2, 4 }, { 3, 4, 2 }, { 3, 2, 2 } },
  { { 4 }, { 4 }, { 0 } },
  { { 4 }, { 2, 4, 3 }, { 2, 3 } },
  { { 2, 3, 4 }, { 4 }, { 2, 3 } },
  { { 70, 9, 8 }, { 70, 8, 7 }, { 70, 9, 7 } },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static int axes_of(const int64_t *size) {
  int axes = 0;
  while (size[axes]) axes++;
  return axes;
}

/* The place of a batch's matrix in an input, its batch axes aligned with those of the product at the end. */
static int64_t matrix_at(const int64_t *own, int own_axes, const int64_t *batch, int axes, int64_t index) {
  int64_t at = 0, step = 1;
  for (int i = axes - 1, k = own_axes - 1; i >= 0; index /= batch[i], i--, k--) {
    if (k < 0) continue;
    at += own[k] == 1 ? 0 : index % batch[i] * step;
    step *= own[k];
  }
  return at;
}

static void reference(const shape *s, nn_tensor *const x[2], const nn_real *dy, double *y, double *da, double *db) {
  int a_axes = axes_of(s->a), b_axes = axes_of(s->b);
  int64_t m = a_axes > 1 ? s->a[a_axes - 2] : 1, k = s->a[a_axes - 1], n = b_axes > 1 ? s->b[b_axes - 1] : 1;
  int axes = axes_of(s->y) - (a_axes > 1) - (b_axes > 1);
  int64_t batches = 1;
  for (int i = 0; i < axes; i++) batches *= s->y[i];
  for (int64_t p = 0; p < batches; p++) {
    int64_t at = matrix_at(s->a, a_axes - 2, s->y, axes, p) * m * k;
    int64_t bt = matrix_at(s->b, b_axes - 2, s->y, axes, p) * k * n;
    for (int64_t c = 0; c < m * n * k; c++) {
      int64_t i = c / (n * k), j = c / k % n, l = c % k;
      double u = (double)values(x[0])[at + i * k + l], v = (double)values(x[1])[bt + l * n + j];
      double d = (double)dy[(p * m + i) * n + j];
      y[(p * m + i) * n + j] += u * v;
      da[at + i * k + l] += d * v;
      db[bt + l * n + j] += d * u;
    }
  }
}

static void compare(const passes *p, nn_tensor *const *x, int inputs, double *const *wanted, const char *name,
                    int place) {
  char what[64];
  for (int i = 0; i <= inputs; i++) {
    if (i && !x[i - 1]) continue;
    const nn_tensor *t = i ? p->dx[i - 1] : p->y;
    snprintf(what, sizeof what, "%s, shape %d, %s %d", name, place, i ? "gradient" : "result", i);
    assert_near(values(t), wanted[i], nn_tensor_count(t), tolerance, what);
  }
}

static void test_matmul(void **state) {
  (void)state;
  for (int i = 0; i < SHAPES; i++) {
    const shape *s = &shapes[i];
    nn_tensor *x[2] = { drawn(1, s->a), drawn(2, s->b) };
    passes p = both_ways("matmul", x, 2, NULL);
    assert_int_equal(nn_tensor_axes(p.y), axes_of(s->y));
    assert_memory_equal(nn_tensor_sizes(p.y), s->y, (size_t)axes_of(s->y) * sizeof *s->y);
    double *wanted[3] = { calloc((size_t)nn_tensor_count(p.y), sizeof(double)),
                          calloc((size_t)nn_tensor_count(x[0]), sizeof(double)),
                          calloc((size_t)nn_tensor_count(x[1]), sizeof(double)) };
    reference(s, x, values(p.dy), wanted[0], wanted[1], wanted[2]);
    compare(&p, x, 2, wanted, "matmul", i);
    for (int k = 0; k < 3; k++) free(wanted[k]);
    passes_free(&p);
    check_threads("matmul", x, 2, NULL);
    if (nn_tensor_count(x[0]) < 100) check_memory("matmul", x, 2, NULL);
    release_all(x, 2);
  }
}

static void test_linear(void **state) {
  (void)state;
  static const int64_t sizes[][3] = { { 1, 1, 1 }, { 7, 17, 5 }, { 130, 3, 40 }, { 65, 300, 10 }, { 2, 520, 530 } };
  for (int i = 0; i < 5; i++) {
    int64_t rows = sizes[i][0], in = sizes[i][1], out = sizes[i][2];
    nn_tensor *x[3] = { i % 2 ? DRAWN(1, rows, in) : DRAWN(1, 1, rows, in), DRAWN(2, out, in),
                        i < 3 ? DRAWN(3, out) : NULL };
    passes p = both_ways("linear", x, 3, NULL);
    double *wanted[4];
    for (int k = 0; k < 4; k++) wanted[k] = calloc((size_t)(rows + out) * (size_t)(in + out), sizeof(double));
    for (int64_t c = 0; c < rows * out; c++) {
      int64_t r = c / out, o = c % out;
      double sum = x[2] ? (double)values(x[2])[o] : 0, d = (double)values(p.dy)[c];
      for (int64_t k = 0; k < in; k++) {
        double u = (double)values(x[0])[r * in + k], w = (double)values(x[1])[o * in + k];
        sum += u * w;
        wanted[1][r * in + k] += d * w;
        wanted[2][o * in + k] += d * u;
      }
      wanted[0][c] = sum;
      wanted[3][o] += d;
    }
    compare(&p, x, 3, wanted, "linear", i);
    for (int k = 0; k < 4; k++) free(wanted[k]);
    passes_free(&p);
    check_threads("linear", x, 3, NULL);
    release_all(x, 3);
  }
}

static void test_empty(void **state) {
  (void)state;
  nn_tensor *x[3] = { nn_tensor_new(NN_REAL, 2, (int64_t[]){ 0, 3 }), DRAWN(1, 2, 3), DRAWN(2, 2) }, *y;
  for (int i = 0; i < 3; i++) nn_tensor_set_requires_grad(x[i], true);
  assert_int_equal(nn_apply(nn_op_find("linear"), x, 3, NULL, &y), NN_OK);
  assert_int_equal(nn_backward(y, y, false), NN_OK);
  for (int i = 0; i < 6; i++) assert_true(values(nn_tensor_grad(x[1]))[i] == 0);
  nn_tensor_release(y);
  /* A product over nothing is zero. */
  nn_tensor *a = nn_tensor_new(NN_REAL, 2, (int64_t[]){ 2, 0 }), *b = nn_tensor_new(NN_REAL, 2, (int64_t[]){ 0, 3 });
  assert_int_equal(nn_apply(nn_op_find("matmul"), (nn_tensor *[]){ a, b }, 2, NULL, &y), NN_OK);
  for (int i = 0; i < 6; i++) assert_true(values(y)[i] == 0);
  nn_tensor_release(y);
  nn_tensor_release(a);
  nn_tensor_release(b);
  release_all(x, 3);
}

static void test_messages(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 2, 3), *w = DRAWN(2, 4, 5), *bias = DRAWN(3, 7), *batch = DRAWN(4, 3, 3, 2), *y = NULL;
  const nn_op *linear = nn_op_find("linear"), *matmul = nn_op_find("matmul");
  assert_int_equal(nn_apply(linear, (nn_tensor *[]){ x, w, NULL }, 3, NULL, &y), NN_ESHAPE);
  assert_string_equal(nn_error(), "linear: weight expects 3 inputs, got 5 (x [2x3], weight [4x5])");
  ASSERT_FAILED(nn_apply(linear, (nn_tensor *[]){ x, x, bias }, 3, NULL, &y), NN_ESHAPE, "bias expects 1 axis of 2");
  ASSERT_FAILED(nn_apply(matmul, (nn_tensor *[]){ x, w }, 2, NULL, &y), NN_ESHAPE, "b expects 3 rows, got 4");
  nn_tensor *four = DRAWN(5, 4, 2, 3);
  ASSERT_FAILED(nn_apply(matmul, (nn_tensor *[]){ four, batch }, 2, NULL, &y), NN_ESHAPE, "got 4 and 3");
  assert_null(y);
  release_all((nn_tensor *[]){ x, w, bias, batch, four }, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_matmul), cmocka_unit_test(test_linear), cmocka_unit_test(test_empty),
    cmocka_unit_test(test_messages),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
