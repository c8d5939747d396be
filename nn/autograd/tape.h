/* tape.h -- nodes: what a tensor was computed from. */
#ifndef NN_TAPE_H
#define NN_TAPE_H

#include "autograd/op.h"

/* One recorded call. It holds its inputs' gradients' destinations and the values backward reads, never its output
 * tensor: a kept output is a second tensor over the same storage, so that no cycle arises. */
struct nn_node {
  atomic_int references;
  uint64_t order;              /* nodes are numbered as they are recorded: inputs come before outputs */
  nn_call call;                /* x holds what `saves` names; y likewise */
  nn_tensor **leaf;            /* [inputs] the leaf whose grad receives dx[i], or NULL */
  nn_node **from;              /* [inputs] the node whose dy receives dx[i], or NULL */
  uint64_t *version;           /* [inputs + 1] of each saved storage when it was saved; the last is y's */
  const nn_tensor *only;       /* nn_set_grad_leaf's leaf when it was recorded: compared, never followed */
  nn_tensor *dy;               /* gradient of the output: during backward, and after it when retained */
  bool retain, spent, visited; /* keep dy; backward has freed the saved values; seen by this backward */
  nn_node *next;               /* in backward's work list */
};

void nni_node_release(nn_node *node);  /* NULL is fine */
/* Records a call that has just run. Takes nothing over on failure. */
int nni_record(nn_call *call, nn_tensor *const *inputs, nn_tensor *y);
/* Fills in the defaults of call->param and resolves its axes against x_shape[0]. */
int nni_call_resolve(nn_call *call);

#endif
