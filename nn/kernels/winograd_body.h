/* winograd_body.h -- the transforms of Winograd's convolution F(4x4, 3x3); part of an engine (engine.h). What they are
 * for is told in winograd.c.
 *
 * Along one axis, four neighbouring results y of a filter g of three come from six neighbours d as
 *   y = A [(G g) . (B d)]
 * with one product for each of the points 0, 2/3, -2/3, 4/3, -4/3 and infinity. A row of B may be scaled if the same
 * row of G is scaled back, and a column of A likewise: here A and B have entries that floats hold exactly, and all
 * rounding of constants is left to G.
 *
 *       1     0  -45/16    0    81/64   0          1   27/8  27/8  27/64  27/64  0              1       0        0
 *       0    -1   -3/2    9/16  27/32   0          0    9/4  -9/4   9/16  -9/16  0           -8/27  -16/81  -32/243
 *  B =  0     1   -3/2   -9/16  27/32   0     A =  0    3/2   3/2   3/4    3/4   0      G =  -8/27   16/81  -32/243
 *       0    -1   -3/4    9/4   27/16   0          0     1    -1     1     -1    1            8/27   32/81  128/243
 *       0     1   -3/4   -9/4   27/16   0                                                     8/27  -32/81  128/243
 *       0     1     0   -45/16    0    81/64                                                    0       0     64/81
 *
 * In two dimensions each is applied along both axes. Rows +p and -p of a pair share an even and an odd half.
 */

/* v = B d */
NNK_INLINE void winograd_data(lanes v[6], const lanes d[6]) {
  v[0] = lanes_fma_by(1.265625f, d[4], lanes_fma_by(-2.8125f, d[2], d[0]));
  lanes even = lanes_fma_by(0.84375f, d[4], lanes_scale(-1.5f, d[2]));
  lanes odd = lanes_sub(lanes_scale(0.5625f, d[3]), d[1]);
  v[1] = lanes_add(even, odd);
  v[2] = lanes_sub(even, odd);
  even = lanes_fma_by(1.6875f, d[4], lanes_scale(-0.75f, d[2]));
  odd = lanes_sub(lanes_scale(2.25f, d[3]), d[1]);
  v[3] = lanes_add(even, odd);
  v[4] = lanes_sub(even, odd);
  v[5] = lanes_fma_by(1.265625f, d[5], lanes_fma_by(-2.8125f, d[3], d[1]));
}

/* y = A m */
NNK_INLINE void winograd_result(lanes y[4], const lanes m[6]) {
  lanes even = lanes_add(m[1], m[2]), odd = lanes_sub(m[1], m[2]);
  lanes far_even = lanes_add(m[3], m[4]), far_odd = lanes_sub(m[3], m[4]);
  y[0] = lanes_fma_by(3.375f, even, lanes_fma_by(0.421875f, far_even, m[0]));
  y[1] = lanes_fma_by(2.25f, odd, lanes_scale(0.5625f, far_odd));
  y[2] = lanes_fma_by(1.5f, even, lanes_scale(0.75f, far_even));
  y[3] = lanes_add(lanes_add(odd, far_odd), m[5]);
}

/* m = A' y: how a gradient comes back. */
NNK_INLINE void winograd_result_back(lanes m[6], const lanes y[4]) {
  lanes even = lanes_fma_by(3.375f, y[0], lanes_scale(1.5f, y[2])), odd = lanes_fma_by(2.25f, y[1], y[3]);
  m[0] = y[0];
  m[1] = lanes_add(even, odd);
  m[2] = lanes_sub(even, odd);
  even = lanes_fma_by(0.421875f, y[0], lanes_scale(0.75f, y[2])), odd = lanes_fma_by(0.5625f, y[1], y[3]);
  m[3] = lanes_add(even, odd);
  m[4] = lanes_sub(even, odd);
  m[5] = y[3];
}

