/* engine_avx2.c -- the engine for AVX2 and FMA: a block is two registers, of sixteen. */
#include "kernels/engine.h"

#if defined(__AVX2__) && defined(__FMA__) && !defined(NN_DOUBLE)
#define LANES_AVX2
#include "kernels/fused.h"

enum { PRODUCT_ROWS = 6, PRODUCT_BLOCKS = 1, OUTER_ROWS = 6, OUTER_BLOCKS = 1 };
#include "kernels/engine_bodies.h"

const nnk_engine nnk_engine_avx2 = ENGINE_TABLE;
#endif
