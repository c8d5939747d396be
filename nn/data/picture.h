/* picture.h -- from a picture file to the bytes of one image of a set. */
#ifndef NN_DATA_PICTURE_H
#define NN_DATA_PICTURE_H

#include "formats/bytes.h"
#include "image/image.h"
#include "perturb/perturb.h"

/* What one thread needs for it, kept from picture to picture. Starts as zeros. */
typedef struct {
  nni_bytes file;
  nni_picture decoded, fitted;
} nni_maker;

void nni_maker_free(nni_maker *m);

/* A tree whose first row may show a window of the picture: image `n` under the draws of `key`. */
typedef struct {
  const nn_perturb *tree;  /* NULL: none */
  uint64_t key, n;
  int64_t done;            /* the row whose window was taken, or NNI_NO_NODE */
} nni_crop;

/* Sides of at least 1, 1 or 3 channels, and a short side that covers the image. */
int nni_fit_check(const nn_fit *fit);

/* Picture i of the list as [height,width,channels] of `fit`: its window when the crop has one, resized; else fitted as
 * nn_fit says. *pixels lie in the maker until its next picture. What is wrong with a file names it. */
int nni_make_picture(nni_maker *m, const nn_files *files, int64_t i, const nn_fit *fit, nni_crop *crop,
                     const uint8_t **pixels);

#endif
