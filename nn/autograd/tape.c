/* tape.c -- running rows, recording them, and the way back.
 *
 * Recording makes one node per call. Backward visits the nodes that the value depends on, latest first: as nodes are
 * numbered when recorded, every node has all of its gradient before it is visited. A node's saved values are released
 * as soon as it has been visited, unless the graph is to be kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/tape.h"

static bool enabled = true;
static const nn_tensor *only;  /* the leaf that alone may get a gradient, or NULL */
static uint64_t recorded;

static struct {
  const nn_op *op;
  int input;
  double factor;
} planted;

void nn_plant_error(const nn_op *op, int input, double factor) {
  planted.op = op;
  planted.input = input;
  planted.factor = factor;
}

bool nn_grad_enabled(void) { return enabled; }

bool nn_set_grad_enabled(bool on) {
  bool was = enabled;
  enabled = on;
  return was;
}

const nn_tensor *nn_set_grad_leaf(const nn_tensor *leaf) {
  const nn_tensor *was = only;
  only = leaf;
  return was;
}

/* What was recorded before the leaf was set leads elsewhere. */
bool nni_wants_gradient(const nn_tensor *t) {
  return t->requires_grad && (!only || t == only || (t->node && t->node->only == only));
}

/* ---- running a row ---- */

static nn_shape shape_of(const nn_tensor *t) {
  nn_shape s = { .axes = -1 };
  if (!t) return s;
  s.type = t->type;
  s.axes = t->axes;
  memcpy(s.size, t->size, sizeof s.size);
  return s;
}

/* The argument that input i belongs to; a list takes all the inputs from its place on. */
static const nn_arg *arg_of_input(const nn_signature *s, int i) {
  const nn_arg *last = NULL;
  for (int a = 0; a < s->args; a++)
    if (s->arg[a].tensor >= 0 && s->arg[a].tensor <= i) last = &s->arg[a];
  return last;
}

static int check_types(const nn_signature *s, nn_tensor *const *x, int count) {
  for (int i = 0; i < count; i++) {
    const nn_arg *arg = arg_of_input(s, i);
    if (!x[i]) {
      if (!arg->optional) return nn_fail(NN_ETYPE, "%s is missing", arg->name);
      continue;
    }
    bool fits = arg->kind == NN_ARG_TENSOR ? x[i]->type == NN_REAL
              : arg->kind == NN_ARG_INDEX ? x[i]->type == NN_INDEX
              : arg->kind == NN_ARG_TENSORS ? x[i]->type == x[0]->type : true;
    if (!fits) {
      nn_type wanted = arg->kind == NN_ARG_TENSOR ? NN_REAL : arg->kind == NN_ARG_INDEX ? NN_INDEX : x[0]->type;
      return nn_fail(NN_ETYPE, "%s expects a tensor of %s, got %s", arg->name, nn_type_name(wanted),
                     nn_type_name(x[i]->type));
    }
  }
  return NN_OK;
}

/* -1 is the last axis. Messages count as Lua does. */
static int resolve_axis(const char *name, int64_t *axis, int axes) {
  int64_t given = *axis;
  if (*axis < 0) *axis += axes;
  if (*axis >= 0 && *axis < axes) return NN_OK;
  return nn_fail(NN_ESHAPE, "%s %lld is not one of the tensor's %d", name, (long long)(given < 0 ? given : given + 1),
                 axes);
}

int nni_call_resolve(nn_call *c) {
  const nn_signature *s = nn_op_signature(c->op);
  for (int a = 0; a < s->args; a++) {
    const nn_arg *arg = &s->arg[a];
    if (arg->value < 0) continue;
    nn_param *p = &c->param[arg->value];
    if (!p->given) *p = arg->fallback;
    if (!p->given && !arg->optional) return nn_fail(NN_EARGUMENT, "%s is missing", arg->name);
    int status = nn_arg_check(arg, p);
    if (p->given && arg->kind == NN_ARG_AXIS) status = resolve_axis(arg->name, &p->integer, c->x_shape[0].axes);
    for (int i = 0; arg->kind == NN_ARG_AXES && i < p->count && status == NN_OK; i++) {
      status = resolve_axis("axis", &p->list[i], c->x_shape[0].axes);
      for (int j = 0; j < i && status == NN_OK; j++)
        if (p->list[j] == p->list[i])
          status = nn_fail(NN_ESHAPE, "axis %lld is named twice", (long long)p->list[i] + 1);
    }
    if (status != NN_OK) return status;
  }
  return NN_OK;
}

