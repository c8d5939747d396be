/* test_colour.c -- colour perturbations against textbook formulas, trees of them, and what is drawn for them. */
#include "scratch.h"

#include <math.h>

enum { IMAGES = 40, SIDE = 5, PIXELS = SIDE * SIDE };

/* ---- the formulas, in double and one pixel at a time ---- */

static double clip(double v) { return fmin(fmax(v, 0), 1); }

static void to_hsv(const double c[3], double hsv[3]) {
  double v = fmax(c[0], fmax(c[1], c[2])), d = v - fmin(c[0], fmin(c[1], c[2]));
  double h = 0;
  if (d > 0)
    h = v == c[0] ? fmod((c[1] - c[2]) / d + 6, 6) : v == c[1] ? (c[2] - c[0]) / d + 2 : (c[0] - c[1]) / d + 4;
  hsv[0] = h / 6;
  hsv[1] = v == 0 ? 0 : d / v;
  hsv[2] = v;
}

static void to_rgb(const double hsv[3], double c[3]) {
  double h = hsv[0] * 6, s = hsv[1], v = hsv[2], i = floor(h), f = h - i;
  double p = v * (1 - s), q = v * (1 - s * f), t = v * (1 - s * (1 - f));
  const double table[6][3] = { { v, t, p }, { q, v, p }, { p, v, t }, { p, q, v }, { t, p, v }, { v, p, q } };
  memcpy(c, table[(int)i % 6], 3 * sizeof *c);
}

static double grey(const double c[3]) { return 0.2989 * c[0] + 0.587 * c[1] + 0.114 * c[2]; }

/* One image of PIXELS pixels of three channels. */
static void reference(const char *name, nn_convention convention, double value, const nn_real *x, double *y) {
  double mean[3] = { 0 }, mean_grey = 0;
  for (int i = 0; i < PIXELS; i++) {
    double c[3] = { x[3 * i], x[3 * i + 1], x[3 * i + 2] };
    for (int k = 0; k < 3; k++) mean[k] += c[k] / PIXELS;
    mean_grey += grey(c) / PIXELS;
  }
  bool paper = convention == NN_CONVENTION_PAPER;
  for (int i = 0; i < PIXELS; i++) {
    double c[3] = { x[3 * i], x[3 * i + 1], x[3 * i + 2] }, hsv[3], *out = y + 3 * i, g = grey(c);
    to_hsv(c, hsv);
    for (int k = 0; k < 3; k++) {
      if (!strcmp(name, "brightness")) out[k] = clip(paper ? c[k] + value / 255 : c[k] * value);
      if (!strcmp(name, "contrast"))
        out[k] = clip(paper ? (c[k] - mean[k]) * value + mean[k] : value * c[k] + (1 - value) * mean_grey);
      if (!strcmp(name, "saturation")) out[k] = clip(value * c[k] + (1 - value) * g);
    }
    if (!strcmp(name, "saturation") && paper) {
      hsv[1] = clip(hsv[1] * value);
      to_rgb(hsv, out);
    }
    if (!strcmp(name, "hue")) {
      hsv[0] = hsv[0] + value - floor(hsv[0] + value);
      to_rgb(hsv, out);
    }
  }
}

/* ---- helpers ---- */

/* Random colours, then every corner of the cube, greys, near-greys and ties. */
static nn_tensor *make_images(int channels) {
  nn_tensor *x = nn_tensor_new(NN_REAL, 4, (int64_t[]){ IMAGES, SIDE, SIDE, channels });
  nn_real *pixels = nn_tensor_write(x);
  nn_random_fill_uniform(pixels, nn_tensor_count(x), 0, 1, 7, 0);
  if (channels == 3)
    for (int i = 0; i < PIXELS; i++) {
      static const nn_real steps[] = { 0, 1, (nn_real)0.5, (nn_real)(1 / 255.0) };
      for (int c = 0; c < 3; c++) pixels[3 * i + c] = steps[(i >> c) & 1];
      for (int c = 0; c < 3; c++) pixels[3 * (PIXELS + i) + c] = steps[(i + c) % 4];
      for (int c = 0; c < 3; c++) pixels[3 * (2 * PIXELS + i) + c] = (nn_real)(i / 24.0);
    }
  return x;
}

