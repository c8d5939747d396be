/* test_resample.c -- resizing: the sums against plain ones, windows and parts against the whole. */
#include "pictures.h"

#include <math.h>

#include "kernels/resample.h"

static nni_picture noise(int64_t height, int64_t width, int channels) {
  static uint64_t draw;
  nni_picture p = { 0 };
  assert_int_equal(nni_picture_shape(&p, height, width, channels, 8), NN_OK);
  /* whole steps from black to white as well, where sums leave the range of a byte */
  bool hard = drawn(draw++, 2);
  for (int64_t i = 0; i < height * width * channels; i++) {
    int64_t v = drawn(draw++, 256);
    p.pixels[i] = (uint8_t)(hard ? v > 127 ? 255 : 0 : v);
  }
  return p;
}

/* One side by the definition: [outer, from, inner] -> [outer, to, inner]; `out` is that, rounded. */
static void check_side(const uint8_t *out, const uint8_t *in, int64_t outer, int64_t from, int64_t to, int64_t inner,
                       const nni_resample *how) {
  double support = how->filter == NN_BICUBIC ? 2 : 1, step = (double)from / (double)to;
  double wide = step > 1 && !how->aliased ? step : 1;
  double *share = malloc((size_t)from * sizeof *share);
  for (int64_t i = 0; i < to; i++) {
    double centre = ((double)i + 0.5) * step, sum = 0;
    for (int64_t j = 0; j < from; j++) {
      double x = fabs(((double)j + 0.5 - centre) / wide), w = 0;
      if (how->filter == NN_BILINEAR && x < 1) w = 1 - x;
      if (how->filter == NN_BICUBIC && x < 1) w = (1.5 * x - 2.5) * x * x + 1;
      else if (how->filter == NN_BICUBIC && x < 2) w = ((x - 5) * x + 8) * x * -0.5 + 2;
      sum += share[j] = x < support ? w : 0;
    }
    for (int64_t o = 0; o < outer; o++)
      for (int64_t k = 0; k < inner; k++) {
        double value = 0;
        for (int64_t j = 0; j < from; j++) value += share[j] / sum * in[(o * from + j) * inner + k];
        value = value < 0 ? 0 : value > 255 ? 255 : value;
        assert_true(fabs(value - out[(o * to + i) * inner + k]) < 0.51);
      }
  }
  free(share);
}

/* Rows first, then columns of the rounded rows. */
static void check_resized(int64_t height, int64_t width, int channels, const nni_resample *how) {
  nni_picture in = noise(height, width, channels), middle = { 0 }, out = { 0 };
  nni_resample rows = *how;
  rows.height = height;
  assert_int_equal(nni_image_resize(&in, &rows, &middle), NN_OK);
  assert_int_equal(nni_image_resize(&in, how, &out), NN_OK);
  assert_int_equal(out.height, how->height);
  assert_int_equal(out.width, how->width);
  assert_int_equal(out.channels, channels);
  check_side(middle.pixels, in.pixels, height, width, how->width, channels, how);
  check_side(out.pixels, middle.pixels, 1, height, how->height, how->width * channels, how);
  nni_picture_free(&in);
  nni_picture_free(&middle);
  nni_picture_free(&out);
}

static void sums_are_those_of_the_definition(void **state) {
  (void)state;
  static const int64_t sides[][4] = { { 1, 1, 1, 1 }, { 5, 7, 5, 7 }, { 1, 9, 4, 3 }, { 40, 33, 12, 50 },
                                      { 64, 48, 7, 5 }, { 9, 2, 30, 31 }, { 30, 100, 30, 20 }, { 61, 47, 1, 1 } };
  for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
    for (int channels = 1; channels <= 5; channels++)
      for (int kind = 0; kind < 4; kind++) {
        nni_resample how = { .height = sides[i][2], .width = sides[i][3], .filter = kind & 1 ? NN_BICUBIC : NN_BILINEAR,
                             .aliased = kind & 2 };
        check_resized(sides[i][0], sides[i][1], channels, &how);
      }
}

