/* winograd.c -- 3x3 convolution of stride 1 with a quarter of the multiplications: Winograd's F(4x4, 3x3).
 *
 * Images are cut into tiles of 4 x 4 results, each of which sees 6 x 6 pixels d. With the transforms A, B, G of
 * winograd_body.h,
 *   y = A [ sum over channels of (G g G') . (B d B') ] A'
 * where . goes element by element: 36 products where the definition has 144. So there are 36 independent matrix
 * products, one for each position in a transformed tile:
 *   V[36][C/16][tiles][16]   transformed pixels, B d B'
 *   U[36][K/32][C][32]       transformed weights, G g G'
 *   M[36][K/16][tiles][16]   M = V U
 * The gradient to the input is the same with weights turned by 180 degrees and transposed. The gradient to the weights
 * is the transpose of the formula in g: with Y[36][K/16][tiles][16] = A' dy A,
 *   D[36][C][K] = sum over tiles of V Y,   dg = G' D G
 *
 * Positions are spread over memory by an odd number of cache lines, or the 36 lines that a tile touches would compete
 * for a few sets of the caches.
 *
 * Rounding. Transformed values are larger than results, and their errors come back with them: the points 0, +-2/3,
 * +-4/3 were chosen for small ones (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution
 * for Deep Neural Networks", 2020). For data and weights of any one size, the error of a result is below 2e-5 of the
 * results' root mean square; that of direct summation is about a fifth of it.
 *
 * Pieces, blocks and slices depend on shape alone, so results are the same bits with any number of threads.
 */
#include <math.h>
#include <string.h>

#include "kernels/engine.h"
#include "kernels/winograd.h"

enum { POSITIONS = 36 };

/* Memory for V and M, or V and Y, of a chunk of tiles; for all slices of D. */
#define CHUNK_BYTES ((int64_t)24 << 20)
#define SLICE_BYTES ((int64_t)32 << 20)

/* A block of tiles: with that, V and M of layers up to 128 channels fit the second-level cache beside the weights in
 * use, and halves are good rows for the products. Sums for D take a longer one, as D is read and written for each. */
enum { BLOCK = 16, WEIGH_BLOCK = 32 };
/* From here (channels x channels) weights are too large for every block to read them all. */
#define LARGE (200 * 200)

bool nnk_winograd_possible(const nnk_conv *s) {
  return s->kernel_height == 3 && s->kernel_width == 3 && s->stride == 1 && s->dilation == 1 && s->groups == 1 &&
         s->padding <= 2;
}

static nnk_tiles tiles_of(int64_t height, int64_t width, int64_t channels, int64_t out_height, int64_t out_width,
                          int64_t before) {
  return (nnk_tiles){ .height = height, .width = width, .channels = channels, .down = nnk_divide_up(out_height, 4),
                      .across = nnk_divide_up(out_width, 4), .before = before };
}

/* The tiles of a pass as they lie in what it reads and in what it writes. */
static nnk_tiles tiles_read(const nnk_conv *s, bool backward) {
  return backward
             ? tiles_of(s->out_height, s->out_width, s->out_channels, s->height, s->width, 2 - s->padding)
             : tiles_of(s->height, s->width, s->channels, s->out_height, s->out_width, s->padding);
}

static nnk_tiles tiles_written(const nnk_conv *s, bool backward) {
  return backward ? tiles_of(s->height, s->width, s->channels, s->height, s->width, 0)
                  : tiles_of(s->out_height, s->out_width, s->out_channels, s->out_height, s->out_width, 0);
}

static int64_t tile_count(const nnk_conv *s, const nnk_tiles *g) { return s->images * g->down * g->across; }

/* Pairs of a result and a tap that meet inside the image, along an axis. */
static int64_t live_taps(int64_t size, int64_t out_size, int64_t padding) {
  int64_t live = 0;
  for (int64_t tap = 0; tap < 3; tap++)
    live += nnk_max(0, nnk_min(out_size, size + padding - tap) - nnk_max(0, padding - tap));
  return live;
}

/* Multiply-adds of blocks, or what takes as long: products; transforms of tiles, and of the weights (measured, as they
 * wait for memory rather than for arithmetic). A direct way has products only, for taps inside the image, and reaches
 * three quarters of their speed. */
