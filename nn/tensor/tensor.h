/* tensor.h -- how nn sees its own tensors.
 *
 * A storage is bytes with a reference count and a version; a tensor is a view of it (type, sizes, strides, offset)
 * with a reference count of its own and, when it takes part in a gradient, a place in the tape. Several tensors may
 * share a storage; every write raises its version, so backward can tell that a saved value is stale.
 */
#ifndef NN_TENSOR_H
#define NN_TENSOR_H

#include <stdatomic.h>

#include "nn.h"

typedef struct {
  atomic_int references;
  uint64_t version;
  size_t bytes;
  void *data;
} nn_storage;

typedef struct nn_node nn_node;

struct nn_tensor {
  atomic_int references;
  nn_type type;
  int axes;
  int64_t size[NN_MAX_AXES];
  int64_t stride[NN_MAX_AXES];  /* in elements; may be 0 for a broadcast axis */
  int64_t offset;               /* in elements */
  nn_storage *storage;
  bool requires_grad;           /* a leaf that wants a gradient, or the result of one that does */
  nn_tensor *grad;              /* of a leaf */
  nn_node *node;                /* what computed it; NULL for a leaf */
};

/* First element; the caller knows the type and that t is contiguous. */
static inline nn_real *nni_real(const nn_tensor *t) { return (nn_real *)t->storage->data + t->offset; }
static inline int32_t *nni_int32(const nn_tensor *t) { return (int32_t *)t->storage->data + t->offset; }

/* A view of base's storage with contiguous strides over `size`; base is contiguous and the counts agree. */
nn_tensor *nni_view_contiguous(nn_tensor *base, int axes, const int64_t *size);
/* A view with its own strides and offset. */
nn_tensor *nni_view(nn_tensor *base, int axes, const int64_t *size, const int64_t *stride, int64_t offset);
/* Is it to get a gradient by what is recorded now? (autograd/tape.c) */
bool nni_wants_gradient(const nn_tensor *t);
bool nni_same_shape(const nn_tensor *a, const nn_tensor *b);
int64_t nni_count(int axes, const int64_t *size);
/* NN_EMEMORY when the sizes are too many. Sizes of 0 are passed over: products of the others, as strides and spans are,
 * then fit as well. */
int nni_check_count(int axes, const int64_t *size);

#endif
