/* plan.c -- plans: kept with the module they are for, run, and recorded on the tape as one node. */
#include "module/plan.h"

#include <math.h>
#include <string.h>

#include "autograd/tape.h"
#include "kernels/fuse.h"
#include "kernels/norm.h"

enum { PLANS_KEPT = 6 };

/* ---- making and keeping ---- */

static void release_plan(nni_plan *p) {
  if (!p || --p->references > 0) return;
  nni_graph_free(&p->graph);
  nn_memory_put(p->param);
  nn_memory_put(p->step);
  nn_memory_put(p->buffer);
  nn_memory_put(p->vectors);
  nn_memory_put(p);
}

void nni_plans_release(nni_plan *list) {
  while (list) {
    nni_plan *next = list->next;
    release_plan(list);
    list = next;
  }
}

int nni_plan_param(const nni_plan *p, const nn_tensor *t) {
  for (int i = 0; i < p->params; i++)
    if (p->param[i] == t) return i;
  return -1;
}

static int count_param(void *context, const char *path, nn_tensor *t, bool buffer) {
  (void)path, (void)t;
  if (!buffer) ++*(int *)context;
  return NN_OK;
}

static int add_param(void *context, const char *path, nn_tensor *t, bool buffer) {
  (void)path;
  nni_plan *p = context;
  if (!buffer && nni_plan_param(p, t) < 0) p->param[p->params++] = t;
  return NN_OK;
}

static bool wanted(const nni_plan_key *key, const nn_tensor *param) {
  return key->gradient && nni_wants_gradient(param);
}

static int list_params(nni_plan *p, nn_module *m) {
  int most = 0;
  int status = nn_module_walk(m, &(nn_module_visitor){ .context = &most, .tensor = count_param });
  if (status != NN_OK) return status;
  p->param = nn_memory_get((size_t)(most + 1) * (sizeof *p->param + sizeof *p->wanted));
  if (!p->param) return NN_EMEMORY;
  p->wanted = (bool *)(p->param + most);
  status = nn_module_walk(m, &(nn_module_visitor){ .context = p, .tensor = add_param });
  for (int i = 0; i < p->params; i++) p->wanted[i] = wanted(&p->key, p->param[i]);
  return status;
}

int nni_plan_make(nni_plan **out, nn_module *m, const nni_plan_key *key) {
  nni_plan *p = nn_memory_get_zeroed(sizeof *p);
  if (!p) return NN_EMEMORY;
  p->references = 1;
  p->key = *key;
  int status = nni_graph_make(&p->graph, m, &key->shape, key->training);
  if (status == NN_OK) status = list_params(p, m);
  if (status == NN_OK) p->vectors = nn_memory_get((size_t)p->graph.count * sizeof *p->vectors);
  if (status == NN_OK && !p->vectors) status = NN_EMEMORY;
  if (status == NN_OK) status = nni_plan_lower(p);
  if (status == NN_OK) *out = p;
  else release_plan(p);
  return status;
}

static bool same_key(const nni_plan *p, const nni_plan_key *k) {
  const nni_plan_key *own = &p->key;
  bool same = own->training == k->training && own->gradient == k->gradient && own->precision == k->precision &&
              own->input_gradient == k->input_gradient && own->shape.axes == k->shape.axes;
  for (int i = 0; same && i < k->shape.axes; i++) same = own->shape.size[i] == k->shape.size[i];
  for (int i = 0; same && i < p->params; i++) same = p->wanted[i] == wanted(k, p->param[i]);
  return same;
}

/* The plan for a key, borrowed from the module; the latest used is the first. Modules change only while they are built:
 * adding a child anywhere makes all plans stale. */
static int find_plan(nni_plan **out, nn_module *m, const nni_plan_key *key) {
  if (m->plans_made != nni_module_changes) {
    nni_plans_release(m->plans);
    m->plans = NULL;
    m->plans_made = nni_module_changes;
  }
  int place = 0;
  for (nni_plan **at = &m->plans; *at; at = &(*at)->next) {
    nni_plan *p = *at;
    if (same_key(p, key)) {
      *at = p->next;
      p->next = m->plans;
      *out = m->plans = p;
      return NN_OK;
    }
    if (++place < PLANS_KEPT) continue;
    nni_plans_release(p);
    *at = NULL;
    break;
  }
  nni_plan *made = NULL;
  int status = nni_plan_make(&made, m, key);
  if (status != NN_OK) return status;
  made->next = m->plans;
  *out = m->plans = made;
  return NN_OK;
}

