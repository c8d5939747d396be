/* target.c -- the model under attack: logits, values of a goal, gradients to the images alone.
 *
 * While a gradient is taken the images are the only leaf there is (nn_set_grad_leaf): parameters are as if frozen, also
 * those of a model that is not one of our modules, and nothing has to be put back when a pass fails.
 */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "kernels/loss.h"

/* ---- passes ---- */

/* Keeps dropout's draws in passes of an attack apart from others of the seed. */
static const uint64_t pass_stream = 0x61747470617373u;

static int run_model(nni_target *t, nn_tensor *x, nn_tensor **logits) {
  const nn_attacked *m = t->model;
  if (!m->module) return m->forward(m->context, x, t->training, logits);
  nn_pass pass = { .training = t->training, .keep_running = true,
                   .seed = nn_random_derive(t->seed, pass_stream, (uint64_t)t->counts.forward) };
  return nn_module_forward(m->module, x, &pass, logits);
}

static int check_labels(const nni_target *t) {
  for (int64_t i = 0; i < t->images; i++)
    if (t->label[i] < 0 || t->label[i] >= t->classes)
      return nn_fail(NN_EARGUMENT, "%s: label %lld of image %lld is not one of the model's %lld classes", t->name,
                     (long long)t->label[i] + 1, (long long)i + 1, (long long)t->classes);
  return NN_OK;
}

static int check_logits(nni_target *t, const nn_tensor *x, const nn_tensor *z) {
  char a[96], b[96];
  if (z->type != NN_REAL || z->axes != 2 || z->size[0] != x->size[0] || z->size[1] < 1 ||
      (t->classes > 0 && z->size[1] != t->classes))
    return nn_fail(NN_ESHAPE, "%s: the model makes %s %s of images %s, where logits [N x classes] are expected",
                   t->name, nn_type_name(z->type), nn_tensor_describe(z, a, sizeof a),
                   nn_tensor_describe(x, b, sizeof b));
  if (t->classes > 0) return NN_OK;
  t->classes = z->size[1];
  return check_labels(t);
}

/* One pass, recorded when gradients are on. */
static int pass(nni_target *t, nn_tensor *x, nn_tensor **logits) {
  nn_tensor *made = NULL;
  int status = run_model(t, x, &made);
  if (status == NN_OK) status = check_logits(t, x, made);
  if (status == NN_OK) {
    t->counts.forward += x->size[0];
    *logits = made;
  } else {
    nn_tensor_release(made);
  }
  return status;
}

/* What was made, contiguous and without history. */
static int without_history(nn_tensor *made, nn_tensor **logits) {
  nn_tensor *view = nn_tensor_detach(made), *packed = view ? nn_tensor_pack(view) : NULL;
  nn_tensor_release(view);
  if (packed) *logits = packed;
  return packed ? NN_OK : NN_EMEMORY;
}

int nni_target_logits(nni_target *t, nn_tensor *x, nn_tensor **logits) {
  nn_tensor *made = NULL;
  bool was = nn_set_grad_enabled(false);
  int status = pass(t, x, &made);
  nn_set_grad_enabled(was);
  if (status == NN_OK) status = without_history(made, logits);
  nn_tensor_release(made);
  return status;
}

/* ---- goals ---- */

static nnk_gap gap_of(nni_loss loss) {
  switch (loss) {
    case NNI_DLR: return NNK_DLR;
    case NNI_DLR_TARGETED: return NNK_DLR_TARGETED;
    case NNI_DIFFERENCE: return NNK_DIFFERENCE;
    default: return NNK_MARGIN;
  }
}

int nni_target_check_goal(const nni_target *t, const nni_goal *goal) {
  int64_t least = goal->loss == NNI_DLR ? 3 : goal->loss == NNI_DLR_TARGETED ? 4 : 2;
  static const char *const names[] = { "ce", "dlr", "margin", "kl", "dlr_targeted", "difference" };
  if (t->classes >= least) return NN_OK;
  return nn_fail(NN_EARGUMENT, "%s: the loss %s needs at least %lld classes, the model has %lld", t->name,
                 names[goal->loss], (long long)least, (long long)t->classes);
}

int nni_target_values(const nni_target *t, nn_tensor *logits, const nni_goal *goal, double *value) {
  const nn_real *z = nni_real(logits);
  int64_t n = logits->size[0], classes = logits->size[1];
  int status = nni_target_check_goal(t, goal);
  if (status != NN_OK) return status;
  if (goal->loss == NNI_CE) status = nnk_cross_entropy(value, z, goal->y, n, classes, 0);
  else if (goal->loss == NNI_KL) status = nnk_kl_divergence(value, goal->reference, z, n, classes, 1);
  else status = nnk_gap_loss(value, gap_of(goal->loss), z, goal->y, goal->target, n, classes);
  for (int64_t i = 0; i < n && goal->minimise; i++) value[i] = -value[i];
  return status;
}

/* d sum of values / d logits */
static int goal_gradient(const nni_goal *goal, nn_tensor *logits, nn_tensor **out) {
  const nn_real one = 1, *z = nni_real(logits);
  nnk_weight w = { &one, 0, goal->minimise ? -1 : 1 };
  int64_t n = logits->size[0], classes = logits->size[1];
  nn_tensor *d = nn_tensor_zeros(NN_REAL, 2, logits->size);
  if (!d) return NN_EMEMORY;
  int status;
  if (goal->loss == NNI_CE)
    status = nnk_cross_entropy_grad(nni_real(d), w, z, goal->y, n, classes, 0);
  else if (goal->loss == NNI_KL)
    status = nnk_kl_divergence_grad(NULL, nni_real(d), w, goal->reference, z, n, classes, 1);
  else
    status = nnk_gap_loss_grad(nni_real(d), w, gap_of(goal->loss), z, goal->y, goal->target, n, classes);
  if (status == NN_OK) *out = d;
  else nn_tensor_release(d);
  return status;
}

