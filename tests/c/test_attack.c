/* test_attack.c -- attacks from inside: gaps and their gradients, the ball, gradients to images, what failures and
 * interrupts leave behind. */
#include "attack/attack.h"
#include "kernels/loss.h"
#include "rows.h"

enum { IMAGES = 7, SIDE = 4, PIXELS = SIDE * SIDE, HIDDEN = 9, CLASSES = 5 };

/* ---- a model of op rows, called back ---- */

typedef struct {
  nn_tensor *weight[2];
  int passes, fails_at, interrupts_at;  /* 0: never */
  bool trained;                         /* asked for training mode */
} net;

static int net_forward(void *context, nn_tensor *x, bool training, nn_tensor **logits) {
  net *m = context;
  nn_tensor *flat = NULL, *inner = NULL, *bent = NULL;
  nn_param shape[NN_MAX_PARAMS] = { { .given = true, .count = 2, .list = { nn_tensor_size(x, 0), PIXELS } } };
  m->trained = training;
  m->passes++;
  if (m->passes == m->fails_at) return nn_fail(NN_EFORMAT, "the model fails");
  if (m->passes == m->interrupts_at) nn_interrupt();
  int status = apply("reshape", &x, 1, shape, &flat);
  if (status == NN_OK) status = apply("matmul", (nn_tensor *[]){ flat, m->weight[0] }, 2, NULL, &inner);
  if (status == NN_OK) status = apply("tanh", &inner, 1, NULL, &bent);
  if (status == NN_OK) status = apply("matmul", (nn_tensor *[]){ bent, m->weight[1] }, 2, NULL, logits);
  nn_tensor_release(flat);
  nn_tensor_release(inner);
  nn_tensor_release(bent);
  return status;
}

static net new_net(void) {
  net m = { { DRAWN(1, PIXELS, HIDDEN), DRAWN(2, HIDDEN, CLASSES) }, 0, 0, 0, false };
  for (int i = 0; i < 2; i++) assert_int_equal(nn_tensor_set_requires_grad(m.weight[i], true), NN_OK);
  return m;
}

static nn_attacked under_attack(net *m) { return (nn_attacked){ .forward = net_forward, .context = m }; }

static void free_net(net *m) { release_all(m->weight, 2); }

/* The option of that name, which is a number, an integer or a word. */
static void set_option(nn_param *options, const nn_attack *a, const char *name, double number, const char *word) {
  const nn_signature *s = nn_attack_signature(a);
  for (int i = 0; i < s->args; i++) {
    if (strcmp(s->arg[i].name, name) != 0) continue;
    int64_t whole_number = word ? nn_choice_find(&s->arg[i], word, strlen(word)) : (int64_t)number;
    options[s->arg[i].value] = (nn_param){ .given = true, .number = number, .integer = whole_number };
    return;
  }
  fail_msg("%s has no option %s", nn_attack_name(a), name);
}

/* ---- gaps ---- */

/* By sorting, in double. */
static double plain_gap(nnk_gap kind, const double *z, int64_t n, int32_t y, int32_t target) {
  double sorted[32], other = -INFINITY;
  for (int64_t k = 0; k < n; k++) {
    int64_t at = k;
    for (; at > 0 && sorted[at - 1] < z[k]; at--) sorted[at] = sorted[at - 1];
    sorted[at] = z[k];
    if (k != y) other = fmax(other, z[k]);
  }
  switch (kind) {
    case NNK_MARGIN: return other - z[y];
    case NNK_DLR: return (other - z[y]) / (sorted[0] - sorted[2] + 1e-12);
    case NNK_DLR_TARGETED: return (z[target] - z[y]) / (sorted[0] - (sorted[2] + sorted[3]) / 2 + 1e-12);
    default: return z[target] - z[y];
  }
}

