/* npy.c -- NumPy's array file, versions 1.0 to 3.0.
 *
 * Layout: "\x93NUMPY", major, minor, header length (16 bits, 32 from version 2 on), a Python dictionary with `descr`,
 * `fortran_order` and `shape`, then the elements. Read: <f4 <f8 -> float, |u1 |b1 -> uint8, <i4 <i8 -> int32; Fortran
 * order is turned to ours. Written: float (<f4), uint8 (|u1), int32 and index (<i4, counting from 0).
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "formats/file.h"
#include "tensor/tensor.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "npy.c reads and writes little-endian elements in place"
#endif

enum { MAX_HEADER = 1 << 16, PREFIX = 6, READ_STEP = 1 << 16, WRITE_STEP = 1 << 20 };
static const char magic[PREFIX + 1] = "\x93NUMPY";

typedef enum { NPY_F4, NPY_F8, NPY_U1, NPY_I4, NPY_I8 } npy_kind;

static const struct {
  const char *text;
  npy_kind kind;
  int bytes;
  nn_type type;
} descriptions[] = {
  { "<f4", NPY_F4, 4, NN_REAL },  { "<f8", NPY_F8, 8, NN_REAL },  { "|u1", NPY_U1, 1, NN_UINT8 },
  { "|b1", NPY_U1, 1, NN_UINT8 }, { "<i4", NPY_I4, 4, NN_INT32 }, { "<i8", NPY_I8, 8, NN_INT32 },
};

typedef struct {
  npy_kind kind;
  int bytes;
  nn_type type;
  bool fortran;
  int axes;
  int64_t size[NN_MAX_AXES], count;
} npy_header;

/* ---- the dictionary ---- */

typedef struct {
  const char *path, *start, *at;  /* the text ends with a zero byte */
  size_t offset;                  /* of `start` in the file */
} npy_text;

static int bad_header(const npy_text *t, const char *expected) {
  char at[32];
  return nn_fail(NN_EFORMAT, "%s: header: %s expected at offset %s", t->path, expected,
                 nni_grouped(at, t->offset + (size_t)(t->at - t->start)));
}

static void skip_space(npy_text *t) {
  while (*t->at == ' ' || *t->at == '\n' || *t->at == '\t') t->at++;
}

static bool take(npy_text *t, const char *token) {
  skip_space(t);
  size_t size = strlen(token);
  if (strncmp(t->at, token, size) != 0) return false;
  t->at += size;
  return true;
}

static int take_string(npy_text *t, char *out, size_t room) {
  skip_space(t);
  char quote = *t->at;
  const char *end = quote == '\'' || quote == '"' ? strchr(t->at + 1, quote) : NULL;
  if (!end || (size_t)(end - t->at) > room) return bad_header(t, "a short string in quotes");
  size_t size = (size_t)(end - t->at) - 1;
  memcpy(out, t->at + 1, size);
  out[size] = '\0';
  t->at = end + 1;
  return NN_OK;
}

static int take_shape(npy_text *t, npy_header *h) {
  if (!take(t, "(")) return bad_header(t, "shape: \"(\"");
  h->axes = 0;
  h->count = 1;
  while (!take(t, ")")) {
    if (h->axes == NN_MAX_AXES)
      return nn_fail(NN_EFORMAT, "%s: shape: at most %d axes are read", t->path, NN_MAX_AXES);
    char *end;
    errno = 0;
    skip_space(t);
    long long size = isdigit((unsigned char)*t->at) ? strtoll(t->at, &end, 10) : -1;
    if (size < 0 || errno) return bad_header(t, "shape: a size");
    t->at = end;
    h->size[h->axes++] = size;
    if (nni_check_count(h->axes, h->size) != NN_OK)
      return nn_fail(NN_EFORMAT, "%s: shape: larger than memory can be", t->path);
    h->count *= size;
    if (!take(t, ",")) {
      if (!take(t, ")")) return bad_header(t, "shape: \",\" or \")\"");
      break;
    }
  }
  return NN_OK;
}

static int take_description(npy_text *t, npy_header *h) {
  char text[24];
  skip_space(t);
  int status = take_string(t, text, sizeof text);
  if (status != NN_OK) return status;
  for (size_t i = 0; i < sizeof descriptions / sizeof descriptions[0]; i++)
    if (strcmp(text, descriptions[i].text) == 0) {
      h->kind = descriptions[i].kind;
      h->bytes = descriptions[i].bytes;
      h->type = descriptions[i].type;
      return NN_OK;
    }
  return nn_fail(NN_EFORMAT, "%s: descr: <f4, <f8, |u1, |b1, <i4 or <i8 expected, found %s", t->path, text);
}

