/* pickle.h -- Python's pickles as data: what torch.save writes, and nothing that could run. */
#ifndef NN_PICKLE_H
#define NN_PICKLE_H

#include "formats/checkpoint.h"

typedef enum {
  NNI_NONE, NNI_BOOLEAN, NNI_INTEGER, NNI_LONG /* beyond 64 bits */, NNI_NUMBER, NNI_TEXT, NNI_BYTES,
  NNI_TUPLE, NNI_LIST, NNI_DICT, NNI_GLOBAL, NNI_STORAGE, NNI_TENSOR, NNI_OTHER /* a device, a quantiser's name */
} nni_object_kind;

typedef struct nni_object nni_object;

/* One element of a tuple or list, or one item of a dictionary. */
typedef struct nni_item {
  nni_object *key, *value;  /* key: NULL but in dictionaries */
  struct nni_item *next;
} nni_item;

/* Elements somebody else keeps; what their bytes are may become known after the pickle was read. */
typedef struct {
  const char *key;
  const nni_dtype *dtype;   /* NULL: bytes without a type */
  uint64_t count;           /* elements, or bytes without a type */
  const char *view;         /* NULL, or the key of a view of it, */
  uint64_t view_offset, view_count;  /* in elements */
  const uint8_t *bytes;     /* NULL until known */
  size_t room;
} nni_storage;

typedef struct {
  nni_storage *storage;
  const nni_dtype *dtype;
  int axes;
  int64_t size[NN_MAX_AXES], stride[NN_MAX_AXES], offset;
} nni_view_of;

struct nni_object {
  nni_object_kind kind;
  bool ordered;              /* a dictionary made by OrderedDict, which may have attributes */
  size_t count;              /* of items */
  union {
    int64_t integer;         /* NNI_BOOLEAN, NNI_INTEGER */
    double number;
    struct {
      const char *text;      /* NNI_TEXT, NNI_BYTES, NNI_LONG, NNI_OTHER: not ended by a zero */
      size_t length;
    };
    struct {
      nni_item *first, *last;
    };
    int global;              /* NNI_GLOBAL */
    nni_storage *storage;
    nni_view_of *tensor;
  };
  const nni_dtype *dtype;    /* NNI_GLOBAL: of a storage class or of a type's name */
};

/* A reader of the pickles that stand one after the other in `bytes`. */
typedef struct nni_pickle nni_pickle;
struct nni_pickle {
  nn_checkpoint *c;
  const char *part;          /* of the file, for messages: "data.pkl" */
  const uint8_t *bytes;      /* outlives the objects, which point into it */
  size_t size, at;
  /* What a persistent id stands for. */
  int (*persistent)(nni_pickle *p, const nni_object *id, nni_object **out);
  void *context;

  nni_object **stack;
  size_t depth, stack_room;
  size_t *marks;             /* depths of the stack */
  size_t mark_count, mark_room;
  nni_object **memo;
  size_t memo_used, memo_room;
  size_t start;              /* of the pickle at hand */
  size_t objects;
};

/* The next pickle's object; objects live as long as the checkpoint's pool. */
int nni_pickle_next(nni_pickle *p, nni_object **out);
void nni_pickle_end(nni_pickle *p);
/* "path: part: offset n: ..." and NN_EFORMAT; a macro, so that the compiler sees that this is no success. */
#define nni_pickle_fail(...) (nni_pickle_message(__VA_ARGS__), NN_EFORMAT)
void nni_pickle_message(const nni_pickle *p, size_t offset, const char *format, ...)
  __attribute__((format(printf, 3, 4)));
nni_object *nni_object_new(nni_pickle *p, nni_object_kind kind);  /* NULL: out of memory */
bool nni_is_text(const nni_object *o, const char *text);
/* Element `place` of a tuple or list that has it. */
const nni_object *nni_element(const nni_object *o, size_t place);

#endif
