/* mat5.c -- MATLAB 5 files: SVHN's pictures and labels, and tables of structs such as ImageNet's meta.mat.
 *
 * Layout: 128 bytes of header (text, version, byte order), then elements: a type, a size in bytes, the bytes, padded to
 * 8; up to 4 bytes may sit in the tag itself. A variable is an element of elements (flags, sizes, name, contents),
 * usually compressed as a whole. Arrays are stored with the first axis running fastest. A declared size is believed
 * only as far as its bytes come: everything is read as a stream, and memory grows with what has come.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <zlib.h>

#include "formats/bytes.h"
#include "formats/file.h"
#include "tensor/tensor.h"

enum { HEADER = 128, VERSION_AT = 124, MAX_DIMENSIONS = 8, MAX_NAME = 256, STEP = 1 << 16 };

/* Types of elements. */
enum {
  MI_INT8 = 1, MI_UINT8 = 2, MI_INT16 = 3, MI_UINT16 = 4, MI_INT32 = 5, MI_UINT32 = 6, MI_SINGLE = 7, MI_DOUBLE = 9,
  MI_INT64 = 12, MI_UINT64 = 13, MI_MATRIX = 14, MI_COMPRESSED = 15, MI_UTF8 = 16, MI_UTF16 = 17,
};

/* Classes of arrays; from DOUBLE to UINT64 they hold numbers. */
enum { CLASS_STRUCT = 2, CLASS_CHAR = 4, CLASS_DOUBLE = 6, CLASS_UINT8 = 9, CLASS_UINT64 = 15 };

typedef struct {
  const char *path;
  FILE *stream;
  uint64_t bytes, next;  /* of the file; where the next variable starts */
  bool swap;             /* written in the other byte order */
  bool packed, live;     /* the variable is compressed; its decompressor is at work */
  bool cut;              /* the file ends before the variable does */
  z_stream z;
  uint64_t raw;          /* bytes of the variable not yet read from the file */
  uint64_t at;           /* offset in the file, or in the unpacked variable */
  uint64_t left;         /* bytes left in the array being read */
  uint8_t input[STEP];
} mat_file;

typedef struct {
  uint32_t type, size;
  bool small;
  uint8_t inside[4];  /* a small element's bytes */
} mat_tag;

typedef struct {
  char name[MAX_NAME];
  int class, dimensions;
  int64_t size[MAX_DIMENSIONS], count;
} mat_array;

/* ---- bytes ---- */

static const char *where(const mat_file *m) { return m->packed ? " of the unpacked variable" : ""; }

/* Reads up to `size` bytes of the variable; fewer only where it ends. */
static int fill(mat_file *m, void *to, uint64_t size, uint64_t *got) {
  char a[32];
  *got = 0;
  if (!m->packed) {
    *got = fread(to, 1, size, m->stream);
    m->at += *got;
    return *got < size && ferror(m->stream) ? nn_fail(NN_EIO, "%s: %s", m->path, strerror(errno)) : NN_OK;
  }
  while (*got < size && m->live) {
    if (m->z.avail_in == 0) {
      size_t now = m->raw < STEP ? (size_t)m->raw : STEP, came = fread(m->input, 1, now, m->stream);
      if (came < now && ferror(m->stream)) return nn_fail(NN_EIO, "%s: %s", m->path, strerror(errno));
      if (came == 0) break;
      m->raw -= came;
      m->z.next_in = m->input;
      m->z.avail_in = (uInt)came;
      int status = nn_interrupt_check();
      if (status != NN_OK) return status;
    }
    uInt room = size - *got < STEP ? (uInt)(size - *got) : STEP;
    m->z.next_out = (uint8_t *)to + *got;
    m->z.avail_out = room;
    int result = inflate(&m->z, Z_NO_FLUSH);
    *got += room - m->z.avail_out;
    m->at += room - m->z.avail_out;
    if (result == Z_STREAM_END) m->live = false;
    else if (result != Z_OK && result != Z_BUF_ERROR)
      return nn_fail(NN_EFORMAT, "%s: the compressed data is damaged near offset %s%s (%s)", m->path,
                     nni_grouped(a, m->at), where(m), m->z.msg ? m->z.msg : "zlib");
  }
  return NN_OK;
}

