/* apgd.c -- automatic projected gradient descent (Croce and Hein 2020, "Reliable evaluation of adversarial robustness
 * with an ensemble of diverse parameter-free attacks"): PGD with momentum that sets its own step.
 *
 * The step begins at 2 eps. At checkpoints, which come closer to each other, it is halved where the loss has risen in
 * too few of the steps since the last one, or where neither step nor greatest loss have changed since then; the search
 * goes on from the best point so far. It is an evaluation: an image that the model gets wrong leaves at once, so that
 * passes are spent on what still resists, and the images that are left stay together at the front of every buffer.
 */
#include <math.h>
#include <string.h>

#include "attack/attack.h"

enum { LOSS_CE, LOSS_DLR, LOSS_DLR_TARGETED };
static const nni_loss losses[] = { NNI_CE, NNI_DLR, NNI_DLR_TARGETED };
/* The paper's alpha: of a move, how much is the step ahead; the rest is the move before. */
static const nn_real ahead_part = (nn_real)0.75;

typedef struct {
  nni_ball ball;
  int64_t iters, restarts, targets;
  double rho;
  nni_loss loss;
} settings;

/* What belongs to one image while it resists. */
typedef struct {
  int32_t place;      /* in the batch */
  int64_t rises;      /* steps since the last checkpoint that raised the loss */
  double value, best, best_before;  /* loss now, the greatest so far, and that at the last checkpoint */
  nn_real step;
  bool halved;        /* at the last checkpoint */
} sample;

typedef struct {
  const nni_attack_call *call;
  const settings *set;
  nni_target *target;
  nn_tensor *first;       /* logits of x */
  int64_t n;              /* images that still resist, everywhere the first rows */
  sample *sample;
  int32_t *y, *aim, *place;  /* labels, classes aimed at, and room for the places */
  double *value;          /* of a pass */
  double *kept;           /* [images] the greatest loss whose image was kept */
  nn_tensor *x, *at, *before, *ahead, *best, *best_gradient;
  nn_tensor *gradient;    /* of the last pass */
  int64_t restart;        /* counts every search, for draws */
  nn_real ahead_part;     /* in this move: all of the first */
  atomic_int status;
} search;

/* ---- the images that still resist ---- */

static void move_image(nn_tensor *t, int64_t to, int64_t from, int64_t pixels) {
  if (t) memmove(nni_image(t, to, pixels), nni_image(t, from, pixels), (size_t)pixels * sizeof(nn_real));
}

/* The i-th image becomes the k-th, k <= i. */
static void move_sample(search *s, int64_t k, int64_t i) {
  if (k == i) return;
  nn_tensor *const all[] = { s->x, s->at, s->before, s->best, s->best_gradient, s->gradient };
  for (size_t t = 0; t < sizeof all / sizeof *all; t++) move_image(all[t], k, i, s->set->ball.pixels);
  s->sample[k] = s->sample[i];
  s->y[k] = s->y[i];
  s->aim[k] = s->aim[i];
}

/* Images that fell at the last pass leave with the point they fell at; the others learn their loss. */
static void sort_out(search *s, const nn_tensor *logits, bool start) {
  int64_t left = 0, classes = logits->size[1], pixels = s->set->ball.pixels;
  size_t bytes = (size_t)pixels * sizeof(nn_real);
  for (int64_t i = 0; i < s->n; i++) {
    sample *m = &s->sample[i];
    if (!nni_resists(nni_real(logits) + i * classes, classes, s->y[i], false)) {
      memcpy(nni_image(s->call->out, m->place, pixels), nni_image(s->at, i, pixels), bytes);
      continue;
    }
    double value = isnan(s->value[i]) ? -INFINITY : s->value[i];  /* any other is better */
    m->rises += value > m->value && !start;
    m->value = value;
    if (start || value > m->best) {
      m->best = value;
      memcpy(nni_image(s->best, i, pixels), nni_image(s->at, i, pixels), bytes);
      if (s->gradient) memcpy(nni_image(s->best_gradient, i, pixels), nni_image(s->gradient, i, pixels), bytes);
    }
    if (start) m->best_before = value;
    move_sample(s, left++, i);
  }
  s->n = left;
}

