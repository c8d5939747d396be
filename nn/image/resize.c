/* resize.c -- pictures resized: which part of the source a part of the target needs, and Pillow's two passes. */
#include <inttypes.h>
#include <stdatomic.h>

#include "image/image.h"
#include "kernels/resample.h"
#include "tensor/tensor.h"

#define MAX_SIDE (INT32_MAX - 1)

typedef struct {
  nnk_side down, across;
} sides;

static sides sides_of(const nni_resample *how) {
  bool part = how->window;
  return (sides){
    .down = { how->source_height, how->height, part ? how->top : 0, part ? how->window_height : how->height,
              how->filter, how->aliased },
    .across = { how->source_width, how->width, part ? how->left : 0, part ? how->window_width : how->width,
                how->filter, how->aliased },
  };
}

static bool within(const nnk_side *s) {
  return s->from >= 1 && s->from <= MAX_SIDE && s->to >= 1 && s->to <= MAX_SIDE && s->begin >= 0 && s->count >= 1 &&
         s->count <= s->to && s->begin <= s->to - s->count;
}

static int check_sides(const sides *s) {
  if (within(&s->down) && within(&s->across)) return NN_OK;
  if (s->down.count == s->down.to && s->across.count == s->across.to)
    return nn_fail(NN_EARGUMENT, "image.resize: sides of 1 to %d pixels expected, got %" PRId64 "x%" PRId64 " to %"
                   PRId64 "x%" PRId64, MAX_SIDE, s->across.from, s->down.from, s->across.to, s->down.to);
  return nn_fail(NN_EARGUMENT, "image.resize: sides of 1 to %d pixels and a window within the target expected, got %"
                 PRId64 "x%" PRId64 " to %" PRId64 "x%" PRId64 ", window %" PRId64 "x%" PRId64 " at (%" PRId64
                 ", %" PRId64 ")",
                 MAX_SIDE, s->across.from, s->down.from, s->across.to, s->down.to, s->across.count, s->down.count,
                 s->across.begin, s->down.begin);
}

static nni_rectangle needs(const sides *s) {
  int64_t top, bottom, left, right;
  nnk_taps_needs(&s->down, &top, &bottom);
  nnk_taps_needs(&s->across, &left, &right);
  return (nni_rectangle){ top, left, bottom - top, right - left };
}

int nni_resample_needs(const nni_resample *how, nni_rectangle *needed) {
  sides s = sides_of(how);
  int status = check_sides(&s);
  if (status == NN_OK) *needed = needs(&s);
  return status;
}

/* ---- the two passes ---- */

typedef struct {
  nnk_taps down, across;
  int64_t top, rows;  /* of the source: what the first pass has to cover */
} passes;

/* `at` is the place of the picture in the source. */
static int prepare(passes *p, const sides *s, nni_rectangle at) {
  nni_rectangle need = needs(s);
  *p = (passes){ .top = need.top - at.top, .rows = need.height };
  int status = nnk_taps_make(&p->across, &s->across);
  if (status == NN_OK) status = nnk_taps_make(&p->down, &s->down);
  for (int64_t i = 0; i < p->across.size && status == NN_OK; i++) p->across.first[i] -= (int32_t)at.left;
  for (int64_t i = 0; i < p->down.size && status == NN_OK; i++) p->down.first[i] -= (int32_t)need.top;
  return status;
}

static void finish(passes *p) {
  nnk_taps_free(&p->across);
  nnk_taps_free(&p->down);
}

int nni_image_resize(const nni_picture *in, const nni_resample *given, nni_picture *out) {
  nni_resample how = *given;
  if (how.source_height == 0) {
    how.source_height = in->height;
    how.source_width = in->width;
    how.source_top = how.source_left = 0;
  }
  sides s = sides_of(&how);
  int status = check_sides(&s);
  if (status != NN_OK) return status;
  nni_rectangle need = needs(&s), at = { how.source_top, how.source_left, in->height, in->width };
  if (need.top < at.top || need.left < at.left || need.top + need.height > at.top + at.height ||
      need.left + need.width > at.left + at.width)
    return nn_fail(NN_EARGUMENT, "image.resize: the window needs %" PRId64 "x%" PRId64 " of the source at (%" PRId64
                   ", %" PRId64 "), given %" PRId64 "x%" PRId64 " at (%" PRId64 ", %" PRId64 ")", need.width,
                   need.height, need.left, need.top, at.width, at.height, at.left, at.top);
  passes p;
  status = prepare(&p, &s, at);
  if (status == NN_OK) status = nni_picture_shape(out, s.down.count, s.across.count, in->channels, 8);
  int64_t pitch = in->width * in->channels, columns = s.across.count * in->channels;
  uint8_t *middle = status == NN_OK ? nn_memory_get((size_t)(p.rows * columns)) : NULL;
  if (status == NN_OK && !middle) status = nn_fail(NN_EMEMORY, "image.resize: out of memory");
  if (status == NN_OK) {
    nnk_resample_across(middle, in->pixels + p.top * pitch, p.rows, pitch, in->channels, &p.across);
    nnk_resample_down(out->pixels, middle, columns, &p.down);
  }
  nn_memory_put(middle);
  finish(&p);
  return status;
}

