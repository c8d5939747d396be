/* loss.c -- losses of a batch: one value for each row, then their mean, their sum, or all of them. */
#include "autograd/op.h"
#include "kernels/loss.h"
#include "ops/layout.h"

typedef enum { MEAN, SUM, NONE, MEAN_ALL } reduction;

static void set_shape(nn_call *c, int64_t rows, reduction how) {
  c->y_shape = (nn_shape){ .type = NN_REAL, .axes = how == NONE, .size = { rows } };
}

/* What a row's loss is multiplied by on its way into y. */
static double factor_of(reduction how, int64_t rows, int64_t width) {
  return how == MEAN ? 1 / (double)rows : how == MEAN_ALL ? 1 / ((double)rows * (double)width) : 1;
}

/* y from the rows' losses. There are few rows, and they are added in order. */
static void reduce_rows(nn_call *c, const double *loss, int64_t rows, reduction how, double factor) {
  nn_real *y = nni_real(c->y);
  double sum = 0;
  for (int64_t i = 0; i < rows; i++) {
    if (how == NONE) y[i] = (nn_real)(factor * loss[i]);
    else sum += loss[i];
  }
  if (how != NONE) y[0] = (nn_real)(factor * sum);
}

static nnk_weight weight_of(const nn_call *c, reduction how, double factor) {
  return (nnk_weight){ nni_real(c->dy), how == NONE, (nn_real)factor };
}

static nn_real *gradient_of(const nn_call *c, int i) { return c->dx[i] ? nni_real(c->dx[i]) : NULL; }

/* logits [n x classes] and target [n]; `how` is the place of the reduction among the params. */
static int classes_shape(nn_call *c, int how) {
  const nn_shape *z = &c->x_shape[0], *target = &c->x_shape[1];
  if (z->axes != 2) return nn_fail(NN_ESHAPE, "logits expects two axes, rows and classes, got %d", z->axes);
  if (z->size[0] == 0 || z->size[1] == 0) return nn_fail(NN_ESHAPE, "logits expects at least one row and one class");
  if (target->axes != 1 || target->size[0] != z->size[0])
    return nn_fail(NN_ESHAPE, "target expects one class for each of %lld rows", (long long)z->size[0]);
  set_shape(c, z->size[0], (reduction)c->param[how].integer);
  return NN_OK;
}

static int check_target(const nn_call *c) {
  return nni_check_index(c->x[1], c->x_shape[0].size[1], "target", "classes", "row");
}

/* ---- cross_entropy: params smoothing, reduction ---- */

static int cross_entropy_shape(nn_call *c) { return classes_shape(c, 1); }

static int cross_entropy_forward(nn_call *c) {
  int64_t rows = c->x_shape[0].size[0], classes = c->x_shape[0].size[1];
  reduction how = (reduction)c->param[1].integer;
  int status = check_target(c);
  if (status != NN_OK) return status;
  double *loss = nn_memory_get((size_t)rows * sizeof *loss);
  if (!loss) return NN_EMEMORY;
  status = nnk_cross_entropy(loss, nni_real(c->x[0]), nni_int32(c->x[1]), rows, classes, c->param[0].number);
  if (status == NN_OK) reduce_rows(c, loss, rows, how, factor_of(how, rows, classes));
  nn_memory_put(loss);
  return status;
}

static int cross_entropy_backward(nn_call *c) {
  int64_t rows = c->x_shape[0].size[0], classes = c->x_shape[0].size[1];
  reduction how = (reduction)c->param[1].integer;
  return nnk_cross_entropy_grad(nni_real(c->dx[0]), weight_of(c, how, factor_of(how, rows, classes)),
                                nni_real(c->x[0]), nni_int32(c->x[1]), rows, classes, c->param[0].number);
}

/* ---- squared_distance: param reduction ---- */

static int distance_shape(nn_call *c) {
  const nn_shape *a = &c->x_shape[0], *b = &c->x_shape[1];
  bool same = a->axes == b->axes;
  for (int i = 0; same && i < a->axes; i++) same = a->size[i] == b->size[i];
  if (!same) return nn_fail(NN_ESHAPE, "a and b expect the same shape");
  if (a->axes == 0 || nni_shape_count(a) == 0) return nn_fail(NN_ESHAPE, "a and b expect rows: one axis or more");
  set_shape(c, a->size[0], (reduction)c->param[0].integer);
  return NN_OK;
}

