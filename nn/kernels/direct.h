/* direct.h -- convolution as an implicit matrix product, and by channel where a group has one: the ways that round
 * least and work for every shape. */
#ifndef NN_KERNELS_DIRECT_H
#define NN_KERNELS_DIRECT_H

#include "kernels/conv.h"

/* One axis of a grid of destination pixels, first + j * step for j < count, and of what they see: tap i < taps of
 * destination j is source pixel j * source_step + offset + i * offset_step, or a zero outside [0, source_size).
 * Tap i is position tap + i * tap_step of the kernel. */
typedef struct {
  int64_t count, first, step;
  int64_t source_size, source_step, offset, offset_step;
  int64_t taps, tap, tap_step;
} nnk_axis;

/* The destinations of `images` images, rows of a product: row (image * v.count + j) * h.count + i. */
typedef struct {
  nnk_axis v, h;                        /* vertical, horizontal */
  int64_t images, height, width;        /* of the destinations' images */
  int64_t channels, source_channels;    /* of whole images */
} nnk_grid;

/* Where spread pixels keep what they give under each tap: channels (at most 8) side by side, as many taps as fit a
 * block of 16 columns. */
enum { NNK_SPREAD_TAPS = 64 };
static inline int64_t nnk_spread_taps(const nnk_grid *g) { return NNK_LANES / g->channels; }
static inline int64_t nnk_spread_column(const nnk_grid *g, int64_t tap) {
  return tap / nnk_spread_taps(g) * NNK_LANES + tap % nnk_spread_taps(g) * g->channels;
}

/* Fills in what a method of this shape and pass needs to know: the size of its weights. */
int nnk_direct_choose(nnk_conv_method *m);
int nnk_direct_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale);
int nnk_direct_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared);
int nnk_direct_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x);

#endif
