/* layer.c -- layers: modules around one op row, with its weights.
 *
 * Initialisation follows torch: "default" draws weight and bias from U(-1/sqrt(fan_in), 1/sqrt(fan_in)); the kaiming
 * ones (He et al. 2015) draw the weight from N(0, 2 / fan).
 */
#include <math.h>

#include "module/module.h"
#include "tensor/tensor.h"

/* ---- convolution and linear ---- */

enum { CONV_IN, CONV_OUT, CONV_SIZE, CONV_STRIDE, CONV_PADDING, CONV_DILATION, CONV_GROUPS, CONV_BIAS, CONV_INIT };
enum { LINEAR_IN, LINEAR_OUT, LINEAR_BIAS, LINEAR_INIT };
enum { INIT_DEFAULT, INIT_FAN_OUT, INIT_FAN_IN };

static int conv_build(nn_module *m) {
  int64_t in = m->param[CONV_IN].integer, out = m->param[CONV_OUT].integer, side = m->param[CONV_SIZE].integer;
  int64_t groups = m->param[CONV_GROUPS].integer;
  if (in % groups || out % groups)
    return nn_fail(NN_EARGUMENT, "channels %lld -> %lld cannot be cut into %lld groups", (long long)in, (long long)out,
                   (long long)groups);
  for (int i = 0; i < 4; i++) m->op_param[i] = m->param[CONV_STRIDE + i];
  int status = nni_module_slot(m, "weight", false, 4, (int64_t[]){ side, side, in / groups, out });
  return status == NN_OK && m->param[CONV_BIAS].integer ? nni_module_slot(m, "bias", false, 1, &out) : status;
}

static int linear_build(nn_module *m) {
  int64_t in = m->param[LINEAR_IN].integer, out = m->param[LINEAR_OUT].integer;
  int status = nni_module_slot(m, "weight", false, 2, (int64_t[]){ out, in });
  return status == NN_OK && m->param[LINEAR_BIAS].integer ? nni_module_slot(m, "bias", false, 1, &out) : status;
}

/* Slot 0 is the weight, slot 1 the bias if there is one. */
static int initialise_weights(nn_module *m, int64_t init, double fan_in, double fan_out, uint64_t seed,
                              uint64_t stream) {
  double bound = 1 / sqrt(fan_in);
  for (int i = 0; i < m->slots; i++) {
    nn_tensor *t = m->slot[i].tensor;
    nn_real *out = nn_tensor_write(t);
    int64_t count = nn_tensor_count(t);
    bool kaiming = i == 0 && init != INIT_DEFAULT;
    double deviation = sqrt(2 / (init == INIT_FAN_OUT ? fan_out : fan_in));
    int status = kaiming ? nn_random_fill_normal(out, count, 0, deviation, seed, stream)
                         : nn_random_fill_uniform(out, count, -bound, bound, seed, stream + (uint64_t)i);
    if (status != NN_OK) return status;
  }
  return NN_OK;
}

static int conv_initialise(nn_module *m, uint64_t seed, uint64_t stream) {
  const int64_t *size = nn_tensor_sizes(m->slot[0].tensor);
  double taps = (double)(size[0] * size[1]);
  return initialise_weights(m, m->param[CONV_INIT].integer, taps * (double)size[2], taps * (double)size[3], seed,
                            stream);
}

static int linear_initialise(nn_module *m, uint64_t seed, uint64_t stream) {
  const int64_t *size = nn_tensor_sizes(m->slot[0].tensor);
  return initialise_weights(m, m->param[LINEAR_INIT].integer ? INIT_FAN_IN : INIT_DEFAULT, (double)size[1],
                            (double)size[0], seed, stream);
}

/* op(x, weight, bias) */
static int weighted_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  (void)pass;
  nn_tensor *inputs[] = { x, m->slot[0].tensor, m->slots > 1 ? m->slot[1].tensor : NULL };
  return nn_apply(m->op, inputs, 3, m->op_param, y);
}

static int conv_trace(nn_module *m, nni_graph *g, int x, int *y) {
  return nni_trace_row(m, g, NNI_CONV, x, m->op_param, y);
}

static int linear_trace(nn_module *m, nni_graph *g, int x, int *y) {
  return nni_trace_row(m, g, NNI_ROW, x, m->op_param, y);
}

/* ---- batch norm ---- */

enum { NORM_CHANNELS, NORM_EPS, NORM_MOMENTUM };

static int batch_norm_build(nn_module *m) {
  int64_t channels = m->param[NORM_CHANNELS].integer;
  static const char *const names[] = { "weight", "bias", "running_mean", "running_var" };
  int status = NN_OK;
  for (int i = 0; i < 4 && status == NN_OK; i++) status = nni_module_slot(m, names[i], i >= 2, 1, &channels);
  return status;
}

