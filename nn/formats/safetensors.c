/* safetensors.c -- the safetensors format, read and written.
 *
 * Layout: header length (64 bits, at most 100,000,000), a JSON object, the buffer. The object's fields are tensors,
 * { dtype, shape, data_offsets: [begin, end) in the buffer }, and __metadata__, an object of strings. The tensors tile
 * the buffer: no hole, no overlap, nothing behind the last one. Written as the format's authors do, byte for byte:
 * tensors of larger elements first, so that each is aligned, floats before integers, then by name; the header padded
 * with blanks to a multiple of 8.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint.h"
#include "formats/file.h"
#include "tensor/tensor.h"

#define LONGEST_HEADER UINT64_C(100000000)
enum { PREFIX = 8, WRITE_STEP = 1 << 20 };
static const char metadata_key[] = "__metadata__";

/* ---- reading ---- */

typedef struct {
  uint64_t begin, end;  /* in the buffer */
  size_t place;         /* of the tensor */
} extent;

typedef struct {
  nn_checkpoint *c;
  nn_json json;
  const uint8_t *buffer;
  size_t size;            /* of the buffer */
  extent *extents;
  size_t count, room;
  char *name, *text;      /* of the field at hand and of one of its strings: as long as the header */
  size_t name_length, text_length;
} header;

static int next(header *h, nn_json_token *token, nn_json_kind kind, const char *expected) {
  int status = nn_json_next(&h->json, token);
  if (status != NN_OK || token->kind == kind) return status;
  return nn_json_fail(&h->json, token->offset, "%s expected", expected);
}

/* The next key, or the object's end. */
static int next_key(header *h, nn_json_token *token, bool *more) {
  int status = nn_json_next(&h->json, token);
  *more = status == NN_OK && token->kind == NN_JSON_KEY;
  return status;
}

static int read_metadata(header *h) {
  nn_json_token token;
  bool more;
  int status = next(h, &token, NN_JSON_OBJECT, "__metadata__: an object of strings");
  while (status == NN_OK && (status = next_key(h, &token, &more)) == NN_OK && more) {
    nn_value value = { .name = h->name, .kind = NN_VALUE_TEXT, .text = h->text };
    h->name_length = nn_json_text(&token, h->name);
    status = next(h, &token, NN_JSON_STRING, "__metadata__: a string");
    if (status != NN_OK) break;
    value.length = nn_json_text(&token, h->text);
    status = nni_checkpoint_add_value(h->c, &h->c->metadata, h->name_length, &value);
  }
  return status;
}

static int read_dtype(header *h, nni_stored *t) {
  nn_json_token token;
  char shown[60];
  int status = next(h, &token, NN_JSON_STRING, "dtype: a string");
  if (status != NN_OK) return status;
  size_t length = nn_json_text(&token, h->text);
  h->text[length] = '\0';
  t->dtype = nni_dtype_find(NNI_BY_SAFETENSORS, h->text);
  if (t->dtype) return NN_OK;
  return nn_json_fail(&h->json, token.offset, "unknown dtype %s", nni_quoted(shown, sizeof shown, h->text, length));
}

/* A list of integers from 0; at most `room`. */
static int read_integers(header *h, const char *expected, int64_t *out, int room, int *count) {
  nn_json_token token;
  int status = next(h, &token, NN_JSON_ARRAY, expected);
  for (*count = 0; status == NN_OK; ++*count) {
    status = nn_json_next(&h->json, &token);
    if (status != NN_OK || token.kind == NN_JSON_ARRAY_END) break;
    if (token.kind != NN_JSON_INTEGER || token.integer < 0 || *count == room)
      return nn_json_fail(&h->json, token.offset, "%s expected", expected);
    out[*count] = token.integer;
  }
  return status;
}

static int check_span(header *h, const nni_stored *t, const char *whose, uint64_t begin, uint64_t end) {
  char a[32], b[32], c[32];
  if (begin > end || end > h->size)
    return nn_fail(NN_EFORMAT, "%s: data_offsets %s to %s are not in the buffer of %s bytes", whose,
                   nni_grouped(a, begin), nni_grouped(b, end), nni_grouped(c, h->size));
  if (nni_check_count(t->axes, t->size) != NN_OK)
    return nn_fail(NN_EFORMAT, "%s: shape: more elements than memory can hold", whose);
  uint64_t bytes = (uint64_t)nni_count(t->axes, t->size) * (uint64_t)t->dtype->bytes;
  if (bytes != end - begin)
    return nn_fail(NN_EFORMAT, "%s: dtype and shape take %s bytes, data_offsets give %s", whose,
                   nni_grouped(a, bytes), nni_grouped(b, end - begin));
  return NN_OK;
}

