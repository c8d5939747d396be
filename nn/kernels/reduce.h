/* reduce.h -- sums and extremes over one span of a contiguous tensor.
 *
 * x is [outer x n x inner] and n goes: the last axis is inner = 1, the first is outer = 1, all of it both. Sums are
 * kept in double. A long sum is cut into at most 8 slices, fixed by shape, whose totals are added in order.
 */
#ifndef NN_KERNELS_REDUCE_H
#define NN_KERNELS_REDUCE_H

#include "kernels/elementwise.h"

typedef struct {
  int64_t outer, n, inner;
} nnk_span;

/* What is summed: x, |x|, x^2, |x|^p, or (x - centre)^2. */
typedef enum { NNK_SUM, NNK_SUM_ABS, NNK_SUM_SQUARE, NNK_SUM_POWER, NNK_SUM_DEVIATION } nnk_term;

/* total [outer x inner] = sum over n of term(x). centre [outer x inner] belongs to NNK_SUM_DEVIATION, p to
 * NNK_SUM_POWER. */
int nnk_reduce(double *total, const nn_real *x, nnk_span span, nnk_term term, const double *centre, double p);
/* out [outer x inner] = or += factor * sum over n of x. */
int nnk_reduce_sum(nn_real *out, const nn_real *x, nnk_span span, double factor, bool add);

/* best [outer x inner] = the greatest (sign = 1) or least (sign = -1) of each span, and place, where not NULL, its
 * position from 0: the first of equals. A NaN beats every number. n is at least 1. */
int nnk_extreme(nn_real *best, int32_t *place, const nn_real *x, nnk_span span, int sign);
/* dx at each span's place += dy [outer x inner]. */
int nnk_extreme_grad(nn_real *dx, const nn_real *dy, const int32_t *place, nnk_span span);

/* Gradient lines over a walk whose operands are 0: the incoming gradient, 1: x, 2: the value of the reduction (or the
 * mean). number[0] is the factor or p.
 *   spread:    dx += number[0] * dy
 *   deviation: dx += number[0] * dy * (x - mean)
 *   norm:      dx += dy * sign(x) (|x| / y)^(p - 1), 0 where y or x is 0 */
nnk_line nnk_spread_grad, nnk_deviation_grad, nnk_norm_grad;

#endif
