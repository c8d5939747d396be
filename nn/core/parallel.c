/* parallel.c -- the one team of threads, workers beside it, and interrupts.
 *
 * The calling thread is member 0; the others wait for work: they spin, then give way, then sleep. A job is a range cut
 * into pieces of `grain`. Each member has a share of them, neighbours, so that what one loop leaves in a core's cache
 * is there for the next; who is done with a share helps with the others'. Which member runs a piece does not matter to
 * the result, because a piece writes only its own output and the cuts depend on (count, grain) alone.
 *
 * Nobody waits for a member that has not come: a job is open until the caller finds no piece left, helpers join while
 * it is open, and the caller waits for those inside. On a machine with other work to do a helper may be milliseconds
 * late.
 *
 * Only one job runs at a time. A call from inside a piece, or while another thread's job runs, is done serially by the
 * caller.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/parallel.h"

/* Spinning sees a job within a microsecond and bridges the gaps inside a training step (about 20 us); giving way, those
 * between steps (about 1 ms). */
enum { MAX_THREADS = 256, SPINS = 1000, GIVE_WAYS = 1000 };

static struct {
  nn_chunk work;
  void *context;
  int64_t count, grain, pieces;
} job;

/* The next piece of each member's share, a cache line apart. */
static struct {
  _Alignas(64) atomic_llong next;
} share[MAX_THREADS];

/* The job's generation, whether it is open, and the helpers inside: one word, so that nobody joins a closed job. */
static _Atomic uint64_t state;
static const uint64_t inside_mask = 0xffff, open_bit = 0x10000, generation_step = 0x20000;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  /* guards sleeping and waking */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static atomic_int sleepers;      /* helpers that have to be woken */
static atomic_bool caller_sleeps;
static atomic_bool quit;
static pthread_t helper[MAX_THREADS];
static int helpers, wanted;      /* started, and asked for (0: not chosen yet) */
static bool stops_at_exit;
static atomic_flag busy = ATOMIC_FLAG_INIT;
static _Thread_local bool inside;
static atomic_bool interrupted;

/* One turn of a loop that waits: true when it is time to sleep. */
static bool tired(int *turn) {
  if (++*turn > SPINS) sched_yield();
#if defined(__x86_64__)
  else __builtin_ia32_pause();
#elif defined(__aarch64__)
  else __asm__ volatile("yield");
#endif
  return *turn > SPINS + GIVE_WAYS;
}

/* The first piece of a member's share. */
static int64_t share_begin(int64_t member) { return job.pieces * member / (helpers + 1); }

static void take_pieces(int member) {
  inside = true;
  for (int turn = 0; turn <= helpers; turn++) {
    int owner = (member + turn) % (helpers + 1);
    int64_t last = share_begin(owner + 1);
    for (;;) {
      if (atomic_load_explicit(&share[owner].next, memory_order_relaxed) >= last) break;
      int64_t piece = atomic_fetch_add_explicit(&share[owner].next, 1, memory_order_relaxed);
      if (piece >= last || atomic_load_explicit(&interrupted, memory_order_relaxed)) break;
      int64_t begin = piece * job.grain, end = begin + job.grain;
      job.work(job.context, begin, end < job.count ? end : job.count);
    }
  }
  inside = false;
}

/* Returns when the generation is another one. */
static void wait_for_job(uint64_t seen) {
  int turn = 0;
  while (atomic_load(&state) / generation_step == seen) {
    if (!tired(&turn)) continue;
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&sleepers, 1);
    while (atomic_load(&state) / generation_step == seen) pthread_cond_wait(&wake, &lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&lock);
  }
}

static bool join_job(void) {
  uint64_t now = atomic_load(&state);
  while (now & open_bit)
    if (atomic_compare_exchange_weak(&state, &now, now + 1)) return true;
  return false;
}

static void leave_job(void) {
  if ((atomic_fetch_sub(&state, 1) & inside_mask) != 1 || !atomic_load(&caller_sleeps)) return;
  pthread_mutex_lock(&lock);
  pthread_cond_signal(&done);
  pthread_mutex_unlock(&lock);
}

static void *helper_main(void *argument) {
  int member = (int)(intptr_t)argument;
  uint64_t seen = UINT64_MAX;
  for (;;) {
    wait_for_job(seen);
    seen = atomic_load(&state) / generation_step;
    if (atomic_load(&quit)) return NULL;
    if (!join_job()) continue;
    take_pieces(member);
    leave_job();
  }
}

/* A new generation, with its job open or (to quit) without one. A helper counts itself a sleeper before it looks at the
 * generation for the last time, and here the generation comes first: one of the two sees the other. */
