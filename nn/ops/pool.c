/* pool.c -- pooling of images [N x H x W x C]. */
#include "autograd/op.h"
#include "kernels/pool.h"

enum { SIZE, STRIDE, PADDING, COUNT_PADDING };
enum { PLACE };  /* kept: int32, the pixel each maximum came from */

static int check_image(const nn_shape *x) {
  if (x->axes != 4) return nn_fail(NN_ESHAPE, "x expects 4 axes (images, height, width, channels), got %d", x->axes);
  if (x->size[1] < 1 || x->size[2] < 1) return nn_fail(NN_ESHAPE, "x expects images of at least 1x1");
  if (x->size[1] * x->size[2] > INT32_MAX) return nn_fail(NN_ESHAPE, "x expects images of less than 2^31 pixels");
  return NN_OK;
}

static int64_t stride_of(const nn_call *c) {
  return c->param[STRIDE].given ? c->param[STRIDE].integer : c->param[SIZE].integer;
}

/* size_out = floor((size + 2 padding - window) / stride) + 1 */
static int window_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  int64_t size = c->param[SIZE].integer, padding = c->param[PADDING].integer;
  int status = check_image(x);
  if (status != NN_OK) return status;
  if (size > INT32_MAX) return nn_fail(NN_EARGUMENT, "size must be below 2^31, got %lld", (long long)size);
  if (padding > size / 2)
    return nn_fail(NN_EARGUMENT, "padding must be at most half of size %lld, got %lld", (long long)size,
                   (long long)padding);
  c->y_shape = *x;
  for (int axis = 1; axis <= 2; axis++) {
    int64_t padded = x->size[axis] + 2 * padding;
    if (padded < size)
      return nn_fail(NN_ESHAPE, "a window of %lld does not fit the padded image's %lld", (long long)size,
                     (long long)padded);
    c->y_shape.size[axis] = (padded - size) / stride_of(c) + 1;
  }
  return NN_OK;
}

static int global_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  int status = check_image(x);
  c->y_shape = (nn_shape){ NN_REAL, 2, { x->size[0], x->size[3] } };
  return status;
}

static nnk_pool pool_of(const nn_call *c) {
  const int64_t *x = c->x_shape[0].size;
  if (c->y_shape.axes == 2)
    return (nnk_pool){ .images = x[0], .height = x[1], .width = x[2], .channels = x[3], .out_height = 1, .out_width = 1,
                       .window_height = x[1], .window_width = x[2], .stride = 1, .count_padding = true };
  return (nnk_pool){ .images = x[0], .height = x[1], .width = x[2], .channels = x[3],
                     .out_height = c->y_shape.size[1], .out_width = c->y_shape.size[2],
                     .window_height = c->param[SIZE].integer, .window_width = c->param[SIZE].integer,
                     .stride = stride_of(c), .padding = c->param[PADDING].integer,
                     .count_padding = c->param[COUNT_PADDING].integer };
}

/* A comparison or a sum for each element of a window. */
static double window_flops(const nn_call *c) {
  const nnk_pool s = pool_of(c);
  return (double)s.window_height * (double)s.window_width * (double)nni_shape_count(&c->y_shape);
}

static int max_forward(nn_call *c) {
  nnk_pool s = pool_of(c);
  c->kept[PLACE] = nn_tensor_new(NN_INT32, c->y_shape.axes, c->y_shape.size);
  if (!c->kept[PLACE]) return NN_EMEMORY;
  return nnk_max_pool(nni_real(c->y), nni_int32(c->kept[PLACE]), nni_real(c->x[0]), &s);
}

static int max_backward(nn_call *c) {
  nnk_pool s = pool_of(c);
  return nnk_max_pool_grad(nni_real(c->dx[0]), nni_real(c->dy), nni_int32(c->kept[PLACE]), &s);
}

static int avg_forward(nn_call *c) {
  nnk_pool s = pool_of(c);
  return nnk_avg_pool(nni_real(c->y), nni_real(c->x[0]), &s);
}

static int avg_backward(nn_call *c) {
  nnk_pool s = pool_of(c);
  return nnk_avg_pool_grad(nni_real(c->dx[0]), nni_real(c->dy), &s);
}

const nn_op nn_ops_pool[] = {
  { .name = "max_pool2d",
    .signature = "x:tensor size:integer >=1 {stride:integer? >=1, padding:integer=0 >=0}",
    .doc = "Greatest value of each size x size window of images [N x H x W x C]. stride is size when absent; padding "
           "never wins and is at most size / 2.",
    .returns = "float [N x H' x W' x C], H' = floor((H + 2 padding - size) / stride) + 1",
    .example = "x = nn.tensor { { { { 1 }, { 2 } }, { { 3 }, { 4 } } } }\n"
               "x:max_pool2d(2):item()  --> 4.0\n"
               "nn.ones({ 8, 28, 28, 3 }):max_pool2d(3, { stride = 2, padding = 1 }).shape\n"
               "--> { 8, 14, 14, 3 }\n"
               "nn.ones({ 1, 8, 8, 1 }):max_pool2d(2, { padding = 2 })\n"
               "--> error: max_pool2d: padding must be at most half of size 2, got 2",
    .shape = window_shape,
    .forward = max_forward,
    .backward = max_backward,
    .flops = window_flops,
    .check =
        "x=2x4x6x3 size=2 distinct; x=1x5x5x2 size=3 stride=2 padding=1 distinct; x=1x7x4x1 size=2 stride=3 distinct;"
        "x=1x4x4x2 size=3 stride=1 distinct" },
  { .name = "avg_pool2d",
    .signature = "x:tensor size:integer >=1 {stride:integer? >=1, padding:integer=0 >=0, count_padding:boolean=true}",
    .doc = "Mean of each size x size window of images [N x H x W x C]. stride is size when absent. Padding counts as "
           "zeros, or with count_padding = false not at all.",
    .returns = "float [N x H' x W' x C], H' = floor((H + 2 padding - size) / stride) + 1",
    .example = "x = nn.tensor { { { { 1 }, { 2 } }, { { 3 }, { 4 } } } }\n"
               "x:avg_pool2d(2):item()  --> 2.5",
    .shape = window_shape,
    .forward = avg_forward,
    .backward = avg_backward,
    .flops = window_flops,
    .check = "x=2x4x6x3 size=2; x=1x5x5x2 size=3 stride=2 padding=1; x=1x5x4x2 size=3 stride=1 padding=1 "
             "count_padding=false" },
  { .name = "global_avg_pool",
    .signature = "x:tensor",
    .doc = "Mean over the pixels of each image: [N x H x W x C] to [N x C].",
    .returns = "float [N x C]",
    .example = "nn.ones({ 8, 7, 7, 512 }):global_avg_pool().shape  --> { 8, 512 }",
    .shape = global_shape,
    .forward = avg_forward,
    .backward = avg_backward,
    .flops = window_flops,
    .check = "x=2x3x4x5; x=3x1x1x2" },
  { .name = "global_max_pool",
    .signature = "x:tensor",
    .doc = "Greatest value over the pixels of each image: [N x H x W x C] to [N x C].",
    .returns = "float [N x C]",
    .example = "nn.ones({ 8, 7, 7, 512 }):global_max_pool().shape  --> { 8, 512 }",
    .shape = global_shape,
    .forward = max_forward,
    .backward = max_backward,
    .flops = window_flops,
    .check = "x=2x3x4x5 distinct; x=3x1x1x2 distinct" },
  { 0 },
};
