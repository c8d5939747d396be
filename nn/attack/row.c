/* row.c -- the table of attacks, and what happens before and after each of them. */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "kernels/kernels.h"

static const nn_attack *const families[] = { nni_attacks_pgd, nni_attacks_apgd, nni_attacks_square, nni_attacks_fab };
enum { FAMILIES = sizeof families / sizeof *families, MAX_ATTACKS = 16, IMAGE_GRAIN = 1 << 14 };

const nn_attack *nn_attack_at(int place) {
  for (int f = 0; f < FAMILIES; f++)
    for (const nn_attack *a = families[f]; a->name; a++)
      if (place-- == 0) return a;
  return NULL;
}

int nn_attack_count(void) {
  int count = 0;
  while (nn_attack_at(count)) count++;
  return count;
}

static int place_of(const nn_attack *attack) {
  int place = 0;
  while (nn_attack_at(place) != attack) place++;
  return place;
}

const nn_attack *nn_attack_find(const char *name) {
  const nn_attack *a;
  for (int place = 0; (a = nn_attack_at(place)); place++)
    if (strcmp(a->name, name) == 0) return a;
  return NULL;
}

const char *nn_attack_name(const nn_attack *a) { return a->name; }
const char *nn_attack_doc(const nn_attack *a) { return a->doc; }
const char *nn_attack_example(const nn_attack *a) { return a->example; }
const char *nn_attack_signature_text(const nn_attack *a) { return a->signature; }

const nn_signature *nn_attack_signature(const nn_attack *a) {
  static nn_signature parsed[MAX_ATTACKS];
  nn_signature *s = &parsed[place_of(a)];
  if (s->args == 0) nn_signature_parse(a->signature, s);  /* our own text: it parses */
  return s;
}

/* ---- images ---- */

int nni_each_image(int64_t n, int64_t pixels, nn_chunk work, void *context) {
  return nn_parallel_for(n, nnk_max(1, IMAGE_GRAIN / nnk_max(1, pixels)), work, context);
}

nn_tensor *nni_gather(nn_tensor *t, const int32_t *number, int64_t count) {
  int64_t size[NN_MAX_AXES];
  memcpy(size, t->size, sizeof size);
  size[0] = count;
  nn_tensor *out = nn_tensor_new(t->type, t->axes, size);
  if (!out) return NULL;
  size_t bytes = (size_t)(nn_tensor_count(t) / t->size[0]) * sizeof(nn_real);
  const char *from = (const char *)nni_real(t);
  char *to = (char *)nni_real(out);
  for (int64_t i = 0; i < count; i++) memcpy(to + (size_t)i * bytes, from + (size_t)number[i] * bytes, bytes);
  return out;
}

void nni_scatter(nn_tensor *to, const nn_tensor *from, const int32_t *number, int64_t count) {
  size_t bytes = (size_t)(nn_tensor_count(to) / to->size[0]) * sizeof(nn_real);
  char *at = nn_tensor_write(to);
  for (int64_t i = 0; i < count; i++)
    memcpy(at + (size_t)number[i] * bytes, (const char *)nni_real(from) + (size_t)i * bytes, bytes);
}

int nni_resisting(const nni_attack_call *c, const int32_t *y, bool wanted, int32_t *number, int64_t *count) {
  nn_tensor *logits = NULL;
  int status = nni_target_logits(c->target, c->x, &logits);
  if (status != NN_OK) return status;
  int64_t classes = logits->size[1], found = 0;
  for (int64_t i = 0; i < logits->size[0]; i++)
    if (nni_resists(nni_real(logits) + i * classes, classes, y[i], wanted)) number[found++] = (int32_t)i;
  *count = found;
  nn_tensor_release(logits);
  return NN_OK;
}

/* ---- running ---- */

/* Of numbers among the options; multiples of them are floats still. */
static const double greatest = 1e30;

static int check_options(const nn_attack *a, const nn_param *option) {
  const nn_signature *s = nn_attack_signature(a);
  for (int i = 0; i < s->args; i++) {
    const nn_param *p = &option[s->arg[i].value];
    int status = nn_arg_check(&s->arg[i], p);
    if (status == NN_OK && s->arg[i].kind == NN_ARG_NUMBER && p->given && !(fabs(p->number) <= greatest))
      status = nn_fail(NN_EARGUMENT, "%s expects a number up to %g, got %g", s->arg[i].name, greatest, p->number);
    if (status == NN_OK && !p->given && !s->arg[i].optional)
      status = nn_fail(NN_EARGUMENT, "%s is missing", s->arg[i].name);
    if (status != NN_OK) return nn_fail_prefix(status, a->name);
  }
  int status = a->check ? a->check(option) : NN_OK;
  return status == NN_OK ? NN_OK : nn_fail_prefix(status, a->name);
}

static int check_images(const char *name, const nn_tensor *x) {
  char text[96];
  if (x->type != NN_REAL)
    return nn_fail(NN_ETYPE, "%s: images of float in [0, 1] expected, got %s", name, nn_type_name(x->type));
  if (x->axes < 2)
    return nn_fail(NN_ESHAPE, "%s: images [N x H x W x C] expected, got %s", name,
                   nn_tensor_describe(x, text, sizeof text));
  return NN_OK;
}

/* Contiguous images. */
static int check_range(const char *name, const nn_tensor *x) {
  const nn_real *v = nni_real(x);
  int64_t count = nn_tensor_count(x);
  nn_real low = count > 0 ? v[0] : 0, high = low;
  bool numbers = true;
  for (int64_t i = 0; i < count; i++) {
    low = v[i] < low ? v[i] : low;
    high = v[i] > high ? v[i] : high;
    numbers &= v[i] == v[i];
  }
  if (!numbers) return nn_fail(NN_EARGUMENT, "%s: images in [0, 1] expected, got pixels that are not numbers", name);
  if (low >= 0 && high <= 1) return NN_OK;
  return nn_fail(NN_EARGUMENT, "%s: images in [0, 1] expected, got %.3g ... %.3g; normalisation is the model's first "
                 "layer: models.NAME{ normalize = set.stats }", name, (double)low, (double)high);
}

