/* replay.c -- a fuzz target as a test: every seed of a corpus, whole and damaged, without a fuzzer.
 *
 *   replay_NAME tests/corpus/NAME
 *
 * Each seed is one line of TAP. It is parsed as it is: a seed called valid-* must be read, one called damaged-* must be
 * refused. Then cut short; with bytes changed at random, the same ones in each run; with memory that runs out at the
 * first allocation, the second, and so on; and while the user asks to stop.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { MAX_SEEDS = 512, CUTS = 128, CHANGES = 256, MAX_ALLOCATIONS = 64, SECONDS = 120 };

static char now[512];  /* what is being parsed, for whoever dies */

static void on_death(int number) {
  (void)!write(STDOUT_FILENO, now, strlen(now));
  signal(number, SIG_DFL);
  raise(number);
}

/* A copy of just this size, so that a sanitizer sees the byte after its end being read. */
static int run(const uint8_t *bytes, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  if (!copy) fuzz_fail("out of memory");
  if (size) memcpy(copy, bytes, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
  return fuzz_status();
}

static int replay_cuts(const char *name, const uint8_t *bytes, size_t size) {
  size_t step = size < CUTS ? 1 : size / CUTS;
  int count = 0;
  for (size_t length = 0; length < size; length += step, count++) {
    snprintf(now, sizeof now, "# died with %s cut to %zu bytes\n", name, length);
    run(bytes, length);
  }
  return count;
}

/* One to four bytes of each copy: a bit flipped, an extreme, or anything; half of them near the start, where headers
 * are. Most copies get the right checksums again. */
static int replay_changes(const char *name, const uint8_t *bytes, size_t size) {
  static const uint8_t extremes[] = { 0, 1, 0x7f, 0x80, 0xff };
  uint8_t *copy = malloc(size);
  if (!copy) fuzz_fail("out of memory");
  for (uint64_t change = 0; change < CHANGES; change++) {
    memcpy(copy, bytes, size);
    snprintf(now, sizeof now, "# died with %s after change %d\n", name, (int)change);
    uint32_t random[4];
    nn_random_block(1, change, 0, random);
    int places = 1 + (int)(random[0] % 4);
    for (int i = 0; i < places; i++) {
      nn_random_block(1, change, 1 + (uint64_t)i, random);
      size_t range = random[0] % 2 && size > 64 ? 64 : size, at = random[1] % range;
      switch (random[2] % 3) {
        case 0: copy[at] ^= (uint8_t)(1u << random[3] % 8); break;
        case 1: copy[at] = extremes[random[3] % sizeof extremes]; break;
        default: copy[at] = (uint8_t)random[3];
      }
    }
    if (fuzz_tested.repair && change % 4) fuzz_tested.repair(copy, size);
    run(copy, size);
  }
  free(copy);
  return CHANGES;
}

static int replay_without_memory(const char *name, const uint8_t *bytes, size_t size) {
  int count = 0, status = NN_EMEMORY;
  fuzz_expect_memory(true);
  for (uint64_t n = 1; n <= MAX_ALLOCATIONS && status == NN_EMEMORY; n++, count++) {
    snprintf(now, sizeof now, "# died with %s when allocation %d failed\n", name, (int)n);
    nn_memory_fail_at(n);
    status = run(bytes, size);
    nn_memory_fail_at(0);
  }
  fuzz_expect_memory(false);
  return count;
}

static bool starts_with(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

static bool replay(int number, const char *folder, const char *name) {
  char file_path[1024];
  snprintf(file_path, sizeof file_path, "%s/%s", folder, name);
  FILE *stream = fopen(file_path, "rb");
  static uint8_t bytes[1 << 16];
  size_t size = stream ? fread(bytes, 1, sizeof bytes, stream) : 0;
  bool readable = stream && !ferror(stream) && size < sizeof bytes;
  if (stream) fclose(stream);
  if (!readable) {
    printf("not ok %d - %s\n# not a readable file below %zu bytes\n", number, file_path, sizeof bytes);
    return false;
  }

  alarm(SECONDS);
  snprintf(now, sizeof now, "# died with %s as it is\n", name);
  int status = run(bytes, size);
  bool valid = starts_with(name, "valid-"), damaged = starts_with(name, "damaged-");
  if ((valid && status != NN_OK) || (damaged && status == NN_OK)) {
    printf("not ok %d - %s\n# %s\n", number, file_path, valid ? nn_error() : "was read, and should be refused");
    return false;
  }
  int variants = 0;
  if (size > 0) {
    variants += replay_cuts(name, bytes, size);
    variants += replay_changes(name, bytes, size);
  }
  variants += replay_without_memory(name, bytes, size);
  snprintf(now, sizeof now, "# died with %s interrupted\n", name);
  nn_interrupt();
  run(bytes, size);
  nn_interrupt_clear();
  alarm(0);
  printf("ok %d - %s and %d damaged variants\n", number, file_path, variants + 1);
  return true;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(int count, char **arguments) {
  static char *names[MAX_SEEDS];
  int seeds = 0, failed = 0;
  const char *folder = count == 2 ? arguments[1] : "";
  DIR *listing = opendir(folder);
  if (!listing) {
    fprintf(stderr, "usage: %s FOLDER\n%s: %s\n", arguments[0], folder, strerror(errno));
    return 2;
  }
  for (struct dirent *entry; (entry = readdir(listing)) && seeds < MAX_SEEDS;)
    if (entry->d_name[0] != '.') names[seeds++] = strdup(entry->d_name);
  closedir(listing);
  qsort(names, (size_t)seeds, sizeof names[0], by_name);

  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("1..%d\n", seeds);
  for (const int *number = (const int[]){ SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGALRM, 0 }; *number; number++)
    signal(*number, on_death);
  for (int i = 0; i < seeds; i++) {
    if (!replay(i + 1, folder, names[i])) failed++;
    free(names[i]);
  }
  return failed > 0;
}
