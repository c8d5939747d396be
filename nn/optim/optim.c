/* optim.c -- optimisers: parameter groups over the rows, clipping, averaged weights.
 *
 * All parameters are cut into pieces and handed to the team in one go. A step is done whole or not at all: what an
 * interrupt left undone is finished by the caller before the interrupt is reported.
 */
#include "optim/optim.h"

#include <math.h>
#include <string.h>

#include "kernels/optim.h"
#include "tensor/tensor.h"

enum { PIECE = 1 << 15 };  /* elements */

/* ---- the rows ---- */

enum { SGD_LR, SGD_MOMENTUM, SGD_DAMPENING, SGD_NESTEROV, SGD_WEIGHT_DECAY };

static int sgd_check(const nn_param *option) {
  if (option[SGD_NESTEROV].integer && (option[SGD_MOMENTUM].number == 0 || option[SGD_DAMPENING].number != 0))
    return nn_fail(NN_EARGUMENT, "nesterov expects momentum above 0 and dampening 0, got %g and %g",
                   option[SGD_MOMENTUM].number, option[SGD_DAMPENING].number);
  return NN_OK;
}

static int sgd_states(const nn_param *option) { return option[SGD_MOMENTUM].number != 0; }

static void sgd_update(const nni_update *u) {
  const nn_param *o = u->option;
  nnk_sgd_update(u->p, u->state[0], u->grad, u->count,
                 &(nnk_sgd){ .lr = (nn_real)o[SGD_LR].number, .momentum = (nn_real)o[SGD_MOMENTUM].number,
                             .damped = (nn_real)(1 - o[SGD_DAMPENING].number),
                             .weight_decay = (nn_real)o[SGD_WEIGHT_DECAY].number,
                             .nesterov = o[SGD_NESTEROV].integer, .fresh = u->fresh });
}

enum { ADAM_LR, ADAM_BETA1, ADAM_BETA2, ADAM_EPS, ADAM_WEIGHT_DECAY };

static int adam_states(const nn_param *option) { return (void)option, 2; }

static void adam_step(const nni_update *u, double decay, double keep) {
  const nn_param *o = u->option;
  double t = (double)u->step;
  nnk_adam_update(u->p, u->state[0], u->state[1], u->grad, u->count,
                  &(nnk_adam){ .beta1 = (nn_real)o[ADAM_BETA1].number, .beta2 = (nn_real)o[ADAM_BETA2].number,
                               .rest1 = (nn_real)(1 - o[ADAM_BETA1].number),
                               .rest2 = (nn_real)(1 - o[ADAM_BETA2].number),
                               .eps = (nn_real)o[ADAM_EPS].number, .weight_decay = (nn_real)decay,
                               .keep = (nn_real)keep,
                               .rate = (nn_real)(o[ADAM_LR].number / (1 - pow(o[ADAM_BETA1].number, t))),
                               .correction = (nn_real)sqrt(1 - pow(o[ADAM_BETA2].number, t)) });
}

static void adam_update(const nni_update *u) { adam_step(u, u->option[ADAM_WEIGHT_DECAY].number, 1); }

static void adamw_update(const nni_update *u) {
  adam_step(u, 0, 1 - u->option[ADAM_LR].number * u->option[ADAM_WEIGHT_DECAY].number);
}

#define ADAM_OPTIONS(decay)                                                                                 \
  "{lr:number=1e-3 >=0, beta1:number=0.9 >=0 <1, beta2:number=0.999 >=0 <1, eps:number=1e-8 >=0, "          \
  "weight_decay:number=" decay " >=0}"