/* ---- one call ---- */

typedef struct {
  nni_plan *plan;
  nn_module *root;
  nn_tensor *arena;
  nn_call *row;           /* [values] the calls of ROW values: their params, and what they keep */
  uint64_t *folded;       /* [values] version of a folded NORM's running variance on the way forth */
  uint64_t seed;          /* of dropout's draws */
  bool keep_running;      /* statistics */
  nn_tensor *x, *y, *dy;  /* the caller's, while steps run */
  nn_tensor **d;          /* gradients: of x, then of the parameters */
} call;

static void *at(const call *c, int buffer) {
  switch (buffer) {
    case NNI_NONE: return NULL;
    case NNI_X: return nni_real(c->x);
    case NNI_Y: return nni_real(c->y);
    case NNI_DY: return nni_real(c->dy);
    case NNI_DX: return nni_real(c->d[0]);
    default: return (char *)nni_real(c->arena) + c->plan->buffer[buffer - NNI_ARENA].offset;
  }
}

static nn_tensor *gradient_of(const call *c, const nn_tensor *param) {
  return c->d[1 + nni_plan_param(c->plan, param)];
}

static int64_t width(const call *c, int norm) { return nni_channels(&c->plan->graph.value[norm].shape); }

static double *sums_of(const call *c, int norm) { return at(c, c->plan->vectors[norm]); }

static nn_real *vector(const call *c, int norm, int which) {
  int64_t padded = nnk_divide_up(width(c, norm), NNK_LANES) * NNK_LANES;
  return (nn_real *)(sums_of(c, norm) + 2 * padded) + which * padded;
}

static nnk_source source_of(const call *c, const nni_operand *o) {
  nnk_source s = { .x = at(c, o->x), .relu = o->relu };
  if (o->norm < 0) return s;
  s.scale = vector(c, o->norm, o->backward ? NNI_A : NNI_SCALE);
  s.shift = vector(c, o->norm, o->backward ? NNI_C : NNI_SHIFT);
  s.other = at(c, o->other);
  s.other_scale = s.other ? vector(c, o->norm, NNI_B) : NULL;
  return s;
}

/* The statistics of what a NORM reads are summed about its running mean, those of a gradient about the batch's mean. */
static nnk_sink sink_of(const call *c, const nni_step *s) {
  nnk_sink k = { .y = at(c, s->y), .residual = at(c, s->residual), .relu = s->relu, .gate = at(c, s->gate),
                 .signs = at(c, s->signs), .z = at(c, s->z) };
  if (s->z_gate) {
    k.z_scale = vector(c, s->norm, NNI_SCALE);
    k.z_shift = vector(c, s->norm, NNI_SHIFT);
  }
  if (s->sums) {
    k.sums = sums_of(c, s->norm);
    k.centre = s->z == NNI_NONE ? nni_real(c->plan->graph.value[s->norm].module->slot[2].tensor)
                                : vector(c, s->norm, NNI_MEAN);
  }
  return k;
}

/* ---- norms ---- */

enum { GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR };
enum { TRAINING, MOMENTUM, EPS };

static const nn_real *slot(const nn_module *m, int which) { return nni_real(m->slot[which].tensor); }

/* y = (x - mean) inverse gamma + beta = x scale + shift */
static void set_scale(const call *c, int norm, const double *mean, const double *variance) {
  const nni_value *v = &c->plan->graph.value[norm];
  const nn_real *gamma = slot(v->module, GAMMA), *beta = slot(v->module, BETA);
  nn_real *kept_mean = vector(c, norm, NNI_MEAN), *kept_inverse = vector(c, norm, NNI_INVERSE);
  nn_real *scale = vector(c, norm, NNI_SCALE), *shift = vector(c, norm, NNI_SHIFT);
  for (int64_t i = 0; i < width(c, norm); i++) {
    double inverse = 1 / sqrt(variance[i] + v->param[EPS].number), factor = inverse * (double)gamma[i];
    kept_mean[i] = (nn_real)mean[i];
    kept_inverse[i] = (nn_real)inverse;
    scale[i] = (nn_real)factor;
    shift[i] = (nn_real)((double)beta[i] - mean[i] * factor);
  }
}

