/* fused.h -- a convolution's source and sink (conv.h), sixteen channels of a pixel at a time. For engine bodies.
 *
 * A source's v and a sink's gate are both one fused multiply-add, so that a gate opens exactly where v was positive.
 */
#ifndef NN_KERNELS_FUSED_H
#define NN_KERNELS_FUSED_H

#include <math.h>

#include "kernels/conv.h"
#include "kernels/lanes.h"

/* What a source does to x. Loops are compiled once for each. */
typedef enum { FUSED_NOTHING, FUSED_SCALE, FUSED_SUM } fused_kind;

NNK_INLINE fused_kind fused_kind_of(const nnk_source *s) {
  return s->other ? FUSED_SUM : s->scale || s->relu ? FUSED_SCALE : FUSED_NOTHING;
}

/* The vectors of a source at channels [c, c + count). */
typedef struct {
  lanes scale, shift, other_scale, floor;
} fused_in;

NNK_INLINE fused_in fused_begin(fused_kind kind, const nnk_source *s, int64_t c, int count) {
  fused_in f = { .floor = lanes_of(s->relu ? 0 : (nn_real)-INFINITY) };
  f.scale = s->scale ? lanes_load_some(s->scale + c, count) : lanes_of(1);
  f.shift = s->shift ? lanes_load_some(s->shift + c, count) : lanes_zero();
  if (kind == FUSED_SUM) f.other_scale = lanes_load_some(s->other_scale + c, count);
  return f;
}

/* v at element `at` and on. */
NNK_INLINE lanes fused_read(fused_kind kind, const fused_in *f, const nnk_source *s, int64_t at, int count) {
  lanes v = lanes_load_some(s->x + at, count);
  if (kind == FUSED_NOTHING) return v;
  v = lanes_fma(v, f->scale, f->shift);
  if (kind == FUSED_SUM) v = lanes_fma(lanes_load_some(s->other + at, count), f->other_scale, v);
  return lanes_at_least(f->floor, v);
}

/* Finished sums at channels [c, c + count) of a pixel; c is a multiple of 16, lanes beyond count are 0. sums: float
 * partial sums [2 x step], a block of them at c, when the sink sums. */
NNK_INLINE void fused_write(const nnk_sink *s, nn_real *sums, int64_t step, int64_t pixel, int64_t channels, int64_t c,
                            lanes v, int count) {
  int64_t at = pixel * channels + c, word = pixel * nnk_signs(channels) + c / NNK_LANES;
  lanes z = lanes_zero();
  if (s->bias) v = lanes_add(v, lanes_load_some(s->bias + c, count));
  if (s->residual) v = lanes_add(v, lanes_load_some(s->residual + at, count));
  if (s->relu) v = lanes_at_least(lanes_zero(), v);
  if (s->gate) v = lanes_keep(v, s->gate[word]);
  if (s->z) z = lanes_load_some(s->z + at, count);
  if (s->z_scale) {
    lanes scale = lanes_load_some(s->z_scale + c, count), shift = lanes_load_some(s->z_shift + c, count);
    v = lanes_keep_where_positive(v, lanes_fma(z, scale, shift));
  }
  if (s->signs) s->signs[word] = lanes_positive(v);
  if (s->y) lanes_store_some(s->y + at, v, count);
  if (!s->sums) return;
  lanes centre = s->centre ? lanes_load_some(s->centre + c, count) : lanes_zero();
  lanes first = s->z ? v : lanes_sub(v, centre), second = s->z ? lanes_sub(z, centre) : first;
  lanes_store(sums + c, lanes_add(lanes_load(sums + c), first));
  lanes_store(sums + step + c, lanes_fma(first, second, lanes_load(sums + step + c)));
}

#endif
