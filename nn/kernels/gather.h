/* gather.h -- elements and slices picked by index. Indices count from 0 and are within range. */
#ifndef NN_KERNELS_GATHER_H
#define NN_KERNELS_GATHER_H

#include "kernels/elementwise.h"

/* Shapes of a gather along `axis`: index and y have `size`, x differs along the axis and may be longer elsewhere. */
typedef struct {
  int axes, axis;
  const int64_t *size, *x_size;
} nnk_gather_shape;

/* y[.., i, ..] = x[.., index[.., i, ..], ..];  dx[.., index[.., i, ..], ..] += dy[.., i, ..] */
int nnk_gather(nn_real *y, const nn_real *x, const int32_t *index, nnk_gather_shape shape);
int nnk_gather_grad(nn_real *dx, const nn_real *dy, const int32_t *index, nnk_gather_shape shape);

/* x is [outer x n x inner] of elements of `bytes` bytes, y is [outer x picks x inner]: y[o, i] = x[o, index[i]]. In dx
 * the picks of one slice are added in the order of the index. */
int nnk_index_select(void *y, const void *x, const int32_t *index, int64_t outer, int64_t n, int64_t inner,
                     int64_t picks, size_t bytes);
int nnk_index_select_grad(nn_real *dx, const nn_real *dy, const int32_t *index, int64_t outer, int64_t n, int64_t inner,
                          int64_t picks);

/* y [count x classes] = 1 at index, 0 elsewhere. */
int nnk_one_hot(nn_real *y, const int32_t *index, int64_t count, int64_t classes);

#endif
