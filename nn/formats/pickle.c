/* pickle.c -- Python's pickles as data.
 *
 * A pickle is a program for a small stack machine; Python's own lets it call anything. This one knows the opcodes of
 * protocols 0 to 5 that make plain values, and a list of names: what torch.save needs for tensors, and OrderedDict. A
 * "call" of one of them only fills in a struct. Any other name ends the reading with a message that says it.
 *
 * Each opcode makes at most one object, so memory is a multiple of the pickle's length. Nothing recurses. What a
 * persistent id stands for is asked of the caller.
 */
#include "formats/pickle.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/file.h"

enum { MOST_OBJECTS = 1 << 23, LONGEST_LINE = 4096 };

typedef enum {
  ORDERED_DICT, SIZE, DEVICE, TENSOR, TENSOR_V2, TENSOR_V3, QTENSOR, PARAMETER, STORAGE, DTYPE, NAME
} global;

static const struct {
  const char *module, *name;
  global what;
} known[] = {
  { "collections", "OrderedDict", ORDERED_DICT },
  { "torch", "Size", SIZE },
  { "torch", "device", DEVICE },
  { "torch._utils", "_rebuild_tensor", TENSOR },
  { "torch._utils", "_rebuild_tensor_v2", TENSOR_V2 },
  { "torch._utils", "_rebuild_tensor_v3", TENSOR_V3 },
  { "torch._utils", "_rebuild_qtensor", QTENSOR },
  { "torch._utils", "_rebuild_parameter", PARAMETER },
  { "torch", "UntypedStorage", STORAGE },
  { "torch.storage", "UntypedStorage", STORAGE },
  { "torch", "per_tensor_affine", NAME },
  { "torch", "per_channel_affine", NAME },
  { "torch", "per_channel_affine_float_qparams", NAME },
};

void nni_pickle_message(const nni_pickle *p, size_t offset, const char *format, ...) {
  char message[300], at[32];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  nn_fail(NN_EFORMAT, "%s: %s: offset %s: %s", p->c->path, p->part, nni_grouped(at, offset), message);
}

static int no_memory(const nni_pickle *p) {
  nn_fail(NN_EMEMORY, "%s: out of memory", p->c->path);
  return NN_EMEMORY;
}

/* ---- objects ---- */

nni_object *nni_object_new(nni_pickle *p, nni_object_kind kind) {
  nni_object *o = nni_pool_get(&p->c->pool, sizeof *o);
  if (o) o->kind = kind;
  return o;
}

static int push(nni_pickle *p, nni_object *o) {
  if (!o || !nni_grow(&p->stack, &p->stack_room, p->depth, 1, sizeof *p->stack)) return no_memory(p);
  p->stack[p->depth++] = o;
  return NN_OK;
}

static int push_new(nni_pickle *p, nni_object_kind kind) { return push(p, nni_object_new(p, kind)); }

static int push_integer(nni_pickle *p, nni_object_kind kind, int64_t value) {
  nni_object *o = nni_object_new(p, kind);
  if (o) o->integer = value;
  return push(p, o);
}

static int push_text(nni_pickle *p, nni_object_kind kind, const uint8_t *text, size_t length) {
  nni_object *o = nni_object_new(p, kind);
  if (o) {
    o->text = (const char *)text;
    o->length = length;
  }
  return push(p, o);
}

bool nni_is_text(const nni_object *o, const char *text) {
  return (o->kind == NNI_TEXT || o->kind == NNI_BYTES) && o->length == strlen(text) &&
         memcmp(o->text, text, o->length) == 0;
}

const nni_object *nni_element(const nni_object *o, size_t place) {
  const nni_item *item = o->first;
  while (place--) item = item->next;
  return item->value;
}

static int add_item(nni_pickle *p, nni_object *to, nni_object *key, nni_object *value) {
  nni_item *item = nni_pool_get(&p->c->pool, sizeof *item);
  if (!item) return no_memory(p);
  item->key = key;
  item->value = value;
  if (to->last) to->last->next = item;
  else to->first = item;
  to->last = item;
  to->count++;
  return NN_OK;
}

