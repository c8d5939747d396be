/* reduce.c -- sums, extremes and statistics over one, several or all axes.
 *
 * No axis means all of them. The axes that go disappear from y, or stay with size 1 when `keep` is set. Sums are kept
 * in double and cut by shape alone. Over no elements a sum or norm is 0; the others fail.
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "autograd/op.h"
#include "kernels/reduce.h"
#include "ops/layout.h"

enum { AXES, KEEP, OPTION };  /* places of the params */

static void axes_that_go(const nn_call *c, bool goes[NN_MAX_AXES]) {
  const nn_param *axes = &c->param[AXES];
  for (int i = 0; i < NN_MAX_AXES; i++) goes[i] = !axes->given;
  for (int i = 0; axes->given && i < axes->count; i++) goes[axes->list[i]] = true;
}

static nni_reduction reduction_of(const nn_call *c) {
  bool goes[NN_MAX_AXES];
  axes_that_go(c, goes);
  return nni_reduce_axes(&c->x_shape[0], goes);
}

static int reduced_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  bool goes[NN_MAX_AXES], keep = c->param[KEEP].integer;
  axes_that_go(c, goes);
  c->y_shape = (nn_shape){ .type = NN_REAL };
  for (int i = 0; i < x->axes; i++)
    if (!goes[i] || keep) c->y_shape.size[c->y_shape.axes++] = goes[i] ? 1 : x->size[i];
  return NN_OK;
}

static int reduced_shape_of_some(nn_call *c) {
  int64_t n = reduction_of(c).span.n;
  if (n == 0) return nn_fail(NN_ESHAPE, "expects at least one element to reduce");
  return reduced_shape(c);
}

/* Runs the gradient line: operands are dy, x and y (or the mean), as far as the line reads them. */
static int spread(nn_call *c, nnk_line *line, const nn_tensor *y, nn_real number) {
  const nn_shape *x = &c->x_shape[0];
  int64_t stride[NNK_OPERANDS][NN_MAX_AXES] = { { 0 } }, step = 1;
  bool goes[NN_MAX_AXES];
  axes_that_go(c, goes);
  nni_contiguous_strides(x->axes, x->size, stride[1]);
  for (int i = x->axes - 1; i >= 0; i--) {
    if (goes[i]) continue;
    stride[0][i] = stride[2][i] = step;
    step *= x->size[i];
  }
  nnk_walk walk = nnk_walk_over(x->axes, x->size, NNK_OPERANDS, stride);
  const nn_real *operand[] = { nni_real(c->dy), c->x[0] ? nni_real(c->x[0]) : NULL, y ? nni_real(y) : NULL };
  return nnk_walk_run(&walk, line, nni_real(c->dx[0]), NULL, operand, &number);
}

/* ---- sum and mean ---- */

static int sum_scaled(nn_call *c, double factor) {
  nni_reduction r = reduction_of(c);
  nn_real *copy;
  int status;
  const nn_real *x = nni_reduction_order(&r, nni_real(c->x[0]), &copy, &status);
  if (x) status = nnk_reduce_sum(nni_real(c->y), x, r.span, factor, false);
  nn_memory_put(copy);
  return status;
}

static double mean_factor(const nn_call *c) { return 1.0 / (double)reduction_of(c).span.n; }

static int sum_forward(nn_call *c) { return sum_scaled(c, 1); }
static int sum_backward(nn_call *c) { return spread(c, nnk_spread_grad, NULL, 1); }
static int mean_forward(nn_call *c) { return sum_scaled(c, mean_factor(c)); }
static int mean_backward(nn_call *c) { return spread(c, nnk_spread_grad, NULL, (nn_real)mean_factor(c)); }

/* ---- variance and norm ---- */

static int variance_shape(nn_call *c) {
  int64_t n = reduction_of(c).span.n, least = c->param[OPTION].integer ? 2 : 1;
  if (n < least) {
    return nn_fail(NN_ESHAPE, "expects at least %d element%s to reduce, got %lld", (int)least, least > 1 ? "s" : "",
                   (long long)n);
  }
  return reduced_shape(c);
}