static int add_tensor(header *h, nni_stored *t, const int64_t *offsets) {
  char whose[NNI_WHO];
  uint64_t begin = (uint64_t)offsets[0], end = (uint64_t)offsets[1];
  int status = check_span(h, t, nni_checkpoint_who(h->c, h->name, h->name_length, whose), begin, end);
  if (status != NN_OK) return status;
  t->bytes = h->buffer + begin;
  t->room = (size_t)(end - begin);
  nni_contiguous(t->axes, t->size, t->stride);
  if (!nni_grow(&h->extents, &h->room, h->count, 1, sizeof *h->extents))
    return nn_fail(NN_EMEMORY, "%s: out of memory", h->c->path);
  h->extents[h->count] = (extent){ begin, end, h->count };
  h->count++;
  return nni_checkpoint_add(h->c, h->name, h->name_length, t);
}

static int read_tensor(header *h) {
  enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
  nn_json_token token;
  nni_stored t = { .name = NULL };
  int64_t offsets[2];
  int seen = 0, count;
  bool more;
  char whose[NNI_WHO];
  int status = next(h, &token, NN_JSON_OBJECT, "an object with dtype, shape and data_offsets");
  while (status == NN_OK && (status = next_key(h, &token, &more)) == NN_OK && more) {
    size_t length = nn_json_text(&token, h->text);
    h->text[length] = '\0';
    int field = strcmp(h->text, "dtype") == 0 ? DTYPE : strcmp(h->text, "shape") == 0 ? SHAPE
              : strcmp(h->text, "data_offsets") == 0 ? OFFSETS : 0;
    if (!field || (seen & field))
      return nn_json_fail(&h->json, token.offset, "dtype, shape and data_offsets expected, each once");
    seen |= field;
    if (field == DTYPE) status = read_dtype(h, &t);
    else if (field == SHAPE) status = read_integers(h, "shape: up to 6 sizes", t.size, NN_MAX_AXES, &t.axes);
    else status = read_integers(h, "data_offsets: two integers", offsets, 2, &count);
  }
  if (status != NN_OK) return status;
  nni_checkpoint_who(h->c, h->name, h->name_length, whose);
  if (seen != (DTYPE | SHAPE | OFFSETS))
    return nn_fail(NN_EFORMAT, "%s: %s is missing", whose,
                   !(seen & DTYPE) ? "dtype" : !(seen & SHAPE) ? "shape" : "data_offsets");
  if (count != 2) return nn_fail(NN_EFORMAT, "%s: data_offsets: two integers expected, found %d", whose, count);
  return add_tensor(h, &t, offsets);
}

static int read_fields(header *h) {
  nn_json_token token;
  bool more, metadata = false;
  int status = next(h, &token, NN_JSON_OBJECT, "an object");
  while (status == NN_OK && (status = next_key(h, &token, &more)) == NN_OK && more) {
    h->name_length = nn_json_text(&token, h->name);
    if (h->name_length == sizeof metadata_key - 1 && memcmp(h->name, metadata_key, h->name_length) == 0) {
      if (metadata) return nn_json_fail(&h->json, token.offset, "__metadata__ appears twice");
      metadata = true;
      status = read_metadata(h);
    } else {
      status = read_tensor(h);
    }
    if (status == NN_OK) status = nn_interrupt_check();
  }
  return status == NN_OK ? next(h, &token, NN_JSON_END, "nothing more") : status;
}

static int compare_extents(const void *a, const void *b) {
  const extent *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return (x->end > y->end) - (x->end < y->end);
}

/* Is each byte of the buffer in exactly one tensor? */
static int check_tiling(header *h) {
  char a[32], b[32], whose[NNI_WHO];
  uint64_t end = 0;
  if (h->count) qsort(h->extents, h->count, sizeof *h->extents, compare_extents);
  for (size_t i = 0; i < h->count; i++) {
    const char *name = h->c->tensors[h->extents[i].place].name;
    if (h->extents[i].begin != end)
      return nn_fail(NN_EFORMAT, "%s: data_offsets begin at %s, %s %s",
                     nni_checkpoint_who(h->c, name, strlen(name), whose), nni_grouped(a, h->extents[i].begin),
                     h->extents[i].begin < end ? "inside another tensor that ends at" : "after a hole from",
                     nni_grouped(b, end));
    end = h->extents[i].end;
  }
  if (end == h->size) return NN_OK;
  return nn_fail(NN_EFORMAT, "%s: the tensors take %s bytes of the buffer, which has %s", h->c->path,
                 nni_grouped(a, end), nni_grouped(b, h->size));
}