static nn_perturb *one(const char *name, nn_convention convention, double value) {
  nn_perturb *p = nn_perturb_row(nn_perturbation_find(name), convention, false, &value, 1);
  assert_non_null(p);
  return p;
}

/* Takes over p. */
static nn_tensor *apply(nn_perturb *p, nn_tensor *x, uint64_t seed, uint64_t step) {
  nn_tensor *y = NULL;
  if (nn_perturb_apply(p, x, seed, step, &y) != NN_OK) fail_msg("%s", nn_error());
  nn_perturb_release(p);
  return y;
}

static bool same_bits(const nn_tensor *a, const nn_tensor *b) {
  return memcmp(nn_tensor_data(a), nn_tensor_data(b), (size_t)nn_tensor_count(a) * sizeof(nn_real)) == 0;
}

static const nn_real *image(const nn_tensor *t, int n) {
  return (const nn_real *)nn_tensor_data(t) + (size_t)n * PIXELS * (size_t)nn_tensor_size(t, 3);
}

static double furthest(const nn_tensor *a, const nn_tensor *b) {
  const nn_real *x = nn_tensor_data(a), *y = nn_tensor_data(b);
  double most = 0;
  for (int64_t i = 0; i < nn_tensor_count(a); i++) most = fmax(most, fabs((double)(x[i] - y[i])));
  return most;
}

static nn_perturb *jitter(void) {
  nn_perturb *parts[4];
  for (int i = 0; i < 4; i++) {
    nn_perturbation_info info;
    nn_perturbation_describe(nn_perturbation_at(i), NN_CONVENTION_PAPER, &info);
    parts[i] = nn_perturb_row(nn_perturbation_at(i), NN_CONVENTION_PAPER, true, info.level, 4);
  }
  nn_perturb *choice = nn_perturb_choice(parts, 4), *maybe = nn_perturb_maybe(0.75, parts[1]);
  nn_perturb *tree = nn_perturb_sequence((nn_perturb *[]){ choice, maybe, choice }, 3);
  assert_non_null(tree);
  for (int i = 0; i < 4; i++) nn_perturb_release(parts[i]);
  nn_perturb_release(choice);
  nn_perturb_release(maybe);
  return tree;
}

/* ---- tests ---- */

static void every_row_follows_its_formula(void **state) {
  (void)state;
  nn_tensor *x = make_images(3);
  for (int place = 0; place < nn_perturbation_count(); place++)
    for (int convention = 0; convention < NN_CONVENTIONS; convention++) {
      nn_perturbation_info info;
      nn_perturbation_describe(nn_perturbation_at(place), (nn_convention)convention, &info);
      if (info.settings > 0) continue; /* test_geometry.c */
      double values[9];
      memcpy(values, info.level, sizeof info.level);
      for (int k = 0; k < 4; k++) values[4 + k] = info.factor ? 1 / info.level[k] : -info.level[k];
      values[8] = info.factor ? 0 : info.max;
      for (int k = 0; k < 9; k++) {
        nn_tensor *y = apply(one(info.name, (nn_convention)convention, values[k]), x, 1, 1);
        for (int n = 0; n < IMAGES; n++) {
          double expected[3 * PIXELS];
          reference(info.name, (nn_convention)convention, values[k], image(x, n), expected);
          for (int i = 0; i < 3 * PIXELS; i++)
            if (!(fabs((double)image(y, n)[i] - expected[i]) < 2e-6))
              fail_msg("%s %g (convention %d): image %d, element %d: %.8f, expected %.8f", info.name, values[k],
                       convention, n, i, (double)image(y, n)[i], expected[i]);
        }
        nn_tensor_release(y);
      }
    }
  nn_tensor_release(x);
}

