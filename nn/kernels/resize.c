/* resize.c -- bilinear resizing.
 *
 * Along each side a place of y lies between two neighbours of x, low and high:
 *   y = (1 - share) x[low] + share x[high]
 * With half-pixel centres place i of y is at (i + 0.5) * x_size / y_size - 0.5, not below 0, as in torch's interpolate
 * without antialiasing; with align_corners it is at i (x_size - 1) / (y_size - 1).
 *
 * Backward gathers: a row of dx collects from the rows of dy that lie next to it, so no two pieces write one element.
 */
#include "kernels/resize.h"

typedef struct {
  int32_t low, high;
  nn_real share;  /* of high */
} neighbour;

static void place_neighbours(neighbour *at, int64_t x_size, int64_t y_size, bool align_corners) {
  double step = align_corners ? (y_size > 1 ? (double)(x_size - 1) / (double)(y_size - 1) : 0)
                              : (double)x_size / (double)y_size;
  for (int64_t i = 0; i < y_size; i++) {
    double place = align_corners ? (double)i * step : ((double)i + 0.5) * step - 0.5;
    if (place < 0) place = 0;
    int64_t low = nnk_min((int64_t)place, x_size - 1);
    at[i] = (neighbour){ (int32_t)low, (int32_t)nnk_min(low + 1, x_size - 1), (nn_real)(place - (double)low) };
  }
}

typedef struct {
  const nnk_resize_shape *s;
  const neighbour *down, *across;  /* [y_height], [y_width] */
  nn_real *out;
  const nn_real *in;
} job;

/* Rows of y. */
NNK_CLONES static void resize_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  const nnk_resize_shape *s = j->s;
  int64_t channels = s->channels, pitch = (s->x_pitch ? s->x_pitch : s->x_width) * channels;
  for (int64_t row = begin; row < end; row++) {
    neighbour v = j->down[row % s->y_height];
    const nn_real *image = j->in + row / s->y_height * s->x_height * pitch;
    const nn_real *upper = image + v.low * pitch, *lower = image + v.high * pitch;
    nn_real *restrict y = j->out + row * s->y_width * channels;
    for (int64_t i = 0; i < s->y_width; i++, y += channels) {
      neighbour h = j->across[i];
      const nn_real *restrict a = upper + h.low * channels, *restrict b = upper + h.high * channels;
      const nn_real *restrict c = lower + h.low * channels, *restrict d = lower + h.high * channels;
      for (int64_t k = 0; k < channels; k++) {
        nn_real top = (1 - h.share) * a[k] + h.share * b[k], bottom = (1 - h.share) * c[k] + h.share * d[k];
        y[k] = (1 - v.share) * top + v.share * bottom;
      }
    }
  }
}

/* Rows of dx. */
NNK_CLONES static void resize_grad_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  const nnk_resize_shape *s = j->s;
  int64_t channels = s->channels;
  for (int64_t row = begin; row < end; row++) {
    int64_t place = row % s->x_height;
    const nn_real *dy = j->in + row / s->x_height * s->y_height * s->y_width * channels;
    nn_real *dx = j->out + row * s->x_width * channels;
    for (int64_t down = 0; down < s->y_height; down++, dy += s->y_width * channels) {
      neighbour v = j->down[down];
      nn_real weight = (v.low == place ? 1 - v.share : 0) + (v.high == place ? v.share : 0);
      if (weight == 0) continue;
      for (int64_t i = 0; i < s->y_width; i++) {
        neighbour h = j->across[i];
        const nn_real *restrict from = dy + i * channels;
        nn_real *restrict low = dx + h.low * channels;
        for (int64_t k = 0; k < channels; k++) low[k] += weight * (1 - h.share) * from[k];
        nn_real *restrict high = dx + h.high * channels;
        for (int64_t k = 0; k < channels; k++) high[k] += weight * h.share * from[k];
      }
    }
  }
}

static int run(nn_real *out, const nn_real *in, const nnk_resize_shape *s, bool backward) {
  neighbour *at = nn_memory_get((size_t)(s->y_height + s->y_width) * sizeof *at);
  if (!at) return NN_EMEMORY;
  place_neighbours(at, s->x_height, s->y_height, s->align_corners);
  place_neighbours(at + s->y_height, s->x_width, s->y_width, s->align_corners);
  job j = { s, at, at + s->y_height, out, in };
  int64_t rows = s->images * (backward ? s->x_height : s->y_height);
  int64_t work = s->images * s->y_height * s->y_width * s->channels / nnk_max(1, rows);
  int64_t grain = nnk_max(1, NNK_GRAIN / nnk_max(1, work));
  int status = nn_parallel_for(rows, grain, backward ? resize_grad_rows : resize_rows, &j);
  nn_memory_put(at);
  return status;
}

int nnk_resize(nn_real *y, const nn_real *x, const nnk_resize_shape *shape) { return run(y, x, shape, false); }

int nnk_resize_grad(nn_real *dx, const nn_real *dy, const nnk_resize_shape *shape) {
  return run(dx, dy, shape, true);
}
