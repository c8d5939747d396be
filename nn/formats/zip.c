/* zip.c -- writing .zip files: entries that are stored as they come (NumPy's .npz), and deflated ones.
 *
 * A local header goes before each entry, its checksum filled in when the entry is complete; the list of contents goes
 * to the end. Every entry says its sizes in zip64's 64 bits, so that one form serves any size. Times are 1980-01-01 and
 * names are UTF-8: the same entries give the same bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/archive.h"
#include "formats/file.h"

enum { VERSION = 45, UTF8_NAMES = 1 << 11, DATE = 1 << 5 | 1, CRC_AT = 14, LOCAL = 30, CENTRAL = 46,
       LOCAL_EXTRA = 20, CENTRAL_EXTRA = 28, STORED = 0, DEFLATED = 8, LEVEL = 6, STEP = 1 << 20 };

typedef struct {
  char *name;
  uint64_t size, packed, offset;
  uint32_t crc;
  int method;
} zip_entry;

struct nni_zip {
  nni_output output;
  zip_entry *entry;
  size_t count, room;
  uint64_t offset;  /* where the next byte goes */
  uint64_t left;    /* of the current entry */
};

static uint8_t *put(uint8_t *at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) *at++ = (uint8_t)(value >> 8 * i);
  return at;
}

/* A failed write stays in the stream's error flag, where commit finds it. */
static void out(nni_zip *z, const void *bytes, size_t size) {
  fwrite(bytes, 1, size, z->output.stream);
  z->offset += size;
}

/* Ends the current entry: its checksum goes into the header before it. */
static int finish_entry(nni_zip *z) {
  if (z->count == 0) return NN_OK;
  const zip_entry *e = &z->entry[z->count - 1];
  char left[32];
  if (z->left > 0)
    return nn_fail(NN_EARGUMENT, "%s: %s: %s bytes are missing", z->output.path, e->name, nni_grouped(left, z->left));
  uint8_t crc[4];
  put(crc, e->crc, 4);
  if (fseeko(z->output.stream, (off_t)(e->offset + CRC_AT), SEEK_SET) != 0 ||
      fwrite(crc, 1, 4, z->output.stream) != 4 || fseeko(z->output.stream, (off_t)z->offset, SEEK_SET) != 0)
    return nn_fail(NN_EIO, "%s: cannot be written: %s", z->output.path, strerror(errno));
  return NN_OK;
}

int nni_zip_create(const char *path, nni_zip **result) {
  nni_zip *z = calloc(1, sizeof *z);
  if (!z) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  int status = nni_output_open(&z->output, path);
  if (status == NN_OK) *result = z;
  else free(z);
  return status;
}

/* Ends the entry before and writes the header of one of `size` bytes that takes `packed` of the file. */
static int start_entry(nni_zip *z, const char *name, int method, uint64_t size, uint64_t packed) {
  size_t length = strlen(name);
  int status = finish_entry(z);
  if (status != NN_OK) return status;
  if (length == 0 || length > UINT16_MAX)
    return nn_fail(NN_EARGUMENT, "%s: the name of an entry has 1 to %d bytes, got %zu", z->output.path, UINT16_MAX,
                   length);
  if (z->count == z->room) {
    size_t room = z->room ? 2 * z->room : 16;
    zip_entry *larger = realloc(z->entry, room * sizeof *larger);
    if (!larger) return nn_fail(NN_EMEMORY, "%s: out of memory", z->output.path);
    z->entry = larger;
    z->room = room;
  }
  char *copy = strdup(name);
  if (!copy) return nn_fail(NN_EMEMORY, "%s: out of memory", z->output.path);
  z->entry[z->count++] = (zip_entry){ copy, size, packed, z->offset, 0, method };
  z->left = size;

  uint8_t header[LOCAL + LOCAL_EXTRA], *at = header;
  at = put(at, 0x04034b50, 4);
  at = put(at, VERSION, 2);
  at = put(at, UTF8_NAMES, 2);
  at = put(at, (uint64_t)method, 2);
  at = put(at, 0, 2);          /* midnight */
  at = put(at, DATE, 2);
  at = put(at, 0, 4);          /* the checksum, later */
  at = put(at, UINT32_MAX, 4); /* both sizes: see zip64 */
  at = put(at, UINT32_MAX, 4);
  at = put(at, length, 2);
  put(at, LOCAL_EXTRA, 2);
  out(z, header, LOCAL);
  out(z, name, length);
  at = header;
  at = put(at, 1, 2);          /* zip64 */
  at = put(at, LOCAL_EXTRA - 4, 2);
  at = put(at, size, 8);
  put(at, packed, 8);
  out(z, header, LOCAL_EXTRA);
  return NN_OK;
}

int nni_zip_add(nni_zip *z, const char *name, uint64_t size) { return start_entry(z, name, STORED, size, size); }

int nni_zip_write(nni_zip *z, const void *bytes, size_t size) {
  char more[32], left[32];
  if (z->count == 0 || size > z->left)
    return nn_fail(NN_EARGUMENT, "%s: %s bytes for an entry that lacks %s", z->output.path, nni_grouped(more, size),
                   nni_grouped(left, z->left));
  zip_entry *e = &z->entry[z->count - 1];
  e->crc = (uint32_t)crc32_z(e->crc, bytes, size);
  z->left -= size;
  out(z, bytes, size);
  return NN_OK;
}

