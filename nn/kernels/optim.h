/* optim.h -- one update of a stretch of a parameter: everything in one pass over it. Serial: the caller cuts. */
#ifndef NN_KERNELS_OPTIM_H
#define NN_KERNELS_OPTIM_H

#include "kernels/kernels.h"

typedef struct {
  nn_real lr, momentum, damped, weight_decay;  /* damped: 1 - dampening */
  bool nesterov;
  bool fresh;                                  /* the buffer starts as the first gradient */
} nnk_sgd;

/* g = grad + weight_decay p;  buffer = momentum buffer + damped g;  p -= lr (nesterov ? g + momentum buffer : buffer).
 * Without a buffer (NULL): p -= lr g. */
void nnk_sgd_update(nn_real *p, nn_real *buffer, const nn_real *grad, int64_t count, const nnk_sgd *s);

typedef struct {
  nn_real beta1, beta2, eps, weight_decay;
  nn_real keep;              /* decoupled decay: p *= keep first */
  nn_real rest1, rest2;      /* 1 - beta, taken in double: 1 - 0.999f is wrong in the fifth digit */
  nn_real rate, correction;  /* lr / (1 - beta1^t), sqrt(1 - beta2^t) */
} nnk_adam;

/* g = grad + weight_decay p;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
 * p = keep p - rate m / (sqrt(v) / correction + eps) */
void nnk_adam_update(nn_real *p, nn_real *m, nn_real *v, const nn_real *grad, int64_t count, const nnk_adam *s);

double nnk_sum_squares(const nn_real *x, int64_t count);
void nnk_scale(nn_real *x, int64_t count, nn_real factor);
void nnk_clip(nn_real *x, int64_t count, nn_real limit);  /* to [-limit, limit]; NaN stays */
/* average = decay average + (1 - decay) x */
void nnk_average(nn_real *average, const nn_real *x, int64_t count, nn_real decay);

#endif
