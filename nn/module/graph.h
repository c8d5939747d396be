/* graph.h -- what a module computes for one shape of input: a list of values, each from those before it.
 *
 * A module's `trace` appends its values; containers trace their children. The list is what a plan is made from.
 */
#ifndef NN_GRAPH_H
#define NN_GRAPH_H

#include "autograd/op.h"

typedef enum {
  NNI_INPUT,
  NNI_CONV,     /* convolution of in[0] by the module's weight and bias */
  NNI_NORM,     /* batch normalisation of in[0] */
  NNI_AFFINE,   /* in[0] * a constant + a constant, by channel (Normalize, Scale) */
  NNI_RELU,
  NNI_ADD,      /* in[0] + in[1], of one shape */
  NNI_ROW,      /* the module's op row on (in[0], the module's tensors) */
  NNI_RESHAPE,  /* in[0] read in another shape */
} nni_kind;

typedef struct {
  nni_kind kind;
  nn_module *module;     /* NULL for INPUT, RELU of a Residual and ADD */
  int in[2];             /* -1 where there is none */
  nn_shape shape;
  nn_param param[NN_MAX_PARAMS];  /* of CONV, NORM and ROW, resolved against the row's signature */
  bool draws;            /* ROW: param[1] and param[2] are the pass's seed and the module's stream */
  double flops;          /* of making it */
  int users, user;       /* how many values read it, and the last of them */
} nni_value;

typedef struct {
  nni_value *value;
  int count, room;
  bool training;
  nn_layer_cost *cost;   /* what each module costs, in the order of nn_module_walk; NULL when nobody asks */
  int at;                /* the place in it of the module that is traced */
} nni_graph;

/* The values of m on an input of this shape; the last one is its result. NN_ESTATE: m holds something that cannot be
 * traced. Other failures are those of the layers' shape rules. */
int nni_graph_make(nni_graph *g, nn_module *m, const nn_shape *input, bool training);
void nni_graph_free(nni_graph *g);
/* The same into an empty graph, which may ask for costs, and for modules that pass their input on as well. *y: place of
 * the result. The caller frees the graph, also after a failure. */
int nni_graph_fill(nni_graph *g, nn_module *m, const nn_shape *input, int *y);
int nni_modules_in(const nn_module *m);  /* as nn_module_walk counts them */

/* For the modules' trace functions. Each sets *y to the place of the value it appends. */
int nni_trace(nn_module *m, nni_graph *g, int x, int *y);                /* any module */
int nni_trace_child(nn_module *m, int child, nni_graph *g, int x, int *y);
int nni_trace_row(nn_module *m, nni_graph *g, nni_kind kind, int x, const nn_param *param, int *y);
int nni_trace_same(nn_module *m, nni_graph *g, nni_kind kind, int x, int other, int *y);  /* y has x's shape */
int nni_trace_reshape(nn_module *m, nni_graph *g, int x, const nn_shape *shape, int *y);

#endif
