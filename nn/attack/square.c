/* square.c -- the Square attack (Andriushchenko, Croce, Flammarion, Hein 2020): random search with square updates.
 *
 * No gradient is asked for. An image starts with vertical stripes (L-infinity) or a grid of bumps (L2); each query then
 * changes one square window, and the change is kept when it raises the margin loss. Windows shrink by the paper's
 * schedule. Every image has draws of its own. Only images that still resist are asked about.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attack/attack.h"
#include "kernels/kernels.h"

enum { NORM, EPS, QUERIES, P_INIT, RESCALE };

/* Keeps these draws apart from those of other attacks. */
static const uint64_t window_stream = 0x7371u;

enum { TILES = 5, LEAST_WINDOW_L2 = 3 };

/* ---- draws ---- */

/* The words that one image draws for one query, in order. */
typedef struct {
  uint64_t key, query, blocks;
  uint32_t word[4], bits;
  int words, bits_left;
} draws;

static uint32_t next_word(draws *d) {
  if (d->words == 0) {
    nn_random_block(d->key, d->query, d->blocks++, d->word);
    d->words = 4;
  }
  return d->word[--d->words];
}

/* 0 .. count - 1 */
static int64_t next_below(draws *d, int64_t count) {
  return (int64_t)((uint64_t)next_word(d) * (uint64_t)count >> 32);
}

static bool next_bit(draws *d) {
  if (d->bits_left == 0) {
    d->bits = next_word(d);
    d->bits_left = 32;
  }
  return d->bits >> --d->bits_left & 1;
}

static double next_sign(draws *d) { return next_bit(d) ? 1 : -1; }

/* ---- one image ---- */

typedef struct {
  nnk_outcome outcome;
  const nni_attack_call *call;
  nni_ball ball;
  int64_t side, channels;
  int64_t query;          /* 0: the start */
  int64_t window;         /* its side; of a tile at the L2 start */
  nn_real *bump;          /* [window x window], of length 1: L2 only */
  int64_t count;          /* of images that resist */
  int32_t *number;        /* [count] their places */
  int32_t *label;         /* [count] */
  double *value, *best;   /* [count] margin losses: of the candidates, of what `out` holds */
  nn_tensor *candidate;   /* [images ...] the first `count` are asked about */
} search;

static nn_real *image_of(nn_tensor *t, const search *s, int64_t place) {
  return nni_real(t) + place * s->ball.pixels;
}

/* The place in an image of row i, column j, channel c. */
static int64_t element(const search *s, int64_t i, int64_t j, int64_t c) { return (i * s->side + j) * s->channels + c; }

/* Every column of every channel moves by eps, up or down. */
static void set_stripes(const search *s, nn_real *at, const nn_real *x, draws *d) {
  int64_t row = s->side * s->channels;
  for (int64_t k = 0; k < row; k++) {
    nn_real move = (nn_real)next_sign(d) * s->ball.eps;
    for (int64_t i = k; i < s->ball.pixels; i += row) at[i] = x[i] + move;
  }
}

typedef struct {
  int64_t top, left;
} corner;

static corner next_corner(draws *d, int64_t places) {
  int64_t top = next_below(d, places);
  return (corner){ top, next_below(d, places) };
}

/* In one window every channel moves by 2 eps, up or down: with the projection that follows, to x + eps or x - eps. */
static void change_window(const search *s, nn_real *at, const nn_real *x, draws *d) {
  corner w = next_corner(d, s->side - s->window + 1);
  for (int64_t c = 0; c < s->channels; c++) {
    nn_real move = (nn_real)next_sign(d) * s->ball.eps;
    for (int64_t i = w.top; i < w.top + s->window; i++)
      for (int64_t j = w.left; j < w.left + s->window; j++) {
        int64_t place = element(s, i, j, c);
        at[place] = x[place] + move;
      }
  }
}

/* Two halves of opposite sign, h/2 rows above and the rest below, each of which falls from its middle in square rings:
 * sum over k = ring .. h/2 of 1 / (k + 1)^2. */