/* ---- passes and steps ---- */

/* A pass over the images at hand; without `climbs` it takes no gradient. */
static int look(search *s, bool climbs, bool start) {
  nni_goal goal = { .loss = s->set->loss, .y = s->y, .target = s->aim };
  nn_tensor *logits = NULL, *at = nn_tensor_rows(s->at, 0, s->n);
  int status = at ? NN_OK : NN_EMEMORY;
  nn_tensor_release(s->gradient);
  s->gradient = NULL;
  for (int64_t i = 0; i < s->n; i++) s->place[i] = s->sample[i].place;
  if (status == NN_OK && climbs) {
    status = nni_target_gradient(s->target, at, &goal, s->place, s->value, &logits, &s->gradient);
  } else if (status == NN_OK) {
    status = nni_target_logits(s->target, at, &logits);
    if (status == NN_OK) status = nni_target_values(s->target, logits, &goal, s->value);
  }
  if (status == NN_OK) sort_out(s, logits, start);
  nn_tensor_release(logits);
  nn_tensor_release(at);
  return status;
}

/* at + a (ahead - at) + (1 - a) (at - before), and before = at */
static void blend(nn_real *restrict at, nn_real *restrict before, const nn_real *restrict ahead, nn_real a, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    nn_real here = at[i];
    at[i] = here + a * (ahead[i] - here) + (1 - a) * (here - before[i]);
    before[i] = here;
  }
}

static void step_images(void *context, int64_t begin, int64_t end) {
  const search *s = context;
  const nni_ball *b = &s->set->ball;
  for (int64_t n = begin; n < end; n++) {
    nn_real *x = nni_image(s->x, n, b->pixels), *at = nni_image(s->at, n, b->pixels);
    nn_real *ahead = nni_image(s->ahead, n, b->pixels);
    memcpy(ahead, at, (size_t)b->pixels * sizeof *at);
    nni_ball_step(b, ahead, nni_image(s->gradient, n, b->pixels), s->sample[n].step);
    nni_ball_project(b, ahead, x);
    blend(at, nni_image(s->before, n, b->pixels), ahead, s->ahead_part, b->pixels);
    nni_ball_project(b, at, x);
  }
}

/* After `steps` steps since the last one. */
static void checkpoint(search *s, int64_t steps) {
  int64_t pixels = s->set->ball.pixels;
  size_t bytes = (size_t)pixels * sizeof(nn_real);
  for (int64_t i = 0; i < s->n; i++) {
    sample *m = &s->sample[i];
    bool few = (double)m->rises < s->set->rho * (double)steps;
    bool stands = !m->halved && m->best_before >= m->best;
    m->halved = few || stands;
    m->best_before = m->best;
    m->rises = 0;
    if (!m->halved) continue;
    m->step /= 2;
    m->value = m->best;
    memcpy(nni_image(s->at, i, pixels), nni_image(s->best, i, pixels), bytes);
    memcpy(nni_image(s->gradient, i, pixels), nni_image(s->best_gradient, i, pixels), bytes);
  }
}

/* ---- one search ---- */

static void start_images(void *context, int64_t begin, int64_t end) {
  search *s = context;
  const nni_ball *b = &s->set->ball;
  const nni_ball whole = { b->norm, 1, b->pixels };
  for (int64_t n = begin; n < end && atomic_load(&s->status) == NN_OK; n++) {
    nn_real *at = nni_image(s->at, n, b->pixels), *x = nni_image(s->x, n, b->pixels);
    nni_draw draw = nni_draw_of(s->call, s->restart, s->sample[n].place);
    int status = nni_ball_sample(&whole, at, &draw);
    if (status != NN_OK) atomic_store(&s->status, status);
    double length = nni_ball_distance(b, at, NULL);
    nn_real factor = length > 0 ? (nn_real)((double)b->eps / length) : 0;
    for (int64_t i = 0; i < b->pixels; i++) at[i] = x[i] + factor * at[i];
    nni_ball_project(b, at, x);
    memcpy(nni_image(s->before, n, b->pixels), at, (size_t)b->pixels * sizeof *at);
  }
}

