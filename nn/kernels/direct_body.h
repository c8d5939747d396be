/* direct_body.h -- what a direct convolution (direct.c) reads and writes around its products; part of an engine. */

/* Row `row` of a grid as image, line and column of destinations. */
typedef struct {
  int64_t image, j, i;
} grid_place;

NNK_INLINE grid_place grid_find(const nnk_grid *g, int64_t row) {
  int64_t line = row / g->h.count;
  return (grid_place){ line / g->v.count, line % g->v.count, row % g->h.count };
}

NNK_INLINE void grid_step(const nnk_grid *g, grid_place *p) {
  if (++p->i < g->h.count) return;
  p->i = 0;
  if (++p->j < g->v.count) return;
  p->j = 0;
  p->image++;
}

NNK_INLINE int64_t grid_pixel(const nnk_grid *g, const grid_place *p) {
  int64_t line = p->image * g->height + g->v.first + p->j * g->v.step;
  return line * g->width + g->h.first + p->i * g->h.step;
}

/* Where tap `tap` of destination j looks; -1 outside. */
NNK_INLINE int64_t axis_look(const nnk_axis *a, int64_t j, int64_t tap) {
  int64_t at = j * a->source_step + a->offset + tap * a->offset_step;
  return at >= 0 && at < a->source_size ? at : -1;
}

NNK_INLINE int64_t grid_source(const nnk_grid *g, int64_t image, int64_t line, int64_t column) {
  return ((image * g->v.source_size + line) * g->h.source_size + column) * g->source_channels;
}

/* read_rows for whole blocks of channels. */
NNK_INLINE void read_blocks(const fused_kind kind, nn_real *a, int64_t a_step, const nnk_source *s, const nnk_grid *g,
                            int64_t row, int64_t rows, int64_t tap, int64_t taps, int64_t channel, int64_t channels) {
  grid_place p = grid_find(g, row);
  for (int64_t t = 0; t < rows; t++, grid_step(g, &p)) {
    nn_real *to = a + t * NNK_LANES;
    int64_t tv = tap / g->h.taps, th = tap % g->h.taps;
    for (int64_t n = 0; n < taps; n++) {
      int64_t line = axis_look(&g->v, p.j, tv), column = axis_look(&g->h, p.i, th);
      int64_t at = grid_source(g, p.image, line, column) + channel;
      if (++th == g->h.taps) th = 0, tv++;
      if (line < 0 || column < 0) {
        for (int64_t c = 0; c < channels; c += NNK_LANES, to += a_step) lanes_store(to, lanes_zero());
        continue;
      }
      for (int64_t c = 0; c < channels; c += NNK_LANES, to += a_step) {
        fused_in f = fused_begin(kind, s, channel + c, NNK_LANES);
        lanes_store(to, fused_read(kind, &f, s, at + c, NNK_LANES));
      }
    }
  }
}

/* count elements of row t at depth d and on: source elements at `at`, whose vectors begin at c, or zeros (at < 0). */
NNK_INLINE void read_run(const fused_kind kind, nn_real *a, int64_t a_step, const nnk_source *s, int64_t t, int64_t d,
                         int64_t at, int64_t c, int64_t count) {
  for (int64_t end = d + count; d < end;) {
    int some = (int)nnk_min(NNK_LANES - d % NNK_LANES, end - d);
    lanes v = lanes_zero();
    if (at >= 0) {
      fused_in f = fused_begin(kind, s, c, some);
      v = fused_read(kind, &f, s, at, some);
      at += some;
    }
    lanes_store_some(a + d / NNK_LANES * a_step + t * NNK_LANES + d % NNK_LANES, v, some);
    c += some;
    d += some;
  }
}

/* read_rows for any number of channels: depth runs on over the taps without gaps. Taps come in whole lines of the
 * kernel. A line of taps that lie side by side is one run; the source's vectors then repeat for each tap (direct.c). */
