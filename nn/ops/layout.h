/* layout.h -- strides, reductions and index checks that several families of ops share. */
#ifndef NN_OPS_LAYOUT_H
#define NN_OPS_LAYOUT_H

#include "autograd/op.h"
#include "kernels/reduce.h"

void nni_contiguous_strides(int axes, const int64_t *size, int64_t *stride);
/* Strides of x, contiguous, read as y's shape: 0 along the axes where it is repeated. */
void nni_broadcast_strides(const nn_shape *x, const nn_shape *y, int64_t *stride);

/* The span that stays when one axis goes. */
nnk_span nni_span_at(const nn_shape *x, int64_t axis);

/* Axes of x that a reduction takes away. Neighbouring ones form a span of x as it lies; otherwise x is copied first,
 * its axes in the order of `size` and `stride`: those that stay, then those that go. */
typedef struct {
  nnk_span span;
  bool as_it_lies;
  int axes;
  int64_t size[NN_MAX_AXES], stride[NN_MAX_AXES];
} nni_reduction;

nni_reduction nni_reduce_axes(const nn_shape *x, const bool goes[NN_MAX_AXES]);
/* Data in the reduction's order: x itself, or a copy that the caller puts back (*copy, else NULL). NULL: no memory, or
 * interrupted (*status). */
const nn_real *nni_reduction_order(const nni_reduction *r, const nn_real *x, nn_real **copy, int *status);

/* to [shape small] += factor * from [shape wide], summed over the axes along which small was repeated. */
int nni_sum_repeated(nn_real *to, const nn_shape *small, const nn_real *from, const nn_shape *wide, double factor);

/* Every element of the index lies in 0 .. limit-1; the message counts from 1:
 * "target expects classes 1..10, got 11 at row 3". what: "classes"; one: "row" names a place of a single axis. */
int nni_check_index(const nn_tensor *index, int64_t limit, const char *name, const char *what, const char *one);

#endif
