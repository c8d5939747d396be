/* engine_avx512.c -- the engine for AVX-512: a block is a register, of which there are 32. */
#include "kernels/engine.h"

#if defined(__AVX512F__) && !defined(NN_DOUBLE)
#define LANES_AVX512
#include "kernels/fused.h"

enum { PRODUCT_ROWS = 14, PRODUCT_BLOCKS = 2, OUTER_ROWS = 8, OUTER_BLOCKS = 2 };
#include "kernels/direct_body.h"
#include "kernels/fuse_body.h"
#include "kernels/product_body.h"
#include "kernels/band_body.h"
#include "kernels/spread_body.h"
#include "kernels/winograd_body.h"
#include "kernels/strided_body.h"

const nnk_engine nnk_engine_avx512 = {
  .multiply = multiply, .outer = outer,
  .read_rows = read_rows, .write_rows = write_rows, .channel_rows = channel_rows, .channel_outer = channel_outer,
  .read_band = read_band, .band_rows = band_rows, .band_outer = band_outer,
  .collect_rows = collect_rows,
  .fuse = fuse,
  .winograd_spread_data = winograd_spread_data, .winograd_spread_gradient = winograd_spread_gradient,
  .winograd_collect = winograd_collect_tiles,
  .winograd_weights = winograd_weights, .winograd_weights_back = winograd_weights_back,
  .strided_spread = strided_spread, .strided_collect = strided_collect,
  .strided_weights = strided_weights, .strided_weights_back = strided_weights_back,
};
#endif
