/* matmul.c -- matrix products as ops. */
#include <string.h>

#include "autograd/op.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"

/* ---- linear ---- */

enum { X, WEIGHT, BIAS };

static int linear_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[X], *w = &c->x_shape[WEIGHT], *b = &c->x_shape[BIAS];
  if (w->axes != 2) return nn_fail(NN_ESHAPE, "weight expects 2 axes (out, in), got %d", w->axes);
  if (x->axes < 1) return nn_fail(NN_ESHAPE, "x expects at least 1 axis, got 0");
  if (x->size[x->axes - 1] != w->size[1])
    return nn_fail(NN_ESHAPE, "weight expects %lld inputs, got %lld", (long long)x->size[x->axes - 1],
                   (long long)w->size[1]);
  if (b->axes >= 0 && (b->axes != 1 || b->size[0] != w->size[0]))
    return nn_fail(NN_ESHAPE, "bias expects 1 axis of %lld outputs", (long long)w->size[0]);
  c->y_shape = *x;
  c->y_shape.size[x->axes - 1] = w->size[0];
  return NN_OK;
}

static int64_t linear_rows(const nn_call *c) { return nni_shape_span(&c->x_shape[X], 0, c->x_shape[X].axes - 1); }

static double linear_flops(const nn_call *c) {
  return (2 * (double)c->x_shape[WEIGHT].size[1] + (c->x_shape[BIAS].axes >= 0)) * (double)nni_shape_count(&c->y_shape);
}

static int linear_forward(nn_call *c) {
  int64_t rows = linear_rows(c), out = c->x_shape[WEIGHT].size[0], in = c->x_shape[WEIGHT].size[1];
  nn_real *y = nni_real(c->y);
  if (c->x[BIAS]) {
    int status = nnk_fill_rows(y, nni_real(c->x[BIAS]), rows, out);
    if (status != NN_OK) return status;
  }
  return nnk_gemm(y, out, (nnk_matrix){ nni_real(c->x[X]), in, false },
                  (nnk_matrix){ nni_real(c->x[WEIGHT]), in, true }, rows, out, in, c->x[BIAS] != NULL);
}

/* dx += dy W, dW += dy' x, db += sum of dy */
static int linear_backward(nn_call *c) {
  int64_t rows = linear_rows(c), out = c->x_shape[WEIGHT].size[0], in = c->x_shape[WEIGHT].size[1];
  const nn_real *dy = nni_real(c->dy);
  int status = NN_OK;
  if (c->dx[X]) {
    status = nnk_gemm(nni_real(c->dx[X]), in, (nnk_matrix){ dy, out, false },
                      (nnk_matrix){ nni_real(c->x[WEIGHT]), in, false }, rows, in, out, true);
  }
  if (c->dx[WEIGHT] && status == NN_OK) {
    status = nnk_gemm(nni_real(c->dx[WEIGHT]), in, (nnk_matrix){ dy, out, true },
                      (nnk_matrix){ nni_real(c->x[X]), in, false }, out, in, rows, true);
  }
  if (c->dx[BIAS] && status == NN_OK) status = nnk_sum_rows(nni_real(c->dx[BIAS]), dy, rows, out);
  return status;
}

/* ---- matmul ---- */

enum { A, B };

/* Matrices of an input: an input of one axis is one row (A) or one column (B). */
typedef struct {
  int64_t rows, columns, batches;
  int batch_axes;
} stack;

static stack stack_of(const nn_shape *s, bool left) {
  if (s->axes == 1) return (stack){ left ? 1 : s->size[0], left ? s->size[0] : 1, 1, 0 };
  return (stack){ s->size[s->axes - 2], s->size[s->axes - 1], nni_shape_span(s, 0, s->axes - 2), s->axes - 2 };
}