static const nn_method methods[] = {
  { .name = "sgd",
    .signature = "{lr:number=0.01 >=0, momentum:number=0 >=0, dampening:number=0, nesterov:boolean=false, "
                 "weight_decay:number=0 >=0}",
    .doc = "Gradient descent: g = grad + weight_decay p; buffer = momentum buffer + (1 - dampening) g, at first g "
           "itself; p -= lr buffer, or with nesterov p -= lr (g + momentum buffer).",
    .state = { "momentum_buffer" }, .check = sgd_check, .states = sgd_states, .update = sgd_update },
  { .name = "adam", .signature = ADAM_OPTIONS("0"),
    .doc = "Adam: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2 with g = grad + weight_decay p; "
           "p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).",
    .state = { "exp_avg", "exp_avg_sq" }, .states = adam_states, .update = adam_update },
  { .name = "adamw", .signature = ADAM_OPTIONS("0.01"),
    .doc = "Adam with decoupled weight decay: p *= 1 - lr weight_decay, then Adam's step with g = grad.",
    .state = { "exp_avg", "exp_avg_sq" }, .states = adam_states, .update = adamw_update },
};
enum { METHODS = sizeof methods / sizeof *methods };

int nn_method_count(void) { return METHODS; }
const nn_method *nn_method_at(int place) { return &methods[place]; }

const nn_method *nn_method_find(const char *name) {
  for (int i = 0; i < METHODS; i++)
    if (strcmp(methods[i].name, name) == 0) return &methods[i];
  return NULL;
}

const char *nn_method_name(const nn_method *m) { return m->name; }
const char *nn_method_doc(const nn_method *m) { return m->doc; }
const char *nn_method_signature_text(const nn_method *m) { return m->signature; }

const nn_signature *nn_method_signature(const nn_method *m) {
  static nn_signature parsed[METHODS];
  nn_signature *s = &parsed[m - methods];
  if (s->args == 0) nn_signature_parse(m->signature, s);  /* our own text: it parses */
  return s;
}

int nn_method_states(const nn_method *m) {
  int count = 0;
  while (count < NNI_STATES && m->state[count]) count++;
  return count;
}

const char *nn_method_state_name(const nn_method *m, int state) { return m->state[state]; }

/* ---- optimisers ---- */

typedef struct {
  nn_param option[NN_MAX_PARAMS];
} group;

typedef struct {
  nn_tensor *p;
  int group;
  int64_t steps;
  nn_tensor *state[NNI_STATES];
  bool fresh;       /* the state was made and not yet used */
} entry;

struct nn_optimizer {
  const nn_method *method;
  group *groups;
  entry *entries;
  int group_count, entry_count;
};

nn_optimizer *nn_optimizer_new(const nn_method *method) {
  nn_optimizer *o = nn_memory_get_zeroed(sizeof *o);
  if (o) o->method = method;
  return o;
}

void nn_optimizer_free(nn_optimizer *o) {
  if (!o) return;
  for (int i = 0; i < o->entry_count; i++) {
    nn_tensor_release(o->entries[i].p);
    for (int s = 0; s < NNI_STATES; s++) nn_tensor_release(o->entries[i].state[s]);
  }
  nn_memory_put(o->groups);
  nn_memory_put(o->entries);
  nn_memory_put(o);
}

const nn_method *nn_optimizer_method(const nn_optimizer *o) { return o->method; }
int nn_optimizer_groups(const nn_optimizer *o) { return o->group_count; }
int nn_optimizer_params(const nn_optimizer *o) { return o->entry_count; }

static int check_options(const nn_method *m, const nn_param *option) {
  const nn_signature *s = nn_method_signature(m);
  int status = NN_OK;
  for (int a = 0; a < s->args && status == NN_OK; a++) status = nn_arg_check(&s->arg[a], &option[s->arg[a].value]);
  if (status == NN_OK && m->check) status = m->check(option);
  return status == NN_OK ? NN_OK : nn_fail_prefix(status, m->name);
}

static int check_param(const nn_optimizer *o, nn_tensor *const *params, int place) {
  const nn_tensor *t = params[place];
  if (t->type != NN_REAL || t->node || !nn_tensor_contiguous(t))
    return nn_fail(NN_EARGUMENT, "%s: parameter %d is not a contiguous float tensor of its own", o->method->name,
                   place + 1);
  bool twice = false;
  for (int i = 0; i < o->entry_count; i++) twice = twice || o->entries[i].p == t;
  for (int i = 0; i < place; i++) twice = twice || params[i] == t;
  return twice ? nn_fail(NN_EARGUMENT, "%s: parameter %d is there twice", o->method->name, place + 1) : NN_OK;
}

