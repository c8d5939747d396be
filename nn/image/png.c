/* png.c -- PNG files, through libpng.
 *
 * libpng reports an error by a long jump: everything that must be freed hangs at a struct that is owned by the caller
 * of the function that sets the jump, and that function reads no local variable that changes after it.
 */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "formats/file.h"
#include "image/codec.h"

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

/* ---- reading ---- */

/* What deflate can make of one byte. */
enum { MAX_INFLATION = 1032 };

typedef struct {
  const nni_source *source;
  size_t offset;
  png_structp png;
  png_infop info;
  int status;         /* of the failure that jumped; its message is left with nn_fail */
  nni_picture whole;  /* an interlaced picture of which a window is wanted */
  uint8_t *line;
} png_reader;

static void on_read_error(png_structp png, png_const_charp text) {
  png_reader *r = png_get_error_ptr(png);
  char at[32];
  r->status = nn_fail(NN_EFORMAT, "%s: png: %s at offset %s", r->source->name, text, nni_grouped(at, r->offset));
  png_longjmp(png, 1);
}

static void take_bytes(png_structp png, png_bytep to, size_t size) {
  png_reader *r = png_get_io_ptr(png);
  if (size > r->source->size - r->offset) {
    r->offset = r->source->size;
    png_error(png, "the file ends early");
  }
  memcpy(to, r->source->bytes + r->offset, size);
  r->offset += size;
}

static int open_reader(png_reader *r, const nni_source *source) {
  /* Kinds of chunk that are passed over unread, so that none of them can swell or fail: everything but the pixels,
   * their palette and transparency. (The orientation is looked for in the bytes.) */
  static const char unused[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0"
                               "sTER\0tEXt\0tIME\0zTXt";
  *r = (png_reader){ .source = source };
  r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_read_error, on_warning);
  r->info = r->png ? png_create_info_struct(r->png) : NULL;
  if (!r->info) return nn_fail(NN_EMEMORY, "%s: out of memory", source->name);
  if (setjmp(png_jmpbuf(r->png))) return r->status;
  png_set_read_fn(r->png, r, take_bytes);
  png_set_user_limits(r->png, INT32_MAX, INT32_MAX);
  png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep)unused, sizeof unused / 5);
  png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
  return NN_OK;
}

static void close_reader(png_reader *r) {
  png_destroy_read_struct(&r->png, &r->info, NULL);
  nni_picture_free(&r->whole);
  nn_memory_put(r->line);
}

static uint32_t take32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int find_orientation(const nni_source *s) {
  enum { SIGNATURE = 8, FRAME = 12 };  /* length, name and checksum around a chunk's data */
  size_t at = SIGNATURE;
  while (at < s->size && s->size - at >= FRAME) {
    const uint8_t *chunk = s->bytes + at;
    size_t length = take32(chunk);
    if (length > s->size - at - FRAME) break;
    if (memcmp(chunk + 4, "eXIf", 4) == 0) return nni_exif_orientation(chunk + 8, length);
    at += FRAME + length;
  }
  return 1;
}

static int read_about(png_reader *r, nn_image_about *about) {
  if (setjmp(png_jmpbuf(r->png))) return r->status;
  png_read_info(r->png, r->info);
  int kind = png_get_color_type(r->png, r->info);
  bool clear = (kind & PNG_COLOR_MASK_ALPHA) || png_get_valid(r->png, r->info, PNG_INFO_tRNS);
  *about = (nn_image_about){
    .format = NN_PNG,
    .height = png_get_image_height(r->png, r->info),
    .width = png_get_image_width(r->png, r->info),
    .channels = clear ? 4 : kind & PNG_COLOR_MASK_COLOR ? 3 : 1,
    .depth = png_get_bit_depth(r->png, r->info),
    .orientation = find_orientation(r->source),
    .progressive = png_get_interlace_type(r->png, r->info) != PNG_INTERLACE_NONE,
  };
  return NN_OK;
}

int nni_png_about(const nni_source *source, nn_image_about *about) {
  png_reader r;
  int status = open_reader(&r, source);
  if (status == NN_OK) status = read_about(&r, about);
  close_reader(&r);
  return status;
}

/* Asks libpng for rows of `channels` samples of 8 bits (or 16); returns the passes that takes. */
static int choose_output(png_reader *r, const nni_stored_decode *how) {
  int kind = png_get_color_type(r->png, r->info);
  bool clear = (kind & PNG_COLOR_MASK_ALPHA) || png_get_valid(r->png, r->info, PNG_INFO_tRNS);
  bool alpha = how->channels == 4 || (how->channels == 0 && clear);
  bool colour = alpha || how->channels == 3;
  png_set_expand(r->png);  /* the palette, fewer bits than 8, transparency */
  if (!how->deep) png_set_strip_16(r->png);
  else if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) png_set_swap(r->png);
  if (colour) png_set_gray_to_rgb(r->png);
  if (alpha) png_set_add_alpha(r->png, 0xFFFF, PNG_FILLER_AFTER);
  else png_set_strip_alpha(r->png);
  int passes = png_set_interlace_handling(r->png);
  png_read_update_info(r->png, r->info);
  return passes;
}

