/* dtype.h -- the element types of other programs' files, and how they become ours. */
#ifndef NN_DTYPE_H
#define NN_DTYPE_H

#include "nn.h"

/* Who calls a type by a name of its own. */
enum { NNI_BY_TORCH, NNI_BY_STORAGE, NNI_BY_SAFETENSORS, NNI_BY_NUMPY, NNI_TONGUES };

typedef struct {
  const char *name[NNI_TONGUES];  /* "float32", "FloatStorage", "F32", "f4" (without its order); NULL: unknown there */
  int bytes;                      /* of one element */
  int kind;                       /* how elements are converted; 0: they are not */
  nn_type type;                   /* what they are converted to */
} nni_dtype;

/* NULL: none is called that. */
const nni_dtype *nni_dtype_find(int tongue, const char *name);
/* How a tensor's elements are stored. */
const nni_dtype *nni_dtype_of(nn_type type);

/* to[first + i] = from[i], i < count. `from` is aligned to 8 bytes; with `swap` its elements are in the other byte
 * order, and are turned in place. `who` starts the message about an element that does not fit. */
int nni_dtype_convert(const nni_dtype *dtype, bool swap, const char *who, void *to, void *from, int64_t first,
                      int64_t count);

#endif
