/* conv.c -- convolution, three passes, by one idea: gathering.
 *
 * A gather computes, for destination pixels on a regular grid,
 *   out[p] = sum over taps t of source[position(p, t)] * W[t]          W[t] a matrix [source channels x out channels]
 * and reads zero outside the source. Along each axis, destination first + j * step looks at source
 * j * source_step + offset + i * offset_step for its taps i (struct axis). Three things are gathers:
 *   - forward: one gather, source x, taps all of the kernel;
 *   - the gradient to x: source dy, weights transposed. With stride s, destinations fall into s classes along each axis
 *     (their remainder mod s); those of one class share their taps. So dx is written, never scattered into, and pieces
 *     of it are independent;
 *   - the gradient to the weights sums products of dy with what forward gathered.
 *
 * A gather is done in one of four ways, chosen by shape: a 1x1 kernel is a matrix product; with one channel a group,
 * plain loops over channels; with few output channels, loops that keep six pixels x sixteen channels in registers (BLAS
 * needs wider matrices); else columns: the gathered values of a band of rows are written as a matrix that stays in
 * cache, and multiplied by BLAS.
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "kernels/conv.h"
#include "kernels/gemm.h"

typedef struct {
  int64_t count, first, step;
  int64_t source_size, source_step, offset, offset_step;  /* offset_step > 0 */
  int64_t taps, tap, tap_step;                            /* tap i is kernel position tap + i * tap_step */
} axis;

typedef struct {
  axis v, h;                                        /* vertical, horizontal */
  int64_t images, out_height, out_width;
  int64_t source_channels, out_channels, groups;    /* channels of the whole images */
} gather;

static axis forward_axis(int64_t size, int64_t out_size, int64_t kernel, const nnk_conv *s) {
  return (axis){ .count = out_size, .first = 0, .step = 1, .source_size = size, .source_step = s->stride,
                 .offset = -s->padding, .offset_step = s->dilation, .taps = kernel, .tap = 0, .tap_step = 1 };
}

/* Destinations x = r + j s. Tap t reaches y o where o s = x + padding - t dilation, so it counts when s divides
 * r + padding - t dilation; then o = j + (r + padding - t dilation) / s. Later taps have smaller offsets. */
