/* engine.h -- the innermost loops of products and convolutions, once for each level of vector unit.
 *
 * An engine is a table of functions over blocks. They run in the calling thread, take no memory and cannot fail; what
 * is cut into pieces, threaded and allocated is decided by level-independent code that calls them (winograd.c,
 * direct.c). Each engine_*.c names its registers (lanes.h) and compiles the same bodies (*_body.h) for them.
 *
 * Layouts. Channels come in blocks of sixteen. A matrix of rows x channels is `blocked`:
 *   [channels/16][rows][16]     blocks lie `step` apart, rows 16
 * A matrix of weights [depth x columns] comes in `panels` of 32 columns, each contiguous; the last may have 16:
 *   [columns/32][depth][32]     columns a multiple of 16, depth anything
 */
#ifndef NN_KERNELS_ENGINE_H
#define NN_KERNELS_ENGINE_H

#include "kernels/conv.h"
#include "kernels/direct.h"
#include "kernels/strided.h"

enum { NNK_PANEL = 32 };

/* Channels rounded up to blocks of sixteen. */
static inline int64_t nnk_whole_blocks(int64_t channels) { return nnk_divide_up(channels, NNK_LANES) * NNK_LANES; }

/* Elements between matrices that are used together: whole cache lines, an odd number of them, so that equal places in
 * them do not compete for a few sets of the caches. */
static inline int64_t nnk_spaced(int64_t elements) {
  int64_t line = 64 / (int64_t)sizeof(nn_real);
  return (nnk_divide_up(elements, line) | 1) * line;
}

/* Where panel `columns/32` of panels of this depth begins. */
static inline int64_t nnk_panel_offset(int64_t column, int64_t depth) { return column * depth; }

/* Images cut into tiles of 4 x 4 pixels, or 8 x 8 where a stride of 2 lies between, row by row; tile 0 begins `before`
 * pixels above and left of an image. */
typedef struct {
  int64_t height, width, channels;
  int64_t down, across;                /* tiles of one image */
  int64_t before;
} nnk_tiles;

