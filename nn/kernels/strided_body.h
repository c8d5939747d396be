/* strided_body.h -- the transforms of 3x3 convolutions of stride 2; part of an engine (engine.h). What they are for is
 * told in strided.c.
 *
 * The pair of outer taps, four results y of g from five neighbours d: y[i] = g[0] d[i] + g[1] d[i + 1]. It is
 *   y = A [(G g) . (B d)]
 * with one product for each of the points 3/8, -3/8, 9/8, -9/8 and infinity. B and A hold what floats hold exactly:
 *
 *       -243/512  -81/64   3/8  1  0          1     1      1        1     0          -32/27  -4/9
 *        243/512  -81/64  -3/8  1  0         3/8  -3/8    9/8     -9/8    0           32/27  -4/9
 *  B =  -81/512    -9/64   9/8  1  0    A =  9/64  9/64  81/64    81/64   0      G =  32/81   4/9
 *        81/512    -9/64  -9/8  1  0        27/512 -27/512 729/512 -729/512 1        -32/81   4/9
 *       729/4096    0   -45/32  0  1                                                    0      1
 *
 * Rows +p and -p of a pair share an even and an odd half. The middle tap is one product: its four places of a
 * transformed axis, 5 to 8, hold plain values.
 */

/* v = B d */
NNK_INLINE void strided_pair(lanes v[5], const lanes d[5]) {
  lanes even = lanes_fma_by(-1.265625f, d[0], d[2]), odd = lanes_fma_by(-1.265625f, d[1], d[3]);
  v[0] = lanes_fma_by(0.375f, even, odd);
  v[1] = lanes_fma_by(-0.375f, even, odd);
  even = lanes_fma_by(-0.140625f, d[0], d[2]), odd = lanes_fma_by(-0.140625f, d[1], d[3]);
  v[2] = lanes_fma_by(1.125f, even, odd);
  v[3] = lanes_fma_by(-1.125f, even, odd);
  v[4] = lanes_fma_by(0.177978515625f, d[0], lanes_fma_by(-1.40625f, d[2], d[4]));
}

/* y = A m */
NNK_INLINE void strided_pair_result(lanes y[4], const lanes m[5]) {
  lanes even = lanes_add(m[0], m[1]), odd = lanes_sub(m[0], m[1]);
  lanes far_even = lanes_add(m[2], m[3]), far_odd = lanes_sub(m[2], m[3]);
  y[0] = lanes_add(even, far_even);
  y[1] = lanes_fma_by(1.125f, far_odd, lanes_scale(0.375f, odd));
  y[2] = lanes_fma_by(1.265625f, far_even, lanes_scale(0.140625f, even));
  y[3] = lanes_fma_by(1.423828125f, far_odd, lanes_fma_by(0.052734375f, odd, m[4]));
}

/* m = A' y */
NNK_INLINE void strided_pair_back(lanes m[5], const lanes y[4]) {
  lanes even = lanes_fma_by(0.140625f, y[2], y[0]), odd = lanes_fma_by(0.140625f, y[3], y[1]);
  m[0] = lanes_fma_by(0.375f, odd, even);
  m[1] = lanes_fma_by(-0.375f, odd, even);
  even = lanes_fma_by(1.265625f, y[2], y[0]), odd = lanes_fma_by(1.265625f, y[3], y[1]);
  m[2] = lanes_fma_by(1.125f, odd, even);
  m[3] = lanes_fma_by(-1.125f, odd, even);
  m[4] = y[3];
}

/* u = G g */
NNK_INLINE void strided_pair_weight(lanes u[5], lanes first, lanes second) {
  lanes near = lanes_scale((nn_real)32 / 27, first), far = lanes_scale((nn_real)32 / 81, first);
  lanes odd = lanes_scale((nn_real)4 / 9, second);
  u[0] = lanes_sub(lanes_zero(), lanes_add(near, odd));
  u[1] = lanes_sub(near, odd);
  u[2] = lanes_add(odd, far);
  u[3] = lanes_sub(odd, far);
  u[4] = second;
}

/* g = G' u */
NNK_INLINE void strided_pair_weight_back(lanes g[2], const lanes u[5]) {
  lanes near = lanes_sub(u[1], u[0]), far = lanes_sub(u[2], u[3]);
  lanes even = lanes_sub(lanes_add(u[2], u[3]), lanes_add(u[0], u[1]));
  g[0] = lanes_fma_by((nn_real)32 / 27, near, lanes_scale((nn_real)32 / 81, far));
  g[1] = lanes_fma_by((nn_real)4 / 9, even, u[4]);
}

