/* batch.c -- sets of images: gathering rows, choosing rows, channel statistics.
 *
 * Sets are kept as uint8 and become floats in [0, 1] one batch at a time (loader.c): an epoch reads a quarter of the
 * memory, and the pixels are exact.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/colour.h"
#include "tensor/tensor.h"

enum { CHUNK_BYTES = 1 << 16, MAX_CLASSES = 1 << 20 };

static int check_rows(const char *what, const nn_tensor *t, const nn_tensor *rows) {
  char shape[96];
  if (nn_tensor_axes(t) < 1 || !nn_tensor_contiguous(t))
    return nn_fail(NN_ESHAPE, "%s: a contiguous tensor of rows expected, got %s", what,
                   nn_tensor_describe(t, shape, sizeof shape));
  if (nn_tensor_type(rows) != NN_INDEX || nn_tensor_axes(rows) != 1 || !nn_tensor_contiguous(rows))
    return nn_fail(NN_ETYPE, "%s: rows: an index tensor with one axis expected, got %s %s", what,
                   nn_type_name(nn_tensor_type(rows)), nn_tensor_describe(rows, shape, sizeof shape));
  const int32_t *row = nn_tensor_data(rows);
  int64_t count = nn_tensor_count(rows), limit = nn_tensor_size(t, 0);
  for (int64_t i = 0; i < count; i++)
    if (row[i] < 0 || row[i] >= limit)
      return nn_fail(NN_EARGUMENT, "%s: row %lld is outside 1 .. %lld", what, (long long)row[i] + 1, (long long)limit);
  return NN_OK;
}

/* A new tensor like `t` with `count` rows. */
static nn_tensor *like_rows(const nn_tensor *t, int64_t count) {
  int64_t size[NN_MAX_AXES];
  memcpy(size, nn_tensor_sizes(t), (size_t)nn_tensor_axes(t) * sizeof size[0]);
  size[0] = count;
  return nn_tensor_new(nn_tensor_type(t), nn_tensor_axes(t), size);
}

static int64_t rows_per_chunk(int64_t row_bytes) {
  int64_t grain = CHUNK_BYTES / (row_bytes > 0 ? row_bytes : 1);
  return grain > 0 ? grain : 1;
}

typedef struct {
  const uint8_t *from; /* [N, row] */
  const int32_t *rows; /* [B] */
  void *to;            /* [B, row] */
  size_t row;          /* bytes in a row of `from` */
} gather_job;

static void copy_rows(void *context, int64_t begin, int64_t end) {
  const gather_job *job = context;
  for (int64_t b = begin; b < end; b++)
    memcpy((uint8_t *)job->to + (size_t)b * job->row, job->from + (size_t)job->rows[b] * job->row, job->row);
}

int nn_data_rows(nn_tensor *t, nn_tensor *rows, nn_tensor **out) {
  int status = check_rows("rows", t, rows);
  if (status != NN_OK) return status;
  int64_t count = nn_tensor_count(rows), limit = nn_tensor_size(t, 0);
  size_t row = limit > 0 ? (size_t)(nn_tensor_count(t) / limit) * nn_type_bytes(nn_tensor_type(t)) : 0;
  nn_tensor *y = like_rows(t, count);
  if (!y) return NN_EMEMORY;
  gather_job job = { nn_tensor_data(t), nn_tensor_data(rows), nn_tensor_write(y), row };
  status = nn_parallel_for(count, rows_per_chunk((int64_t)row), copy_rows, &job);
  if (status == NN_OK) *out = y;
  else nn_tensor_release(y);
  return status;
}

typedef struct {
  const nn_real *from;
  uint8_t *to;
} bytes_job;

static void to_bytes(void *context, int64_t begin, int64_t end) {
  const bytes_job *job = context;
  nnk_to_bytes(job->to + begin, job->from + begin, end - begin);
}

int nn_data_bytes(nn_tensor *x, nn_tensor **out) {
  if (nn_tensor_type(x) != NN_REAL)
    return nn_fail(NN_ETYPE, "bytes: pixels of float in [0, 1] expected, got %s", nn_type_name(nn_tensor_type(x)));
  nn_tensor *packed = nn_tensor_pack(x), *y = nn_tensor_new(NN_UINT8, nn_tensor_axes(x), nn_tensor_sizes(x));
  int status = NN_EMEMORY;
  if (packed && y) {
    bytes_job job = { nn_tensor_data(packed), nn_tensor_write(y) };
    status = nn_parallel_for(nn_tensor_count(x), CHUNK_BYTES, to_bytes, &job);
  }
  nn_tensor_release(packed);
  if (status == NN_OK) *out = y;
  else nn_tensor_release(y);
  return status;
}

/* ---- statistics ---- */

typedef struct {
  const uint8_t *pixels; /* [count, channels] */
  int64_t grain;
  int channels;
  uint64_t (*sums)[2]; /* [chunks * channels]: sum and sum of squares */
} stats_job;

static void sum_pixels(void *context, int64_t begin, int64_t end) {
  const stats_job *job = context;
  uint64_t (*sums)[2] = job->sums + begin / job->grain * job->channels;
  for (int c = 0; c < job->channels; c++) {
    uint64_t sum = 0, squares = 0;
    for (int64_t i = begin; i < end; i++) {
      uint64_t v = job->pixels[i * job->channels + c];
      sum += v;
      squares += v * v;
    }
    sums[c][0] = sum;
    sums[c][1] = squares;
  }
}

