/* engine_portable.c -- the engine for every processor, and for elements that are doubles; and which engine is used. */
#include "kernels/engine.h"
#include "kernels/fused.h"

/* Sixteen registers of sixteen bytes are the least that is likely: two rows of four take half of them. */
enum { PRODUCT_ROWS = 2, PRODUCT_BLOCKS = 1, OUTER_ROWS = 2, OUTER_BLOCKS = 1 };
#include "kernels/engine_bodies.h"

const nnk_engine nnk_engine_portable = ENGINE_TABLE;

const nnk_engine *nnk_engine_of(nn_level level) {
#if defined(__x86_64__) && !defined(NN_DOUBLE)
  if (level == NN_AVX512) return &nnk_engine_avx512;
  if (level == NN_AVX2) return &nnk_engine_avx2;
#endif
  return level == NN_PORTABLE ? &nnk_engine_portable : NULL;
}

const nnk_engine *nnk_engine_chosen(void) { return nnk_engine_of(nni_level()); }