/* On the surface of the ball, in a direction drawn for each image. */
static int start(search *s) {
  for (int64_t i = 0; i < s->n; i++) {
    sample *m = &s->sample[i];
    *m = (sample){ .place = m->place, .step = 2 * s->set->ball.eps };
    memcpy(nni_image(s->x, i, s->set->ball.pixels), nni_image(s->call->x, m->place, s->set->ball.pixels),
           (size_t)s->set->ball.pixels * sizeof(nn_real));
  }
  int status = nni_each_image(s->n, s->set->ball.pixels, start_images, s);
  return status == NN_OK ? atomic_load(&s->status) : status;
}

/* Shares of the iterations: the first stretch between checkpoints, by how much each is shorter than the one before,
 * and the shortest. */
static int64_t share(const settings *set, double part) { return (int64_t)fmax(part * (double)set->iters, 1); }

/* Keeps the best points of those that resisted to the end. */
static void keep(search *s) {
  int64_t pixels = s->set->ball.pixels;
  for (int64_t i = 0; i < s->n; i++) {
    const sample *m = &s->sample[i];
    if (!(m->best > s->kept[m->place])) continue;
    s->kept[m->place] = m->best;
    memcpy(nni_image(s->call->out, m->place, pixels), nni_image(s->best, i, pixels), (size_t)pixels * sizeof(nn_real));
  }
}

/* later: searches that are still to come. */
static int run(search *s, int64_t later) {
  const settings *set = s->set;
  int64_t stretch = share(set, 0.22), since = 0, whole = 2 * set->iters + 1;
  int status = start(s);
  if (status == NN_OK) status = look(s, true, true);
  for (int64_t i = 0; i < set->iters && s->n > 0 && status == NN_OK; i++) {
    s->ahead_part = i == 0 ? 1 : ahead_part;
    status = nni_each_image(s->n, set->ball.pixels, step_images, s);
    nn_tensor_write(s->at);  /* should the model have kept the last ones, they are stale */
    if (status == NN_OK) status = look(s, i + 1 < set->iters, false);
    if (status == NN_OK)
      status = nni_target_report(s->target, s->n * (whole - 2 * (i + 2) + (i + 1 == set->iters) + later * whole));
    if (++since < stretch || i + 1 == set->iters || status != NN_OK) continue;
    checkpoint(s, since);
    nn_tensor_write(s->at);
    since = 0;
    stretch = (int64_t)fmax((double)(stretch - share(set, 0.03)), (double)share(set, 0.06));
  }
  if (status == NN_OK) keep(s);
  s->restart++;
  return status;
}

/* ---- the attack ---- */

static void aim(search *s, int64_t rank) {
  int64_t classes = s->first->size[1];
  for (int64_t i = 0; i < s->n; i++)
    s->aim[i] = nni_rival(nni_real(s->first) + s->sample[i].place * classes, classes, s->y[i], rank);
}

/* Those that resist without any attack. */
static int begin(search *s) {
  int64_t classes;
  int status = nni_target_logits(s->target, s->call->x, &s->first);
  if (status == NN_OK) status = nni_target_check_goal(s->target, &(nni_goal){ .loss = s->set->loss });
  if (status != NN_OK) return status;
  classes = s->first->size[1];
  for (int64_t i = 0; i < s->target->images; i++) {
    int32_t y = s->call->y[i];
    s->kept[i] = -INFINITY;
    if (!nni_resists(nni_real(s->first) + i * classes, classes, y, false)) continue;
    s->sample[s->n].place = (int32_t)i;
    s->y[s->n++] = y;
  }
  return NN_OK;
}

