/* module.c -- making, walking and running modules. */
#include "module/module.h"

#include <stdio.h>
#include <string.h>

#include "tensor/tensor.h"

static const nn_module_class *const families[] = { nn_modules_layer, nn_modules_block };
enum { FAMILIES = sizeof families / sizeof *families, MAX_CLASSES = 64 };

static struct {
  const nn_module_class *class;
  nn_signature signature;
} table[MAX_CLASSES];
static int classes;
uint64_t nni_module_changes;

int nni_modules_start(void) {
  if (classes) return NN_OK;
  for (int f = 0; f < FAMILIES; f++) {
    for (const nn_module_class *c = families[f]; c->name; c++) {
      if (classes == MAX_CLASSES) return nn_fail(NN_ESTATE, "more module rows than the table holds");
      int status = nn_signature_parse(c->signature, &table[classes].signature);
      if (status != NN_OK) return nn_fail_prefix(status, c->name);
      table[classes++].class = c;
    }
  }
  return NN_OK;
}

int nn_module_class_count(void) { return classes; }
const nn_module_class *nn_module_class_at(int place) { return table[place].class; }
const char *nn_module_class_name(const nn_module_class *class) { return class->name; }
const char *nn_module_class_signature_text(const nn_module_class *class) { return class->signature; }
const char *nn_module_class_doc(const nn_module_class *class) { return class->doc; }
const char *nn_module_class_example(const nn_module_class *class) { return class->example; }
bool nn_module_class_container(const nn_module_class *class) { return class->container; }

const nn_signature *nn_module_class_signature(const nn_module_class *class) {
  for (int i = 0; i < classes; i++)
    if (table[i].class == class) return &table[i].signature;
  return NULL;
}

/* ---- life ---- */

nn_module *nn_module_new(const nn_module_class *class, const nn_param *params) {
  nn_module *m = nn_memory_get_zeroed(sizeof *m);
  if (!m) return NULL;
  static uint64_t made;
  m->number = ++made;
  m->references = m->depth = 1;
  m->class = class;
  memcpy(m->param, params, sizeof m->param);
  memcpy(m->op_param, m->param, sizeof m->op_param);
  if (class->op) m->op = nn_op_find(class->op);
  int status = class->build ? class->build(m) : NN_OK;
  if (status == NN_OK) return m;
  nn_fail_prefix(status, class->name);
  nn_module_release(m);
  return NULL;
}

nn_module *nn_module_retain(nn_module *m) {
  m->references++;
  return m;
}

void nn_module_release(nn_module *m) {
  if (!m || --m->references > 0) return;
  for (int i = 0; i < m->slots; i++) nn_tensor_release(m->slot[i].tensor);
  for (int i = 0; i < m->children; i++) nn_module_release(m->child[i].module);
  nn_memory_put(m->child);
  for (int i = 0; i < 2; i++) nn_memory_put(m->prepared[i].data);
  nni_plans_release(m->plans);
  nn_memory_put(m);
}

const nn_module_class *nn_module_class_of(const nn_module *m) { return m->class; }
const nn_param *nn_module_params(const nn_module *m) { return m->param; }

int nni_module_slot(nn_module *m, const char *name, bool buffer, int axes, const int64_t *size) {
  nn_tensor *t = nn_tensor_zeros(NN_REAL, axes, size);
  if (!t) return NN_EMEMORY;
  if (!buffer) nn_tensor_set_requires_grad(t, true);
  nni_slot *slot = &m->slot[m->slots++];
  *slot = (nni_slot){ .tensor = t, .buffer = buffer };
  snprintf(slot->name, sizeof slot->name, "%s", name);
  return NN_OK;
}

static bool contains(const nn_module *m, const nn_module *other) {
  if (m == other) return true;
  for (int i = 0; i < m->children; i++)
    if (contains(m->child[i].module, other)) return true;
  return false;
}

int nn_module_add(nn_module *parent, const char *name, nn_module *child) {
  const char *class = parent->class->name;
  if (!*name || strchr(name, '.') || strlen(name) >= NNI_NAME)
    return nn_fail(NN_EARGUMENT, "%s: a child's name has 1 to %d characters and no dot, got \"%s\"", class,
                   NNI_NAME - 1, name);
  for (int i = 0; i < parent->children; i++)
    if (strcmp(parent->child[i].name, name) == 0)
      return nn_fail(NN_EARGUMENT, "%s: two children are named \"%s\"", class, name);
  if (contains(child, parent)) return nn_fail(NN_EARGUMENT, "%s: a module cannot contain itself", class);
  if (child->depth >= NNI_DEPTH)
    return nn_fail(NN_EARGUMENT, "%s: modules nest at most %d deep", class, NNI_DEPTH);
  if (parent->children == parent->room) {
    int room = parent->room ? 2 * parent->room : 8;
    nni_child *grown = nn_memory_get((size_t)room * sizeof *grown);
    if (!grown) return NN_EMEMORY;
    if (parent->children) memcpy(grown, parent->child, (size_t)parent->children * sizeof *grown);
    nn_memory_put(parent->child);
    parent->child = grown;
    parent->room = room;
  }
  nni_child *slot = &parent->child[parent->children++];
  snprintf(slot->name, sizeof slot->name, "%s", name);
  slot->module = nn_module_retain(child);
  if (child->depth >= parent->depth) parent->depth = child->depth + 1;
  nni_module_changes++;
  return NN_OK;
}

