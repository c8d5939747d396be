/* b_image.c -- nn.image: pictures as files and bytes. The C half of require "image". */
#include <string.h>
#include <strings.h>

#include "nnl.h"

static const char *const format_names[] = { [NN_PNG] = "png", [NN_JPEG] = "jpeg" };

/* ---- reading ---- */

/* { channels =, orientation =, scale =, max_pixels =, damaged = } at index */
static nn_image_options check_options(lua_State *L, const char *who, int index) {
  static const char text[] = "{channels:integer?, orientation:boolean=true, scale:integer=1, max_pixels:integer? >=1, "
                             "damaged:boolean=false}";
  nn_signature s;
  nn_param p[NN_MAX_PARAMS];
  nn_signature_parse(text, &s);
  nnl_read_options(L, who, &s, index, p);
  int64_t channels = p[0].integer, scale = p[2].integer;
  if (p[0].given && channels != 1 && channels != 3 && channels != 4)
    nnl_error(L, "%s: channels expects 1, 3 or 4, got %lld", who, (long long)channels);
  if (scale != 1 && scale != 2 && scale != 4 && scale != 8)
    nnl_error(L, "%s: scale expects 1, 2, 4 or 8, got %lld", who, (long long)scale);
  return (nn_image_options){
    .channels = p[0].given ? (int)channels : 0,
    .raw_orientation = !p[1].integer,
    .scale = (int)scale,
    .max_pixels = p[3].given ? p[3].integer : 0,
    .damaged = p[4].integer,
  };
}

/* nn.image.load(path [, options]) -> tensor [H x W x C] of uint8 (float for 16 bits), or nil, message, code */
static int image_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  nn_image_options options = check_options(L, "image.load", 2);
  nnl_tensor *box = nnl_tensor_box(L);
  int status = nn_image_load(path, &options, &box->tensor);
  if (status != NN_OK) return nnl_fail(L, status);
  nnl_charge(box->tensor);
  return 1;
}

/* nn.image.decode(bytes [, options]) -> the same */
static int image_decode(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  nn_image_options options = check_options(L, "image.decode", 2);
  nnl_tensor *box = nnl_tensor_box(L);
  int status = nn_image_decode("image.decode", bytes, size, &options, &box->tensor);
  if (status != NN_OK) return nnl_fail(L, status);
  nnl_charge(box->tensor);
  return 1;
}

/* nn.image.info(path) -> { format =, height =, width =, channels =, depth =, orientation =, progressive = }, or nil,
 * message, code */
static int image_info(lua_State *L) {
  nn_image_about about;
  int status = nn_image_info(luaL_checkstring(L, 1), &about);
  if (status != NN_OK) return nnl_fail(L, status);
  const struct { const char *name; int64_t value; } numbers[] = {
    { "height", about.height }, { "width", about.width }, { "channels", about.channels }, { "depth", about.depth },
    { "orientation", about.orientation },
  };
  lua_createtable(L, 0, 7);
  lua_pushstring(L, format_names[about.format]);
  lua_setfield(L, -2, "format");
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    lua_pushinteger(L, numbers[i].value);
    lua_setfield(L, -2, numbers[i].name);
  }
  lua_pushboolean(L, about.progressive);
  lua_setfield(L, -2, "progressive");
  return 1;
}

/* ---- writing ---- */

/* The format that a file's name asks for: by its ending, PNG when it has none. */
static nn_image_format format_of(lua_State *L, const char *path) {
  const char *name = strrchr(path, '/'), *ending = strrchr(name ? name : path, '.');
  if (!ending || strcasecmp(ending, ".png") == 0) return NN_PNG;
  if (strcasecmp(ending, ".jpg") == 0 || strcasecmp(ending, ".jpeg") == 0) return NN_JPEG;
  nnl_error(L, "image.save: a name that ends in .png, .jpg or .jpeg expected, or the option format; got \"%s\"", path);
  return NN_PNG;
}

/* { format =, quality =, chroma =, progressive = } at index; path NULL: a picture as bytes */
static nn_image_encoding check_encoding(lua_State *L, const char *who, const char *path, int index) {
  static const char text[] = "{format:png|jpeg?, quality:integer? >=1 <=100, chroma:444|422|420?, "
                             "progressive:boolean?}";
  nn_signature s;
  nn_param p[NN_MAX_PARAMS];
  nn_signature_parse(text, &s);
  nnl_read_options(L, who, &s, index, p);
  nn_image_encoding how = {
    .format = p[0].given ? (nn_image_format)p[0].integer : path ? format_of(L, path) : NN_PNG,
    .quality = p[1].given ? (int)p[1].integer : 90,
    .chroma = p[2].given ? (nn_chroma)p[2].integer : NN_CHROMA_420,
    .progressive = p[3].given && p[3].integer,
  };
  for (int i = 1; i < 4; i++)
    if (p[i].given && how.format != NN_JPEG)
      nnl_error(L, "%s: %s is an option of jpeg, not of png", who, s.arg[i].name);
  return how;
}

/* nn.image.save(path, image [, options]) -> true, or nil, message, code */
static int image_save(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  nn_tensor *image = nnl_check_tensor(L, 2);
  nn_image_encoding how = check_encoding(L, "image.save", path, 3);
  int status = nn_image_save(path, image, &how);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushboolean(L, true);
  return 1;
}

/* nn.image.encode(image [, options]) -> bytes */
static int image_encode(lua_State *L) {
  nn_tensor *image = nnl_check_tensor(L, 1);
  nn_image_encoding how = check_encoding(L, "image.encode", NULL, 2);
  nnl_tensor *box = nnl_tensor_box(L);
  if (nn_image_encode(image, &how, &box->tensor) != NN_OK) return nnl_raise(L);
  lua_pushlstring(L, nn_tensor_data(box->tensor), (size_t)nn_tensor_count(box->tensor));
  nn_tensor_release(box->tensor);
  box->tensor = NULL;
  return 1;
}

/* ---- sizes ---- */

/* nn.image.resize(images, height, width, bicubic, antialias) -> images of that size */
static int image_resize(lua_State *L) {
  nn_tensor *images = nnl_check_tensor(L, 1);
  nn_image_size size = {
    .height = luaL_checkinteger(L, 2),
    .width = luaL_checkinteger(L, 3),
    .filter = lua_toboolean(L, 4) ? NN_BICUBIC : NN_BILINEAR,
    .aliased = !lua_toboolean(L, 5),
  };
  nnl_tensor *box = nnl_tensor_box(L);
  if (nn_image_resize(images, &size, &box->tensor) != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

void nnl_open_image(lua_State *L, int module) {
  static const luaL_Reg image[] = {
    { "load", image_load }, { "decode", image_decode }, { "info", image_info }, { "save", image_save },
    { "encode", image_encode }, { "resize", image_resize }, { NULL, NULL },
  };
  luaL_newlib(L, image);
  lua_setfield(L, module, "image");
}
