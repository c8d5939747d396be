/* nn.h -- the runtime's public interface: everything the bindings may use.
 *
 * nn knows no Lua, never prints and never exits. A fallible function returns a status (NN_OK is 0) or NULL and
 * leaves a message for the calling thread; out-parameters are untouched on failure. Constructors return one
 * reference, arguments are borrowed.
 */
#ifndef NN_H
#define NN_H

#include "core/core.h"

#define NN_VERSION "0.1.0"

/* ---- SHA-256 (core/sha256.c) -------------------------------------------------------------------------------- */

typedef struct {
  uint32_t state[8];
  uint64_t bytes;     /* so far */
  uint8_t block[64];  /* what does not fill a block yet */
} nn_sha256;

void nn_sha256_start(nn_sha256 *s);
void nn_sha256_add(nn_sha256 *s, const void *bytes, size_t size);
/* The digest as 64 hexadecimal digits; s is used up. */
void nn_sha256_end(nn_sha256 *s, char text[65]);
int nn_sha256_file(const char *path, char text[65]);  /* formats/file.c */

/* ---- tensors (tensor/) -------------------------------------------------------------------------------------- */

typedef struct nn_tensor nn_tensor;

nn_tensor *nn_tensor_new(nn_type type, int axes, const int64_t *size);  /* uninitialised, contiguous */
nn_tensor *nn_tensor_zeros(nn_type type, int axes, const int64_t *size);
nn_tensor *nn_tensor_scalar(double value);                              /* float, no axes */
nn_tensor *nn_tensor_retain(nn_tensor *t);
void nn_tensor_release(nn_tensor *t);                                   /* NULL is fine */

nn_type nn_tensor_type(const nn_tensor *t);
int nn_tensor_axes(const nn_tensor *t);
int64_t nn_tensor_size(const nn_tensor *t, int axis);
const int64_t *nn_tensor_sizes(const nn_tensor *t);
int64_t nn_tensor_count(const nn_tensor *t);
bool nn_tensor_contiguous(const nn_tensor *t);
uint64_t nn_tensor_live(void);                 /* tensors alive in the process */
/* "[8x28x28x3]"; writes at most size bytes, returns text. */
char *nn_tensor_describe(const nn_tensor *t, char *text, size_t size);

/* First element of a contiguous tensor. nn_tensor_write also counts as a write: it raises the storage's version. */
const void *nn_tensor_data(const nn_tensor *t);
void *nn_tensor_write(nn_tensor *t);
/* Element by position, any layout; positions count from 0 and are within range. */
double nn_tensor_get(const nn_tensor *t, const int64_t *position);
int nn_tensor_set(nn_tensor *t, const int64_t *position, double value);

int nn_tensor_fill(nn_tensor *t, double value);
/* Same shape; converts the type. A value that an integer type cannot hold is an error, and `to` stays as it was. Views
 * of one storage may be copied to each other, but an expanded one cannot be written to. */
int nn_tensor_copy(nn_tensor *to, const nn_tensor *from);
nn_tensor *nn_tensor_to(nn_tensor *t, nn_type type);       /* a new tensor, or another reference when nothing changes */
nn_tensor *nn_tensor_clone(const nn_tensor *t);            /* contiguous, own storage, no history */
nn_tensor *nn_tensor_detach(nn_tensor *t);                 /* same storage, no history */
nn_tensor *nn_tensor_row(nn_tensor *t, int64_t index);     /* row `index` of the first axis, a view without history */
/* Rows [begin, end) of the first axis, a view without history. */
nn_tensor *nn_tensor_rows(nn_tensor *t, int64_t begin, int64_t end);
nn_tensor *nn_tensor_pack(nn_tensor *t);                   /* itself when contiguous, else a contiguous copy */

/* ---- autograd (autograd/) ----------------------------------------------------------------------------------- */

typedef struct nn_op nn_op;

/* One argument of an op or module, in the order of its signature; tensors travel apart. */
typedef struct {
  bool given;
  double number;       /* number */
  int64_t integer;     /* integer, boolean, axis (from 0), position (from 0), choice (its place in the list) */
  int count;           /* sizes, axes, numbers: how many */
  int64_t list[2 * NN_MAX_AXES];
  double numbers[8];
} nn_param;

#define NN_MAX_PARAMS 12

/* Runs a row: checks shapes, computes, records a node when gradients are on and an input needs one. Absent optional
 * tensors are NULL. params as nn_signature orders them; NULL takes every default. */
int nn_apply(const nn_op *op, nn_tensor *const *inputs, int count, const nn_param *params, nn_tensor **out);

