/* torch.c -- the files of torch.save, of all ages.
 *
 * zip (from 1.6 on): NAME/data.pkl is a pickle whose persistent ids ("storage", class, key, location, elements) name
 *   the members NAME/data/KEY; NAME/byteorder is "little" or "big".
 * stream (0.2 to 1.5): five pickles (a magic number, a version, the machine, the object, a list of storage keys), then
 *   for each key the number of elements (64 bits) and the elements. A persistent id may name a part of a storage.
 * tar (before): members storages (a count; for each a pickle (key, location, class), the number of elements, the
 *   elements; then a list of views (key, root, offset, elements)), tensors (a count; for each a pickle (key, storage,
 *   class), axes, sizes, strides, offset), and pickle, whose persistent ids are keys of either.
 *
 * Where a storage was (cuda, mps) does not matter: it is bytes. The object is flattened: tensors get the names of the
 * dictionary keys and list places that lead to them, joined by dots; so do numbers and texts.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint.h"
#include "formats/file.h"
#include "formats/pickle.h"
#include "tensor/tensor.h"

enum { DEEPEST = 100, ROOM = 1000, VERSION = 1001, MOST_WORK = 1 << 22 };
#define LONGEST_PICKLE ((size_t)64 << 20)

/* What a key stands for. */
typedef struct {
  const char *key;          /* first, as nni_sort_names wants it */
  nni_storage *storage;
  nni_object *tensor;
} keyed;

typedef struct {
  nn_checkpoint *c;
  bool swap;                /* elements are big-endian */
  const char *root;         /* zip: "NAME/" */
  nni_storage **storages;   /* stream: whatever a persistent id named */
  size_t count, room;
  keyed *keys;              /* tar: `sorted` of them are, by key, and can be found */
  size_t key_count, key_room, sorted;
} torch_file;

static int no_memory(const torch_file *t) {
  nn_fail(NN_EMEMORY, "%s: out of memory", t->c->path);
  return NN_EMEMORY;
}

static void torch_end(torch_file *t) {
  nn_memory_put(t->storages);
  nn_memory_put(t->keys);
}

/* ---- storages ---- */

static bool is_key(const nni_object *o) {
  if (o->kind == NNI_INTEGER) return true;
  return (o->kind == NNI_TEXT || o->kind == NNI_BYTES) && o->length <= ROOM && !memchr(o->text, '\0', o->length);
}

/* A key as text. NULL: out of memory. */
static const char *key_text(const torch_file *t, const nni_object *o) {
  char digits[24];
  if (o->kind != NNI_INTEGER) return nni_pool_text(&t->c->pool, o->text, o->length);
  return nni_pool_text(&t->c->pool, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, o->integer));
}

static bool is_storage_class(const nni_object *o) {
  return o->kind == NNI_GLOBAL && (!o->dtype || o->dtype->name[NNI_BY_STORAGE]);
}

static int element_bytes(const nni_storage *s) { return s->dtype ? s->dtype->bytes : 1; }

/* ("storage", class, key, location, elements [, view or None]); a view is (key, offset, elements). */
static int read_storage_id(nni_pickle *p, const nni_object *id, nni_object **out) {
  const torch_file *t = p->context;
  const nni_object *part[6] = { 0 };
  size_t count = 0;
  if (id->kind != NNI_TUPLE || id->count < 5 || id->count > 6) goto wrong;
  for (const nni_item *item = id->first; item; item = item->next) part[count++] = item->value;
  if (!nni_is_text(part[0], "storage") || !is_storage_class(part[1]) || !is_key(part[2]) ||
      part[4]->kind != NNI_INTEGER || part[4]->integer < 0) goto wrong;
  nni_object *o = nni_object_new(p, NNI_STORAGE);
  nni_storage *s = o ? nni_pool_get(&t->c->pool, sizeof *s) : NULL;
  if (!s || !(s->key = key_text(t, part[2]))) return no_memory(t);
  s->dtype = part[1]->dtype;
  s->count = (uint64_t)part[4]->integer;
  if (part[5] && part[5]->kind != NNI_NONE) {
    if (part[5]->kind != NNI_TUPLE || part[5]->count != 3 || !is_key(part[5]->first->value)) goto wrong;
    const nni_object *offset = nni_element(part[5], 1), *elements = nni_element(part[5], 2);
    if (offset->kind != NNI_INTEGER || offset->integer < 0 || elements->kind != NNI_INTEGER ||
        elements->integer < 0) goto wrong;
    s->view = key_text(t, part[5]->first->value);
    if (!s->view) return no_memory(t);
    s->view_offset = (uint64_t)offset->integer;
    s->view_count = (uint64_t)elements->integer;
  }
  o->storage = s;
  *out = o;
  return NN_OK;
wrong:
  return nni_pickle_fail(p, p->at, "a persistent id that is not one of a storage");
}

