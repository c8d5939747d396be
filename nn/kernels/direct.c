/* direct.c -- convolution as an implicit matrix product.
 *
 * A grid (direct.h) is destination pixels that see their source under the same taps. Its rows times the weights are
 * a product: row [taps x channels] of what a destination sees, gathered block by block of rows into the second-level
 * cache, times panels of weights; finished blocks leave through the sink. Three things are grids:
 *   - forward: y sees x under all taps of the kernel;
 *   - the gradient to x: x sees dy. With stride s, destinations fall into s classes along each axis (their remainder
 *     mod s), each with its own taps: dx is written, never scattered into;
 *   - the gradient to the weights sums, over rows, what forward gathered times dy.
 * Pixels near an edge see zeros under some taps. Where that is much of the work (tiny images), an axis is split into
 * runs of destinations with the same live taps, and each run is a grid of its own.
 *
 * Channels that fill no blocks of sixteen are not gathered: where taps lie side by side, products run over a band of
 * lines that is copied with zeros around it.
 *
 * Groups are products of their own, and go through the sink together. Where each group has one channel there is
 * no product: channels are multiplied lane by lane.
 */
#include <string.h>

#include "kernels/direct.h"
#include "kernels/engine.h"

enum {
  BLOCK_ROWS = 112,          /* rows gathered at once: a multiple of what engines hold in registers */
  BLOCK_ROWS_LEAST = 28,
  BLOCK_ELEMENTS = 1 << 16,  /* of a gathered block: half a second-level cache is for it and the block of sums */
  PIECES = 64,
  SPLITS = 8,                /* runs that an axis is split into at most */
  SPLIT_IMAGES = 16,         /* fewer images make grids too small */
};
static const int64_t piece_products = 1000000000;  /* at most, so that an interrupt is soon seen */

/* ---- grids ---- */

static nnk_axis forward_axis(int64_t size, int64_t out_size, int64_t kernel, const nnk_conv *s) {
  return (nnk_axis){ .count = out_size, .first = 0, .step = 1, .source_size = size, .source_step = s->stride,
                     .offset = -s->padding, .offset_step = s->dilation, .taps = kernel, .tap = 0, .tap_step = 1 };
}

/* Destinations x = r + j s. Tap t reaches y o where o s = x + padding - t dilation, so it counts when s divides
 * r + padding - t dilation; then o = j + (r + padding - t dilation) / s. Later taps have smaller offsets. */
static nnk_axis backward_axis(int64_t size, int64_t out_size, int64_t kernel, int64_t r, const nnk_conv *s) {
  nnk_axis a = { .count = nnk_divide_up(size - r, s->stride), .first = r, .step = s->stride, .source_size = out_size,
                 .source_step = 1, .offset_step = 1, .tap_step = -1 };
  int64_t previous = -1;
  for (int64_t t = 0; t < kernel; t++) {
    int64_t reach = r + s->padding - t * s->dilation;
    if (reach % s->stride != 0) continue;
    if (previous >= 0) {
      a.tap_step = previous - t;
      a.offset_step = (t - previous) * s->dilation / s->stride;
    }
    previous = a.tap = t;
    a.offset = reach / s->stride;
    a.taps++;
  }
  return a;
}

/* The taps [*begin, *end) that destination j sees inside the source. */
static void live_taps(const nnk_axis *a, int64_t j, int64_t *begin, int64_t *end) {
  int64_t offset = j * a->source_step + a->offset, room = a->source_size - offset;
  *begin = offset < 0 ? nnk_min(a->taps, nnk_divide_up(-offset, a->offset_step)) : 0;
  *end = room > 0 ? nnk_max(*begin, nnk_min(a->taps, nnk_divide_up(room, a->offset_step))) : *begin;
}

/* The destinations [begin, end) that tap `tap` finds inside the source. */
static void live_destinations(const nnk_axis *a, int64_t tap, int64_t *begin, int64_t *end) {
  int64_t offset = a->offset + tap * a->offset_step, room = a->source_size - offset;
  *begin = offset < 0 ? nnk_min(a->count, nnk_divide_up(-offset, a->source_step)) : 0;
  *end = room > 0 ? nnk_max(*begin, nnk_min(a->count, nnk_divide_up(room, a->source_step))) : *begin;
}

/* Only destinations [from, to) and taps [begin, end). */
static nnk_axis cut(nnk_axis a, int64_t from, int64_t to, int64_t begin, int64_t end) {
  a.count = to - from;
  a.first += from * a.step;
  a.offset += from * a.source_step + begin * a.offset_step;
  a.taps = end - begin;
  a.tap += begin * a.tap_step;
  return a;
}

/* Writes a without its dead taps, or the runs it is worth splitting into; returns how many (at most SPLITS). */
static int64_t split(nnk_axis *out, const nnk_axis *a, bool allowed) {
  int64_t runs = 0, live = 0, lowest = a->taps, highest = 0, from = 0, begin = 0, end = 0;
  for (int64_t j = 0; j <= a->count; j++) {
    int64_t first = 0, last = 0;
    if (j < a->count) {
      live_taps(a, j, &first, &last);
      live += last - first;
      if (first < last) lowest = nnk_min(lowest, first), highest = nnk_max(highest, last);
    }
    bool same = j < a->count && (first == last ? begin == end : first == begin && last == end);
    if (j > 0 && !same) {
      if (runs < SPLITS) out[runs] = cut(*a, from, j, begin, end);
      runs++;
      from = j;
    }
    begin = first, end = last;
  }
  lowest = nnk_min(lowest, highest);
  if (allowed && runs <= SPLITS && live * 10 < (highest - lowest) * a->count * 9) return runs;
  out[0] = cut(*a, 0, a->count, lowest, highest);
  return 1;
}