static void levels_are_table_1(void **state) {
  (void)state;
  static const double table[4][4] = { { 16, 32, 48, 64 }, { 1.25, 1.5, 1.75, 2 }, { 1.25, 1.5, 1.75, 2 },
                                      { 0.1, 0.2, 0.3, 0.4 } };
  static const char *const names[] = { "brightness", "contrast", "saturation", "hue" };
  for (int i = 0; i < 4; i++) {
    nn_perturbation_info info;
    nn_perturbation_describe(nn_perturbation_at(i), NN_CONVENTION_PAPER, &info);
    assert_string_equal(info.name, names[i]);
    assert_memory_equal(info.level, table[i], sizeof table[i]);
  }
}

/* Values that change nothing; a whole turn; there and back; thirds of a turn exchange the channels. */
static void identities(void **state) {
  (void)state;
  nn_tensor *x = make_images(3), *y, *z;
  static const struct {
    const char *name;
    double value;
  } nothing[] = { { "brightness", 0 }, { "contrast", 1 }, { "saturation", 1 }, { "hue", 0 }, { "hue", 1 },
                  { "hue", -1 } };
  for (size_t i = 0; i < 6; i++) {
    y = apply(one(nothing[i].name, NN_CONVENTION_PAPER, nothing[i].value), x, 1, 1);
    assert_true(furthest(x, y) < 1e-6);
    nn_tensor_release(y);
  }
  y = apply(one("hue", NN_CONVENTION_PAPER, 0.4), x, 1, 1);
  z = apply(one("hue", NN_CONVENTION_PAPER, -0.4), y, 1, 1);
  assert_true(furthest(x, z) < 2e-6);
  nn_tensor_release(z);
  z = apply(one("hue", NN_CONVENTION_PAPER, -0.6), x, 1, 1);  /* the same angle */
  assert_true(furthest(y, z) < 2e-6);
  nn_tensor_release(y);
  nn_tensor_release(z);
  y = apply(one("hue", NN_CONVENTION_PAPER, 1.0 / 3), x, 1, 1);
  const nn_real *from = nn_tensor_data(x), *to = nn_tensor_data(y);
  for (int64_t i = 0; i < nn_tensor_count(x); i += 3)
    for (int c = 0; c < 3; c++) assert_true(fabs((double)(to[i + (c + 1) % 3] - from[i + c])) < 2e-6);
  nn_tensor_release(y);
  y = apply(nn_perturb_sequence(NULL, 0), x, 1, 1);
  assert_true(same_bits(x, y));
  nn_tensor_release(y);
  nn_tensor_release(x);
}

/* Hue and saturation leave grey exactly grey, black black and white white. */
static void grey_black_and_white(void **state) {
  (void)state;
  nn_tensor *x = nn_tensor_new(NN_REAL, 4, (int64_t[]){ 1, 1, 256, 3 });
  for (int i = 0; i < 768; i++) ((nn_real *)nn_tensor_write(x))[i] = (nn_real)(i / 3) / 255;
  for (int convention = 0; convention < NN_CONVENTIONS; convention++)
    for (int place = 2; place < 4; place++) {
      nn_perturbation_info info;
      nn_perturbation_describe(nn_perturbation_at(place), (nn_convention)convention, &info);
      for (int k = 0; k < 4; k++) {
        nn_tensor *y = apply(one(info.name, (nn_convention)convention, info.level[k]), x, 1, 1);
        const nn_real *pixels = nn_tensor_data(y);
        for (int i = 0; i < 768; i += 3) assert_true(pixels[i] == pixels[i + 1] && pixels[i] == pixels[i + 2]);
        assert_true(furthest(x, y) < 1e-3 && (place == 2 || same_bits(x, y)));
        assert_true(pixels[0] == 0);
        nn_tensor_release(y);
      }
    }
  nn_tensor_release(x);
}

