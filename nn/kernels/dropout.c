/* dropout.c -- elements dropped at random, by a counter-based draw for each. */
#include "kernels/dropout.h"

typedef struct {
  nn_real *out;
  const nn_real *x;
  int64_t count;
  nn_real scale;
  uint64_t limit;  /* a word below it drops */
  uint64_t seed, stream;
  bool add;
} job;

/* The range counts blocks of four elements. */
static void drop_blocks(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  for (int64_t block = begin; block < end; block++) {
    uint32_t word[4];
    nn_random_block(j->seed, j->stream, (uint64_t)block, word);
    int64_t rest = nnk_min(4, j->count - 4 * block);
    for (int64_t k = 0; k < rest; k++) {
      int64_t i = 4 * block + k;
      nn_real value = word[k] < j->limit ? 0 : j->scale * j->x[i];
      j->out[i] = j->add ? j->out[i] + value : value;
    }
  }
}

int nnk_dropout(nn_real *out, const nn_real *x, int64_t count, double p, uint64_t seed, uint64_t stream, bool add) {
  job j = { out, x, count, (nn_real)(1 / (1 - p)), (uint64_t)(p * 0x1p32), seed, stream, add };
  return nn_parallel_for(nnk_divide_up(count, 4), NNK_GRAIN / 4, drop_blocks, &j);
}