/* Grids whose rows see one pixel, their own: all of a grid's source, or what lies in the place of its destinations. */
static nnk_axis own_axis(int64_t size, int64_t first, int64_t count) {
  return (nnk_axis){ .count = count, .step = 1, .source_size = size, .source_step = 1, .offset = first,
                     .offset_step = 1, .taps = 1 };
}

static nnk_grid source_pixels(const nnk_grid *g) {
  nnk_grid own = { .images = g->images, .channels = g->source_channels, .source_channels = g->source_channels };
  own.v = own_axis(g->v.source_size, 0, g->v.source_size);
  own.h = own_axis(g->h.source_size, 0, g->h.source_size);
  return own;
}

static nnk_grid destination_pixels(const nnk_grid *g) {
  nnk_grid own = { .images = g->images, .channels = g->channels, .source_channels = g->channels };
  own.v = own_axis(g->height, g->v.first, g->v.count);
  own.h = own_axis(g->width, g->h.first, g->h.count);
  return own;
}

/* ---- plans: what is done for a shape ---- */

/* How a stage is computed: a product of gathered rows; a product over bands of lines (band_body.h), for source channels
 * that fill no blocks; each source pixel spread under all taps by a product, then collected (spread_body.h), for few
 * destination channels; by channel. */
typedef enum { GATHER, BAND, SPREAD, CHANNELS } kind;

typedef struct {
  nnk_grid grid;
  kind kind;
  int64_t depth;      /* of a group: taps * source channels */
  int64_t weights;    /* where its panels begin */
  int64_t rows, block, blocks, first;  /* rows, in one block, blocks, and the first one's number */
  int64_t taps;       /* gathered at once */
  int64_t lines;      /* of destinations in a block of BAND or SPREAD */
} stage;

typedef struct {
  stage *stages;
  int64_t count, blocks;
  int64_t groups, source_part, part;  /* channels of a group */
  bool by_channel;
  size_t weights;     /* elements of all panels */
} plan;

enum { BAND_PIXELS = 256 };  /* of destinations, about */

static int64_t band_line(const nnk_grid *g) {
  int64_t wide = (g->h.count - 1) * g->h.source_step + g->h.taps;
  return nnk_whole_blocks(wide * g->source_channels);
}

static int64_t band_lines(const nnk_grid *g, int64_t lines) {
  return (lines - 1) * g->v.source_step + (g->v.taps - 1) * g->v.offset_step + 1;
}

/* Destination lines in a band; 0 where a band does not suit: taps apart from each other, or hardly a line. */
static int64_t choose_band(const nnk_grid *g, int64_t groups) {
  bool joined = g->h.taps == 1 || g->h.offset_step == 1, close = band_lines(g, 1) <= 2 * g->v.source_size;
  if (groups > 1 || g->source_channels % NNK_LANES == 0 || !joined || !close) return 0;
  if (g->h.count < 4 || g->v.taps * g->h.taps == 0) return 0;
  return nnk_max(1, nnk_min(g->v.count, BAND_PIXELS / g->h.count));
}

/* Source lines [*begin, *end) that destination lines [j, j + lines) see. */
static void source_lines(const nnk_axis *v, int64_t j, int64_t lines, int64_t *begin, int64_t *end) {
  int64_t first = j * v->source_step + v->offset;
  int64_t last = first + (lines - 1) * v->source_step + (v->taps - 1) * v->offset_step + 1;
  *begin = nnk_max(0, nnk_min(first, v->source_size));
  *end = nnk_max(*begin, nnk_min(last, v->source_size));
}

static int64_t spread_columns(const nnk_grid *g) {
  return nnk_divide_up(g->v.taps * g->h.taps, nnk_spread_taps(g)) * NNK_LANES;
}

/* Elements that one block of spread pixels takes; collecting reads whole registers, beyond the last. */
static int64_t spread_room(const stage *s) {
  const nnk_grid *g = &s->grid;
  int64_t most = nnk_min(g->v.source_size, s->lines + (g->v.taps - 1) * g->v.offset_step);
  return most * g->h.source_size * spread_columns(g) + NNK_LANES;
}

/* Destination lines in a block when source pixels are spread; 0 where that does not suit. */
static int64_t choose_spread(const nnk_grid *g, int64_t groups) {
  int64_t taps = g->v.taps * g->h.taps;
  if (groups > 1 || g->channels > NNK_LANES / 2 || g->source_channels < NNK_LANES) return 0;
  if (taps < 2 || taps > NNK_SPREAD_TAPS || g->v.source_step > 1 || g->h.source_step > 1) return 0;
  int64_t reach = (g->v.taps - 1) * g->v.offset_step;
  int64_t fit = BLOCK_ELEMENTS / (g->h.source_size * spread_columns(g)) - reach;
  return fit < nnk_min(g->v.count, 2 * reach) ? 0 : nnk_min(g->v.count, fit);
}

