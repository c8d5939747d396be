/* pool.h -- pooling of N x H x W x C images. */
#ifndef NN_KERNELS_POOL_H
#define NN_KERNELS_POOL_H

#include "kernels/kernels.h"

typedef struct {
  int64_t images, height, width, channels;  /* x [images x height x width x channels] */
  int64_t out_height, out_width;            /* y [images x out_height x out_width x channels] */
  int64_t window_height, window_width, stride, padding;
  bool count_padding; /* a mean divides by the window's area also where the window leaves the image */
} nnk_pool;

/* y = greatest value of each window, place (shaped as y) = its pixel within the image. NaN counts as greatest, among
 * equals the first wins. */
int nnk_max_pool(nn_real *y, int32_t *place, const nn_real *x, const nnk_pool *s);
int nnk_max_pool_grad(nn_real *dx, const nn_real *dy, const int32_t *place, const nnk_pool *s);

int nnk_avg_pool(nn_real *y, const nn_real *x, const nnk_pool *s);
int nnk_avg_pool_grad(nn_real *dx, const nn_real *dy, const nnk_pool *s);

#endif
