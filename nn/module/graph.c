/* graph.c -- building the list of values. */
#include "module/graph.h"

#include <string.h>

#include "autograd/tape.h"
#include "module/module.h"

static int append(nni_graph *g, const nni_value *v, int *y) {
  if (g->count == g->room) {
    int room = g->room ? 2 * g->room : 64;
    nni_value *grown = nn_memory_get((size_t)room * sizeof *grown);
    if (!grown) return NN_EMEMORY;
    if (g->count) memcpy(grown, g->value, (size_t)g->count * sizeof *grown);
    nn_memory_put(g->value);
    g->value = grown;
    g->room = room;
  }
  for (int i = 0; i < 2; i++) {
    if (v->in[i] < 0) continue;
    g->value[v->in[i]].users++;
    g->value[v->in[i]].user = g->count;
  }
  g->value[g->count] = *v;
  *y = g->count++;
  return NN_OK;
}

int nni_trace_row(nn_module *m, nni_graph *g, nni_kind kind, int x, const nn_param *param, int *y) {
  nni_value v = { .kind = kind, .module = m, .in = { x, -1 } };
  nn_shape shapes[1 + NNI_TENSORS] = { g->value[x].shape };
  nn_call c = { .op = m->op, .inputs = nn_op_signature(m->op)->tensors, .x_shape = shapes };
  for (int i = 1; i < c.inputs; i++) {
    nn_tensor *t = i <= m->slots ? m->slot[i - 1].tensor : NULL;
    shapes[i].axes = t ? t->axes : -1;
    if (t) memcpy(shapes[i].size, t->size, sizeof t->size);
  }
  memcpy(c.param, param, sizeof c.param);
  if (m->op->view) return nn_fail(NN_ESTATE, "%s cannot be traced", m->class->name);
  int status = nni_call_resolve(&c);
  if (status == NN_OK) status = m->op->shape(&c);
  if (status == NN_OK) status = nni_check_count(c.y_shape.axes, c.y_shape.size);
  if (status != NN_OK) return status;
  memcpy(v.param, c.param, sizeof v.param);
  v.shape = c.y_shape;
  v.flops = nni_flops(&c);
  return append(g, &v, y);
}

int nni_trace_same(nn_module *m, nni_graph *g, nni_kind kind, int x, int other, int *y) {
  const nn_shape *shape = &g->value[x].shape;
  if (other >= 0 && (shape->axes != g->value[other].shape.axes ||
                     memcmp(shape->size, g->value[other].shape.size, (size_t)shape->axes * sizeof *shape->size) != 0))
    return nn_fail(NN_ESTATE, "two shapes cannot be traced");  /* one may be broadcast: the op's affair */
  nni_value v = { .kind = kind, .module = m, .in = { x, other }, .shape = *shape };
  v.flops = (kind == NNI_AFFINE ? 2 : 1) * (double)nni_shape_count(shape);
  return append(g, &v, y);
}

int nni_trace_reshape(nn_module *m, nni_graph *g, int x, const nn_shape *shape, int *y) {
  nni_value v = { .kind = NNI_RESHAPE, .module = m, .in = { x, -1 }, .shape = *shape };
  return append(g, &v, y);
}

static int trace(nn_module *m, nni_graph *g, int x, int *y) {
  if (m->class->trace) return m->class->trace(m, g, x, y);
  if (m->class->forward || !m->op) return nn_fail(NN_ESTATE, "%s cannot be traced", m->class->name);
  return nni_trace_row(m, g, NNI_ROW, x, m->op_param, y);
}

int nni_trace(nn_module *m, nni_graph *g, int x, int *y) {
  int first = g->count, status = trace(m, g, x, y);
  if (!g->cost || status != NN_OK) return status;
  const nn_shape *shape = &g->value[*y].shape;
  nn_layer_cost *cost = &g->cost[g->at];
  *cost = (nn_layer_cost){ .axes = shape->axes };
  memcpy(cost->size, shape->size, sizeof cost->size);
  for (int i = first; i < g->count; i++) cost->flops += g->value[i].flops;
  return NN_OK;
}

int nni_trace_child(nn_module *m, int child, nni_graph *g, int x, int *y) {
  int own = g->at++;
  for (int i = 0; g->cost && i < child; i++) g->at += nni_modules_in(m->child[i].module);
  int status = nni_trace(m->child[child].module, g, x, y);
  g->at = own;
  return status;
}

int nni_graph_fill(nni_graph *g, nn_module *m, const nn_shape *input, int *y) {
  nni_value x = { .kind = NNI_INPUT, .in = { -1, -1 }, .shape = *input };
  int status = nni_check_count(input->axes, input->size);
  if (status == NN_OK) status = append(g, &x, y);
  return status == NN_OK ? nni_trace(m, g, 0, y) : status;
}

int nni_graph_make(nni_graph *g, nn_module *m, const nn_shape *input, bool training) {
  *g = (nni_graph){ .training = training };
  int y = 0, status = nni_graph_fill(g, m, input, &y);
  /* What comes after the result (nothing today) or is the input itself has no plan. */
  if (status == NN_OK && (y == 0 || y != g->count - 1)) status = nn_fail(NN_ESTATE, "nothing to plan");
  if (status != NN_OK) nni_graph_free(g);
  return status;
}

void nni_graph_free(nni_graph *g) {
  nn_memory_put(g->value);
  *g = (nni_graph){ 0 };
}