static int matmul_shape(nn_call *c) {
  const nn_shape *a = &c->x_shape[A], *b = &c->x_shape[B];
  if (a->axes < 1 || b->axes < 1) return nn_fail(NN_ESHAPE, "matrices or vectors expected, got a tensor without axes");
  stack p = stack_of(a, true), q = stack_of(b, false);
  if (p.columns != q.rows)
    return nn_fail(NN_ESHAPE, "b expects %lld rows, got %lld", (long long)p.columns, (long long)q.rows);
  nn_shape *y = &c->y_shape;
  int axes = p.batch_axes > q.batch_axes ? p.batch_axes : q.batch_axes;
  *y = (nn_shape){ .type = NN_REAL, .axes = axes };
  for (int i = 0; i < axes; i++) {  /* from the last axis to the first */
    int64_t s = i < p.batch_axes ? a->size[p.batch_axes - 1 - i] : 1;
    int64_t t = i < q.batch_axes ? b->size[q.batch_axes - 1 - i] : 1;
    if (s != t && s != 1 && t != 1)
      return nn_fail(NN_ESHAPE, "batch axes that agree or are 1 expected, got %lld and %lld", (long long)s,
                     (long long)t);
    y->size[axes - 1 - i] = s == 1 ? t : s;
  }
  if (a->axes > 1) y->size[y->axes++] = p.rows;
  if (b->axes > 1) y->size[y->axes++] = q.columns;
  return NN_OK;
}

static double matmul_flops(const nn_call *c) {
  return 2 * (double)stack_of(&c->x_shape[A], true).columns * (double)nni_shape_count(&c->y_shape);
}

/* Which matrix of an input takes part in product `place`: batch axes of size 1 repeat. */
static int64_t place_in(const nn_shape *s, int batch_axes, const nn_shape *y, int y_axes, int64_t place) {
  int64_t at = 0, step = 1;
  for (int i = 0; i < y_axes; i++) {
    int64_t size = y->size[y_axes - 1 - i], own = i < batch_axes ? s->size[batch_axes - 1 - i] : 1;
    at += place % size % own * step;
    step *= own;
    place /= size;
  }
  return at;
}

typedef struct {
  stack a, b;
  int64_t batches;
  int64_t *a_place, *b_place;         /* [batches] */
  int64_t *first, *left, *right;      /* terms of the products, as nnk_gemm_many wants them */
} products;

static int plan(const nn_call *c, products *p) {
  const nn_shape *a = &c->x_shape[A], *b = &c->x_shape[B];
  p->a = stack_of(a, true);
  p->b = stack_of(b, false);
  int axes = p->a.batch_axes > p->b.batch_axes ? p->a.batch_axes : p->b.batch_axes;
  p->batches = nni_shape_span(&c->y_shape, 0, axes);
  /* One matrix on the right serves all rows on the left at once. */
  if (p->b.batches == 1 && p->batches == p->a.batches) {
    p->a.rows *= p->a.batches;
    p->a.batches = p->batches = 1;
  }
  int64_t n = p->batches;
  p->a_place = nn_memory_get((size_t)(5 * n + 1) * sizeof *p->a_place);
  if (!p->a_place) return NN_EMEMORY;
  p->b_place = p->a_place + n, p->left = p->b_place + n, p->right = p->left + n, p->first = p->right + n;
  for (int64_t i = 0; i < n; i++) {
    p->a_place[i] = p->a.batches == 1 ? 0 : place_in(a, p->a.batch_axes, &c->y_shape, axes, i);
    p->b_place[i] = p->b.batches == 1 ? 0 : place_in(b, p->b.batch_axes, &c->y_shape, axes, i);
  }
  return NN_OK;
}

/* Sorts the products by the matrix they add to: to [batches] -> first, order. */
static void sort_terms(const products *p, const int64_t *to, int64_t targets, int64_t *first, int64_t *order) {
  memset(first, 0, (size_t)(targets + 1) * sizeof *first);
  for (int64_t i = 0; i < p->batches; i++) first[to[i] + 1]++;
  for (int64_t t = 0; t < targets; t++) first[t + 1] += first[t];
  for (int64_t i = 0; i < p->batches; i++) order[first[to[i]]++] = i;
  for (int64_t t = targets; t > 0; t--) first[t] = first[t - 1];
  first[0] = 0;
}

static int matmul_forward(nn_call *c) {
  products p;
  int status = plan(c, &p);
  if (status != NN_OK) return status;
  int64_t m = p.a.rows, n = p.b.columns, k = p.a.columns;
  for (int64_t i = 0; i <= p.batches; i++) p.first[i] = i;
  status = nnk_gemm_batched(&(nnk_gemm_many){
    .c = nni_real(c->y), .c_stride = m * n, .ldc = n, .m = m, .n = n, .k = k, .count = p.batches,
    .a = { nni_real(c->x[A]), k, false }, .a_stride = m * k, .b = { nni_real(c->x[B]), n, false }, .b_stride = k * n,
    .first = p.first, .a_place = p.a_place, .b_place = p.b_place });
  nn_memory_put(p.a_place);
  return status;
}