static void gaps_and_their_gradients(void **state) {
  (void)state;
  static const nn_real weights[] = { (nn_real)0.5, -2, 1, 3, (nn_real)0.25, 1, -1, 2, 1 };
  enum { ROWS = 9 };
  for (int64_t classes = 2; classes <= 12; classes += classes == 2 ? 1 : 3) {
    nn_tensor *z = DRAWN_IN(3, -2, 2, ROWS, classes), *y = DRAWN_INDEX(4, classes, ROWS);
    nn_tensor *target = DRAWN_INDEX(5, classes, ROWS), *dz = DRAWN(6, ROWS, classes);
    for (int kind = 0; kind < 4; kind++) {
      if (classes < (kind == NNK_DLR ? 3 : kind == NNK_DLR_TARGETED ? 4 : 2)) continue;
      const int32_t *ys = nn_tensor_data(y), *targets = nn_tensor_data(target);
      double loss[ROWS], wanted[ROWS], slope[ROWS * 12];
      for (int64_t i = 0; i < ROWS; i++) {
        double row[12];
        for (int64_t k = 0; k < classes; k++) row[k] = (double)values(z)[i * classes + k];
        wanted[i] = plain_gap((nnk_gap)kind, row, classes, ys[i], targets[i]);
        for (int64_t k = 0; k < classes; k++) {
          double here = row[k], h = 1e-6;
          row[k] = here + h;
          double up = plain_gap((nnk_gap)kind, row, classes, ys[i], targets[i]);
          row[k] = here - h;
          double down = plain_gap((nnk_gap)kind, row, classes, ys[i], targets[i]);
          row[k] = here;
          slope[i * classes + k] = (double)values(dz)[i * classes + k] + 2 * (double)weights[i] * (up - down) / (2 * h);
        }
      }
      assert_int_equal(nnk_gap_loss(loss, (nnk_gap)kind, values(z), ys, targets, ROWS, classes), NN_OK);
      for (int64_t i = 0; i < ROWS; i++) assert_true(fabs(loss[i] - wanted[i]) < 1e-5 * (1 + fabs(wanted[i])));
      nn_tensor *sum = nn_tensor_clone(dz);
      nnk_weight w = { weights, 1, 2 };
      assert_int_equal(nnk_gap_loss_grad(nn_tensor_write(sum), w, (nnk_gap)kind, values(z), ys, targets, ROWS, classes),
                       NN_OK);
      assert_near(values(sum), slope, ROWS * classes, 1e-5, "gap");
      nn_tensor_release(sum);
    }
    release_all((nn_tensor *[]){ z, y, target, dz }, 4);
  }
}

/* Logits that are not numbers, or all alike, lead nowhere else. */
static void gaps_of_strange_logits(void **state) {
  (void)state;
  const nn_real nan = (nn_real)NAN, z[] = { nan, 1, 2, 0, 3, nan, nan, nan, nan, nan, 1, 1, 1, 1, 1 };
  const int32_t y[] = { 0, 1, 2 }, target[] = { 4, 0, 1 };
  for (int kind = 0; kind < 4; kind++) {
    double loss[3];
    nn_real dz[15] = { 0 };
    nnk_weight w = { z + 10, 0, 1 };
    assert_int_equal(nnk_gap_loss(loss, (nnk_gap)kind, z, y, target, 3, 5), NN_OK);
    assert_true(loss[2] == 0);
    assert_int_equal(nnk_gap_loss_grad(dz, w, (nnk_gap)kind, z, y, target, 3, 5), NN_OK);
    for (int k = 10; k < 15; k++) assert_true(isfinite((double)dz[k]));
  }
}

/* ---- the ball ---- */

static nni_ball ball_of(int norm, double eps) { return (nni_ball){ (nni_norm)norm, (nn_real)eps, PIXELS }; }

