/* resample.c -- resizing pictures as Pillow does (its Resample.c): weights, and the loops in plain C.
 *
 * Target place i lies at (i + 1/2) from / to of the source. The filter around it is as wide as `from / to` source
 * pixels make it, when the side shrinks (that is the antialiasing), and its weights are made to sum to 1; at an edge
 * those within the picture are.
 */
#include "kernels/resample.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* ---- weights ---- */

static double filter_support(nn_filter filter) { return filter == NN_BICUBIC ? 2 : 1; }

static double filter_at(nn_filter filter, double x) {
  const double a = -0.5;
  x = fabs(x);
  if (filter == NN_BILINEAR) return x < 1 ? 1 - x : 0;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

typedef struct {
  double step, wide;  /* source pixels from place to place; what the filter is stretched by */
} spacing;

static spacing spacing_of(const nnk_side *s) {
  double step = (double)s->from / (double)s->to;
  return (spacing){ step, step < 1 || s->aliased ? 1 : step };
}

/* The source places [*first, *end) of one target place; returns its centre. */
static double place_span(const nnk_side *s, int64_t place, int64_t *first, int64_t *end) {
  spacing d = spacing_of(s);
  double support = filter_support(s->filter) * d.wide, centre = ((double)place + 0.5) * d.step;
  *first = nnk_max(0, (int64_t)(centre - support + 0.5));
  *end = nnk_min(s->from, (int64_t)(centre + support + 0.5));
  return centre;
}

void nnk_taps_needs(const nnk_side *s, int64_t *first, int64_t *end) {
  int64_t ignored;
  place_span(s, s->begin, first, &ignored);
  place_span(s, s->begin + s->count - 1, &ignored, end);
}

/* share[0 .. taps) of place i. Weights of 0 at the ends are left out: where nothing changes, one tap remains. */
static void fill_place(nnk_taps *t, const nnk_side *s, int64_t i) {
  double *share = t->share + i * t->taps, wide = spacing_of(s).wide, sum = 0;
  int32_t *weight = t->weight + i * t->taps;
  int64_t first, end;
  double centre = place_span(s, s->begin + i, &first, &end);
  int64_t count = end - first, skipped = 0;
  for (int64_t k = 0; k < count; k++) {
    share[k] = filter_at(s->filter, ((double)(k + first) - centre + 0.5) * (1 / wide));
    sum += share[k];
  }
  while (count > 1 && share[count - 1] == 0) count--;
  while (skipped + 1 < count && share[skipped] == 0) skipped++;
  for (int64_t k = 0; k < t->taps; k++) {
    int64_t from = k + skipped;
    share[k] = from < count ? sum != 0 ? share[from] / sum : share[from] : 0;
    weight[k] = (int32_t)((share[k] < 0 ? -0.5 : 0.5) + share[k] * (1 << NNK_TAP_BITS));
    int16_t *group = t->split + (i * t->taps + k / NNK_TAP_GROUP * NNK_TAP_GROUP) * 2 + k % NNK_TAP_GROUP;
    group[0] = (int16_t)(weight[k] >> NNK_SPLIT_BITS);
    group[NNK_TAP_GROUP] = (int16_t)(weight[k] & ((1 << NNK_SPLIT_BITS) - 1));
  }
  t->first[i] = (int32_t)(first + skipped);
  t->count[i] = (int32_t)(count - skipped);
}

int nnk_taps_make(nnk_taps *taps, const nnk_side *s) {
  int64_t most = (int64_t)ceil(filter_support(s->filter) * spacing_of(s).wide) * 2 + 1;
  most = nnk_divide_up(most, NNK_TAP_GROUP) * NNK_TAP_GROUP;
  nnk_taps t = { .size = s->count, .taps = most };
  t.first = nn_memory_get(2 * (size_t)s->count * sizeof *t.first);
  t.share = nn_memory_get((size_t)(s->count * most) * sizeof *t.share);
  t.weight = nn_memory_get((size_t)(s->count * most) * sizeof *t.weight);
  t.split = nn_memory_get(2 * (size_t)(s->count * most) * sizeof *t.split);
  if (!t.first || !t.share || !t.weight || !t.split) {
    nnk_taps_free(&t);
    return nn_fail(NN_EMEMORY, "resize: out of memory");
  }
  t.count = t.first + s->count;
  for (int64_t i = 0; i < s->count; i++) fill_place(&t, s, i);
  *taps = t;
  return NN_OK;
}

void nnk_taps_free(nnk_taps *taps) {
  nn_memory_put(taps->first);
  nn_memory_put(taps->share);
  nn_memory_put(taps->weight);
  nn_memory_put(taps->split);
  *taps = (nnk_taps){ 0 };
}

/* ---- sums ---- */

enum { HALF = 1 << (NNK_TAP_BITS - 1) };

NNK_INLINE uint8_t to_byte(int32_t sum) {
  sum >>= NNK_TAP_BITS;
  return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

NNK_INLINE void across_row(uint8_t *restrict out, const uint8_t *restrict in, int channels, const nnk_taps *t) {
  for (int64_t i = 0; i < t->size; i++, out += channels) {
    const uint8_t *from = in + (int64_t)t->first[i] * channels;
    const int32_t *weight = t->weight + i * t->taps;
    int32_t sum[NN_MAX_CHANNELS];
    for (int c = 0; c < channels; c++) sum[c] = HALF;
    for (int k = 0; k < t->count[i]; k++, from += channels)
      for (int c = 0; c < channels; c++) sum[c] += from[c] * weight[k];
    for (int c = 0; c < channels; c++) out[c] = to_byte(sum[c]);
  }
}

void nnk_resample_across(uint8_t *out, const uint8_t *in, int64_t rows, int64_t in_pitch, int channels,
                         const nnk_taps *across) {
  int64_t done = 0;
#if defined(__x86_64__)
  if (nni_level() >= NN_AVX2) done = nnk_resample_across_avx2(out, in, rows, in_pitch, channels, across);
#endif
  in += done * in_pitch;
  out += done * across->size * channels;
  for (int64_t y = done; y < rows; y++, in += in_pitch, out += across->size * channels)
    switch (channels) {
      case 1: across_row(out, in, 1, across); break;
      case 3: across_row(out, in, 3, across); break;
      case 4: across_row(out, in, 4, across); break;
      default: across_row(out, in, channels, across);
    }
}

enum { STRIP = 256 };  /* columns whose sums are kept at a time */

NNK_CLONES
void nnk_resample_down(uint8_t *restrict out, const uint8_t *restrict in, int64_t columns, const nnk_taps *down) {
  int32_t sum[STRIP];
  for (int64_t i = 0; i < down->size; i++, out += columns)
    for (int64_t begin = 0; begin < columns; begin += STRIP) {
      int64_t here = nnk_min(STRIP, columns - begin);
      for (int64_t x = 0; x < here; x++) sum[x] = HALF;
      for (int k = 0; k < down->count[i]; k++) {
        const uint8_t *from = in + (down->first[i] + k) * columns + begin;
        int32_t weight = down->weight[i * down->taps + k];
        for (int64_t x = 0; x < here; x++) sum[x] += from[x] * weight;
      }
      for (int64_t x = 0; x < here; x++) out[begin + x] = to_byte(sum[x]);
    }
}

void nnk_resample_across_real(nn_real *out, const nn_real *in, int64_t rows, int64_t in_pitch, int channels,
                              const nnk_taps *across) {
  for (int64_t y = 0; y < rows; y++, in += in_pitch)
    for (int64_t i = 0; i < across->size; i++)
      for (int c = 0; c < channels; c++) {
        const nn_real *from = in + (int64_t)across->first[i] * channels + c;
        double sum = 0;
        for (int k = 0; k < across->count[i]; k++) sum += across->share[i * across->taps + k] * from[k * channels];
        *out++ = (nn_real)sum;
      }
}

void nnk_resample_down_real(nn_real *out, const nn_real *in, int64_t columns, const nnk_taps *down) {
  for (int64_t i = 0; i < down->size; i++)
    for (int64_t x = 0; x < columns; x++) {
      double sum = 0;
      for (int k = 0; k < down->count[i]; k++)
        sum += down->share[i * down->taps + k] * in[(down->first[i] + k) * columns + x];
      *out++ = (nn_real)sum;
    }
}
