/* strided.c -- 3x3 convolution of stride 2 and padding 1 in nine sixteenths of the multiplications.
 *
 * Along one axis, a result sees an odd pixel, an even one and an odd one:
 *   y[i] = w[0] x[2i - 1] + w[1] x[2i] + w[2] x[2i + 1]
 * The even pixels meet one tap: four results take four products. The odd ones meet two, with stride 1 among themselves:
 * by Winograd's F(4, 2), four results take five products instead of eight. In two dimensions, 4 x 4 results take
 * (5 + 4)^2 = 81 products where the definition has 144. With the transforms A, B, G of strided_body.h, extended to nine
 * places by the identity,
 *   y = A [ sum over channels of (G g G') . (B d B') ] A'
 * from tiles d of 9 x 9 pixels. A plain place of the middle tap has the same weight as its three neighbours, so the 81
 * positions meet only 36 weights (strided.h): products of tiles, 4 tiles and 16 tiles rows,
 *   V[36][C/16][rows][16]   transformed pixels, B d B'
 *   U[36][K/32][C][32]      transformed weights, G g G'
 *   M[36][K/16][rows][16]   M = V U
 * Backward, even pixels of dx see one tap of dy and odd ones two:
 *   dx[2i] = w[1] dy[i],   dx[2i + 1] = w[2] dy[i] + w[0] dy[i + 1]
 * which is the same with 5 x 5 gradients under 8 x 8 pixels, and weights turned and transposed. The gradient to the
 * weights is the transpose of the formula in g: with Y = A' dy A,
 *   D[36][C][K] = sum over rows of V Y,   dg = G' D G
 *
 * Matrices are spread over memory by an odd number of cache lines, or the lines that a tile touches would compete for a
 * few sets of the caches.
 *
 * Rounding. The points, +-3/8, +-9/8 and infinity, are those of small error: for data and weights of any one size, the
 * error of a result is below 1e-5 of the results' root mean square; that of direct summation is about a third of it.
 *
 * Pieces and blocks depend on shape alone, so results are the same bits with any number of threads.
 */
#include <string.h>

#include "kernels/engine.h"
#include "kernels/strided.h"
#include "kernels/winograd.h"

/* Memory for V, and for V and Y, of what is computed at once. */
#define CHUNK_BYTES ((int64_t)24 << 20)

enum {
  BLOCK = 14,           /* tiles that stay in the second-level cache: a multiple of what engines hold in registers */
  CHUNK = 70,           /* tiles that pass by all weights in turn, where these are many */
  LARGE = 200 * 200,    /* channels in x out of such a layer */
  STRIPE = 32, DEEP = 128,
  ITEM = 64,            /* channels, and columns, of D that stay in the second-level cache */
};

static nnk_strided_matrices matrices_of(int64_t tiles, int64_t channels) {
  return (nnk_strided_matrices){ .tiles = tiles, .single = nnk_spaced(tiles * nnk_whole_blocks(channels)),
                                 .quad = nnk_spaced(4 * tiles * nnk_whole_blocks(channels)) };
}

static int64_t elements_of(int64_t tiles, int64_t channels) {
  nnk_strided_matrices m = matrices_of(tiles, channels);
  return nnk_strided_offset(&m, NNK_STRIDED_MATRICES - 1) + nnk_spaced(16 * tiles * nnk_whole_blocks(channels));
}

/* Bytes of one tile, without spacing. */
static int64_t tile_bytes(int64_t channels) { return 81 * nnk_whole_blocks(channels) * (int64_t)sizeof(nn_real); }

/* Rows of matrix i in a block of channels, in elements: its step. */
static int64_t step_of(const nnk_strided_matrices *m, int64_t i) {
  return nnk_strided_share(i) * m->tiles * NNK_LANES;
}

static nnk_tiles tiles_of(const nnk_conv *s, bool image, int64_t before) {
  return (nnk_tiles){ .height = image ? s->height : s->out_height, .width = image ? s->width : s->out_width,
                      .channels = image ? s->channels : s->out_channels, .down = nnk_divide_up(s->out_height, 4),
                      .across = nnk_divide_up(s->out_width, 4), .before = before };
}

