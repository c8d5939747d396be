/* band_body.h -- convolution of few channels, without gathering: part of an engine, after product_body.h and direct.h.
 *
 * A band is the source lines that some destination lines of one image see, with zeros around them:
 *   [band lines][columns from h.offset on][channels], lines `line` elements apart.
 * What a line of taps sees is then a run of neighbouring elements, and neighbouring destinations' runs lie a constant
 * distance apart, which is all that products need.
 */

/* Band lines [0, lines): source lines from that of destination line j under the first tap. The source's vectors repeat
 * for each of its pixels. */
NNK_INLINE void read_band_lines(const fused_kind kind, nn_real *band, int64_t line, const nnk_source *s,
                                const nnk_grid *g, int64_t image, int64_t j, int64_t lines) {
  int64_t channels = g->source_channels, wide = (g->h.count - 1) * g->h.source_step + g->h.taps;
  int64_t left = nnk_min(wide, nnk_max(0, -g->h.offset)), skip = nnk_max(0, g->h.offset);
  int64_t taken = nnk_max(0, nnk_min(wide - left, g->h.source_size - skip)) * channels;
  for (int64_t n = 0; n < lines; n++, band += line) {
    int64_t from = j * g->v.source_step + g->v.offset + n;
    if (from < 0 || from >= g->v.source_size) {
      memset(band, 0, (size_t)(wide * channels) * sizeof *band);
      continue;
    }
    nn_real *to = band + left * channels;
    int64_t at = grid_source(g, image, from, skip), c = 0;
    memset(band, 0, (size_t)(left * channels) * sizeof *band);
    for (; c + NNK_LANES <= taken; c += NNK_LANES) {
      fused_in f = fused_begin(kind, s, skip * channels + c, NNK_LANES);
      lanes_store(to + c, fused_read(kind, &f, s, at + c, NNK_LANES));
    }
    if (c < taken) {
      int some = (int)(taken - c);
      fused_in f = fused_begin(kind, s, skip * channels + c, some);
      lanes_store_some(to + c, fused_read(kind, &f, s, at + c, some), some);
    }
    memset(to + taken, 0, (size_t)((wide - left) * channels - taken) * sizeof *to);
  }
}

static void read_band(nn_real *band, int64_t line, const nnk_source *s, const nnk_grid *g, int64_t image, int64_t j,
                      int64_t lines) {
  switch (fused_kind_of(s)) {
    case FUSED_NOTHING: read_band_lines(FUSED_NOTHING, band, line, s, g, image, j, lines); break;
    case FUSED_SCALE: read_band_lines(FUSED_SCALE, band, line, s, g, image, j, lines); break;
    case FUSED_SUM: read_band_lines(FUSED_SUM, band, line, s, g, image, j, lines); break;
  }
}

/* m [PRODUCT_ROWS x 16 blocks], blocked, = sums of `rows` neighbouring destinations, the first of which sees `from`
 * under the first tap */
NNK_INLINE void band_product(nn_real *m, const nn_real *from, int64_t line, const nnk_grid *g, const nn_real *b,
                             const int64_t b_row, const int rows, const int blocks) {
  lanes sums[PRODUCT_ROWS][PRODUCT_BLOCKS];
  int run = (int)(g->h.taps * g->source_channels);
  LANES_UNROLL for (int r = 0; r < rows; r++)
    LANES_UNROLL for (int n = 0; n < blocks; n++) sums[r][n] = lanes_zero();
  for (int64_t tap = 0; tap < g->v.taps; tap++, from += g->v.offset_step * line, b += run * b_row)
    product_add(sums, from, g->h.source_step * g->source_channels, b, b_row, run, rows, blocks);
  LANES_UNROLL for (int r = 0; r < rows; r++)
    LANES_UNROLL for (int n = 0; n < blocks; n++) lanes_store(m + (n * PRODUCT_ROWS + r) * NNK_LANES, sums[r][n]);
}

NNK_INLINE void band_products(nn_real *m, const nn_real *from, int64_t line, const nnk_grid *g, const nn_real *b,
                              int64_t b_row, int64_t rows, const int blocks) {
  switch (rows) {
#define BAND_ROWS(count)                                                              \
  case count:                                                                         \
    if (count <= PRODUCT_ROWS) band_product(m, from, line, g, b, b_row, count, blocks); \
    break;
    BAND_ROWS(1)
    BAND_ROWS(2)
    BAND_ROWS(3)
    BAND_ROWS(4)
    BAND_ROWS(5)
    BAND_ROWS(6)
    BAND_ROWS(7)
    BAND_ROWS(8)
    BAND_ROWS(9)
    BAND_ROWS(10)
    BAND_ROWS(11)
    BAND_ROWS(12)
    BAND_ROWS(13)
    BAND_ROWS(14)
#undef BAND_ROWS
  }
}

