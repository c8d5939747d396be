/* conv.c -- which way a convolution takes, and the calls that need nothing prepared. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "kernels/conv.h"
#include "kernels/direct.h"
#include "kernels/strided.h"
#include "kernels/winograd.h"

typedef enum { DIRECT, WINOGRAD, STRIDED } way;

static const char *const precisions[] = { [NNK_FAST] = "fast", [NNK_EXACT] = "exact" };
static nnk_precision precision_now = NNK_FAST;

nnk_precision nni_precision(void) { return precision_now; }
const char *nn_precision(void) { return precisions[precision_now]; }

int nn_set_precision(const char *name) {
  for (int i = NNK_FAST; i <= NNK_EXACT; i++) {
    if (strcmp(name, precisions[i]) != 0) continue;
    precision_now = (nnk_precision)i;
    return NN_OK;
  }
  return nn_fail(NN_EARGUMENT, "precision: \"fast\" or \"exact\" expected, got \"%s\"", name);
}

/* One line of an image, and what one element of a result is summed over, fit an int. */
static int check_sizes(const nnk_conv *s) {
  int64_t depth = s->kernel_height * s->kernel_width * nnk_max(s->channels, s->out_channels);
  if (depth <= INT_MAX && s->out_width * s->channels <= INT_MAX && s->width * s->out_channels <= INT_MAX) return NN_OK;
  return nn_fail(NN_ESHAPE, "image lines and kernels of at most 2^31 - 1 elements expected");
}

/* Fast ways know what they suit: where their counted products and transforms, at measured rates, take less time than
 * the products of a direct way. Exact results are sums of the products that define them. */
int nnk_conv_choose(nnk_conv_method *m, const nnk_conv *shape, nnk_conv_pass pass, nnk_precision precision) {
  int status = check_sizes(shape);
  if (status != NN_OK) return status;
  nnk_conv_method chosen = { .shape = *shape, .pass = pass, .way = DIRECT };
  if (precision == NNK_FAST && nnk_winograd_suits(shape, pass)) {
    chosen.way = WINOGRAD;
    if (pass != NNK_GRAD_WEIGHT) chosen.weights = nnk_winograd_weights(shape, pass);
  } else if (precision == NNK_FAST && nnk_strided_suits(shape, pass)) {
    chosen.way = STRIDED;
    if (pass != NNK_GRAD_WEIGHT) chosen.weights = nnk_strided_weights(shape, pass);
  } else {
    status = nnk_direct_choose(&chosen);
  }
  if (status == NN_OK) *m = chosen;
  return status;
}

/* Errors of n sums walk at random (Higham and Mary 2019: sqrt(n) u, nearly always); 8 is for what is fused. Winograd's
 * transforms make terms and their errors larger. */
double nnk_conv_bound(const nnk_conv_method *m) {
  const nnk_conv *s = &m->shape;
  int64_t taps = s->kernel_height * s->kernel_width, terms = s->images * s->out_height * s->out_width;
  if (m->pass == NNK_FORWARD) terms = taps * s->channels / s->groups;
  if (m->pass == NNK_GRAD_INPUT) terms = taps * s->out_channels / s->groups;
  return (8 + sqrt((double)terms)) * (m->way == DIRECT ? 1 : 10);
}

int nnk_conv_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale) {
  static __typeof__(nnk_direct_prepare) *const prepare[] = {
    [DIRECT] = nnk_direct_prepare, [WINOGRAD] = nnk_winograd_prepare, [STRIDED] = nnk_strided_prepare
  };
  return prepare[m->way](m, prepared, weight, scale);
}

int nnk_conv_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared) {
  static __typeof__(nnk_direct_run) *const run[] = {
    [DIRECT] = nnk_direct_run, [WINOGRAD] = nnk_winograd_run, [STRIDED] = nnk_strided_run
  };
  return run[m->way](m, sink, source, prepared);
}

int nnk_conv_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x) {
  static __typeof__(nnk_direct_weigh) *const weigh[] = {
    [DIRECT] = nnk_direct_weigh, [WINOGRAD] = nnk_winograd_weigh, [STRIDED] = nnk_strided_weigh
  };
  return weigh[m->way](m, dweight, dy, x);
}

/* No images, or none of their channels: results are empty, and nothing is added to gradients. */
static bool nothing(const nnk_conv *s) { return s->images == 0 || s->out_channels == 0; }

static int run_once(const nnk_conv *s, nnk_conv_pass pass, const nnk_sink *sink, const nn_real *from,
                    const nn_real *weight) {
  nnk_conv_method m;
  if (nothing(s)) return NN_OK;
  int status = nnk_conv_choose(&m, s, pass, nni_precision());
  if (status != NN_OK) return status;
  void *prepared = nn_memory_get(m.weights);
  if (!prepared) return NN_EMEMORY;
  status = nnk_conv_prepare(&m, prepared, weight, NULL);
  if (status == NN_OK) status = nnk_conv_run(&m, sink, &(nnk_source){ .x = from }, prepared);
  nn_memory_put(prepared);
  return status;
}

int nnk_conv2d(nn_real *y, const nn_real *x, const nn_real *weight, const nn_real *bias, const nnk_conv *s) {
  return run_once(s, NNK_FORWARD, &(nnk_sink){ .y = y, .bias = bias }, x, weight);
}

int nnk_conv2d_grad_input(nn_real *dx, const nn_real *dy, const nn_real *weight, const nnk_conv *s) {
  return run_once(s, NNK_GRAD_INPUT, &(nnk_sink){ .y = dx, .residual = dx }, dy, weight);
}

int nnk_conv2d_grad_weight(nn_real *dweight, const nn_real *dy, const nn_real *x, const nnk_conv *s) {
  nnk_conv_method m;
  if (nothing(s)) return NN_OK;
  int status = nnk_conv_choose(&m, s, NNK_GRAD_WEIGHT, nni_precision());
  if (status != NN_OK) return status;
  return nnk_conv_weigh(&m, dweight, &(nnk_source){ .x = dy }, &(nnk_source){ .x = x });
}