bool nn_tensor_requires_grad(const nn_tensor *t);
int nn_tensor_set_requires_grad(nn_tensor *t, bool on);      /* leaves only */
nn_tensor *nn_tensor_grad(const nn_tensor *t);               /* borrowed; NULL when there is none */
void nn_tensor_clear_grad(nn_tensor *t);
int nn_tensor_retain_grad(nn_tensor *t);                     /* keep the gradient of an intermediate value */
/* d t / d leaves, accumulated into their grad. seed: dt, same shape (NULL: t has one element and dt = 1). The graph
 * is freed unless keep_graph. */
int nn_backward(nn_tensor *t, nn_tensor *seed, bool keep_graph);

bool nn_grad_enabled(void);
bool nn_set_grad_enabled(bool on);  /* returns what it was */
/* While it is set, what is recorded leads to this leaf and to no other: parameters are as if frozen. NULL: to all that
 * require a gradient. Returns what it was. */
const nn_tensor *nn_set_grad_leaf(const nn_tensor *leaf);

/* ---- op rows (autograd/op.c) -------------------------------------------------------------------------------- */

typedef enum {
  NN_ARG_TENSOR,    /* float tensor */
  NN_ARG_ANY,       /* tensor of any type */
  NN_ARG_INDEX,     /* index tensor */
  NN_ARG_TENSORS,   /* list of tensors of any one type */
  NN_ARG_NUMBER, NN_ARG_INTEGER, NN_ARG_BOOLEAN, NN_ARG_CHOICE,
  NN_ARG_AXIS, NN_ARG_AXES,  /* from 1 in Lua, from 0 here; negative counts from the end */
  NN_ARG_POSITION,           /* from 1 in Lua, from 0 here */
  NN_ARG_SIZES,              /* list of integers */
  NN_ARG_NUMBERS,            /* list of numbers */
} nn_arg_kind;

typedef struct {
  char name[24];
  nn_arg_kind kind;
  bool optional;       /* may be absent: a tensor is then NULL, a value has given == false or its default */
  bool option;         /* stands in the braces: passed by name */
  bool has_min, has_max, min_open, max_open;
  double min, max;
  nn_param fallback;   /* the default */
  const char *choices; /* "a|b|c" for NN_ARG_CHOICE */
  int tensor, value;   /* place among the inputs, or among the params; -1 for the other */
} nn_arg;

/* A parsed signature such as "x:tensor weight:tensor bias:tensor? {stride:integer=1 >=1, mode:reflect|zeros=zeros}". */
typedef struct {
  int args, tensors, values;
  nn_arg arg[16];
} nn_signature;

int nn_signature_parse(const char *text, nn_signature *signature);
/* The place of a word among an argument's choices, or -1. */
int nn_choice_find(const nn_arg *arg, const char *word, size_t length);
/* Is the value within the argument's bounds? */
int nn_arg_check(const nn_arg *arg, const nn_param *param);

int nn_op_count(void);
const nn_op *nn_op_at(int place);
const nn_op *nn_op_find(const char *name);  /* NULL when there is none */
const char *nn_op_name(const nn_op *op);
const char *nn_op_signature_text(const nn_op *op);
const nn_signature *nn_op_signature(const nn_op *op);
const char *nn_op_doc(const nn_op *op);
const char *nn_op_returns(const nn_op *op);
const char *nn_op_example(const nn_op *op);  /* lines of Lua, as stdlib/help.lua describes them */
const char *nn_op_check(const nn_op *op);   /* cases for the gradient test, see autograd/op.h */
bool nn_op_differentiable(const nn_op *op);
/* Test aid: multiplies what this row's backward adds to input `input` by `factor`; NULL switches it off. */
void nn_plant_error(const nn_op *op, int input, double factor);

/* ---- modules (module/) -------------------------------------------------------------------------------------- */

typedef struct nn_module nn_module;
typedef struct nn_module_class nn_module_class;

int nn_module_class_count(void);
const nn_module_class *nn_module_class_at(int place);
const char *nn_module_class_name(const nn_module_class *class);
const char *nn_module_class_signature_text(const nn_module_class *class);
const nn_signature *nn_module_class_signature(const nn_module_class *class);
const char *nn_module_class_doc(const nn_module_class *class);
const char *nn_module_class_example(const nn_module_class *class);
bool nn_module_class_container(const nn_module_class *class);  /* takes children */

/* params as the class's signature orders them, defaults filled in. Parameters are zeros until nn_module_initialise. */
nn_module *nn_module_new(const nn_module_class *class, const nn_param *params);
/* The parent keeps a reference. A child has a name without dots, unlike its siblings'. Trees are built from the leaves
 * up, at most 100 deep: a parent's own parents do not learn of what is added to it later. */
int nn_module_add(nn_module *parent, const char *name, nn_module *child);
nn_module *nn_module_retain(nn_module *m);
void nn_module_release(nn_module *m);
const nn_module_class *nn_module_class_of(const nn_module *m);
const nn_param *nn_module_params(const nn_module *m);  /* of its constructor, as the class's signature orders them */
/* torchvision's initialisation: a function of the seed and each parameter's place in the model. */
int nn_module_initialise(nn_module *m, uint64_t seed);

