/* b_module.c -- modules as Lua values: constructors from their rows, calls, parameters by name.
 *
 * A box holds a module and how a plain call runs it: in evaluation, unless inside model:train(f). Lua may hang fields
 * of its own on a model (classes, a name); they live in the box's user value.
 */
#include <stdio.h>
#include <string.h>

#include "nnl.h"

typedef struct {
  nn_module *module;
  bool training;
  uint64_t seed, passes;  /* of dropout: each training pass draws anew */
} nnl_module;

static nnl_module *module_box(lua_State *L) {
  nnl_module *box = lua_newuserdatauv(L, sizeof *box, 1);
  *box = (nnl_module){ 0 };
  luaL_setmetatable(L, NNL_MODULE);
  return box;
}

static nnl_module *check_box(lua_State *L, int index) { return luaL_checkudata(L, index, NNL_MODULE); }
static nn_module *check_module(lua_State *L, int index) { return check_box(L, index)->module; }

nn_module *nnl_test_module(lua_State *L, int index) {
  nnl_module *box = luaL_testudata(L, index, NNL_MODULE);
  return box ? box->module : NULL;
}

/* ---- constructors ---- */

/* Adds the module on top of the stack (and pops it). */
static void add_child(lua_State *L, nn_module *parent, const char *name) {
  const char *class = nn_module_class_name(nn_module_class_of(parent));
  nnl_module *child = luaL_testudata(L, -1, NNL_MODULE);
  if (!child) nnl_error(L, "%s: child \"%s\" expects a module, got %s", class, name, luaL_typename(L, -1));
  if (nn_module_add(parent, name, child->module) != NN_OK) nnl_raise(L);
  lua_pop(L, 1);
}

/* The list part: modules, or { name, module }. Unnamed ones get their place, from 0 as torch counts. */
static void add_children(lua_State *L, nn_module *parent) {
  lua_Integer count = luaL_len(L, 1);
  char name[64];
  for (lua_Integer i = 1; i <= count; i++) {
    snprintf(name, sizeof name, "%d", (int)i - 1);
    if (lua_geti(L, 1, i) == LUA_TTABLE) {
      lua_geti(L, -1, 1);
      snprintf(name, sizeof name, "%s", luaL_tolstring(L, -1, NULL));
      lua_pop(L, 2);
      lua_geti(L, -1, 2);
      lua_remove(L, -2);
    }
    add_child(L, parent, name);
  }
  if (lua_getfield(L, 1, "downsample") != LUA_TNIL) add_child(L, parent, "downsample");
  else lua_pop(L, 1);
}

/* A copy of the table at 1 with only the options. */
static void push_options(lua_State *L) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    bool option = lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "downsample") != 0;
    if (!option) continue;
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);
  }
}