NNK_INLINE void read_runs(const fused_kind kind, nn_real *a, int64_t a_step, const nnk_source *s, const nnk_grid *g,
                          int64_t row, int64_t rows, int64_t tap, int64_t taps, int64_t channel, int64_t channels) {
  int64_t line_taps = g->h.taps, first = tap / line_taps, lines = taps / line_taps;
  bool joined = g->h.offset_step == 1 && channels == g->source_channels;
  grid_place p = grid_find(g, row);
  for (int64_t t = 0; t < rows; t++, grid_step(g, &p)) {
    int64_t d = 0;
    bool whole = joined && axis_look(&g->h, p.i, 0) >= 0 && axis_look(&g->h, p.i, line_taps - 1) >= 0;
    for (int64_t tv = first; tv < first + lines; tv++) {
      int64_t line = axis_look(&g->v, p.j, tv), column = p.i * g->h.source_step + g->h.offset;
      int64_t at = grid_source(g, p.image, line, column) + channel;
      if (line < 0 || whole) {
        read_run(kind, a, a_step, s, t, d, line < 0 ? -1 : at, channel, line_taps * channels);
        d += line_taps * channels;
        continue;
      }
      for (int64_t th = 0; th < line_taps; th++, d += channels) {
        int64_t look = axis_look(&g->h, p.i, th);
        at = look < 0 ? -1 : grid_source(g, p.image, line, look) + channel;
        read_run(kind, a, a_step, s, t, d, at, channel, channels);
      }
    }
  }
}

static void read_rows(nn_real *a, int64_t a_step, const nnk_source *s, const nnk_grid *g, int64_t row, int64_t rows,
                      int64_t tap, int64_t taps, int64_t channel, int64_t channels) {
  bool blocks = channels % NNK_LANES == 0;
  switch (fused_kind_of(s)) {
#define READ_ROWS(kind)                                                                                       \
  case kind:                                                                                                  \
    if (blocks) read_blocks(kind, a, a_step, s, g, row, rows, tap, taps, channel, channels);                  \
    else read_runs(kind, a, a_step, s, g, row, rows, tap, taps, channel, channels);                           \
    break;
    READ_ROWS(FUSED_NOTHING)
    READ_ROWS(FUSED_SCALE)
    READ_ROWS(FUSED_SUM)
#undef READ_ROWS
  }
}

/* A few rows at a time: a block of channels keeps its vectors and sums in registers, and what is written of a pixel is
 * still near when the next block comes. */
enum { WRITE_ROWS = 8 };

NNK_INLINE void write_block(const int parts, const nnk_sink *s, nn_real *sums, int64_t step, const int64_t *pixel,
                            const nn_real *m, int64_t rows, int64_t channels, int64_t c, int count) {
  fused_out f = fused_open(parts, s, c, count);
  for (int64_t r = 0; r < rows; r++)
    fused_put(parts, &f, s, pixel[r], channels, c, lanes_load(m + r * NNK_LANES), count);
  if (!(parts & FUSED_SUMS)) return;
  lanes_store(sums + c, lanes_add(lanes_load(sums + c), f.sum));
  lanes_store(sums + step + c, lanes_add(lanes_load(sums + step + c), f.product));
}

/* m [rows x channels], blocked, to channels from `channel` on of those pixels. */
NNK_INLINE void write_pixels(const int parts, const nnk_sink *s, nn_real *sums, int64_t step, const int64_t *pixel,
                             const nn_real *m, int64_t m_step, int64_t rows, int64_t all, int64_t channel,
                             int64_t channels) {
  int64_t c = channel, end = channel + channels;
  for (; c + NNK_LANES <= end; c += NNK_LANES, m += m_step)
    write_block(parts, s, sums, step, pixel, m, rows, all, c, NNK_LANES);
  if (c < end) write_block(parts, s, sums, step, pixel, m, rows, all, c, (int)(end - c));
}

static void write_rows(const nnk_sink *s, nn_real *sums, int64_t step, const nn_real *m, int64_t m_step,
                       const nnk_grid *g, int64_t row, int64_t rows, int64_t channel, int64_t channels) {
  int64_t pixel[WRITE_ROWS];
  int parts = fused_parts(s);
  grid_place p = grid_find(g, row);
  for (int64_t t = 0; t < rows; t += WRITE_ROWS) {
    int64_t some = nnk_min(WRITE_ROWS, rows - t);
    for (int64_t r = 0; r < some; r++, grid_step(g, &p)) pixel[r] = grid_pixel(g, &p);
    write_pixels(parts, s, sums, step, pixel, m + t * NNK_LANES, m_step, some, g->channels, channel, channels);
  }
}