static int64_t tile_count(const nnk_conv *s) {
  return s->images * nnk_divide_up(s->out_height, 4) * nnk_divide_up(s->out_width, 4);
}

bool nnk_strided_possible(const nnk_conv *s) {
  return s->kernel_height == 3 && s->kernel_width == 3 && s->stride == 2 && s->dilation == 1 && s->groups == 1 &&
         s->padding == 1;
}

/* Transforms and unused parts of tiles cost what they cost; products pay for them when they are deep and wide, and have
 * many rows. */
bool nnk_strided_suits(const nnk_conv *s, nnk_conv_pass pass) {
  (void)pass;
  double direct = 9.0 * (double)(s->images * s->out_height * s->out_width), ours = 81.0 * (double)tile_count(s);
  return nnk_strided_possible(s) && s->channels >= 32 && s->out_channels >= 32 && tile_count(s) >= BLOCK &&
         direct >= 1.5 * ours;
}

/* ---- weights ---- */

static int64_t weight_spacing(const nnk_conv *s, bool backward) {
  return backward ? nnk_spaced(s->out_channels * nnk_whole_blocks(s->channels))
                  : nnk_spaced(s->channels * nnk_whole_blocks(s->out_channels));
}

size_t nnk_strided_weights(const nnk_conv *s, nnk_conv_pass pass) {
  return (size_t)(NNK_STRIDED_MATRICES * weight_spacing(s, pass == NNK_GRAD_INPUT)) * sizeof(nn_real);
}

int nnk_strided_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale) {
  return nnk_winograd_transform(nnk_engine_chosen()->strided_weights, m, prepared, weight, scale);
}

/* ---- forward, and backward to the input ---- */

typedef struct {
  const nnk_engine *engine;
  bool backward;
  nnk_tiles read, written;
  const nnk_source *source;
  const nnk_sink *sink;
  const nn_real *u;
  int64_t depth, columns, u_position;  /* columns of the product: whole blocks */
  int64_t tiles, piece;                /* all of them; in a piece */
  nn_real *v;                          /* of the chunk under way, which begins there */
  nnk_strided_matrices chunk;
  int64_t chunk_begin;
  double *sums;                        /* [pieces x 2 x channels] */
  nnk_outcome outcome;
} running;

static void spread(const running *c, nn_real *v, const nnk_strided_matrices *m, int64_t row, int64_t begin,
                   int64_t end) {
  c->engine->strided_spread(c->backward ? NNK_STRIDED_RESULTS : NNK_STRIDED_DATA, v, m, row, &c->read, c->source,
                            begin, end);
}

/* A panel of M [tiles x 32 columns] = V U, and from there to the images. Tiles begin with `tile`. */
static void finish_panel(const running *c, nn_real *m, const nn_real *v, const nnk_strided_matrices *shape,
                         int64_t tile, int64_t column, double *sums) {
  int64_t columns = nnk_min(NNK_PANEL, c->columns - column);
  nnk_strided_matrices panel = matrices_of(shape->tiles, columns);
  const nn_real *u = c->u + nnk_panel_offset(column, c->depth);
  for (int64_t i = 0; i < NNK_STRIDED_MATRICES; i++)
    c->engine->multiply(m + nnk_strided_offset(&panel, i), step_of(&panel, i), v + nnk_strided_offset(shape, i),
                        step_of(shape, i), u + i * c->u_position, nnk_strided_share(i) * shape->tiles, c->depth,
                        columns, false);
  c->engine->strided_collect(c->backward, c->sink, sums, &c->written, m, &panel, tile, column,
                             nnk_min(c->written.channels, column + columns));
}