/* ---- bytes ---- */

/* The next `size` bytes, or NULL with a message. */
static const uint8_t *take(nni_pickle *p, uint64_t size) {
  if (size > p->size - p->at) {
    char a[32], b[32];
    nni_pickle_message(p, p->at, "%s bytes expected, %s found; it ends there", nni_grouped(a, size),
                       nni_grouped(b, p->size - p->at));
    return NULL;
  }
  const uint8_t *bytes = p->bytes + p->at;
  p->at += (size_t)size;
  return bytes;
}

/* An unsigned integer of `bytes` bytes. */
static int take_count(nni_pickle *p, int bytes, uint64_t *value) {
  const uint8_t *b = take(p, (uint64_t)bytes);
  if (!b) return NN_EFORMAT;
  *value = 0;
  for (int i = 0; i < bytes; i++) *value |= (uint64_t)b[i] << 8 * i;
  return NN_OK;
}

/* A line without its end. */
static int take_line(nni_pickle *p, const uint8_t **line, size_t *length) {
  size_t left = p->size - p->at, most = left < LONGEST_LINE ? left : LONGEST_LINE;
  const uint8_t *end = most ? memchr(p->bytes + p->at, '\n', most) : NULL;
  if (!end) return nni_pickle_fail(p, p->at, "a line of up to %d bytes expected", LONGEST_LINE);
  *line = p->bytes + p->at;
  *length = (size_t)(end - *line);
  p->at += *length + 1;
  return NN_OK;
}

/* A line as a short text that ends with a zero. */
static int take_word(nni_pickle *p, char *word, size_t room) {
  const uint8_t *line;
  size_t length, start = p->at;
  int status = take_line(p, &line, &length);
  if (status != NN_OK) return status;
  if (length >= room || memchr(line, '\0', length)) return nni_pickle_fail(p, start, "a short word expected");
  memcpy(word, line, length);
  word[length] = '\0';
  return NN_OK;
}

/* ---- names ---- */

/* Not in the list: its name is the message. */
static int refused(const nni_pickle *p, size_t offset, const char *name) {
  char shown[120], at[32];
  nn_fail(NN_EFORMAT, "%s: holds objects beyond tensors and numbers (%s, at offset %s of %s): export its "
          "state_dict with torch.save(model.state_dict(), path)", p->c->path,
          nni_printable(shown, sizeof shown, name, strlen(name)), nni_grouped(at, offset), p->part);
  return NN_EFORMAT;
}

static int push_global(nni_pickle *p, size_t offset, const char *module, const char *name) {
  char whole[300];
  nni_object *o = nni_object_new(p, NNI_GLOBAL);
  if (!o) return no_memory(p);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(module, known[i].module) == 0 && strcmp(name, known[i].name) == 0) {
      o->global = known[i].what;
      return push(p, o);
    }
  if (strcmp(module, "torch") == 0 || strcmp(module, "torch.cuda") == 0 || strcmp(module, "torch.storage") == 0) {
    o->global = STORAGE;
    o->dtype = nni_dtype_find(NNI_BY_STORAGE, name);
    if (!o->dtype && strcmp(module, "torch") == 0) {
      o->global = DTYPE;
      o->dtype = nni_dtype_find(NNI_BY_TORCH, name);
    }
    if (o->dtype) return push(p, o);
    /* the class of a tensor, which the tar form mentions: "FloatTensor" */
    size_t length = strlen(name);
    if (length > 6 && length < 40 && strcmp(name + length - 6, "Tensor") == 0) {
      memcpy(whole, name, length - 6);
      strcpy(whole + length - 6, "Storage");
      o->global = NAME;
      if (nni_dtype_find(NNI_BY_STORAGE, whole)) return push(p, o);
    }
  }
  snprintf(whole, sizeof whole, "%.140s.%.140s", module, name);
  return refused(p, offset, whole);
}

