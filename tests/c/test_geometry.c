/* test_geometry.c -- perturbations that move pixels: against plain loops, the windows they draw, trees of them. */
#include "scratch.h"

#include <math.h>

#include "perturb/perturb.h"

enum { IMAGES = 60, HEIGHT = 7, WIDTH = 9, CHANNELS = 2 };

/* Every element tells image, row, column and channel. */
static nn_tensor *make_images(int channels) {
  nn_tensor *x = nn_tensor_new(NN_REAL, 4, (int64_t[]){ IMAGES, HEIGHT, WIDTH, channels });
  nn_real *pixels = nn_tensor_write(x);
  for (int64_t i = 0; i < nn_tensor_count(x); i++) pixels[i] = (nn_real)(i + 1) / (nn_real)10000;
  return x;
}

static nn_perturb *row(const char *name, const double *settings, int count) {
  nn_perturb *p = nn_perturb_row(nn_perturbation_find(name), NN_CONVENTION_PAPER, false, settings, count);
  if (!p) fail_msg("%s", nn_error());
  return p;
}

static nn_tensor *apply(const nn_perturb *p, nn_tensor *x, uint64_t step) {
  nn_tensor *y = NULL;
  if (nn_perturb_apply(p, x, 1, step, &y) != NN_OK) fail_msg("%s", nn_error());
  return y;
}

static const nn_real *pixel(nn_tensor *t, int64_t n, int64_t y, int64_t x) {
  const int64_t *size = nn_tensor_sizes(t);
  return (const nn_real *)nn_tensor_data(t) + ((n * size[1] + y) * size[2] + x) * size[3];
}

static int64_t mirror(int64_t i, int64_t size) { return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i; }

/* Is image n of y image n of x moved by (up, left)? */
static bool is_moved(nn_tensor *y, nn_tensor *x, int64_t n, int64_t up, int64_t left, bool reflect) {
  int64_t channels = nn_tensor_size(x, 3);
  for (int64_t i = 0; i < HEIGHT; i++)
    for (int64_t j = 0; j < WIDTH; j++) {
      int64_t a = i + up, b = j + left;
      bool inside = a >= 0 && a < HEIGHT && b >= 0 && b < WIDTH;
      const nn_real *from = pixel(x, n, mirror(a, HEIGHT), mirror(b, WIDTH)), *to = pixel(y, n, i, j);
      for (int64_t c = 0; c < channels; c++)
        if (to[c] != (inside || reflect ? from[c] : 0)) return false;
    }
  return true;
}

/* Each image is moved by one of the 25 moves, and all of them occur. */
static void random_crop_moves(void **state) {
  (void)state;
  for (int reflect = 0; reflect < 2; reflect++)
    for (int channels = 1; channels <= 3; channels++) {
      nn_tensor *x = make_images(channels);
      nn_perturb *p = row("random_crop", (double[]){ 2, reflect }, 2);
      int seen[5][5] = { 0 };
      for (uint64_t step = 0; step < 10; step++) {
        nn_tensor *y = apply(p, x, step);
        for (int64_t n = 0; n < IMAGES; n++) {
          int found = 0;
          for (int up = -2; up <= 2; up++)
            for (int left = -2; left <= 2; left++)
              if (is_moved(y, x, n, up, left, reflect)) found++, seen[up + 2][left + 2]++;
          assert_int_equal(found, 1);
        }
        nn_tensor_release(y);
      }
      for (int i = 0; i < 25; i++) assert_in_range(seen[i / 5][i % 5], 5, 50); /* 24 expected of 600 */
      nn_perturb_release(p);
      nn_tensor_release(x);
    }
}

static void random_crop_refuses_too_much(void **state) {
  (void)state;
  nn_tensor *x = make_images(3), *y = NULL;
  nn_perturb *widest = row("random_crop", (double[]){ HEIGHT, 0 }, 2);
  nn_perturb *over = row("random_crop", (double[]){ HEIGHT + 1, 0 }, 2);
  nn_perturb *reflected = row("random_crop", (double[]){ HEIGHT, 1 }, 2);
  y = apply(widest, x, 0);
  nn_tensor_release(y);
  assert_int_equal(nn_perturb_apply(over, x, 1, 1, &y), NN_ESHAPE);
  assert_string_equal(nn_error(), "random_crop: padding expects at most 7 for images of 7 x 9, got 8");
  nn_perturb *deep = nn_perturb_maybe(0, reflected); /* a tree is refused whatever is drawn */
  assert_int_equal(nn_perturb_apply(deep, x, 1, 1, &y), NN_ESHAPE);
  assert_non_null(strstr(nn_error(), "at most 6 for images of 7 x 9 (mode reflect), got 7"));
  nn_perturb_release(widest);
  nn_perturb_release(over);
  nn_perturb_release(reflected);
  nn_perturb_release(deep);
  nn_tensor_release(x);
}

