/* lower.c -- from values to steps: what is stored, what is fused, and where everything lies.
 *
 * The forward pass over the values decides for each where it can be found (struct place); the backward pass takes them
 * in reverse and carries each one's gradient (struct gradient) to the values it was made from. A gradient is finished
 * when all contributions are in: gated by the value's ReLU and summed for the norm below. The kernel that adds the last
 * contribution does that on the way if it can.
 */
#include <stdlib.h>
#include <string.h>

#include "module/plan.h"
#include "ops/layout.h"

typedef struct {
  int buffer;     /* of the value, or of the z it is a norm of */
  int norm;       /* the NORM or AFFINE value it is read through, or -1 */
  bool relu;      /* on top of that */
  int signs;      /* buffer of bits: which elements of a stored, rectified value are above 0 */
  int copy;       /* buffer with the value itself, once somebody needed it */
  int conv;       /* the CONV whose step stores this value, with all that lies between; -1 */
  int add;        /* the ADD that this value completes: itself, or the one its ReLU was fused to; -1 */
  int residual;   /* the value that the CONV's step adds, or -1 */
  bool done;      /* part of an earlier value's step */
} place;

typedef struct {
  nni_operand form;  /* form.x NNI_NONE: nothing yet */
  bool shared;       /* the buffer is another value's gradient as well: not to be written */
  bool finished, summed;
  int pending;       /* contributions still to come */
} gradient;

typedef struct {
  nni_plan *p;
  const nni_graph *g;
  place *place;
  gradient *grad;
  bool *needs;
  int status;        /* the first failure; later calls do nothing */
} lowering;

static const nni_operand no_operand = { .x = NNI_NONE, .other = NNI_NONE, .norm = -1 };

static nni_operand plain(int buffer) { return (nni_operand){ .x = buffer, .other = NNI_NONE, .norm = -1 }; }

/* ---- growing lists ---- */

static void *grown(lowering *l, void *list, int count, int *room, size_t size) {
  if (count < *room) return list;
  int larger = *room ? 2 * *room : 128;
  void *copy = l->status == NN_OK ? nn_memory_get((size_t)larger * size) : NULL;
  if (!copy) {
    l->status = NN_EMEMORY;
    return list;
  }
  if (count) memcpy(copy, list, (size_t)count * size);
  nn_memory_put(list);
  *room = larger;
  return copy;
}

static int new_buffer(lowering *l, size_t bytes) {
  nni_plan *p = l->p;
  p->buffer = grown(l, p->buffer, p->buffers, &p->buffer_room, sizeof *p->buffer);
  if (l->status != NN_OK) return NNI_NONE;
  p->buffer[p->buffers] = (nni_buffer){ .bytes = bytes, .first = -1 };
  return NNI_ARENA + p->buffers++;
}

static int new_real_buffer(lowering *l, int value) {
  return new_buffer(l, (size_t)nni_shape_count(&l->g->value[value].shape) * sizeof(nn_real));
}

/* The buffer for a value's own elements; the last one's is the caller's. */
static int value_buffer(lowering *l, int value) {
  return value == l->g->count - 1 ? NNI_Y : new_real_buffer(l, value);
}

static int64_t rows_of(const lowering *l, int value) {
  const nn_shape *s = &l->g->value[value].shape;
  return nni_shape_span(s, 0, s->axes - 1);
}

static int signs_buffer(lowering *l, int value) {
  int64_t words = rows_of(l, value) * nnk_signs(nni_channels(&l->g->value[value].shape));
  return new_buffer(l, (size_t)words * sizeof(uint16_t));
}

/* A step about `value`, whose y has the shape of `like`. */
static nni_step new_step(const lowering *l, nni_step_kind kind, int value, int like) {
  return (nni_step){ .kind = kind, .value = value, .a = no_operand, .b = no_operand, .y = NNI_NONE,
                     .residual = NNI_NONE, .gate = NNI_NONE, .signs = NNI_NONE, .z = NNI_NONE, .norm = -1,
                     .rows = rows_of(l, like), .channels = nni_channels(&l->g->value[like].shape),
                     .weights = NNI_NONE, .fold = -1 };
}

static void emit(lowering *l, const nni_step *s) {
  nni_plan *p = l->p;
  p->step = grown(l, p->step, p->steps, &p->room, sizeof *p->step);
  if (l->status == NN_OK) p->step[p->steps++] = *s;
}

/* ---- the way forth ---- */

