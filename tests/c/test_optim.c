/* test_optim.c -- optimisers against their formulas in double; groups, clipping, averages, state, interrupts. */
#include "rows.h"

enum { STEPS = 6 };

/* The gradient of step t at element i: drawn, not zero on average. */
static double gradient(int t, int64_t i) { return 2 * nn_random_uniform(5, (uint64_t)t, (uint64_t)i) - 0.8; }

/* Puts a gradient where backward would: the derivative of sum(p * g). */
static void give_gradient(nn_tensor *p, int t) {
  nn_tensor *g = nn_tensor_clone(p), *y = NULL;
  nn_real *values_of_g = nn_tensor_write(g);
  for (int64_t i = 0; i < nn_tensor_count(p); i++) values_of_g[i] = (nn_real)gradient(t, i);
  nn_tensor *weight = g;
  assert_int_equal(nn_apply(nn_op_find("matmul"), (nn_tensor *[]){ p, weight }, 2, NULL, &y), NN_OK);
  assert_int_equal(nn_backward(y, NULL, false), NN_OK);
  nn_tensor_release(y);
  nn_tensor_release(g);
}

static nn_tensor *parameter(uint64_t seed, int64_t size) {
  nn_tensor *p = DRAWN(seed, size);
  assert_int_equal(nn_tensor_set_requires_grad(p, true), NN_OK);
  return p;
}

static int place_of(const nn_method *m, const char *name) {
  const nn_signature *s = nn_method_signature(m);
  for (int a = 0; a < s->args; a++)
    if (strcmp(s->arg[a].name, name) == 0) return s->arg[a].value;
  fail_msg("%s has no option %s", nn_method_name(m), name);
  return -1;
}

typedef struct {
  const char *method;
  double lr, momentum, dampening, nesterov, weight_decay;
} setting;

static double option_of(const setting *s, const char *name) {
  return !strcmp(name, "lr") ? s->lr : !strcmp(name, "momentum") ? s->momentum
       : !strcmp(name, "dampening") ? s->dampening : !strcmp(name, "nesterov") ? s->nesterov
       : !strcmp(name, "weight_decay") ? s->weight_decay : -1;
}

static nn_optimizer *optimizer_for(const setting *s, nn_tensor *const *params, int count) {
  const nn_method *m = nn_method_find(s->method);
  const nn_signature *signature = nn_method_signature(m);
  nn_param options[NN_MAX_PARAMS] = { { 0 } };
  for (int a = 0; a < signature->args; a++) {
    double value = option_of(s, signature->arg[a].name);
    if (value < 0) continue;
    options[signature->arg[a].value] = (nn_param){ .given = true, .number = value, .integer = (int64_t)value };
  }
  nn_optimizer *o = nn_optimizer_new(m);
  assert_non_null(o);
  if (nn_optimizer_add(o, params, count, options) != NN_OK) fail_msg("%s", nn_error());
  return o;
}

static const setting settings[] = {
  { "sgd", 0.1, 0, 0, 0, 0 },      { "sgd", 0.1, 0, 0, 0, 0.05 },   { "sgd", 0.1, 0.9, 0, 0, 0.05 },
  { "sgd", 0.1, 0.9, 0.3, 0, 0 },  { "sgd", 0.1, 0.9, 0, 1, 0.05 }, { "adam", 0.01, 0, 0, 0, 0 },
  { "adam", 0.01, 0, 0, 0, 0.1 },  { "adamw", 0.01, 0, 0, 0, 0.1 },
};
enum { SETTINGS = sizeof settings / sizeof *settings };

/* The methods as their papers and torch's documentation print them. */
static double reference(const setting *s, double p, int64_t i) {
  double buffer = 0, m = 0, v = 0;
  for (int t = 1; t <= STEPS; t++) {
    double g = gradient(t, i);
    if (strcmp(s->method, "adamw") == 0) p *= 1 - s->lr * s->weight_decay;
    else g += s->weight_decay * p;
    if (strcmp(s->method, "sgd") == 0) {
      buffer = t == 1 ? g : s->momentum * buffer + (1 - s->dampening) * g;
      p -= s->lr * (s->momentum == 0 ? g : s->nesterov ? g + s->momentum * buffer : buffer);
    } else {
      m = 0.9 * m + 0.1 * g;
      v = 0.999 * v + 0.001 * g * g;
      p -= s->lr * (m / (1 - pow(0.9, t))) / (sqrt(v / (1 - pow(0.999, t))) + 1e-8);
    }
  }
  return p;
}