/* Visits modules and their tensors in depth-first order; path is "layer1.0.conv1" or "layer1.0.conv1.weight". A status
 * other than NN_OK ends the walk and is returned. */
typedef struct {
  void *context;
  int (*module)(void *context, const char *path, nn_module *m);                        /* may be NULL */
  int (*tensor)(void *context, const char *path, nn_tensor *t, bool buffer);           /* may be NULL */
} nn_module_visitor;
/* The walk owns nothing: a visitor may leave it by a jump. */
int nn_module_walk(nn_module *m, const nn_module_visitor *visitor);
nn_module *nn_module_find(nn_module *m, const char *path);  /* borrowed; NULL when there is none */

/* A tap reads the activation of one module during a pass; `out` is then a reference the caller owns. Its gradient is
 * kept when one flows. */
typedef struct {
  nn_module *module;
  nn_tensor *out;
} nn_tap;

typedef struct {
  bool training;    /* batch statistics (which update the running ones) and dropout */
  bool keep_running;  /* in training: the running statistics stay as they are */
  uint64_t seed;    /* of dropout's draws */
  bool composed;    /* layer by layer, each op a node of the tape, as taps need it; else by a plan for the whole model,
                     * which gives the same values up to rounding in less time and memory */
  nn_tap *tap;
  int taps;
} nn_pass;

int nn_module_forward(nn_module *m, nn_tensor *x, const nn_pass *pass, nn_tensor **y);

/* What one module makes of an input: the shape of its result, and the floating-point operations of the way there. A
 * multiply-add counts 2; padding counts as pixels; the modules below are counted in. axes -1: it does not run. */
typedef struct {
  int axes;
  int64_t size[NN_MAX_AXES];
  double flops;
} nn_layer_cost;

/* For an input of these sizes, the first of which counts images, in evaluation: one entry for each module, in the order
 * of nn_module_walk. Nothing is computed but shapes. count: of the entries, and of the modules. */
int nn_module_measure(nn_module *m, int axes, const int64_t *size, nn_layer_cost *cost, int count);

/* What a pass costs: forwards, or in training forwards and backwards to the parameters that want a gradient. */
typedef struct {
  double flops;
  int64_t bytes;    /* of the input, the result, and all values and gradients between them that are alive together */
  bool planned;     /* bytes are those of the plan that will run; else every value's */
} nn_cost;

int nn_module_cost(nn_module *m, int axes, const int64_t *size, bool training, nn_cost *cost);

/* ---- files of data (data/, formats/, image/) ---------------------------------------------------------------- */

/* Messages about a damaged file name the path, the offset and the field; records and offsets count from 0 there. */

/* An IDX file of unsigned bytes, raw or gzipped, 1 to 4 axes -> uint8. */
int nn_idx_read(const char *path, nn_tensor **out);
/* Images -> uint8 [N,H,W,C] (C = 1 for three axes), labels -> index [N], as many. *classes limits the labels; 0 takes
 * any and is set to the largest + 1. */
int nn_idx_read_pair(const char *images_path, const char *labels_path, int64_t *classes, nn_tensor **images,
                     nn_tensor **labels);
/* CIFAR's binary files (classes: 10 or 100), joined: images uint8 [N,32,32,3], labels and coarse labels index [N]
 * (coarse: NULL for 10 classes). */
int nn_cifar_read(const char *const *paths, int files, int classes, nn_tensor **images, nn_tensor **labels,
                  nn_tensor **coarse);

/* SVHN's MATLAB 5 files: X -> uint8 [N,32,32,3], y (1 .. 10, where 10 is the digit 0) -> index [N], the digits. */
int nn_svhn_read(const char *path, nn_tensor **images, nn_tensor **labels);
/* An array of structs in a MATLAB 5 file. Values are texts, numbers among them; what is neither is empty. */
typedef struct nn_mat_table nn_mat_table;
int nn_mat_table_read(const char *path, const char *name, nn_mat_table **out);
void nn_mat_table_free(nn_mat_table *t);  /* NULL is fine */
int64_t nn_mat_table_rows(const nn_mat_table *t);
int nn_mat_table_fields(const nn_mat_table *t);
const char *nn_mat_table_field(const nn_mat_table *t, int field);
const char *nn_mat_table_value(const nn_mat_table *t, int64_t row, int field);

/* A file of these bytes, synced, then renamed: whole or not at all, also when the machine stops. */
int nn_file_write(const char *path, const void *bytes, size_t size);
/* NumPy's array files: which types, see formats/npy.c; index tensors are written as int32 counting from 0. */
int nn_npy_read(const char *path, nn_tensor **out);
int nn_npy_write(const char *path, nn_tensor *t);

/* ---- downloads and packed files (formats/) --------------------------------------------------------------------- */

