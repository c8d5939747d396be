/* tensor.c -- tensors: their bytes, their views, and access to single elements. */
#include <stdio.h>
#include <string.h>

#include "autograd/tape.h"
#include "kernels/elementwise.h"
#include "tensor/tensor.h"

static atomic_ullong live;

static const struct {
  const char *name;
  size_t bytes;
} types[] = {
  [NN_REAL] = { "float", sizeof(nn_real) },
  [NN_UINT8] = { "uint8", 1 },
  [NN_INT32] = { "int32", 4 },
  [NN_INDEX] = { "index", 4 },
};

size_t nn_type_bytes(nn_type type) { return types[type].bytes; }
const char *nn_type_name(nn_type type) { return types[type].name; }
uint64_t nn_tensor_live(void) { return atomic_load(&live); }

int nni_check_count(int axes, const int64_t *size) {
  int64_t count = 1;
  for (int i = 0; i < axes; i++)
    if (size[i] && (__builtin_mul_overflow(count, size[i], &count) || count > INT64_MAX / 16))
      return nn_fail(NN_EMEMORY, "tensor: more elements than memory can hold");
  return NN_OK;
}

int64_t nni_count(int axes, const int64_t *size) {
  int64_t count = 1;
  for (int i = 0; i < axes; i++) count *= size[i];
  return count;
}

static void storage_release(nn_storage *s) {
  if (s && atomic_fetch_sub(&s->references, 1) == 1) {
    nn_memory_put(s->data);
    nn_memory_put(s);
  }
}

static nn_storage *storage_new(size_t bytes) {
  nn_storage *s = nn_memory_get(sizeof *s);
  if (!s) return NULL;
  *s = (nn_storage){ .bytes = bytes, .data = nn_memory_get(bytes) };
  atomic_init(&s->references, 1);
  if (!s->data) {
    nn_memory_put(s);
    return NULL;
  }
  return s;
}

/* Takes over one reference to the storage (also when it fails). strides NULL: contiguous. */
static nn_tensor *tensor_of(nn_storage *s, nn_type type, int axes, const int64_t *size, const int64_t *stride,
                            int64_t offset) {
  nn_tensor *t = nn_memory_get(sizeof *t);
  if (!t) {
    storage_release(s);
    return NULL;
  }
  *t = (nn_tensor){ .type = type, .axes = axes, .offset = offset, .storage = s };
  atomic_init(&t->references, 1);
  int64_t step = 1;
  for (int i = axes - 1; i >= 0; i--) {
    t->size[i] = size[i];
    t->stride[i] = stride ? stride[i] : step;
    step *= size[i];
  }
  atomic_fetch_add(&live, 1);
  return t;
}

nn_tensor *nn_tensor_new(nn_type type, int axes, const int64_t *size) {
  if (axes < 0 || axes > NN_MAX_AXES) {
    nn_fail(NN_ESHAPE, "tensor: at most %d axes, got %d", NN_MAX_AXES, axes);
    return NULL;
  }
  for (int i = 0; i < axes; i++) {
    if (size[i] < 0) {
      nn_fail(NN_ESHAPE, "tensor: axis %d has negative size %lld", i + 1, (long long)size[i]);
      return NULL;
    }
  }
  if (nni_check_count(axes, size) != NN_OK) return NULL;
  nn_storage *s = storage_new((size_t)nni_count(axes, size) * types[type].bytes);
  return s ? tensor_of(s, type, axes, size, NULL, 0) : NULL;
}

static void zero_bytes(void *data, int64_t begin, int64_t end) {
  memset((char *)data + begin, 0, (size_t)(end - begin));
}

nn_tensor *nn_tensor_zeros(nn_type type, int axes, const int64_t *size) {
  nn_tensor *t = nn_tensor_new(type, axes, size);
  if (!t || nn_parallel_for((int64_t)t->storage->bytes, 1 << 20, zero_bytes, t->storage->data) == NN_OK) return t;
  nn_tensor_release(t);
  return NULL;
}

nn_tensor *nn_tensor_scalar(double value) {
  nn_tensor *t = nn_tensor_new(NN_REAL, 0, NULL);
  if (t) *nni_real(t) = (nn_real)value;
  return t;
}

nn_tensor *nn_tensor_retain(nn_tensor *t) {
  if (t) atomic_fetch_add(&t->references, 1);
  return t;
}