static void projection_ends_in_ball_and_range(void **state) {
  (void)state;
  nn_tensor *x = DRAWN_IN(1, 0, 1, PIXELS), *far = DRAWN_IN(2, -2, 3, PIXELS);
  static const double radii[] = { 0, 1e-3, 0.3, 1, 5 };
  for (int norm = 0; norm < 2; norm++) {
    for (int r = 0; r < 5; r++) {
      nni_ball b = ball_of(norm, radii[r]);
      nn_real at[PIXELS], again[PIXELS];
      memcpy(at, values(far), sizeof at);
      nni_ball_project(&b, at, values(x));
      assert_true(nni_ball_distance(&b, at, values(x)) <= radii[r] + 1e-6);
      for (int i = 0; i < PIXELS; i++) assert_true(at[i] >= 0 && at[i] <= 1);
      memcpy(again, at, sizeof at);
      nni_ball_project(&b, again, values(x));
      for (int i = 0; i < PIXELS; i++) assert_true(fabs((double)again[i] - (double)at[i]) < 1e-6);
      if (radii[r] == 0) assert_memory_equal(at, values(x), sizeof at);
      at[3] = (nn_real)NAN, at[5] = (nn_real)INFINITY;
      nni_ball_project(&b, at, values(x));
      assert_true(nni_ball_distance(&b, at, values(x)) <= radii[r] + 1e-6);
    }
  }
  nn_tensor_release(x);
  nn_tensor_release(far);
}

static void a_step_has_its_length(void **state) {
  (void)state;
  nn_tensor *g = DRAWN(1, PIXELS);
  nn_real *slope = nn_tensor_write(g), at[PIXELS], none[PIXELS] = { 0 };
  slope[2] = 0;
  for (int norm = 0; norm < 2; norm++) {
    nni_ball b = ball_of(norm, 1);
    memset(at, 0, sizeof at);
    nni_ball_step(&b, at, slope, (nn_real)0.25);
    assert_true(fabs(nni_ball_distance(&b, at, NULL) - 0.25) < 1e-6);
    assert_true(nni_ball_distance(&b, at, none) == nni_ball_distance(&b, at, NULL));
    assert_true(at[2] == 0);
    for (int i = 0; i < PIXELS; i++) assert_true((at[i] > 0) == (slope[i] > 0));
    for (int i = 0; i < PIXELS; i++) slope[i] = (nn_real)((double)slope[i] * 1e-41);
    memset(at, 0, sizeof at);
    nni_ball_step(&b, at, slope, (nn_real)0.25);
    assert_true(fabs(nni_ball_distance(&b, at, NULL) - 0.25) < 1e-6);
    for (int i = 0; i < PIXELS; i++) slope[i] = (nn_real)((double)slope[i] * 1e41);
    memset(at, 0, sizeof at);
    nni_ball_step(&b, at, none, 1);
    assert_memory_equal(at, none, sizeof at);
  }
  nn_tensor_release(g);
}

