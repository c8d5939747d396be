/* resize.c -- bilinear resizing of images. */
#include "autograd/op.h"
#include "kernels/resize.h"

static int resize_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[0];
  if (x->axes != 4) return nn_fail(NN_ESHAPE, "x expects four axes, n x height x width x channels, got %d", x->axes);
  if (x->size[1] == 0 || x->size[2] == 0) return nn_fail(NN_ESHAPE, "x expects images of at least one pixel");
  c->y_shape = *x;
  c->y_shape.size[1] = c->param[0].integer;
  c->y_shape.size[2] = c->param[1].integer;
  return NN_OK;
}

static nnk_resize_shape shape_of(const nn_call *c) {
  const int64_t *x = c->x_shape[0].size;
  return (nnk_resize_shape){ .images = x[0], .channels = x[3], .x_height = x[1], .x_width = x[2],
                             .y_height = c->y_shape.size[1], .y_width = c->y_shape.size[2],
                             .align_corners = c->param[2].integer };
}

static int resize_forward(nn_call *c) {
  nnk_resize_shape shape = shape_of(c);
  return nnk_resize(nni_real(c->y), nni_real(c->x[0]), &shape);
}

static int resize_backward(nn_call *c) {
  nnk_resize_shape shape = shape_of(c);
  return nnk_resize_grad(nni_real(c->dx[0]), nni_real(c->dy), &shape);
}

const nn_op nn_ops_resize[] = {
  { .name = "resize", .signature = "x:tensor height:integer >=1 width:integer >=1 {align_corners:boolean=false}",
    .doc = "Images [n x h x w x c] at another height and width, bilinear without antialiasing. Pixel centres are at "
           "halves, as in torch's interpolate; align_corners = true lays the corner pixels on each other instead.",
    .returns = "float [n x height x width x c]",
    .example = "nn.ones({ 8, 28, 28, 1 }):resize(32, 32).shape  --> { 8, 32, 32, 1 }\n"
               "nn.tensor({ { { { 0 }, { 1 } } } }):resize(1, 4):reshape({ 4 }):tolist()\n"
               "--> { 0.0, 0.25, 0.75, 1.0 }\n"
               "nn.ones({ 28, 28, 1 }):resize(32, 32)\n"
               "--> error: resize: x expects four axes, n x height x width x channels, got 3 (x [28x28x1])",
    .shape = resize_shape, .forward = resize_forward, .backward = resize_backward,
    .check = "x=2x3x4x2 height=5 width=7; x=1x5x6x1 height=2 width=3; x=1x3x3x2 height=5 width=5 align_corners=true; "
             "x=1x2x1x1 height=1 width=3" },
  { 0 },
};
