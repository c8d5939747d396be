/* norm.c -- sums over rows, and normalisation by channel.
 *
 * Sums are taken in double over at most 8 slices of the rows, fixed by shape, and added in their order: with float data
 * the error of a mean or variance is that of the data, also when the mean is far larger than the deviation.
 */
#include <string.h>

#include "kernels/norm.h"

enum { SLICES = 8, SLICE_ROWS = 256, GRAIN = 32768 };

/* What is summed for each channel: one or two quantities. */
typedef enum { SUM, DEVIATION, PRODUCT } quantity;

typedef struct {
  double *sums;  /* [slices x 2 x channels] */
  const nn_real *x, *dy;
  const double *centre;
  const nn_real *mean;
  int64_t rows, channels, slices;
  quantity what;
} summing;

/* a += sum of x */
NNK_CLONES
static void add_rows(double *restrict a, const nn_real *restrict x, int64_t rows, int64_t channels) {
  for (; rows > 0; rows--, x += channels)
    for (int64_t c = 0; c < channels; c++) a[c] += (double)x[c];
}

/* a += sum of x - centre, b += sum of (x - centre)^2 */
NNK_CLONES
static void add_deviations(double *restrict a, double *restrict b, const nn_real *restrict x,
                           const double *restrict centre, int64_t rows, int64_t channels) {
  for (; rows > 0; rows--, x += channels) {
    for (int64_t c = 0; c < channels; c++) {
      double d = (double)x[c] - centre[c];
      a[c] += d;
      b[c] += d * d;
    }
  }
}

/* a += sum of dy, b += sum of dy * (x - mean) */
NNK_CLONES
static void add_products(double *restrict a, double *restrict b, const nn_real *restrict dy, const nn_real *restrict x,
                         const nn_real *restrict mean, int64_t rows, int64_t channels) {
  for (; rows > 0; rows--, dy += channels, x += channels) {
    for (int64_t c = 0; c < channels; c++) {
      a[c] += (double)dy[c];
      b[c] += (double)(dy[c] * (x[c] - mean[c]));
    }
  }
}

static void sum_slices(void *context, int64_t begin, int64_t end) {
  const summing *s = context;
  for (int64_t slice = begin; slice < end; slice++) {
    double *a = s->sums + slice * 2 * s->channels, *b = a + s->channels;
    int64_t first = slice * s->rows / s->slices, rows = (slice + 1) * s->rows / s->slices - first;
    const nn_real *x = s->x + first * s->channels;
    switch (s->what) {
      case SUM: add_rows(a, x, rows, s->channels); break;
      case DEVIATION: add_deviations(a, b, x, s->centre, rows, s->channels); break;
      case PRODUCT: add_products(a, b, s->dy + first * s->channels, x, s->mean, rows, s->channels);
    }
  }
}

/* Leaves both totals in sums[0 .. 2 channels). */
static int sum_all(summing *s) {
  s->slices = nnk_max(1, nnk_min(SLICES, s->rows / SLICE_ROWS));
  s->sums = nn_memory_get_zeroed((size_t)(s->slices * 2 * s->channels) * sizeof *s->sums);
  if (!s->sums) return NN_EMEMORY;
  int status = nn_parallel_for(s->slices, 1, sum_slices, s);
  for (int64_t slice = 1; slice < s->slices; slice++)
    for (int64_t c = 0; c < 2 * s->channels; c++) s->sums[c] += s->sums[slice * 2 * s->channels + c];
  return status;
}

int nnk_sum_rows(nn_real *sum, const nn_real *x, int64_t rows, int64_t channels) {
  summing s = { .x = x, .rows = rows, .channels = channels, .what = SUM };
  int status = sum_all(&s);
  for (int64_t c = 0; c < channels && status == NN_OK; c++) sum[c] += (nn_real)s.sums[c];
  nn_memory_put(s.sums);
  return status;
}