/* From the running statistics; `bias` (or NULL) is added to what the norm reads. */
static void running_moments(const nn_module *m, const nn_real *bias, int64_t channels, double *mean, double *variance) {
  const nn_real *running_mean = slot(m, RUNNING_MEAN), *running_var = slot(m, RUNNING_VAR);
  for (int64_t i = 0; i < channels; i++) {
    mean[i] = (double)running_mean[i] - (bias ? (double)bias[i] : 0);
    variance[i] = (double)running_var[i];
  }
}

/* running = (1 - momentum) running + momentum * of the batch; the variance kept is the unbiased one */
static void update_running(const nni_value *v, const double *mean, const double *variance, int64_t rows,
                           int64_t channels) {
  nn_real *running_mean = nn_tensor_write(v->module->slot[RUNNING_MEAN].tensor);
  nn_real *running_var = nn_tensor_write(v->module->slot[RUNNING_VAR].tensor);
  double momentum = v->param[MOMENTUM].number, unbiased = (double)rows / (double)(rows - 1);
  for (int64_t i = 0; i < channels; i++) {
    running_mean[i] = (nn_real)((1 - momentum) * (double)running_mean[i] + momentum * mean[i]);
    running_var[i] = (nn_real)((1 - momentum) * (double)running_var[i] + momentum * variance[i] * unbiased);
  }
}

/* Moments from sums about the running mean. Where that lies far from the mean, the difference of large numbers has lost
 * its digits: false. */
static bool moments_from_sums(const call *c, int norm, int64_t rows, double *mean, double *variance) {
  const double *sums = sums_of(c, norm);
  const nn_real *centre = slot(c->plan->graph.value[norm].module, RUNNING_MEAN);
  int64_t channels = width(c, norm);
  for (int64_t i = 0; i < channels; i++) {
    double shift = sums[i] / (double)rows, v = sums[channels + i] / (double)rows - shift * shift;
    if (!(v * 64 >= shift * shift)) return false;
    mean[i] = (double)centre[i] + shift;
    variance[i] = v;
  }
  return true;
}

/* The constants of an AFFINE, both ways. */
static void set_affine(const call *c, const nni_step *s) {
  const nn_module *m = c->plan->graph.value[s->value].module;
  nn_real *scale = vector(c, s->value, NNI_SCALE), *shift = vector(c, s->value, NNI_SHIFT);
  nn_real *back = vector(c, s->value, NNI_A), *none = vector(c, s->value, NNI_C);
  for (int64_t i = 0; i < s->channels; i++) {
    double factor, constant;
    m->class->affine(m, i, &factor, &constant);
    scale[i] = back[i] = (nn_real)factor;
    shift[i] = (nn_real)constant;
    none[i] = 0;
  }
}

static int norm_forward(const call *c, const nni_step *s) {
  const nni_value *v = &c->plan->graph.value[s->value];
  int64_t channels = s->channels;
  if (v->kind == NNI_AFFINE) {
    set_affine(c, s);
    return NN_OK;
  }
  double *mean = nn_memory_get((size_t)(2 * channels) * sizeof *mean), *variance = mean + channels;
  if (!mean) return NN_EMEMORY;
  int status = NN_OK;
  if (!v->param[TRAINING].integer) {
    running_moments(v->module, NULL, channels, mean, variance);
  } else {
    if (!s->sums || !moments_from_sums(c, s->value, s->rows, mean, variance))
      status = nnk_channel_moments(mean, variance, at(c, s->a.x), s->rows, channels);
    if (status == NN_OK && !c->keep_running) update_running(v, mean, variance, s->rows, channels);
  }
  if (status == NN_OK) set_scale(c, s->value, mean, variance);
  nn_memory_put(mean);
  return status;
}

/* dx = a dy + b x + c; with h = (x - mean) inverse, n rows, and batch statistics
 *   dx = scale (dy - sum(dy) / n - h sum(dy h) / n),   dgamma += sum(dy h),   dbeta += sum(dy). */
