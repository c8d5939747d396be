/* engine_avx512.c -- the engine for AVX-512: a block is a register, of which there are 32. */
#include "kernels/engine.h"

#if defined(__AVX512F__) && !defined(NN_DOUBLE)
#define LANES_AVX512
#include "kernels/fused.h"

enum { PRODUCT_ROWS = 14, PRODUCT_BLOCKS = 2, OUTER_ROWS = 8, OUTER_BLOCKS = 2 };
#include "kernels/engine_bodies.h"

const nnk_engine nnk_engine_avx512 = ENGINE_TABLE;
#endif
