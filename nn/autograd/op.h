/* op.h -- one operation, one row.
 *
 * A row says everything about an op: its arguments, its shape rule, its forward and backward functions, what backward
 * needs kept, and small cases for the gradient test. From the row come the Lua function, its argument errors, its help,
 * and its tests.
 *
 * Life of a call. nn_apply checks element types against the signature, runs `shape`, makes every input contiguous,
 * allocates `y` and runs `forward`. If a gradient is wanted it records a node that keeps what `saves` names. Later the
 * tape calls `backward` with the same nn_call: dy is the gradient of y, and for each input that needs one dx[i] is a
 * contiguous tensor of x[i]'s shape to which backward ADDS its contribution.
 */
#ifndef NN_OP_H
#define NN_OP_H

#include "tensor/tensor.h"

/* What backward reads. Anything not named is NULL in backward (its shape is still in x_shape). */
enum {
  NN_SAVE_X0 = 1, NN_SAVE_X1 = 2, NN_SAVE_X2 = 4, NN_SAVE_X3 = 8, NN_SAVE_X4 = 16, NN_SAVE_Y = 1 << 16,
  NN_SAVE_ALL = 1 << 17,  /* every x */
};

#define NN_MAX_KEPT 2
#define NN_MAX_INPUTS 64

typedef struct {
  nn_type type;
  int axes;
  int64_t size[NN_MAX_AXES];
} nn_shape;

typedef struct nn_call {
  const nn_op *op;
  int inputs;
  nn_tensor **x;               /* [inputs] contiguous; NULL where an optional one is absent (or was not saved) */
  nn_shape *x_shape;           /* [inputs] always there; axes = -1 where absent */
  nn_param param[NN_MAX_PARAMS];
  nn_shape y_shape;            /* set by `shape` */
  nn_tensor *y;
  nn_tensor *kept[NN_MAX_KEPT]; /* made by forward for backward (argmax of a pool, statistics); freed with the node */
  bool training;               /* a gradient will be wanted: forward may skip `kept` when not */
  void *state;                 /* what else forward leaves for backward; the row's `release` frees it with the node */
  bool again;                  /* backward may be called once more */
  nn_tensor *dy;
  nn_tensor **dx;              /* [inputs] NULL where no gradient is needed */
} nn_call;

struct nn_op {
  const char *name;
  const char *signature;
  const char *doc;
  const char *returns;                        /* the result's shape, and its type when it is not float */
  const char *example;                        /* lines of Lua with what they print, as stdlib/help.lua describes them;
                                               * a test runs them */
  int (*shape)(nn_call *c);
  int (*forward)(nn_call *c);                 /* NULL for a view */
  int (*view)(nn_call *c);                    /* sets y, which shares x[0]'s storage; x[0] is then of any layout */
  int (*backward)(nn_call *c);                /* NULL: no gradient flows (argmax, comparisons) */
  void (*release)(void *state);               /* of a call; NULL when there is none */
  double (*flops)(const nn_call *c);          /* of forward, from the shapes, a multiply-add counting 2; NULL: one for
                                               * each element of y */
  unsigned saves;
  unsigned writes;  /* inputs that forward may write to, as `saves` names them: a copy will not do, so these have to be
                     * contiguous */
  /* Cases for the table walk, separated by `;`. Each gives a shape to every tensor and values to the options:
   *   "x=2x3x4 axis=2; x=5 in 0.5..2"
   * `in a..b` draws the tensor from that range (default -1..1), `away p` keeps every value 0.1 away from p,
   * `distinct` keeps all values 0.1 apart (for max), `below n` draws an index tensor from 0..n-1, `+` joins the
   * shapes of a list of tensors (xs=2x3+2x1), and an option is name=value with Lua's counting. */
  const char *check;
};

/* The families; each array ends with a row whose name is NULL. */
extern const nn_op nn_ops_arithmetic[], nn_ops_pointwise[], nn_ops_reduce[], nn_ops_softmax[], nn_ops_matmul[],
    nn_ops_shape[], nn_ops_gather[], nn_ops_conv[], nn_ops_pool[], nn_ops_norm[], nn_ops_dropout[], nn_ops_loss[],
    nn_ops_resize[];

int nni_ops_start(void);  /* parses every signature, once */

/* Shape rules shared by many rows. */
int nni_shape_same(nn_call *c);  /* y has x[0]'s type and shape */

double nni_flops(const nn_call *c);  /* of forward; shapes and params are there */
double nni_flops_none(const nn_call *c);  /* for a row that only moves elements: 0 */

static inline int64_t nni_shape_count(const nn_shape *s) {
  int64_t count = 1;
  for (int i = 0; i < s->axes; i++) count *= s->size[i];
  return count;
}

/* Product of the sizes in axes [from, to). */
static inline int64_t nni_shape_span(const nn_shape *s, int from, int to) {
  int64_t count = 1;
  for (int i = from; i < to; i++) count *= s->size[i];
  return count;
}

#endif