void nn_tensor_release(nn_tensor *t) {
  if (!t || atomic_fetch_sub(&t->references, 1) != 1) return;
  nn_tensor_release(t->grad);
  nni_node_release(t->node);
  storage_release(t->storage);
  nn_memory_put(t);
  atomic_fetch_sub(&live, 1);
}

nn_type nn_tensor_type(const nn_tensor *t) { return t->type; }
int nn_tensor_axes(const nn_tensor *t) { return t->axes; }
int64_t nn_tensor_size(const nn_tensor *t, int axis) { return t->size[axis]; }
const int64_t *nn_tensor_sizes(const nn_tensor *t) { return t->size; }
int64_t nn_tensor_count(const nn_tensor *t) { return nni_count(t->axes, t->size); }

bool nn_tensor_contiguous(const nn_tensor *t) {
  int64_t step = 1;
  for (int i = t->axes - 1; i >= 0; i--) {
    if (t->size[i] != 1 && t->stride[i] != step) return false;
    step *= t->size[i];
  }
  return true;
}

bool nni_same_shape(const nn_tensor *a, const nn_tensor *b) {
  return a->axes == b->axes && memcmp(a->size, b->size, (size_t)a->axes * sizeof *a->size) == 0;
}

char *nn_tensor_describe(const nn_tensor *t, char *text, size_t room) {
  size_t used = (size_t)snprintf(text, room, "[");
  for (int i = 0; i < t->axes && used < room; i++)
    used += (size_t)snprintf(text + used, room - used, i ? "x%lld" : "%lld", (long long)t->size[i]);
  if (used < room) snprintf(text + used, room - used, "]");
  return text;
}

/* ---- views ---- */

nn_tensor *nni_view(nn_tensor *base, int axes, const int64_t *size, const int64_t *stride, int64_t offset) {
  atomic_fetch_add(&base->storage->references, 1);
  return tensor_of(base->storage, base->type, axes, size, stride, offset);
}

nn_tensor *nni_view_contiguous(nn_tensor *base, int axes, const int64_t *size) {
  return nni_view(base, axes, size, NULL, base->offset);
}

nn_tensor *nn_tensor_detach(nn_tensor *t) { return nni_view(t, t->axes, t->size, t->stride, t->offset); }

nn_tensor *nn_tensor_rows(nn_tensor *t, int64_t begin, int64_t end) {
  int64_t size[NN_MAX_AXES];
  memcpy(size, t->size, sizeof size);
  size[0] = end - begin;
  return nni_view(t, t->axes, size, t->stride, t->offset + begin * t->stride[0]);
}

nn_tensor *nn_tensor_row(nn_tensor *t, int64_t index) {
  return nni_view(t, t->axes - 1, t->size + 1, t->stride + 1, t->offset + index * t->stride[0]);
}

/* ---- elements ---- */

const void *nn_tensor_data(const nn_tensor *t) {
  return (char *)t->storage->data + (size_t)t->offset * types[t->type].bytes;
}

void *nn_tensor_write(nn_tensor *t) {
  t->storage->version++;
  return (char *)t->storage->data + (size_t)t->offset * types[t->type].bytes;
}

static double load(const nn_tensor *t, int64_t at) {
  switch (t->type) {
    case NN_REAL: return ((nn_real *)t->storage->data)[at];
    case NN_UINT8: return ((uint8_t *)t->storage->data)[at];
    default: return ((int32_t *)t->storage->data)[at];
  }
}

static void store(nn_tensor *t, int64_t at, double value) {
  switch (t->type) {
    case NN_REAL: ((nn_real *)t->storage->data)[at] = (nn_real)value; break;
    case NN_UINT8: ((uint8_t *)t->storage->data)[at] = (uint8_t)value; break;
    default: ((int32_t *)t->storage->data)[at] = (int32_t)value; break;
  }
}

/* A value an integer type cannot hold is an error, not a wrap. */
static int check_range(nn_type type, double value) {
  if (type == NN_REAL) return NN_OK;
  double low = type == NN_INT32 ? INT32_MIN : 0, high = type == NN_UINT8 ? 255 : INT32_MAX;
  if (value >= low && value <= high && value == (double)(int64_t)value) return NN_OK;
  return nn_fail(NN_EARGUMENT, "%s holds whole numbers from %.0f to %.0f, got %g", types[type].name, low, high, value);
}

