/* CIFAR's records, with one label byte and with two. */
#include "fuzz.h"

static int parse(const uint8_t *bytes, size_t size) {
  const char *path = fuzz_path(bytes, size);
  int status = NN_OK;
  for (int classes = 10; classes <= 100; classes += 90) {
    nn_tensor *images = NULL, *labels = NULL, *coarse = NULL;
    status = nn_cifar_read(&path, 1, classes, &images, &labels, &coarse);
    nn_tensor_release(images);
    nn_tensor_release(labels);
    nn_tensor_release(coarse);
    if (status == NN_OK) break;
  }
  return status;
}

const fuzz_target fuzz_tested = { parse, NULL };