int nnk_channel_moments(double *mean, double *variance, const nn_real *x, int64_t rows, int64_t channels) {
  /* Deviations from the first row: sums of squares then stay near the variance. */
  for (int64_t c = 0; c < channels; c++) mean[c] = (double)x[c];
  summing s = { .x = x, .centre = mean, .rows = rows, .channels = channels, .what = DEVIATION };
  int status = sum_all(&s);
  for (int64_t c = 0; c < channels && status == NN_OK; c++) {
    double shift = s.sums[c] / (double)rows;
    double v = s.sums[channels + c] / (double)rows - shift * shift;
    mean[c] += shift;
    variance[c] = v > 0 || v != v ? v : 0;  /* rounding may leave a tiny negative; NaN stays */
  }
  nn_memory_put(s.sums);
  return status;
}

int nnk_channel_products(double *sum_dy, double *sum_dyx, const nn_real *dy, const nn_real *x, const nn_real *mean,
                         int64_t rows, int64_t channels) {
  summing s = { .x = x, .dy = dy, .mean = mean, .rows = rows, .channels = channels, .what = PRODUCT };
  int status = sum_all(&s);
  if (status == NN_OK) {
    memcpy(sum_dy, s.sums, (size_t)channels * sizeof *sum_dy);
    memcpy(sum_dyx, s.sums + channels, (size_t)channels * sizeof *sum_dyx);
  }
  nn_memory_put(s.sums);
  return status;
}

typedef struct {
  nn_real *out;
  const nn_real *dy, *x, *mean, *a, *b, *c;
  int64_t channels;
} mapping;

NNK_CLONES
static void map_rows(nn_real *restrict y, const nn_real *restrict x, const nn_real *restrict mean,
                     const nn_real *restrict scale, const nn_real *restrict shift, int64_t rows, int64_t channels) {
  for (; rows > 0; rows--, y += channels, x += channels)
    for (int64_t c = 0; c < channels; c++) y[c] = (x[c] - mean[c]) * scale[c] + shift[c];
}

static void affine_rows(void *context, int64_t begin, int64_t end) {
  const mapping *m = context;
  int64_t at = begin * m->channels;
  map_rows(m->out + at, m->x + at, m->mean, m->a, m->b, end - begin, m->channels);
}

int nnk_channel_affine(nn_real *y, const nn_real *x, const nn_real *mean, const nn_real *scale, const nn_real *shift,
                       int64_t rows, int64_t channels) {
  mapping m = { .out = y, .x = x, .mean = mean, .a = scale, .b = shift, .channels = channels };
  return nn_parallel_for(rows, nnk_max(1, GRAIN / nnk_max(1, channels)), affine_rows, &m);
}

NNK_CLONES
static void map_grad_rows(nn_real *restrict dx, const nn_real *restrict dy, const nn_real *restrict x,
                          const nn_real *restrict mean, const nn_real *restrict a, const nn_real *restrict b,
                          const nn_real *restrict c, int64_t rows, int64_t channels) {
  for (; rows > 0; rows--, dx += channels, dy += channels, x += channels)
    for (int64_t i = 0; i < channels; i++) dx[i] += dy[i] * a[i] + ((x[i] - mean[i]) * b[i] + c[i]);
}

static void affine_grad_rows(void *context, int64_t begin, int64_t end) {
  const mapping *m = context;
  int64_t at = begin * m->channels;
  map_grad_rows(m->out + at, m->dy + at, m->x + at, m->mean, m->a, m->b, m->c, end - begin, m->channels);
}

int nnk_channel_affine_grad(nn_real *dx, const nn_real *dy, const nn_real *x, const nn_real *mean, const nn_real *a,
                            const nn_real *b, const nn_real *c, int64_t rows, int64_t channels) {
  mapping m = { .out = dx, .dy = dy, .x = x, .mean = mean, .a = a, .b = b, .c = c, .channels = channels };
  return nn_parallel_for(rows, nnk_max(1, GRAIN / nnk_max(1, channels)), affine_grad_rows, &m);
}
