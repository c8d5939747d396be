/* test_winograd.c -- the engines' products against sums in double; Winograd's convolutions, of stride 1 and of stride
 * 2, against the plain twins where they are not the way that would be chosen (tiny maps, few channels, every padding)
 * and where they work in phases; their error; the same bits with 1 to 4 threads.
 *
 * test_twins draws what is fused, and shapes that choose these ways.
 */
#include <math.h>

#include "scratch.h"

#include "kernels/engine.h"
#include "kernels/strided.h"
#include "kernels/winograd.h"

static const double roundoff = sizeof(nn_real) == 8 ? 0x1p-53 : 0x1p-24;

static nn_real *drawn(uint64_t stream, int64_t count) {
  nn_real *x = nn_memory_get((size_t)count * sizeof *x);
  assert_non_null(x);
  assert_int_equal(nn_random_fill_normal(x, count, 0, 1, 17, stream), NN_OK);
  return x;
}

static nn_real *filled(nn_real value, int64_t count) {
  nn_real *x = nn_memory_get((size_t)count * sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < count; i++) x[i] = value;
  return x;
}

/* ---- products ---- */

/* Element (row, column) of a blocked matrix; depth row c, column k of panels. */
static int64_t blocked(int64_t step, int64_t row, int64_t column) {
  return column / 16 * step + row * 16 + column % 16;
}

static int64_t panelled(int64_t depth, int64_t columns, int64_t c, int64_t k) {
  int64_t first = k / NNK_PANEL * NNK_PANEL, width = nnk_min(NNK_PANEL, columns - first);
  return nnk_panel_offset(first, depth) + c * width + k - first;
}

/* Within the rounding of sums of `terms` products of numbers that are normal. */
static void compare(const char *what, int level, double value, double expected, int64_t terms) {
  double allowed = 8 * roundoff * (double)(terms + 1);
  if (!(fabs(value - expected) <= allowed))
    fail_msg("%s, level %d: %.9g, expected %.9g within %.1g", what, level, value, expected, allowed);
}

static void check_products(const nnk_engine *engine, int level, int64_t rows, int64_t depth, int64_t columns) {
  int64_t step = rows * 16 + 32, blocks = nnk_divide_up(depth, 16), wide = nnk_divide_up(columns, 16) * 16;
  nn_real *a = drawn(1, blocks * step), *b = drawn(2, depth * wide), *m = drawn(3, wide / 16 * step);
  nn_real *before = drawn(3, wide / 16 * step);
  nn_real *d = drawn(4, depth * (columns + 3)), *was = drawn(4, depth * (columns + 3));
  for (int add = 0; add <= 1; add++) {
    memcpy(m, before, (size_t)(wide / 16 * step) * sizeof *m);
    engine->multiply(m, step, a, step, b, rows, depth, wide, add);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t k = 0; k < wide; k++) {
        double sum = add ? before[blocked(step, r, k)] : 0;
        for (int64_t c = 0; c < depth; c++)
          sum += (double)a[blocked(step, r, c)] * b[panelled(depth, wide, c, k)];
        compare("multiply", level, m[blocked(step, r, k)], sum, depth);
      }
    for (int64_t k = 0; k < wide; k += 16)  /* between the blocks nothing is written */
      for (int64_t i = rows * 16; i < step; i++) assert_true(m[k / 16 * step + i] == before[k / 16 * step + i]);

    memcpy(d, was, (size_t)(depth * (columns + 3)) * sizeof *d);
    engine->outer(d, columns + 3, a, step, before, step, rows, depth, columns, add);
    for (int64_t c = 0; c < depth; c++)
      for (int64_t k = 0; k < columns + 3; k++) {
        double sum = add || k >= columns ? was[c * (columns + 3) + k] : 0;
        for (int64_t r = 0; r < rows && k < columns; r++)
          sum += (double)a[blocked(step, r, c)] * before[blocked(step, r, k)];
        compare("outer", level, d[c * (columns + 3) + k], sum, k < columns ? rows : 0);
      }
  }
  nn_memory_put(a), nn_memory_put(b), nn_memory_put(m), nn_memory_put(before), nn_memory_put(d), nn_memory_put(was);
}

