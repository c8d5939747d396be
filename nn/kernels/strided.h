/* strided.h -- 3x3 convolutions of stride 2 with padding 1 in 81 products for every 4 x 4 results, where the definition
 * has 144: one of conv.c's ways; arguments as there. */
#ifndef NN_KERNELS_STRIDED_H
#define NN_KERNELS_STRIDED_H

#include "kernels/conv.h"

/* Transformed tiles x channels. Of the 81 positions in a tile, those that meet the same weights are rows of one matrix:
 * 25 matrices have a row for each tile, 10 have four and one has sixteen, [shared positions x tiles]; in this order,
 * each blocked. */
typedef struct {
  int64_t tiles;
  int64_t single, quad;                /* elements from one matrix to the next */
} nnk_strided_matrices;

enum { NNK_STRIDED_SINGLES = 25, NNK_STRIDED_QUADS = 10, NNK_STRIDED_MATRICES = 36 };

/* Where matrix i begins, and its rows for each tile. */
static inline int64_t nnk_strided_offset(const nnk_strided_matrices *m, int64_t i) {
  int64_t singles = nnk_min(i, NNK_STRIDED_SINGLES);
  return singles * m->single + (i - singles) * m->quad;
}
static inline int64_t nnk_strided_share(int64_t i) {
  return i < NNK_STRIDED_SINGLES ? 1 : i < NNK_STRIDED_SINGLES + NNK_STRIDED_QUADS ? 4 : 16;
}

/* What is cut into tiles, and the pixels of a tile along each axis: images, gradients of results on their way to the
 * images, and to the weights. */
typedef enum { NNK_STRIDED_DATA = 9, NNK_STRIDED_RESULTS = 5, NNK_STRIDED_GRADIENT = 4 } nnk_strided_size;

/* Is it possible, and faster than a direct way? */
bool nnk_strided_possible(const nnk_conv *shape);
bool nnk_strided_suits(const nnk_conv *shape, nnk_conv_pass pass);
size_t nnk_strided_weights(const nnk_conv *shape, nnk_conv_pass pass);  /* bytes of prepared weights */

int nnk_strided_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale);
int nnk_strided_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared);
int nnk_strided_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x);

#endif