NNK_INLINE void channel_block(const fused_kind kind, const nnk_sink *s, nn_real *sums, int64_t step,
                              const nnk_source *source, const nnk_grid *g, const nn_real *weight, int64_t row,
                              int64_t rows, int64_t c, int count) {
  fused_in f = fused_begin(kind, source, c, count);
  grid_place p = grid_find(g, row);
  for (int64_t t = 0; t < rows; t++, grid_step(g, &p)) {
    lanes sum = lanes_zero();
    const nn_real *w = weight + c;
    for (int64_t tv = 0; tv < g->v.taps; tv++) {
      int64_t line = axis_look(&g->v, p.j, tv);
      for (int64_t th = 0; th < g->h.taps; th++, w += step) {
        int64_t column = axis_look(&g->h, p.i, th);
        if (line < 0 || column < 0) continue;
        lanes v = fused_read(kind, &f, source, grid_source(g, p.image, line, column) + c, count);
        sum = lanes_fma(v, lanes_load(w), sum);
      }
    }
    fused_write(s, sums, step, grid_pixel(g, &p), g->channels, c, sum, count);
  }
}

static void channel_rows(const nnk_sink *s, nn_real *sums, int64_t step, const nnk_source *source, const nnk_grid *g,
                         const nn_real *weight, int64_t row, int64_t rows) {
  for (int64_t c = 0; c < g->channels; c += NNK_LANES) {
    int count = (int)nnk_min(NNK_LANES, g->channels - c);
    switch (fused_kind_of(source)) {
#define CHANNEL_ROWS(kind)                                                                                        \
  case kind:                                                                                                      \
    if (count == NNK_LANES) channel_block(kind, s, sums, step, source, g, weight, row, rows, c, NNK_LANES);       \
    else channel_block(kind, s, sums, step, source, g, weight, row, rows, c, count);                              \
    break;
      CHANNEL_ROWS(FUSED_NOTHING)
      CHANNEL_ROWS(FUSED_SCALE)
      CHANNEL_ROWS(FUSED_SUM)
#undef CHANNEL_ROWS
    }
  }
}

/* One tap and block of channels of channel_outer: the sum stays in a register. */
NNK_INLINE void channel_tap(const fused_kind kind, const fused_kind dy_kind, nn_real *d, const nnk_source *dy,
                            const nnk_source *x, const nnk_grid *g, int64_t row, int64_t rows, int64_t tv, int64_t th,
                            int64_t c, int count) {
  fused_in fx = fused_begin(kind, x, c, count), fy = fused_begin(dy_kind, dy, c, count);
  lanes sum = lanes_load_some(d + c, count);
  grid_place p = grid_find(g, row);
  for (int64_t t = 0; t < rows; t++, grid_step(g, &p)) {
    int64_t line = axis_look(&g->v, p.j, tv), column = axis_look(&g->h, p.i, th);
    if (line < 0 || column < 0) continue;
    lanes v = fused_read(kind, &fx, x, grid_source(g, p.image, line, column) + c, count);
    lanes w = fused_read(dy_kind, &fy, dy, (row + t) * g->channels + c, count);
    sum = lanes_fma(v, w, sum);
  }
  lanes_store_some(d + c, sum, count);
}

static void channel_outer(nn_real *d, const nnk_source *dy, const nnk_source *x, const nnk_grid *g, int64_t row,
                          int64_t rows) {
  bool plain = fused_kind_of(dy) == FUSED_NOTHING && fused_kind_of(x) == FUSED_NOTHING;
  for (int64_t c = 0; c < g->channels; c += NNK_LANES) {
    int count = (int)nnk_min(NNK_LANES, g->channels - c);
    for (int64_t tap = 0; tap < g->v.taps * g->h.taps; tap++) {
      nn_real *to = d + tap * g->channels;
      int64_t tv = tap / g->h.taps, th = tap % g->h.taps;
      if (plain && count == NNK_LANES)
        channel_tap(FUSED_NOTHING, FUSED_NOTHING, to, dy, x, g, row, rows, tv, th, c, NNK_LANES);
      else
        channel_tap(fused_kind_of(x), fused_kind_of(dy), to, dy, x, g, row, rows, tv, th, c, count);
    }
  }
}
