/* shape.c -- views, padding and joining. These move elements of any type; gradients flow through floats.
 *
 * reshape, transpose, slice and expand are views: y shares x's bytes and a write to one is seen in the other. Only
 * reshape copies, where x's elements do not lie in order.
 */
#include <stdio.h>
#include <string.h>

#include "autograd/op.h"
#include "kernels/elementwise.h"
#include "ops/layout.h"

/* ---- reshape ---- */

static int reshape_view(nn_call *c) {
  const nn_param *shape = &c->param[0];
  int64_t size[NN_MAX_AXES], count = nn_tensor_count(c->x[0]), known = 1;
  int open = -1;
  if (shape->count > NN_MAX_AXES) return nn_fail(NN_ESHAPE, "at most %d axes, got %d", NN_MAX_AXES, shape->count);
  for (int i = 0; i < shape->count; i++) {
    size[i] = shape->list[i];
    if (size[i] < -1 || (size[i] == -1 && open >= 0))
      return nn_fail(NN_ESHAPE, "shape expects sizes, one of which may be -1; got %lld at place %d", (long long)size[i],
                     i + 1);
    if (size[i] == -1) open = i;
    else if (__builtin_mul_overflow(known, size[i], &known)) known = -1;
  }
  bool fits = open < 0 ? known == count : known > 0 && count % known == 0;  /* -1 beside a 0 could be any size */
  if (fits && open >= 0) size[open] = count / known;
  if (!fits) {
    char text[160] = "";
    for (int i = 0, used = 0; i < shape->count; i++)
      used += snprintf(text + used, sizeof text - (size_t)used, i ? "x%lld" : "%lld", (long long)shape->list[i]);
    return nn_fail(NN_ESHAPE, "%lld elements do not fill [%s]", (long long)count, text);
  }
  if (nni_check_count(shape->count, size) != NN_OK) return NN_EMEMORY;
  nn_tensor *packed = nn_tensor_pack(c->x[0]);
  c->y = packed ? nni_view_contiguous(packed, shape->count, size) : NULL;
  nn_tensor_release(packed);
  return c->y ? NN_OK : NN_EMEMORY;
}

static int reshape_backward(nn_call *c) {
  int64_t count = nn_tensor_count(c->dy), step = 1;
  return nnk_add_strided(nni_real(c->dx[0]), &step, nni_real(c->dy), &step, 1, &count);
}

/* ---- transpose ---- */

static int transpose_view(nn_call *c) {
  nn_tensor *x = c->x[0];
  int64_t a = c->param[0].integer, b = c->param[1].integer, size[NN_MAX_AXES], stride[NN_MAX_AXES];
  memcpy(size, x->size, sizeof size);
  memcpy(stride, x->stride, sizeof stride);
  size[a] = x->size[b], size[b] = x->size[a];
  stride[a] = x->stride[b], stride[b] = x->stride[a];
  c->y = nni_view(x, x->axes, size, stride, x->offset);
  return c->y ? NN_OK : NN_EMEMORY;
}

static int transpose_backward(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  int64_t a = c->param[0].integer, b = c->param[1].integer, to[NN_MAX_AXES], from[NN_MAX_AXES];
  nni_contiguous_strides(x->axes, x->size, to);
  nni_contiguous_strides(c->dy->axes, c->dy->size, from);
  int64_t held = from[a];
  from[a] = from[b], from[b] = held;
  return nnk_add_strided(nni_real(c->dx[0]), to, nni_real(c->dy), from, x->axes, x->size);
}

/* ---- slice ---- */

