/* arithmetic.c -- operators on two tensors, comparisons, and where.
 *
 * Operands broadcast: shapes are aligned at their last axes, and an axis that is missing or has size 1 is repeated. The
 * gradient of a repeated operand is summed over the axes it was repeated along.
 */
#include "autograd/op.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "ops/layout.h"

static int broadcast_shape(nn_call *c) {
  nn_shape *y = &c->y_shape;
  *y = (nn_shape){ .type = NN_REAL };
  for (int i = 0; i < c->inputs; i++)
    if (c->x_shape[i].axes > y->axes) y->axes = c->x_shape[i].axes;
  for (int axis = 0; axis < y->axes; axis++) {
    y->size[axis] = 1;
    for (int i = 0; i < c->inputs; i++) {
      const nn_shape *x = &c->x_shape[i];
      int64_t size = axis < y->axes - x->axes ? 1 : x->size[axis - (y->axes - x->axes)];
      if (size == 1 || size == y->size[axis]) continue;
      if (y->size[axis] != 1) {
        return nn_fail(NN_ESHAPE, "shapes do not broadcast: sizes %lld and %lld at axis %d",
                       (long long)y->size[axis], (long long)size, axis - y->axes);
      }
      y->size[axis] = size;
    }
  }
  return NN_OK;
}

static nnk_walk walk_of(const nn_call *c) {
  int64_t stride[NNK_OPERANDS][NN_MAX_AXES];
  for (int i = 0; i < c->inputs; i++) nni_broadcast_strides(&c->x_shape[i], &c->y_shape, stride[i]);
  return nnk_walk_over(c->y_shape.axes, c->y_shape.size, c->inputs, stride);
}

/* What the kernels read; a condition is read from its copy in floats. */
static void operands_of(const nn_call *c, const nn_real *x[NNK_OPERANDS]) {
  for (int i = 0; i < NNK_OPERANDS; i++) x[i] = i < c->inputs && c->x[i] ? nni_real(c->x[i]) : NULL;
  if (c->kept[0]) x[0] = nni_real(c->kept[0]);
}

static int forward(nn_call *c, const nnk_elementwise *f) {
  nnk_walk walk = walk_of(c);
  const nn_real *x[NNK_OPERANDS];
  operands_of(c, x);
  return nnk_walk_run(&walk, f->value, nni_real(c->y), NULL, x, NULL);
}

/* An operand of y's shape is added to directly; a repeated one by way of a gradient of y's shape, then summed. */
static int backward_to(nn_call *c, const nnk_elementwise *f, int i) {
  nnk_walk walk = walk_of(c);
  const nn_real *x[NNK_OPERANDS];
  operands_of(c, x);
  int64_t count = nni_shape_count(&c->y_shape);
  if (count == nni_shape_count(&c->x_shape[i]))
    return nnk_walk_run(&walk, f->grad[i], nni_real(c->dx[i]), nni_real(c->dy), x, NULL);
  nn_real *wide = nn_memory_get_zeroed((size_t)count * sizeof *wide);
  if (!wide) return NN_EMEMORY;
  int status = nnk_walk_run(&walk, f->grad[i], wide, nni_real(c->dy), x, NULL);
  if (status == NN_OK) status = nni_sum_repeated(nni_real(c->dx[i]), &c->x_shape[i], wide, &c->y_shape, 1);
  nn_memory_put(wide);
  return status;
}

static int backward(nn_call *c, const nnk_elementwise *f) {
  int status = NN_OK;
  for (int i = 0; i < c->inputs && status == NN_OK; i++)
    if (c->dx[i] && f->grad[i]) status = backward_to(c, f, i);
  return status;
}

/* da += dy, db += sign * dy: nothing but dy is read, so a repeated operand needs no wide gradient. */
static int backward_linear(nn_call *c, double sign) {
  int status = NN_OK;
  for (int i = 0; i < 2 && status == NN_OK; i++)
    if (c->dx[i])
      status = nni_sum_repeated(nni_real(c->dx[i]), &c->x_shape[i], nni_real(c->dy), &c->y_shape, i ? sign : 1);
  return status;
}

