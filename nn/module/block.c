/* block.c -- modules made of modules, and the shortcut without weights. */
#include <string.h>

#include "module/module.h"

/* Runs the children in order, leaving out `except`. */
static int run_chain(nn_module *m, const nni_child *except, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  nn_tensor *now = nn_tensor_retain(x);
  for (int i = 0; i < m->children; i++) {
    if (&m->child[i] == except) continue;
    nn_tensor *next = NULL;
    int status = nni_child_forward(&m->child[i], now, pass, &next);
    nn_tensor_release(now);
    if (status != NN_OK) return status;
    now = next;
  }
  *y = now;
  return NN_OK;
}

static int sequential_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  return run_chain(m, NULL, x, pass, y);
}

static int trace_chain(nn_module *m, const nni_child *except, nni_graph *g, int x, int *y) {
  *y = x;
  int status = NN_OK;
  for (int i = 0; i < m->children && status == NN_OK; i++)
    if (&m->child[i] != except) status = nni_trace_child(m, i, g, *y, y);
  return status;
}

static int sequential_trace(nn_module *m, nni_graph *g, int x, int *y) { return trace_chain(m, NULL, g, x, y); }

static nni_child *shortcut_of(nn_module *m) {
  for (int i = 0; i < m->children; i++)
    if (strcmp(m->child[i].name, "downsample") == 0) return &m->child[i];
  return NULL;
}

/* relu(body(x) + shortcut(x)); the shortcut is the child named "downsample", or x itself. It comes first: a plan takes
 * the sum where the body's last convolution stores its results, and what both sides share runs in the same order. */
static int residual_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  nni_child *shortcut = shortcut_of(m);
  nn_tensor *body = NULL, *around = NULL, *sum = NULL;
  int status = shortcut ? nni_child_forward(shortcut, x, pass, &around) : NN_OK;
  if (status == NN_OK) status = run_chain(m, shortcut, x, pass, &body);
  if (status == NN_OK) {
    nn_tensor *terms[] = { body, shortcut ? around : x };
    status = nn_apply(nn_op_find("add"), terms, 2, NULL, &sum);
  }
  bool relu = m->param[0].integer == 0;
  if (status == NN_OK && relu) status = nn_apply(m->op, &sum, 1, NULL, y);
  else if (status == NN_OK) *y = nn_tensor_retain(sum);
  nn_tensor_release(body);
  nn_tensor_release(around);
  nn_tensor_release(sum);
  return status;
}

static int residual_trace(nn_module *m, nni_graph *g, int x, int *y) {
  nni_child *shortcut = shortcut_of(m);
  int around = x, body = x, status = NN_OK;
  if (shortcut) status = nni_trace_child(m, (int)(shortcut - m->child), g, x, &around);
  if (status == NN_OK) status = trace_chain(m, shortcut, g, x, &body);
  if (status == NN_OK) status = nni_trace_same(NULL, g, NNI_ADD, body, around, y);
  if (status == NN_OK && m->param[0].integer == 0) status = nni_trace_same(NULL, g, NNI_RELU, *y, -1, y);
  return status;
}

enum { SHORTCUT_IN, SHORTCUT_OUT, SHORTCUT_STRIDE };

/* Half of the added channels before, half after (He et al. 2016, option A). */
static int shortcut_build(nn_module *m) {
  int64_t in = m->param[SHORTCUT_IN].integer, out = m->param[SHORTCUT_OUT].integer, added = out - in;
  if (added < 0)
    return nn_fail(NN_EARGUMENT, "out must be at least in (%lld), got %lld", (long long)in, (long long)out);
  m->op_param[0] = m->param[SHORTCUT_STRIDE];
  m->op_param[1] = (nn_param){ .given = true, .integer = added / 2 };
  m->op_param[2] = (nn_param){ .given = true, .integer = added - added / 2 };
  return NN_OK;
}

static int shortcut_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  (void)pass;
  int64_t in = m->param[SHORTCUT_IN].integer;
  if (nn_tensor_axes(x) == 4 && nn_tensor_size(x, 3) == in) return nn_apply(m->op, &x, 1, m->op_param, y);
  char text[80];
  return nn_fail(NN_ESHAPE, "ZeroPadShortcut: expects x [N x H x W x %lld], got %s", (long long)in,
                 nn_tensor_describe(x, text, sizeof text));
}

static int shortcut_trace(nn_module *m, nni_graph *g, int x, int *y) {
  const nn_shape *s = &g->value[x].shape;
  if (s->axes != 4 || s->size[3] != m->param[SHORTCUT_IN].integer)
    return nn_fail(NN_ESTATE, "ZeroPadShortcut cannot be traced");
  return nni_trace_row(m, g, NNI_ROW, x, m->op_param, y);
}

const nn_module_class nn_modules_block[] = {
  { .name = "Sequential", .signature = "", .container = true,
    .doc = "Its children one after the other. Sequential{ a, b, {\"name\", c} }; unnamed ones are 0, 1, ...",
    .example = "model = nn.Sequential { nn.Flatten(), { \"fc\", nn.Linear(784, 10) } }\n"
               "model(nn.ones { 8, 28, 28, 1 }).shape  --> { 8, 10 }\n"
               "model:parameters(\"fc\")[1].shape        --> { 10, 784 }\n"
               "nn.Sequential { nn.Linear(4, 3), nn.Linear(2, 1) }(nn.ones { 1, 4 })\n"
               "--> error: 1: linear: weight expects 3 inputs, got 2 (x [1x3], weight [1x2], bias [1])",
    .forward = sequential_forward, .trace = sequential_trace },
  { .name = "Residual", .signature = "{activation:relu|none=relu}", .container = true, .op = "relu",
    .doc = "activation(body(x) + downsample(x)): the body is its children in order, downsample the shortcut (x itself "
           "when absent).",
    .example = "block = nn.Residual { nn.Conv2d(16, 16, { padding = 1 }), nn.BatchNorm2d(16) }\n"
               "block(nn.ones { 8, 28, 28, 16 }).shape  --> { 8, 28, 28, 16 }\n"
               "nn.Residual { nn.Conv2d(16, 32, { padding = 1 }) }(nn.ones { 8, 28, 28, 16 })\n"
               "--> error: add: shapes do not broadcast: sizes 32 and 16 at axis -1 (a [8x28x28x32], b [8x28x28x16])",
    .forward = residual_forward, .trace = residual_trace },
  { .name = "ZeroPadShortcut", .signature = "in_channels:integer >=1 out_channels:integer >=1 {stride:integer=2 >=1}",
    .doc = "Shortcut without weights: every stride-th pixel, zeros for the added channels.",
    .example = "nn.ZeroPadShortcut(16, 32, { stride = 2 })(nn.ones { 8, 28, 28, 16 }).shape\n"
               "--> { 8, 14, 14, 32 }",
    .op = "zero_pad_shortcut", .build = shortcut_build, .forward = shortcut_forward, .trace = shortcut_trace },
  { 0 },
};