/* Half of a ball's volume lies beyond 2^(-1/n) of its radius. */
static void samples_fill_the_ball(void **state) {
  (void)state;
  enum { DRAWS = 2000 };
  nn_real a[PIXELS], b[PIXELS];
  for (int norm = 0; norm < 2; norm++) {
    nni_ball ball = ball_of(norm, 0.5);
    int outer = 0;
    double mean = 0;
    for (int i = 0; i < DRAWS; i++) {
      nni_draw draw = { 3, i % 2, i / 2 };
      assert_int_equal(nni_ball_sample(&ball, a, &draw), NN_OK);
      double far = nni_ball_distance(&ball, a, NULL);
      assert_true(far <= 0.5 + 1e-6);
      outer += far > 0.5 * pow(0.5, 1.0 / PIXELS);
      for (int k = 0; k < PIXELS; k++) mean += (double)a[k] / (DRAWS * PIXELS);
    }
    assert_true(abs(outer - DRAWS / 2) < 150);
    assert_true(fabs(mean) < 0.01);
    assert_int_equal(nni_ball_sample(&ball, b, &(nni_draw){ 3, 1, DRAWS / 2 - 1 }), NN_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(nni_ball_sample(&ball, b, &(nni_draw){ 4, 1, DRAWS / 2 - 1 }), NN_OK);
    assert_memory_not_equal(a, b, sizeof a);
  }
}

/* ---- gradients to the images ---- */

static double value_at(nni_target *t, nn_tensor *x, const nni_goal *goal) {
  double value[IMAGES], sum = 0;
  nn_tensor *logits = NULL;
  assert_int_equal(nni_target_logits(t, x, &logits), NN_OK);
  assert_int_equal(nni_target_values(t, logits, goal, value), NN_OK);
  for (int i = 0; i < IMAGES; i++) sum += value[i];
  nn_tensor_release(logits);
  return sum;
}

static void gradients_are_those_of_the_values(void **state) {
  (void)state;
  net m = new_net();
  nn_attacked model = under_attack(&m);
  nn_tensor *x = DRAWN_IN(3, 0, 1, IMAGES, SIDE, SIDE, 1), *y = DRAWN_INDEX(4, CLASSES, IMAGES);
  nn_tensor *aims = DRAWN_INDEX(5, CLASSES, IMAGES), *reference = DRAWN(6, IMAGES, CLASSES);
  uint8_t seen[IMAGES] = { 0 };
  nni_target t = { .name = "test", .model = &model, .label = nn_tensor_data(y), .images = IMAGES, .seen = seen };
  const double h = sizeof(nn_real) == 8 ? 1e-5 : 1e-2;
  for (int loss = NNI_CE; loss <= NNI_DIFFERENCE; loss++) {
    for (int minimise = 0; minimise < 2; minimise++) {
      nni_goal goal = { (nni_loss)loss, minimise, nn_tensor_data(y), nn_tensor_data(aims), values(reference) };
      double value[IMAGES], sum = 0, wanted[8];
      nn_real got[8];
      nn_tensor *gradient = NULL, *logits = NULL;
      assert_int_equal(nni_target_gradient(&t, x, &goal, NULL, value, &logits, &gradient), NN_OK);
      for (int i = 0; i < IMAGES; i++) sum += value[i];
      assert_true(fabs(sum - value_at(&t, x, &goal)) < 1e-4);
      for (int k = 0; k < 8; k++) {
        int64_t at = k * 13 % (IMAGES * PIXELS);
        nn_real *pixel = (nn_real *)nn_tensor_write(x) + at, here = *pixel;
        *pixel = (nn_real)((double)here + h);
        double up = value_at(&t, x, &goal);
        *pixel = (nn_real)((double)here - h);
        wanted[k] = (up - value_at(&t, x, &goal)) / (2 * h);
        *pixel = here;
        got[k] = values(gradient)[at];
      }
      assert_near(got, wanted, 8, sizeof(nn_real) == 8 ? 1e-6 : 2e-2, "gradient to the images");
      nn_tensor_release(gradient);
      nn_tensor_release(logits);
      assert_null(nn_tensor_grad(x));
      assert_false(nn_tensor_requires_grad(x));
      for (int i = 0; i < 2; i++) assert_null(nn_tensor_grad(m.weight[i]));
    }
  }
  assert_int_equal(t.counts.backward, 12 * IMAGES);
  assert_int_equal(t.counts.zero_gradient + t.counts.nonfinite_gradient, 0);
  release_all((nn_tensor *[]){ x, y, aims, reference }, 4);
  free_net(&m);
}

static void who_resists(void **state) {
  (void)state;
  const nn_real nan = (nn_real)NAN, even[] = { 1, 1, 0 }, odd[] = { 0, nan, 0 };
  assert_true(nni_resists(even, 3, 0, false));    /* of equals the first is the answer */
  assert_false(nni_resists(even, 3, 1, false));
  assert_false(nni_resists(even, 3, 0, true));
  assert_true(nni_resists(even, 3, 2, true));
  assert_false(nni_resists(odd, 3, 0, false));    /* no answer is no right answer */
  assert_false(nni_resists(odd, 3, 1, false));
  assert_true(nni_resists(odd, 3, 1, true));
}

static void rivals_come_in_order(void **state) {
  (void)state;
  const nn_real z[] = { 2, 5, 2, -1, 5, -INFINITY }, none[] = { NAN, NAN, NAN };
  static const int32_t order[] = { 1, 4, 0, 2, 3, 5 };
  for (int32_t y = 0; y < 6; y++)
    for (int i = 0, rank = 0; i < 6; i++)
      if (order[i] != y) assert_int_equal(nni_rival(z, 6, y, rank++), order[i]);
  for (int rank = 0; rank < 2; rank++) assert_in_range(nni_rival(none, 3, 1, rank), 0, 2);
}

/* While a leaf alone is to get a gradient, recording leads to it and past the parameters. */
static void the_only_leaf(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 2, 3), *w = DRAWN(2, 3, 4), *y = NULL, *seed = DRAWN(3, 2, 4);
  assert_int_equal(nn_tensor_set_requires_grad(x, true), NN_OK);
  assert_int_equal(nn_tensor_set_requires_grad(w, true), NN_OK);
  assert_null(nn_set_grad_leaf(x));
  assert_int_equal(apply("matmul", (nn_tensor *[]){ x, w }, 2, NULL, &y), NN_OK);
  assert_ptr_equal(nn_set_grad_leaf(NULL), x);
  assert_int_equal(nn_backward(y, seed, false), NN_OK);
  assert_non_null(nn_tensor_grad(x));
  assert_null(nn_tensor_grad(w));
  nn_tensor_release(y);
  nn_set_grad_leaf(seed);
  assert_int_equal(apply("matmul", (nn_tensor *[]){ x, w }, 2, NULL, &y), NN_OK);
  nn_set_grad_leaf(NULL);
  assert_false(nn_tensor_requires_grad(y));
  nn_tensor_release(y);
  nn_tensor *steep = NULL, *sum = NULL;
  nn_tensor_clear_grad(x);
  assert_int_equal(apply("exp", &w, 1, NULL, &steep), NN_OK);
  for (int time = 0; time < 2; time++) {  /* what was recorded before stays whole, too */
    nn_set_grad_leaf(x);
    assert_int_equal(apply("matmul", (nn_tensor *[]){ x, steep }, 2, NULL, &sum), NN_OK);
    assert_int_equal(apply("exp", &sum, 1, NULL, &y), NN_OK);
    nn_set_grad_leaf(NULL);
    assert_int_equal(nn_backward(y, seed, false), NN_OK);
    assert_null(nn_tensor_grad(w));
    nn_tensor_release(sum);
    nn_tensor_release(y);
  }
  assert_non_null(nn_tensor_grad(x));
  release_all((nn_tensor *[]){ x, w, steep, seed }, 4);
}

