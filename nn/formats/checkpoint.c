/* checkpoint.c -- named tensors as they are stored in a file: which format it is, the parts, the elements. */
#include "formats/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/archive.h"
#include "formats/bytes.h"
#include "formats/file.h"
#include "tensor/tensor.h"

enum {
  CHUNK = 1 << 14,
  LONGEST_NAME = 1000,
  OVERLAP = 1 << 20,    /* elements of a tensor that has more of them than its storage */
  BATCH = 1 << 13,      /* elements converted at a time */
};

/* ---- pool and arrays ---- */

struct nni_chunk {
  nni_chunk *before;
  size_t size;
  _Alignas(8) char bytes[];
};

void *nni_pool_get(nni_pool *pool, size_t bytes) {
  if (bytes > SIZE_MAX / 2) return NULL;
  bytes = (bytes + 7) / 8 * 8;
  if (!pool->last || pool->last->size - pool->used < bytes) {
    size_t size = bytes > CHUNK ? bytes : CHUNK;
    nni_chunk *chunk = nn_memory_get(sizeof *chunk + size);
    if (!chunk) return NULL;
    chunk->before = pool->last;
    chunk->size = size;
    pool->last = chunk;
    pool->used = 0;
    pool->bytes += size;
  }
  char *p = pool->last->bytes + pool->used;
  pool->used += bytes;
  return memset(p, 0, bytes);
}

char *nni_pool_text(nni_pool *pool, const char *text, size_t size) {
  char *copy = nni_pool_get(pool, size + 1);
  if (copy && size) memcpy(copy, text, size);
  return copy;
}

void nni_pool_free(nni_pool *pool) {
  while (pool->last) {
    nni_chunk *before = pool->last->before;
    nn_memory_put(pool->last);
    pool->last = before;
  }
}

static int no_memory(const nn_checkpoint *c) { return nn_fail(NN_EMEMORY, "%s: out of memory", c->path); }

/* ---- blocks ---- */

int nni_checkpoint_add_block(nn_checkpoint *c, const char *name, uint8_t *bytes, size_t size) {
  const char *copy = name ? nni_pool_text(&c->pool, name, strlen(name)) : NULL;
  if ((name && !copy) || !nni_grow(&c->blocks, &c->block_room, c->block_count, 1, sizeof *c->blocks)) {
    nn_memory_put(bytes);
    return no_memory(c);
  }
  c->blocks[c->block_count++] = (nni_block){ copy, bytes, size };
  return NN_OK;
}

int nni_checkpoint_add_file(nn_checkpoint *c, const nni_block **block) {
  nni_bytes file = { 0 };
  int status = nni_bytes_read(&file, c->path, SIZE_MAX / 2);
  if (status == NN_OK) status = nni_checkpoint_add_block(c, NULL, file.data, file.size);
  else nni_bytes_free(&file);
  if (status == NN_OK) *block = &c->blocks[c->block_count - 1];
  return status;
}

/* The place of a name among `count` structs of `size` bytes whose first member it is, by their order; or -1. */
static int find_name(const char *name, const void *names, size_t size, const int *order, size_t count) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const char *found;
    memcpy(&found, (const char *)names + (size_t)order[middle] * size, sizeof found);
    int side = strcmp(name, found);
    if (side == 0) return order[middle];
    if (side < 0) high = middle;
    else low = middle + 1;
  }
  return -1;
}

const nni_block *nni_checkpoint_block(const nn_checkpoint *c, const char *name) {
  int place = find_name(name, c->blocks, sizeof *c->blocks, c->block_by_name, c->block_count);
  return place < 0 ? NULL : &c->blocks[place];
}

static int read_member(nn_checkpoint *c, nni_archive *archive, const nni_entry *entry) {
  nni_bytes member = { 0 };
  int status = nni_archive_read_whole(archive, UINT64_MAX, &member);
  if (status == NN_OK) return nni_checkpoint_add_block(c, entry->name, member.data, member.size);
  nni_bytes_free(&member);
  return status;
}

