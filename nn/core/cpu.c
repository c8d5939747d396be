/* cpu.c -- what this processor is, which kernels it gets, and the once-per-process start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "autograd/op.h"
#include "kernels/kernels.h"
#include "module/module.h"

/* OpenBLAS's own interface beside cblas.h. */
extern void openblas_set_num_threads(int);
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);

static char name[64] = "unknown processor";
static nn_level level = NN_PORTABLE;

static const char *const level_names[] = { [NN_PORTABLE] = "portable", [NN_AVX2] = "avx2", [NN_AVX512] = "avx512" };

/* The best level that the processor, its system and this build have. */
static nn_level detect(void) {
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
#if !defined(NN_DOUBLE)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx2 && avx512 ? NN_AVX512 : avx2 ? NN_AVX2 : NN_PORTABLE;
#endif
#endif
  return NN_PORTABLE;
}

int nni_choose_level(const char *asked, nn_level best, nn_level *chosen) {
  if (!asked || !*asked) {
    *chosen = best;
    return NN_OK;
  }
  for (nn_level l = NN_PORTABLE; l <= best; l++) {
    if (strcmp(asked, level_names[l]) != 0) continue;
    *chosen = l;
    return NN_OK;
  }
  const char *here = best == NN_AVX512 ? "avx512, avx2 or portable" : best == NN_AVX2 ? "avx2 or portable" : "portable";
  return nn_fail(NN_EARGUMENT, "PENUMBRA_CPU: expected what this processor and build have, %s, got \"%s\"", here,
                 asked);
}

int nn_start(void) {
  int status = nni_choose_level(getenv("PENUMBRA_CPU"), detect(), &level);
  if (status != NN_OK) return status;
  /* Our chunks are the threads: with more of its own OpenBLAS would cut products by the number of threads. */
  openblas_set_num_threads(1);
  status = nni_ops_start();
  return status == NN_OK ? nni_modules_start() : status;
}

nn_level nni_level(void) { return level; }
const char *nn_cpu_name(void) { return name; }
const char *nn_cpu_level(void) { return level_names[level]; }

int nn_cpu_count(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1 : count > 256 ? 256 : (int)count;
}

const char *nn_blas_name(void) {
  static char text[160];
  snprintf(text, sizeof text, "%s, kernels %s", openblas_get_config(), openblas_get_corename());
  return text;
}