/* u = G g */
NNK_INLINE void winograd_weight(lanes u[6], const lanes g[3]) {
  const nn_real third = (nn_real)1 / 243;
  u[0] = g[0];
  lanes even = lanes_fma_by(-72 * third, g[0], lanes_scale(-32 * third, g[2])), odd = lanes_scale(48 * third, g[1]);
  u[1] = lanes_sub(even, odd);
  u[2] = lanes_add(even, odd);
  even = lanes_fma_by(72 * third, g[0], lanes_scale(128 * third, g[2])), odd = lanes_scale(96 * third, g[1]);
  u[3] = lanes_add(even, odd);
  u[4] = lanes_sub(even, odd);
  u[5] = lanes_scale(192 * third, g[2]);
}

/* g = G' u */
NNK_INLINE void winograd_weight_back(lanes g[3], const lanes u[6]) {
  const nn_real third = (nn_real)1 / 243;
  lanes even = lanes_add(u[1], u[2]), odd = lanes_sub(u[2], u[1]);
  lanes far_even = lanes_add(u[3], u[4]), far_odd = lanes_sub(u[3], u[4]);
  g[0] = lanes_fma_by(72 * third, lanes_sub(far_even, even), u[0]);
  g[1] = lanes_fma_by(96 * third, far_odd, lanes_scale(48 * third, odd));
  g[2] = lanes_fma_by(192 * third, u[5], lanes_fma_by(128 * third, far_even, lanes_scale(-32 * third, even)));
}

/* ---- from images to tiles ---- */

/* A run: neighbouring tiles of one row of tiles, at most so many. */
enum { WINOGRAD_RUN = 8, WINOGRAD_COLUMNS = 4 * (WINOGRAD_RUN - 1) + 6 };

/* Where a run's pixels are: `size` rows from `top`, of which [first, last) are inside the image; and columns. */
typedef struct {
  int64_t row, column;               /* of its first pixel, which may lie before the image */
  int64_t image;
  int first_row, last_row, first_column, last_column;
  int columns, tiles;
} winograd_run;

/* stage [columns x 6 x 16] = the vertical transform of each column of pixels */
NNK_INLINE void winograd_columns(nn_real *stage, const nnk_tiles *g, const nnk_source *s, const winograd_run *run,
                                 int64_t c, int count, const int size, const fused_kind kind, const bool whole) {
  fused_in in = fused_begin(kind, s, c, count);
  int64_t line = g->width * g->channels;
  for (int j = 0; j < run->columns; j++, stage += 6 * NNK_LANES) {
    lanes d[6], v[6];
    if (j < run->first_column || j >= run->last_column) {
      LANES_UNROLL for (int i = 0; i < 6; i++) lanes_store(stage + i * NNK_LANES, lanes_zero());
      continue;
    }
    int64_t at = (run->image * g->height + run->row) * line + (run->column + j) * g->channels + c;
    LANES_UNROLL for (int i = 0; i < size; i++) {
      bool inside = whole || (i >= run->first_row && i < run->last_row);
      d[i] = inside ? fused_read(kind, &in, s, at + i * line, count) : lanes_zero();
    }
    if (size == 6) winograd_data(v, d);
    else winograd_result_back(v, d);
    LANES_UNROLL for (int i = 0; i < 6; i++) lanes_store(stage + i * NNK_LANES, v[i]);
  }
}

/* v[6 i + j][tile] = the horizontal transform of the stage's columns under each tile */
NNK_INLINE void winograd_rows(nn_real *v, int64_t v_position, const nn_real *stage, int tiles, const int size) {
  for (int t = 0; t < tiles; t++, stage += 4 * 6 * NNK_LANES, v += NNK_LANES) {
    for (int i = 0; i < 6; i++) {
      lanes d[6], q[6];
      LANES_UNROLL for (int j = 0; j < size; j++) d[j] = lanes_load(stage + (j * 6 + i) * NNK_LANES);
      if (size == 6) winograd_data(q, d);
      else winograd_result_back(q, d);
      LANES_UNROLL for (int j = 0; j < 6; j++) lanes_store(v + (i * 6 + j) * v_position, q[j]);
    }
  }
}

