/* test_twins.c -- the ways to convolve against their plain twins, over shapes and fused steps drawn at random and the
 * awkward ones by name; the same bits with 1 to 4 threads.
 *
 * nnk_conv_bound says what rounding may do to a sum, in terms of its products' magnitudes: the twin run on |input| and
 * |weight|. What decides between two values (a gate) is drawn from a coarse grid, where arithmetic is exact.
 */
#include "rows.h"

#include "kernels/conv.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { DRAWS = 40 };  /* each takes thirty times as long */
#else
enum { DRAWS = 500 };
#endif

/* Numbers for draw `seed`, in the order they are asked for. */
typedef struct {
  uint64_t seed, next;
} drawing;

static int64_t upto(drawing *d, int64_t below) {
  return (int64_t)(nn_random_uniform(11, d->seed, d->next++) * (double)below);
}

static bool coin(drawing *d) { return upto(d, 2) == 1; }

/* Halves from -2 to 2. */
static nn_real *grid(drawing *d, int64_t count) {
  nn_real *x = malloc((size_t)(count ? count : 1) * sizeof *x);
  assert_non_null(x);
  uint64_t stream = ++d->next;
  assert_int_equal(nn_random_fill_uniform(x, count, 0, 9, d->seed, stream), NN_OK);
  for (int64_t i = 0; i < count; i++) x[i] = (nn_real)((int)x[i] - 4) / 2;
  return x;
}

static nn_real *numbers(drawing *d, int64_t count) {
  nn_real *x = malloc((size_t)(count ? count : 1) * sizeof *x);
  assert_non_null(x);
  uint64_t stream = ++d->next;
  assert_int_equal(nn_random_fill_uniform(x, count, -1, 1, d->seed, stream), NN_OK);
  return x;
}

static nn_real *maybe(nn_real *x, bool wanted) {
  if (wanted) return x;
  free(x);
  return NULL;
}

static nn_real *copy_of(const nn_real *x, int64_t count) {
  nn_real *y = malloc((size_t)(count ? count : 1) * sizeof *y);
  assert_non_null(y);
  memcpy(y, x, (size_t)count * sizeof *y);
  return y;
}

static nnk_conv shape_of(int64_t images, int64_t height, int64_t width, int64_t in, int64_t out, int64_t kh, int64_t kw,
                         int64_t stride, int64_t padding, int64_t dilation, int64_t groups) {
  return (nnk_conv){ .images = images, .height = height, .width = width, .channels = in, .out_channels = out,
                     .out_height = (height + 2 * padding - dilation * (kh - 1) - 1) / stride + 1,
                     .out_width = (width + 2 * padding - dilation * (kw - 1) - 1) / stride + 1,
                     .kernel_height = kh, .kernel_width = kw, .stride = stride, .padding = padding,
                     .dilation = dilation, .groups = groups };
}

static nnk_conv draw_shape(drawing *d) {
  static const int64_t some[] = { 1, 2, 3, 4, 8, 16, 17, 24, 31, 32, 33, 48, 64, 80 };
  enum { SOME = sizeof some / sizeof *some };
  for (;;) {
    int64_t kh = 1 + upto(d, 7), kw = coin(d) ? kh : 1 + upto(d, 7), groups = 1, in, out;
    if (coin(d)) kh = kw = 3;
    int64_t stride = coin(d) ? 1 : 1 + upto(d, 3), dilation = upto(d, 4) ? 1 : 2, kind = upto(d, 6);
    in = some[upto(d, SOME)], out = some[upto(d, SOME)];
    if (kind == 0) {
      groups = in, out = in * (1 + (upto(d, 4) == 0));
    } else if (kind == 1) {
      groups = 1 + upto(d, 4);
      in = groups * (1 + upto(d, 20)), out = groups * (1 + upto(d, 20));
    }
    int64_t height = 1 + upto(d, 14), width = coin(d) ? height : 1 + upto(d, 14), padding = upto(d, 1 + kh / 2 + 1);
    bool fits = height + 2 * padding > dilation * (kh - 1) && width + 2 * padding > dilation * (kw - 1);
    if (fits) return shape_of(1 + upto(d, 5), height, width, in, out, kh, kw, stride, padding, dilation, groups);
  }
}

static nnk_source draw_source(drawing *d, int64_t pixels, int64_t channels) {
  nnk_source s = { .x = numbers(d, pixels * channels) };
  bool scaled = coin(d), other = scaled && coin(d);
  s.scale = maybe(numbers(d, channels), scaled);
  s.shift = maybe(numbers(d, channels), scaled);
  s.other = maybe(numbers(d, pixels * channels), other);
  s.other_scale = maybe(numbers(d, channels), other);
  s.relu = coin(d);
  return s;
}

