/* test_loader.c -- batches from workers: the same bits whoever makes them, bounded memory, bad files, and ends of every
 * kind. Meant for ThreadSanitizer too. */
#include "scratch.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

#include "core/parallel.h"

enum { IMAGES = 50, SIDE = 6, CHANNELS = 3, ELEMENTS = SIDE * SIDE * CHANNELS, SIZE = 8, BATCHES = 7 };

/* ---- sets ---- */

static nn_tensor *images, *labels, *order;
static nn_perturb *augment;
static nn_files *files, *damaged;

static nn_perturb *row(const char *name, const double *settings, int count) {
  nn_perturb *p = nn_perturb_row(nn_perturbation_find(name), NN_CONVENTION_PAPER, false, settings, count);
  if (!p) fail_msg("%s", nn_error());
  return p;
}

/* Pictures of random sides and pixels; `bad` of them are no pictures. */
static nn_files *write_pictures(const char *folder, const int *bad, int bad_count) {
  nn_files *list = nn_files_new(scratch_folder);
  for (int i = 0; i < IMAGES; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s%02d.png", folder, i);
    bool spoilt = false;
    for (int k = 0; k < bad_count; k++) spoilt |= bad[k] == i;
    nn_tensor *picture = nn_tensor_new(NN_UINT8, 3, (int64_t[]){ 8 + i % 7, 8 + i % 11, CHANNELS });
    uint8_t *pixels = nn_tensor_write(picture);
    for (int64_t k = 0; k < nn_tensor_count(picture); k++) pixels[k] = (uint8_t)((k * k + 7 * i) % 251);
    if (spoilt) scratch_write(scratch_path(name), "no picture", 10);
    else if (nn_image_save(scratch_path(name), picture, &(nn_image_encoding){ 0 }) != NN_OK) fail_msg("%s", nn_error());
    nn_tensor_release(picture);
    assert_int_equal(nn_files_add(list, name, i % 5), NN_OK);
  }
  return list;
}

static int make_sets(void **state) {
  if (scratch_open(state) != 0) return 1;
  images = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ IMAGES, SIDE, SIDE, CHANNELS });
  labels = nn_tensor_new(NN_INDEX, 1, (int64_t[]){ IMAGES });
  order = nn_tensor_new(NN_INDEX, 1, (int64_t[]){ IMAGES });
  uint8_t *pixels = nn_tensor_write(images);
  for (int i = 0; i < IMAGES; i++) {
    ((int32_t *)nn_tensor_write(labels))[i] = i;
    for (int k = 0; k < ELEMENTS; k++) pixels[i * ELEMENTS + k] = (uint8_t)(k == 0 ? i : k + i);
  }
  if (nn_random_permutation(nn_tensor_write(order), IMAGES, 3, 0) != NN_OK) return 1;
  nn_perturb *crop = row("random_crop", (double[]){ 2, 0 }, 2), *flip = row("flip", (double[]){ 0.5 }, 1);
  nn_perturb *part = row("random_resized_crop", (double[]){ 0.3, 1, 0.75, 1.3 }, 4);
  nn_perturb *some = nn_perturb_maybe(0.5, part), *lighter = row("brightness", (double[]){ 20, -20 }, 2);
  augment = nn_perturb_sequence((nn_perturb *[]){ some, crop, flip, lighter }, 4);
  nn_perturb *all[] = { crop, flip, part, some, lighter };
  for (int i = 0; i < 5; i++) nn_perturb_release(all[i]);
  files = write_pictures("good", NULL, 0);
  damaged = write_pictures("bad", (int[]){ 3, 11, 12, 13, 20, 33, 41 }, 7);
  return 0;
}

static int free_sets(void **state) {
  char path[4096];
  for (int64_t i = 0; i < IMAGES; i++) {
    remove(nn_files_path(files, i, path, sizeof path));
    remove(nn_files_path(damaged, i, path, sizeof path));
  }
  nn_tensor_release(images);
  nn_tensor_release(labels);
  nn_tensor_release(order);
  nn_perturb_release(augment);
  nn_files_release(files);
  nn_files_release(damaged);
  return scratch_close(state);
}

/* ---- loaders ---- */

static nn_loader_options in_memory(void) {
  return (nn_loader_options){ .images = images, .labels = labels, .order = order, .size = SIZE, .last = BATCHES,
                              .augment = augment, .seed = 9, .step = 100, .prefetch = 2 };
}

