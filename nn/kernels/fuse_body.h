/* fuse_body.h -- sources to sink, element by element (fuse.c); part of an engine. */

NNK_INLINE void fuse_block(const fused_kind a_kind, const fused_kind b_kind, const bool two, const nnk_sink *s,
                           nn_real *sums, int64_t step, const nnk_source *a, const nnk_source *b, int64_t pixel,
                           int64_t channels, int64_t c, const int count) {
  int64_t at = pixel * channels + c;
  fused_in in = fused_begin(a_kind, a, c, count);
  lanes v = fused_read(a_kind, &in, a, at, count);
  if (two) {
    in = fused_begin(b_kind, b, c, count);
    v = lanes_add(v, fused_read(b_kind, &in, b, at, count));
  }
  fused_write(s, sums, step, pixel, channels, c, v, count);
}

NNK_INLINE void fuse_pixels(const fused_kind a_kind, const fused_kind b_kind, const bool two, const nnk_sink *s,
                            nn_real *sums, int64_t step, const nnk_source *a, const nnk_source *b, int64_t begin,
                            int64_t end, int64_t channels) {
  int64_t whole = channels / NNK_LANES * NNK_LANES;
  for (int64_t pixel = begin; pixel < end; pixel++) {
    for (int64_t c = 0; c < whole; c += NNK_LANES)
      fuse_block(a_kind, b_kind, two, s, sums, step, a, b, pixel, channels, c, NNK_LANES);
    if (whole < channels)
      fuse_block(a_kind, b_kind, two, s, sums, step, a, b, pixel, channels, whole, (int)(channels - whole));
  }
}

/* See engine.h. The loops are compiled for the sources that residual blocks have; a kind that does more than a source
 * asks for does the same. */
static void fuse(const nnk_sink *s, nn_real *sums, int64_t step, const nnk_source *a, const nnk_source *b,
                 int64_t begin, int64_t end, int64_t channels) {
  fused_kind a_kind = fused_kind_of(a), b_kind = b ? fused_kind_of(b) : FUSED_NOTHING;
#define FUSE(first, second, two) fuse_pixels(first, second, two, s, sums, step, a, b, begin, end, channels)
  if (!b && a_kind == FUSED_NOTHING) FUSE(FUSED_NOTHING, FUSED_NOTHING, false);
  else if (!b && a_kind == FUSED_SCALE) FUSE(FUSED_SCALE, FUSED_NOTHING, false);
  else if (!b) FUSE(FUSED_SUM, FUSED_NOTHING, false);
  else if (a_kind == FUSED_SUM || b_kind == FUSED_SUM) FUSE(a_kind, b_kind, true);
  else if (b_kind == FUSED_NOTHING) FUSE(FUSED_SCALE, FUSED_NOTHING, true);
  else FUSE(FUSED_SCALE, FUSED_SCALE, true);
#undef FUSE
}
