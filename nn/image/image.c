/* image.c -- pictures from files and bytes to tensors and back; what the decoders have in common: windows,
 * orientation, grey.
 */
#include "image/image.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/file.h"
#include "image/codec.h"
#include "kernels/colour.h"
#include "tensor/tensor.h"

enum { JPEG_MAX_SIDE = 65500 };

/* ---- pictures ---- */

int nni_picture_shape(nni_picture *p, int64_t height, int64_t width, int channels, int depth) {
  size_t size;
  if (__builtin_mul_overflow((size_t)height, (size_t)width, &size) ||
      __builtin_mul_overflow(size, (size_t)(channels * depth / 8), &size))
    return nn_fail(NN_EMEMORY, "a picture of %" PRId64 "x%" PRId64 " is larger than memory can be", width, height);
  if (size > p->room || !p->pixels) {
    nni_picture_free(p);
    p->pixels = nn_memory_get(size);
    if (!p->pixels) return nn_fail(NN_EMEMORY, "out of memory: a picture of %" PRId64 "x%" PRId64, width, height);
    p->room = size;
  }
  p->height = height;
  p->width = width;
  p->channels = channels;
  p->depth = depth;
  return NN_OK;
}

void nni_picture_free(nni_picture *p) {
  nn_memory_put(p->pixels);
  *p = (nni_picture){ 0 };
}

/* ---- grey ---- */

/* In place: a pixel is read before its place, or one behind it, is written. */
static void to_grey(nni_picture *p) {
  int64_t count = p->height * p->width;
  uint8_t *x = p->pixels;
  uint16_t *deep = (uint16_t *)(void *)p->pixels;
  if (p->depth == 16)
    for (int64_t i = 0; i < count; i++) deep[i] = (uint16_t)nnk_luma(deep[3 * i], deep[3 * i + 1], deep[3 * i + 2]);
  else
    for (int64_t i = 0; i < count; i++) x[i] = (uint8_t)nnk_luma(x[3 * i], x[3 * i + 1], x[3 * i + 2]);
  p->channels = 1;
}

/* ---- orientation ---- */

/* EXIF's eight ways to hold a camera: the upright place (y, x) shows the stored (row, column), which are y and x, or x
 * and y; and either may count from the other end. */
typedef struct {
  bool swap, rows_back, columns_back;
} turn;

static const turn turns[9] = {
  [1] = { 0 },
  [2] = { .columns_back = true },
  [3] = { .rows_back = true, .columns_back = true },
  [4] = { .rows_back = true },
  [5] = { .swap = true },
  [6] = { .swap = true, .rows_back = true },
  [7] = { .swap = true, .rows_back = true, .columns_back = true },
  [8] = { .swap = true, .columns_back = true },
};

/* Where a rectangle of the upright picture is stored; height and width are those stored. */
static nni_rectangle stored_place(turn t, nni_rectangle at, int64_t height, int64_t width) {
  if (t.swap) at = (nni_rectangle){ at.left, at.top, at.width, at.height };
  if (t.rows_back) at.top = height - at.top - at.height;
  if (t.columns_back) at.left = width - at.left - at.width;
  return at;
}

static int turn_picture(const nni_picture *in, turn t, nni_picture *out) {
  int64_t height = t.swap ? in->width : in->height, width = t.swap ? in->height : in->width;
  int status = nni_picture_shape(out, height, width, in->channels, in->depth);
  if (status != NN_OK) return status;
  int64_t pixel = in->channels * in->depth / 8, pitch = in->width * pixel;
  int64_t down = t.rows_back ? -pitch : pitch, across = t.columns_back ? -pixel : pixel;
  const uint8_t *origin = in->pixels + (t.rows_back ? (in->height - 1) * pitch : 0) +
                          (t.columns_back ? (in->width - 1) * pixel : 0);
  int64_t y_step = t.swap ? across : down, x_step = t.swap ? down : across;
  uint8_t *to = out->pixels;
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++, to += pixel) memcpy(to, origin + y * y_step + x * x_step, (size_t)pixel);
  return NN_OK;
}

/* ---- decoding ---- */

