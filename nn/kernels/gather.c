/* gather.c -- elements and slices picked by index.
 *
 * A gather is cut into columns: all elements that differ only along the axis. Two columns never touch the same element
 * of x, so backward adds without races and in the order of the index.
 */
#include <string.h>

#include "kernels/gather.h"

typedef struct {
  nnk_gather_shape shape;
  int64_t inner, n, x_inner;  /* distance of neighbours along the axis in y, their number, and the distance in x */
  nn_real *out;
  const nn_real *in;
  const int32_t *index;
  bool backward;
} gather_job;

/* Offsets of column c in y and, through its own strides, in x. */
static void column_at(const gather_job *j, int64_t c, int64_t *y_at, int64_t *x_at) {
  const nnk_gather_shape *s = &j->shape;
  int64_t y_step = 1, x_step = 1;
  *y_at = *x_at = 0;
  for (int i = s->axes - 1; i >= 0; i--) {
    if (i != s->axis) {
      int64_t position = c % s->size[i];
      c /= s->size[i];
      *y_at += position * y_step;
      *x_at += position * x_step;
    }
    y_step *= s->size[i];
    x_step *= s->x_size[i];
  }
}

static void gather_columns(void *context, int64_t begin, int64_t end) {
  const gather_job *j = context;
  for (int64_t c = begin; c < end; c++) {
    int64_t y_at, x_at;
    column_at(j, c, &y_at, &x_at);
    for (int64_t i = 0; i < j->n; i++) {
      int64_t y = y_at + i * j->inner, x = x_at + j->index[y] * j->x_inner;
      if (j->backward) j->out[x] += j->in[y];
      else j->out[y] = j->in[x];
    }
  }
}

static int gather_run(gather_job *j) {
  const nnk_gather_shape *s = &j->shape;
  int64_t columns = 1;
  j->inner = j->x_inner = 1;
  j->n = s->size[s->axis];
  for (int i = 0; i < s->axes; i++) {
    if (i != s->axis) columns *= s->size[i];
    if (i > s->axis) j->inner *= s->size[i], j->x_inner *= s->x_size[i];
  }
  return nn_parallel_for(columns, nnk_max(1, NNK_GRAIN / nnk_max(1, j->n)), gather_columns, j);
}

int nnk_gather(nn_real *y, const nn_real *x, const int32_t *index, nnk_gather_shape shape) {
  gather_job j = { .shape = shape, .out = y, .in = x, .index = index };
  return gather_run(&j);
}

int nnk_gather_grad(nn_real *dx, const nn_real *dy, const int32_t *index, nnk_gather_shape shape) {
  gather_job j = { .shape = shape, .out = dx, .in = dy, .index = index, .backward = true };
  return gather_run(&j);
}

/* ---- whole slices ---- */

typedef struct {
  int64_t n, inner, picks;
  size_t bytes;
  char *out;
  const char *in;
  nn_real *dx;
  const nn_real *dy;
  const int32_t *index;
} select_job;

static void select_slices(void *context, int64_t begin, int64_t end) {
  const select_job *j = context;
  size_t slice = (size_t)j->inner * j->bytes;
  for (int64_t i = begin; i < end; i++) {
    int64_t from = i / j->picks * j->n + j->index[i % j->picks];
    memcpy(j->out + (size_t)i * slice, j->in + (size_t)from * slice, slice);
  }
}

int nnk_index_select(void *y, const void *x, const int32_t *index, int64_t outer, int64_t n, int64_t inner,
                     int64_t picks, size_t bytes) {
  select_job j = { .n = n, .inner = inner, .picks = picks, .bytes = bytes, .out = y, .in = x, .index = index };
  return nn_parallel_for(outer * picks, nnk_max(1, NNK_GRAIN / nnk_max(1, inner)), select_slices, &j);
}

/* Piece: a range of (outer, inner) columns. */
static void select_back(void *context, int64_t begin, int64_t end) {
  const select_job *j = context;
  while (begin < end) {
    int64_t outer = begin / j->inner, column = begin % j->inner, width = nnk_min(j->inner - column, end - begin);
    for (int64_t i = 0; i < j->picks; i++) {
      nn_real *restrict dx = j->dx + (outer * j->n + j->index[i]) * j->inner + column;
      const nn_real *restrict dy = j->dy + (outer * j->picks + i) * j->inner + column;
      for (int64_t c = 0; c < width; c++) dx[c] += dy[c];
    }
    begin += width;
  }
}

int nnk_index_select_grad(nn_real *dx, const nn_real *dy, const int32_t *index, int64_t outer, int64_t n, int64_t inner,
                          int64_t picks) {
  select_job j = { .n = n, .inner = inner, .picks = picks, .dx = dx, .dy = dy, .index = index };
  return nn_parallel_for(outer * inner, nnk_max(16, NNK_GRAIN / nnk_max(1, picks)), select_back, &j);
}

/* ---- one hot ---- */

typedef struct {
  nn_real *y;
  const int32_t *index;
  int64_t classes;
} one_hot_job;

static void one_hot_rows(void *context, int64_t begin, int64_t end) {
  const one_hot_job *j = context;
  for (int64_t row = begin; row < end; row++) {
    memset(j->y + row * j->classes, 0, (size_t)j->classes * sizeof *j->y);
    j->y[row * j->classes + j->index[row]] = 1;
  }
}

int nnk_one_hot(nn_real *y, const int32_t *index, int64_t count, int64_t classes) {
  one_hot_job j = { y, index, classes };
  return nn_parallel_for(count, nnk_max(1, NNK_GRAIN / nnk_max(1, classes)), one_hot_rows, &j);
}
