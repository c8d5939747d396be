/* core.h -- what everything stands on: element type, errors, memory, threads, processor, random numbers.
 *
 * The kernels see this much and no more. Part of nn.h.
 */
#ifndef NN_CORE_H
#define NN_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef NN_DOUBLE
typedef double nn_real;  /* the gradient check's build */
#else
typedef float nn_real;
#endif

/* ---- elements (tensor/tensor.c) ------------------------------------------------------------------------------- */

typedef enum { NN_REAL, NN_UINT8, NN_INT32, NN_INDEX } nn_type;  /* index: an int32 that counts from 0 */
#define NN_MAX_AXES 6
size_t nn_type_bytes(nn_type type);
const char *nn_type_name(nn_type type);        /* "float", "uint8", "int32", "index" */

/* ---- errors (core/error.c) ---------------------------------------------------------------------------------- */

typedef enum {
  NN_OK = 0,
  NN_EARGUMENT,   /* an option or argument out of its range */
  NN_ESHAPE,      /* shapes that do not fit */
  NN_ETYPE,       /* element types that do not fit */
  NN_EMEMORY,     /* out of memory, or over the cap */
  NN_EIO,         /* the file is missing or unreadable */
  NN_EFORMAT,     /* the file is damaged or of another kind */
  NN_EINTERRUPT,  /* the user asked to stop */
  NN_ESTATE,      /* right call, wrong moment: backward twice, a saved value overwritten */
} nn_status;

/* Records the message for this thread and returns status, so that `return nn_fail(NN_ESHAPE, "...")` reads well. */
int nn_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts `prefix: ` before the current message; returns status. */
int nn_fail_prefix(int status, const char *prefix);
const char *nn_error(void);

/* ---- memory (core/memory.c) --------------------------------------------------------------------------------- */

/* Uninitialised, 64-byte aligned. Freed blocks are kept and handed out again. NULL: out of memory. */
void *nn_memory_get(size_t bytes);
void *nn_memory_get_zeroed(size_t bytes);
/* The same for what is given back soon, such as an arena: it may be a far larger block that happens to be free. */
void *nn_memory_borrow(size_t bytes);
void nn_memory_put(void *block);  /* NULL is fine */

typedef struct {
  size_t live, peak;     /* bytes handed out now, and at most so far */
  size_t cached;         /* bytes kept for reuse */
  size_t cap;            /* live never exceeds it; 0: no cap */
  uint64_t live_blocks;
} nn_memory_stats;

void nn_memory_get_stats(nn_memory_stats *stats);
void nn_memory_reset_peak(void);
void nn_memory_set_cap(size_t bytes);
void nn_memory_trim(void);  /* give cached blocks back to the system */
/* Test aid: the n-th allocation from now (1 is the next one) fails, and all after it. 0 switches it off. */
void nn_memory_fail_at(uint64_t n);

/* ---- threads and interrupts (core/parallel.c) --------------------------------------------------------------- */

/* Work on [begin, end). Chunks of one call write disjoint memory. */
typedef void (*nn_chunk)(void *context, int64_t begin, int64_t end);

/* Cuts [0, count) into pieces of `grain` (the last may be shorter) and runs them on the team, in any order. The cuts
 * depend on count and grain only, never on the number of threads, so results are the same bits with any team.
 * Inside a worker it runs serially. NN_EINTERRUPT when an interrupt arrived: some pieces were then not run. */
int nn_parallel_for(int64_t count, int64_t grain, nn_chunk work, void *context);

int nn_threads(void);
int nn_set_threads(int threads);  /* 1 .. 256 */

void nn_interrupt(void);          /* ask to stop; safe in a signal handler */
bool nn_interrupted(void);
void nn_interrupt_clear(void);
int nn_interrupt_check(void);     /* NN_EINTERRUPT with its message, or NN_OK; for long serial loops */

/* ---- processor (core/cpu.c) --------------------------------------------------------------------------------- */

const char *nn_cpu_name(void);    /* "AMD EPYC" or the like */
const char *nn_cpu_level(void);   /* the kernels in use: "avx512", "avx2" or "portable" */
int nn_cpu_count(void);           /* processors online */
/* Floating-point operations a second that all threads of the team reach on multiply-adds in registers, measured now, in
 * less than a tenth of a second. (core/peak.c) */
int nn_peak_flops(double *flops);
const char *nn_blas_name(void);   /* OpenBLAS's own description of its build and kernels */
/* Once per process, before anything else. The environment variable PENUMBRA_CPU names the level of kernels to use; an
 * unknown one, or one that this processor lacks, is NN_EARGUMENT. */
int nn_start(void);

/* ---- rounding (kernels/conv.c) ------------------------------------------------------------------------------- */

/* "fast", the default: 3x3 convolutions may go through Winograd's transforms. "exact": every result is the sum of the
 * products that define it, n of them, within (8 + sqrt(n)) u of the sum of their magnitudes, u = 2^-24; fast results
 * are within ten times that. */
const char *nn_precision(void);
int nn_set_precision(const char *name);

/* ---- random numbers (core/random.c) ------------------------------------------------------------------------- */

/* Philox4x32-10 (Salmon et al. 2011): the block for (seed, stream, index) is a pure function, so any thread may
 * compute any part. Key = seed; counter words 0..1 = index, 2..3 = stream. */
void nn_random_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t block[4]);
/* Uniform in [0, 1) with 53 bits. */
double nn_random_uniform(uint64_t seed, uint64_t stream, uint64_t index);
/* A well-mixed 64-bit value: derives seeds from (seed, stream, index). */
uint64_t nn_random_derive(uint64_t seed, uint64_t stream, uint64_t index);
int nn_random_fill_uniform(nn_real *out, int64_t count, double low, double high, uint64_t seed, uint64_t stream);
int nn_random_fill_normal(nn_real *out, int64_t count, double mean, double deviation, uint64_t seed, uint64_t stream);
/* A uniform permutation of 0 .. count-1 (Fisher-Yates over the stream); count is at most 2^31 - 1. */
int nn_random_permutation(int32_t *out, int64_t count, uint64_t seed, uint64_t stream);

#endif