static int short_field(const mat_file *m, const char *field, uint64_t expected, uint64_t start, uint64_t got) {
  char a[32], b[32], c[32], d[32], end[64] = "";
  if (m->packed) snprintf(end, sizeof end, " at offset %s", nni_grouped(d, m->cut ? m->bytes : m->next));
  return nn_fail(NN_EFORMAT, "%s: %s: %s bytes expected at offset %s%s, %s found; the %s ends there%s", m->path, field,
                 nni_grouped(a, expected), nni_grouped(b, start), where(m), nni_grouped(c, got),
                 m->packed && !m->cut ? "compressed data" : "file", end);
}

/* Exactly `size` bytes of the array being read. */
static int take(mat_file *m, const char *field, void *to, uint64_t size) {
  uint64_t start = m->at, got;
  char a[32], b[32], c[32];
  if (size > m->left)
    return nn_fail(NN_EFORMAT, "%s: %s: %s bytes expected at offset %s%s, the array has %s left", m->path, field,
                   nni_grouped(a, size), nni_grouped(b, start), where(m), nni_grouped(c, m->left));
  int status = fill(m, to, size, &got);
  m->left -= got;
  if (status == NN_OK && got < size) status = short_field(m, field, size, start, got);
  return status;
}

static int skip(mat_file *m, const char *field, uint64_t size) {
  uint8_t waste[4096];
  int status = NN_OK;
  while (size > 0 && status == NN_OK) {
    uint64_t now = size < sizeof waste ? size : sizeof waste;
    status = take(m, field, waste, now);
    size -= now;
  }
  return status;
}

static uint32_t word_of(const mat_file *m, const uint8_t *at) {
  uint32_t word = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
  return m->swap ? __builtin_bswap32(word) : word;
}

/* ---- elements ---- */

static int read_tag(mat_file *m, const char *field, mat_tag *tag) {
  uint8_t bytes[8];
  int status = take(m, field, bytes, sizeof bytes);
  if (status != NN_OK) return status;
  uint32_t first = word_of(m, bytes);
  *tag = (mat_tag){ .type = first & 0xffff, .size = first >> 16, .small = first >> 16 != 0 };
  if (tag->small) {
    if (tag->size > 4)
      return nn_fail(NN_EFORMAT, "%s: %s: at most 4 bytes fit a tag, found %" PRIu32 " before offset %" PRIu64 "%s",
                     m->path, field, tag->size, m->at, where(m));
    memcpy(tag->inside, bytes + 4, 4);
  } else {
    tag->type = first;
    tag->size = word_of(m, bytes + 4);
  }
  return NN_OK;
}

/* The bytes between an element's contents and the next; an array's last may lack them. */
static int read_padding(mat_file *m, const char *field, const mat_tag *tag) {
  uint64_t rest = tag->small ? 0 : (8 - tag->size % 8) % 8;
  return skip(m, field, rest < m->left ? rest : m->left);
}

/* The contents of an element, tag->size bytes. */
static int read_contents(mat_file *m, const char *field, const mat_tag *tag, void *to) {
  if (tag->small) {
    memcpy(to, tag->inside, tag->size);
    return NN_OK;
  }
  int status = take(m, field, to, tag->size);
  return status == NN_OK ? read_padding(m, field, tag) : status;
}

/* An element of a known type and of at most `room` bytes. */
static int read_element(mat_file *m, const char *field, uint32_t type, void *to, size_t room, uint32_t *size) {
  mat_tag tag;
  int status = read_tag(m, field, &tag);
  if (status != NN_OK) return status;
  if (tag.type != type || tag.size > room)
    return nn_fail(NN_EFORMAT, "%s: %s: at most %zu bytes of type %" PRIu32 " expected, found %" PRIu32
                   " of type %" PRIu32 " before offset %" PRIu64 "%s", m->path, field, room, type, tag.size, tag.type,
                   m->at, where(m));
  *size = tag.size;
  return read_contents(m, field, &tag, to);
}

