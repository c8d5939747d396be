/* idx.c -- IDX files, the format of MNIST and its kin, raw or gzipped.
 *
 * Layout, big-endian: two zero bytes, the element type (0x08: unsigned byte), the number of axes, one 32-bit size per
 * axis, the elements. A header is never trusted with memory: a raw file must be as long as it declares before anything
 * is allocated, and a gzipped one gets room only as its bytes come out.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "formats/file.h"
#include "tensor/tensor.h"

enum { IDX_UINT8 = 0x08, IDX_MAX_AXES = 4, READ_STEP = 1 << 20 };

typedef struct {
  const char *path;
  gzFile stream;
  bool packed;      /* gzipped: offsets count unpacked bytes */
  uint64_t bytes;   /* length of the file */
  uint64_t offset;
} idx_file;

static int idx_open(idx_file *f, const char *path) {
  int file;
  uint64_t bytes;
  int status = nni_descriptor_open(path, &file, &bytes);
  if (status != NN_OK) return status;
  gzFile stream = gzdopen(file, "rb");
  if (!stream) {
    close(file);
    return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  }
  gzbuffer(stream, 1 << 16);
  *f = (idx_file){ .path = path, .stream = stream, .packed = !gzdirect(stream), .bytes = bytes };
  return NN_OK;
}

static const char *unit(const idx_file *f) { return f->packed ? " of the unpacked data" : ""; }

/* Reads up to `size` bytes; *got is smaller only at the end of the file. */
static int idx_read(idx_file *f, uint8_t *to, uint64_t size, uint64_t *got) {
  *got = 0;
  while (*got < size) {
    uint64_t left = size - *got;
    int n = gzread(f->stream, to + *got, left < READ_STEP ? (unsigned)left : READ_STEP);
    if (n < 0) {
      int code;
      char at[32];
      const char *reason = gzerror(f->stream, &code), *name = strstr(reason, ">: ");
      if (name) reason = name + 3;  /* zlib's name of a file it was given open, "<fd:3>: " */
      if (code == Z_ERRNO) return nn_fail(NN_EIO, "%s: %s", f->path, strerror(errno));
      return nn_fail(NN_EFORMAT, "%s: the compressed data is damaged near offset %s%s (%s)", f->path,
                     nni_grouped(at, f->offset), unit(f), reason);
    }
    if (n == 0) break;
    *got += (uint64_t)n;
    f->offset += (uint64_t)n;
    int status = nn_interrupt_check();
    if (status != NN_OK) return status;
  }
  return NN_OK;
}

static int short_field(const idx_file *f, const char *field, uint64_t expected, uint64_t start, uint64_t got) {
  char a[32], b[32], c[32];
  int code = Z_OK;
  if (f->packed) gzerror(f->stream, &code);
  return nn_fail(NN_EFORMAT, "%s: %s: %s bytes expected at offset %s%s, %s found; the %s ends there", f->path, field,
                 nni_grouped(a, expected), nni_grouped(b, start), unit(f), nni_grouped(c, got),
                 code == Z_BUF_ERROR ? "compressed file" : "file");
}

static int read_word(idx_file *f, const char *field, uint8_t word[4]) {
  uint64_t start = f->offset, got;
  int status = idx_read(f, word, 4, &got);
  if (status != NN_OK) return status;
  return got == 4 ? NN_OK : short_field(f, field, 4, start, got);
}

static const char *type_name(int type) {
  switch (type) {
    case 0x09: return " (signed byte)";
    case 0x0b: return " (short)";
    case 0x0c: return " (int)";
    case 0x0d: return " (float)";
    case 0x0e: return " (double)";
    default: return "";
  }
}

