/* lanes.h -- sixteen neighbouring channels as one value: what every engine (engine.h) is written in.
 *
 * All layouts are made of blocks of sixteen channels, so code over blocks is the same on every processor. The file that
 * includes this one says which registers hold a block: LANES_AVX512 one of sixteen floats, LANES_AVX2 two of eight,
 * neither as many sixteen-byte ones as it takes (SSE, Neon; floats or, in the double build, doubles), by the compiler's
 * own vectors.
 *
 * Everything here is inlined, and `count` (valid channels of a last, partial block) is meant to be the constant
 * NNK_LANES wherever a block is whole.
 */
#ifndef NN_KERNELS_LANES_H
#define NN_KERNELS_LANES_H

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

#if defined(LANES_AVX512)
enum { LANES_WIDTH = 16 };
#elif defined(LANES_AVX2)
enum { LANES_WIDTH = 8 };
#else
enum { LANES_WIDTH = 16 / sizeof(nn_real) };
#endif

#if defined(LANES_AVX512) || defined(LANES_AVX2)
#include <immintrin.h>
#endif

enum { LANES_PARTS = NNK_LANES / LANES_WIDTH };

/* A register, and the same at any address. */
typedef nn_real lanes_part __attribute__((vector_size(LANES_WIDTH * sizeof(nn_real))));
typedef nn_real lanes_part_at
    __attribute__((vector_size(LANES_WIDTH * sizeof(nn_real)), aligned(sizeof(nn_real)), may_alias));

typedef struct {
  lanes_part part[LANES_PARTS];
} lanes;

/* Loops with constant bounds that have to become straight code: their values are registers. (Sanitizers watch every
 * access: straight code would take them minutes to compile.) */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LANES_UNROLL
#else
#define LANES_UNROLL _Pragma("GCC unroll 64")
#endif
#define LANES_EACH(p) LANES_UNROLL for (int p = 0; p < LANES_PARTS; p++)

NNK_INLINE lanes lanes_of(nn_real x) {
  lanes v;
  LANES_EACH(p) v.part[p] = x - (lanes_part){ 0 };
  return v;
}

NNK_INLINE lanes lanes_zero(void) {
  lanes v;
  LANES_EACH(p) v.part[p] = (lanes_part){ 0 };
  return v;
}

NNK_INLINE lanes lanes_load(const nn_real *from) {
  lanes v;
  LANES_EACH(p) v.part[p] = *(const lanes_part_at *)(from + p * LANES_WIDTH);
  return v;
}

NNK_INLINE void lanes_store(nn_real *to, lanes v) {
  LANES_EACH(p) *(lanes_part_at *)(to + p * LANES_WIDTH) = v.part[p];
}

NNK_INLINE lanes lanes_add(lanes a, lanes b) {
  LANES_EACH(p) a.part[p] += b.part[p];
  return a;
}

NNK_INLINE lanes lanes_sub(lanes a, lanes b) {
  LANES_EACH(p) a.part[p] -= b.part[p];
  return a;
}

NNK_INLINE lanes lanes_mul(lanes a, lanes b) {
  LANES_EACH(p) a.part[p] *= b.part[p];
  return a;
}

/* a * b + c, rounded once where the processor can. */
NNK_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
#if defined(LANES_AVX512)
  LANES_EACH(p) c.part[p] = _mm512_fmadd_ps(a.part[p], b.part[p], c.part[p]);
#elif defined(LANES_AVX2)
  LANES_EACH(p) c.part[p] = _mm256_fmadd_ps(a.part[p], b.part[p], c.part[p]);
#else
  LANES_EACH(p) c.part[p] += a.part[p] * b.part[p];
#endif
  return c;
}

/* By a number instead of a block. */
NNK_INLINE lanes lanes_scale(nn_real a, lanes b) { return lanes_mul(lanes_of(a), b); }
NNK_INLINE lanes lanes_fma_by(nn_real a, lanes b, lanes c) { return lanes_fma(lanes_of(a), b, c); }

#if !defined(LANES_AVX512) && !defined(LANES_AVX2)
/* which ? a : b; comparisons give -1 for true. */
typedef __typeof__((lanes_part){ 0 } < (lanes_part){ 0 }) lanes_truth;
NNK_INLINE lanes_part lanes_choose(lanes_truth which, lanes_part a, lanes_part b) {
  return (lanes_part)(((lanes_truth)a & which) | ((lanes_truth)b & ~which));
}
#endif

/* v < floor ? floor : v. What is not a number stays so. */
NNK_INLINE lanes lanes_at_least(lanes floor, lanes v) {
#if defined(LANES_AVX512)
  LANES_EACH(p) v.part[p] = _mm512_max_ps(floor.part[p], v.part[p]);
#elif defined(LANES_AVX2)
  LANES_EACH(p) v.part[p] = _mm256_max_ps(floor.part[p], v.part[p]);
#else
  LANES_EACH(p) v.part[p] = lanes_choose(v.part[p] < floor.part[p], floor.part[p], v.part[p]);
#endif
  return v;
}