static int module_new(lua_State *L) {
  const nn_module_class *class = lua_touserdata(L, lua_upvalueindex(1));
  const char *name = nn_module_class_name(class);
  const nn_signature *s = nn_module_class_signature(class);
  nn_param params[NN_MAX_PARAMS] = { 0 };
  bool container = nn_module_class_container(class);
  int inputs;
  if (container) {
    luaL_checktype(L, 1, LUA_TTABLE);
    push_options(L);
    nnl_read_options(L, name, s, -1, params);
    lua_pop(L, 1);
  } else {
    nnl_read_arguments(L, name, s, 1, NULL, &inputs, params);
  }

  nnl_module *box = module_box(L);

  box->module = nn_module_new(class, params);
  if (!box->module) return nnl_raise(L);
  if (container) {
    int top = lua_gettop(L);
    add_children(L, box->module);
    lua_settop(L, top);
  }
  lua_getfield(L, LUA_REGISTRYINDEX, "nn.next_seed");
  lua_call(L, 0, 1);
  box->seed = (uint64_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (!container && nn_module_initialise(box->module, box->seed) != NN_OK) return nnl_raise(L);
  return 1;
}

/* ---- running ---- */

static int run(lua_State *L, nnl_module *box, nn_tensor *x, const nn_pass *pass) {
  nnl_tensor *out = nnl_tensor_box(L);
  int status = nn_module_forward(box->module, x, pass, &out->tensor);
  if (status != NN_OK) return nnl_raise(L);
  nnl_charge(out->tensor);
  return 1;
}

static uint64_t next_pass(nnl_module *box) { return nn_random_derive(box->seed, 2, box->passes++); }

/* model(x): evaluation, or training inside model:train(f) */
static int module_call(lua_State *L) {
  nnl_module *box = check_box(L, 1);
  nn_tensor *x = nnl_check_tensor(L, 2);
  nn_pass pass = { .training = box->training };
  if (pass.training) pass.seed = next_pass(box);
  return run(L, box, x, &pass);
}

/* Reads taps = { path, ... } from the options at index into tap; returns how many. */
static int read_taps(lua_State *L, nnl_module *box, int index, nn_tap *tap, int room) {
  if (lua_getfield(L, index, "taps") == LUA_TNIL) return 0;
  luaL_checktype(L, -1, LUA_TTABLE);
  int count = (int)luaL_len(L, -1);
  if (count > room) nnl_error(L, "forward: at most %d taps, got %d", room, count);
  for (int i = 0; i < count; i++) {
    lua_geti(L, -1, i + 1);
    const char *path = luaL_checkstring(L, -1);
    tap[i].module = nn_module_find(box->module, path);
    if (!tap[i].module) nnl_error(L, "forward: the model has no layer \"%s\"", path);
    lua_pop(L, 1);
  }
  return count;
}

enum { TAPS = 16 };

/* model:forward(x [, { training = false, update = true, taps = { "layer4" }, seed = n, composed = false }]) -> y,
 * taps by name. update = false: training leaves the running statistics as they are. composed: layer by layer through
 * the tape, as taps need it, instead of by a plan for the whole model. */
static int module_forward(lua_State *L) {
  nnl_module *box = check_box(L, 1);
  nn_tensor *x = nnl_check_tensor(L, 2);
  nn_tap tap[TAPS] = { 0 };
  nn_pass pass = { .training = box->training, .tap = tap };
  lua_settop(L, 3);
  if (lua_isnil(L, 3)) {
    lua_newtable(L);
    lua_replace(L, 3);
  }
  luaL_checktype(L, 3, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    static const char known[] = "training update taps seed composed";
    if (strcmp(key, "training") == 0 || strcmp(key, "update") == 0 || strcmp(key, "taps") == 0 ||
        strcmp(key, "seed") == 0 || strcmp(key, "composed") == 0)
      continue;
    char near[40];
    const char *guess = nnl_nearest(key, known, near, sizeof near);
    if (guess) return nnl_error(L, "forward: unknown option \"%s\"; did you mean \"%s\"?", key, guess);
    return nnl_error(L, "forward: unknown option \"%s\"; it takes %s", key, known);
  }
  if (lua_getfield(L, 3, "training") != LUA_TNIL) pass.training = lua_toboolean(L, -1);
  if (lua_getfield(L, 3, "update") != LUA_TNIL) pass.keep_running = !lua_toboolean(L, -1);
  if (lua_getfield(L, 3, "composed") != LUA_TNIL) pass.composed = lua_toboolean(L, -1);
  if (lua_getfield(L, 3, "seed") != LUA_TNIL) pass.seed = (uint64_t)luaL_checkinteger(L, -1);
  else if (pass.training) pass.seed = next_pass(box);
  pass.taps = read_taps(L, box, 3, tap, TAPS);
  int names = lua_gettop(L);

  nnl_tensor *out = nnl_tensor_box(L), *tapped[TAPS];
  lua_newtable(L);
  for (int i = 0; i < pass.taps; i++) {
    lua_geti(L, names, i + 1);
    tapped[i] = nnl_tensor_box(L);
    lua_rawset(L, -3);
  }

  int status = nn_module_forward(box->module, x, &pass, &out->tensor);
  for (int i = 0; i < pass.taps; i++) tapped[i]->tensor = tap[i].out;
  if (status != NN_OK) return nnl_raise(L);
  nnl_charge(out->tensor);
  return 2;
}

/* model:train(f, ...) -> what f returns; inside, model(x) runs in training mode */
static int module_train(lua_State *L) {
  nnl_module *box = check_box(L, 1);
  if (!lua_isfunction(L, 2)) {
    return luaL_error(L, "train: a function expected, which runs while the model trains, got %s; for one pass: "
                      "model:forward(x, { training = true })", luaL_typename(L, 2));
  }
  bool was = box->training;
  box->training = true;
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  box->training = was;
  return status == LUA_OK ? lua_gettop(L) - 1 : lua_error(L);
}

/* ---- tensors by name ---- */

typedef struct {
  lua_State *L;
  bool parameters, buffers;  /* what to visit */
  const char *prefix;        /* only paths at or below it */
  int result;                /* stack index of the table to fill */
  int seen;                  /* of the table of tensors met: a shared one counts once */
  void (*add)(lua_State *L, int result, const char *path);  /* takes the boxed tensor on top */
  bool requires_grad;        /* what freeze and unfreeze set */
  int64_t elements;
  nn_module *root;           /* of which layers are listed */
} visit;

static bool below(const char *path, const char *prefix) {
  size_t length = strlen(prefix);
  return length == 0 || (strncmp(path, prefix, length) == 0 && (path[length] == '.' || path[length] == '\0'));
}

static bool wanted(const visit *v, const char *path, bool buffer) {
  return (buffer ? v->buffers : v->parameters) && below(path, v->prefix);
}

/* The walk owns nothing, so an error may leave it by a jump. */
static int push_one(void *context, const char *path, nn_tensor *t, bool buffer) {
  visit *v = context;
  if (!wanted(v, path, buffer)) return NN_OK;
  if (lua_rawgetp(v->L, v->seen, t) == LUA_TNIL) {
    nnl_tensor_box(v->L)->tensor = nn_tensor_retain(t);
    v->add(v->L, v->result, path);
    lua_pushboolean(v->L, true);
    lua_rawsetp(v->L, v->seen, t);
  }
  lua_pop(v->L, 1);
  return NN_OK;
}

static void add_tensor(lua_State *L, int result, const char *path) {
  (void)path;
  lua_rawseti(L, result, (lua_Integer)lua_rawlen(L, result) + 1);
}

static void add_named(lua_State *L, int result, const char *path) {
  lua_createtable(L, 0, 2);
  lua_insert(L, -2);
  lua_setfield(L, -2, "tensor");
  lua_pushstring(L, path);
  lua_setfield(L, -2, "name");
  lua_rawseti(L, result, (lua_Integer)lua_rawlen(L, result) + 1);
}

static void add_by_name(lua_State *L, int result, const char *path) { lua_setfield(L, result, path); }

static int push_tensors(lua_State *L, bool parameters, bool buffers, void (*add)(lua_State *, int, const char *)) {
  nn_module *m = check_module(L, 1);
  visit v = { .L = L, .parameters = parameters, .buffers = buffers, .prefix = luaL_optstring(L, 2, ""), .add = add };
  luaL_checkstack(L, 10, NULL);
  lua_newtable(L);
  v.seen = lua_gettop(L);
  lua_newtable(L);
  v.result = lua_gettop(L);
  if (nn_module_walk(m, &(nn_module_visitor){ .context = &v, .tensor = push_one }) != NN_OK) return nnl_raise(L);
  return 1;
}

/* model:parameters([prefix]) -> list of tensors, in the order of the model */
static int module_parameters(lua_State *L) { return push_tensors(L, true, false, add_tensor); }
/* model:named_parameters([prefix]) -> list of { name, tensor } */
static int module_named_parameters(lua_State *L) { return push_tensors(L, true, false, add_named); }
/* model:buffers([prefix]) -> list of { name, tensor }: running statistics */
static int module_buffers(lua_State *L) { return push_tensors(L, false, true, add_named); }
/* model:state([prefix]) -> table from name to tensor, parameters and buffers */
static int module_state(lua_State *L) { return push_tensors(L, true, true, add_by_name); }

static int set_grad_one(void *context, const char *path, nn_tensor *t, bool buffer) {
  visit *v = context;
  if (!wanted(v, path, buffer)) return NN_OK;
  v->elements++;
  return nn_tensor_set_requires_grad(t, v->requires_grad);
}

static int set_grad(lua_State *L, bool on) {
  visit v = { .parameters = true, .prefix = luaL_optstring(L, 2, ""), .requires_grad = on };
  if (nn_module_walk(check_module(L, 1), &(nn_module_visitor){ .context = &v, .tensor = set_grad_one }) != NN_OK)
    return nnl_raise(L);
  if (v.elements == 0 && *v.prefix) return nnl_error(L, "the model has no parameter at \"%s\"", v.prefix);
  lua_settop(L, 1);
  return 1;
}

/* model:freeze([prefix]), model:unfreeze([prefix]): parameters below the prefix no longer (or again) get gradients */
static int module_freeze(lua_State *L) { return set_grad(L, false); }
static int module_unfreeze(lua_State *L) { return set_grad(L, true); }

static int clear_grad_one(void *context, const char *path, nn_tensor *t, bool buffer) {
  (void)context, (void)path, (void)buffer;
  nn_tensor_clear_grad(t);
  return NN_OK;
}

static int module_zero_grad(lua_State *L) {
  if (nn_module_walk(check_module(L, 1), &(nn_module_visitor){ .tensor = clear_grad_one }) != NN_OK)
    return nnl_raise(L);
  return 0;
}

static int count_one(void *context, const char *path, nn_tensor *t, bool buffer) {
  visit *v = context;
  if (!wanted(v, path, buffer)) return NN_OK;
  if (lua_rawgetp(v->L, v->seen, t) == LUA_TNIL) {
    v->elements += nn_tensor_count(t);
    lua_pushboolean(v->L, true);
    lua_rawsetp(v->L, v->seen, t);
  }
  lua_pop(v->L, 1);
  return NN_OK;
}

static int64_t count_below(lua_State *L, nn_module *m, const char *prefix) {
  lua_newtable(L);
  visit v = { .L = L, .parameters = true, .prefix = prefix, .seen = lua_gettop(L) };
  if (nn_module_walk(m, &(nn_module_visitor){ .context = &v, .tensor = count_one }) != NN_OK) nnl_raise(L);
  lua_pop(L, 1);
  return v.elements;
}

/* model:count([prefix]) -> number of parameters; one that several layers share counts once */
static int module_count(lua_State *L) {
  lua_pushinteger(L, count_below(L, check_module(L, 1), luaL_optstring(L, 2, "")));
  return 1;
}

/* model:initialise(seed): torchvision's initialisation, a function of the seed and each parameter's place */
static int module_initialise(lua_State *L) {
  nnl_module *box = check_box(L, 1);
  box->seed = (uint64_t)luaL_checkinteger(L, 2);
  box->passes = 0;
  if (nn_module_initialise(box->module, box->seed) != NN_OK) return nnl_raise(L);
  lua_settop(L, 1);
  return 1;
}

/* model:random_state([{ seed, passes }]) -> the same: what dropout draws from next; with a table sets it */
static int module_random_state(lua_State *L) {
  nnl_module *box = check_box(L, 1);
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "seed");
    lua_getfield(L, 2, "passes");
    uint64_t seed = (uint64_t)luaL_checkinteger(L, -2), passes = (uint64_t)luaL_checkinteger(L, -1);
    box->seed = seed;
    box->passes = passes;
  }
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, (lua_Integer)box->seed);
  lua_setfield(L, -2, "seed");
  lua_pushinteger(L, (lua_Integer)box->passes);
  lua_setfield(L, -2, "passes");
  return 1;
}