static int read_header(idx_file *f, int *axes, int64_t *size, int64_t *count) {
  uint8_t word[4];
  char field[32], a[32], b[32];
  int status = read_word(f, "magic number", word);
  if (status != NN_OK) return status;
  if (word[0] != 0 || word[1] != 0)
    return nn_fail(NN_EFORMAT, "%s: magic number: an IDX file starts with 00 00, found %02x %02x at offset 0%s",
                   f->path, word[0], word[1], unit(f));
  if (word[2] != IDX_UINT8)
    return nn_fail(NN_EFORMAT, "%s: element type: 0x08 (unsigned byte) expected, found 0x%02x%s at offset 2%s", f->path,
                   word[2], type_name(word[2]), unit(f));
  if (word[3] < 1 || word[3] > IDX_MAX_AXES)
    return nn_fail(NN_EFORMAT, "%s: number of axes: 1 to %d expected, found %d at offset 3%s", f->path, IDX_MAX_AXES,
                   word[3], unit(f));
  *axes = word[3];
  *count = 1;
  for (int i = 0; i < *axes; i++) {
    uint64_t start = f->offset;
    snprintf(field, sizeof field, "size of axis %d", i + 1);
    status = read_word(f, field, word);
    if (status != NN_OK) return status;
    size[i] = (int64_t)word[0] << 24 | word[1] << 16 | word[2] << 8 | word[3];
    if (size[i] == 0)
      return nn_fail(NN_EFORMAT, "%s: %s is 0 at offset %s%s", f->path, field, nni_grouped(a, start), unit(f));
    if (__builtin_mul_overflow(*count, size[i], count))
      return nn_fail(NN_EFORMAT, "%s: %s: %s makes the tensor larger than memory can be (offset %s%s)", f->path, field,
                     nni_grouped(a, (uint64_t)size[i]), nni_grouped(b, start), unit(f));
  }
  if (!f->packed && f->bytes < f->offset + (uint64_t)*count)
    return short_field(f, "elements", (uint64_t)*count, f->offset, f->bytes - f->offset);
  return NN_OK;
}

/* All `count` elements as a tensor with one axis. */
static int read_elements(idx_file *f, int64_t count, nn_tensor **out) {
  uint64_t start = f->offset, got;
  int64_t room = f->packed && count > READ_STEP ? READ_STEP : count, have = 0;
  nn_tensor *t = nn_tensor_new(NN_UINT8, 1, &room);
  int status = t ? NN_OK : NN_EMEMORY;
  while (status == NN_OK) {
    status = idx_read(f, (uint8_t *)nn_tensor_write(t) + have, (uint64_t)(room - have), &got);
    if (status != NN_OK) break;
    have += (int64_t)got;
    if (have < room) {
      status = short_field(f, "elements", (uint64_t)count, start, (uint64_t)have);
      break;
    }
    if (nni_is_bomb((uint64_t)have, f->bytes)) status = nni_bomb(f->path, "elements", f->bytes);
    if (status != NN_OK || room == count) break;
    room = count - room < room ? count : 2 * room;
    nn_tensor *larger = nn_tensor_new(NN_UINT8, 1, &room);
    if (larger) memcpy(nn_tensor_write(larger), nn_tensor_data(t), (size_t)have);
    else status = NN_EMEMORY;
    nn_tensor_release(t);
    t = larger;
  }
  if (status == NN_OK) { /* the end: also where a gzipped file's checksum is verified */
    uint8_t extra;
    char a[32];
    status = idx_read(f, &extra, 1, &got);
    if (status == NN_OK && got > 0)
      status = nn_fail(NN_EFORMAT, "%s: more data than the header declares: the elements end at offset %s%s", f->path,
                       nni_grouped(a, start + (uint64_t)count), unit(f));
    int code = Z_OK;
    if (status == NN_OK && f->packed) gzerror(f->stream, &code);
    if (code == Z_BUF_ERROR)
      status = nn_fail(NN_EFORMAT, "%s: the compressed file ends before its checksum", f->path);
  }
  if (status == NN_OK) *out = t;
  else nn_tensor_release(t);
  return status;
}

