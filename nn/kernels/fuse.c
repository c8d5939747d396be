/* fuse.c -- sources to sink, element by element: cut into pieces for the team.
 *
 * Sums are taken over slices (at most 8, fixed by shape), and added in the slices' order.
 */
#include "kernels/fuse.h"

#include <string.h>

#include "kernels/engine.h"

enum { SLICES = 8, SLICE_ROWS = 256, GRAIN = 16384 };

typedef struct {
  const nnk_engine *engine;
  const nnk_sink *sink;
  const nnk_source *a, *b;
  int64_t rows, channels, slices;
  double *sums;           /* [slices x 2 x channels] */
} fusing;

static void fuse_piece(void *context, int64_t begin, int64_t end) {
  const fusing *f = context;
  f->engine->fuse(f->sink, NULL, f->a, f->b, begin, end, f->channels);
}

static void fuse_slices(void *context, int64_t begin, int64_t end) {
  const fusing *f = context;
  for (int64_t slice = begin; slice < end; slice++)
    f->engine->fuse(f->sink, f->sums + slice * 2 * f->channels, f->a, f->b, slice * f->rows / f->slices,
                    (slice + 1) * f->rows / f->slices, f->channels);
}

int nnk_fuse(const nnk_sink *sink, const nnk_source *a, const nnk_source *b, int64_t rows, int64_t channels) {
  fusing f = { .engine = nnk_engine_chosen(), .sink = sink, .a = a, .b = b, .rows = rows, .channels = channels };
  if (!sink->sums) return nn_parallel_for(rows, nnk_max(1, GRAIN / nnk_max(1, channels)), fuse_piece, &f);
  int64_t both = 2 * channels;
  f.slices = nnk_max(1, nnk_min(SLICES, rows / SLICE_ROWS));
  f.sums = nn_memory_get_zeroed((size_t)(f.slices * both) * sizeof *f.sums);
  int status = f.sums ? nn_parallel_for(f.slices, 1, fuse_slices, &f) : NN_EMEMORY;
  memset(sink->sums, 0, (size_t)both * sizeof *sink->sums);
  for (int64_t slice = 0; slice < f.slices && status == NN_OK; slice++)
    for (int64_t c = 0; c < both; c++) sink->sums[c] += f.sums[slice * both + c];
  nn_memory_put(f.sums);
  return status;
}
