/* bytes.h -- a growing run of bytes, kept and used again: a file that is read, one that is made. */
#ifndef NN_BYTES_H
#define NN_BYTES_H

#include "nn.h"

typedef struct {
  uint8_t *data;      /* from nn_memory; NULL while there is no room */
  size_t size, room;
} nni_bytes;

int nni_bytes_add(nni_bytes *b, const void *from, size_t size);
/* A whole regular file, at most `most` bytes of it, in place of what was there. When it fails, *b is empty. */
int nni_bytes_read(nni_bytes *b, const char *path, uint64_t most);
void nni_bytes_free(nni_bytes *b);  /* and empties it */

#endif