/* A copy of old with room for more; 0 bytes in old is fine. */
static void *grown(const void *old, size_t bytes, size_t more) {
  void *block = nn_memory_get(bytes + more);
  if (block && bytes) memcpy(block, old, bytes);
  return block;
}

int nn_optimizer_add(nn_optimizer *o, nn_tensor *const *params, int count, const nn_param *options) {
  const nn_signature *s = nn_method_signature(o->method);
  group g = { 0 };
  for (int a = 0; a < s->args; a++) {
    int v = s->arg[a].value;
    g.option[v] = options && options[v].given ? options[v] : s->arg[a].fallback;
  }
  int status = check_options(o->method, g.option);
  for (int i = 0; i < count && status == NN_OK; i++) status = check_param(o, params, i);
  if (status != NN_OK) return status;
  size_t groups = (size_t)o->group_count * sizeof g, entries = (size_t)o->entry_count * sizeof(entry);
  group *new_groups = grown(o->groups, groups, sizeof g);
  entry *new_entries = grown(o->entries, entries, (size_t)count * sizeof(entry));
  if (!new_groups || !new_entries) {
    nn_memory_put(new_groups);
    nn_memory_put(new_entries);
    return NN_EMEMORY;
  }
  nn_memory_put(o->groups);
  nn_memory_put(o->entries);
  o->groups = new_groups;
  o->entries = new_entries;
  for (int i = 0; i < count; i++)
    o->entries[o->entry_count++] = (entry){ .p = nn_tensor_retain(params[i]), .group = o->group_count };
  o->groups[o->group_count++] = g;
  return NN_OK;
}

const nn_param *nn_optimizer_get(const nn_optimizer *o, int place) { return o->groups[place].option; }

int nn_optimizer_set(nn_optimizer *o, int place, int value, const nn_param *param) {
  nn_param option[NN_MAX_PARAMS];
  memcpy(option, o->groups[place].option, sizeof option);
  option[value] = *param;
  int status = check_options(o->method, option);
  if (status == NN_OK) o->groups[place].option[value] = *param;
  return status;
}

int64_t nn_optimizer_steps(const nn_optimizer *o, int place) { return o->entries[place].steps; }
void nn_optimizer_set_steps(nn_optimizer *o, int place, int64_t steps) { o->entries[place].steps = steps; }
nn_tensor *nn_optimizer_state(const nn_optimizer *o, int place, int state) { return o->entries[place].state[state]; }

int nn_optimizer_set_state(nn_optimizer *o, int place, int state, const nn_tensor *value) {
  entry *e = &o->entries[place];
  char a[80], b[80];
  if (value->type != NN_REAL || !nni_same_shape(e->p, value))
    return nn_fail(NN_ESHAPE, "%s: %s expects %s, got %s", o->method->name, o->method->state[state],
                   nn_tensor_describe(e->p, a, sizeof a), nn_tensor_describe(value, b, sizeof b));
  nn_tensor *copy = nn_tensor_clone(value);
  if (!copy) return NN_EMEMORY;
  nn_tensor_release(e->state[state]);
  e->state[state] = copy;
  e->fresh = false;
  return NN_OK;
}

/* ---- a step ---- */

/* Tensors cut into pieces of PIECE elements. */
typedef struct {
  int tensor;
  int64_t begin, count;
  double sum;
  bool done;
} piece;

typedef struct job job;
struct job {
  void (*work)(const job *j, piece *p);
  piece *pieces;
  int64_t count;
  const nn_optimizer *optimizer;
  nn_tensor *const *tensors, *const *sources;
  double factor;
};

static nn_real *start(const job *j, const piece *p) { return nni_real(j->tensors[p->tensor]) + p->begin; }