/* ---- an axis of a tile, nine places: the pair's five, the middle's four ---- */

NNK_INLINE void strided_axis(lanes v[9], const lanes d[9], const int size) {
  lanes outer[5];
  const int step = size == NNK_STRIDED_DATA ? 2 : 1, middle = size == NNK_STRIDED_DATA ? 1 : 0;
  if (size == NNK_STRIDED_GRADIENT) {
    strided_pair_back(v, d);
  } else {
    LANES_UNROLL for (int i = 0; i < 5; i++) outer[i] = d[i * step];
    strided_pair(v, outer);
  }
  LANES_UNROLL for (int i = 0; i < 4; i++) v[5 + i] = d[i * step + middle];
}

/* Four results are sums of pair and middle; of eight pixels, the even ones saw the middle and the odd ones the pair. */
NNK_INLINE void strided_axis_result(lanes y[8], const lanes m[9], const int size) {
  lanes pair[4];
  strided_pair_result(pair, m);
  LANES_UNROLL for (int i = 0; i < 4; i++) {
    if (size == 4) {
      y[i] = lanes_add(pair[i], m[5 + i]);
    } else {
      y[2 * i] = m[5 + i];
      y[2 * i + 1] = pair[i];
    }
  }
}

/* Where the nine places of one line of a tile are, in block `block` of channels: horizontally with line `i` given, or
 * vertically with column `i` given. */
typedef struct {
  int64_t pair, pair_step, middle, middle_step;
} strided_line;

NNK_INLINE strided_line strided_find(const nnk_strided_matrices *m, int i, int64_t block, const bool vertical) {
  int64_t row = m->tiles * NNK_LANES, quads = NNK_STRIDED_SINGLES * m->single;
  int64_t first = quads + (vertical ? 0 : 5) * m->quad, second = quads + (vertical ? 5 : 0) * m->quad;
  if (i < 5)
    return (strided_line){ .pair = (vertical ? i : 5 * i) * m->single + block * row,
                           .pair_step = (vertical ? 5 : 1) * m->single,
                           .middle = second + i * m->quad + 4 * block * row, .middle_step = row };
  return (strided_line){ .pair = first + (4 * block + i - 5) * row, .pair_step = m->quad,
                         .middle = quads + NNK_STRIDED_QUADS * m->quad +
                                   (16 * block + (vertical ? 1 : 4) * (i - 5)) * row,
                         .middle_step = (vertical ? 4 : 1) * row };
}

/* ---- from images to tiles ---- */

/* A run: neighbouring tiles of one row of tiles, at most so many. Where its pixels are: `size` rows from `row`, of
 * which [first_row, last_row) are inside the image; and columns. */
enum { STRIDED_RUN = 4, STRIDED_COLUMNS = 8 * (STRIDED_RUN - 1) + 9 };

typedef struct {
  int64_t image, row, column;
  int first_row, last_row, first_column, last_column;
  int columns, tiles;
} strided_run;

/* stage [columns x 9 x 16] = each column of pixels, transformed vertically */
NNK_INLINE void strided_columns(const fused_kind kind, const int size, nn_real *stage, const nnk_tiles *g,
                                const nnk_source *s, const strided_run *run, int64_t c, int count, const bool whole) {
  fused_in in = fused_begin(kind, s, c, count);
  int64_t line = g->width * g->channels;
  for (int j = 0; j < run->columns; j++, stage += 9 * NNK_LANES) {
    lanes d[9], v[9];
    if (j < run->first_column || j >= run->last_column) {
      LANES_UNROLL for (int i = 0; i < 9; i++) lanes_store(stage + i * NNK_LANES, lanes_zero());
      continue;
    }
    int64_t at = (run->image * g->height + run->row) * line + (run->column + j) * g->channels + c;
    LANES_UNROLL for (int i = 0; i < size; i++) {
      bool inside = whole || (i >= run->first_row && i < run->last_row);
      d[i] = inside ? fused_read(kind, &in, s, at + i * line, count) : lanes_zero();
    }
    strided_axis(v, d, size);
    LANES_UNROLL for (int i = 0; i < 9; i++) lanes_store(stage + i * NNK_LANES, v[i]);
  }
}