static int slice_view(nn_call *c) {
  nn_tensor *x = c->x[0];
  int64_t axis = c->param[0].integer, from = c->param[1].integer, to = c->param[2].integer, step = c->param[3].integer;
  int64_t size[NN_MAX_AXES], stride[NN_MAX_AXES], length = x->size[axis];
  if (to < 0) to += length + 1;
  if (from < 0 || from >= length || to <= from || to > length)
    return nn_fail(NN_ESHAPE, "axis %lld has places 1..%lld, got %lld..%lld", (long long)axis + 1, (long long)length,
                   (long long)from + 1, (long long)c->param[2].integer);
  memcpy(size, x->size, sizeof size);
  memcpy(stride, x->stride, sizeof stride);
  size[axis] = (to - from - 1) / step + 1;
  stride[axis] *= nnk_min(step, length);  /* a larger step is never taken */
  c->y = nni_view(x, x->axes, size, stride, x->offset + from * x->stride[axis]);
  return c->y ? NN_OK : NN_EMEMORY;
}

static int slice_backward(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  int64_t axis = c->param[0].integer, to[NN_MAX_AXES], from[NN_MAX_AXES];
  nni_contiguous_strides(x->axes, x->size, to);
  nni_contiguous_strides(c->dy->axes, c->dy->size, from);
  nn_real *dx = nni_real(c->dx[0]) + c->param[1].integer * to[axis];
  to[axis] *= nnk_min(c->param[3].integer, x->size[axis]);
  return nnk_add_strided(dx, to, nni_real(c->dy), from, x->axes, c->dy->size);
}

/* ---- expand ---- */

static int expand_view(nn_call *c) {
  nn_tensor *x = c->x[0];
  const nn_param *shape = &c->param[0];
  int64_t stride[NN_MAX_AXES];
  int lead = shape->count - x->axes;
  if (shape->count > NN_MAX_AXES || lead < 0)
    return nn_fail(NN_ESHAPE, "shape expects from %d to %d sizes, got %d", x->axes, NN_MAX_AXES, shape->count);
  for (int i = 0; i < shape->count; i++) {
    int64_t size = i < lead ? 1 : x->size[i - lead];
    if (shape->list[i] < 1 || (size != 1 && size != shape->list[i]))
      return nn_fail(NN_ESHAPE, "axis %d has size %lld and cannot become %lld", i + 1, (long long)size,
                     (long long)shape->list[i]);
    stride[i] = size == 1 ? 0 : x->stride[i - lead];
  }
  if (nni_check_count(shape->count, shape->list) != NN_OK) return NN_EMEMORY;
  c->y = nni_view(x, shape->count, shape->list, stride, x->offset);
  return c->y ? NN_OK : NN_EMEMORY;
}

static int expand_backward(nn_call *c) {
  nn_shape y = { .type = NN_REAL, .axes = c->dy->axes };
  memcpy(y.size, c->dy->size, sizeof y.size);
  return nni_sum_repeated(nni_real(c->dx[0]), &c->x_shape[0], nni_real(c->dy), &y, 1);
}

/* ---- pad ---- */

static int pad_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  const nn_param *pairs = &c->param[0];
  if (pairs->count != 2 * x->axes) {
    return nn_fail(NN_ESHAPE, "pairs expects %d sizes, before and after for each axis, got %d", 2 * x->axes,
                   pairs->count);
  }
  c->y_shape = *x;
  for (int i = 0; i < pairs->count; i++) {
    if (pairs->list[i] < 0 || __builtin_add_overflow(c->y_shape.size[i / 2], pairs->list[i], &c->y_shape.size[i / 2]))
      return nn_fail(NN_ESHAPE, "pairs expects sizes from 0 to what memory can hold, got %lld",
                     (long long)pairs->list[i]);
  }
  return NN_OK;
}

/* Strides of y and the offset of x's first element in it. */
static int64_t pad_place(const nn_call *c, int64_t *stride) {
  int64_t offset = 0;
  nni_contiguous_strides(c->y_shape.axes, c->y_shape.size, stride);
  for (int i = 0; i < c->y_shape.axes; i++) offset += c->param[0].list[2 * i] * stride[i];
  return offset;
}

