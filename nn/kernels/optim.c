/* optim.c -- fused parameter updates: momentum and Nesterov's as torch has them, Adam (Kingma & Ba 2015) and AdamW
 * (Loshchilov & Hutter 2019). */
#include <math.h>

#include "kernels/optim.h"

#ifdef NN_DOUBLE
#define square_root sqrt
#else
#define square_root sqrtf
#endif

NNK_CLONES
void nnk_sgd_update(nn_real *restrict p, nn_real *restrict buffer, const nn_real *restrict grad, int64_t count,
                    const nnk_sgd *s) {
  nn_real lr = s->lr, momentum = s->momentum, damped = s->damped, decay = s->weight_decay;
  if (!buffer) {
    for (int64_t i = 0; i < count; i++) p[i] -= lr * (grad[i] + decay * p[i]);
    return;
  }
  bool fresh = s->fresh, nesterov = s->nesterov;
  for (int64_t i = 0; i < count; i++) {
    nn_real g = grad[i] + decay * p[i], old = momentum * buffer[i] + damped * g, b = fresh ? g : old;
    buffer[i] = b;
    p[i] -= lr * (nesterov ? g + momentum * b : b);
  }
}

NNK_CLONES
void nnk_adam_update(nn_real *restrict p, nn_real *restrict m, nn_real *restrict v, const nn_real *restrict grad,
                     int64_t count, const nnk_adam *s) {
  nn_real beta1 = s->beta1, beta2 = s->beta2, eps = s->eps, decay = s->weight_decay, keep = s->keep, rate = s->rate;
  nn_real rest1 = s->rest1, rest2 = s->rest2, correction = s->correction;
  for (int64_t i = 0; i < count; i++) {
    nn_real g = grad[i] + decay * p[i];
    m[i] = beta1 * m[i] + rest1 * g;
    v[i] = beta2 * v[i] + rest2 * (g * g);
    p[i] = keep * p[i] - rate * (m[i] / (square_root(v[i]) / correction + eps));
  }
}

NNK_CLONES
double nnk_sum_squares(const nn_real *x, int64_t count) {
  double lane[NNK_LANES] = { 0 }, total = 0;
  int64_t i = 0;
  for (; i + NNK_LANES <= count; i += NNK_LANES)
    for (int k = 0; k < NNK_LANES; k++) lane[k] += (double)x[i + k] * (double)x[i + k];
  for (int k = 0; k < NNK_LANES; k++) total += lane[k];
  for (; i < count; i++) total += (double)x[i] * (double)x[i];
  return total;
}

NNK_CLONES
void nnk_scale(nn_real *x, int64_t count, nn_real factor) {
  for (int64_t i = 0; i < count; i++) x[i] *= factor;
}

NNK_CLONES
void nnk_clip(nn_real *x, int64_t count, nn_real limit) {
  for (int64_t i = 0; i < count; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

NNK_CLONES
void nnk_average(nn_real *restrict average, const nn_real *restrict x, int64_t count, nn_real decay) {
  nn_real rest = 1 - decay;
  for (int64_t i = 0; i < count; i++) average[i] = decay * average[i] + rest * x[i];
}