static void test_formulas(void **state) {
  (void)state;
  enum { SIZE = 70001 };
  for (int k = 0; k < SETTINGS; k++) {
    nn_tensor *p = parameter(1, SIZE), *before = nn_tensor_clone(p);
    nn_optimizer *o = optimizer_for(&settings[k], &p, 1);
    for (int t = 1; t <= STEPS; t++) {
      give_gradient(p, t);
      assert_int_equal(nn_optimizer_step(o), NN_OK);
      assert_null(nn_tensor_grad(p));
      assert_int_equal(nn_optimizer_steps(o, 0), t);
    }
    double *wanted = malloc(SIZE * sizeof *wanted);
    for (int64_t i = 0; i < SIZE; i++) wanted[i] = reference(&settings[k], (double)values(before)[i], i);
    assert_near(values(p), wanted, SIZE, tolerance, settings[k].method);
    free(wanted);
    nn_optimizer_free(o);
    nn_tensor_release(before);
    nn_tensor_release(p);
  }
}

static void test_same_bits(void **state) {
  (void)state;
  int threads = nn_threads();
  for (int k = 0; k < SETTINGS; k++) {
    nn_tensor *p[2];
    double norm[2];
    for (int run = 0; run < 2; run++) {
      assert_int_equal(nn_set_threads(1 + 2 * run), NN_OK);
      p[run] = parameter(1, 200000);
      nn_optimizer *o = optimizer_for(&settings[k], &p[run], 1);
      for (int t = 1; t <= 3; t++) {
        give_gradient(p[run], t);
        assert_int_equal(nn_clip_grad_norm(&p[run], 1, 1.5, &norm[run]), NN_OK);
        assert_int_equal(nn_optimizer_step(o), NN_OK);
      }
      nn_optimizer_free(o);
    }
    assert_same_bits(p[0], p[1], settings[k].method);
    assert_true(norm[0] == norm[1]);
    release_all(p, 2);
  }
  assert_int_equal(nn_set_threads(threads), NN_OK);
}

/* Two groups with rates of their own; what has no gradient or is frozen stays. */
static void test_groups(void **state) {
  (void)state;
  nn_tensor *p[4];
  for (int i = 0; i < 4; i++) p[i] = parameter((uint64_t)i, 8);
  nn_optimizer *o = optimizer_for(&(setting){ "sgd", 0.1, 0, 0, 0, 0 }, p, 3);
  nn_param options[NN_MAX_PARAMS] = { { 0 } };
  int lr = place_of(nn_optimizer_method(o), "lr");
  options[lr] = real(0.5);
  assert_int_equal(nn_optimizer_add(o, p + 3, 1, options), NN_OK);
  assert_int_equal(nn_optimizer_groups(o), 2);
  assert_int_equal(nn_optimizer_params(o), 4);
  nn_tensor *before[4];
  for (int i = 0; i < 4; i++) before[i] = nn_tensor_clone(p[i]);
  give_gradient(p[0], 1);
  give_gradient(p[2], 1);
  give_gradient(p[3], 1);
  assert_int_equal(nn_tensor_set_requires_grad(p[2], false), NN_OK);
  assert_int_equal(nn_optimizer_step(o), NN_OK);
  const double rate[] = { 0.1, 0, 0, 0.5 };
  for (int k = 0; k < 4; k++) {
    double wanted[8];
    for (int i = 0; i < 8; i++) wanted[i] = (double)values(before[k])[i] - rate[k] * gradient(1, i);
    assert_near(values(p[k]), wanted, 8, tolerance, "groups");
    assert_int_equal(nn_optimizer_steps(o, k), rate[k] != 0);
    assert_null(nn_tensor_grad(p[k]));
  }
  nn_param half = real(0.05), negative = real(-1);
  assert_int_equal(nn_optimizer_set(o, 0, lr, &half), NN_OK);
  assert_true(nn_optimizer_get(o, 0)[lr].number == 0.05);
  assert_true(nn_optimizer_get(o, 1)[lr].number == 0.5);
  ASSERT_FAILED(nn_optimizer_set(o, 0, lr, &negative), NN_EARGUMENT, "sgd: lr must be at least 0", "-1");
  assert_true(nn_optimizer_get(o, 0)[lr].number == 0.05);
  nn_optimizer_free(o);
  release_all(before, 4);
  release_all(p, 4);
}