/* How many taps are gathered at once, and for how many rows. */
static void size_blocks(stage *s, const plan *p) {
  const nnk_grid *g = &s->grid;
  s->rows = g->images * g->v.count * g->h.count;
  s->taps = 1;
  s->kind = p->by_channel ? CHANNELS : GATHER;
  if (!p->by_channel && (s->lines = choose_spread(g, p->groups)) > 0) s->kind = SPREAD;
  else if (!p->by_channel && (s->lines = choose_band(g, p->groups)) > 0) s->kind = BAND;
  if (s->lines > 0) {
    s->block = s->lines * g->h.count;
    s->blocks = g->images * nnk_divide_up(g->v.count, s->lines);
    return;
  }
  int64_t whole = p->source_part % NNK_LANES == 0 ? 1 : nnk_max(1, g->h.taps);  /* engine.h: read_rows */
  int64_t units = nnk_max(1, g->v.taps * g->h.taps / whole);
  int64_t fit = nnk_max(1, BLOCK_ELEMENTS / BLOCK_ROWS * 3 / 2 / nnk_max(1, whole * p->source_part));
  s->taps = nnk_divide_up(units, nnk_divide_up(units, fit)) * whole;
  int64_t wide = nnk_max(1, s->taps * p->source_part);
  int64_t block = nnk_max(BLOCK_ROWS / 2, nnk_min(BLOCK_ROWS * 2, BLOCK_ELEMENTS / wide / BLOCK_ROWS_LEAST *
                                                                   BLOCK_ROWS_LEAST));
  int64_t share = nnk_divide_up(nnk_divide_up(s->rows, 8), BLOCK_ROWS_LEAST) * BLOCK_ROWS_LEAST;
  s->block = nnk_min(block, nnk_max(BLOCK_ROWS_LEAST, share));
  s->blocks = nnk_divide_up(s->rows, s->block);
}

static int make_plan(plan *p, const nnk_conv *s, nnk_conv_pass pass) {
  bool forward = pass == NNK_FORWARD;
  int64_t height = forward ? s->out_height : s->height, width = forward ? s->out_width : s->width;
  int64_t v_classes = forward ? 1 : nnk_min(s->stride, height), h_classes = forward ? 1 : nnk_min(s->stride, width);
  *p = (plan){ .groups = s->groups, .part = s->out_channels / s->groups, .source_part = s->channels / s->groups };
  if (!forward) p->part = s->channels / s->groups, p->source_part = s->out_channels / s->groups;
  p->by_channel = s->groups > 1 && p->part == 1 && p->source_part == 1;

  size_t axes = (size_t)(v_classes + h_classes) * SPLITS;
  nnk_axis *v = nn_memory_get(axes * sizeof *v), *h = v + v_classes * SPLITS;
  if (!v) return NN_EMEMORY;
  int64_t vs = 0, hs = 0;
  bool allowed = s->images >= SPLIT_IMAGES && !p->by_channel;
  for (int64_t r = 0; r < v_classes; r++) {
    nnk_axis a = forward ? forward_axis(s->height, height, s->kernel_height, s)
                         : backward_axis(height, s->out_height, s->kernel_height, r, s);
    vs += split(v + vs, &a, allowed);
  }
  for (int64_t r = 0; r < h_classes; r++) {
    nnk_axis a = forward ? forward_axis(s->width, width, s->kernel_width, s)
                         : backward_axis(width, s->out_width, s->kernel_width, r, s);
    hs += split(h + hs, &a, allowed);
  }

  p->stages = nn_memory_get((size_t)(vs * hs) * sizeof *p->stages);
  for (int64_t i = 0; i < vs * hs && p->stages; i++) {
    stage *to = &p->stages[p->count++];
    *to = (stage){ .grid = { .v = v[i / hs], .h = h[i % hs], .images = s->images, .height = height, .width = width,
                            .channels = p->groups * p->part, .source_channels = p->groups * p->source_part } };
    to->depth = to->grid.v.taps * to->grid.h.taps * p->source_part;
    to->weights = (int64_t)p->weights;
    size_blocks(to, p);
    to->first = p->blocks;
    p->blocks += to->blocks;
    int64_t columns = p->by_channel ? nnk_whole_blocks(p->groups) : p->groups * nnk_whole_blocks(p->part);
    p->weights += (size_t)(to->kind == SPREAD ? p->source_part * spread_columns(&to->grid) : to->depth * columns);
  }
  nn_memory_put(v);
  return p->stages ? NN_OK : NN_EMEMORY;
}

static void free_plan(plan *p) { nn_memory_put(p->stages); }

int nnk_direct_choose(nnk_conv_method *m) {
  plan p;
  if (m->pass == NNK_GRAD_WEIGHT) return NN_OK;
  int status = make_plan(&p, &m->shape, m->pass);
  if (status != NN_OK) return status;
  m->weights = p.weights * sizeof(nn_real);
  free_plan(&p);
  return NN_OK;
}

/* ---- weights ---- */

typedef struct {
  const nnk_conv_method *m;
  const plan *p;
  const stage *s;
  nn_real *out;
  const nn_real *weight, *scale;
} preparing;

/* The weights of tap `tap` of a stage's grid: [channels of a group x out channels]. */
static const nn_real *tap_weights(const preparing *c, int64_t tap) {
  const nnk_axis *v = &c->s->grid.v, *h = &c->s->grid.h;
  const nnk_conv *s = &c->m->shape;
  int64_t line = v->tap + tap / h->taps * v->tap_step, column = h->tap + tap % h->taps * h->tap_step;
  return c->weight + (line * s->kernel_width + column) * (s->channels / s->groups) * s->out_channels;
}

