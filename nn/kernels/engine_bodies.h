/* engine_bodies.h -- all bodies, and the table of what they define; part of an engine (engine.h). */
#include "kernels/direct_body.h"
#include "kernels/fuse_body.h"
#include "kernels/product_body.h"
#include "kernels/band_body.h"
#include "kernels/spread_body.h"
#include "kernels/winograd_body.h"
#include "kernels/strided_body.h"

#define ENGINE_TABLE { \
  .multiply = multiply, .outer = outer, \
  .read_rows = read_rows, .write_rows = write_rows, .channel_rows = channel_rows, .channel_outer = channel_outer, \
  .read_band = read_band, .band_rows = band_rows, .band_outer = band_outer, \
  .collect_rows = collect_rows, \
  .fuse = fuse, \
  .winograd_spread_data = winograd_spread_data, .winograd_spread_gradient = winograd_spread_gradient, \
  .winograd_collect = winograd_collect_tiles, \
  .winograd_weights = winograd_weights, .winograd_weights_back = winograd_weights_back, \
  .strided_spread = strided_spread, .strided_collect = strided_collect, \
  .strided_weights = strided_weights, .strided_weights_back = strided_weights_back, \
}