/* `count` elements need `bytes`; false: too many to count. */
static bool storage_bytes(const nni_storage *s, uint64_t count, uint64_t *bytes) {
  return !__builtin_mul_overflow(count, (uint64_t)element_bytes(s), bytes);
}

/* ---- from an object to names ---- */

typedef struct {
  const torch_file *file;
  char name[ROOM + 1];
  size_t length;
  uint64_t budget;  /* what is left of the work that such a pickle is worth: a container may stand in many others */
} flattening;

static int too_long(const flattening *f) {
  char shown[80];
  return nn_fail(NN_EFORMAT, "%s: a name of more than %d bytes (%s)", f->file->c->path, ROOM,
                 nni_quoted(shown, sizeof shown, f->name, f->length));
}

static int append_name(flattening *f, const char *text, size_t length) {
  size_t dot = f->length > 0;
  if (length > ROOM || f->length + dot + length > ROOM) return too_long(f);
  if (dot) f->name[f->length++] = '.';
  memcpy(f->name + f->length, text, length);
  f->length += length;
  return NN_OK;
}

static int append_key(flattening *f, const nni_object *key) {
  char text[40], shown[80];
  switch (key->kind) {
    case NNI_TEXT: case NNI_BYTES: return append_name(f, key->text, key->length);
    case NNI_INTEGER:
      return append_name(f, text, (size_t)snprintf(text, sizeof text, "%" PRId64, key->integer));
    case NNI_NUMBER: return append_name(f, text, (size_t)snprintf(text, sizeof text, "%.17g", key->number));
    case NNI_BOOLEAN: return key->integer ? append_name(f, "True", 4) : append_name(f, "False", 5);
    default:
      return nn_fail(NN_EFORMAT, "%s: %s: a key that is no text and no number", f->file->c->path,
                     nni_quoted(shown, sizeof shown, f->name, f->length));
  }
}

/* The bytes of a storage, or of the part that it is. */
static int resolve(const char *whose, const nni_storage *s, const uint8_t **bytes, size_t *room) {
  char shown[60];
  uint64_t begin, size;
  if (!s->bytes)
    return nn_fail(NN_EFORMAT, "%s: its storage %s is not in the file", whose,
                   nni_quoted(shown, sizeof shown, s->key, strlen(s->key)));
  *bytes = s->bytes;
  *room = s->room;
  if (!s->view) return NN_OK;
  if (!storage_bytes(s, s->view_offset, &begin) || !storage_bytes(s, s->view_count, &size) || begin > s->room ||
      size > s->room - begin)
    return nn_fail(NN_EFORMAT, "%s: part %s of storage %s reaches beyond it", whose, s->view,
                   nni_quoted(shown, sizeof shown, s->key, strlen(s->key)));
  *bytes += begin;
  *room = (size_t)size;
  return NN_OK;
}

static int add_tensor(flattening *f, const nni_view_of *t) {
  const torch_file *file = f->file;
  char whose[NNI_WHO];
  nni_stored stored = { .dtype = t->dtype, .swap = file->swap, .axes = t->axes, .offset = t->offset };
  memcpy(stored.size, t->size, sizeof stored.size);
  memcpy(stored.stride, t->stride, sizeof stored.stride);
  nni_checkpoint_who(file->c, f->name, f->length, whose);
  int status = resolve(whose, t->storage, &stored.bytes, &stored.room);
  return status == NN_OK ? nni_checkpoint_add(file->c, f->name, f->length, &stored) : status;
}