/* v's rows from `row` on = the stage's columns under each tile, transformed horizontally */
NNK_INLINE void strided_rows(const int size, nn_real *v, const nnk_strided_matrices *m, int64_t block, int64_t row,
                             const nn_real *stage, int tiles) {
  const int step = size == NNK_STRIDED_DATA ? 8 : 4;
  for (int i = 0; i < 9; i++) {
    strided_line line = strided_find(m, i, block, false);
    const nn_real *from = stage + i * NNK_LANES;
    nn_real *to = v + row * NNK_LANES;
    for (int t = 0; t < tiles; t++, from += step * 9 * NNK_LANES, to += NNK_LANES) {
      lanes d[9], q[9];
      LANES_UNROLL for (int j = 0; j < size; j++) d[j] = lanes_load(from + j * 9 * NNK_LANES);
      strided_axis(q, d, size);
      LANES_UNROLL for (int j = 0; j < 5; j++) lanes_store(to + line.pair + j * line.pair_step, q[j]);
      LANES_UNROLL for (int j = 0; j < 4; j++) lanes_store(to + line.middle + j * line.middle_step, q[5 + j]);
    }
  }
}

/* Columns under two tiles are read, and transformed vertically, once. */
NNK_INLINE void strided_spread_tiles(const fused_kind kind, const int size, nn_real *v, const nnk_strided_matrices *m,
                                     int64_t row, const nnk_tiles *g, const nnk_source *s, int64_t begin,
                                     int64_t end) {
  nn_real stage[STRIDED_COLUMNS * 9 * NNK_LANES] __attribute__((aligned(64)));
  const int step = size == NNK_STRIDED_DATA ? 8 : 4;
  while (begin < end) {
    int64_t line = begin / g->across, place = begin % g->across;
    int tiles = (int)nnk_min(STRIDED_RUN, nnk_min(end - begin, g->across - place));
    strided_run run = { .tiles = tiles, .columns = step * (tiles - 1) + size, .image = line / g->down,
                        .row = line % g->down * step - g->before, .column = place * step - g->before };
    run.first_row = (int)nnk_max(0, -run.row);
    run.last_row = (int)nnk_min(size, g->height - run.row);
    run.first_column = (int)nnk_max(0, -run.column);
    run.last_column = (int)nnk_min(run.columns, g->width - run.column);
    bool whole = run.first_row == 0 && run.last_row == size;
    for (int64_t c = 0; c < g->channels; c += NNK_LANES) {
      int count = (int)nnk_min(NNK_LANES, g->channels - c);
      if (count < NNK_LANES) strided_columns(kind, size, stage, g, s, &run, c, count, false);
      else if (whole) strided_columns(kind, size, stage, g, s, &run, c, NNK_LANES, true);
      else strided_columns(kind, size, stage, g, s, &run, c, NNK_LANES, false);
      strided_rows(size, v, m, c / NNK_LANES, row, stage, tiles);
    }
    row += tiles;
    begin += tiles;
  }
}

/* One function for each combination. */
#define STRIDED_SPREAD(name, kind, size)                                                                          \
  static void name(nn_real *v, const nnk_strided_matrices *m, int64_t row, const nnk_tiles *g,                    \
                   const nnk_source *s, int64_t begin, int64_t end) {                                             \
    strided_spread_tiles(kind, size, v, m, row, g, s, begin, end);                                                \
  }
STRIDED_SPREAD(strided_data_plain, FUSED_NOTHING, NNK_STRIDED_DATA)
STRIDED_SPREAD(strided_data_scaled, FUSED_SCALE, NNK_STRIDED_DATA)
STRIDED_SPREAD(strided_data_pair, FUSED_SUM, NNK_STRIDED_DATA)
STRIDED_SPREAD(strided_results_plain, FUSED_NOTHING, NNK_STRIDED_RESULTS)
STRIDED_SPREAD(strided_results_scaled, FUSED_SCALE, NNK_STRIDED_RESULTS)
STRIDED_SPREAD(strided_results_pair, FUSED_SUM, NNK_STRIDED_RESULTS)
STRIDED_SPREAD(strided_gradient_plain, FUSED_NOTHING, NNK_STRIDED_GRADIENT)
STRIDED_SPREAD(strided_gradient_scaled, FUSED_SCALE, NNK_STRIDED_GRADIENT)
STRIDED_SPREAD(strided_gradient_pair, FUSED_SUM, NNK_STRIDED_GRADIENT)
#undef STRIDED_SPREAD