/* ---- tensors ---- */

typedef struct {
  const passes *p;
  nn_type type;
  int64_t height, width, channels, columns;  /* of a picture of the source; of a row of the target */
  const void *in;
  void *out;
  atomic_int status;
} batch;

/* Pictures begin .. end - 1. */
static void resize_pictures(void *context, int64_t begin, int64_t end) {
  batch *b = context;
  const passes *p = b->p;
  int64_t pitch = b->width * b->channels, in_size = b->height * pitch, out_size = p->down.size * b->columns;
  void *middle = nn_memory_get((size_t)(p->rows * b->columns) * nn_type_bytes(b->type));
  if (!middle) atomic_store(&b->status, NN_EMEMORY);
  for (int64_t i = begin; i < end && middle; i++) {
    int64_t in = i * in_size + p->top * pitch, out = i * out_size;
    if (b->type == NN_UINT8) {
      nnk_resample_across(middle, (const uint8_t *)b->in + in, p->rows, pitch, (int)b->channels, &p->across);
      nnk_resample_down((uint8_t *)b->out + out, middle, b->columns, &p->down);
    } else {
      nnk_resample_across_real(middle, (const nn_real *)b->in + in, p->rows, pitch, (int)b->channels, &p->across);
      nnk_resample_down_real((nn_real *)b->out + out, middle, b->columns, &p->down);
    }
  }
  nn_memory_put(middle);
}

int nn_image_resize(nn_tensor *images, const nn_image_size *size, nn_tensor **out) {
  char shape[96];
  int axes = nn_tensor_axes(images), first = axes == 4;  /* the axis of the height */
  nn_type type = nn_tensor_type(images);
  int64_t channels = axes > 2 ? nn_tensor_size(images, first + 2) : 1;
  nn_tensor_describe(images, shape, sizeof shape);
  if (axes < 2 || axes > 4 || nn_tensor_size(images, first) == 0 || nn_tensor_size(images, first + 1) == 0 ||
      channels < 1 || channels > NN_MAX_CHANNELS)
    return nn_fail(NN_ESHAPE, "image.resize: [H x W], [H x W x C] or [N x H x W x C] of at most %d channels expected, "
                   "got %s", NN_MAX_CHANNELS, shape);
  if (type != NN_REAL && type != NN_UINT8)
    return nn_fail(NN_ETYPE, "image.resize: pixels of uint8 or float expected, got %s", nn_type_name(type));
  sides s = {
    .down = { nn_tensor_size(images, first), size->height, 0, size->height, size->filter, size->aliased },
    .across = { nn_tensor_size(images, first + 1), size->width, 0, size->width, size->filter, size->aliased },
  };
  int status = check_sides(&s);
  if (status != NN_OK) return status;
  int64_t sizes[NN_MAX_AXES];
  for (int i = 0; i < axes; i++) sizes[i] = nn_tensor_size(images, i);
  sizes[first] = size->height;
  sizes[first + 1] = size->width;

  passes p = { 0 };
  nn_tensor *packed = nn_tensor_pack(images), *resized = nn_tensor_new(type, axes, sizes);
  status = packed && resized ? prepare(&p, &s, (nni_rectangle){ 0 }) : NN_EMEMORY;
  if (status == NN_OK) {
    batch b = {
      .p = &p, .type = type, .height = s.down.from, .width = s.across.from, .channels = channels,
      .columns = s.across.to * channels, .in = nn_tensor_data(packed), .out = nn_tensor_write(resized),
    };
    status = nn_parallel_for(axes == 4 ? sizes[0] : 1, 1, resize_pictures, &b);
    /* the message is with the thread that could not go on */
    if (status == NN_OK && atomic_load(&b.status) != NN_OK) status = nn_fail(NN_EMEMORY, "image.resize: out of memory");
  }
  finish(&p);
  nn_tensor_release(packed);
  if (status == NN_OK) *out = resized;
  else nn_tensor_release(resized);
  return status;
}