static int distance_forward(nn_call *c) {
  const nn_shape *a = &c->x_shape[0];
  int64_t rows = a->size[0], width = nni_shape_span(a, 1, a->axes);
  reduction how = (reduction)c->param[0].integer;
  double *loss = nn_memory_get((size_t)rows * sizeof *loss);
  if (!loss) return NN_EMEMORY;
  int status = nnk_squared_distance(loss, nni_real(c->x[0]), nni_real(c->x[1]), rows, width);
  if (status == NN_OK) reduce_rows(c, loss, rows, how, factor_of(how, rows, width));
  nn_memory_put(loss);
  return status;
}

static int distance_backward(nn_call *c) {
  const nn_shape *a = &c->x_shape[0];
  int64_t rows = a->size[0], width = nni_shape_span(a, 1, a->axes);
  reduction how = (reduction)c->param[0].integer;
  return nnk_squared_distance_grad(gradient_of(c, 0), gradient_of(c, 1),
                                   weight_of(c, how, factor_of(how, rows, width)), nni_real(c->x[0]),
                                   nni_real(c->x[1]), rows, width);
}

/* ---- kl_divergence: params temperature, reduction ---- */

static int divergence_shape(nn_call *c) {
  const nn_shape *p = &c->x_shape[0], *q = &c->x_shape[1];
  if (p->axes != 2 || q->axes != 2 || p->size[0] != q->size[0] || p->size[1] != q->size[1])
    return nn_fail(NN_ESHAPE, "p_logits and q_logits expect the same two axes, rows and classes");
  if (p->size[0] == 0 || p->size[1] == 0) return nn_fail(NN_ESHAPE, "p_logits expects at least one row and one class");
  set_shape(c, p->size[0], (reduction)c->param[1].integer);
  return NN_OK;
}

static int divergence_forward(nn_call *c) {
  int64_t rows = c->x_shape[0].size[0], classes = c->x_shape[0].size[1];
  reduction how = (reduction)c->param[1].integer;
  double *loss = nn_memory_get((size_t)rows * sizeof *loss);
  if (!loss) return NN_EMEMORY;
  int status = nnk_kl_divergence(loss, nni_real(c->x[0]), nni_real(c->x[1]), rows, classes, c->param[0].number);
  if (status == NN_OK) reduce_rows(c, loss, rows, how, factor_of(how, rows, classes));
  nn_memory_put(loss);
  return status;
}

static int divergence_backward(nn_call *c) {
  int64_t rows = c->x_shape[0].size[0], classes = c->x_shape[0].size[1];
  reduction how = (reduction)c->param[1].integer;
  return nnk_kl_divergence_grad(gradient_of(c, 0), gradient_of(c, 1),
                                weight_of(c, how, factor_of(how, rows, classes)), nni_real(c->x[0]),
                                nni_real(c->x[1]), rows, classes, c->param[0].number);
}

/* ---- hinge: params margin, over, reduction ---- */

static int hinge_shape(nn_call *c) { return classes_shape(c, 2); }

static double hinge_factor(const nn_call *c) {
  int64_t rows = c->x_shape[0].size[0], classes = c->x_shape[0].size[1];
  return factor_of((reduction)c->param[2].integer, rows, classes) / (double)(c->param[1].integer ? classes : 1);
}

static int hinge_forward(nn_call *c) {
  int64_t rows = c->x_shape[0].size[0], classes = c->x_shape[0].size[1];
  int status = check_target(c);
  if (status != NN_OK) return status;
  double *loss = nn_memory_get((size_t)rows * sizeof *loss);
  if (!loss) return NN_EMEMORY;
  status = nnk_hinge(loss, nni_real(c->x[0]), nni_int32(c->x[1]), rows, classes, c->param[0].number);
  if (status == NN_OK) reduce_rows(c, loss, rows, (reduction)c->param[2].integer, hinge_factor(c));
  nn_memory_put(loss);
  return status;
}

static int hinge_backward(nn_call *c) {
  return nnk_hinge_grad(nni_real(c->dx[0]), weight_of(c, (reduction)c->param[2].integer, hinge_factor(c)),
                        nni_real(c->x[0]), nni_int32(c->x[1]), c->x_shape[0].size[0], c->x_shape[0].size[1],
                        c->param[0].number);
}

#define REDUCTION_DOC " The rows' mean, their sum, or with reduction = \"none\" all of them, [n]."

