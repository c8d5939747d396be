/* memory.c -- a caching allocator with counters, a cap, and a way to fail on purpose.
 *
 * A training step asks for the same sizes again and again. Returning them to the system costs page faults (10 - 30 % of
 * a step), so freed blocks are kept. Every block starts with a header of one cache line; the pointer handed out is
 * aligned to 64 bytes.
 *
 * Small blocks wait in a list per size class, four classes to a doubling. A big one (from 4 MB: an activation, the
 * arena of a plan) is a mapping of its own, of just the pages it needs, on huge pages where the system has them: its
 * first touch then costs a quarter. It waits in one list, and serves a request that it exceeds by at most an eighth, or
 * any smaller one that is only borrowed.
 *
 * What is kept is bounded: when a request misses the lists and live + cached would pass 1.25 x the highest live bytes
 * (and a floor), blocks go back to the system first, those freed longest ago before others. Workloads of one shape
 * never get there.
 *
 * With NN_PLAIN_MALLOC (sanitizer builds) nothing is cached, so that the tools see every block.
 */
#define _DEFAULT_SOURCE  /* MAP_ANONYMOUS, madvise */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/core.h"

enum { ALIGNMENT = 64, CLASSES = 200, SMALLEST = 64, BIG_CLASS = CLASSES };
#define BIG_BYTES ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
#define CACHE_FLOOR ((size_t)64 << 20)

typedef struct block {
  size_t bytes;        /* usable size: that of the class, or of the mapping */
  int class;
  struct block *next;  /* in its free list */
} block;

_Static_assert(sizeof(block) <= ALIGNMENT, "a header takes one cache line");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *free_list[CLASSES], *free_big;  /* the last freed first */
static nn_memory_stats stats;
static size_t highest;                        /* live bytes, ever */
static uint64_t fail_from, asked;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* The class of a request and its size: SMALLEST * 2^(c / 4), rounded to whole cache lines; or whole pages. */
static int class_of(size_t bytes, size_t *size) {
#ifndef NN_PLAIN_MALLOC
  if (bytes >= BIG_BYTES) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *size = (bytes + ALIGNMENT + page - 1) / page * page - ALIGNMENT;
    return BIG_CLASS;
  }
#endif
  size_t base = SMALLEST;
  int class = 0;
  while (base * 2 < bytes && class + 4 < CLASSES) base *= 2, class += 4;
  for (int quarter = 0; quarter <= 4; quarter++) {
    size_t candidate = base + base / 4 * (size_t)quarter;
    candidate = (candidate + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (bytes <= candidate) {
      *size = candidate;
      return class + quarter;
    }
  }
  return -1;
}

/* ---- from and to the system ---- */