static int read_length(const nn_checkpoint *c, const nni_block *file, uint64_t *length) {
  char a[32], b[32];
  if (file->size < PREFIX)
    return nn_fail(NN_EFORMAT, "%s: header length: %d bytes expected at offset 0, %zu found; the file ends there",
                   c->path, PREFIX, file->size);
  memcpy(length, file->bytes, sizeof *length);
  if (*length > LONGEST_HEADER)
    return nn_fail(NN_EFORMAT, "%s: header length: at most %s expected, found %s at offset 0", c->path,
                   nni_grouped(a, LONGEST_HEADER), nni_grouped(b, *length));
  if (*length > file->size - PREFIX)
    return nn_fail(NN_EFORMAT, "%s: header: %s bytes expected at offset %d, %s found; the file ends there", c->path,
                   nni_grouped(a, *length), PREFIX, nni_grouped(b, file->size - PREFIX));
  return NN_OK;
}

int nni_safetensors_read(nn_checkpoint *c) {
  const nni_block *file;
  uint64_t length = 0;
  int status = nni_checkpoint_add_file(c, &file);
  if (status == NN_OK) status = read_length(c, file, &length);
  if (status != NN_OK) return status;
  size_t size = PREFIX + (size_t)length;
  /* the text goes on where the file starts, so that its offsets are the file's, and ends with a zero */
  char *text = nn_memory_get(size + 1);
  header h = { .c = c, .buffer = file->bytes + size, .size = file->size - size, .name = nn_memory_get(size),
               .text = nn_memory_get(size) };
  if (text && h.name && h.text) {
    memcpy(text, file->bytes, size);
    text[size] = '\0';
    nn_json_start(&h.json, c->path, text, size);
    h.json.at = PREFIX;
    status = read_fields(&h);
  } else {
    status = nn_fail(NN_EMEMORY, "%s: out of memory", c->path);
  }
  if (status == NN_OK) status = check_tiling(&h);
  nn_memory_put(text);
  nn_memory_put(h.name);
  nn_memory_put(h.text);
  nn_memory_put(h.extents);
  return status;
}

/* ---- writing ---- */

typedef struct {
  const char *name;
  nn_tensor *tensor;
  const nni_dtype *dtype;
} written;

static int compare_written(const void *a, const void *b) {
  const written *x = a, *y = b;
  if (x->dtype->bytes != y->dtype->bytes) return x->dtype->bytes > y->dtype->bytes ? -1 : 1;
  if (x->dtype->type != y->dtype->type) return x->dtype->type == NN_REAL ? -1 : 1;
  return strcmp(x->name, y->name);
}

static int compare_keys(const void *a, const void *b) {
  const char *const *x = a, *const *y = b;
  return strcmp(*x, *y);
}

static bool valid_text(const char *text) {
  size_t size = strlen(text), length;
  for (size_t at = 0; at < size; at += length)
    if (!(length = nni_utf8(text + at, size - at))) return false;
  return true;
}

static void put_quoted(FILE *out, const char *text) {
  putc('"', out);
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    const char *escape = c < 0x20 ? strchr("\bb\tt\nn\ff\rr", c) : NULL;
    if (c == '"' || c == '\\') fprintf(out, "\\%c", c);
    else if (escape && c) fprintf(out, "\\%c", escape[1]);
    else if (c < 0x20) fprintf(out, "\\u%04x", c);
    else putc(c, out);
  }
  putc('"', out);
}

static void put_header(FILE *out, const written *list, int count, const char *const *metadata, int pairs) {
  uint64_t begin = 0;
  const char *comma = "";
  putc('{', out);
  if (pairs) fprintf(out, "\"%s\":{", metadata_key);
  for (int i = 0; i < pairs; i++) {
    if (i) putc(',', out);
    put_quoted(out, metadata[2 * i]);
    putc(':', out);
    put_quoted(out, metadata[2 * i + 1]);
    comma = ",";
  }
  if (pairs) putc('}', out);
  for (int i = 0; i < count; i++) {
    uint64_t end = begin + (uint64_t)nn_tensor_count(list[i].tensor) * (uint64_t)list[i].dtype->bytes;
    fputs(comma, out);
    put_quoted(out, list[i].name);
    fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", list[i].dtype->name[NNI_BY_SAFETENSORS]);
    for (int k = 0; k < nn_tensor_axes(list[i].tensor); k++)
      fprintf(out, "%s%" PRId64, k ? "," : "", nn_tensor_size(list[i].tensor, k));
    fprintf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, end);
    begin = end;
    comma = ",";
  }
  putc('}', out);
}