static void free_source(const nnk_source *s) {
  free((void *)s->x), free((void *)s->scale), free((void *)s->shift);
  free((void *)s->other), free((void *)s->other_scale);
}

static nnk_sink draw_sink(drawing *d, int64_t pixels, int64_t channels) {
  bool z = coin(d), gated = z && coin(d), summed = coin(d);
  int64_t words = pixels * nnk_signs(channels);
  nnk_sink s = { .y = numbers(d, pixels * channels), .relu = coin(d) };
  s.bias = maybe(numbers(d, channels), coin(d));
  s.residual = maybe(numbers(d, pixels * channels), coin(d));
  s.z = maybe(grid(d, pixels * channels), z);
  s.z_scale = maybe(grid(d, channels), gated);
  s.z_shift = maybe(grid(d, channels), gated);
  s.centre = maybe(numbers(d, channels), summed && coin(d));
  if (coin(d)) {
    uint16_t *bits = malloc((size_t)words * sizeof *bits);
    assert_non_null(bits);
    for (int64_t i = 0; i < words; i++) bits[i] = (uint16_t)upto(d, 65536);
    s.gate = bits;
  }
  if (coin(d)) assert_non_null(s.signs = calloc((size_t)words, sizeof *s.signs));
  if (summed) assert_non_null(s.sums = calloc((size_t)channels * 2, sizeof *s.sums));
  if (s.residual && coin(d)) {  /* y itself */
    free((void *)s.residual);
    s.residual = s.y;
  }
  return s;
}

/* A sink of the same, with its own results. */
static nnk_sink twin_of(const nnk_sink *s, int64_t pixels, int64_t channels) {
  nnk_sink t = *s;
  t.y = copy_of(s->y, pixels * channels);
  if (s->residual == s->y) t.residual = t.y;
  if (s->signs) assert_non_null(t.signs = calloc((size_t)(pixels * nnk_signs(channels)), sizeof *t.signs));
  if (s->sums) assert_non_null(t.sums = calloc((size_t)channels * 2, sizeof *t.sums));
  return t;
}

static void free_results(const nnk_sink *s) { free(s->y), free(s->signs), free(s->sums); }

static void free_sink(const nnk_sink *s) {
  if (s->residual != s->y) free((void *)s->residual);
  free((void *)s->bias), free((void *)s->gate), free((void *)s->z), free((void *)s->z_scale);
  free((void *)s->z_shift), free((void *)s->centre);
  free_results(s);
}

static const char *describe(char *text, size_t size, const nnk_conv *s, nnk_conv_pass pass) {
  snprintf(text, size, "%s of %lldx%lldx%lldx%lld, kernel %lldx%lld to %lld, stride %lld, padding %lld, dilation %lld, "
           "groups %lld", (const char *const[]){ "forward", "gradient to input", "gradient to weight" }[pass],
           (long long)s->images, (long long)s->height, (long long)s->width, (long long)s->channels,
           (long long)s->kernel_height, (long long)s->kernel_width, (long long)s->out_channels, (long long)s->stride,
           (long long)s->padding, (long long)s->dilation, (long long)s->groups);
  return text;
}

static nn_real *magnitudes(const nn_real *x, int64_t count) {
  nn_real *y = copy_of(x, count);
  for (int64_t i = 0; i < count; i++) y[i] = y[i] < 0 ? -y[i] : y[i];
  return y;
}

static double mean(const nn_real *x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += x[i];
  return sum / (double)(count ? count : 1);
}

/* The source as an image of its own. */
static nn_real *seen(const nnk_source *s, int64_t pixels, int64_t channels) {
  nn_real *v = copy_of(s->x, pixels * channels);
  for (int64_t i = 0; i < pixels * channels; i++) {
    int64_t c = i % channels;
    if (s->scale) v[i] = v[i] * s->scale[c] + s->shift[c];
    if (s->other) v[i] += s->other[i] * s->other_scale[c];
    if (s->relu && v[i] < 0) v[i] = 0;
  }
  return v;
}

static const double roundoff = sizeof(nn_real) == 8 ? 0x1p-53 : 0x1p-24;