static void norm_backward(const call *c, const nni_step *s) {
  const nni_value *v = &c->plan->graph.value[s->value];
  const double *sum_dy = sums_of(c, s->value), *sum_dyx = sum_dy + s->channels;
  const nn_real *scale = vector(c, s->value, NNI_SCALE), *inverse = vector(c, s->value, NNI_INVERSE);
  const nn_real *mean = vector(c, s->value, NNI_MEAN);
  nn_real *a = vector(c, s->value, NNI_A), *b = vector(c, s->value, NNI_B), *shift = vector(c, s->value, NNI_C);
  nn_tensor *dgamma = gradient_of(c, v->module->slot[GAMMA].tensor);
  nn_tensor *dbeta = gradient_of(c, v->module->slot[BETA].tensor);
  double batch = v->param[TRAINING].integer ? 1 / (double)s->rows : 0;
  for (int64_t i = 0; i < s->channels; i++) {
    double factor = (double)scale[i], deviation = (double)inverse[i];
    double slope = s->sums ? -factor * sum_dyx[i] * deviation * deviation * batch : 0;
    a[i] = scale[i];
    b[i] = (nn_real)slope;
    shift[i] = (nn_real)(s->sums ? -factor * sum_dy[i] * batch - slope * (double)mean[i] : 0);
    if (dgamma) nni_real(dgamma)[i] += (nn_real)(sum_dyx[i] * deviation);
    if (dbeta) nni_real(dbeta)[i] += (nn_real)sum_dy[i];
  }
}

/* ---- convolutions ---- */

/* The folded norm's scale, and as its shift the bias of norm and convolution together. The way back takes the same
 * scale, whatever became of the running statistics. */
static int set_fold(const call *c, const nni_step *s) {
  const nn_module *norm = c->plan->graph.value[s->fold].module, *conv = c->plan->graph.value[s->value].module;
  int64_t channels = width(c, s->fold);
  double *mean = nn_memory_get((size_t)(2 * channels) * sizeof *mean);
  if (!mean) return NN_EMEMORY;
  c->folded[s->fold] = norm->slot[RUNNING_VAR].tensor->storage->version;
  running_moments(norm, conv->slots > 1 ? slot(conv, 1) : NULL, channels, mean, mean + channels);
  set_scale(c, s->fold, mean, mean + channels);
  nn_memory_put(mean);
  return NN_OK;
}

/* The prepared weights: those kept with the module, brought up to date, or made anew in the arena. */
static int prepared(const call *c, const nni_step *s, const void **weights) {
  const nni_value *v = &c->plan->graph.value[s->value];
  const nn_module *norm = s->fold >= 0 ? c->plan->graph.value[s->fold].module : NULL;
  const nn_real *scale = norm ? vector(c, s->fold, NNI_SCALE) : NULL;
  if (s->weights != NNI_NONE) {
    *weights = at(c, s->weights);
    return nnk_conv_prepare(&s->method, at(c, s->weights), slot(v->module, 0), scale);
  }
  nni_prepared *kept = &v->module->prepared[s->method.pass];
  nnk_conv_method method = s->method;
  method.shape.images = 0;  /* weights are the same for any number */
  uint64_t version[] = { v->module->slot[0].tensor->storage->version,
                         norm ? norm->slot[GAMMA].tensor->storage->version : 0,
                         norm ? c->folded[s->fold] : 0 };
  uint64_t number = norm ? norm->number : 0;
  *weights = kept->data;
  if (kept->data && kept->norm == number && memcmp(kept->version, version, sizeof version) == 0 &&
      memcmp(&kept->method, &method, sizeof method) == 0)
    return NN_OK;
  nn_memory_put(kept->data);
  *kept = (nni_prepared){ .norm = number };
  memcpy(&kept->method, &method, sizeof method);
  memcpy(kept->version, version, sizeof version);
  void *data = nn_memory_get(method.weights);
  if (!data) return NN_EMEMORY;
  int status = nnk_conv_prepare(&s->method, data, slot(v->module, 0), scale);
  if (status != NN_OK) {
    nn_memory_put(data);
    return status;
  }
  *weights = kept->data = data;
  return NN_OK;
}