static int add_backward(nn_call *c) { return backward_linear(c, 1); }
static int sub_backward(nn_call *c) { return backward_linear(c, -1); }

#define FORWARD(name) \
  static int name##_forward(nn_call *c) { return forward(c, &nnk_##name); }
#define BOTH(name) \
  FORWARD(name)    \
  static int name##_backward(nn_call *c) { return backward(c, &nnk_##name); }

FORWARD(add) FORWARD(sub) BOTH(mul) BOTH(div) BOTH(pow) BOTH(maximum) BOTH(minimum)
FORWARD(eq) FORWARD(ne) FORWARD(lt) FORWARD(le) FORWARD(gt) FORWARD(ge)

/* A condition in floats is kept as it is: it is saved too, so that writing to it before backward is an error. */
static int where_forward(nn_call *c) {
  c->kept[0] = nn_tensor_to(c->x[0], NN_REAL);
  return c->kept[0] ? forward(c, &nnk_where) : NN_EMEMORY;
}

static int where_backward(nn_call *c) { return backward(c, &nnk_where); }

#define SHAPES "a=2x3x4 b=2x3x4; a=2x3x4 b=4; a=3x1 b=2x1x4; a=1 b=2x3; a=2x3x4 b=2x1x1"
#define BROADCAST " The shapes broadcast: aligned at the last axis, a missing axis or one of size 1 is repeated."
#define COMPARISON(op, sign, shown)                                                                               \
  { .name = #op, .signature = "a:tensor b:tensor",                                                                \
    .doc = "1 where a " sign " b, else 0; no gradient flows." BROADCAST,                                          \
    .returns = "float, a's and b's shape broadcast",                                                              \
    .example = "nn.tensor({ 1, 2, 3 }):" #op "(2):tolist()  --> " shown,                                          \
    .shape = broadcast_shape, .forward = op##_forward, .check = "a=2x3 b=2x3; a=2x3 b=3" }

const nn_op nn_ops_arithmetic[] = {
  { .name = "add", .signature = "a:tensor b:tensor", .doc = "a + b." BROADCAST,
    .returns = "float, a's and b's shape broadcast",
    .example = "nn.add(nn.tensor { 1, 2 }, nn.tensor { 10, 20 }):tolist()    --> { 11.0, 22.0 }\n"
               "(nn.zeros { 8, 28, 28, 3 } + nn.tensor { 0.1, 0, 0 }).shape  --> { 8, 28, 28, 3 }\n"
               "nn.zeros { 2, 3 } + nn.zeros { 2 }\n"
               "--> error: add: shapes do not broadcast: sizes 3 and 2 at axis -1 (a [2x3], b [2])",
    .shape = broadcast_shape, .forward = add_forward, .backward = add_backward, .check = SHAPES },
  { .name = "sub", .signature = "a:tensor b:tensor", .doc = "a - b." BROADCAST,
    .returns = "float, a's and b's shape broadcast",
    .example = "(nn.tensor { 3, 4 } - 1):tolist()  --> { 2.0, 3.0 }\n"
               "(1 - nn.tensor { 3, 4 }):tolist()  --> { -2.0, -3.0 }",
    .shape = broadcast_shape, .forward = sub_forward, .backward = sub_backward, .check = SHAPES },
  { .name = "mul", .signature = "a:tensor b:tensor", .doc = "a * b, element by element." BROADCAST,
    .returns = "float, a's and b's shape broadcast",
    .example = "(nn.tensor { 1, 2, 3 } * nn.tensor { 0, 1, 2 }):tolist()  --> { 0.0, 2.0, 6.0 }\n"
               "(0.5 * nn.ones { 2, 3 }).shape                            --> { 2, 3 }",
    .shape = broadcast_shape, .forward = mul_forward, .backward = mul_backward, .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = SHAPES },
  { .name = "div", .signature = "a:tensor b:tensor", .doc = "a / b, element by element." BROADCAST,
    .returns = "float, a's and b's shape broadcast",
    .example = "(nn.tensor { 1, 2, 3 } / 2):tolist()  --> { 0.5, 1.0, 1.5 }\n"
               "(nn.tensor { 1, -1 } / 0):tolist()    --> { inf, -inf }",
    .shape = broadcast_shape, .forward = div_forward, .backward = div_backward, .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "a=2x3x4 b=2x3x4 in 0.5..2; a=2x3x4 b=4 in 0.5..2; a=4 b=2x1x4 in 0.5..2; a=1 b=2x3 in -2..-0.5" },
  { .name = "pow", .signature = "a:tensor b:tensor",
    .doc = "a to the power b. The gradient to a is b a^(b-1), and 0 where b is 0. The gradient to b is a^b log a, 0 "
           "where a is 0 and b is not negative, and NaN where a is negative." BROADCAST,
    .returns = "float, a's and b's shape broadcast",
    .example = "(nn.tensor { 1, 2, 3 } ^ 2):tolist()  --> { 1.0, 4.0, 9.0 }\n"
               "(2 ^ nn.tensor { 1, 2, 3 }):tolist()  --> { 2.0, 4.0, 8.0 }",
    .shape = broadcast_shape, .forward = pow_forward, .backward = pow_backward, .saves = NN_SAVE_X0 | NN_SAVE_X1,
    .check = "a=2x3x4 in 0.5..2 b=2x3x4 in -2..2; a=2x3 in 0.5..2 b=3; a=1 in 0.5..2 b=2x3" },
  { .name = "maximum", .signature = "a:tensor b:tensor",
    .doc = "The greater of a and b, NaN if either is. Where they are equal each gets half of the gradient." BROADCAST,
    .returns = "float, a's and b's shape broadcast",
    .example = "nn.maximum(nn.tensor { -1, 5 }, nn.tensor { 0, 2 }):tolist()  --> { 0.0, 5.0 }",
    .shape = broadcast_shape, .forward = maximum_forward, .backward = maximum_backward,
    .saves = NN_SAVE_X0 | NN_SAVE_X1, .check = "a=2x3x4 in 0.1..1 b=2x3x4 in 1.1..2; a=2x3 in 1.1..2 b=3 in 0..1" },
  { .name = "minimum", .signature = "a:tensor b:tensor",
    .doc = "The lesser of a and b, NaN if either is. Where they are equal each gets half of the gradient." BROADCAST,
    .returns = "float, a's and b's shape broadcast",
    .example = "nn.minimum(nn.tensor { -1, 5 }, 1):tolist()  --> { -1.0, 1.0 }",
    .shape = broadcast_shape, .forward = minimum_forward, .backward = minimum_backward,
    .saves = NN_SAVE_X0 | NN_SAVE_X1, .check = "a=2x3x4 in 0.1..1 b=2x3x4 in 1.1..2; a=2x3 in 1.1..2 b=3 in 0..1" },
  COMPARISON(eq, "=", "{ 0.0, 1.0, 0.0 }"), COMPARISON(ne, "is not", "{ 1.0, 0.0, 1.0 }"),
  COMPARISON(lt, "<", "{ 1.0, 0.0, 0.0 }"), COMPARISON(le, "<=", "{ 1.0, 1.0, 0.0 }"),
  COMPARISON(gt, ">", "{ 0.0, 0.0, 1.0 }"), COMPARISON(ge, ">=", "{ 0.0, 1.0, 1.0 }"),
  { .name = "where", .signature = "cond:any a:tensor b:tensor",
    .doc = "a where cond is not 0, else b. The gradient goes to the one that was taken, none to cond, which is of any "
           "element type." BROADCAST,
    .returns = "float, the three shapes broadcast",
    .example = "x = nn.tensor { -2, 3 }\n"
               "nn.where(x:gt(0), x, 0):tolist()  --> { 0.0, 3.0 }",
    .shape = broadcast_shape, .forward = where_forward, .backward = where_backward, .saves = NN_SAVE_X0,
    .check = "cond=2x3x4 below 2 a=2x3x4 b=2x3x4; cond=3x1 below 2 a=4 b=2x3x4; cond=2x3x4 below 2 a=3x1 b=1" },
  { 0 },
};