bool nnk_winograd_suits(const nnk_conv *s, nnk_conv_pass pass) {
  if (!nnk_winograd_possible(s)) return false;
  nnk_tiles g = tiles_written(s, pass == NNK_GRAD_INPUT);
  double deep = (double)s->channels, wide = (double)nnk_divide_up(s->out_channels, NNK_LANES);
  if (pass == NNK_GRAD_INPUT) {
    deep = (double)s->out_channels;
    wide = (double)nnk_divide_up(s->channels, NNK_LANES);
  }
  double tiles = (double)tile_count(s, &g), products = deep * wide;
  double ours = tiles * (36 * products + 220 * ceil(deep / NNK_LANES) + 250 * wide) + 750 * products;
  int64_t live = live_taps(s->height, s->out_height, s->padding) * live_taps(s->width, s->out_width, s->padding);
  return 1.25 * ours < (double)(s->images * live) * products / 0.75;
}

/* ---- weights ---- */

static int64_t weight_spacing(const nnk_conv *s, bool backward) {
  return backward ? nnk_spaced(s->out_channels * nnk_whole_blocks(s->channels))
                  : nnk_spaced(s->channels * nnk_whole_blocks(s->out_channels));
}

size_t nnk_winograd_weights(const nnk_conv *s, nnk_conv_pass pass) {
  return (size_t)(POSITIONS * weight_spacing(s, pass == NNK_GRAD_INPUT)) * sizeof(nn_real);
}

typedef struct {
  nnk_weights_transform *transform;
  const nnk_conv *shape;
  bool backward, stream;
  nn_real *u;
  const nn_real *weight, *scale;
  int64_t depth, stripes;       /* rows of depth, and pieces of each panel */
  nnk_outcome outcome;
} preparing;

enum { STRIPE = 32 };

static void prepare_stripes(void *context, int64_t begin, int64_t end) {
  preparing *c = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t panel = i / c->stripes * NNK_PANEL, row = i % c->stripes * STRIPE;
    c->transform(c->u, weight_spacing(c->shape, c->backward), c->shape, c->backward, c->weight, c->scale, panel, row,
                 nnk_min(c->depth, row + STRIPE), c->stream);
  }
}

int nnk_winograd_transform(nnk_weights_transform *transform, const nnk_conv_method *m, void *prepared,
                           const nn_real *weight, const nn_real *scale) {
  const nnk_conv *s = &m->shape;
  bool backward = m->pass == NNK_GRAD_INPUT;
  preparing c = { .transform = transform, .shape = s, .backward = backward, .u = prepared, .weight = weight,
                  .scale = scale, .depth = backward ? s->out_channels : s->channels,
                  .stream = m->weights > (size_t)16 << 20 };
  c.stripes = nnk_divide_up(c.depth, STRIPE);
  int64_t panels = nnk_divide_up(backward ? s->channels : s->out_channels, NNK_PANEL);
  return nnk_run(&c.outcome, panels * c.stripes, 4, prepare_stripes, &c);
}

int nnk_winograd_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale) {
  return nnk_winograd_transform(nnk_engine_chosen()->winograd_weights, m, prepared, weight, scale);
}

/* ---- forward, and backward to the input ---- */

typedef struct {
  const nnk_engine *engine;
  nnk_tiles read, written;
  const nnk_source *source;
  const nnk_sink *sink;
  const nn_real *u;
  nn_real *v, *m;
  int64_t depth, columns, u_position;  /* columns of the product: whole blocks */
  int64_t tiles, block, piece;         /* all of them; in a block; in a piece */
  int64_t chunk, chunk_end;            /* tiles of the phases under way */
  double *sums;                        /* [pieces x 2 x channels], or of the sink */
  nnk_outcome outcome;
} running;

/* Brings what tiles [begin, end) read or write of an image array near, part `part` of POSITIONS, while products are
 * being computed: rows of four pixels, four to a tile. Rows above were brought by the tiles above. (GCC would take a
 * function that only prefetches, and is not inlined, for one without effect.) */
