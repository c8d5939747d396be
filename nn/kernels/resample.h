/* resample.h -- resizing pictures [rows, columns, channels] as Pillow does: each target place is a weighted sum of the
 * source places around it, first along rows, then down columns.
 */
#ifndef NN_KERNELS_RESAMPLE_H
#define NN_KERNELS_RESAMPLE_H

#include "nn.h"

/* Weights of bytes are in 1 / 2^22: Pillow's precision, so the sums are its very integers. */
enum { NNK_TAP_BITS = 22 };
/* For units that multiply 16 bits: taps in groups, a weight in two parts, the lower one of so many bits. */
enum { NNK_TAP_GROUP = 4, NNK_SPLIT_BITS = 11 };

/* Places begin .. begin + count of a side that goes from `from` to `to`. */
typedef struct {
  int64_t from, to, begin, count;
  nn_filter filter;
  bool aliased;  /* the filter keeps its width when the side shrinks */
} nnk_side;

/* out[i] = sum_k weight[i, k] in[first[i] + k], k < count[i] */
typedef struct {
  int64_t size, taps;       /* places; weights kept for each, whole groups: those behind the last used are 0 */
  int32_t *first, *count;   /* [size] */
  double *share;            /* [size, taps]; they sum to 1 */
  int32_t *weight;          /* [size, taps]: share * 2^22, rounded */
  int16_t *split;           /* [size, taps / 4, 2, 4]: weight / 2^11, rounded down, of a group; what is left of it */
} nnk_taps;

/* Both sides of *s are below 2^31 - 1. */
int nnk_taps_make(nnk_taps *taps, const nnk_side *s);
void nnk_taps_free(nnk_taps *taps);
/* The source places [*first, *end) that a side's targets are made of. */
void nnk_taps_needs(const nnk_side *s, int64_t *first, int64_t *end);

/* out: [rows, across->size, channels], at most NN_MAX_CHANNELS; in: [rows, ...], rows in_pitch elements apart. */
void nnk_resample_across(uint8_t *out, const uint8_t *in, int64_t rows, int64_t in_pitch, int channels,
                         const nnk_taps *across);
/* The same with AVX2, for the first rows of them; returns how many (none, of more than four channels). */
int64_t nnk_resample_across_avx2(uint8_t *out, const uint8_t *in, int64_t rows, int64_t in_pitch, int channels,
                                 const nnk_taps *across);
/* out: [down->size, columns]; in: [..., columns]. */
void nnk_resample_down(uint8_t *out, const uint8_t *in, int64_t columns, const nnk_taps *down);

/* The same with pixels that are numbers. */
void nnk_resample_across_real(nn_real *out, const nn_real *in, int64_t rows, int64_t in_pitch, int channels,
                              const nnk_taps *across);
void nnk_resample_down_real(nn_real *out, const nn_real *in, int64_t columns, const nnk_taps *down);

#endif