/* Tiles step by four pixels and read size x size: 6 of data, 4 of gradients of results. Columns under two tiles are
 * read, and transformed vertically, once. */
NNK_INLINE void winograd_spread(const fused_kind kind, const int size, nn_real *v, int64_t v_position, int64_t v_step,
                                const nnk_tiles *g, const nnk_source *s, int64_t begin, int64_t end) {
  nn_real stage[WINOGRAD_COLUMNS * 6 * NNK_LANES] __attribute__((aligned(64)));
  while (begin < end) {
    int64_t line = begin / g->across, place = begin % g->across;
    int tiles = (int)nnk_min(WINOGRAD_RUN, nnk_min(end - begin, g->across - place));
    winograd_run run = { .tiles = tiles, .columns = 4 * (tiles - 1) + size, .image = line / g->down,
                         .row = line % g->down * 4 - g->before, .column = place * 4 - g->before };
    run.first_row = (int)nnk_max(0, -run.row);
    run.last_row = (int)nnk_min(size, g->height - run.row);
    run.first_column = (int)nnk_max(0, -run.column);
    run.last_column = (int)nnk_min(run.columns, g->width - run.column);
    bool whole = run.first_row == 0 && run.last_row == size;
    for (int64_t c = 0; c < g->channels; c += NNK_LANES) {
      int count = (int)nnk_min(NNK_LANES, g->channels - c);
      if (count < NNK_LANES) winograd_columns(stage, g, s, &run, c, count, size, kind, false);
      else if (whole) winograd_columns(stage, g, s, &run, c, NNK_LANES, size, kind, true);
      else winograd_columns(stage, g, s, &run, c, NNK_LANES, size, kind, false);
      winograd_rows(v + c / NNK_LANES * v_step, v_position, stage, tiles, size);
    }
    v += tiles * NNK_LANES;
    begin += tiles;
  }
}

/* One function for each combination that occurs. */
#define WINOGRAD_SPREAD(name, kind, size)                                                                         \
  static void name(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g, const nnk_source *s,       \
                   int64_t begin, int64_t end) {                                                                  \
    winograd_spread(kind, size, v, v_position, v_step, g, s, begin, end);                                         \
  }
WINOGRAD_SPREAD(data_plain, FUSED_NOTHING, 6)
WINOGRAD_SPREAD(data_scaled, FUSED_SCALE, 6)
WINOGRAD_SPREAD(data_pair, FUSED_SUM, 6)
WINOGRAD_SPREAD(gradient_plain, FUSED_NOTHING, 4)
WINOGRAD_SPREAD(gradient_scaled, FUSED_SCALE, 4)
WINOGRAD_SPREAD(gradient_pair, FUSED_SUM, 4)
#undef WINOGRAD_SPREAD

static void winograd_spread_data(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g,
                                 const nnk_source *s, int64_t begin, int64_t end) {
  fused_kind kind = fused_kind_of(s);
  (kind == FUSED_NOTHING ? data_plain : kind == FUSED_SCALE ? data_scaled : data_pair)(v, v_position, v_step, g, s,
                                                                                     begin, end);
}

static void winograd_spread_gradient(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g,
                                     const nnk_source *s, int64_t begin, int64_t end) {
  fused_kind kind = fused_kind_of(s);
  (kind == FUSED_NOTHING ? gradient_plain : kind == FUSED_SCALE ? gradient_scaled : gradient_pair)(
      v, v_position, v_step, g, s, begin, end);
}

/* ---- from tiles to images ---- */

