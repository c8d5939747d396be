/* resize.h -- bilinear resizing of x [images x height x width x channels] to y with a height and width of its own. */
#ifndef NN_KERNELS_RESIZE_H
#define NN_KERNELS_RESIZE_H

#include "kernels/elementwise.h"

typedef struct {
  int64_t images, channels, x_height, x_width, y_height, y_width;
  bool align_corners;  /* else half-pixel centres */
  int64_t x_pitch;     /* pixels from one row of x to the next, when x is a window of one larger image; else 0 */
} nnk_resize_shape;

int nnk_resize(nn_real *y, const nn_real *x, const nnk_resize_shape *shape);
int nnk_resize_grad(nn_real *dx, const nn_real *dy, const nnk_resize_shape *shape);

#endif
