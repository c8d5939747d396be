/* pgd.c -- projected gradient descent (Madry et al. 2018) and its one step (Goodfellow et al. 2015).
 *
 * A plain run takes every image through every step and gives the last iterate, as training wants it. With restarts it
 * is an evaluation: images the model gets wrong anyway are left alone, and each restart takes those that still resist.
 */
#include <math.h>
#include <string.h>

#include "attack/attack.h"

enum { START_NONE, START_UNIFORM, START_NORMAL };
enum { LABEL_TRUE, LABEL_PREDICTED, LABEL_LEAST_LIKELY, LABEL_TARGET };
/* TRADES begins this near, as its loss is flat at the image itself. */
static const double normal_deviation = 0.001;
enum { NORMAL_STREAM = 1 };

typedef struct {
  nni_ball ball;
  nn_real step;
  int64_t iters, start, restarts, label, loss;
  bool best;
} settings;

/* One run over some of the images: their places, and what belongs to each. */
typedef struct {
  const nni_attack_call *call;
  const settings *set;
  nni_goal goal;
  int64_t restart, n;
  const int32_t *number;      /* [n] */
  nn_tensor *x, *at;          /* [n x ...] */
  nn_tensor *gradient;
  nn_tensor *best;            /* [n x ...] with iterate = "best" */
  double *value, *best_value; /* [n] of the iterate, and of the best so far */
  bool *resists;              /* [n] the iterate whose value is best_value */
  int64_t left;               /* passes of images after this run, at most */
  atomic_int status;
} climb;

/* ---- one run ---- */

static void start_images(void *context, int64_t begin, int64_t end) {
  climb *r = context;
  const nni_ball *b = &r->set->ball;
  for (int64_t n = begin; n < end && atomic_load(&r->status) == NN_OK; n++) {
    nn_real *at = nni_image(r->at, n, b->pixels), *x = nni_image(r->x, n, b->pixels);
    nni_draw draw = nni_draw_of(r->call, r->restart, r->number[n]);
    int status = r->set->start == START_UNIFORM
               ? nni_ball_sample(b, at, &draw)
               : nn_random_fill_normal(at, b->pixels, 0, normal_deviation, nni_draw_seed(&draw, NORMAL_STREAM), 0);
    if (status != NN_OK) atomic_store(&r->status, status);
    for (int64_t i = 0; i < b->pixels; i++) at[i] += x[i];
    nni_ball_project(b, at, x);
  }
}

static int start(climb *r) {
  if (r->set->start == START_NONE) return NN_OK;
  int status = nni_each_image(r->n, r->set->ball.pixels, start_images, r);
  return status == NN_OK ? atomic_load(&r->status) : status;
}

static void step_images(void *context, int64_t begin, int64_t end) {
  const climb *r = context;
  const nni_ball *b = &r->set->ball;
  for (int64_t n = begin; n < end; n++) {
    nn_real *at = nni_image(r->at, n, b->pixels);
    nni_ball_step(b, at, nni_image(r->gradient, n, b->pixels), r->set->step);
    nni_ball_project(b, at, nni_image(r->x, n, b->pixels));
  }
}

/* Keeps the iterates that are better than the best so far; without iterate = "best" the last counts, whatever it is. */
static void note(climb *r, nn_tensor *logits) {
  int64_t classes = logits->size[1];
  size_t bytes = (size_t)r->set->ball.pixels * sizeof(nn_real);
  for (int64_t n = 0; n < r->n; n++) {
    if (r->best && !(r->value[n] > r->best_value[n])) continue;
    if (r->best) memcpy(nni_image(r->best, n, r->set->ball.pixels), nni_image(r->at, n, r->set->ball.pixels), bytes);
    r->best_value[n] = r->value[n];
    r->resists[n] = nni_resists(nni_real(logits) + n * classes, classes, r->goal.y[n], r->goal.minimise);
  }
}

