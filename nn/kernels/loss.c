/* loss.c -- losses of a batch, row by row. Nothing but the inputs is kept for backward: a row's softmax costs less to
 * compute again than to store and read. */
#include <tgmath.h>

#include "kernels/loss.h"
#include "kernels/vecmath.h"

typedef struct {
  int64_t rows, width;
  const nn_real *a, *b;
  const int32_t *target, *other;
  nnk_gap gap;
  nn_real number;  /* smoothing, 1 / temperature, margin */
  double *loss;
  nn_real *da, *db;
  nnk_weight w;
} job;

static int run(job *j, nn_chunk work) {
  return nn_parallel_for(j->rows, nnk_max(1, NNK_GRAIN / nnk_max(1, j->width)), work, j);
}

static inline nn_real weight_of(const job *j, int64_t row) { return j->w.weight[row * j->w.step] * j->w.scale; }

/* log sum_k exp(scale * z_k), as a part above the maximum: scale * top + the value returned. */
NNK_INLINE nn_real log_sum(const nn_real *z, int64_t n, nn_real scale, nn_real *top) {
  *top = nnk_row_max(z, n);
  return log(nnk_row_sum_exp(z, n, *top, scale));
}

/* ---- cross-entropy ---- */

NNK_CLONES static void cross_entropy_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->width;
  double s = j->number;
  for (int64_t row = begin; row < end; row++) {
    const nn_real *z = j->a + row * n;
    nn_real top, above = log_sum(z, n, 1, &top);
    double loss = (double)above - (1 - s) * ((double)z[j->target[row]] - top), sum = 0;
    for (int64_t k = 0; s > 0 && k < n; k++) sum += (double)z[k] - top;
    j->loss[row] = s > 0 ? loss - s / (double)n * sum : loss;
  }
}

int nnk_cross_entropy(double *loss, const nn_real *z, const int32_t *target, int64_t rows, int64_t classes, double s) {
  job j = { .rows = rows, .width = classes, .a = z, .target = target, .number = (nn_real)s, .loss = loss };
  return run(&j, cross_entropy_rows);
}

NNK_CLONES static void cross_entropy_grad_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->width;
  for (int64_t row = begin; row < end; row++) {
    const nn_real *restrict z = j->a + row * n;
    nn_real *restrict dz = j->da + row * n;
    nn_real top = nnk_row_max(z, n), w = weight_of(j, row), s = j->number, even = s / (nn_real)n;
    nn_real share = 1 / nnk_row_sum_exp(z, n, top, 1);
    for (int64_t at = 0; at < n; at += NNK_STRETCH) {
      nn_real here[NNK_STRETCH];
      int64_t whole = nnk_load_stretch(here, z + at, n - at, -INFINITY), held = nnk_min(n - at, NNK_STRETCH);
      for (int64_t k = 0; k < whole; k++) here[k] = w * (nnk_exp_of(here[k] - top) * share - even);
      for (int64_t k = 0; k < held; k++) dz[at + k] += here[k];
    }
    dz[j->target[row]] -= w * (1 - s);
  }
}

int nnk_cross_entropy_grad(nn_real *dz, nnk_weight w, const nn_real *z, const int32_t *target, int64_t rows,
                           int64_t classes, double s) {
  job j = { .rows = rows, .width = classes, .a = z, .target = target, .number = (nn_real)s, .da = dz, .w = w };
  return run(&j, cross_entropy_grad_rows);
}

/* ---- squared distance ---- */

NNK_CLONES static void distance_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->width;
  for (int64_t row = begin; row < end; row++) {
    const nn_real *restrict a = j->a + row * n, *restrict b = j->b + row * n;
    double lane[NNK_LANES] = { 0 };
    int64_t i = 0;
    for (; i + NNK_LANES <= n; i += NNK_LANES) {
      for (int l = 0; l < NNK_LANES; l++) {
        double d = (double)a[i + l] - b[i + l];
        lane[l] += d * d;
      }
    }
    for (int l = 0; i < n; i++, l++) lane[l] += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    j->loss[row] = nnk_fold_wide_lanes(lane);
  }
}

int nnk_squared_distance(double *loss, const nn_real *a, const nn_real *b, int64_t rows, int64_t width) {
  job j = { .rows = rows, .width = width, .a = a, .b = b, .loss = loss };
  return run(&j, distance_rows);
}

NNK_CLONES static void distance_grad_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->width;
  for (int64_t row = begin; row < end; row++) {
    const nn_real *restrict a = j->a + row * n, *restrict b = j->b + row * n;
    nn_real w = 2 * weight_of(j, row);
    if (j->da) {
      nn_real *restrict da = j->da + row * n;
      for (int64_t i = 0; i < n; i++) da[i] += w * (a[i] - b[i]);
    }
    if (j->db) {
      nn_real *restrict db = j->db + row * n;
      for (int64_t i = 0; i < n; i++) db[i] += w * (b[i] - a[i]);
    }
  }
}