static void band_rows(const nnk_sink *s, nn_real *sums, int64_t step, const nn_real *band, int64_t line,
                      const nnk_grid *g, const nn_real *weight, int64_t depth, int64_t image, int64_t j,
                      int64_t lines) {
  nn_real m[PRODUCT_ROWS * PRODUCT_BLOCKS * NNK_LANES];
  int64_t pixel[PRODUCT_ROWS];
  int sink_parts = fused_parts(s);
  int64_t parts = nnk_divide_up(g->h.count, PRODUCT_ROWS), ahead = g->h.source_step * g->source_channels;
  for (int64_t n = 0; n < lines; n++) {
    const nn_real *from = band + n * g->v.source_step * line;
    grid_place p = { image, j + n, 0 };
    for (int64_t part = 0; part < parts; part++) {
      int64_t i = part * g->h.count / parts, rows = (part + 1) * g->h.count / parts - i;
      for (int64_t r = 0; r < rows; r++, p.i++) pixel[r] = grid_pixel(g, &p);
      for (int64_t c = 0, some; c < g->channels; c += some) {
        int64_t panel = c / NNK_PANEL * NNK_PANEL, width = nnk_min(NNK_PANEL, step - panel);
        const nn_real *b = weight + nnk_panel_offset(panel, depth) + c - panel;
        some = width == NNK_PANEL ? PRODUCT_BLOCKS * NNK_LANES : NNK_LANES;
        if (width == NNK_PANEL) band_products(m, from + i * ahead, line, g, b, NNK_PANEL, rows, PRODUCT_BLOCKS);
        else band_products(m, from + i * ahead, line, g, b, NNK_LANES, rows, 1);
        write_pixels(sink_parts, s, sums, step, pixel, m, PRODUCT_ROWS * NNK_LANES, rows, g->channels, c,
                     nnk_min(some, g->channels - c));
      }
    }
  }
}

/* One line of destinations and one line of taps: d [run x columns] += sum over destinations of the run * y, whose
 * blocks are y_step apart. */
NNK_INLINE void band_outer_run(nn_real *d, const nn_real *x, int64_t x_row, const nn_real *y, int64_t y_step,
                               int64_t count, int64_t run, int64_t columns) {
  int64_t parts = nnk_divide_up(run, OUTER_ROWS);
  for (int64_t k = 0; k < columns;) {
    int64_t left = columns - k;
    bool whole = left >= OUTER_BLOCKS * NNK_LANES;
    int valid = (int)nnk_min(NNK_LANES, left);
    for (int64_t part = 0, row = 0; part < parts; part++) {
      int64_t end = (part + 1) * run / parts;
      nn_real *to = d + row * columns + k;
      switch (end - row) {
#define BAND_OUTER(rows)                                                                                              \
  case rows:                                                                                                          \
    if (rows > OUTER_ROWS) break;                                                                                     \
    if (whole) outer_rows(to, columns, x + row, x_row, y, y_step, count, true, NNK_LANES, rows, OUTER_BLOCKS);        \
    else outer_rows(to, columns, x + row, x_row, y, y_step, count, true, valid, rows, 1);                             \
    break;
        BAND_OUTER(1)
        BAND_OUTER(2)
        BAND_OUTER(3)
        BAND_OUTER(4)
        BAND_OUTER(5)
        BAND_OUTER(6)
        BAND_OUTER(7)
        BAND_OUTER(8)
#undef BAND_OUTER
      }
      row = end;
    }
    k += whole ? OUTER_BLOCKS * NNK_LANES : valid;
    y += (whole ? OUTER_BLOCKS : 1) * y_step;
  }
}

static void band_outer(nn_real *d, const nn_real *band, int64_t line, const nnk_grid *g, const nn_real *y,
                       int64_t y_step, int64_t lines) {
  int64_t run = g->h.taps * g->source_channels, x_row = g->h.source_step * g->source_channels;
  for (int64_t n = 0; n < lines; n++, y += g->h.count * NNK_LANES)
    for (int64_t tap = 0; tap < g->v.taps; tap++)
      band_outer_run(d + tap * run * g->channels, band + (n * g->v.source_step + tap * g->v.offset_step) * line, x_row,
                     y, y_step, g->h.count, run, g->channels);
}
