/* memory.c -- a caching allocator with counters, a cap, and a way to fail on purpose.
 *
 * A training step asks for the same sizes again and again. Returning them to the system costs page faults (10 - 30 % of
 * a step), so freed blocks wait in a list per size class, four classes to a doubling. Every block starts with a header
 * of one cache line that names its class; the pointer handed out is aligned to 64 bytes.
 *
 * What is kept is bounded: when a request misses the lists and live + cached would pass 1.25 x the peak of live bytes
 * (and a floor), all cached blocks go back to the system first. Workloads of one shape never get there.
 *
 * With NN_PLAIN_MALLOC (sanitizer builds) nothing is cached, so that the tools see every block.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "nn.h"

enum { ALIGNMENT = 64, CLASSES = 200, SMALLEST = 64 };
#define CACHE_FLOOR ((size_t)64 << 20)

typedef struct block {
  size_t bytes;        /* usable size: that of the class */
  int class;
  struct block *next;  /* in its free list */
} block;

_Static_assert(sizeof(block) <= ALIGNMENT, "a header takes one cache line");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *free_list[CLASSES];
static nn_memory_stats stats;
static uint64_t fail_from, asked;

/* The class of a request and its size: SMALLEST * 2^(c / 4), rounded to whole cache lines. */
static int class_of(size_t bytes, size_t *size) {
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

static void give_back_cached(void) {
  for (int i = 0; i < CLASSES; i++) {
    while (free_list[i]) {
      block *b = free_list[i];
      free_list[i] = b->next;
      free(b);
    }
  }
  stats.cached = 0;
}

static block *new_block(size_t size) {
#ifndef NN_PLAIN_MALLOC
  if (stats.live + stats.cached + size > stats.peak + stats.peak / 4 + CACHE_FLOOR) give_back_cached();
#endif
  block *b = aligned_alloc(ALIGNMENT, size + ALIGNMENT);
  if (!b && stats.cached) {
    give_back_cached();
    b = aligned_alloc(ALIGNMENT, size + ALIGNMENT);
  }
  return b;
}

void *nn_memory_get(size_t bytes) {
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
    b = free_list[class];
    if (b) {
      free_list[class] = b->next;
      stats.cached -= b->bytes;
    } else {
      b = new_block(size);
    }
  }
  if (b) {
    b->bytes = size;
    b->class = class;
    stats.live += size;
    stats.live_blocks++;
    if (stats.live > stats.peak) stats.peak = stats.live;
  }
  size_t live = stats.live, cap = stats.cap;
  pthread_mutex_unlock(&lock);
  if (b) return (char *)b + ALIGNMENT;
  if (over) nn_fail(NN_EMEMORY, "out of memory: %zu bytes asked for, %zu in use, cap %zu", bytes, live, cap);
  else nn_fail(NN_EMEMORY, "out of memory: %zu bytes asked for, %zu in use", bytes, live);
  return NULL;
}

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
  b->next = free_list[b->class];
  free_list[b->class] = b;
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