static void announce(uint64_t open) {
  atomic_fetch_add(&state, generation_step + open);
  if (atomic_load(&sleepers) == 0) return;
  pthread_mutex_lock(&lock);
  pthread_cond_broadcast(&wake);
  pthread_mutex_unlock(&lock);
}

/* Closes the job and waits for the helpers inside. */
static void finish_job(void) {
  atomic_fetch_and(&state, ~open_bit);
  int turn = 0;
  while (atomic_load(&state) & inside_mask) {
    if (!tired(&turn)) continue;
    pthread_mutex_lock(&lock);
    atomic_store(&caller_sleeps, true);
    while (atomic_load(&state) & inside_mask) pthread_cond_wait(&done, &lock);
    atomic_store(&caller_sleeps, false);
    pthread_mutex_unlock(&lock);
  }
}

static void stop_helpers(void) {
  if (helpers == 0) return;
  atomic_store(&quit, true);
  announce(0);
  for (int i = 0; i < helpers; i++) pthread_join(helper[i], NULL);
  atomic_store(&quit, false);
  helpers = 0;
}

/* As many as asked for, or as can be had: a system that refuses a thread only costs speed. Signals are the main
 * thread's: a read that waits there has to notice Ctrl-C. Returns how many threads there are now. */
static int start_threads(pthread_t *thread, int from, int count, void *(*main)(void *), void *const *argument) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int made = from;
  while (made < count && pthread_create(&thread[made], NULL, main, argument[made]) == 0) made++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return made;
}

static void start_helpers(void) {
  if (helpers == nn_threads() - 1) return;
  void *member[MAX_THREADS];
  for (int i = 0; i < MAX_THREADS; i++) member[i] = (void *)(intptr_t)(i + 1);
  helpers = start_threads(helper, helpers, nn_threads() - 1, helper_main, member);
  if (!stops_at_exit) stops_at_exit = atexit(stop_helpers) == 0;
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
  job.pieces = (count - 1) / grain + 1;
  for (int member = 0; member <= helpers; member++) atomic_store(&share[member].next, share_begin(member));
  announce(open_bit);
  take_pieces(0);
  finish_job();
  atomic_flag_clear(&busy);
  return nn_interrupt_check();
}

/* ---- workers ---- */

typedef struct {
  nni_workers *group;
  int worker;
} worker_place;

struct nni_workers {
  nni_work work;
  int count;            /* threads that have not been waited for */
  nni_workers *next;
  pthread_t thread[MAX_THREADS];
  worker_place place[MAX_THREADS];
};

static pthread_mutex_t groups_lock = PTHREAD_MUTEX_INITIALIZER;
static nni_workers *groups;  /* that have threads */

static void *worker_main(void *argument) {
  const worker_place *place = argument;
  inside = true;
  place->group->work.run(place->group->work.context, place->worker);
  return NULL;
}

static void stop_workers(nni_workers *w) {
  w->work.stop(w->work.context);
  for (int i = 0; i < w->count; i++) pthread_join(w->thread[i], NULL);
  w->count = 0;
}

/* Nothing may run on while the libraries' own clean-up takes away what it uses. */
static void stop_all_workers(void) {
  pthread_mutex_lock(&groups_lock);
  while (groups) {
    stop_workers(groups);
    groups = groups->next;
  }
  pthread_mutex_unlock(&groups_lock);
}

int nni_workers_start(const nni_work *work, int count, nni_workers **out) {
  static bool registered;
  if (count > MAX_THREADS) count = MAX_THREADS;
  nni_workers *w = nn_memory_get_zeroed(sizeof *w);
  if (!w) return NN_EMEMORY;
  w->work = *work;
  void *argument[MAX_THREADS];
  for (int i = 0; i < count; i++) {
    w->place[i] = (worker_place){ w, i };
    argument[i] = &w->place[i];
  }
  w->count = start_threads(w->thread, 0, count, worker_main, argument);
  pthread_mutex_lock(&groups_lock);
  w->next = groups;
  groups = w;
  if (!registered) registered = atexit(stop_all_workers) == 0;
  pthread_mutex_unlock(&groups_lock);
  *out = w;
  return NN_OK;
}

int nni_workers_count(const nni_workers *w) { return w->count; }

void nni_workers_end(nni_workers *w) {
  if (!w) return;
  pthread_mutex_lock(&groups_lock);
  nni_workers **link = &groups;
  while (*link && *link != w) link = &(*link)->next;
  if (*link) *link = w->next;
  pthread_mutex_unlock(&groups_lock);
  if (w->count > 0) stop_workers(w);
  nn_memory_put(w);
}

/* ---- settings ---- */

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
