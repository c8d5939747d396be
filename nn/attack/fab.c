/* fab.c -- the Fast Adaptive Boundary attack (Croce & Hein 2020), targeted: the nearest point of another class.
 *
 * At each iterate the boundary to the target class is taken for a hyperplane; both the iterate and the image are
 * projected onto it inside the box of pixels, and the next iterate lies beyond it, drawn towards the image. An iterate
 * that the model misjudges is kept when it is the nearest so far, and the way goes on from a place nearer to the image.
 * Targets are the most likely other classes, one after the other, as AutoAttack does it; an image leaves when a point
 * inside the ball is found, or goes on to the nearest (`minimal`).
 */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "kernels/hyperplane.h"
#include "kernels/kernels.h"

enum { NORM, EPS, ITERS, TARGETS, RESTARTS, ALPHA_MAX, ETA, BETA, SEARCH, MINIMAL };

typedef struct {
  nnk_outcome outcome;
  const nni_attack_call *call;
  nni_ball ball;
  int64_t classes, targets;
  nn_tensor *clean;       /* [images x classes] logits of the images */
  double *nearest;        /* [images] distance of the point that `out` holds; infinite: none was found */
  int64_t draw;           /* number of the random start */
  /* Images on their way; the first `count` of each array. */
  int64_t count;
  int32_t *number;        /* their places */
  int32_t *label, *target;
  double *gap;            /* z_target - z_y at the iterates */
  nn_tensor *iterate;     /* [images ...] */
  nn_tensor *gradient;    /* [count ...] of gap */
} boundary;

static nn_real *image_of(nn_tensor *t, const boundary *b, int64_t place) {
  return nni_real(t) + place * b->ball.pixels;
}

static size_t image_bytes(const boundary *b) { return (size_t)b->ball.pixels * sizeof(nn_real); }

/* at = clip((1 - alpha)(at + eta d) + alpha (x + eta dx), 0, 1) */
NNK_CLONES static void combine(nn_real *restrict at, const nn_real *restrict x, const nn_real *restrict d,
                               const nn_real *restrict dx, int64_t n, nn_real alpha, nn_real eta) {
  for (int64_t i = 0; i < n; i++) {
    nn_real v = (1 - alpha) * (at[i] + eta * d[i]) + alpha * (x[i] + eta * dx[i]);
    v = v < 0 ? 0 : v;
    at[i] = v > 1 ? 1 : v;
  }
}

/* at = clip(x + factor (from - x), 0, 1) */
NNK_CLONES static void between(nn_real *at, const nn_real *x, const nn_real *from, int64_t n, nn_real factor) {
  for (int64_t i = 0; i < n; i++) {
    nn_real v = x[i] + factor * (from[i] - x[i]);
    v = v < 0 ? 0 : v;
    at[i] = v > 1 ? 1 : v;
  }
}

/* ---- one iteration ---- */

/* <w, a - b> */
static double along(const nn_real *w, const nn_real *a, const nn_real *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)w[i] * ((double)a[i] - (double)b[i]);
  return sum;
}

/* From the iterates, with their gradients, to the next. */
static void advance(void *context, int64_t begin, int64_t end) {
  boundary *b = context;
  const nn_param *option = b->call->option;
  int64_t n = b->ball.pixels;
  bool euclidean = b->ball.norm == NNI_L2;
  nn_real *d = nnk_scratch(&b->outcome, 2 * n * (int64_t)sizeof *d), *dx = d ? d + n : NULL;
  for (int64_t k = begin; k < end && nnk_going(&b->outcome); k++) {
    const nn_real *x = image_of(b->call->x, b, b->number[k]), *w = image_of(b->gradient, b, k);
    nn_real *at = image_of(b->iterate, b, k);
    /* The hyperplane: gap + <w, z - at> = 0. */
    double length = nnk_hyperplane_step(d, at, w, n, -b->gap[k], euclidean);
    double from_x = nnk_hyperplane_step(dx, x, w, n, -b->gap[k] + along(w, at, x, n), euclidean);
    double both = length + from_x, alpha = both > 0 ? fmin(length / both, option[ALPHA_MAX].number) : 0;
    combine(at, x, d, dx, n, (nn_real)alpha, (nn_real)option[ETA].number);
  }
  nn_memory_put(d);
}

