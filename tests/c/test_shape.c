/* test_shape.c -- views, padding, joining, picking, dropout and resizing: each element comes from where it should, and
 * its gradient goes back there. */
#include "rows.h"

enum { SIDES = NN_MAX_AXES + 1, MOST = 20000 };

static nn_param sizes(int count, const int64_t *list) {
  nn_param p = { .given = true, .count = count };
  memcpy(p.list, list, (size_t)count * sizeof *list);
  return p;
}
#define SIZES(...) sizes(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), (int64_t[]){ __VA_ARGS__ })

static double get(const nn_tensor *t, const int64_t *position) { return nn_tensor_get(t, position); }

/* Steps a position through t's shape; false after the last. */
static bool next(const nn_tensor *t, int64_t *position) {
  for (int i = nn_tensor_axes(t) - 1; i >= 0; i--) {
    if (++position[i] < nn_tensor_size(t, i)) return true;
    position[i] = 0;
  }
  return false;
}

/* A row whose elements each come from one element of x, or from none (then they are `other`): from(given, in y, in x)
 * says which, and the gradient of x is collected the same way. */
typedef bool origin(const void *given, const int64_t *in_y, int64_t *in_x);

static void check_moves(const char *name, nn_tensor *const *x, int count, const nn_param *params, origin *from,
                        const void *given, double other) {
  static double dx[MOST];
  passes p = both_ways(name, x, count, params);
  int64_t position[NN_MAX_AXES] = { 0 }, in_x[NN_MAX_AXES] = { 0 }, n = nn_tensor_count(x[0]);
  memset(dx, 0, sizeof dx);
  do {
    bool moved = from(given, position, in_x);
    assert_true(get(p.y, position) == (moved ? get(x[0], in_x) : other));
    int64_t at = 0;
    for (int i = 0; i < nn_tensor_axes(x[0]); i++) at = at * nn_tensor_size(x[0], i) + in_x[i];
    if (moved) dx[at] += get(p.dy, position);
  } while (next(p.y, position));
  assert_near(values(p.dx[0]), dx, n, tolerance, name);
  passes_free(&p);
  check_threads(name, x, count, params);
  check_memory(name, x, count, params);
}

/* ---- views ---- */

static bool from_transposed(const void *given, const int64_t *y, int64_t *x) {
  const int *axes = given;
  memcpy(x, y, 4 * sizeof *x);
  x[axes[0]] = y[axes[1]];
  x[axes[1]] = y[axes[0]];
  return true;
}

static void transposes(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 3, 4, 5, 2);
  for (int a = 0; a < 4; a++) {
    for (int b = 0; b < 4; b++) {
      nn_param params[NN_MAX_PARAMS] = { whole(a), whole(b) };
      check_moves("transpose", &x, 1, params, from_transposed, (int[]){ a, b }, 0);
    }
  }
  nn_tensor_release(x);
}

static bool from_slice(const void *given, const int64_t *y, int64_t *x) {
  const int64_t *s = given;
  memcpy(x, y, 3 * sizeof *x);
  x[s[0]] = s[1] + y[s[0]] * s[3];
  return true;
}

static void slices(void **state) {
  (void)state;
  static const int64_t cases[][5] = { /* axis, from, to, step, size */
    { 0, 0, 2, 1, 2 }, { 0, 1, 2, 1, 1 }, { 1, 2, 7, 1, 5 },  { 1, 0, 7, 3, 3 },
    { 1, 1, -1, 2, 3 }, { 2, 3, 4, 9, 1 }, { 1, 4, -2, 1, 2 },
  };
  nn_tensor *x = DRAWN(1, 2, 7, 4), *y;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const int64_t *s = cases[i];
    nn_param params[NN_MAX_PARAMS] = { whole(s[0]), whole(s[1]), whole(s[2]), whole(s[3]) };
    assert_int_equal(apply("slice", &x, 1, params, &y), NN_OK);
    assert_int_equal(nn_tensor_size(y, (int)s[0]), s[4]);
    nn_tensor_release(y);
    check_moves("slice", &x, 1, params, from_slice, s, 0);
  }
  nn_tensor_release(x);
}

