/* nnl.h -- what the binding files share.
 *
 * Every binding has three phases: check the arguments (may raise, owns nothing), box (push an empty userdata that is
 * already collectable), work (call nn; no Lua call that can throw until the result is in the box).
 */
#ifndef NNL_H
#define NNL_H

#include <lauxlib.h>
#include <lua.h>

#include "nn.h"

#define NNL_TENSOR "nn.tensor"
#define NNL_MODULE "nn.module"

typedef struct {
  nn_tensor *tensor;  /* NULL while empty and after free */
} nnl_tensor;

/* ---- errors ---- */

/* Raises nn_error() with the position of the script line that led here, not of a line in the standard library. */
int nnl_raise(lua_State *L);
/* Raises a message of our own in the same way. */
int nnl_error(lua_State *L, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For functions that return nil, message, code when the world failed ("io", "format"), and raise on anything else. */
int nnl_fail(lua_State *L, int status);

/* ---- tensors ---- */

nnl_tensor *nnl_tensor_box(lua_State *L);                  /* pushes an empty box */
nn_tensor *nnl_check_tensor(lua_State *L, int index);      /* raises when it is not one, or freed */
nn_tensor *nnl_test_tensor(lua_State *L, int index);       /* NULL when it is not one; raises when freed */
nn_module *nnl_test_module(lua_State *L, int index);       /* NULL when it is not one */
nn_perturb *nnl_check_perturb(lua_State *L, int index);    /* raises when it is no tree of perturbations */
nn_files *nnl_check_files(lua_State *L, int index);        /* raises when it is no list of picture files */
/* Called after work that made a tensor: its bytes count towards the collector's next step. */
void nnl_charge(const nn_tensor *t);
void nnl_charge_bytes(size_t bytes);

/* ---- arguments by signature ---- */

/* Reads Lua values from stack index `first` on, as the signature says. Inputs and params are filled in the signature's
 * order (numbers given for tensors become boxed scalars, left on the stack). Raises with `who: ` in front. */
void nnl_read_arguments(lua_State *L, const char *who, const nn_signature *s, int first, nn_tensor **inputs,
                        int *input_count, nn_param *params);
/* An options table (or nil) at index, against a signature of options only; defaults filled in. */
void nnl_read_options(lua_State *L, const char *who, const nn_signature *s, int index, nn_param *params);
/* Pushes a table of the numbers, flags and words in params by their names. */
void nnl_push_options(lua_State *L, const nn_signature *s, const nn_param *params);
/* The known word nearest to `word`, or NULL when none is near. words: a list separated by spaces. */
const char *nnl_nearest(const char *word, const char *words, char *text, size_t room);
int nnl_lua_nearest(lua_State *L);  /* nn.nearest; works without nn_start */

/* Pushes { name, signature, doc }: how rows of every kind show themselves to help. */
void nnl_push_row(lua_State *L, const char *name, const char *signature, const char *doc);

/* ---- the modules ---- */

int luaopen_nn(lua_State *L);
void nnl_open_tensor(lua_State *L);            /* makes the metatable; the table of methods stays in it */
void nnl_open_tensor_functions(lua_State *L, int module);
void nnl_open_ops(lua_State *L, int module);   /* adds every row to the module and to the tensor methods */
void nnl_open_modules(lua_State *L, int module);
void nnl_open_optimizers(lua_State *L, int module);
void nnl_open_checkpoint(lua_State *L, int module);
void nnl_open_data(lua_State *L, int module);
void nnl_open_files(lua_State *L, int module);
void nnl_open_json(lua_State *L, int module);
void nnl_open_loader(lua_State *L, int module);  /* after nnl_open_data */
void nnl_open_formats(lua_State *L, int module);
void nnl_open_image(lua_State *L, int module);
void nnl_open_perturb(lua_State *L, int module);
void nnl_open_attack(lua_State *L, int module);

#endif