/* to [source_part x width] = columns [0, count) of `from`, whose rows are source channels */
static void copy_panel(nn_real *to, const nn_real *from, const nn_real *scale, int64_t pitch, int64_t depth,
                       int64_t width, int64_t count) {
  for (int64_t d = 0; d < depth; d++, to += width, from += pitch) {
    for (int64_t k = 0; k < count; k++) to[k] = scale ? from[k] * scale[k] : from[k];
    for (int64_t k = count; k < width; k++) to[k] = 0;
  }
}

/* The same, but the rows of `from` are columns of the panel: by squares that stay in cache. */
static void turn_panel(nn_real *to, const nn_real *from, const nn_real *scale, int64_t pitch, int64_t depth,
                       int64_t width, int64_t count) {
  for (int64_t d = 0; d < depth; d += NNK_LANES) {
    int64_t last = nnk_min(depth, d + NNK_LANES);
    for (int64_t k = 0; k < width; k++)
      for (int64_t i = d; i < last; i++)
        to[i * width + k] = k >= count ? 0 : scale ? from[k * pitch + i] * scale[i] : from[k * pitch + i];
  }
}

/* Pieces are panels of a stage. */
static void fill_panels(void *context, int64_t begin, int64_t end) {
  const preparing *c = context;
  const plan *p = c->p;
  int64_t panels = nnk_divide_up(p->part, NNK_PANEL), pitch = c->m->shape.out_channels, depth = p->source_part;
  bool forward = c->m->pass == NNK_FORWARD;
  for (int64_t job = begin; job < end; job++) {
    int64_t group = job / panels, column = job % panels * NNK_PANEL, count = nnk_min(NNK_PANEL, p->part - column);
    int64_t width = nnk_whole_blocks(count);
    nn_real *to = c->out + c->s->weights + group * c->s->depth * nnk_whole_blocks(p->part) +
                  nnk_panel_offset(column, c->s->depth);
    for (int64_t tap = 0; tap < c->s->grid.v.taps * c->s->grid.h.taps; tap++, to += depth * width) {
      const nn_real *from = tap_weights(c, tap);
      const nn_real *scale = c->scale ? c->scale + (forward ? group * p->part + column : group * depth) : NULL;
      if (forward) copy_panel(to, from + group * p->part + column, scale, pitch, depth, width, count);
      else turn_panel(to, from + column * pitch + group * depth, scale, pitch, depth, width, count);
    }
  }
}

/* Columns of channels for each tap, as nnk_spread_column places them. */
static void fill_spread(const preparing *c) {
  const nnk_grid *g = &c->s->grid;
  int64_t depth = c->p->source_part, columns = spread_columns(g), pitch = c->m->shape.out_channels;
  bool forward = c->m->pass == NNK_FORWARD;
  nn_real *to = c->out + c->s->weights;
  memset(to, 0, (size_t)(depth * columns) * sizeof *to);
  for (int64_t tap = 0; tap < g->v.taps * g->h.taps; tap++) {
    const nn_real *from = tap_weights(c, tap);
    for (int64_t k = 0; k < g->channels; k++) {
      int64_t column = nnk_spread_column(g, tap) + k, panel = column / NNK_PANEL * NNK_PANEL;
      int64_t width = nnk_min(NNK_PANEL, columns - panel);
      nn_real *place = to + nnk_panel_offset(panel, depth) + column - panel;
      for (int64_t d = 0; d < depth; d++) {
        nn_real w = forward ? from[d * pitch + k] : from[k * pitch + d];
        place[d * width] = c->scale ? w * c->scale[forward ? k : d] : w;
      }
    }
  }
}

/* One channel a group: weights [taps x groups, to whole blocks]. */
static void fill_channels(const preparing *c) {
  int64_t channels = c->p->groups, width = nnk_whole_blocks(channels);
  nn_real *to = c->out + c->s->weights;
  for (int64_t tap = 0; tap < c->s->grid.v.taps * c->s->grid.h.taps; tap++, to += width)
    copy_panel(to, tap_weights(c, tap), c->scale, channels, 1, width, channels);
}

int nnk_direct_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale) {
  plan p;
  int status = make_plan(&p, &m->shape, m->pass);
  for (int64_t i = 0; status == NN_OK && i < p.count; i++) {
    preparing c = { .m = m, .p = &p, .s = &p.stages[i], .out = prepared, .weight = weight, .scale = scale };
    if (p.by_channel) fill_channels(&c);
    else if (c.s->kind == SPREAD) fill_spread(&c);
    else status = nn_parallel_for(p.groups * nnk_divide_up(p.part, NNK_PANEL),
                                  nnk_max(1, 16384 / nnk_max(1, c.s->depth * NNK_PANEL)), fill_panels, &c);
  }
  free_plan(&p);
  return status;
}

/* ---- forward, and the gradient to the input ---- */

typedef struct {
  const plan *p;
  const nnk_engine *engine;
  const nnk_sink *sink;
  const nnk_source *source;
  const nn_real *weight;
  double *sums;              /* [pieces x 2 x channels] */
  int64_t pieces, parts;     /* cuts of the blocks, and of the columns */
  int64_t gathered, summed;  /* elements of a gathered block, and of a block of sums */
  nnk_outcome outcome;
} running;

/* What one piece works in. */
typedef struct {
  nn_real *a, *m, *group, *sums;
} desk;

