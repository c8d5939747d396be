/* noise.h -- random noise on one image. */
#ifndef NN_KERNELS_NOISE_H
#define NN_KERNELS_NOISE_H

#include "core/core.h"

/* pixels = clip(pixels + deviation n, 0, 1), n normal; draws (seed, stream + (k << 32), index), k = 0, 1, ... */
void nnk_noise_clip(nn_real *pixels, int64_t count, double deviation, uint64_t seed, uint64_t stream, uint64_t index);

#endif