static axis backward_axis(int64_t size, int64_t out_size, int64_t kernel, int64_t r, const nnk_conv *s) {
  axis a = { .count = r < size ? nnk_divide_up(size - r, s->stride) : 0, .first = r, .step = s->stride,
             .source_size = out_size, .source_step = 1, .offset_step = 1, .tap_step = -1 };
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

static gather forward_gather(const nnk_conv *s) {
  return (gather){ .v = forward_axis(s->height, s->out_height, s->kernel_height, s),
                   .h = forward_axis(s->width, s->out_width, s->kernel_width, s),
                   .images = s->images, .out_height = s->out_height, .out_width = s->out_width,
                   .source_channels = s->channels, .out_channels = s->out_channels, .groups = s->groups };
}

/* The destinations [begin, end) of an axis that tap `tap` finds inside the source. */
static void inside(const axis *a, int64_t tap, int64_t *begin, int64_t *end) {
  int64_t offset = a->offset + tap * a->offset_step;
  int64_t low = offset < 0 ? nnk_divide_up(-offset, a->source_step) : 0;
  int64_t room = a->source_size - offset;  /* j * source_step < room */
  int64_t high = room > 0 ? nnk_divide_up(room, a->source_step) : 0;
  *begin = nnk_min(low, a->count);
  *end = nnk_max(*begin, nnk_min(high, a->count));
}

/* ---- columns ---- */

/* out [(rows * h.count) x (v.taps * h.taps * channels)] = what the taps of grid rows [begin, end) see, channels
 * [channel, channel + channels). A grid row counts through the images: row = image * v.count + j. */
static void fill_columns(nn_real *out, const nn_real *source, const gather *g, int64_t channel, int64_t channels,
                         int64_t begin, int64_t end) {
  const axis *v = &g->v, *h = &g->h;
  int64_t tap_row = h->taps * channels, pitch = v->taps * tap_row;
  bool whole = h->offset_step == 1 && channels == g->source_channels;  /* neighbouring taps lie side by side */
  for (int64_t row = begin; row < end; row++) {
    const nn_real *image = source + row / v->count * v->source_size * h->source_size * g->source_channels + channel;
    for (int64_t tv = 0; tv < v->taps; tv++, out += tap_row) {
      int64_t sv = row % v->count * v->source_step + v->offset + tv * v->offset_step;
      bool blank = sv < 0 || sv >= v->source_size;
      const nn_real *line = image + sv * h->source_size * g->source_channels;
      nn_real *to = out;
      for (int64_t j = 0; j < h->count; j++, to += pitch) {
        int64_t sh = j * h->source_step + h->offset;
        if (blank) {
          memset(to, 0, (size_t)tap_row * sizeof *to);
        } else if (whole && sh >= 0 && sh + h->taps <= h->source_size) {
          memcpy(to, line + sh * g->source_channels, (size_t)tap_row * sizeof *to);
        } else {
          for (int64_t th = 0; th < h->taps; th++, sh += h->offset_step) {
            nn_real *part = to + th * channels;
            if (sh < 0 || sh >= h->source_size) memset(part, 0, (size_t)channels * sizeof *to);
            else memcpy(part, line + sh * g->source_channels, (size_t)channels * sizeof *to);
          }
        }
      }
    }
    out += (h->count - 1) * pitch;
  }
}

/* Grid rows in a piece: columns of about 512 KB, yet at least 256 pixels (BLAS packs the weights anew in each call),
 * and several pieces for the team where there is work. */
static int64_t rows_in_piece(const gather *g, int64_t depth) {
  int64_t pixels = nnk_max(256, (512 << 10) / (int64_t)sizeof(nn_real) / nnk_max(1, depth));
  int64_t rows = g->images * g->v.count;
  int64_t fit = nnk_max(1, pixels / nnk_max(1, g->h.count));
  return nnk_max(1, nnk_min(fit, nnk_divide_up(rows, 4)));
}

typedef struct {
  const gather *g;
  nn_real *out;
  const nn_real *source, *weight, *bias;  /* weight [taps x source channels / groups x out channels], by rows */
  int64_t depth;                          /* taps * source channels / groups */
  bool add;
  nnk_outcome outcome;
} gathering;

/* Grid pixels are all pixels, or every step-th of them; rows of the product then go out one pixel at a time. */
static bool dense(const gather *g) { return g->v.step == 1 && g->h.step == 1; }

static nn_real *out_row(const gather *g, nn_real *out, int64_t row) {
  int64_t line = g->v.first + row % g->v.count * g->v.step;
  return out + ((row / g->v.count * g->out_height + line) * g->out_width + g->h.first) * g->out_channels;
}

static void put_rows(const gathering *c, const nn_real *product, int64_t begin, int64_t end) {
  const gather *g = c->g;
  for (int64_t row = begin; row < end; row++) {
    nn_real *out = out_row(g, c->out, row);
    for (int64_t j = 0; j < g->h.count; j++, out += g->h.step * g->out_channels, product += g->out_channels)
      for (int64_t k = 0; k < g->out_channels; k++) out[k] += product[k];
  }
}

static void gather_by_columns(void *context, int64_t begin, int64_t end) {
  gathering *c = context;
  const gather *g = c->g;
  int64_t pixels = (end - begin) * g->h.count, channels = g->source_channels / g->groups;
  int64_t part = g->out_channels / g->groups;
  bool direct = dense(g);
  if (!nnk_going(&c->outcome)) return;
  nn_real *columns = nnk_scratch(&c->outcome, pixels * (c->depth + (direct ? 0 : g->out_channels)) *
                                 (int64_t)sizeof *columns);
  if (!columns) return;
  nn_real *out = direct ? out_row(g, c->out, begin) : columns + pixels * c->depth;
  bool add = direct && c->add;
  if (c->bias) {
    for (int64_t i = 0; i < pixels; i++)
      memcpy(out + i * g->out_channels, c->bias, (size_t)g->out_channels * sizeof *out);
    add = true;
  }
  for (int64_t group = 0; group < g->groups; group++) {
    fill_columns(columns, c->source, g, group * channels, channels, begin, end);
    nnk_gemm_serial(out + group * part, g->out_channels, (nnk_matrix){ columns, c->depth, false },
                    (nnk_matrix){ c->weight + group * part, g->out_channels, false }, pixels, part, c->depth, add);
  }
  if (!direct) put_rows(c, out, begin, end);
  nn_memory_put(columns);
}

/* ---- in registers, for few output channels ---- */

enum {
  PIXELS = 6,     /* 6 x 16 sums and what feeds them fit the registers of AVX-512 and of AVX2 */
  BAND_ROWS = 8,  /* at least, as neighbouring bands copy the same lines */
};

/* The lines of one image that a band of grid rows sees, with zeros around: [v_span x h_span x channels]. */
typedef struct {
  nn_real *data;
  int64_t v_span, h_span;
} band;

static int64_t span(const axis *a, int64_t count) {
  return (count - 1) * a->source_step + (a->taps - 1) * a->offset_step + 1;
}

static void fill_band(band *b, const nn_real *source, const gather *g, int64_t image, int64_t begin) {
  const axis *v = &g->v, *h = &g->h;
  int64_t c = g->source_channels, line = b->h_span * c;
  int64_t left = nnk_min(b->h_span, nnk_max(0, -h->offset));
  int64_t taken = nnk_max(0, nnk_min(b->h_span - left, h->source_size - (h->offset + left)));
  for (int64_t i = 0; i < b->v_span; i++) {
    nn_real *to = b->data + i * line;
    int64_t sv = begin * v->source_step + v->offset + i;
    if (sv < 0 || sv >= v->source_size) {
      memset(to, 0, (size_t)line * sizeof *to);
      continue;
    }
    const nn_real *from = source + ((image * v->source_size + sv) * h->source_size + h->offset + left) * c;
    memset(to, 0, (size_t)(left * c) * sizeof *to);
    memcpy(to + left * c, from, (size_t)(taken * c) * sizeof *to);
    memset(to + (left + taken) * c, 0, (size_t)(line - (left + taken) * c) * sizeof *to);
  }
}

/* How the taps lie in a band: runs of neighbouring elements, `run` long, the first of each at place(i). */
static int64_t run_length(const gather *g) {
  return g->h.offset_step == 1 ? g->h.taps * g->source_channels : g->source_channels;
}

/* Where element i of a pixel's columns lies, counted from its first. */
static int64_t place_of(const gather *g, int64_t line, int64_t i) {
  int64_t tap = i / g->source_channels;
  return tap / g->h.taps * g->v.offset_step * line + tap % g->h.taps * g->h.offset_step * g->source_channels +
         i % g->source_channels;
}

typedef struct {
  const nn_real *weight, *bias;    /* weight [depth x 16] */
  const int64_t *place;            /* [runs] */
  int64_t runs, run;
  bool add;
} panel;

/* out_p [16] = sum over i of from_p[place of i] * weight [i], for P pixels */
NNK_INLINE void sum_pixels(int P, nn_real *const *out, const nn_real *const *from, const panel *w) {
  nnk_lanes sum[PIXELS];
  const nn_real *weight = w->weight;
  for (int p = 0; p < P; p++) sum[p] = w->bias ? *(const nnk_lanes *)w->bias : (nnk_lanes){ 0 };
  for (int64_t r = 0; r < w->runs; r++) {
    for (int64_t i = w->place[r], end = i + w->run; i < end; i++, weight += NNK_LANES) {
      nnk_lanes wide = *(const nnk_lanes *)weight;
      for (int p = 0; p < P; p++) sum[p] += from[p][i] * wide;
    }
  }
  for (int p = 0; p < P; p++) {
    nnk_lanes *to = (nnk_lanes *)out[p];
    if (w->add) *to += sum[p];
    else *to = sum[p];
  }
}

/* Sixteen output channels of grid rows [begin, end) of an image, in blocks of six pixels that run on across rows. */
NNK_CLONES
static void sum_band(nn_real *out, const band *b, const gather *g, const panel *w, int64_t begin, int64_t end) {
  int64_t step = g->h.source_step * g->source_channels, line = b->h_span * g->source_channels;
  nn_real *to[PIXELS];
  const nn_real *from[PIXELS];
  int filled = 0;
  for (int64_t row = begin; row < end; row++) {
    nn_real *out_line = out_row(g, out, row);
    const nn_real *band_line = b->data + (row - begin) * g->v.source_step * line;
    for (int64_t j = 0; j < g->h.count; j++) {
      to[filled] = out_line + j * g->h.step * g->out_channels;
      from[filled] = band_line + j * step;
      if (++filled < PIXELS) continue;
      sum_pixels(PIXELS, to, from, w);
      filled = 0;
    }
  }
  for (int p = 0; p < filled; p++) sum_pixels(1, to + p, from + p, w);
}

/* Pieces are images, or bands of this many grid rows when an image's lines and results exceed 64 KB. */
static int64_t rows_in_band(const gather *g) {
  int64_t line = (span(&g->h, g->h.count) * g->source_channels + g->h.count * g->out_channels) *
                 (int64_t)sizeof(nn_real);
  return nnk_max(1, nnk_min(g->v.count, nnk_max(BAND_ROWS, (64 << 10) / nnk_max(1, line * g->v.source_step))));
}

static void gather_in_registers(void *context, int64_t begin, int64_t end) {
  gathering *c = context;
  const gather *g = c->g;
  int64_t rows = rows_in_band(g), bands = nnk_divide_up(g->v.count, rows);
  band b = { .v_span = span(&g->v, rows), .h_span = span(&g->h, g->h.count) };
  int64_t line = b.h_span * g->source_channels;
  if (!nnk_going(&c->outcome)) return;
  panel w = { .run = run_length(g), .runs = c->depth / run_length(g), .add = c->add };
  int64_t *place = nnk_scratch(&c->outcome,
                               w.runs * (int64_t)sizeof *place + b.v_span * line * (int64_t)sizeof *b.data);
  if (!place) return;
  for (int64_t r = 0; r < w.runs; r++) place[r] = place_of(g, line, r * w.run);
  w.place = place;
  b.data = (nn_real *)(place + w.runs);
  for (int64_t job = begin; job < end; job++) {
    int64_t image = job / bands, from = job % bands * rows, to = nnk_min(from + rows, g->v.count);
    b.v_span = span(&g->v, to - from);
    fill_band(&b, c->source, g, image, from);
    for (int64_t k = 0; k < g->out_channels; k += NNK_LANES) {
      w.weight = c->weight + k * c->depth;
      w.bias = c->bias ? c->bias + k : NULL;
      sum_band(c->out + k, &b, g, &w, image * g->v.count + from, image * g->v.count + to);
    }
  }
  nn_memory_put(place);
}

/* ---- one channel a group ---- */

/* out [channels] += source [channels] * weight [channels] */
NNK_CLONES
static void add_products(nn_real *restrict out, const nn_real *restrict source, const nn_real *restrict weight,
                         int64_t channels) {
  for (int64_t c = 0; c < channels; c++) out[c] += source[c] * weight[c];
}

static void gather_by_channels(void *context, int64_t begin, int64_t end) {
  gathering *c = context;
  const gather *g = c->g;
  const axis *v = &g->v, *h = &g->h;
  int64_t channels = g->source_channels;
  for (int64_t row = begin; row < end; row++) {
    nn_real *out = out_row(g, c->out, row);
    const nn_real *image = c->source + row / v->count * v->source_size * h->source_size * channels;
    for (int64_t j = 0; j < h->count; j++) {
      nn_real *pixel = out + j * h->step * channels;
      if (c->bias) memcpy(pixel, c->bias, (size_t)channels * sizeof *pixel);
      else if (!c->add) memset(pixel, 0, (size_t)channels * sizeof *pixel);
    }
    for (int64_t tap = 0; tap < v->taps * h->taps; tap++) {
      int64_t tv = tap / h->taps, th = tap % h->taps, from, to;
      int64_t sv = row % v->count * v->source_step + v->offset + tv * v->offset_step;
      if (sv < 0 || sv >= v->source_size) continue;
      inside(h, th, &from, &to);
      const nn_real *line = image + (sv * h->source_size + h->offset + th * h->offset_step) * channels;
      for (int64_t j = from; j < to; j++) {
        add_products(out + j * h->step * channels, line + j * h->source_step * channels, c->weight + tap * channels,
                     channels);
      }
    }
  }
}

/* ---- the choice, and the weights in the order a gather reads them ---- */

typedef enum { BY_COLUMNS, IN_REGISTERS, BY_CHANNELS } way;

enum { REGISTERS_UP_TO = 32 };  /* output channels where the loops stop beating BLAS */

static way choose(const gather *g) {
  if (g->groups > 1 && g->groups == g->source_channels && g->groups == g->out_channels) return BY_CHANNELS;
  bool narrow = g->groups == 1 && g->out_channels % NNK_LANES == 0 && g->out_channels <= REGISTERS_UP_TO;
  /* Taps further apart than the image is long would make bands of mostly zeros. */
  bool close = (g->v.taps - 1) * g->v.offset_step <= g->v.source_size &&
               (g->h.taps - 1) * g->h.offset_step <= g->h.source_size;
  return narrow && close ? IN_REGISTERS : BY_COLUMNS;
}

typedef struct {
  nn_real *out;
  const nn_real *weight;
  const gather *g;
  int64_t kernel_width;
  bool transposed, panels;
} packing;

/* Pieces are (tap, block of 16 out channels). Element (tap, s, o) comes from weight [tap][s][o] or, transposed, from
 * weight [tap][o within its group][s of o's group]; it goes to row tap * source + s of a matrix, or of o's panel. */
static void pack_weight(void *context, int64_t begin, int64_t end) {
  const packing *p = context;
  const gather *g = p->g;
  int64_t source = g->source_channels / g->groups, part = g->out_channels / g->groups;
  int64_t blocks = nnk_divide_up(g->out_channels, NNK_LANES), depth = g->v.taps * g->h.taps * source;
  for (int64_t job = begin; job < end; job++) {
    int64_t tap = job / blocks, first = job % blocks * NNK_LANES, last = nnk_min(first + NNK_LANES, g->out_channels);
    int64_t kv = g->v.tap + tap / g->h.taps * g->v.tap_step, kh = g->h.tap + tap % g->h.taps * g->h.tap_step;
    const nn_real *from = p->weight + (kv * p->kernel_width + kh) * source * g->out_channels;
    int64_t pitch = p->panels ? NNK_LANES : g->out_channels;
    nn_real *to = p->panels ? p->out + first * depth + tap * source * NNK_LANES
                            : p->out + tap * source * g->out_channels + first;
    for (int64_t o = first; o < last; o++) {
      const nn_real *row = p->transposed ? from + o % part * source * g->groups + o / part * source : from + o;
      int64_t step = p->transposed ? 1 : g->out_channels;
      for (int64_t s = 0; s < source; s++) to[s * pitch + o - first] = row[s * step];
    }
  }
}

static int run_gather(const gather *g, nn_real *out, const nn_real *source, const nn_real *weight, const nn_real *bias,
                      int64_t kernel_width, bool transposed, bool add) {
  int64_t taps = g->v.taps * g->h.taps, depth = taps * (g->source_channels / g->groups);
  int64_t rows = g->images * g->v.count;
  way how = choose(g);
  gathering c = { .g = g, .out = out, .source = source, .weight = weight, .bias = bias, .depth = depth, .add = add };
  nn_real *packed = NULL;
  if (transposed || how == IN_REGISTERS) {
    packed = nn_memory_get((size_t)(depth * g->out_channels) * sizeof *packed);
    if (!packed) return NN_EMEMORY;
    packing p = { packed, weight, g, kernel_width, transposed, how == IN_REGISTERS };
    int64_t jobs = taps * nnk_divide_up(g->out_channels, NNK_LANES);
    int status = nn_parallel_for(jobs, nnk_max(1, 65536 / (depth / taps * NNK_LANES)), pack_weight, &p);
    if (status != NN_OK) {
      nn_memory_put(packed);
      return status;
    }
    c.weight = packed;
  }
  int status;
  int64_t row_work = nnk_max(1, g->h.count * depth * g->out_channels / g->groups);
  switch (how) {
    case BY_CHANNELS:
      status = nnk_run(&c.outcome, rows, nnk_max(1, 100000 / row_work), gather_by_channels, &c);
      break;
    case IN_REGISTERS: {
      int64_t bands = nnk_divide_up(g->v.count, rows_in_band(g));
      status = nnk_run(&c.outcome, g->images * bands, nnk_max(1, 500000 / (rows_in_band(g) * row_work)),
                       gather_in_registers, &c);
      break;
    }
    default: status = nnk_run(&c.outcome, rows, rows_in_piece(g, depth), gather_by_columns, &c);
  }
  nn_memory_put(packed);
  return status;
}

/* A 1x1 kernel at every pixel: x and y are matrices [pixels x channels]. */
static bool pointwise(const nnk_conv *s) {
  return s->kernel_height == 1 && s->kernel_width == 1 && s->stride == 1 && s->padding == 0 && s->groups == 1;
}

static int check_sizes(const nnk_conv *s) {
  int64_t depth = s->kernel_height * s->kernel_width * nnk_max(s->channels, s->out_channels);
  if (depth <= INT_MAX && s->out_width * s->channels <= INT_MAX && s->width * s->out_channels <= INT_MAX) return NN_OK;
  return nn_fail(NN_ESHAPE, "image lines and kernels of at most 2^31 - 1 elements expected");
}

static int forward(nn_real *y, const nn_real *x, const nn_real *weight, const nnk_conv *s) {
  const nn_real *bias = NULL;
  int status = check_sizes(s);
  if (status != NN_OK || s->images * s->out_height * s->out_width * s->out_channels == 0) return status;
  if (pointwise(s)) {
    int64_t pixels = s->images * s->height * s->width;
    status = bias ? nnk_fill_rows(y, bias, pixels, s->out_channels) : NN_OK;
    if (status != NN_OK) return status;
    return nnk_gemm(y, s->out_channels, (nnk_matrix){ x, s->channels, false },
                    (nnk_matrix){ weight, s->out_channels, false }, pixels, s->out_channels, s->channels, bias != NULL);
  }
  gather g = forward_gather(s);
  return run_gather(&g, y, x, weight, bias, s->kernel_width, false, false);
}

static int grad_input(nn_real *dx, const nn_real *dy, const nn_real *weight, const nnk_conv *s) {
  int status = check_sizes(s);
  if (status != NN_OK || s->images * s->height * s->width * s->out_channels == 0) return status;
  if (pointwise(s)) {
    return nnk_gemm(dx, s->channels, (nnk_matrix){ dy, s->out_channels, false },
                    (nnk_matrix){ weight, s->out_channels, true }, s->images * s->height * s->width, s->channels,
                    s->out_channels, true);
  }
  int64_t v_classes = nnk_min(s->stride, s->height), h_classes = nnk_min(s->stride, s->width);
  for (int64_t class = 0; class < v_classes * h_classes && status == NN_OK; class++) {
    gather g = { .v = backward_axis(s->height, s->out_height, s->kernel_height, class / h_classes, s),
                 .h = backward_axis(s->width, s->out_width, s->kernel_width, class % h_classes, s),
                 .images = s->images, .out_height = s->height, .out_width = s->width,
                 .source_channels = s->out_channels, .out_channels = s->channels, .groups = s->groups };
    if (g.v.count * g.h.count * g.v.taps * g.h.taps == 0) continue;
    status = run_gather(&g, dx, dy, weight, NULL, s->kernel_width, true, true);
  }
  return status;
}

/* ---- the gradient to the weights ---- */

/* A reduction over the batch: slices of it, at most 8, are summed apart and then in their order. Wide kernels are also
 * cut into parts by tap, so that fewer slices keep the team busy. */
typedef struct {
  const gather *g;
  nn_real *sums;          /* [slices x size]; with one slice this is dweight itself */
  const nn_real *dy, *x;
  int64_t depth, size;    /* rows of dweight [depth x out channels], and its elements */
  int64_t slices, parts, units;  /* units: grid rows, or bands, of the whole batch */
  nnk_outcome outcome;
} weighing;

enum { SLICES = 8, SLICE_BYTES = 32 << 20 };

static void weigh_by_columns(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  gather g = *c->g;
  int64_t channels = g.source_channels / g.groups, part = g.out_channels / g.groups;
  if (c->parts > 1) g.v.taps = g.h.taps = 1;
  int64_t depth = c->depth / c->parts, piece = rows_in_piece(&g, depth);
  for (int64_t job = begin; job < end && nnk_going(&c->outcome); job++) {
    int64_t slice = job / c->parts, tap = job % c->parts;
    if (c->parts > 1) {
      g.v.offset = c->g->v.offset + tap / c->g->h.taps * g.v.offset_step;
      g.h.offset = c->g->h.offset + tap % c->g->h.taps * g.h.offset_step;
    }
    nn_real *columns = nnk_scratch(&c->outcome, piece * g.h.count * depth * (int64_t)sizeof *columns);
    if (!columns) return;
    nn_real *sum = c->sums + slice * c->size + tap * depth * g.out_channels;
    int64_t last = (slice + 1) * c->units / c->slices;
    for (int64_t row = slice * c->units / c->slices; row < last && !nn_interrupted(); row += piece) {
      int64_t rows = nnk_min(piece, last - row), pixels = rows * g.h.count;
      for (int64_t group = 0; group < g.groups; group++) {
        fill_columns(columns, c->x, &g, group * channels, channels, row, row + rows);
        nnk_gemm_serial(sum + group * part, g.out_channels, (nnk_matrix){ columns, depth, true },
                        (nnk_matrix){ c->dy + row * g.h.count * g.out_channels + group * part, g.out_channels, false },
                        depth, part, pixels, true);
      }
    }
    nn_memory_put(columns);
  }
}

/* sum [P x 16] += over the pixels of a band of x at P places * dy at 16 channels */
NNK_INLINE void weigh_pixels(int P, nn_real *sum, const nn_real *x, const int64_t *place, const nn_real *dy,
                             int64_t rows, int64_t line, const gather *g) {
  int64_t channels = g->out_channels, step = g->h.source_step * g->source_channels;
  nnk_lanes total[PIXELS];
  for (int p = 0; p < P; p++) total[p] = *(const nnk_lanes *)(sum + p * channels);
  for (int64_t row = 0; row < rows; row++) {
    const nn_real *from = x + row * g->v.source_step * line;
    for (int64_t j = 0; j < g->h.count; j++, from += step, dy += channels) {
      nnk_lanes wide = *(const nnk_lanes *)dy;
      for (int p = 0; p < P; p++) total[p] += from[place[p]] * wide;
    }
  }
  for (int p = 0; p < P; p++) *(nnk_lanes *)(sum + p * channels) = total[p];
}

NNK_CLONES
static void weigh_band(nn_real *sum, const nn_real *x, const int64_t *place, int64_t depth, const nn_real *dy,
                       int64_t rows, int64_t line, const gather *g) {
  for (int64_t k = 0; k < g->out_channels; k += NNK_LANES) {
    int64_t i = 0;
    for (; i + PIXELS <= depth; i += PIXELS)
      weigh_pixels(PIXELS, sum + i * g->out_channels + k, x, place + i, dy + k, rows, line, g);
    for (; i < depth; i++) weigh_pixels(1, sum + i * g->out_channels + k, x, place + i, dy + k, rows, line, g);
  }
}

static void weigh_in_registers(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  const gather *g = c->g;
  int64_t rows = rows_in_band(g), bands = nnk_divide_up(g->v.count, rows);
  band b = { .v_span = span(&g->v, rows), .h_span = span(&g->h, g->h.count) };
  int64_t line = b.h_span * g->source_channels;
  int64_t *place = nnk_scratch(&c->outcome, c->depth * (int64_t)sizeof *place +
                               b.v_span * line * (int64_t)sizeof *b.data);
  if (!place) return;
  b.data = (nn_real *)(place + c->depth);
  for (int64_t i = 0; i < c->depth; i++) place[i] = place_of(g, line, i);
  for (int64_t slice = begin; slice < end; slice++) {
    int64_t last = (slice + 1) * c->units / c->slices;
    for (int64_t unit = slice * c->units / c->slices; unit < last && !nn_interrupted(); unit++) {
      int64_t image = unit / bands, from = unit % bands * rows, to = nnk_min(from + rows, g->v.count);
      b.v_span = span(&g->v, to - from);
      fill_band(&b, c->x, g, image, from);
      weigh_band(c->sums + slice * c->size, b.data, place, c->depth,
                 c->dy + (image * g->v.count + from) * g->h.count * g->out_channels, to - from, line, g);
    }
  }
  nn_memory_put(place);
}

static void weigh_by_channels(void *context, int64_t begin, int64_t end) {
  weighing *c = context;
  const axis *v = &c->g->v, *h = &c->g->h;
  int64_t channels = c->g->source_channels;
  for (int64_t slice = begin; slice < end; slice++) {
    int64_t last = (slice + 1) * c->units / c->slices;
    for (int64_t row = slice * c->units / c->slices; row < last && !nn_interrupted(); row++) {
      const nn_real *image = c->x + row / v->count * v->source_size * h->source_size * channels;
      for (int64_t tap = 0; tap < v->taps * h->taps; tap++) {
        int64_t tv = tap / h->taps, th = tap % h->taps, from, to;
        int64_t sv = row % v->count * v->source_step + v->offset + tv * v->offset_step;
        if (sv < 0 || sv >= v->source_size) continue;
        inside(h, th, &from, &to);
        const nn_real *line = image + (sv * h->source_size + h->offset + th * h->offset_step) * channels;
        for (int64_t j = from; j < to; j++) {
          add_products(c->sums + slice * c->size + tap * channels, line + j * h->source_step * channels,
                       c->dy + (row * h->count + j) * channels, channels);
        }
      }
    }
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

static int grad_weight(nn_real *dweight, const nn_real *dy, const nn_real *x, const nnk_conv *s) {
  int status = check_sizes(s);
  if (status != NN_OK || s->images * s->out_height * s->out_width * s->out_channels * s->channels == 0) return status;
  if (pointwise(s)) {
    return nnk_gemm(dweight, s->out_channels, (nnk_matrix){ x, s->channels, true },
                    (nnk_matrix){ dy, s->out_channels, false }, s->channels, s->out_channels,
                    s->images * s->height * s->width, true);
  }
  gather g = forward_gather(s);
  way how = choose(&g);
  int64_t taps = g.v.taps * g.h.taps, depth = taps * (s->channels / s->groups), size = depth * s->out_channels;
  weighing c = { .g = &g, .sums = dweight, .dy = dy, .x = x, .depth = depth, .size = size, .parts = 1 };
  c.units = s->images * (how == IN_REGISTERS ? nnk_divide_up(g.v.count, rows_in_band(&g)) : g.v.count);
  if (how == BY_COLUMNS && size / taps >= 256 * 256) c.parts = taps;
  c.slices = nnk_min(c.parts > 1 ? 4 : SLICES, SLICE_BYTES / (size * (int64_t)sizeof *dweight));
  c.slices = nnk_max(1, nnk_min(c.slices, c.units));
  if (c.slices > 1) {
    c.sums = nn_memory_get_zeroed((size_t)(c.slices * size) * sizeof *c.sums);
    if (!c.sums) return NN_EMEMORY;
  }
  nn_chunk work = how == BY_COLUMNS ? weigh_by_columns : how == BY_CHANNELS ? weigh_by_channels : weigh_in_registers;
  status = nnk_run(&c.outcome, c.slices * c.parts, 1, work, &c);
  if (c.slices > 1) {
    folding f = { dweight, c.sums, size, c.slices };
    if (status == NN_OK) status = nn_parallel_for(size, 32768, fold_slices, &f);
    nn_memory_put(c.sums);
  }
  return status;
}

/* ---- the interface ---- */

int nnk_conv_choose(nnk_conv_method *m, const nnk_conv *shape, nnk_conv_pass pass, nnk_precision precision) {
  (void)precision;
  int status = check_sizes(shape);
  if (status != NN_OK) return status;
  int64_t count = shape->kernel_height * shape->kernel_width * (shape->channels / shape->groups) * shape->out_channels;
  *m = (nnk_conv_method){ .shape = *shape, .pass = pass,
                          .weights = pass == NNK_GRAD_WEIGHT ? 0 : (size_t)count * sizeof(nn_real) };
  return NN_OK;
}

/* Errors of n sums walk at random (Higham and Mary 2019: sqrt(n) u, nearly always); 8 is for what is fused. */
double nnk_conv_bound(const nnk_conv_method *m) {
  const nnk_conv *s = &m->shape;
  int64_t taps = s->kernel_height * s->kernel_width, terms = s->images * s->out_height * s->out_width;
  if (m->pass == NNK_FORWARD) terms = taps * s->channels / s->groups;
  if (m->pass == NNK_GRAD_INPUT) terms = taps * s->out_channels / s->groups;
  return 8 + sqrt((double)terms);
}

int nnk_conv_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale) {
  nn_real *to = prepared;
  int64_t width = m->shape.out_channels, count = (int64_t)(m->weights / sizeof *to);
  for (int64_t i = 0; i < count; i++) to[i] = scale ? weight[i] * scale[i % width] : weight[i];
  return NN_OK;
}

typedef struct {
  nn_real *out;
  const nnk_source *source;
  const nnk_sink *sink;
  const nn_real *sum;
  double *sums;                     /* [pieces x 2 x channels] */
  int64_t pixels, channels;
} fusing;

enum { PIECES = 32 };

static void read_pixels(void *context, int64_t begin, int64_t end) {
  const fusing *f = context;
  const nnk_source *s = f->source;
  for (int64_t i = begin; i < end; i++) {
    for (int64_t c = 0; c < f->channels; c++) {
      int64_t at = i * f->channels + c;
      nn_real v = s->x[at];
      if (s->scale) v = v * s->scale[c] + s->shift[c];
      if (s->other) v += s->other[at] * s->other_scale[c];
      f->out[at] = s->relu && v < 0 ? 0 : v;
    }
  }
}

static void write_pixels(void *context, int64_t begin, int64_t end) {
  const fusing *f = context;
  const nnk_sink *s = f->sink;
  int64_t channels = f->channels;
  for (int64_t piece = begin; piece < end; piece++) {
    double *sums = f->sums ? f->sums + piece * 2 * channels : NULL;
    for (int64_t i = piece * f->pixels / PIECES; i < (piece + 1) * f->pixels / PIECES; i++) {
      for (int64_t c = 0; c < channels; c++) {
        int64_t at = i * channels + c;
        uint16_t *signs = s->signs ? s->signs + i * nnk_signs(channels) + c / 16 : NULL;
        nn_real v = f->sum[at], z = s->z ? s->z[at] : 0, centre = s->centre ? s->centre[c] : 0;
        if (s->bias) v += s->bias[c];
        if (s->residual) v += s->residual[at];
        if (s->relu && v < 0) v = 0;
        if (s->gate && !(s->gate[i * nnk_signs(channels) + c / 16] >> c % 16 & 1)) v = 0;
        if (s->z_scale && !(z * s->z_scale[c] + s->z_shift[c] > 0)) v = 0;
        if (signs) *signs = (uint16_t)((c % 16 ? *signs : 0) | (v > 0) << c % 16);
        s->y[at] = v;
        if (!sums) continue;
        sums[c] += s->z ? v : v - centre;
        sums[channels + c] += s->z ? v * (z - centre) : (v - centre) * (v - centre);
      }
    }
  }
}

static bool plain(const nnk_source *s) { return !s->scale && !s->relu; }

/* What the source shows, in a buffer unless it shows just x. */
static int read_all(nn_real **out, const nnk_source *s, int64_t pixels, int64_t channels) {
  *out = nn_memory_get((size_t)(plain(s) ? 1 : pixels * channels) * sizeof **out);
  if (!*out) return NN_EMEMORY;
  fusing f = { .out = *out, .source = s, .channels = channels };
  return plain(s) ? NN_OK : nn_parallel_for(pixels, nnk_max(1, 65536 / channels), read_pixels, &f);
}

int nnk_conv_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared) {
  const nnk_conv *s = &m->shape;
  bool ahead = m->pass == NNK_FORWARD;
  int64_t from = s->images * s->height * s->width, to = s->images * s->out_height * s->out_width;
  int64_t from_channels = s->channels, channels = s->out_channels;
  if (!ahead) {
    int64_t swap = from;
    from = to, to = swap;
    from_channels = s->out_channels, channels = s->channels;
  }
  fusing f = { .sink = sink, .pixels = to, .channels = channels };
  nn_real *x = NULL, *y = nn_memory_get_zeroed((size_t)(to * channels) * sizeof *y);
  if (sink->sums) f.sums = nn_memory_get_zeroed((size_t)channels * 2 * PIECES * sizeof *f.sums);
  int status = y && (f.sums || !sink->sums) ? read_all(&x, source, from, from_channels) : NN_EMEMORY;
  if (status == NN_OK)
    status = (ahead ? forward : grad_input)(y, plain(source) ? source->x : x, prepared, s);
  f.sum = y;
  if (status == NN_OK) status = nn_parallel_for(PIECES, 1, write_pixels, &f);
  for (int64_t i = 0; i < 2 * channels && status == NN_OK && sink->sums; i++) {
    sink->sums[i] = 0;
    for (int64_t piece = 0; piece < PIECES; piece++) sink->sums[i] += f.sums[piece * 2 * channels + i];
  }
  nn_memory_put(f.sums);
  nn_memory_put(x);
  nn_memory_put(y);
  return status;
}

int nnk_conv_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x) {
  const nnk_conv *s = &m->shape;
  nn_real *read_dy = NULL, *read_x = NULL;
  int status = read_all(&read_dy, dy, s->images * s->out_height * s->out_width, s->out_channels);
  if (status == NN_OK) status = read_all(&read_x, x, s->images * s->height * s->width, s->channels);
  if (status == NN_OK)
    status = grad_weight(dweight, plain(dy) ? dy->x : read_dy, plain(x) ? x->x : read_x, s);
  nn_memory_put(read_dy);
  nn_memory_put(read_x);
  return status;
}