static int pad_forward(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  int64_t in[NN_MAX_AXES], out[NN_MAX_AXES], offset = pad_place(c, out), count = nni_shape_count(&c->y_shape);
  int64_t zero = 0, one = 1;
  nn_real value = (nn_real)c->param[1].number;
  nni_contiguous_strides(x->axes, x->size, in);
  int status = nnk_copy_strided(nni_real(c->y), &one, &value, &zero, 1, &count, sizeof value);
  if (status != NN_OK) return status;
  return nnk_copy_strided(nni_real(c->y) + offset, out, nni_real(c->x[0]), in, x->axes, x->size, sizeof value);
}

static int pad_backward(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  int64_t to[NN_MAX_AXES], from[NN_MAX_AXES], offset = pad_place(c, from);
  nni_contiguous_strides(x->axes, x->size, to);
  return nnk_add_strided(nni_real(c->dx[0]), to, nni_real(c->dy) + offset, from, x->axes, x->size);
}

/* ---- zero_pad_shortcut ---- */

enum { STRIDE, BEFORE, AFTER };

static int shortcut_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  if (x->axes != 4) return nn_fail(NN_ESHAPE, "x expects 4 axes (images, height, width, channels), got %d", x->axes);
  c->y_shape = *x;
  for (int axis = 1; axis <= 2; axis++) c->y_shape.size[axis] = nnk_divide_up(x->size[axis], c->param[STRIDE].integer);
  for (int i = BEFORE; i <= AFTER; i++)
    if (__builtin_add_overflow(c->y_shape.size[3], c->param[i].integer, &c->y_shape.size[3]))
      return nn_fail(NN_ESHAPE, "before and after expect counts that memory can hold");
  return NN_OK;
}

/* The pixels that stay, and their channels, as blocks of x and of y. */
static nn_shape shortcut_blocks(const nn_call *c, int64_t *x_stride, int64_t *y_stride) {
  nn_shape kept = c->y_shape;
  kept.size[3] = c->x_shape[0].size[3];
  nni_contiguous_strides(4, c->x_shape[0].size, x_stride);
  nni_contiguous_strides(4, c->y_shape.size, y_stride);
  for (int axis = 1; axis <= 2; axis++) x_stride[axis] *= nnk_min(c->param[STRIDE].integer, c->x_shape[0].size[axis]);
  return kept;
}

static int shortcut_forward(nn_call *c) {
  int64_t from[NN_MAX_AXES], to[NN_MAX_AXES], count = nni_shape_count(&c->y_shape), none = 0, one = 1;
  nn_shape kept = shortcut_blocks(c, from, to);
  nn_real zero = 0;
  int status = nnk_copy_strided(nni_real(c->y), &one, &zero, &none, 1, &count, sizeof zero);
  if (status != NN_OK) return status;
  return nnk_copy_strided(nni_real(c->y) + c->param[BEFORE].integer, to, nni_real(c->x[0]), from, 4, kept.size,
                          sizeof zero);
}

static int shortcut_backward(nn_call *c) {
  int64_t to[NN_MAX_AXES], from[NN_MAX_AXES];
  nn_shape kept = shortcut_blocks(c, to, from);
  return nnk_add_strided(nni_real(c->dx[0]), to, nni_real(c->dy) + c->param[BEFORE].integer, from, 4, kept.size);
}

/* ---- cat ---- */

static int cat_shape(nn_call *c) {
  int64_t axis = c->param[0].integer;
  c->y_shape = c->x_shape[0];
  for (int i = 1; i < c->inputs; i++) {
    const nn_shape *x = &c->x_shape[i];
    bool fits = x->axes == c->y_shape.axes;
    for (int k = 0; fits && k < x->axes; k++) fits = k == axis || x->size[k] == c->y_shape.size[k];
    if (!fits)
      return nn_fail(NN_ESHAPE, "tensors must agree but for axis %lld; number %d does not", (long long)axis + 1, i + 1);
    c->y_shape.size[axis] += x->size[axis];
  }
  return NN_OK;
}

