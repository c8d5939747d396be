/* perturb.c -- perturbations as values: an immutable tree of rows, sequences, choices and coins.
 *
 * A tree is applied to a whole batch in one call: each image is copied once and then taken through the tree while it
 * stays in the cache. Every draw is keyed by (seed, step, image, node), nodes numbered from the root in order, so that
 * equal calls give equal bits with any number of threads, and two occurrences of one value draw apart.
 */
#include "perturb/perturb.h"

#include <stdatomic.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tensor/tensor.h"

enum { MAX_NODES = 1 << 16, MAX_DEPTH = 200, CHUNK_ELEMENTS = 1 << 15 };

/* Keeps these draws apart from all others made from the same seed. */
static const uint64_t draw_stream = 0x7065727475726200u;

typedef enum { ROW, SEQUENCE, CHOICE, MAYBE } node_kind;

struct nn_perturb {
  atomic_int references;
  node_kind kind;
  int nodes, depth;     /* of this subtree */
  bool needs_spare;     /* of any row of this subtree */
  const nn_perturbation *row;
  const nni_perturb_form *form;
  int values;           /* ROW: its settings; or numbers, of which one is drawn when there are several */
  double value[NN_PERTURB_VALUES];
  bool random_sign;
  double probability;   /* MAYBE */
  int parts;
  nn_perturb *part[];
};

/* ---- rows ---- */

static const nn_perturbation *const tables[] = { nni_colour_rows, nni_geometry_rows, nni_noise_rows };
enum { TABLES = sizeof tables / sizeof *tables };

const nn_perturbation *nn_perturbation_at(int place) {
  for (int t = 0; t < TABLES; t++)
    for (const nn_perturbation *row = tables[t]; row->name; row++)
      if (place-- == 0) return row;
  return NULL;
}

int nn_perturbation_count(void) {
  int count = 0;
  while (nn_perturbation_at(count)) count++;
  return count;
}

const nn_perturbation *nn_perturbation_find(const char *name) {
  const nn_perturbation *row;
  for (int place = 0; (row = nn_perturbation_at(place)); place++)
    if (strcmp(row->name, name) == 0) return row;
  return NULL;
}

static int settings_of(const nn_perturbation *row) {
  int count = 0;
  while (row->settings && row->settings[count].name) count++;
  return count;
}

void nn_perturbation_describe(const nn_perturbation *row, nn_convention convention, nn_perturbation_info *info) {
  const nni_perturb_form *form = &row->form[convention];
  *info = (nn_perturbation_info){ .name = row->name, .doc = row->doc, .parameter = form->parameter,
                                  .min = form->min, .max = form->max, .factor = form->factor,
                                  .settings = settings_of(row) };
  memcpy(info->level, form->level, sizeof info->level);
}

/* ---- trees ---- */

static nn_perturb *node_new(node_kind kind, nn_perturb *const *parts, int count) {
  int nodes = 1, depth = 1;
  bool spare = false;
  for (int i = 0; i < count; i++) {
    nodes += parts[i]->nodes;
    spare |= parts[i]->needs_spare;
    if (parts[i]->depth >= depth) depth = parts[i]->depth + 1;
    if (nodes > MAX_NODES || depth > MAX_DEPTH) {
      nn_fail(NN_EARGUMENT, "perturb: at most %d parts, nested %d deep, can be put together", MAX_NODES, MAX_DEPTH);
      return NULL;
    }
  }
  nn_perturb *p = nn_memory_get_zeroed(sizeof *p + (size_t)count * sizeof p->part[0]);
  if (!p) return NULL;
  atomic_init(&p->references, 1);
  p->kind = kind;
  p->nodes = nodes;
  p->depth = depth;
  p->needs_spare = spare;
  p->parts = count;
  for (int i = 0; i < count; i++) p->part[i] = nn_perturb_retain(parts[i]);
  return p;
}

static int check_numbers(const nn_perturbation *row, const nni_perturb_form *form, bool random_sign,
                         const double *values, int count) {
  if (count < 1 || count > NN_PERTURB_VALUES)
    return nn_fail(NN_EARGUMENT, "perturb.%s: expected 1 to %d values of %s, got %d", row->name, NN_PERTURB_VALUES,
                   form->parameter, count);
  for (int i = 0; i < count; i++) {
    if (!(values[i] >= form->min && values[i] <= form->max))
      return nn_fail(NN_EARGUMENT, "perturb.%s: %s expects %g to %g, got %g", row->name, form->parameter, form->min,
                     form->max, values[i]);
    if (form->factor && random_sign && values[i] < 1 / form->max)
      return nn_fail(NN_EARGUMENT, "perturb.%s: the other sign of %s %g would be 1/%g", row->name, form->parameter,
                     values[i], values[i]);
  }
  return NN_OK;
}