int nni_checkpoint_add_members(nn_checkpoint *c) {
  nni_archive *archive;
  nni_entry entry;
  bool more = true;
  uint64_t sum = 0;
  int status = nni_archive_open(c->path, &archive);
  if (status != NN_OK) return status;
  while (status == NN_OK && (status = nni_archive_next(archive, &entry, &more)) == NN_OK && more) {
    if (entry.kind != NNI_FILE) continue;
    sum += (uint64_t)entry.size;
    status = nni_is_bomb(sum, c->length) ? nni_bomb(c->path, entry.name, c->length)
                                         : read_member(c, archive, &entry);
  }
  nni_archive_close(archive);
  if (status != NN_OK) return status;
  c->block_by_name = nn_memory_get((c->block_count + 1) * sizeof *c->block_by_name);
  if (!c->block_by_name) return no_memory(c);
  return nni_sort_names(NN_EFORMAT, c->path, "member", c->blocks, sizeof *c->blocks, c->block_count,
                        c->block_by_name);
}

/* ---- tensors ---- */

void nni_contiguous(int axes, const int64_t *size, int64_t *stride) {
  int64_t step = 1;
  for (int i = axes - 1; i >= 0; i--) {
    stride[i] = step;
    if (size[i]) step *= size[i];  /* the caller has checked the product without zeros */
  }
}

const char *nni_checkpoint_who(const nn_checkpoint *c, const char *name, size_t length, char text[NNI_WHO]) {
  char quoted[120];
  snprintf(text, NNI_WHO, "%.280s: tensor %s", c->path, nni_quoted(quoted, sizeof quoted, name, length));
  return text;
}

/* Is every element inside the storage? */
static int check_extent(const char *whose, const nni_stored *t) {
  char a[32], b[32];
  int64_t last = t->offset, part, count = 1;
  bool fits = t->offset >= 0;
  if (nni_check_count(t->axes, t->size) != NN_OK)
    return nn_fail(NN_EFORMAT, "%s: more elements than memory can hold", whose);
  for (int i = 0; i < t->axes; i++) count *= t->size[i];
  if (count == 0) return NN_OK;
  for (int i = 0; i < t->axes; i++)
    fits = fits && t->stride[i] >= 0 && !__builtin_mul_overflow(t->size[i] - 1, t->stride[i], &part) &&
           !__builtin_add_overflow(last, part, &last);
  int64_t held = (int64_t)(t->room / (size_t)t->dtype->bytes);
  if (!fits || last >= held)
    return nn_fail(NN_EFORMAT, "%s: its elements reach beyond the %s that its storage holds", whose,
                   nni_grouped(a, (uint64_t)held));
  if (count > held && count > OVERLAP)
    return nn_fail(NN_EFORMAT, "%s: %s elements that overlap in a storage of %s", whose,
                   nni_grouped(a, (uint64_t)count), nni_grouped(b, (uint64_t)held));
  return NN_OK;
}

/* Room for one more in a list that is counted by an int. */
static int check_name(const nn_checkpoint *c, const char *name, size_t length) {
  char shown[80];
  if (length > LONGEST_NAME)
    return nn_fail(NN_EFORMAT, "%s: a name of %zu bytes (%s), more than %d", c->path, length,
                   nni_quoted(shown, sizeof shown, name, length), LONGEST_NAME);
  if (memchr(name, '\0', length))
    return nn_fail(NN_EFORMAT, "%s: a zero byte in the name %s", c->path,
                   nni_quoted(shown, sizeof shown, name, length));
  return NN_OK;
}

int nni_checkpoint_add(nn_checkpoint *c, const char *name, size_t length, const nni_stored *tensor) {
  char text[NNI_WHO];
  int status = check_name(c, name, length);
  if (status == NN_OK && tensor->dtype) status = check_extent(nni_checkpoint_who(c, name, length, text), tensor);
  if (status != NN_OK) return status;
  if (c->count == INT32_MAX || !nni_grow(&c->tensors, &c->room, c->count, 1, sizeof *c->tensors)) return no_memory(c);
  nni_stored *place = &c->tensors[c->count];
  *place = *tensor;
  place->name = nni_pool_text(&c->pool, name, length);
  if (!place->name) return no_memory(c);
  c->count++;
  return NN_OK;
}

