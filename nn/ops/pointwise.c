/* pointwise.c -- functions of one tensor's elements. y has x's shape.
 *
 * Backward reads y where the formula allows, as the next layer usually keeps it anyway, and x elsewhere.
 */
#include <math.h>

#include "autograd/op.h"
#include "kernels/elementwise.h"

static int forward(nn_call *c, const nnk_elementwise *f, const nn_real *number) {
  nnk_walk walk = nnk_walk_flat(nni_shape_count(&c->y_shape));
  const nn_real *x[NNK_OPERANDS] = { nni_real(c->x[0]) };
  return nnk_walk_run(&walk, f->value, nni_real(c->y), NULL, x, number);
}

/* A function that keeps nothing reads nothing: dy then stands in. */
static int backward(nn_call *c, const nnk_elementwise *f, const nn_real *number) {
  const nn_tensor *kept = c->x[0] ? c->x[0] : c->y ? c->y : c->dy;
  nnk_walk walk = nnk_walk_flat(nni_shape_count(&c->y_shape));
  const nn_real *x[NNK_OPERANDS] = { nni_real(kept) };
  return nnk_walk_run(&walk, f->grad[0], nni_real(c->dx[0]), nni_real(c->dy), x, number);
}

#define PLAIN(name)                                                                  \
  static int name##_forward(nn_call *c) { return forward(c, &nnk_##name, NULL); }    \
  static int name##_backward(nn_call *c) { return backward(c, &nnk_##name, NULL); }

PLAIN(neg) PLAIN(exp) PLAIN(log) PLAIN(sqrt) PLAIN(square) PLAIN(abs) PLAIN(tanh) PLAIN(sigmoid) PLAIN(relu)

static int sign_forward(nn_call *c) { return forward(c, &nnk_sign, NULL); }

static int leaky_relu_forward(nn_call *c) {
  nn_real slope[2] = { (nn_real)c->param[0].number };
  return forward(c, &nnk_leaky_relu, slope);
}

static int leaky_relu_backward(nn_call *c) {
  nn_real slope[2] = { (nn_real)c->param[0].number };
  return backward(c, &nnk_leaky_relu, slope);
}

static const nnk_elementwise *gelu_of(const nn_call *c) { return c->param[0].integer ? &nnk_gelu_tanh : &nnk_gelu; }
static int gelu_forward(nn_call *c) { return forward(c, gelu_of(c), NULL); }
static int gelu_backward(nn_call *c) { return backward(c, gelu_of(c), NULL); }

static int clamp_shape(nn_call *c) {
  const nn_param *min = &c->param[0], *max = &c->param[1];
  if (!min->given && !max->given) return nn_fail(NN_EARGUMENT, "expects min, max or both");
  if (min->given && max->given && min->number > max->number)
    return nn_fail(NN_EARGUMENT, "expects min <= max, got %g and %g", min->number, max->number);
  return nni_shape_same(c);
}

static void clamp_bounds(const nn_call *c, nn_real bound[2]) {
  bound[0] = c->param[0].given ? (nn_real)c->param[0].number : -INFINITY;
  bound[1] = c->param[1].given ? (nn_real)c->param[1].number : INFINITY;
}

static int clamp_forward(nn_call *c) {
  nn_real bound[2];
  clamp_bounds(c, bound);
  return forward(c, &nnk_clamp, bound);
}

static int clamp_backward(nn_call *c) {
  nn_real bound[2];
  clamp_bounds(c, bound);
  return backward(c, &nnk_clamp, bound);
}