static void make_bump(nn_real *bump, int64_t h) {
  int64_t half = h / 2;
  double length = 0;
  for (int64_t i = 0; i < h; i++) {
    int64_t first = i < half ? 0 : half, rows = i < half ? half : h - half;
    for (int64_t j = 0; j < h; j++) {
      int64_t ring = nnk_max(llabs(i - first - rows / 2), llabs(j - half));
      double value = 0;
      for (int64_t k = ring; k <= half; k++) value += 1 / ((double)(k + 1) * (double)(k + 1));
      bump[i * h + j] = (nn_real)(i < half ? value : -value);
      length += value * value;
    }
  }
  for (int64_t i = 0; i < h * h; i++) bump[i] = (nn_real)((double)bump[i] / sqrt(length));
}

static double bump_at(const search *s, int64_t i, int64_t j, bool turned) {
  return (double)s->bump[turned ? j * s->window + i : i * s->window + j];
}

/* A grid of 5 x 5 bumps, each of a sign of its own in every channel, together of length eps. */
static void set_tiles(const search *s, nn_real *at, const nn_real *x, draws *d) {
  int64_t margin = (s->side - TILES * s->window) / 2;
  /* So many bumps of length 1 that do not overlap. */
  double size = (double)s->ball.eps / sqrt((double)(TILES * TILES * s->channels));
  memcpy(at, x, (size_t)s->ball.pixels * sizeof *at);
  for (int64_t tile = 0; tile < TILES * TILES; tile++) {
    int64_t top = margin + tile / TILES * s->window, left = margin + tile % TILES * s->window;
    bool turned = next_bit(d);
    for (int64_t c = 0; c < s->channels; c++) {
      double factor = next_sign(d) * size;
      for (int64_t i = 0; i < s->window; i++)
        for (int64_t j = 0; j < s->window; j++)
          at[element(s, top + i, left + j, c)] += (nn_real)(factor * bump_at(s, i, j, turned));
    }
  }
}

static bool inside(const search *s, corner w, int64_t i, int64_t j) {
  return i >= w.top && i < w.top + s->window && j >= w.left && j < w.left + s->window;
}

/* Channel c of the change `delta`: what it has in the window `from` and what is left of the ball go to the window `to`,
 * where a bump is added to what is there. fresh [window x window] is scratch. */
static void move_mass(const search *s, nn_real *delta, int64_t c, corner to, corner from, double unused, double sign,
                      bool turned, double *fresh) {
  double there = 0, either = 0, length = 0;
  for (int64_t i = 0; i < s->side; i++)
    for (int64_t j = 0; j < s->side; j++) {
      double v = (double)delta[element(s, i, j, c)];
      if (inside(s, to, i, j)) there += v * v;
      if (inside(s, to, i, j) || inside(s, from, i, j)) either += v * v;
    }
  double weight = there > 0 ? 1 / sqrt(there) : 0, available = sqrt(either + unused / (double)s->channels);
  for (int64_t i = 0; i < s->window; i++)
    for (int64_t j = 0; j < s->window; j++) {
      double v = sign * bump_at(s, i, j, turned) + weight * (double)delta[element(s, to.top + i, to.left + j, c)];
      fresh[i * s->window + j] = v;
      length += v * v;
    }
  double factor = length > 0 ? available / sqrt(length) : 0;
  for (int64_t i = 0; i < s->window; i++)
    for (int64_t j = 0; j < s->window; j++) delta[element(s, from.top + i, from.left + j, c)] = 0;
  for (int64_t i = 0; i < s->window; i++)
    for (int64_t j = 0; j < s->window; j++)
      delta[element(s, to.top + i, to.left + j, c)] = (nn_real)(factor * fresh[i * s->window + j]);
}

/* The paper's algorithm 3: at holds the best so far, and becomes the candidate. */
static void move_windows(const search *s, nn_real *at, const nn_real *x, draws *d, double *fresh) {
  int64_t places = s->side - s->window + 1;
  double length = nni_ball_distance(&s->ball, at, x);
  double unused = fmax((double)s->ball.eps * (double)s->ball.eps - length * length, 0);
  corner to = next_corner(d, places), from = next_corner(d, places);
  bool turned = next_bit(d);
  for (int64_t i = 0; i < s->ball.pixels; i++) at[i] -= x[i];
  for (int64_t c = 0; c < s->channels; c++) move_mass(s, at, c, to, from, unused, next_sign(d), turned, fresh);
  for (int64_t i = 0; i < s->ball.pixels; i++) at[i] += x[i];
}