/* Puts the op's name before the message and, for shapes, the inputs' shapes behind it. */
static int explain(int status, const nn_op *op, const nn_signature *s, nn_tensor *const *x, int count) {
  if (status == NN_EINTERRUPT || status == NN_EMEMORY) return status;
  nn_fail_prefix(status, op->name);
  if (status != NN_ESHAPE) return status;
  char message[512], shapes[4 * (sizeof s->arg->name + 80)] = "", one[80];
  size_t used = 0;
  for (int i = 0; i < count && i < 4; i++) {
    if (!x[i]) continue;
    used += (size_t)snprintf(shapes + used, sizeof shapes - used, "%s%s %s", used ? ", " : "",
                             arg_of_input(s, i)->name, nn_tensor_describe(x[i], one, sizeof one));
  }
  snprintf(message, sizeof message, "%s", nn_error());
  return nn_fail(status, "%s (%s%s)", message, shapes, count > 4 ? ", ..." : "");
}

static bool wants_gradient(const nn_op *op, nn_tensor *const *x, int count) {
  if (!enabled || !op->backward) return false;
  for (int i = 0; i < count; i++)
    if (x[i] && nni_wants_gradient(x[i])) return true;
  return false;
}

static int run(nn_call *c, nn_tensor *const *inputs) {
  const nn_signature *s = nn_op_signature(c->op);
  int status = nni_call_resolve(c);
  if (status != NN_OK) return status;
  if (c->op->view) return c->op->view(c);
  status = c->op->shape(c);
  if (status != NN_OK) return status;
  for (int i = 0; i < c->inputs; i++) {
    c->x[i] = NULL;
    bool written = i < 16 && (c->op->writes & 1u << i);
    if (written && inputs[i] && !nn_tensor_contiguous(inputs[i]))
      return nn_fail(NN_EARGUMENT, "%s is written to and expects a contiguous tensor; clone it first",
                     arg_of_input(s, i)->name);
    if (inputs[i] && !(c->x[i] = nn_tensor_pack(inputs[i]))) return NN_EMEMORY;
  }
  c->y = nn_tensor_new(c->y_shape.type, c->y_shape.axes, c->y_shape.size);
  return c->y ? c->op->forward(c) : NN_EMEMORY;
}

int nn_apply(const nn_op *op, nn_tensor *const *inputs, int count, const nn_param *params, nn_tensor **out) {
  const nn_signature *s = nn_op_signature(op);
  nn_tensor *x[NN_MAX_INPUTS];
  nn_shape shapes[NN_MAX_INPUTS];
  if (count > NN_MAX_INPUTS)
    return nn_fail(NN_EARGUMENT, "%s: at most %d tensors, got %d", op->name, NN_MAX_INPUTS, count);
  nn_call c = { .op = op, .inputs = count, .x = x, .x_shape = shapes };
  for (int i = 0; i < count; i++) {
    x[i] = inputs[i];
    shapes[i] = shape_of(inputs[i]);
  }
  if (params) memcpy(c.param, params, sizeof c.param);
  int status = check_types(s, inputs, count);
  if (status != NN_OK) return explain(status, op, s, inputs, count);
  c.training = wants_gradient(op, inputs, count);
  for (int i = 0; i < count && !op->view; i++) x[i] = NULL;
  status = run(&c, inputs);
  if (status == NN_OK && c.training) status = nni_record(&c, inputs, c.y);
  if (!op->view)
    for (int i = 0; i < count; i++) nn_tensor_release(x[i]);
  if (status == NN_OK) {
    *out = c.y;
  } else {
    for (int i = 0; i < NN_MAX_KEPT; i++) nn_tensor_release(c.kept[i]);
    nn_tensor_release(c.y);
    return explain(status, op, s, inputs, count);
  }
  if (!c.training)
    for (int i = 0; i < NN_MAX_KEPT; i++) nn_tensor_release(c.kept[i]);
  return NN_OK;
}