static int read_global(nni_pickle *p, size_t offset) {
  char module[256], name[256];
  int status = take_word(p, module, sizeof module);
  if (status == NN_OK) status = take_word(p, name, sizeof name);
  return status == NN_OK ? push_global(p, offset, module, name) : status;
}

static int pop(nni_pickle *p, nni_object **out);

static int read_stack_global(nni_pickle *p, size_t offset) {
  nni_object *name, *module;
  char words[2][256];
  int status = pop(p, &name);
  if (status == NN_OK) status = pop(p, &module);
  if (status != NN_OK) return status;
  const nni_object *both[] = { module, name };
  for (int i = 0; i < 2; i++) {
    if (both[i]->kind != NNI_TEXT || both[i]->length >= sizeof words[i] ||
        memchr(both[i]->text, '\0', both[i]->length))
      return nni_pickle_fail(p, offset, "a module's name and a name in it expected");
    memcpy(words[i], both[i]->text, both[i]->length);
    words[i][both[i]->length] = '\0';
  }
  return push_global(p, offset, words[0], words[1]);
}

/* ---- the stack ---- */

static int underflow(const nni_pickle *p) { return nni_pickle_fail(p, p->at - 1, "more is taken than was put"); }

/* What is below the last mark belongs to those before it. */
static int pop(nni_pickle *p, nni_object **out) {
  size_t floor = p->mark_count ? p->marks[p->mark_count - 1] : 0;
  if (p->depth <= floor) return underflow(p);
  *out = p->stack[--p->depth];
  return NN_OK;
}

static int top(const nni_pickle *p, nni_object **out) {
  size_t floor = p->mark_count ? p->marks[p->mark_count - 1] : 0;
  if (p->depth <= floor) return underflow(p);
  *out = p->stack[p->depth - 1];
  return NN_OK;
}

/* Takes everything above the last mark: `count` objects from *first on, good until the next push. */
static int pop_mark(nni_pickle *p, nni_object ***first, size_t *count) {
  if (!p->mark_count) return underflow(p);
  size_t floor = p->marks[--p->mark_count];
  *first = p->stack ? p->stack + floor : NULL;
  *count = p->depth - floor;
  p->depth = floor;
  return NN_OK;
}

static int push_mark(nni_pickle *p) {
  if (!nni_grow(&p->marks, &p->mark_room, p->mark_count, 1, sizeof *p->marks)) return no_memory(p);
  p->marks[p->mark_count++] = p->depth;
  return NN_OK;
}

/* ---- containers ---- */

/* A tuple or list of `count` objects; the stack's depth is where the first of them was. */
static int push_sequence(nni_pickle *p, nni_object_kind kind, nni_object **first, size_t count) {
  nni_object *o = nni_object_new(p, kind);
  if (!o) return no_memory(p);
  for (size_t i = 0; i < count; i++)
    if (add_item(p, o, NULL, first[i]) != NN_OK) return NN_EMEMORY;
  return push(p, o);
}

static int push_tuple(nni_pickle *p, size_t count) {
  size_t floor = p->mark_count ? p->marks[p->mark_count - 1] : 0;
  if (p->depth - floor < count) return underflow(p);
  p->depth -= count;
  return push_sequence(p, NNI_TUPLE, p->stack + p->depth, count);
}

static int append(nni_pickle *p, size_t offset, nni_object **first, size_t count) {
  nni_object *list;
  int status = top(p, &list);
  if (status != NN_OK) return status;
  if (list->kind != NNI_LIST) return nni_pickle_fail(p, offset, "an element for something that is no list");
  for (size_t i = 0; i < count && status == NN_OK; i++) status = add_item(p, list, NULL, first[i]);
  return status;
}