/* ---- arrays ---- */

static int read_array_header(mat_file *m, mat_array *a) {
  uint8_t bytes[4 * MAX_DIMENSIONS];
  uint32_t size;
  *a = (mat_array){ .count = 1 };
  int status = read_element(m, "array flags", MI_UINT32, bytes, 8, &size);
  if (status != NN_OK) return status;
  a->class = size == 8 ? (int)(word_of(m, bytes) & 0xff) : 0;
  status = read_element(m, "array sizes", MI_INT32, bytes, sizeof bytes, &size);
  if (status != NN_OK) return status;
  a->dimensions = (int)(size / 4);
  for (int i = 0; i < a->dimensions; i++) {
    a->size[i] = (int32_t)word_of(m, bytes + 4 * i);
    if (a->size[i] < 0 || __builtin_mul_overflow(a->count, a->size[i], &a->count))
      return nn_fail(NN_EFORMAT, "%s: array sizes: size %d cannot be %" PRId64, m->path, i + 1, a->size[i]);
  }
  return read_element(m, "array name", MI_INT8, a->name, MAX_NAME - 1, &size);
}

static bool is_number(const mat_array *a) { return a->class >= CLASS_DOUBLE && a->class <= CLASS_UINT64; }

static void describe_sizes(const mat_array *a, char *text, size_t room) {
  size_t used = 0;
  text[0] = '\0';
  for (int i = 0; i < a->dimensions && used < room; i++)
    used += (size_t)snprintf(text + used, room - used, "%s%" PRId64, i ? " x " : "", a->size[i]);
}

static size_t number_bytes(uint32_t type) {
  switch (type) {
    case MI_INT8: case MI_UINT8: case MI_UTF8: return 1;
    case MI_INT16: case MI_UINT16: case MI_UTF16: return 2;
    case MI_INT32: case MI_UINT32: case MI_SINGLE: return 4;
    case MI_DOUBLE: case MI_INT64: case MI_UINT64: return 8;
    default: return 0;
  }
}

static double number_at(const mat_file *m, uint32_t type, const uint8_t *at) {
  uint64_t bits = 0;
  size_t size = number_bytes(type);
  for (size_t i = 0; i < size; i++) bits |= (uint64_t)at[m->swap ? size - 1 - i : i] << (8 * i);
  switch (type) {
    case MI_INT8: return (int8_t)bits;
    case MI_INT16: return (int16_t)bits;
    case MI_INT32: return (int32_t)bits;
    case MI_INT64: return (double)(int64_t)bits;
    case MI_SINGLE: {
      uint32_t low = (uint32_t)bits;
      float value;
      memcpy(&value, &low, sizeof value);
      return value;
    }
    case MI_DOUBLE: {
      double value;
      memcpy(&value, &bits, sizeof value);
      return value;
    }
    default: return (double)bits;
  }
}

/* The tag of an array's numbers: as many as its sizes say. */
static int read_numbers_tag(mat_file *m, const mat_array *a, mat_tag *tag) {
  char sizes[128], b[32], c[32];
  int status = read_tag(m, a->name, tag);
  if (status != NN_OK) return status;
  size_t each = number_bytes(tag->type);
  describe_sizes(a, sizes, sizeof sizes);
  if (each == 0)
    return nn_fail(NN_EFORMAT, "%s: %s: numbers expected, found an element of type %" PRIu32, m->path, a->name,
                   tag->type);
  if (tag->size % each != 0 || (int64_t)(tag->size / each) != a->count)
    return nn_fail(NN_EFORMAT, "%s: %s: sizes %s, but %s bytes of numbers of %zu", m->path, a->name, sizes,
                   nni_grouped(b, tag->size), each);
  if (!tag->small && tag->size > m->left)
    return nn_fail(NN_EFORMAT, "%s: %s: %s bytes of numbers, the array has %s left", m->path, a->name,
                   nni_grouped(b, tag->size), nni_grouped(c, m->left));
  return NN_OK;
}

/* ---- files ---- */

static void leave_variable(mat_file *m) {
  if (m->packed) inflateEnd(&m->z);
  m->packed = m->live = m->cut = false;
}

