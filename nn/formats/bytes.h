/* bytes.h -- lists that grow: of anything; of bytes, kept and used again: a file that is read, one that is made. */
#ifndef NN_BYTES_H
#define NN_BYTES_H

#include "nn.h"

/* A list from nn_memory (its address at `list`) with room for *room elements of `size` bytes, of which `used` stay,
 * gets room for `more` of them; at least doubles. False: out of memory, with a message. */
bool nni_grow(void *list, size_t *room, size_t used, size_t more, size_t size);

typedef struct {
  uint8_t *data;      /* from nn_memory; NULL while there is no room */
  size_t size, room;
} nni_bytes;

int nni_bytes_add(nni_bytes *b, const void *from, size_t size);
/* A whole regular file, at most `most` bytes of it, in place of what was there. When it fails, *b is empty. */
int nni_bytes_read(nni_bytes *b, const char *path, uint64_t most);
void nni_bytes_free(nni_bytes *b);  /* and empties it */

#endif