static void one_channel(void **state) {
  (void)state;
  nn_tensor *x = make_images(1), *y;
  static const char *const unchanged[] = { "saturation", "hue" };
  for (int convention = 0; convention < NN_CONVENTIONS; convention++) {
    for (int k = 0; k < 2; k++) {
      y = apply(one(unchanged[k], (nn_convention)convention, 0.25), x, 1, 1);
      assert_true(same_bits(x, y));
      nn_tensor_release(y);
    }
    y = apply(one("contrast", (nn_convention)convention, 0.5), x, 1, 1);
    double mean = 0;
    for (int i = 0; i < PIXELS; i++) mean += (double)image(x, 3)[i] / PIXELS;
    for (int i = 0; i < PIXELS; i++)
      assert_true(fabs((double)image(y, 3)[i] - (0.5 * (double)image(x, 3)[i] + 0.5 * mean)) < 1e-6);
    nn_tensor_release(y);
  }
  nn_tensor_release(x);
}

static void wrong_arguments(void **state) {
  (void)state;
  const nn_perturbation *brightness = nn_perturbation_find("brightness");
  double value = 300;
  assert_null(nn_perturb_row(brightness, NN_CONVENTION_PAPER, false, &value, 1));
  ASSERT_FAILED(NN_EARGUMENT, NN_EARGUMENT, "perturb.brightness: amount expects -255 to 255, got 300");
  value = NAN;
  assert_null(nn_perturb_row(brightness, NN_CONVENTION_PAPER, false, &value, 1));
  value = 0;
  assert_null(nn_perturb_row(brightness, NN_CONVENTION_TORCHVISION, true, &value, 1));
  assert_null(nn_perturb_row(brightness, NN_CONVENTION_PAPER, false, &value, 0));
  assert_null(nn_perturb_choice(NULL, 0));
  assert_null(nn_perturbation_find("gamma"));
  nn_perturb *p = one("hue", NN_CONVENTION_PAPER, 0.1);
  assert_null(nn_perturb_maybe(1.5, p));
  nn_tensor *two = nn_tensor_zeros(NN_REAL, 4, (int64_t[]){ 1, 2, 2, 2 }), *y = NULL;
  nn_tensor *bytes = nn_tensor_zeros(NN_UINT8, 4, (int64_t[]){ 1, 2, 2, 3 });
  ASSERT_FAILED(nn_perturb_apply(p, two, 1, 1, &y), NN_ESHAPE, "1 or 3 channels expected, got [1x2x2x2]");
  ASSERT_FAILED(nn_perturb_apply(p, bytes, 1, 1, &y), NN_ETYPE, "float in [0, 1] expected, got uint8");
  nn_tensor_release(two);
  nn_tensor_release(bytes);
  for (int i = 0; i < 20; i++) {  /* doubling: 2^20 parts */
    nn_perturb *twice = nn_perturb_sequence((nn_perturb *[]){ p, p }, 2);
    if (!twice) break;
    nn_perturb_release(p);
    p = twice;
    assert_true(i < 16);
  }
  nn_perturb_release(p);
}

static void draws_are_repeatable_on_any_team(void **state) {
  (void)state;
  nn_tensor *x = make_images(3);
  int threads = nn_threads();
  nn_set_threads(1);
  nn_tensor *first = apply(jitter(), x, 5, 9);
  for (int n = 2; n <= 4; n++) {
    nn_set_threads(n);
    nn_tensor *again = apply(jitter(), x, 5, 9);
    assert_true(same_bits(first, again));
    nn_tensor_release(again);
  }
  nn_set_threads(threads);
  nn_tensor *other_step = apply(jitter(), x, 5, 10), *other_seed = apply(jitter(), x, 6, 9);
  assert_false(same_bits(first, other_step));
  assert_false(same_bits(first, other_seed));
  assert_false(same_bits(other_step, other_seed));
  nn_tensor_release(first);
  nn_tensor_release(other_step);
  nn_tensor_release(other_seed);
  nn_tensor_release(x);
}

