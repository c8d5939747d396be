/* elementwise.c -- walking operands together, line by line. */
#include <string.h>

#include "kernels/elementwise.h"

static bool merges(const nnk_walk *w, int operands, int64_t size, const int64_t *step) {
  for (int k = 0; k < operands; k++)
    if (w->stride[k][w->axes - 1] != size * step[k]) return false;
  return true;
}

nnk_walk nnk_walk_over(int axes, const int64_t *size, int operands, const int64_t stride[][NN_MAX_AXES]) {
  nnk_walk w = { .count = 1 };
  for (int i = 0; i < axes; i++) {
    int64_t step[NNK_OPERANDS];
    w.count *= size[i];
    if (size[i] == 1) continue;
    for (int k = 0; k < operands; k++) step[k] = stride[k][i];
    if (w.axes == 0 || !merges(&w, operands, size[i], step)) {
      w.size[w.axes++] = size[i];
    } else {
      w.size[w.axes - 1] *= size[i];
    }
    for (int k = 0; k < operands; k++) w.stride[k][w.axes - 1] = step[k];
  }
  if (w.axes == 0) {
    w.axes = 1;
    w.size[0] = 1;
    for (int k = 0; k < operands; k++) w.stride[k][0] = 1;
  }
  return w;
}

nnk_walk nnk_walk_flat(int64_t count) {
  return (nnk_walk){ .axes = 1, .count = count, .size = { count }, .stride = { { 1 }, { 1 }, { 1 } } };
}

/* A place in the walk: each axis's position, and each operand's offset. */
typedef struct {
  int64_t position[NN_MAX_AXES], offset[NNK_OPERANDS];
} cursor;

static cursor cursor_at(const nnk_walk *w, int64_t place) {
  cursor c = { { 0 }, { 0 } };
  for (int i = w->axes - 1; i >= 0; i--) {
    c.position[i] = place % w->size[i];
    place /= w->size[i];
    for (int k = 0; k < NNK_OPERANDS; k++) c.offset[k] += c.position[i] * w->stride[k][i];
  }
  return c;
}

/* Moves n elements on along an axis that they do not leave; at its end, to the next place of the axes before it. */
static void cursor_move(cursor *c, const nnk_walk *w, int axis, int64_t n) {
  for (int i = axis; i >= 0; i--, n = 1) {
    c->position[i] += n;
    for (int k = 0; k < NNK_OPERANDS; k++) c->offset[k] += n * w->stride[k][i];
    if (c->position[i] < w->size[i]) return;
    for (int k = 0; k < NNK_OPERANDS; k++) c->offset[k] -= c->position[i] * w->stride[k][i];
    c->position[i] = 0;
  }
}

typedef struct {
  const nnk_walk *walk;
  nnk_line *line;
  nn_real *out;
  const nn_real *dy;
  const nn_real *const *x;
  const nn_real *number;
} job;

static void run_piece(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  const nnk_walk *w = j->walk;
  int last = w->axes - 1;
  int64_t stride[NNK_OPERANDS];
  for (int k = 0; k < NNK_OPERANDS; k++) stride[k] = w->stride[k][last];
  cursor c = cursor_at(w, begin);
  while (begin < end) {
    int64_t n = nnk_min(w->size[last] - c.position[last], end - begin);
    const nn_real *x[NNK_OPERANDS];
    for (int k = 0; k < NNK_OPERANDS; k++) x[k] = j->x[k] ? j->x[k] + c.offset[k] : NULL;
    j->line(j->out + begin, j->dy ? j->dy + begin : NULL, x, stride, n, j->number);
    cursor_move(&c, w, last, n);
    begin += n;
  }
}

int nnk_walk_run(const nnk_walk *walk, nnk_line *line, nn_real *out, const nn_real *dy, const nn_real *const x[],
                 const nn_real number[]) {
  job j = { walk, line, out, dy, x, number };
  return nn_parallel_for(walk->count, NNK_GRAIN, run_piece, &j);
}

/* ---- moving blocks ---- */

typedef struct {
  const nnk_walk *walk;  /* operand 0 is `to`, operand 1 `from` */
  char *to;
  const char *from;
  size_t bytes;
  bool add;
} move;

/* Lines of n elements: element i of line j is at i * step + j * jump. */
typedef struct {
  int64_t n, lines, step[2], jump[2];  /* of `to`, of `from` */
} block;

#define OVER_LINES(statement)                                                                                     \
  for (int64_t j = 0; j < b->lines; j++, out += b->jump[0], in += b->jump[1])                                     \
    for (int64_t i = 0; i < b->n; i++) statement

NNK_CLONES static void add_lines(nn_real *restrict out, const nn_real *restrict in, const block *b) {
  int64_t to = b->step[0], from = b->step[1];
  if (to == 1 && from == 1) OVER_LINES(out[i] += in[i]);
  else OVER_LINES(out[i * to] += in[i * from]);
}

/* Elements are moved as words of their size: a word may stand for any type. */
#define MOVE_LINES(name, word)                                                                                    \
  typedef word __attribute__((may_alias)) name##_word;                                                            \
  NNK_CLONES static void name(void *restrict to_word, const void *restrict from_word, const block *b) {           \
    name##_word *restrict out = to_word;                                                                          \
    const name##_word *restrict in = from_word;                                                                   \
    int64_t to = b->step[0], from = b->step[1];                                                                   \
    if (to == 1 && from == 1) OVER_LINES(out[i] = in[i]);                                                         \
    else if (to == 1 && from == 0) OVER_LINES(out[i] = in[0]);                                                    \
    else OVER_LINES(out[i * to] = in[i * from]);                                                                  \
  }