static int climb_once(climb *r) {
  nni_target *t = r->call->target;
  nn_tensor *logits = NULL;
  nn_tensor_release(r->gradient);
  r->gradient = NULL;
  int status = nni_target_gradient(t, r->at, &r->goal, r->number, r->value, r->best ? &logits : NULL, &r->gradient);
  if (status == NN_OK && r->best) note(r, logits);
  nn_tensor_release(logits);
  if (status == NN_OK) status = nni_each_image(r->n, r->set->ball.pixels, step_images, r);
  nn_tensor_write(r->at);  /* should the model have kept the last ones, they are stale */
  return status;
}

/* Does a run end with a pass that judges its last iterate? */
static bool judges(const settings *set) { return set->best || set->restarts > 1; }

static int64_t passes_of_run(const settings *set, int64_t n) { return n * (2 * set->iters + judges(set)); }

static int judge_last(climb *r) {
  nn_tensor *logits = NULL;
  int status = nni_target_logits(r->call->target, r->at, &logits);
  if (status == NN_OK) status = nni_target_values(r->call->target, logits, &r->goal, r->value);
  if (status == NN_OK) note(r, logits);
  nn_tensor_release(logits);
  return status;
}

static int climb_all(climb *r) {
  nni_target *t = r->call->target;
  int status = start(r);
  for (int64_t i = 0; i < r->set->iters && status == NN_OK; i++) {
    status = climb_once(r);
    int64_t rest = passes_of_run(r->set, r->n) - 2 * (i + 1) * r->n;
    if (status == NN_OK) status = nni_target_report(t, rest + r->left);
  }
  if (status == NN_OK && judges(r->set)) {
    status = judge_last(r);
    if (status == NN_OK) status = nni_target_report(t, r->left);
  }
  return status;
}

/* ---- the attack ---- */

/* What belongs to each image of the call. */
typedef struct {
  int32_t *y, *number, *picked;  /* labels, places of those that resist, their labels */
  nn_real *picked_reference;
  double *value, *best_value, *kept_value;
  bool *resists;
  nn_tensor *reference;          /* logits of x */
  void *block;
} work;

static int make_work(const nni_attack_call *c, const settings *set, work *w) {
  size_t n = (size_t)c->target->images;
  char *p = w->block = nn_memory_get(n * (3 * sizeof(double) + 3 * sizeof(int32_t) + sizeof(bool)));
  if (!p) return NN_EMEMORY;
  w->value = (double *)p, w->best_value = w->value + n, w->kept_value = w->best_value + n;
  w->y = (int32_t *)(w->kept_value + n), w->number = w->y + n, w->picked = w->number + n;
  w->resists = (bool *)(w->picked + n);
  memcpy(w->y, c->y, n * sizeof *w->y);
  for (size_t i = 0; i < n; i++) w->number[i] = (int32_t)i, w->kept_value[i] = -INFINITY;
  bool predicts = set->label == LABEL_PREDICTED || set->label == LABEL_LEAST_LIKELY;
  if (!predicts && set->loss != NNI_KL) return NN_OK;
  int status = nni_target_logits(c->target, c->x, &w->reference);
  if (status == NN_OK && predicts) nni_predict(w->y, w->reference, set->label == LABEL_LEAST_LIKELY);
  return status;
}

static void free_work(work *w) {
  nn_memory_put(w->block);
  nn_memory_put(w->picked_reference);
  nn_tensor_release(w->reference);
}