/* `x` and `y`: an input and what comes of it, as an example shows them. */
#define ROW(op, what, keeps, cases, x, y)                                                                        \
  { .name = #op, .signature = "x:tensor", .doc = what, .returns = "float, x's shape",                            \
    .example = "nn.tensor(" x "):" #op "():tolist()  --> " y, .shape = nni_shape_same, .forward = op##_forward,  \
    .backward = op##_backward, .saves = keeps, .check = cases }

const nn_op nn_ops_pointwise[] = {
  ROW(neg, "-x.", 0, "x=2x3x4", "{ 1, -2 }", "{ -1.0, 2.0 }"),
  ROW(exp, "e to the power x.", NN_SAVE_Y, "x=2x3x4; x=40 in -5..2", "{ 0, 1, -1 }", "{ 1.0, 2.7183, 0.36788 }"),
  ROW(log, "The natural logarithm of x: -inf at 0, NaN below.", NN_SAVE_X0, "x=2x3x4 in 0.5..3",
      "{ 1, 0 }", "{ 0.0, -inf }"),
  ROW(sqrt, "The square root of x, NaN below 0. The gradient at 0 is infinite.", NN_SAVE_Y, "x=2x3x4 in 0.5..3",
      "{ 4, 2, 0 }", "{ 2.0, 1.4142, 0.0 }"),
  ROW(square, "x * x.", NN_SAVE_X0, "x=2x3x4", "{ -3, 2 }", "{ 9.0, 4.0 }"),
  ROW(abs, "The absolute value of x. The gradient at 0 is 0.", NN_SAVE_X0, "x=2x3x4 away 0",
      "{ -3, 2 }", "{ 3.0, 2.0 }"),
  { .name = "sign", .signature = "x:tensor",
    .doc = "-1, 0 or 1 with the sign of x. No gradient flows.",
    .returns = "float, x's shape",
    .example = "nn.tensor({ -3, 0, 2 }):sign():tolist()  --> { -1.0, 0.0, 1.0 }",
    .shape = nni_shape_same, .forward = sign_forward,
    .check = "x=2x3x4 away 0" },
  { .name = "clamp", .signature = "x:tensor {min:number?, max:number?}",
    .doc = "x limited to [min, max]; at least one of the two is given. The gradient passes where min <= x <= max, the "
           "bounds included, and is 0 outside.",
    .returns = "float, x's shape",
    .example = "nn.tensor({ -0.5, 0.5, 1.5 }):clamp { min = 0, max = 1 }:tolist()  --> { 0.0, 0.5, 1.0 }\n"
               "nn.clamp(nn.ones { 2 })  --> error: clamp: expects min, max or both",
    .shape = clamp_shape, .forward = clamp_forward, .backward = clamp_backward, .saves = NN_SAVE_X0,
    .check = "x=2x3x4 away 0.5 max=0.5; x=2x3x4 away -0.25 min=-0.25; x=40 in 0.1..0.9 min=0 max=1" },
  ROW(tanh, "The hyperbolic tangent of x.", NN_SAVE_Y, "x=2x3x4; x=40 in -4..4",
      "{ -1, 0, 3 }", "{ -0.76159, 0.0, 0.99505 }"),
  ROW(sigmoid, "1 / (1 + exp(-x)).", NN_SAVE_Y, "x=2x3x4; x=40 in -6..6", "{ -1, 0, 100 }", "{ 0.26894, 0.5, 1.0 }"),
  ROW(relu, "max(x, 0). The gradient at 0 is 0.", NN_SAVE_Y, "x=2x3x4 away 0", "{ -1, 0, 2 }", "{ 0.0, 0.0, 2.0 }"),
  { .name = "leaky_relu", .signature = "x:tensor {slope:number=0.01 >=0}",
    .doc = "x where x > 0, else slope * x. The gradient at 0 is slope.",
    .returns = "float, x's shape",
    .example = "nn.tensor({ -1, 0, 2 }):leaky_relu { slope = 0.2 }:tolist()  --> { -0.2, 0.0, 2.0 }",
    .shape = nni_shape_same, .forward = leaky_relu_forward, .backward = leaky_relu_backward, .saves = NN_SAVE_Y,
    .check = "x=2x3x4 away 0; x=2x3x4 away 0 slope=0.2" },
  { .name = "gelu", .signature = "x:tensor {approximate:none|tanh=none}",
    .doc = "x times the normal distribution function at x; approximate = \"tanh\" takes "
           "0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) instead.",
    .returns = "float, x's shape",
    .example = "nn.tensor({ -1, 0, 2 }):gelu():tolist()  --> { -0.15866, 0.0, 1.9545 }\n"
               "nn.tensor({ -1, 0, 2 }):gelu { approximate = \"tanh\" }:tolist()\n"
               "--> { -0.15881, 0.0, 1.9546 }",
    .shape = nni_shape_same, .forward = gelu_forward, .backward = gelu_backward, .saves = NN_SAVE_X0,
    .check = "x=2x3x4; x=40 in -4..4; x=40 in -4..4 approximate=tanh" },
  { 0 },
};