static int read_about(const nni_source *source, nn_image_about *about) {
  static const uint8_t png[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n' }, jpeg[3] = { 0xFF, 0xD8, 0xFF };
  if (source->size >= sizeof png && memcmp(source->bytes, png, sizeof png) == 0) return nni_png_about(source, about);
  if (source->size >= sizeof jpeg && memcmp(source->bytes, jpeg, sizeof jpeg) == 0)
    return nni_jpeg_about(source, about);
  if (source->size == 0) return nn_fail(NN_EFORMAT, "%s: a PNG or JPEG picture expected, found nothing", source->name);
  return nn_fail(NN_EFORMAT, "%s: a PNG or JPEG picture expected; it does not start like one", source->name);
}

int nni_image_info(const char *name, const void *bytes, size_t size, nn_image_about *about) {
  nn_image_about stored;
  int status = read_about(&(nni_source){ name, bytes, size }, &stored);
  if (status != NN_OK) return status;
  *about = stored;
  if (turns[stored.orientation].swap) {
    about->height = stored.width;
    about->width = stored.height;
  }
  return NN_OK;
}

static int check_size(const nni_source *source, const nn_image_about *about, int64_t limit) {
  int64_t most = limit ? limit : NNI_MAX_PIXELS;
  if (about->height <= most / about->width) return NN_OK;
  return nn_fail(NN_EFORMAT, "%s: %" PRId64 "x%" PRId64 " pixels are more than max_pixels = %" PRId64, source->name,
                 about->width, about->height, most);
}

int nni_image_decode(const char *name, const void *bytes, size_t size, const nni_decode *how, nni_picture *out) {
  nni_source source = { name, bytes, size };
  nn_image_about about;
  int scale = how->scale ? how->scale : 1;
  if (scale != 1 && scale != 2 && scale != 4 && scale != 8)
    return nn_fail(NN_EARGUMENT, "image: scale: 1, 2, 4 or 8 expected, got %d", scale);
  if (how->channels != 0 && how->channels != 1 && how->channels != 3 && how->channels != 4)
    return nn_fail(NN_EARGUMENT, "image: channels: 1, 3 or 4 expected, got %d", how->channels);
  int status = read_about(&source, &about);
  if (status == NN_OK) status = check_size(&source, &about, how->max_pixels);
  if (status != NN_OK) return status;

  if (about.format == NN_JPEG) {
    about.height = (about.height + scale - 1) / scale;
    about.width = (about.width + scale - 1) / scale;
  }
  turn t = turns[how->raw_orientation ? 1 : about.orientation];
  int64_t height = t.swap ? about.width : about.height, width = t.swap ? about.height : about.width;
  nni_rectangle at = { 0, 0, height, width };
  if (how->window) at = (nni_rectangle){ how->top, how->left, how->height, how->width };
  if (at.top < 0 || at.left < 0 || at.height < 1 || at.width < 1 || at.height > height || at.top > height - at.height ||
      at.width > width || at.left > width - at.width)
    return nn_fail(NN_EARGUMENT, "%s: the window of %" PRId64 "x%" PRId64 " at (%" PRId64 ", %" PRId64
                   ") is not within the picture of %" PRId64 "x%" PRId64, name, at.width, at.height, at.left, at.top,
                   width, height);
  at = stored_place(t, at, about.height, about.width);
  nni_stored_decode stored = *how;
  stored.scale = scale;
  stored.window = true;
  stored.top = at.top;
  stored.left = at.left;
  stored.height = at.height;
  stored.width = at.width;

  bool turned = t.swap || t.rows_back || t.columns_back;
  nni_picture lying = { 0 }, *to = turned ? &lying : out;
  status = (about.format == NN_PNG ? nni_png_decode : nni_jpeg_decode)(&source, &stored, to);
  if (status == NN_OK && how->channels == 1 && to->channels == 3) to_grey(to);
  if (status == NN_OK && turned && (status = turn_picture(&lying, t, out)) != NN_OK) nn_fail_prefix(status, name);
  nni_picture_free(&lying);
  return status;
}

/* ---- tensors ---- */

static int to_tensor(const nni_picture *p, nn_tensor **out) {
  bool deep = p->depth == 16;
  nn_tensor *t = nn_tensor_new(deep ? NN_REAL : NN_UINT8, 3, (int64_t[]){ p->height, p->width, p->channels });
  if (!t) return NN_EMEMORY;
  int64_t count = nn_tensor_count(t);
  if (deep) {
    const uint16_t *from = (const uint16_t *)(const void *)p->pixels;
    nn_real *to = nn_tensor_write(t);
    for (int64_t i = 0; i < count; i++) to[i] = (nn_real)from[i] / 65535;
  } else {
    memcpy(nn_tensor_write(t), p->pixels, (size_t)count);
  }
  *out = t;
  return NN_OK;
}

int nn_image_decode(const char *name, const void *bytes, size_t size, const nn_image_options *options,
                    nn_tensor **out) {
  nni_picture picture = { 0 };
  nni_decode how = { .deep = true };
  if (options) {
    how.channels = options->channels;
    how.raw_orientation = options->raw_orientation;
    how.scale = options->scale;
    how.max_pixels = options->max_pixels;
    how.damaged = options->damaged;
  }
  int status = nni_image_decode(name, bytes, size, &how, &picture);
  if (status == NN_OK) status = to_tensor(&picture, out);
  nni_picture_free(&picture);
  return status;
}

int nn_image_load(const char *path, const nn_image_options *options, nn_tensor **out) {
  nni_bytes file = { 0 };
  int status = nni_bytes_read(&file, path, NNI_MAX_FILE);
  if (status == NN_OK) status = nn_image_decode(path, file.data, file.size, options, out);
  nni_bytes_free(&file);
  return status;
}

int nn_image_info(const char *path, nn_image_about *about) {
  nni_bytes file = { 0 };
  int status = nni_bytes_read(&file, path, NNI_MAX_FILE);
  if (status == NN_OK) status = nni_image_info(path, file.data, file.size, about);
  nni_bytes_free(&file);
  return status;
}

/* ---- encoding ---- */

static int check_encoding(nn_tensor *image, const nn_image_encoding *how) {
  char shape[96];
  int axes = nn_tensor_axes(image);
  int64_t channels = axes == 3 ? nn_tensor_size(image, 2) : 1;
  nn_type type = nn_tensor_type(image);
  bool jpeg = how->format == NN_JPEG;
  nn_tensor_describe(image, shape, sizeof shape);
  if ((axes != 2 && axes != 3) || (channels != 1 && channels != 3 && channels != 4) || nn_tensor_count(image) == 0)
    return nn_fail(NN_ESHAPE, "image: an image [H x W] or [H x W x C] with 1, 3 or 4 channels expected, got %s", shape);
  if (jpeg && channels == 4)
    return nn_fail(NN_ESHAPE, "image: 1 or 3 channels expected, as JPEG keeps no transparency, got %s", shape);
  if (type != NN_UINT8 && type != NN_REAL)
    return nn_fail(NN_ETYPE, "image: pixels of uint8 or float in [0, 1] expected, got %s", nn_type_name(type));
  int64_t most = jpeg ? JPEG_MAX_SIDE : INT32_MAX;
  if (nn_tensor_size(image, 0) > most || nn_tensor_size(image, 1) > most)
    return nn_fail(NN_ESHAPE, "image: sides of at most %" PRId64 " pixels expected, got %s", most, shape);
  if (jpeg && (how->quality < 1 || how->quality > 100))
    return nn_fail(NN_EARGUMENT, "image: quality: 1 to 100 expected, got %d", how->quality);
  return NN_OK;
}

static int encode(nn_tensor *image, const nn_image_encoding *how, nni_bytes *out) {
  int status = check_encoding(image, how);
  if (status != NN_OK) return status;
  nn_tensor *packed = nn_tensor_pack(image);
  uint8_t *converted = NULL;
  if (!packed) return NN_EMEMORY;
  nni_picture picture = {
    .height = nn_tensor_size(image, 0),
    .width = nn_tensor_size(image, 1),
    .channels = nn_tensor_axes(image) == 3 ? (int)nn_tensor_size(image, 2) : 1,
    .depth = 8,
  };
  if (nn_tensor_type(image) == NN_REAL) {
    converted = nn_memory_get((size_t)nn_tensor_count(image));
    if (converted) nnk_to_bytes(converted, nn_tensor_data(packed), nn_tensor_count(image));
    else status = nn_fail(NN_EMEMORY, "image: out of memory");
  }
  picture.pixels = converted ? converted : (uint8_t *)packed->storage->data + packed->offset;  /* is only read */
  if (status == NN_OK)
    status = how->format == NN_PNG ? nni_png_encode(&picture, out) : nni_jpeg_encode(&picture, how, out);
  nn_memory_put(converted);
  nn_tensor_release(packed);
  return status;
}

int nn_image_encode(nn_tensor *image, const nn_image_encoding *how, nn_tensor **out) {
  nni_bytes file = { 0 };
  int status = encode(image, how, &file);
  nn_tensor *t = status == NN_OK ? nn_tensor_new(NN_UINT8, 1, (int64_t[]){ (int64_t)file.size }) : NULL;
  if (status == NN_OK && !t) status = NN_EMEMORY;
  if (t) memcpy(nn_tensor_write(t), file.data, file.size);
  nni_bytes_free(&file);
  if (status == NN_OK) *out = t;
  return status;
}

int nn_image_save(const char *path, nn_tensor *image, const nn_image_encoding *how) {
  nni_bytes file = { 0 };
  int status = encode(image, how, &file);
  if (status == NN_OK) status = nn_file_write(path, file.data, file.size);
  nni_bytes_free(&file);
  return status;
}
