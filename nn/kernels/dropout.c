/* dropout.c -- elements dropped at random, by a counter-based draw for each. */
#include "kernels/dropout.h"

typedef struct {
  nn_real *out;
  const nn_real *x;
  int64_t count;
  nn_real scale;
  uint32_t limit;  /* a word below it drops */
  uint64_t seed, stream;
  bool add;
} job;

enum { BLOCKS = 32, STRETCH = 4 * BLOCKS };

/* The Philox blocks first .. first + 31 (core/random.c has the same rounds for one block), side by side so that they
 * vectorise: word k of block b goes to word[k][b]. */
NNK_INLINE void draw(uint32_t word[4][BLOCKS], uint64_t seed, uint64_t stream, uint64_t first) {
  uint32_t *c0 = word[0], *c1 = word[1], *c2 = word[2], *c3 = word[3];
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int b = 0; b < BLOCKS; b++) {
    c0[b] = (uint32_t)(first + (uint64_t)b), c1[b] = (uint32_t)((first + (uint64_t)b) >> 32);
    c2[b] = (uint32_t)stream, c3[b] = (uint32_t)(stream >> 32);
  }
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    for (int b = 0; b < BLOCKS; b++) {
      uint64_t p0 = (uint64_t)0xD2511F53u * c0[b], p1 = (uint64_t)0xCD9E8D57u * c2[b];
      c0[b] = (uint32_t)(p1 >> 32) ^ c1[b] ^ k0;
      c1[b] = (uint32_t)p1;
      c2[b] = (uint32_t)(p0 >> 32) ^ c3[b] ^ k1;
      c3[b] = (uint32_t)p0;
    }
  }
}

/* The range counts stretches of 128 elements. */
NNK_CLONES static void drop_stretches(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  for (int64_t stretch = begin; stretch < end; stretch++) {
    uint32_t words[4][BLOCKS], *word = words[0];
    draw(words, j->seed, j->stream, (uint64_t)stretch * BLOCKS);
    int64_t n = nnk_min(STRETCH, j->count - STRETCH * stretch);
    const nn_real *restrict x = j->x + STRETCH * stretch;
    nn_real *restrict out = j->out + STRETCH * stretch, scale = j->scale;
    uint32_t limit = j->limit;
    bool add = j->add;
    for (int64_t i = 0; i < n; i++) {
      nn_real kept = scale * x[i], value = word[i] < limit ? 0 : kept;
      out[i] = add ? out[i] + value : value;
    }
  }
}

int nnk_dropout(nn_real *out, const nn_real *x, int64_t count, double p, uint64_t seed, uint64_t stream, bool add) {
  job j = { out, x, count, (nn_real)(1 / (1 - p)), (uint32_t)(p * 0x1p32), seed, stream, add };
  return nn_parallel_for(nnk_divide_up(count, STRETCH), NNK_GRAIN / STRETCH, drop_stretches, &j);
}