/* m [rows x part of columns] = product of rows of one group */
static void multiply_group(const running *c, const stage *s, nn_real *m, nn_real *a, int64_t group, int64_t row,
                           int64_t rows, int64_t column, int64_t columns) {
  const plan *p = c->p;
  int64_t taps = s->grid.v.taps * s->grid.h.taps, a_step = rows * NNK_LANES, m_step = a_step;
  const nn_real *panels = c->weight + s->weights + group * s->depth * nnk_whole_blocks(p->part);
  if (s->depth == 0) memset(m, 0, (size_t)(rows * columns) * sizeof *m);
  for (int64_t tap = 0; tap < taps && s->depth > 0; tap += s->taps) {
    int64_t some = nnk_min(s->taps, taps - tap), depth = some * p->source_part;
    c->engine->read_rows(a, a_step, c->source, &s->grid, row, rows, tap, some, group * p->source_part, p->source_part);
    for (int64_t k = 0; k < columns; k += NNK_PANEL) {
      int64_t width = nnk_min(NNK_PANEL, columns - k);
      const nn_real *b = panels + nnk_panel_offset(column + k, s->depth) + tap * p->source_part * width;
      c->engine->multiply(m + k / NNK_LANES * m_step, m_step, a, a_step, b, rows, depth, width, tap > 0);
    }
  }
}

/* m [rows x channels] from channel `channel` on = group [rows x part], both blocked; channel fits no block. */
static void place_group(nn_real *m, const nn_real *group, int64_t m_step, int64_t rows, int64_t channel, int64_t part) {
  for (int64_t k = 0; k < part; k++) {
    const nn_real *from = group + k / NNK_LANES * m_step + k % NNK_LANES;
    nn_real *to = m + (channel + k) / NNK_LANES * m_step + (channel + k) % NNK_LANES;
    for (int64_t t = 0; t < rows; t++) to[t * NNK_LANES] = from[t * NNK_LANES];
  }
}

static void run_band(const running *c, const stage *s, const desk *d, int64_t block) {
  const nnk_grid *g = &s->grid;
  int64_t bands = nnk_divide_up(g->v.count, s->lines), image = block / bands, j = block % bands * s->lines;
  int64_t lines = nnk_min(s->lines, g->v.count - j), line = band_line(g);
  c->engine->read_band(d->a, line, c->source, g, image, j, band_lines(g, lines));
  c->engine->band_rows(c->sink, d->sums, nnk_whole_blocks(g->channels), d->a, line, g, c->weight + s->weights, s->depth,
                       image, j, lines);
}

static void run_spread(const running *c, const stage *s, const desk *d, int64_t block) {
  const nnk_grid *g = &s->grid;
  int64_t blocks = nnk_divide_up(g->v.count, s->lines), image = block / blocks, j = block % blocks * s->lines;
  int64_t lines = nnk_min(s->lines, g->v.count - j), begin, end, depth = g->source_channels;
  nnk_grid own = source_pixels(g);
  source_lines(&g->v, j, lines, &begin, &end);
  int64_t rows = (end - begin) * g->h.source_size, m_step = rows * NNK_LANES;
  int64_t first = (image * g->v.source_size + begin) * g->h.source_size;
  for (int64_t row = 0; row < rows; row += BLOCK_ROWS) {
    int64_t some = nnk_min(BLOCK_ROWS, rows - row), a_step = some * NNK_LANES;
    c->engine->read_rows(d->a, a_step, c->source, &own, first + row, some, 0, 1, 0, depth);
    c->engine->multiply(d->m + row * NNK_LANES, m_step, d->a, a_step, c->weight + s->weights, some, depth,
                        spread_columns(g), false);
  }
  c->engine->collect_rows(c->sink, d->sums, d->m, m_step, g, image, j, lines, begin);
}

/* The first column of a part: parts are whole panels. */
static int64_t part_begin(const running *c, int64_t part) {
  int64_t panels = nnk_divide_up(c->p->part, NNK_PANEL);
  return part == c->parts ? c->p->groups * c->p->part : part * panels / c->parts * NNK_PANEL;
}

/* One part of the columns of a stage's block. */
static void run_block(const running *c, const stage *s, const desk *d, int64_t block, int64_t part) {
  const plan *p = c->p;
  int64_t row = block * s->block, rows = nnk_min(s->block, s->rows - row);
  int64_t channels = p->groups * p->part, step = nnk_whole_blocks(channels), m_step = rows * NNK_LANES;
  switch (s->kind) {
    case BAND: run_band(c, s, d, block); return;
    case SPREAD: run_spread(c, s, d, block); return;
    case CHANNELS:
      c->engine->channel_rows(c->sink, d->sums, step, c->source, &s->grid, c->weight + s->weights, row, rows);
      return;
    case GATHER: break;
  }
  int64_t from = part_begin(c, part), to = part_begin(c, part + 1);
  if (p->groups == 1) {
    multiply_group(c, s, d->m, d->a, 0, row, rows, from, nnk_whole_blocks(to - from));
  } else {
    memset(d->m, 0, (size_t)(rows * step) * sizeof *d->m);
    for (int64_t g = 0; g < p->groups; g++) {
      multiply_group(c, s, d->group, d->a, g, row, rows, 0, nnk_whole_blocks(p->part));
      place_group(d->m, d->group, m_step, rows, g * p->part, p->part);
    }
  }
  c->engine->write_rows(c->sink, d->sums, step, d->m, m_step, &s->grid, row, rows, from, to - from);
}