static double variance_divisor(const nn_call *c) {
  return (double)(reduction_of(c).span.n - (c->param[OPTION].integer ? 1 : 0));
}

/* Two passes: the deviations are taken from the mean, so nothing cancels. */
static int variance_forward(nn_call *c) {
  nni_reduction r = reduction_of(c);
  int64_t count = r.span.outer * r.span.inner;
  nn_real *copy;
  int status;
  const nn_real *x = nni_reduction_order(&r, nni_real(c->x[0]), &copy, &status);
  double *mean = nn_memory_get((size_t)count * sizeof *mean), *total = nn_memory_get((size_t)count * sizeof *total);
  if (c->training) c->kept[0] = nn_tensor_new(NN_REAL, c->y_shape.axes, c->y_shape.size);
  if (!mean || !total || (c->training && !c->kept[0])) status = NN_EMEMORY;
  if (status == NN_OK) status = nnk_reduce(mean, x, r.span, NNK_SUM, NULL, 0);
  for (int64_t i = 0; i < count && status == NN_OK; i++) mean[i] /= (double)r.span.n;
  if (status == NN_OK) status = nnk_reduce(total, x, r.span, NNK_SUM_DEVIATION, mean, 0);
  for (int64_t i = 0; i < count && status == NN_OK; i++) {
    nni_real(c->y)[i] = (nn_real)(total[i] / variance_divisor(c));
    if (c->training) nni_real(c->kept[0])[i] = (nn_real)mean[i];
  }
  nn_memory_put(total);
  nn_memory_put(mean);
  nn_memory_put(copy);
  return status;
}

static int variance_backward(nn_call *c) {
  return spread(c, nnk_deviation_grad, c->kept[0], (nn_real)(2 / variance_divisor(c)));
}

static int norm_shape(nn_call *c) {
  if (isinf(c->param[OPTION].number))
    return nn_fail(NN_EARGUMENT, "expects a finite p; the largest magnitude is x:abs():max()");
  return reduced_shape(c);
}

static int norm_forward(nn_call *c) {
  nni_reduction r = reduction_of(c);
  int64_t count = r.span.outer * r.span.inner;
  double p = c->param[OPTION].number;
  nnk_term term = p == 2 ? NNK_SUM_SQUARE : p == 1 ? NNK_SUM_ABS : NNK_SUM_POWER;
  nn_real *copy;
  int status;
  const nn_real *x = nni_reduction_order(&r, nni_real(c->x[0]), &copy, &status);
  double *total = nn_memory_get((size_t)count * sizeof *total);
  if (!total) status = NN_EMEMORY;
  if (status == NN_OK) status = nnk_reduce(total, x, r.span, term, NULL, p);
  for (int64_t i = 0; i < count && status == NN_OK; i++)
    nni_real(c->y)[i] = (nn_real)(p == 2 ? sqrt(total[i]) : p == 1 ? total[i] : pow(total[i], 1 / p));
  nn_memory_put(total);
  nn_memory_put(copy);
  return status;
}

static int norm_backward(nn_call *c) { return spread(c, nnk_norm_grad, c->y, (nn_real)c->param[OPTION].number); }

/* ---- extremes ---- */

/* Leaves the extremes in y, or their places when y is an index; keeps the places for backward. */
static int extreme(nn_call *c, int sign) {
  nni_reduction r = reduction_of(c);
  nn_real *values = NULL, *copy;
  int32_t *places = NULL;
  int status;
  const nn_real *x = nni_reduction_order(&r, nni_real(c->x[0]), &copy, &status);
  if (c->y->type == NN_INDEX) {
    places = nni_int32(c->y);
    values = nn_memory_get((size_t)nn_tensor_count(c->y) * sizeof *values);
    if (!values) status = NN_EMEMORY;
  } else if (c->training) {
    c->kept[0] = nn_tensor_new(NN_INT32, c->y_shape.axes, c->y_shape.size);
    if (c->kept[0]) places = nni_int32(c->kept[0]);
    else status = NN_EMEMORY;
  }
  if (status == NN_OK) status = nnk_extreme(values ? values : nni_real(c->y), places, x, r.span, sign);
  nn_memory_put(values);
  nn_memory_put(copy);
  return status;
}

