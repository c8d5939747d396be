/* cifar.c -- the binary form of CIFAR-10 and CIFAR-100.
 *
 * A file is records without a header. CIFAR-10: the label, then 3072 bytes; CIFAR-100: coarse label, fine label, 3072
 * bytes. The pixels are planar (1024 red, 1024 green, 1024 blue) and are turned to H x W x C here. Records count from 0
 * in messages, so that offset = record * record size.
 */
#include <errno.h>
#include <string.h>

#include "formats/file.h"
#include "tensor/tensor.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, PIXELS = PLANE * CHANNELS, BLOCK = 256, COARSE_CLASSES = 20 };

typedef struct {
  uint8_t *images;         /* [N,32,32,3] */
  int32_t *labels, *coarse; /* [N]; coarse is NULL for CIFAR-10 */
  int classes, label_bytes;
} cifar_target;

static int check_label(const char *path, const char *field, uint64_t record, uint64_t offset, int value, int classes) {
  char a[32], b[32];
  if (value < classes) return NN_OK;
  return nn_fail(NN_EFORMAT, "%s: %s of record %s: 0 to %d expected, found %d at offset %s", path, field,
                 nni_grouped(a, record), classes - 1, value, nni_grouped(b, offset));
}

/* One file of `count` records, written from row `row` on. */
static int read_file(const char *path, const cifar_target *target, int64_t row, int64_t count, uint8_t *block) {
  FILE *stream;
  uint64_t bytes;
  int status = nni_input_open(path, &stream, &bytes);
  if (status != NN_OK) return status;
  size_t record_bytes = (size_t)target->label_bytes + PIXELS;
  for (int64_t done = 0; done < count && status == NN_OK; done += BLOCK) {
    size_t now = count - done < BLOCK ? (size_t)(count - done) : BLOCK;
    if (fread(block, record_bytes, now, stream) != now) {
      char at[32];
      status = nn_fail(NN_EIO, "%s: unreadable near offset %s: %s", path,
                       nni_grouped(at, (uint64_t)done * record_bytes),
                       ferror(stream) ? strerror(errno) : "the file shrank while it was read");
    }
    for (size_t i = 0; i < now && status == NN_OK; i++) {
      const uint8_t *record = block + i * record_bytes, *plane = record + target->label_bytes;
      uint64_t number = (uint64_t)done + i, offset = number * record_bytes;
      uint8_t *image = target->images + (row + (int64_t)number) * PIXELS;
      if (target->coarse) {
        status = check_label(path, "coarse label", number, offset, record[0], COARSE_CLASSES);
        target->coarse[row + (int64_t)number] = record[0];
      }
      int last = target->label_bytes - 1;
      if (status == NN_OK)
        status = check_label(path, "label", number, offset + (uint64_t)last, record[last], target->classes);
      target->labels[row + (int64_t)number] = record[last];
      for (int p = 0; p < PLANE; p++)
        for (int c = 0; c < CHANNELS; c++) image[p * CHANNELS + c] = plane[c * PLANE + p];
    }
    if (status == NN_OK) status = nn_interrupt_check();
  }
  fclose(stream);
  return status;
}

/* The number of whole records; a rest or an empty file is an error. */
static int count_records(const char *path, size_t record_bytes, int64_t *count) {
  FILE *stream;
  uint64_t bytes;
  char a[32], b[32];
  int status = nni_input_open(path, &stream, &bytes);
  if (status != NN_OK) return status;
  fclose(stream);
  uint64_t whole = bytes / record_bytes, rest = bytes % record_bytes;
  if (rest > 0 || whole == 0)
    return nn_fail(NN_EFORMAT, "%s: record %s is short: %zu bytes expected, %d found at offset %s; the file ends there",
                   path, nni_grouped(a, whole), record_bytes, (int)rest, nni_grouped(b, whole * record_bytes));
  *count = (int64_t)whole;
  return NN_OK;
}

int nn_cifar_read(const char *const *paths, int files, int classes, nn_tensor **images, nn_tensor **labels,
                  nn_tensor **coarse) {
  if (classes != 10 && classes != 100)
    return nn_fail(NN_EARGUMENT, "cifar: 10 or 100 classes expected, got %d", classes);
  if (files < 1) return nn_fail(NN_EARGUMENT, "cifar: at least one file expected");
  int label_bytes = classes == 100 ? 2 : 1;
  size_t record_bytes = (size_t)label_bytes + PIXELS;
  int64_t total = 0, count, row = 0;
  int status = NN_OK;
  for (int i = 0; i < files && status == NN_OK; i++) {
    status = count_records(paths[i], record_bytes, &count);
    if (status == NN_OK) total += count;
  }
  if (status != NN_OK) return status;

  uint8_t *block = nn_memory_get(BLOCK * record_bytes);
  nn_tensor *x = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ total, SIDE, SIDE, CHANNELS });
  nn_tensor *y = nn_tensor_new(NN_INDEX, 1, &total), *z = classes == 100 ? nn_tensor_new(NN_INDEX, 1, &total) : NULL;
  if (!block || !x || !y || (classes == 100 && !z)) {
    status = NN_EMEMORY;
    goto out;
  }
  cifar_target target = { nn_tensor_write(x), nn_tensor_write(y), z ? nn_tensor_write(z) : NULL, classes, label_bytes };
  for (int i = 0; i < files && status == NN_OK; i++) {
    status = count_records(paths[i], record_bytes, &count);
    if (status == NN_OK && count > total - row)
      status = nn_fail(NN_EIO, "%s: the file grew while it was read", paths[i]);
    if (status == NN_OK) status = read_file(paths[i], &target, row, count, block);
    row += count;
  }
  if (status == NN_OK && row < total) status = nn_fail(NN_EIO, "%s: a file shrank while it was read", paths[0]);
  if (status != NN_OK) goto out;
  *images = x;
  *labels = y;
  *coarse = z;
  x = y = z = NULL;
out:
  nn_memory_put(block);
  nn_tensor_release(x);
  nn_tensor_release(y);
  nn_tensor_release(z);
  return status;
}