static void flip_exchanges_sides(void **state) {
  (void)state;
  nn_tensor *x = make_images(CHANNELS);
  for (int percent = 0; percent <= 100; percent += 25) {
    nn_perturb *p = row("flip", (double[]){ percent / 100.0 }, 1);
    int flipped = 0;
    for (uint64_t step = 0; step < 10; step++) {
      nn_tensor *y = apply(p, x, step);
      for (int64_t n = 0; n < IMAGES; n++) {
        bool turned = pixel(y, n, 0, 0)[0] != pixel(x, n, 0, 0)[0];
        flipped += turned;
        for (int64_t i = 0; i < HEIGHT; i++)
          for (int64_t j = 0; j < WIDTH; j++)
            assert_memory_equal(pixel(y, n, i, j), pixel(x, n, i, turned ? WIDTH - 1 - j : j),
                                CHANNELS * sizeof(nn_real));
      }
      nn_tensor_release(y);
    }
    double expected = 6.0 * percent, spread = 5 * sqrt(600 * 0.01 * percent * (1 - 0.01 * percent));
    assert_true(fabs(flipped - expected) <= spread);
    nn_perturb_release(p);
  }
  nn_tensor_release(x);
}

/* Windows are inside, and their shares and ratios have the moments of torchvision's draws. */
static void windows_are_drawn_evenly(void **state) {
  (void)state;
  enum { MANY = 20000 };
  nn_perturb *p = row("random_resized_crop", (double[]){ 0.2, 0.6, 0.75, 4.0 / 3 }, 4);
  double share = 0, ratio = 0, middle = 0;
  for (uint64_t n = 0; n < MANY; n++) {
    nni_rectangle w;
    assert_int_equal(nni_perturb_window(p, 5, n, 400, 500, &w), 0);
    assert_true(w.top >= 0 && w.left >= 0 && w.top + w.height <= 400 && w.left + w.width <= 500);
    share += (double)(w.height * w.width) / (400 * 500) / MANY;
    ratio += log((double)w.width / (double)w.height) / MANY;
    middle += (w.left + 0.5 * (double)w.width) / 500 / MANY;
  }
  assert_true(fabs(share - 0.4) < 0.005);
  assert_true(fabs(ratio) < 0.01);
  assert_true(fabs(middle - 0.5) < 0.005);
  nni_rectangle w; /* nothing fits: the middle, as wide as the ratio allows */
  nni_perturb_window(p, 5, 0, 100, 10, &w);
  assert_true(w.top == 43 && w.left == 0 && w.height == 13 && w.width == 10);
  nni_perturb_window(p, 5, 0, 10, 100, &w);
  assert_true(w.top == 0 && w.left == 43 && w.height == 10 && w.width == 13);
  nn_perturb_release(p);
}

/* y = the window, enlarged: place i is between its neighbours at (i + 1/2) window / size - 1/2. */
static void random_resized_crop_enlarges(void **state) {
  (void)state;
  nn_tensor *x = make_images(3);
  nn_perturb *p = row("random_resized_crop", (double[]){ 0.08, 1, 0.75, 4.0 / 3 }, 4);
  nn_tensor *y = apply(p, x, 4);
  for (int64_t n = 0; n < IMAGES; n++) {
    nni_rectangle w;
    nni_perturb_window(p, nni_perturb_key(1, 4), (uint64_t)n, HEIGHT, WIDTH, &w);
    for (int64_t i = 0; i < HEIGHT; i++)
      for (int64_t j = 0; j < WIDTH; j++) {
        double v = fmax((i + 0.5) * (double)w.height / HEIGHT - 0.5, 0);
        double h = fmax((j + 0.5) * (double)w.width / WIDTH - 0.5, 0);
        int64_t a = (int64_t)v, b = (int64_t)h, c = a + 1 < w.height ? a + 1 : a, d = b + 1 < w.width ? b + 1 : b;
        double s = v - (double)a, t = h - (double)b;
        for (int k = 0; k < 3; k++) {
#define AT(r, q) (double)pixel(x, n, w.top + (r), w.left + (q))[k]
          double expected = (1 - s) * ((1 - t) * AT(a, b) + t * AT(a, d)) + s * ((1 - t) * AT(c, b) + t * AT(c, d));
          assert_true(fabs((double)pixel(y, n, i, j)[k] - expected) < 1e-6);
        }
      }
  }
  nn_tensor_release(y);
  nn_tensor_release(x);
  nn_perturb_release(p);
}