static nn_loader_options in_files(nn_files *list) {
  nn_loader_options o = in_memory();
  o.images = NULL;
  o.files = list;
  o.fit = (nn_fit){ .height = SIDE, .width = SIDE, .resize = 7, .channels = CHANNELS };
  return o;
}

static nn_loader *loader_of(const nn_loader_options *o) {
  nn_loader *l = NULL;
  if (nn_loader_new(o, &l) != NN_OK) fail_msg("%s", nn_error());
  return l;
}

/* Everything it gives, one after the other: images and then labels of a batch; batches are numbered from `first`. */
static nn_real *run(const nn_loader_options *o, int64_t *given) {
  nn_real *all = calloc((size_t)IMAGES * (ELEMENTS + 1), sizeof *all), *to = all;
  nn_loader *l = loader_of(o);
  nn_tensor *x, *y;
  int64_t number, expected = o->first;
  *given = 0;
  for (;;) {
    if (nn_loader_next(l, &x, &y, &number) != NN_OK) fail_msg("%s", nn_error());
    if (!x) break;
    if (!o->skip) assert_int_equal(number, expected++);
    int64_t count = nn_tensor_count(y);
    assert_int_equal(nn_tensor_size(x, 0), count);
    memcpy(to, nn_tensor_data(x), (size_t)(count * ELEMENTS) * sizeof *to);
    to += count * ELEMENTS;
    for (int64_t i = 0; i < count; i++) *to++ = (nn_real)((const int32_t *)nn_tensor_data(y))[i];
    *given += count;
    nn_tensor_release(x);
    nn_tensor_release(y);
  }
  assert_true(nn_loader_waited(l) >= 0);
  nn_loader_free(l);
  return all;
}

static void same_with_any_workers(nn_loader_options o) {
  static const int teams[][3] = { { 1, 1, 1 }, { 1, 2, 3 }, { 2, 1, 2 }, { 5, 1, 1 }, { 5, 2, 4 }, { 0, 3, 1 } };
  int64_t given, count;
  int threads = nn_threads();
  nn_set_threads(1);
  nn_real *one = run(&o, &given);
  for (size_t i = 0; i < sizeof teams / sizeof *teams; i++) {
    o.workers = teams[i][0];
    nn_set_threads(teams[i][1]);
    o.prefetch = teams[i][2];
    nn_real *other = run(&o, &count);
    assert_int_equal(count, given);
    assert_memory_equal(one, other, (size_t)IMAGES * (ELEMENTS + 1) * sizeof *one);
    free(other);
  }
  nn_set_threads(threads);
  free(one);
}

/* ---- tests ---- */

/* The images of the order, as floats, changed as nn_perturb_apply changes the batch. */
static void batches_are_what_they_should_be(void **state) {
  (void)state;
  for (int changed = 0; changed < 2; changed++) {
    nn_loader_options o = in_memory();
    if (!changed) o.augment = NULL;
    o.first = 2;
    nn_loader *l = loader_of(&o);
    const int32_t *rows = nn_tensor_data(order);
    nn_tensor *x, *y;
    int64_t number;
    for (int64_t b = 2; b < BATCHES; b++) {
      assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
      assert_int_equal(number, b);
      int64_t count = b < BATCHES - 1 ? SIZE : IMAGES - SIZE * (BATCHES - 1);
      assert_int_equal(nn_tensor_size(x, 0), count);
      nn_tensor *plain = nn_tensor_new(NN_REAL, 4, (int64_t[]){ count, SIDE, SIDE, CHANNELS }), *expected = NULL;
      nn_real *pixels = nn_tensor_write(plain);
      for (int64_t i = 0; i < count; i++) {
        int32_t from = rows[b * SIZE + i];
        assert_int_equal(((const int32_t *)nn_tensor_data(y))[i], from);
        const uint8_t *bytes = (const uint8_t *)nn_tensor_data(images) + from * ELEMENTS;
        for (int k = 0; k < ELEMENTS; k++) pixels[i * ELEMENTS + k] = (nn_real)bytes[k] / 255;
      }
      if (changed) assert_int_equal(nn_perturb_apply(augment, plain, 9, 100 + (uint64_t)b, &expected), NN_OK);
      else expected = nn_tensor_retain(plain);
      assert_memory_equal(nn_tensor_data(x), nn_tensor_data(expected), (size_t)(count * ELEMENTS) * sizeof(nn_real));
      nn_tensor *all[] = { x, y, plain, expected };
      for (int i = 0; i < 4; i++) nn_tensor_release(all[i]);
    }
    assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
    assert_null(x);
    nn_loader_free(l);
  }
}