/* Deflates `size` bytes to fewer; *packed is 0 when they do not get fewer. */
static int deflate_bytes(nni_zip *z, const uint8_t *bytes, size_t size, uint8_t *to, size_t *packed) {
  z_stream stream = { 0 };
  if (deflateInit2(&stream, LEVEL, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return nn_fail(NN_EMEMORY, "%s: out of memory", z->output.path);
  int status = NN_OK, code = Z_OK;
  stream.next_in = (Bytef *)(uintptr_t)bytes;
  stream.next_out = to;
  for (size_t left = size; code == Z_OK && status == NN_OK;) {
    size_t now = left < STEP ? left : STEP, used = (size_t)(stream.next_out - to);
    stream.avail_in = (uInt)now;
    stream.avail_out = size - used < STEP ? (uInt)(size - used) : STEP;
    left -= now;
    code = deflate(&stream, left == 0 ? Z_FINISH : Z_NO_FLUSH);
    left += stream.avail_in;
    if ((size_t)(stream.next_out - to) == size) break;
    status = nn_interrupt_check();
  }
  size_t used = (size_t)(stream.next_out - to);
  *packed = code == Z_STREAM_END && used < size ? used : 0;
  deflateEnd(&stream);
  return status;
}

int nni_zip_pack(nni_zip *z, const char *name, const void *bytes, size_t size) {
  size_t packed = 0;
  uint8_t *room = size ? nn_memory_get(size) : NULL;
  if (size && !room) return nn_fail(NN_EMEMORY, "%s: out of memory", z->output.path);
  int status = size ? deflate_bytes(z, bytes, size, room, &packed) : NN_OK;
  if (status == NN_OK && packed) {
    status = start_entry(z, name, DEFLATED, size, packed);
    if (status == NN_OK) {
      z->entry[z->count - 1].crc = (uint32_t)crc32_z(0, bytes, size);
      z->left = 0;
      out(z, room, packed);
    }
  } else if (status == NN_OK) {
    status = nni_zip_add(z, name, size);
    if (status == NN_OK) status = nni_zip_write(z, bytes, size);
  }
  nn_memory_put(room);
  return status;
}

static void list_entry(nni_zip *z, const zip_entry *e) {
  uint8_t header[CENTRAL + CENTRAL_EXTRA], *at = header;
  size_t length = strlen(e->name);
  at = put(at, 0x02014b50, 4);
  at = put(at, VERSION | 3 << 8, 2);  /* made on Unix, so that the mode below is one */
  at = put(at, VERSION, 2);
  at = put(at, UTF8_NAMES, 2);
  at = put(at, (uint64_t)e->method, 2);
  at = put(at, 0, 2);
  at = put(at, DATE, 2);
  at = put(at, e->crc, 4);
  at = put(at, UINT32_MAX, 4);
  at = put(at, UINT32_MAX, 4);
  at = put(at, length, 2);
  at = put(at, CENTRAL_EXTRA, 2);
  at = put(at, 0, 6);                 /* no comment, first disk, internal attributes */
  at = put(at, 0100644u << 16, 4);
  put(at, UINT32_MAX, 4);
  out(z, header, CENTRAL);
  out(z, e->name, length);
  at = header;
  at = put(at, 1, 2);
  at = put(at, CENTRAL_EXTRA - 4, 2);
  at = put(at, e->size, 8);
  at = put(at, e->packed, 8);
  put(at, e->offset, 8);
  out(z, header, CENTRAL_EXTRA);
}

static void list_entries(nni_zip *z) {
  uint64_t start = z->offset;
  for (size_t i = 0; i < z->count; i++) list_entry(z, &z->entry[i]);
  uint64_t end = z->offset;
  uint8_t tail[56 + 20 + 22], *at = tail;
  at = put(at, 0x06064b50, 4);       /* zip64's end of the list */
  at = put(at, 44, 8);
  at = put(at, VERSION, 2);
  at = put(at, VERSION, 2);
  at = put(at, 0, 8);
  at = put(at, z->count, 8);
  at = put(at, z->count, 8);
  at = put(at, end - start, 8);
  at = put(at, start, 8);
  at = put(at, 0x07064b50, 4);       /* where that is */
  at = put(at, 0, 4);
  at = put(at, end, 8);
  at = put(at, 1, 4);
  at = put(at, 0x06054b50, 4);       /* the old end of the list */
  at = put(at, 0, 4);
  at = put(at, UINT16_MAX, 2);
  at = put(at, UINT16_MAX, 2);
  at = put(at, UINT32_MAX, 4);
  at = put(at, UINT32_MAX, 4);
  put(at, 0, 2);
  out(z, tail, sizeof tail);
}

static void forget(nni_zip *z) {
  for (size_t i = 0; i < z->count; i++) free(z->entry[i].name);
  free(z->entry);
  free(z);
}

int nni_zip_commit(nni_zip *z) {
  int status = finish_entry(z);
  if (status == NN_OK) {
    list_entries(z);
    status = nni_output_commit(&z->output);
  } else {
    nni_output_discard(&z->output);
  }
  forget(z);
  return status;
}

void nni_zip_discard(nni_zip *z) {
  nni_output_discard(&z->output);
  forget(z);
}