/* Labels and reference logits of the images that take part. */
static int pick(const settings *set, work *w, int64_t n, nni_goal *goal) {
  bool minimise = set->label == LABEL_LEAST_LIKELY || set->label == LABEL_TARGET;
  for (int64_t i = 0; i < n; i++) w->picked[i] = w->y[w->number[i]];
  *goal = (nni_goal){ .loss = (nni_loss)set->loss, .minimise = minimise, .y = w->picked };
  if (set->loss != NNI_KL) return NN_OK;
  int64_t classes = w->reference->size[1];
  size_t bytes = (size_t)classes * sizeof(nn_real);
  nn_memory_put(w->picked_reference);
  w->picked_reference = nn_memory_get((size_t)n * bytes);
  if (!w->picked_reference) return NN_EMEMORY;
  for (int64_t i = 0; i < n; i++)
    memcpy(w->picked_reference + i * classes, nni_real(w->reference) + w->number[i] * classes, bytes);
  goal->reference = w->picked_reference;
  return NN_OK;
}

/* Of images that resist, the restart with the greatest loss is kept; the others leave. */
static int64_t keep(const climb *r, work *w, nn_tensor *out) {
  int64_t still = 0, pixels = r->set->ball.pixels;
  nn_tensor *found = r->best ? r->best : r->at;
  for (int64_t n = 0; n < r->n; n++) {
    int32_t place = r->number[n];
    if (!r->resists[n] || r->best_value[n] > w->kept_value[place]) {
      memcpy(nni_image(out, place, pixels), nni_image(found, n, pixels), (size_t)pixels * sizeof(nn_real));
      w->kept_value[place] = r->best_value[n];
    }
    if (r->resists[n]) w->number[still++] = place;
  }
  return still;
}

/* Takes the images w->number[0 .. *n) through one restart and leaves those that resist there. */
static int run_restart(const nni_attack_call *c, const settings *set, work *w, int64_t restart, int64_t *n) {
  climb r = { .call = c, .set = set, .restart = restart, .n = *n, .number = w->number, .value = w->value,
              .best_value = w->best_value, .resists = w->resists,
              .left = (set->restarts - restart - 1) * passes_of_run(set, *n) };
  int status = pick(set, w, *n, &r.goal);
  bool all = *n == c->target->images && set->restarts == 1;
  if (status == NN_OK) {
    for (int64_t i = 0; i < *n; i++) r.best_value[i] = -INFINITY, r.resists[i] = true;
    r.x = all ? nn_tensor_retain(c->x) : nni_gather(c->x, w->number, *n);
    r.at = r.x ? all ? nn_tensor_retain(c->out) : nn_tensor_clone(r.x) : NULL;
    if (r.at && set->best) r.best = nn_tensor_clone(r.at);
    if (!r.at || (set->best && !r.best)) status = NN_EMEMORY;
  }
  if (status == NN_OK) status = climb_all(&r);
  if (status == NN_OK && judges(set)) *n = keep(&r, w, c->out);
  nn_tensor_release(r.x);
  nn_tensor_release(r.at);
  nn_tensor_release(r.gradient);
  nn_tensor_release(r.best);
  return status;
}

static int attack(const nni_attack_call *c, const settings *set) {
  work w = { 0 };
  int64_t n = c->target->images;
  int status = make_work(c, set, &w);
  if (status == NN_OK && set->restarts > 1) {
    bool wanted = set->label == LABEL_LEAST_LIKELY || set->label == LABEL_TARGET;
    status = nni_resisting(c, w.y, wanted, w.number, &n);
  }
  for (int64_t r = 0; r < set->restarts && n > 0 && status == NN_OK; r++) status = run_restart(c, set, &w, r, &n);
  free_work(&w);
  return status;
}

static int64_t pixels_of(const nni_attack_call *c) { return nn_tensor_count(c->x) / c->x->size[0]; }

/* ---- the rows ---- */

enum { NORM, EPS, STEP, ITERS, START, RESTARTS, LABEL, LOSS, ITERATE, BN };
enum { FGSM_NORM, FGSM_EPS, FGSM_LABEL, FGSM_LOSS, FGSM_BN };

static int pgd_check(const nn_param *option) {
  if (option[LOSS].integer != NNI_KL) return NN_OK;
  if (option[LABEL].integer != LABEL_TRUE)
    return nn_fail(NN_EARGUMENT, "the loss kl compares with what the model says of the image and takes no label but "
                   "\"true\"");
  if (option[START].integer == START_NONE)
    return nn_fail(NN_EARGUMENT, "the loss kl is flat at the image itself: start must be uniform or normal");
  return NN_OK;
}