/* The pixels of one tile that lie inside the image, rows x columns of them. */
NNK_INLINE void winograd_tile(const nnk_sink *s, fused_out *total, const nn_real *m, int64_t m_position,
                              const nnk_tiles *g, int64_t corner, int rows, int columns, int64_t c, int count,
                              const int parts) {
  lanes part[4][6];
  LANES_UNROLL for (int j = 0; j < 6; j++) {
    lanes from[6], to[4];
    LANES_UNROLL for (int i = 0; i < 6; i++) from[i] = lanes_load(m + (i * 6 + j) * m_position);
    winograd_result(to, from);
    LANES_UNROLL for (int i = 0; i < 4; i++) part[i][j] = to[i];
  }
  fused_out out = *total;
  out.sum = out.product = lanes_zero();
  LANES_UNROLL for (int i = 0; i < 4; i++) {
    lanes y[4];
    if (i >= rows) break;
    winograd_result(y, part[i]);
    LANES_UNROLL for (int j = 0; j < 4; j++)
      if (j < columns) fused_put(parts, &out, s, corner + i * g->width + j, g->channels, c, y[j], count);
  }
  if (parts & FUSED_SUMS) {
    total->sum = lanes_add(total->sum, out.sum);
    total->product = lanes_add(total->product, out.product);
  }
}

enum { ANY_SINK = -1 };

/* `given` is the constant set of the sink's parts, or ANY_SINK. */
NNK_INLINE void winograd_collect(const int given, const nnk_sink *s, double *sums, const nnk_tiles *g,
                                 const nn_real *m, int64_t m_position, int64_t m_step, int64_t begin, int64_t end,
                                 int64_t first_channel, int64_t last_channel) {
  const int parts = given == ANY_SINK ? fused_parts(s) : given;
  for (int64_t c = first_channel; c < last_channel; c += NNK_LANES) {
    int count = (int)nnk_min(NNK_LANES, g->channels - c);
    fused_out out = fused_open(parts, s, c, count);
    int64_t line = begin / g->across, place = begin % g->across;
    const nn_real *from = m + c / NNK_LANES * m_step;
    for (int64_t t = begin; t < end; t++, from += NNK_LANES) {
      int64_t row = line % g->down * 4, column = place * 4;
      int64_t corner = (line / g->down * g->height + row) * g->width + column;
      int rows = (int)nnk_min(4, g->height - row), columns = (int)nnk_min(4, g->width - column);
      if (rows == 4 && columns == 4 && count == NNK_LANES)
        winograd_tile(s, &out, from, m_position, g, corner, 4, 4, c, NNK_LANES, parts);
      else
        winograd_tile(s, &out, from, m_position, g, corner, rows, columns, c, count, parts);
      if (++place == g->across) place = 0, line++;
    }
    fused_close(parts, &out, sums, g->channels, c, count);
  }
}

/* The sinks that are frequent, in training forward, evaluation and backward; the last takes all others. Where a block
 * is many registers, what a sink does costs little beside the arithmetic, and code would only grow. */
#if defined(LANES_AVX512) || defined(LANES_AVX2)
#define WINOGRAD_SINKS(SINK)                                                                                     \
  SINK(plain, 0)                                                                                                 \
  SINK(moments, FUSED_MOMENTS)                                                                                   \
  SINK(bias_relu, FUSED_BIAS | FUSED_RELU)                                                                       \
  SINK(bias_residual_relu, FUSED_BIAS | FUSED_RESIDUAL | FUSED_RELU)                                             \
  SINK(bias_relu_signs, FUSED_BIAS | FUSED_RELU | FUSED_SIGNS)                                                   \
  SINK(bias_residual_relu_signs, FUSED_BIAS | FUSED_RESIDUAL | FUSED_RELU | FUSED_SIGNS)                         \
  SINK(gate_moments, FUSED_GATE | FUSED_Z_MOMENTS)                                                               \
  SINK(residual_gate_moments, FUSED_RESIDUAL | FUSED_GATE | FUSED_Z_MOMENTS)                                     \
  SINK(z_gate_moments, FUSED_Z_GATE | FUSED_Z_MOMENTS)                                                           \
  SINK(any, ANY_SINK)
#else
#define WINOGRAD_SINKS(SINK) SINK(any, ANY_SINK)
#endif

