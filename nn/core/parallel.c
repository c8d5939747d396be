/* parallel.c -- the one team of threads, and interrupts.
 *
 * The calling thread is member 0; the others wait for work: they spin briefly, then sleep. A job is a range cut into
 * pieces of `grain`; members take pieces from a shared counter. Which member runs a piece does not matter to the
 * result, because a piece writes only its own output and the cuts depend on (count, grain) alone.
 *
 * Only one job runs at a time. A call from inside a piece, or while another thread's job runs, is done serially by the
 * caller.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "nn.h"

enum { MAX_THREADS = 256, SPINS = 2000 };

static struct {
  nn_chunk work;
  void *context;
  int64_t count, grain;
  atomic_llong next;      /* the next piece to take */
} job;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  /* guards sleeping and waking */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static atomic_uint generation;   /* raised for each job */
static atomic_int running;       /* helpers still busy with the job */
static atomic_bool quit;
static pthread_t helper[MAX_THREADS];
static int helpers, wanted;      /* started, and asked for (0: not chosen yet) */
static bool stops_at_exit;
static atomic_flag busy = ATOMIC_FLAG_INIT;
static _Thread_local bool inside;
static atomic_bool interrupted;

static void take_pieces(void) {
  inside = true;
  int64_t pieces = (job.count + job.grain - 1) / job.grain;
  for (;;) {
    int64_t piece = atomic_fetch_add_explicit(&job.next, 1, memory_order_relaxed);
    if (piece >= pieces || atomic_load_explicit(&interrupted, memory_order_relaxed)) break;
    int64_t begin = piece * job.grain, end = begin + job.grain;
    job.work(job.context, begin, end < job.count ? end : job.count);
  }
  inside = false;
}

static void *helper_main(void *argument) {
  unsigned seen = (unsigned)(uintptr_t)argument;
  for (;;) {
    for (int i = 0; i < SPINS && atomic_load(&generation) == seen; i++) sched_yield();
    if (atomic_load(&generation) == seen) {
      pthread_mutex_lock(&lock);
      while (atomic_load(&generation) == seen) pthread_cond_wait(&wake, &lock);
      pthread_mutex_unlock(&lock);
    }
    seen++;
    if (atomic_load(&quit)) return NULL;
    take_pieces();
    if (atomic_fetch_sub(&running, 1) == 1) {
      pthread_mutex_lock(&lock);
      pthread_cond_signal(&done);
      pthread_mutex_unlock(&lock);
    }
  }
}

/* Lets the helpers see a new job (or, with quit set, the end). */
static void announce(void) {
  atomic_store(&running, helpers);
  pthread_mutex_lock(&lock);
  atomic_fetch_add(&generation, 1);
  pthread_cond_broadcast(&wake);
  pthread_mutex_unlock(&lock);
}

static void stop_helpers(void) {
  if (helpers == 0) return;
  atomic_store(&quit, true);
  announce();
  for (int i = 0; i < helpers; i++) pthread_join(helper[i], NULL);
  atomic_store(&quit, false);
  helpers = 0;
}

/* As many as asked for, or as can be had: a system that refuses a thread only costs speed. Signals are the main
 * thread's: a read that waits there has to notice Ctrl-C. */
static void start_helpers(void) {
  if (helpers == nn_threads() - 1) return;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (helpers < nn_threads() - 1) {
    void *seen = (void *)(uintptr_t)atomic_load(&generation);
    if (pthread_create(&helper[helpers], NULL, helper_main, seen) != 0) break;
    helpers++;
  }
  if (!stops_at_exit) stops_at_exit = atexit(stop_helpers) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int nn_parallel_for(int64_t count, int64_t grain, nn_chunk work, void *context) {
  if (grain < 1) grain = 1;
  bool serial = inside || count <= grain || nn_threads() == 1;
  if (serial || atomic_flag_test_and_set(&busy)) {
    for (int64_t begin = 0; begin < count; begin += grain) {
      if (atomic_load_explicit(&interrupted, memory_order_relaxed)) break;
      work(context, begin, count - begin < grain ? count : begin + grain);
    }
    return nn_interrupt_check();
  }
  start_helpers();
  job.work = work;
  job.context = context;
  job.count = count;
  job.grain = grain;
  atomic_store(&job.next, 0);
  announce();
  take_pieces();
  for (int i = 0; i < SPINS && atomic_load(&running) > 0; i++) sched_yield();
  if (atomic_load(&running) > 0) {
    pthread_mutex_lock(&lock);
    while (atomic_load(&running) > 0) pthread_cond_wait(&done, &lock);
    pthread_mutex_unlock(&lock);
  }
  atomic_flag_clear(&busy);
  return nn_interrupt_check();
}

int nn_threads(void) {
  if (wanted == 0) wanted = nn_cpu_count();
  return wanted;
}

int nn_set_threads(int threads) {
  if (threads < 1 || threads > MAX_THREADS)
    return nn_fail(NN_EARGUMENT, "threads: a count from 1 to %d expected, got %d", (int)MAX_THREADS, threads);
  stop_helpers();
  wanted = threads;
  return NN_OK;
}

void nn_interrupt(void) { atomic_store(&interrupted, true); }
bool nn_interrupted(void) { return atomic_load(&interrupted); }
void nn_interrupt_clear(void) { atomic_store(&interrupted, false); }

int nn_interrupt_check(void) {
  return atomic_load(&interrupted) ? nn_fail(NN_EINTERRUPT, "interrupted") : NN_OK;
}
