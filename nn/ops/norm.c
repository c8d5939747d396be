/* norm.c -- batch normalisation over the last axis (Ioffe & Szegedy 2015). */
#include <math.h>

#include "autograd/op.h"
#include "kernels/norm.h"

enum { X, WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, INPUTS };
enum { TRAINING, MOMENTUM, EPS };
enum { MEAN, SCALE };  /* kept: the mean that was subtracted, and 1 / sqrt(variance + eps) */

static int64_t channels_of(const nn_call *c) { return c->x_shape[X].size[c->x_shape[X].axes - 1]; }
static int64_t rows_of(const nn_call *c) { return nni_shape_span(&c->x_shape[X], 0, c->x_shape[X].axes - 1); }

static int batch_norm_shape(nn_call *c) {
  static const char *const names[] = { "x", "weight", "bias", "running_mean", "running_var" };
  const nn_shape *x = &c->x_shape[X];
  if (x->axes < 2) return nn_fail(NN_ESHAPE, "x expects at least 2 axes, the last of them channels, got %d", x->axes);
  for (int i = WEIGHT; i < INPUTS; i++) {
    const nn_shape *s = &c->x_shape[i];
    if (s->axes < 0) continue;
    if (s->axes != 1) return nn_fail(NN_ESHAPE, "%s expects 1 axis, got %d", names[i], s->axes);
    if (s->size[0] != channels_of(c))
      return nn_fail(NN_ESHAPE, "%s expects %lld channels, got %lld", names[i], (long long)channels_of(c),
                     (long long)s->size[0]);
  }
  if ((c->x_shape[RUNNING_MEAN].axes < 0) != (c->x_shape[RUNNING_VAR].axes < 0))
    return nn_fail(NN_ESHAPE, "running_mean and running_var expected together, got one of them");
  if (c->param[TRAINING].integer && rows_of(c) < 2)
    return nn_fail(NN_ESHAPE, "x expects more than 1 value per channel in training, got %lld", (long long)rows_of(c));
  if (!c->param[TRAINING].integer && c->x_shape[RUNNING_MEAN].axes < 0)
    return nn_fail(NN_ESHAPE, "running_mean and running_var expected in evaluation, got none");
  c->y_shape = *x;
  return NN_OK;
}

/* scale and shift, as in evaluation */
static double batch_norm_flops(const nn_call *c) { return 2 * (double)nni_shape_count(&c->y_shape); }

/* running = (1 - momentum) running + momentum * of the batch; the variance kept is the unbiased one */
static void update_running(nn_call *c, const double *mean, const double *variance) {
  nn_real *running_mean = nn_tensor_write(c->x[RUNNING_MEAN]), *running_var = nn_tensor_write(c->x[RUNNING_VAR]);
  double momentum = c->param[MOMENTUM].number, rows = (double)rows_of(c);
  for (int64_t i = 0; i < channels_of(c); i++) {
    running_mean[i] = (nn_real)((1 - momentum) * (double)running_mean[i] + momentum * mean[i]);
    running_var[i] = (nn_real)((1 - momentum) * (double)running_var[i] + momentum * variance[i] * rows / (rows - 1));
  }
}

/* y = (x - mean) / sqrt(variance + eps) * weight + bias */
static int batch_norm_forward(nn_call *c) {
  int64_t channels = channels_of(c), rows = rows_of(c);
  bool training = c->param[TRAINING].integer;
  double *mean = nn_memory_get((size_t)channels * (2 * sizeof(double) + 2 * sizeof(nn_real))),
         *variance = mean + channels;
  nn_real *scale = (nn_real *)(variance + channels), *shift = scale + channels;
  int status = mean ? NN_OK : NN_EMEMORY;
  for (int i = MEAN; i <= SCALE && status == NN_OK; i++) {
    c->kept[i] = nn_tensor_new(NN_REAL, 1, &channels);
    if (!c->kept[i]) status = NN_EMEMORY;
  }
  if (status == NN_OK && training)
    status = nnk_channel_moments(mean, variance, nni_real(c->x[X]), rows, channels);
  if (status == NN_OK) {
    for (int64_t i = 0; i < channels; i++) {
      double m = training ? mean[i] : (double)nni_real(c->x[RUNNING_MEAN])[i];
      double v = training ? variance[i] : (double)nni_real(c->x[RUNNING_VAR])[i];
      double inverse = 1 / sqrt(v + c->param[EPS].number);
      nni_real(c->kept[MEAN])[i] = (nn_real)m;
      nni_real(c->kept[SCALE])[i] = (nn_real)inverse;
      scale[i] = (nn_real)(c->x[WEIGHT] ? inverse * (double)nni_real(c->x[WEIGHT])[i] : inverse);
      shift[i] = c->x[BIAS] ? nni_real(c->x[BIAS])[i] : 0;
    }
    status = nnk_channel_affine(nni_real(c->y), nni_real(c->x[X]), nni_real(c->kept[MEAN]), scale, shift, rows,
                                channels);
  }
  if (status == NN_OK && training && c->x[RUNNING_MEAN]) update_running(c, mean, variance);
  nn_memory_put(mean);
  return status;
}

