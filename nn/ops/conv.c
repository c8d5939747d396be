/* conv.c -- convolution as an op. Images are [N x H x W x C], weights [kh x kw x C/groups x out]. */
#include "autograd/op.h"
#include "kernels/conv.h"
#include "kernels/norm.h"

enum { X, WEIGHT, BIAS };
enum { STRIDE, PADDING, DILATION, GROUPS };

static nnk_conv conv_of(const nn_call *c) {
  const int64_t *x = c->x_shape[X].size, *w = c->x_shape[WEIGHT].size, *y = c->y_shape.size;
  return (nnk_conv){ .images = x[0], .height = x[1], .width = x[2], .channels = x[3],
                     .out_height = y[1], .out_width = y[2], .out_channels = y[3],
                     .kernel_height = w[0], .kernel_width = w[1], .stride = c->param[STRIDE].integer,
                     .padding = c->param[PADDING].integer, .dilation = c->param[DILATION].integer,
                     .groups = c->param[GROUPS].integer };
}

/* size_out = floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 */
static int64_t out_size(const nn_call *c, int64_t size, int64_t kernel) {
  int64_t room = size + 2 * c->param[PADDING].integer - c->param[DILATION].integer * (kernel - 1) - 1;
  return room < 0 ? 0 : room / c->param[STRIDE].integer + 1;
}

static int conv2d_shape(nn_call *c) {
  const nn_shape *x = &c->x_shape[X], *w = &c->x_shape[WEIGHT], *b = &c->x_shape[BIAS];
  int64_t groups = c->param[GROUPS].integer;
  for (int i = STRIDE; i <= DILATION; i++)
    if (c->param[i].integer > INT32_MAX)
      return nn_fail(NN_EARGUMENT, "stride, padding and dilation must be below 2^31");
  if (x->axes != 4) return nn_fail(NN_ESHAPE, "x expects 4 axes (images, height, width, channels), got %d", x->axes);
  if (w->axes != 4) return nn_fail(NN_ESHAPE, "weight expects 4 axes (height, width, in, out), got %d", w->axes);
  if (w->size[0] < 1 || w->size[1] < 1 || w->size[0] > INT32_MAX || w->size[1] > INT32_MAX)
    return nn_fail(NN_ESHAPE, "weight expects a kernel with sides from 1 to 2^31 - 1");
  if (x->size[3] < 1) return nn_fail(NN_ESHAPE, "x expects at least 1 channel, got 0");
  if (x->size[3] % groups != 0 || w->size[3] % groups != 0)
    return nn_fail(NN_ESHAPE, "groups expects a divisor of %lld input and %lld output channels, got %lld",
                   (long long)x->size[3], (long long)w->size[3], (long long)groups);
  if (w->size[2] != x->size[3] / groups)
    return nn_fail(NN_ESHAPE, "weight expects %lld input channels, got %lld", (long long)(w->size[2] * groups),
                   (long long)x->size[3]);
  if (b->axes >= 0 && (b->axes != 1 || b->size[0] != w->size[3]))
    return nn_fail(NN_ESHAPE, "bias expects 1 axis of %lld output channels", (long long)w->size[3]);
  c->y_shape = (nn_shape){ NN_REAL, 4, { x->size[0], out_size(c, x->size[1], w->size[0]),
                                         out_size(c, x->size[2], w->size[1]), w->size[3] } };
  if (c->y_shape.size[1] < 1 || c->y_shape.size[2] < 1)
    return nn_fail(NN_ESHAPE, "the kernel reaches over %lldx%lld pixels, the padded image has %lldx%lld",
                   (long long)(c->param[DILATION].integer * (w->size[0] - 1) + 1),
                   (long long)(c->param[DILATION].integer * (w->size[1] - 1) + 1),
                   (long long)(x->size[1] + 2 * c->param[PADDING].integer),
                   (long long)(x->size[2] + 2 * c->param[PADDING].integer));
  return NN_OK;
}

/* Products with the whole kernel, as if no window reached over the edge. */
static double conv2d_flops(const nn_call *c) {
  const nnk_conv s = conv_of(c);
  double products = (double)s.kernel_height * (double)s.kernel_width * ((double)s.channels / (double)s.groups);
  return (2 * products + (c->x_shape[BIAS].axes >= 0)) * (double)nni_shape_count(&c->y_shape);
}

static int conv2d_forward(nn_call *c) {
  nnk_conv s = conv_of(c);
  return nnk_conv2d(nni_real(c->y), nni_real(c->x[X]), nni_real(c->x[WEIGHT]), c->x[BIAS] ? nni_real(c->x[BIAS]) : NULL,
                    &s);
}

static int conv2d_backward(nn_call *c) {
  nnk_conv s = conv_of(c);
  const nn_real *dy = nni_real(c->dy);
  int status = NN_OK;
  if (c->dx[X]) status = nnk_conv2d_grad_input(nni_real(c->dx[X]), dy, nni_real(c->x[WEIGHT]), &s);
  if (c->dx[WEIGHT] && status == NN_OK)
    status = nnk_conv2d_grad_weight(nni_real(c->dx[WEIGHT]), dy, nni_real(c->x[X]), &s);
  if (c->dx[BIAS] && status == NN_OK)
    status = nnk_sum_rows(nni_real(c->dx[BIAS]), dy, s.images * s.out_height * s.out_width, s.out_channels);
  return status;
}

const nn_op nn_ops_conv[] = {
  { .name = "conv2d",
    .signature = "x:tensor weight:tensor bias:tensor? "
                 "{stride:integer=1 >=1, padding:integer=0 >=0, dilation:integer=1 >=1, groups:integer=1 >=1}",
    .doc = "Two-dimensional convolution (cross-correlation) of images x [N x H x W x C] with "
           "weight [kh x kw x C/groups x out], zeros around the image.",
    .returns = "float [N x H' x W' x out], H' = floor((H + 2 padding - dilation (kh - 1) - 1) / stride) + 1",
    .example = "x, weight = nn.ones { 8, 28, 28, 3 }, nn.ones { 3, 3, 3, 16 }\n"
               "nn.conv2d(x, weight).shape                                    --> { 8, 26, 26, 16 }\n"
               "nn.conv2d(x, weight, nil, { stride = 2, padding = 1 }).shape  --> { 8, 14, 14, 16 }\n"
               "nn.conv2d(nn.ones { 8, 28, 28, 1 }, weight)\n"
               "--> error: conv2d: weight expects 3 input channels, got 1 (x [8x28x28x1], weight [3x3x3x16])",
    .shape = conv2d_shape, .forward = conv2d_forward, .backward = conv2d_backward,
    .flops = conv2d_flops,
    .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "x=2x5x4x3 weight=3x3x3x4 bias=4 padding=1; x=1x7x6x2 weight=3x2x2x3 bias=3 stride=2 padding=1;"
             "x=1x8x8x2 weight=3x3x2x2 padding=2 dilation=2; x=1x7x7x4 weight=2x3x2x6 bias=6 groups=2 stride=3;"
             "x=2x5x5x3 weight=3x3x1x3 bias=3 groups=3 padding=1 stride=2; x=1x4x4x3 weight=1x1x3x5 bias=5;"
             "x=1x5x5x2 weight=1x1x2x3 stride=2; x=1x1x1x2 weight=3x3x2x2 padding=2;"
             "x=1x5x7x2 weight=3x3x2x16 bias=16 padding=1; x=1x6x5x16 weight=3x3x16x2 stride=2 padding=1" },
  { 0 },
};