/* The same elements in the same order, from a transposed tensor too. */
static void reshapes(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 3, 4, 5), *turned;
  nn_param axes[NN_MAX_PARAMS] = { whole(0), whole(2) };
  assert_int_equal(apply("transpose", &x, 1, axes, &turned), NN_OK);
  for (int t = 0; t < 2; t++) {
    nn_tensor *in = nn_tensor_detach(t ? turned : x);
    nn_param params[NN_MAX_PARAMS] = { SIZES(2, -1, 10) };
    passes p = both_ways("reshape", &in, 1, params);
    assert_int_equal(nn_tensor_size(p.y, 1), 3);
    int64_t in_x[NN_MAX_AXES] = { 0 }, in_y[NN_MAX_AXES] = { 0 };
    do {
      assert_true(get(p.y, in_y) == get(in, in_x));
      assert_true(get(p.dx[0], in_x) == get(p.dy, in_y));
      next(in, in_x);
    } while (next(p.y, in_y));
    passes_free(&p);
    check_memory("reshape", &in, 1, params);
    nn_tensor_release(in);
  }
  nn_tensor_release(turned);
  nn_tensor_release(x);
}

static bool from_expanded(const void *given, const int64_t *y, int64_t *x) {
  (void)given;
  x[0] = y[1], x[1] = 0, x[2] = y[3];
  return true;
}

static void expands(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 3, 1, 4);
  nn_param params[NN_MAX_PARAMS] = { SIZES(2, 3, 5, 4) };
  check_moves("expand", &x, 1, params, from_expanded, NULL, 0);
  nn_tensor_release(x);
}

static void views_share_bytes(void **state) {
  (void)state;
  nn_tensor *x = nn_tensor_zeros(NN_UINT8, 2, (int64_t[]){ 3, 4 }), *row, *turned;
  nn_param slice[NN_MAX_PARAMS] = { whole(0), whole(1), whole(2), whole(1) };
  nn_param axes[NN_MAX_PARAMS] = { whole(0), whole(1) };
  assert_int_equal(apply("slice", &x, 1, slice, &row), NN_OK);
  assert_int_equal(apply("transpose", &row, 1, axes, &turned), NN_OK);
  assert_int_equal(nn_tensor_type(turned), NN_UINT8);
  assert_int_equal(nn_tensor_set(turned, (int64_t[]){ 2, 0 }, 200), NN_OK);
  assert_true(nn_tensor_get(x, (int64_t[]){ 1, 2 }) == 200);
  nn_tensor_release(turned);
  nn_tensor_release(row);
  nn_tensor_release(x);
}

/* ---- pad and cat ---- */

typedef struct {
  int64_t before[3], size[3];
} frame;

static bool from_padded(const void *given, const int64_t *y, int64_t *x) {
  const frame *f = given;
  bool within = true;
  for (int i = 0; i < 3; i++) {
    x[i] = y[i] - f->before[i];
    within = within && x[i] >= 0 && x[i] < f->size[i];
  }
  for (int i = 0; !within && i < 3; i++) x[i] = 0;
  return within;
}

static void pads(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 2, 3, 4);
  nn_param params[NN_MAX_PARAMS] = { SIZES(0, 2, 1, 0, 3, 1), real(0.5) };
  check_moves("pad", &x, 1, params, from_padded, &(frame){ { 0, 1, 3 }, { 2, 3, 4 } }, 0.5);
  nn_param nothing[NN_MAX_PARAMS] = { SIZES(0, 0, 0, 0, 0, 0), real(7) };
  check_moves("pad", &x, 1, nothing, from_padded, &(frame){ { 0, 0, 0 }, { 2, 3, 4 } }, 7);
  nn_tensor_release(x);
}

