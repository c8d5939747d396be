/* optim.h -- one method of optimisation, one row.
 *
 * A row names its options (a signature of values only), the state tensors it keeps for each parameter, and its
 * update of a stretch of one parameter.
 */
#ifndef NN_OPTIM_H
#define NN_OPTIM_H

#include "nn.h"

enum { NNI_STATES = 2 };

typedef struct {
  const nn_param *option;
  int64_t step;                /* of this parameter, from 1 */
  bool fresh;                  /* its state was just made, of zeros */
  nn_real *p;
  const nn_real *grad;
  nn_real *state[NNI_STATES];  /* NULL where not kept */
  int64_t count;
} nni_update;

struct nn_method {
  const char *name, *signature, *doc;
  const char *state[NNI_STATES];             /* names; NULL after the last */
  int (*check)(const nn_param *option);      /* of options together; NULL: nothing to check */
  int (*states)(const nn_param *option);     /* how many of the states these options need */
  void (*update)(const nni_update *u);
};

#endif