static int check_settings(const nn_perturbation *row, const double *values, int count) {
  if (count != settings_of(row))
    return nn_fail(NN_EARGUMENT, "perturb.%s: expected %d settings, got %d", row->name, settings_of(row), count);
  for (int i = 0; i < count; i++)
    if (!(values[i] >= row->settings[i].min && values[i] <= row->settings[i].max))
      return nn_fail(NN_EARGUMENT, "perturb.%s: %s expects %g to %g, got %g", row->name, row->settings[i].name,
                     row->settings[i].min, row->settings[i].max, values[i]);
  return NN_OK;
}

nn_perturb *nn_perturb_row(const nn_perturbation *row, nn_convention convention, bool random_sign, const double *values,
                           int count) {
  const nni_perturb_form *form = &row->form[convention];
  int status = row->settings ? check_settings(row, values, count)
                             : check_numbers(row, form, random_sign, values, count);
  nn_perturb *p = status == NN_OK ? node_new(ROW, NULL, 0) : NULL;
  if (!p) return NULL;
  p->row = row;
  p->form = form;
  p->needs_spare = row->needs_spare;
  p->random_sign = random_sign && !row->settings;
  p->values = count;
  memcpy(p->value, values, (size_t)count * sizeof *values);
  return p;
}

nn_perturb *nn_perturb_sequence(nn_perturb *const *parts, int count) { return node_new(SEQUENCE, parts, count); }

nn_perturb *nn_perturb_choice(nn_perturb *const *parts, int count) {
  if (count < 1) {
    nn_fail(NN_EARGUMENT, "perturb: a choice of at least one expected");
    return NULL;
  }
  return node_new(CHOICE, parts, count);
}

nn_perturb *nn_perturb_maybe(double probability, nn_perturb *part) {
  if (!(probability >= 0 && probability <= 1)) {
    nn_fail(NN_EARGUMENT, "maybe: a probability from 0 to 1 expected, got %g", probability);
    return NULL;
  }
  nn_perturb *p = node_new(MAYBE, &part, 1);
  if (p) p->probability = probability;
  return p;
}

nn_perturb *nn_perturb_retain(nn_perturb *p) {
  if (p) atomic_fetch_add(&p->references, 1);
  return p;
}

void nn_perturb_release(nn_perturb *p) {
  if (!p || atomic_fetch_sub(&p->references, 1) != 1) return;
  for (int i = 0; i < p->parts; i++) nn_perturb_release(p->part[i]);
  nn_memory_put(p);
}

bool nni_perturb_needs_spare(const nn_perturb *p) { return p->needs_spare; }

int nni_perturb_check(const nn_perturb *p, const int64_t size[4]) {
  int status = NN_OK;
  if (p->kind == ROW && !p->row->any_channels && size[3] != 1 && size[3] != 3)
    return nn_fail(NN_ESHAPE, "perturb: images [N x H x W x C] with 1 or 3 channels expected, got "
                   "[%lldx%lldx%lldx%lld] (%s)", (long long)size[0], (long long)size[1], (long long)size[2],
                   (long long)size[3], p->row->name);
  if (p->kind == ROW && p->row->check) status = p->row->check(p->value, size[1], size[2]);
  for (int i = 0; i < p->parts && status == NN_OK; i++) status = nni_perturb_check(p->part[i], size);
  return status;
}

/* ---- applying ---- */

uint64_t nni_perturb_key(uint64_t seed, uint64_t step) { return nn_random_derive(seed, draw_stream, step); }

/* One application to one image. */
typedef struct {
  uint64_t key, image;
  int64_t done;  /* a node to leave out, or NNI_NO_NODE */
} walk_state;

static int draw_part(const nn_perturb *p, const walk_state *w, uint64_t node) {
  uint32_t draw[4];
  nn_random_block(w->key, node, w->image, draw);
  if (p->kind == CHOICE) return (int)nni_pick(draw[0], p->parts);
  return nni_unit(draw[0]) < p->probability ? 0 : -1;
}

/* The number of part i of a subtree whose root is number `node`. */
static uint64_t part_node(const nn_perturb *p, uint64_t node, int i) {
  uint64_t number = node + 1;
  while (i > 0) number += (uint64_t)p->part[--i]->nodes;
  return number;
}

static int apply_row(const nn_perturb *p, const walk_state *w, uint64_t node, nni_canvas *image) {
  nni_perturb_use use = { p->value, w->key, node, w->image };
  if (p->row->settings || (p->values == 1 && !p->random_sign)) return p->form->apply(image, &use);
  uint32_t draw[4];
  nni_perturb_draw(&use, 0, draw);
  double value = p->value[nni_pick(draw[0], p->values)];
  if (p->random_sign && !(draw[1] >> 31)) value = p->form->factor ? 1 / value : -value;
  use.value = &value;
  return p->form->apply(image, &use);
}