static void cats(void **state) {
  (void)state;
  for (int axis = 0; axis < 3; axis++) {
    int64_t size[3][SIDES];
    nn_tensor *x[3];
    for (int i = 0; i < 3; i++) {
      memcpy(size[i], (int64_t[SIDES]){ 2, 3, 4 }, sizeof size[i]);
      size[i][axis] = 1 + 2 * i;
      x[i] = drawn((uint64_t)i, size[i]);
    }
    nn_param params[NN_MAX_PARAMS] = { whole(axis) };
    passes p = both_ways("cat", x, 3, params);
    int64_t position[NN_MAX_AXES] = { 0 };
    assert_int_equal(nn_tensor_size(p.y, axis), 9);
    do {
      int64_t in[NN_MAX_AXES];
      int i = position[axis] < 1 ? 0 : position[axis] < 4 ? 1 : 2;
      memcpy(in, position, sizeof in);
      in[axis] -= i == 0 ? 0 : i == 1 ? 1 : 4;
      assert_true(get(p.y, position) == get(x[i], in));
      assert_true(get(p.dx[i], in) == get(p.dy, position));
    } while (next(p.y, position));
    passes_free(&p);
    check_threads("cat", x, 3, params);
    check_memory("cat", x, 3, params);
    release_all(x, 3);
  }
}

static void bytes_join_too(void **state) {
  (void)state;
  nn_tensor *x[2] = { nn_tensor_new(NN_UINT8, 1, (int64_t[]){ 2 }), nn_tensor_new(NN_UINT8, 1, (int64_t[]){ 3 }) }, *y;
  for (int i = 0; i < 2; i++) assert_int_equal(nn_tensor_fill(x[i], 10 + i), NN_OK);
  nn_param params[NN_MAX_PARAMS] = { whole(0) };
  assert_int_equal(apply("cat", x, 2, params, &y), NN_OK);
  assert_int_equal(nn_tensor_type(y), NN_UINT8);
  assert_memory_equal(nn_tensor_data(y), ((uint8_t[]){ 10, 10, 11, 11, 11 }), 5);
  nn_tensor_release(y);
  release_all(x, 2);
}

/* ---- picking ---- */

typedef struct {
  int axis;
  const nn_tensor *index;
} pick;

static bool from_gathered(const void *given, const int64_t *y, int64_t *x) {
  const pick *g = given;
  memcpy(x, y, 3 * sizeof *x);
  x[g->axis] = (int64_t)get(g->index, y);
  return true;
}

static void gathers(void **state) {
  (void)state;
  static const int64_t index_sizes[][3][SIDES] = { { { 6, 4, 5 }, { 2, 2, 1 }, { 1, 1, 1 } },
                                                   { { 3, 9, 5 }, { 2, 1, 5 }, { 3, 2, 2 } },
                                                   { { 3, 4, 1 }, { 3, 4, 8 }, { 1, 4, 5 } } };
  for (int axis = 0; axis < 3; axis++) {
    for (int i = 0; i < 3; i++) {
      nn_tensor *x[2] = { DRAWN(1, 3, 4, 5), drawn_index(2, index_sizes[axis][i], 3 + axis) };
      nn_param params[NN_MAX_PARAMS] = { whole(axis) };
      check_moves("gather", x, 2, params, from_gathered, &(pick){ axis, x[1] }, 0);
      release_all(x, 2);
    }
  }
}

static bool from_selected(const void *given, const int64_t *y, int64_t *x) {
  const pick *g = given;
  memcpy(x, y, 3 * sizeof *x);
  x[g->axis] = (int64_t)get(g->index, &y[g->axis]);
  return true;
}

