/* npy.h -- the header of NumPy's arrays, which stand in files of their own or in .npz. */
#ifndef NN_NPY_H
#define NN_NPY_H

#include "formats/dtype.h"

typedef struct {
  const nni_dtype *dtype;  /* NULL: one that has no name here */
  char description[24];    /* as it stands there: "<f4" */
  bool swap, fortran;      /* big-endian; the first axis is the fastest */
  int axes;
  int64_t size[NN_MAX_AXES], count;
  uint64_t length;         /* of the header: the elements follow */
} nni_npy_header;

enum { NNI_NPY_ROOM = 512, NNI_NPY_LONGEST = (1 << 16) + 12 };

/* Reads the header of an array that is `total` bytes long, of which the first ones are there: all, or NNI_NPY_LONGEST.
 * When the type is known the elements are exactly as many as it says. `path` starts messages. */
int nni_npy_parse(const char *path, const uint8_t *bytes, uint64_t total, nni_npy_header *header);
/* The header of a tensor as it is written; returns its length. */
int nni_npy_header_of(const nn_tensor *t, char text[NNI_NPY_ROOM]);

#endif