NNK_INLINE void fetch(const nn_real *x, const nnk_tiles *g, int64_t begin, int64_t end, int64_t part) {
  int64_t rows = 4 * (end - begin), line = 64 / (int64_t)sizeof(nn_real), ahead = 2 * g->before;
  for (int64_t i = rows * part / POSITIONS; x && i < rows * (part + 1) / POSITIONS; i++) {
    int64_t tile = begin + i / 4, down = tile / g->across, across = tile % g->across * 4 - g->before + ahead;
    int64_t row = down % g->down * 4 + i % 4 - g->before + ahead, last = nnk_min(g->width, across + 4);
    if (row >= g->height) continue;
    const nn_real *pixels = x + (down / g->down * g->height + row) * g->width * g->channels;
    for (int64_t c = across * g->channels; c < last * g->channels; c += line) __builtin_prefetch(pixels + c, 0, 2);
  }
}

/* Small layers: a block of tiles goes from images to images while it stays in the second-level cache. */
static void run_piece(void *context, int64_t begin, int64_t end) {
  running *c = context;
  int64_t step = c->block * NNK_LANES;
  int64_t v_position = nnk_spaced(nnk_whole_blocks(c->depth) * c->block);
  int64_t m_position = nnk_spaced(c->columns * c->block);
  nn_real *v = nnk_scratch(&c->outcome, POSITIONS * (v_position + m_position) * (int64_t)sizeof(nn_real));
  if (!v) return;
  nn_real *m = v + POSITIONS * v_position;
  double *sums = c->sums ? c->sums + begin / c->piece * 2 * c->written.channels : NULL;
  if (sums) memset(sums, 0, (size_t)c->written.channels * 2 * sizeof *sums);
  for (int64_t t = begin; t < end && nnk_going(&c->outcome); t += c->block) {
    int64_t last = nnk_min(end, t + c->block);
    c->engine->winograd_spread_data(v, v_position, step, &c->read, c->source, t, last);
    int64_t next = nnk_min(end, last + c->block);
    for (int p = 0; p < POSITIONS; p++) {
      fetch(c->source->x, &c->read, last, next, p);
      fetch(c->source->other, &c->read, last, next, p);
      fetch(c->sink->y, &c->written, t, last, p);
      if (c->sink->residual != c->sink->y) fetch(c->sink->residual, &c->written, t, last, p);
      fetch(c->sink->z, &c->written, t, last, p);
      c->engine->multiply(m + p * m_position, step, v + p * v_position, step, c->u + p * c->u_position, last - t,
                          c->depth, c->columns, false);
    }
    c->engine->winograd_collect(c->sink, sums, &c->written, m, m_position, step, t, last, 0, c->written.channels);
  }
  nn_memory_put(v);
}

/* Large layers: one phase after the other over a chunk of tiles, so that weights pass by once for many tiles. */
static void spread_phase(void *context, int64_t begin, int64_t end) {
  running *c = context;
  int64_t step = c->block * NNK_LANES, position = nnk_spaced(nnk_whole_blocks(c->depth) * c->block);
  c->engine->winograd_spread_data(c->v + begin * NNK_LANES, position, step, &c->read, c->source, c->chunk + begin,
                                  c->chunk + end);
}

enum { PHASE_COLUMNS = 256 };

static void multiply_phase(void *context, int64_t begin, int64_t end) {
  running *c = context;
  int64_t step = c->block * NNK_LANES, parts = nnk_divide_up(c->columns, PHASE_COLUMNS);
  for (int64_t i = begin; i < end; i++) {
    int64_t position = i / parts, column = i % parts * PHASE_COLUMNS;
    c->engine->multiply(c->m + position * nnk_spaced(c->columns * c->block) + column * c->block, step,
                        c->v + position * nnk_spaced(nnk_whole_blocks(c->depth) * c->block), step,
                        c->u + position * c->u_position + nnk_panel_offset(column, c->depth),
                        c->chunk_end - c->chunk, c->depth, nnk_min(PHASE_COLUMNS, c->columns - column), false);
  }
}