/* ---- whole attacks ---- */

typedef struct {
  const char *name;
  struct { const char *name; double number; const char *word; } option[6];
} setting;

static const setting settings[] = {
  { "fgsm", { { "eps", 0.2, NULL } } },
  { "pgd", { { "eps", 0.2, NULL }, { "iters", 3, NULL }, { "iterate", 0, "best" } } },
  { "pgd", { { "eps", 0.01, NULL }, { "iters", 2, NULL }, { "restarts", 3, NULL }, { "norm", 0, "l2" } } },
  { "pgd", { { "eps", 0.01, NULL }, { "iters", 2, NULL }, { "restarts", 2, NULL }, { "loss", 0, "kl" } } },
  { "apgd", { { "eps", 0.03, NULL }, { "iters", 8, NULL } } },
  { "apgd", { { "eps", 0.02, NULL }, { "iters", 6, NULL }, { "loss", 0, "dlr_targeted" }, { "norm", 0, "l2" } } },
  { "square", { { "eps", 0.02, NULL }, { "queries", 5, NULL } } },
  { "fab", { { "eps", 0.02, NULL }, { "iters", 3, NULL }, { "targets", 2, NULL }, { "restarts", 2, NULL } } },
};
enum { SETTINGS = sizeof settings / sizeof *settings };

