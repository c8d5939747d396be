/* kernels.h -- what the hot loops share.
 *
 * A kernel works on raw pointers and knows neither tensors nor the tape. Arguments: out, in, shape, params. Gradient
 * outputs (named d...) are added to. A kernel that runs on the team returns a status, as an interrupt may stop it;
 * its pieces are fixed by shape, so that the result is the same bits with any number of threads.
 */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

#include <stdatomic.h>

#include "core/core.h"

/* Two ways to use what a processor has:
 *
 * Plain loops are C that vectorises. NNK_CLONES compiles a function once for each level of vector unit, and the loader
 * picks one. The source has no fused multiply-add and -ffp-contract=off adds none, so every clone gives the same bits,
 * and nothing needs to choose. Sanitizers cannot see through the loader's choice: they get the plain version.
 *
 * Engines (products, convolutions) are written for one level each, with its registers and fused multiply-adds: other
 * levels give other rounding. Files named *_avx512.c and *_avx2.c are compiled for their level (they guard themselves
 * with __AVX512F__ or __AVX2__ and !NN_DOUBLE, and are empty elsewhere); the portable twin is plain C. nni_level() says
 * which one to call: the best there is, or what PENUMBRA_CPU asks for. It is fixed by nn_start. */
typedef enum { NN_PORTABLE, NN_AVX2, NN_AVX512 } nn_level;  /* each includes those before it */

nn_level nni_level(void);
/* The level of that name, at most `best`; with no name, `best`. */
int nni_choose_level(const char *asked, nn_level best, nn_level *chosen);

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(NN_PLAIN_MALLOC)
#define NNK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define NNK_CLONES
#endif

/* Inlined always, as constants among its arguments are to become part of the code. Sanitizers watch every access: they
 * would take minutes to compile it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NNK_INLINE static inline
#else
#define NNK_INLINE static inline __attribute__((always_inline))
#endif

/* Sixteen neighbouring elements, at any address: one AVX-512 register of floats, two of AVX2, four of SSE or Neon. */
enum { NNK_LANES = 16 };
typedef nn_real nnk_lanes
    __attribute__((vector_size(NNK_LANES * sizeof(nn_real)), aligned(sizeof(nn_real)), may_alias));

static inline int64_t nnk_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t nnk_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t nnk_divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* A piece of work cannot return a status: it leaves its first failure here, and the caller of nn_parallel_for turns it
 * into its own. */
typedef struct {
  atomic_int status;
} nnk_outcome;

static inline bool nnk_going(const nnk_outcome *o) {
  return atomic_load_explicit(&o->status, memory_order_relaxed) == 0;
}

/* nn_memory_get inside a piece. */
static inline void *nnk_scratch(nnk_outcome *o, int64_t bytes) {
  void *block = nn_memory_get((size_t)bytes);
  if (!block) atomic_store(&o->status, NN_EMEMORY);
  return block;
}

/* nn_parallel_for whose pieces report to *o. */
int nnk_run(nnk_outcome *o, int64_t count, int64_t grain, nn_chunk work, void *context);

#endif