static void test_products(void **state) {
  (void)state;
  for (int level = NN_PORTABLE; level <= (int)nni_level(); level++) {
    const nnk_engine *engine = nnk_engine_of((nn_level)level);
    assert_non_null(engine);
    for (int64_t rows = 1; rows <= 30; rows++)
      check_products(engine, level, rows, 1 + rows * 7 % 40, 1 + rows * 11 % 70);
    check_products(engine, level, 5, 300, 100);
    check_products(engine, level, 100, 16, 32);
    check_products(engine, level, 14, 129, 48);
  }
}

/* ---- convolution ---- */

static nnk_conv shape_of(int64_t images, int64_t height, int64_t width, int64_t in, int64_t out, int64_t padding) {
  return (nnk_conv){ .images = images, .height = height, .width = width, .channels = in, .out_channels = out,
                     .out_height = height + 2 * padding - 2, .out_width = width + 2 * padding - 2, .kernel_height = 3,
                     .kernel_width = 3, .stride = 1, .padding = padding, .dilation = 1, .groups = 1 };
}

static nnk_conv strided_of(int64_t images, int64_t height, int64_t width, int64_t in, int64_t out) {
  nnk_conv s = shape_of(images, height, width, in, out, 1);
  s.out_height = nnk_divide_up(height, 2), s.out_width = nnk_divide_up(width, 2), s.stride = 2;
  return s;
}

/* The way of each stride. */
static const struct {
  size_t (*weights)(const nnk_conv *shape, nnk_conv_pass pass);
  int (*prepare)(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale);
  int (*run)(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared);
  int (*weigh)(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x);
} ways[] = {
  [1] = { nnk_winograd_weights, nnk_winograd_prepare, nnk_winograd_run, nnk_winograd_weigh },
  [2] = { nnk_strided_weights, nnk_strided_prepare, nnk_strided_run, nnk_strided_weigh },
};

static int64_t pixels_in(const nnk_conv *s) { return s->images * s->height * s->width; }
static int64_t pixels_out(const nnk_conv *s) { return s->images * s->out_height * s->out_width; }

static double rms(const nn_real *x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
  return sqrt(sum / (double)count);
}

/* The largest difference, relative to the expected values' root mean square. */
static double error_of(const nn_real *y, const nn_real *expected, int64_t count) {
  double worst = 0;
  for (int64_t i = 0; i < count; i++) {
    double off = fabs((double)y[i] - expected[i]);
    if (!(off <= worst)) worst = off;
  }
  return worst / (rms(expected, count) + 1e-30);
}

static void expect(const char *what, const nnk_conv *s, double error, double allowed) {
  if (!(error <= allowed))
    fail_msg("%s of %lldx%lldx%lldx%lld to %lld, padding %lld, stride %lld: error %.2g, at most %.2g expected", what,
             (long long)s->images, (long long)s->height, (long long)s->width, (long long)s->channels,
             (long long)s->out_channels, (long long)s->padding, (long long)s->stride, error, allowed);
}

static void same_bits(const char *what, const nnk_conv *s, const void *a, const void *b, size_t bytes) {
  if (memcmp(a, b, bytes) != 0) expect(what, s, NAN, 0);
}

/* y or dx, with everything that may be fused into it or with nothing, is within `allowed` of the twin and the same with
 * any number of threads. */