static int cat_forward(nn_call *c) {
  int64_t axis = c->param[0].integer, in[NN_MAX_AXES], out[NN_MAX_AXES];
  size_t bytes = nn_type_bytes(c->y_shape.type);
  char *y = (char *)c->y->storage->data + (size_t)c->y->offset * bytes;
  nni_contiguous_strides(c->y_shape.axes, c->y_shape.size, out);
  for (int i = 0; i < c->inputs; i++) {
    const nn_shape *x = &c->x_shape[i];
    nni_contiguous_strides(x->axes, x->size, in);
    int status = nnk_copy_strided(y, out, nn_tensor_data(c->x[i]), in, x->axes, x->size, bytes);
    if (status != NN_OK) return status;
    y += (size_t)(x->size[axis] * out[axis]) * bytes;
  }
  return NN_OK;
}

static int cat_backward(nn_call *c) {
  int64_t axis = c->param[0].integer, to[NN_MAX_AXES], from[NN_MAX_AXES];
  const nn_real *dy = nni_real(c->dy);
  nni_contiguous_strides(c->y_shape.axes, c->y_shape.size, from);
  for (int i = 0; i < c->inputs; i++) {
    const nn_shape *x = &c->x_shape[i];
    nni_contiguous_strides(x->axes, x->size, to);
    int status = c->dx[i] ? nnk_add_strided(nni_real(c->dx[i]), to, dy, from, x->axes, x->size) : NN_OK;
    if (status != NN_OK) return status;
    dy += x->size[axis] * from[axis];
  }
  return NN_OK;
}