static int set_items(nni_pickle *p, size_t offset, nni_object *dict, nni_object **first, size_t count) {
  int status = NN_OK;
  if (dict->kind != NNI_DICT) return nni_pickle_fail(p, offset, "an item for something that is no dictionary");
  if (count % 2) return nni_pickle_fail(p, offset, "a key without a value");
  for (size_t i = 0; i < count && status == NN_OK; i += 2) status = add_item(p, dict, first[i], first[i + 1]);
  return status;
}

/* ---- calls ---- */

static int bad_arguments(const nni_pickle *p, size_t offset, const char *what) {
  return nni_pickle_fail(p, offset, "arguments that %s does not take", what);
}

/* OrderedDict() or OrderedDict([(key, value), ...]) */
static int make_dict(nni_pickle *p, size_t offset, const nni_object *arguments, nni_object **out) {
  nni_object *dict = nni_object_new(p, NNI_DICT);
  if (!dict) return no_memory(p);
  dict->ordered = true;
  const nni_object *pairs = arguments->count == 1 ? nni_element(arguments, 0) : NULL;
  if (arguments->count > 1 || (pairs && pairs->kind != NNI_LIST && pairs->kind != NNI_TUPLE))
    return bad_arguments(p, offset, "OrderedDict");
  for (const nni_item *item = pairs ? pairs->first : NULL; item; item = item->next) {
    const nni_object *pair = item->value;
    if ((pair->kind != NNI_TUPLE && pair->kind != NNI_LIST) || pair->count != 2)
      return bad_arguments(p, offset, "OrderedDict");
    if (add_item(p, dict, pair->first->value, pair->last->value) != NN_OK) return NN_EMEMORY;
  }
  *out = dict;
  return NN_OK;
}

/* torch.Size((...)): the tuple itself */
static int make_size(nni_pickle *p, size_t offset, const nni_object *arguments, nni_object **out) {
  if (arguments->count != 1) return bad_arguments(p, offset, "torch.Size");
  nni_object *sizes = arguments->first->value;
  if (sizes->kind != NNI_TUPLE && sizes->kind != NNI_LIST) return bad_arguments(p, offset, "torch.Size");
  *out = sizes;
  return NN_OK;
}

/* torch.device("cuda", 0): its name */
static int make_device(nni_pickle *p, size_t offset, const nni_object *arguments, nni_object **out) {
  const nni_object *name = arguments->count ? nni_element(arguments, 0) : NULL;
  if (!name || name->kind != NNI_TEXT || arguments->count > 2) return bad_arguments(p, offset, "torch.device");
  nni_object *o = nni_object_new(p, NNI_OTHER);
  if (!o) return no_memory(p);
  o->text = name->text;
  o->length = name->length;
  *out = o;
  return NN_OK;
}

static bool read_sizes(const nni_object *list, int64_t *out, size_t count) {
  if ((list->kind != NNI_TUPLE && list->kind != NNI_LIST) || list->count != count) return false;
  for (const nni_item *item = list->first; item; item = item->next) {
    if (item->value->kind != NNI_INTEGER || item->value->integer < 0) return false;
    *out++ = item->value->integer;
  }
  return true;
}

/* _rebuild_tensor(storage, offset, size, stride), with more behind that says nothing about the elements, but v3's type.
 * A tuple in the storage's place is a persistent id that was not marked as one, as some writers of the tar form do. */