static void collect_phase(void *context, int64_t begin, int64_t end) {
  running *c = context;
  c->engine->winograd_collect(c->sink, c->sink->sums, &c->written, c->m, nnk_spaced(c->columns * c->block),
                              c->block * NNK_LANES, c->chunk, c->chunk_end, begin * NNK_LANES,
                              nnk_min(c->written.channels, end * NNK_LANES));
}

static int run_phases(running *c) {
  int64_t bytes = POSITIONS * (nnk_whole_blocks(c->depth) + c->columns) * (int64_t)sizeof(nn_real);
  int64_t chunks = nnk_divide_up(nnk_max(1, c->tiles), nnk_max(14, CHUNK_BYTES / bytes));
  c->block = nnk_divide_up(c->tiles, chunks);
  int64_t v_size = POSITIONS * nnk_spaced(nnk_whole_blocks(c->depth) * c->block);
  int64_t m_size = POSITIONS * nnk_spaced(c->columns * c->block);
  c->v = nn_memory_borrow((size_t)(v_size + m_size) * sizeof(nn_real));
  if (!c->v) return NN_EMEMORY;
  c->m = c->v + v_size;
  if (c->sink->sums) memset(c->sink->sums, 0, (size_t)c->written.channels * 2 * sizeof *c->sink->sums);
  int status = NN_OK;
  for (c->chunk = 0; c->chunk < c->tiles && status == NN_OK; c->chunk += c->block) {
    c->chunk_end = nnk_min(c->tiles, c->chunk + c->block);
    status = nnk_run(&c->outcome, c->chunk_end - c->chunk, 4, spread_phase, c);
    if (status == NN_OK)
      status = nnk_run(&c->outcome, POSITIONS * nnk_divide_up(c->columns, PHASE_COLUMNS), 1, multiply_phase, c);
    if (status == NN_OK) status = nnk_run(&c->outcome, nnk_divide_up(c->written.channels, 16), 2, collect_phase, c);
  }
  nn_memory_put(c->v);
  return status;
}

static int run_blocks(running *c) {
  int64_t channels = c->written.channels;
  c->block = BLOCK;
  c->piece = c->block * nnk_max(1, nnk_min(8, c->tiles / c->block / 48));
  int64_t pieces = nnk_divide_up(c->tiles, c->piece);
  if (c->sink->sums) {
    c->sums = nn_memory_get((size_t)(nnk_max(1, pieces) * 2 * channels) * sizeof *c->sums);
    if (!c->sums) return NN_EMEMORY;
  }
  int status = nnk_run(&c->outcome, c->tiles, c->piece, run_piece, c);
  if (c->sums && status == NN_OK) {
    memset(c->sink->sums, 0, (size_t)channels * 2 * sizeof *c->sums);
    for (int64_t i = 0; i < pieces; i++)
      for (int64_t j = 0; j < 2 * channels; j++) c->sink->sums[j] += c->sums[i * 2 * channels + j];
  }
  nn_memory_put(c->sums);
  return status;
}

int nnk_winograd_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared) {
  const nnk_conv *s = &m->shape;
  bool backward = m->pass == NNK_GRAD_INPUT;
  running c = { .engine = nnk_engine_chosen(), .read = tiles_read(s, backward), .written = tiles_written(s, backward),
                .source = source, .sink = sink, .u = prepared, .u_position = weight_spacing(s, backward) };
  c.depth = c.read.channels;
  c.columns = nnk_whole_blocks(c.written.channels);
  c.tiles = tile_count(s, &c.written);
  return c.depth * c.columns >= LARGE || c.tiles < 8 * BLOCK ? run_phases(&c) : run_blocks(&c);
}

/* ---- backward to the weights ---- */

typedef struct {
  const nnk_engine *engine;
  const nnk_conv *shape;
  nnk_tiles data, gradient;
  const nnk_source *x, *dy;
  nn_real *dweight;
  int64_t channels, columns;           /* of D: rows, and whole blocks of columns */
  int64_t tiles, block;
  nn_real *d;                          /* slices: [slices][36][channels][columns] */
  int64_t slices, first, last;         /* blocks of each slice to be added, from its own first one */
  nn_real *v, *y;                      /* phases */
  int64_t chunk, chunk_end;
  nnk_outcome outcome;
} weighing;