static int take_dictionary(npy_text *t, npy_header *h) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
  int seen = 0, status = NN_OK;
  char key[24];
  if (!take(t, "{")) return bad_header(t, "\"{\"");
  while (!take(t, "}")) {
    status = take_string(t, key, sizeof key);
    if (status != NN_OK) return status;
    if (!take(t, ":")) return bad_header(t, "\":\"");
    if (strcmp(key, "descr") == 0) {
      seen |= DESCR;
      status = take_description(t, h);
    } else if (strcmp(key, "fortran_order") == 0) {
      seen |= ORDER;
      h->fortran = take(t, "True");
      if (!h->fortran && !take(t, "False")) status = bad_header(t, "fortran_order: True or False");
    } else if (strcmp(key, "shape") == 0) {
      seen |= SHAPE;
      status = take_shape(t, h);
    } else {
      status = nn_fail(NN_EFORMAT, "%s: header: unknown key %s", t->path, key);
    }
    if (status != NN_OK) return status;
    if (!take(t, ",")) {
      if (!take(t, "}")) return bad_header(t, "\",\" or \"}\"");
      break;
    }
  }
  if (seen != (DESCR | ORDER | SHAPE))
    return nn_fail(NN_EFORMAT, "%s: header: %s is missing", t->path,
                   !(seen & DESCR) ? "descr" : !(seen & ORDER) ? "fortran_order" : "shape");
  return NN_OK;
}

/* ---- reading ---- */

static int short_field(const char *path, const char *field, uint64_t expected, uint64_t start, uint64_t found) {
  char a[32], b[32], c[32];
  return nn_fail(NN_EFORMAT, "%s: %s: %s bytes expected at offset %s, %s found; the file ends there", path, field,
                 nni_grouped(a, expected), nni_grouped(b, start), nni_grouped(c, found));
}

/* Reads a field that the file is long enough to hold. */
static int read_field(FILE *stream, const char *path, const char *field, void *to, size_t size, uint64_t bytes,
                      uint64_t *offset) {
  if (bytes < *offset + size) return short_field(path, field, size, *offset, bytes - *offset);
  if (fread(to, 1, size, stream) != size)
    return nn_fail(NN_EIO, "%s: %s: %s", path, field, ferror(stream) ? strerror(errno) : "the file shrank meanwhile");
  *offset += size;
  return NN_OK;
}

static int read_header(FILE *stream, const char *path, uint64_t bytes, npy_header *h, uint64_t *offset) {
  uint8_t start[PREFIX + 2], length[4] = { 0 };
  int status = read_field(stream, path, "magic number", start, sizeof start, bytes, offset);
  if (status != NN_OK) return status;
  if (memcmp(start, magic, PREFIX) != 0)
    return nn_fail(NN_EFORMAT, "%s: magic number: not a .npy file (it does not start with \\x93NUMPY)", path);
  if (start[PREFIX] < 1 || start[PREFIX] > 3)
    return nn_fail(NN_EFORMAT, "%s: version: 1 to 3 expected, found %d at offset %d", path, start[PREFIX], PREFIX);
  status = read_field(stream, path, "header length", length, start[PREFIX] == 1 ? 2 : 4, bytes, offset);
  if (status != NN_OK) return status;
  uint32_t size = length[0] | (uint32_t)length[1] << 8 | (uint32_t)length[2] << 16 | (uint32_t)length[3] << 24;
  if (size > MAX_HEADER)
    return nn_fail(NN_EFORMAT, "%s: header length: at most %d expected, found %" PRIu32 " at offset 8", path,
                   MAX_HEADER, size);
  char *text = malloc((size_t)size + 1);
  if (!text) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  npy_text t = { path, text, text, (size_t)*offset };
  status = read_field(stream, path, "header", text, size, bytes, offset);
  if (status == NN_OK) {
    text[size] = '\0';
    status = take_dictionary(&t, h);
    skip_space(&t);
    if (status == NN_OK && t.at != text + size) status = bad_header(&t, "nothing more");
  }
  free(text);
  return status;
}

/* to[i] = from[i], i < count; `first` is the place of from[0] in the array. */
static int convert(const char *path, npy_kind kind, void *to, const void *from, int64_t first, int64_t count) {
  switch (kind) {
    case NPY_F4: {
      const float *x = from;
      nn_real *y = (nn_real *)to + first;
      for (int64_t i = 0; i < count; i++) y[i] = (nn_real)x[i];
      return NN_OK;
    }
    case NPY_F8: {
      const double *x = from;
      nn_real *y = (nn_real *)to + first;
      for (int64_t i = 0; i < count; i++) y[i] = (nn_real)x[i];
      return NN_OK;
    }
    case NPY_U1: memcpy((uint8_t *)to + first, from, (size_t)count); return NN_OK;
    case NPY_I4: memcpy((int32_t *)to + first, from, (size_t)count * sizeof(int32_t)); return NN_OK;
    case NPY_I8: {
      const int64_t *x = from;
      int32_t *y = (int32_t *)to + first;
      for (int64_t i = 0; i < count; i++) {
        if (x[i] < INT32_MIN || x[i] > INT32_MAX)
          return nn_fail(NN_EFORMAT, "%s: element %" PRId64 ": %" PRId64 " does not fit 32 bits", path, first + i,
                         x[i]);
        y[i] = (int32_t)x[i];
      }
      return NN_OK;
    }
  }
  return NN_EFORMAT;
}