static int make_tensor(nni_pickle *p, size_t offset, global what, const nni_object *arguments, nni_object **out) {
  static const char name[] = "torch._utils._rebuild_tensor";
  const nni_object *argument[8];
  size_t needed = what == TENSOR ? 4 : what == TENSOR_V3 ? 7 : 5;
  if (arguments->count < needed || arguments->count > 8) return bad_arguments(p, offset, name);
  size_t count = 0;
  for (const nni_item *item = arguments->first; item; item = item->next) argument[count++] = item->value;
  nni_view_of t = { .storage = argument[0]->storage };
  if (argument[0]->kind == NNI_TUPLE && p->persistent) {
    nni_object *storage;
    int status = p->persistent(p, argument[0], &storage);
    if (status != NN_OK) return status;
    if (storage->kind != NNI_STORAGE) return bad_arguments(p, offset, name);
    t.storage = storage->storage;
  } else if (argument[0]->kind != NNI_STORAGE) {
    return bad_arguments(p, offset, name);
  }
  const nni_object *sizes = argument[2];
  if (argument[1]->kind != NNI_INTEGER || argument[1]->integer < 0) return bad_arguments(p, offset, name);
  if ((sizes->kind == NNI_TUPLE || sizes->kind == NNI_LIST) && sizes->count > NN_MAX_AXES)
    return nni_pickle_fail(p, offset, "a tensor of %zu axes; at most %d are read", sizes->count, NN_MAX_AXES);
  if (!read_sizes(sizes, t.size, sizes->count) || !read_sizes(argument[3], t.stride, sizes->count))
    return bad_arguments(p, offset, name);
  t.axes = (int)sizes->count;
  t.offset = argument[1]->integer;
  t.dtype = t.storage->dtype;
  if (what == TENSOR_V3) {
    if (argument[6]->kind != NNI_GLOBAL || argument[6]->global != DTYPE) return bad_arguments(p, offset, name);
    t.dtype = argument[6]->dtype;
  }
  if (!t.dtype) return bad_arguments(p, offset, name);
  nni_object *o = nni_object_new(p, NNI_TENSOR);
  if (o) o->tensor = nni_pool_get(&p->c->pool, sizeof *o->tensor);
  if (!o || !o->tensor) return no_memory(p);
  *o->tensor = t;
  *out = o;
  return NN_OK;
}

/* _rebuild_parameter(tensor, requires_grad, hooks): the tensor */
static int make_parameter(nni_pickle *p, size_t offset, const nni_object *arguments, nni_object **out) {
  if (!arguments->count || arguments->first->value->kind != NNI_TENSOR)
    return bad_arguments(p, offset, "torch._utils._rebuild_parameter");
  *out = arguments->first->value;
  return NN_OK;
}

static int reduce(nni_pickle *p, size_t offset) {
  nni_object *arguments, *callee, *out = NULL;
  int status = pop(p, &arguments);
  if (status == NN_OK) status = pop(p, &callee);
  if (status != NN_OK) return status;
  if (callee->kind != NNI_GLOBAL || arguments->kind != NNI_TUPLE)
    return nni_pickle_fail(p, offset, "a call of something that is no function");
  switch ((global)callee->global) {
    case ORDERED_DICT: status = make_dict(p, offset, arguments, &out); break;
    case SIZE: status = make_size(p, offset, arguments, &out); break;
    case DEVICE: status = make_device(p, offset, arguments, &out); break;
    case TENSOR: case TENSOR_V2: case TENSOR_V3: case QTENSOR:
      status = make_tensor(p, offset, (global)callee->global, arguments, &out);
      break;
    case PARAMETER: status = make_parameter(p, offset, arguments, &out); break;
    default: return nni_pickle_fail(p, offset, "a call of a type's name");
  }
  return status == NN_OK ? push(p, out) : status;
}

/* Attributes for an object: those of an OrderedDict (a state_dict's _metadata) say nothing about its tensors. */
static int build(nni_pickle *p, size_t offset) {
  nni_object *state, *object;
  int status = pop(p, &state);
  if (status == NN_OK) status = top(p, &object);
  if (status != NN_OK) return status;
  if (object->kind == NNI_DICT && object->ordered) return NN_OK;
  return nni_pickle_fail(p, offset, "attributes for something that is no OrderedDict");
}

/* ---- memo ---- */

static int put(nni_pickle *p, size_t offset, uint64_t index) {
  nni_object *o;
  int status = top(p, &o);
  if (status != NN_OK) return status;
  /* picklers count from 0; each entry took a byte or more */
  if (index > p->at - p->start)
    return nni_pickle_fail(p, offset, "memo entry %llu, which is too far", (unsigned long long)index);
  if (index >= p->memo_used) {
    size_t more = (size_t)index + 1 - p->memo_used;
    if (!nni_grow(&p->memo, &p->memo_room, p->memo_used, more, sizeof *p->memo)) return no_memory(p);
    memset(p->memo + p->memo_used, 0, more * sizeof *p->memo);
    p->memo_used += more;
  }
  p->memo[index] = o;
  return NN_OK;
}