static int64_t d_position(const weighing *c) { return nnk_spaced(c->channels * c->columns); }
static int64_t v_position(const weighing *c) { return nnk_spaced(nnk_whole_blocks(c->channels) * c->block); }
static int64_t y_position(const weighing *c) { return nnk_spaced(c->columns * c->block); }

/* The blocks of slice i: [slice_first(i), slice_first(i + 1)). */
static int64_t slice_first(const weighing *c, int64_t i) { return i * nnk_divide_up(c->tiles, c->block) / c->slices; }

static void weigh_slice(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  int64_t step = c->block * NNK_LANES;
  nn_real *v = nnk_scratch(&c->outcome, POSITIONS * (v_position(c) + y_position(c)) * (int64_t)sizeof(nn_real));
  if (!v) return;
  nn_real *y = v + POSITIONS * v_position(c);
  for (int64_t i = begin; i < end; i++) {
    nn_real *d = c->d + i * POSITIONS * d_position(c);
    int64_t first = slice_first(c, i), stop = nnk_min(slice_first(c, i + 1), first + c->last);
    for (int64_t b = first + c->first; b < stop && nnk_going(&c->outcome); b++) {
      int64_t t = b * c->block, tiles = nnk_min(c->block, c->tiles - t);
      c->engine->winograd_spread_data(v, v_position(c), step, &c->data, c->x, t, t + tiles);
      c->engine->winograd_spread_gradient(y, y_position(c), step, &c->gradient, c->dy, t, t + tiles);
      int64_t next = t + tiles, after = nnk_min(c->tiles, next + c->block);
      for (int p = 0; p < POSITIONS; p++) {
        fetch(c->x->x, &c->data, next, after, p);
        fetch(c->x->other, &c->data, next, after, p);
        fetch(c->dy->x, &c->gradient, next, after, p);
        fetch(c->dy->other, &c->gradient, next, after, p);
        c->engine->outer(d + p * d_position(c), c->columns, v + p * v_position(c), step, y + p * y_position(c), step,
                         tiles, c->channels, c->columns, b > first);
      }
    }
  }
  nn_memory_put(v);
}

static void add_slices(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  c->engine->winograd_weights_back(c->dweight, c->shape, c->d + begin * c->columns, d_position(c), c->columns,
                                   POSITIONS * d_position(c), c->slices, begin, end, 0, c->shape->out_channels);
}

/* Small layers: every slice of the tiles has a D of its own; its blocks stay in the second-level cache. */
static int weigh_slices(weighing *c) {
  c->block = WEIGH_BLOCK;
  int64_t blocks = nnk_divide_up(c->tiles, c->block);
  c->slices = nnk_min(blocks, nnk_min(8, SLICE_BYTES / (POSITIONS * d_position(c) * (int64_t)sizeof(nn_real))));
  c->d = nn_memory_borrow((size_t)(c->slices * POSITIONS * d_position(c)) * sizeof(nn_real));
  if (!c->d) return NN_EMEMORY;
  int64_t longest = nnk_divide_up(blocks, c->slices) + 1;
  int64_t round = nnk_max(1, ((int64_t)2 << 30) / (POSITIONS * c->block * c->channels * c->columns));
  int status = NN_OK;
  for (c->first = 0; c->first < longest && status == NN_OK; c->first = c->last) {
    c->last = c->first + round;
    status = nnk_run(&c->outcome, c->slices, 1, weigh_slice, c);
  }
  if (status == NN_OK) status = nnk_run(&c->outcome, c->channels, 4, add_slices, c);
  nn_memory_put(c->d);
  return status;
}

static void spread_both(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  int64_t step = c->block * NNK_LANES;
  c->engine->winograd_spread_data(c->v + begin * NNK_LANES, v_position(c), step, &c->data, c->x, c->chunk + begin,
                                  c->chunk + end);
  c->engine->winograd_spread_gradient(c->y + begin * NNK_LANES, y_position(c), step, &c->gradient, c->dy,
                                      c->chunk + begin, c->chunk + end);
}

/* Channels of an item, and tiles of a chunk, at most: what items of 32 columns read of Y (590 KB) stays in the
 * second-level cache from one to the next. */