/* Takes the image through the subtree p, whose root is number `node`. */
static int walk(const nn_perturb *p, const walk_state *w, uint64_t node, nni_canvas *image) {
  if (p->kind == ROW) return (int64_t)node == w->done ? NN_OK : apply_row(p, w, node, image);
  if (p->kind == SEQUENCE) {
    int status = NN_OK;
    uint64_t child = node + 1;
    for (int i = 0; i < p->parts && status == NN_OK; i++) {
      status = walk(p->part[i], w, child, image);
      child += (uint64_t)p->part[i]->nodes;
    }
    return status;
  }
  int chosen = draw_part(p, w, node);
  return chosen < 0 ? NN_OK : walk(p->part[chosen], w, part_node(p, node, chosen), image);
}

int nni_perturb_image(const nn_perturb *p, uint64_t key, uint64_t n, int64_t done, nni_canvas *image) {
  return walk(p, &(walk_state){ key, n, done }, 0, image);
}

/* The first row that changes the image, or NULL. */
static const nn_perturb *first_row(const nn_perturb *p, const walk_state *w, uint64_t node, uint64_t *found) {
  if (p->kind == ROW) {
    *found = node;
    return p;
  }
  if (p->kind == SEQUENCE) {
    const nn_perturb *row = NULL;
    uint64_t child = node + 1;
    for (int i = 0; i < p->parts && !row; i++) {
      row = first_row(p->part[i], w, child, found);
      child += (uint64_t)p->part[i]->nodes;
    }
    return row;
  }
  int chosen = draw_part(p, w, node);
  return chosen < 0 ? NULL : first_row(p->part[chosen], w, part_node(p, node, chosen), found);
}

int64_t nni_perturb_window(const nn_perturb *p, uint64_t key, uint64_t n, int64_t height, int64_t width,
                           nni_rectangle *window) {
  uint64_t node = 0;
  const nn_perturb *row = first_row(p, &(walk_state){ key, n, NNI_NO_NODE }, 0, &node);
  if (!row || !row->row->window) return NNI_NO_NODE;
  *window = row->row->window(&(nni_perturb_use){ row->value, key, node, n }, height, width);
  return (int64_t)node;
}

typedef struct {
  nnk_outcome outcome;
  const nn_perturb *tree;
  const nn_real *x;
  nn_real *y;
  int64_t height, width;
  int channels;
  uint64_t key;
} apply_job;

static void apply_images(void *context, int64_t begin, int64_t end) {
  apply_job *job = context;
  int64_t elements = job->height * job->width * job->channels;
  size_t bytes = (size_t)elements * sizeof(nn_real);
  nn_real *spare = job->tree->needs_spare ? nnk_scratch(&job->outcome, (int64_t)bytes) : NULL;
  for (int64_t n = begin; n < end && nnk_going(&job->outcome); n++) {
    nn_real *y = job->y + n * elements;
    memcpy(y, job->x + n * elements, bytes);
    nni_canvas image = { y, spare, job->height, job->width, job->channels };
    int status = nni_perturb_image(job->tree, job->key, (uint64_t)n, NNI_NO_NODE, &image);
    if (status != NN_OK) atomic_store(&job->outcome.status, status);
    else if (image.pixels != y) memcpy(y, image.pixels, bytes);
  }
  nn_memory_put(spare);
}

int nn_perturb_apply(const nn_perturb *p, nn_tensor *x, uint64_t seed, uint64_t step, nn_tensor **out) {
  char shape[96];
  if (nn_tensor_type(x) != NN_REAL)
    return nn_fail(NN_ETYPE, "perturb: images of float in [0, 1] expected, got %s", nn_type_name(nn_tensor_type(x)));
  if (nn_tensor_axes(x) != 4)
    return nn_fail(NN_ESHAPE, "perturb: images [N x H x W x C] expected, got %s",
                   nn_tensor_describe(x, shape, sizeof shape));
  int64_t height = nn_tensor_size(x, 1), width = nn_tensor_size(x, 2), channels = nn_tensor_size(x, 3);
  int status = nni_perturb_check(p, nn_tensor_sizes(x));
  if (status != NN_OK) return status;
  nn_tensor *packed = nn_tensor_pack(x), *y = nn_tensor_new(NN_REAL, 4, nn_tensor_sizes(x));
  status = NN_EMEMORY;
  if (packed && y) {
    int64_t elements = height * width * channels;
    apply_job job = { .tree = p, .x = nn_tensor_data(packed), .y = nn_tensor_write(y), .height = height,
                      .width = width, .channels = (int)channels, .key = nni_perturb_key(seed, step) };
    int64_t grain = elements > 0 && elements < CHUNK_ELEMENTS ? CHUNK_ELEMENTS / elements : 1;
    status = elements > 0 ? nnk_run(&job.outcome, nn_tensor_size(x, 0), grain, apply_images, &job) : NN_OK;
  }
  nn_tensor_release(packed);
  if (status == NN_OK) *out = y;
  else nn_tensor_release(y);
  return status;
}
