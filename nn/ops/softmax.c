/* softmax.c -- softmax and its logarithm. */
#include "autograd/op.h"
#include "kernels/softmax.h"
#include "ops/layout.h"

static int forward(nn_call *c, bool logarithm) {
  return nnk_softmax(nni_real(c->y), nni_real(c->x[0]), nni_span_at(&c->x_shape[0], c->param[0].integer), logarithm);
}

static int backward(nn_call *c, bool logarithm) {
  return nnk_softmax_grad(nni_real(c->dx[0]), nni_real(c->dy), nni_real(c->y),
                          nni_span_at(&c->x_shape[0], c->param[0].integer), logarithm);
}

static int softmax_forward(nn_call *c) { return forward(c, false); }
static int softmax_backward(nn_call *c) { return backward(c, false); }
static int log_softmax_forward(nn_call *c) { return forward(c, true); }
static int log_softmax_backward(nn_call *c) { return backward(c, true); }

#define SHAPES "x=3x5; x=2x3x4 axis=2; x=2x3x4 axis=1; x=2x40 in -3..3"

const nn_op nn_ops_softmax[] = {
  { .name = "softmax", .signature = "x:tensor axis:axis=-1",
    .doc = "exp(x) over its sum along the axis, by default the last. Any finite x is safe: the maximum is taken off "
           "first.",
    .returns = "float, x's shape",
    .example = "nn.tensor({ 1, 2, 3 }):softmax():tolist()     --> { 0.090031, 0.24473, 0.66524 }\n"
               "nn.tensor({ 1000, 1000 }):softmax():tolist()  --> { 0.5, 0.5 }",
    .shape = nni_shape_same, .forward = softmax_forward, .backward = softmax_backward, .saves = NN_SAVE_Y,
    .check = SHAPES },
  { .name = "log_softmax", .signature = "x:tensor axis:axis=-1",
    .doc = "The logarithm of softmax along the axis, by default the last: x - log sum exp(x), without overflow.",
    .returns = "float, x's shape",
    .example = "nn.tensor({ 1, 2, 3 }):log_softmax():tolist()  --> { -2.4076, -1.4076, -0.40761 }",
    .shape = nni_shape_same, .forward = log_softmax_forward, .backward = log_softmax_backward, .saves = NN_SAVE_Y,
    .check = SHAPES },
  { 0 },
};
