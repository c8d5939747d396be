/* module.h -- a layer or block: its parameters, its children, and one row that says how it is made and run.
 *
 * A module owns its tensors and holds references to its children. Its row gives the signature of its constructor and
 * functions to build, initialise and run it; forward composes op rows, so that gradients come from the tape.
 */
#ifndef NN_MODULE_H
#define NN_MODULE_H

#include "kernels/conv.h"
#include "module/graph.h"

enum { NNI_NAME = 32, NNI_TENSORS = 4, NNI_PATH = 256, NNI_DEPTH = 100 };

typedef struct {
  char name[NNI_NAME];
  nn_tensor *tensor;
  bool buffer;               /* a running statistic: no gradient */
} nni_slot;

typedef struct {
  char name[NNI_NAME];
  nn_module *module;
} nni_child;

/* Weights as a convolution's kernel wants them, for one pass, while they stay what they are. */
typedef struct {
  nnk_conv_method method;
  uint64_t norm;             /* number of the one folded into them, or 0 */
  uint64_t version[3];       /* of the weight, and of the norm's weight and running variance */
  void *data;
} nni_prepared;

struct nn_module {
  int references;
  const nn_module_class *class;
  nn_param param[NN_MAX_PARAMS];
  const nn_op *op;           /* the row it runs, when there is one */
  nn_param op_param[NN_MAX_PARAMS];
  nni_slot slot[NNI_TENSORS];
  int slots;
  nni_child *child;
  int children, room;
  int depth;                 /* of the tree below, itself included: walks and releases recurse */
  uint64_t number;           /* no other module has had it */
  uint64_t stream;           /* of its random draws; given by nn_module_initialise */
  nni_prepared prepared[2];  /* of a convolution: forward, grad_input */
  struct nni_plan *plans;    /* for the shapes it was run on, the latest first */
  uint64_t plans_made;       /* nni_module_changes at that time */
};

struct nn_module_class {
  const char *name;
  const char *signature;
  const char *doc;
  const char *example;       /* as an op's */
  const char *op;            /* the op that forward runs, with the constructor's params unless build sets others */
  bool container;
  bool draws;                /* random numbers when it runs */
  int (*build)(nn_module *m);                                     /* makes slots from m->param; may be NULL */
  int (*initialise)(nn_module *m, uint64_t seed, uint64_t stream); /* fills the slots; NULL: there are none */
  int (*forward)(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y);
  int (*trace)(nn_module *m, nni_graph *g, int x, int *y);        /* NULL: the op, when forward is NULL as well */
  void (*affine)(const nn_module *m, int64_t channel, double *factor, double *shift);  /* of what it traces as AFFINE */
};

/* The families; each array ends with a row whose name is NULL. */
extern const nn_module_class nn_modules_layer[], nn_modules_block[];

int nni_modules_start(void);
/* Adds a float tensor of the given sizes as a parameter or buffer. */
int nni_module_slot(nn_module *m, const char *name, bool buffer, int axes, const int64_t *size);
extern uint64_t nni_module_changes;  /* counts children added to any module */
enum { NNI_PARAMETER_WANTS = 1, NNI_BUFFER_WANTS = 2 };
unsigned nni_module_wants_gradient(nn_module *m);  /* of these */
void nni_plans_release(struct nni_plan *list);
/* Runs m by its plan; *planned is false when it has none, and nothing was done then. */
int nni_plan_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y, bool *planned);
/* Runs a child; its name leads the message when it fails. */
int nni_child_forward(nni_child *c, nn_tensor *x, const nn_pass *pass, nn_tensor **y);

#endif