/* ---- gradients ---- */

enum { ZERO = 1, NONFINITE = 2 };

typedef struct {
  nn_real *g;
  int64_t pixels;
  const int32_t *number;
  uint8_t *seen;
} inspection;

/* Marks gradients of images that are all zero or not finite somewhere, and makes the latter finite. */
static void inspect_images(void *context, int64_t begin, int64_t end) {
  const inspection *job = context;
  for (int64_t n = begin; n < end; n++) {
    nn_real *g = job->g + n * job->pixels;
    bool any = false, finite = true;
    for (int64_t i = 0; i < job->pixels; i++) {
      any |= g[i] != 0;
      finite &= g[i] - g[i] == 0;
    }
    uint8_t *seen = &job->seen[job->number ? job->number[n] : n];
    if (!any) *seen |= ZERO;
    if (finite) continue;
    *seen |= NONFINITE;
    for (int64_t i = 0; i < job->pixels; i++)
      if (!(g[i] - g[i] == 0)) g[i] = 0;
  }
}

static int inspect(nni_target *t, nn_tensor *gradient, const int32_t *number) {
  int64_t n = gradient->size[0], pixels = nn_tensor_count(gradient) / n;
  inspection job = { nni_real(gradient), pixels, number, t->seen };
  int status = nni_each_image(n, pixels, inspect_images, &job);
  t->counts.zero_gradient = t->counts.nonfinite_gradient = 0;
  for (int64_t i = 0; i < t->images; i++) {
    t->counts.zero_gradient += (t->seen[i] & ZERO) != 0;
    t->counts.nonfinite_gradient += (t->seen[i] & NONFINITE) != 0;
  }
  return status;
}

/* From logits to the images. A model that nothing can be traced back through has a gradient of 0. */
static int go_back(nn_tensor *x, nn_tensor *made, nn_tensor *packed, const nni_goal *goal, nn_tensor **gradient) {
  nn_tensor *seed = NULL;
  int status = made->requires_grad ? goal_gradient(goal, packed, &seed) : NN_OK;
  if (seed) status = nn_backward(made, seed, false);
  nn_tensor_release(seed);
  if (status != NN_OK) return status;
  *gradient = x->grad ? nn_tensor_retain(x->grad) : nn_tensor_zeros(NN_REAL, x->axes, x->size);
  return *gradient ? NN_OK : NN_EMEMORY;
}

int nni_target_gradient(nni_target *t, nn_tensor *x, const nni_goal *goal, const int32_t *number, double *value,
                        nn_tensor **logits, nn_tensor **gradient) {
  nn_tensor *made = NULL, *packed = NULL, *g = NULL;
  bool was_enabled = nn_set_grad_enabled(true);
  const nn_tensor *was_leaf = nn_set_grad_leaf(x);
  int status = nn_tensor_set_requires_grad(x, true);
  if (status == NN_OK) status = pass(t, x, &made);
  if (status == NN_OK) status = without_history(made, &packed);
  if (status == NN_OK) status = nni_target_values(t, packed, goal, value);
  if (status == NN_OK) status = go_back(x, made, packed, goal, &g);
  if (status == NN_OK) {
    t->counts.backward += x->size[0];
    status = inspect(t, g, number);
  }
  nn_set_grad_leaf(was_leaf);
  nn_set_grad_enabled(was_enabled);
  nn_tensor_clear_grad(x);
  x->requires_grad = false;
  nn_tensor_release(made);
  if (status == NN_OK) {
    *gradient = g;
    if (logits) *logits = nn_tensor_retain(packed);
  } else {
    nn_tensor_release(g);
  }
  nn_tensor_release(packed);
  return status;
}

int nni_target_report(nni_target *t, int64_t left) {
  if (!t->progress) return NN_OK;
  uint64_t done = (uint64_t)(t->counts.forward + t->counts.backward);
  return t->progress(t->progress_context, done, done + (uint64_t)left);
}

/* ---- predictions ---- */

void nni_predict(int32_t *class, nn_tensor *logits, bool least) {
  int64_t classes = logits->size[1];
  for (int64_t n = 0; n < logits->size[0]; n++) {
    const nn_real *z = nni_real(logits) + n * classes;
    int32_t best = 0;
    for (int64_t k = 1; k < classes; k++)
      if (least ? z[k] < z[best] : z[k] > z[best]) best = (int32_t)k;
    class[n] = best;
  }
}

int32_t nni_rival(const nn_real *z, int64_t classes, int32_t y, int64_t rank) {
  int32_t last = -1;
  for (int64_t r = 0; r <= rank; r++) {
    int32_t next = -1;
    for (int32_t k = 0; k < classes; k++) {
      bool after = last < 0 || z[k] < z[last] || (z[k] == z[last] && k > last);
      if (k != y && after && (next < 0 || z[k] > z[next])) next = k;
    }
    if (next < 0) break;  /* what is not a number has no place in an order */
    last = next;
  }
  return last < 0 ? y : last;
}

bool nni_resists(const nn_real *z, int64_t classes, int32_t y, bool wanted) {
  bool says = z[y] == z[y];
  for (int64_t k = 0; k < classes && says; k++) says = k < y ? z[y] > z[k] : z[y] >= z[k];
  return says != wanted;
}
