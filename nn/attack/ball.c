/* ball.c -- threat models: the L-infinity and the L2 ball, cut by the range of pixels. */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "kernels/kernels.h"

/* Keeps these draws apart from all others made from the same seed. */
static const uint64_t draw_stream = 0x61747461636b00u;
enum { DIRECTION, RADIUS };

uint64_t nni_draw_seed(const nni_draw *d, uint64_t stream) {
  uint64_t restart = nn_random_derive(d->seed, draw_stream + stream, (uint64_t)d->restart);
  return nn_random_derive(restart, 0, (uint64_t)d->number);
}

/* ||a - b||_2^2, in fixed lanes. */
NNK_CLONES static double squares_between(const nn_real *a, const nn_real *b, int64_t n) {
  double lane[NNK_LANES] = { 0 }, sum = 0;
  int64_t whole = n - n % NNK_LANES;
  for (int64_t i = 0; i < whole; i += NNK_LANES) {
    for (int l = 0; l < NNK_LANES; l++) {
      double d = (double)a[i + l] - (double)b[i + l];
      lane[l] += d * d;
    }
  }
  for (int64_t i = whole; i < n; i++) lane[i - whole] += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
  for (int l = 0; l < NNK_LANES; l++) sum += lane[l];
  return sum;
}

NNK_CLONES static double squares_of(const nn_real *a, int64_t n) {
  double lane[NNK_LANES] = { 0 }, sum = 0;
  int64_t whole = n - n % NNK_LANES;
  for (int64_t i = 0; i < whole; i += NNK_LANES)
    for (int l = 0; l < NNK_LANES; l++) lane[l] += (double)a[i + l] * (double)a[i + l];
  for (int64_t i = whole; i < n; i++) lane[i - whole] += (double)a[i] * (double)a[i];
  for (int l = 0; l < NNK_LANES; l++) sum += lane[l];
  return sum;
}

NNK_CLONES static double greatest_between(const nn_real *a, const nn_real *b, int64_t n) {
  nn_real most = 0;
  for (int64_t i = 0; i < n; i++) {
    nn_real d = b ? a[i] - b[i] : a[i], size = d < 0 ? -d : d;
    most = size > most ? size : most;
  }
  return (double)most;
}

double nni_ball_distance(const nni_ball *b, const nn_real *a, const nn_real *other) {
  if (b->norm == NNI_LINF) return greatest_between(a, other, b->pixels);
  return sqrt(other ? squares_between(a, other, b->pixels) : squares_of(a, b->pixels));
}

/* at = clip(at, max(0, x - eps), min(1, x + eps)) */
NNK_CLONES static void clip_box(nn_real *restrict at, const nn_real *restrict x, nn_real eps, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    nn_real low = x[i] - eps, high = x[i] + eps, v = at[i];
    low = low < 0 ? 0 : low;
    high = high > 1 ? 1 : high;
    v = v > low ? v : low;
    at[i] = v < high ? v : high;
  }
}

/* at = clip(x + factor (at - x), 0, 1) */
NNK_CLONES static void shrink_and_clip(nn_real *restrict at, const nn_real *restrict x, nn_real factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    nn_real v = x[i] + factor * (at[i] - x[i]);
    v = v > 0 ? v : 0;
    at[i] = v < 1 ? v : 1;
  }
}

void nni_ball_project(const nni_ball *b, nn_real *at, const nn_real *x) {
  if (b->norm == NNI_LINF) {
    clip_box(at, x, b->eps, b->pixels);
    return;
  }
  double length = sqrt(squares_between(at, x, b->pixels));
  if (!isfinite(length)) {
    memcpy(at, x, (size_t)b->pixels * sizeof *at);
    return;
  }
  shrink_and_clip(at, x, length > (double)b->eps ? (nn_real)((double)b->eps / length) : 1, b->pixels);
}

NNK_CLONES static void scale(nn_real *a, nn_real factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) a[i] *= factor;
}

/* In the L2 ball a direction of the normal distribution, and a radius whose n-th power is uniform. */
int nni_ball_sample(const nni_ball *b, nn_real *delta, const nni_draw *draw) {
  uint64_t seed = nni_draw_seed(draw, 0);
  if (b->norm == NNI_LINF)
    return nn_random_fill_uniform(delta, b->pixels, -(double)b->eps, (double)b->eps, seed, DIRECTION);
  int status = nn_random_fill_normal(delta, b->pixels, 0, 1, seed, DIRECTION);
  if (status != NN_OK) return status;
  double length = sqrt(squares_of(delta, b->pixels));
  double radius = (double)b->eps * pow(nn_random_uniform(seed, RADIUS, 0), 1 / (double)b->pixels);
  scale(delta, length > 0 ? (nn_real)(radius / length) : 0, b->pixels);
  return NN_OK;
}

/* at += length sign(g) */
NNK_CLONES static void add_signs(nn_real *restrict at, const nn_real *restrict g, nn_real length, int64_t n) {
  for (int64_t i = 0; i < n; i++) at[i] += length * (nn_real)((g[i] > 0) - (g[i] < 0));
}

/* at += factor g; the factor of a saturated model's gradient can be too great for a float. */
NNK_CLONES static void add_scaled(nn_real *restrict at, const nn_real *restrict g, double factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) at[i] += (nn_real)(factor * (double)g[i]);
}

void nni_ball_step(const nni_ball *b, nn_real *at, const nn_real *g, nn_real length) {
  if (b->norm == NNI_LINF) {
    add_signs(at, g, length, b->pixels);
    return;
  }
  double norm = sqrt(squares_of(g, b->pixels));
  if (norm > 0) add_scaled(at, g, (double)length / norm, b->pixels);
}