static void selects(void **state) {
  (void)state;
  for (int axis = 0; axis < 3; axis++) {
    nn_tensor *x[2] = { DRAWN(1, 3, 4, 5), DRAWN_INDEX(2, 3 + axis, 40) };
    nn_param params[NN_MAX_PARAMS] = { whole(axis) };
    check_moves("index_select", x, 2, params, from_selected, &(pick){ axis, x[1] }, 0);
    release_all(x, 2);
  }
  nn_tensor *wide[2] = { DRAWN(1, 9, 3000), DRAWN_INDEX(2, 9, 60) };  /* many repeats, several pieces */
  nn_param first[NN_MAX_PARAMS] = { whole(0) };
  check_threads("index_select", wide, 2, first);
  release_all(wide, 2);
}

static void one_hots(void **state) {
  (void)state;
  nn_tensor *x = DRAWN_INDEX(1, 5, 3, 4), *y;
  nn_param params[NN_MAX_PARAMS] = { whole(5) };
  assert_int_equal(apply("one_hot", &x, 1, params, &y), NN_OK);
  int64_t position[NN_MAX_AXES] = { 0 };
  do assert_true(get(y, position) == (get(x, position) == (double)position[2])); while (next(y, position));
  nn_tensor_release(y);
  nn_tensor_release(x);
}

/* ---- dropout ---- */

static void dropout_drops_and_scales(void **state) {
  (void)state;
  enum { COUNT = 100003 };
  static const double ps[] = { 0, 0.2, 0.5, 0.9 };
  nn_tensor *x = DRAWN_IN(1, 1, 2, COUNT), *other;
  for (int k = 0; k < 4; k++) {
    nn_param params[NN_MAX_PARAMS] = { real(ps[k]), whole(3), whole(8) };
    passes p = both_ways("dropout", &x, 1, params);
    int64_t dropped = 0, differs = 0;
    for (int64_t i = 0; i < COUNT; i++) {
      double scale = values(p.y)[i] == 0 ? 0 : 1 / (1 - ps[k]);
      dropped += scale == 0;
      assert_true(fabs((double)values(p.y)[i] - scale * (double)values(x)[i]) < 1e-5);
      assert_true(fabs((double)values(p.dx[0])[i] - scale * (double)values(p.dy)[i]) < 1e-5);
    }
    /* five standard deviations */
    assert_true(fabs((double)dropped - ps[k] * COUNT) <= 5 * sqrt(ps[k] * (1 - ps[k]) * COUNT));
    params[2] = whole(9);
    assert_int_equal(apply("dropout", &x, 1, params, &other), NN_OK);
    for (int64_t i = 0; i < COUNT; i++) differs += (values(other)[i] == 0) != (values(p.y)[i] == 0);
    assert_true(fabs((double)differs - 2 * ps[k] * (1 - ps[k]) * COUNT) <= 0.01 * COUNT);
    nn_tensor_release(other);
    passes_free(&p);
    check_threads("dropout", &x, 1, params);
  }
  nn_tensor_release(x);
}

/* ---- resize ---- */

/* Row or column `at` of y between two of x: the lower one and the share of the upper. */
static int64_t between(int64_t at, int64_t x_size, int64_t y_size, bool corners, double *share) {
  double place = corners ? (y_size > 1 ? (double)at * (double)(x_size - 1) / (double)(y_size - 1) : 0)
                         : fmax(((double)at + 0.5) * (double)x_size / (double)y_size - 0.5, 0);
  int64_t low = (int64_t)place;
  if (low > x_size - 1) low = x_size - 1;
  *share = place - (double)low;
  return low;
}