/* A piece is some blocks of rows, for one part of the columns. */
static void run_piece(void *context, int64_t begin, int64_t end) {
  running *c = context;
  const plan *p = c->p;
  int64_t channels = p->groups * p->part, width = nnk_whole_blocks(channels);
  for (int64_t job = begin; job < end; job++) {
    if (!nnk_going(&c->outcome)) return;
    int64_t piece = job / c->parts, part = job % c->parts;
    nn_real *a = nnk_scratch(&c->outcome, (c->gathered + 2 * c->summed + 2 * width) * (int64_t)sizeof *a);
    if (!a) return;
    desk d = { .a = a, .m = a + c->gathered, .group = a + c->gathered + c->summed,
               .sums = a + c->gathered + 2 * c->summed };
    double *to = c->sums ? c->sums + piece * 2 * channels : NULL;
    int64_t from = part_begin(c, part), until = part_begin(c, part + 1);
    int64_t last = (piece + 1) * p->blocks / c->pieces;
    const stage *s = p->stages;
    for (int64_t b = piece * p->blocks / c->pieces; b < last && !nn_interrupted(); b++) {
      while (b >= s->first + s->blocks) s++;
      memset(d.sums, 0, (size_t)(2 * width) * sizeof *d.sums);
      run_block(c, s, &d, b - s->first, part);
      for (int64_t i = from; to && i < until; i++) to[i] += d.sums[i], to[channels + i] += d.sums[width + i];
    }
    nn_memory_put(a);
  }
}

/* Nothing changes where a sink only adds to itself and the sum is 0. */
static bool only_adds(const nnk_sink *s) {
  return s->residual == s->y && !s->bias && !s->relu && !s->gate && !s->z_scale && !s->signs && !s->sums;
}

static void drop_idle_stages(plan *p, const nnk_sink *sink) {
  int64_t kept = 0;
  if (!only_adds(sink)) return;
  p->blocks = 0;
  for (int64_t i = 0; i < p->count; i++) {
    if (p->stages[i].depth == 0) continue;
    p->stages[kept] = p->stages[i];
    p->stages[kept].first = p->blocks;
    p->blocks += p->stages[kept++].blocks;
  }
  p->count = kept;
}

/* A source whose vectors repeat, for those who read runs of pixels: the longest line of taps, or lines of a band.
 * *memory holds them. */
static int repeat_vectors(nnk_source *s, nn_real **memory, const nnk_source *from, int64_t channels, int64_t repeats) {
  *s = *from;
  *memory = NULL;
  if (!from->scale || repeats == 1) return NN_OK;
  int64_t length = channels * repeats;
  *memory = nn_memory_get((size_t)(3 * length) * sizeof **memory);
  if (!*memory) return NN_EMEMORY;
  nn_real *to = *memory;
  for (int64_t i = 0; i < length; i++) {
    to[i] = from->scale[i % channels];
    to[length + i] = from->shift[i % channels];
    if (from->other) to[2 * length + i] = from->other_scale[i % channels];
  }
  s->scale = to;
  s->shift = to + length;
  if (from->other) s->other_scale = to + 2 * length;
  return NN_OK;
}

static int64_t products(const plan *p) {
  int64_t sum = 0;
  for (int64_t i = 0; i < p->count; i++)
    sum += p->stages[i].rows * p->stages[i].depth * p->groups * (p->by_channel ? 1 : nnk_whole_blocks(p->part));
  return sum;
}

int nnk_direct_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared) {
  plan p;
  int status = make_plan(&p, &m->shape, m->pass);
  if (status != NN_OK) return status;
  drop_idle_stages(&p, sink);
  running c = { .p = &p, .engine = nnk_engine_chosen(), .sink = sink, .weight = prepared };
  int64_t channels = p.groups * p.part, work = products(&p), repeats = 1;
  bool cut_columns = p.groups == 1;
  for (int64_t i = 0; i < p.count; i++) {
    const stage *s = &p.stages[i];
    const nnk_grid *g = &s->grid;
    int64_t rows = s->kind == SPREAD ? BLOCK_ROWS : s->block, seen = s->taps * p.source_part, most;
    if (s->kind == BAND) {
      c.gathered = nnk_max(c.gathered, band_lines(g, s->lines) * band_line(g));
      repeats = nnk_max(repeats, g->h.source_size);
    } else if (s->kind != CHANNELS) {
      most = s->kind == SPREAD ? spread_room(s) : s->block * nnk_whole_blocks(channels);
      c.gathered = nnk_max(c.gathered, rows * nnk_whole_blocks(seen));
      c.summed = nnk_max(c.summed, most);
      if (p.source_part % NNK_LANES != 0 && p.groups == 1) repeats = nnk_max(repeats, g->h.taps);
    }
    cut_columns = cut_columns && s->kind == GATHER;
  }
  /* Enough pieces for a team and for interrupts, none too small to be worth its while. */
  c.pieces = nnk_max(nnk_min(PIECES, work / 500000), work / piece_products);
  c.pieces = nnk_max(1, nnk_min(c.pieces, p.blocks));
  c.parts = nnk_divide_up(nnk_max(nnk_min(8, work / 500000), work / piece_products), c.pieces);
  c.parts = cut_columns ? nnk_max(1, nnk_min(c.parts, nnk_divide_up(p.part, NNK_PANEL))) : 1;

  nnk_source repeated;
  nn_real *vectors = NULL;
  size_t sums = (size_t)(c.pieces * 2 * channels) * sizeof *c.sums;
  status = repeat_vectors(&repeated, &vectors, source, p.groups * p.source_part, repeats);
  c.source = &repeated;
  if (status == NN_OK && sink->sums && !(c.sums = nn_memory_get_zeroed(sums))) status = NN_EMEMORY;
  if (status == NN_OK && p.blocks > 0) status = nnk_run(&c.outcome, c.pieces * c.parts, 1, run_piece, &c);
  for (int64_t i = 0; status == NN_OK && sink->sums && i < 2 * channels; i++) {
    sink->sums[i] = 0;
    for (int64_t piece = 0; piece < c.pieces; piece++) sink->sums[i] += c.sums[piece * 2 * channels + i];
  }
  nn_memory_put(vectors);
  nn_memory_put(c.sums);
  free_plan(&p);
  return status;
}