/* Bit i of the result: v[i] > 0. */
NNK_INLINE uint16_t lanes_positive(lanes v) {
#if defined(LANES_AVX512)
  return _cvtmask16_u32(_mm512_cmp_ps_mask(v.part[0], _mm512_setzero_ps(), _CMP_GT_OQ));
#elif defined(LANES_AVX2)
  int low = _mm256_movemask_ps(_mm256_cmp_ps(v.part[0], _mm256_setzero_ps(), _CMP_GT_OQ));
  int high = _mm256_movemask_ps(_mm256_cmp_ps(v.part[1], _mm256_setzero_ps(), _CMP_GT_OQ));
  return (uint16_t)(low | high << 8);
#else
  unsigned bits = 0;
  LANES_EACH(p) LANES_UNROLL for (int i = 0; i < LANES_WIDTH; i++)
    bits |= (unsigned)(v.part[p][i] > 0) << (p * LANES_WIDTH + i);
  return (uint16_t)bits;
#endif
}

/* v[i] where bit i is set, else 0. */
NNK_INLINE lanes lanes_keep(lanes v, uint16_t bits) {
#if defined(LANES_AVX512)
  v.part[0] = _mm512_maskz_mov_ps(_cvtu32_mask16(bits), v.part[0]);
#elif defined(LANES_AVX2)
  __m256i all = _mm256_set1_epi32(bits);
  LANES_EACH(p) {
    __m256i place = _mm256_slli_epi32(_mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), 8 * p);
    __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(all, place), place);
    v.part[p] = _mm256_and_ps(v.part[p], _mm256_castsi256_ps(set));
  }
#else
  nn_real kept[NNK_LANES];
  lanes_store(kept, v);
  for (int i = 0; i < NNK_LANES; i++)
    if (!(bits >> i & 1)) kept[i] = 0;
  v = lanes_load(kept);
#endif
  return v;
}

/* v where its own bit `other > 0` is set, else 0. */
NNK_INLINE lanes lanes_keep_where_positive(lanes v, lanes other) {
#if defined(LANES_AVX512)
  v.part[0] = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(other.part[0], _mm512_setzero_ps(), _CMP_GT_OQ), v.part[0]);
#elif defined(LANES_AVX2)
  LANES_EACH(p) v.part[p] =
      _mm256_and_ps(v.part[p], _mm256_cmp_ps(other.part[p], _mm256_setzero_ps(), _CMP_GT_OQ));
#else
  LANES_EACH(p) v.part[p] = lanes_choose(other.part[p] > 0, v.part[p], (lanes_part){ 0 });
#endif
  return v;
}

/* ---- partial blocks: the first `count` channels, 0 < count <= 16; the others read as 0 and are not written ---- */

#if defined(LANES_AVX2)
/* Eight entries that start at 16 - count + 8 p say which lanes of part p are valid. */
NNK_INLINE __m256i lanes_valid(int count, int p) {
  static const int32_t run[2 * NNK_LANES] = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };
  return _mm256_loadu_si256((const __m256i *)(const void *)(run + NNK_LANES - count + p * LANES_WIDTH));
}
#endif

NNK_INLINE lanes lanes_load_some(const nn_real *from, int count) {
  if (count == NNK_LANES) return lanes_load(from);
#if defined(LANES_AVX512)
  lanes v;
  v.part[0] = _mm512_maskz_loadu_ps(_cvtu32_mask16((1u << count) - 1), from);
  return v;
#elif defined(LANES_AVX2)
  lanes v;
  LANES_EACH(p) v.part[p] = _mm256_maskload_ps(from + p * LANES_WIDTH, lanes_valid(count, p));
  return v;
#else
  nn_real whole[NNK_LANES] = { 0 };
  memcpy(whole, from, (size_t)count * sizeof *whole);
  return lanes_load(whole);
#endif
}

NNK_INLINE void lanes_store_some(nn_real *to, lanes v, int count) {
  if (count == NNK_LANES) {
    lanes_store(to, v);
    return;
  }
#if defined(LANES_AVX512)
  _mm512_mask_storeu_ps(to, _cvtu32_mask16((1u << count) - 1), v.part[0]);
#elif defined(LANES_AVX2)
  LANES_EACH(p) _mm256_maskstore_ps(to + p * LANES_WIDTH, lanes_valid(count, p), v.part[p]);
#else
  nn_real whole[NNK_LANES];
  lanes_store(whole, v);
  memcpy(to, whole, (size_t)count * sizeof *whole);
#endif
}

/* Writes past the caches what nobody reads soon; `to` is aligned to the block. */
NNK_INLINE void lanes_stream(nn_real *to, lanes v) {
#if defined(LANES_AVX512)
  _mm512_stream_ps(to, v.part[0]);
#elif defined(LANES_AVX2)
  LANES_EACH(p) _mm256_stream_ps(to + p * LANES_WIDTH, v.part[p]);
#else
  lanes_store(to, v);
#endif
}

/* After the last of them, before another thread may read. */
NNK_INLINE void lanes_stream_end(void) {
#if defined(LANES_AVX512) || defined(LANES_AVX2)
  _mm_sfence();
#endif
}

#endif