/* The first row that acts decides whether a picture's window is read: behind choices and coins too. */
static void the_first_row_shows_a_window(void **state) {
  (void)state;
  nn_perturb *crop = row("random_resized_crop", (double[]){ 0.5, 0.5, 1, 1 }, 4);
  nn_perturb *turn = row("flip", (double[]){ 1 }, 1);
  nn_perturb *either = nn_perturb_choice((nn_perturb *[]){ crop, turn }, 2), *perhaps = nn_perturb_maybe(0.5, turn);
  nn_perturb *plain = nn_perturb_sequence((nn_perturb *[]){ crop, turn }, 2);
  nn_perturb *late = nn_perturb_sequence((nn_perturb *[]){ turn, crop }, 2);
  nn_perturb *mixed = nn_perturb_sequence((nn_perturb *[]){ perhaps, either, crop }, 3);
  int64_t seen[12] = { 0 };
  nni_rectangle w;
  for (uint64_t n = 0; n < 400; n++) {
    assert_int_equal(nni_perturb_window(plain, 1, n, 100, 100, &w), 1);
    assert_int_equal(nni_perturb_window(late, 1, n, 100, 100, &w), NNI_NO_NODE);
    seen[1 + nni_perturb_window(mixed, 1, n, 100, 100, &w)]++;
  }
  /* mixed: 0 sequence, 1 maybe, 2 flip, 3 choice, 4 crop, 5 flip, 6 crop */
  assert_in_range(seen[1 + 4], 60, 140);
  assert_in_range(seen[0], 250, 350);
  assert_int_equal(seen[0] + seen[5], 400);

  /* A node that is done already is left out, and only it. */
  nn_real pixels[4 * 4] = { 1, 2, 3, 4 }, spare[4 * 4];
  nni_canvas canvas = { pixels, spare, 4, 4, 1 };
  assert_int_equal(nni_perturb_image(plain, 1, 0, 1, &canvas), NN_OK);
  assert_ptr_equal(canvas.pixels, pixels);
  assert_true(pixels[0] == 4 && pixels[3] == 1);
  nn_perturb *all[] = { crop, turn, either, perhaps, plain, late, mixed };
  for (int i = 0; i < 7; i++) nn_perturb_release(all[i]);
}

static void colours_and_moves_mix(void **state) {
  (void)state;
  nn_tensor *x = make_images(3), *two = make_images(2), *y = NULL;
  nn_perturb *moves = row("random_crop", (double[]){ 2, 0 }, 2), *turn = row("flip", (double[]){ 0.5 }, 1);
  nn_perturb *lighter = row("brightness", (double[]){ 51 }, 1);
  nn_perturb *both = nn_perturb_sequence((nn_perturb *[]){ moves, turn, lighter, moves }, 4);
  int threads = nn_threads();
  nn_set_threads(1);
  nn_tensor *first = apply(both, x, 3);
  for (int n = 2; n <= 4; n++) {
    nn_set_threads(n);
    y = apply(both, x, 3);
    assert_memory_equal(nn_tensor_data(first), nn_tensor_data(y), (size_t)nn_tensor_count(x) * sizeof(nn_real));
    nn_tensor_release(y);
  }
  nn_set_threads(threads);
  y = NULL;
  assert_int_equal(nn_perturb_apply(both, two, 1, 1, &y), NN_ESHAPE);
  assert_non_null(strstr(nn_error(), "1 or 3 channels expected, got [60x7x9x2] (brightness)"));
  nn_memory_fail_at(3); /* the scratch image */
  assert_int_equal(nn_perturb_apply(both, x, 1, 1, &y), NN_EMEMORY);
  nn_memory_fail_at(0);
  assert_null(y);
  nn_tensor *all[] = { x, two, first };
  for (int i = 0; i < 3; i++) nn_tensor_release(all[i]);
  nn_perturb *trees[] = { moves, turn, lighter, both };
  for (int i = 0; i < 4; i++) nn_perturb_release(trees[i]);
}

static void wrong_settings(void **state) {
  (void)state;
  const nn_perturbation *flip = nn_perturbation_find("flip");
  assert_null(nn_perturb_row(flip, NN_CONVENTION_PAPER, false, (double[]){ 1.5 }, 1));
  assert_string_equal(nn_error(), "perturb.flip: probability expects 0 to 1, got 1.5");
  assert_null(nn_perturb_row(flip, NN_CONVENTION_PAPER, false, (double[]){ NAN }, 1));
  assert_null(nn_perturb_row(flip, NN_CONVENTION_PAPER, false, (double[]){ 0.5, 0.5 }, 2));
  assert_string_equal(nn_error(), "perturb.flip: expected 1 settings, got 2");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(random_crop_moves),
    cmocka_unit_test(random_crop_refuses_too_much),
    cmocka_unit_test(flip_exchanges_sides),
    cmocka_unit_test(windows_are_drawn_evenly),
    cmocka_unit_test(random_resized_crop_enlarges),
    cmocka_unit_test(the_first_row_shows_a_window),
    cmocka_unit_test(colours_and_moves_mix),
    cmocka_unit_test(wrong_settings),
  };
  return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
