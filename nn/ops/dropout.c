/* dropout.c -- elements dropped at random. The draw is a function of (seed, stream, element), so backward draws again
 * instead of keeping a mask. */
#include "autograd/op.h"
#include "kernels/dropout.h"

static int run(nn_call *c, nn_tensor *out, const nn_tensor *in, bool add) {
  return nnk_dropout(nni_real(out), nni_real(in), nni_shape_count(&c->y_shape), c->param[0].number,
                     (uint64_t)c->param[1].integer, (uint64_t)c->param[2].integer, add);
}

static int dropout_forward(nn_call *c) { return run(c, c->y, c->x[0], false); }
static int dropout_backward(nn_call *c) { return run(c, c->dx[0], c->dy, true); }

const nn_op nn_ops_dropout[] = {
  { .name = "dropout", .signature = "x:tensor {p:number=0.5 >=0 <1, seed:integer=0, stream:integer=0}",
    .doc = "x / (1 - p), and 0 where an element is dropped, which happens with probability p. The same seed and stream "
           "drop the same elements of a tensor of this size.",
    .returns = "float, x's shape",
    .example = "nn.ones({ 8 }):dropout { p = 0.5, seed = 1 }:tolist()\n"
               "--> { 2.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0 }\n"
               "nn.ones({ 4 }):dropout { p = 1 }\n"
               "--> error: dropout: p must be at least 0 and below 1, got 1",
    .shape = nni_shape_same, .forward = dropout_forward, .backward = dropout_backward,
    .check = "x=2x3x5; x=4x7 p=0.2 seed=3 stream=9" },
  { 0 },
};
