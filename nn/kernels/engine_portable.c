/* engine_portable.c -- the engine for every processor, and for elements that are doubles; and which engine is used. */
#include "kernels/engine.h"
#include "kernels/fused.h"

/* Sixteen registers of sixteen bytes are the least that is likely: two rows of four take half of them. */
enum { PRODUCT_ROWS = 2, PRODUCT_BLOCKS = 1, OUTER_ROWS = 2, OUTER_BLOCKS = 1 };
#include "kernels/direct_body.h"
#include "kernels/fuse_body.h"
#include "kernels/product_body.h"
#include "kernels/band_body.h"
#include "kernels/spread_body.h"
#include "kernels/winograd_body.h"
#include "kernels/strided_body.h"

const nnk_engine nnk_engine_portable = {
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

const nnk_engine *nnk_engine_of(nn_level level) {
#if defined(__x86_64__) && !defined(NN_DOUBLE)
  if (level == NN_AVX512) return &nnk_engine_avx512;
  if (level == NN_AVX2) return &nnk_engine_avx2;
#endif
  return level == NN_PORTABLE ? &nnk_engine_portable : NULL;
}

const nnk_engine *nnk_engine_chosen(void) { return nnk_engine_of(nni_level()); }