/* ---- walking ---- */

/* Appends ".name" to the path, `length` long. */
static int descend(char *path, size_t length, const char *name) {
  int used = snprintf(path + length, NNI_PATH - length, length ? ".%s" : "%s", name);
  if ((size_t)used < NNI_PATH - length) return NN_OK;
  path[length] = '\0';
  return nn_fail(NN_EARGUMENT, "below %s the path of a tensor is longer than %d characters", path, NNI_PATH - 1);
}

static int walk(nn_module *m, const nn_module_visitor *v, char *path) {
  size_t length = strlen(path);
  int status = v->module ? v->module(v->context, path, m) : NN_OK;
  for (int i = 0; i < m->slots && v->tensor && status == NN_OK; i++) {
    status = descend(path, length, m->slot[i].name);
    if (status == NN_OK) status = v->tensor(v->context, path, m->slot[i].tensor, m->slot[i].buffer);
    path[length] = '\0';
  }
  for (int i = 0; i < m->children && status == NN_OK; i++) {
    status = descend(path, length, m->child[i].name);
    if (status == NN_OK) status = walk(m->child[i].module, v, path);
    path[length] = '\0';
  }
  return status;
}

int nn_module_walk(nn_module *m, const nn_module_visitor *visitor) {
  char path[NNI_PATH] = "";
  return walk(m, visitor, path);
}

nn_module *nn_module_find(nn_module *m, const char *path) {
  while (*path) {
    size_t length = strcspn(path, ".");
    nn_module *next = NULL;
    for (int i = 0; i < m->children && !next; i++)
      if (strlen(m->child[i].name) == length && memcmp(m->child[i].name, path, length) == 0)
        next = m->child[i].module;
    if (!next) return NULL;
    m = next;
    path += length + (path[length] == '.');
  }
  return m;
}

typedef struct {
  uint64_t seed, next;
} initialising;

/* Modules that hold or draw something take one stream each, in order: a layer without weights, such as Normalize,
 * changes nothing for the others. */
static int initialise_one(void *context, const char *path, nn_module *m) {
  (void)path;
  initialising *c = context;
  if (m->slots == 0 && !m->class->draws) return NN_OK;
  m->stream = c->next++;
  return m->class->initialise ? m->class->initialise(m, c->seed, 4 * m->stream) : NN_OK;
}

int nn_module_initialise(nn_module *m, uint64_t seed) {
  initialising c = { .seed = seed };
  return nn_module_walk(m, &(nn_module_visitor){ .context = &c, .module = initialise_one });
}

/* ---- running ---- */

static int wants_gradient(void *context, const char *path, nn_tensor *t, bool buffer) {
  (void)path;
  if (nni_wants_gradient(t)) *(unsigned *)context |= buffer ? NNI_BUFFER_WANTS : NNI_PARAMETER_WANTS;
  return NN_OK;
}

unsigned nni_module_wants_gradient(nn_module *m) {
  unsigned wants = 0;
  nn_module_walk(m, &(nn_module_visitor){ .context = &wants, .tensor = wants_gradient });
  return wants;
}

/* Layer by layer, through the tape. */
static int compose(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  nn_tensor *out = NULL;
  int status = m->class->forward ? m->class->forward(m, x, pass, &out) : nn_apply(m->op, &x, 1, m->op_param, &out);
  if (status != NN_OK) return status;
  for (int i = 0; i < pass->taps; i++) {
    if (pass->tap[i].module != m) continue;
    nn_tensor_release(pass->tap[i].out);  /* a shared module: the last call counts */
    pass->tap[i].out = nn_tensor_retain(out);
    if (nn_tensor_requires_grad(out)) nn_tensor_retain_grad(out);
  }
  *y = out;
  return NN_OK;
}

int nn_module_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  if (m->children > 0 && pass->taps == 0 && !pass->composed) {
    bool planned;
    int status = nni_plan_forward(m, x, pass, y, &planned);
    if (planned) return status;
  }
  return compose(m, x, pass, y);
}

int nni_child_forward(nni_child *c, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  int status = compose(c->module, x, pass, y);
  if (status != NN_OK && status != NN_EINTERRUPT && status != NN_EMEMORY) nn_fail_prefix(status, c->name);
  return status;
}