/* ---- recording ---- */

static nn_node *node_new(int inputs) {
  size_t n = (size_t)inputs;
  size_t bytes = sizeof(nn_node) + n * (4 * sizeof(void *) + sizeof(uint64_t) + sizeof(nn_shape)) + sizeof(uint64_t);
  nn_node *node = nn_memory_get_zeroed(bytes);
  if (!node) return NULL;
  char *p = (char *)(node + 1);
  node->call.x = (nn_tensor **)p, p += n * sizeof(void *);
  node->call.dx = (nn_tensor **)p, p += n * sizeof(void *);
  node->leaf = (nn_tensor **)p, p += n * sizeof(void *);
  node->from = (nn_node **)p, p += n * sizeof(void *);
  node->version = (uint64_t *)p, p += (n + 1) * sizeof(uint64_t);
  node->call.x_shape = (nn_shape *)p;
  atomic_init(&node->references, 1);
  return node;
}

int nni_record(nn_call *c, nn_tensor *const *inputs, nn_tensor *y) {
  nn_node *node = node_new(c->inputs);
  if (!node) return NN_EMEMORY;
  nn_call *kept = &node->call;
  nn_tensor **x = kept->x, **dx = kept->dx;
  nn_shape *x_shape = kept->x_shape;
  if (c->op->saves & NN_SAVE_Y) {
    kept->y = nn_tensor_detach(y);
    if (!kept->y) {
      nn_memory_put(node);
      return NN_EMEMORY;
    }
    node->version[c->inputs] = y->storage->version;
  }
  nn_tensor *alias = kept->y;
  *kept = *c;
  kept->x = x, kept->dx = dx, kept->x_shape = x_shape, kept->y = alias;
  for (int i = 0; i < c->inputs; i++) {
    x_shape[i] = c->x_shape[i];
    if (c->x[i] && (c->op->saves & NN_SAVE_ALL || (i < 16 && c->op->saves & 1u << i))) {
      x[i] = nn_tensor_retain(c->x[i]);
      node->version[i] = x[i]->storage->version;
    }
    if (!inputs[i] || !nni_wants_gradient(inputs[i])) continue;
    if (inputs[i]->node) {
      node->from[i] = inputs[i]->node;
      atomic_fetch_add(&node->from[i]->references, 1);
    } else {
      node->leaf[i] = nn_tensor_retain(inputs[i]);
    }
  }
  node->order = ++recorded;
  node->only = only;
  y->node = node;
  y->requires_grad = true;
  return NN_OK;
}

/* Drops what backward would read, and the way to the inputs. */
static void spend(nn_node *node, nn_node **doomed) {
  nn_call *c = &node->call;
  for (int i = 0; i < c->inputs; i++) {
    nn_tensor_release(c->x[i]);
    nn_tensor_release(node->leaf[i]);
    if (node->from[i] && atomic_fetch_sub(&node->from[i]->references, 1) == 1) {
      node->from[i]->next = *doomed;
      *doomed = node->from[i];
    }
    c->x[i] = node->leaf[i] = NULL;
    node->from[i] = NULL;
  }
  for (int i = 0; i < NN_MAX_KEPT; i++) {
    nn_tensor_release(c->kept[i]);
    c->kept[i] = NULL;
  }
  nn_tensor_release(c->y);
  c->y = NULL;
  if (c->op->release) c->op->release(c->state);
  c->state = NULL;
  node->spent = true;
}

/* Chains are as long as the user's loop: the release is a loop too, not a recursion. */
static void destroy(nn_node *doomed) {
  while (doomed) {
    nn_node *node = doomed;
    doomed = node->next;
    spend(node, &doomed);
    nn_tensor_release(node->dy);
    nn_memory_put(node);
  }
}