static int pgd_run(const nni_attack_call *c) {
  const nn_param *o = c->option;
  double eps = o[EPS].number, iters = (double)o[ITERS].integer;
  settings set = { .ball = { (nni_norm)o[NORM].integer, (nn_real)eps, pixels_of(c) },
                   .step = (nn_real)(o[STEP].given ? o[STEP].number : 2.5 * eps / fmax(iters, 1)),
                   .iters = o[ITERS].integer, .start = o[START].integer, .restarts = o[RESTARTS].integer,
                   .label = o[LABEL].integer, .loss = o[LOSS].integer, .best = o[ITERATE].integer != 0 };
  return attack(c, &set);
}

static int fgsm_run(const nni_attack_call *c) {
  const nn_param *o = c->option;
  nn_real eps = (nn_real)o[FGSM_EPS].number;
  settings set = { .ball = { (nni_norm)o[FGSM_NORM].integer, eps, pixels_of(c) }, .step = eps, .iters = 1,
                   .restarts = 1, .label = o[FGSM_LABEL].integer, .loss = o[FGSM_LOSS].integer };
  return attack(c, &set);
}

#define LABELS "label:true|predicted|least_likely|target=true"

const nn_attack nni_attacks_pgd[] = {
  { .name = "fgsm",
    .signature = "{norm:linf|l2=linf, eps:number >=0, " LABELS ", loss:ce|dlr|margin=ce, bn:eval|train=eval}",
    .doc = "One step of length eps that climbs the loss fastest, from the image itself.",
    .example = "model = nn.Sequential { nn.Flatten(), nn.Linear(4, 3) }\n"
               "x, y = nn.full({ 1, 2, 2, 1 }, 0.5), nn.tensor({ 1 }, { type = \"index\" })\n"
               "found = nn.attack.run(\"fgsm\", model, x, y, { eps = 0.1 })\n"
               "(found - x):abs():max():item()  --> 0.1",
    .training = FGSM_BN, .run = fgsm_run },
  { .name = "pgd",
    .signature = "{norm:linf|l2=linf, eps:number >=0, step:number? >=0, iters:integer=10 >=0 <=100000, "
                 "start:none|uniform|normal=uniform, restarts:integer=1 >=1 <=1000, " LABELS ", "
                 "loss:ce|dlr|margin|kl=ce, iterate:last|best=last, bn:eval|train=eval}",
    .doc = "Projected gradient descent: steps that climb the loss, each followed by the way back into the ball of "
           "radius eps and into [0, 1]. The step is 2.5 eps / iters unless given. start: none, uniform in the ball, or "
           "normal with a deviation of 0.001. label: what is climbed away from (true, predicted), or to (least_likely, "
           "or target: y). kl is the divergence from what the model says of the image. iterate best: the one with the "
           "greatest loss. More than one restart leaves alone what is wrong anyway, and takes each time what still "
           "resists.",
    .example = "model = nn.Sequential { nn.Flatten(), nn.Linear(4, 3) }\n"
               "x, y = nn.full({ 1, 2, 2, 1 }, 0.5), nn.tensor({ 1 }, { type = \"index\" })\n"
               "found = nn.attack.run(\"pgd\", model, x, y, { eps = 0.1, step = 0.02, seed = 1 })\n"
               "(found - x):abs():max():item()  --> 0.1\n"
               "nn.attack.run(\"pgd\", model, 255 * x, y, { eps = 8 })\n"
               "--> error: pgd: images in [0, 1] expected, got 128 ... 128; normalisation is the model's first layer: "
               "models.NAME{ normalize = set.stats }",
    .training = BN, .check = pgd_check, .run = pgd_run },
  { 0 },
};