static bool wants(const lowering *l, int value, int slot) {
  const nn_module *m = l->g->value[value].module;
  if (slot >= m->slots || m->slot[slot].buffer) return false;
  return l->p->wanted[nni_plan_param(l->p, m->slot[slot].tensor)];
}

/* None of its parameters wants a gradient. */
static bool frozen(const lowering *l, int value) {
  const nn_module *m = l->g->value[value].module;
  for (int i = 0; m && i < m->slots; i++)
    if (wants(l, value, i)) return false;
  return true;
}

static int sole_user(const lowering *l, int value) {
  const nni_value *v = &l->g->value[value];
  return v->users == 1 ? v->user : -1;
}

static bool is(const lowering *l, int value, nni_kind kind) { return value >= 0 && l->g->value[value].kind == kind; }

static nni_operand operand_of(const lowering *l, int value) {
  const place *p = &l->place[value];
  return (nni_operand){ .x = p->buffer, .other = NNI_NONE, .norm = p->norm, .relu = p->relu };
}

static bool lazy(const place *p) { return p->norm >= 0 || p->relu; }

/* The buffer that holds the value itself. */
static int stored(lowering *l, int value) {
  place *p = &l->place[value];
  if (!lazy(p)) return p->buffer;
  if (p->copy == NNI_NONE) {
    nni_step s = new_step(l, NNI_FUSE, value, value);
    s.a = operand_of(l, value);
    s.y = p->copy = new_real_buffer(l, value);
    emit(l, &s);
  }
  return p->copy;
}

static nnk_conv conv_shape(const nni_graph *g, int value) {
  enum { STRIDE, PADDING, DILATION, GROUPS };
  const nni_value *v = &g->value[value];
  const int64_t *x = g->value[v->in[0]].shape.size, *w = v->module->slot[0].tensor->size, *y = v->shape.size;
  return (nnk_conv){ .images = x[0], .height = x[1], .width = x[2], .channels = x[3],
                     .out_height = y[1], .out_width = y[2], .out_channels = y[3],
                     .kernel_height = w[0], .kernel_width = w[1], .stride = v->param[STRIDE].integer,
                     .padding = v->param[PADDING].integer, .dilation = v->param[DILATION].integer,
                     .groups = v->param[GROUPS].integer };
}

/* Chooses the method, and where prepared weights lie: those that stay the same are kept with the module. */
static void choose(lowering *l, nni_step *s, nnk_conv_pass pass) {
  nnk_conv shape = conv_shape(l->g, s->value);
  if (l->status == NN_OK) l->status = nnk_conv_choose(&s->method, &shape, pass, l->p->key.precision);
  if (pass != NNK_GRAD_WEIGHT && wants(l, s->value, 0)) s->weights = new_buffer(l, s->method.weights);
}

/* One step for the convolution and what its store can do: statistics for a norm; or a folded norm, the sum of a
 * residual block, a ReLU. */
static void lower_conv(lowering *l, int value) {
  nni_step s = new_step(l, NNI_CONV_FORWARD, value, value);
  int end = value, next = sole_user(l, end), residual = -1;
  s.a = operand_of(l, l->g->value[value].in[0]);
  if (is(l, next, NNI_NORM) && l->g->training) {
    s.sums = true;
    s.norm = next;
  } else if (is(l, next, NNI_NORM) && frozen(l, value) && frozen(l, next)) {
    s.fold = end = next;
  }
  next = sole_user(l, end);
  if (is(l, next, NNI_ADD)) {
    const int *in = l->g->value[next].in;
    int other = in[0] == end ? in[1] : in[0];
    if (other < value && !lazy(&l->place[other])) {
      residual = other;
      s.residual = l->place[other].buffer;
      end = next;
    }
  }
  next = sole_user(l, end);
  if (is(l, next, NNI_RELU)) {
    s.relu = true;
    end = next;
  }
  place *p = &l->place[end];
  for (int i = value + 1; i <= end; i++)  /* a chain of sole users may pass over values of another branch */
    if (i == s.fold || i == end || (residual >= 0 && i == l->g->value[end].in[0])) l->place[i].done = true;
  s.y = p->buffer = value_buffer(l, end);
  if (s.relu && l->needs[end]) s.signs = p->signs = signs_buffer(l, end);
  p->conv = value;
  p->residual = residual;
  choose(l, &s, NNK_FORWARD);
  emit(l, &s);
}