/* An array in Fortran order is one in C order with the axes reversed. */
static nn_tensor *turn(nn_tensor *t, const npy_header *h) {
  int64_t stride[NN_MAX_AXES], step = 1;
  for (int i = 0; i < h->axes; i++) {
    stride[i] = step;
    step *= h->size[i];
  }
  nn_tensor *view = nni_view(t, h->axes, h->size, stride, 0), *packed = view ? nn_tensor_pack(view) : NULL;
  nn_tensor_release(view);
  return packed;
}

static int read_array(FILE *stream, const char *path, uint64_t bytes, nn_tensor **out) {
  npy_header h = { 0 };
  uint64_t offset = 0;
  char a[32], b[32];
  int status = read_header(stream, path, bytes, &h, &offset);
  if (status != NN_OK) return status;
  uint64_t size = (uint64_t)h.count * (uint64_t)h.bytes;
  if (bytes - offset < size) return short_field(path, "elements", size, offset, bytes - offset);
  if (bytes - offset > size)
    return nn_fail(NN_EFORMAT, "%s: %s bytes more than the header declares: the elements end at offset %s", path,
                   nni_grouped(a, bytes - offset - size), nni_grouped(b, offset + size));
  nn_tensor *t = nn_tensor_new(h.type, h.axes, h.size);
  void *block = nn_memory_get(READ_STEP);
  if (!t || !block) status = NN_EMEMORY;
  int64_t step = READ_STEP / h.bytes;
  for (int64_t done = 0; done < h.count && status == NN_OK; done += step) {
    int64_t now = h.count - done < step ? h.count - done : step;
    status = read_field(stream, path, "elements", block, (size_t)(now * h.bytes), bytes, &offset);
    if (status == NN_OK) status = convert(path, h.kind, nn_tensor_write(t), block, done, now);
    if (status == NN_OK) status = nn_interrupt_check();
  }
  nn_memory_put(block);
  if (status == NN_OK && h.fortran && h.axes > 1) {
    nn_tensor *turned = turn(t, &h);
    if (!turned) status = NN_EMEMORY;
    nn_tensor_release(t);
    t = turned;
  }
  if (status == NN_OK) *out = t;
  else nn_tensor_release(t);
  return status;
}

int nn_npy_read(const char *path, nn_tensor **out) {
  FILE *stream;
  uint64_t bytes;
  int status = nni_input_open(path, &stream, &bytes);
  if (status != NN_OK) return status;
  status = read_array(stream, path, bytes, out);
  fclose(stream);
  return status;
}

/* ---- writing ---- */

static const char *description_of(nn_type type) {
  switch (type) {
    case NN_REAL: return sizeof(nn_real) == 4 ? "<f4" : "<f8";
    case NN_UINT8: return "|u1";
    default: return "<i4";
  }
}

int nn_npy_write(const char *path, nn_tensor *t) {
  char header[512], dictionary[256], shape[160] = "";
  size_t used = 0;
  nni_output output;
  for (int i = 0; i < nn_tensor_axes(t); i++)
    used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64 ",", i ? " " : "", nn_tensor_size(t, i));
  if (nn_tensor_axes(t) > 1) shape[used - 1] = '\0'; /* only a single size keeps its comma */
  int text = snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                      description_of(nn_tensor_type(t)), shape);
  /* padded with blanks and a newline so that the elements start at a multiple of 64 */
  int total = (PREFIX + 4 + text + 1 + 63) / 64 * 64, length = total - PREFIX - 4;
  snprintf(header, sizeof header, "%s%c%c%c%c%-*s\n", magic, 1, 0, length & 0xff, length >> 8, length - 1, dictionary);

  nn_tensor *packed = nn_tensor_pack(t);
  if (!packed) return NN_EMEMORY;
  int status = nni_output_open(&output, path);
  if (status == NN_OK) {
    size_t size = nn_type_bytes(nn_tensor_type(t));
    /* a failed write stays in the stream's error flag, where commit finds it */
    fwrite(header, 1, (size_t)total, output.stream);
    const char *data = nn_tensor_data(packed);
    int64_t count = nn_tensor_count(t);
    for (int64_t done = 0; done < count && status == NN_OK; done += WRITE_STEP) {
      int64_t now = count - done < WRITE_STEP ? count - done : WRITE_STEP;
      fwrite(data + (size_t)done * size, size, (size_t)now, output.stream);
      status = nn_interrupt_check();
    }
    if (status == NN_OK) status = nni_output_commit(&output);
    else nni_output_discard(&output);
  }
  nn_tensor_release(packed);
  return status;
}