enum { ITEM = 64, DEEP = 128 };

/* Brings part `part` of POSITIONS of an item's dweight near: a quarter of its channels, for one of nine taps. */
NNK_INLINE void fetch_weights(const weighing *c, int part, int64_t channel, int64_t k) {
  int64_t first = channel + part % 4 * (ITEM / 4), last = nnk_min(c->channels, first + ITEM / 4);
  for (int64_t row = part / 4 * c->channels + first; row < part / 4 * c->channels + last; row++) {
    const nn_real *to = c->dweight + row * c->shape->out_channels + k;
    __builtin_prefetch(to, 1, 2);
    __builtin_prefetch(to + NNK_LANES, 1, 2);
  }
}

/* Items are ITEM channels x 32 columns of D, columns outermost: D of all positions fits the second-level cache, and
 * never goes to memory. */
static void weigh_items(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  int64_t step = c->block * NNK_LANES, across = nnk_divide_up(c->channels, ITEM);
  int64_t position = nnk_spaced(ITEM * NNK_PANEL);
  nn_real *d = nnk_scratch(&c->outcome, POSITIONS * position * (int64_t)sizeof(nn_real));
  if (!d) return;
  for (int64_t i = begin; i < end; i++) {
    int64_t k = i / across * NNK_PANEL, channel = i % across * ITEM;
    int64_t last_k = nnk_min(c->columns, k + NNK_PANEL), last_channel = nnk_min(c->channels, channel + ITEM);
    for (int p = 0; p < POSITIONS; p++) {
      fetch_weights(c, p, channel, k);
      c->engine->outer(d + p * position, NNK_PANEL, c->v + p * v_position(c) + channel * c->block, step,
                       c->y + p * y_position(c) + k * c->block, step, c->chunk_end - c->chunk,
                       last_channel - channel, last_k - k, false);
    }
    c->engine->winograd_weights_back(c->dweight, c->shape, d, position, NNK_PANEL, 0, 1, channel, last_channel, k,
                                     nnk_min(last_k, c->shape->out_channels));
  }
  nn_memory_put(d);
}

/* Large layers: D is cut instead of the tiles. */
static int weigh_phases(weighing *c) {
  int64_t bytes = POSITIONS * (nnk_whole_blocks(c->channels) + c->columns) * (int64_t)sizeof(nn_real);
  int64_t chunks = nnk_divide_up(nnk_max(1, c->tiles), nnk_max(14, nnk_min(DEEP, CHUNK_BYTES / bytes)));
  c->block = nnk_divide_up(c->tiles, chunks);
  c->v = nn_memory_borrow((size_t)(POSITIONS * (v_position(c) + y_position(c))) * sizeof(nn_real));
  if (!c->v) return NN_EMEMORY;
  c->y = c->v + POSITIONS * v_position(c);
  int64_t items = nnk_divide_up(c->columns, NNK_PANEL) * nnk_divide_up(c->channels, ITEM);
  int status = NN_OK;
  for (c->chunk = 0; c->chunk < c->tiles && status == NN_OK; c->chunk += c->block) {
    c->chunk_end = nnk_min(c->tiles, c->chunk + c->block);
    status = nnk_run(&c->outcome, c->chunk_end - c->chunk, 4, spread_both, c);
    if (status == NN_OK) status = nnk_run(&c->outcome, items, 1, weigh_items, c);
  }
  nn_memory_put(c->v);
  return status;
}

int nnk_winograd_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x) {
  const nnk_conv *s = &m->shape;
  weighing c = { .engine = nnk_engine_chosen(), .shape = s, .data = tiles_read(s, false),
                 .gradient = tiles_written(s, false), .x = x, .dy = dy, .dweight = dweight, .channels = s->channels,
                 .columns = nnk_whole_blocks(s->out_channels) };
  c.tiles = tile_count(s, &c.gradient);
  if (c.tiles == 0) return NN_OK;
  return 4 * POSITIONS * d_position(&c) * (int64_t)sizeof(nn_real) <= SLICE_BYTES ? weigh_slices(&c) : weigh_phases(&c);
}