static void bits_do_not_depend_on_workers(void **state) {
  (void)state;
  same_with_any_workers(in_memory());
  same_with_any_workers(in_files(files));
  nn_loader_options o = in_files(damaged);
  o.skip = true;
  same_with_any_workers(o);
}

static void bytes_are_the_stored_ones(void **state) {
  (void)state;
  nn_loader_options o = in_memory();
  nn_loader *l = NULL;
  o.bytes = true;
  assert_int_equal(nn_loader_new(&o, &l), NN_EARGUMENT);
  o.augment = NULL;
  o.order = NULL;
  o.size = IMAGES;
  o.last = 1;
  l = loader_of(&o);
  nn_tensor *x, *y;
  int64_t number;
  assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
  assert_memory_equal(nn_tensor_data(x), nn_tensor_data(images), IMAGES * ELEMENTS);
  nn_tensor_release(x);
  nn_tensor_release(y);
  nn_loader_free(l);
}

/* The first in order is told, after all batches before it, by name. */
static void a_bad_file_stops(void **state) {
  (void)state;
  for (int workers = 0; workers <= 3; workers++) {
    nn_loader_options o = in_files(damaged);
    o.order = NULL;
    o.workers = workers;
    o.first = 1; /* places 8 .. 15: 11, 12 and 13 are bad */
    nn_loader *l = loader_of(&o);
    nn_tensor *x, *y;
    int64_t number;
    for (int again = 0; again < 2; again++) {
      assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_EFORMAT);
      assert_non_null(strstr(nn_error(), "/bad11.png: "));
    }
    nn_loader_free(l);
    o.first = 3; /* 24 .. 31, then 33 */
    l = loader_of(&o);
    assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
    nn_tensor_release(x);
    nn_tensor_release(y);
    assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_EFORMAT);
    assert_non_null(strstr(nn_error(), "/bad33.png: "));
    nn_loader_free(l);
  }
}

static void bad_files_are_skipped(void **state) {
  (void)state;
  for (int workers = 0; workers <= 3; workers++) {
    nn_loader_options o = in_files(damaged);
    o.order = NULL;
    o.workers = workers;
    o.skip = true;
    nn_loader *l = loader_of(&o);
    static const int kept[BATCHES] = { 7, 5, 7, 8, 7, 7, 2 };
    nn_tensor *x, *y;
    int64_t number;
    for (int b = 0; b < BATCHES; b++) {
      assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
      assert_int_equal(nn_tensor_size(x, 0), kept[b]);
      if (b == 1) {
        const int32_t found[] = { 8, 9, 10, 14, 15 };
        assert_memory_equal(nn_tensor_data(y), found, sizeof found);
      }
      nn_tensor_release(x);
      nn_tensor_release(y);
    }
    const nn_bad_images *bad = nn_loader_bad(l);
    assert_int_equal(bad->count, 7);
    assert_int_equal(bad->names, 5);
    static const char *const names[] = { "/bad03.png", "/bad11.png", "/bad12.png", "/bad13.png", "/bad20.png" };
    for (int i = 0; i < 5; i++) assert_non_null(strstr(bad->name[i], names[i]));
    nn_loader_free(l);
    o.size = 1; /* a batch of which nothing is left is passed over */
    o.first = 11;
    o.last = 15;
    l = loader_of(&o);
    assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
    assert_int_equal(number, 14);
    nn_tensor_release(x);
    nn_tensor_release(y);
    assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
    assert_null(x);
    nn_loader_free(l);
  }
}

static void files_that_are_missing_or_no_images(void **state) {
  (void)state;
  nn_tensor *line = nn_tensor_zeros(NN_UINT8, 2, (int64_t[]){ 1, 1 << 23 }), *x, *y;
  assert_int_equal(nn_image_save(scratch_path("line.png"), line, &(nn_image_encoding){ .format = NN_PNG }), NN_OK);
  nn_tensor_release(line);
  nn_files *list = nn_files_new(scratch_folder);
  assert_int_equal(nn_files_add(list, "not-there.png", 0), NN_OK);
  assert_int_equal(nn_files_add(list, "pipe.png", 0), NN_OK);
  assert_int_equal(nn_files_add(list, "line.png", 0), NN_OK);
  assert_int_equal(mkfifo(scratch_path("pipe.png"), 0600), 0);
  nn_loader_options o = in_files(list);
  o.order = NULL;
  nn_tensor *three = nn_tensor_zeros(NN_INDEX, 1, (int64_t[]){ 3 });
  o.fit.resize = 256;
  o.labels = three;
  o.size = 3;
  o.last = 1;
  o.skip = true;
  nn_loader *l = loader_of(&o);
  int64_t number;
  assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
  assert_null(x);
  assert_non_null(strstr(nn_loader_bad(l)->name[0], "not-there.png: No such file or directory"));
  assert_non_null(strstr(nn_loader_bad(l)->name[1], "not a regular file"));
  assert_non_null(strstr(nn_loader_bad(l)->name[2], "line.png: a picture of 1 x 8388608 is too narrow"));
  nn_loader_free(l);
  nn_tensor_release(three);
  nn_files_release(list);
  remove(scratch_path("line.png"));
  remove(scratch_path("pipe.png"));
}