/* One pass from weights that nobody prepared. */
static int run_once(const nnk_conv *s, nnk_conv_pass pass, const nnk_sink *sink, const nn_real *from,
                    const nn_real *weight) {
  nnk_conv_method m;
  int status = nnk_conv_choose(&m, s, pass, NNK_FAST);
  if (status != NN_OK) return status;
  void *prepared = nn_memory_get(m.weights);
  if (!prepared) return NN_EMEMORY;
  status = nnk_conv_prepare(&m, prepared, weight, NULL);
  if (status == NN_OK) status = nnk_conv_run(&m, sink, &(nnk_source){ .x = from }, prepared);
  nn_memory_put(prepared);
  return status;
}

int nnk_conv2d(nn_real *y, const nn_real *x, const nn_real *weight, const nn_real *bias, const nnk_conv *s) {
  return run_once(s, NNK_FORWARD, &(nnk_sink){ .y = y, .bias = bias }, x, weight);
}

int nnk_conv2d_grad_input(nn_real *dx, const nn_real *dy, const nn_real *weight, const nnk_conv *s) {
  return run_once(s, NNK_GRAD_INPUT, &(nnk_sink){ .y = dx, .residual = dx }, dy, weight);
}

int nnk_conv2d_grad_weight(nn_real *dweight, const nn_real *dy, const nn_real *x, const nnk_conv *s) {
  nnk_conv_method m;
  int status = nnk_conv_choose(&m, s, NNK_GRAD_WEIGHT, NNK_FAST);
  if (status != NN_OK) return status;
  return nnk_conv_weigh(&m, dweight, &(nnk_source){ .x = dy }, &(nnk_source){ .x = x });
}