/* Weights that change with every step are not worth keeping prepared. */
static void drop_prepared(const call *c, const nni_step *s) {
  nni_prepared *kept = c->plan->graph.value[s->value].module->prepared;
  for (int i = 0; i < 2 && s->weights != NNI_NONE; i++) {
    nn_memory_put(kept[i].data);
    kept[i] = (nni_prepared){ 0 };
  }
}

static int conv_run(const call *c, const nni_step *s) {
  const nni_value *v = &c->plan->graph.value[s->value];
  nnk_source source = source_of(c, &s->a);
  nnk_sink sink = sink_of(c, s);
  const void *weights = NULL;
  bool forward = s->kind == NNI_CONV_FORWARD, folds = forward && s->fold >= 0;
  int status = folds ? set_fold(c, s) : NN_OK;
  if (folds) sink.bias = vector(c, s->fold, NNI_SHIFT);
  else if (forward && v->module->slots > 1) sink.bias = slot(v->module, 1);
  drop_prepared(c, s);
  if (status == NN_OK) status = prepared(c, s, &weights);
  return status == NN_OK ? nnk_conv_run(&s->method, &sink, &source, weights) : status;
}

static int conv_weigh(const call *c, const nni_step *s) {
  nnk_source dy = source_of(c, &s->a), x = source_of(c, &s->b);
  nn_tensor *dweight = gradient_of(c, c->plan->graph.value[s->value].module->slot[0].tensor);
  return nnk_conv_weigh(&s->method, nni_real(dweight), &dy, &x);
}

static int bias_grad(const call *c, const nni_step *s) {
  nnk_source dy = source_of(c, &s->a);
  nn_real *dbias = nni_real(gradient_of(c, c->plan->graph.value[s->value].module->slot[1].tensor));
  double *sums = nn_memory_get((size_t)(2 * s->channels) * sizeof *sums);
  if (!sums) return NN_EMEMORY;
  int status = nnk_fuse(&(nnk_sink){ .sums = sums }, &dy, NULL, s->rows, s->channels);
  for (int64_t i = 0; i < s->channels && status == NN_OK; i++) dbias[i] += (nn_real)sums[i];
  nn_memory_put(sums);
  return status;
}

/* ---- rows ---- */

/* A tensor over a buffer, in the shape of a value. */
static nn_tensor *view_of(const call *c, int buffer, int value) {
  const nn_shape *s = &c->plan->graph.value[value].shape;
  nn_tensor *whole = buffer == NNI_X ? c->x : buffer == NNI_Y ? c->y : buffer == NNI_DY ? c->dy
                   : buffer == NNI_DX ? c->d[0] : c->arena;
  int64_t stride[NN_MAX_AXES], offset = whole->offset;
  if (buffer >= NNI_ARENA) offset += (int64_t)(c->plan->buffer[buffer - NNI_ARENA].offset / sizeof(nn_real));
  int64_t step = 1;
  for (int i = s->axes - 1; i >= 0; i--) stride[i] = step, step *= s->size[i];
  return nni_view(whole, s->axes, s->size, stride, offset);
}

static void row_call(const call *c, int value, nn_call *row) {
  const nni_value *v = &c->plan->graph.value[value];
  *row = (nn_call){ .op = v->module->op, .inputs = nn_op_signature(v->module->op)->tensors, .y_shape = v->shape,
                    .training = c->plan->key.gradient };
  memcpy(row->param, v->param, sizeof row->param);
  if (!v->draws) return;
  row->param[1].integer = (int64_t)c->seed;
  row->param[2].integer = (int64_t)v->module->stream;
}