static int make_buffers(search *s) {
  int64_t size[NN_MAX_AXES];
  nn_tensor **const all[] = { &s->x, &s->at, &s->before, &s->ahead, &s->best, &s->best_gradient };
  memcpy(size, s->call->x->size, sizeof size);
  size[0] = s->n;
  for (size_t t = 0; t < sizeof all / sizeof *all; t++)
    if (!(*all[t] = nn_tensor_new(NN_REAL, s->call->x->axes, size))) return NN_EMEMORY;
  return NN_OK;
}

static int search_all(search *s) {
  bool aims = s->set->loss == NNI_DLR_TARGETED;
  int64_t others = s->first->size[1] - 1, ranks = aims ? s->set->targets < others ? s->set->targets : others : 1;
  int64_t searches = ranks * s->set->restarts;
  int status = NN_OK;
  for (int64_t i = 0; i < searches && s->n > 0 && status == NN_OK; i++) {
    if (aims) aim(s, i / s->set->restarts);
    status = run(s, searches - i - 1);
  }
  return status;
}

enum { NORM, EPS, ITERS, RESTARTS, LOSS, TARGETS, RHO, BN };

static int apgd_run(const nni_attack_call *c) {
  const nn_param *o = c->option;
  settings set = { .ball = { (nni_norm)o[NORM].integer, (nn_real)o[EPS].number,
                             nn_tensor_count(c->x) / c->x->size[0] },
                   .iters = o[ITERS].integer, .restarts = o[RESTARTS].integer, .targets = o[TARGETS].integer,
                   .rho = o[RHO].number, .loss = losses[o[LOSS].integer] };
  search s = { .call = c, .set = &set, .target = c->target };
  size_t n = (size_t)c->target->images;
  s.sample = nn_memory_get(n * (sizeof(sample) + 2 * sizeof(double) + 3 * sizeof(int32_t)));
  if (!s.sample) return NN_EMEMORY;
  s.kept = (double *)(s.sample + n);
  s.value = s.kept + n;
  s.y = (int32_t *)(s.value + n);
  s.aim = s.y + n;
  s.place = s.aim + n;
  int status = begin(&s);
  if (status == NN_OK && s.n > 0) {
    status = make_buffers(&s);
    if (status == NN_OK) status = search_all(&s);
  }
  nn_tensor *const all[] = { s.first, s.x, s.at, s.before, s.ahead, s.best, s.best_gradient, s.gradient };
  for (size_t t = 0; t < sizeof all / sizeof *all; t++) nn_tensor_release(all[t]);
  nn_memory_put(s.sample);
  return status;
}

const nn_attack nni_attacks_apgd[] = {
  { .name = "apgd",
    .signature = "{norm:linf|l2=linf, eps:number >=0, iters:integer=100 >=1 <=100000, restarts:integer=1 >=1 <=1000, "
                 "loss:ce|dlr|dlr_targeted=ce, targets:integer=9 >=1 <=1000, rho:number=0.75 >0 <=1, "
                 "bn:eval|train=eval}",
    .doc = "Automatic PGD: momentum, and a step that begins at 2 eps and is halved where the loss no longer rises, in "
           "less than a share of rho of the steps between checkpoints. It takes images that the model gets right, each "
           "until it is wrong. dlr is the difference of logits ratio, which no scale of the logits changes; "
           "dlr_targeted goes in turn for the most likely other classes, as many as `targets` or as there are.",
    .example = "model = nn.Sequential { nn.Flatten(), nn.Linear(4, 3) }\n"
               "x, y = nn.full({ 1, 2, 2, 1 }, 0.5), nn.tensor({ 1 }, { type = \"index\" })\n"
               "found = nn.attack.run(\"apgd\", model, x, y, { eps = 0.1, loss = \"dlr\", seed = 1 })\n"
               "(found - x):abs():max():item() <= 0.1 + 1e-6  --> true\n"
               "nn.attack.run(\"apgd\", model, x, y, { eps = 0.1, loss = \"dlr_targeted\" })\n"
               "--> error: apgd: the loss dlr_targeted needs at least 4 classes, the model has 3",
    .training = BN, .run = apgd_run },
  { 0 },
};
