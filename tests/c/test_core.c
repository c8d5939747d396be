/* test_core.c -- errors, memory, threads, random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "nn.h"

/* Known answers from the Random123 distribution (philox4x32, 10 rounds). */
static void philox_known_answers(void **state) {
  (void)state;
  static const struct {
    uint64_t seed, stream, index;
    uint32_t answer[4];
  } cases[] = {
    { 0, 0, 0, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { UINT64_MAX, UINT64_MAX, UINT64_MAX, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { 0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88,
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint32_t block[4];
    nn_random_block(cases[i].seed, cases[i].stream, cases[i].index, block);
    assert_memory_equal(block, cases[i].answer, sizeof block);
  }
}

/* FIPS 180-4's examples, in one piece and in pieces of every size. */
static void sha256_known_answers(void **state) {
  (void)state;
  static char million[1000000];
  memset(million, 'a', sizeof million);
  const struct {
    const char *text;
    size_t size;
    const char *digest;
  } cases[] = {
    { "", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { million, sizeof million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
  };
  nn_sha256 sum;
  char digest[65];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    nn_sha256_start(&sum);
    nn_sha256_add(&sum, cases[i].text, cases[i].size);
    nn_sha256_end(&sum, digest);
    assert_string_equal(digest, cases[i].digest);
    for (size_t step = 1; step < 200; step += 1 + step / 7) {
      nn_sha256_start(&sum);
      for (size_t at = 0; at < cases[i].size; at += step)
        nn_sha256_add(&sum, cases[i].text + at, cases[i].size - at < step ? cases[i].size - at : step);
      nn_sha256_end(&sum, digest);
      assert_string_equal(digest, cases[i].digest);
    }
  }
}

static void draws_are_the_same_with_any_team(void **state) {
  (void)state;
  enum { COUNT = 100001 };
  static nn_real one[COUNT], two[COUNT];
  for (int normal = 0; normal < 2; normal++) {
    for (int threads = 1; threads <= 3; threads++) {
      nn_real *out = threads == 1 ? one : two;
      nn_set_threads(threads);
      if (normal) assert_int_equal(nn_random_fill_normal(out, COUNT, 0, 1, 5, 6), NN_OK);
      else assert_int_equal(nn_random_fill_uniform(out, COUNT, -1, 1, 5, 6), NN_OK);
      if (threads > 1) assert_memory_equal(one, two, sizeof one);
    }
  }
}

static void draws_have_the_right_moments(void **state) {
  (void)state;
  enum { COUNT = 200000 };
  static nn_real x[COUNT];
  double sum = 0, square = 0;
  assert_int_equal(nn_random_fill_normal(x, COUNT, 3, 2, 1, 0), NN_OK);
  for (int i = 0; i < COUNT; i++) sum += (double)x[i], square += (double)x[i] * (double)x[i];
  double mean = sum / COUNT, variance = square / COUNT - mean * mean;
  assert_true(mean > 2.98 && mean < 3.02);
  assert_true(variance > 3.95 && variance < 4.05);
}

static void permutation_holds_each_once(void **state) {
  (void)state;
  int32_t order[1000], seen[1000] = { 0 }, moved = 0;
  assert_int_equal(nn_random_permutation(order, 1000, 9, 0), NN_OK);
  assert_int_equal(nn_random_permutation(order, (int64_t)INT32_MAX + 1, 9, 0), NN_EARGUMENT);
  for (int i = 0; i < 1000; i++) seen[order[i]]++, moved += order[i] != i;
  for (int i = 0; i < 1000; i++) assert_int_equal(seen[i], 1);
  assert_true(moved > 900);
}

static void memory_counts_and_reuses(void **state) {
  (void)state;
  nn_memory_stats before, held, after;
  nn_memory_get_stats(&before);
  char *block = nn_memory_get(1000000);
  assert_non_null(block);
  assert_int_equal((uintptr_t)block % 64, 0);
  memset(block, 1, 1000000);
  nn_memory_get_stats(&held);
  assert_true(held.live >= before.live + 1000000);
  assert_true(held.peak >= held.live);
  nn_memory_put(block);
  nn_memory_get_stats(&after);
  assert_int_equal(after.live, before.live);
  assert_int_equal(after.live_blocks, before.live_blocks);
#ifndef NN_PLAIN_MALLOC
  assert_ptr_equal(nn_memory_get(999999), block);
  nn_memory_put(block);
#endif
}

/* Big blocks: of whole pages only, kept for requests of nearly their size, and lent for any smaller one. */
static void big_blocks_fit_well(void **state) {
  (void)state;
  const size_t size = (size_t)40 << 20;
  nn_memory_stats before, held;
  nn_memory_trim();
  nn_memory_get_stats(&before);
  char *block = nn_memory_get(size);
  assert_non_null(block);
  assert_int_equal((uintptr_t)block % 64, 0);
  memset(block, 1, size);
  nn_memory_get_stats(&held);
  assert_in_range(held.live - before.live, size, size + size / 4);
#ifndef NN_PLAIN_MALLOC
  assert_in_range(held.live - before.live, size, size + 65536);
  nn_memory_put(block);
  nn_memory_get_stats(&held);
  assert_int_equal(held.live, before.live);
  assert_in_range(held.cached - before.cached, size, size + 65536);
  assert_ptr_equal(nn_memory_get(size - size / 10), block);
  nn_memory_put(block);
  char *other = nn_memory_get(size / 2);
  assert_ptr_not_equal(other, block);
  assert_ptr_equal(nn_memory_borrow(size / 4), block);
  nn_memory_put(block);
  nn_memory_set_cap(held.live + 2 * size / 3);  /* the rest of `other` is too small for the block */
  char *third = nn_memory_borrow(size / 8);
  assert_non_null(third);
  assert_ptr_not_equal(third, block);
  nn_memory_set_cap(0);
  nn_memory_put(third);
  nn_memory_put(other);
  nn_memory_trim();
  nn_memory_get_stats(&held);
  assert_int_equal(held.cached, 0);
#else
  nn_memory_put(block);
#endif
}

/* What is kept is bounded by what was needed at once. */
static void the_cache_is_bounded(void **state) {
  (void)state;
  nn_memory_stats stats;
  for (size_t size = (size_t)20 << 20; size < (size_t)400 << 20; size += size / 3) {
    void *block = nn_memory_get(size);
    assert_non_null(block);
    nn_memory_put(block);
    nn_memory_get_stats(&stats);
    assert_true(stats.cached <= size + size / 4 + ((size_t)128 << 20));
  }
  nn_memory_trim();
}

/* Sizes around each class's edge are usable to the last byte. */
static void memory_sizes_are_whole(void **state) {
  (void)state;
  for (size_t size = 1; size < 20 << 20; size += size / 3 + 1) {
    char *block = nn_memory_get(size);
    assert_non_null(block);
    memset(block, 0xaa, size);
    nn_memory_put(block);
  }
  nn_memory_trim();
}

static void memory_fails_when_told(void **state) {
  (void)state;
  nn_memory_stats before;
  nn_memory_get_stats(&before);
  nn_memory_fail_at(2);
  void *first = nn_memory_get(100);
  assert_non_null(first);
  assert_null(nn_memory_get(100));
  assert_non_null(strstr(nn_error(), "out of memory"));
  assert_null(nn_memory_get(100));
  nn_memory_fail_at(0);
  nn_memory_put(first);
  nn_memory_set_cap(before.live + 4096);
  assert_null(nn_memory_get(1 << 20));
  assert_non_null(strstr(nn_error(), "cap"));
  nn_memory_set_cap(0);
  assert_null(nn_memory_get(SIZE_MAX / 2));
}

/* Pieces cover the range once, whatever the team. */
static void mark(void *context, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) ((uint8_t *)context)[i]++;
}

static void pieces_cover_the_range(void **state) {
  (void)state;
  static uint8_t marks[10007];
  for (int threads = 1; threads <= 5; threads++) {
    assert_int_equal(nn_set_threads(threads), NN_OK);
    for (int64_t grain = 1; grain < 20000; grain = grain * 7 + 1) {
      memset(marks, 0, sizeof marks);
      assert_int_equal(nn_parallel_for(10007, grain, mark, marks), NN_OK);
      for (size_t i = 0; i < sizeof marks; i++) assert_int_equal(marks[i], 1);
    }
  }
  assert_int_equal(nn_parallel_for(0, 1, mark, marks), NN_OK);
  assert_int_equal(nn_set_threads(0), NN_EARGUMENT);
}

/* Jobs on each other's heels, and after pauses in which the team falls asleep: members come late, or not at all. */
static void jobs_follow_each_other(void **state) {
  (void)state;
  static uint8_t marks[64];
  for (int threads = 2; threads <= 4; threads++) {
    nn_set_threads(threads);
    for (int i = 0; i < 2000; i++) {
      int64_t count = 2 + i % 63;
      memset(marks, 0, sizeof marks);
      if (i % 200 == 0) nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
      assert_int_equal(nn_parallel_for(count, 1, mark, marks), NN_OK);
      for (int64_t k = 0; k < 64; k++) assert_int_equal(marks[k], k < count);
    }
  }
}

static void nested(void *context, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) nn_parallel_for(100, 7, mark, (uint8_t *)context + 100 * i);
}

static void calls_nest(void **state) {
  (void)state;
  static uint8_t marks[5000];
  memset(marks, 0, sizeof marks);
  nn_set_threads(3);
  assert_int_equal(nn_parallel_for(50, 1, nested, marks), NN_OK);
  for (size_t i = 0; i < sizeof marks; i++) assert_int_equal(marks[i], 1);
}

static void interrupt_after_a_while(void *context, int64_t begin, int64_t end) {
  (void)end;
  __atomic_fetch_add((int *)context, 1, __ATOMIC_RELAXED);
  if (begin == 10) nn_interrupt();
}

static void interrupts_stop_the_rest(void **state) {
  (void)state;
  for (int threads = 1; threads <= 2; threads++) {
    int ran = 0;
    nn_set_threads(threads);
    assert_int_equal(nn_parallel_for(1000000, 1, interrupt_after_a_while, &ran), NN_EINTERRUPT);
    assert_string_equal(nn_error(), "interrupted");
    assert_true(ran < 1000000);
    nn_interrupt_clear();
    assert_int_equal(nn_interrupt_check(), NN_OK);
  }
}

static void messages_are_kept_and_prefixed(void **state) {
  (void)state;
  assert_int_equal(nn_fail(NN_ESHAPE, "axis %d", 3), NN_ESHAPE);
  assert_string_equal(nn_error(), "axis 3");
  nn_fail_prefix(NN_ESHAPE, "sum");
  assert_string_equal(nn_error(), "sum: axis 3");
  char long_name[2000];
  memset(long_name, 'x', sizeof long_name);
  long_name[sizeof long_name - 1] = '\0';
  nn_fail(NN_EIO, "%s", long_name);
  nn_fail_prefix(NN_EIO, "load");
  assert_true(strlen(nn_error()) < 600);
  assert_memory_equal(nn_error(), "load: xxx", 9);
}

static void the_processor_is_named(void **state) {
  (void)state;
  assert_int_equal(nn_start(), NN_OK);
  assert_int_equal(nn_start(), NN_OK);
  assert_true(strlen(nn_cpu_name()) > 0);
  assert_true(nn_cpu_count() >= 1);
  assert_non_null(strstr(nn_blas_name(), "OpenBLAS"));
}

static void the_level_is_chosen(void **state) {
  (void)state;
  nn_level chosen = NN_AVX2;
  assert_int_equal(nni_choose_level(NULL, NN_AVX512, &chosen), NN_OK);
  assert_int_equal(chosen, NN_AVX512);
  assert_int_equal(nni_choose_level("", NN_PORTABLE, &chosen), NN_OK);
  assert_int_equal(chosen, NN_PORTABLE);
  assert_int_equal(nni_choose_level("avx2", NN_AVX512, &chosen), NN_OK);
  assert_int_equal(chosen, NN_AVX2);
  assert_int_equal(nni_choose_level("avx512", NN_AVX2, &chosen), NN_EARGUMENT);
  assert_string_equal(nn_error(),
                      "PENUMBRA_CPU: expected what this processor and build have, avx2 or portable, got \"avx512\"");
  assert_int_equal(nni_choose_level("AVX2", NN_AVX512, &chosen), NN_EARGUMENT);
  assert_int_equal(chosen, NN_AVX2);
  const char *asked = getenv("PENUMBRA_CPU");
  assert_int_equal(nn_start(), NN_OK);
  if (asked) assert_string_equal(nn_cpu_level(), asked);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(philox_known_answers),
    cmocka_unit_test(sha256_known_answers),
    cmocka_unit_test(draws_are_the_same_with_any_team),
    cmocka_unit_test(draws_have_the_right_moments),
    cmocka_unit_test(permutation_holds_each_once),
    cmocka_unit_test(memory_counts_and_reuses),
    cmocka_unit_test(big_blocks_fit_well),
    cmocka_unit_test(the_cache_is_bounded),
    cmocka_unit_test(memory_sizes_are_whole),
    cmocka_unit_test(memory_fails_when_told),
    cmocka_unit_test(pieces_cover_the_range),
    cmocka_unit_test(jobs_follow_each_other),
    cmocka_unit_test(calls_nest),
    cmocka_unit_test(interrupts_stop_the_rest),
    cmocka_unit_test(messages_are_kept_and_prefixed),
    cmocka_unit_test(the_processor_is_named),
    cmocka_unit_test(the_level_is_chosen),
  };
  return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