static void mat_close(mat_file *m) {
  if (!m) return;
  leave_variable(m);
  fclose(m->stream);
  nn_memory_put(m);
}

static int mat_open(const char *path, mat_file **out) {
  FILE *stream;
  uint64_t bytes;
  char header[HEADER], a[32];
  int status = nni_input_open(path, &stream, &bytes);
  if (status != NN_OK) return status;
  mat_file *m = nn_memory_get_zeroed(sizeof *m);
  if (!m) {
    fclose(stream);
    return NN_EMEMORY;
  }
  m->path = path, m->stream = stream, m->bytes = bytes, m->next = HEADER;
  size_t got = fread(header, 1, sizeof header, stream);
  if (got < sizeof header)
    status = nn_fail(NN_EFORMAT, "%s: header: %d bytes expected, %s found; the file ends there", path, HEADER,
                     nni_grouped(a, got));
  else if (memcmp(header, "MATLAB 7.3", 10) == 0)
    status = nn_fail(NN_EFORMAT, "%s: a MATLAB 7.3 file, which is HDF5: MATLAB 5 expected (save it with -v7)", path);
  else if (memcmp(header + VERSION_AT, "\0\1IM", 4) != 0 && memcmp(header + VERSION_AT, "\1\0MI", 4) != 0)
    status = nn_fail(NN_EFORMAT, "%s: version: not a MATLAB 5 file (offset %d)", path, VERSION_AT);
  m->swap = (header[VERSION_AT + 2] == 'M') == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  if (status != NN_OK) {
    mat_close(m);
    return status;
  }
  *out = m;
  return NN_OK;
}

/* Begins the next variable; *more is false at the end of the file. */
static int next_variable(mat_file *m, mat_array *array, bool *more) {
  mat_tag tag;
  char a[32], b[32], c[32];
  int status;
  leave_variable(m);
  do {
    uint64_t start = m->next;
    *more = start < m->bytes;
    if (!*more) return NN_OK;
    if (fseeko(m->stream, (off_t)start, SEEK_SET) != 0) return nn_fail(NN_EIO, "%s: %s", m->path, strerror(errno));
    m->at = start;
    m->left = sizeof(uint64_t);
    status = read_tag(m, "variable", &tag);
    if (status == NN_OK) status = nn_interrupt_check();
    if (status != NN_OK) return status;
    if (tag.small || (tag.type != MI_COMPRESSED && tag.type != MI_MATRIX))
      return nn_fail(NN_EFORMAT, "%s: variable: an element of type %d or %d expected, found %" PRIu32 " at offset %s",
                     m->path, MI_MATRIX, MI_COMPRESSED, tag.type, nni_grouped(a, start));
    m->next = m->at + tag.size;
    m->cut = m->next > m->bytes;
  } while (tag.size == 0);
  if (tag.type == MI_MATRIX && m->cut)
    return nn_fail(NN_EFORMAT, "%s: variable: %s bytes expected at offset %s, %s found; the file ends there", m->path,
                   nni_grouped(a, tag.size), nni_grouped(b, m->at), nni_grouped(c, m->bytes - m->at));
  m->left = tag.size;
  if (tag.type == MI_COMPRESSED) {
    m->raw = m->cut ? m->bytes - m->at : tag.size;
    memset(&m->z, 0, sizeof m->z);
    if (inflateInit(&m->z) != Z_OK) return nn_fail(NN_EMEMORY, "%s: out of memory", m->path);
    m->packed = m->live = true;
    m->at = 0;
    m->left = sizeof(uint64_t);
    status = read_tag(m, "variable", &tag);
    if (status != NN_OK) return status;
    if (tag.small || tag.type != MI_MATRIX)
      return nn_fail(NN_EFORMAT, "%s: variable: an element of type %d expected, found %" PRIu32
                     " at offset 0 of the unpacked variable", m->path, MI_MATRIX, tag.type);
    m->left = tag.size;
  }
  return read_array_header(m, array);
}

