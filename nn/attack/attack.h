/* attack.h -- attacks on a model, one row each; and what they stand on: the target and the ball.
 *
 * Images are [N x H x W x C] in [0, 1]. An attack climbs a loss of each image, bounded by a ball around it and by the
 * range of pixels; it never grades itself. Images do not depend on each other: losses are summed over a batch, and
 * draws are keyed by (seed, restart, the image's number in the whole part).
 */
#ifndef NN_ATTACK_H
#define NN_ATTACK_H

#include "tensor/tensor.h"

/* ---- ball.c: a threat model is three small functions over the pixels of one image ---- */

typedef enum { NNI_LINF, NNI_L2 } nni_norm;

typedef struct {
  nni_norm norm;
  nn_real eps;
  int64_t pixels;  /* of an image, channels counted */
} nni_ball;

/* What an attack draws: image `number` of the part, restart after restart. */
typedef struct {
  uint64_t seed;
  int64_t restart, number;
} nni_draw;

/* at = the nearest in the ball around x, then in [0, 1]. x lies in [0, 1], so clipping leaves no ball. What is not
 * a number goes to somewhere in both. */
void nni_ball_project(const nni_ball *b, nn_real *at, const nn_real *x);
/* delta = uniform in the ball around 0. */
int nni_ball_sample(const nni_ball *b, nn_real *delta, const nni_draw *draw);
/* at += length * the direction of unit length that climbs fastest along the gradient g: its signs, of which 0 stays 0,
 * or g / ||g||. A gradient of 0 makes no step. */
void nni_ball_step(const nni_ball *b, nn_real *at, const nn_real *g, nn_real length);
/* ||a - other|| in the ball's norm; other NULL: ||a||. */
double nni_ball_distance(const nni_ball *b, const nn_real *a, const nn_real *other);
/* A seed of the draw's own for what else an attack draws; `stream` tells apart its uses. */
uint64_t nni_draw_seed(const nni_draw *draw, uint64_t stream);

/* ---- target.c: the model under attack ---- */

typedef struct {
  const char *name;            /* of the attack, for messages */
  const nn_attacked *model;
  bool training;               /* batch statistics (never updating the running ones) and dropout */
  uint64_t seed;               /* of dropout's draws */
  const int32_t *label;        /* [images] checked against the classes when these are known */
  int64_t images, classes;     /* 0 classes: no pass was made yet */
  uint8_t *seen;               /* [images] which samples met a zero gradient, or one that is not finite */
  nn_attack_counts counts;
  nn_progress progress;
  void *progress_context;
} nni_target;

typedef enum {
  NNI_CE,            /* cross-entropy of y */
  NNI_DLR,           /* (max of the others - z_y) / (z_1 - z_3), z_1 >= z_2 >= ... : 3 classes or more */
  NNI_MARGIN,        /* max of the others - z_y */
  NNI_KL,            /* KL(softmax(reference) || softmax(z)) */
  NNI_DLR_TARGETED,  /* (z_target - z_y) / (z_1 - (z_3 + z_4) / 2) : 4 classes or more */
  NNI_DIFFERENCE,    /* z_target - z_y */
} nni_loss;

/* What is climbed, image by image. */
typedef struct {
  nni_loss loss;
  bool minimise;             /* climb -loss instead: y is what the attack wants */
  const int32_t *y;          /* [n] */
  const int32_t *target;     /* [n] where the loss has one */
  const nn_real *reference;  /* [n x classes] logits, of KL */
} nni_goal;

/* Logits of images x [n x ...], contiguous and without history. Nothing is recorded. */
int nni_target_logits(nni_target *t, nn_tensor *x, nn_tensor **logits);
/* The goal's value for each image [n], its logits (NULL: not wanted), and the gradient of the sum of the values, which
 * is each image's own. Elements that are not finite are 0 in it. number [n]: the images' places in the batch; NULL: as
 * they stand. x is a leaf of the attack's own. */
int nni_target_gradient(nni_target *t, nn_tensor *x, const nni_goal *goal, const int32_t *number, double *value,
                        nn_tensor **logits, nn_tensor **gradient);
/* The goal's values for logits. */
int nni_target_values(const nni_target *t, nn_tensor *logits, const nni_goal *goal, double *value);
/* Does the goal have as many classes as it needs? */
int nni_target_check_goal(const nni_target *t, const nni_goal *goal);
/* Tells of the passes of images so far, `left` of which at most are still to come. */
int nni_target_report(nni_target *t, int64_t left);

/* The first of the greatest logits of each row, or of the least. */
void nni_predict(int32_t *class, nn_tensor *logits, bool least);
/* The class of this rank among those but y, by their logits: 0 is the greatest, of equals the first.
 * rank < classes - 1. */
int32_t nni_rival(const nn_real *logits, int64_t classes, int32_t y, int64_t rank);
/* Has the attack not yet what it wants of this row: is y what the model says (or, with `wanted`, not what it says)? A
 * logit that is not a number says nothing. */
bool nni_resists(const nn_real *logits, int64_t classes, int32_t y, bool wanted);

/* ---- row.c ---- */

typedef struct {
  const nn_param *option;      /* as the row's signature orders them */
  nni_target *target;
  nn_tensor *x;                /* [N x H x W x C], N at least 1, contiguous, in [0, 1] */
  const int32_t *y;            /* [N] */
  uint64_t seed;
  int64_t offset;              /* of image 0 in the whole part */
  const int32_t *numbers;      /* [N] to be counted from there; NULL: the places */
  nn_tensor *out;              /* holds a copy of x; what the attack leaves there is the result */
} nni_attack_call;

struct nn_attack {
  const char *name, *signature, *doc, *example;
  int training;                /* place of the option bn:eval|train among the params, or -1 */
  int (*check)(const nn_param *option);  /* of options together; may be NULL */
  int (*run)(const nni_attack_call *c);
};

/* The families; each array ends with a row whose name is NULL. */
extern const nn_attack nni_attacks_pgd[], nni_attacks_apgd[], nni_attacks_square[], nni_attacks_fab[];

/* The draw of the call's image `place`. */
static inline nni_draw nni_draw_of(const nni_attack_call *c, int64_t restart, int64_t place) {
  return (nni_draw){ c->seed, restart, c->offset + (c->numbers ? c->numbers[place] : place) };
}

/* Image n of contiguous t. */
static inline nn_real *nni_image(const nn_tensor *t, int64_t n, int64_t pixels) { return nni_real(t) + n * pixels; }
/* Images number[0 .. count) of contiguous t, to a new tensor; NULL: out of memory. */
nn_tensor *nni_gather(nn_tensor *t, const int32_t *number, int64_t count);
/* nni_gather's way back: row i of `from` becomes row number[i] of `to`. */
void nni_scatter(nn_tensor *to, const nn_tensor *from, const int32_t *number, int64_t count);
/* Which images of the call's x resist without any attack: their places, and how many. */
int nni_resisting(const nni_attack_call *c, const int32_t *y, bool wanted, int32_t *number, int64_t *count);

/* Runs work(context, image) for each of n images of so many pixels on the team. */
int nni_each_image(int64_t n, int64_t pixels, nn_chunk work, void *context);

#endif
