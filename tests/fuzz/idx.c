/* IDX files, raw and gzipped: elements, and as labels. */
#include "fuzz.h"

static int parse(const uint8_t *bytes, size_t size) {
  const char *path = fuzz_path(bytes, size);
  nn_tensor *elements = NULL, *images = NULL, *labels = NULL;
  int64_t classes = 10;
  int status = nn_idx_read(path, &elements);
  nn_tensor_release(elements);
  /* One file cannot be both: this ends in an error, after the labels were read. */
  if (status == NN_OK && nn_idx_read_pair(path, path, &classes, &images, &labels) == NN_OK)
    fuzz_fail("images and labels from one file");
  return status;
}

const fuzz_target fuzz_tested = { parse, fuzz_repair_gzip };