int nni_checkpoint_add_value(nn_checkpoint *c, nni_values *list, size_t name_length, const nn_value *value) {
  int status = check_name(c, value->name, name_length);
  if (status != NN_OK) return status;
  if (list->count == INT32_MAX || !nni_grow(&list->items, &list->room, list->count, 1, sizeof *list->items))
    return no_memory(c);
  nn_value *place = &list->items[list->count];
  *place = *value;
  place->name = nni_pool_text(&c->pool, value->name, name_length);
  if (value->kind == NN_VALUE_TEXT) place->text = nni_pool_text(&c->pool, value->text, value->length);
  if (!place->name || (value->kind == NN_VALUE_TEXT && !place->text)) return no_memory(c);
  list->count++;
  return NN_OK;
}

/* ---- what a whole checkpoint must be ---- */

typedef struct {
  const char *name;
  int place;
} named;

static int compare_names(const void *a, const void *b) {
  return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

int nni_sort_names(int status, const char *path, const char *what, const void *names, size_t size, size_t count,
                   int *places) {
  char shown[120];
  named *list = nn_memory_get((count + 1) * sizeof *list);
  if (!list) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  for (size_t i = 0; i < count; i++) {
    memcpy(&list[i].name, (const char *)names + i * size, sizeof list[i].name);
    list[i].place = (int)i;
  }
  qsort(list, count, sizeof *list, compare_names);
  size_t twice = 1;
  while (twice < count && strcmp(list[twice].name, list[twice - 1].name) != 0) twice++;
  if (twice < count)
    nn_fail(status, "%s: %s %s appears twice", path, what,
            nni_quoted(shown, sizeof shown, list[twice].name, strlen(list[twice].name)));
  for (size_t i = 0; i < count && places; i++) places[i] = list[i].place;
  nn_memory_put(list);
  return twice < count ? status : NN_OK;
}

static int finish(nn_checkpoint *c) {
  _Static_assert(offsetof(nni_stored, name) == 0 && offsetof(nn_value, name) == 0, "names come first");
  c->by_name = nn_memory_get((c->count + 1) * sizeof *c->by_name);
  if (!c->by_name) return no_memory(c);
  int status = nni_sort_names(NN_EFORMAT, c->path, "tensor", c->tensors, sizeof *c->tensors, c->count, c->by_name);
  if (status == NN_OK)
    status = nni_sort_names(NN_EFORMAT, c->path, "value", c->values.items, sizeof *c->values.items, c->values.count,
                            NULL);
  if (status == NN_OK)
    status = nni_sort_names(NN_EFORMAT, c->path, "__metadata__ field", c->metadata.items, sizeof *c->metadata.items,
                            c->metadata.count, NULL);
  return status;
}

/* ---- which format ---- */

typedef struct {
  const char *format;
  int (*read)(nn_checkpoint *c);
} reader;

enum { START = 512 };  /* bytes that tell the format */

static int read_start(const char *path, uint8_t start[START], size_t *found, uint64_t *bytes) {
  FILE *stream;
  int status = nni_input_open(path, &stream, bytes);
  if (status != NN_OK) return status;
  *found = fread(start, 1, START, stream);
  if (ferror(stream)) status = nn_fail(NN_EIO, "%s: %s", path, strerror(errno));
  fclose(stream);
  if (status == NN_OK && *found == 0) status = nn_fail(NN_EFORMAT, "%s: the file is empty", path);
  return status;
}

static bool ends_with(const char *text, const char *end) {
  size_t size = strlen(text), tail = strlen(end);
  return size >= tail && strcmp(text + size - tail, end) == 0;
}

/* A zip file is torch's when it has NAME/data.pkl, NumPy's when it has arrays. */
static int read_zip(nn_checkpoint *c) {
  const nni_block *pickle = NULL;
  bool array = false;
  int status = nni_checkpoint_add_members(c);
  if (status != NN_OK) return status;
  for (size_t i = 0; i < c->block_count; i++) {
    const char *name = c->blocks[i].name;
    array = array || ends_with(name, ".npy");
    if (!ends_with(name, "/" NNI_TORCH_PICKLE)) continue;
    if (pickle) return nn_fail(NN_EFORMAT, "%s: more than one data.pkl", c->path);
    pickle = &c->blocks[i];
  }
  c->format = pickle ? "torch zip" : "npz";
  if (pickle) return nni_torch_read_zip(c, pickle);
  if (array || c->block_count == 0) return nni_npz_read(c);
  return nn_fail(NN_EFORMAT, "%s: a zip file with neither data.pkl (torch.save) nor .npy arrays (NumPy)", c->path);
}

static int recognise(const char *path, const uint8_t *start, size_t found, reader *how) {
  static const uint8_t below_4g[4] = { 0 };
  if (found > 8 && start[8] == '{' && memcmp(start + 4, below_4g, sizeof below_4g) == 0) {
    *how = (reader){ "safetensors", nni_safetensors_read };
  } else if (found >= 4 && memcmp(start, "PK", 2) == 0 && start[2] <= 8) {
    *how = (reader){ "zip", read_zip };
  } else if (found == START && memcmp(start + 257, "ustar", 5) == 0) {
    *how = (reader){ "torch tar", nni_torch_read_tar };
  } else if ((found >= 2 && start[0] == 0x80 && start[1] <= 5) || (found >= 6 && memcmp(start, "L11954", 6) == 0)) {
    *how = (reader){ "torch stream", nni_torch_read_stream };
  } else if ((found > 8 && start[8] == '{') || ends_with(path, ".safetensors")) {
    *how = (reader){ "safetensors", nni_safetensors_read };
  } else {
    return nn_fail(NN_EFORMAT, "%s: neither safetensors, nor a file of torch.save, nor .npz", path);
  }
  return NN_OK;
}

int nn_checkpoint_read(const char *path, nn_checkpoint **out) {
  uint8_t start[START];
  size_t found;
  uint64_t length;
  reader how = { NULL, NULL };
  int status = read_start(path, start, &found, &length);
  if (status == NN_OK) status = recognise(path, start, found, &how);
  if (status != NN_OK) return status;
  nn_checkpoint *c = nn_memory_get_zeroed(sizeof *c);
  if (!c) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  c->format = how.format;
  c->length = length;
  c->path = nni_pool_text(&c->pool, path, strlen(path));
  status = c->path ? how.read(c) : nn_fail(NN_EMEMORY, "%s: out of memory", path);
  if (status == NN_OK) status = finish(c);
  if (status == NN_OK) *out = c;
  else nn_checkpoint_free(c);
  return status;
}

void nn_checkpoint_free(nn_checkpoint *c) {
  if (!c) return;
  for (size_t i = 0; i < c->block_count; i++) nn_memory_put(c->blocks[i].bytes);
  nn_memory_put(c->blocks);
  nn_memory_put(c->tensors);
  nn_memory_put(c->by_name);
  nn_memory_put(c->block_by_name);
  nn_memory_put(c->values.items);
  nn_memory_put(c->metadata.items);
  nni_pool_free(&c->pool);
  nn_memory_put(c);
}

/* ---- what is in it ---- */

const char *nn_checkpoint_format(const nn_checkpoint *c) { return c->format; }

size_t nn_checkpoint_bytes(const nn_checkpoint *c) {
  size_t bytes = sizeof *c + c->pool.bytes + c->room * sizeof *c->tensors;
  for (size_t i = 0; i < c->block_count; i++) bytes += c->blocks[i].size;
  return bytes;
}

int nn_checkpoint_count(const nn_checkpoint *c) { return (int)c->count; }
const char *nn_checkpoint_name(const nn_checkpoint *c, int place) { return c->tensors[place].name; }
int nn_checkpoint_axes(const nn_checkpoint *c, int place) { return c->tensors[place].axes; }
const int64_t *nn_checkpoint_sizes(const nn_checkpoint *c, int place) { return c->tensors[place].size; }
int nn_checkpoint_value_count(const nn_checkpoint *c) { return (int)c->values.count; }
const nn_value *nn_checkpoint_value(const nn_checkpoint *c, int place) { return &c->values.items[place]; }
int nn_checkpoint_metadata_count(const nn_checkpoint *c) { return (int)c->metadata.count; }
const nn_value *nn_checkpoint_metadata(const nn_checkpoint *c, int place) { return &c->metadata.items[place]; }

const char *nn_checkpoint_dtype(const nn_checkpoint *c, int place) {
  const nni_stored *t = &c->tensors[place];
  return t->dtype ? t->dtype->name[NNI_BY_TORCH] : t->dtype_name;
}

int nn_checkpoint_find(const nn_checkpoint *c, const char *name) {
  return find_name(name, c->tensors, sizeof *c->tensors, c->by_name, c->count);
}

/* ---- elements ---- */

/* Copies elements in the order of their positions. A view is walked along its last axis; `at` is the position. */
typedef struct {
  const nni_stored *tensor;
  int64_t at[NN_MAX_AXES];
} walk;

static const uint8_t *element_at(const walk *w) {
  int64_t place = w->tensor->offset;
  for (int i = 0; i < w->tensor->axes; i++) place += w->at[i] * w->tensor->stride[i];
  return w->tensor->bytes + (size_t)place * (size_t)w->tensor->dtype->bytes;
}

static void gather(walk *w, int64_t count, uint8_t *out) {
  const nni_stored *t = w->tensor;
  size_t bytes = (size_t)t->dtype->bytes;
  int last = t->axes - 1;
  while (count > 0) {
    const uint8_t *from = element_at(w);
    int64_t run = last >= 0 ? t->size[last] - w->at[last] : 1;
    if (run > count) run = count;
    if (last < 0 || t->stride[last] == 1) {
      memcpy(out, from, (size_t)run * bytes);
    } else {
      size_t step = (size_t)t->stride[last] * bytes;
      for (int64_t i = 0; i < run; i++) memcpy(out + (size_t)i * bytes, from + (size_t)i * step, bytes);
    }
    out += (size_t)run * bytes;
    count -= run;
    if (last < 0) return;
    w->at[last] += run;
    for (int i = last; i > 0 && w->at[i] == t->size[i]; i--) {
      w->at[i] = 0;
      w->at[i - 1]++;
    }
  }
}

int nn_checkpoint_tensor(const nn_checkpoint *c, int place, nn_tensor **out) {
  char text[NNI_WHO];
  nni_stored stored = c->tensors[place];
  const char *whose = nni_checkpoint_who(c, stored.name, strlen(stored.name), text);
  if (!stored.dtype || !stored.dtype->kind)
    return nn_fail(NN_EFORMAT, "%s: elements of type %s are not supported", whose, nn_checkpoint_dtype(c, place));
  nn_tensor *t = nn_tensor_new(stored.dtype->type, stored.axes, stored.size);
  uint8_t *batch = t ? nn_memory_get((size_t)BATCH * (size_t)stored.dtype->bytes) : NULL;
  int status = batch ? NN_OK : nn_fail(NN_EMEMORY, "%s: out of memory", whose);
  int64_t count = t ? nn_tensor_count(t) : 0, stride[NN_MAX_AXES];
  nni_contiguous(stored.axes, stored.size, stride);
  if (memcmp(stride, stored.stride, (size_t)stored.axes * sizeof *stride) == 0) {  /* one long row */
    stored.axes = 1;
    stored.size[0] = count;
    stored.stride[0] = 1;
  }
  walk w = { .tensor = &stored };
  for (int64_t done = 0; done < count && status == NN_OK; done += BATCH) {
    int64_t now = count - done < BATCH ? count - done : BATCH;
    gather(&w, now, batch);
    status = nni_dtype_convert(stored.dtype, stored.swap, whose, nn_tensor_write(t), batch, done, now);
    if (status == NN_OK) status = nn_interrupt_check();
  }
  nn_memory_put(batch);
  if (status == NN_OK) *out = t;
  else nn_tensor_release(t);
  return status;
}