/* Labels are what the model says, so that every image resists at first. */
typedef struct {
  net model;
  nn_tensor *x, *y;
} scene;

static scene new_scene(void) {
  const int64_t count = IMAGES;
  scene s = { new_net(), DRAWN_IN(3, 0, 1, IMAGES, SIDE, SIDE, 1), nn_tensor_zeros(NN_INDEX, 1, &count) };
  nn_tensor *logits = NULL;
  bool was = nn_set_grad_enabled(false);
  assert_int_equal(net_forward(&s.model, s.x, false, &logits), NN_OK);
  nn_set_grad_enabled(was);
  nni_predict(nn_tensor_write(s.y), logits, false);
  nn_tensor_release(logits);
  s.model.passes = 0;
  return s;
}

static void free_scene(scene *s) {
  nn_tensor_release(s->x);
  nn_tensor_release(s->y);
  free_net(&s->model);
}

static int attack(scene *s, const setting *how, nn_progress progress, void *context, nn_tensor **found) {
  const nn_attack *a = nn_attack_find(how->name);
  nn_param options[NN_MAX_PARAMS] = { { 0 } };
  nn_attacked model = under_attack(&s->model);
  nn_attack_use use = { .seed = 5, .offset = 2, .progress = progress, .context = context };
  nn_attack_counts counts;
  for (int i = 0; i < 6 && how->option[i].name; i++)
    set_option(options, a, how->option[i].name, how->option[i].number, how->option[i].word);
  s->model.passes = 0;
  return nn_attack_run(a, options, &model, s->x, s->y, &use, found, &counts);
}

static uint64_t blocks(void) {
  nn_memory_stats stats;
  nn_memory_get_stats(&stats);
  return stats.live_blocks;
}

/* Nothing of a failed run is left: no memory, no gradient, no scope; the next run gives what it gave before. */
static void assert_untouched(scene *s, const setting *how, const nn_tensor *expected) {
  nn_tensor *again = NULL;
  assert_null(nn_set_grad_leaf(NULL));
  assert_true(nn_grad_enabled());
  assert_false(nn_tensor_requires_grad(s->x));
  assert_null(nn_tensor_grad(s->x));
  for (int i = 0; i < 2; i++) {
    assert_true(nn_tensor_requires_grad(s->model.weight[i]));
    assert_null(nn_tensor_grad(s->model.weight[i]));
  }
  s->model.fails_at = s->model.interrupts_at = 0;
  assert_int_equal(attack(s, how, NULL, NULL, &again), NN_OK);
  assert_memory_equal(values(expected), values(again), sizeof(nn_real) * IMAGES * PIXELS);
  nn_tensor_release(again);
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  scene s = new_scene();
  for (int i = 0; i < SETTINGS; i++) {
    nn_tensor *expected = NULL, *found = NULL;
    assert_int_equal(attack(&s, &settings[i], NULL, NULL, &expected), NN_OK);
    uint64_t before = blocks();
    int status = NN_EMEMORY;
    for (uint64_t n = 1; status == NN_EMEMORY; n++) {
      nn_memory_fail_at(n);
      status = attack(&s, &settings[i], NULL, NULL, &found);
      nn_memory_fail_at(0);
      if (status == NN_OK) break;
      assert_int_equal(status, NN_EMEMORY);
      assert_null(found);
      assert_int_equal(blocks(), before);
      if (n % 16 == 1) assert_untouched(&s, &settings[i], expected);
    }
    nn_tensor_release(found);
    nn_tensor_release(expected);
  }
  free_scene(&s);
}