static void compare_run(drawing *d, const nnk_conv *s, nnk_conv_pass pass, nnk_precision precision) {
  char what[200];
  describe(what, sizeof what, s, pass);
  bool forward = pass == NNK_FORWARD;
  int64_t in = s->images * s->height * s->width, out = s->images * s->out_height * s->out_width;
  int64_t from = forward ? in : out, from_channels = forward ? s->channels : s->out_channels;
  int64_t to = forward ? out : in, channels = forward ? s->out_channels : s->channels;
  int64_t weights = s->kernel_height * s->kernel_width * (s->channels / s->groups) * s->out_channels;

  nnk_source source = draw_source(d, from, from_channels);
  nnk_sink sink = draw_sink(d, to, channels), twin = twin_of(&sink, to, channels);
  nn_real *weight = numbers(d, weights), *scale = maybe(numbers(d, s->out_channels), coin(d));

  nnk_conv_method m;
  assert_int_equal(nnk_conv_choose(&m, s, pass, precision), NN_OK);
  void *prepared = nn_memory_get(m.weights);
  assert_non_null(prepared);
  assert_int_equal(nnk_conv_prepare(&m, prepared, weight, scale), NN_OK);
  assert_int_equal(nnk_conv_run_reference(&m, &twin, &source, weight, scale), NN_OK);

  /* How large the terms are. */
  nn_real *v = seen(&source, from, from_channels), *v2 = magnitudes(v, from * from_channels);
  nn_real *w2 = magnitudes(weight, weights), *s2 = scale ? magnitudes(scale, s->out_channels) : NULL;
  nn_real *size = numbers(d, to * channels);
  assert_int_equal(nnk_conv_run_reference(&m, &(nnk_sink){ .y = size }, &(nnk_source){ .x = v2 }, w2, s2), NN_OK);
  double bound = nnk_conv_bound(&m) * roundoff, typical = mean(size, to * channels) + 1;

  nn_real *first = NULL;
  for (int threads = 1; threads <= 4; threads++) {
    assert_int_equal(nn_set_threads(threads), NN_OK);
    nnk_sink own = twin_of(&sink, to, channels);
    int status = nnk_conv_run(&m, &own, &source, prepared);
    if (status != NN_OK) fail_msg("%s: %s", what, nn_error());
    if (threads > 1) {
      if (memcmp(first, own.y, (size_t)(to * channels) * sizeof *first) != 0)
        fail_msg("%s: other bits with %d threads", what, threads);
      free_results(&own);
      continue;
    }
    first = copy_of(own.y, to * channels);
    for (int64_t i = 0; i < to * channels; i++) {
      double off = fabs((double)own.y[i] - twin.y[i]), allowed = bound * fmax(size[i], typical);
      if (!(off <= allowed))
        fail_msg("%s: element %lld is %.9g, expected %.9g within %.1g", what, (long long)i, (double)own.y[i],
                 (double)twin.y[i], allowed);
      if (!own.signs || fabs((double)twin.y[i]) <= allowed) continue;
      int64_t word = i / channels * nnk_signs(channels) + i % channels / 16;
      if ((own.signs[word] >> i % channels % 16 & 1) != (twin.y[i] > 0))
        fail_msg("%s: element %lld has the wrong sign", what, (long long)i);
    }
    for (int64_t i = 0; own.sums && i < 2 * channels; i++) {
      double rounding = bound + sqrt((double)to) * roundoff;
      double allowed = (double)to * rounding * (typical + 3) * (i < channels ? 1 : typical + 3);
      if (!(fabs(own.sums[i] - twin.sums[i]) <= allowed))
        fail_msg("%s: sum %lld is %.9g, expected %.9g within %.1g", what, (long long)i, own.sums[i], twin.sums[i],
                 allowed);
    }
    free_results(&own);
  }
  free(first), free(v), free(v2), free(w2), free(s2), free(size), free(weight), free(scale);
  free_results(&twin);
  free_source(&source);
  free_sink(&sink);
  nn_memory_put(prepared);
}

static void compare_weigh(drawing *d, const nnk_conv *s, nnk_precision precision) {
  char what[200];
  describe(what, sizeof what, s, NNK_GRAD_WEIGHT);
  int64_t in = s->images * s->height * s->width, out = s->images * s->out_height * s->out_width;
  int64_t weights = s->kernel_height * s->kernel_width * (s->channels / s->groups) * s->out_channels;
  nnk_source x = draw_source(d, in, s->channels), dy = draw_source(d, out, s->out_channels);
  nn_real *start = numbers(d, weights), *twin = copy_of(start, weights), *size = numbers(d, weights), *first = NULL;
  memset(size, 0, (size_t)weights * sizeof *size);

  nnk_conv_method m;
  assert_int_equal(nnk_conv_choose(&m, s, NNK_GRAD_WEIGHT, precision), NN_OK);
  assert_int_equal(nnk_conv_weigh_reference(&m, twin, &dy, &x), NN_OK);
  nn_real *vx = seen(&x, in, s->channels), *vy = seen(&dy, out, s->out_channels);
  nn_real *x2 = magnitudes(vx, in * s->channels), *dy2 = magnitudes(vy, out * s->out_channels);
  assert_int_equal(nnk_conv_weigh_reference(&m, size, &(nnk_source){ .x = dy2 }, &(nnk_source){ .x = x2 }), NN_OK);
  double bound = nnk_conv_bound(&m) * roundoff, typical = mean(size, weights) + 1;

  for (int threads = 1; threads <= 4; threads++) {
    assert_int_equal(nn_set_threads(threads), NN_OK);
    nn_real *own = copy_of(start, weights);
    int status = nnk_conv_weigh(&m, own, &dy, &x);
    if (status != NN_OK) fail_msg("%s: %s", what, nn_error());
    if (threads == 1) first = copy_of(own, weights);
    if (memcmp(first, own, (size_t)weights * sizeof *own) != 0)
      fail_msg("%s: other bits with %d threads", what, threads);
    for (int64_t i = 0; i < weights && threads == 1; i++) {
      double off = fabs((double)own[i] - twin[i]), allowed = bound * fmax(size[i], typical);
      if (!(off <= allowed))
        fail_msg("%s: element %lld is %.9g, expected %.9g within %.1g", what, (long long)i, (double)own[i],
                 (double)twin[i], allowed);
    }
    free(own);
  }
  free(first), free(start), free(twin), free(size), free(vx), free(vy), free(x2), free(dy2);
  free_source(&x);
  free_source(&dy);
}

