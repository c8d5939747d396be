/* winograd.h -- 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): one of conv.c's ways; arguments as there. */
#ifndef NN_KERNELS_WINOGRAD_H
#define NN_KERNELS_WINOGRAD_H

#include "kernels/conv.h"

/* Is it possible, and faster than a direct way? */
bool nnk_winograd_possible(const nnk_conv *shape);
bool nnk_winograd_suits(const nnk_conv *shape, nnk_conv_pass pass);
size_t nnk_winograd_weights(const nnk_conv *shape, nnk_conv_pass pass);  /* bytes of prepared weights */

int nnk_winograd_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale);
/* Prepares by one of the engine's transforms, 36 matrices in panels: here and for strided.c. */
typedef void nnk_weights_transform(nn_real *u, int64_t u_position, const nnk_conv *s, bool backward,
                                   const nn_real *weight, const nn_real *scale, int64_t panel, int64_t begin,
                                   int64_t end, bool stream);
int nnk_winograd_transform(nnk_weights_transform *transform, const nnk_conv_method *m, void *prepared,
                           const nn_real *weight, const nn_real *scale);
int nnk_winograd_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared);
int nnk_winograd_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x);

#endif