const nn_op nn_ops_loss[] = {
  { .name = "cross_entropy",
    .signature = "logits:tensor target:index {smoothing:number=0 >=0 <=1, reduction:mean|sum|none=mean}",
    .doc = "-log softmax(logits)[target] for logits [n x classes] and target [n]. With smoothing s the target is 1 - s "
           "of that class and s spread evenly over all." REDUCTION_DOC,
    .returns = "float [], or [n] with reduction = \"none\"",
    .example = "logits = nn.tensor { { 2, 0, 0 }, { 0, 0, 2 } }\n"
               "target = nn.tensor({ 1, 2 }, { type = \"index\" })\n"
               "nn.cross_entropy(logits, target):item()                            --> 1.2395\n"
               "nn.cross_entropy(logits, target, { reduction = \"none\" }):tolist()  --> { 0.23954, 2.2395 }\n"
               "nn.cross_entropy(nn.ones { 1, 3 }, nn.tensor({ 4 }, { type = \"index\" }))\n"
               "--> error: cross_entropy: target expects classes 1..3, got 4 at row 1",
    .shape = cross_entropy_shape, .forward = cross_entropy_forward, .backward = cross_entropy_backward,
    .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "logits=4x5 target=4 below 5; logits=3x20 target=3 below 20 smoothing=0.1 reduction=sum; "
             "logits=3x4 in -4..4 target=3 below 4 smoothing=0.3 reduction=none" },
  { .name = "squared_distance", .signature = "a:tensor b:tensor {reduction:mean|sum|none|mean_all=mean}",
    .doc = "sum (a - b)^2 for each row, over all axes but the first; a and b have one shape." REDUCTION_DOC
           " \"mean_all\" is the mean over every element.",
    .returns = "float [], or [n] with reduction = \"none\"",
    .example = "a, b = nn.tensor { { 1, 2 }, { 3, 4 } }, nn.tensor { { 1, 0 }, { 0, 0 } }\n"
               "nn.squared_distance(a, b, { reduction = \"none\" }):tolist()  --> { 4.0, 25.0 }\n"
               "nn.squared_distance(a, b):item()                            --> 14.5\n"
               "nn.squared_distance(nn.ones { 2, 3 }, nn.ones { 2, 4 })\n"
               "--> error: squared_distance: a and b expect the same shape (a [2x3], b [2x4])",
    .shape = distance_shape, .forward = distance_forward, .backward = distance_backward,
    .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "a=3x5 b=3x5; a=2x3x20 b=2x3x20 reduction=sum; a=3x4 b=3x4 reduction=none; "
             "a=3x4 b=3x4 reduction=mean_all; a=4 b=4" },
  { .name = "kl_divergence",
    .signature = "p_logits:tensor q_logits:tensor {temperature:number=1 >0, reduction:mean|sum|none=mean}",
    .doc = "sum_k p_k log(p_k / q_k) for each row of [n x classes], p and q the softmax of the logits / temperature; "
           "not multiplied by temperature^2. The gradient goes to both sides." REDUCTION_DOC,
    .returns = "float [], or [n] with reduction = \"none\"; in nats",
    .example = "p, q = nn.tensor { { 2, 0 } }, nn.tensor { { 0, 2 } }\n"
               "nn.kl_divergence(p, q):item()  --> 1.5232\n"
               "nn.kl_divergence(p, p):item()  --> 0.0",
    .shape = divergence_shape, .forward = divergence_forward, .backward = divergence_backward,
    .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "p_logits=3x5 q_logits=3x5; p_logits=2x20 q_logits=2x20 temperature=2 reduction=sum; "
             "p_logits=3x4 in -3..3 q_logits=3x4 temperature=0.5 reduction=none" },
  { .name = "hinge",
    .signature = "logits:tensor target:index {margin:number=1, over:sum|mean=sum, reduction:mean|sum|none=mean}",
    .doc = "sum over k other than y of max(0, margin - z_y + z_k) for each row z of logits [n x classes] and y of "
           "target [n] (Weston and Watkins). over = \"mean\" divides by the number of classes, as torch's "
           "multi_margin_loss." REDUCTION_DOC,
    .returns = "float [], or [n] with reduction = \"none\"",
    .example = "logits = nn.tensor { { 2, 0, 1.5 } }\n"
               "nn.hinge(logits, nn.tensor({ 1 }, { type = \"index\" })):item()  --> 0.5\n"
               "nn.hinge(nn.ones { 3 }, nn.tensor({ 1 }, { type = \"index\" }))\n"
               "--> error: hinge: logits expects two axes, rows and classes, got 1 (logits [3], target [1])",
    .shape = hinge_shape, .forward = hinge_forward, .backward = hinge_backward, .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "logits=4x5 in 0..0.8 target=4 below 5; logits=3x4 in -0.9..0 target=3 below 4 over=mean reduction=sum; "
             "logits=3x4 distinct target=3 below 4 margin=0.05 reduction=none" },
  { 0 },
};
