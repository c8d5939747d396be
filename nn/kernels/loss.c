/* loss.c -- losses of a batch, row by row. Nothing but the inputs is kept for backward: a row's softmax costs less to
 * compute again than to store and read. */
#include <tgmath.h>

#include "kernels/loss.h"
#include "kernels/vecmath.h"

typedef struct {
  int64_t rows, width;
  const nn_real *a, *b;
  const int32_t *target;
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
    for (int64_t k = 0; k < n; k++) dz[k] += w * (nnk_exp_of(z[k] - top) * share - even);
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
    double sum = 0;
    for (int l = 0; l < NNK_LANES; l++) sum += lane[l];
    j->loss[row] = sum;
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

/* log p_k = (z_k - top) / t - above. A p of 0 contributes nothing: p log p -> 0. */
typedef struct {
  const nn_real *z;
  nn_real top, above, rate;
} distribution;

NNK_INLINE distribution distribution_of(const nn_real *z, int64_t n, nn_real rate) {
  distribution d = { .z = z, .rate = rate };
  d.above = log_sum(z, n, rate, &d.top);
  return d;
}

NNK_INLINE nn_real log_share(const distribution *d, int64_t k) { return d->rate * (d->z[k] - d->top) - d->above; }

NNK_INLINE double divergence(const distribution *p, const distribution *q, int64_t n) {
  double sum = 0;
  for (int64_t k = 0; k < n; k++) {
    nn_real log_p = log_share(p, k), share = nnk_exp_of(log_p);
    sum += share > 0 || share != share ? (double)share * ((double)log_p - log_share(q, k)) : 0;
  }
  return sum;
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
    nn_real w = weight_of(j, row) * j->number, mean = j->da ? (nn_real)divergence(&p, &q, n) : 0;
    for (int64_t k = 0; k < n; k++) {
      nn_real log_p = log_share(&p, k), log_q = log_share(&q, k), share = nnk_exp_of(log_p);
      if (j->da) j->da[row * n + k] += share > 0 || share != share ? w * share * (log_p - log_q - mean) : 0;
      if (j->db) j->db[row * n + k] += w * (nnk_exp_of(log_q) - share);
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
