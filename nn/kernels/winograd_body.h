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

/* What a source has beside x: compiled apart. SOURCE_SCALED also serves a source that only has relu. */
enum { SOURCE_SCALED = 1, SOURCE_OTHER = 2 };

static unsigned source_parts(const nnk_source *s) {
  return (s->scale || s->relu ? SOURCE_SCALED : 0) | (s->other ? SOURCE_OTHER : 0);
}

/* A source's vectors for one block. */
typedef struct {
  lanes scale, shift, other_scale, floor;
} source_block;

NNK_INLINE source_block source_at(const nnk_source *s, int64_t c, int count, const unsigned has) {
  source_block b = { .scale = lanes_of(1), .shift = lanes_zero(), .floor = lanes_of(s->relu ? 0 : -INFINITY) };
  if (has & SOURCE_SCALED && s->scale) {
    b.scale = lanes_load_some(s->scale + c, count);
    b.shift = lanes_load_some(s->shift + c, count);
  }
  if (has & SOURCE_OTHER) b.other_scale = lanes_load_some(s->other_scale + c, count);
  return b;
}

NNK_INLINE lanes source_read(const nnk_source *s, const source_block *b, int64_t at, int count, const unsigned has) {
  lanes v = lanes_load_some(s->x + at, count);
  if (has & SOURCE_SCALED) v = lanes_fma(v, b->scale, b->shift);
  if (has & SOURCE_OTHER) v = lanes_fma(lanes_load_some(s->other + at, count), b->other_scale, v);
  return has ? lanes_at_least(b->floor, v) : v;
}

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
                                 int64_t c, int count, const int size, const unsigned has, const bool whole) {
  source_block block = source_at(s, c, count, has);
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
      d[i] = inside ? source_read(s, &block, at + i * line, count, has) : lanes_zero();
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
NNK_INLINE void winograd_spread(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g,
                                const nnk_source *s, int64_t begin, int64_t end, const int size, const unsigned has) {
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
      if (count < NNK_LANES) winograd_columns(stage, g, s, &run, c, count, size, has, false);
      else if (whole) winograd_columns(stage, g, s, &run, c, NNK_LANES, size, has, true);
      else winograd_columns(stage, g, s, &run, c, NNK_LANES, size, has, false);
      winograd_rows(v + c / NNK_LANES * v_step, v_position, stage, tiles, size);
    }
    v += tiles * NNK_LANES;
    begin += tiles;
  }
}

/* One function for each combination that occurs. */
#define WINOGRAD_SPREAD(name, size, has)                                                                          \
  static void name(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g, const nnk_source *s,       \
                   int64_t begin, int64_t end) {                                                                  \
    winograd_spread(v, v_position, v_step, g, s, begin, end, size, has);                                          \
  }
WINOGRAD_SPREAD(data_plain, 6, 0)
WINOGRAD_SPREAD(data_scaled, 6, SOURCE_SCALED)
WINOGRAD_SPREAD(data_pair, 6, SOURCE_SCALED | SOURCE_OTHER)
WINOGRAD_SPREAD(gradient_plain, 4, 0)
WINOGRAD_SPREAD(gradient_scaled, 4, SOURCE_SCALED)
WINOGRAD_SPREAD(gradient_pair, 4, SOURCE_SCALED | SOURCE_OTHER)
#undef WINOGRAD_SPREAD

static void winograd_spread_data(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g,
                                 const nnk_source *s, int64_t begin, int64_t end) {
  unsigned has = source_parts(s);
  (has & SOURCE_OTHER ? data_pair : has ? data_scaled : data_plain)(v, v_position, v_step, g, s, begin, end);
}

static void winograd_spread_gradient(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g,
                                     const nnk_source *s, int64_t begin, int64_t end) {
  unsigned has = source_parts(s);
  (has & SOURCE_OTHER ? gradient_pair : has ? gradient_scaled : gradient_plain)(v, v_position, v_step, g, s, begin,
                                                                               end);
}