static int add_value(flattening *f, const nni_object *o) {
  nn_checkpoint *c = f->file->c;
  nn_value value = { .name = f->name };
  switch (o->kind) {
    case NNI_BOOLEAN: value.kind = NN_VALUE_BOOLEAN; value.integer = o->integer; break;
    case NNI_INTEGER: value.kind = NN_VALUE_INTEGER; value.integer = o->integer; break;
    case NNI_NUMBER: value.kind = NN_VALUE_NUMBER; value.number = o->number; break;
    case NNI_TEXT: case NNI_OTHER:
      value.kind = NN_VALUE_TEXT;
      value.text = o->text;
      value.length = o->length;
      break;
    case NNI_GLOBAL:
      if (!o->dtype) return NN_OK;
      value.kind = NN_VALUE_TEXT;
      value.text = o->dtype->name[NNI_BY_TORCH];
      value.length = strlen(value.text);
      break;
    default: return NN_OK;  /* None, bytes, storages without a tensor */
  }
  return nni_checkpoint_add_value(c, &c->values, f->length, &value);
}

static int flatten(flattening *f, const nni_object *o, int depth) {
  size_t length = f->length, place = 0;
  uint64_t cost = 1 + (length + (o->kind == NNI_TEXT ? o->length : 0)) / 16;
  if (depth > DEEPEST) return nn_fail(NN_EFORMAT, "%s: more than %d levels deep", f->file->c->path, DEEPEST);
  if (cost > f->budget)
    return nn_fail(NN_EFORMAT, "%s: too many values, or containers that hold each other too often", f->file->c->path);
  f->budget -= cost;
  if (o->kind == NNI_TENSOR) return add_tensor(f, o->tensor);
  if (o->kind != NNI_DICT && o->kind != NNI_LIST && o->kind != NNI_TUPLE) return add_value(f, o);
  int status = NN_OK;
  for (const nni_item *item = o->first; item && status == NN_OK; item = item->next) {
    nni_object number = { .kind = NNI_INTEGER, .integer = (int64_t)place++ };
    status = append_key(f, item->key ? item->key : &number);
    if (status == NN_OK) status = flatten(f, item->value, depth + 1);
    f->length = length;
  }
  return status;
}

/* pickle: how many bytes made the object. */
static int add_object(const torch_file *t, const nni_object *o, size_t pickle) {
  flattening f = { .file = t, .budget = pickle < MOST_WORK / 4 ? 4096 + 4 * (uint64_t)pickle : MOST_WORK };
  if (o->kind == NNI_TENSOR) append_name(&f, "tensor", 6);
  else if (o->kind != NNI_DICT && o->kind != NNI_LIST && o->kind != NNI_TUPLE) append_name(&f, "value", 5);
  return flatten(&f, o, 0);
}

/* ---- zip ---- */

static int zip_storage(nni_pickle *p, const nni_object *id, nni_object **out) {
  const torch_file *t = p->context;
  char name[2 * ROOM + 8], a[32], b[32], shown[80];
  nni_object *o;
  uint64_t bytes;
  int status = read_storage_id(p, id, &o);
  if (status != NN_OK) return status;
  nni_storage *s = o->storage;
  snprintf(name, sizeof name, "%sdata/%s", t->root, s->key);
  const nni_block *block = nni_checkpoint_block(t->c, name);
  nni_printable(shown, sizeof shown, name, strlen(name));
  if (!block) return nn_fail(NN_EFORMAT, "%s: %s is missing", t->c->path, shown);
  if (!storage_bytes(s, s->count, &bytes) || bytes > block->size)
    return nn_fail(NN_EFORMAT, "%s: %s: %s elements of %d bytes expected, %s bytes found", t->c->path, shown,
                   nni_grouped(a, s->count), element_bytes(s), nni_grouped(b, block->size));
  s->bytes = block->bytes;
  s->room = (size_t)bytes;
  *out = o;
  return NN_OK;
}

static int read_byte_order(torch_file *t) {
  char name[ROOM + 16];
  snprintf(name, sizeof name, "%sbyteorder", t->root);
  const nni_block *block = nni_checkpoint_block(t->c, name);
  if (!block || (block->size == 6 && memcmp(block->bytes, "little", 6) == 0)) return NN_OK;
  t->swap = block->size == 3 && memcmp(block->bytes, "big", 3) == 0;
  if (t->swap) return NN_OK;
  return nn_fail(NN_EFORMAT, "%s: byteorder: little or big expected", t->c->path);
}

