/* absent.c -- empty families until their files are there; a family's own array replaces the one here. */
#include "autograd/op.h"

#define EMPTY(family) __attribute__((weak)) const nn_op nn_ops_##family[1] = { { .name = NULL } }

EMPTY(arithmetic);
EMPTY(pointwise);
EMPTY(reduce);
EMPTY(softmax);
EMPTY(matmul);
EMPTY(shape);
EMPTY(gather);
EMPTY(conv);
EMPTY(pool);
EMPTY(norm);
EMPTY(dropout);
EMPTY(loss);
EMPTY(resize);