/* ---- from tiles to images ---- */

/* What a sink has: compiled apart where a combination is frequent. */
enum {
  SINK_BIAS = 1, SINK_RESIDUAL = 2, SINK_RELU = 4, SINK_GATE = 8, SINK_Z_GATE = 16, SINK_SIGNS = 32, SINK_SUMS = 64,
  SINK_Z_SUMS = 128
};

static unsigned sink_parts(const nnk_sink *s) {
  return (s->bias ? SINK_BIAS : 0) | (s->residual ? SINK_RESIDUAL : 0) | (s->relu ? SINK_RELU : 0) |
         (s->gate ? SINK_GATE : 0) | (s->z_scale ? SINK_Z_GATE : 0) | (s->signs ? SINK_SIGNS : 0) |
         (!s->sums ? 0 : s->z ? SINK_Z_SUMS : SINK_SUMS);
}

/* A sink's vectors for one block, and its sums so far. */
typedef struct {
  lanes bias, z_scale, z_shift, centre, sum, product;
} sink_block;

NNK_INLINE sink_block sink_at(const nnk_sink *s, int64_t c, int count, const unsigned has) {
  sink_block b = { .sum = lanes_zero(), .product = lanes_zero(), .centre = lanes_zero() };
  if (has & SINK_BIAS) b.bias = lanes_load_some(s->bias + c, count);
  if (has & SINK_Z_GATE) {
    b.z_scale = lanes_load_some(s->z_scale + c, count);
    b.z_shift = lanes_load_some(s->z_shift + c, count);
  }
  if (has & (SINK_SUMS | SINK_Z_SUMS) && s->centre) b.centre = lanes_load_some(s->centre + c, count);
  return b;
}

/* Sixteen channels from c of one pixel. */
NNK_INLINE void sink_put(const nnk_sink *s, sink_block *b, lanes v, int64_t pixel, int64_t channels, int64_t c,
                         int count, const unsigned has) {
  int64_t at = pixel * channels + c, word = pixel * nnk_signs(channels) + c / NNK_LANES;
  lanes z = lanes_zero();
  if (has & (SINK_Z_GATE | SINK_Z_SUMS)) z = lanes_load_some(s->z + at, count);
  if (has & SINK_BIAS) v = lanes_add(v, b->bias);
  if (has & SINK_RESIDUAL) v = lanes_add(v, lanes_load_some(s->residual + at, count));
  if (has & SINK_RELU) v = lanes_at_least(lanes_zero(), v);
  if (has & SINK_GATE) v = lanes_keep(v, s->gate[word]);
  if (has & SINK_Z_GATE) v = lanes_keep_where_positive(v, lanes_fma(z, b->z_scale, b->z_shift));
  if (has & SINK_SIGNS) s->signs[word] = lanes_positive(v) & (uint16_t)((1u << count) - 1);
  lanes_store_some(s->y + at, v, count);
  if (has & SINK_SUMS) {
    lanes apart = lanes_sub(v, b->centre);
    b->sum = lanes_add(b->sum, apart);
    b->product = lanes_fma(apart, apart, b->product);
  }
  if (has & SINK_Z_SUMS) {
    b->sum = lanes_add(b->sum, v);
    b->product = lanes_fma(v, lanes_sub(z, b->centre), b->product);
  }
}