static void check_run(const nnk_conv *s, nnk_conv_pass pass, bool fused, double allowed) {
  const char *what = pass == NNK_FORWARD ? "forward" : "gradient to input";
  nnk_conv_method m = { .shape = *s, .pass = pass, .weights = ways[s->stride].weights(s, pass) };
  int64_t from = pass == NNK_FORWARD ? pixels_in(s) : pixels_out(s), to = pixels_in(s) + pixels_out(s) - from;
  int64_t in = pass == NNK_FORWARD ? s->channels : s->out_channels, out = s->channels + s->out_channels - in;
  nn_real *x = drawn(1, from * in), *other = drawn(2, from * in), *weight = drawn(3, 9 * in * out);
  nn_real *scale = drawn(4, in), *shift = drawn(5, in), *other_scale = drawn(6, in), *by = drawn(7, s->out_channels);
  nn_real *bias = drawn(8, out), *residual = drawn(9, to * out), *z = drawn(10, to * out), *centre = drawn(11, out);
  nn_real *one = filled(1, out), *zero = filled(0, out);
  nn_real *y = filled(NAN, to * out), *expected = filled(NAN, to * out), *first = filled(NAN, to * out);
  size_t size = (size_t)out * 2 * sizeof(double);
  double *sums = nn_memory_get(size), *first_sums = nn_memory_get(size), *expected_sums = nn_memory_get(size);
  assert_true(sums && first_sums && expected_sums);

  nnk_source source = { .x = x };
  nnk_sink sink = { .y = y }, twin = { .y = expected };
  if (fused) {
    source = (nnk_source){ .x = x, .scale = scale, .shift = shift, .other = other, .other_scale = other_scale,
                           .relu = true };
    sink = (nnk_sink){ .y = y, .bias = bias, .residual = residual, .z = z, .z_scale = one, .z_shift = zero,
                       .centre = centre, .sums = sums };
    twin = sink;
    twin.y = expected, twin.sums = expected_sums;
  }
  void *prepared = nn_memory_get(m.weights);
  assert_non_null(prepared);
  assert_int_equal(nnk_conv_run_reference(&m, &twin, &source, weight, fused ? by : NULL), NN_OK);
  for (int threads = 1; threads <= 4; threads++) {
    assert_int_equal(nn_set_threads(threads), NN_OK);
    memset(prepared, 0xff, m.weights);
    assert_int_equal(ways[s->stride].prepare(&m, prepared, weight, fused ? by : NULL), NN_OK);
    assert_int_equal(ways[s->stride].run(&m, &sink, &source, prepared), NN_OK);
    if (threads == 1) {
      expect(what, s, error_of(y, expected, to * out), allowed);
      memcpy(first, y, (size_t)(to * out) * sizeof *y);
      if (!fused) continue;
      double bound = 4 * allowed * rms(expected, to * out) * (double)to;
      for (int64_t c = 0; c < 2 * out; c++) expect("sums", s, fabs(sums[c] - expected_sums[c]), bound);
      memcpy(first_sums, sums, size);
    }
    same_bits(what, s, first, y, (size_t)(to * out) * sizeof *y);
    if (fused) same_bits("sums", s, first_sums, sums, size);
  }
  nn_memory_put(x), nn_memory_put(other), nn_memory_put(weight), nn_memory_put(scale), nn_memory_put(shift);
  nn_memory_put(other_scale), nn_memory_put(by), nn_memory_put(bias), nn_memory_put(residual), nn_memory_put(z);
  nn_memory_put(centre), nn_memory_put(one), nn_memory_put(zero), nn_memory_put(y), nn_memory_put(expected);
  nn_memory_put(first), nn_memory_put(sums), nn_memory_put(first_sums), nn_memory_put(expected_sums);
  nn_memory_put(prepared);
}

static void check_weigh(const nnk_conv *s, bool fused, double allowed) {
  nnk_conv_method m = { .shape = *s, .pass = NNK_GRAD_WEIGHT };
  int64_t in = pixels_in(s) * s->channels, out = pixels_out(s) * s->out_channels;
  int64_t weights = 9 * s->channels * s->out_channels;
  nn_real *x = drawn(1, in), *dy = drawn(2, out), *z = drawn(3, out), *scale = drawn(4, s->channels);
  nn_real *shift = drawn(5, s->channels), *dy_scale = drawn(6, s->out_channels), *dy_shift = drawn(7, s->out_channels);
  nn_real *z_scale = drawn(8, s->out_channels), *start = drawn(9, weights), *expected = drawn(9, weights);
  nn_real *dweight = drawn(9, weights), *first = drawn(9, weights);
  nnk_source sx = { .x = x }, sy = { .x = dy };
  if (fused) {
    sx = (nnk_source){ .x = x, .scale = scale, .shift = shift, .relu = true };
    sy = (nnk_source){ .x = dy, .scale = dy_scale, .shift = dy_shift, .other = z, .other_scale = z_scale };
  }
  assert_int_equal(nnk_conv_weigh_reference(&m, expected, &sy, &sx), NN_OK);
  for (int threads = 1; threads <= 4; threads++) {
    assert_int_equal(nn_set_threads(threads), NN_OK);
    memcpy(dweight, start, (size_t)weights * sizeof *start);
    assert_int_equal(ways[s->stride].weigh(&m, dweight, &sy, &sx), NN_OK);
    if (threads == 1) {
      expect("gradient to weight", s, error_of(dweight, expected, weights), allowed);
      memcpy(first, dweight, (size_t)weights * sizeof *first);
    }
    same_bits("gradient to weight", s, first, dweight, (size_t)weights * sizeof *first);
  }
  nn_memory_put(x), nn_memory_put(dy), nn_memory_put(z), nn_memory_put(scale), nn_memory_put(shift);
  nn_memory_put(dy_scale), nn_memory_put(dy_shift), nn_memory_put(z_scale), nn_memory_put(start);
  nn_memory_put(expected), nn_memory_put(dweight), nn_memory_put(first);
}