static void strided_spread(nnk_strided_size size, nn_real *v, const nnk_strided_matrices *m, int64_t row,
                           const nnk_tiles *g, const nnk_source *s, int64_t begin, int64_t end) {
  static __typeof__(strided_data_plain) *const data[] = {
    [FUSED_NOTHING] = strided_data_plain, [FUSED_SCALE] = strided_data_scaled, [FUSED_SUM] = strided_data_pair
  };
  static __typeof__(strided_data_plain) *const results[] = {
    [FUSED_NOTHING] = strided_results_plain, [FUSED_SCALE] = strided_results_scaled,
    [FUSED_SUM] = strided_results_pair
  };
  static __typeof__(strided_data_plain) *const gradient[] = {
    [FUSED_NOTHING] = strided_gradient_plain, [FUSED_SCALE] = strided_gradient_scaled,
    [FUSED_SUM] = strided_gradient_pair
  };
  fused_kind kind = fused_kind_of(s);
  (size == NNK_STRIDED_DATA ? data : size == NNK_STRIDED_RESULTS ? results : gradient)[kind](v, m, row, g, s, begin,
                                                                                             end);
}

/* ---- from tiles to images ---- */

/* The pixels of one tile that lie inside the image, rows x columns of size x size. */
NNK_INLINE void strided_tile(const int parts, const int size, const nnk_sink *s, fused_out *total, const nn_real *m,
                             const strided_line line[9], const nnk_tiles *g, int64_t corner, int rows, int columns,
                             int64_t c, int count) {
  lanes part[8][9];
  for (int j = 0; j < 9; j++) {
    lanes from[9], to[8];
    LANES_UNROLL for (int i = 0; i < 5; i++) from[i] = lanes_load(m + line[j].pair + i * line[j].pair_step);
    LANES_UNROLL for (int i = 0; i < 4; i++) from[5 + i] = lanes_load(m + line[j].middle + i * line[j].middle_step);
    strided_axis_result(to, from, size);
    LANES_UNROLL for (int i = 0; i < size; i++) part[i][j] = to[i];
  }
  fused_out out = *total;
  out.sum = out.product = lanes_zero();
  for (int i = 0; i < rows; i++) {
    lanes y[8];
    strided_axis_result(y, part[i], size);
    LANES_UNROLL for (int j = 0; j < size; j++)
      if (j < columns) fused_put(parts, &out, s, corner + i * g->width + j, g->channels, c, y[j], count);
  }
  if (parts & FUSED_SUMS) {
    total->sum = lanes_add(total->sum, out.sum);
    total->product = lanes_add(total->product, out.product);
  }
}

/* `given` is the constant set of the sink's parts, or ANY_SINK. */
NNK_INLINE void strided_collect_tiles(const int given, const int size, const nnk_sink *s, double *sums,
                                      const nnk_tiles *g, const nn_real *m, const nnk_strided_matrices *shape,
                                      int64_t begin, int64_t first_channel, int64_t last_channel) {
  const int parts = given == ANY_SINK ? fused_parts(s) : given;
  for (int64_t c = first_channel; c < last_channel; c += NNK_LANES) {
    int count = (int)nnk_min(NNK_LANES, g->channels - c);
    fused_out out = fused_open(parts, s, c, count);
    strided_line lines[9];
    for (int j = 0; j < 9; j++) lines[j] = strided_find(shape, j, (c - first_channel) / NNK_LANES, true);
    int64_t line = begin / g->across, place = begin % g->across;
    for (int64_t t = 0; t < shape->tiles; t++) {
      int64_t row = line % g->down * size, column = place * size;
      int64_t corner = (line / g->down * g->height + row) * g->width + column;
      int rows = (int)nnk_min(size, g->height - row), columns = (int)nnk_min(size, g->width - column);
      if (rows == size && columns == size && count == NNK_LANES)
        strided_tile(parts, size, s, &out, m + t * NNK_LANES, lines, g, corner, size, size, c, NNK_LANES);
      else
        strided_tile(parts, size, s, &out, m + t * NNK_LANES, lines, g, corner, rows, columns, c, count);
      if (++place == g->across) place = 0, line++;
    }
    fused_close(parts, &out, sums, g->channels, c, count);
  }
}

#define STRIDED_COLLECT(name, parts)                                                                              \
  static void strided_collect_##name(bool backward, const nnk_sink *s, double *sums, const nnk_tiles *g,          \
                                     const nn_real *m, const nnk_strided_matrices *shape, int64_t begin,          \
                                     int64_t first_channel, int64_t last_channel) {                               \
    if (backward) strided_collect_tiles(parts, 8, s, sums, g, m, shape, begin, first_channel, last_channel);      \
    else strided_collect_tiles(parts, 4, s, sums, g, m, shape, begin, first_channel, last_channel);               \
  }