static void resize_against_loops(void **state) {
  (void)state;
  static const int64_t shapes[][6] = { /* images, height, width, channels, and the new height and width */
    { 2, 3, 4, 3, 7, 5 },  { 1, 8, 8, 1, 3, 3 },  { 1, 1, 1, 2, 4, 3 },  { 3, 5, 6, 17, 5, 6 }, { 2, 4, 4, 3, 1, 1 },
    { 1, 7, 3, 16, 14, 6 }, { 1, 30, 40, 3, 45, 20 }, { 1, 2, 9, 1, 2, 1 },
  };
  static double y[MOST], dx[MOST];
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    const int64_t *d = shapes[s];
    nn_tensor *x = DRAWN(1, d[0], d[1], d[2], d[3]);
    for (int corners = 0; corners < 2; corners++) {
      nn_param params[NN_MAX_PARAMS] = { whole(d[4]), whole(d[5]), whole(corners) };
      passes p = both_ways("resize", &x, 1, params);
      memset(y, 0, sizeof y);
      memset(dx, 0, sizeof dx);
      for (int64_t i = 0; i < d[0] * d[4] * d[5] * d[3]; i++) {
        int64_t c = i % d[3], w = i / d[3] % d[5], h = i / d[3] / d[5] % d[4], image = i / d[3] / d[5] / d[4];
        double down, across;
        int64_t row = between(h, d[1], d[4], corners, &down), column = between(w, d[2], d[5], corners, &across);
        for (int corner = 0; corner < 4; corner++) {
          int64_t v = corner / 2 && row < d[1] - 1 ? row + 1 : row;
          int64_t u = corner % 2 && column < d[2] - 1 ? column + 1 : column;
          double weight = (corner / 2 ? down : 1 - down) * (corner % 2 ? across : 1 - across);
          int64_t at = ((image * d[1] + v) * d[2] + u) * d[3] + c;
          y[i] += weight * (double)values(x)[at];
          dx[at] += weight * (double)values(p.dy)[i];
        }
      }
      assert_near(values(p.y), y, nn_tensor_count(p.y), tolerance, "resize");
      assert_near(values(p.dx[0]), dx, nn_tensor_count(x), 2 * tolerance, "resize, dx");
      passes_free(&p);
      check_threads("resize", &x, 1, params);
    }
    nn_param params[NN_MAX_PARAMS] = { whole(d[4]), whole(d[5]), whole(0) };
    check_memory("resize", &x, 1, params);
    nn_tensor_release(x);
  }
}

/* The numbers torch.nn.functional.interpolate gives for [[1, 2], [3, 4]]. */
static void resize_as_torch(void **state) {
  (void)state;
  static const double wanted[2][4] = { { 1, 1.25, 1.75, 2 }, { 1, 4.0 / 3, 5.0 / 3, 2 } };
  nn_tensor *x = nn_tensor_new(NN_REAL, 4, (int64_t[]){ 1, 2, 2, 1 }), *y;
  memcpy(nn_tensor_write(x), (nn_real[]){ 1, 2, 3, 4 }, 4 * sizeof(nn_real));
  for (int corners = 0; corners < 2; corners++) {
    nn_param params[NN_MAX_PARAMS] = { whole(4), whole(4), whole(corners) };
    assert_int_equal(apply("resize", &x, 1, params, &y), NN_OK);
    assert_near(values(y), wanted[corners], 4, tolerance, "resize");
    nn_tensor_release(y);
  }
  nn_tensor_release(x);
}

/* ---- errors ---- */