/* The candidate of each image that resists. */
static void propose(void *context, int64_t begin, int64_t end) {
  search *s = context;
  double *fresh = s->bump ? nnk_scratch(&s->outcome, s->window * s->window * (int64_t)sizeof *fresh) : NULL;
  for (int64_t k = begin; k < end && nnk_going(&s->outcome); k++) {
    const nn_real *x = image_of(s->call->x, s, s->number[k]);
    nn_real *at = image_of(s->candidate, s, k);
    nni_draw draw = nni_draw_of(s->call, 0, s->number[k]);
    draws d = { .key = nni_draw_seed(&draw, window_stream), .query = (uint64_t)s->query };
    if (s->query > 0) memcpy(at, image_of(s->call->out, s, s->number[k]), (size_t)s->ball.pixels * sizeof *at);
    if (s->ball.norm == NNI_LINF && s->query == 0) set_stripes(s, at, x, &d);
    else if (s->ball.norm == NNI_LINF) change_window(s, at, x, &d);
    else if (s->query == 0) set_tiles(s, at, x, &d);
    else move_windows(s, at, x, &d, fresh);
    nni_ball_project(&s->ball, at, x);
  }
  nn_memory_put(fresh);
}

/* ---- the search ---- */

/* The share of pixels in a window: halved after so many queries, of 10,000. */
static double share_at(const nn_param *option, int64_t query) {
  static const int64_t halved_after[] = { 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000 };
  double share = option[P_INIT].number, at = (double)query;
  if (option[RESCALE].integer) at = floor(at / (double)option[QUERIES].integer * 10000);
  for (size_t i = 0; i < sizeof halved_after / sizeof *halved_after; i++)
    if (at > (double)halved_after[i]) share /= 2;
  return share;
}

/* Sets the window's side for this query: with L2 odd, and at least 3. */
static void set_window(search *s) {
  bool bumps = s->ball.norm == NNI_L2;
  int64_t before = s->window;
  if (s->query == 0) {
    s->window = bumps ? s->side / TILES : 1;
  } else {
    int64_t side = (int64_t)round((double)s->side * sqrt(share_at(s->call->option, s->query - 1)));
    s->window = nnk_max(side, 1);
    if (bumps) s->window = nnk_min(nnk_max(side, LEAST_WINDOW_L2) | 1, s->side - 1 + s->side % 2);
  }
  if (bumps && s->window != before) make_bump(s->bump, s->window);
}

/* Keeps what is better, or has what the attack wants; what still resists moves up. */
static void keep(search *s, nn_tensor *logits) {
  int64_t left = 0, classes = nn_tensor_size(logits, 1);
  for (int64_t k = 0; k < s->count; k++) {
    bool resists = nni_resists(nni_real(logits) + k * classes, classes, s->label[k], false);
    if (s->value[k] > s->best[k] || !resists) {
      s->best[k] = s->value[k];
      memcpy(image_of(s->call->out, s, s->number[k]), image_of(s->candidate, s, k),
             (size_t)s->ball.pixels * sizeof(nn_real));
    }
    if (!resists) continue;
    s->number[left] = s->number[k];
    s->label[left] = s->label[k];
    s->best[left++] = s->best[k];
  }
  s->count = left;
}

/* One query: candidates, what the model says of them, what is kept. */
static int ask(search *s) {
  nni_target *target = s->call->target;
  set_window(s);
  nn_tensor_write(s->candidate);  /* should the model have kept the last ones, they are stale */
  atomic_init(&s->outcome.status, NN_OK);
  int status = nni_each_image(s->count, s->ball.pixels, propose, s);
  if (status == NN_OK && !nnk_going(&s->outcome)) status = nn_fail(NN_EMEMORY, "square: out of memory");
  if (status != NN_OK) return status;
  nn_tensor *batch = nn_tensor_rows(s->candidate, 0, s->count), *logits = NULL;
  nni_goal goal = { .loss = NNI_MARGIN, .y = s->label };
  status = batch ? nni_target_logits(target, batch, &logits) : NN_EMEMORY;
  if (status == NN_OK) status = nni_target_values(target, logits, &goal, s->value);
  if (status == NN_OK) keep(s, logits);
  nn_tensor_release(batch);
  nn_tensor_release(logits);
  return status == NN_OK ? nn_interrupt_check() : status;
}