static void compare(uint64_t seed, const nnk_conv *s) {
  drawing d = { .seed = seed };
  int threads = nn_threads();
  for (int precision = NNK_FAST; precision <= NNK_EXACT; precision++) {
    compare_run(&d, s, NNK_FORWARD, precision);
    compare_run(&d, s, NNK_GRAD_INPUT, precision);
    compare_weigh(&d, s, precision);
  }
  assert_int_equal(nn_set_threads(threads), NN_OK);
}

static void test_drawn(void **state) {
  (void)state;
  for (uint64_t i = 0; i < DRAWS; i++) {
    drawing d = { .seed = 1000 + i };
    nnk_conv s = draw_shape(&d);
    compare(i, &s);
  }
}

static void test_awkward(void **state) {
  (void)state;
  const nnk_conv awkward[] = {
    shape_of(1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1),       shape_of(1, 1, 1, 3, 17, 3, 3, 1, 1, 1, 1),
    shape_of(1, 1, 1, 48, 48, 3, 3, 1, 1, 1, 1),     shape_of(37, 1, 1, 64, 64, 3, 3, 1, 1, 1, 1),
    shape_of(9, 2, 2, 32, 64, 3, 3, 1, 1, 1, 1),     shape_of(9, 2, 2, 32, 64, 3, 3, 2, 1, 1, 1),
    shape_of(1, 31, 29, 3, 64, 3, 3, 1, 1, 1, 1),    shape_of(1, 31, 29, 3, 64, 7, 7, 2, 3, 1, 1),
    shape_of(2, 15, 17, 48, 48, 3, 3, 1, 1, 1, 1),   shape_of(2, 15, 17, 17, 48, 3, 3, 2, 1, 1, 1),
    shape_of(2, 28, 28, 1, 6, 5, 5, 1, 2, 1, 1),     shape_of(2, 28, 28, 1, 16, 3, 3, 1, 1, 1, 1),
    shape_of(2, 16, 16, 16, 16, 3, 3, 1, 1, 1, 1),   shape_of(1, 19, 23, 17, 17, 3, 3, 1, 1, 1, 17),
    shape_of(1, 9, 9, 48, 3, 3, 3, 1, 1, 1, 1),      shape_of(1, 7, 7, 48, 1, 3, 3, 1, 1, 1, 1),
    shape_of(3, 14, 14, 256, 64, 1, 1, 1, 0, 1, 1),  shape_of(2, 15, 15, 64, 128, 1, 1, 2, 0, 1, 1),
    shape_of(1, 5, 5, 16, 16, 3, 3, 7, 9, 2, 1),     shape_of(1, 3, 2, 1, 1, 1, 1, 99, 0, 1, 1),
    shape_of(2, 7, 7, 320, 320, 3, 3, 1, 1, 1, 1),   shape_of(2, 7, 7, 320, 320, 3, 3, 2, 1, 1, 1),
    shape_of(1, 12, 12, 32, 64, 3, 3, 1, 1, 1, 32),  shape_of(1, 12, 12, 64, 64, 3, 3, 2, 1, 1, 4),
    shape_of(0, 5, 5, 3, 4, 3, 3, 1, 1, 1, 1),       shape_of(2, 5, 5, 3, 0, 3, 3, 1, 1, 1, 1),
    shape_of(1, 3, 3, 16, 16, 3, 3, 1, 3, 3, 1),
  };
  for (size_t i = 0; i < sizeof awkward / sizeof *awkward; i++) compare(5000 + i, &awkward[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_awkward), cmocka_unit_test(test_drawn) };
  return cmocka_run_group_tests(tests, rows_open, NULL);
}