static int cut(job *j, nn_tensor *const *tensors, int count) {
  j->tensors = tensors;
  for (int i = 0; i < count; i++)
    if (tensors[i]) j->count += nnk_divide_up(nn_tensor_count(tensors[i]), PIECE);
  j->pieces = nn_memory_get((size_t)j->count * sizeof *j->pieces);
  if (!j->pieces) return NN_EMEMORY;
  piece *p = j->pieces;
  for (int i = 0; i < count; i++) {
    int64_t size = tensors[i] ? nn_tensor_count(tensors[i]) : 0;
    for (int64_t begin = 0; begin < size; begin += PIECE)
      *p++ = (piece){ .tensor = i, .begin = begin, .count = nnk_min(PIECE, size - begin) };
  }
  return NN_OK;
}

static void do_pieces(void *context, int64_t begin, int64_t end) {
  job *j = context;
  for (piece *p = j->pieces + begin; p < j->pieces + end; p++) {
    j->work(j, p);
    p->done = true;
  }
}

/* All of them, also when an interrupt arrives. */
static int run(job *j) {
  int status = nn_parallel_for(j->count, 1, do_pieces, j);
  for (int64_t i = 0; i < j->count; i++)
    if (!j->pieces[i].done) do_pieces(j, i, i + 1);
  return status;
}

static void update_piece(const job *j, piece *p) {
  const nn_optimizer *o = j->optimizer;
  const entry *e = &o->entries[p->tensor];
  nni_update u = { .option = o->groups[e->group].option, .step = e->steps + 1, .fresh = e->fresh,
                   .p = nni_real(e->p) + p->begin, .grad = start(j, p), .count = p->count };
  int states = o->method->states(u.option);
  for (int s = 0; s < states; s++) u.state[s] = nni_real(e->state[s]) + p->begin;
  o->method->update(&u);
}

static int make_states(nn_optimizer *o, entry *e) {
  int states = o->method->states(o->groups[e->group].option);
  for (int s = 0; s < states; s++) {
    if (e->state[s]) continue;
    e->state[s] = nn_tensor_zeros(NN_REAL, e->p->axes, e->p->size);
    if (!e->state[s]) return NN_EMEMORY;
    e->fresh = true;
  }
  return NN_OK;
}

int nn_optimizer_step(nn_optimizer *o) {
  job j = { .work = update_piece, .optimizer = o };
  int status = nn_interrupt_check();
  nn_tensor **grads = nn_memory_get_zeroed((size_t)o->entry_count * sizeof *grads);
  if (status == NN_OK && !grads) status = NN_EMEMORY;
  for (int i = 0; i < o->entry_count && status == NN_OK; i++) {
    entry *e = &o->entries[i];
    if (!e->p->requires_grad || !(grads[i] = nn_tensor_grad(e->p))) continue;
    status = make_states(o, e);
  }
  if (status == NN_OK) status = cut(&j, grads, o->entry_count);
  if (status == NN_OK) {
    status = run(&j);
    for (int i = 0; i < o->entry_count; i++) {
      entry *e = &o->entries[i];
      if (!grads[i]) continue;
      nn_tensor_write(e->p);
      e->steps++;
      e->fresh = false;
    }
    nn_optimizer_clear_grads(o);
  }
  nn_memory_put(j.pieces);
  nn_memory_put(grads);
  return status;
}

void nn_optimizer_clear_grads(nn_optimizer *o) {
  for (int i = 0; i < o->entry_count; i++) nn_tensor_clear_grad(o->entries[i].p);
}

/* ---- gradients and averages ---- */

/* Runs j->work over the tensors that are there; `writes`: it changes them. */
static int over(job *j, nn_tensor *const *tensors, int count, bool writes) {
  int status = cut(j, tensors, count);
  for (int i = 0; i < count && status == NN_OK && writes; i++)
    if (tensors[i]) nn_tensor_write(tensors[i]);
  return status == NN_OK ? run(j) : status;
}