void nni_node_release(nn_node *node) {
  if (!node || atomic_fetch_sub(&node->references, 1) != 1) return;
  node->next = NULL;
  destroy(node);
}

/* ---- the way back ---- */

static int add_into(nn_tensor *sum, const nn_tensor *part, double factor) {
  nn_real *out = nni_real(sum);
  const nn_real *in = nni_real(part);
  int64_t count = nn_tensor_count(sum);
  for (int64_t i = 0; i < count; i++) out[i] += (nn_real)factor * in[i];
  return NN_OK;
}

static nn_tensor *gradient_slot(nn_tensor **slot, const nn_shape *shape) {
  if (!*slot) *slot = nn_tensor_zeros(NN_REAL, shape->axes, shape->size);
  else (*slot)->storage->version++;
  return *slot;
}

static int check_versions(const nn_node *node) {
  const nn_call *c = &node->call;
  for (int i = 0; i <= c->inputs; i++) {
    const nn_tensor *saved = i < c->inputs ? c->x[i] : c->y;
    if (saved && saved->storage->version != node->version[i])
      return nn_fail(NN_ESTATE, "backward: a value that %s saved was overwritten before its gradient was taken",
                     c->op->name);
  }
  return NN_OK;
}

/* With a planted error: this input's contribution is computed apart and scaled. */
static int visit_planted(nn_node *node) {
  nn_call *c = &node->call;
  nn_tensor *sum = c->dx[planted.input], *part = nn_tensor_zeros(NN_REAL, sum->axes, sum->size);
  if (!part) return NN_EMEMORY;
  c->dx[planted.input] = part;
  int status = c->op->backward(c);
  if (status == NN_OK) add_into(sum, part, planted.factor);
  nn_tensor_release(part);
  return status;
}

static int visit(nn_node *node, bool keep_graph) {
  nn_call *c = &node->call;
  if (node->spent)
    return nn_fail(NN_ESTATE, "backward: the graph of this %s was freed by an earlier backward; keep it with "
                   "backward{ keep_graph = true }", c->op->name);
  int status = check_versions(node);
  if (status == NN_OK) status = nn_interrupt_check();
  for (int i = 0; i < c->inputs && status == NN_OK; i++) {
    c->dx[i] = NULL;
    nn_tensor **slot = node->from[i] ? &node->from[i]->dy : node->leaf[i] ? &node->leaf[i]->grad : NULL;
    if (slot && !(c->dx[i] = gradient_slot(slot, &c->x_shape[i]))) status = NN_EMEMORY;
  }
  if (status != NN_OK) return status;
  c->dy = node->dy;
  c->again = keep_graph;
  status = planted.op == c->op && planted.input < c->inputs && c->dx[planted.input] ? visit_planted(node)
                                                                                     : c->op->backward(c);
  c->dy = NULL;
  return status;
}

typedef struct {
  nn_node **node;
  size_t count, room;
} node_list;

static int list_add(node_list *list, nn_node *node) {
  if (list->count == list->room) {
    size_t room = list->room ? 2 * list->room : 256;
    nn_node **grown = nn_memory_get(room * sizeof *grown);
    if (!grown) return NN_EMEMORY;
    if (list->count) memcpy(grown, list->node, list->count * sizeof *grown);
    nn_memory_put(list->node);
    list->node = grown;
    list->room = room;
  }
  node->visited = true;
  list->node[list->count++] = node;
  return NN_OK;
}

static int latest_first(const void *a, const void *b) {
  const nn_node *x = *(nn_node *const *)a, *y = *(nn_node *const *)b;
  return x->order < y->order ? 1 : x->order > y->order ? -1 : 0;
}

/* Every node that root depends on, latest first. */
static int collect(nn_node *root, node_list *list) {
  int status = list_add(list, root);
  for (size_t next = 0; next < list->count && status == NN_OK; next++) {
    nn_node *node = list->node[next];
    for (int i = 0; i < node->call.inputs && status == NN_OK; i++)
      if (node->from[i] && !node->from[i]->visited) status = list_add(list, node->from[i]);
  }
  for (size_t i = 0; i < list->count; i++) list->node[i]->visited = false;
  if (status == NN_OK) qsort(list->node, list->count, sizeof *list->node, latest_first);
  return status;
}