static int check_shape(const nn_tensor *x, nni_norm norm) {
  char text[96];
  int64_t least = norm == NNI_L2 ? TILES : 1;
  if (x->axes == 4 && x->size[1] == x->size[2] && x->size[1] >= least && x->size[3] > 0) return NN_OK;
  nn_tensor_describe(x, text, sizeof text);
  if (x->axes != 4) return nn_fail(NN_ESHAPE, "square: images [N x H x W x C] expected, got %s", text);
  if (x->size[1] != x->size[2])
    return nn_fail(NN_ESHAPE, "square: images as high as wide expected, got %lld x %lld (x %s)",
                   (long long)x->size[1], (long long)x->size[2], text);
  return nn_fail(NN_ESHAPE, "square: images of at least %lld x %lld pixels expected, got x %s", (long long)least,
                 (long long)least, text);
}

static int run_square(const nni_attack_call *c) {
  const nn_tensor *x = c->x;
  int64_t images = x->size[0], queries = c->option[QUERIES].integer;
  nni_norm norm = (nni_norm)c->option[NORM].integer;
  int status = check_shape(x, norm);
  if (status != NN_OK) return status;
  int64_t side = x->size[1];
  search s = { .call = c, .side = side, .channels = x->size[3],
               .ball = { norm, (nn_real)c->option[EPS].number, side * side * x->size[3] } };
  s.value = nn_memory_get((size_t)images * 2 * (sizeof *s.value + sizeof *s.number));
  if (norm == NNI_L2) s.bump = nn_memory_get((size_t)(side * side) * sizeof *s.bump);
  s.candidate = nn_tensor_new(NN_REAL, 4, x->size);
  status = s.value && s.candidate && (s.bump || norm != NNI_L2) ? NN_OK : NN_EMEMORY;
  if (status == NN_OK) {
    s.best = s.value + images;
    s.number = (int32_t *)(s.best + images);
    s.label = s.number + images;
    status = nni_resisting(c, c->y, false, s.number, &s.count);
  }
  for (int64_t k = 0; k < s.count && status == NN_OK; k++) {
    s.label[k] = c->y[s.number[k]];
    s.best[k] = -INFINITY;
  }
  for (; s.query <= queries && s.count > 0 && status == NN_OK; s.query++) {
    status = ask(&s);
    if (status == NN_OK) status = nni_target_report(c->target, (queries - s.query) * s.count);
  }
  nn_memory_put(s.value);
  nn_memory_put(s.bump);
  nn_tensor_release(s.candidate);
  return status;
}

const nn_attack nni_attacks_square[] = {
  { .name = "square",
    .signature = "{norm:linf|l2=linf, eps:number >=0, queries:integer=5000 >=0 <=1000000, p_init:number=0.8 >0 <=1, "
                 "rescale:boolean=false}",
    .doc = "Random search without gradients (Andriushchenko et al. 2020), from stripes (linf) or a grid of bumps (l2). "
           "Each of `queries` proposals changes one square window, and is kept when the margin of y falls. A window "
           "has the share p_init of the pixels, halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000 proposals; "
           "rescale: in proportion, where `queries` are not 10,000. What is wrong already is left alone; what "
           "withstands comes back as it was nearest to failing. Images are as high as wide.",
    .example = "model = nn.Sequential { nn.Flatten(), nn.Linear(25, 3) }\n"
               "x, y = nn.full({ 1, 5, 5, 1 }, 0.5), nn.tensor({ 1 }, { type = \"index\" })\n"
               "found, info = nn.attack.run(\"square\", model, x, y, { eps = 0.125, queries = 20, seed = 1 })\n"
               "(found - x):abs():max():item() <= 0.125  --> true\n"
               "info.backward                            --> 0\n"
               "nn.attack.run(\"square\", model, nn.zeros { 1, 5, 6, 1 }, y, { eps = 0.125 })\n"
               "--> error: square: images as high as wide expected, got 5 x 6 (x [1x5x6x1])",
    .training = -1, .run = run_square },
  { 0 },
};
