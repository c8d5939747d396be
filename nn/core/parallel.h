/* parallel.h -- threads that work beside the team, for as long as what they serve is there: a loader's workers. */
#ifndef NN_PARALLEL_H
#define NN_PARALLEL_H

#include "core/core.h"

typedef struct {
  /* What each thread does, worker = 0 .. ; it returns soon after `stop` was called. Signals do not reach it, and
   * nn_parallel_for is serial there. */
  void (*run)(void *context, int worker);
  /* Asks all of them to return. Called by nni_workers_end, and when the program exits before that. */
  void (*stop)(void *context);
  void *context;
} nni_work;

typedef struct nni_workers nni_workers;

/* Starts `count` threads, or as many as can be had. */
int nni_workers_start(const nni_work *work, int count, nni_workers **out);
int nni_workers_count(const nni_workers *workers);
/* Stops them, waits for them, and frees *workers. NULL is fine. */
void nni_workers_end(nni_workers *workers);

#endif
