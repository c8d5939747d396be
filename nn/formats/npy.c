/* npy.c -- NumPy's array file, versions 1.0 to 3.0.
 *
 * Layout: "\x93NUMPY", major, minor, header length (16 bits, 32 from version 2 on), a Python dictionary with `descr`,
 * `fortran_order` and `shape`, then the elements. Read: floating types of 2, 4 and 8 bytes -> float, u1 and b1 ->
 * uint8, other integers -> int32 when they fit, either byte order; Fortran order is turned to ours. Written: float
 * (<f4), uint8 (|u1), int32 and index (<i4, counting from 0).
 */
#include "formats/npy.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/file.h"
#include "tensor/tensor.h"

enum { MAX_HEADER = 1 << 16, PREFIX = 6, READ_STEP = 1 << 16, WRITE_STEP = 1 << 20 };
static const char magic[PREFIX + 1] = "\x93NUMPY";

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

static int take_shape(npy_text *t, nni_npy_header *h) {
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

/* "<f4": the order of an element's bytes, its kind, how many. A single byte has no order. */
static int take_description(npy_text *t, nni_npy_header *h) {
  skip_space(t);
  int status = take_string(t, h->description, sizeof h->description);
  if (status != NN_OK) return status;
  char order = h->description[0];
  h->dtype = order && strchr("<>=|", order) ? nni_dtype_find(NNI_BY_NUMPY, h->description + 1) : NULL;
  if (h->dtype && order == '|' && h->dtype->bytes > 1) h->dtype = NULL;
  h->swap = order == '>';
  return NN_OK;
}

static int take_dictionary(npy_text *t, nni_npy_header *h) {
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

int nni_npy_parse(const char *path, const uint8_t *bytes, uint64_t total, nni_npy_header *header) {
  nni_npy_header h = { 0 };
  char a[32], b[32];
  if (total < PREFIX + 2) return short_field(path, "magic number", PREFIX + 2, 0, total);
  if (memcmp(bytes, magic, PREFIX) != 0)
    return nn_fail(NN_EFORMAT, "%s: magic number: not a .npy file (it does not start with \\x93NUMPY)", path);
  uint8_t version = bytes[PREFIX];
  if (version < 1 || version > 3)
    return nn_fail(NN_EFORMAT, "%s: version: 1 to 3 expected, found %d at offset %d", path, version, PREFIX);
  int width = version == 1 ? 2 : 4;
  uint32_t size = 0;
  h.length = PREFIX + 2;
  if (total - h.length < (uint64_t)width) return short_field(path, "header length", (uint64_t)width, h.length,
                                                             total - h.length);
  for (int i = 0; i < width; i++) size |= (uint32_t)bytes[h.length + (uint64_t)i] << 8 * i;
  h.length += (uint64_t)width;
  if (size > MAX_HEADER)
    return nn_fail(NN_EFORMAT, "%s: header length: at most %d expected, found %" PRIu32 " at offset 8", path,
                   MAX_HEADER, size);
  if (total - h.length < size) return short_field(path, "header", size, h.length, total - h.length);

  char *text = malloc((size_t)size + 1);
  if (!text) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  memcpy(text, bytes + h.length, size);
  text[size] = '\0';
  npy_text t = { path, text, text, (size_t)h.length };
  int status = take_dictionary(&t, &h);
  skip_space(&t);
  if (status == NN_OK && t.at != text + size) status = bad_header(&t, "nothing more");
  free(text);
  if (status != NN_OK) return status;

  h.length += size;
  uint64_t left = total - h.length, needed = h.dtype ? (uint64_t)h.count * (uint64_t)h.dtype->bytes : left;
  if (left < needed) return short_field(path, "elements", needed, h.length, left);
  if (left > needed)
    return nn_fail(NN_EFORMAT, "%s: %s bytes more than the header declares: the elements end at offset %s", path,
                   nni_grouped(a, left - needed), nni_grouped(b, h.length + needed));
  *header = h;
  return NN_OK;
}

/* An array in Fortran order is one in C order with the axes reversed. */
static nn_tensor *turn(nn_tensor *t, const nni_npy_header *h) {
  int64_t stride[NN_MAX_AXES], step = 1;
  for (int i = 0; i < h->axes; i++) {
    stride[i] = step;
    step *= h->size[i];
  }
  nn_tensor *view = nni_view(t, h->axes, h->size, stride, 0), *packed = view ? nn_tensor_pack(view) : NULL;
  nn_tensor_release(view);
  return packed;
}

static int read_failed(FILE *stream, const char *path) {
  return nn_fail(NN_EIO, "%s: %s", path, ferror(stream) ? strerror(errno) : "the file shrank meanwhile");
}

/* The header, from as much of the file's start as one can take. */
static int read_header(FILE *stream, const char *path, uint64_t bytes, nni_npy_header *h) {
  size_t size = bytes < NNI_NPY_LONGEST ? (size_t)bytes : NNI_NPY_LONGEST;
  uint8_t *start = nn_memory_get(size + 1);
  if (!start) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  int status = fread(start, 1, size, stream) == size ? nni_npy_parse(path, start, bytes, h) : read_failed(stream, path);
  nn_memory_put(start);
  if (status == NN_OK && fseeko(stream, (off_t)h->length, SEEK_SET) != 0) status = read_failed(stream, path);
  return status;
}

static int read_array(FILE *stream, const char *path, uint64_t bytes, nn_tensor **out) {
  nni_npy_header h;
  int status = read_header(stream, path, bytes, &h);
  if (status != NN_OK) return status;
  if (!h.dtype || !h.dtype->kind)
    return nn_fail(NN_EFORMAT, "%s: descr: floats, integers or booleans of up to 8 bytes expected, found %s", path,
                   h.description);
  nn_tensor *t = nn_tensor_new(h.dtype->type, h.axes, h.size);
  void *block = nn_memory_get(READ_STEP);
  if (!t || !block) status = NN_EMEMORY;
  int64_t step = READ_STEP / h.dtype->bytes;
  for (int64_t done = 0; done < h.count && status == NN_OK; done += step) {
    size_t now = (size_t)(h.count - done < step ? h.count - done : step);
    if (fread(block, (size_t)h.dtype->bytes, now, stream) != now) status = read_failed(stream, path);
    else status = nni_dtype_convert(h.dtype, h.swap, path, nn_tensor_write(t), block, done, (int64_t)now);
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

int nni_npy_header_of(const nn_tensor *t, char text[NNI_NPY_ROOM]) {
  char dictionary[256], shape[160] = "";
  size_t used = 0;
  for (int i = 0; i < nn_tensor_axes(t); i++)
    used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64 ",", i ? " " : "", nn_tensor_size(t, i));
  if (nn_tensor_axes(t) > 1) shape[used - 1] = '\0'; /* only a single size keeps its comma */
  int size = snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                      description_of(nn_tensor_type(t)), shape);
  /* padded with blanks and a newline so that the elements start at a multiple of 64 */
  int total = (PREFIX + 4 + size + 1 + 63) / 64 * 64, length = total - PREFIX - 4;
  snprintf(text, NNI_NPY_ROOM, "%s%c%c%c%c%-*s\n", magic, 1, 0, length & 0xff, length >> 8, length - 1, dictionary);
  return total;
}

int nn_npy_write(const char *path, nn_tensor *t) {
  char header[NNI_NPY_ROOM];
  int total = nni_npy_header_of(t, header);
  nni_output output;
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
