/* cost.c -- what a module costs on an input of some shape, from the graph and the plan that would run it. */
#include <stdio.h>
#include <string.h>

#include "autograd/tape.h"
#include "module/plan.h"

int nni_modules_in(const nn_module *m) {
  int count = 1;
  for (int i = 0; i < m->children; i++) count += nni_modules_in(m->child[i].module);
  return count;
}

static nn_shape shape_of(int axes, const int64_t *size) {
  nn_shape s = { .type = NN_REAL, .axes = axes };
  memcpy(s.size, size, (size_t)axes * sizeof *size);
  return s;
}

/* The layers' own message about an input that does not fit; `status` and its message when they take it. */
static int explain(nn_module *m, int axes, const int64_t *size, int status) {
  char message[200];
  snprintf(message, sizeof message, "%s", nn_error());
  nn_tensor *x = nn_tensor_zeros(NN_REAL, axes, size), *y = NULL;
  if (!x) return NN_EMEMORY;
  bool was = nn_set_grad_enabled(false);
  int told = nn_module_forward(m, x, &(nn_pass){ .composed = true }, &y);
  nn_set_grad_enabled(was);
  nn_tensor_release(x);
  nn_tensor_release(y);
  return told == NN_OK ? nn_fail(status, "%s", message) : told;
}

int nn_module_measure(nn_module *m, int axes, const int64_t *size, nn_layer_cost *cost, int count) {
  if (count != nni_modules_in(m)) return nn_fail(NN_EARGUMENT, "as many entries as modules expected, got %d", count);
  for (int i = 0; i < count; i++) cost[i] = (nn_layer_cost){ .axes = -1 };
  nni_graph g = { .cost = cost };
  nn_shape input = shape_of(axes, size);
  int y, status = nni_graph_fill(&g, m, &input, &y);
  nni_graph_free(&g);
  return status == NN_OK || status == NN_EMEMORY ? status : explain(m, axes, size, status);
}

static double elements(const nni_step *s) { return (double)s->rows * (double)s->channels; }

/* Of a step of the way back: a product costs what it cost on the way forth, a pass over a tensor what its steps say. */
static double backward_flops(const nni_plan *p, const nni_step *s) {
  const nni_value *v = &p->graph.value[s->value];
  switch (s->kind) {
    case NNI_CONV_GRAD_INPUT:
    case NNI_CONV_GRAD_WEIGHT: return v->flops;
    case NNI_NORM_BACKWARD: return 2 * (double)nni_shape_count(&v->shape);
    case NNI_BIAS_GRAD:
    case NNI_FUSE: return elements(s);
    case NNI_ROW_BACKWARD: {
      bool weight = v->module->slots > 0 && p->wanted[nni_plan_param(p, v->module->slot[0].tensor)];
      return v->flops * ((s->y != NNI_NONE) + weight);
    }
    default: return 0;
  }
}

static int64_t bytes_of(const nn_shape *s) { return nni_shape_count(s) * (int64_t)sizeof(nn_real); }

/* Of the layers one by one: every value counts, and in training its gradient; the way back is two ways forth. */
static int composed_cost(nn_module *m, const nn_shape *input, bool training, nn_cost *cost) {
  nni_graph g = { .training = training };
  nn_cost sum = { 0 };
  int y, status = nni_graph_fill(&g, m, input, &y);
  for (int i = 0; i < g.count; i++) {
    sum.flops += (training ? 3 : 1) * g.value[i].flops;
    sum.bytes += (training ? 2 : 1) * bytes_of(&g.value[i].shape);
  }
  nni_graph_free(&g);
  if (status == NN_OK) *cost = sum;
  return status;
}

int nn_module_cost(nn_module *m, int axes, const int64_t *size, bool training, nn_cost *cost) {
  nni_plan_key key = { .shape = shape_of(axes, size), .training = training, .precision = nni_precision() };
  key.gradient = training && nni_module_wants_gradient(m) & NNI_PARAMETER_WANTS;
  nni_plan *p = NULL;
  int status = m->children > 0 ? nni_plan_make(&p, m, &key) : NN_ESTATE;
  if (status == NN_ESTATE) status = composed_cost(m, &key.shape, training, cost);
  if (status != NN_OK && status != NN_EMEMORY) status = explain(m, axes, size, status);
  if (!p || status != NN_OK) return status;
  const nn_shape *out = &p->graph.value[p->graph.count - 1].shape;
  *cost = (nn_cost){ .planned = true, .bytes = (int64_t)p->arena + (1 + key.gradient) * bytes_of(out) +
                                               bytes_of(&key.shape) };
  for (int i = 0; i < p->graph.count; i++) cost->flops += p->graph.value[i].flops;
  for (int i = p->forward_steps; i < p->steps; i++) cost->flops += backward_flops(p, &p->step[i]);
  nni_plans_release(p);
  return NN_OK;
}