#define WINOGRAD_COLLECT(name, parts)                                                                            \
  static void collect_##name(const nnk_sink *s, double *sums, const nnk_tiles *g, const nn_real *m,              \
                             int64_t m_position, int64_t m_step, int64_t begin, int64_t end,                     \
                             int64_t first_channel, int64_t last_channel) {                                      \
    winograd_collect(parts, s, sums, g, m, m_position, m_step, begin, end, first_channel, last_channel);         \
  }
WINOGRAD_SINKS(WINOGRAD_COLLECT)
#undef WINOGRAD_COLLECT

static void winograd_collect_tiles(const nnk_sink *s, double *sums, const nnk_tiles *g, const nn_real *m,
                                   int64_t m_position, int64_t m_step, int64_t begin, int64_t end,
                                   int64_t first_channel, int64_t last_channel) {
  static const struct {
    int parts;
    __typeof__(collect_any) *collect;
  } rows[] = {
#define WINOGRAD_ROW(name, parts) { parts, collect_##name },
    WINOGRAD_SINKS(WINOGRAD_ROW)
#undef WINOGRAD_ROW
  };
  const int last = sizeof rows / sizeof *rows - 1;
  int row = 0;
  while (row < last && rows[row].parts != fused_parts(s)) row++;
  rows[row].collect(s, sums, g, m, m_position, m_step, begin, end, first_channel, last_channel);
}

/* ---- weights ---- */

/* u[6 i + j] = G g G' for sixteen columns of one row of depth */
NNK_INLINE void winograd_weight_tile(nn_real *u, int64_t u_position, const lanes g[9], const bool stream) {
  lanes part[3][6];
  LANES_UNROLL for (int j = 0; j < 3; j++) {
    lanes from[3] = { g[j], g[3 + j], g[6 + j] };
    winograd_weight(part[j], from);
  }
  LANES_UNROLL for (int i = 0; i < 6; i++) {
    lanes from[3] = { part[0][i], part[1][i], part[2][i] }, to[6];
    winograd_weight(to, from);
    LANES_UNROLL for (int j = 0; j < 6; j++) {
      if (stream) lanes_stream(u + (i * 6 + j) * u_position, to[j]);
      else lanes_store(u + (i * 6 + j) * u_position, to[j]);
    }
  }
}

/* What becomes of sixteen columns of one row of depth, taps g. */
typedef void weight_transform(nn_real *u, int64_t u_position, const lanes g[9], const bool stream);

NNK_INLINE void weights_forward(weight_transform *transform, nn_real *u, int64_t u_position, const nnk_conv *s,
                                const nn_real *weight, const nn_real *scale, int64_t panel, int64_t begin,
                                int64_t end, const bool stream) {
  int64_t depth = s->channels, columns = s->out_channels;
  int64_t width = nnk_min(NNK_PANEL, nnk_divide_up(columns, NNK_LANES) * NNK_LANES - panel);
  for (int64_t c = begin; c < end; c++) {
    for (int64_t k = panel; k < nnk_min(columns, panel + NNK_PANEL); k += NNK_LANES) {
      int count = (int)nnk_min(NNK_LANES, columns - k);
      lanes g[9], by = scale ? lanes_load_some(scale + k, count) : lanes_of(1);
      LANES_UNROLL for (int tap = 0; tap < 9; tap++) {
        const nn_real *from = weight + (tap * depth + c) * columns + k;
        __builtin_prefetch(from + 8 * columns);
        g[tap] = lanes_mul(by, lanes_load_some(from, count));
      }
      transform(u + nnk_panel_offset(panel, depth) + c * width + k - panel, u_position, g, stream);
    }
  }
}

/* Depth is the layer's output and columns its input, so blocks of sixteen by sixteen weights are transposed, and taps
 * read from the last. */
