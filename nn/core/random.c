/* random.c -- counter-based random numbers: Philox4x32-10.
 *
 * J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011). A block is
 * a function of (seed, stream, index), so a draw does not depend on which thread makes it or on what was drawn before.
 */
#include <math.h>

#include "core/core.h"

enum { GRAIN = 1 << 14 };

void nn_random_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t block[4]) {
  uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  block[0] = c0, block[1] = c1, block[2] = c2, block[3] = c3;
}

static double unit(uint32_t high, uint32_t low) {
  return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

double nn_random_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
  uint32_t b[4];
  nn_random_block(seed, stream, index, b);
  return unit(b[0], b[1]);
}

uint64_t nn_random_derive(uint64_t seed, uint64_t stream, uint64_t index) {
  uint32_t b[4];
  nn_random_block(seed, stream, index, b);
  return (uint64_t)b[2] << 32 | b[3];
}

typedef struct {
  nn_real *out;
  int64_t count;
  double a, b;
  uint64_t seed, stream;
} fill;

/* Each block gives two numbers: elements 2i and 2i + 1. The range counts blocks. */
static void fill_uniform(void *context, int64_t begin, int64_t end) {
  const fill *f = context;
  for (int64_t i = begin; i < end; i++) {
    uint32_t b[4];
    nn_random_block(f->seed, f->stream, (uint64_t)i, b);
    f->out[2 * i] = (nn_real)(f->a + (f->b - f->a) * unit(b[0], b[1]));
    if (2 * i + 1 < f->count) f->out[2 * i + 1] = (nn_real)(f->a + (f->b - f->a) * unit(b[2], b[3]));
  }
}

/* Box-Muller: both normals of a pair come from one block. */
static void fill_normal(void *context, int64_t begin, int64_t end) {
  const fill *f = context;
  for (int64_t i = begin; i < end; i++) {
    uint32_t b[4];
    nn_random_block(f->seed, f->stream, (uint64_t)i, b);
    double radius = sqrt(-2 * log(1 - unit(b[0], b[1]))), angle = 2 * M_PI * unit(b[2], b[3]);
    f->out[2 * i] = (nn_real)(f->a + f->b * radius * cos(angle));
    if (2 * i + 1 < f->count) f->out[2 * i + 1] = (nn_real)(f->a + f->b * radius * sin(angle));
  }
}

int nn_random_fill_uniform(nn_real *out, int64_t count, double low, double high, uint64_t seed, uint64_t stream) {
  fill f = { out, count, low, high, seed, stream };
  return nn_parallel_for((count + 1) / 2, GRAIN, fill_uniform, &f);
}

int nn_random_fill_normal(nn_real *out, int64_t count, double mean, double deviation, uint64_t seed, uint64_t stream) {
  fill f = { out, count, mean, deviation, seed, stream };
  return nn_parallel_for((count + 1) / 2, GRAIN, fill_normal, &f);
}

int nn_random_permutation(int32_t *out, int64_t count, uint64_t seed, uint64_t stream) {
  if (count > INT32_MAX)
    return nn_fail(NN_EARGUMENT, "permutation: at most %d places expected, got %lld", INT32_MAX, (long long)count);
  for (int64_t i = 0; i < count; i++) out[i] = (int32_t)i;
  for (int64_t i = count - 1; i > 0; i--) {
    int64_t j = (int64_t)(nn_random_uniform(seed, stream, (uint64_t)i) * (double)(i + 1));
    int32_t held = out[i];
    out[i] = out[j];
    out[j] = held;
    if (i % GRAIN == 0 && nn_interrupted()) break;
  }
  return nn_interrupt_check();
}