static void lower_norm(lowering *l, int value) {
  int base = l->g->value[value].in[0];
  nni_step s = new_step(l, NNI_NORM_FORWARD, value, value);
  s.a = plain(stored(l, base));
  s.norm = value;
  int conv = l->place[base].conv;
  s.sums = l->g->training && conv == base && sole_user(l, base) == value;
  emit(l, &s);
  l->place[value].buffer = s.a.x;
  l->place[value].norm = value;
}

static void lower_relu(lowering *l, int value) {
  int in = l->g->value[value].in[0];
  place *p = &l->place[value];
  if (l->place[in].norm >= 0 && !l->place[in].relu) {
    p->buffer = l->place[in].buffer;
    p->norm = l->place[in].norm;
    p->relu = true;
    return;
  }
  nni_step s = new_step(l, NNI_FUSE, value, value);
  s.a = operand_of(l, in);
  s.relu = true;
  s.y = p->buffer = value_buffer(l, value);
  if (l->needs[value]) s.signs = p->signs = signs_buffer(l, value);
  emit(l, &s);
}

static void lower_add(lowering *l, int value) {
  const int *in = l->g->value[value].in;
  nni_step s = new_step(l, NNI_FUSE, value, value);
  int next = sole_user(l, value), end = is(l, next, NNI_RELU) ? next : value;
  place *p = &l->place[end];
  s.a = operand_of(l, in[0]);
  s.b = operand_of(l, in[1]);
  s.relu = end != value;
  s.y = p->buffer = value_buffer(l, end);
  if (s.relu && l->needs[end]) s.signs = p->signs = signs_buffer(l, end);
  p->add = value;
  p->done = end != value;
  emit(l, &s);
}

static void lower_row(lowering *l, int value) {
  nni_step s = new_step(l, NNI_ROW_FORWARD, value, value);
  bool last = value == l->g->count - 1, kept = l->needs[value] && l->g->value[value].module->op->saves & NN_SAVE_Y;
  s.a = plain(stored(l, l->g->value[value].in[0]));
  /* What backward reads of y must not be the caller's, who may write to it. */
  s.y = l->place[value].buffer = last && kept ? new_real_buffer(l, value) : value_buffer(l, value);
  emit(l, &s);
}

static void lower_forward(lowering *l) {
  for (int i = 1; i < l->g->count; i++) {
    const nni_value *v = &l->g->value[i];
    if (l->place[i].done) continue;
    switch (v->kind) {
      case NNI_CONV: lower_conv(l, i); break;
      case NNI_NORM:
      case NNI_AFFINE: lower_norm(l, i); break;
      case NNI_RELU: lower_relu(l, i); break;
      case NNI_ADD: lower_add(l, i); break;
      case NNI_ROW: lower_row(l, i); break;
      case NNI_RESHAPE: l->place[i].buffer = stored(l, v->in[0]); break;
      case NNI_INPUT: break;
    }
  }
  int last = l->g->count - 1;
  if (l->place[last].buffer != NNI_Y || lazy(&l->place[last])) {
    nni_step s = new_step(l, NNI_FUSE, last, last);
    s.a = operand_of(l, last);
    s.y = NNI_Y;
    emit(l, &s);
  }
}

/* ---- the way back ---- */

/* The norm's sums over the gradient are wanted: for its parameters, or for what the batch's statistics add. */
static bool norm_sums(const lowering *l, int norm) {
  return is(l, norm, NNI_NORM) && l->needs[norm] && (l->g->training || !frozen(l, norm));
}

/* What finishes the gradient of a value: its gate, and the sums for the norm it came through. */
static void set_finish(const lowering *l, nni_step *s, int value) {
  const place *p = &l->place[value];
  if (p->signs != NNI_NONE) {
    s->gate = p->signs;
  } else if (is(l, value, NNI_RELU) && lazy(p)) {
    s->z = p->buffer;
    s->norm = p->norm;
    s->z_gate = true;
    s->sums = norm_sums(l, p->norm) && l->g->value[p->norm].users == 1;
  } else if (p->norm == value && norm_sums(l, value)) {
    s->z = p->buffer;
    s->norm = value;
    s->sums = true;
  }
  for (int i = 0; i < 2 && p->add >= 0 && !s->sums; i++) {
    int in = l->g->value[p->add].in[i];
    if (l->place[in].norm != in || l->g->value[in].users != 1 || !norm_sums(l, in)) continue;
    s->z = l->place[in].buffer;
    s->norm = in;
    s->sums = true;
  }
}