/* y: a label (or another number, as `what` says) of each image. */
static int check_each(const char *name, const char *what, const nn_tensor *x, const nn_tensor *y) {
  char a[96], b[96];
  if (y->type != NN_INDEX)
    return nn_fail(NN_ETYPE, "%s: %ss of type index expected, got %s", name, what, nn_type_name(y->type));
  if (y->axes != 1 || y->size[0] != x->size[0])
    return nn_fail(NN_ESHAPE, "%s: one %s for each image expected, got %ss %s for images %s", name, what, what,
                   nn_tensor_describe(y, a, sizeof a), nn_tensor_describe(x, b, sizeof b));
  return NN_OK;
}

static int attack_images(const nn_attack *a, nni_attack_call *c) {
  nni_target *t = c->target;
  t->seen = nn_memory_get_zeroed((size_t)t->images);
  if (!t->seen) return NN_EMEMORY;
  int status = a->run(c);
  nn_memory_put(t->seen);
  return status;
}

int nn_attack_run(const nn_attack *a, const nn_param *options, const nn_attacked *model, nn_tensor *x, nn_tensor *y,
                  const nn_attack_use *use, nn_tensor **out, nn_attack_counts *counts) {
  const nn_signature *s = nn_attack_signature(a);
  nn_param option[NN_MAX_PARAMS] = { { 0 } };
  for (int i = 0; i < s->args; i++) {
    int v = s->arg[i].value;
    option[v] = options && options[v].given ? options[v] : s->arg[i].fallback;
  }
  int status = check_options(a, option);
  if (status == NN_OK) status = check_images(a->name, x);
  if (status == NN_OK) status = check_each(a->name, "label", x, y);
  if (status == NN_OK && use->numbers) status = check_each(a->name, "number", x, use->numbers);
  if (status != NN_OK) return status;
  nn_tensor *packed = nn_tensor_pack(x), *labels = nn_tensor_pack(y), *images = NULL, *found = NULL;
  nn_tensor *numbers = use->numbers ? nn_tensor_pack(use->numbers) : NULL;
  status = packed && labels && !numbers == !use->numbers ? check_range(a->name, packed) : NN_EMEMORY;
  if (status == NN_OK && (!(images = nn_tensor_detach(packed)) || !(found = nn_tensor_clone(packed))))
    status = NN_EMEMORY;
  nni_target target = { .name = a->name, .model = model, .seed = use->seed, .images = x->size[0],
                        .training = a->training >= 0 && option[a->training].integer != 0,
                        .progress = use->progress, .progress_context = use->context };
  if (status == NN_OK && nn_tensor_count(x) > 0) {
    target.label = nni_int32(labels);
    nni_attack_call call = { .option = option, .target = &target, .x = images, .y = target.label, .seed = use->seed,
                             .offset = use->offset, .numbers = numbers ? nni_int32(numbers) : NULL, .out = found };
    status = attack_images(a, &call);
  }
  nn_tensor_release(packed);
  nn_tensor_release(labels);
  nn_tensor_release(numbers);
  nn_tensor_release(images);
  if (status == NN_OK) *out = found;
  else nn_tensor_release(found);
  if (status == NN_OK && counts) *counts = target.counts;
  return status;
}

/* ---- projection alone ---- */

typedef struct {
  nni_ball ball;
  nn_real *at;
  const nn_real *x;
} projection;

static void project_images(void *context, int64_t begin, int64_t end) {
  const projection *p = context;
  for (int64_t n = begin; n < end; n++)
    nni_ball_project(&p->ball, p->at + n * p->ball.pixels, p->x + n * p->ball.pixels);
}

int nn_attack_project(nn_tensor *x, nn_tensor *found, const char *norm, double eps, nn_tensor **out) {
  static const char name[] = "project";
  char a[96], b[96];
  if (strcmp(norm, "linf") != 0 && strcmp(norm, "l2") != 0)
    return nn_fail(NN_EARGUMENT, "%s: norm must be one of linf|l2, got \"%s\"", name, norm);
  if (!(eps >= 0 && eps <= greatest))
    return nn_fail(NN_EARGUMENT, "%s: eps must be at least 0 and at most %g, got %g", name, greatest, eps);
  int status = check_images(name, x);
  if (status == NN_OK) status = check_images(name, found);
  if (status == NN_OK && !nni_same_shape(x, found))
    status = nn_fail(NN_ESHAPE, "%s: images of one shape expected, got %s and %s", name,
                     nn_tensor_describe(x, a, sizeof a), nn_tensor_describe(found, b, sizeof b));
  if (status != NN_OK) return status;
  nn_tensor *packed = nn_tensor_pack(x), *y = nn_tensor_clone(found);
  status = packed && y ? check_range(name, packed) : NN_EMEMORY;
  if (status == NN_OK && nn_tensor_count(x) > 0) {
    projection job = { { strcmp(norm, "l2") == 0 ? NNI_L2 : NNI_LINF, (nn_real)eps, nn_tensor_count(x) / x->size[0] },
                       nn_tensor_write(y), nni_real(packed) };
    status = nni_each_image(x->size[0], job.ball.pixels, project_images, &job);
  }
  nn_tensor_release(packed);
  if (status == NN_OK) *out = y;
  else nn_tensor_release(y);
  return status;
}
