/* b_image.c -- nn.image: pictures as files. The C half of require "image". */
#include "nnl.h"

/* nn.image.save(path, image) -> true, or nil, message, code */
static int image_save(lua_State *L) {
  int status = nn_image_save(luaL_checkstring(L, 1), nnl_check_tensor(L, 2), &(nn_image_encoding){ NN_PNG });
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushboolean(L, true);
  return 1;
}

void nnl_open_image(lua_State *L, int module) {
  static const luaL_Reg image[] = { { "save", image_save }, { NULL, NULL } };
  luaL_newlib(L, image);
  lua_setfield(L, module, "image");
}
