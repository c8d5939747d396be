/* fuzz.h -- what every fuzzer shares.
 *
 * A target is one file that hands hostile bytes to one parser. It is linked either with libFuzzer and mutate.c
 * (`make fuzz`) or with replay.c (`make check`); both call LLVMFuzzerTestOneInput in fuzz.c, which checks after each
 * input what every parser promises:
 *   - it succeeds, or fails with NN_EFORMAT or NN_EIO and one line of text that names the file;
 *   - tensors, blocks of memory and open files are as many as before;
 *   - what it asked for stayed below FUZZ_MEMORY, far more than inputs of a few KB are worth.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "nn.h"

#define FUZZ_MEMORY ((size_t)64 << 20)

typedef struct {
  /* Parses, releases what came out, returns the status. */
  int (*parse)(const uint8_t *bytes, size_t size);
  /* Puts the right checksums into changed bytes, so that the change gets past them; NULL: there are none. */
  void (*repair)(uint8_t *bytes, size_t size);
} fuzz_target;

/* The target's own. */
extern const fuzz_target fuzz_tested;

/* The bytes as a file without a name in any folder. The path is good until the next call. */
const char *fuzz_path(const uint8_t *bytes, size_t size);

/* A promise was broken: says so and aborts. */
_Noreturn void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
/* The status of the last input. */
int fuzz_status(void);
/* Whether allocations fail on purpose, so that NN_EMEMORY is no surprise. */
void fuzz_expect_memory(bool expected);

/* Two ways to parse that several targets share: a picture, whole and in part (picture.c); a checkpoint, all of it
 * (checkpoint.c). */
int fuzz_picture(const uint8_t *bytes, size_t size);
int fuzz_checkpoint(const uint8_t *bytes, size_t size);

/* ---- repairs (repair.c) ---- */

void fuzz_repair_archive(uint8_t *bytes, size_t size);  /* headers of .tar; stored entries of .zip */
void fuzz_repair_gzip(uint8_t *bytes, size_t size);
void fuzz_repair_mat(uint8_t *bytes, size_t size);      /* its compressed variables */
void fuzz_repair_png(uint8_t *bytes, size_t size);

#endif
