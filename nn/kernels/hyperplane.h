/* hyperplane.h -- the shortest way to a hyperplane that stays inside the box of pixels. */
#ifndef NN_KERNELS_HYPERPLANE_H
#define NN_KERNELS_HYPERPLANE_H

#include "core/core.h"

/* step [n] = the shortest, in the largest component or in the Euclidean norm, with <w, step> = gap and x + step in
 * [0, 1]; x [n] lies there. Where the box does not reach that far it goes as far as it does. Returns its length. w = 0:
 * no step. */
double nnk_hyperplane_step(nn_real *step, const nn_real *x, const nn_real *w, int64_t n, double gap, bool euclidean);

#endif