/* Every way of summing gives the integers that the weights say: vectors may not differ from the plain loop. */
static void sums_are_exact(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    uint64_t at = 10000 + 8 * (uint64_t)i;
    int64_t from = 1 + drawn(at, 90), to = 1 + drawn(at + 1, 90), rows = 1 + drawn(at + 2, 11);
    int channels = 1 + (int)drawn(at + 3, 4);
    nnk_side side = { from, to, 0, to, drawn(at + 4, 2) ? NN_BICUBIC : NN_BILINEAR, drawn(at + 5, 4) == 0 };
    nnk_taps taps;
    assert_int_equal(nnk_taps_make(&taps, &side), NN_OK);
    nni_picture in = noise(rows, from, channels);
    uint8_t *out = malloc((size_t)(rows * to * channels));
    /* exactly as large as the picture, so that a sanitizer sees a byte read too far */
    uint8_t *exact = malloc((size_t)(rows * from * channels));
    memcpy(exact, in.pixels, (size_t)(rows * from * channels));
    nnk_resample_across(out, exact, rows, from * channels, channels, &taps);
    for (int64_t y = 0; y < rows; y++)
      for (int64_t x = 0; x < to; x++)
        for (int c = 0; c < channels; c++) {
          int64_t sum = 1 << 21;
          for (int k = 0; k < taps.count[x]; k++)
            sum += (int64_t)taps.weight[x * taps.taps + k] * exact[(y * from + taps.first[x] + k) * channels + c];
          sum >>= 22;
          assert_int_equal(out[(y * to + x) * channels + c], sum < 0 ? 0 : sum > 255 ? 255 : sum);
        }
    free(out);
    free(exact);
    nni_picture_free(&in);
    nnk_taps_free(&taps);
  }
}

static void a_window_needs_a_part_of_the_source(void **state) {
  (void)state;
  nni_picture whole = noise(71, 93, 3), target = { 0 }, window = { 0 }, part = { 0 }, again = { 0 };
  for (int i = 0; i < 100; i++) {
    uint64_t at = 20000 + 16 * (uint64_t)i;
    nni_resample how = { .height = 1 + drawn(at, 120), .width = 1 + drawn(at + 1, 120) };
    how.filter = drawn(at + 2, 2) ? NN_BICUBIC : NN_BILINEAR;
    how.aliased = drawn(at + 3, 3) == 0;
    assert_int_equal(nni_image_resize(&whole, &how, &target), NN_OK);
    how.window = true;
    how.window_height = 1 + drawn(at + 4, how.height);
    how.window_width = 1 + drawn(at + 5, how.width);
    how.top = drawn(at + 6, how.height - how.window_height + 1);
    how.left = drawn(at + 7, how.width - how.window_width + 1);
    assert_int_equal(nni_image_resize(&whole, &how, &window), NN_OK);
    for (int64_t y = 0; y < how.window_height; y++)
      assert_memory_equal(window.pixels + y * window.width * 3,
                          target.pixels + ((how.top + y) * how.width + how.left) * 3, (size_t)(window.width * 3));

    nni_rectangle need;
    how.source_height = whole.height;
    how.source_width = whole.width;
    assert_int_equal(nni_resample_needs(&how, &need), NN_OK);
    assert_int_equal(nni_picture_shape(&part, need.height, need.width, 3, 8), NN_OK);
    for (int64_t y = 0; y < need.height; y++)
      memcpy(part.pixels + y * need.width * 3, whole.pixels + ((need.top + y) * whole.width + need.left) * 3,
             (size_t)(need.width * 3));
    how.source_top = need.top;
    how.source_left = need.left;
    assert_int_equal(nni_image_resize(&part, &how, &again), NN_OK);
    assert_int_equal(again.height, window.height);
    assert_memory_equal(again.pixels, window.pixels, (size_t)(window.height * window.width * 3));
  }
  nni_picture *const all[] = { &whole, &target, &window, &part, &again };
  for (int i = 0; i < 5; i++) nni_picture_free(all[i]);
}