WINOGRAD_SINKS(STRIDED_COLLECT)
#undef STRIDED_COLLECT

static void strided_collect(bool backward, const nnk_sink *s, double *sums, const nnk_tiles *g, const nn_real *m,
                            const nnk_strided_matrices *shape, int64_t begin, int64_t first_channel,
                            int64_t last_channel) {
  static const struct {
    int parts;
    __typeof__(strided_collect_any) *collect;
  } rows[] = {
#define STRIDED_ROW(name, parts) { parts, strided_collect_##name },
    WINOGRAD_SINKS(STRIDED_ROW)
#undef STRIDED_ROW
  };
  const int last = sizeof rows / sizeof *rows - 1;
  int row = 0;
  while (row < last && rows[row].parts != fused_parts(s)) row++;
  rows[row].collect(backward, s, sums, g, m, shape, begin, first_channel, last_channel);
}

/* ---- weights ---- */

/* Sixteen columns of one row of depth: four taps, two and two, and one become 25, 5 and 5, and 1. */
NNK_INLINE void strided_weight_tile(nn_real *u, int64_t u_position, const lanes g[9], const bool stream) {
  lanes left[5], right[5], to[NNK_STRIDED_MATRICES];
  strided_pair_weight(left, g[0], g[6]);
  strided_pair_weight(right, g[2], g[8]);
  LANES_UNROLL for (int i = 0; i < 5; i++) strided_pair_weight(to + 5 * i, left[i], right[i]);
  strided_pair_weight(to + 25, g[1], g[7]);
  strided_pair_weight(to + 30, g[3], g[5]);
  to[35] = g[4];
  LANES_UNROLL for (int i = 0; i < NNK_STRIDED_MATRICES; i++) {
    if (stream) lanes_stream(u + i * u_position, to[i]);
    else lanes_store(u + i * u_position, to[i]);
  }
}

static void strided_weights(nn_real *u, int64_t u_position, const nnk_conv *s, bool backward, const nn_real *weight,
                            const nn_real *scale, int64_t panel, int64_t begin, int64_t end, bool stream) {
  prepare_weights(strided_weight_tile, u, u_position, s, backward, weight, scale, panel, begin, end, stream);
}

NNK_INLINE void add_weights(nn_real *dweight, const nnk_conv *s, int tap, int64_t c, int64_t k, lanes v, int count) {
  nn_real *to = dweight + (tap * s->channels + c) * s->out_channels + k;
  lanes_store_some(to, lanes_add(lanes_load_some(to, count), v), count);
}

/* taps[j] = five positions of d, from `first` on, transformed back */
NNK_INLINE void strided_pair_of(lanes taps[2], const nn_real *d, int64_t d_position, int first) {
  lanes u[5];
  LANES_UNROLL for (int i = 0; i < 5; i++) u[i] = lanes_load(d + (first + i) * d_position);
  strided_pair_weight_back(taps, u);
}

/* For d from matrix `first` on: those of the four outer taps, of two above each other, of two side by side, or of the
 * middle. */
static void strided_weights_back(nn_real *dweight, const nnk_conv *s, const nn_real *d, int64_t d_position,
                                 int64_t d_step, int64_t first, int64_t begin, int64_t end, int64_t left,
                                 int64_t right) {
  for (int64_t c = begin; c < end; c++, d += d_step) {
    for (int64_t k = left; k < right; k += NNK_LANES) {
      int count = (int)nnk_min(NNK_LANES, right - k);
      const nn_real *from = d + k - left;
      lanes taps[2], part[2][5];
      if (first == 0) {
        for (int i = 0; i < 5; i++) {
          strided_pair_of(taps, from, d_position, 5 * i);
          part[0][i] = taps[0];
          part[1][i] = taps[1];
        }
        LANES_UNROLL for (int j = 0; j < 2; j++) {
          strided_pair_weight_back(taps, part[j]);
          add_weights(dweight, s, 2 * j, c, k, taps[0], count);
          add_weights(dweight, s, 6 + 2 * j, c, k, taps[1], count);
        }
      } else if (first < NNK_STRIDED_MATRICES - 1) {
        strided_pair_of(taps, from, d_position, 0);
        add_weights(dweight, s, first == 25 ? 1 : 3, c, k, taps[0], count);
        add_weights(dweight, s, first == 25 ? 7 : 5, c, k, taps[1], count);
      } else {
        add_weights(dweight, s, 4, c, k, lanes_load(from), count);
      }
    }
  }
}
