/* reduce.c -- sums and extremes over one span.
 *
 * A span that lies together (inner = 1) is taken NNK_LANES elements at a time. Otherwise the inner loop runs over
 * columns, each with its own accumulator; where there are few, several rows side by side are taken as one wide row.
 * Accumulators are folded together at the end, by halves.
 */
#include <math.h>
#include <string.h>

#include "kernels/reduce.h"
#include "kernels/vecmath.h"

enum { WIDE = 128, BLOCK = 2048, SLICES = 8, SLICE_LEAST = 1 << 15 };

/* How a span is cut: `columns` blocks of at most `width` columns, each over `slices` slices of the n rows. */
typedef struct {
  nnk_span span;
  int64_t width, columns, slices, pack;  /* pack: rows taken side by side */
} cut;

static cut cut_of(nnk_span s, int most_slices) {
  cut c = { .span = s, .width = nnk_min(s.inner, BLOCK), .slices = 1 };
  c.columns = nnk_divide_up(s.inner, c.width);
  c.pack = s.inner == 1 ? 1 : nnk_max(1, nnk_min(WIDE / s.inner, s.n));
  if (s.outer * c.columns < most_slices)
    c.slices = nnk_max(1, nnk_min(nnk_min(most_slices, s.n), s.n * c.width / SLICE_LEAST));
  return c;
}

static int64_t cut_tasks(const cut *c) { return c->span.outer * c->slices * c->columns; }
static int64_t cut_grain(const cut *c) { return nnk_max(1, NNK_GRAIN / (c->span.n * c->width / c->slices + 1)); }

/* A task: rows [first, last) of one outer place, columns from `column` on. */
typedef struct {
  int64_t outer, slice, first, last, column, width;
} task;

static task task_at(const cut *c, int64_t i) {
  task t = { .outer = i / (c->slices * c->columns), .slice = i / c->columns % c->slices };
  t.first = c->span.n * t.slice / c->slices;
  t.last = c->span.n * (t.slice + 1) / c->slices;
  t.column = i % c->columns * c->width;
  t.width = nnk_min(c->width, c->span.inner - t.column);
  return t;
}

/* ---- sums ---- */

/* A row onto a row of sums, and a whole row summed up. */
typedef void add_row(double *restrict sum, const nn_real *restrict x, const double *restrict centre, int64_t n,
                     double p);
typedef double sum_row(const nn_real *x, double centre, int64_t n, double p);

typedef struct {
  add_row *add;
  sum_row *sum;
} term_kernel;

#define TERM(name, value)                                                                                         \
  NNK_CLONES static void name##_add(double *restrict sum, const nn_real *restrict x,                              \
                                    const double *restrict centre, int64_t n, double p) {                         \
    (void)centre, (void)p;                                                                                        \
    for (int64_t j = 0; j < n; j++) {                                                                             \
      const double X = x[j], C = centre ? centre[j] : 0;                                                          \
      (void)C;                                                                                                    \
      sum[j] += value;                                                                                            \
    }                                                                                                             \
  }                                                                                                               \
  NNK_CLONES static double name##_sum(const nn_real *x, double C, int64_t n, double p) {                          \
    double sum[NNK_LANES] = { 0 };                                                                                \
    int64_t i = 0;                                                                                                \
    (void)C, (void)p;                                                                                             \
    for (; i + NNK_LANES <= n; i += NNK_LANES) {                                                                  \
      for (int l = 0; l < NNK_LANES; l++) {                                                                       \
        const double X = x[i + l];                                                                                \
        sum[l] += value;                                                                                          \
      }                                                                                                           \
    }                                                                                                             \
    for (int l = 0; i < n; i++, l++) {                                                                            \
      const double X = x[i];                                                                                      \
      sum[l] += value;                                                                                            \
    }                                                                                                             \
    return nnk_fold_wide_lanes(sum);                                                                              \
  }
TERM(plain, X)
TERM(size, X < 0 ? -X : X)
TERM(square, X * X)
TERM(power, pow(fabs(X), p))
TERM(deviation, (X - C) * (X - C))

typedef struct {
  cut cut;
  term_kernel term;
  const nn_real *x;
  const double *centre;
  double p;
  double *sum;  /* [outer x slices x inner] */
} sum_job;

/* Rows side by side: sum [inner] = folded sums of rows [first, last) at x. */
static void sum_packed(const sum_job *j, const task *t, const nn_real *x, const double *centre, double *sum) {
  int64_t inner = j->cut.span.inner, pack = j->cut.pack;
  double wide[WIDE] = { 0 }, wide_centre[WIDE];
  for (int64_t i = 0; centre && i < pack * inner; i++) wide_centre[i] = centre[i % inner];
  for (int64_t row = t->first; row < t->last; row += pack)
    j->term.add(wide, x + row * inner, centre ? wide_centre : NULL, nnk_min(pack, t->last - row) * inner, j->p);
  for (int64_t rows = pack; rows > 1;) {
    int64_t half = (rows + 1) / 2;
    for (int64_t i = 0; i < (rows - half) * inner; i++) wide[i] += wide[half * inner + i];
    rows = half;
  }
  memcpy(sum, wide, (size_t)inner * sizeof *sum);
}