/* Keeps iterates that are misjudged and nearest so far, and draws them back; those that need no more leave. */
static void judge(boundary *b, nn_tensor *logits) {
  const nn_param *option = b->call->option;
  int64_t left = 0;
  for (int64_t k = 0; k < b->count; k++) {
    int32_t place = b->number[k];
    const nn_real *x = image_of(b->call->x, b, place);
    nn_real *at = image_of(b->iterate, b, k), *out = image_of(b->call->out, b, place);
    if (!nni_resists(nni_real(logits) + k * b->classes, b->classes, b->label[k], false)) {
      double distance = nni_ball_distance(&b->ball, at, x);
      if (distance < b->nearest[place]) {
        b->nearest[place] = distance;
        memcpy(out, at, image_bytes(b));
      }
      if (distance <= (double)b->ball.eps && !option[MINIMAL].integer) continue;
      between(at, x, at, b->ball.pixels, (nn_real)option[BETA].number);
    }
    if (left < k) memcpy(image_of(b->iterate, b, left), at, image_bytes(b));
    b->number[left] = place;
    b->label[left] = b->label[k];
    b->target[left++] = b->target[k];
  }
  b->count = left;
}

static int iterate(boundary *b) {
  nni_target *target = b->call->target;
  nn_tensor *batch = nn_tensor_rows(b->iterate, 0, b->count), *logits = NULL;
  nni_goal goal = { .loss = NNI_DIFFERENCE, .y = b->label, .target = b->target };
  int status = batch ? nni_target_gradient(target, batch, &goal, b->number, b->gap, NULL, &b->gradient) : NN_EMEMORY;
  if (status == NN_OK) {
    nn_tensor_write(b->iterate);  /* should the model have kept them, they are stale */
    atomic_init(&b->outcome.status, NN_OK);
    status = nni_each_image(b->count, b->ball.pixels, advance, b);
    if (status == NN_OK && !nnk_going(&b->outcome)) status = nn_fail(NN_EMEMORY, "fab: out of memory");
  }
  if (status == NN_OK) status = nni_target_logits(target, batch, &logits);
  if (status == NN_OK) judge(b, logits);
  nn_tensor_release(b->gradient);
  b->gradient = NULL;
  nn_tensor_release(batch);
  nn_tensor_release(logits);
  return status == NN_OK ? nn_interrupt_check() : status;
}

/* ---- the start ---- */

/* Each restart but the first begins at half the way to the nearest point so far, at most half of eps, in any
 * direction. */
static int set_starts(boundary *b, int64_t restart) {
  int status = NN_OK;
  for (int64_t k = 0; k < b->count && status == NN_OK; k++) {
    const nn_real *x = image_of(b->call->x, b, b->number[k]);
    nn_real *at = image_of(b->iterate, b, k);
    if (restart == 0) {
      memcpy(at, x, image_bytes(b));
      continue;
    }
    nni_draw draw = nni_draw_of(b->call, b->draw, b->number[k]);
    nni_ball start = b->ball;
    start.eps = (nn_real)(fmin(b->nearest[b->number[k]], (double)b->ball.eps) / 2);
    status = nni_ball_sample(&start, at, &draw);
    for (int64_t i = 0; i < b->ball.pixels; i++) at[i] += x[i];
    double length = nni_ball_distance(&start, at, x);
    if (length > 0) between(at, x, at, b->ball.pixels, (nn_real)((double)start.eps / length));
  }
  return status;
}

/* Those that need a nearer point set out for the class of this rank. */
static int set_out(boundary *b, int64_t rank, int64_t restart) {
  b->count = 0;
  for (int64_t n = 0; n < b->call->x->size[0]; n++) {
    const nn_real *z = nni_real(b->clean) + n * b->classes;
    int32_t y = b->call->y[n];
    bool found = b->nearest[n] <= (double)b->ball.eps && !b->call->option[MINIMAL].integer;
    if (found || !nni_resists(z, b->classes, y, false)) continue;
    b->number[b->count] = (int32_t)n;
    b->label[b->count] = y;
    b->target[b->count++] = nni_rival(z, b->classes, y, rank);
  }
  return set_starts(b, restart);
}

