/* elementwise.h -- one function of the elements, over operands that may be repeated along axes (broadcasting).
 *
 * The result and the gradient of the result are contiguous; an operand has a stride for each axis, 0 where it is
 * repeated. Axes that all operands step through alike are merged, so that operands of one shape, or a scalar, come out
 * as a single line, and a bias as lines against a vector. The loop over a line is the hot one.
 */
#ifndef NN_KERNELS_ELEMENTWISE_H
#define NN_KERNELS_ELEMENTWISE_H

#include "kernels/kernels.h"

enum { NNK_OPERANDS = 3, NNK_GRAIN = 1 << 14 };

typedef struct {
  int axes;       /* at least 1 */
  int64_t count;  /* elements of the result */
  int64_t size[NN_MAX_AXES];
  int64_t stride[NNK_OPERANDS][NN_MAX_AXES];
} nnk_walk;

/* stride[k] belongs to operand k and has an entry for each axis. */
nnk_walk nnk_walk_over(int axes, const int64_t *size, int operands, const int64_t stride[][NN_MAX_AXES]);
/* `count` elements, all operands contiguous. */
nnk_walk nnk_walk_flat(int64_t count);

/* A line of n elements: out[i] = f(operands), or for a gradient out[i] += dy[i] * f'(operands). Operand k's element i
 * is x[k][i * stride[k]]. `number` holds the op's two numbers, if it has any. */
typedef void nnk_line(nn_real *out, const nn_real *dy, const nn_real *const x[], const int64_t stride[], int64_t n,
                      const nn_real number[]);

/* Runs a line function over the whole walk. dy and number may be NULL where it reads none. */
int nnk_walk_run(const nnk_walk *walk, nnk_line *line, nn_real *out, const nn_real *dy, const nn_real *const x[],
                 const nn_real number[]);

/* What an elementwise op computes, and what its backward adds for each operand. */
typedef struct {
  nnk_line *value, *grad[NNK_OPERANDS];
} nnk_elementwise;

/* One operand (pointwise.c). A gradient reads one operand, x or y, as the row says it saves. */
extern const nnk_elementwise nnk_neg, nnk_exp, nnk_log, nnk_sqrt, nnk_square, nnk_abs, nnk_sign, nnk_clamp, nnk_tanh,
    nnk_sigmoid, nnk_relu, nnk_leaky_relu, nnk_gelu, nnk_gelu_tanh;

/* Two operands, and where's three (arithmetic.c). Operands here have stride 0 or 1 along a line. */
extern const nnk_elementwise nnk_add, nnk_sub, nnk_mul, nnk_div, nnk_pow, nnk_maximum, nnk_minimum, nnk_eq, nnk_ne,
    nnk_lt, nnk_le, nnk_gt, nnk_ge, nnk_where;

/* to[i] = from[i] and to[i] += from[i] over a shape, each side with its own strides (in elements). Elements of `to` are
 * distinct, and none of them lies in `from`. bytes: the size of one element, 1, 4 or 8. */
int nnk_copy_strided(void *to, const int64_t *to_stride, const void *from, const int64_t *from_stride, int axes,
                     const int64_t *size, size_t bytes);
int nnk_add_strided(nn_real *to, const int64_t *to_stride, const nn_real *from, const int64_t *from_stride, int axes,
                    const int64_t *size);

/* to[i] = from[i] in another element type. A value that an integer type cannot hold stops its piece; *unfit is then the
 * place of the first such value, else count. */
int nnk_convert(void *to, nn_type to_type, const void *from, nn_type from_type, int64_t count, int64_t *unfit);

#endif