/* A text that changes when the file does: its size, the time of its last change, its place on the disk. */
int nn_file_stamp(const char *path, char *text, size_t size);
int nn_free_bytes(const char *folder, uint64_t *bytes);  /* that the user may still write there */

/* Told now and then how far a long job is, in bytes (total 0: not known). Another status than NN_OK ends the job. */
typedef int (*nn_progress)(void *context, uint64_t done, uint64_t total);

typedef struct {
  uint64_t packed;     /* bytes of the archive */
  uint64_t bytes;      /* of its files, unpacked */
  int64_t files;       /* entries */
  const char *format;  /* "zip", "tar", "tar.gz" */
} nn_archive_info;

/* Looks at every entry's header: what unpacking would make. Refuses what must not be unpacked: names that lead out of
 * the folder, links, devices, bombs. */
int nn_archive_survey(const char *path, nn_archive_info *out);
/* Makes the folder `target` of the archive's files, no more of them than a survey found. On failure nothing is left. */
int nn_archive_unpack(const char *path, const char *target, const nn_archive_info *info, nn_progress progress,
                      void *context);

typedef struct {
  const char *name;   /* in the archive, unlike all others */
  const char *file;   /* the file whose bytes it has; NULL: those below */
  const void *bytes;
  size_t size;
} nn_archive_member;

/* Writes a .zip of these members, sorted by name; the same members give the same bytes. */
int nn_archive_pack(const char *path, const nn_archive_member *members, size_t count);

typedef struct {
  const char *url;     /* http or https */
  const char *target;  /* the file to make; its folder exists */
  const char *sha256;  /* 64 hexadecimal digits that the file must have; NULL: any */
  uint64_t size;       /* bytes that it must have; 0: any */
} nn_fetch_request;

typedef struct {
  uint64_t bytes;      /* of the file */
  uint64_t resumed;    /* of them from an earlier call */
  char sha256[65];
} nn_fetch_result;

/* Downloads one file. It gets its name when it is complete and its digest is right; until then it is <target>.part, and
 * the next call goes on where an interrupted or broken one ended, if the server's file is still the same. */
int nn_fetch(const nn_fetch_request *request, nn_progress progress, void *context, nn_fetch_result *out);

/* ---- pictures (image/) -------------------------------------------------------------------------------------- */

typedef enum { NN_PNG, NN_JPEG } nn_image_format;
typedef enum { NN_CHROMA_444, NN_CHROMA_422, NN_CHROMA_420 } nn_chroma;

typedef struct {
  nn_image_format format;
  int64_t height, width;  /* after orientation */
  int channels;           /* 1, 3 or 4: as it is read when nothing else is asked */
  int depth;              /* bits of a sample as stored: 1, 2, 4, 8, 16 */
  int orientation;        /* EXIF's, 1 (upright) .. 8 */
  bool progressive;       /* stored in passes over the whole picture: progressive JPEG, interlaced PNG */
} nn_image_about;

/* Zeros, or NULL for all of them, are the defaults. */
typedef struct {
  int channels;           /* 0: as stored; 1, 3, 4: converted as Pillow converts */
  bool raw_orientation;   /* do not turn the picture upright as EXIF says */
  int scale;              /* JPEG: 1, 2, 4, 8: decode to 1/scale of the sides; faster, other pixels */
  int64_t max_pixels;     /* 0: 2^27 */
  bool damaged;           /* JPEG: take what can be read of a damaged file */
} nn_image_options;

typedef struct {
  nn_image_format format;
  int quality;            /* JPEG: 1 .. 100 */
  nn_chroma chroma;       /* JPEG: how finely colours are stored */
  bool progressive;       /* JPEG */
} nn_image_encoding;

/* PNG and JPEG, told by their content -> uint8 [H,W,C]; PNG of 16 bits -> float in [0, 1]. */
int nn_image_load(const char *path, const nn_image_options *options, nn_tensor **out);
int nn_image_decode(const char *name, const void *bytes, size_t size, const nn_image_options *options,
                    nn_tensor **out);
int nn_image_info(const char *path, nn_image_about *about);  /* reads the header only */
/* [H,W] or [H,W,C], C = 1, 3, 4 (JPEG: 1, 3), of uint8 or float in [0, 1] -> a file. */
int nn_image_save(const char *path, nn_tensor *image, const nn_image_encoding *how);
/* The same as bytes: uint8 [n]. */
int nn_image_encode(nn_tensor *image, const nn_image_encoding *how, nn_tensor **out);

typedef enum { NN_BILINEAR, NN_BICUBIC } nn_filter;

typedef struct {
  int64_t height, width;
  nn_filter filter;
  bool aliased;           /* no antialiasing: the filter keeps its width when the picture shrinks */
} nn_image_size;

/* [H,W], [H,W,C] or [N,H,W,C] of uint8 or float, resized as Pillow does, to the bit. */
int nn_image_resize(nn_tensor *images, const nn_image_size *size, nn_tensor **out);

