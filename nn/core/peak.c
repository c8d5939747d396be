/* peak.c -- how many floating-point operations a second this machine can do now: what a speed is a share of.
 *
 * Chains of fused multiply-adds that need nothing but registers, on every thread of the team, with the widest vectors
 * the processor has (whatever level the kernels run at). Neighbours on a busy machine lower it as they lower every
 * other figure, so it is asked for beside each measurement.
 */
#include <math.h>
#include <time.h>

#include "core/core.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* CHAINS independent sums hide the latency of the addition: two units of four cycles each need eight. A piece is PIECE
 * additions to each; the coefficients keep every sum in [1, 2]. */
enum { CHAINS = 12, PIECE = 1 << 15, PIECES = 64, PASSES = 5 };

static const float factor = 0.5f, addend = 0.75f;

/* Runs one piece on vectors of so many lanes; the value depends on all of it. */
typedef struct {
  float (*piece)(void);
  int lanes;
} kind;

#if defined(__x86_64__)

__attribute__((target("avx512f"))) static float piece_avx512(void) {
  __m512 sum[CHAINS], a = _mm512_set1_ps(factor), b = _mm512_set1_ps(addend);
  for (int c = 0; c < CHAINS; c++) sum[c] = _mm512_set1_ps(1 + (float)c / CHAINS);
  for (int i = 0; i < PIECE; i++)
    for (int c = 0; c < CHAINS; c++) sum[c] = _mm512_fmadd_ps(sum[c], a, b);
  for (int c = 1; c < CHAINS; c++) sum[0] = _mm512_add_ps(sum[0], sum[c]);
  return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx2,fma"))) static float piece_avx2(void) {
  __m256 sum[CHAINS], a = _mm256_set1_ps(factor), b = _mm256_set1_ps(addend);
  for (int c = 0; c < CHAINS; c++) sum[c] = _mm256_set1_ps(1 + (float)c / CHAINS);
  for (int i = 0; i < PIECE; i++)
    for (int c = 0; c < CHAINS; c++) sum[c] = _mm256_fmadd_ps(sum[c], a, b);
  for (int c = 1; c < CHAINS; c++) sum[0] = _mm256_add_ps(sum[0], sum[c]);
  return _mm256_cvtss_f32(sum[0]);
}

#endif

/* Vectors of four, which every processor of today has. */
static float piece_portable(void) {
  float sum[CHAINS][4];
  for (int c = 0; c < CHAINS; c++)
    for (int j = 0; j < 4; j++) sum[c][j] = 1 + (float)c / CHAINS;
  for (int i = 0; i < PIECE; i++)
    for (int c = 0; c < CHAINS; c++)
      for (int j = 0; j < 4; j++) {
#if defined(FP_FAST_FMAF)
        sum[c][j] = fmaf(sum[c][j], factor, addend);
#else
        sum[c][j] = sum[c][j] * factor + addend;
#endif
      }
  float total = 0;
  for (int c = 0; c < CHAINS; c++)
    for (int j = 0; j < 4; j++) total += sum[c][j];
  return total;
}

static kind widest(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return (kind){ piece_avx512, 16 };
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return (kind){ piece_avx2, 8 };
#endif
  return (kind){ piece_portable, 4 };
}

static void run_pieces(void *context, int64_t begin, int64_t end) {
  const kind *k = context;
  volatile float kept = 0;  /* so that no compiler leaves the work out */
  for (int64_t i = begin; i < end; i++) kept = kept + k->piece();
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The best of a few passes: the first finds helpers asleep. */
int nn_peak_flops(double *flops) {
  kind k = widest();
  int64_t pieces = PIECES * (int64_t)nn_threads();
  double operations = 2.0 * k.lanes * CHAINS * PIECE * (double)pieces, best = 0;
  for (int pass = 0; pass < PASSES; pass++) {
    double start = now();
    int status = nn_parallel_for(pieces, 1, run_pieces, &k);
    if (status != NN_OK) return status;
    best = fmax(best, operations / (now() - start));
  }
  *flops = best;
  return NN_OK;
}