/* The pixels of one tile that lie inside the image, rows x columns of them. */
NNK_INLINE void winograd_tile(const nnk_sink *s, sink_block *total, const nn_real *m, int64_t m_position,
                              const nnk_tiles *g, int64_t corner, int rows, int columns, int64_t c, int count,
                              const unsigned has) {
  lanes part[4][6];
  LANES_UNROLL for (int j = 0; j < 6; j++) {
    lanes from[6], to[4];
    LANES_UNROLL for (int i = 0; i < 6; i++) from[i] = lanes_load(m + (i * 6 + j) * m_position);
    winograd_result(to, from);
    LANES_UNROLL for (int i = 0; i < 4; i++) part[i][j] = to[i];
  }
  sink_block b = *total;
  b.sum = b.product = lanes_zero();
  LANES_UNROLL for (int i = 0; i < 4; i++) {
    lanes y[4];
    if (i >= rows) break;
    winograd_result(y, part[i]);
    LANES_UNROLL for (int j = 0; j < 4; j++)
      if (j < columns) sink_put(s, &b, y[j], corner + i * g->width + j, g->channels, c, count, has);
  }
  if (has & (SINK_SUMS | SINK_Z_SUMS)) {
    total->sum = lanes_add(total->sum, b.sum);
    total->product = lanes_add(total->product, b.product);
  }
}

NNK_INLINE void winograd_collect(const nnk_sink *s, double *sums, const nnk_tiles *g, const nn_real *m,
                                 int64_t m_position, int64_t m_step, int64_t begin, int64_t end, int64_t first_channel,
                                 int64_t last_channel, const unsigned has) {
  for (int64_t c = first_channel; c < last_channel; c += NNK_LANES) {
    int count = (int)nnk_min(NNK_LANES, g->channels - c);
    sink_block block = sink_at(s, c, count, has);
    int64_t line = begin / g->across, place = begin % g->across;
    const nn_real *from = m + c / NNK_LANES * m_step;
    for (int64_t t = begin; t < end; t++, from += NNK_LANES) {
      int64_t row = line % g->down * 4, column = place * 4;
      int64_t corner = (line / g->down * g->height + row) * g->width + column;
      int rows = (int)nnk_min(4, g->height - row), columns = (int)nnk_min(4, g->width - column);
      if (rows == 4 && columns == 4 && count == NNK_LANES)
        winograd_tile(s, &block, from, m_position, g, corner, 4, 4, c, NNK_LANES, has);
      else
        winograd_tile(s, &block, from, m_position, g, corner, rows, columns, c, count, has);
      if (++place == g->across) place = 0, line++;
    }
    if (has & (SINK_SUMS | SINK_Z_SUMS)) {
      nn_real sum[NNK_LANES], product[NNK_LANES];
      lanes_store(sum, block.sum);
      lanes_store(product, block.product);
      for (int i = 0; i < count; i++) {
        sums[c + i] += sum[i];
        sums[g->channels + c + i] += product[i];
      }
    }
  }
}

#define WINOGRAD_COLLECT(name, has)                                                                                  \
  static void name(const nnk_sink *s, double *sums, const nnk_tiles *g, const nn_real *m, int64_t m_position,        \
                   int64_t m_step, int64_t begin, int64_t end, int64_t first_channel, int64_t last_channel) {        \
    winograd_collect(s, sums, g, m, m_position, m_step, begin, end, first_channel, last_channel, has);               \
  }
WINOGRAD_COLLECT(collect_plain, 0)
WINOGRAD_COLLECT(collect_sums, SINK_SUMS)
WINOGRAD_COLLECT(collect_bias_relu, SINK_BIAS | SINK_RELU)
WINOGRAD_COLLECT(collect_bias_residual_relu, SINK_BIAS | SINK_RESIDUAL | SINK_RELU)
WINOGRAD_COLLECT(collect_bias_relu_signs, SINK_BIAS | SINK_RELU | SINK_SIGNS)
WINOGRAD_COLLECT(collect_bias_residual_relu_signs, SINK_BIAS | SINK_RESIDUAL | SINK_RELU | SINK_SIGNS)
WINOGRAD_COLLECT(collect_gate_sums, SINK_GATE | SINK_Z_SUMS)
WINOGRAD_COLLECT(collect_residual_gate_sums, SINK_RESIDUAL | SINK_GATE | SINK_Z_SUMS)
WINOGRAD_COLLECT(collect_z_gate_sums, SINK_Z_GATE | SINK_Z_SUMS)
WINOGRAD_COLLECT(collect_any, sink_parts(s))
#undef WINOGRAD_COLLECT