static int batch_norm_initialise(nn_module *m, uint64_t seed, uint64_t stream) {
  (void)seed, (void)stream;
  static const double values[] = { 1, 0, 0, 1 };
  int status = NN_OK;
  for (int i = 0; i < 4 && status == NN_OK; i++) status = nn_tensor_fill(m->slot[i].tensor, values[i]);
  return status;
}

static void batch_norm_params(const nn_module *m, bool training, nn_param param[NN_MAX_PARAMS]) {
  param[0] = (nn_param){ .given = true, .integer = training };
  param[1] = m->param[NORM_MOMENTUM];
  param[2] = m->param[NORM_EPS];
}

static int batch_norm_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  nn_tensor *inputs[5] = { x };
  for (int i = 0; i < (pass->training && pass->keep_running ? 2 : 4); i++) inputs[1 + i] = m->slot[i].tensor;
  nn_param param[NN_MAX_PARAMS] = { 0 };
  batch_norm_params(m, pass->training, param);
  return nn_apply(m->op, inputs, 5, param, y);
}

static int batch_norm_trace(nn_module *m, nni_graph *g, int x, int *y) {
  nn_param param[NN_MAX_PARAMS] = { 0 };
  batch_norm_params(m, g->training, param);
  return nni_trace_row(m, g, NNI_NORM, x, param, y);
}

/* ---- dropout ---- */

static int dropout_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  if (!pass->training) {
    *y = nn_tensor_retain(x);
    return NN_OK;
  }
  nn_param param[NN_MAX_PARAMS] = {
    m->param[0], { .given = true, .integer = (int64_t)pass->seed }, { .given = true, .integer = (int64_t)m->stream },
  };
  return nn_apply(m->op, &x, 1, param, y);
}

static int dropout_trace(nn_module *m, nni_graph *g, int x, int *y) {
  *y = x;
  if (!g->training) return NN_OK;
  nn_param param[NN_MAX_PARAMS] = { m->param[0], { .given = true }, { .given = true } };
  int status = nni_trace_row(m, g, NNI_ROW, x, param, y);
  if (status == NN_OK) g->value[*y].draws = true;
  return status;
}

static int relu_trace(nn_module *m, nni_graph *g, int x, int *y) { return nni_trace_same(m, g, NNI_RELU, x, -1, y); }

/* ---- shapes and pixels ---- */

static int flatten_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  (void)pass;
  if (nn_tensor_axes(x) < 2) return nn_fail(NN_ESHAPE, "flatten: expects at least 2 axes, got %d", nn_tensor_axes(x));
  int64_t images = nn_tensor_size(x, 0), rest = nni_count(nn_tensor_axes(x) - 1, nn_tensor_sizes(x) + 1);
  nn_param shape[NN_MAX_PARAMS] = { { .given = true, .count = 2, .list = { images, rest } } };
  return nn_apply(m->op, &x, 1, shape, y);
}

static int flatten_trace(nn_module *m, nni_graph *g, int x, int *y) {
  const nn_shape *s = &g->value[x].shape;
  if (s->axes < 2) return nn_fail(NN_ESTATE, "Flatten cannot be traced");
  nn_shape flat = { NN_REAL, 2, { s->size[0], nni_shape_span(s, 1, s->axes) } };
  return nni_trace_reshape(m, g, x, &flat, y);
}

static int normalize_build(nn_module *m) {
  int channels = m->param[0].count;
  if (channels == 0 || channels != m->param[1].count)
    return nn_fail(NN_EARGUMENT, "one mean and one deviation for each channel expected, got %d and %d", channels,
                   m->param[1].count);
  for (int i = 0; i < channels; i++)
    if (!(m->param[1].numbers[i] > 0))
      return nn_fail(NN_EARGUMENT, "deviations must be above 0, got %g", m->param[1].numbers[i]);
  return NN_OK;
}

static nn_tensor *vector_of(const nn_param *p, bool inverse) {
  int64_t count = p->count;
  nn_tensor *t = nn_tensor_new(NN_REAL, 1, &count);
  for (int i = 0; t && i < p->count; i++) nni_real(t)[i] = (nn_real)(inverse ? 1 / p->numbers[i] : p->numbers[i]);
  return t;
}

/* (x - mean) / deviation over the last axis */
static int normalize_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  (void)pass;
  int axes = nn_tensor_axes(x), channels = m->param[0].count;
  if (axes == 0 || nn_tensor_size(x, axes - 1) != channels) {
    char text[80];
    return nn_fail(NN_ESHAPE, "Normalize: expects %d channels on the last axis, got x %s", channels,
                   nn_tensor_describe(x, text, sizeof text));
  }
  nn_tensor *mean = vector_of(&m->param[0], false), *scale = vector_of(&m->param[1], true), *centred = NULL;
  int status = mean && scale ? nn_apply(nn_op_find("sub"), (nn_tensor *[]){ x, mean }, 2, NULL, &centred) : NN_EMEMORY;
  if (status == NN_OK) status = nn_apply(nn_op_find("mul"), (nn_tensor *[]){ centred, scale }, 2, NULL, y);
  nn_tensor_release(mean);
  nn_tensor_release(scale);
  nn_tensor_release(centred);
  return status;
}

