/* dropout.h -- elements dropped at random. */
#ifndef NN_KERNELS_DROPOUT_H
#define NN_KERNELS_DROPOUT_H

#include "kernels/elementwise.h"

/* out = or += x / (1 - p) where element i is kept, 0 where it is dropped. Of each 128 elements, number 32 k + b draws
 * word k of the b-th of their 32 Philox blocks of (seed, stream); it is dropped when that is below p 2^32, so the same
 * call on dy gives the gradient. */
int nnk_dropout(nn_real *out, const nn_real *x, int64_t count, double p, uint64_t seed, uint64_t stream, bool add);

#endif