static size_t live_bytes(void) {
  nn_memory_stats stats;
  nn_memory_get_stats(&stats);
  return stats.live;
}

/* Whatever the workers could do meanwhile, no more than `prefetch` batches are there. */
static void memory_is_bounded_by_prefetch(void **state) {
  (void)state;
  enum { MANY = 400, WIDE = 16 };
  nn_tensor *many = nn_tensor_zeros(NN_UINT8, 4, (int64_t[]){ MANY, WIDE, WIDE, 3 });
  nn_tensor *classes = nn_tensor_zeros(NN_INDEX, 1, (int64_t[]){ MANY });
  for (int prefetch = 1; prefetch <= 4; prefetch++) {
    nn_loader_options o = { .images = many, .labels = classes, .size = 20, .last = 20, .augment = augment,
                            .workers = 3, .prefetch = prefetch };
    size_t before = live_bytes(), batch = 20 * WIDE * WIDE * 3 * sizeof(nn_real), most = 0;
    nn_loader *l = loader_of(&o);
    nn_tensor *x, *y;
    int64_t number;
    for (int b = 0; b < 20; b++) {
      nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
      size_t now = live_bytes() - before;
      if (now > most) most = now;
      assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
      nn_tensor_release(x);
      nn_tensor_release(y);
    }
    nn_loader_free(l);
    assert_int_equal(live_bytes(), before);
    size_t own = 3 * WIDE * WIDE * 3 * sizeof(nn_real) + 100000; /* scratch, and the loader itself with its threads' */
    assert_in_range(most, 1, (size_t)prefetch * (batch + batch / 4 + 1024) + own);
  }
  nn_tensor_release(many);
  nn_tensor_release(classes);
}

static void dropped_at_any_moment(void **state) {
  (void)state;
  size_t before = live_bytes();
  for (int i = 0; i < 60; i++) {
    nn_loader_options o = i % 2 ? in_memory() : in_files(files);
    o.workers = 1 + i % 4;
    o.prefetch = 1 + i % 3;
    nn_loader *l = loader_of(&o);
    nn_tensor *x, *y;
    int64_t number;
    for (int b = 0; b < i % 5; b++) {
      assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
      nn_tensor_release(x);
      nn_tensor_release(y);
    }
    if (i % 7 == 0) nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    nn_loader_free(l);
  }
  assert_int_equal(live_bytes(), before);
}

/* An interrupt ends the wait; afterwards it goes on where it was. */
static void interrupts_end_the_wait(void **state) {
  (void)state;
  for (int workers = 0; workers <= 2; workers += 2) {
    int64_t given;
    nn_loader_options o = in_files(files);
    o.workers = workers;
    nn_real *all = run(&o, &given), *from = all;
    nn_loader *l = loader_of(&o);
    nn_tensor *x, *y;
    for (int64_t b = 0, number; b < BATCHES; b++) {
      nn_interrupt();
      int status = nn_loader_next(l, &x, &y, &number); /* a batch that is ready may still be had */
      nn_interrupt_clear();
      if (status != NN_OK) {
        assert_int_equal(status, NN_EINTERRUPT);
        assert_int_equal(nn_loader_next(l, &x, &y, &number), NN_OK);
      }
      int64_t elements = nn_tensor_count(x);
      assert_memory_equal(nn_tensor_data(x), from, (size_t)elements * sizeof *from);
      from += elements + nn_tensor_count(y);
      nn_tensor_release(x);
      nn_tensor_release(y);
    }
    nn_loader_free(l);
    free(all);
  }
}