/* ---- picture files (data/files.c) --------------------------------------------------------------------------- */

/* A list of picture files with labels: paths below one root, in order. Once built it does not change, and any thread
 * may read it. */
typedef struct nn_files nn_files;

nn_files *nn_files_new(const char *root);  /* empty */
/* A path below the root; only while the list is nobody else's. */
int nn_files_add(nn_files *files, const char *path, int32_t label);
/* A folder for each class, in order of their names' bytes: every .jpg, .jpeg and .png at and below it, by name.
 * `classes` fixes names and labels instead (count 0: none given): another folder is then an error, a class without one
 * is not. */
int nn_files_scan(const char *root, const char *const *classes, int64_t count, nn_files **out);
nn_files *nn_files_retain(nn_files *files);
void nn_files_release(nn_files *files);    /* NULL is fine */
int64_t nn_files_count(const nn_files *files);
const char *nn_files_root(const nn_files *files);
/* Writes the whole path of file i (below the count) and returns text; NULL when it does not fit. */
const char *nn_files_path(const nn_files *files, int64_t i, char *text, size_t room);
int32_t nn_files_label(const nn_files *files, int64_t i);
int nn_files_labels(const nn_files *files, nn_tensor **out);  /* index [N] */
int64_t nn_files_class_count(const nn_files *files);          /* 0 for a list made by hand */
const char *nn_files_class_name(const nn_files *files, int64_t label);
/* The files at `rows`, an index tensor; it shares the names. */
int nn_files_select(nn_files *files, nn_tensor *rows, nn_files **out);
/* What the headers of all pictures say. Those that cannot be read are counted; when none can, that is an error. */
typedef struct {
  int64_t height, width;              /* of the first */
  int64_t other, other_height, other_width;  /* the first picture of another size; -1: all have one */
  int channels;                       /* the most that any has: 1, 3 or 4 */
  int64_t bad, first_bad;             /* headers that cannot be read, and the place of the first; -1: none */
} nn_files_sizes;
int nn_files_survey(const nn_files *files, nn_files_sizes *sizes);
/* A scan's result as a file, and back: NN_ESTATE when a folder below the root has changed since, NN_EFORMAT when the
 * index is damaged. Folders that changed in the last two seconds may change again unseen: settled is then false, and
 * they are not written (NN_ESTATE). */
bool nn_files_settled(const nn_files *files);
int nn_files_write(const nn_files *files, const char *path);
int nn_files_read(const char *path, const char *root, nn_files **out);

/* ---- JSON text (formats/json.c) -------------------------------------------------------------------------------- */

typedef enum {
  NN_JSON_END, NN_JSON_NULL, NN_JSON_FALSE, NN_JSON_TRUE, NN_JSON_INTEGER, NN_JSON_NUMBER, NN_JSON_STRING,
  NN_JSON_KEY,         /* the name of a field; its value follows */
  NN_JSON_ARRAY, NN_JSON_ARRAY_END, NN_JSON_OBJECT, NN_JSON_OBJECT_END,
} nn_json_kind;

typedef struct {
  nn_json_kind kind;
  size_t offset;       /* where it starts */
  int64_t integer;
  double number;       /* also of a whole number that 64 bits do not hold */
  const char *raw;     /* of a string or key: what stands between the quotes, escapes and all */
  size_t length;       /* of raw */
} nn_json_token;

#define NN_JSON_DEPTH 200  /* values inside as many others; deeper is an attack */

/* A reader over a text; it owns nothing. */
typedef struct {
  const char *name, *text;
  size_t size, at;
  int depth, expects;
  bool object[NN_JSON_DEPTH + 1];
} nn_json;

/* text[size] is '\0'; name is what messages call the text. Both stay the caller's. */
void nn_json_start(nn_json *json, const char *name, const char *text, size_t size);
/* The next token of a strict reading (RFC 8259, UTF-8): what was handed out may still turn out to be part of a damaged
 * text, until NN_JSON_END has come. That a key stands twice is for the caller to see. */
int nn_json_next(nn_json *json, nn_json_token *token);
/* A string or key as text, escapes resolved: UTF-8, possibly with zero bytes, never more than token->length bytes, no
 * zero at its end. Returns its length. */