static int max_forward(nn_call *c) { return extreme(c, 1); }
static int min_forward(nn_call *c) { return extreme(c, -1); }

static int extreme_backward(nn_call *c) {
  nni_reduction r = reduction_of(c);
  const int32_t *place = nni_int32(c->kept[0]);
  if (r.as_it_lies) return nnk_extreme_grad(nni_real(c->dx[0]), nni_real(c->dy), place, r.span);
  int64_t stride[NN_MAX_AXES];
  nni_contiguous_strides(r.axes, r.size, stride);
  nn_real *moved = nn_memory_get_zeroed((size_t)nni_count(r.axes, r.size) * sizeof *moved);
  if (!moved) return NN_EMEMORY;
  int status = nnk_extreme_grad(moved, nni_real(c->dy), place, r.span);
  if (status == NN_OK) status = nnk_add_strided(nni_real(c->dx[0]), r.stride, moved, stride, r.axes, r.size);
  nn_memory_put(moved);
  return status;
}

/* Places are 32-bit. */
static int check_places(const nn_call *c) {
  int64_t n = reduction_of(c).span.n;
  return n <= INT32_MAX ? NN_OK : nn_fail(NN_ESHAPE, "expects at most %d elements, got %lld", INT32_MAX, (long long)n);
}

static int extreme_shape(nn_call *c) {
  int status = reduced_shape_of_some(c);
  return status == NN_OK && c->training ? check_places(c) : status;
}

/* One axis or all: the single axis becomes a list, as the other reductions have it. */
static int place_shape(nn_call *c) {
  nn_param *axis = &c->param[AXES];
  axis->count = 1;
  axis->list[0] = axis->integer;
  int status = reduced_shape_of_some(c);
  if (status != NN_OK) return status;
  c->y_shape.type = NN_INDEX;
  return check_places(c);
}

#define AXES_DOC " Without an axis, over all of them; keep = true leaves the axes with size 1."
#define SHAPES "x=2x3x4; x=2x3x4 axis=1; x=2x3x4 axis=2 keep=true; x=2x3x4 axis=3; x=2x3x4 axis=1,3"
#define DISTINCT "x=2x3x4 distinct; x=2x3x4 distinct axis=2; x=2x3x4 distinct axis=-1 keep=true; "                  \
  "x=2x3x4 distinct axis=1,3"

