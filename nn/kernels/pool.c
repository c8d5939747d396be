/* pool.c -- pooling: plain loops over windows, vectors over channels; the maximum of few channels, vectors over a line
 * of pixels. Pieces are output lines; backward's are images, as windows may overlap. */
#include <math.h>
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

/* Is x greater than best, or the first NaN? */
#define BEATS(x, best) (!((x) <= (best)) & ((best) == (best)))

/* Where x beats best, it becomes best, and `pixel` its place. */
NNK_CLONES
static void take_greater(nn_real *restrict best, int32_t *restrict place, const nn_real *restrict x, int32_t pixel,
                         int64_t channels) {
  for (int64_t c = 0; c < channels; c++) {
    int beats = BEATS(x[c], best[c]);
    best[c] = beats ? x[c] : best[c];
    place[c] = beats ? pixel : place[c];
  }
}

/* A whole line of few channels. Element i of it is channel i % channels of output pixel i / channels, whose window
 * begins in the image's lines at pixel column[i], and for this channel at element start[i]. */
NNK_CLONES
static void max_of_line(nn_real *restrict best, int32_t *restrict place, const nn_real *restrict image,
                        const nnk_pool *s, const int32_t *restrict start, const int32_t *restrict column, int64_t top,
                        int64_t bottom) {
  int64_t channels = s->channels, elements = s->out_width * channels;
  for (int64_t i = 0; i < elements; i++) {
    best[i] = -INFINITY;
    place[i] = (int32_t)(top * s->width) + (column[i] > 0 ? column[i] : 0);
  }
  for (int64_t h = top; h < bottom; h++) {
    for (int64_t w = 0; w < s->window_width; w++) {
      /* output pixels whose window has column w inside the image: 0 <= j stride - padding + w < width */
      int64_t from = nnk_max(0, nnk_divide_up(s->padding - w, s->stride));
      int64_t to = nnk_min(s->out_width, nnk_divide_up(s->width + s->padding - w, s->stride));
      const nn_real *x = image + (h * s->width + w) * channels;
      int32_t pixel = (int32_t)(h * s->width + w);
      for (int64_t i = from * channels; i < to * channels; i++) {
        nn_real value = x[start[i]];
        int beats = BEATS(value, best[i]);
        best[i] = beats ? value : best[i];
        place[i] = beats ? pixel + column[i] : place[i];
      }
    }
  }
}

enum { LINE = 2048 };  /* elements of a line of few channels, at most */

static bool few_channels(const nnk_pool *s) {
  return s->channels < NNK_LANES && s->out_width * s->channels <= LINE && s->window_width <= 64 && s->width <= 1 << 20;
}

static void max_lines(void *context, int64_t begin, int64_t end) {
  const pooling *p = context;
  const nnk_pool *s = p->s;
  int64_t channels = s->channels, elements = s->out_width * channels;
  int32_t start[LINE], column[LINE];
  bool few = few_channels(s);
  for (int64_t i = 0; few && i < elements; i++) {
    column[i] = (int32_t)(i / channels * s->stride - s->padding);
    start[i] = (int32_t)(column[i] * channels + i % channels);
  }
  for (int64_t line = begin; line < end; line++) {
    const nn_real *image = p->in + line / s->out_height * s->height * s->width * channels;
    int64_t top, bottom, left, right;
    window(s, line % s->out_height, s->window_height, s->height, &top, &bottom);
    if (few) {
      max_of_line(p->out + line * elements, p->place + line * elements, image, s, start, column, top, bottom);
      continue;
    }
    for (int64_t j = 0; j < s->out_width; j++) {
      int64_t at = (line * s->out_width + j) * channels;
      nn_real *best = p->out + at;
      int32_t *place = p->place + at;
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