static int get(nni_pickle *p, size_t offset, uint64_t index) {
  if (index >= p->memo_used || !p->memo[index])
    return nni_pickle_fail(p, offset, "memo entry %llu, which was not made", (unsigned long long)index);
  return push(p, p->memo[index]);
}

/* ---- plain values ---- */

static int push_number(nni_pickle *p, double value) {
  nni_object *o = nni_object_new(p, NNI_NUMBER);
  if (o) o->number = value;
  return push(p, o);
}

/* A little-endian integer of any length in two's complement. */
static int read_long(nni_pickle *p, int bytes) {
  uint64_t length, value = 0;
  int status = take_count(p, bytes, &length);
  const uint8_t *b = status == NN_OK ? take(p, length) : NULL;
  if (!b) return NN_EFORMAT;
  if (length > 8) return push_text(p, NNI_LONG, b, (size_t)length);
  for (uint64_t i = 0; i < length; i++) value |= (uint64_t)b[i] << 8 * i;
  if (length && length < 8 && b[length - 1] & 0x80) value |= UINT64_MAX << 8 * length;
  return push_integer(p, NNI_INTEGER, (int64_t)value);
}

static int read_binary_float(nni_pickle *p) {
  uint64_t bits;
  double value;
  int status = take_count(p, 8, &bits);
  if (status != NN_OK) return status;
  bits = __builtin_bswap64(bits);
  memcpy(&value, &bits, sizeof value);
  return push_number(p, value);
}

/* "12", "12L", "00" and "01" for booleans; digits that 64 bits do not hold stay text. */
static int read_text_integer(nni_pickle *p, size_t offset, bool booleans) {
  const uint8_t *line;
  size_t length;
  char word[32], *end;
  int status = take_line(p, &line, &length);
  if (status != NN_OK) return status;
  if (length && line[length - 1] == 'L') length--;
  for (size_t i = 0; i < length; i++)
    if ((line[i] < '0' || line[i] > '9') && (i || line[i] != '-'))
      return nni_pickle_fail(p, offset, "an integer expected");
  if (length == 0) return nni_pickle_fail(p, offset, "an integer expected");
  if (booleans && length == 2 && line[0] == '0') return push_integer(p, NNI_BOOLEAN, line[1] == '1');
  if (length >= sizeof word) return push_text(p, NNI_LONG, line, length);
  memcpy(word, line, length);
  word[length] = '\0';
  errno = 0;
  long long value = strtoll(word, &end, 10);
  if (errno) return push_text(p, NNI_LONG, line, length);
  return push_integer(p, NNI_INTEGER, value);
}

static int read_text_float(nni_pickle *p, size_t offset) {
  char word[64], *end;
  int status = take_word(p, word, sizeof word);
  if (status != NN_OK) return status;
  double value = strtod(word, &end);
  if (end == word || *end) return nni_pickle_fail(p, offset, "a number expected");
  return push_number(p, value);
}

/* A string in quotes (S) or not (V), as protocol 0 writes them; escapes are for what names are not made of. */
static int read_text_line(nni_pickle *p, size_t offset, bool quoted) {
  const uint8_t *line;
  size_t length;
  int status = take_line(p, &line, &length);
  if (status != NN_OK) return status;
  if (memchr(line, '\\', length)) return nni_pickle_fail(p, offset, "an escaped text, which is not read");
  if (quoted) {
    if (length < 2 || (line[0] != '\'' && line[0] != '"') || line[length - 1] != line[0])
      return nni_pickle_fail(p, offset, "a text in quotes expected");
    line++;
    length -= 2;
  }
  return push_text(p, NNI_TEXT, line, length);
}

