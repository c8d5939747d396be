/* norm.h -- sums over rows, and normalisation by channel. */
#ifndef NN_KERNELS_NORM_H
#define NN_KERNELS_NORM_H

#include "kernels/kernels.h"

/* sum [channels] += over the rows of x [rows x channels], added up in double. */
int nnk_sum_rows(nn_real *sum, const nn_real *x, int64_t rows, int64_t channels);

/* mean and biased variance of each channel of x [rows x channels], rows >= 1. */
int nnk_channel_moments(double *mean, double *variance, const nn_real *x, int64_t rows, int64_t channels);

/* y = (x - mean) * scale + shift by channel */
int nnk_channel_affine(nn_real *y, const nn_real *x, const nn_real *mean, const nn_real *scale, const nn_real *shift,
                       int64_t rows, int64_t channels);

/* sum_dy = over rows of dy, sum_dyx = over rows of dy * (x - mean) */
int nnk_channel_products(double *sum_dy, double *sum_dyx, const nn_real *dy, const nn_real *x, const nn_real *mean,
                         int64_t rows, int64_t channels);

/* dx += dy * a + (x - mean) * b + c by channel */
int nnk_channel_affine_grad(nn_real *dx, const nn_real *dy, const nn_real *x, const nn_real *mean, const nn_real *a,
                            const nn_real *b, const nn_real *c, int64_t rows, int64_t channels);

#endif