static int run_target(boundary *b, int64_t rank, int64_t restart) {
  const nn_param *option = b->call->option;
  int64_t later = (b->targets * option[RESTARTS].integer - ++b->draw) * option[ITERS].integer;
  int status = set_out(b, rank, restart);
  for (int64_t left = option[ITERS].integer; left > 0 && b->count > 0 && status == NN_OK;) {
    status = iterate(b);
    if (status == NN_OK) status = nni_target_report(b->call->target, 3 * b->count * (--left + later));
  }
  return status;
}

/* ---- the end ---- */

/* The stretches of the ways from images to the nearest points found on which their boundaries lie. */
typedef struct {
  nn_tensor *far;                /* [count ...] those points */
  double *low, *high;            /* [count] ends of the stretch, as shares of the way; at `high` y is not answered */
  nn_tensor *at_low, *at_high;   /* [count x classes] logits there */
} stretches;

/* Where on the stretch the margin over the class at its far end would be 0, were it linear. */
static double crossing(const stretches *s, int64_t k, int64_t classes, int32_t y) {
  const nn_real *low = nni_real(s->at_low) + k * classes, *high = nni_real(s->at_high) + k * classes;
  int64_t best = 0;
  for (int64_t i = 1; i < classes; i++)
    if (high[i] > high[best]) best = i;
  double before = (double)low[y] - (double)low[best], after = (double)high[best] - (double)high[y];
  double share = before / (before + after);
  if (!(share >= 0 && share <= 1)) share = 1;
  return s->low[k] + share * (s->high[k] - s->low[k]);
}

static int search_once(boundary *b, stretches *s, nn_tensor *batch, double *share) {
  nn_tensor *logits = NULL;
  int64_t classes = b->classes;
  for (int64_t k = 0; k < b->count; k++) {
    share[k] = crossing(s, k, classes, b->label[k]);
    between(image_of(batch, b, k), image_of(b->call->x, b, b->number[k]), image_of(s->far, b, k), b->ball.pixels,
            (nn_real)share[k]);
  }
  int status = nni_target_logits(b->call->target, batch, &logits);
  for (int64_t k = 0; k < b->count && status == NN_OK; k++) {
    const nn_real *z = nni_real(logits) + k * classes, *at = image_of(batch, b, k);
    int32_t place = b->number[k];
    bool resists = nni_resists(z, classes, b->label[k], false);
    *(resists ? &s->low[k] : &s->high[k]) = share[k];
    memcpy(nni_real(resists ? s->at_low : s->at_high) + k * classes, z, (size_t)classes * sizeof *z);
    double distance = nni_ball_distance(&b->ball, at, image_of(b->call->x, b, place));
    if (resists || !(distance < b->nearest[place])) continue;
    b->nearest[place] = distance;
    memcpy(image_of(b->call->out, b, place), at, image_bytes(b));
  }
  nn_tensor_release(logits);
  return status;
}

/* The paper's last steps (equation 12): nearer to the boundary along the way to the nearest point found. */
static int search_ways(boundary *b) {
  const nni_attack_call *c = b->call;
  b->count = 0;
  for (int64_t n = 0; n < c->x->size[0]; n++) {
    if (!isfinite(b->nearest[n]) || (b->nearest[n] <= (double)b->ball.eps && !c->option[MINIMAL].integer)) continue;
    b->label[b->count] = c->y[n];
    b->number[b->count++] = (int32_t)n;
  }
  if (b->count == 0 || c->option[SEARCH].integer == 0) return NN_OK;
  stretches s = { nni_gather(c->out, b->number, b->count), .at_low = nni_gather(b->clean, b->number, b->count) };
  s.low = nn_memory_get_zeroed((size_t)b->count * 3 * sizeof *s.low);
  nn_tensor *batch = nn_tensor_rows(b->iterate, 0, b->count);
  int status = s.far && s.at_low && s.low && batch ? nni_target_logits(c->target, s.far, &s.at_high) : NN_EMEMORY;
  if (status == NN_OK) {
    s.high = s.low + b->count;
    for (int64_t k = 0; k < b->count; k++) s.high[k] = 1;
  }
  for (int64_t step = 0; step < c->option[SEARCH].integer && status == NN_OK; step++)
    status = search_once(b, &s, batch, s.high + b->count);
  nn_tensor_release(s.far);
  nn_tensor_release(s.at_low);
  nn_tensor_release(s.at_high);
  nn_tensor_release(batch);
  nn_memory_put(s.low);
  return status;
}