int nni_torch_read_zip(nn_checkpoint *c, const nni_block *pickle) {
  torch_file t = { .c = c };
  size_t root = strlen(pickle->name) - strlen(NNI_TORCH_PICKLE);
  if (root > ROOM) return nn_fail(NN_EFORMAT, "%s: a folder name of %zu bytes", c->path, root);
  if (pickle->size > LONGEST_PICKLE)
    return nn_fail(NN_EFORMAT, "%s: data.pkl: at most %zu bytes expected, found %zu", c->path, LONGEST_PICKLE,
                   pickle->size);
  t.root = nni_pool_text(&c->pool, pickle->name, root);
  if (!t.root) return no_memory(&t);
  nni_pickle p = { .c = c, .part = "data.pkl", .bytes = pickle->bytes, .size = pickle->size,
                   .persistent = zip_storage, .context = &t };
  nni_object *object;
  int status = read_byte_order(&t);
  if (status == NN_OK) status = nni_pickle_next(&p, &object);
  if (status == NN_OK) status = add_object(&t, object, pickle->size);
  nni_pickle_end(&p);
  torch_end(&t);
  return status;
}

/* ---- stream ---- */

static int stream_storage(nni_pickle *p, const nni_object *id, nni_object **out) {
  torch_file *t = p->context;
  nni_object *o;
  int status = read_storage_id(p, id, &o);
  if (status != NN_OK) return status;
  if (!nni_grow(&t->storages, &t->room, t->count, 1, sizeof *t->storages)) return no_memory(t);
  t->storages[t->count++] = o->storage;
  *out = o;
  return NN_OK;
}

static int compare_storages(const void *a, const void *b) {
  return strcmp((*(nni_storage *const *)a)->key, (*(nni_storage *const *)b)->key);
}

