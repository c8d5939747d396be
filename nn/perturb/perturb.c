/* perturb.c -- perturbations as values: an immutable tree of rows, sequences, choices and coins.
 *
 * A tree is applied to a whole batch in one call: each image is copied once and then taken through the tree while it
 * stays in the cache. Every draw is keyed by (seed, step, image, node), nodes numbered from the root in order, so that
 * equal calls give equal bits with any number of threads, and two occurrences of one value draw apart.
 */
#include "perturb/perturb.h"

#include <stdatomic.h>
#include <string.h>

#include "tensor/tensor.h"

enum { MAX_NODES = 1 << 16, MAX_DEPTH = 200, CHUNK_ELEMENTS = 1 << 15 };

/* Keeps these draws apart from all others made from the same seed. */
static const uint64_t draw_stream = 0x7065727475726200u;

typedef enum { ROW, SEQUENCE, CHOICE, MAYBE } node_kind;

struct nn_perturb {
  atomic_int references;
  node_kind kind;
  int nodes, depth;     /* of this subtree */
  const nni_perturb_form *form;
  int values;           /* ROW: one of them is drawn when there are several */
  double value[NN_PERTURB_VALUES];
  bool random_sign;
  double probability;   /* MAYBE */
  int parts;
  nn_perturb *part[];
};

/* ---- rows ---- */

int nn_perturbation_count(void) {
  int count = 0;
  while (nni_perturbations[count].name) count++;
  return count;
}

const nn_perturbation *nn_perturbation_at(int place) { return &nni_perturbations[place]; }

const nn_perturbation *nn_perturbation_find(const char *name) {
  for (const nn_perturbation *row = nni_perturbations; row->name; row++)
    if (strcmp(row->name, name) == 0) return row;
  return NULL;
}

void nn_perturbation_describe(const nn_perturbation *row, nn_convention convention, nn_perturbation_info *info) {
  const nni_perturb_form *form = &row->form[convention];
  *info = (nn_perturbation_info){ .name = row->name, .doc = row->doc, .parameter = form->parameter,
                                  .min = form->min, .max = form->max, .factor = form->factor };
  memcpy(info->level, form->level, sizeof info->level);
}

/* ---- trees ---- */