int nnk_squared_distance_grad(nn_real *da, nn_real *db, nnk_weight w, const nn_real *a, const nn_real *b, int64_t rows,
                              int64_t width) {
  job j = { .rows = rows, .width = width, .a = a, .b = b, .da = da, .db = db, .w = w };
  return run(&j, distance_grad_rows);
}

/* ---- divergence of Kullback and Leibler ---- */

/* log p_k = rate * (z_k - top) - above. */
typedef struct {
  const nn_real *z;
  nn_real top, above, rate;
} distribution;

NNK_INLINE distribution distribution_of(const nn_real *z, int64_t n, nn_real rate) {
  distribution d = { .z = z, .rate = rate };
  d.above = log_sum(z, n, rate, &d.top);
  return d;
}

/* Logarithms of the shares of one stretch of classes. */
NNK_INLINE int64_t log_shares(nn_real out[NNK_STRETCH], const distribution *d, int64_t at, int64_t n) {
  int64_t whole = nnk_load_stretch(out, d->z + at, n - at, -INFINITY);
  for (int64_t k = 0; k < whole; k++) out[k] = d->rate * (out[k] - d->top) - d->above;
  return whole;
}

/* share * value, and 0 for a share of 0 whatever the value: p log p -> 0. A NaN stays. */
NNK_INLINE nn_real part(nn_real share, nn_real value) {
  nn_real product = share * value;
  return share == 0 ? 0 : product;
}

NNK_INLINE nn_real divergence(const distribution *p, const distribution *q, int64_t n) {
  nn_real log_p[NNK_STRETCH], log_q[NNK_STRETCH], sum[NNK_LANES] = { 0 };
  for (int64_t at = 0; at < n; at += NNK_STRETCH) {
    int64_t whole = log_shares(log_p, p, at, n);
    log_shares(log_q, q, at, n);
    for (int64_t k = 0; k < whole; k++) log_p[k] = part(nnk_exp_of(log_p[k]), log_p[k] - log_q[k]);
    nnk_add_stretch(sum, log_p, whole);
  }
  return nnk_fold_lanes(sum);
}

NNK_CLONES static void divergence_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  for (int64_t row = begin; row < end; row++) {
    distribution p = distribution_of(j->a + row * j->width, j->width, j->number);
    distribution q = distribution_of(j->b + row * j->width, j->width, j->number);
    j->loss[row] = divergence(&p, &q, j->width);
  }
}

int nnk_kl_divergence(double *loss, const nn_real *u, const nn_real *v, int64_t rows, int64_t classes, double t) {
  job j = { .rows = rows, .width = classes, .a = u, .b = v, .number = (nn_real)(1 / t), .loss = loss };
  return run(&j, divergence_rows);
}

NNK_CLONES static void divergence_grad_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->width;
  for (int64_t row = begin; row < end; row++) {
    distribution p = distribution_of(j->a + row * n, n, j->number);
    distribution q = distribution_of(j->b + row * n, n, j->number);
    nn_real w = weight_of(j, row) * j->number, mean = j->da ? divergence(&p, &q, n) : 0;
    for (int64_t at = 0; at < n; at += NNK_STRETCH) {
      nn_real log_p[NNK_STRETCH], log_q[NNK_STRETCH];
      int64_t whole = log_shares(log_p, &p, at, n), held = nnk_min(n - at, NNK_STRETCH);
      log_shares(log_q, &q, at, n);
      for (int64_t k = 0; k < whole; k++) {
        nn_real share = nnk_exp_of(log_p[k]), other = nnk_exp_of(log_q[k]);
        log_p[k] = w * part(share, log_p[k] - log_q[k] - mean);
        log_q[k] = w * (other - share);
      }
      for (int64_t k = 0; j->da && k < held; k++) j->da[row * n + at + k] += log_p[k];
      for (int64_t k = 0; j->db && k < held; k++) j->db[row * n + at + k] += log_q[k];
    }
  }
}

int nnk_kl_divergence_grad(nn_real *du, nn_real *dv, nnk_weight w, const nn_real *u, const nn_real *v, int64_t rows,
                           int64_t classes, double t) {
  job j = { .rows = rows, .width = classes, .a = u, .b = v, .number = (nn_real)(1 / t), .da = du, .db = dv, .w = w };
  return run(&j, divergence_grad_rows);
}

/* ---- hinge ---- */