/* After all of an array was read: nothing may follow, and a compressed one ends with its checksum. */
static int end_variable(mat_file *m, const char *name) {
  uint8_t extra;
  uint64_t got = 0;
  char a[32];
  int status = skip(m, name, m->left);
  if (status != NN_OK || !m->packed) return status;
  status = fill(m, &extra, 1, &got);
  if (status == NN_OK && got > 0)
    return nn_fail(NN_EFORMAT, "%s: %s: more data than declared at offset %s%s", m->path, name,
                   nni_grouped(a, m->at - 1), where(m));
  if (status == NN_OK && m->live)
    return nn_fail(NN_EFORMAT, "%s: %s: the compressed data ends before its checksum", m->path, name);
  if (status == NN_OK && (m->cut || m->raw + m->z.avail_in > 0))
    return nn_fail(NN_EFORMAT, "%s: %s: the compressed data ends before the variable does, at offset %s", m->path, name,
                   nni_grouped(a, m->next));
  return status;
}

/* ---- SVHN ---- */

enum { SIDE = 32, CHANNELS = 3, PIXELS = SIDE * SIDE * CHANNELS, BLOCK = 64, FIRST_ROOM = 1024, DIGITS = 10 };

/* to [row, column, channel] = from [channel, column, row] */
static void turn_image(uint8_t *to, const uint8_t *from) {
  for (int c = 0; c < CHANNELS; c++)
    for (int x = 0; x < SIDE; x++)
      for (int y = 0; y < SIDE; y++) to[(y * SIDE + x) * CHANNELS + c] = *from++;
}

/* `rows` images, the first `have` of them from *t, which it replaces. */
static int more_room(nn_tensor **t, int64_t rows, int64_t have) {
  nn_tensor *larger = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ rows, SIDE, SIDE, CHANNELS });
  if (!larger) return NN_EMEMORY;
  if (*t) memcpy(nn_tensor_write(larger), nn_tensor_data(*t), (size_t)(have * PIXELS));
  nn_tensor_release(*t);
  *t = larger;
  return NN_OK;
}

static int read_images(mat_file *m, const mat_array *a, nn_tensor **out) {
  mat_tag tag;
  char sizes[128], b[32], c[32];
  int64_t count = a->dimensions == 3 ? 1 : a->size[3], room = 0, done = 0; /* one image loses its last axis */
  describe_sizes(a, sizes, sizeof sizes);
  if (a->class != CLASS_UINT8 || a->dimensions < 3 || a->dimensions > 4 || a->size[0] != SIDE || a->size[1] != SIDE ||
      a->size[2] != CHANNELS || count < 1)
    return nn_fail(NN_EFORMAT, "%s: X: uint8 of 32 x 32 x 3 x N expected, found %s of class %d", m->path, sizes,
                   a->class);
  int status = read_numbers_tag(m, a, &tag);
  if (status != NN_OK) return status;
  if (tag.type != MI_UINT8)
    return nn_fail(NN_EFORMAT, "%s: X: bytes expected, found numbers of type %" PRIu32, m->path, tag.type);
  nn_tensor *t = NULL;
  uint8_t *block = nn_memory_get(BLOCK * PIXELS);
  if (!block) status = NN_EMEMORY;
  while (done < count && status == NN_OK) {
    if (done == room) {
      room = room == 0 ? FIRST_ROOM : 2 * room;
      if (room > count) room = count;
      status = more_room(&t, room, done);
    }
    int64_t now = room - done < BLOCK ? room - done : BLOCK;
    uint64_t got = 0, start = m->at;
    if (status == NN_OK) status = fill(m, block, (uint64_t)(now * PIXELS), &got);
    m->left -= got;
    if (status == NN_OK && got < (uint64_t)(now * PIXELS)) {
      char field[96];
      snprintf(field, sizeof field, "X: image %s of %s", nni_grouped(b, (uint64_t)done + got / PIXELS + 1),
               nni_grouped(c, (uint64_t)count));
      status = short_field(m, field, PIXELS, start + got / PIXELS * PIXELS, got % PIXELS);
    }
    uint8_t *to = status == NN_OK ? (uint8_t *)nn_tensor_write(t) + done * PIXELS : NULL;
    for (int64_t i = 0; i < now && status == NN_OK; i++) turn_image(to + i * PIXELS, block + i * PIXELS);
    done += now;
    if (status == NN_OK && nni_is_bomb((uint64_t)(done * PIXELS), m->bytes)) status = nni_bomb(m->path, "X", m->bytes);
    if (status == NN_OK) status = nn_interrupt_check();
  }
  nn_memory_put(block);
  if (status == NN_OK) status = end_variable(m, "X");
  if (status == NN_OK) *out = t;
  else nn_tensor_release(t);
  return status;
}