static void note_sums(lowering *l, const nni_step *s) {
  if (s->sums) l->grad[s->norm].summed = true;
}

/* One step that writes the gradient in `form` to a buffer of its own. */
static int materialised(lowering *l, int value, nni_operand form) {
  nni_step s = new_step(l, NNI_FUSE, value, value);
  s.a = form;
  s.y = new_real_buffer(l, value);
  emit(l, &s);
  return s.y;
}

static bool as_it_is(const nni_operand *form) { return form->norm < 0; }

/* The buffer with the gradient so far, or NNI_NONE. */
static int so_far(lowering *l, int value) {
  gradient *g = &l->grad[value];
  if (g->form.x != NNI_NONE && !as_it_is(&g->form)) {
    g->form = plain(materialised(l, value, g->form));
    g->shared = false;
  }
  return g->form.x;
}

/* A step is about to contribute to the gradient of a value: sets residual and y, and the finish when it is the last. */
static void contribute(lowering *l, nni_step *s, int value) {
  gradient *g = &l->grad[value];
  g->pending--;
  if (value == 0) {
    s->residual = s->y = NNI_DX;
    return;
  }
  s->residual = so_far(l, value);
  s->y = s->residual == NNI_NONE || g->shared ? new_real_buffer(l, value) : s->residual;
  if (g->pending == 0) {
    set_finish(l, s, value);
    note_sums(l, s);
    g->finished = true;
  }
  g->form = plain(s->y);
  g->shared = false;
}

/* The gradient in `form` is a contribution to that of a value. */
static void pass_on(lowering *l, int value, nni_operand form) {
  gradient *g = &l->grad[value];
  if (!l->needs[value]) return;
  if (value > 0 && g->form.x == NNI_NONE) {
    g->form = form;
    g->shared = true;
    g->pending--;
    return;
  }
  nni_step s = new_step(l, NNI_FUSE, value, value);
  contribute(l, &s, value);
  s.a = form;
  emit(l, &s);
}

static void finish(lowering *l, int value) {
  gradient *g = &l->grad[value];
  nni_step s = new_step(l, NNI_FUSE, value, value);
  if (g->finished) return;
  set_finish(l, &s, value);
  if (s.sums && l->grad[s.norm].summed) s.sums = false;
  bool gates = s.gate != NNI_NONE || s.z_gate;
  if (!gates && !s.sums) return;
  s.a = g->form;
  if (gates) {
    s.y = g->shared || !as_it_is(&g->form) ? new_real_buffer(l, value) : g->form.x;
    g->form = plain(s.y);
    g->shared = false;
  }
  note_sums(l, &s);
  emit(l, &s);
}

static void back_through_conv(lowering *l, int conv, int end, nni_operand form) {
  int in = l->g->value[conv].in[0];
  if (wants(l, conv, 1)) {
    nni_step s = new_step(l, NNI_BIAS_GRAD, conv, conv);
    s.a = form;
    emit(l, &s);
  }
  if (wants(l, conv, 0)) {
    nni_step s = new_step(l, NNI_CONV_GRAD_WEIGHT, conv, conv);
    s.a = form;
    s.b = operand_of(l, in);
    choose(l, &s, NNK_GRAD_WEIGHT);
    emit(l, &s);
  }
  if (!l->needs[in]) return;
  nni_step s = new_step(l, NNI_CONV_GRAD_INPUT, conv, in);
  contribute(l, &s, in);
  s.a = form;
  for (int i = conv + 1; i <= end; i++)
    if (is(l, i, NNI_NORM) && l->g->value[i].in[0] == conv && l->place[i].done) s.fold = i;
  choose(l, &s, NNK_GRAD_INPUT);
  emit(l, &s);
}

static void back_through_norm(lowering *l, int value, nni_operand form) {
  int in = l->g->value[value].in[0];
  if (is(l, value, NNI_NORM)) {
    nni_step s = new_step(l, NNI_NORM_BACKWARD, value, value);
    s.norm = value;
    s.sums = norm_sums(l, value);
    emit(l, &s);
  }
  if (!l->needs[in]) return;
  bool batch = is(l, value, NNI_NORM) && l->g->training;
  if (!as_it_is(&form)) form = plain(materialised(l, value, form));
  pass_on(l, in, (nni_operand){ .x = form.x, .other = batch ? l->place[value].buffer : NNI_NONE, .norm = value,
                                .backward = true });
}

