/* test_hyperplane.c -- the shortest step to a hyperplane within the box, against solvers that do not know its form. */
#include "scratch.h"

#include <math.h>

#include "kernels/hyperplane.h"

enum { MOST = 12, CASES = 2000 };

#ifdef NN_DOUBLE
static const double tolerance = 1e-9;
#else
static const double tolerance = 2e-6;
#endif

typedef struct {
  int n;
  nn_real x[MOST], w[MOST];
  double reach[2], gap;  /* the least and the greatest <w, step> in the box; what is asked for */
} problem;

static double uniform(uint64_t *draw) { return nn_random_uniform(11, 0, (*draw)++); }

/* Points on faces and weights of 0 among them; every fifth gap is out of reach. */
static problem draw_problem(int number) {
  uint64_t draw = (uint64_t)number << 8;
  problem p = { .n = 1 + (int)(uniform(&draw) * MOST) };
  for (int i = 0; i < p.n; i++) {
    double at = 1.4 * uniform(&draw) - 0.2, size = pow(10, 3 * uniform(&draw) - 2);
    p.x[i] = (nn_real)fmin(fmax(at, 0), 1);
    p.w[i] = uniform(&draw) < 0.15 ? 0 : (nn_real)(uniform(&draw) < 0.5 ? size : -size);
    double down = -(double)p.x[i] * (double)p.w[i], up = (1 - (double)p.x[i]) * (double)p.w[i];
    p.reach[0] += fmin(down, up);
    p.reach[1] += fmax(down, up);
  }
  double share = uniform(&draw) * (number % 5 == 0 ? 1.5 : 0.999);
  p.gap = share * p.reach[uniform(&draw) < 0.5];
  return p;
}

/* The radius at which the max-norm ball, cut by the box, first reaches the hyperplane: by halving. */
static double least_radius(const problem *p) {
  double low = 0, high = 1, sign = p->gap < 0 ? -1 : 1;
  for (int halving = 0; halving < 60; halving++) {
    double radius = 0.5 * (low + high), most = 0;
    for (int i = 0; i < p->n; i++) {
      double x = (double)p->x[i], w = sign * (double)p->w[i];
      most += w * (w > 0 ? fmin(radius, 1 - x) : -fmin(radius, x));
    }
    if (most < fabs(p->gap)) low = radius;
    else high = radius;
  }
  return high;
}

/* The shortest step in the Euclidean norm: from any point of the hyperplane in the box, pairs of components are moved
 * along it to their best, in turn, until nothing changes. */
static double least_length(const problem *p) {
  double d[MOST] = { 0 }, left = p->gap, sign = p->gap < 0 ? -1 : 1;
  for (int i = 0; i < p->n; i++) {
    double x = (double)p->x[i], w = (double)p->w[i], face = sign * w > 0 ? 1 - x : -x;
    if (w == 0) continue;
    d[i] = fabs(face * w) < fabs(left) ? face : left / w;
    left -= d[i] * w;
  }
  double moved = 1;
  for (int sweep = 0; sweep < 20000 && moved > 1e-13; sweep++) {
    moved = 0;
    for (int i = 0; i < p->n; i++)
      for (int j = i + 1; j < p->n; j++) {
        double a = (double)p->w[i], b = (double)p->w[j];
        if (a == 0 || b == 0) continue;
        /* d_i + s b, d_j - s a: shortest at s = (a d_j - b d_i) / (a^2 + b^2), within both faces */
        double s = (a * d[j] - b * d[i]) / (a * a + b * b);
        double end[4] = { (-(double)p->x[i] - d[i]) / b, (1 - (double)p->x[i] - d[i]) / b,
                          ((double)p->x[j] + d[j]) / a, ((double)p->x[j] - 1 + d[j]) / a };
        s = fmin(s, fmin(fmax(end[0], end[1]), fmax(end[2], end[3])));
        s = fmax(s, fmax(fmin(end[0], end[1]), fmin(end[2], end[3])));
        d[i] += s * b;
        d[j] -= s * a;
        moved = fmax(moved, fabs(s) * fmax(fabs(a), fabs(b)));
      }
  }
  double square = 0;
  for (int i = 0; i < p->n; i++) square += d[i] * d[i];
  return sqrt(square);
}

