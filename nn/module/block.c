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

/* relu(body(x) + shortcut(x)); the shortcut is the child named "downsample", or x itself. */
static int residual_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  nni_child *shortcut = NULL;
  for (int i = 0; i < m->children; i++)
    if (strcmp(m->child[i].name, "downsample") == 0) shortcut = &m->child[i];
  nn_tensor *body = NULL, *around = NULL, *sum = NULL;
  int status = run_chain(m, shortcut, x, pass, &body);
  if (status == NN_OK && shortcut) status = nni_child_forward(shortcut, x, pass, &around);
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

enum { SHORTCUT_IN, SHORTCUT_OUT, SHORTCUT_STRIDE };

static int shortcut_build(nn_module *m) {
  if (m->param[SHORTCUT_OUT].integer >= m->param[SHORTCUT_IN].integer) return NN_OK;
  return nn_fail(NN_EARGUMENT, "out must be at least in (%lld), got %lld", (long long)m->param[SHORTCUT_IN].integer,
                 (long long)m->param[SHORTCUT_OUT].integer);
}

static int stride_axis(nn_tensor *x, int axis, int64_t stride, nn_tensor **y) {
  nn_param p[NN_MAX_PARAMS] = {
    { .given = true, .integer = axis }, { .given = true }, { .given = true, .integer = nn_tensor_size(x, axis) },
    { .given = true, .integer = stride },
  };
  return nn_apply(nn_op_find("slice"), &x, 1, p, y);
}

/* Every stride-th pixel, zeros for the added channels: half before, half after (He et al. 2016, option A). */
static int shortcut_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  (void)pass;
  int64_t in = m->param[SHORTCUT_IN].integer, added = m->param[SHORTCUT_OUT].integer - in;
  if (nn_tensor_axes(x) != 4 || nn_tensor_size(x, 3) != in) {
    char text[80];
    return nn_fail(NN_ESHAPE, "ZeroPadShortcut: expects x [N x H x W x %lld], got %s", (long long)in,
                   nn_tensor_describe(x, text, sizeof text));
  }
  nn_tensor *rows = NULL, *pixels = NULL;
  int status = stride_axis(x, 1, m->param[SHORTCUT_STRIDE].integer, &rows);
  if (status == NN_OK) status = stride_axis(rows, 2, m->param[SHORTCUT_STRIDE].integer, &pixels);
  nn_param pad[NN_MAX_PARAMS] = {
    { .given = true, .count = 8, .list = { [6] = added / 2, [7] = added - added / 2 } },
    { .given = true },
  };
  if (status == NN_OK) status = nn_apply(nn_op_find("pad"), &pixels, 1, pad, y);
  nn_tensor_release(rows);
  nn_tensor_release(pixels);
  return status;
}

const nn_module_class nn_modules_block[] = {
  { .name = "Sequential", .signature = "", .container = true,
    .doc = "Its children one after the other. Sequential{ a, b, {\"name\", c} }; unnamed ones are 0, 1, ...",
    .forward = sequential_forward },
  { .name = "Residual", .signature = "{activation:relu|none=relu}", .container = true, .op = "relu",
    .doc = "activation(body(x) + downsample(x)): the body is its children in order, downsample the shortcut (x itself "
           "when absent).",
    .forward = residual_forward },
  { .name = "ZeroPadShortcut", .signature = "in_channels:integer >=1 out_channels:integer >=1 {stride:integer=2 >=1}",
    .doc = "Shortcut without weights: every stride-th pixel, zeros for the added channels.", .build = shortcut_build,
    .forward = shortcut_forward },
  { 0 },
};