static void winograd_collect_tiles(const nnk_sink *s, double *sums, const nnk_tiles *g, const nn_real *m,
                                   int64_t m_position, int64_t m_step, int64_t begin, int64_t end,
                                   int64_t first_channel, int64_t last_channel) {
  static const struct {
    unsigned has;
    __typeof__(collect_any) *collect;
  } rows[] = {
    { 0, collect_plain },
    { SINK_SUMS, collect_sums },
    { SINK_BIAS | SINK_RELU, collect_bias_relu },
    { SINK_BIAS | SINK_RESIDUAL | SINK_RELU, collect_bias_residual_relu },
    { SINK_BIAS | SINK_RELU | SINK_SIGNS, collect_bias_relu_signs },
    { SINK_BIAS | SINK_RESIDUAL | SINK_RELU | SINK_SIGNS, collect_bias_residual_relu_signs },
    { SINK_GATE | SINK_Z_SUMS, collect_gate_sums },
    { SINK_RESIDUAL | SINK_GATE | SINK_Z_SUMS, collect_residual_gate_sums },
    { SINK_Z_GATE | SINK_Z_SUMS, collect_z_gate_sums },
  };
  unsigned has = sink_parts(s);
  __typeof__(collect_any) *collect = collect_any;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].has == has) collect = rows[i].collect;
  collect(s, sums, g, m, m_position, m_step, begin, end, first_channel, last_channel);
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

NNK_INLINE void weights_forward(nn_real *u, int64_t u_position, const nnk_conv *s, const nn_real *weight,
                                const nn_real *scale, int64_t panel, int64_t begin, int64_t end, const bool stream) {
  int64_t depth = s->channels, columns = s->out_channels;
  int64_t width = nnk_min(NNK_PANEL, nnk_divide_up(columns, NNK_LANES) * NNK_LANES - panel);
  for (int64_t c = begin; c < end; c++) {
    for (int64_t k = panel; k < nnk_min(columns, panel + NNK_PANEL); k += NNK_LANES) {
      int count = (int)nnk_min(NNK_LANES, columns - k);
      lanes g[9], by = scale ? lanes_load_some(scale + k, count) : lanes_of(1);
      LANES_UNROLL for (int tap = 0; tap < 9; tap++)
        g[tap] = lanes_mul(by, lanes_load_some(weight + (tap * depth + c) * columns + k, count));
      winograd_weight_tile(u + nnk_panel_offset(panel, depth) + c * width + k - panel, u_position, g, stream);
    }
  }
}

/* Depth is the layer's output and columns its input, so blocks of sixteen by sixteen weights are transposed, and taps
 * read from the last. */
NNK_INLINE void weights_backward(nn_real *u, int64_t u_position, const nnk_conv *s, const nn_real *weight,
                                 const nn_real *scale, int64_t panel, int64_t begin, int64_t end, const bool stream) {
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
        winograd_weight_tile(u + nnk_panel_offset(panel, depth) + (k + j) * width + c - panel, u_position, g, stream);
      }
    }
  }
}

static void winograd_weights(nn_real *u, int64_t u_position, const nnk_conv *s, bool backward, const nn_real *weight,
                             const nn_real *scale, int64_t panel, int64_t begin, int64_t end, bool stream) {
  if (backward) {
    if (stream) weights_backward(u, u_position, s, weight, scale, panel, begin, end, true);
    else weights_backward(u, u_position, s, weight, scale, panel, begin, end, false);
  } else {
    if (stream) weights_forward(u, u_position, s, weight, scale, panel, begin, end, true);
    else weights_forward(u, u_position, s, weight, scale, panel, begin, end, false);
  }
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