static void sum_pieces(void *context, int64_t begin, int64_t end) {
  const sum_job *j = context;
  nnk_span s = j->cut.span;
  for (int64_t i = begin; i < end; i++) {
    task t = task_at(&j->cut, i);
    const nn_real *x = j->x + t.outer * s.n * s.inner + t.column;
    const double *centre = j->centre ? j->centre + t.outer * s.inner + t.column : NULL;
    double *sum = j->sum + (t.outer * j->cut.slices + t.slice) * s.inner + t.column;
    if (s.inner == 1) {
      *sum = j->term.sum(x + t.first, centre ? *centre : 0, t.last - t.first, j->p);
    } else if (j->cut.pack > 1) {
      sum_packed(j, &t, x, centre, sum);
    } else {
      memset(sum, 0, (size_t)t.width * sizeof *sum);
      for (int64_t row = t.first; row < t.last; row++) j->term.add(sum, x + row * s.inner, centre, t.width, j->p);
    }
  }
}

int nnk_reduce(double *total, const nn_real *x, nnk_span span, nnk_term term, const double *centre, double p) {
  static const term_kernel terms[] = {
    [NNK_SUM] = { plain_add, plain_sum },       [NNK_SUM_ABS] = { size_add, size_sum },
    [NNK_SUM_SQUARE] = { square_add, square_sum }, [NNK_SUM_POWER] = { power_add, power_sum },
    [NNK_SUM_DEVIATION] = { deviation_add, deviation_sum },
  };
  if (span.outer == 0 || span.inner == 0) return NN_OK;
  sum_job j = { cut_of(span, SLICES), terms[term], x, centre, p, total };
  int64_t slices = j.cut.slices;
  if (slices > 1) {
    j.sum = nn_memory_get((size_t)(span.outer * slices * span.inner) * sizeof *j.sum);
    if (!j.sum) return NN_EMEMORY;
  }
  int status = nn_parallel_for(cut_tasks(&j.cut), cut_grain(&j.cut), sum_pieces, &j);
  if (slices > 1) {
    for (int64_t o = 0; o < span.outer && status == NN_OK; o++) {
      const double *part = j.sum + o * slices * span.inner;
      memcpy(total + o * span.inner, part, (size_t)span.inner * sizeof *total);
      for (int64_t s = 1; s < slices; s++)
        for (int64_t i = 0; i < span.inner; i++) total[o * span.inner + i] += part[s * span.inner + i];
    }
    nn_memory_put(j.sum);
  }
  return status;
}

int nnk_reduce_sum(nn_real *out, const nn_real *x, nnk_span span, double factor, bool add) {
  int64_t count = span.outer * span.inner;
  double *total = nn_memory_get((size_t)count * sizeof *total);
  if (!total) return NN_EMEMORY;
  int status = nnk_reduce(total, x, span, NNK_SUM, NULL, 0);
  for (int64_t i = 0; i < count && status == NN_OK; i++)
    out[i] = (nn_real)(factor * total[i]) + (add ? out[i] : 0);
  nn_memory_put(total);
  return status;
}

/* ---- extremes ---- */

NNK_INLINE bool beats(nn_real a, nn_real b, nn_real sign) { return sign * a > sign * b || (a != a && b == b); }

/* Row `row` of n columns against the best so far. */
NNK_CLONES static void contest(nn_real *restrict best, int32_t *restrict place, const nn_real *restrict x, int64_t n,
                               int32_t row, nn_real sign) {
  for (int64_t j = 0; j < n; j++) {
    nn_real a = x[j], b = best[j];
    int better = (sign * a > sign * b) | ((a != a) & (b == b));
    best[j] = better ? a : b;
    place[j] = better ? row : place[j];
  }
}

/* The best of a row that lies together, and its place: the first equal to it. */
NNK_CLONES static int64_t champion(nn_real *best, const nn_real *x, int64_t n, nn_real sign) {
  nn_real top[NNK_LANES];
  int nans[NNK_LANES] = { 0 }, any = 0;
  int64_t i = 0;
  for (int l = 0; l < NNK_LANES; l++) top[l] = x[0];
  for (; i + NNK_LANES <= n; i += NNK_LANES) {
    for (int l = 0; l < NNK_LANES; l++) {
      top[l] = sign * x[i + l] > sign * top[l] ? x[i + l] : top[l];
      nans[l] |= x[i + l] != x[i + l];
    }
  }
  for (; i < n; i++) {
    top[0] = sign * x[i] > sign * top[0] ? x[i] : top[0];
    nans[0] |= x[i] != x[i];
  }
  for (int l = 0; l < NNK_LANES; l++) {
    top[0] = sign * top[l] > sign * top[0] ? top[l] : top[0];
    any |= nans[l];
  }
  i = 0;
  if (any) while (x[i] == x[i]) i++;
  else while (x[i] != top[0]) i++;
  *best = x[i];
  return i;
}

