/* geometry.h -- moving the pixels of one image [height x width x channels]. */
#ifndef NN_KERNELS_GEOMETRY_H
#define NN_KERNELS_GEOMETRY_H

#include "core/core.h"

/* out = the image moved up by `up` and left by `left` (negative: down, right), at most by its size. What comes in at
 * the sides is zero, or the image mirrored at its outermost pixels, which takes moves below its size. */
void nnk_shift(nn_real *out, const nn_real *in, int64_t height, int64_t width, int channels, int64_t up, int64_t left,
               bool mirror);
/* Left and right exchanged, in place. */
void nnk_flip(nn_real *pixels, int64_t height, int64_t width, int channels);

#endif
