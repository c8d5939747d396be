/* fuse.h -- what stands between two convolutions, as one pass over memory. */
#ifndef NN_KERNELS_FUSE_H
#define NN_KERNELS_FUSE_H

#include "kernels/conv.h"

/* Each element of rows x channels: v = a's + b's value (b may be NULL), then what the sink says. Here sink->y may be
 * NULL as well, for sums alone. */
int nnk_fuse(const nnk_sink *sink, const nnk_source *a, const nnk_source *b, int64_t rows, int64_t channels);

#endif
