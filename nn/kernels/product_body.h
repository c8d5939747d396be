/* product_body.h -- matrix products over blocks, the innermost loops of everything; part of an engine (engine.h).
 *
 * Both keep a rectangle of sums in registers, the including file says of what size:
 *   PRODUCT_ROWS x PRODUCT_BLOCKS   rows, and blocks of sixteen columns, of `multiply`
 *   OUTER_ROWS x OUTER_BLOCKS       the same for `outer`
 * A step of depth loads one row of each block of b and broadcasts one element of a for every row, so the more rows the
 * fewer loads for each multiply-add. Fewer rows than that are shared out evenly (17 as 9 + 8, not 14 + 3), and each
 * count has straight code of its own: the sums of a handful of rows could not hide the latency of the adder.
 */

/* sums[r][n] += sum over c < depth of a[r * a_row + c] * b[c * b_row + 16 n ...]
 * `rows` and `blocks` are constants where this is inlined. */
NNK_INLINE void product_add(lanes sums[][PRODUCT_BLOCKS], const nn_real *a, int64_t a_row, const nn_real *b,
                            int64_t b_row, const int depth, const int rows, const int blocks) {
  _Pragma("GCC unroll 4") for (int c = 0; c < depth; c++) {
    lanes right[PRODUCT_BLOCKS];
    LANES_UNROLL for (int n = 0; n < blocks; n++) right[n] = lanes_load(b + c * b_row + n * NNK_LANES);
    LANES_UNROLL for (int r = 0; r < rows; r++) {
      lanes left = lanes_of(a[r * a_row + c]);
      LANES_UNROLL for (int n = 0; n < blocks; n++) sums[r][n] = lanes_fma(left, right[n], sums[r][n]);
    }
  }
}

/* m [rows x 16 blocks] (+)= a b over the whole depth given; b's rows are b_row apart. What is there already is added
 * last: sums of parts of the depth round less than one long sum. */
NNK_INLINE void multiply_rows(nn_real *m, int64_t m_step, const nn_real *a, int64_t a_step, const nn_real *b,
                              int64_t b_row, int64_t depth, bool add, const int rows, const int blocks) {
  lanes sums[PRODUCT_ROWS][PRODUCT_BLOCKS];
  LANES_UNROLL for (int r = 0; r < rows; r++)
    LANES_UNROLL for (int n = 0; n < blocks; n++) sums[r][n] = lanes_zero();
  for (; depth >= NNK_LANES; depth -= NNK_LANES, a += a_step, b += NNK_LANES * b_row)
    product_add(sums, a, NNK_LANES, b, b_row, NNK_LANES, rows, blocks);
  product_add(sums, a, NNK_LANES, b, b_row, (int)depth, rows, blocks);
  LANES_UNROLL for (int r = 0; r < rows; r++)
    LANES_UNROLL for (int n = 0; n < blocks; n++) {
      nn_real *to = m + n * m_step + r * NNK_LANES;
      lanes_store(to, add ? lanes_add(lanes_load(to), sums[r][n]) : sums[r][n]);
    }
}

NNK_INLINE void multiply_blocks(nn_real *m, int64_t m_step, const nn_real *a, int64_t a_step, const nn_real *b,
                                int64_t b_row, int64_t rows, int64_t depth, bool add, const int blocks) {
  int64_t parts = nnk_divide_up(rows, PRODUCT_ROWS);
  for (int64_t part = 0, row = 0; part < parts; part++) {
    int64_t end = (part + 1) * rows / parts;
    nn_real *to = m + row * NNK_LANES;
    const nn_real *from = a + row * NNK_LANES;
    switch (end - row) {
#define MULTIPLY_ROWS(count)                                                                                 \
  case count:                                                                                                \
    if (count <= PRODUCT_ROWS) multiply_rows(to, m_step, from, a_step, b, b_row, depth, add, count, blocks); \
    break;
      MULTIPLY_ROWS(1)
      MULTIPLY_ROWS(2)
      MULTIPLY_ROWS(3)
      MULTIPLY_ROWS(4)
      MULTIPLY_ROWS(5)
      MULTIPLY_ROWS(6)
      MULTIPLY_ROWS(7)
      MULTIPLY_ROWS(8)
      MULTIPLY_ROWS(9)
      MULTIPLY_ROWS(10)
      MULTIPLY_ROWS(11)
      MULTIPLY_ROWS(12)
      MULTIPLY_ROWS(13)
      MULTIPLY_ROWS(14)
#undef MULTIPLY_ROWS
    }
    row = end;
  }
}