/* Images of one grey, so that what was drawn can be read off the result. */
static void draws_are_fair(void **state) {
  (void)state;
  enum { MANY = 20000 };
  nn_tensor *x = nn_tensor_new(NN_REAL, 4, (int64_t[]){ MANY, 1, 1, 1 });
  assert_int_equal(nn_tensor_fill(x, 0.5), NN_OK);
  const nn_perturbation *row = nn_perturbation_find("brightness");
  nn_perturb *a = nn_perturb_row(row, NN_CONVENTION_PAPER, true, (double[]){ 10, 20 }, 2);
  nn_perturb *b = nn_perturb_row(row, NN_CONVENTION_PAPER, false, (double[]){ -30 }, 1);
  nn_perturb *c = nn_perturb_maybe(0.25, b);
  nn_perturb *choice = nn_perturb_choice((nn_perturb *[]){ a, b, c }, 3);
  nn_perturb_release(a);
  nn_perturb_release(b);
  nn_perturb_release(c);
  nn_tensor *y = apply(choice, x, 3, 0);
  int count[7] = { 0 };  /* -30 .. 30 in tens */
  for (int i = 0; i < MANY; i++) {
    int moved = (int)lround(((double)((const nn_real *)nn_tensor_data(y))[i] - 0.5) * 255 / 10);
    count[moved + 3]++;
  }
  static const double expected[7] = { 1 / 3.0 + 1 / 12.0, 1 / 12.0, 1 / 12.0, 0.25, 1 / 12.0, 1 / 12.0, 0 };
  for (int i = 0; i < 7; i++) {  /* five standard deviations */
    double spread = 5 * sqrt(MANY * expected[i] * (1 - expected[i]));
    if (!(fabs(count[i] - MANY * expected[i]) <= spread)) fail_msg("%d of %d for %d", count[i], MANY, 10 * i - 30);
  }
  nn_tensor_release(x);
  nn_tensor_release(y);
}

static void two_occurrences_draw_apart(void **state) {
  (void)state;
  nn_tensor *x = nn_tensor_new(NN_REAL, 4, (int64_t[]){ 64, 1, 1, 1 });
  assert_int_equal(nn_tensor_fill(x, 0.5), NN_OK);
  nn_perturb *p = nn_perturb_row(nn_perturbation_find("brightness"), NN_CONVENTION_PAPER, true, (double[]){ 10 }, 1);
  nn_tensor *y = apply(nn_perturb_sequence((nn_perturb *[]){ p, p }, 2), x, 1, 1);
  nn_perturb_release(p);
  int count[3] = { 0 };  /* -20, 0, 20 */
  for (int i = 0; i < 64; i++) count[lround(((double)((const nn_real *)nn_tensor_data(y))[i] - 0.5) * 255 / 20) + 1]++;
  assert_true(count[0] > 4 && count[1] > 16 && count[2] > 4);
  nn_tensor_release(x);
  nn_tensor_release(y);
}

static void allocations_that_fail(void **state) {
  (void)state;
  nn_tensor *x = make_images(3);
  nn_perturb *p = jitter();
  nn_memory_stats before, after;
  nn_memory_get_stats(&before);
  for (uint64_t n = 1; n < 4; n++) {
    nn_tensor *y = NULL;
    nn_memory_fail_at(n);
    int status = nn_perturb_apply(p, x, 1, 1, &y);
    nn_memory_fail_at(0);
    if (n < 3) assert_int_equal(status, NN_EMEMORY);
    nn_tensor_release(y);
    nn_memory_get_stats(&after);
    assert_int_equal(after.live, before.live);
  }
  nn_perturb_release(p);
  nn_tensor_release(x);
  nn_memory_get_stats(&after);
}

/* ---- sets of images ---- */