const nn_op nn_ops_shape[] = {
  { .name = "reshape", .signature = "x:any shape:sizes",
    .doc = "x with other sizes and the same elements in the same order; one size may be -1 and follows from the rest. "
           "Shares x's bytes when they lie in order, else a copy.",
    .returns = "x's type, the sizes asked for",
    .example = "x = nn.tensor { { 1, 2, 3 }, { 4, 5, 6 } }\n"
               "x:reshape({ 3, 2 })\n"
               "--> float [3x2]  min 1  mean 3.5  max 6\n"
               "-->           1         2\n"
               "-->           3         4\n"
               "-->           5         6\n"
               "x:reshape({ -1 }):tolist()  --> { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0 }\n"
               "x:reshape({ 4, 2 })         --> error: reshape: 6 elements do not fill [4x2] (x [2x3])",
    .view = reshape_view, .backward = reshape_backward, .check = "x=2x3x4 shape=4,6; x=2x3x4 shape=-1,3" },
  { .name = "transpose", .signature = "x:any axis1:axis axis2:axis",
    .doc = "x with two axes exchanged. Shares x's bytes.",
    .returns = "x's type, x's shape with two sizes exchanged",
    .example = "x = nn.tensor { { 1, 2, 3 }, { 4, 5, 6 } }\n"
               "x:transpose(1, 2)\n"
               "--> float [3x2]\n"
               "-->           1         4\n"
               "-->           2         5\n"
               "-->           3         6\n"
               "nn.zeros({ 8, 3, 28, 28 }):transpose(2, 3):transpose(3, 4).shape  --> { 8, 28, 28, 3 }\n"
               "nn.ones({ 2, 3 }):transpose(1, 3)\n"
               "--> error: transpose: axis2 3 is not one of the tensor's 2 (x [2x3])",
    .view = transpose_view, .backward = transpose_backward,
    .check = "x=2x3x4 axis1=1 axis2=3; x=3x5 axis1=1 axis2=2; x=2x3x4 axis1=2 axis2=2" },
  { .name = "slice", .signature = "x:any axis:axis from:position to:integer {step:integer=1 >=1}",
    .doc = "The places from .. to of an axis, both included; a negative `to` counts from the end, -1 is the last. With "
           "step only every step-th. Shares x's bytes.",
    .returns = "x's type, x's shape, but along the axis",
    .example = "x = nn.tensor { 10, 20, 30, 40, 50 }\n"
               "x:slice(1, 2, 4):tolist()                 --> { 20.0, 30.0, 40.0 }\n"
               "x:slice(1, 1, -1, { step = 2 }):tolist()  --> { 10.0, 30.0, 50.0 }\n"
               "nn.tensor({ 10, 20 }):slice(1, 2, 4)\n"
               "--> error: slice: axis 1 has places 1..2, got 2..4 (x [2])",
    .view = slice_view, .backward = slice_backward,
    .check = "x=2x5x3 axis=2 from=2 to=4; x=2x5x3 axis=2 from=1 to=-1 step=2; x=4 axis=1 from=4 to=4" },
  { .name = "expand", .signature = "x:any shape:sizes",
    .doc = "x repeated along new leading axes and along axes of size 1, until it has the shape. Shares x's bytes.",
    .returns = "x's type, the sizes asked for",
    .example = "nn.tensor({ { 1 }, { 2 } }):expand({ 2, 3 })\n"
               "--> float [2x3]\n"
               "-->           1         1         1\n"
               "-->           2         2         2\n"
               "nn.ones({ 2, 1 }):expand({ 3, 4 })\n"
               "--> error: expand: axis 1 has size 2 and cannot become 3 (x [2x1])",
    .view = expand_view, .backward = expand_backward, .check = "x=3x1 shape=2,3,4; x=1x4 shape=3,4" },
  { .name = "pad", .signature = "x:tensor pairs:sizes {value:number=0}",
    .doc = "x with `value` around it; pairs holds the sizes before and after for each axis, from the first axis on.",
    .returns = "float, each size with what stands before and after it",
    .example = "nn.tensor({ { 1, 2 } }):pad({ 1, 0, 0, 1 }, { value = -1 })\n"
               "--> float [2x3]  min -1  mean -0.1667  max 2\n"
               "-->          -1        -1        -1\n"
               "-->           1         2        -1",
    .shape = pad_shape, .forward = pad_forward, .backward = pad_backward,
    .check = "x=2x3 pairs=1,0,2,1; x=2x3x2 pairs=0,0,1,1,0,0 value=0.5" },
  { .name = "zero_pad_shortcut",
    .signature = "x:tensor {stride:integer=1 >=1, before:integer=0 >=0, after:integer=0 >=0}",
    .doc = "Every stride-th pixel of images x [N x H x W x C], with `before` and `after` channels of zeros around its "
           "own: a residual block's shortcut without weights (He et al. 2016, option A).",
    .returns = "float [N x ceil(H / stride) x ceil(W / stride) x before + C + after]",
    .example = "nn.ones({ 2, 8, 8, 16 }):zero_pad_shortcut { stride = 2, before = 8, after = 8 }.shape\n"
               "--> { 2, 4, 4, 32 }",
    .shape = shortcut_shape, .forward = shortcut_forward, .backward = shortcut_backward,
    .flops = nni_flops_none,
    .check = "x=2x5x4x3 stride=2 before=1 after=2; x=1x3x3x2 after=1; x=1x2x2x1 stride=3" },
  { .name = "cat", .signature = "xs:tensors axis:axis",
    .doc = "The tensors one behind another along an axis; the other sizes are equal. Any one element type.",
    .returns = "the tensors' type and shape, the sizes along the axis added",
    .example = "a, b = nn.tensor { { 1, 2 } }, nn.tensor { { 3, 4 } }\n"
               "nn.cat({ a, b }, 1)\n"
               "--> float [2x2]  min 1  mean 2.5  max 4\n"
               "-->           1         2\n"
               "-->           3         4\n"
               "nn.cat({ a, b }, 2):tolist()[1]  --> { 1.0, 2.0, 3.0, 4.0 }\n"
               "nn.cat({ nn.ones { 2, 3 }, nn.ones { 2, 4 } }, 1)\n"
               "--> error: cat: tensors must agree but for axis 1; number 2 does not (xs [2x3], xs [2x4])",
    .shape = cat_shape, .forward = cat_forward, .backward = cat_backward,
    .check = "xs=2x3+2x1 axis=2; xs=1x2x3+4x2x3+2x2x3 axis=1; xs=3+2 axis=1" },
  { 0 },
};