/* Depth is cut so that a panel's part (16 KB) stays in the first-level cache while all rows pass by. */
static void multiply(nn_real *m, int64_t m_step, const nn_real *a, int64_t a_step, const nn_real *b, int64_t rows,
                     int64_t depth, int64_t columns, bool add) {
  int64_t parts = nnk_divide_up(depth, 128), step = nnk_divide_up(nnk_divide_up(depth, parts), NNK_LANES) * NNK_LANES;
  for (int64_t begin = 0; begin < depth; begin += step) {
    int64_t deep = nnk_min(step, depth - begin);
    const nn_real *from = a + begin / NNK_LANES * a_step;
    bool more = add || begin > 0;
    for (int64_t panel = 0; panel < columns; panel += NNK_PANEL) {
      int64_t width = nnk_min(NNK_PANEL, columns - panel);
      const nn_real *right = b + nnk_panel_offset(panel, depth) + begin * width;
      nn_real *to = m + panel / NNK_LANES * m_step;
      if (PRODUCT_BLOCKS == 2 && width == NNK_PANEL) {
        multiply_blocks(to, m_step, from, a_step, right, width, rows, deep, more, PRODUCT_BLOCKS);
      } else {
        for (int64_t n = 0; n < width; n += NNK_LANES, to += m_step, right += NNK_LANES)
          multiply_blocks(to, m_step, from, a_step, right, width, rows, deep, more, 1);
      }
    }
  }
}

/* d[r][...] (+)= sum over t < count of x[x_row t + r] * y[16 t ...], for OUTER_BLOCKS blocks of y or one; of the last
 * only `valid` columns are written. d is fetched while the sums are made. */
NNK_INLINE void outer_rows(nn_real *d, int64_t d_step, const nn_real *x, const int64_t x_row, const nn_real *y,
                           int64_t y_step, int64_t count, bool add, int valid, const int rows, const int blocks) {
  lanes sums[OUTER_ROWS][OUTER_BLOCKS];
  LANES_UNROLL for (int r = 0; r < rows; r++)
    LANES_UNROLL for (int n = 0; n < blocks; n++) {
      sums[r][n] = lanes_zero();
      if (add) __builtin_prefetch(d + r * d_step + n * NNK_LANES, 1);
    }
  _Pragma("GCC unroll 4") for (int64_t t = 0; t < count; t++) {
    lanes right[OUTER_BLOCKS];
    LANES_UNROLL for (int n = 0; n < blocks; n++) right[n] = lanes_load(y + n * y_step + t * NNK_LANES);
    LANES_UNROLL for (int r = 0; r < rows; r++) {
      lanes left = lanes_of(x[t * x_row + r]);
      LANES_UNROLL for (int n = 0; n < blocks; n++) sums[r][n] = lanes_fma(left, right[n], sums[r][n]);
    }
  }
  LANES_UNROLL for (int r = 0; r < rows; r++)
    LANES_UNROLL for (int n = 0; n < blocks; n++) {
      nn_real *to = d + r * d_step + n * NNK_LANES;
      int some = n == blocks - 1 ? valid : NNK_LANES;
      lanes sum = sums[r][n];
      if (add) sum = lanes_add(sum, lanes_load_some(to, some));
      lanes_store_some(to, sum, some);
    }
}

NNK_INLINE void outer_blocks(nn_real *d, int64_t d_step, const nn_real *x, const nn_real *y, int64_t y_step,
                             int64_t count, int64_t channels, bool add, int valid, const int blocks) {
  int64_t parts = nnk_divide_up(channels, OUTER_ROWS);
  for (int64_t part = 0, row = 0; part < parts; part++) {
    int64_t end = (part + 1) * channels / parts;
    nn_real *to = d + row * d_step;
    switch (end - row) {
#define OUTER_CASE(rows)                                                                                         \
  case rows:                                                                                                     \
    if (rows <= OUTER_ROWS) outer_rows(to, d_step, x + row, NNK_LANES, y, y_step, count, add, valid, rows, blocks); \
    break;
      OUTER_CASE(1)
      OUTER_CASE(2)
      OUTER_CASE(3)
      OUTER_CASE(4)
      OUTER_CASE(5)
      OUTER_CASE(6)
      OUTER_CASE(7)
      OUTER_CASE(8)
#undef OUTER_CASE
    }
    row = end;
  }
}

/* Columns outside, channels inside: two blocks of y stay in the first-level cache while x passes by. */
static void outer(nn_real *d, int64_t d_step, const nn_real *x, int64_t x_step, const nn_real *y, int64_t y_step,
                  int64_t rows, int64_t channels, int64_t columns, bool add) {
  int64_t wide = OUTER_BLOCKS * NNK_LANES;
  for (int64_t k = 0; k < columns;) {
    int64_t left = columns - k;
    bool whole = left >= wide;
    int valid = (int)nnk_min(left, NNK_LANES);
    for (int64_t c = 0; c < channels; c += NNK_LANES) {
      nn_real *to = d + c * d_step + k;
      const nn_real *from = x + c / NNK_LANES * x_step;
      int64_t some = nnk_min(NNK_LANES, channels - c);
      if (whole) outer_blocks(to, d_step, from, y, y_step, rows, some, add, NNK_LANES, OUTER_BLOCKS);
      else outer_blocks(to, d_step, from, y, y_step, rows, some, add, valid, 1);
    }
    k += whole ? wide : valid;
    y += (whole ? OUTER_BLOCKS : 1) * y_step;
  }
}
