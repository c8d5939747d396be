/* perturb.h -- one elementary perturbation, one row; and one image taken through a tree of them. */
#ifndef NN_PERTURB_H
#define NN_PERTURB_H

#include "image/image.h"

/* An image on its way through a tree. A row changes the pixels in place, or writes to `spare` and exchanges the two. */
typedef struct {
  nn_real *pixels; /* [height, width, channels] in [0, 1] */
  nn_real *spare;  /* as many; NULL where nni_perturb_needs_spare says so */
  int64_t height, width;
  int channels;
} nni_canvas;

/* One row at one place of a tree, for one image: what it is set to, and where its draws come from. */
typedef struct {
  const double *value;
  uint64_t key, node, image;
} nni_perturb_use;

/* What a perturbation's number means in one convention. */
typedef struct {
  const char *parameter;            /* "amount", "factor", "turns" */
  double level[NN_PERTURB_LEVELS];  /* Table 1 of the paper */
  double min, max;
  bool factor;                      /* 1 changes nothing and the other sign of v is 1/v; else 0 and -v */
  int (*apply)(nni_canvas *image, const nni_perturb_use *use);
} nni_perturb_form;

typedef struct {
  const char *name;
  double min, max;
} nni_perturb_setting;

/* A row takes a number, or several of which each image draws one (form), or all of its settings. */
struct nn_perturbation {
  const char *name, *doc;
  nni_perturb_form form[NN_CONVENTIONS];  /* with settings: both the same, without levels */
  const nni_perturb_setting *settings;    /* ends with one that has no name; NULL: it takes a number */
  bool needs_spare;
  bool any_channels;                      /* else 1 or 3 */
  /* Can it be applied to images of this size? May be NULL. */
  int (*check)(const double *value, int64_t height, int64_t width);
  /* A row that shows a window of the image at the image's size tells which: from a larger picture than the tree works
   * on, the same window can be read instead. NULL for others. */
  nni_rectangle (*window)(const nni_perturb_use *use, int64_t height, int64_t width);
};

/* Each ends with a row whose name is NULL. */
extern const nn_perturbation nni_colour_rows[], nni_geometry_rows[], nni_noise_rows[];

/* 0 .. count - 1, and [0, 1), from one word of a draw. */
static inline int64_t nni_pick(uint32_t word, int64_t count) {
  return (int64_t)((uint64_t)word * (uint64_t)count >> 32);
}
static inline double nni_unit(uint32_t word) { return word * 0x1p-32; }
/* The k-th draw of this use. */
static inline void nni_perturb_draw(const nni_perturb_use *use, uint32_t k, uint32_t draw[4]) {
  nn_random_block(use->key, use->node | (uint64_t)k << 32, use->image, draw);
}

/* ---- trees ---- */

/* Can the tree be applied to images [N,H,W,C] of these sizes? */
int nni_perturb_check(const nn_perturb *p, const int64_t size[4]);
bool nni_perturb_needs_spare(const nn_perturb *p);
/* What all draws of one application are keyed by. */
uint64_t nni_perturb_key(uint64_t seed, uint64_t step);

enum { NNI_NO_NODE = -1 };

/* When the first row that would change image `n` shows a window: which one, for a picture of this size; returns the
 * row's node. NNI_NO_NODE otherwise. */
int64_t nni_perturb_window(const nn_perturb *p, uint64_t key, uint64_t n, int64_t height, int64_t width,
                           nni_rectangle *window);
/* Takes image `n` through the tree, apart from node `done` (or NNI_NO_NODE). */
int nni_perturb_image(const nn_perturb *p, uint64_t key, uint64_t n, int64_t done, nni_canvas *image);

#endif
