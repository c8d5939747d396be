/* fuse_body.h -- sources to sink, element by element (fuse.c); part of an engine.
 *
 * A few rows at a time, block by block of channels: vectors and sums of a block then stay in registers. What the sink
 * does is decided as it runs, memory is slower.
 */

enum { FUSE_ROWS = 16 };

NNK_INLINE void fuse_block(const fused_kind a_kind, const fused_kind b_kind, const bool two, const nnk_sink *s,
                           int parts, double *sums, const nnk_source *a, const nnk_source *b, int64_t begin,
                           int64_t end, int64_t channels, int64_t c, const int count) {
  fused_in a_in = fused_begin(a_kind, a, c, count), b_in = a_in;
  fused_out out = fused_open(parts, s, c, count);
  if (two) b_in = fused_begin(b_kind, b, c, count);
  for (int64_t pixel = begin; pixel < end; pixel++) {
    int64_t at = pixel * channels + c;
    lanes v = fused_read(a_kind, &a_in, a, at, count);
    if (two) v = lanes_add(v, fused_read(b_kind, &b_in, b, at, count));
    fused_put(parts, &out, s, pixel, channels, c, v, count);
  }
  fused_close(parts, &out, sums, channels, c, count);
}

NNK_INLINE void fuse_rows(const fused_kind a_kind, const fused_kind b_kind, const bool two, const nnk_sink *s,
                          double *sums, const nnk_source *a, const nnk_source *b, int64_t begin, int64_t end,
                          int64_t channels) {
  int64_t whole = channels / NNK_LANES * NNK_LANES;
  int parts = fused_parts(s);
  for (; begin < end; begin += FUSE_ROWS) {
    int64_t last = nnk_min(end, begin + FUSE_ROWS);
    for (int64_t c = 0; c < whole; c += NNK_LANES)
      fuse_block(a_kind, b_kind, two, s, parts, sums, a, b, begin, last, channels, c, NNK_LANES);
    if (whole < channels)
      fuse_block(a_kind, b_kind, two, s, parts, sums, a, b, begin, last, channels, whole, (int)(channels - whole));
  }
}

/* See engine.h. A kind that does more than a source asks for does the same. */
static void fuse(const nnk_sink *s, double *sums, const nnk_source *a, const nnk_source *b, int64_t begin, int64_t end,
                 int64_t channels) {
  fused_kind a_kind = fused_kind_of(a), b_kind = b ? fused_kind_of(b) : FUSED_NOTHING;
  if (!b && a_kind == FUSED_NOTHING)
    fuse_rows(FUSED_NOTHING, FUSED_NOTHING, false, s, sums, a, b, begin, end, channels);
  else if (!b && a_kind == FUSED_SCALE)
    fuse_rows(FUSED_SCALE, FUSED_NOTHING, false, s, sums, a, b, begin, end, channels);
  else if (!b)
    fuse_rows(FUSED_SUM, FUSED_NOTHING, false, s, sums, a, b, begin, end, channels);
  else if (a_kind == FUSED_SUM || b_kind == FUSED_SUM)
    fuse_rows(a_kind, b_kind, true, s, sums, a, b, begin, end, channels);
  else if (b_kind == FUSED_NOTHING)
    fuse_rows(FUSED_SCALE, FUSED_NOTHING, true, s, sums, a, b, begin, end, channels);
  else
    fuse_rows(FUSED_SCALE, FUSED_SCALE, true, s, sums, a, b, begin, end, channels);
}