static int64_t place_of(const nn_tensor *t, const int64_t *position) {
  int64_t at = t->offset;
  for (int i = 0; i < t->axes; i++) at += position[i] * t->stride[i];
  return at;
}

double nn_tensor_get(const nn_tensor *t, const int64_t *position) { return load(t, place_of(t, position)); }

int nn_tensor_set(nn_tensor *t, const int64_t *position, double value) {
  int status = check_range(t->type, value);
  if (status != NN_OK) return status;
  store(t, place_of(t, position), value);
  t->storage->version++;
  return NN_OK;
}

/* ---- whole tensors ---- */

int nn_tensor_fill(nn_tensor *t, double value) {
  int status = check_range(t->type, value);
  if (status != NN_OK) return status;
  union {
    nn_real real;
    uint8_t byte;
    int32_t whole;
  } one;
  if (t->type == NN_REAL) one.real = (nn_real)value;
  else if (t->type == NN_UINT8) one.byte = (uint8_t)value;
  else one.whole = (int32_t)value;
  int64_t size[NN_MAX_AXES], same[NN_MAX_AXES] = { 0 };
  for (int i = 0; i < t->axes; i++) size[i] = t->stride[i] || t->size[i] == 0 ? t->size[i] : 1;
  return nnk_copy_strided(nn_tensor_write(t), t->stride, &one, same, t->axes, size, types[t->type].bytes);
}

/* A new contiguous tensor with t's values, in its own type or another. */
static int converted(const nn_tensor *t, nn_type type, nn_tensor **out) {
  nn_tensor *copy = nn_tensor_new(type, t->axes, t->size), *packed = NULL;
  int64_t count = nn_tensor_count(t), unfit = count;
  int status = copy ? NN_OK : NN_EMEMORY;
  if (status == NN_OK && type == t->type) {
    status = nnk_copy_strided(nn_tensor_write(copy), copy->stride, nn_tensor_data(t), t->stride, t->axes, t->size,
                              types[type].bytes);
  } else if (status == NN_OK) {
    if (!nn_tensor_contiguous(t)) status = converted(t, t->type, &packed);
    if (packed) t = packed;
    if (status == NN_OK)
      status = nnk_convert(nn_tensor_write(copy), type, nn_tensor_data(t), t->type, count, &unfit);
    if (status == NN_OK && unfit < count) status = check_range(type, load(t, t->offset + unfit));
  }
  nn_tensor_release(packed);
  if (status == NN_OK) *out = copy;
  else nn_tensor_release(copy);
  return status;
}

int nn_tensor_copy(nn_tensor *to, const nn_tensor *from) {
  char a[80], b[80];
  if (!nni_same_shape(to, from)) {
    return nn_fail(NN_ESHAPE, "copy: shapes differ: %s from %s", nn_tensor_describe(to, a, sizeof a),
                   nn_tensor_describe(from, b, sizeof b));
  }
  for (int i = 0; i < to->axes; i++)
    if (to->size[i] > 1 && to->stride[i] == 0)
      return nn_fail(NN_ESHAPE, "copy: an expanded tensor holds one element in several places; write to what it was "
                     "expanded from");
  /* Views of one storage may overlap: what is read is then set aside first. */
  bool direct = to->type == from->type && to->storage != from->storage;
  nn_tensor *aside = NULL;
  int status = direct ? NN_OK : converted(from, to->type, &aside);
  if (status != NN_OK) return status;
  const nn_tensor *source = direct ? from : aside;
  status = nnk_copy_strided(nn_tensor_write(to), to->stride, nn_tensor_data(source), source->stride, to->axes,
                                to->size, types[to->type].bytes);
  nn_tensor_release(aside);
  return status;
}

nn_tensor *nn_tensor_clone(const nn_tensor *t) {
  nn_tensor *copy = NULL;
  converted(t, t->type, &copy);
  return copy;
}

nn_tensor *nn_tensor_to(nn_tensor *t, nn_type type) {
  nn_tensor *copy = NULL;
  if (t->type == type) return nn_tensor_retain(t);
  converted(t, type, &copy);
  return copy;
}

nn_tensor *nn_tensor_pack(nn_tensor *t) {
  return nn_tensor_contiguous(t) ? nn_tensor_retain(t) : nn_tensor_clone(t);
}