/* An optimiser whose state is copied into a new one goes on with the same bits. */
static void test_state(void **state) {
  (void)state;
  for (int k = 0; k < SETTINGS; k++) {
    nn_tensor *p = parameter(1, 300), *q;
    nn_optimizer *o = optimizer_for(&settings[k], &p, 1);
    for (int t = 1; t <= 2; t++) {
      give_gradient(p, t);
      assert_int_equal(nn_optimizer_step(o), NN_OK);
    }
    q = nn_tensor_clone(p);
    assert_int_equal(nn_tensor_set_requires_grad(q, true), NN_OK);
    nn_optimizer *copy = optimizer_for(&settings[k], &q, 1);
    nn_optimizer_set_steps(copy, 0, nn_optimizer_steps(o, 0));
    for (int s = 0; s < nn_method_states(nn_optimizer_method(o)); s++) {
      assert_null(nn_optimizer_state(copy, 0, s));
      nn_tensor *kept = nn_optimizer_state(o, 0, s);
      if (kept) assert_int_equal(nn_optimizer_set_state(copy, 0, s, kept), NN_OK);
    }
    for (int t = 3; t <= 5; t++) {
      give_gradient(p, t);
      give_gradient(q, t);
      assert_int_equal(nn_optimizer_step(o), NN_OK);
      assert_int_equal(nn_optimizer_step(copy), NN_OK);
    }
    assert_same_bits(p, q, settings[k].method);
    nn_optimizer_free(o);
    nn_optimizer_free(copy);
    nn_tensor_release(p);
    nn_tensor_release(q);
  }
}

static void test_clipping(void **state) {
  (void)state;
  nn_tensor *p[2] = { parameter(1, 40000), parameter(2, 7) };
  double squares = 0, norm = 0, found = 0;
  for (int i = 0; i < 40000; i++) squares += gradient(3, i) * gradient(3, i);
  for (int i = 0; i < 7; i++) squares += gradient(4, i) * gradient(4, i);
  give_gradient(p[0], 3);
  give_gradient(p[1], 4);
  assert_int_equal(nn_clip_grad_norm(p, 2, 1e9, &found), NN_OK);
  assert_true(fabs(found - sqrt(squares)) < 1e-6 * found);
  assert_true(values(nn_tensor_grad(p[1]))[2] == (nn_real)gradient(4, 2));
  assert_int_equal(nn_clip_grad_norm(p, 2, 2, &norm), NN_OK);
  assert_true(norm == found);
  assert_int_equal(nn_grad_norm(p, 2, &norm), NN_OK);
  assert_true(fabs(norm - 2) < 1e-5);
  assert_int_equal(nn_clip_grad_value(p, 2, 1e-3), NN_OK);
  for (int i = 0; i < 40000; i++) assert_true(fabs((double)values(nn_tensor_grad(p[0]))[i]) <= 1e-3 * (1 + 1e-6));
  /* A gradient that is not finite is named, and all stay as they are. */
  nn_real first = values(nn_tensor_grad(p[0]))[0];
  ((nn_real *)nn_tensor_write(nn_tensor_grad(p[1])))[3] = (nn_real)NAN;
  ASSERT_FAILED(nn_clip_grad_norm(p, 2, 1e-9, &norm), NN_ESTATE, "clip_grad_norm: the norm is", "nan", "parameter 2");
  assert_true(values(nn_tensor_grad(p[0]))[0] == first);
  release_all(p, 2);
}

static void test_average(void **state) {
  (void)state;
  nn_tensor *p = parameter(1, 100), *average = DRAWN(2, 100), *other = DRAWN(3, 50);
  double wanted[100];
  for (int i = 0; i < 100; i++) wanted[i] = 0.9 * (double)values(average)[i] + 0.1 * (double)values(p)[i];
  assert_int_equal(nn_average_update(&average, &p, 1, 0.9), NN_OK);
  assert_near(values(average), wanted, 100, tolerance, "average");
  ASSERT_FAILED(nn_average_update(&other, &p, 1, 0.9), NN_ESHAPE, "average_update: average 1 is [50]", "[100]");
  ASSERT_FAILED(nn_average_update(&average, &p, 1, 1.5), NN_EARGUMENT, "decay must be from 0 to 1, got 1.5");
  nn_tensor_release(p);
  nn_tensor_release(average);
  nn_tensor_release(other);
}