static void messages(void **state) {
  (void)state;
  nn_tensor *x[2] = { DRAWN(1, 3, 4), DRAWN_INDEX(2, 4, 3, 1) }, *y = NULL;
  nn_param p[NN_MAX_PARAMS] = { SIZES(5, -1) };
  ASSERT_FAILED(apply("reshape", x, 1, p, &y), NN_ESHAPE, "reshape: 12 elements do not fill [5x-1] (x [3x4])");
  p[0] = SIZES(-1, -1);
  ASSERT_FAILED(apply("reshape", x, 1, p, &y), NN_ESHAPE, "one of which may be -1; got -1 at place 2");
  p[0] = SIZES(2, 3, 5);
  ASSERT_FAILED(apply("expand", x, 1, p, &y), NN_ESHAPE, "expand: axis 3 has size 4 and cannot become 5");
  p[0] = SIZES(1, 2);
  ASSERT_FAILED(apply("pad", x, 1, p, &y), NN_ESHAPE, "pairs expects 4 sizes", "got 2");
  p[0] = whole(0), p[1] = whole(1), p[2] = whole(9), p[3] = whole(1);
  ASSERT_FAILED(apply("slice", x, 1, p, &y), NN_ESHAPE, "slice: axis 1 has places 1..3, got 2..9");
  p[0] = whole(2);
  ASSERT_FAILED(apply("slice", x, 1, p, &y), NN_ESHAPE, "slice: axis 3 is not one of the tensor's 2");
  p[0] = whole(1);
  ((int32_t *)nn_tensor_write(x[1]))[1] = 4;
  ASSERT_FAILED(apply("gather", x, 2, p, &y), NN_EARGUMENT, "gather: index expects places 1..4, got 5 at [2, 1]");
  ASSERT_FAILED(apply("index_select", x, 2, p, &y), NN_ESHAPE, "index_select: index expects one axis, got 2");
  p[0] = whole(4);
  ASSERT_FAILED(apply("one_hot", &x[1], 1, p, &y), NN_EARGUMENT, "index expects classes 1..4, got 5 at [2, 1]");
  nn_tensor *single = nn_tensor_new(NN_INDEX, 0, NULL);
  assert_int_equal(nn_tensor_fill(single, 4), NN_OK);
  ASSERT_FAILED(apply("one_hot", &single, 1, p, &y), NN_EARGUMENT, "index expects classes 1..4, got 5");
  assert_null(strstr(nn_error(), " at "));
  nn_tensor_release(single);
  nn_tensor *pair[2] = { x[0], DRAWN(3, 3, 5) };
  p[0] = whole(0);
  ASSERT_FAILED(apply("cat", pair, 2, p, &y), NN_ESHAPE, "agree but for axis 1; number 2 does not", "[3x5]");
  ASSERT_FAILED(apply("resize", x, 1, (nn_param[NN_MAX_PARAMS]){ whole(2), whole(2) }, &y), NN_ESHAPE, "four axes");
  assert_null(y);
  nn_tensor_release(pair[1]);
  release_all(x, 2);
}

/* A step beyond the axis takes its first place alone, whatever it is. */
static void slices_by_any_step(void **state) {
  (void)state;
  nn_tensor *x = DRAWN(1, 3, 5), *y = NULL;
  nn_param p[NN_MAX_PARAMS] = { whole(1), whole(1), whole(4), whole(INT64_MAX) };
  assert_int_equal(nn_tensor_set_requires_grad(x, true), NN_OK);
  assert_int_equal(apply("slice", &x, 1, p, &y), NN_OK);
  assert_true(nn_tensor_size(y, 0) == 3 && nn_tensor_size(y, 1) == 1);
  nn_tensor *seed = DRAWN(2, 3, 1);
  assert_int_equal(nn_backward(y, seed, false), NN_OK);
  for (int i = 0; i < 15; i++)
    assert_true(values(nn_tensor_grad(x))[i] == (i % 5 == 1 ? values(seed)[i / 5] : 0));
  release_all((nn_tensor *[]){ x, y, seed }, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(transposes),     cmocka_unit_test(slices),          cmocka_unit_test(reshapes),
    cmocka_unit_test(expands),        cmocka_unit_test(views_share_bytes), cmocka_unit_test(pads),
    cmocka_unit_test(cats),           cmocka_unit_test(bytes_join_too),  cmocka_unit_test(gathers),
    cmocka_unit_test(selects),        cmocka_unit_test(one_hots),        cmocka_unit_test(dropout_drops_and_scales),
    cmocka_unit_test(resize_against_loops), cmocka_unit_test(resize_as_torch), cmocka_unit_test(messages),
    cmocka_unit_test(slices_by_any_step),
  };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