/* The first storage of that key, t->count when there is none. */
static size_t find_storage(const torch_file *t, const char *key) {
  size_t low = 0, high = t->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(t->storages[middle]->key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low < t->count && strcmp(t->storages[low]->key, key) == 0 ? low : t->count;
}

/* The number of elements and the elements, at the reader's place. */
static int take_elements(nni_pickle *p, const char *key, int element, const uint8_t **bytes, uint64_t *count) {
  char a[32], b[32], shown[60];
  uint64_t size;
  nni_quoted(shown, sizeof shown, key, strlen(key));
  if (p->size - p->at < 8) return nni_pickle_fail(p, p->at, "the size of storage %s expected; it ends there", shown);
  memcpy(count, p->bytes + p->at, 8);
  p->at += 8;
  if (__builtin_mul_overflow(*count, (uint64_t)element, &size) || size > p->size - p->at)
    return nni_pickle_fail(p, p->at, "storage %s: %s elements of %d bytes expected, %s bytes found; it ends there",
                           shown, nni_grouped(a, *count), element, nni_grouped(b, p->size - p->at));
  *bytes = p->bytes + p->at;
  p->at += (size_t)size;
  return NN_OK;
}

static int fill_storages(torch_file *t, nni_pickle *p, const nni_object *keys) {
  char shown[60], a[32], b[32];
  if (keys->kind != NNI_LIST && keys->kind != NNI_TUPLE)
    return nni_pickle_fail(p, p->at, "a list of storage keys expected");
  if (t->count) qsort(t->storages, t->count, sizeof *t->storages, compare_storages);
  for (const nni_item *item = keys->first; item; item = item->next) {
    const char *key = is_key(item->value) ? key_text(t, item->value) : "";
    if (!key) return no_memory(t);
    size_t place = is_key(item->value) ? find_storage(t, key) : t->count;
    if (place == t->count) return nni_pickle_fail(p, p->at, "the key of a storage that no tensor has");
    const nni_storage *first = t->storages[place];
    const uint8_t *bytes;
    uint64_t count;
    nni_quoted(shown, sizeof shown, key, strlen(key));
    if (first->bytes) return nni_pickle_fail(p, p->at, "storage %s appears twice", shown);
    int status = take_elements(p, key, element_bytes(first), &bytes, &count);
    if (status != NN_OK) return status;
    for (; place < t->count && strcmp(t->storages[place]->key, key) == 0; place++) {
      nni_storage *s = t->storages[place];
      if (s->count != count || element_bytes(s) != element_bytes(first))
        return nni_pickle_fail(p, p->at, "storage %s: %s elements of %d bytes in the pickle, %s of %d in the file",
                               shown, nni_grouped(a, s->count), element_bytes(s), nni_grouped(b, count),
                               element_bytes(first));
      s->bytes = bytes;
      s->room = (size_t)count * (size_t)element_bytes(first);
    }
  }
  return NN_OK;
}

/* 0x1950a86a20f9469cfc6c, as protocols from 2 on and before write it */
static bool is_magic(const nni_object *o) {
  static const char binary[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", digits[] = "119547037146038801333356";
  return o->kind == NNI_LONG && ((o->length == sizeof binary - 1 && memcmp(o->text, binary, o->length) == 0) ||
                                 (o->length == sizeof digits - 1 && memcmp(o->text, digits, o->length) == 0));
}

static int check_machine(nni_pickle *p, const nni_object *machine) {
  if (machine->kind != NNI_DICT) return nni_pickle_fail(p, p->at, "a description of the machine expected");
  for (const nni_item *item = machine->first; item; item = item->next)
    if (nni_is_text(item->key, "little_endian") && item->value->kind == NNI_BOOLEAN && !item->value->integer)
      return nn_fail(NN_EFORMAT, "%s: written on a big-endian machine, which is not read", p->c->path);
  return NN_OK;
}

static int read_stream(torch_file *t, nni_pickle *p) {
  nni_object *magic, *version, *machine, *object, *keys;
  int status = nni_pickle_next(p, &magic);
  if (status == NN_OK && !is_magic(magic))
    status = nn_fail(NN_EFORMAT, "%s: a pickle, but not one of torch.save", t->c->path);
  if (status == NN_OK) status = nni_pickle_next(p, &version);
  if (status == NN_OK && (version->kind != NNI_INTEGER || version->integer != VERSION))
    status = nni_pickle_fail(p, p->at, "format version %d expected", VERSION);
  if (status == NN_OK) status = nni_pickle_next(p, &machine);
  if (status == NN_OK) status = check_machine(p, machine);
  if (status != NN_OK) return status;
  p->persistent = stream_storage;
  size_t start = p->at;
  status = nni_pickle_next(p, &object);
  size_t length = p->at - start;
  p->persistent = NULL;
  if (status == NN_OK) status = nni_pickle_next(p, &keys);
  if (status == NN_OK) status = fill_storages(t, p, keys);
  return status == NN_OK ? add_object(t, object, length) : status;
}

int nni_torch_read_stream(nn_checkpoint *c) {
  torch_file t = { .c = c };
  const nni_block *file;
  int status = nni_checkpoint_add_file(c, &file);
  if (status != NN_OK) return status;
  nni_pickle p = { .c = c, .part = "stream", .bytes = file->bytes, .size = file->size, .context = &t };
  status = read_stream(&t, &p);
  nni_pickle_end(&p);
  torch_end(&t);
  return status;
}

/* ---- tar ---- */

static int add_key(torch_file *t, const keyed *k) {
  if (!nni_grow(&t->keys, &t->key_room, t->key_count, 1, sizeof *t->keys)) return no_memory(t);
  t->keys[t->key_count++] = *k;
  return NN_OK;
}

static int compare_keyed(const void *a, const void *b) {
  return strcmp(((const keyed *)a)->key, ((const keyed *)b)->key);
}

static int sort_keys(torch_file *t) {
  if (t->key_count) qsort(t->keys, t->key_count, sizeof *t->keys, compare_keyed);
  t->sorted = t->key_count;
  return nni_sort_names(NN_EFORMAT, t->c->path, "key", t->keys, sizeof *t->keys, t->key_count, NULL);
}

/* *found is NULL when there is none of that key. */
static int find_key(const torch_file *t, const nni_object *o, const keyed **found) {
  keyed wanted = { .key = is_key(o) ? key_text(t, o) : "" };
  if (!wanted.key) return no_memory(t);
  *found = is_key(o) && t->sorted ? bsearch(&wanted, t->keys, t->sorted, sizeof *t->keys, compare_keyed) : NULL;
  return NN_OK;
}

/* How many parts follow. */
static int take_number(nni_pickle *p, int64_t *number) {
  nni_object *o;
  int status = nni_pickle_next(p, &o);
  if (status != NN_OK) return status;
  if (o->kind != NNI_INTEGER || o->integer < 0) return nni_pickle_fail(p, p->at, "a count expected");
  *number = o->integer;
  return NN_OK;
}

/* A tuple of n elements. */
static int take_tuple(nni_pickle *p, size_t n, nni_object **out) {
  int status = nni_pickle_next(p, out);
  if (status == NN_OK && ((*out)->kind != NNI_TUPLE || (*out)->count != n))
    status = nni_pickle_fail(p, p->at, "a tuple of %zu expected", n);
  return status;
}

static int read_tar_storage(torch_file *t, nni_pickle *p) {
  nni_object *about;
  uint64_t count;
  int status = take_tuple(p, 3, &about);
  if (status != NN_OK) return status;
  nni_storage *s = nni_pool_get(&t->c->pool, sizeof *s);
  if (!s) return no_memory(t);
  const nni_object *class = nni_element(about, 2);
  if (!is_key(about->first->value) || !is_storage_class(class))
    return nni_pickle_fail(p, p->at, "a key, a place and a class expected");
  keyed k = { .key = key_text(t, about->first->value), .storage = s };
  if (!k.key) return no_memory(t);
  s->key = k.key;
  s->dtype = class->dtype;
  status = take_elements(p, k.key, element_bytes(s), &s->bytes, &count);
  if (status != NN_OK) return status;
  s->count = count;
  s->room = (size_t)count * (size_t)element_bytes(s);
  return add_key(t, &k);
}

/* (key, key of the storage it is a part of, offset, elements) */
static int read_tar_view(torch_file *t, nni_pickle *p, const nni_object *about) {
  if (about->kind != NNI_TUPLE || about->count != 4) return nni_pickle_fail(p, p->at, "a tuple of 4 expected");
  const nni_object *offset = nni_element(about, 2), *count = nni_element(about, 3);
  const keyed *root = NULL;
  int status = find_key(t, nni_element(about, 1), &root);
  if (status != NN_OK) return status;
  if (!is_key(about->first->value) || !root || offset->kind != NNI_INTEGER || count->kind != NNI_INTEGER ||
      offset->integer < 0 || count->integer < 0)
    return nni_pickle_fail(p, p->at, "a view of a storage expected");
  keyed k = { .key = key_text(t, about->first->value), .storage = nni_pool_get(&t->c->pool, sizeof *k.storage) };
  if (!k.key || !k.storage) return no_memory(t);
  *k.storage = *root->storage;
  k.storage->view = k.key;
  k.storage->view_offset = (uint64_t)offset->integer;
  k.storage->view_count = (uint64_t)count->integer;
  return add_key(t, &k);
}

static int read_tar_storages(torch_file *t, nni_pickle *p) {
  int64_t number;
  nni_object *views = NULL;
  int status = take_number(p, &number);
  for (int64_t i = 0; i < number && status == NN_OK; i++) status = read_tar_storage(t, p);
  if (status == NN_OK) status = sort_keys(t);
  if (status != NN_OK || p->at == p->size) return status;  /* some writers leave the views out */
  status = nni_pickle_next(p, &views);
  if (status == NN_OK && views->kind != NNI_LIST) status = nni_pickle_fail(p, p->at, "a list of views expected");
  if (status != NN_OK || !views->count) return status;
  for (const nni_item *item = views->first; item && status == NN_OK; item = item->next)
    status = read_tar_view(t, p, item->value);
  return status == NN_OK ? sort_keys(t) : status;
}

/* 32 bits of axes, 32 that older writers left undefined, sizes, strides, offset: the latter 64 bits each */
static int take_layout(nni_pickle *p, nni_view_of *t) {
  int64_t numbers[2 * NN_MAX_AXES + 1];
  int32_t axes;
  if (p->size - p->at < 8) return nni_pickle_fail(p, p->at, "a tensor's axes expected; it ends there");
  memcpy(&axes, p->bytes + p->at, sizeof axes);
  if (axes < 0 || axes > NN_MAX_AXES)
    return nni_pickle_fail(p, p->at, "a tensor of %" PRId32 " axes; at most %d are read", axes, NN_MAX_AXES);
  size_t size = (2 * (size_t)axes + 1) * sizeof *numbers;
  p->at += 8;
  if (p->size - p->at < size) return nni_pickle_fail(p, p->at, "a tensor's sizes expected; it ends there");
  memcpy(numbers, p->bytes + p->at, size);
  for (int i = 0; i < 2 * axes + 1; i++)
    if (numbers[i] < 0) return nni_pickle_fail(p, p->at, "a tensor's sizes from 0 expected");
  p->at += size;
  t->axes = axes;
  memcpy(t->size, numbers, (size_t)axes * sizeof *numbers);
  memcpy(t->stride, numbers + axes, (size_t)axes * sizeof *numbers);
  t->offset = numbers[2 * axes];
  return NN_OK;
}

static int read_tar_tensor(torch_file *t, nni_pickle *p) {
  nni_object *about;
  int status = take_tuple(p, 3, &about);
  if (status != NN_OK) return status;
  const keyed *of = NULL;
  status = find_key(t, nni_element(about, 1), &of);
  if (status != NN_OK) return status;
  if (!is_key(about->first->value) || !of || !of->storage->dtype)
    return nni_pickle_fail(p, p->at, "a tensor of a known storage expected");
  keyed k = { .key = key_text(t, about->first->value), .tensor = nni_object_new(p, NNI_TENSOR) };
  nni_view_of *view = k.tensor ? nni_pool_get(&t->c->pool, sizeof *view) : NULL;
  if (!k.key || !view) return no_memory(t);
  view->storage = of->storage;
  view->dtype = of->storage->dtype;
  status = take_layout(p, view);
  if (status != NN_OK) return status;
  k.tensor->tensor = view;
  return add_key(t, &k);
}

static int read_tar_tensors(torch_file *t, nni_pickle *p) {
  int64_t number;
  int status = take_number(p, &number);
  for (int64_t i = 0; i < number && status == NN_OK; i++) status = read_tar_tensor(t, p);
  return status == NN_OK ? sort_keys(t) : status;
}

/* A key, or the tuple ("storage", class, key, ...) where a storage is meant. */
static int tar_object(nni_pickle *p, const nni_object *id, nni_object **out) {
  const torch_file *t = p->context;
  bool tuple = id->kind == NNI_TUPLE && id->count > 2;
  const keyed *found = NULL;
  int status = find_key(t, tuple ? nni_element(id, 2) : id, &found);
  if (status != NN_OK) return status;
  if (!found) return nni_pickle_fail(p, p->at, "a persistent id that is not in storages or tensors");
  nni_object *o = found->tensor ? found->tensor : nni_object_new(p, NNI_STORAGE);
  if (!o) return no_memory(t);
  if (!found->tensor) o->storage = found->storage;
  *out = o;
  return NN_OK;
}

static int read_part(torch_file *t, const char *name, int (*read)(torch_file *t, nni_pickle *p)) {
  const nni_block *block = nni_checkpoint_block(t->c, name);
  nni_pickle p = { .c = t->c, .part = name, .context = t };
  if (block) {
    p.bytes = block->bytes;
    p.size = block->size;
  }
  int status = read(t, &p);
  nni_pickle_end(&p);
  return status;
}

static int read_tar_machine(torch_file *t, nni_pickle *p) {
  nni_object *machine;
  int status = nni_pickle_next(p, &machine);
  (void)t;
  return status == NN_OK ? check_machine(p, machine) : status;
}

static int read_tar_object(torch_file *t, nni_pickle *p) {
  nni_object *object;
  p->persistent = tar_object;
  int status = nni_pickle_next(p, &object);
  return status == NN_OK ? add_object(t, object, p->size) : status;
}

int nni_torch_read_tar(nn_checkpoint *c) {
  torch_file t = { .c = c };
  int status = nni_checkpoint_add_members(c);
  if (status == NN_OK && (!nni_checkpoint_block(c, "pickle") || !nni_checkpoint_block(c, "storages")))
    status = nn_fail(NN_EFORMAT, "%s: a tar file, but not one of torch.save: it has no %s", c->path,
                     nni_checkpoint_block(c, "pickle") ? "storages" : "pickle");
  if (status == NN_OK && nni_checkpoint_block(c, "sys_info")) status = read_part(&t, "sys_info", read_tar_machine);
  if (status == NN_OK) status = read_part(&t, "storages", read_tar_storages);
  if (status == NN_OK && nni_checkpoint_block(c, "tensors")) status = read_part(&t, "tensors", read_tar_tensors);
  if (status == NN_OK) status = read_part(&t, "pickle", read_tar_object);
  torch_end(&t);
  return status;
}
