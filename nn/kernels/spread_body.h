/* spread_body.h -- convolution to few channels: source pixels were multiplied by the weights of all taps at once, and
 * destinations collect their share; part of an engine, after direct_body.h.
 *
 * With C destination channels, a product of gathered rows would fill C of sixteen columns. Here taps x C columns are
 * filled, as nnk_spread_column places them, and each destination adds up one run of C columns for each tap.
 */

/* Lines [j, j + lines) of an image collect from m [source pixels from line `begin` on x columns], blocked. */
static void collect_rows(const nnk_sink *s, nn_real *sums, const nn_real *m, int64_t m_step, const nnk_grid *g,
                         int64_t image, int64_t j, int64_t lines, int64_t begin) {
  const nnk_axis *v = &g->v, *h = &g->h;
  int64_t place[NNK_SPREAD_TAPS], pixel[WRITE_ROWS];
  nn_real out[WRITE_ROWS * NNK_LANES];
  uint16_t valid = (uint16_t)((1u << g->channels) - 1);
  int parts = fused_parts(s), filled = 0;
  for (int64_t tv = 0, tap = 0; tv < v->taps; tv++) {
    for (int64_t th = 0; th < h->taps; th++, tap++) {
      int64_t column = nnk_spread_column(g, tap), away = tv * v->offset_step * h->source_size + th * h->offset_step;
      place[tap] = column / NNK_LANES * m_step + column % NNK_LANES + away * NNK_LANES;
    }
  }
  for (grid_place p = { image, j, 0 }; p.j < j + lines; p.j++) {
    int64_t top = p.j + v->offset, first = nnk_max(0, nnk_divide_up(-top, v->offset_step));
    int64_t last = nnk_min(v->taps, nnk_divide_up(nnk_max(0, v->source_size - top), v->offset_step));
    for (p.i = 0; p.i < h->count; p.i++) {
      int64_t left = p.i + h->offset;
      int64_t from = ((top - begin) * h->source_size + left) * NNK_LANES;
      bool inside = left >= 0 && left + (h->taps - 1) * h->offset_step < h->source_size;
      lanes sum = lanes_zero();
      if (inside) {
        for (int64_t tap = first * h->taps; tap < last * h->taps; tap++)
          sum = lanes_add(sum, lanes_load(m + (from + place[tap])));
      } else {
        for (int64_t tap = first * h->taps; tap < last * h->taps; tap++)
          if (axis_look(h, p.i, tap % h->taps) >= 0) sum = lanes_add(sum, lanes_load(m + (from + place[tap])));
      }
      pixel[filled] = grid_pixel(g, &p);
      lanes_store(out + filled * NNK_LANES, lanes_keep(sum, valid));
      if (++filled < WRITE_ROWS) continue;
      write_pixels(parts, s, sums, NNK_LANES, pixel, out, 0, filled, g->channels, 0, g->channels);
      filled = 0;
    }
  }
  write_pixels(parts, s, sums, NNK_LANES, pixel, out, 0, filled, g->channels, 0, g->channels);
}