typedef struct nnk_engine {
  /* m (+)= a b:  m [rows x columns] blocked, a [rows x depth] blocked, b [depth x columns] in panels. */
  void (*multiply)(nn_real *m, int64_t m_step, const nn_real *a, int64_t a_step, const nn_real *b, int64_t rows,
                   int64_t depth, int64_t columns, bool add);
  /* d[c][k] (+)= sum over t of x[t][c] y[t][k]:  x [rows x channels], y [rows x columns] blocked; d's rows are d_step
   * apart. Nothing is written beyond channels or columns, which may be anything. */
  void (*outer)(nn_real *d, int64_t d_step, const nn_real *x, int64_t x_step, const nn_real *y, int64_t y_step,
                int64_t rows, int64_t channels, int64_t columns, bool add);

  /* a [rows x taps * channels], blocked = what taps [tap, tap + taps) of the grid's rows [row, row + rows) see of
   * channels [channel, channel + channels), taps outermost. Channels that are no multiple of 16 want whole lines of
   * taps. */
  void (*read_rows)(nn_real *a, int64_t a_step, const nnk_source *s, const nnk_grid *g, int64_t row, int64_t rows,
                    int64_t tap, int64_t taps, int64_t channel, int64_t channels);
  /* The sums m [rows x channels], blocked, of those rows go to the sink's channels from `channel` on, a multiple of 16.
   * What the sink sums is added to sums [2 x step]. */
  void (*write_rows)(const nnk_sink *s, nn_real *sums, int64_t step, const nn_real *m, int64_t m_step,
                     const nnk_grid *g, int64_t row, int64_t rows, int64_t channel, int64_t channels);
  /* For few channels, from a band of source lines, `line` elements apart (band_body.h). The source's vectors repeat for
   * every pixel of a line. */
  void (*read_band)(nn_real *band, int64_t line, const nnk_source *s, const nnk_grid *g, int64_t image, int64_t j,
                    int64_t lines);
  /* Destination lines [j, j + lines) of the image whose band begins with line j: multiply by panels, and write. */
  void (*band_rows)(const nnk_sink *s, nn_real *sums, int64_t step, const nn_real *band, int64_t line,
                    const nnk_grid *g, const nn_real *weight, int64_t depth, int64_t image, int64_t j, int64_t lines);
  /* d [taps x source channels x channels] += sum over those lines of what their taps see * y [pixels x channels],
   * blocked */
  void (*band_outer)(nn_real *d, const nn_real *band, int64_t line, const nnk_grid *g, const nn_real *y,
                     int64_t y_step, int64_t lines);

  /* To few channels (spread_body.h): destination lines [j, j + lines) of an image collect from m [source pixels from
   * line `begin` on x columns], blocked, what source pixels give under each tap. */
  void (*collect_rows)(const nnk_sink *s, nn_real *sums, const nn_real *m, int64_t m_step, const nnk_grid *g,
                       int64_t image, int64_t j, int64_t lines, int64_t begin);

  /* Read, multiply by weight [taps x step] channel by channel, and write. */
  void (*channel_rows)(const nnk_sink *s, nn_real *sums, int64_t step, const nnk_source *source, const nnk_grid *g,
                       const nn_real *weight, int64_t row, int64_t rows);
  /* d [taps x channels] += sum over those rows of what their taps see * dy [the grid's rows x channels] */
  void (*channel_outer)(nn_real *d, const nnk_source *dy, const nnk_source *x, const nnk_grid *g, int64_t row,
                        int64_t rows);

  /* Rows [begin, end) of rows x channels from one source, or the sum of two, to a sink (fuse.c). What it sums is added
   * to sums [2 x channels]. */
  void (*fuse)(const nnk_sink *s, double *sums, const nnk_source *a, const nnk_source *b, int64_t begin, int64_t end,
               int64_t channels);

  /* Winograd's convolution (winograd.c). Matrices of tiles x channels, blocked, one for each of 36 positions, which lie
   * `position` apart; tiles [begin, end) of the images, of which the first is row 0 of the matrix. */

  /* v = what a source holds under each tile, transformed: 6 x 6 pixels of data, or 4 x 4 of the gradient of results. */
  void (*winograd_spread_data)(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g, const nnk_source *s,
                               int64_t begin, int64_t end);
  void (*winograd_spread_gradient)(nn_real *v, int64_t v_position, int64_t v_step, const nnk_tiles *g,
                                   const nnk_source *s, int64_t begin, int64_t end);
  /* m, transformed back, to a sink: channels [first, last), first a multiple of 16. Adds to sums [2 x channels]. */
  void (*winograd_collect)(const nnk_sink *s, double *sums, const nnk_tiles *g, const nn_real *m, int64_t m_position,
                           int64_t m_step, int64_t begin, int64_t end, int64_t first, int64_t last);
  /* u = transformed weights, in panels: rows of depth [begin, end) of the panel that begins with column `panel`.
   * Forward, depth is the layer's input channels; backward, its output channels. */
  void (*winograd_weights)(nn_real *u, int64_t u_position, const nnk_conv *s, bool backward, const nn_real *weight,
                           const nn_real *scale, int64_t panel, int64_t begin, int64_t end, bool stream);
  /* dweight += d [channels x columns] transformed back, channels [begin, end), columns [left, right). d begins there;
   * its rows are d_step apart; its slices, d_slice apart, are summed. */
  void (*winograd_weights_back)(nn_real *dweight, const nnk_conv *s, const nn_real *d, int64_t d_position,
                                int64_t d_step, int64_t d_slice, int64_t slices, int64_t begin, int64_t end,
                                int64_t left, int64_t right);

  /* Convolutions of stride 2 (strided.c), in matrices of tiles x channels as strided.h says. */

  /* v's tiles from `row` on = what a source holds under tiles [begin, end), transformed. */
  void (*strided_spread)(nnk_strided_size size, nn_real *v, const nnk_strided_matrices *m, int64_t row,
                         const nnk_tiles *g, const nnk_source *s, int64_t begin, int64_t end);
  /* m, transformed back, to a sink: its tiles, from `begin` on, and its channels, those of the sink from `first` to
   * `last`. Tiles are 4 x 4 pixels, backward 8 x 8. Adds to sums [2 x channels]. */
  void (*strided_collect)(bool backward, const nnk_sink *s, double *sums, const nnk_tiles *g, const nn_real *m,
                          const nnk_strided_matrices *shape, int64_t begin, int64_t first, int64_t last);
  /* As winograd_weights. */
  void (*strided_weights)(nn_real *u, int64_t u_position, const nnk_conv *s, bool backward, const nn_real *weight,
                          const nn_real *scale, int64_t panel, int64_t begin, int64_t end, bool stream);
  /* dweight += d [channels x columns] transformed back, for the taps of matrices from `matrix` on: 0, 25, 30 or 35.
   * Otherwise as winograd_weights_back. */
  void (*strided_weights_back)(nn_real *dweight, const nnk_conv *s, const nn_real *d, int64_t d_position,
                               int64_t d_step, int64_t matrix, int64_t begin, int64_t end, int64_t left,
                               int64_t right);
} nnk_engine;

extern const nnk_engine nnk_engine_avx512, nnk_engine_avx2, nnk_engine_portable;

/* The engine of a level, which the processor must have; NULL when this build has none. */
const nnk_engine *nnk_engine_of(nn_level level);
/* That of nni_level(). */
const nnk_engine *nnk_engine_chosen(void);

#endif
