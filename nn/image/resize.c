/* resize.c -- pictures resized: which part of the source a part of the target needs, and Pillow's two passes. */
#include <inttypes.h>

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
  return nn_fail(NN_EARGUMENT, "resize: sides of 1 to %d pixels and a window within the target expected, got %" PRId64
                 "x%" PRId64 " to %" PRId64 "x%" PRId64 ", window %" PRId64 "x%" PRId64 " at (%" PRId64 ", %" PRId64 ")",
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
    return nn_fail(NN_EARGUMENT, "resize: the window needs %" PRId64 "x%" PRId64 " of the source at (%" PRId64
                   ", %" PRId64 "), given %" PRId64 "x%" PRId64 " at (%" PRId64 ", %" PRId64 ")", need.width,
                   need.height, need.left, need.top, at.width, at.height, at.left, at.top);
  passes p;
  status = prepare(&p, &s, at);
  if (status == NN_OK) status = nni_picture_shape(out, s.down.count, s.across.count, in->channels, 8);
  int64_t pitch = in->width * in->channels, columns = s.across.count * in->channels;
  uint8_t *middle = status == NN_OK ? nn_memory_get((size_t)(p.rows * columns)) : NULL;
  if (status == NN_OK && !middle) status = nn_fail(NN_EMEMORY, "resize: out of memory");
  if (status == NN_OK) {
    nnk_resample_across(middle, in->pixels + p.top * pitch, p.rows, pitch, in->channels, &p.across);
    nnk_resample_down(out->pixels, middle, columns, &p.down);
  }
  nn_memory_put(middle);
  finish(&p);
  return status;
}
