/* png.c -- images as PNG files, through libpng.
 *
 * libpng reports an error by a long jump: everything that must be freed is owned by the caller of the function that
 * sets the jump, and that function keeps no variable that changes after it.
 */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "formats/file.h"
#include "kernels/colour.h"
#include "tensor/tensor.h"

typedef struct {
  char message[160];
} png_trouble;

static void on_error(png_structp png, png_const_charp text) {
  png_trouble *trouble = png_get_error_ptr(png);
  snprintf(trouble->message, sizeof trouble->message, "%s", text);
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

/* pixels: [height, width, channels] */
static int write_rows(png_structp png, png_infop info, FILE *stream, const uint8_t *pixels, int64_t height,
                      int64_t width, int channels) {
  static const int colour_type[] = { 0, PNG_COLOR_TYPE_GRAY, 0, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA };
  if (setjmp(png_jmpbuf(png))) return NN_EIO;
  png_init_io(png, stream);
  png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8, colour_type[channels], PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int64_t y = 0; y < height; y++) png_write_row(png, pixels + y * width * channels);
  png_write_end(png, info);
  return NN_OK;
}

static int write_png(nni_output *output, const uint8_t *pixels, int64_t height, int64_t width, int channels) {
  png_trouble trouble = { "out of memory" };
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &trouble, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  int status = info ? write_rows(png, info, output->stream, pixels, height, width, channels) : NN_EMEMORY;
  png_destroy_write_struct(&png, &info);
  return status == NN_OK ? NN_OK : nn_fail(status, "%s: cannot be written: %s", output->path, trouble.message);
}

int nn_image_save(const char *path, nn_tensor *image) {
  char shape[96];
  int axes = nn_tensor_axes(image);
  int64_t channels = axes == 3 ? nn_tensor_size(image, 2) : 1;
  nn_type type = nn_tensor_type(image);
  if ((axes != 2 && axes != 3) || (channels != 1 && channels != 3 && channels != 4) || nn_tensor_count(image) == 0)
    return nn_fail(NN_ESHAPE, "save: an image [H x W] or [H x W x C] with 1, 3 or 4 channels expected, got %s",
                   nn_tensor_describe(image, shape, sizeof shape));
  if (type != NN_UINT8 && type != NN_REAL)
    return nn_fail(NN_ETYPE, "save: pixels of uint8 or float in [0, 1] expected, got %s", nn_type_name(type));
  int64_t height = nn_tensor_size(image, 0), width = nn_tensor_size(image, 1);
  if (height > INT32_MAX || width > INT32_MAX)
    return nn_fail(NN_ESHAPE, "save: sides of at most %d pixels expected, got %s", INT32_MAX,
                   nn_tensor_describe(image, shape, sizeof shape));

  nni_output output;
  uint8_t *converted = NULL;
  nn_tensor *packed = nn_tensor_pack(image);
  int status = packed ? NN_OK : NN_EMEMORY;
  if (status == NN_OK && type == NN_REAL) {
    converted = nn_memory_get((size_t)nn_tensor_count(image));
    if (converted) nnk_to_bytes(converted, nn_tensor_data(packed), nn_tensor_count(image));
    else status = NN_EMEMORY;
  }
  if (status == NN_OK) status = nni_output_open(&output, path);
  if (status == NN_OK) {
    status = write_png(&output, converted ? converted : nn_tensor_data(packed), height, width, (int)channels);
    if (status == NN_OK) status = nni_output_commit(&output);
    else nni_output_discard(&output);
  }
  nn_memory_put(converted);
  nn_tensor_release(packed);
  return status;
}