static void back_through_row(lowering *l, int value, nni_operand form) {
  const nni_value *v = &l->g->value[value];
  unsigned saves = v->module->op->saves;
  int in = v->in[0];
  gradient *g = &l->grad[in];
  nni_step s = new_step(l, NNI_ROW_BACKWARD, value, in);
  s.a = plain(as_it_is(&form) ? form.x : materialised(l, value, form));
  if (saves & NN_SAVE_X0) s.b = plain(stored(l, in));
  if (saves & NN_SAVE_Y) s.z = l->place[value].buffer;
  if (l->needs[in] && in == 0) {
    s.y = NNI_DX;
  } else if (l->needs[in]) {
    s.y = so_far(l, in);
    if (s.y == NNI_NONE) {
      nni_step clear = new_step(l, NNI_CLEAR, in, in);
      clear.y = s.y = new_real_buffer(l, in);
      emit(l, &clear);
    } else if (g->shared) {
      s.y = materialised(l, in, g->form);
    }
    g->form = plain(s.y);
    g->shared = false;
    g->pending--;
  }
  emit(l, &s);
}

static void lower_backward(lowering *l) {
  int last = l->g->count - 1;
  for (int i = 0; i <= last; i++) l->grad[i] = (gradient){ .form = no_operand, .pending = l->g->value[i].users };
  l->grad[last].form = plain(NNI_DY);
  l->grad[last].shared = true;
  for (int i = last; i > 0; i--) {
    if (!l->needs[i] || l->grad[i].form.x == NNI_NONE) continue;
    finish(l, i);
    const nni_value *v = &l->g->value[i];
    const place *p = &l->place[i];
    nni_operand form = l->grad[i].form;
    if (p->conv >= 0) {
      if (p->residual >= 0) pass_on(l, p->residual, form);
      back_through_conv(l, p->conv, i, form);
    } else if (p->add >= 0) {
      for (int k = 0; k < 2; k++) pass_on(l, l->g->value[p->add].in[k], form);
    } else if (v->kind == NNI_NORM || v->kind == NNI_AFFINE) {
      back_through_norm(l, i, form);
    } else if (v->kind == NNI_ROW) {
      back_through_row(l, i, form);
    } else {  /* RELU, gated above, and RESHAPE */
      pass_on(l, v->in[0], as_it_is(&form) ? form : plain(materialised(l, i, form)));
    }
  }
}

/* ---- lifetimes and places ---- */

/* The buffers a step touches. */
enum { MOST_TOUCHED = 14 };

static int touched(nni_plan *p, nni_step *s, int *list[MOST_TOUCHED]) {
  int n = 0;
  list[n++] = &s->a.x, list[n++] = &s->a.other, list[n++] = &s->b.x, list[n++] = &s->b.other;
  list[n++] = &s->y, list[n++] = &s->residual, list[n++] = &s->gate, list[n++] = &s->signs, list[n++] = &s->z;
  list[n++] = &s->weights;
  const int norms[] = { s->a.norm, s->b.norm, s->norm, s->fold };
  for (int i = 0; i < 4; i++)
    if (norms[i] >= 0) list[n++] = &p->vectors[norms[i]];
  return n;
}

static void measure(nni_plan *p) {
  int *list[MOST_TOUCHED];
  for (int i = 0; i < p->buffers; i++) p->buffer[i].first = -1;
  for (int i = 0; i < p->steps; i++) {
    int n = touched(p, &p->step[i], list);
    for (int k = 0; k < n; k++) {
      if (*list[k] < NNI_ARENA) continue;
      nni_buffer *b = &p->buffer[*list[k] - NNI_ARENA];
      if (b->first < 0) b->first = i;
      b->last = i;
    }
  }
}

static void rename_buffer(nni_plan *p, int from, int to) {
  int *list[MOST_TOUCHED];
  for (int i = 0; i < p->steps; i++) {
    int n = touched(p, &p->step[i], list);
    for (int k = 0; k < n; k++)
      if (*list[k] == from) *list[k] = to;
  }
}