static int read_counted(nni_pickle *p, nni_object_kind kind, int bytes) {
  uint64_t length;
  int status = take_count(p, bytes, &length);
  const uint8_t *text = status == NN_OK ? take(p, length) : NULL;
  return text ? push_text(p, kind, text, (size_t)length) : NN_EFORMAT;
}

static int read_binary_integer(nni_pickle *p, int bytes) {
  uint64_t value;
  int status = take_count(p, bytes, &value);
  if (status != NN_OK) return status;
  return push_integer(p, NNI_INTEGER, bytes == 4 ? (int32_t)(uint32_t)value : (int64_t)value);
}

static int read_get(nni_pickle *p, size_t offset, int bytes) {
  uint64_t index;
  int status = take_count(p, bytes, &index);
  return status == NN_OK ? get(p, offset, index) : status;
}

static int read_put(nni_pickle *p, size_t offset, int bytes) {
  uint64_t index;
  int status = take_count(p, bytes, &index);
  return status == NN_OK ? put(p, offset, index) : status;
}

/* GET and PUT of protocol 0: the index as a line. */
static int read_text_memo(nni_pickle *p, size_t offset, bool store) {
  nni_object *index;
  int status = read_text_integer(p, offset, false);
  if (status == NN_OK) status = pop(p, &index);
  if (status != NN_OK) return status;
  if (index->kind != NNI_INTEGER || index->integer < 0) return nni_pickle_fail(p, offset, "a memo's place expected");
  return store ? put(p, offset, (uint64_t)index->integer) : get(p, offset, (uint64_t)index->integer);
}

static int read_persistent(nni_pickle *p, size_t offset, bool line) {
  nni_object *id, *out = NULL;
  int status = line ? read_text_line(p, offset, false) : NN_OK;
  if (status == NN_OK) status = pop(p, &id);
  if (status == NN_OK && !p->persistent)
    status = nni_pickle_fail(p, offset, "a persistent id, which has no place here");
  if (status == NN_OK) status = p->persistent(p, id, &out);
  return status == NN_OK ? push(p, out) : status;
}

/* ---- the machine ---- */

static int read_proto(nni_pickle *p, size_t offset) {
  uint64_t version;
  int status = take_count(p, 1, &version);
  if (status == NN_OK && version > 5)
    status = nni_pickle_fail(p, offset, "protocol %d; 0 to 5 are read", (int)version);
  return status;
}

static int read_frame(nni_pickle *p) {
  uint64_t length;
  return take_count(p, 8, &length);  /* only a hint for buffers */
}

