/* MATLAB 5 files: SVHN's pictures, and a table of structs. */
#include <string.h>

#include "fuzz.h"

static int read_table(const char *path) {
  nn_mat_table *t = NULL;
  int status = nn_mat_table_read(path, "synsets", &t);
  if (status != NN_OK) return status;
  size_t bytes = 0;
  for (int field = 0; field < nn_mat_table_fields(t); field++) {
    bytes += strlen(nn_mat_table_field(t, field));
    for (int64_t row = 0; row < nn_mat_table_rows(t); row++) bytes += strlen(nn_mat_table_value(t, row, field));
  }
  nn_mat_table_free(t);
  return bytes > FUZZ_MEMORY ? NN_EFORMAT : NN_OK;
}

static int parse(const uint8_t *bytes, size_t size) {
  const char *path = fuzz_path(bytes, size);
  nn_tensor *images = NULL, *labels = NULL;
  int status = nn_svhn_read(path, &images, &labels);
  nn_tensor_release(images);
  nn_tensor_release(labels);
  return status == NN_EFORMAT ? read_table(path) : status;
}

const fuzz_target fuzz_tested = { parse, fuzz_repair_mat };