static void every_pass_may_fail_or_be_interrupted(void **state) {
  (void)state;
  scene s = new_scene();
  for (int i = 0; i < SETTINGS; i++) {
    nn_tensor *expected = NULL, *found = NULL;
    assert_int_equal(attack(&s, &settings[i], NULL, NULL, &expected), NN_OK);
    int most = s.model.passes;
    uint64_t before = blocks();
    for (int n = 1; n <= most; n++) {
      s.model.fails_at = n;
      assert_int_equal(attack(&s, &settings[i], NULL, NULL, &found), NN_EFORMAT);
      assert_string_equal(nn_error(), "the model fails");
      assert_int_equal(blocks(), before);
      assert_untouched(&s, &settings[i], expected);
      s.model.interrupts_at = n;
      assert_int_equal(attack(&s, &settings[i], NULL, NULL, &found), NN_EINTERRUPT);
      nn_interrupt_clear();
      assert_int_equal(blocks(), before);
      assert_untouched(&s, &settings[i], expected);
    }
    assert_null(found);
    nn_tensor_release(expected);
  }
  free_scene(&s);
}

static int stop_at(void *context, uint64_t done, uint64_t total) {
  assert_true(done <= total);
  return --*(int *)context > 0 ? NN_OK : NN_ESTATE;
}

static void progress_may_end_it(void **state) {
  (void)state;
  scene s = new_scene();
  for (int i = 0; i < SETTINGS; i++) {
    nn_tensor *expected = NULL, *found = NULL;
    assert_int_equal(attack(&s, &settings[i], NULL, NULL, &expected), NN_OK);
    uint64_t before = blocks();
    int calls = 1;
    assert_int_equal(attack(&s, &settings[i], stop_at, &calls, &found), NN_ESTATE);
    assert_int_equal(blocks(), before);
    assert_untouched(&s, &settings[i], expected);
    nn_tensor_release(expected);
  }
  free_scene(&s);
}

static void the_table_of_attacks(void **state) {
  (void)state;
  assert_null(nn_attack_find("none"));
  for (int i = 0; i < nn_attack_count(); i++) {
    const nn_attack *a = nn_attack_at(i);
    assert_ptr_equal(nn_attack_find(nn_attack_name(a)), a);
    assert_true(nn_attack_signature(a)->values <= NN_MAX_PARAMS);
    assert_true(strlen(nn_attack_doc(a)) > 0 && strlen(nn_attack_example(a)) > 0);
    assert_non_null(strstr(nn_attack_signature_text(a), "eps"));
  }
}

static void hostile_options(void **state) {
  (void)state;
  scene s = new_scene();
  nn_tensor *found = NULL;
  static const double radii[] = { -1, NAN, INFINITY, 1e300 };
  for (int i = 0; i < 4; i++) {
    setting how = { "pgd", { { "eps", radii[i], NULL } } };
    ASSERT_FAILED(attack(&s, &how, NULL, NULL, &found), NN_EARGUMENT, "pgd: eps");
    assert_int_equal(nn_attack_project(s.x, s.x, "linf", radii[i], &found), NN_EARGUMENT);
  }
  ASSERT_FAILED(attack(&s, &(setting){ "pgd", { { "iters", 3, NULL } } }, NULL, NULL, &found), NN_EARGUMENT,
                "pgd: eps is missing");
  ASSERT_FAILED(nn_attack_project(s.x, s.x, "l1", 1, &found), NN_EARGUMENT, "project", "linf|l2", "l1");
  assert_null(found);
  free_scene(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(gaps_and_their_gradients),
    cmocka_unit_test(gaps_of_strange_logits),
    cmocka_unit_test(projection_ends_in_ball_and_range),
    cmocka_unit_test(a_step_has_its_length),
    cmocka_unit_test(samples_fill_the_ball),
    cmocka_unit_test(gradients_are_those_of_the_values),
    cmocka_unit_test(who_resists),
    cmocka_unit_test(rivals_come_in_order),
    cmocka_unit_test(the_only_leaf),
    cmocka_unit_test(every_allocation_may_fail),
    cmocka_unit_test(every_pass_may_fail_or_be_interrupted),
    cmocka_unit_test(progress_may_end_it),
    cmocka_unit_test(the_table_of_attacks),
    cmocka_unit_test(hostile_options),
  };
  return cmocka_run_group_tests_name("attack", tests, rows_open, NULL);
}