static void out_of_memory_ends_it(void **state) {
  (void)state;
  size_t before = live_bytes();
  for (int workers = 0; workers <= 2; workers += 2)
    for (uint64_t n = 1; n <= 12; n++) {
      nn_loader_options o = in_files(files);
      o.workers = workers;
      o.last = 3;
      o.skip = true;
      nn_loader *l = NULL;
      nn_memory_fail_at(n);
      int status = nn_loader_new(&o, &l);
      nn_tensor *x = NULL, *y = NULL;
      int64_t number;
      while (status == NN_OK && (status = nn_loader_next(l, &x, &y, &number)) == NN_OK && x) {
        nn_tensor_release(x);
        nn_tensor_release(y);
      }
      nn_memory_fail_at(0);
      assert_int_equal(status, NN_EMEMORY);
      nn_loader_free(l);
      assert_int_equal(live_bytes(), before);
    }
}

static void wrong_options(void **state) {
  (void)state;
  nn_loader *l = NULL;
  nn_loader_options o = in_memory();
  o.last = BATCHES + 1;
  assert_int_equal(nn_loader_new(&o, &l), NN_EARGUMENT);
  o = in_memory();
  o.prefetch = 0;
  assert_int_equal(nn_loader_new(&o, &l), NN_EARGUMENT);
  o = in_memory();
  o.labels = order;
  o.images = labels;
  assert_int_equal(nn_loader_new(&o, &l), NN_ESHAPE);
  o = in_files(files);
  o.fit.resize = SIDE - 1;
  assert_int_equal(nn_loader_new(&o, &l), NN_EARGUMENT);
  nn_perturb *wide = row("random_crop", (double[]){ SIDE + 1, 0 }, 2);
  o = in_memory();
  o.augment = wide;
  assert_int_equal(nn_loader_new(&o, &l), NN_ESHAPE);
  nn_perturb_release(wide);
  nn_tensor *far = nn_tensor_new(NN_INDEX, 1, (int64_t[]){ 1 });
  ((int32_t *)nn_tensor_write(far))[0] = IMAGES;
  o = in_memory();
  o.order = far;
  o.last = 1;
  assert_int_equal(nn_loader_new(&o, &l), NN_EARGUMENT);
  assert_string_equal(nn_error(), "batches: order: place 51 of 50 images");
  nn_tensor_release(far);
  assert_null(l);
}

/* ---- workers ---- */

static atomic_int running, asked;

static void run_until_asked(void *context, int worker) {
  (void)context;
  (void)worker;
  atomic_fetch_add(&running, 1);
  while (!atomic_load(&asked)) nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
  atomic_fetch_sub(&running, 1);
}

static void ask(void *context) {
  (void)context;
  atomic_store(&asked, 1);
}

static void workers_are_stopped_and_waited_for(void **state) {
  (void)state;
  nni_work work = { run_until_asked, ask, NULL };
  nni_workers *w = NULL;
  assert_int_equal(nni_workers_start(&work, 3, &w), NN_OK);
  assert_int_equal(nni_workers_count(w), 3);
  nni_workers_end(w);
  assert_int_equal(atomic_load(&running), 0);
  atomic_store(&asked, 0);
  nni_workers_end(NULL);
}

static nn_loader *volatile left_over; /* a leak checker finds it here */

/* One that nobody frees: its threads are stopped when the program exits. */
static void one_is_left_to_the_exit(void **state) {
  (void)state;
  nn_loader_options o = in_memory();
  o.workers = 2;
  nn_loader *l = loader_of(&o);
  nn_tensor *x, *y;
  int64_t number;
  left_over = l;
  assert_int_equal(nn_loader_next(left_over, &x, &y, &number), NN_OK);
  nn_tensor_release(x);
  nn_tensor_release(y);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(batches_are_what_they_should_be),
    cmocka_unit_test(bits_do_not_depend_on_workers),
    cmocka_unit_test(bytes_are_the_stored_ones),
    cmocka_unit_test(a_bad_file_stops),
    cmocka_unit_test(bad_files_are_skipped),
    cmocka_unit_test(files_that_are_missing_or_no_images),
    cmocka_unit_test(memory_is_bounded_by_prefetch),
    cmocka_unit_test(dropped_at_any_moment),
    cmocka_unit_test(interrupts_end_the_wait),
    cmocka_unit_test(out_of_memory_ends_it),
    cmocka_unit_test(wrong_options),
    cmocka_unit_test(workers_are_stopped_and_waited_for),
    cmocka_unit_test(one_is_left_to_the_exit),
  };
  return cmocka_run_group_tests(tests, make_sets, free_sets);
}
