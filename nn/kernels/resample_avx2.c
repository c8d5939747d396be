/* resample_avx2.c -- rows resized with AVX2, to the same bytes as the plain loop.
 *
 * Four pixels at a time: their channels are taken apart into pairs of 16 bits, (r0 r1) (g0 g1) (b0 b1), and each pair
 * is multiplied by two weights and summed in one instruction. A weight does not fit 16 bits, so there are two sums, by
 * its upper and its lower bits, which are joined at the end: integers throughout, hence no rounding on the way.
 */
#include "kernels/resample.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

enum { ROWS = 4, NONE = -1, LOAD = 16 };

/* Where the bytes of four pixels go: pairs of neighbours 0 and 1 in the lower half of a register, 2 and 3 above. */
#define PAIR(a, b) a, NONE, b, NONE
#define NO_PAIR PAIR(NONE, NONE)
static const int8_t places[4][32] __attribute__((aligned(32))) = {
  { PAIR(0, 1), NO_PAIR, NO_PAIR, NO_PAIR, PAIR(2, 3), NO_PAIR, NO_PAIR, NO_PAIR },
  { PAIR(0, 2), PAIR(1, 3), NO_PAIR, NO_PAIR, PAIR(4, 6), PAIR(5, 7), NO_PAIR, NO_PAIR },
  { PAIR(0, 3), PAIR(1, 4), PAIR(2, 5), NO_PAIR, PAIR(6, 9), PAIR(7, 10), PAIR(8, 11), NO_PAIR },
  { PAIR(0, 4), PAIR(1, 5), PAIR(2, 6), PAIR(3, 7), PAIR(8, 12), PAIR(9, 13), PAIR(10, 14), PAIR(11, 15) },
};

/* The four channels' sums, as whole numbers that may exceed a byte. */
NNK_INLINE __m128i join(__m256i upper, __m256i lower) {
  __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(upper, NNK_SPLIT_BITS), lower);
  __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return _mm_srai_epi32(_mm_add_epi32(both, _mm_set1_epi32(1 << (NNK_TAP_BITS - 1))), NNK_TAP_BITS);
}

/* ROWS rows. Each place of a row is written as four bytes where more than one place is left to write. */
NNK_INLINE void across_rows(uint8_t *out, const uint8_t *in, int64_t in_pitch, int channels, const nnk_taps *t) {
  const __m256i apart = _mm256_load_si256((const __m256i *)(const void *)places[channels - 1]);
  const __m256i spread_upper = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i spread_lower = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  int64_t out_pitch = t->size * channels;
  for (int64_t i = 0; i < t->size; i++) {
    const uint8_t *from = in + (int64_t)t->first[i] * channels;
    const int16_t *split = t->split + i * t->taps * 2;
    __m256i upper[ROWS], lower[ROWS];
    for (int r = 0; r < ROWS; r++) upper[r] = lower[r] = _mm256_setzero_si256();
    for (int k = 0; k < t->count[i]; k += NNK_TAP_GROUP, from += NNK_TAP_GROUP * channels, split += 2 * NNK_TAP_GROUP) {
      __m256i weights = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)split));
      __m256i high = _mm256_permutevar8x32_epi32(weights, spread_upper);
      __m256i low = _mm256_permutevar8x32_epi32(weights, spread_lower);
      for (int r = 0; r < ROWS; r++) {
        __m128i four = _mm_loadu_si128((const __m128i *)(const void *)(from + r * in_pitch));
        __m256i pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(four), apart);
        upper[r] = _mm256_add_epi32(upper[r], _mm256_madd_epi16(pairs, high));
        lower[r] = _mm256_add_epi32(lower[r], _mm256_madd_epi16(pairs, low));
      }
    }
    __m128i first = _mm_packs_epi32(join(upper[0], lower[0]), join(upper[1], lower[1]));
    __m128i second = _mm_packs_epi32(join(upper[2], lower[2]), join(upper[3], lower[3]));
    uint8_t bytes[ROWS * 4];
    _mm_storeu_si128((__m128i *)(void *)bytes, _mm_packus_epi16(first, second));
    if (i + 4 <= t->size)
      for (int r = 0; r < ROWS; r++) memcpy(out + r * out_pitch + i * channels, bytes + 4 * r, 4);
    else
      for (int r = 0; r < ROWS; r++) memcpy(out + r * out_pitch + i * channels, bytes + 4 * r, (size_t)channels);
  }
}

int64_t nnk_resample_across_avx2(uint8_t *out, const uint8_t *in, int64_t rows, int64_t in_pitch, int channels,
                                 const nnk_taps *across) {
  int64_t y = 0, out_pitch = across->size * channels;
  if (channels > 4) return 0;
  /* a load may reach beyond its row's end, which has to be within the picture */
  for (; y + ROWS < rows && (rows - y - ROWS) * in_pitch >= LOAD; y += ROWS) {
    const uint8_t *from = in + y * in_pitch;
    uint8_t *to = out + y * out_pitch;
    if (channels == 3) across_rows(to, from, in_pitch, 3, across);
    else across_rows(to, from, in_pitch, channels, across);
  }
  return y;
}
#endif