NNK_INLINE void weights_backward(weight_transform *transform, nn_real *u, int64_t u_position, const nnk_conv *s,
                                 const nn_real *weight, const nn_real *scale, int64_t panel, int64_t begin,
                                 int64_t end, const bool stream) {
  int64_t depth = s->out_channels, columns = s->channels;
  int64_t width = nnk_min(NNK_PANEL, nnk_divide_up(columns, NNK_LANES) * NNK_LANES - panel);
  for (int64_t k = begin; k < end; k += NNK_LANES) {
    int64_t deep = nnk_min(NNK_LANES, end - k);
    for (int64_t c = panel; c < nnk_min(columns, panel + NNK_PANEL); c += NNK_LANES) {
      nn_real block[9][NNK_LANES][NNK_LANES] __attribute__((aligned(64)));
      int64_t count = nnk_min(NNK_LANES, columns - c);
      if (count < NNK_LANES) memset(block, 0, sizeof block);
      for (int tap = 0; tap < 9; tap++)
        for (int64_t i = 0; i < count; i++) {
          const nn_real *row = weight + ((8 - tap) * columns + c + i) * depth + k;
          for (int64_t j = 0; j < deep; j++) block[tap][j][i] = row[j];
        }
      for (int64_t j = 0; j < deep; j++) {
        lanes g[9], by = lanes_of(scale ? scale[k + j] : 1);
        LANES_UNROLL for (int tap = 0; tap < 9; tap++) g[tap] = lanes_mul(by, lanes_load(block[tap][j]));
        transform(u + nnk_panel_offset(panel, depth) + (k + j) * width + c - panel, u_position, g, stream);
      }
    }
  }
}

NNK_INLINE void prepare_weights(weight_transform *transform, nn_real *u, int64_t u_position, const nnk_conv *s,
                                bool backward, const nn_real *weight, const nn_real *scale, int64_t panel,
                                int64_t begin, int64_t end, bool stream) {
  if (backward) {
    if (stream) weights_backward(transform, u, u_position, s, weight, scale, panel, begin, end, true);
    else weights_backward(transform, u, u_position, s, weight, scale, panel, begin, end, false);
  } else {
    if (stream) weights_forward(transform, u, u_position, s, weight, scale, panel, begin, end, true);
    else weights_forward(transform, u, u_position, s, weight, scale, panel, begin, end, false);
  }
  if (stream) lanes_stream_end();
}

static void winograd_weights(nn_real *u, int64_t u_position, const nnk_conv *s, bool backward, const nn_real *weight,
                             const nn_real *scale, int64_t panel, int64_t begin, int64_t end, bool stream) {
  prepare_weights(winograd_weight_tile, u, u_position, s, backward, weight, scale, panel, begin, end, stream);
}

/* dweight [3 x 3 x channels x columns] += G' d G, d summed over its slices first; channels [begin, end), columns
 * [left, right). d's rows are d_step apart, and it begins with channel `begin`, column `left`. */
static void winograd_weights_back(nn_real *dweight, const nnk_conv *s, const nn_real *d, int64_t d_position,
                                  int64_t d_step, int64_t d_slice, int64_t slices, int64_t begin, int64_t end,
                                  int64_t left, int64_t right) {
  for (int64_t c = begin; c < end; c++, d += d_step) {
    for (int64_t k = left; k < right; k += NNK_LANES) {
      int count = (int)nnk_min(NNK_LANES, right - k);
      lanes part[3][6], g[3];
      for (int j = 0; j < 6; j++) {
        lanes u[6];
        for (int i = 0; i < 6; i++) {
          const nn_real *from = d + (i * 6 + j) * d_position + k - left;
          u[i] = lanes_load(from);
          for (int64_t slice = 1; slice < slices; slice++) u[i] = lanes_add(u[i], lanes_load(from + slice * d_slice));
        }
        winograd_weight_back(g, u);
        LANES_UNROLL for (int i = 0; i < 3; i++) part[i][j] = g[i];
      }
      LANES_UNROLL for (int i = 0; i < 3; i++) {
        winograd_weight_back(g, part[i]);
        LANES_UNROLL for (int j = 0; j < 3; j++) {
          nn_real *to = dweight + ((i * 3 + j) * s->channels + c) * s->out_channels + k;
          lanes_store_some(to, lanes_add(lanes_load_some(to, count), g[j]), count);
        }
      }
    }
  }
}