static void hinge_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->width;
  for (int64_t row = begin; row < end; row++) {
    const nn_real *z = j->a + row * n;
    double sum = 0;
    for (int64_t k = 0; k < n; k++) {
      nn_real excess = j->number - z[j->target[row]] + z[k];
      if (k != j->target[row] && !(excess <= 0)) sum += excess;
    }
    j->loss[row] = sum;
  }
}

int nnk_hinge(double *loss, const nn_real *z, const int32_t *target, int64_t rows, int64_t classes, double margin) {
  job j = { .rows = rows, .width = classes, .a = z, .target = target, .number = (nn_real)margin, .loss = loss };
  return run(&j, hinge_rows);
}

static void hinge_grad_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  int64_t n = j->width;
  for (int64_t row = begin; row < end; row++) {
    const nn_real *z = j->a + row * n;
    nn_real *dz = j->da + row * n, w = weight_of(j, row);
    int32_t y = j->target[row];
    int64_t inside = 0;
    for (int64_t k = 0; k < n; k++) {
      if (k == y || j->number - z[y] + z[k] <= 0) continue;
      dz[k] += w;
      inside++;
    }
    dz[y] -= w * (nn_real)inside;
  }
}

int nnk_hinge_grad(nn_real *dz, nnk_weight w, const nn_real *z, const int32_t *target, int64_t rows, int64_t classes,
                   double margin) {
  job j = { .rows = rows, .width = classes, .a = z, .target = target, .number = (nn_real)margin, .da = dz, .w = w };
  return run(&j, hinge_grad_rows);
}

/* ---- gaps ---- */

enum { TOP = 4 };

/* A row's gap is (z[to] - z[from]) / divisor; divisor = z[top 0] - mean of z[top 2 .. 2 + lower), or 1 for lower 0. */
typedef struct {
  int32_t to, from, top[TOP];
  int lower;
  double divisor, gap;
} gap_parts;

/* The places of the greatest, in order, the first of equals first; NaN counts as least. */
static void find_top(int32_t top[TOP], const nn_real *z, int64_t n) {
  int found = 0;
  for (int64_t k = 0; k < n; k++) {
    int at = found;
    while (at > 0 && (z[k] > z[top[at - 1]] || isnan(z[top[at - 1]]))) at--;
    if (at == TOP) continue;
    for (int i = found < TOP ? found : TOP - 1; i > at; i--) top[i] = top[i - 1];
    top[at] = (int32_t)k;
    if (found < TOP) found++;
  }
}

static gap_parts gap_of(const job *j, int64_t row) {
  const nn_real *z = j->a + row * j->width;
  gap_parts g = { .from = j->target[row], .divisor = 1 };
  bool aims = j->gap == NNK_DLR_TARGETED || j->gap == NNK_DIFFERENCE;
  find_top(g.top, z, j->width);
  g.to = aims ? j->other[row] : g.top[0] != g.from ? g.top[0] : g.top[1];
  g.lower = j->gap == NNK_DLR ? 1 : j->gap == NNK_DLR_TARGETED ? 2 : 0;
  if (g.lower > 0) {
    double lower = 0;
    for (int i = 0; i < g.lower; i++) lower += (double)z[g.top[2 + i]] / g.lower;
    g.divisor = (double)z[g.top[0]] - lower + 1e-12;
  }
  g.gap = ((double)z[g.to] - (double)z[g.from]) / g.divisor;
  return g;
}

static void gap_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  for (int64_t row = begin; row < end; row++) j->loss[row] = gap_of(j, row).gap;
}

int nnk_gap_loss(double *loss, nnk_gap kind, const nn_real *z, const int32_t *y, const int32_t *target, int64_t rows,
                 int64_t classes) {
  job j = { .rows = rows, .width = classes, .a = z, .target = y, .other = target, .gap = kind, .loss = loss };
  return run(&j, gap_rows);
}

/* d gap = (dz_to - dz_from) / divisor - gap / divisor * d divisor */
static void gap_grad_rows(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  for (int64_t row = begin; row < end; row++) {
    gap_parts g = gap_of(j, row);
    nn_real *dz = j->da + row * j->width;
    double w = (double)weight_of(j, row) / g.divisor;
    dz[g.to] += (nn_real)w;
    dz[g.from] -= (nn_real)w;
    if (g.lower == 0) continue;
    dz[g.top[0]] -= (nn_real)(w * g.gap);
    for (int i = 0; i < g.lower; i++) dz[g.top[2 + i]] += (nn_real)(w * g.gap / g.lower);
  }
}

int nnk_gap_loss_grad(nn_real *dz, nnk_weight w, nnk_gap kind, const nn_real *z, const int32_t *y,
                      const int32_t *target, int64_t rows, int64_t classes) {
  job j = { .rows = rows, .width = classes, .a = z, .target = y, .other = target, .gap = kind, .da = dz, .w = w };
  return run(&j, gap_grad_rows);
}
