/* softmax.h -- softmax and its logarithm along one span. Shapes as in reduce.h: x and y are [outer x n x inner]. */
#ifndef NN_KERNELS_SOFTMAX_H
#define NN_KERNELS_SOFTMAX_H

#include "kernels/reduce.h"

/* y = exp(x - m) / sum exp(x - m), m = max x; with `logarithm` y = x - m - log sum exp(x - m). */
int nnk_softmax(nn_real *y, const nn_real *x, nnk_span span, bool logarithm);
/* dx += y * (dy - sum dy * y); with `logarithm` dx += dy - exp(y) * sum dy. */
int nnk_softmax_grad(nn_real *dx, const nn_real *dy, const nn_real *y, nnk_span span, bool logarithm);

#endif
