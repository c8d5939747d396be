/* checkpoint.h -- what the readers of checkpoint files fill in.
 *
 * A checkpoint is blocks of bytes, as large as the file said and no larger, and tensors that are views of them: a
 * type, sizes, strides, an offset. Each view is checked against its block when it is added, so that reading its
 * elements later cannot leave it.
 */
#ifndef NN_CHECKPOINT_H
#define NN_CHECKPOINT_H

#include "formats/bytes.h"
#include "formats/dtype.h"

/* ---- small things that live as long as their owner ---- */

typedef struct nni_chunk nni_chunk;
typedef struct {
  nni_chunk *last;
  size_t used, bytes;  /* of the last chunk; of all */
} nni_pool;

/* Zeroed, aligned to 8 bytes; NULL: out of memory. */
void *nni_pool_get(nni_pool *pool, size_t bytes);
/* A copy with a zero byte behind it. */
char *nni_pool_text(nni_pool *pool, const char *text, size_t size);
void nni_pool_free(nni_pool *pool);

/* ---- the parts ---- */

typedef struct {
  const char *name;       /* of the archive's member; NULL: the file itself */
  uint8_t *bytes;
  size_t size;
} nni_block;

typedef struct {
  const char *name;
  const nni_dtype *dtype;
  const char *dtype_name; /* when dtype is NULL: what the file says */
  bool swap;              /* elements are big-endian */
  const uint8_t *bytes;   /* the storage, inside a block */
  size_t room;            /* bytes of the storage */
  int axes;
  int64_t size[NN_MAX_AXES], stride[NN_MAX_AXES], offset;  /* in elements */
} nni_stored;

typedef struct {
  nn_value *items;
  size_t count, room;
} nni_values;

struct nn_checkpoint {
  const char *path, *format;
  uint64_t length;        /* of the file */
  nni_pool pool;
  nni_block *blocks;
  size_t block_count, block_room;
  int *block_by_name;     /* of an archive: places of blocks, sorted */
  nni_stored *tensors;
  size_t count, room;
  int *by_name;           /* places of tensors, sorted */
  nni_values values, metadata;
};

/* Takes over bytes (from nn_memory), also when it fails. */
int nni_checkpoint_add_block(nn_checkpoint *c, const char *name, uint8_t *bytes, size_t size);
/* Reads the whole file as a block. */
int nni_checkpoint_add_file(nn_checkpoint *c, const nni_block **block);
/* Reads every file of the archive as a block; names are unlike each other. */
int nni_checkpoint_add_members(nn_checkpoint *c);
/* The archive's member of that name; NULL: there is none. */
const nni_block *nni_checkpoint_block(const nn_checkpoint *c, const char *name);

/* `path: tensor "name"`, the start of messages; returns text. */
enum { NNI_WHO = 420 };
const char *nni_checkpoint_who(const nn_checkpoint *c, const char *name, size_t length, char text[NNI_WHO]);

/* name: length bytes, copied. NN_EFORMAT when the view reaches beyond its storage. */
int nni_checkpoint_add(nn_checkpoint *c, const char *name, size_t length, const nni_stored *tensor);
/* value->name and value->text: name_length and value->length bytes, copied. */
int nni_checkpoint_add_value(nn_checkpoint *c, nni_values *list, size_t name_length, const nn_value *value);

/* Fails with `status` when a name is there twice; else `places`, unless NULL, is the order by name. The names are the
 * first members of `count` structs of `size` bytes. */
int nni_sort_names(int status, const char *path, const char *what, const void *names, size_t size, size_t count,
                   int *places);

/* Strides of a contiguous tensor. */
void nni_contiguous(int axes, const int64_t *size, int64_t *stride);

/* ---- the readers: each fills a checkpoint that has its path ---- */

int nni_safetensors_read(nn_checkpoint *c);
/* A zip file whose members are read already; pickle is the one that ends with NNI_TORCH_PICKLE. */
int nni_torch_read_zip(nn_checkpoint *c, const nni_block *pickle);
#define NNI_TORCH_PICKLE "data.pkl"
int nni_torch_read_stream(nn_checkpoint *c);
int nni_torch_read_tar(nn_checkpoint *c);
/* The same for a zip file whose members are .npy arrays. */
int nni_npz_read(nn_checkpoint *c);

#endif