static int read_labels(mat_file *m, const mat_array *a, nn_tensor **out) {
  enum { EACH = 8, ROOM = 512 };
  mat_tag tag;
  uint8_t block[EACH * ROOM];
  char sizes[128], b[32];
  int64_t room = 0;
  int32_t *label = NULL;
  describe_sizes(a, sizes, sizeof sizes);
  if (!is_number(a) || a->dimensions != 2 || (a->size[0] != 1 && a->size[1] != 1))
    return nn_fail(NN_EFORMAT, "%s: y: numbers, N x 1, expected, found %s of class %d", m->path, sizes, a->class);
  int status = read_numbers_tag(m, a, &tag);
  size_t each = status == NN_OK ? number_bytes(tag.type) : 0;
  nn_tensor *t = NULL;
  for (int64_t done = 0; done < a->count && status == NN_OK;) {
    int64_t now = a->count - done < ROOM ? a->count - done : ROOM;
    if (tag.small) memcpy(block, tag.inside, sizeof tag.inside);
    else status = take(m, "y", block, (uint64_t)now * each);
    if (status == NN_OK && done + now > room) {
      room = 2 * room > done + now ? 2 * room : done + now;
      int32_t *larger = nn_memory_get((size_t)room * sizeof *larger);
      if (larger && label) memcpy(larger, label, (size_t)done * sizeof *label);
      if (!larger) status = NN_EMEMORY;
      nn_memory_put(label);
      label = larger;
    }
    for (int64_t i = 0; i < now && status == NN_OK; i++) {
      double value = number_at(m, tag.type, block + (size_t)i * each);
      if (!(value >= 1 && value <= DIGITS && value == floor(value)))
        status = nn_fail(NN_EFORMAT, "%s: y: label of image %s: 1 to 10 expected (10 is the digit 0), found %g",
                         m->path, nni_grouped(b, (uint64_t)(done + i) + 1), value);
      else label[done + i] = (int32_t)value % DIGITS;
    }
    done += now;
  }
  if (status == NN_OK) status = end_variable(m, "y");
  if (status == NN_OK && !(t = nn_tensor_new(NN_INDEX, 1, &a->count))) status = NN_EMEMORY;
  if (status == NN_OK && a->count > 0) memcpy(nn_tensor_write(t), label, (size_t)a->count * sizeof *label);
  nn_memory_put(label);
  if (status == NN_OK) *out = t;
  return status;
}

int nn_svhn_read(const char *path, nn_tensor **images, nn_tensor **labels) {
  mat_file *m = NULL;
  mat_array *a = nn_memory_get(sizeof *a);
  nn_tensor *x = NULL, *y = NULL;
  char b[32], c[32];
  bool more = true;
  int status = a ? mat_open(path, &m) : NN_EMEMORY;
  while (status == NN_OK && more && !(x && y)) {
    status = next_variable(m, a, &more);
    if (status != NN_OK || !more) break;
    if (strcmp(a->name, "X") == 0 && !x) status = read_images(m, a, &x);
    else if (strcmp(a->name, "y") == 0 && !y) status = read_labels(m, a, &y);
  }
  if (status == NN_OK && !(x && y))
    status = nn_fail(NN_EFORMAT, "%s: the variables X and y expected, %s is missing", path, x ? "y" : "X");
  if (status == NN_OK && nn_tensor_size(x, 0) != nn_tensor_size(y, 0))
    status = nn_fail(NN_EFORMAT, "%s: X holds %s images, y %s labels", path,
                     nni_grouped(b, (uint64_t)nn_tensor_size(x, 0)), nni_grouped(c, (uint64_t)nn_tensor_size(y, 0)));
  mat_close(m);
  nn_memory_put(a);
  if (status != NN_OK) {
    nn_tensor_release(x);
    nn_tensor_release(y);
    return status;
  }
  *images = x;
  *labels = y;
  return NN_OK;
}