static int normalize_trace(nn_module *m, nni_graph *g, int x, int *y) {
  const nn_shape *s = &g->value[x].shape;
  if (s->axes < 2 || s->size[s->axes - 1] != m->param[0].count) return nn_fail(NN_ESTATE, "Normalize cannot be traced");
  return nni_trace_same(m, g, NNI_AFFINE, x, -1, y);
}

static void normalize_affine(const nn_module *m, int64_t channel, double *factor, double *shift) {
  *factor = 1 / m->param[1].numbers[channel];
  *shift = -m->param[0].numbers[channel] / m->param[1].numbers[channel];
}

/* factor x */
static int scale_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  (void)pass;
  nn_tensor *factor = nn_tensor_scalar(m->param[0].number);
  int status = factor ? nn_apply(nn_op_find("mul"), (nn_tensor *[]){ x, factor }, 2, NULL, y) : NN_EMEMORY;
  nn_tensor_release(factor);
  return status;
}

static int scale_trace(nn_module *m, nni_graph *g, int x, int *y) {
  if (g->value[x].shape.axes < 2) return nn_fail(NN_ESTATE, "Scale cannot be traced");
  return nni_trace_same(m, g, NNI_AFFINE, x, -1, y);
}

static void scale_affine(const nn_module *m, int64_t channel, double *factor, double *shift) {
  (void)channel;
  *factor = m->param[0].number;
  *shift = 0;
}

#define CONV_OPTIONS                                                                                            \
  "{kernel_size:integer=3 >=1, stride:integer=1 >=1, padding:integer=0 >=0, dilation:integer=1 >=1, "          \
  "groups:integer=1 >=1, bias:boolean=true, init:default|kaiming_fan_out|kaiming_fan_in=default}"