const nn_op nn_ops_reduce[] = {
  { .name = "sum", .signature = "x:tensor axis:axes? {keep:boolean=false}", .doc = "The sum of x over axes." AXES_DOC,
    .returns = "float, x's shape without the axes; with keep = true they have size 1",
    .example = "x = nn.tensor { { 1, 2, 3 }, { 4, 5, 6 } }\n"
               "x:sum():item()                          --> 21.0\n"
               "x:sum(2):tolist()                       --> { 6.0, 15.0 }\n"
               "x:sum({ 1, 2 }, { keep = true }).shape  --> { 1, 1 }\n"
               "nn.ones({ 2, 3 }):sum(3)  --> error: sum: axis 3 is not one of the tensor's 2 (x [2x3])",
    .shape = reduced_shape, .forward = sum_forward, .backward = sum_backward, .check = SHAPES },
  { .name = "mean", .signature = "x:tensor axis:axes? {keep:boolean=false}",
    .doc = "The mean of x over axes." AXES_DOC,
    .returns = "float, x's shape without the axes; with keep = true they have size 1",
    .example = "images = nn.uniform({ 8, 28, 28, 3 }, { seed = 1 })\n"
               "images:mean({ 1, 2, 3 }):tolist()  --> { 0.50604, 0.50256, 0.50288 }",
    .shape = reduced_shape_of_some, .forward = mean_forward, .backward = mean_backward, .check = SHAPES },
  { .name = "variance", .signature = "x:tensor axis:axes? {keep:boolean=false, unbiased:boolean=true}",
    .doc = "The variance of x over axes: the squared distances from the mean, summed and divided by n - 1, or by n "
           "with unbiased = false." AXES_DOC,
    .returns = "float, x's shape without the axes; with keep = true they have size 1",
    .example = "x = nn.tensor { 1, 2, 3, 4 }\n"
               "x:variance():item()                      --> 1.6667\n"
               "x:variance({ unbiased = false }):item()  --> 1.25",
    .shape = variance_shape, .forward = variance_forward, .backward = variance_backward, .saves = NN_SAVE_X0,
    .check = SHAPES "; x=2x3x4 axis=2 unbiased=false" },
  { .name = "norm", .signature = "x:tensor axis:axes? {keep:boolean=false, p:number=2 >0}",
    .doc = "The p-norm of x over axes, (sum |x|^p)^(1/p). The gradient is 0 where the norm or the element is 0."
           AXES_DOC,
    .returns = "float, x's shape without the axes; with keep = true they have size 1",
    .example = "x = nn.tensor { { 3, 4 }, { 0, 1 } }\n"
               "x:norm(2):tolist()             --> { 5.0, 1.0 }\n"
               "x:norm(2, { p = 1 }):tolist()  --> { 7.0, 1.0 }",
    .shape = norm_shape, .forward = norm_forward, .backward = norm_backward, .saves = NN_SAVE_X0 | NN_SAVE_Y,
    .check = "x=2x3x4 away 0; x=2x3x4 away 0 axis=2; x=2x3x4 away 0 axis=1,3 p=1; "
             "x=2x3x4 away 0 axis=3 p=3 keep=true" },
  { .name = "max", .signature = "x:tensor axis:axes? {keep:boolean=false}",
    .doc = "The greatest element of x over axes, NaN if one is. The gradient goes to the first of equals." AXES_DOC,
    .returns = "float, x's shape without the axes; with keep = true they have size 1",
    .example = "x = nn.tensor { { 1, 9, 3 }, { 4, 5, 6 } }\n"
               "x:max():item()     --> 9.0\n"
               "x:max(2):tolist()  --> { 9.0, 6.0 }",
    .shape = extreme_shape, .forward = max_forward, .backward = extreme_backward, .check = DISTINCT },
  { .name = "min", .signature = "x:tensor axis:axes? {keep:boolean=false}",
    .doc = "The least element of x over axes, NaN if one is. The gradient goes to the first of equals." AXES_DOC,
    .returns = "float, x's shape without the axes; with keep = true they have size 1",
    .example = "x = nn.tensor { { 1, 9, 3 }, { 4, 5, 6 } }\n"
               "x:min(1):tolist()  --> { 1.0, 5.0, 3.0 }",
    .shape = extreme_shape, .forward = min_forward, .backward = extreme_backward, .check = DISTINCT },
  { .name = "argmax", .signature = "x:tensor axis:axis? {keep:boolean=false}",
    .doc = "The position of the greatest element of x along an axis, or in all of x read row by row: an index tensor. "
           "The first of equals counts, and a NaN beats every number.",
    .returns = "index, x's shape without the axis; with keep = true it has size 1",
    .example = "logits = nn.tensor { { 1, 9, 3 }, { 4, 5, 6 } }\n"
               "logits:argmax(2):tolist()  --> { 2, 3 }\n"
               "logits:argmax():item()     --> 2",
    .shape = place_shape, .forward = max_forward, .check = "x=2x3x4 distinct; x=2x3x4 distinct axis=2" },
  { .name = "argmin", .signature = "x:tensor axis:axis? {keep:boolean=false}",
    .doc = "The position of the least element of x along an axis, or in all of x read row by row: an index tensor. "
           "The first of equals counts, and a NaN beats every number.",
    .returns = "index, x's shape without the axis; with keep = true it has size 1",
    .example = "nn.tensor({ { 1, 9, 3 }, { 4, 5, 6 } }):argmin(2):tolist()  --> { 1, 1 }",
    .shape = place_shape, .forward = min_forward, .check = "x=2x3x4 distinct; x=2x3x4 distinct axis=2" },
  { 0 },
};