static void gathered_rows(void **state) {
  (void)state;
  nn_tensor *set = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ 256, 1, 1, 2 });
  nn_tensor *rows = nn_tensor_new(NN_INDEX, 1, (int64_t[]){ 3 });
  for (int i = 0; i < 512; i++) ((uint8_t *)nn_tensor_write(set))[i] = (uint8_t)(i / 2 + i % 2);
  memcpy(nn_tensor_write(rows), (int32_t[]){ 255, 0, 17 }, 12);
  nn_tensor *x = NULL, *copy = NULL;
  assert_int_equal(nn_data_rows(set, rows, &copy), NN_OK);
  static const uint8_t expected[] = { 255, 0, 0, 1, 17, 18 };
  assert_memory_equal(nn_tensor_data(copy), expected, sizeof expected);
  nn_tensor_release(copy);
  ((int32_t *)nn_tensor_write(rows))[1] = 256;
  ASSERT_FAILED(nn_data_rows(set, rows, &x), NN_EARGUMENT, "row 257 is outside 1 .. 256");
  ((int32_t *)nn_tensor_write(rows))[1] = -1;
  ASSERT_FAILED(nn_data_rows(set, rows, &x), NN_EARGUMENT, "row 0 is outside 1 .. 256");
  double mean[2], deviation[2];
  assert_int_equal(nn_data_stats(set, mean, deviation), NN_OK);
  assert_true(fabs(mean[0] - 0.5) < 1e-12 && fabs(deviation[0] - sqrt((256.0 * 256 - 1) / 12) / 255) < 1e-12);
  nn_tensor_release(set);
  nn_tensor_release(rows);
}

static void stratified_rows(void **state) {
  (void)state;
  enum { TOTAL = 1000 };
  nn_tensor *labels = nn_tensor_new(NN_INDEX, 1, (int64_t[]){ TOTAL }), *chosen = NULL, *rest = NULL;
  int32_t *label = nn_tensor_write(labels);
  for (int i = 0; i < TOTAL; i++) label[i] = i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : 3;  /* 500, 300, 0, 200 */
  assert_int_equal(nn_data_stratify(labels, 101, 1, 0, &chosen, &rest), NN_OK);
  assert_int_equal(nn_tensor_count(chosen), 101);
  assert_int_equal(nn_tensor_count(rest), TOTAL - 101);
  const int32_t *a = nn_tensor_data(chosen), *b = nn_tensor_data(rest);
  int count[4] = { 0 }, seen[TOTAL] = { 0 };
  for (int i = 0; i < 101; i++) {
    count[label[a[i]]]++;
    seen[a[i]]++;
    assert_true(i == 0 || a[i] > a[i - 1]);
  }
  for (int i = 0; i < TOTAL - 101; i++) seen[b[i]]++;
  for (int i = 0; i < TOTAL; i++) assert_int_equal(seen[i], 1);
  assert_int_equal(count[0], 51);  /* 50.5, 30.3, 20.2: the largest rest */
  assert_int_equal(count[1], 30);
  assert_int_equal(count[3], 20);
  nn_tensor *again = NULL, *others = NULL;
  assert_int_equal(nn_data_stratify(labels, 101, 2, 0, &again, &others), NN_OK);
  assert_memory_not_equal(nn_tensor_data(again), a, 101 * sizeof *a);
  nn_tensor_release(chosen);
  nn_tensor_release(rest);
  nn_tensor_release(again);
  nn_tensor_release(others);
  ASSERT_FAILED(nn_data_stratify(labels, TOTAL + 1, 1, 0, &again, &others), NN_EARGUMENT, "1001 rows wanted of 1000");
  nn_tensor_release(labels);
}

/* Every class has the same rest: the smaller ones get the rows. */
static void stratified_rows_of_many_classes(void **state) {
  (void)state;
  enum { TOTAL = 1 << 19 };
  nn_tensor *labels = nn_tensor_new(NN_INDEX, 1, (int64_t[]){ TOTAL }), *chosen = NULL, *rest = NULL;
  int32_t *label = nn_tensor_write(labels);
  for (int i = 0; i < TOTAL; i++) label[i] = TOTAL - 1 - i;
  assert_int_equal(nn_data_stratify(labels, TOTAL / 2, 1, 0, &chosen, &rest), NN_OK);
  const int32_t *row = nn_tensor_data(chosen);
  for (int i = 0; i < TOTAL / 2; i++) assert_int_equal(row[i], TOTAL / 2 + i);
  nn_tensor_release(labels);
  nn_tensor_release(chosen);
  nn_tensor_release(rest);
}