/* ---- the tree ---- */

/* As an integer while that is exact. */
static void push_whole(lua_State *L, double number) {
  if (number < 0x1p53) lua_pushinteger(L, (lua_Integer)number);
  else lua_pushnumber(L, number);
}

static int push_layer(void *context, const char *path, nn_module *m) {
  visit *v = context;
  const nn_module_class *class = nn_module_class_of(m);
  lua_createtable(v->L, 0, 7);
  lua_pushinteger(v->L, count_below(v->L, v->root, path));
  lua_setfield(v->L, -2, "parameters");
  lua_pushstring(v->L, path);
  lua_setfield(v->L, -2, "path");
  lua_pushstring(v->L, nn_module_class_name(class));
  lua_setfield(v->L, -2, "class");
  nnl_push_options(v->L, nn_module_class_signature(class), nn_module_params(m));
  lua_setfield(v->L, -2, "options");
  lua_newtable(v->L);
  lua_setfield(v->L, -2, "tensors");
  lua_rawseti(v->L, v->result, (lua_Integer)lua_rawlen(v->L, v->result) + 1);
  return NN_OK;
}

/* Into the list of the layer met last, to which it belongs. */
static int push_layer_tensor(void *context, const char *path, nn_tensor *t, bool buffer) {
  visit *v = context;
  const char *dot = strrchr(path, '.');
  lua_rawgeti(v->L, v->result, (lua_Integer)lua_rawlen(v->L, v->result));
  lua_getfield(v->L, -1, "tensors");
  lua_createtable(v->L, 0, 3);
  nnl_tensor_box(v->L)->tensor = nn_tensor_retain(t);
  lua_setfield(v->L, -2, "tensor");
  lua_pushstring(v->L, dot ? dot + 1 : path);
  lua_setfield(v->L, -2, "name");
  lua_pushboolean(v->L, buffer);
  lua_setfield(v->L, -2, "buffer");
  lua_rawseti(v->L, -2, (lua_Integer)lua_rawlen(v->L, -2) + 1);
  lua_pop(v->L, 2);
  return NN_OK;
}