/* ---- the row ---- */

static int run_targets(boundary *b) {
  const nni_attack_call *c = b->call;
  nni_goal goal = { .loss = NNI_DIFFERENCE };
  int status = nni_target_logits(c->target, c->x, &b->clean);
  if (status == NN_OK) status = nni_target_check_goal(c->target, &goal);
  if (status != NN_OK) return status;
  b->classes = c->target->classes;
  b->targets = nnk_min(c->option[TARGETS].integer, b->classes - 1);
  for (int64_t rank = 0; rank < b->targets && status == NN_OK; rank++)
    for (int64_t restart = 0; restart < c->option[RESTARTS].integer && status == NN_OK; restart++)
      status = run_target(b, rank, restart);
  if (status == NN_OK) status = search_ways(b);
  for (int64_t n = 0; n < c->x->size[0] && status == NN_OK; n++)
    if (!(b->nearest[n] <= (double)b->ball.eps)) memcpy(image_of(c->out, b, n), image_of(c->x, b, n), image_bytes(b));
  return status;
}

static int run_fab(const nni_attack_call *c) {
  int64_t images = c->x->size[0];
  boundary b = { .call = c, .ball = { (nni_norm)c->option[NORM].integer, (nn_real)c->option[EPS].number,
                                      nn_tensor_count(c->x) / images } };
  b.nearest = nn_memory_get((size_t)images * (2 * sizeof *b.nearest + 3 * sizeof *b.number));
  b.iterate = nn_tensor_new(NN_REAL, c->x->axes, c->x->size);
  int status = b.nearest && b.iterate ? NN_OK : NN_EMEMORY;
  if (status == NN_OK) {
    b.gap = b.nearest + images;
    b.number = (int32_t *)(b.gap + images);
    b.label = b.number + images;
    b.target = b.label + images;
    for (int64_t n = 0; n < images; n++) b.nearest[n] = INFINITY;
    status = run_targets(&b);
  }
  nn_memory_put(b.nearest);
  nn_tensor_release(b.iterate);
  nn_tensor_release(b.clean);
  return status;
}

const nn_attack nni_attacks_fab[] = {
  { .name = "fab",
    .signature = "{norm:linf|l2=linf, eps:number >=0, iters:integer=100 >=1 <=100000, "
                 "targets:integer=9 >=1 <=1000, restarts:integer=1 >=1 <=1000, alpha_max:number=0.1 >0 <=1, "
                 "eta:number=1.05 >=1, beta:number=0.9 >0 <1, search:integer=3 >=0, minimal:boolean=false}",
    .doc = "The nearest point of another class, by projections onto the boundary taken for a hyperplane (Croce & Hein "
           "2020): `iters` steps towards each of the `targets` most likely other classes, or of all there are. A step "
           "goes eta times as far as the hyperplane, drawn to the image by at most alpha_max; from a misjudged point "
           "the way goes on at beta of its distance; `search` steps between the nearest one and the image come last. "
           "An image with a point inside the ball is done, or with minimal goes on to the nearest; one without, or "
           "wrong already, comes back as it was. Restarts begin at random.",
    .example = "model = nn.Sequential { nn.Flatten(), nn.Linear(4, 3) }\n"
               "x, y = nn.full({ 1, 2, 2, 1 }, 0.5), nn.tensor({ 1 }, { type = \"index\" })\n"
               "found, info = nn.attack.run(\"fab\", model, x, y, { eps = 0.125, iters = 10 })\n"
               "(found - x):abs():max():item() <= 0.125  --> true\n"
               "nn.attack.run(\"fab\", model, x, y, { eps = 0.125, iter = 10 })\n"
               "--> error: fab: unknown option \"iter\"; did you mean \"iters\"?",
    .training = -1, .run = run_fab },
  { 0 },
};