/* A step that works element by element may write over what it reads for the last time. */
static void write_in_place(nni_plan *p) {
  for (int i = 0; i < p->steps; i++) {
    nni_step *s = &p->step[i];
    bool conv = s->kind == NNI_CONV_FORWARD || s->kind == NNI_CONV_GRAD_INPUT;
    if ((!conv && s->kind != NNI_FUSE) || s->y < NNI_ARENA) continue;
    nni_buffer *y = &p->buffer[s->y - NNI_ARENA];
    int candidate[] = { s->residual, conv ? NNI_NONE : s->a.x, conv ? NNI_NONE : s->b.x, conv ? NNI_NONE : s->a.other };
    for (int k = 0; k < 4; k++) {
      int c = candidate[k];
      if (c < NNI_ARENA || c == s->y || (conv && (c == s->a.x || c == s->a.other))) continue;
      nni_buffer *old = &p->buffer[c - NNI_ARENA];
      if (old->last != i || y->first != i || old->bytes != y->bytes) continue;
      old->last = y->last;
      y->first = -1;
      rename_buffer(p, s->y, c);
      break;
    }
  }
}

static int larger_first(const void *a, const void *b) {
  const nni_buffer *x = *(nni_buffer *const *)a, *y = *(nni_buffer *const *)b;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
  return x->first - y->first;
}

/* The largest first, each at the lowest place where nothing that lives at the same time lies. */
static int give_places(nni_plan *p) {
  nni_buffer **order = nn_memory_get((size_t)(2 * p->buffers + 1) * sizeof *order), **near = order + p->buffers;
  if (!order) return NN_EMEMORY;
  int count = 0;
  for (int i = 0; i < p->buffers; i++)
    if (p->buffer[i].first >= 0) order[count++] = &p->buffer[i];
  qsort(order, (size_t)count, sizeof *order, larger_first);
  p->arena = 0;
  for (int i = 0; i < count; i++) {
    nni_buffer *b = order[i];
    b->bytes = (b->bytes + 63) / 64 * 64;
    int neighbours = 0;
    for (int k = 0; k < i; k++) {  /* kept sorted by place */
      nni_buffer *o = order[k];
      if (o->last < b->first || o->first > b->last) continue;
      int at = neighbours++;
      for (; at > 0 && near[at - 1]->offset > o->offset; at--) near[at] = near[at - 1];
      near[at] = o;
    }
    b->offset = 0;
    for (int k = 0; k < neighbours && near[k]->offset < b->offset + b->bytes; k++)
      if (near[k]->offset + near[k]->bytes > b->offset) b->offset = near[k]->offset + near[k]->bytes;
    if (b->offset + b->bytes > p->arena) p->arena = b->offset + b->bytes;
  }
  nn_memory_put(order);
  return NN_OK;
}

static void mark_needs(lowering *l) {
  for (int i = 0; i < l->g->count; i++) {
    const nni_value *v = &l->g->value[i];
    l->needs[i] = i == 0 ? l->p->key.input_gradient : !frozen(l, i);
    for (int k = 0; k < 2; k++)
      if (v->in[k] >= 0 && l->needs[v->in[k]]) l->needs[i] = true;
  }
}

int nni_plan_lower(nni_plan *p) {
  int count = p->graph.count;
  lowering l = { .p = p, .g = &p->graph };
  size_t bytes = (size_t)count * (sizeof *l.place + sizeof *l.grad + sizeof *l.needs);
  l.place = nn_memory_get_zeroed(bytes);
  if (!l.place) return NN_EMEMORY;
  l.grad = (gradient *)(l.place + count);
  l.needs = (bool *)(l.grad + count);
  for (int i = 0; i < count; i++) {
    l.place[i] = (place){ .buffer = NNI_NONE, .norm = -1, .signs = NNI_NONE, .copy = NNI_NONE, .conv = -1, .add = -1,
                          .residual = -1 };
    p->vectors[i] = NNI_NONE;
    const nni_value *v = &p->graph.value[i];
    if (v->kind != NNI_NORM && v->kind != NNI_AFFINE) continue;
    int64_t channels = nni_channels(&v->shape), padded = nnk_divide_up(channels, NNK_LANES) * NNK_LANES;
    p->vectors[i] = new_buffer(&l, (size_t)padded * (2 * sizeof(double) + NNI_VECTORS * sizeof(nn_real)));
  }
  l.place[0].buffer = NNI_X;
  if (p->key.gradient) mark_needs(&l);
  lower_forward(&l);
  p->forward_steps = p->steps;
  if (p->key.gradient) lower_backward(&l);
  nn_memory_put(l.place);
  if (l.status != NN_OK) return l.status;
  measure(p);
  write_in_place(p);
  return give_places(p);
}
