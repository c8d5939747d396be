/* picture.c -- from picture files to images of one size.
 *
 * Only the part of a picture that the image is made of is decoded. It is resized as Pillow does (bilinear, with
 * antialiasing), so that a network trained elsewhere sees here what it saw there: the short side to `resize`, the
 * middle cut out, as torchvision's Resize and CenterCrop; or a window to the image's size, as RandomResizedCrop.
 */
#include "data/picture.h"

#include <math.h>

#include "kernels/kernels.h"
#include "tensor/tensor.h"

enum { PATH_ROOM = 4096, MAX_SIDE = 1 << 30 };

void nni_maker_free(nni_maker *m) {
  nni_bytes_free(&m->file);
  nni_picture_free(&m->decoded);
  nni_picture_free(&m->fitted);
  *m = (nni_maker){ 0 };
}

int nni_fit_check(const nn_fit *fit) {
  const int64_t most = 1 << 15;
  if (fit->height < 1 || fit->width < 1 || fit->height > most || fit->width > most ||
      (fit->channels != 1 && fit->channels != 3) || fit->resize > most ||
      (fit->resize != 0 && (fit->resize < fit->height || fit->resize < fit->width)))
    return nn_fail(NN_EARGUMENT, "pictures: a shape of 1 to %lld pixels a side with 1 or 3 channels and a short side "
                   "that covers it expected, got %lld x %lld x %d, short side %lld", (long long)most,
                   (long long)fit->height, (long long)fit->width, fit->channels, (long long)fit->resize);
  return NN_OK;
}

/* ---- fitting ---- */

/* How the image comes from the picture: this rectangle of it, resized to `height` x `width`, of which the image is the
 * part at (top, left). */
typedef struct {
  nni_rectangle from;
  int64_t height, width, top, left;
} plan;

/* Half to even, as Python's round does for torchvision. */
static int64_t half(int64_t n) { return (int64_t)nearbyint((double)n / 2); }

static plan plan_fit(const nn_fit *fit, int64_t height, int64_t width) {
  bool tall = height > width;
  if (fit->resize == 0) return (plan){ .from = { 0, 0, height, width }, .height = height, .width = width };
  plan p = { .from = { 0, 0, height, width }, .height = fit->resize, .width = fit->resize };
  if (tall) p.height = fit->resize * height / width;
  else p.width = fit->resize * width / height;
  p.top = half(p.height - fit->height);
  p.left = half(p.width - fit->width);
  return p;
}

/* With `scaled`, the smallest JPEG scale that leaves at least the resized picture's pixels. */
static int scale_of(const nn_fit *fit, const plan *p) {
  int scale = 1;
  while (fit->scaled && scale < 8 && p->from.height >= 2 * scale * p->height && p->from.width >= 2 * scale * p->width)
    scale *= 2;
  return scale;
}

static int decode(nni_maker *m, const char *path, const nn_fit *fit, int scale, nni_rectangle part) {
  nni_decode how = { .channels = fit->channels, .scale = scale, .window = true, .top = part.top, .left = part.left,
                     .height = part.height, .width = part.width };
  return nni_image_decode(path, m->file.data, m->file.size, &how, &m->decoded);
}

/* The rectangle p->from as a picture of its own: nothing outside it counts. */
static int make_window(nni_maker *m, const char *path, const nn_fit *fit, const plan *p, int scale,
                       const nn_image_about *about) {
  int64_t height = nnk_divide_up(about->height, scale), width = nnk_divide_up(about->width, scale);
  nni_rectangle part = { p->from.top / scale, p->from.left / scale, nnk_max(1, p->from.height / scale),
                         nnk_max(1, p->from.width / scale) };
  part.height = nnk_min(part.height, height - part.top);
  part.width = nnk_min(part.width, width - part.left);
  int status = decode(m, path, fit, scale, part);
  nni_resample how = { .height = p->height, .width = p->width, .filter = NN_BILINEAR };
  return status == NN_OK ? nni_image_resize(&m->decoded, &how, &m->fitted) : status;
}

/* The middle of the resized picture. */
static int make_middle(nni_maker *m, const char *path, const nn_fit *fit, const plan *p, int scale) {
  nni_resample how = { .height = p->height, .width = p->width, .filter = NN_BILINEAR, .window = true, .top = p->top,
                       .left = p->left, .window_height = fit->height, .window_width = fit->width,
                       .source_height = nnk_divide_up(p->from.height, scale),
                       .source_width = nnk_divide_up(p->from.width, scale) };
  nni_rectangle needed;
  int status = nni_resample_needs(&how, &needed);
  if (status == NN_OK) status = decode(m, path, fit, scale, needed);
  how.source_top = needed.top;
  how.source_left = needed.left;
  return status == NN_OK ? nni_image_resize(&m->decoded, &how, &m->fitted) : status;
}

static int make(nni_maker *m, const char *path, const nn_fit *fit, nni_crop *crop, const uint8_t **pixels) {
  nn_image_about about;
  int status = nni_bytes_read(&m->file, path, NNI_MAX_FILE);
  if (status == NN_OK) status = nni_image_info(path, m->file.data, m->file.size, &about);
  if (status != NN_OK) return status;
  plan p = { .height = fit->height, .width = fit->width };
  crop->done = crop->tree ? nni_perturb_window(crop->tree, crop->key, crop->n, about.height, about.width, &p.from)
                          : NNI_NO_NODE;
  bool window = crop->done != NNI_NO_NODE;
  if (!window && fit->resize == 0 && (about.height != fit->height || about.width != fit->width))
    return nn_fail(NN_EFORMAT, "%s: a picture of %lld x %lld, as the others are, expected, found %lld x %lld", path,
                   (long long)fit->height, (long long)fit->width, (long long)about.height, (long long)about.width);
  if (!window) p = plan_fit(fit, about.height, about.width);
  if (p.height > MAX_SIDE || p.width > MAX_SIDE)
    return nn_fail(NN_EFORMAT, "%s: a picture of %lld x %lld is too narrow to be resized", path,
                   (long long)about.height, (long long)about.width);
  if (p.height == p.from.height && p.width == p.from.width) { /* the pixels as they are */
    nni_rectangle part = { p.from.top + p.top, p.from.left + p.left, fit->height, fit->width };
    status = decode(m, path, fit, 1, part);
    *pixels = m->decoded.pixels;
    return status;
  }
  int scale = scale_of(fit, &p);
  status = window ? make_window(m, path, fit, &p, scale, &about) : make_middle(m, path, fit, &p, scale);
  *pixels = m->fitted.pixels;
  return status;
}

int nni_make_picture(nni_maker *m, const nn_files *files, int64_t i, const nn_fit *fit, nni_crop *crop,
                     const uint8_t **pixels) {
  char path[PATH_ROOM];
  if (!nn_files_path(files, i, path, sizeof path))
    return nn_fail(NN_EIO, "%s: the path of picture %lld is too long", nn_files_root(files), (long long)i + 1);
  return make(m, path, fit, crop, pixels);
}