/* A mapping that starts on a huge page. */
static block *map(size_t bytes) {
  size_t length = bytes + ALIGNMENT;
  char *p = mmap(NULL, length + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
  if (before) munmap(p, before);
  p += before;
  munmap(p + length, HUGE_PAGE - before);
#ifdef MADV_HUGEPAGE
  madvise(p, length, MADV_HUGEPAGE);  /* a wish: without it all works, slower */
#endif
  return (block *)(void *)p;
}

static block *from_system(size_t size, int class) {
  return class == BIG_CLASS ? map(size) : aligned_alloc(ALIGNMENT, size + ALIGNMENT);
}

static void to_system(block *b) {
  if (b->class == BIG_CLASS) munmap(b, b->bytes + ALIGNMENT);
  else free(b);
}

static block *pop(block **list) {
  block *b = *list;
  *list = b->next;
  stats.cached -= b->bytes;
  return b;
}

static void give_back_small(void) {
  for (int i = 0; i < CLASSES; i++)
    while (free_list[i]) to_system(pop(&free_list[i]));
}

static void give_back_oldest_big(void) {
  block **oldest = &free_big;
  while ((*oldest)->next) oldest = &(*oldest)->next;
  to_system(pop(oldest));
}

static void give_back_cached(void) {
  while (free_big) to_system(pop(&free_big));
  give_back_small();
}

/* ---- from the lists ---- */

/* The smallest free big block from `size` to `most` bytes. */
static block *find_big(size_t size, size_t most) {
  block **best = NULL;
  for (block **b = &free_big; *b; b = &(*b)->next)
    if ((*b)->bytes >= size && (*b)->bytes <= most && (!best || (*b)->bytes < (*best)->bytes)) best = b;
  return best ? pop(best) : NULL;
}

static block *find(size_t size, int class, bool brief) {
  if (class != BIG_CLASS) return free_list[class] ? pop(&free_list[class]) : NULL;
  size_t most = stats.cap ? stats.cap - stats.live : SIZE_MAX;
  return find_big(size, brief ? most : smaller(most, size + size / 8));
}

static bool affordable(size_t size) {
  size_t most = larger(highest, stats.live + size);
  return stats.live + stats.cached + size <= most + most / 4 + CACHE_FLOOR;
}

static block *new_block(size_t size, int class) {
  while (free_big && !affordable(size)) give_back_oldest_big();
  if (!affordable(size)) give_back_small();
  block *b = from_system(size, class);
  if (!b && stats.cached) {
    give_back_cached();
    b = from_system(size, class);
  }
  return b;
}

static void *get(size_t bytes, bool brief) {
  size_t size;
  int class = bytes > (size_t)1 << 46 ? -1 : class_of(bytes ? bytes : 1, &size);
  if (class < 0) {
    nn_fail(NN_EMEMORY, "out of memory: %zu bytes asked for", bytes);
    return NULL;
  }
  pthread_mutex_lock(&lock);
  block *b = NULL;
  bool planted = fail_from && ++asked >= fail_from;
  bool over = stats.cap && stats.live + size > stats.cap;
  if (!planted && !over) {
    b = find(size, class, brief);
    if (!b && (b = new_block(size, class))) {
      b->bytes = size;
      b->class = class;
    }
  }
  if (b) {
    stats.live += b->bytes;
    stats.live_blocks++;
    stats.peak = larger(stats.peak, stats.live);
    highest = larger(highest, stats.live);
  }
  size_t live = stats.live, cap = stats.cap;
  pthread_mutex_unlock(&lock);
  if (b) return (char *)b + ALIGNMENT;
  if (over) nn_fail(NN_EMEMORY, "out of memory: %zu bytes asked for, %zu in use, cap %zu", bytes, live, cap);
  else nn_fail(NN_EMEMORY, "out of memory: %zu bytes asked for, %zu in use", bytes, live);
  return NULL;
}

void *nn_memory_get(size_t bytes) { return get(bytes, false); }
void *nn_memory_borrow(size_t bytes) { return get(bytes, true); }

void *nn_memory_get_zeroed(size_t bytes) {
  void *p = nn_memory_get(bytes);
  return p ? memset(p, 0, bytes) : NULL;
}

void nn_memory_put(void *p) {
  if (!p) return;
  block *b = (block *)((char *)p - ALIGNMENT);
  pthread_mutex_lock(&lock);
  stats.live -= b->bytes;
  stats.live_blocks--;
#ifdef NN_PLAIN_MALLOC
  free(b);
#else
  block **list = b->class == BIG_CLASS ? &free_big : &free_list[b->class];
  b->next = *list;
  *list = b;
  stats.cached += b->bytes;
#endif
  pthread_mutex_unlock(&lock);
}

void nn_memory_get_stats(nn_memory_stats *out) {
  pthread_mutex_lock(&lock);
  *out = stats;
  pthread_mutex_unlock(&lock);
}

void nn_memory_reset_peak(void) {
  pthread_mutex_lock(&lock);
  stats.peak = stats.live;
  pthread_mutex_unlock(&lock);
}

void nn_memory_set_cap(size_t bytes) {
  pthread_mutex_lock(&lock);
  stats.cap = bytes;
  pthread_mutex_unlock(&lock);
}

void nn_memory_trim(void) {
  pthread_mutex_lock(&lock);
  give_back_cached();
  pthread_mutex_unlock(&lock);
}

void nn_memory_fail_at(uint64_t n) {
  pthread_mutex_lock(&lock);
  fail_from = n;
  asked = 0;
  pthread_mutex_unlock(&lock);
}
