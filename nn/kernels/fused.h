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

/* What a sink does, as a set: loops are compiled once for each that is frequent. */
enum {
  FUSED_BIAS = 1, FUSED_RESIDUAL = 2, FUSED_RELU = 4, FUSED_GATE = 8, FUSED_Z_GATE = 16, FUSED_SIGNS = 32,
  FUSED_MOMENTS = 64, FUSED_Z_MOMENTS = 128, FUSED_DROPPED = 256, FUSED_SUMS = FUSED_MOMENTS | FUSED_Z_MOMENTS
};

NNK_INLINE int fused_parts(const nnk_sink *s) {
  return (s->bias ? FUSED_BIAS : 0) | (s->residual ? FUSED_RESIDUAL : 0) | (s->relu ? FUSED_RELU : 0) |
         (s->gate ? FUSED_GATE : 0) | (s->z_scale ? FUSED_Z_GATE : 0) | (s->signs ? FUSED_SIGNS : 0) |
         (!s->sums ? 0 : s->z ? FUSED_Z_MOMENTS : FUSED_MOMENTS) | (s->y ? 0 : FUSED_DROPPED);
}

/* The vectors of a sink at channels [c, c + count), and its sums since. */
typedef struct {
  lanes bias, z_scale, z_shift, centre, sum, product;
} fused_out;

NNK_INLINE fused_out fused_open(const int parts, const nnk_sink *s, int64_t c, int count) {
  fused_out f = { .centre = lanes_zero(), .sum = lanes_zero(), .product = lanes_zero() };
  if (parts & FUSED_BIAS) f.bias = lanes_load_some(s->bias + c, count);
  if (parts & FUSED_Z_GATE) {
    f.z_scale = lanes_load_some(s->z_scale + c, count);
    f.z_shift = lanes_load_some(s->z_shift + c, count);
  }
  if (parts & FUSED_SUMS && s->centre) f.centre = lanes_load_some(s->centre + c, count);
  return f;
}

/* Finished sums at channels [c, c + count) of a pixel; c is a multiple of 16, lanes beyond count are 0. */
NNK_INLINE void fused_put(const int parts, fused_out *f, const nnk_sink *s, int64_t pixel, int64_t channels,
                          int64_t c, lanes v, int count) {
  int64_t at = pixel * channels + c, word = pixel * nnk_signs(channels) + c / NNK_LANES;
  lanes z = lanes_zero();
  if (parts & (FUSED_Z_GATE | FUSED_Z_MOMENTS)) z = lanes_load_some(s->z + at, count);
  if (parts & FUSED_BIAS) v = lanes_add(v, f->bias);
  if (parts & FUSED_RESIDUAL) v = lanes_add(v, lanes_load_some(s->residual + at, count));
  if (parts & FUSED_RELU) v = lanes_at_least(lanes_zero(), v);
  if (parts & FUSED_GATE) v = lanes_keep(v, s->gate[word]);
  if (parts & FUSED_Z_GATE) v = lanes_keep_where_positive(v, lanes_fma(z, f->z_scale, f->z_shift));
  if (parts & FUSED_SIGNS) s->signs[word] = lanes_positive(v);
  if (!(parts & FUSED_DROPPED)) lanes_store_some(s->y + at, v, count);
  if (parts & FUSED_MOMENTS) {
    lanes apart = lanes_sub(v, f->centre);
    f->sum = lanes_add(f->sum, apart);
    f->product = lanes_fma(apart, apart, f->product);
  }
  if (parts & FUSED_Z_MOMENTS) {
    f->sum = lanes_add(f->sum, v);
    f->product = lanes_fma(v, lanes_sub(z, f->centre), f->product);
  }
}

/* Adds what was summed to sums [2 x channels]. */
NNK_INLINE void fused_close(const int parts, const fused_out *f, double *sums, int64_t channels, int64_t c,
                            int count) {
  if (!(parts & FUSED_SUMS)) return;
  nn_real sum[NNK_LANES], product[NNK_LANES];
  lanes_store(sum, f->sum);
  lanes_store(product, f->product);
  for (int i = 0; i < count; i++) {
    sums[c + i] += sum[i];
    sums[channels + c + i] += product[i];
  }
}

/* One pixel alone, whatever the sink does. sums: float partial sums [2 x step], a block of them at c, when it sums. */
NNK_INLINE void fused_write(const nnk_sink *s, nn_real *sums, int64_t step, int64_t pixel, int64_t channels, int64_t c,
                            lanes v, int count) {
  int parts = fused_parts(s);
  fused_out f = fused_open(parts, s, c, count);
  fused_put(parts, &f, s, pixel, channels, c, v, count);
  if (!(parts & FUSED_SUMS)) return;
  lanes_store(sums + c, lanes_add(lanes_load(sums + c), f.sum));
  lanes_store(sums + step + c, lanes_add(lanes_load(sums + step + c), f.product));
}

#endif