/* Runs the row's forward or backward on tensors over the plan's buffers. */
static int run_row(const call *c, const nni_step *s) {
  const nni_value *v = &c->plan->graph.value[s->value];
  nn_module *m = v->module;
  nn_call *row = &c->row[s->value];
  nn_tensor *x[1 + NNI_TENSORS] = { 0 }, *dx[1 + NNI_TENSORS] = { 0 };
  nn_shape shape[1 + NNI_TENSORS] = { c->plan->graph.value[v->in[0]].shape };
  bool forward = s->kind == NNI_ROW_FORWARD;
  int x_buffer = forward ? s->a.x : s->b.x, y_buffer = forward ? s->y : s->z, status = NN_OK;
  nn_tensor *y = y_buffer == NNI_NONE ? NULL : view_of(c, y_buffer, s->value);
  nn_tensor *dy = forward ? NULL : view_of(c, s->a.x, s->value);
  if (x_buffer != NNI_NONE) x[0] = view_of(c, x_buffer, v->in[0]);
  if (!forward && s->y != NNI_NONE) dx[0] = view_of(c, s->y, v->in[0]);
  if ((y_buffer != NNI_NONE && !y) || (!forward && !dy) || (x_buffer != NNI_NONE && !x[0]) ||
      (!forward && s->y != NNI_NONE && !dx[0]))
    status = NN_EMEMORY;
  if (forward) row_call(c, s->value, row);
  for (int i = 1; i < row->inputs; i++) {
    nn_tensor *t = i <= m->slots ? m->slot[i - 1].tensor : NULL;
    x[i] = t;
    shape[i].axes = t ? t->axes : -1;
    if (t) memcpy(shape[i].size, t->size, sizeof t->size);
    if (t && !forward && !m->slot[i - 1].buffer) dx[i] = gradient_of(c, t);
  }
  row->x = x, row->dx = dx, row->x_shape = shape, row->y = y, row->dy = dy;
  if (status == NN_OK) status = forward ? row->op->forward(row) : row->op->backward(row);
  row->x = row->dx = NULL, row->x_shape = NULL, row->y = row->dy = NULL;
  nn_tensor_release(x[0]);
  nn_tensor_release(dx[0]);
  nn_tensor_release(y);
  nn_tensor_release(dy);
  return status;
}

/* ---- running ---- */

typedef struct {
  char *data;
} clearing;

static void clear_piece(void *context, int64_t begin, int64_t end) {
  memset(((clearing *)context)->data + begin, 0, (size_t)(end - begin));
}

static int run_step(const call *c, const nni_step *s) {
  switch (s->kind) {
    case NNI_CONV_FORWARD:
    case NNI_CONV_GRAD_INPUT: return conv_run(c, s);
    case NNI_CONV_GRAD_WEIGHT: return conv_weigh(c, s);
    case NNI_BIAS_GRAD: return bias_grad(c, s);
    case NNI_NORM_FORWARD: return norm_forward(c, s);
    case NNI_NORM_BACKWARD: norm_backward(c, s); return NN_OK;
    case NNI_FUSE: {
      nnk_source a = source_of(c, &s->a), b = source_of(c, &s->b);
      nnk_sink sink = sink_of(c, s);
      return nnk_fuse(&sink, &a, s->b.x == NNI_NONE ? NULL : &b, s->rows, s->channels);
    }
    case NNI_ROW_FORWARD:
    case NNI_ROW_BACKWARD: return run_row(c, s);
    case NNI_CLEAR: {
      clearing job = { at(c, s->y) };
      return nn_parallel_for(s->rows * s->channels * (int64_t)sizeof(nn_real), 1 << 18, clear_piece, &job);
    }
  }
  return nn_fail(NN_ESTATE, "a step of no kind");
}

static int run_steps(const call *c, int begin, int end) {
  int status = NN_OK;
  for (int i = begin; i < end && status == NN_OK; i++) {
    const nni_step *s = &c->plan->step[i];
    status = run_step(c, s);
    if (status == NN_OK) status = nn_interrupt_check();
    if (status != NN_OK && status != NN_EINTERRUPT && status != NN_EMEMORY && c->plan->graph.value[s->value].module)
      nn_fail_prefix(status, c->plan->graph.value[s->value].module->class->name);
  }
  return status;
}

static void free_call(void *state) {
  call *c = state;
  if (!c) return;
  for (int i = 0; i < c->plan->graph.count && c->row; i++)
    for (int k = 0; k < NN_MAX_KEPT; k++) nn_tensor_release(c->row[i].kept[k]);
  nn_memory_put(c->row);
  nn_tensor_release(c->arena);
  release_plan(c->plan);
  nn_module_release(c->root);
  nn_memory_put(c);
}