/* With s = 1 / sqrt(variance + eps), h = (x - mean) s, n rows:
 *   evaluation: dx += dy weight s
 *   training:   dx += weight s (dy - sum(dy) / n - h sum(dy h) / n)
 *   dweight += sum(dy h), dbias += sum(dy)
 *   evaluation also: drunning_mean -= sum(dy) weight s, drunning_var -= sum(dy h) weight s^2 / 2 */
static int batch_norm_backward(nn_call *c) {
  int64_t channels = channels_of(c), rows = rows_of(c);
  bool training = c->param[TRAINING].integer;
  const nn_real *x = nni_real(c->x[X]), *dy = nni_real(c->dy), *mean = nni_real(c->kept[MEAN]);
  double *sum_dy = nn_memory_get((size_t)channels * (2 * sizeof(double) + 3 * sizeof(nn_real)));
  if (!sum_dy) return NN_EMEMORY;
  double *sum_dyx = sum_dy + channels;
  nn_real *a = (nn_real *)(sum_dyx + channels), *b = a + channels, *d = b + channels;
  bool sums = training || c->dx[WEIGHT] || c->dx[BIAS] || c->dx[RUNNING_MEAN] || c->dx[RUNNING_VAR];
  int status = sums ? nnk_channel_products(sum_dy, sum_dyx, dy, x, mean, rows, channels) : NN_OK;
  for (int64_t i = 0; i < channels && status == NN_OK; i++) {
    double s = (double)nni_real(c->kept[SCALE])[i], ws = c->x[WEIGHT] ? s * (double)nni_real(c->x[WEIGHT])[i] : s;
    a[i] = (nn_real)ws;
    b[i] = training ? (nn_real)(-ws * sum_dyx[i] * s * s / (double)rows) : 0;
    d[i] = training ? (nn_real)(-ws * sum_dy[i] / (double)rows) : 0;
    if (c->dx[WEIGHT]) nni_real(c->dx[WEIGHT])[i] += (nn_real)(sum_dyx[i] * s);
    if (c->dx[BIAS]) nni_real(c->dx[BIAS])[i] += (nn_real)sum_dy[i];
    if (training) continue;
    if (c->dx[RUNNING_MEAN]) nni_real(c->dx[RUNNING_MEAN])[i] -= (nn_real)(sum_dy[i] * ws);
    if (c->dx[RUNNING_VAR]) nni_real(c->dx[RUNNING_VAR])[i] -= (nn_real)(sum_dyx[i] * s * ws * s / 2);
  }
  if (status == NN_OK && c->dx[X])
    status = nnk_channel_affine_grad(nni_real(c->dx[X]), dy, x, mean, a, b, d, rows, channels);
  nn_memory_put(sum_dy);
  return status;
}

const nn_op nn_ops_norm[] = {
  { .name = "batch_norm",
    .signature = "x:tensor weight:tensor? bias:tensor? running_mean:tensor? running_var:tensor? "
                 "{training:boolean=false, momentum:number=0.1 >=0 <=1, eps:number=1e-5 >0}",
    .doc = "Normalises each channel (last axis) of x, then y = normalised * weight + bias. In training by the batch's "
           "mean and biased variance, and running_mean and running_var, both contiguous, are overwritten: "
           "running = (1 - momentum) running + momentum * (mean, unbiased variance) of the batch. In "
           "evaluation by the running statistics.",
    .returns = "float, x's shape",
    .example = "x = nn.tensor { { 1, 10 }, { 3, 30 } }\n"
               "nn.batch_norm(x, { training = true })\n"
               "--> float [2x2]  min -1  mean 0  max 1\n"
               "-->          -1        -1\n"
               "-->           1         1\n"
               "mean, var = nn.tensor { 2, 0 }, nn.tensor { 1, 100 }\n"
               "nn.batch_norm(x, nil, nil, mean, var)\n"
               "--> float [2x2]  min -1  mean 1  max 3\n"
               "-->          -1         1\n"
               "-->           1         3\n"
               "nn.batch_norm(nn.ones { 4, 3 })\n"
               "--> error: batch_norm: running_mean and running_var expected in evaluation, got none (x [4x3], ...)",
    .shape = batch_norm_shape,
    .forward = batch_norm_forward,
    .backward = batch_norm_backward,
    .flops = batch_norm_flops,
    .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .writes = NN_SAVE_X3 | NN_SAVE_X4,
    .check = "x=4x3 weight=3 bias=3 running_mean=3 running_var=3 in 0.5..2;"
             "x=2x3x2x4 running_mean=4 running_var=4 in 0.5..2;"
             "x=5x3 weight=3 bias=3 training=true; x=2x2x3x4 weight=4 bias=4 training=true; x=6x2 training=true" },
  { 0 },
};
