/* plan.h -- a module for one shape of input, as steps over planned memory.
 *
 * A plan is made from the graph of values (graph.h) by lower.c and run by plan.c. It computes what the modules' own
 * forward functions compute through the tape, which remain as its reference, in fewer passes over memory:
 *
 *   - Batch norm and ReLU are never stored. A value that is "norm, or relu(norm), of z" keeps z alone, and is read
 *     through scale and shift by whatever comes next. The norm's statistics are summed while z is written, and on the
 *     way back the gradient is gated and summed while it is written.
 *   - A sum of a residual block and its ReLU are one pass; signs of a stored rectified value are kept as bits.
 *   - Where no parameter wants a gradient and statistics are the running ones, batch norm is folded into the weights of
 *     the convolution before it, bias, residual sum and ReLU into its stores, and prepared weights stay with the module
 *     until the weights change.
 *   - Gradients that nobody wants are not computed.
 *
 * All values and gradients of a call lie in one block of memory, the arena, whose places are given out by lifetime:
 * steps of the way back are numbered after those of the way forth. Each call has an arena of its own, so several may be
 * alive.
 */
#ifndef NN_PLAN_H
#define NN_PLAN_H

#include "kernels/conv.h"
#include "module/module.h"

/* Buffers: four that the caller owns, and from NNI_ARENA on those in the arena. */
enum { NNI_NONE = -1, NNI_X, NNI_Y, NNI_DY, NNI_DX, NNI_ARENA };

typedef struct {
  size_t bytes, offset;
  int first, last;       /* steps */
} nni_buffer;

/* A buffer as a kernel reads it: as it is, through a norm, or as the gradient that leaves a norm backwards,
 * a x + b other + c. */
typedef struct {
  int x, other;
  int norm;              /* the NORM or AFFINE value, or -1 */
  bool backward, relu;
} nni_operand;

typedef enum {
  NNI_CONV_FORWARD, NNI_CONV_GRAD_INPUT,  /* sink <- a */
  NNI_CONV_GRAD_WEIGHT,                   /* a: dy, b: x */
  NNI_BIAS_GRAD,                          /* the sums of a */
  NNI_NORM_FORWARD,                       /* sums, or a, to scale and shift */
  NNI_NORM_BACKWARD,                      /* sums to gradients of weight and bias, and a, b, c */
  NNI_FUSE,                               /* sink <- a + b */
  NNI_ROW_FORWARD, NNI_ROW_BACKWARD,      /* a: x or dy; y: y or dx; b: x, z: y where backward reads them */
  NNI_CLEAR,                              /* y <- 0 */
} nni_step_kind;

typedef struct {
  nni_step_kind kind;
  int value;                              /* whose module it is about */
  nni_operand a, b;
  int y, residual, gate, signs, z;        /* buffers of the sink */
  int norm;                               /* whose sums are taken, or whose scale and shift gate z */
  bool relu, z_gate, sums;
  int64_t rows, channels;                 /* of y */
  nnk_conv_method method;
  int weights;                            /* buffer of prepared weights; NNI_NONE: kept with the module */
  int fold;                               /* the NORM value folded into the convolution, or -1 */
} nni_step;

/* What a plan is made for. */
typedef struct {
  nn_shape shape;
  bool training, gradient, input_gradient;
  nnk_precision precision;
} nni_plan_key;

typedef struct nni_plan nni_plan;
struct nni_plan {
  int references;
  nni_plan_key key;
  nni_graph graph;
  nn_tensor **param;                      /* distinct parameters, in order; borrowed from the modules */
  bool *wanted;                           /* [params] wants a gradient */
  int params;
  nni_step *step;
  int steps, room;
  int forward_steps;                      /* the first ones; the rest are the way back */
  nni_buffer *buffer;                     /* of the arena: buffer i is NNI_ARENA + i */
  int buffers, buffer_room;
  int *vectors;                           /* [values] buffer of a NORM's or AFFINE's vectors */
  size_t arena;                           /* bytes */
  nni_plan *next;
};

/* Vectors of a NORM or AFFINE: [2 x channels] double sums, then these, each of `channels` elements padded to 16. */
enum { NNI_SCALE, NNI_SHIFT, NNI_MEAN, NNI_INVERSE, NNI_A, NNI_B, NNI_C, NNI_VECTORS };

/* A plan of its own; released as a list of one. NN_ESTATE: the module cannot be traced. */
int nni_plan_make(nni_plan **out, nn_module *m, const nni_plan_key *key);
/* Fills in steps and buffers of a plan whose graph, params and key are there. */
int nni_plan_lower(nni_plan *p);
int nni_plan_param(const nni_plan *p, const nn_tensor *t);  /* its place, or -1 */

static inline int64_t nni_channels(const nn_shape *s) { return s->size[s->axes - 1]; }

#endif