/* An interrupt before a step leaves everything; what backward saved notices a step. */
static void test_interrupt_and_version(void **state) {
  (void)state;
  nn_tensor *p = parameter(1, 9), *x = DRAWN(2, 9), *y;
  nn_optimizer *o = optimizer_for(&settings[0], &p, 1);
  give_gradient(p, 1);
  nn_real before = values(p)[0];
  nn_interrupt();
  assert_int_equal(nn_optimizer_step(o), NN_EINTERRUPT);
  nn_interrupt_clear();
  assert_true(values(p)[0] == before);
  assert_non_null(nn_tensor_grad(p));
  nn_tensor_set_requires_grad(x, true);
  assert_int_equal(nn_apply(nn_op_find("matmul"), (nn_tensor *[]){ p, x }, 2, NULL, &y), NN_OK);
  assert_int_equal(nn_optimizer_step(o), NN_OK);
  ASSERT_FAILED(nn_backward(y, NULL, false), NN_ESTATE, "overwritten");
  nn_tensor_release(y);
  nn_optimizer_free(o);
  nn_tensor_release(p);
  nn_tensor_release(x);
}

static void test_memory(void **state) {
  (void)state;
  nn_tensor *p = parameter(1, 50);
  nn_memory_stats before, after;
  bool failed = true;
  for (uint64_t n = 1; failed; n++) {
    give_gradient(p, 1);
    nn_memory_get_stats(&before);
    nn_memory_fail_at(n);
    nn_optimizer *o = nn_optimizer_new(nn_method_find("adam"));
    int status = o ? nn_optimizer_add(o, &p, 1, NULL) : NN_EMEMORY;
    if (status == NN_OK) status = nn_clip_grad_norm(&p, 1, 1, NULL);
    if (status == NN_OK) status = nn_optimizer_step(o);
    nn_memory_fail_at(0);
    failed = status != NN_OK;
    if (failed) assert_int_equal(status, NN_EMEMORY);
    nn_optimizer_free(o);
    nn_tensor_clear_grad(p);
    nn_memory_get_stats(&after);
    assert_true(after.live_blocks < before.live_blocks);
  }
  nn_tensor_release(p);
}

static void test_messages(void **state) {
  (void)state;
  nn_tensor *p[2] = { parameter(1, 5), parameter(2, 5) }, *y;
  nn_param options[NN_MAX_PARAMS] = { { 0 } };
  nn_optimizer *o = nn_optimizer_new(nn_method_find("sgd"));
  options[place_of(nn_optimizer_method(o), "nesterov")] = whole(1);
  ASSERT_FAILED(nn_optimizer_add(o, p, 2, options), NN_EARGUMENT, "sgd: nesterov expects momentum above 0");
  assert_int_equal(nn_optimizer_add(o, p, 1, NULL), NN_OK);
  ASSERT_FAILED(nn_optimizer_add(o, (nn_tensor *[]){ p[1], p[0] }, 2, NULL), NN_EARGUMENT, "sgd: parameter 2", "twice");
  assert_int_equal(nn_apply(nn_op_find("matmul"), p, 2, NULL, &y), NN_OK);
  ASSERT_FAILED(nn_optimizer_add(o, &y, 1, NULL), NN_EARGUMENT, "parameter 1 is not");
  assert_int_equal(nn_optimizer_params(o), 1);
  ASSERT_FAILED(nn_optimizer_set_state(o, 0, 0, y), NN_ESHAPE, "momentum_buffer expects [5]");
  nn_tensor_release(y);
  nn_optimizer_free(o);
  release_all(p, 2);
}

static void test_clipping_of_one_twice(void **state) {
  (void)state;
  nn_tensor *p = parameter(1, 100000), *twice[] = { p, p };
  double once, both;
  assert_int_equal(nn_backward(p, p, false), NN_OK);
  assert_int_equal(nn_grad_norm(&p, 1, &once), NN_OK);
  assert_int_equal(nn_clip_grad_norm(twice, 2, once / 2, &both), NN_OK);
  assert_true(both == once);
  assert_int_equal(nn_grad_norm(&p, 1, &both), NN_OK);
  assert_true(fabs(both / once - 0.5) < 1e-5);
  nn_tensor_release(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_formulas), cmocka_unit_test(test_same_bits), cmocka_unit_test(test_groups),
    cmocka_unit_test(test_state),    cmocka_unit_test(test_clipping),  cmocka_unit_test(test_average),
    cmocka_unit_test(test_memory),   cmocka_unit_test(test_messages),  cmocka_unit_test(test_interrupt_and_version),
    cmocka_unit_test(test_clipping_of_one_twice),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