static void check(const nnk_conv *s, double allowed) {
  for (int fused = 0; fused <= 1; fused++) {
    check_run(s, NNK_FORWARD, fused, allowed);
    check_run(s, NNK_GRAD_INPUT, fused, allowed);
    check_weigh(s, fused, allowed);
  }
}

/* Maps smaller than a tile, sides that tiles do not divide, channels that blocks do not. */
static void test_awkward(void **state) {
  (void)state;
  static const int64_t channels[][2] = { { 1, 1 }, { 3, 17 }, { 16, 16 }, { 17, 3 }, { 48, 33 }, { 64, 48 } };
  enum { KINDS = sizeof channels / sizeof *channels };
  int kind = 0;
  for (int64_t padding = 0; padding <= 2; padding++)
    for (int64_t side = 1; side <= 9; side++) {
      if (side + 2 * padding < 3) continue;
      const int64_t *c = channels[kind++ % KINDS];
      nnk_conv s = shape_of(1 + side % 3, side, side, c[0], c[1], padding);
      check(&s, 3e-5);
    }
  const nnk_conv more[] = { shape_of(1, 1, 40, 5, 20, 1), shape_of(2, 37, 2, 20, 5, 1), shape_of(1, 3, 3, 1, 64, 0),
                            shape_of(5, 13, 21, 31, 33, 1), shape_of(2, 11, 5, 16, 100, 2) };
  for (size_t i = 0; i < sizeof more / sizeof *more; i++) check(&more[i], 3e-5);

  for (int64_t side = 1; side <= 18; side++) {
    const int64_t *c = channels[kind++ % KINDS];
    nnk_conv s = strided_of(1 + side % 3, side, 1 + side * 7 % 19, c[0], c[1]);
    check(&s, 1e-5);
  }
  const nnk_conv halved[] = { strided_of(1, 1, 40, 5, 20), strided_of(2, 37, 2, 20, 5), strided_of(1, 7, 7, 17, 64),
                              strided_of(5, 13, 21, 31, 33), strided_of(2, 56, 5, 16, 100),
                              strided_of(1, 9, 9, 1, 48) };
  for (size_t i = 0; i < sizeof halved / sizeof *halved; i++) check(&halved[i], 1e-5);
}

/* Layers whose weights are larger than a cache work in phases; many tiles are several pieces and slices. */
static void test_large(void **state) {
  (void)state;
  const nnk_conv shapes[] = { shape_of(1, 7, 5, 210, 230, 1), shape_of(2, 6, 6, 250, 161, 1),
                              shape_of(9, 30, 30, 16, 24, 1) };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i], 3e-5);
  const nnk_conv halved[] = { strided_of(75, 7, 5, 210, 230), strided_of(2, 6, 6, 250, 161),
                              strided_of(9, 61, 60, 17, 24) };
  for (size_t i = 0; i < sizeof halved / sizeof *halved; i++) check(&halved[i], 1e-5);
}

/* What winograd.c and strided.c promise of the error, relative to the results' root mean square. */
static void test_error(void **state) {
  (void)state;
  for (int64_t channels = 64; channels <= 512; channels *= 2) {
    const nnk_conv shapes[] = { shape_of(1, 8, 8, channels, channels, 1), strided_of(1, 16, 16, channels, channels) };
    for (int i = 0; i < 2; i++) {
      double allowed = i == 0 ? 2e-5 : 1e-5;
      check_run(&shapes[i], NNK_FORWARD, false, allowed);
      check_run(&shapes[i], NNK_GRAD_INPUT, false, allowed);
      check_weigh(&shapes[i], false, allowed);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_products), cmocka_unit_test(test_awkward),
                                      cmocka_unit_test(test_large), cmocka_unit_test(test_error) };
  return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