/* ---- tables of structs ---- */

enum { MAX_FIELDS = 64, MAX_FIELD_NAME = 64, MAX_VALUE = 1 << 16, MAX_TEXT = 64 << 20 };

struct nn_mat_table {
  int64_t rows, values;        /* values: cells read so far */
  int fields;
  char name[MAX_FIELDS][MAX_FIELD_NAME];
  uint32_t *value;             /* [rows * fields]: places in the text */
  char *text;
  int64_t used;                /* bytes of the text */
  size_t room, text_room;
};

void nn_mat_table_free(nn_mat_table *t) {
  if (!t) return;
  nn_memory_put(t->value);
  nn_memory_put(t->text);
  nn_memory_put(t);
}

int64_t nn_mat_table_rows(const nn_mat_table *t) { return t->rows; }
int nn_mat_table_fields(const nn_mat_table *t) { return t->fields; }
const char *nn_mat_table_field(const nn_mat_table *t, int field) { return t->name[field]; }
const char *nn_mat_table_value(const nn_mat_table *t, int64_t row, int field) {
  return t->text + t->value[row * t->fields + field];
}

static int add_text(nn_mat_table *t, const char *path, const char *bytes, size_t size) {
  if (t->used + (int64_t)size + 1 > MAX_TEXT)
    return nn_fail(NN_EFORMAT, "%s: a table of more than %d MiB of text", path, MAX_TEXT >> 20);
  if (!nni_grow(&t->text, &t->text_room, (size_t)t->used, size + 1, 1)) return NN_EMEMORY;
  if (size > 0) memcpy(t->text + t->used, bytes, size);
  t->used += (int64_t)size;
  t->text[t->used] = '\0';
  return NN_OK;
}

/* A character as UTF-8. */
static int add_character(nn_mat_table *t, const char *path, uint32_t code) {
  char bytes[4];
  size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  if (size == 1) {
    bytes[0] = (char)code;
  } else {
    for (size_t i = size; i-- > 1; code >>= 6) bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)((size == 2 ? 0xc0 : size == 3 ? 0xe0 : 0xf0) | code);
  }
  return add_text(t, path, bytes, size);
}

/* Text of 16-bit units, in pairs beyond the first 65,536 characters; other widths are single characters. Characters
 * have no sign, whatever the file says. */
static int add_characters(mat_file *m, nn_mat_table *t, const mat_tag *tag, const uint8_t *bytes) {
  size_t each = number_bytes(tag->type);
  uint32_t type = each == 1 ? MI_UINT8 : MI_UINT16;
  int status = NN_OK;
  if (tag->type == MI_UTF8) return add_text(t, m->path, (const char *)bytes, tag->size);
  for (size_t at = 0; at + each <= tag->size && status == NN_OK; at += each) {
    uint32_t code = (uint32_t)number_at(m, type, bytes + at);
    if (each == 2 && (code & 0xfc00) == 0xd800 && at + 2 * each <= tag->size) {
      uint32_t low = (uint32_t)number_at(m, type, bytes + at + each);
      if ((low & 0xfc00) == 0xdc00) {
        code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
        at += each;
      }
    }
    status = add_character(t, m->path, code & 0x1fffff);
  }
  return status;
}