/* Small layers: a block of tiles goes from images to images while it stays in the second-level cache. */
static void run_piece(void *context, int64_t begin, int64_t end) {
  running *c = context;
  int64_t v_size = elements_of(BLOCK, c->depth), m_size = elements_of(BLOCK, NNK_PANEL);
  nn_real *v = nnk_scratch(&c->outcome, (v_size + m_size) * (int64_t)sizeof(nn_real));
  if (!v) return;
  double *sums = c->sums ? c->sums + begin / c->piece * 2 * c->written.channels : NULL;
  if (sums) memset(sums, 0, (size_t)c->written.channels * 2 * sizeof *sums);
  for (int64_t t = begin; t < end && nnk_going(&c->outcome); t += BLOCK) {
    nnk_strided_matrices block = matrices_of(nnk_min(BLOCK, end - t), c->depth);
    spread(c, v, &block, 0, t, t + block.tiles);
    for (int64_t column = 0; column < c->columns; column += NNK_PANEL)
      finish_panel(c, v + v_size, v, &block, t, column, sums);
  }
  nn_memory_put(v);
}

static int run_blocks(running *c) {
  int64_t channels = c->written.channels;
  c->piece = BLOCK * nnk_max(1, nnk_min(8, c->tiles / BLOCK / 32));
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

/* Large layers: weights pass by once for a chunk of tiles. */
static void spread_phase(void *context, int64_t begin, int64_t end) {
  running *c = context;
  spread(c, c->v, &c->chunk, begin, c->chunk_begin + begin, c->chunk_begin + end);
}

static void panel_phase(void *context, int64_t begin, int64_t end) {
  running *c = context;
  nn_real *m = nnk_scratch(&c->outcome, elements_of(c->chunk.tiles, NNK_PANEL) * (int64_t)sizeof(nn_real));
  if (!m) return;
  for (int64_t i = begin; i < end && nnk_going(&c->outcome); i++)
    finish_panel(c, m, c->v, &c->chunk, c->chunk_begin, i * NNK_PANEL, c->sink->sums);
  nn_memory_put(m);
}

static int run_phases(running *c) {
  int64_t most = nnk_max(BLOCK, nnk_min(CHUNK, CHUNK_BYTES / tile_bytes(c->depth)));
  int64_t chunk = nnk_divide_up(c->tiles, nnk_divide_up(c->tiles, most));
  c->v = nn_memory_borrow((size_t)elements_of(chunk, c->depth) * sizeof(nn_real));
  if (!c->v) return NN_EMEMORY;
  if (c->sink->sums) memset(c->sink->sums, 0, (size_t)c->written.channels * 2 * sizeof *c->sink->sums);
  int status = NN_OK;
  for (c->chunk_begin = 0; c->chunk_begin < c->tiles && status == NN_OK; c->chunk_begin += chunk) {
    c->chunk = matrices_of(nnk_min(chunk, c->tiles - c->chunk_begin), c->depth);
    status = nnk_run(&c->outcome, c->chunk.tiles, 2, spread_phase, c);
    if (status == NN_OK) status = nnk_run(&c->outcome, nnk_divide_up(c->columns, NNK_PANEL), 1, panel_phase, c);
  }
  nn_memory_put(c->v);
  return status;
}

int nnk_strided_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared) {
  const nnk_conv *s = &m->shape;
  bool backward = m->pass == NNK_GRAD_INPUT;
  running c = { .engine = nnk_engine_chosen(), .backward = backward, .read = tiles_of(s, !backward, !backward),
                .written = tiles_of(s, backward, 0), .source = source, .sink = sink, .u = prepared,
                .u_position = weight_spacing(s, backward), .tiles = tile_count(s) };
  c.depth = c.read.channels;
  c.columns = nnk_whole_blocks(c.written.channels);
  return c.depth * c.columns >= LARGE || c.tiles < 8 * BLOCK ? run_phases(&c) : run_blocks(&c);
}

/* ---- backward to the weights ---- */

typedef struct {
  const nnk_engine *engine;
  const nnk_conv *shape;
  nnk_tiles data, gradient;
  const nnk_source *x, *dy;
  nn_real *dweight, *v, *y;
  nnk_strided_matrices data_chunk, gradient_chunk;
  int64_t chunk_begin;
  nnk_outcome outcome;
} weighing;