static void what_does_not_fit_is_refused(void **state) {
  (void)state;
  nni_picture in = noise(4, 5, 3), out = { 0 };
  nni_resample none = { .width = 3 }, outside = { .height = 3, .width = 3, .window = true, .top = 2, .window_height = 2,
                                                  .window_width = 1 };
  nni_resample elsewhere = { .height = 8, .width = 8, .source_height = 9, .source_width = 5 };
  ASSERT_FAILED(nni_image_resize(&in, &none, &out), NN_EARGUMENT, "sides of 1 to", "got 5x4 to 3x0");
  ASSERT_FAILED(nni_image_resize(&in, &outside, &out), NN_EARGUMENT, "window 1x2 at (0, 2)");
  ASSERT_FAILED(nni_image_resize(&in, &elsewhere, &out), NN_EARGUMENT, "needs 5x9 of the source at (0, 0), given 5x4");
  for (uint64_t n = 1;; n++) {
    uint64_t before = live_blocks();
    nn_memory_fail_at(n);
    int status = nni_image_resize(&in, &(nni_resample){ .height = 7, .width = 9 }, &out);
    nn_memory_fail_at(0);
    nni_picture_free(&out);
    assert_int_equal(live_blocks(), before);
    if (status == NN_OK) break;
    assert_int_equal(status, NN_EMEMORY);
    assert_true(n < 30);
  }
  nni_picture_free(&in);
}

static void tensors_are_resized_one_by_one(void **state) {
  (void)state;
  nn_tensor *batch = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ 5, 12, 9, 3 }), *bytes, *real, *resized, *one;
  uint8_t *p = nn_tensor_write(batch);
  for (int64_t i = 0; i < nn_tensor_count(batch); i++) p[i] = (uint8_t)drawn(50000 + (uint64_t)i, 256);
  nn_image_size size = { .height = 7, .width = 14, .filter = NN_BICUBIC };
  assert_int_equal(nn_image_resize(batch, &size, &bytes), NN_OK);
  for (int64_t i = 0; i < 5; i++) {
    nn_tensor *row = nn_tensor_row(batch, i);
    assert_int_equal(nn_image_resize(row, &size, &one), NN_OK);
    assert_memory_equal(nn_tensor_data(one), (const uint8_t *)nn_tensor_data(bytes) + i * 7 * 14 * 3, 7 * 14 * 3);
    nn_tensor_release(row);
    nn_tensor_release(one);
  }
  real = nn_tensor_to(batch, NN_REAL);
  assert_int_equal(nn_image_resize(real, &size, &resized), NN_OK);
  const nn_real *y = nn_tensor_data(resized);
  const uint8_t *z = nn_tensor_data(bytes);
  for (int64_t i = 0; i < nn_tensor_count(bytes); i++) {
    double clipped = y[i] < 0 ? 0 : y[i] > 255 ? 255 : (double)y[i];
    assert_true(fabs(clipped - z[i]) < 16);  /* what bytes clip on the way, numbers do not */
  }
  nn_tensor *flat = nn_tensor_zeros(NN_UINT8, 1, (int64_t[]){ 4 });
  nn_tensor *index = nn_tensor_zeros(NN_INDEX, 2, (int64_t[]){ 4, 4 });
  ASSERT_FAILED(nn_image_resize(flat, &size, &one), NN_ESHAPE, "image.resize: ", "got [4]");
  ASSERT_FAILED(nn_image_resize(index, &size, &one), NN_ETYPE, "image.resize: ", "got index");
  nn_tensor *const all[] = { batch, bytes, real, resized, flat, index };
  for (int i = 0; i < 6; i++) nn_tensor_release(all[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(sums_are_those_of_the_definition),
    cmocka_unit_test(sums_are_exact),
    cmocka_unit_test(a_window_needs_a_part_of_the_source),
    cmocka_unit_test(what_does_not_fit_is_refused),
    cmocka_unit_test(tensors_are_resized_one_by_one),
  };
  return cmocka_run_group_tests_name("resample", tests, scratch_open, scratch_close);
}
