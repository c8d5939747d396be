/* perturb.h -- one elementary perturbation, one row. */
#ifndef NN_PERTURB_H
#define NN_PERTURB_H

#include "nn.h"

/* What a perturbation's number means in one convention. */
typedef struct {
  const char *parameter;            /* "amount", "factor", "turns" */
  double level[NN_PERTURB_LEVELS];  /* Table 1 of the paper */
  double min, max;
  bool factor;                      /* 1 changes nothing and the other sign of v is 1/v; else 0 and -v */
  /* Changes one image in place: pixels [count, channels] in [0, 1]; channels is 1 or 3. */
  void (*apply)(nn_real *pixels, int64_t count, int channels, double value);
} nni_perturb_form;

struct nn_perturbation {
  const char *name, *doc;
  nni_perturb_form form[NN_CONVENTIONS];
};

extern const nn_perturbation nni_perturbations[]; /* ends with a row whose name is NULL */

#endif