/* One field of one struct: text, or a single number as text; anything else stays empty. */
static int read_value(mat_file *m, nn_mat_table *t, uint8_t *block, mat_array *a) {
  mat_tag tag;
  uint64_t rest = 0;
  char number[40];
  int status = read_tag(m, "struct field", &tag);
  if (status != NN_OK) return status;
  if (tag.small || tag.type != MI_MATRIX || tag.size > m->left)
    return nn_fail(NN_EFORMAT, "%s: struct field: an array of at most %" PRIu64 " bytes expected, found type %" PRIu32
                   " of %" PRIu32 " before offset %" PRIu64 "%s", m->path, m->left, tag.type, tag.size, m->at,
                   where(m));
  if (!nni_grow(&t->value, &t->room, (size_t)t->values, 1, sizeof *t->value)) return NN_EMEMORY;
  t->value[t->values++] = (uint32_t)t->used;
  rest = m->left - tag.size;
  m->left = tag.size;
  if (tag.size > 0) {
    status = read_array_header(m, a);
    bool text = a->class == CLASS_CHAR, single = is_number(a) && a->count == 1;
    if (status == NN_OK && (text || single) && m->left > 0) {
      status = read_tag(m, "struct field", &tag);
      size_t each = number_bytes(tag.type);
      if (status == NN_OK && each > 0 && each <= tag.size && tag.size <= MAX_VALUE) {
        status = read_contents(m, "struct field", &tag, block);
        if (status == NN_OK && text && each <= 2) status = add_characters(m, t, &tag, block);
        if (status == NN_OK && single) {
          int size = snprintf(number, sizeof number, "%.17g", number_at(m, tag.type, block));
          status = add_text(t, m->path, number, (size_t)size);
        }
      }
    }
  }
  if (status == NN_OK) status = skip(m, "struct field", m->left);
  m->left = rest;
  if (status == NN_OK) status = add_text(t, m->path, "", 0);
  t->used++;
  return status == NN_OK ? nn_interrupt_check() : status;
}

static int read_table(mat_file *m, const mat_array *a, nn_mat_table *t, uint8_t *block, mat_array *field) {
  uint8_t word[4];
  uint32_t size, width;
  char sizes[128];
  describe_sizes(a, sizes, sizeof sizes);
  if (a->class != CLASS_STRUCT)
    return nn_fail(NN_EFORMAT, "%s: %s: structs expected, found %s of class %d", m->path, a->name, sizes, a->class);
  int status = read_element(m, "length of field names", MI_INT32, word, sizeof word, &size);
  if (status != NN_OK) return status;
  width = size == 4 ? word_of(m, word) : 0;
  if (width < 1 || width > MAX_FIELD_NAME)
    return nn_fail(NN_EFORMAT, "%s: length of field names: 1 to %d expected, found %" PRIu32, m->path, MAX_FIELD_NAME,
                   width);
  status = read_element(m, "field names", MI_INT8, block, (size_t)width * MAX_FIELDS, &size);
  if (status != NN_OK) return status;
  t->fields = (int)(size / width);
  for (int i = 0; i < t->fields; i++) {
    memcpy(t->name[i], block + (size_t)i * width, width);
    t->name[i][width - 1] = '\0';
  }
  if (t->fields == 0) return nn_fail(NN_EFORMAT, "%s: %s: structs without fields", m->path, a->name);
  t->rows = a->count;
  for (int64_t row = 0; row < t->rows; row++)
    for (int i = 0; i < t->fields && status == NN_OK; i++) {
      status = read_value(m, t, block, field);
      if (status != NN_OK) return status;
    }
  return end_variable(m, a->name);
}

int nn_mat_table_read(const char *path, const char *name, nn_mat_table **out) {
  mat_file *m = NULL;
  mat_array *a = nn_memory_get(2 * sizeof *a);
  uint8_t *block = nn_memory_get(MAX_VALUE);
  nn_mat_table *t = nn_memory_get_zeroed(sizeof *t);
  bool more = true, found = false;
  int status = a && block && t ? mat_open(path, &m) : NN_EMEMORY;
  while (status == NN_OK && more && !found) {
    status = next_variable(m, a, &more);
    found = status == NN_OK && more && strcmp(a->name, name) == 0;
    if (found) status = read_table(m, a, t, block, a + 1);
  }
  if (status == NN_OK && !found) status = nn_fail(NN_EFORMAT, "%s: there is no variable %s in it", path, name);
  mat_close(m);
  nn_memory_put(a);
  nn_memory_put(block);
  if (status == NN_OK) *out = t;
  else nn_mat_table_free(t);
  return status;
}
