/* NumPy's array files. */
#include "fuzz.h"

static int parse(const uint8_t *bytes, size_t size) {
  nn_tensor *t = NULL;
  int status = nn_npy_read(fuzz_path(bytes, size), &t);
  nn_tensor_release(t);
  return status;
}

const fuzz_target fuzz_tested = { parse, NULL };