static bool in_reach(const problem *p) { return p->gap >= p->reach[0] && p->gap <= p->reach[1]; }

static void check(const problem *p, bool euclidean) {
  nn_real step[MOST];
  double length = nnk_hyperplane_step(step, p->x, p->w, p->n, p->gap, euclidean), along = 0, size = 0, scale = 0;
  for (int i = 0; i < p->n; i++) {
    double d = (double)step[i], y = (double)p->x[i] + d;
    assert_true(y >= -tolerance && y <= 1 + tolerance);
    if (p->w[i] == 0) assert_true(d == 0);
    along += d * (double)p->w[i];
    scale += fabs((double)p->w[i]);
    size = euclidean ? size + d * d : fmax(size, fabs(d));
  }
  assert_true(fabs((euclidean ? sqrt(size) : size) - length) <= tolerance);
  double wanted = fmin(fmax(p->gap, p->reach[0]), p->reach[1]);
  assert_true(fabs(along - wanted) <= tolerance * (1 + scale));
  if (!in_reach(p)) return;  /* then it ends in the one corner that is nearest */
  assert_true(fabs(length - (euclidean ? least_length(p) : least_radius(p))) <= tolerance);
}

static void shortest(void **state) {
  (void)state;
  int out_of_reach = 0;
  for (int number = 0; number < CASES; number++) {
    problem p = draw_problem(number);
    out_of_reach += !in_reach(&p);
    check(&p, false);
    check(&p, true);
  }
  assert_in_range(out_of_reach, CASES / 50, CASES / 5);
}

/* From (0.5, 0.9) along w = (1, 2), 1 further: the second component ends at its face after 0.1. */
static void known_answers(void **state) {
  (void)state;
  nn_real step[2], x[2] = { (nn_real)0.5, (nn_real)0.9 }, w[2] = { 1, 2 };
  assert_float_equal(nnk_hyperplane_step(step, x, w, 2, 0.15, false), 0.05, 1e-6);  /* 3 t = 0.15 */
  assert_float_equal(step[0], 0.05, 1e-6);
  assert_float_equal(step[1], 0.05, 1e-6);
  assert_float_equal(nnk_hyperplane_step(step, x, w, 2, 0.4, false), 0.2, 1e-6);    /* t + 2 * 0.1 = 0.4 */
  assert_float_equal(step[1], 0.1, 1e-6);
  assert_float_equal(nnk_hyperplane_step(step, x, w, 2, -0.25, true), sqrt(0.0125), 1e-6);  /* 5 t = 0.25 */
  assert_float_equal(step[0], -0.05, 1e-6);
  assert_float_equal(step[1], -0.1, 1e-6);
  assert_float_equal(nnk_hyperplane_step(step, x, w, 2, 9, true), sqrt(0.26), 1e-6);  /* the corner (1, 1) */
  assert_float_equal(nnk_hyperplane_step(step, x, (nn_real[]){ 0, 0 }, 2, 1, true), 0, 0);
}

static void without_a_number(void **state) {
  (void)state;
  nn_real step[2], x[2] = { (nn_real)0.5, (nn_real)0.5 };
  const nn_real odd[][2] = { { NAN, 1 }, { INFINITY, 1 }, { 1, -INFINITY } };
  for (int i = 0; i < 3; i++)
    for (int euclidean = 0; euclidean < 2; euclidean++) {
      nnk_hyperplane_step(step, x, odd[i], 2, 1, euclidean);
      assert_true(fabs((double)step[0]) <= 0.5 && fabs((double)step[1]) <= 0.5);
    }
  assert_float_equal(nnk_hyperplane_step(step, x, (nn_real[]){ 1, 1 }, 2, NAN, false), 0, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(shortest),
    cmocka_unit_test(known_answers),
    cmocka_unit_test(without_a_number),
  };
  return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