/* Sizes of a batch of `images` whose one image has the sizes that the option `input` holds. */
static int batch_sizes(lua_State *L, const char *who, const nn_param *input, int64_t images, int64_t *size) {
  if (input->count >= NN_MAX_AXES)
    nnl_error(L, "%s: input expects at most %d axes, got %d", who, NN_MAX_AXES - 1, input->count);
  for (int i = 0; i < input->count; i++)
    if (input->list[i] < 1)
      nnl_error(L, "%s: input expects sizes of at least 1, got %lld", who, (long long)input->list[i]);
  size[0] = images;
  memcpy(size + 1, input->list, (size_t)input->count * sizeof *size);
  return 1 + input->count;
}

/* Into the layers listed at index: output, the sizes of the result for one image, and flops. */
static void add_costs(lua_State *L, nn_module *m, int index, int axes, const int64_t *size) {
  int count = (int)lua_rawlen(L, index);
  nn_layer_cost *cost = lua_newuserdatauv(L, (size_t)count * sizeof *cost, 0);
  if (nn_module_measure(m, axes, size, cost, count) != NN_OK) nnl_raise(L);
  for (int i = 0; i < count; i++) {
    if (cost[i].axes < 0) continue;
    lua_rawgeti(L, index, i + 1);
    lua_createtable(L, cost[i].axes, 0);
    for (int k = 1; k < cost[i].axes; k++) {
      lua_pushinteger(L, cost[i].size[k]);
      lua_rawseti(L, -2, k);
    }
    lua_setfield(L, -2, "output");
    push_whole(L, cost[i].flops);
    lua_setfield(L, -2, "flops");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* model:layers([{ input = { H, W, C } }]) -> list of { path, class, options, parameters, tensors = { { name, tensor,
 * buffer }, ... } }, the model itself first, each before its children; a module that stands in two places is there
 * twice. For an input, one image without the axis of images, also output and flops. What stands below a module is
 * counted in. */
static int module_layers(lua_State *L) {
  static const char options[] = "{input:sizes?}";
  nn_module *m = check_module(L, 1);
  nn_signature s;
  nn_param p[NN_MAX_PARAMS];
  int64_t size[NN_MAX_AXES];
  nn_signature_parse(options, &s);
  nnl_read_options(L, "layers", &s, 2, p);
  int axes = p[0].given ? batch_sizes(L, "layers", &p[0], 1, size) : 0;
  luaL_checkstack(L, 10, NULL);
  lua_newtable(L);
  visit v = { .L = L, .result = lua_gettop(L), .root = m };
  nn_module_visitor visitor = { .context = &v, .module = push_layer, .tensor = push_layer_tensor };
  if (nn_module_walk(m, &visitor) != NN_OK) return nnl_raise(L);
  if (axes) add_costs(L, m, v.result, axes, size);
  return 1;
}

/* model:cost{ input = { H, W, C }, batch = 1, training = false } -> { flops, parameters, activation_bytes, planned }:
 * a pass over a batch, in training with the way back; a multiply-add counts 2. activation_bytes: the batch, the result,
 * and the block that the plan lays values and gradients in (planned), or all of them where there is no plan. */
static int module_cost(lua_State *L) {
  static const char options[] = "{input:sizes, batch:integer=1 >=1, training:boolean=false}";
  nn_module *m = check_module(L, 1);
  nn_signature s;
  nn_param p[NN_MAX_PARAMS];
  int64_t size[NN_MAX_AXES];
  nn_signature_parse(options, &s);
  nnl_read_options(L, "cost", &s, 2, p);
  int axes = batch_sizes(L, "cost", &p[0], p[1].integer, size);
  nn_cost cost;
  if (nn_module_cost(m, axes, size, p[2].integer, &cost) != NN_OK) return nnl_raise(L);
  lua_createtable(L, 0, 4);
  push_whole(L, cost.flops);
  lua_setfield(L, -2, "flops");
  lua_pushinteger(L, count_below(L, m, ""));
  lua_setfield(L, -2, "parameters");
  lua_pushinteger(L, cost.bytes);
  lua_setfield(L, -2, "activation_bytes");
  lua_pushboolean(L, cost.planned);
  lua_setfield(L, -2, "planned");
  return 1;
}

/* ---- printing ---- */

typedef struct {
  luaL_Buffer b;
  int64_t elements;
} printing;

static int print_module(void *context, const char *path, nn_module *m) {
  printing *p = context;
  int depth = 0;
  const char *name = path;
  for (const char *c = path; *c; c++)
    if (*c == '.') depth++, name = c + 1;
  if (!*path) return NN_OK;
  luaL_addchar(&p->b, '\n');
  for (int i = 0; i <= depth; i++) luaL_addstring(&p->b, "  ");
  luaL_addstring(&p->b, name);
  luaL_addstring(&p->b, ": ");
  luaL_addstring(&p->b, nn_module_class_name(nn_module_class_of(m)));
  return NN_OK;
}

static int print_tensor(void *context, const char *path, nn_tensor *t, bool buffer) {
  printing *p = context;
  char shape[80];
  if (buffer) return NN_OK;
  const char *dot = strrchr(path, '.');
  luaL_addchar(&p->b, ' ');
  luaL_addstring(&p->b, dot ? dot + 1 : path);
  luaL_addchar(&p->b, ' ');
  luaL_addstring(&p->b, nn_tensor_describe(t, shape, sizeof shape));
  if (!nn_tensor_requires_grad(t)) luaL_addstring(&p->b, " frozen");
  p->elements += nn_tensor_count(t);
  return NN_OK;
}

static int module_tostring(lua_State *L) {
  nn_module *m = check_module(L, 1);
  printing p = { .elements = 0 };
  char total[80];
  luaL_buffinit(L, &p.b);
  luaL_addstring(&p.b, nn_module_class_name(nn_module_class_of(m)));
  nn_module_walk(m, &(nn_module_visitor){ .context = &p, .module = print_module, .tensor = print_tensor });
  snprintf(total, sizeof total, "\n%lld parameters", (long long)p.elements);
  luaL_addstring(&p.b, total);
  luaL_pushresult(&p.b);
  return 1;
}

/* ---- the metatable ---- */

static int module_gc(lua_State *L) {
  nnl_module *box = check_box(L, 1);
  nn_module_release(box->module);
  box->module = NULL;
  return 0;
}

/* Methods first, then the fields a script hung on the model. Of a method written in Lua the table holds the name of its
 * module until it is first asked for. */
static int module_index(lua_State *L) {
  lua_pushvalue(L, 2);
  int kind = lua_rawget(L, lua_upvalueindex(1));
  if (kind == LUA_TSTRING) {
    lua_getglobal(L, "require");
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    lua_pushvalue(L, 2);
    lua_gettable(L, -2);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(1));
  }
  if (kind != LUA_TNIL) return 1;
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) return 0;
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

static int module_newindex(lua_State *L) {
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, 1);
  }
  lua_insert(L, 2);
  lua_rawset(L, 2);
  return 0;
}