int nn_idx_read(const char *path, nn_tensor **out) {
  idx_file f = { 0 };
  int axes = 0;
  int64_t size[IDX_MAX_AXES], count = 0;
  nn_tensor *flat = NULL, *shaped = NULL;
  int status = idx_open(&f, path);
  if (status != NN_OK) return status;
  status = read_header(&f, &axes, size, &count);
  if (status == NN_OK) status = read_elements(&f, count, &flat);
  gzclose_r(f.stream);
  if (status != NN_OK) return status;
  shaped = nni_view_contiguous(flat, axes, size);
  nn_tensor_release(flat);
  if (!shaped) return NN_EMEMORY;
  *out = shaped;
  return NN_OK;
}

/* uint8 [N] -> index [N]; every label below *classes, or *classes set to the largest + 1 when it is 0. */
static int read_labels(const char *path, int64_t *classes, nn_tensor **out) {
  char a[32], b[32];
  nn_tensor *bytes = NULL, *labels;
  int status = nn_idx_read(path, &bytes);
  if (status != NN_OK) return status;
  int64_t count = nn_tensor_size(bytes, 0), largest = 0;
  if (nn_tensor_axes(bytes) != 1) {
    status = nn_fail(NN_EFORMAT, "%s: number of axes: labels have 1, found %d at offset 3", path,
                     nn_tensor_axes(bytes));
    nn_tensor_release(bytes);
    return status;
  }
  labels = nn_tensor_new(NN_INDEX, 1, &count);
  if (!labels) {
    nn_tensor_release(bytes);
    return NN_EMEMORY;
  }
  const uint8_t *from = nn_tensor_data(bytes);
  int32_t *to = nn_tensor_write(labels);
  for (int64_t i = 0; i < count && status == NN_OK; i++) {
    if (from[i] > largest) largest = from[i];
    if (*classes > 0 && from[i] >= *classes)
      status = nn_fail(NN_EFORMAT, "%s: label of record %s: 0 to %d expected, found %d at offset %s", path,
                       nni_grouped(a, (uint64_t)i), (int)*classes - 1, from[i], nni_grouped(b, 8 + (uint64_t)i));
    to[i] = from[i];
  }
  nn_tensor_release(bytes);
  if (status != NN_OK) {
    nn_tensor_release(labels);
    return status;
  }
  if (*classes == 0) *classes = largest + 1;
  *out = labels;
  return NN_OK;
}

int nn_idx_read_pair(const char *images_path, const char *labels_path, int64_t *classes, nn_tensor **images,
                     nn_tensor **labels) {
  nn_tensor *x = NULL, *y = NULL, *shaped = NULL;
  int64_t limit = *classes;
  char a[32], b[32];
  int status = nn_idx_read(images_path, &x);
  if (status == NN_OK) status = read_labels(labels_path, &limit, &y);
  if (status != NN_OK) goto out;
  int axes = nn_tensor_axes(x);
  if (axes < 3) {
    status = nn_fail(NN_EFORMAT, "%s: number of axes: images have 3 or 4, found %d at offset 3", images_path, axes);
    goto out;
  }
  if (nn_tensor_size(x, 0) != nn_tensor_size(y, 0)) {
    status = nn_fail(NN_EFORMAT, "%s holds %s images, %s holds %s labels (size of axis 1, offset 4)", images_path,
                     nni_grouped(a, (uint64_t)nn_tensor_size(x, 0)), labels_path,
                     nni_grouped(b, (uint64_t)nn_tensor_size(y, 0)));
    goto out;
  }
  int64_t size[4] = { 1, 1, 1, 1 };
  memcpy(size, nn_tensor_sizes(x), (size_t)axes * sizeof size[0]);
  shaped = nni_view_contiguous(x, 4, size);
  if (!shaped) {
    status = NN_EMEMORY;
    goto out;
  }
  *classes = limit;
  *images = shaped;
  *labels = y;
  y = NULL;
out:
  nn_tensor_release(x);
  nn_tensor_release(y);
  return status;
}