/* ---- the gradient to the weights ---- */

/* dweight [taps x channels of a group x out channels] is cut into parts: some taps (of all channels) or some channels
 * of one tap, and some columns. A part with one tap gathers only rows for which it is alive. The batch is cut into
 * slices, at most 8 and 32 MB together, that are summed apart and then in their order. */
typedef struct {
  const nnk_conv *s;
  const nnk_engine *engine;
  nn_real *sums;             /* [slices x size]; with one slice this is dweight itself */
  const nnk_source *dy, *x;
  nnk_grid grid;             /* forward's */
  int64_t source_part, part, size;
  int64_t taps, deep, wide;  /* of a part: taps, channels, columns */
  int64_t tap_parts, deep_parts, wide_parts, slices;
  int64_t lines;             /* of a band; 0: rows are gathered */
  nnk_outcome outcome;
} weighing;

enum { WEIGH_ROWS = 128, WEIGH_DEPTH = 256, WEIGH_COLUMNS = 512, SLICES = 8, SLICE_BYTES = 32 << 20, WEIGH_JOBS = 32 };

static void weigh_part(weighing *c, int64_t job, nn_real *x, nn_real *y) {
  int64_t slice = job % c->slices, wide_part = job / c->slices % c->wide_parts;
  int64_t deep_part = job / c->slices / c->wide_parts % c->deep_parts;
  int64_t tap = job / c->slices / c->wide_parts / c->deep_parts % c->tap_parts * c->taps;
  int64_t group = job / c->slices / c->wide_parts / c->deep_parts / c->tap_parts;
  int64_t taps = nnk_min(c->taps, c->grid.v.taps * c->grid.h.taps - tap), seen = tap;
  int64_t channel = deep_part * c->deep, channels = nnk_min(c->deep, c->source_part - channel);
  int64_t column = wide_part * c->wide, columns = nnk_min(c->wide, c->part - column);
  nnk_grid g = c->grid;
  if (taps == 1) {
    int64_t tv = tap / g.h.taps, th = tap % g.h.taps, begin, end;
    live_destinations(&c->grid.v, tv, &begin, &end);
    g.v = cut(g.v, begin, end, tv, tv + 1);
    live_destinations(&c->grid.h, th, &begin, &end);
    g.h = cut(g.h, begin, end, th, th + 1);
    seen = 0;
  }
  nnk_grid own = destination_pixels(&g);
  int64_t rows = g.images * g.v.count * g.h.count, last = (slice + 1) * rows / c->slices;
  nn_real *d = c->sums + slice * c->size + (tap * c->source_part + channel) * c->s->out_channels + group * c->part;
  for (int64_t row = slice * rows / c->slices; row < last && !nn_interrupted(); row += WEIGH_ROWS) {
    int64_t some = nnk_min(WEIGH_ROWS, last - row), step = some * NNK_LANES;
    c->engine->read_rows(x, step, c->x, &g, row, some, seen, taps, group * c->source_part + channel, channels);
    c->engine->read_rows(y, step, c->dy, &own, row, some, 0, 1, group * c->part + column, columns);
    c->engine->outer(d + column, c->s->out_channels, x, step, y, step, some, taps * channels, columns, true);
  }
}

static void weigh_jobs(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  int64_t deep = nnk_whole_blocks(c->taps * c->deep), wide = nnk_whole_blocks(c->wide);
  nn_real *x = nnk_scratch(&c->outcome, WEIGH_ROWS * (deep + wide) * (int64_t)sizeof *x);
  if (!x) return;
  for (int64_t job = begin; job < end && nnk_going(&c->outcome); job++) weigh_part(c, job, x, x + WEIGH_ROWS * deep);
  nn_memory_put(x);
}

/* All of dweight, from bands. */
static void weigh_bands(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  const nnk_grid *g = &c->grid;
  nnk_grid own = destination_pixels(g);
  int64_t line = band_line(g), bands = nnk_divide_up(g->v.count, c->lines), units = g->images * bands;
  int64_t size = nnk_whole_blocks(band_lines(g, c->lines) * line);
  int64_t y_size = c->lines * g->h.count * nnk_whole_blocks(c->part);
  nn_real *band = nnk_scratch(&c->outcome, (size + y_size) * (int64_t)sizeof *band), *y = band + size;
  if (!band) return;
  for (int64_t slice = begin; slice < end; slice++) {
    int64_t last = (slice + 1) * units / c->slices;
    for (int64_t unit = slice * units / c->slices; unit < last && !nn_interrupted(); unit++) {
      int64_t image = unit / bands, j = unit % bands * c->lines, lines = nnk_min(c->lines, g->v.count - j);
      int64_t rows = lines * g->h.count, row = (image * g->v.count + j) * g->h.count;
      c->engine->read_band(band, line, c->x, g, image, j, band_lines(g, lines));
      c->engine->read_rows(y, rows * NNK_LANES, c->dy, &own, row, rows, 0, 1, 0, c->part);
      c->engine->band_outer(c->sums + slice * c->size, band, line, g, y, rows * NNK_LANES, lines);
    }
  }
  nn_memory_put(band);
}