static int over_grads(job *j, nn_tensor *const *params, int count, bool writes) {
  nn_tensor **grads = nn_memory_get_zeroed((size_t)count * sizeof *grads);
  if (!grads) return NN_EMEMORY;
  for (int i = 0; i < count; i++) {
    grads[i] = nn_tensor_grad(params[i]);
    for (int k = 0; k < i && grads[i]; k++)
      if (grads[k] == grads[i]) grads[i] = NULL;
  }
  int status = over(j, grads, count, writes);
  nn_memory_put(grads);
  return status;
}

static void square_piece(const job *j, piece *p) { p->sum = nnk_sum_squares(start(j, p), p->count); }
static void scale_piece(const job *j, piece *p) { nnk_scale(start(j, p), p->count, (nn_real)j->factor); }
static void clip_piece(const job *j, piece *p) { nnk_clip(start(j, p), p->count, (nn_real)j->factor); }

static void average_piece(const job *j, piece *p) {
  nnk_average(start(j, p), nni_real(j->sources[p->tensor]) + p->begin, p->count, (nn_real)j->factor);
}

/* Pieces in their order, so the sum does not depend on the team. */
int nn_grad_norm(nn_tensor *const *params, int count, double *norm) {
  job j = { .work = square_piece };
  int status = over_grads(&j, params, count, false);
  double sum = 0;
  for (int64_t i = 0; i < j.count && status == NN_OK; i++) sum += j.pieces[i].sum;
  nn_memory_put(j.pieces);
  if (status == NN_OK) *norm = sqrt(sum);
  return status;
}

int nn_clip_grad_norm(nn_tensor *const *params, int count, double limit, double *norm) {
  double found;
  if (!(limit >= 0)) return nn_fail(NN_EARGUMENT, "clip_grad_norm: the limit must be at least 0, got %g", limit);
  int status = nn_grad_norm(params, count, &found);
  if (status != NN_OK) return status;
  for (int i = 0; i < count && !isfinite(found); i++) {
    double own;
    if (nn_tensor_grad(params[i]) && nn_grad_norm(&params[i], 1, &own) == NN_OK && !isfinite(own))
      return nn_fail(NN_ESTATE, "clip_grad_norm: the norm is %g, first in the gradient of parameter %d", found, i + 1);
  }
  if (!isfinite(found)) return nn_fail(NN_ESTATE, "clip_grad_norm: the norm is %g", found);
  double factor = limit / (found + 1e-6);
  if (factor < 1) {
    job j = { .work = scale_piece, .factor = factor };
    status = over_grads(&j, params, count, true);
    nn_memory_put(j.pieces);
  }
  if (status == NN_OK && norm) *norm = found;
  return status;
}

int nn_clip_grad_value(nn_tensor *const *params, int count, double limit) {
  if (!(limit >= 0)) return nn_fail(NN_EARGUMENT, "clip_grad_value: the limit must be at least 0, got %g", limit);
  job j = { .work = clip_piece, .factor = limit };
  int status = over_grads(&j, params, count, true);
  nn_memory_put(j.pieces);
  return status;
}

int nn_average_update(nn_tensor *const *averages, nn_tensor *const *params, int count, double decay) {
  char a[80], b[80];
  if (!(decay >= 0 && decay <= 1))
    return nn_fail(NN_EARGUMENT, "average_update: decay must be from 0 to 1, got %g", decay);
  for (int i = 0; i < count; i++) {
    const nn_tensor *t = averages[i], *p = params[i];
    if (t->type != NN_REAL || p->type != NN_REAL || !nn_tensor_contiguous(t) || !nn_tensor_contiguous(p))
      return nn_fail(NN_EARGUMENT, "average_update: tensor %d is not a contiguous float tensor", i + 1);
    if (!nni_same_shape(t, p))
      return nn_fail(NN_ESHAPE, "average_update: average %d is %s, the parameter %s", i + 1,
                     nn_tensor_describe(t, a, sizeof a), nn_tensor_describe(p, b, sizeof b));
  }
  job j = { .work = average_piece, .factor = decay, .sources = params };
  int status = over(&j, averages, count, true);
  nn_memory_put(j.pieces);
  return status;
}
