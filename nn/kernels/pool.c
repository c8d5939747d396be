/* pool.c -- pooling: plain loops over windows, vectors over channels. Pieces are output lines; backward's are images,
 * as windows may overlap. */
#include <string.h>

#include "kernels/pool.h"

enum { GRAIN = 32768 };  /* elements in a piece, about */

typedef struct {
  const nnk_pool *s;
  nn_real *out;
  const nn_real *in;
  int32_t *place;
} pooling;

/* The part [begin, end) of window i, `reach` long, inside an axis. */
static void window(const nnk_pool *s, int64_t i, int64_t reach, int64_t size, int64_t *begin, int64_t *end) {
  int64_t from = i * s->stride - s->padding;
  *begin = nnk_max(0, from);
  *end = nnk_min(size, from + reach);
}

/* Where x is greater (or the first NaN), it becomes best, and `pixel` its place. */
NNK_CLONES
static void take_greater(nn_real *restrict best, int32_t *restrict place, const nn_real *restrict x, int32_t pixel,
                         int64_t channels) {
  for (int64_t c = 0; c < channels; c++) {
    bool greater = !(x[c] <= best[c]) && best[c] == best[c];
    best[c] = greater ? x[c] : best[c];
    place[c] = greater ? pixel : place[c];
  }
}

static void max_lines(void *context, int64_t begin, int64_t end) {
  const pooling *p = context;
  const nnk_pool *s = p->s;
  int64_t channels = s->channels;
  for (int64_t line = begin; line < end; line++) {
    const nn_real *image = p->in + line / s->out_height * s->height * s->width * channels;
    int64_t top, bottom, left, right;
    window(s, line % s->out_height, s->window_height, s->height, &top, &bottom);
    for (int64_t j = 0; j < s->out_width; j++) {
      nn_real *best = p->out + (line * s->out_width + j) * channels;
      int32_t *place = p->place + (line * s->out_width + j) * channels;
      window(s, j, s->window_width, s->width, &left, &right);
      memcpy(best, image + (top * s->width + left) * channels, (size_t)channels * sizeof *best);
      for (int64_t c = 0; c < channels; c++) place[c] = (int32_t)(top * s->width + left);
      for (int64_t h = top; h < bottom; h++)
        for (int64_t w = left; w < right; w++)
          take_greater(best, place, image + (h * s->width + w) * channels, (int32_t)(h * s->width + w), channels);
    }
  }
}

int nnk_max_pool(nn_real *y, int32_t *place, const nn_real *x, const nnk_pool *s) {
  int64_t lines = s->images * s->out_height;
  pooling p = { .s = s, .out = y, .in = x, .place = place };
  return nn_parallel_for(lines, nnk_max(1, GRAIN / nnk_max(1, s->out_width * s->channels)), max_lines, &p);
}

static void max_grad_images(void *context, int64_t begin, int64_t end) {
  const pooling *p = context;
  const nnk_pool *s = p->s;
  int64_t pixels = s->out_height * s->out_width, channels = s->channels;
  for (int64_t image = begin; image < end; image++) {
    nn_real *dx = p->out + image * s->height * s->width * channels;
    for (int64_t i = image * pixels; i < (image + 1) * pixels; i++)
      for (int64_t c = 0; c < channels; c++) dx[p->place[i * channels + c] * channels + c] += p->in[i * channels + c];
  }
}

static int64_t image_grain(const nnk_pool *s) {
  return nnk_max(1, GRAIN / nnk_max(1, s->height * s->width * s->channels));
}

int nnk_max_pool_grad(nn_real *dx, const nn_real *dy, const int32_t *place, const nnk_pool *s) {
  pooling p = { .s = s, .out = dx, .in = dy, .place = (int32_t *)place };
  return nn_parallel_for(s->images, image_grain(s), max_grad_images, &p);
}

/* out [channels] += factor * in [channels] */
NNK_CLONES
static void add_scaled(nn_real *restrict out, const nn_real *restrict in, nn_real factor, int64_t channels) {
  for (int64_t c = 0; c < channels; c++) out[c] += factor * in[c];
}

static nn_real share(const nnk_pool *s, int64_t top, int64_t bottom, int64_t left, int64_t right) {
  int64_t count = s->count_padding ? s->window_height * s->window_width : (bottom - top) * (right - left);
  return (nn_real)1 / (nn_real)count;
}

static void avg_lines(void *context, int64_t begin, int64_t end) {
  const pooling *p = context;
  const nnk_pool *s = p->s;
  int64_t channels = s->channels;
  for (int64_t line = begin; line < end; line++) {
    const nn_real *image = p->in + line / s->out_height * s->height * s->width * channels;
    int64_t top, bottom, left, right;
    window(s, line % s->out_height, s->window_height, s->height, &top, &bottom);
    for (int64_t j = 0; j < s->out_width; j++) {
      nn_real *sum = p->out + (line * s->out_width + j) * channels;
      window(s, j, s->window_width, s->width, &left, &right);
      nn_real factor = share(s, top, bottom, left, right);
      memset(sum, 0, (size_t)channels * sizeof *sum);
      for (int64_t h = top; h < bottom; h++)
        for (int64_t w = left; w < right; w++) add_scaled(sum, image + (h * s->width + w) * channels, factor, channels);
    }
  }
}

int nnk_avg_pool(nn_real *y, const nn_real *x, const nnk_pool *s) {
  pooling p = { .s = s, .out = y, .in = x };
  return nn_parallel_for(s->images * s->out_height, nnk_max(1, GRAIN / nnk_max(1, s->out_width * s->channels)),
                         avg_lines, &p);
}

static void avg_grad_images(void *context, int64_t begin, int64_t end) {
  const pooling *p = context;
  const nnk_pool *s = p->s;
  int64_t channels = s->channels;
  for (int64_t line = begin * s->out_height; line < end * s->out_height; line++) {
    nn_real *image = p->out + line / s->out_height * s->height * s->width * channels;
    int64_t top, bottom, left, right;
    window(s, line % s->out_height, s->window_height, s->height, &top, &bottom);
    for (int64_t j = 0; j < s->out_width; j++) {
      const nn_real *dy = p->in + (line * s->out_width + j) * channels;
      window(s, j, s->window_width, s->width, &left, &right);
      nn_real factor = share(s, top, bottom, left, right);
      for (int64_t h = top; h < bottom; h++)
        for (int64_t w = left; w < right; w++) add_scaled(image + (h * s->width + w) * channels, dy, factor, channels);
    }
  }
}

int nnk_avg_pool_grad(nn_real *dx, const nn_real *dy, const nnk_pool *s) {
  pooling p = { .s = s, .out = dx, .in = dy };
  return nn_parallel_for(s->images, image_grain(s), avg_grad_images, &p);
}