static call *new_call(nni_plan *p, nn_module *m, const nn_pass *pass) {
  call *c = nn_memory_get_zeroed(sizeof *c);
  if (!c) return NULL;
  p->references++;
  c->plan = p;
  c->root = nn_module_retain(m);
  c->seed = pass->seed;
  c->keep_running = pass->keep_running;
  int64_t elements = (int64_t)(p->arena / sizeof(nn_real));
  c->arena = nn_tensor_new(NN_REAL, 1, &elements);
  c->row = nn_memory_get_zeroed((size_t)p->graph.count * (sizeof *c->row + sizeof *c->folded));
  c->folded = c->row ? (uint64_t *)(c->row + p->graph.count) : NULL;
  if (c->arena && c->row) return c;
  free_call(c);
  return NULL;
}

static int plan_backward(nn_call *node) {
  call *c = node->state;
  nn_tensor *whole = c->arena;
  c->x = node->x[0];
  c->dy = node->dy;
  c->d = node->dx;
  /* The way back writes over what it has used up. */
  if (node->again && !(c->arena = nn_tensor_clone(whole))) {
    c->arena = whole;
    return NN_EMEMORY;
  }
  int status = run_steps(c, c->plan->forward_steps, c->plan->steps);
  if (c->arena != whole) nn_tensor_release(c->arena);
  c->arena = whole;
  return status;
}

static const nn_op plan_row = { .name = "model", .backward = plan_backward, .release = free_call,
                                .saves = NN_SAVE_ALL };

/* One node for the whole call: from x and the parameters to y. */
static int record(call *c, nn_tensor *x, nn_tensor *packed, nn_tensor *y) {
  const nni_plan *p = c->plan;
  int inputs = 1 + p->params;
  size_t bytes = (size_t)inputs * (2 * sizeof(nn_tensor *) + sizeof(nn_shape));
  nn_tensor **input = nn_memory_get_zeroed(bytes), **saved = input + inputs;
  if (!input) return NN_EMEMORY;
  nn_call node = { .op = &plan_row, .inputs = inputs, .x = saved, .x_shape = (nn_shape *)(saved + inputs), .state = c };
  for (int i = 0; i < inputs; i++) {
    input[i] = i == 0 ? x : p->param[i - 1];
    saved[i] = i == 0 ? packed : input[i];
    node.x_shape[i] = (nn_shape){ .type = NN_REAL, .axes = input[i]->axes };
    memcpy(node.x_shape[i].size, input[i]->size, sizeof input[i]->size);
  }
  int status = nni_record(&node, input, y);
  nn_memory_put(input);
  return status;
}

/* ---- the way in ---- */

static int run_forward(nni_plan *p, nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y) {
  const nn_shape *shape = &p->graph.value[p->graph.count - 1].shape;
  call *c = new_call(p, m, pass);
  nn_tensor *packed = nn_tensor_pack(x), *out = nn_tensor_new(NN_REAL, shape->axes, shape->size);
  int status = c && packed && out ? NN_OK : NN_EMEMORY;
  if (status == NN_OK) {
    c->x = packed;
    c->y = out;
    status = run_steps(c, 0, p->forward_steps);
  }
  bool recorded = false;
  if (status == NN_OK && p->key.gradient) {
    status = record(c, x, packed, out);
    recorded = status == NN_OK;
  }
  if (!recorded) free_call(c);
  nn_tensor_release(packed);
  if (status == NN_OK) *y = out;
  else nn_tensor_release(out);
  return status;
}

int nni_plan_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y, bool *planned) {
  nni_plan_key key = { .training = pass->training, .input_gradient = nn_grad_enabled() && nni_wants_gradient(x),
                       .precision = nni_precision() };
  *planned = false;
  if (x->type != NN_REAL || x->axes == 0 || nn_tensor_count(x) == 0) return NN_OK;
  key.shape = (nn_shape){ .type = NN_REAL, .axes = x->axes };
  memcpy(key.shape.size, x->size, sizeof x->size);
  unsigned wants = nn_grad_enabled() ? nni_module_wants_gradient(m) : 0;
  if (wants & NNI_BUFFER_WANTS) return NN_OK;  /* plans have no gradient to running statistics */
  key.gradient = key.input_gradient || wants;
  nni_plan *p = NULL;
  int status = find_plan(&p, m, &key);
  if (status == NN_OK) status = run_forward(p, m, x, pass, y);
  /* What has no plan, or a shape that does not fit, is the composition's affair. */
  *planned = p || status == NN_EMEMORY || status == NN_EINTERRUPT;
  return status;
}
