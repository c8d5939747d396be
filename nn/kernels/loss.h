/* loss.h -- losses of a batch, row by row.
 *
 * Logits are [rows x classes], targets [rows] count from 0 and are within range. A loss kernel writes one double for
 * each row. A gradient kernel takes the weight of each row: weight[row * step] * scale, so step = 0 shares one.
 */
#ifndef NN_KERNELS_LOSS_H
#define NN_KERNELS_LOSS_H

#include "kernels/elementwise.h"

typedef struct {
  const nn_real *weight;
  int64_t step;
  nn_real scale;
} nnk_weight;

/* loss = log sum_k exp z_k - (1 - s) z_y - s / classes * sum_k z_k;
 * dz += w (softmax z - (1 - s) onehot_y - s / classes) */
int nnk_cross_entropy(double *loss, const nn_real *z, const int32_t *target, int64_t rows, int64_t classes, double s);
int nnk_cross_entropy_grad(nn_real *dz, nnk_weight w, const nn_real *z, const int32_t *target, int64_t rows,
                           int64_t classes, double s);

/* loss = sum_i (a_i - b_i)^2;  da += 2 w (a - b), db -= the same. Either may be NULL. */
int nnk_squared_distance(double *loss, const nn_real *a, const nn_real *b, int64_t rows, int64_t width);
int nnk_squared_distance_grad(nn_real *da, nn_real *db, nnk_weight w, const nn_real *a, const nn_real *b, int64_t rows,
                              int64_t width);

/* p = softmax(u / t), q = softmax(v / t); loss = sum_k p_k (log p_k - log q_k);
 * du_k += w p_k (log p_k - log q_k - loss) / t, dv_k += w (q_k - p_k) / t. Either may be NULL. */
int nnk_kl_divergence(double *loss, const nn_real *u, const nn_real *v, int64_t rows, int64_t classes, double t);
int nnk_kl_divergence_grad(nn_real *du, nn_real *dv, nnk_weight w, const nn_real *u, const nn_real *v, int64_t rows,
                           int64_t classes, double t);

/* loss = sum_{k != y} max(0, margin - z_y + z_k);  dz_k += w and dz_y -= w for each k inside the margin. */
int nnk_hinge(double *loss, const nn_real *z, const int32_t *target, int64_t rows, int64_t classes, double margin);
int nnk_hinge_grad(nn_real *dz, nnk_weight w, const nn_real *z, const int32_t *target, int64_t rows, int64_t classes,
                   double margin);

/* Gaps between two logits, which attacks widen; z_1 >= z_2 >= ... are the greatest of a row, o the greatest but y:
 *   margin          z_o - z_y
 *   dlr             (z_o - z_y) / (z_1 - z_3 + 1e-12)                 3 classes or more
 *   dlr_targeted    (z_target - z_y) / (z_1 - (z_3 + z_4) / 2 + 1e-12)  4 classes or more
 *   difference      z_target - z_y
 * target is read where the name is in the formula. */
typedef enum { NNK_MARGIN, NNK_DLR, NNK_DLR_TARGETED, NNK_DIFFERENCE } nnk_gap;
int nnk_gap_loss(double *loss, nnk_gap kind, const nn_real *z, const int32_t *y, const int32_t *target, int64_t rows,
                 int64_t classes);
int nnk_gap_loss_grad(nn_real *dz, nnk_weight w, nnk_gap kind, const nn_real *z, const int32_t *y,
                      const int32_t *target, int64_t rows, int64_t classes);

#endif