static void tinted_digits(void **state) {
  (void)state;
  enum { MANY = 5000 };
  nn_tensor *digits = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ MANY, 1, 4, 1 }), *x = NULL, *which = NULL;
  for (int i = 0; i < MANY * 4; i++) ((uint8_t *)nn_tensor_write(digits))[i] = (uint8_t[]){ 0, 255, 100, 1 }[i % 4];
  assert_int_equal(nn_data_tint(digits, NULL, 2, 0.95, 1, 0, &x, &which), NN_OK);
  static const uint8_t expected[2][12] = { { 255, 0, 0, 255, 255, 255, 255, 100, 100, 255, 1, 1 },
                                           { 0, 0, 255, 255, 255, 255, 100, 100, 255, 1, 1, 255 } };
  int blue = 0;
  for (int n = 0; n < MANY; n++) {
    int colour = ((const int32_t *)nn_tensor_data(which))[n];
    blue += colour;
    assert_memory_equal((const uint8_t *)nn_tensor_data(x) + 12 * n, expected[colour], 12);
  }
  assert_true(abs(blue - MANY / 20) < 5 * 16);  /* five standard deviations */
  nn_tensor_release(x);
  nn_tensor_release(which);
  ASSERT_FAILED(nn_data_tint(digits, NULL, 2, 1.5, 1, 0, &x, &which), NN_EARGUMENT, "bias: 0 to 1 expected, got 1.5");
  ASSERT_FAILED(nn_data_tint(digits, NULL, 11, 0.5, 1, 0, &x, &which), NN_EARGUMENT, "2 to 10 expected, got 11");
  ASSERT_FAILED(nn_data_tint(digits, digits, 3, 0.5, 1, 0, &x, &which), NN_ESHAPE, "favoured: index [5000] expected");

  nn_tensor *favoured = nn_tensor_new(NN_INDEX, 1, (int64_t[]){ MANY });
  for (int i = 0; i < MANY; i++) ((int32_t *)nn_tensor_write(favoured))[i] = i % 3;
  assert_int_equal(nn_data_tint(digits, favoured, 3, 0.7, 1, 0, &x, &which), NN_OK);
  int on[3][3] = { { 0 } };
  for (int n = 0; n < MANY; n++) on[n % 3][((const int32_t *)nn_tensor_data(which))[n]]++;
  for (int f = 0; f < 3; f++)
    for (int c = 0; c < 3; c++) {
      double mean = MANY / 3.0 * (f == c ? 0.7 : 0.15);
      assert_true(fabs(on[f][c] - mean) < 5 * sqrt(mean));
    }
  nn_tensor_release(x);
  nn_tensor_release(which);
  ((int32_t *)nn_tensor_write(favoured))[7] = 3;
  ASSERT_FAILED(nn_data_tint(digits, favoured, 3, 0.7, 1, 0, &x, &which), NN_EARGUMENT,
                "colour 4 of image 8 is outside 1 .. 3");
  nn_tensor_release(favoured);
  nn_tensor_release(digits);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_row_follows_its_formula),
    cmocka_unit_test(levels_are_table_1),
    cmocka_unit_test(identities),
    cmocka_unit_test(grey_black_and_white),
    cmocka_unit_test(one_channel),
    cmocka_unit_test(wrong_arguments),
    cmocka_unit_test(draws_are_repeatable_on_any_team),
    cmocka_unit_test(draws_are_fair),
    cmocka_unit_test(two_occurrences_draw_apart),
    cmocka_unit_test(allocations_that_fail),
    cmocka_unit_test(gathered_rows),
    cmocka_unit_test(stratified_rows), cmocka_unit_test(stratified_rows_of_many_classes),
    cmocka_unit_test(tinted_digits),
  };
  return cmocka_run_group_tests_name("colour", tests, scratch_open, scratch_close);
}