const nn_module_class nn_modules_layer[] = {
  { .name = "Conv2d", .signature = "in_channels:integer >=1 out_channels:integer >=1 " CONV_OPTIONS,
    .doc = "Convolution over [N x H x W x in] to [N x H' x W' x out]; weight kernel x kernel x in/groups x out.",
    .example = "layer = nn.Conv2d(3, 16, { kernel_size = 3, padding = 1 })\n"
               "layer(nn.ones { 8, 28, 28, 3 }).shape  --> { 8, 28, 28, 16 }\n"
               "layer:count()                          --> 448\n"
               "layer(nn.ones { 8, 28, 28, 1 })\n"
               "--> error: conv2d: weight expects 3 input channels, got 1 ...",
    .op = "conv2d", .build = conv_build, .initialise = conv_initialise, .forward = weighted_forward,
    .trace = conv_trace },
  { .name = "Linear",
    .signature = "in_features:integer >=1 out_features:integer >=1 "
                 "{bias:boolean=true, init:default|kaiming_fan_in=default}",
    .doc = "x weight' + bias over the last axis: [... x in] to [... x out]; weight out x in.",
    .example = "nn.Linear(512, 10)(nn.ones { 8, 512 }).shape  --> { 8, 10 }\n"
               "nn.Linear(512, 10)(nn.ones { 8, 256 })\n"
               "--> error: linear: weight expects 256 inputs, got 512 (x [8x256], weight [10x512], bias [10])",
    .op = "linear", .build = linear_build, .initialise = linear_initialise, .forward = weighted_forward,
    .trace = linear_trace },
  { .name = "BatchNorm2d", .signature = "channels:integer >=1 {eps:number=1e-5 >0, momentum:number=0.1 >=0 <=1}",
    .doc = "Batch normalisation of the last axis of [N x H x W x C], or of [N x C] as torch's BatchNorm1d: batch "
           "statistics in training, running ones in evaluation.",
    .example = "layer = nn.BatchNorm2d(16)\n"
               "layer(nn.ones { 8, 28, 28, 16 }).shape  --> { 8, 28, 28, 16 }\n"
               "layer:count()                           --> 32\n"
               "nn.BatchNorm2d(16)(nn.ones { 8, 28, 28, 3 })\n"
               "--> error: batch_norm: weight expects 3 channels, got 16 ...",
    .op = "batch_norm", .build = batch_norm_build, .initialise = batch_norm_initialise,
    .forward = batch_norm_forward, .trace = batch_norm_trace },
  { .name = "ReLU", .signature = "", .doc = "max(x, 0)",
    .example = "nn.ReLU()(nn.tensor { -1, 2 }):tolist()  --> { 0.0, 2.0 }",
    .op = "relu", .trace = relu_trace },
  { .name = "LeakyReLU", .signature = "{slope:number=0.01 >=0}", .doc = "max(x, slope x)",
    .example = "nn.LeakyReLU { slope = 0.2 }(nn.tensor { -1, 2 }):tolist()  --> { -0.2, 2.0 }",
    .op = "leaky_relu" },
  { .name = "GELU", .signature = "", .doc = "x Phi(x), Phi the normal distribution function",
    .example = "nn.GELU()(nn.tensor { -1, 2 }):tolist()  --> { -0.15866, 1.9545 }",
    .op = "gelu" },
  { .name = "Tanh", .signature = "", .doc = "tanh(x)",
    .example = "nn.Tanh()(nn.tensor { -1, 2 }):tolist()  --> { -0.76159, 0.96403 }",
    .op = "tanh" },
  { .name = "Sigmoid", .signature = "", .doc = "1 / (1 + exp(-x))",
    .example = "nn.Sigmoid()(nn.tensor { -1, 2 }):tolist()  --> { 0.26894, 0.8808 }",
    .op = "sigmoid" },
  { .name = "MaxPool2d", .signature = "size:integer >=1 {stride:integer? >=1, padding:integer=0 >=0}",
    .doc = "Maximum over size x size windows; the stride is the size unless given.",
    .example = "nn.MaxPool2d(3, { stride = 2, padding = 1 })(nn.ones { 8, 112, 112, 64 }).shape\n"
               "--> { 8, 56, 56, 64 }",
    .op = "max_pool2d" },
  { .name = "AvgPool2d", .signature = "size:integer >=1 {stride:integer? >=1, padding:integer=0 >=0}",
    .doc = "Mean over size x size windows, padding counted; the stride is the size unless given.",
    .example = "nn.AvgPool2d(2)(nn.ones { 8, 28, 28, 16 }).shape  --> { 8, 14, 14, 16 }",
    .op = "avg_pool2d" },
  { .name = "GlobalAvgPool2d", .signature = "", .doc = "Mean over height and width: [N x H x W x C] to [N x C].",
    .example = "nn.GlobalAvgPool2d()(nn.ones { 8, 7, 7, 512 }).shape  --> { 8, 512 }",
    .op = "global_avg_pool" },
  { .name = "GlobalMaxPool2d", .signature = "", .doc = "Maximum over height and width: [N x H x W x C] to [N x C].",
    .example = "nn.GlobalMaxPool2d()(nn.ones { 8, 7, 7, 512 }).shape  --> { 8, 512 }",
    .op = "global_max_pool" },
  { .name = "Flatten", .signature = "", .doc = "[N x ...] to [N x the rest], in (H, W, C) order.",
    .example = "nn.Flatten()(nn.ones { 8, 5, 5, 16 }).shape  --> { 8, 400 }",
    .op = "reshape",
    .forward = flatten_forward, .trace = flatten_trace },
  { .name = "Dropout", .signature = "{p:number=0.5 >=0 <1}",
    .doc = "In training sets each element to 0 with probability p and divides the rest by 1 - p.",
    .example = "layer = nn.Dropout { p = 0.5 }\n"
               "layer(nn.ones { 4 }):tolist()  --> { 1.0, 1.0, 1.0, 1.0 }\n"
               "layer:forward(nn.ones { 1000 }, { training = true, seed = 1 }):mean():item()  --> 1.004",
    .op = "dropout",
    .draws = true, .forward = dropout_forward, .trace = dropout_trace },
  { .name = "Normalize", .signature = "mean:numbers deviation:numbers",
    .doc = "(x - mean) / deviation for each channel; a model's first layer, so that pixels stay in [0, 1] outside.",
    .example = "layer = nn.Normalize({ 0.5 }, { 0.25 })\n"
               "layer(nn.tensor { { 0.5 }, { 1 } }):reshape({ 2 }):tolist()  --> { 0.0, 2.0 }\n"
               "nn.Normalize({ 0.5 }, { 0.25 })(nn.ones { 8, 28, 28, 3 })\n"
               "--> error: Normalize: expects 1 channels on the last axis, got x [8x28x28x3]",
    .build = normalize_build, .forward = normalize_forward, .trace = normalize_trace, .affine = normalize_affine },
  { .name = "Scale", .signature = "factor:number",
    .doc = "x times a constant that is not trained. A model's last layer, it rescales the logits: no prediction "
           "changes, distances between them change by its square.",
    .example = "nn.Scale(0.1)(nn.tensor { { 10, -20 } }):tolist()  --> { { 1.0, -2.0 } }\n"
               "nn.Scale(0.1):count()                              --> 0",
    .forward = scale_forward, .trace = scale_trace, .affine = scale_affine },
  { 0 },
};