int nn_data_stats(nn_tensor *images, double *mean, double *deviation) {
  char shape[96];
  int axes = nn_tensor_axes(images);
  int64_t channels = axes == 4 ? nn_tensor_size(images, 3) : 0;
  if (nn_tensor_type(images) != NN_UINT8 || channels < 1 || channels > NN_MAX_CHANNELS || nn_tensor_count(images) == 0)
    return nn_fail(NN_ESHAPE, "stats: uint8 images [N x H x W x C] with 1 to %d channels expected, got %s %s",
                   NN_MAX_CHANNELS, nn_type_name(nn_tensor_type(images)),
                   nn_tensor_describe(images, shape, sizeof shape));
  nn_tensor *packed = nn_tensor_pack(images);
  int64_t count = nn_tensor_count(images) / channels, grain = 1 << 18, chunks = (count + grain - 1) / grain;
  uint64_t (*sums)[2] = nn_memory_get_zeroed((size_t)(chunks * channels) * sizeof *sums);
  int status = NN_EMEMORY;
  if (!packed || !sums) goto out;
  stats_job job = { nn_tensor_data(packed), grain, (int)channels, sums };
  status = nn_parallel_for(count, grain, sum_pixels, &job);
  if (status != NN_OK) goto out;
  for (int c = 0; c < channels; c++) { /* integers: exact whatever the order */
    uint64_t sum = 0, squares = 0;
    for (int64_t k = 0; k < chunks; k++) {
      sum += sums[k * channels + c][0];
      squares += sums[k * channels + c][1];
    }
    double m = (double)sum / (double)count, variance = (double)squares / (double)count - m * m;
    mean[c] = m / 255;
    deviation[c] = sqrt(variance > 0 ? variance : 0) / 255;
  }
out:
  nn_memory_put(sums);
  nn_tensor_release(packed);
  return status;
}

/* ---- choosing rows ---- */

static int compare_rows(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

typedef struct {
  int64_t class, rest;
} class_rest;

/* The largest first, of equals the smaller class. */
static int compare_rests(const void *a, const void *b) {
  const class_rest *x = a, *y = b;
  return x->rest != y->rest ? (x->rest < y->rest) - (x->rest > y->rest) : (x->class > y->class) - (x->class < y->class);
}

/* share[c] = how many of `count` rows go to class c, by largest remainder; ties go to the smaller class. */
static int divide(int64_t count, const int64_t *members, int64_t classes, int64_t total, int64_t *share) {
  int64_t given = 0;
  class_rest *rest = nn_memory_get((size_t)classes * sizeof *rest);
  if (!rest) return NN_EMEMORY;
  for (int64_t c = 0; c < classes; c++) {
    __int128 wanted = (__int128)count * members[c];
    share[c] = (int64_t)(wanted / total);
    rest[c] = (class_rest){ c, (int64_t)(wanted % total) };
    given += share[c];
  }
  qsort(rest, (size_t)classes, sizeof *rest, compare_rests);
  for (int64_t i = 0; given < count; i++, given++) share[rest[i].class]++;
  nn_memory_put(rest);
  return NN_OK;
}

int nn_data_stratify(nn_tensor *labels, int64_t count, uint64_t seed, uint64_t stream, nn_tensor **chosen,
                     nn_tensor **rest) {
  char shape[96];
  if (nn_tensor_type(labels) != NN_INDEX || nn_tensor_axes(labels) != 1 || !nn_tensor_contiguous(labels))
    return nn_fail(NN_ETYPE, "stratify: labels: an index tensor with one axis expected, got %s %s",
                   nn_type_name(nn_tensor_type(labels)), nn_tensor_describe(labels, shape, sizeof shape));
  int64_t total = nn_tensor_count(labels), left = total - count, classes = 0, picked = 0, passed = 0;
  if (count < 0 || count > total)
    return nn_fail(NN_EARGUMENT, "stratify: %lld rows wanted of %lld", (long long)count, (long long)total);
  const int32_t *label = nn_tensor_data(labels);
  for (int64_t i = 0; i < total; i++) {
    if (label[i] < 0 || label[i] >= MAX_CLASSES)
      return nn_fail(NN_EARGUMENT, "stratify: label %lld is outside 1 .. %d", (long long)label[i] + 1, MAX_CLASSES);
    if (label[i] >= classes) classes = label[i] + 1;
  }
  int64_t *members = nn_memory_get_zeroed((size_t)(2 * classes + 1) * sizeof *members), *share = members + classes;
  int32_t *order = nn_memory_get((size_t)(total + 1) * sizeof *order);
  nn_tensor *a = nn_tensor_new(NN_INDEX, 1, &count), *b = nn_tensor_new(NN_INDEX, 1, &left);
  int status = members && order && a && b ? NN_OK : NN_EMEMORY;
  if (status == NN_OK && total > 0) {
    for (int64_t i = 0; i < total; i++) members[label[i]]++;
    status = divide(count, members, classes, total, share);
    if (status == NN_OK) status = nn_random_permutation(order, total, seed, stream);
  }
  if (status == NN_OK && total > 0) {
    int32_t *to = nn_tensor_write(a), *others = nn_tensor_write(b);
    for (int64_t i = 0; i < total; i++) {
      if (share[label[order[i]]]-- > 0) to[picked++] = order[i];
      else others[passed++] = order[i];
    }
    qsort(to, (size_t)picked, sizeof *to, compare_rows);
    qsort(others, (size_t)passed, sizeof *others, compare_rows);
  }
  nn_memory_put(order);
  nn_memory_put(members);
  if (status != NN_OK) {
    nn_tensor_release(a);
    nn_tensor_release(b);
    return status;
  }
  *chosen = a;
  *rest = b;
  return NN_OK;
}
