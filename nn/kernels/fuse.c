/* fuse.c -- sources to sink, element by element.
 *
 * Rows are cut into pieces; sums are taken in float over short runs of rows, in double over a slice (at most 8, fixed by
 * shape), and added in the slices' order.
 */
#include <string.h>

#include "kernels/fuse.h"

enum { SLICES = 8, SLICE_ROWS = 256, RUN = 16, GRAIN = 32768, WIDTH = 256 };

typedef struct {
  const nnk_sink *sink;
  const nnk_source *a, *b;
  int64_t rows, channels, slices;
  double *sums;           /* [slices x 2 x channels] */
  nnk_outcome outcome;
} fusing;

/* v (+)= the source at row `row`, channels [c, c + n) */
NNK_CLONES
static void read_source(nn_real *restrict v, const nnk_source *s, int64_t at, int64_t c, int64_t n, bool add) {
  nn_real now[WIDTH];
  const nn_real *restrict x = s->x + at;
  if (!s->scale) {
    for (int64_t i = 0; i < n; i++) now[i] = x[i];
  } else if (!s->other) {
    for (int64_t i = 0; i < n; i++) now[i] = x[i] * s->scale[c + i] + s->shift[c + i];
  } else {
    const nn_real *restrict other = s->other + at;
    for (int64_t i = 0; i < n; i++)
      now[i] = x[i] * s->scale[c + i] + s->shift[c + i] + other[i] * s->other_scale[c + i];
  }
  if (s->relu)
    for (int64_t i = 0; i < n; i++) now[i] = now[i] < 0 ? 0 : now[i];
  if (add)
    for (int64_t i = 0; i < n; i++) v[i] += now[i];
  else
    for (int64_t i = 0; i < n; i++) v[i] = now[i];
}

static void gate_bits(nn_real *v, const uint16_t *bits, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (!(bits[i / 16] >> i % 16 & 1)) v[i] = 0;
}

static void sign_bits(uint16_t *bits, const nn_real *v, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    unsigned word = 0;
    for (int64_t l = 0; l < 16 && i + l < n; l++) word |= (unsigned)(v[i + l] > 0) << l;
    bits[i / 16] = (uint16_t)word;
  }
}

/* The sink's steps on channels [c, c + n) of a row; c is a multiple of 16. */
NNK_CLONES
static void write_sink(nn_real *restrict v, const nnk_sink *s, int64_t row, int64_t channels, int64_t c, int64_t n,
                       nn_real *restrict sum, nn_real *restrict product) {
  int64_t at = row * channels + c, word = row * nnk_signs(channels) + c / 16;
  if (s->bias)
    for (int64_t i = 0; i < n; i++) v[i] += s->bias[c + i];
  if (s->residual)
    for (int64_t i = 0; i < n; i++) v[i] += s->residual[at + i];
  if (s->relu)
    for (int64_t i = 0; i < n; i++) v[i] = v[i] < 0 ? 0 : v[i];
  if (s->gate) gate_bits(v, s->gate + word, n);
  if (s->z_scale)
    for (int64_t i = 0; i < n; i++) v[i] = s->z[at + i] * s->z_scale[c + i] + s->z_shift[c + i] > 0 ? v[i] : 0;
  if (s->signs) sign_bits(s->signs + word, v, n);
  if (s->y)
    for (int64_t i = 0; i < n; i++) s->y[at + i] = v[i];
  if (!s->sums) return;
  sum += c;
  product += c;
  const nn_real *centre = s->centre + c;
  if (s->z) {
    for (int64_t i = 0; i < n; i++) {
      sum[i] += v[i];
      product[i] += v[i] * (s->z[at + i] - centre[i]);
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      nn_real d = v[i] - centre[i];
      sum[i] += d;
      product[i] += d * d;
    }
  }
}

static void fuse_rows(const fusing *f, int64_t begin, int64_t end, nn_real *sum) {
  nn_real v[WIDTH];
  for (int64_t row = begin; row < end; row++) {
    for (int64_t c = 0; c < f->channels; c += WIDTH) {
      int64_t n = nnk_min(WIDTH, f->channels - c);
      read_source(v, f->a, row * f->channels + c, c, n, false);
      if (f->b) read_source(v, f->b, row * f->channels + c, c, n, true);
      write_sink(v, f->sink, row, f->channels, c, n, sum, sum + f->channels);
    }
  }
}

static void fuse_piece(void *context, int64_t begin, int64_t end) { fuse_rows(context, begin, end, NULL); }

static void fuse_slices(void *context, int64_t begin, int64_t end) {
  fusing *f = context;
  int64_t both = 2 * f->channels;
  nn_real *run = nnk_scratch(&f->outcome, both * (int64_t)sizeof *run);
  if (!run) return;
  for (int64_t slice = begin; slice < end; slice++) {
    double *sums = f->sums + slice * both;
    int64_t last = (slice + 1) * f->rows / f->slices;
    for (int64_t row = slice * f->rows / f->slices; row < last; row += RUN) {
      memset(run, 0, (size_t)both * sizeof *run);
      fuse_rows(f, row, nnk_min(row + RUN, last), run);
      for (int64_t c = 0; c < both; c++) sums[c] += (double)run[c];
    }
  }
  nn_memory_put(run);
}

int nnk_fuse(const nnk_sink *sink, const nnk_source *a, const nnk_source *b, int64_t rows, int64_t channels) {
  fusing f = { .sink = sink, .a = a, .b = b, .rows = rows, .channels = channels };
  if (!sink->sums) return nn_parallel_for(rows, nnk_max(1, GRAIN / nnk_max(1, channels)), fuse_piece, &f);
  int64_t both = 2 * channels;
  nnk_sink centred = *sink;
  nn_real *zeros = NULL;
  f.slices = nnk_max(1, nnk_min(SLICES, rows / SLICE_ROWS));
  f.sums = nn_memory_get_zeroed((size_t)(f.slices * both) * sizeof *f.sums);
  int status = f.sums ? NN_OK : NN_EMEMORY;
  if (status == NN_OK && !sink->centre) {
    centred.centre = zeros = nn_memory_get_zeroed((size_t)channels * sizeof *zeros);
    f.sink = &centred;
    if (!zeros) status = NN_EMEMORY;
  }
  if (status == NN_OK) status = nnk_run(&f.outcome, f.slices, 1, fuse_slices, &f);
  memset(sink->sums, 0, (size_t)both * sizeof *sink->sums);
  for (int64_t slice = 0; slice < f.slices && status == NN_OK; slice++)
    for (int64_t c = 0; c < both; c++) sink->sums[c] += f.sums[slice * both + c];
  nn_memory_put(f.sums);
  nn_memory_put(zeros);
  return status;
}
