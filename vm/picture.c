/* picture.c -- the part of require "host" that makes pictures into what terminals draw: bytes and sixels. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn.h"
#include "nnl.h"
#include "vm.h"

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

/* A float in [0, 1], or a byte, as a byte; what is no number is black. */
static int level(const nn_tensor *t, const void *data, int64_t i) {
  if (nn_tensor_type(t) == NN_UINT8) return ((const uint8_t *)data)[i];
  double v = (double)((const nn_real *)data)[i] * 255 + 0.5;
  return v >= 255 ? 255 : v > 0 ? (int)v : 0;
}

/* host.pixels(picture [H x W] or [H x W x C] of uint8, or of float in [0, 1]) -> H W times red, green, blue; C is 1, 3,
 * or 4, which is laid over grey */
static int pixels(lua_State *L) {
  enum { GREY = 128 };
  nn_tensor *t = nnl_check_tensor(L, 1);
  int axes = nn_tensor_axes(t);
  int64_t channels = axes == 3 ? nn_tensor_size(t, 2) : 1;
  bool type = nn_tensor_type(t) == NN_UINT8 || nn_tensor_type(t) == NN_REAL;
  luaL_argcheck(L, type && (axes == 2 || axes == 3) && (channels == 1 || channels == 3 || channels == 4), 1,
                "a picture expected");
  int64_t count = nn_tensor_size(t, 0) * nn_tensor_size(t, 1);

  nnl_tensor *box = nnl_tensor_box(L);
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, (size_t)(3 * count));

  box->tensor = nn_tensor_pack(t);
  if (!box->tensor) return nnl_raise(L);
  const void *data = nn_tensor_data(box->tensor);
  for (int64_t i = 0; i < count; i++) {
    int alpha = channels == 4 ? level(t, data, 4 * i + 3) : 255;
    for (int c = 0; c < 3; c++) {
      int v = level(t, data, channels * i + (channels >= 3 ? c : 0));
      out[3 * i + c] = (char)((v * alpha + GREY * (255 - alpha) + 127) / 255);
    }
  }
  luaL_pushresultsize(&b, (size_t)(3 * count));
  return 1;
}

/* ---- sixels ------------------------------------------------------------------------------------------------------ */

/* Levels of red, green, blue: 252 colours, most of green, which is seen best. */
static const int shades[3] = { 6, 7, 6 };
enum { COLOURS = 252, BAND = 6 };

/* Bayer's 8 x 8 matrix: where in [0, 64) of a step a level changes to the next, by the pixel's place. */
static int threshold(int x, int y) {
  int value = 0;
  for (int bit = 0; bit < 3; bit++) {
    int a = x >> bit & 1, b = y >> bit & 1;
    value |= ((a ^ b) << 1 | b) << 2 * (2 - bit);
  }
  return value;
}

static int colour_of(const uint8_t *rgb, int x, int y) {
  int colour = 0, t = threshold(x, y);
  for (int c = 0; c < 3; c++) {
    int scaled = rgb[c] * (shades[c] - 1) * 64 + 255 * t;  /* in steps of 64 x 255; at most shades - 1 of them */
    colour = colour * shades[c] + scaled / (64 * 255);
  }
  return colour;
}

static void add_palette(luaL_Buffer *b) {
  char text[32];
  for (int i = 0; i < COLOURS; i++) {
    int blue = i % shades[2], green = i / shades[2] % shades[1], red = i / (shades[2] * shades[1]);
    snprintf(text, sizeof text, "#%d;2;%d;%d;%d", i, red * 100 / (shades[0] - 1), green * 100 / (shades[1] - 1),
             blue * 100 / (shades[2] - 1));
    luaL_addstring(b, text);
  }
}

/* `count` times the same six pixels. */
static void add_run(luaL_Buffer *b, int count, int bits) {
  char text[16];
  if (count > 3) {
    snprintf(text, sizeof text, "!%d%c", count, '?' + bits);
    luaL_addstring(b, text);
  } else {
    while (count-- > 0) luaL_addchar(b, (char)('?' + bits));
  }
}

/* One colour of six lines: a bit for each pixel that has it; blanks at the end are left out. */
static void add_colour(luaL_Buffer *b, int colour, const uint8_t *band, int lines, int width) {
  char text[16];
  snprintf(text, sizeof text, "#%d", colour);
  luaL_addstring(b, text);
  int run = 0, last = -1;
  for (int x = 0; x < width; x++) {
    int bits = 0;
    for (int y = 0; y < lines; y++) bits |= (band[y * width + x] == colour) << y;
    if (bits != last && run > 0) {
      add_run(b, run, last);
      run = 0;
    }
    last = bits;
    run++;
  }
  if (last > 0) add_run(b, run, last);
  luaL_addchar(b, '$');
}

/* host.sixel(bytes, width) -> the text by which a terminal draws them in a fixed palette, dithered */
static int sixel(lua_State *L) {
  size_t size;
  const uint8_t *rgb = (const uint8_t *)luaL_checklstring(L, 1, &size);
  lua_Integer width = luaL_checkinteger(L, 2);
  luaL_argcheck(L, width > 0 && width <= 1 << 16 && size % (size_t)(3 * width) == 0, 2, "the bytes' width expected");
  int height = (int)(size / (size_t)(3 * width));
  uint8_t *band = lua_newuserdatauv(L, (size_t)width * BAND, 0);
  char text[64];
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  snprintf(text, sizeof text, "\033P0;1q\"1;1;%d;%d", (int)width, height);
  luaL_addstring(&b, text);
  add_palette(&b);
  for (int top = 0; top < height; top += BAND) {
    int lines = height - top < BAND ? height - top : BAND;
    bool used[COLOURS] = { false };
    for (int y = 0; y < lines; y++)
      for (int x = 0; x < width; x++) {
        int colour = colour_of(rgb + 3 * ((size_t)(top + y) * (size_t)width + (size_t)x), x, top + y);
        band[y * width + x] = (uint8_t)colour;
        used[colour] = true;
      }
    for (int i = 0; i < COLOURS; i++)
      if (used[i]) add_colour(&b, i, band, lines, (int)width);
    luaL_addchar(&b, '-');
  }
  luaL_addstring(&b, "\033\\");
  luaL_pushresult(&b);
  return 1;
}

void vm_open_pictures(lua_State *L) {
  static const luaL_Reg functions[] = { { "pixels", pixels }, { "sixel", sixel }, { NULL, NULL } };
  luaL_setfuncs(L, functions, 0);
}