MOVE_LINES(move_bytes, uint8_t)
MOVE_LINES(move_words, uint32_t)
MOVE_LINES(move_long_words, uint64_t)

static void move_block(const move *m, char *to, const char *from, const block *b) {
  if (m->add) add_lines((nn_real *)(void *)to, (const nn_real *)(const void *)from, b);
  else if (m->bytes == 1) move_bytes(to, from, b);
  else if (m->bytes == 4) move_words(to, from, b);
  else move_long_words(to, from, b);
}

/* A block is as many whole lines as there are along the axis before the last, or a part of a line. */
static void move_piece(void *context, int64_t begin, int64_t end) {
  const move *m = context;
  const nnk_walk *w = m->walk;
  int last = w->axes - 1;
  cursor c = cursor_at(w, begin);
  while (begin < end) {
    block b = { .n = nnk_min(w->size[last] - c.position[last], end - begin), .lines = 1 };
    bool whole = last > 0 && b.n == w->size[last];
    if (whole) b.lines = nnk_min(w->size[last - 1] - c.position[last - 1], (end - begin) / b.n);
    for (int k = 0; k < 2; k++) {
      b.step[k] = w->stride[k][last];
      b.jump[k] = whole ? w->stride[k][last - 1] : 0;
    }
    move_block(m, m->to + c.offset[0] * (ptrdiff_t)m->bytes, m->from + c.offset[1] * (ptrdiff_t)m->bytes, &b);
    cursor_move(&c, w, whole ? last - 1 : last, whole ? b.lines : b.n);
    begin += b.n * b.lines;
  }
}

static int move_all(void *to, const int64_t *to_stride, const void *from, const int64_t *from_stride, int axes,
                    const int64_t *size, size_t bytes, bool add) {
  int64_t stride[2][NN_MAX_AXES];
  for (int i = 0; i < axes; i++) {
    stride[0][i] = to_stride[i];
    stride[1][i] = from_stride[i];
  }
  nnk_walk walk = nnk_walk_over(axes, size, 2, stride);
  move m = { &walk, to, from, bytes, add };
  return nn_parallel_for(walk.count, NNK_GRAIN, move_piece, &m);
}

int nnk_copy_strided(void *to, const int64_t *to_stride, const void *from, const int64_t *from_stride, int axes,
                     const int64_t *size, size_t bytes) {
  return move_all(to, to_stride, from, from_stride, axes, size, bytes, false);
}

int nnk_add_strided(nn_real *to, const int64_t *to_stride, const nn_real *from, const int64_t *from_stride, int axes,
                    const int64_t *size) {
  return move_all(to, to_stride, from, from_stride, axes, size, sizeof(nn_real), true);
}

/* ---- other element types ---- */

typedef struct {
  void *to;
  const void *from;
  nn_type to_type, from_type;
  double low, high;        /* what an integer type holds */
  atomic_llong unfit;
} conversion;

#define CONVERT(target, source, fits)                                                                             \
  do {                                                                                                            \
    target *to = (target *)j->to;                                                                                 \
    const source *from = (const source *)j->from;                                                                 \
    for (int64_t i = begin; i < end; i++) {                                                                       \
      const source x = from[i];                                                                                   \
      if (!(fits)) return i;                                                                                      \
      to[i] = (target)x;                                                                                          \
    }                                                                                                             \
    return end;                                                                                                   \
  } while (0)
#define WHOLE ((double)x >= j->low && (double)x <= j->high && (double)x == (double)(int64_t)x)

/* Where it stopped: `end`, or the first value that does not fit. */
static int64_t convert(const conversion *j, int64_t begin, int64_t end) {
  if (j->to_type == NN_REAL) {
    if (j->from_type == NN_UINT8) CONVERT(nn_real, uint8_t, true);
    CONVERT(nn_real, int32_t, true);
  }
  if (j->to_type == NN_UINT8) {
    if (j->from_type == NN_REAL) CONVERT(uint8_t, nn_real, WHOLE);
    CONVERT(uint8_t, int32_t, WHOLE);
  }
  if (j->from_type == NN_REAL) CONVERT(int32_t, nn_real, WHOLE);
  if (j->from_type == NN_UINT8) CONVERT(int32_t, uint8_t, true);
  CONVERT(int32_t, int32_t, WHOLE);
}

static void convert_piece(void *context, int64_t begin, int64_t end) {
  conversion *j = context;
  long long at = convert(j, begin, end), first = atomic_load(&j->unfit);
  while (at < end && at < first && !atomic_compare_exchange_weak(&j->unfit, &first, at)) continue;
}

int nnk_convert(void *to, nn_type to_type, const void *from, nn_type from_type, int64_t count, int64_t *unfit) {
  conversion j = { .to = to, .from = from, .to_type = to_type, .from_type = from_type,
                   .low = to_type == NN_INT32 ? INT32_MIN : 0, .high = to_type == NN_UINT8 ? UINT8_MAX : INT32_MAX };
  atomic_init(&j.unfit, count);
  int status = nn_parallel_for(count, NNK_GRAIN, convert_piece, &j);
  *unfit = atomic_load(&j.unfit);
  return status;
}
