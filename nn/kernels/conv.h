/* conv.h -- two-dimensional convolution of N x H x W x C images. */
#ifndef NN_KERNELS_CONV_H
#define NN_KERNELS_CONV_H

#include "kernels/kernels.h"

typedef struct {
  int64_t images, height, width, channels;       /* x  [images x height x width x channels] */
  int64_t out_height, out_width, out_channels;   /* y  [images x out_height x out_width x out_channels] */
  int64_t kernel_height, kernel_width; /* weight [kernel_height x kernel_width x channels/groups x out_channels] */
  int64_t stride, padding, dilation, groups;
} nnk_conv;

/* y = weight * x (+ bias [out_channels], which may be NULL) */
int nnk_conv2d(nn_real *y, const nn_real *x, const nn_real *weight, const nn_real *bias, const nnk_conv *s);
int nnk_conv2d_grad_input(nn_real *dx, const nn_real *dy, const nn_real *weight, const nnk_conv *s);
int nnk_conv2d_grad_weight(nn_real *dweight, const nn_real *dy, const nn_real *x, const nnk_conv *s);

#endif