/* da_i += sum of dy b' over the products that used a_i, db_i += sum of a' dy */
static int matmul_backward(nn_call *c) {
  products p;
  if (nni_shape_count(&c->y_shape) == 0) return NN_OK;
  int status = plan(c, &p);
  if (status != NN_OK) return status;
  int64_t m = p.a.rows, n = p.b.columns, k = p.a.columns;
  nn_real *dy = nni_real(c->dy);
  if (c->dx[A]) {
    sort_terms(&p, p.a_place, p.a.batches, p.first, p.left);
    for (int64_t i = 0; i < p.batches; i++) p.right[i] = p.b_place[p.left[i]];
    status = nnk_gemm_batched(&(nnk_gemm_many){
      .c = nni_real(c->dx[A]), .c_stride = m * k, .ldc = k, .m = m, .n = k, .k = n, .count = p.a.batches, .add = true,
      .a = { dy, n, false }, .a_stride = m * n, .b = { nni_real(c->x[B]), n, true }, .b_stride = k * n,
      .first = p.first, .a_place = p.left, .b_place = p.right });
  }
  if (c->dx[B] && status == NN_OK) {
    sort_terms(&p, p.b_place, p.b.batches, p.first, p.right);
    for (int64_t i = 0; i < p.batches; i++) p.left[i] = p.a_place[p.right[i]];
    status = nnk_gemm_batched(&(nnk_gemm_many){
      .c = nni_real(c->dx[B]), .c_stride = k * n, .ldc = n, .m = k, .n = n, .k = m, .count = p.b.batches, .add = true,
      .a = { nni_real(c->x[A]), k, true }, .a_stride = m * k, .b = { dy, n, false }, .b_stride = m * n,
      .first = p.first, .a_place = p.left, .b_place = p.right });
  }
  nn_memory_put(p.a_place);
  return status;
}

const nn_op nn_ops_matmul[] = {
  { .name = "linear",
    .signature = "x:tensor weight:tensor bias:tensor?",
    .doc = "y = x weight' + bias over the last axis: x [... x in], weight [out x in], bias [out].",
    .returns = "float [... x out]",
    .example = "x, weight, bias = nn.ones { 8, 3 }, nn.ones { 5, 3 }, nn.zeros { 5 }\n"
               "nn.linear(x, weight, bias).shape  --> { 8, 5 }\n"
               "nn.linear(x, nn.ones { 5, 4 })\n"
               "--> error: linear: weight expects 3 inputs, got 4 (x [8x3], weight [5x4])",
    .shape = linear_shape,
    .forward = linear_forward,
    .backward = linear_backward,
    .flops = linear_flops,
    .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "x=3x4 weight=5x4 bias=5; x=2x3x4 weight=2x4; x=4 weight=3x4 bias=3" },
  { .name = "matmul",
    .signature = "a:tensor b:tensor",
    .doc =
        "Product of matrices a [... x m x k] and b [... x k x n]; batch axes that are 1 or absent repeat. An input of "
        "one axis is a row on the left, a column on the right, and its axis is dropped from the result.",
    .returns = "float [... x m x n]",
    .example = "a, b = nn.tensor { { 1, 2 }, { 3, 4 } }, nn.tensor { { 0, 1 }, { 1, 0 } }\n"
               "a:matmul(b)\n"
               "--> float [2x2]  min 1  mean 2.5  max 4\n"
               "-->           2         1\n"
               "-->           4         3\n"
               "nn.matmul(a, nn.tensor { 1, 1 }):tolist()  --> { 3.0, 7.0 }\n"
               "a:matmul(nn.ones { 3, 2 })  --> error: matmul: b expects 2 rows, got 3 (a [2x2], b [3x2])",
    .shape = matmul_shape,
    .forward = matmul_forward,
    .backward = matmul_backward,
    .flops = matmul_flops,
    .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "a=3x4 b=4x5; a=2x3x4 b=4x2; a=2x3x4 b=2x4x2; a=3x1x2x4 b=2x4x3; a=2x4 b=3x4x2; a=4 b=4; a=4 b=2x4x3;"
             "a=2x3x4 b=4" },
  { 0 },
};
