/* gather.c -- picking by index, and one-hot rows. Indices count from 0 here and from 1 in messages. */
#include <string.h>

#include "autograd/op.h"
#include "kernels/gather.h"
#include "ops/layout.h"

/* ---- gather ---- */

static int gather_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[0], *index = &c->x_shape[1];
  int64_t axis = c->param[0].integer;
  if (x->axes != index->axes)
    return nn_fail(NN_ESHAPE, "index expects as many axes as x, %d, got %d", x->axes, index->axes);
  for (int i = 0; i < x->axes; i++) {
    if (i != axis && index->size[i] > x->size[i])
      return nn_fail(NN_ESHAPE, "index is longer than x at axis %d: %lld and %lld", i + 1, (long long)index->size[i],
                     (long long)x->size[i]);
  }
  c->y_shape = *index;
  c->y_shape.type = NN_REAL;
  return NN_OK;
}

static nnk_gather_shape gather_shape_of(const nn_call *c) {
  return (nnk_gather_shape){ c->y_shape.axes, (int)c->param[0].integer, c->y_shape.size, c->x_shape[0].size };
}

static int gather_forward(nn_call *c) {
  int status = nni_check_index(c->x[1], c->x_shape[0].size[c->param[0].integer], "index", "places", "position");
  if (status != NN_OK) return status;
  return nnk_gather(nni_real(c->y), nni_real(c->x[0]), nni_int32(c->x[1]), gather_shape_of(c));
}

static int gather_backward(nn_call *c) {
  return nnk_gather_grad(nni_real(c->dx[0]), nni_real(c->dy), nni_int32(c->x[1]), gather_shape_of(c));
}

/* ---- index_select ---- */

static int select_shape(nn_call *c) {
  const nn_shape *index = &c->x_shape[1];
  if (index->axes != 1) return nn_fail(NN_ESHAPE, "index expects one axis, got %d", index->axes);
  c->y_shape = c->x_shape[0];
  c->y_shape.size[c->param[0].integer] = index->size[0];
  return NN_OK;
}

static int select_forward(nn_call *c) {
  nnk_span s = nni_span_at(&c->x_shape[0], c->param[0].integer);
  int status = nni_check_index(c->x[1], s.n, "index", "places", "position");
  if (status != NN_OK) return status;
  size_t bytes = nn_type_bytes(c->y_shape.type);
  return nnk_index_select((char *)c->y->storage->data + (size_t)c->y->offset * bytes, nn_tensor_data(c->x[0]),
                          nni_int32(c->x[1]), s.outer, s.n, s.inner, c->x_shape[1].size[0], bytes);
}

static int select_backward(nn_call *c) {
  nnk_span s = nni_span_at(&c->x_shape[0], c->param[0].integer);
  return nnk_index_select_grad(nni_real(c->dx[0]), nni_real(c->dy), nni_int32(c->x[1]), s.outer, s.n, s.inner,
                               c->x_shape[1].size[0]);
}

/* ---- one_hot ---- */

static int one_hot_shape(nn_call *c) {
  const nn_shape *index = &c->x_shape[0];
  if (index->axes == NN_MAX_AXES)
    return nn_fail(NN_ESHAPE, "index expects at most %d axes, got %d", NN_MAX_AXES - 1, index->axes);
  c->y_shape = *index;
  c->y_shape.type = NN_REAL;
  c->y_shape.size[c->y_shape.axes++] = c->param[0].integer;
  return NN_OK;
}

static int one_hot_forward(nn_call *c) {
  int64_t classes = c->param[0].integer;
  int status = nni_check_index(c->x[0], classes, "index", "classes", "position");
  if (status != NN_OK) return status;
  return nnk_one_hot(nni_real(c->y), nni_int32(c->x[0]), nni_shape_count(&c->x_shape[0]), classes);
}

const nn_op nn_ops_gather[] = {
  { .name = "gather", .signature = "x:tensor axis:axis index:index",
    .doc = "Elements picked along an axis: for axis 2 of three, y[i][j][k] = x[i][index[i][j][k]][k]. y has index's "
           "shape, which has x's axes and is nowhere longer but along the axis.",
    .returns = "float, index's shape",
    .example = "logits = nn.tensor { { 1, 9, 3 }, { 4, 5, 6 } }\n"
               "target = nn.tensor({ { 2 }, { 1 } }, { type = \"index\" })\n"
               "logits:gather(2, target)\n"
               "--> float [2x1]  min 4  mean 6.5  max 9\n"
               "-->           9\n"
               "-->           4\n"
               "nn.ones({ 2, 3 }):gather(2, nn.tensor({ 2, 1 }, { type = \"index\" }))\n"
               "--> error: gather: index expects as many axes as x, 2, got 1 (x [2x3], index [2])",
    .shape = gather_shape, .forward = gather_forward, .backward = gather_backward, .saves = NN_SAVE_X1,
    .check = "x=2x3x4 axis=2 index=2x5x4 below 3; x=4x3 axis=1 index=2x2 below 4; x=3x5 axis=2 index=3x1 below 5" },
  { .name = "index_select", .signature = "x:any axis:axis index:index",
    .doc = "The slices of x at the places in index [n], along an axis, in that order; a place may come more than once. "
           "Any element type.",
    .returns = "x's type, x's shape with n along the axis",
    .example = "x = nn.tensor { { 1, 2 }, { 3, 4 }, { 5, 6 } }\n"
               "x:index_select(1, nn.tensor({ 3, 1, 3 }, { type = \"index\" }))\n"
               "--> float [3x2]  min 1  mean 4.167  max 6\n"
               "-->           5         6\n"
               "-->           1         2\n"
               "-->           5         6\n"
               "nn.ones({ 3, 2 }):index_select(1, nn.tensor({ 4 }, { type = \"index\" }))\n"
               "--> error: index_select: index expects places 1..3, got 4 at position 1",
    .shape = select_shape, .forward = select_forward, .backward = select_backward, .saves = NN_SAVE_X1,
    .check = "x=4x3 axis=1 index=6 below 4; x=2x3x4 axis=2 index=2 below 3; x=2x3x4 axis=3 index=5 below 4" },
  { .name = "one_hot", .signature = "index:index classes:integer >=1",
    .doc = "Floats [.. x classes]: 1 at the class that index names, 0 elsewhere.",
    .returns = "float [... x classes]",
    .example = "nn.one_hot(nn.tensor({ 2, 1 }, { type = \"index\" }), 3)\n"
               "--> float [2x3]  min 0  mean 0.3333  max 1\n"
               "-->           0         1         0\n"
               "-->           1         0         0\n"
               "nn.one_hot(nn.tensor({ 4 }, { type = \"index\" }), 3)\n"
               "--> error: one_hot: index expects classes 1..3, got 4 at position 1",
    .shape = one_hot_shape, .forward = one_hot_forward,
    .check = "index=4 below 3 classes=3; index=2x3 below 5 classes=5" },
  { 0 },
};