static void weigh_channels(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  int64_t rows = c->grid.images * c->grid.v.count * c->grid.h.count;
  for (int64_t slice = begin; slice < end; slice++) {
    int64_t last = (slice + 1) * rows / c->slices;
    for (int64_t row = slice * rows / c->slices; row < last && !nn_interrupted(); row += WEIGH_ROWS)
      c->engine->channel_outer(c->sums + slice * c->size, c->dy, c->x, &c->grid, row, nnk_min(WEIGH_ROWS, last - row));
  }
}

typedef struct {
  nn_real *dweight;
  const nn_real *sums;
  int64_t size, slices;
} folding;

static void fold_slices(void *context, int64_t begin, int64_t end) {
  const folding *f = context;
  for (int64_t slice = 0; slice < f->slices; slice++)
    for (int64_t i = begin; i < end; i++) f->dweight[i] += f->sums[slice * f->size + i];
}

/* Are at most 85 % of what the taps see inside the image? */
static bool mostly_edge(const nnk_grid *g) {
  int64_t live[2] = { 0 };
  const nnk_axis *axes[] = { &g->v, &g->h };
  for (int k = 0; k < 2; k++) {
    for (int64_t tap = 0, begin, end; tap < axes[k]->taps; tap++, live[k] += end - begin)
      live_destinations(axes[k], tap, &begin, &end);
  }
  return live[0] * live[1] * 20 < g->v.taps * g->v.count * g->h.taps * g->h.count * 17;
}

static void cut_parts(weighing *c) {
  int64_t lines = c->grid.v.taps, line_taps = c->grid.h.taps, taps = lines * line_taps;
  c->deep = c->source_part;
  c->wide = nnk_min(c->part, WEIGH_COLUMNS);
  if (c->source_part % NNK_LANES == 0) {
    int64_t fit = mostly_edge(&c->grid) ? 1 : nnk_max(1, WEIGH_DEPTH / c->source_part);
    c->taps = nnk_divide_up(taps, nnk_divide_up(taps, fit));
    if (c->taps == 1 && c->deep > WEIGH_DEPTH)
      c->deep = nnk_whole_blocks(nnk_divide_up(c->deep, nnk_divide_up(c->deep, WEIGH_DEPTH)));
  } else {
    int64_t fit = nnk_max(1, WEIGH_DEPTH / (c->source_part * line_taps));
    c->taps = nnk_divide_up(lines, nnk_divide_up(lines, fit)) * line_taps;
  }
  c->tap_parts = nnk_divide_up(taps, c->taps);
  c->deep_parts = nnk_divide_up(c->source_part, c->deep);
  c->wide_parts = nnk_divide_up(c->part, c->wide);
}

int nnk_direct_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x) {
  const nnk_conv *s = &m->shape;
  weighing c = { .s = s, .engine = nnk_engine_chosen(), .sums = dweight, .dy = dy,
                 .source_part = s->channels / s->groups, .part = s->out_channels / s->groups };
  c.grid = (nnk_grid){ .v = forward_axis(s->height, s->out_height, s->kernel_height, s),
                       .h = forward_axis(s->width, s->out_width, s->kernel_width, s),
                       .images = s->images, .height = s->out_height, .width = s->out_width,
                       .channels = s->out_channels, .source_channels = s->channels };
  c.size = s->kernel_height * s->kernel_width * c.source_part * s->out_channels;
  bool by_channel = s->groups > 1 && c.source_part == 1 && c.part == 1;
  int64_t rows = s->images * s->out_height * s->out_width;
  if (rows * c.size == 0) return NN_OK;
  cut_parts(&c);
  c.lines = by_channel ? 0 : choose_band(&c.grid, s->groups);
  int64_t parts = by_channel || c.lines > 0 ? 1 : s->groups * c.tap_parts * c.deep_parts * c.wide_parts;
  c.slices = nnk_min(SLICES, SLICE_BYTES / (c.size * (int64_t)sizeof *dweight));
  c.slices = nnk_max(1, nnk_min(nnk_min(c.slices, nnk_divide_up(WEIGH_JOBS, parts)), rows / WEIGH_ROWS));

  nnk_source repeated;
  nn_real *vectors = NULL;
  int64_t repeats = c.lines > 0 ? s->width : c.source_part % NNK_LANES && s->groups == 1 ? s->kernel_width : 1;
  int status = repeat_vectors(&repeated, &vectors, x, s->channels, repeats);
  c.x = &repeated;
  if (status == NN_OK && c.slices > 1) {
    c.sums = nn_memory_get_zeroed((size_t)(c.slices * c.size) * sizeof *c.sums);
    if (!c.sums) status = NN_EMEMORY;
  }
  nn_chunk work = by_channel ? weigh_channels : c.lines > 0 ? weigh_bands : weigh_jobs;
  if (status == NN_OK) status = nnk_run(&c.outcome, c.slices * parts, 1, work, &c);
  if (c.slices > 1) {
    folding f = { dweight, c.sums, c.size, c.slices };
    if (status == NN_OK) status = nn_parallel_for(c.size, 32768, fold_slices, &f);
    nn_memory_put(c.sums);
  }
  nn_memory_put(vectors);
  return status;
}