size_t nn_json_text(const nn_json_token *token, char *out);
/* NN_EFORMAT with the message "name: offset n: ..." */
int nn_json_fail(const nn_json *json, size_t offset, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- checkpoints (formats/) ------------------------------------------------------------------------------------- */

/* The named tensors of a file, as they are stored there, and the plain values beside them. Immutable. */
typedef struct nn_checkpoint nn_checkpoint;

/* Reads a file and tells by its content what it is: safetensors; torch's zip, its older stream, its oldest tar; .npz.
 * Nothing in a file is ever executed: a pickle may hold tensors, numbers, text and what contains them. Names of nested
 * dictionaries and lists are joined by dots; list places count from 0, as torch names layers. */
int nn_checkpoint_read(const char *path, nn_checkpoint **out);
void nn_checkpoint_free(nn_checkpoint *c);                   /* NULL is fine */
const char *nn_checkpoint_format(const nn_checkpoint *c);    /* "safetensors", "torch zip|stream|tar", "npz" */
size_t nn_checkpoint_bytes(const nn_checkpoint *c);          /* memory that it holds */

int nn_checkpoint_count(const nn_checkpoint *c);             /* of tensors, in the file's order */
int nn_checkpoint_find(const nn_checkpoint *c, const char *name);           /* a tensor's place, or -1 */
const char *nn_checkpoint_name(const nn_checkpoint *c, int place);
const char *nn_checkpoint_dtype(const nn_checkpoint *c, int place);         /* "float16", "int64", as torch says */
int nn_checkpoint_axes(const nn_checkpoint *c, int place);
const int64_t *nn_checkpoint_sizes(const nn_checkpoint *c, int place);
/* A new tensor in the layout of the file: floating types -> float, uint8 and bool -> uint8, other integers -> int32
 * when every element fits. Complex, quantised and 8-bit floating types are listed but not converted: NN_EFORMAT. */
int nn_checkpoint_tensor(const nn_checkpoint *c, int place, nn_tensor **out);

typedef enum { NN_VALUE_BOOLEAN, NN_VALUE_INTEGER, NN_VALUE_NUMBER, NN_VALUE_TEXT } nn_value_kind;

/* A number or text beside the tensors: "epoch", "best_prec1". */
typedef struct {
  const char *name;
  nn_value_kind kind;
  int64_t integer;    /* also a boolean's 0 or 1 */
  double number;
  const char *text;   /* length bytes */
  size_t length;
} nn_value;

int nn_checkpoint_value_count(const nn_checkpoint *c);
const nn_value *nn_checkpoint_value(const nn_checkpoint *c, int place);
/* The strings of safetensors' __metadata__, all of them NN_VALUE_TEXT. */
int nn_checkpoint_metadata_count(const nn_checkpoint *c);
const nn_value *nn_checkpoint_metadata(const nn_checkpoint *c, int place);

/* Writes a safetensors file, whole or not at all: float -> F32, uint8 -> U8, int32 and index (counting from 0) -> I32.
 * Names are different from each other; metadata: `pairs` keys and values in turn. */
int nn_safetensors_write(const char *path, int count, const char *const *names, nn_tensor *const *tensors, int pairs,
                         const char *const *metadata);
/* NumPy's .npz, not compressed: arrays of different names, in their order. */
int nn_npz_write(const char *path, int count, const char *const *names, nn_tensor *const *tensors);

/* ---- sets of images (data/batch.c, data/channels.c, data/tint.c) -------------------------------------------- */

/* out[i] = t[rows[i]]: any type, rows an index tensor [B]. */
int nn_data_rows(nn_tensor *t, nn_tensor *rows, nn_tensor **out);
/* float of any shape -> uint8, clipped to [0, 1] and rounded to the nearest of 255 steps. */
int nn_data_bytes(nn_tensor *x, nn_tensor **out);
/* uint8 images [N,H,W,C] -> [N,H,W,channels], each 1 or 3: grey repeated, or colours made grey as nn_image_load
 * does. */
int nn_data_channels(nn_tensor *images, int channels, nn_tensor **out);
/* Mean and standard deviation of each channel of uint8 images [N,H,W,C], as of pixels in [0, 1]; C at most
 * NN_MAX_CHANNELS. */
int nn_data_stats(nn_tensor *images, double *mean, double *deviation);
/* `count` rows with every class in its proportion (largest remainder), drawn at random; both lists ascend. */
int nn_data_stratify(nn_tensor *labels, int64_t count, uint64_t seed, uint64_t stream, nn_tensor **chosen,
                     nn_tensor **rest);
/* White digits (uint8 [N,H,W,1]) on one of 2 (red, blue) to 10 colours -> uint8 [N,H,W,3]: the one that `favoured`
 * (index [N]; NULL: the first for all) names, with probability `bias`, else another; background: index [N], which. */
int nn_data_tint(nn_tensor *digits, nn_tensor *favoured, int colours, double bias, uint64_t seed, uint64_t stream,
                 nn_tensor **images, nn_tensor **background);

#define NN_MAX_CHANNELS 16

/* ---- perturbations (perturb/) ------------------------------------------------------------------------------- */

typedef enum { NN_CONVENTION_PAPER, NN_CONVENTION_TORCHVISION, NN_CONVENTIONS } nn_convention;
#define NN_PERTURB_LEVELS 4
#define NN_PERTURB_VALUES 16

typedef struct nn_perturbation nn_perturbation;  /* a row: an elementary perturbation */

typedef struct {
  const char *name, *doc, *parameter;
  double level[NN_PERTURB_LEVELS];  /* Table 1 of the paper */
  double min, max;
  bool factor;                      /* the other sign of v is 1/v instead of -v */
  int settings;                     /* 0: it takes a number; else so many values, all of which count */
} nn_perturbation_info;

int nn_perturbation_count(void);
const nn_perturbation *nn_perturbation_at(int place);
const nn_perturbation *nn_perturbation_find(const char *name);  /* NULL when there is none */
void nn_perturbation_describe(const nn_perturbation *row, nn_convention convention, nn_perturbation_info *info);

typedef struct nn_perturb nn_perturb;  /* an immutable tree; one reference from each constructor, NULL on failure */

/* One of `count` values, drawn for each image; with random_sign, in half of the images the other sign of it. A row with
 * settings takes as many values as it has. */
nn_perturb *nn_perturb_row(const nn_perturbation *row, nn_convention convention, bool random_sign, const double *values,
                           int count);
nn_perturb *nn_perturb_sequence(nn_perturb *const *parts, int count);  /* of none: the identity */
nn_perturb *nn_perturb_choice(nn_perturb *const *parts, int count);    /* one for each image, all equally likely */
nn_perturb *nn_perturb_maybe(double probability, nn_perturb *part);
nn_perturb *nn_perturb_retain(nn_perturb *p);
void nn_perturb_release(nn_perturb *p);

/* float [N,H,W,C] in [0, 1], C = 1 or 3 where a row changes colours, to a new tensor without history. Same
 * (seed, step): same bits. */
int nn_perturb_apply(const nn_perturb *p, nn_tensor *x, uint64_t seed, uint64_t step, nn_tensor **out);

/* ---- attacks (attack/) ----------------------------------------------------------------------------------------- */

typedef struct nn_attack nn_attack;  /* a row: "pgd" */

int nn_attack_count(void);
const nn_attack *nn_attack_at(int place);
const nn_attack *nn_attack_find(const char *name);  /* NULL when there is none */
const char *nn_attack_name(const nn_attack *a);
const char *nn_attack_doc(const nn_attack *a);
const char *nn_attack_example(const nn_attack *a);
const char *nn_attack_signature_text(const nn_attack *a);
const nn_signature *nn_attack_signature(const nn_attack *a);  /* values only */

/* The model under attack: images to logits [N x classes], in evaluation unless `training`, which never updates a
 * running statistic. Its parameters are as if frozen while an attack runs. */
typedef struct {
  nn_module *module;  /* or NULL, and then: */
  int (*forward)(void *context, nn_tensor *x, bool training, nn_tensor **logits);
  void *context;
} nn_attacked;

typedef struct {
  uint64_t seed;          /* equal seeds give equal bits, whatever the number of threads */
  int64_t offset;         /* number of the first image in the whole part: draws belong to images, not to batches */
  nn_tensor *numbers;     /* index [N]: the images' numbers from the offset on; NULL: 0, 1, ... */
  nn_progress progress;   /* told of passes of images, those done and those there will be at most; NULL: nobody asks */
  void *context;
} nn_attack_use;

typedef struct {
  int64_t forward, backward;                  /* passes of images */
  int64_t zero_gradient, nonfinite_gradient;  /* images whose gradient was all zero, or not finite, at some step */
} nn_attack_counts;

/* x [N x H x W x C] in [0, 1], y index [N] -> *out, a new tensor without history. options as the signature orders them;
 * NULL takes every default. */
int nn_attack_run(const nn_attack *a, const nn_param *options, const nn_attacked *model, nn_tensor *x, nn_tensor *y,
                  const nn_attack_use *use, nn_tensor **out, nn_attack_counts *counts);
/* Each image of `found` moved to the nearest in the ball of radius eps around that of x, then into [0, 1] -> *out.
 * norm: "linf" or "l2". */
int nn_attack_project(nn_tensor *x, nn_tensor *found, const char *norm, double eps, nn_tensor **out);

/* ---- batches of images (data/loader.c) ---------------------------------------------------------------------- */

/* How a picture file becomes an image of height x width x channels (1 or 3): its short side is resized to `resize`, the
 * middle is cut out; resize 0: it has this size already, or is an error. A random resized crop that comes first in the
 * augmentation is cut from the picture instead. */
typedef struct {
  int64_t height, width, resize;
  int channels;
  bool scaled;             /* let JPEG decode to 1/2, 1/4 or 1/8 where that still leaves enough: faster, other pixels */
} nn_fit;

typedef struct {
  nn_tensor *images;       /* uint8 [N,H,W,C] in memory, or NULL: */
  nn_files *files;         /* pictures in files, which become images as `fit` says */
  nn_fit fit;
  nn_tensor *labels;       /* index [N] */
  nn_tensor *order;        /* index: the images to take, in this order; NULL: all as they stand */
  int64_t size;            /* images of a batch; the last of all may have fewer */
  int64_t first, last;     /* gives batches first .. last - 1 of the order */
  nn_perturb *augment;     /* NULL: none. Image i of batch b draws as image i of nn_perturb_apply(seed, step + b) */
  uint64_t seed;
  int64_t step;
  bool bytes;              /* batches of uint8 as the images are, not augmented; else of float in [0, 1] */
  bool skip;               /* leave out what cannot be read, and count it; else it is an error */
  int workers;             /* threads of its own; 0: made by the calling thread and its team when it is asked */
  int prefetch;            /* with workers: how many batches may lie ready or in making */
} nn_loader_options;

#define NN_BAD_NAMES 5
#define NN_BAD_TEXT 512

typedef struct {
  int64_t count;           /* images left out so far */
  int names;
  char name[NN_BAD_NAMES][NN_BAD_TEXT];  /* the messages of the first of them, in order */
} nn_bad_images;

typedef struct nn_loader nn_loader;

/* Keeps references to what the options name. Workers begin at once. */
int nn_loader_new(const nn_loader_options *options, nn_loader **out);
/* The next batch: x [B,H,W,C], y [B], its number (from 0); *x is NULL after the last. Without images that cannot be
 * read a batch is smaller, and none when nothing is left of it. Equal options give equal bits, whatever the number of
 * workers and of threads. After an interrupt it goes on where it was; every other failure is final. */
int nn_loader_next(nn_loader *l, nn_tensor **x, nn_tensor **y, int64_t *number);
double nn_loader_waited(const nn_loader *l);  /* seconds spent in nn_loader_next so far */
const nn_bad_images *nn_loader_bad(const nn_loader *l);
void nn_loader_free(nn_loader *l);            /* stops its threads, wherever they are; NULL is fine */

/* ---- optimisers (optim/) ------------------------------------------------------------------------------------ */

typedef struct nn_method nn_method;        /* a row: "sgd", "adam", "adamw" */
typedef struct nn_optimizer nn_optimizer;

int nn_method_count(void);
const nn_method *nn_method_at(int place);
const nn_method *nn_method_find(const char *name);  /* NULL when there is none */
const char *nn_method_name(const nn_method *m);
const char *nn_method_doc(const nn_method *m);
const char *nn_method_signature_text(const nn_method *m);
const nn_signature *nn_method_signature(const nn_method *m);  /* values only */
int nn_method_states(const nn_method *m);                     /* tensors it may keep for each parameter */
const char *nn_method_state_name(const nn_method *m, int state);

nn_optimizer *nn_optimizer_new(const nn_method *method);
void nn_optimizer_free(nn_optimizer *o);  /* NULL is fine */
const nn_method *nn_optimizer_method(const nn_optimizer *o);
/* A group of parameters (contiguous leaves, kept by reference) with options of its own; NULL takes every default. */
int nn_optimizer_add(nn_optimizer *o, nn_tensor *const *params, int count, const nn_param *options);
int nn_optimizer_groups(const nn_optimizer *o);
/* All options of a group, in the signature's order, and setting one of them. */
const nn_param *nn_optimizer_get(const nn_optimizer *o, int group);
int nn_optimizer_set(nn_optimizer *o, int group, int value, const nn_param *param);
/* One update of every parameter that has a gradient and requires one; then no parameter has a gradient. It is done
 * whole or not at all: an interrupt in the middle is reported after it. */
int nn_optimizer_step(nn_optimizer *o);
void nn_optimizer_clear_grads(nn_optimizer *o);

/* For checkpoints: parameters in the order they were added, updates of each so far, and its state tensors. */
int nn_optimizer_params(const nn_optimizer *o);
int64_t nn_optimizer_steps(const nn_optimizer *o, int place);
void nn_optimizer_set_steps(nn_optimizer *o, int place, int64_t steps);
nn_tensor *nn_optimizer_state(const nn_optimizer *o, int place, int state);  /* borrowed; NULL: none yet */
int nn_optimizer_set_state(nn_optimizer *o, int place, int state, const nn_tensor *value);  /* copies */

/* Over the gradients of params; those without one are left out, one that is there twice counts once. */
int nn_grad_norm(nn_tensor *const *params, int count, double *norm);
/* Scales the gradients so that their norm together is at most `limit`; norm (NULL is fine) is the one before. A norm
 * that is not finite is NN_ESTATE, and the gradients stay as they are. */
int nn_clip_grad_norm(nn_tensor *const *params, int count, double limit, double *norm);
int nn_clip_grad_value(nn_tensor *const *params, int count, double limit);  /* to [-limit, limit] */
/* average = decay average + (1 - decay) parameter */
int nn_average_update(nn_tensor *const *averages, nn_tensor *const *params, int count, double decay);

#endif
