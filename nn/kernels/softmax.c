/* softmax.c -- softmax and its logarithm along one span.
 *
 * With inner = 1 a span is a row and the loops run along it. Otherwise the loops run over a block of columns, each with
 * its own maximum and sum. The maximum is subtracted first, so large inputs neither overflow nor lose the small ones.
 */
#include <string.h>
#include <tgmath.h>

#include "kernels/softmax.h"
#include "kernels/vecmath.h"

enum { BLOCK = 64 };

typedef struct {
  nnk_span span;
  bool logarithm;
  int64_t blocks;  /* of columns */
  nn_real *out;
  const nn_real *x, *y, *dy;
} job;

/* Runs `rows` (inner = 1) or `columns` over all spans. */
static int run(job *j, nn_chunk rows, nn_chunk columns) {
  nnk_span s = j->span;
  if (s.inner == 1) return nn_parallel_for(s.outer, nnk_max(1, NNK_GRAIN / nnk_max(s.n, 1)), rows, j);
  j->blocks = nnk_divide_up(s.inner, BLOCK);
  return nn_parallel_for(s.outer * j->blocks, nnk_max(1, NNK_GRAIN / (BLOCK * nnk_max(s.n, 1))), columns, j);
}

/* Block i: the offset of its first element, and its width. */
static int64_t block_at(const job *j, int64_t i, int64_t *width) {
  int64_t column = i % j->blocks * BLOCK;
  *width = nnk_min(BLOCK, j->span.inner - column);
  return i / j->blocks * j->span.n * j->span.inner + column;
}

/* y = exp(x - top); returns their sum. */
NNK_INLINE nn_real exp_row(nn_real *restrict y, const nn_real *restrict x, int64_t n, nn_real top) {
  nn_real sum[NNK_LANES] = { 0 }, here[NNK_STRETCH];
  for (int64_t at = 0; at < n; at += NNK_STRETCH) {
    int64_t whole = nnk_load_stretch(here, x + at, n - at, -INFINITY);
    for (int64_t i = 0; i < whole; i++) here[i] = nnk_exp_of(here[i] - top);
    nnk_add_stretch(sum, here, whole);
    memcpy(y + at, here, (size_t)nnk_min(n - at, NNK_STRETCH) * sizeof *y);
  }
  return nnk_fold_lanes(sum);
}

NNK_CLONES static void value_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->span.n;
  for (int64_t row = begin; row < end; row++) {
    const nn_real *restrict x = j->x + row * n;
    nn_real *restrict y = j->out + row * n;
    nn_real top = nnk_row_max(x, n);
    if (j->logarithm) {
      nn_real shift = log(nnk_row_sum_exp(x, n, top, 1));
      for (int64_t i = 0; i < n; i++) y[i] = x[i] - top - shift;
    } else {
      nn_real share = 1 / exp_row(y, x, n, top);
      for (int64_t i = 0; i < n; i++) y[i] *= share;
    }
  }
}

NNK_CLONES static void value_columns(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->span.n, inner = j->span.inner;
  for (int64_t b = begin; b < end; b++) {
    int64_t width, at = block_at(j, b, &width);
    const nn_real *restrict x = j->x + at;
    nn_real *restrict y = j->out + at;
    nn_real top[BLOCK], sum[BLOCK] = { 0 };
    for (int64_t c = 0; c < width; c++) top[c] = -INFINITY;
    for (int64_t i = 0; i < n; i++)
      for (int64_t c = 0; c < width; c++) top[c] = x[i * inner + c] > top[c] ? x[i * inner + c] : top[c];
    for (int64_t i = 0; i < n; i++)
      for (int64_t c = 0; c < width; c++) sum[c] += nnk_exp_of(x[i * inner + c] - top[c]);
    for (int64_t c = 0; c < width; c++) sum[c] = j->logarithm ? nnk_log_of(sum[c]) : 1 / sum[c];
    for (int64_t i = 0; i < n; i++) {
      if (j->logarithm) {
        for (int64_t c = 0; c < width; c++) y[i * inner + c] = x[i * inner + c] - top[c] - sum[c];
      } else {
        for (int64_t c = 0; c < width; c++) y[i * inner + c] = nnk_exp_of(x[i * inner + c] - top[c]) * sum[c];
      }
    }
  }
}

int nnk_softmax(nn_real *y, const nn_real *x, nnk_span span, bool logarithm) {
  job j = { .span = span, .logarithm = logarithm, .out = y, .x = x };
  return run(&j, value_rows, value_columns);
}

NNK_CLONES static void grad_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->span.n;
  for (int64_t row = begin; row < end; row++) {
    const nn_real *restrict y = j->y + row * n, *restrict dy = j->dy + row * n;
    nn_real *restrict dx = j->out + row * n;
    nn_real sum[NNK_LANES] = { 0 }, here[NNK_STRETCH], share[NNK_STRETCH];
    for (int64_t at = 0; at < n; at += NNK_STRETCH) {
      int64_t whole = nnk_load_stretch(here, dy + at, n - at, 0);
      if (!j->logarithm) {
        nnk_load_stretch(share, y + at, n - at, 0);
        for (int64_t i = 0; i < whole; i++) here[i] *= share[i];
      }
      nnk_add_stretch(sum, here, whole);
    }
    nn_real flow = nnk_fold_lanes(sum);
    if (!j->logarithm) {
      for (int64_t i = 0; i < n; i++) dx[i] += y[i] * (dy[i] - flow);
      continue;
    }
    for (int64_t at = 0; at < n; at += NNK_STRETCH) {
      int64_t whole = nnk_load_stretch(share, y + at, n - at, 0), held = nnk_min(n - at, NNK_STRETCH);
      for (int64_t i = 0; i < whole; i++) share[i] = nnk_exp_of(share[i]) * flow;
      for (int64_t i = 0; i < held; i++) dx[at + i] += dy[at + i] - share[i];
    }
  }
}

NNK_CLONES static void grad_columns(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->span.n, inner = j->span.inner;
  for (int64_t b = begin; b < end; b++) {
    int64_t width, at = block_at(j, b, &width);
    const nn_real *restrict y = j->y + at, *restrict dy = j->dy + at;
    nn_real *restrict dx = j->out + at;
    nn_real sum[BLOCK] = { 0 };
    for (int64_t i = 0; i < n; i++)
      for (int64_t c = 0; c < width; c++)
        sum[c] += j->logarithm ? dy[i * inner + c] : dy[i * inner + c] * y[i * inner + c];
    for (int64_t i = 0; i < n; i++) {
      if (j->logarithm) {
        for (int64_t c = 0; c < width; c++)
          dx[i * inner + c] += dy[i * inner + c] - nnk_exp_of(y[i * inner + c]) * sum[c];
      } else {
        for (int64_t c = 0; c < width; c++) dx[i * inner + c] += y[i * inner + c] * (dy[i * inner + c] - sum[c]);
      }
    }
  }
}

int nnk_softmax_grad(nn_real *dx, const nn_real *dy, const nn_real *y, nnk_span span, bool logarithm) {
  job j = { .span = span, .logarithm = logarithm, .out = dx, .y = y, .dy = dy };
  return run(&j, grad_rows, grad_columns);
}