static int walk_back(nn_node *root, nn_tensor *seed, bool keep_graph) {
  node_list list = { 0 };
  int status = collect(root, &list);
  for (size_t i = 0; i < list.count; i++) {
    atomic_fetch_add(&list.node[i]->references, 1);  /* spending a node must not free one still in the list */
    nn_tensor_release(list.node[i]->dy);
    list.node[i]->dy = NULL;
  }
  if (status == NN_OK) {
    root->dy = nn_tensor_clone(seed);
    if (!root->dy) status = NN_EMEMORY;
  }
  for (size_t i = 0; i < list.count; i++) {
    nn_node *node = list.node[i];
    if (status == NN_OK && node->dy) status = visit(node, keep_graph);
    if (!node->retain || status != NN_OK) {
      nn_tensor_release(node->dy);
      node->dy = NULL;
    }
    nn_node *doomed = NULL;
    if (!keep_graph && !node->spent) spend(node, &doomed);
    destroy(doomed);
  }
  for (size_t i = 0; i < list.count; i++) nni_node_release(list.node[i]);
  nn_memory_put(list.node);
  return status;
}

int nn_backward(nn_tensor *t, nn_tensor *seed, bool keep_graph) {
  if (!t->requires_grad)
    return nn_fail(NN_ESTATE, "backward: this tensor depends on nothing that requires a gradient");
  char a[80], b[80];
  if (!seed && nn_tensor_count(t) != 1)
    return nn_fail(NN_ESHAPE, "backward: a tensor of one element expected, got %s; pass the gradient to start from",
                   nn_tensor_describe(t, a, sizeof a));
  if (seed && (seed->type != NN_REAL || !nni_same_shape(t, seed)))
    return nn_fail(NN_ESHAPE, "backward: the starting gradient is %s, the tensor %s",
                   nn_tensor_describe(seed, a, sizeof a), nn_tensor_describe(t, b, sizeof b));
  nn_tensor *start = seed ? nn_tensor_retain(seed) : nn_tensor_new(NN_REAL, t->axes, t->size);
  int status = start ? NN_OK : NN_EMEMORY;
  if (start && !seed) nni_real(start)[0] = 1;
  if (status == NN_OK && t->node) {
    status = walk_back(t->node, start, keep_graph);
  } else if (status == NN_OK) {
    nn_shape shape = shape_of(t);
    nn_tensor *grad = gradient_slot(&t->grad, &shape), *packed = nn_tensor_pack(start);
    status = grad && packed ? add_into(grad, packed, 1) : NN_EMEMORY;
    nn_tensor_release(packed);
  }
  nn_tensor_release(start);
  return status;
}

/* ---- gradients of tensors ---- */

bool nn_tensor_requires_grad(const nn_tensor *t) { return t->requires_grad; }

int nn_tensor_set_requires_grad(nn_tensor *t, bool on) {
  if (t->node) return nn_fail(NN_ESTATE, "requires_grad: only a leaf can be set, this is the result of %s",
                              t->node->call.op->name);
  if (on && t->type != NN_REAL)
    return nn_fail(NN_ETYPE, "requires_grad: expects a tensor of float, got %s", nn_type_name(t->type));
  t->requires_grad = on;
  return NN_OK;
}

nn_tensor *nn_tensor_grad(const nn_tensor *t) {
  if (t->node) return t->node->retain ? t->node->dy : NULL;
  return t->grad;
}

void nn_tensor_clear_grad(nn_tensor *t) {
  nn_tensor **slot = t->node ? &t->node->dy : &t->grad;
  nn_tensor_release(*slot);
  *slot = NULL;
}

int nn_tensor_retain_grad(nn_tensor *t) {
  if (!t->requires_grad) return nn_fail(NN_ESTATE, "retain_grad: this tensor has no gradient");
  if (t->node) t->node->retain = true;
  return NN_OK;
}