static int read_pixels(png_reader *r, const nni_stored_decode *how, nni_picture *out) {
  if (setjmp(png_jmpbuf(r->png))) return r->status;
  png_read_info(r->png, r->info);
  int64_t height = png_get_image_height(r->png, r->info), width = png_get_image_width(r->png, r->info);
  int64_t most = (int64_t)r->source->size * MAX_INFLATION;  /* of all rows together */
  if ((int64_t)png_get_rowbytes(r->png, r->info) > most / height)
    return nn_fail(NN_EFORMAT, "%s: png: %lldx%lld pixels declared, more than the file's %zu bytes can hold",
                   r->source->name, (long long)width, (long long)height, r->source->size);
  int passes = choose_output(r, how);
  int channels = png_get_channels(r->png, r->info), depth = png_get_bit_depth(r->png, r->info);
  int64_t pixel = channels * depth / 8, pitch = width * pixel;
  bool all = how->height == height && how->width == width;
  nni_picture *to = passes > 1 && !all ? &r->whole : out;
  int status = nni_picture_shape(out, how->height, how->width, channels, depth);
  if (status == NN_OK && to != out) status = nni_picture_shape(to, height, width, channels, depth);
  if (status != NN_OK) return nn_fail_prefix(status, r->source->name);

  if (to == &r->whole || all) {
    for (int pass = 0; pass < passes; pass++)
      for (int64_t y = 0; y < height; y++) {
        png_read_row(r->png, to->pixels + y * pitch, NULL);
        if (y % 64 == 0 && (r->status = nn_interrupt_check()) != NN_OK) return r->status;
      }
    png_read_end(r->png, NULL);
  } else if (!(r->line = nn_memory_get((size_t)pitch))) {
    return nn_fail(NN_EMEMORY, "%s: out of memory", r->source->name);
  }
  if (all) return NN_OK;
  int64_t row = how->width * pixel;
  for (int64_t y = to == out ? -how->top : 0; y < how->height; y++) {
    const uint8_t *from = r->line;
    if (to == out) png_read_row(r->png, r->line, NULL);
    else from = to->pixels + (how->top + y) * pitch;
    if (y >= 0) memcpy(out->pixels + y * row, from + how->left * pixel, (size_t)row);
    if (y % 64 == 0 && (r->status = nn_interrupt_check()) != NN_OK) return r->status;
  }
  return NN_OK;
}

int nni_png_decode(const nni_source *source, const nni_stored_decode *how, nni_picture *out) {
  png_reader r;
  int status = open_reader(&r, source);
  if (status == NN_OK) status = read_pixels(&r, how, out);
  close_reader(&r);
  return status;
}

/* ---- writing ---- */

typedef struct {
  nni_bytes *out;
  int status;
} png_writer;

static void on_write_error(png_structp png, png_const_charp text) {
  png_writer *w = png_get_error_ptr(png);
  if (w->status == NN_OK) w->status = nn_fail(NN_EMEMORY, "png: %s", text);
  png_longjmp(png, 1);
}

static void give_bytes(png_structp png, png_bytep from, size_t size) {
  png_writer *w = png_get_io_ptr(png);
  w->status = nni_bytes_add(w->out, from, size);
  if (w->status != NN_OK) png_error(png, "");
}

static void give_nothing(png_structp png) { (void)png; }

static int write_rows(png_structp png, png_infop info, png_writer *w, const nni_picture *picture) {
  static const int colour_type[] = { 0, PNG_COLOR_TYPE_GRAY, 0, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA };
  if (setjmp(png_jmpbuf(png))) return w->status;
  png_set_write_fn(png, w, give_bytes, give_nothing);
  png_set_user_limits(png, INT32_MAX, INT32_MAX);
  png_set_IHDR(png, info, (png_uint_32)picture->width, (png_uint_32)picture->height, 8,
               colour_type[picture->channels], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  int64_t pitch = picture->width * picture->channels;
  for (int64_t y = 0; y < picture->height; y++) {
    png_write_row(png, picture->pixels + y * pitch);
    if (y % 64 == 0 && (w->status = nn_interrupt_check()) != NN_OK) return w->status;
  }
  png_write_end(png, info);
  return NN_OK;
}

int nni_png_encode(const nni_picture *picture, nni_bytes *out) {
  png_writer w = { out, NN_OK };
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_write_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  int status = info ? write_rows(png, info, &w, picture) : nn_fail(NN_EMEMORY, "png: out of memory");
  png_destroy_write_struct(&png, &info);
  return status;
}