static int step(nni_pickle *p, uint8_t code, size_t offset) {
  nni_object *a, *b, **first, *two[2];
  size_t count;
  int status;
  switch (code) {
    case 0x80: return read_proto(p, offset);
    case 0x95: return read_frame(p);
    case '(': return push_mark(p);
    case '0':
      if (p->mark_count && p->marks[p->mark_count - 1] == p->depth) return pop_mark(p, &first, &count);
      return pop(p, &a);
    case '1': return pop_mark(p, &first, &count);
    case '2': return (status = top(p, &a)) == NN_OK ? push(p, a) : status;

    case 'N': return push_new(p, NNI_NONE);
    case 0x88: case 0x89: return push_integer(p, NNI_BOOLEAN, code == 0x88);
    case 'I': case 'L': return read_text_integer(p, offset, code == 'I');
    case 'J': return read_binary_integer(p, 4);
    case 'K': return read_binary_integer(p, 1);
    case 'M': return read_binary_integer(p, 2);
    case 0x8a: return read_long(p, 1);
    case 0x8b: return read_long(p, 4);
    case 'F': return read_text_float(p, offset);
    case 'G': return read_binary_float(p);

    case 'S': case 'V': return read_text_line(p, offset, code == 'S');
    case 'U': case 0x8c: return read_counted(p, NNI_TEXT, 1);
    case 'T': case 'X': return read_counted(p, NNI_TEXT, 4);
    case 0x8d: return read_counted(p, NNI_TEXT, 8);
    case 'C': return read_counted(p, NNI_BYTES, 1);
    case 'B': return read_counted(p, NNI_BYTES, 4);
    case 0x8e: case 0x96: return read_counted(p, NNI_BYTES, 8);

    case ')': return push_new(p, NNI_TUPLE);
    case 0x85: case 0x86: case 0x87: return push_tuple(p, code - 0x84u);
    case ']': case 0x8f: return push_new(p, NNI_LIST);  /* a set is a list, too */
    case '}': return push_new(p, NNI_DICT);
    case 't': case 'l': case 0x91:
      status = pop_mark(p, &first, &count);
      return status == NN_OK ? push_sequence(p, code == 't' ? NNI_TUPLE : NNI_LIST, first, count) : status;
    case 'd':
      status = pop_mark(p, &first, &count);
      if (status == NN_OK && !(a = nni_object_new(p, NNI_DICT))) status = no_memory(p);
      if (status == NN_OK) status = set_items(p, offset, a, first, count);
      return status == NN_OK ? push(p, a) : status;
    case 'a': return (status = pop(p, &a)) == NN_OK ? append(p, offset, &a, 1) : status;
    case 'e': case 0x90:
      status = pop_mark(p, &first, &count);
      return status == NN_OK ? append(p, offset, first, count) : status;
    case 's':
      if ((status = pop(p, &two[1])) != NN_OK || (status = pop(p, &two[0])) != NN_OK) return status;
      return (status = top(p, &b)) == NN_OK ? set_items(p, offset, b, two, 2) : status;
    case 'u':
      status = pop_mark(p, &first, &count);
      return status == NN_OK && (status = top(p, &b)) == NN_OK ? set_items(p, offset, b, first, count) : status;

    case 'g': case 'p': return read_text_memo(p, offset, code == 'p');
    case 'h': return read_get(p, offset, 1);
    case 'j': return read_get(p, offset, 4);
    case 'q': return read_put(p, offset, 1);
    case 'r': return read_put(p, offset, 4);

    case 'c': return read_global(p, offset);
    case 0x93: return read_stack_global(p, offset);
    case 'R': case 0x81: return reduce(p, offset);
    case 'b': return build(p, offset);
    case 'P': case 'Q': return read_persistent(p, offset, code == 'P');
    case 'i': return (status = read_global(p, offset)) == NN_OK ? refused(p, offset, "an instance of a class") : status;
    default:
      if (code == 'o' || code == 0x92 || (code >= 0x82 && code <= 0x84))
        return refused(p, offset, "an instance of a class");
      return nni_pickle_fail(p, offset, "no opcode of a pickle: byte %d", code);
  }
}

int nni_pickle_next(nni_pickle *p, nni_object **out) {
  size_t memoized = 0;
  p->depth = p->mark_count = p->memo_used = 0;
  p->start = p->at;
  for (;;) {
    size_t offset = p->at;
    const uint8_t *code = take(p, 1);
    int status = code ? NN_OK : NN_EFORMAT;
    if (status != NN_OK) return status;
    if (*code == '.') {
      if (p->mark_count) return nni_pickle_fail(p, offset, "it ends inside a container");
      return pop(p, out);
    }
    if (++p->objects > MOST_OBJECTS)
      return nni_pickle_fail(p, offset, "more than %d values", MOST_OBJECTS);
    /* MEMOIZE's index is how many there were, one after the other */
    status = *code == 0x94 ? put(p, offset, memoized) : step(p, *code, offset);
    memoized += *code == 0x94 || *code == 'q' || *code == 'r' || *code == 'p';
    if (status == NN_OK && p->objects % 65536 == 0) status = nn_interrupt_check();
    if (status != NN_OK) return status;
  }
}

void nni_pickle_end(nni_pickle *p) {
  nn_memory_put(p->stack);
  nn_memory_put(p->marks);
  nn_memory_put(p->memo);
}