typedef struct {
  cut cut;
  const nn_real *x;
  nn_real sign;
  nn_real *best;
  int32_t *place;
} extreme_job;

static void extreme_pieces(void *context, int64_t begin, int64_t end) {
  const extreme_job *j = context;
  nnk_span s = j->cut.span;
  int64_t pack = j->cut.pack;
  nn_real best[BLOCK];
  int32_t place[BLOCK];
  for (int64_t i = begin; i < end; i++) {
    if (s.inner == 1) {
      int64_t at = champion(&j->best[i], j->x + i * s.n, s.n, j->sign);
      if (j->place) j->place[i] = (int32_t)at;
      continue;
    }
    task t = task_at(&j->cut, i);
    const nn_real *x = j->x + t.outer * s.n * s.inner + t.column;
    int64_t width = pack > 1 ? pack * s.inner : t.width;
    memcpy(best, x, (size_t)width * sizeof *best);
    memset(place, 0, (size_t)width * sizeof *place);
    for (int64_t row = pack; row < s.n; row += pack) {
      int64_t rows = nnk_min(pack, s.n - row);
      contest(best, place, x + row * s.inner, pack > 1 ? rows * s.inner : t.width, (int32_t)(row / pack), j->sign);
    }
    /* Of equals in different lanes the one with the smaller position is the first. */
    for (int64_t c = 0; c < t.width; c++) {
      nn_real top = best[c];
      int64_t at = place[c] * pack;
      for (int64_t p = 1; p < pack; p++) {
        nn_real other = best[p * s.inner + c];
        int64_t other_at = place[p * s.inner + c] * pack + p;
        if (beats(other, top, j->sign) || (!beats(top, other, j->sign) && other_at < at)) top = other, at = other_at;
      }
      j->best[t.outer * s.inner + t.column + c] = top;
      if (j->place) j->place[t.outer * s.inner + t.column + c] = (int32_t)at;
    }
  }
}

int nnk_extreme(nn_real *best, int32_t *place, const nn_real *x, nnk_span span, int sign) {
  if (span.outer == 0 || span.inner == 0) return NN_OK;
  extreme_job j = { cut_of(span, 1), x, (nn_real)sign, best, place };
  return nn_parallel_for(cut_tasks(&j.cut), cut_grain(&j.cut), extreme_pieces, &j);
}

typedef struct {
  nn_real *dx;
  const nn_real *dy;
  const int32_t *place;
  nnk_span span;
} extreme_grad_job;

static void extreme_grad_pieces(void *context, int64_t begin, int64_t end) {
  const extreme_grad_job *j = context;
  nnk_span s = j->span;
  int64_t outer = begin / s.inner, inner = begin % s.inner;
  for (int64_t i = begin; i < end; i++) {
    j->dx[(outer * s.n + j->place[i]) * s.inner + inner] += j->dy[i];
    if (++inner == s.inner) inner = 0, outer++;
  }
}

int nnk_extreme_grad(nn_real *dx, const nn_real *dy, const int32_t *place, nnk_span span) {
  extreme_grad_job j = { dx, dy, place, span };
  return nn_parallel_for(span.outer * span.inner, NNK_GRAIN, extreme_grad_pieces, &j);
}

/* ---- gradients ---- */

#define LINE(name, value)                                                                                         \
  NNK_CLONES void name(nn_real *restrict out, const nn_real *unused, const nn_real *const operand[],              \
                       const int64_t stride[], int64_t n, const nn_real number[]) {                               \
    const nn_real *restrict dy = operand[0], *restrict x = operand[1], *restrict y = operand[2];                  \
    (void)unused, (void)x, (void)y, (void)number;                                                                 \
    if (stride[0]) {                                                                                              \
      for (int64_t i = 0; i < n; i++) out[i] += value(dy[i], i, i);                                               \
    } else {                                                                                                      \
      for (int64_t i = 0; i < n; i++) out[i] += value(dy[0], i, 0);                                               \
    }                                                                                                             \
  }
#define SPREAD(D, i, j) number[0] * (D)
#define DEVIATION(D, i, j) number[0] * (D) * (x[i] - y[j])
#define NORM(D, i, j) norm_slope(D, x[i], y[j], number[0])

NNK_INLINE nn_real norm_slope(nn_real dy, nn_real x, nn_real y, nn_real p) {
  if (p == 2) return y > 0 ? dy * x / y : 0;
  nn_real size = x < 0 ? -x : x;
  if (!(size > 0) || !(y > 0)) return 0;
  nn_real slope = p == 1 ? dy : dy * (nn_real)pow(size / y, p - 1);
  return x < 0 ? -slope : slope;
}

LINE(nnk_spread_grad, SPREAD)
LINE(nnk_deviation_grad, DEVIATION)
LINE(nnk_norm_grad, NORM)