static void spread_both(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  int64_t first = c->chunk_begin + begin, last = c->chunk_begin + end;
  c->engine->strided_spread(NNK_STRIDED_DATA, c->v, &c->data_chunk, begin, &c->data, c->x, first, last);
  c->engine->strided_spread(NNK_STRIDED_GRADIENT, c->y, &c->gradient_chunk, begin, &c->gradient, c->dy, first, last);
}

/* Items are ITEM channels x ITEM columns of D for one kind of taps. */
static const int64_t kinds[] = { 0, 35, 25, 30, 36 };
static const int64_t kind_size[] = { 25, 1, 5, 5 };

static void weigh_items(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  int64_t channels = c->data.channels, columns = c->gradient.channels, tiles = c->data_chunk.tiles;
  int64_t across = nnk_divide_up(channels, ITEM), position = nnk_spaced(ITEM * ITEM);
  nn_real *d = nnk_scratch(&c->outcome, NNK_STRIDED_SINGLES * position * (int64_t)sizeof(nn_real));
  if (!d) return;
  for (int64_t item = begin; item < end && nnk_going(&c->outcome); item++) {
    int64_t kind = item % 4, k = item / 4 / across * ITEM, channel = item / 4 % across * ITEM;
    int64_t last_k = nnk_min(columns, k + ITEM), last_channel = nnk_min(channels, channel + ITEM);
    for (int64_t i = kinds[kind]; i < kinds[kind] + kind_size[kind]; i++) {
      int64_t share = nnk_strided_share(i), x_step = step_of(&c->data_chunk, i), y_step = x_step;
      const nn_real *x = c->v + nnk_strided_offset(&c->data_chunk, i) + channel / NNK_LANES * x_step;
      const nn_real *y = c->y + nnk_strided_offset(&c->gradient_chunk, i) + k / NNK_LANES * y_step;
      for (int64_t row = 0; row < share * tiles; row += DEEP)
        c->engine->outer(d + (i - kinds[kind]) * position, ITEM, x + row * NNK_LANES, x_step, y + row * NNK_LANES,
                         y_step, nnk_min(DEEP, share * tiles - row), last_channel - channel,
                         nnk_whole_blocks(last_k - k), row > 0);
    }
    c->engine->strided_weights_back(c->dweight, c->shape, d, position, ITEM, kinds[kind], channel, last_channel, k,
                                    last_k);
  }
  nn_memory_put(d);
}

int nnk_strided_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x) {
  const nnk_conv *s = &m->shape;
  int64_t tiles = tile_count(s);
  weighing c = { .engine = nnk_engine_chosen(), .shape = s, .data = tiles_of(s, true, 1),
                 .gradient = tiles_of(s, false, 0), .x = x, .dy = dy, .dweight = dweight };
  if (tiles == 0) return NN_OK;
  int64_t most = nnk_max(BLOCK, nnk_min(CHUNK, CHUNK_BYTES / (tile_bytes(s->channels) + tile_bytes(s->out_channels))));
  int64_t chunk = nnk_divide_up(tiles, nnk_divide_up(tiles, most));
  int64_t v_size = elements_of(chunk, s->channels), y_size = elements_of(chunk, s->out_channels);
  c.v = nn_memory_get((size_t)(v_size + y_size) * sizeof(nn_real));
  if (!c.v) return NN_EMEMORY;
  c.y = c.v + v_size;
  int64_t items = 4 * nnk_divide_up(s->channels, ITEM) * nnk_divide_up(s->out_channels, ITEM);
  int status = NN_OK;
  for (c.chunk_begin = 0; c.chunk_begin < tiles && status == NN_OK; c.chunk_begin += chunk) {
    int64_t some = nnk_min(chunk, tiles - c.chunk_begin);
    c.data_chunk = matrices_of(some, s->channels);
    c.gradient_chunk = matrices_of(some, s->out_channels);
    status = nnk_run(&c.outcome, some, 4, spread_both, &c);
    if (status == NN_OK) status = nnk_run(&c.outcome, items, 1, weigh_items, &c);
  }
  nn_memory_put(c.v);
  return status;
}
