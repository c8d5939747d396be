/* gemm.h -- matrix products. Matrices are row-major; ld is the distance between rows, in elements. */
#ifndef NN_KERNELS_GEMM_H
#define NN_KERNELS_GEMM_H

#include "kernels/kernels.h"

typedef struct {
  const nn_real *data;
  int64_t ld;
  bool transposed;  /* the matrix that takes part is the transpose of the one stored */
} nnk_matrix;

/* c [m x n] = (add ? c : 0) + a [m x k] b [k x n] on the calling thread, in BLAS calls of at most 2 GFLOP; an
 * interrupt between them ends it early, which the caller's nn_parallel_for reports. All sizes fit an int. */
void nnk_gemm_serial(nn_real *c, int64_t ldc, nnk_matrix a, nnk_matrix b, int64_t m, int64_t n, int64_t k, bool add);

/* The same on the team. */
int nnk_gemm(nn_real *c, int64_t ldc, nnk_matrix a, nnk_matrix b, int64_t m, int64_t n, int64_t k, bool add);

/* count products on the team. Result i, at c + i * c_stride, is the sum over its terms j of a_j b_j, where a_j lies at
 * a.data + a_place[j] * a_stride and so does b_j. Its terms are first[i] .. first[i + 1] - 1. */
typedef struct {
  nn_real *c;
  int64_t c_stride, ldc;
  nnk_matrix a, b;
  int64_t a_stride, b_stride;
  int64_t m, n, k, count;
  const int64_t *first, *a_place, *b_place;
  bool add;  /* to what c holds */
} nnk_gemm_many;

int nnk_gemm_batched(const nnk_gemm_many *g);

/* Every row of out [rows x width] = row [width]. */
int nnk_fill_rows(nn_real *out, const nn_real *row, int64_t rows, int64_t width);

#endif