/* nn.layers() -> list of { name, signature, doc, example, container = whether it takes children } */
static int layer_list(lua_State *L) {
  int count = nn_module_class_count();
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    const nn_module_class *class = nn_module_class_at(i);
    nnl_push_row(L, nn_module_class_name(class), nn_module_class_signature_text(class),
                 nn_module_class_doc(class));
    lua_pushstring(L, nn_module_class_example(class));
    lua_setfield(L, -2, "example");
    lua_pushboolean(L, nn_module_class_container(class));
    lua_setfield(L, -2, "container");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

void nnl_open_modules(lua_State *L, int module) {
  static const luaL_Reg events[] = {
    { "__gc", module_gc }, { "__tostring", module_tostring }, { "__call", module_call },
    { "__newindex", module_newindex }, { NULL, NULL },
  };
  static const luaL_Reg methods[] = {
    { "forward", module_forward }, { "train", module_train }, { "parameters", module_parameters },
    { "named_parameters", module_named_parameters }, { "buffers", module_buffers }, { "state", module_state },
    { "freeze", module_freeze }, { "unfreeze", module_unfreeze }, { "zero_grad", module_zero_grad },
    { "count", module_count }, { "initialise", module_initialise }, { "random_state", module_random_state },
    { "layers", module_layers }, { "cost", module_cost }, { NULL, NULL },
  };
  static const char *const in_lua[][2] = { { "load", "checkpoint.weights" }, { "save", "checkpoint.weights" } };
  luaL_newmetatable(L, NNL_MODULE);
  luaL_setfuncs(L, events, 0);
  luaL_newlib(L, methods);
  for (size_t i = 0; i < sizeof in_lua / sizeof *in_lua; i++) {
    lua_pushstring(L, in_lua[i][1]);
    lua_setfield(L, -2, in_lua[i][0]);
  }
  lua_pushcclosure(L, module_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  for (int i = 0; i < nn_module_class_count(); i++) {
    const nn_module_class *class = nn_module_class_at(i);
    lua_pushlightuserdata(L, (void *)class);
    lua_pushcclosure(L, module_new, 1);
    lua_setfield(L, module, nn_module_class_name(class));
  }
  lua_pushcfunction(L, layer_list);
  lua_setfield(L, module, "layers");
  lua_getfield(L, module, "next_seed");
  lua_setfield(L, LUA_REGISTRYINDEX, "nn.next_seed");
}