static nn_perturb *node_new(node_kind kind, nn_perturb *const *parts, int count) {
  int nodes = 1, depth = 1;
  for (int i = 0; i < count; i++) {
    nodes += parts[i]->nodes;
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
  p->parts = count;
  for (int i = 0; i < count; i++) p->part[i] = nn_perturb_retain(parts[i]);
  return p;
}

nn_perturb *nn_perturb_row(const nn_perturbation *row, nn_convention convention, bool random_sign, const double *values,
                           int count) {
  const nni_perturb_form *form = &row->form[convention];
  if (count < 1 || count > NN_PERTURB_VALUES) {
    nn_fail(NN_EARGUMENT, "perturb.%s: expected 1 to %d values of %s, got %d", row->name, NN_PERTURB_VALUES,
            form->parameter, count);
    return NULL;
  }
  for (int i = 0; i < count; i++) {
    if (!(values[i] >= form->min && values[i] <= form->max)) {
      nn_fail(NN_EARGUMENT, "perturb.%s: %s expects %g to %g, got %g", row->name, form->parameter, form->min, form->max,
              values[i]);
      return NULL;
    }
    if (form->factor && random_sign && values[i] < 1 / form->max) {
      nn_fail(NN_EARGUMENT, "perturb.%s: the other sign of %s %g would be 1/%g", row->name, form->parameter, values[i],
              values[i]);
      return NULL;
    }
  }
  nn_perturb *p = node_new(ROW, NULL, 0);
  if (!p) return NULL;
  p->form = form;
  p->random_sign = random_sign;
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

/* ---- draws ---- */

static uint64_t draw_key(uint64_t seed, uint64_t step) { return nn_random_derive(seed, draw_stream, step); }

/* 0 .. count - 1 */
static int pick(uint32_t word, int count) { return (int)((uint64_t)word * (uint64_t)count >> 32); }

static double unit(uint32_t word) { return word * 0x1p-32; }

static double draw_value(const nn_perturb *p, const uint32_t draw[4]) {
  double value = p->value[pick(draw[0], p->values)];
  if (!p->random_sign || draw[1] >> 31) return value;
  return p->form->factor ? 1 / value : -value;
}

/* ---- applying ---- */

typedef struct {
  const nn_perturb *tree;
  const nn_real *x;
  nn_real *y;
  int64_t pixels; /* per image */
  int channels;
  uint64_t key;
} apply_job;

/* Takes image n through the subtree p, whose root is number `node`. */
static void walk(const apply_job *job, const nn_perturb *p, uint64_t node, uint64_t n, nn_real *image) {
  uint32_t draw[4];
  uint64_t child = node + 1;
  switch (p->kind) {
    case ROW:
      if (p->values > 1 || p->random_sign) nn_random_block(job->key, node, n, draw);
      else draw[0] = draw[1] = 0;
      p->form->apply(image, job->pixels, job->channels, draw_value(p, draw));
      break;
    case SEQUENCE:
      for (int i = 0; i < p->parts; i++) {
        walk(job, p->part[i], child, n, image);
        child += (uint64_t)p->part[i]->nodes;
      }
      break;
    case CHOICE: {
      nn_random_block(job->key, node, n, draw);
      int chosen = pick(draw[0], p->parts);
      for (int i = 0; i < chosen; i++) child += (uint64_t)p->part[i]->nodes;
      walk(job, p->part[chosen], child, n, image);
      break;
    }
    case MAYBE:
      nn_random_block(job->key, node, n, draw);
      if (unit(draw[0]) < p->probability) walk(job, p->part[0], child, n, image);
      break;
  }
}

static void apply_images(void *context, int64_t begin, int64_t end) {
  const apply_job *job = context;
  int64_t elements = job->pixels * job->channels;
  for (int64_t n = begin; n < end; n++) {
    nn_real *image = job->y + n * elements;
    memcpy(image, job->x + n * elements, (size_t)elements * sizeof *image);
    walk(job, job->tree, 0, (uint64_t)n, image);
  }
}

int nn_perturb_apply(const nn_perturb *p, nn_tensor *x, uint64_t seed, uint64_t step, nn_tensor **out) {
  char shape[96];
  int64_t channels = nn_tensor_axes(x) == 4 ? nn_tensor_size(x, 3) : 0;
  if (nn_tensor_type(x) != NN_REAL)
    return nn_fail(NN_ETYPE, "perturb: images of float in [0, 1] expected, got %s", nn_type_name(nn_tensor_type(x)));
  if (channels != 1 && channels != 3)
    return nn_fail(NN_ESHAPE, "perturb: images [N x H x W x C] with 1 or 3 channels expected, got %s",
                   nn_tensor_describe(x, shape, sizeof shape));
  nn_tensor *packed = nn_tensor_pack(x), *y = nn_tensor_new(NN_REAL, 4, nn_tensor_sizes(x));
  int status = NN_EMEMORY;
  if (packed && y) {
    int64_t pixels = nn_tensor_size(x, 1) * nn_tensor_size(x, 2), elements = pixels * channels;
    apply_job job = { p, nn_tensor_data(packed), nn_tensor_write(y), pixels, (int)channels, draw_key(seed, step) };
    int64_t grain = elements > 0 && elements < CHUNK_ELEMENTS ? CHUNK_ELEMENTS / elements : 1;
    status = elements > 0 ? nn_parallel_for(nn_tensor_size(x, 0), grain, apply_images, &job) : NN_OK;
  }
  nn_tensor_release(packed);
  if (status == NN_OK) *out = y;
  else nn_tensor_release(y);
  return status;
}