static int put_elements(FILE *out, nn_tensor *t) {
  nn_tensor *packed = nn_tensor_pack(t);
  if (!packed) return NN_EMEMORY;
  size_t bytes = (size_t)nn_tensor_count(t) * nn_type_bytes(nn_tensor_type(t));
  const char *data = nn_tensor_data(packed);
  int status = NN_OK;
  for (size_t done = 0; done < bytes && status == NN_OK; done += WRITE_STEP) {
    fwrite(data + done, 1, bytes - done < WRITE_STEP ? bytes - done : WRITE_STEP, out);
    status = nn_interrupt_check();
  }
  nn_tensor_release(packed);
  return status;
}

/* A failed write stays in the stream's error flag, where commit finds it. */
static int write_file(const char *path, const char *head, size_t length, const written *list, int count) {
  nni_output output;
  size_t padded = (length + 7) / 8 * 8;
  uint64_t prefix = padded;
  int status = nni_output_open(&output, path);
  if (status != NN_OK) return status;
  fwrite(&prefix, 1, sizeof prefix, output.stream);
  fwrite(head, 1, length, output.stream);
  fprintf(output.stream, "%*s", (int)(padded - length), "");
  for (int i = 0; i < count && status == NN_OK; i++) status = put_elements(output.stream, list[i].tensor);
  if (status == NN_OK) return nni_output_commit(&output);
  nni_output_discard(&output);
  return status;
}

static int check_names(const char *path, const written *list, int count, const char *const *metadata, int pairs) {
  char shown[120];
  for (int i = 0; i < count + 2 * pairs; i++) {
    const char *name = i < count ? list[i].name : metadata[i - count];
    if (!valid_text(name) || (i < count && strcmp(name, metadata_key) == 0))
      return nn_fail(NN_EARGUMENT, "%s: %s cannot be %s: it is %s", path,
                     nni_quoted(shown, sizeof shown, name, strlen(name)), i < count ? "a name" : "in the metadata",
                     valid_text(name) ? "reserved" : "not UTF-8");
  }
  return NN_OK;
}

int nn_safetensors_write(const char *path, int count, const char *const *names, nn_tensor *const *tensors, int pairs,
                         const char *const *metadata) {
  char *head = NULL;
  size_t length = 0;
  FILE *text = NULL;
  const char **keys = nn_memory_get((size_t)(2 * pairs + 1) * sizeof *keys);
  written *list = nn_memory_get((size_t)(count + 1) * sizeof *list);
  int status = keys && list ? NN_OK : nn_fail(NN_EMEMORY, "%s: out of memory", path);
  if (status != NN_OK) goto out;
  for (int i = 0; i < count; i++) list[i] = (written){ names[i], tensors[i], nni_dtype_of(nn_tensor_type(tensors[i])) };
  for (int i = 0; i < 2 * pairs; i++) keys[i] = metadata[i];
  status = check_names(path, list, count, metadata, pairs);
  if (status == NN_OK)
    status = nni_sort_names(NN_EARGUMENT, path, "tensor", list, sizeof *list, (size_t)count, NULL);
  if (status == NN_OK)
    status = nni_sort_names(NN_EARGUMENT, path, "metadata field", keys, 2 * sizeof *keys, (size_t)pairs, NULL);
  if (status != NN_OK) goto out;
  qsort(list, (size_t)count, sizeof *list, compare_written);
  qsort(keys, (size_t)pairs, 2 * sizeof *keys, compare_keys);

  text = open_memstream(&head, &length);
  if (text) put_header(text, list, count, keys, pairs);
  bool whole = text && !ferror(text);
  if ((text && fclose(text) != 0) || !whole) status = nn_fail(NN_EMEMORY, "%s: out of memory", path);
  else if (length > LONGEST_HEADER)
    status = nn_fail(NN_EARGUMENT, "%s: the names of %d tensors are too long", path, count);
  else status = write_file(path, head, length, list, count);
out:
  free(head);
  nn_memory_put(keys);
  nn_memory_put(list);
  return status;
}
