/* cpu.c -- what this processor is, and the once-per-process start. */
#include <stdio.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "autograd/op.h"
#include "module/module.h"

/* OpenBLAS's own interface beside cblas.h. */
extern void openblas_set_num_threads(int);
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);

static char name[64] = "unknown processor";
static const char *level = "portable";

static void detect(void) {
#if defined(__x86_64__)
  unsigned words[12] = { 0 };
  if ((unsigned)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
    for (unsigned i = 0; i < 3; i++) {
      unsigned *w = words + 4 * i;
      __get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3]);
    }
    const char *text = (const char *)words;
    while (*text == ' ') text++;
    snprintf(name, sizeof name, "%.47s", text);
  }
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) level = "avx2";
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) level = "avx512";
#endif
}

int nn_start(void) {
  detect();
  /* Our chunks are the threads: with more of its own OpenBLAS would cut products by the number of threads. */
  openblas_set_num_threads(1);
  int status = nni_ops_start();
  return status == NN_OK ? nni_modules_start() : status;
}

const char *nn_cpu_name(void) { return name; }
const char *nn_cpu_level(void) { return level; }

int nn_cpu_count(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1 : count > 256 ? 256 : (int)count;
}

const char *nn_blas_name(void) {
  static char text[160];
  snprintf(text, sizeof text, "%s, kernels %s", openblas_get_config(), openblas_get_corename());
  return text;
}
