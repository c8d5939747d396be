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

enum { NNK_PANEL = 32 };

/* Where panel `columns/32` of panels of this depth begins. */
static inline int64_t nnk_panel_offset(int64_t column, int64_t depth) { return column * depth; }

typedef struct nnk_engine {
  /* m (+)= a b:  m [rows x columns] blocked, a [rows x depth] blocked, b [depth x columns] in panels. */
  void (*multiply)(nn_real *m, int64_t m_step, const nn_real *a, int64_t a_step, const nn_real *b, int64_t rows,
                   int64_t depth, int64_t columns, bool add);
  /* d[c][k] (+)= sum over t of x[t][c] y[t][k]:  x [rows x channels], y [rows x columns] blocked; d's rows are d_step
   * apart. Nothing is written beyond channels or columns, which may be anything. */
  void (*outer)(nn_real *d, int64_t d_step, const nn_real *x, int64_t x_step, const nn_real *y, int64_t y_step,
                int64_t rows, int64_t channels, int64_t columns, bool add);
} nnk_engine;

extern const nnk_engine nnk_engine_avx512, nnk_engine_avx2, nnk_engine_portable;

/* The engine of a level, which the processor must have; NULL when this build has none. */
const nnk_engine *nnk_engine_of(nn_level level);
/* That of nni_level(). */
const nnk_engine *nnk_engine_chosen(void);

#endif
