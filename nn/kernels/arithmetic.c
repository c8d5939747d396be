/* arithmetic.c -- functions of two tensors' elements, A and B, and of three for `where`.
 *
 * Along a line an operand is a vector (stride 1) or one repeated element (stride 0), so each function has a loop for
 * vector and vector, vector and scalar, scalar and vector. D is an element of dy.
 */
#include <tgmath.h>

#include "kernels/elementwise.h"

#define LOOP(a_at, b_at, statement)                       \
  for (int64_t i = 0; i < n; i++) {                       \
    const nn_real A = a[a_at], B = b[b_at];               \
    (void)A, (void)B;                                     \
    statement;                                            \
  }
#define LINE(name, statement)                                                                                     \
  NNK_CLONES static void name(nn_real *restrict out, const nn_real *restrict dy, const nn_real *const x[],        \
                              const int64_t stride[], int64_t n, const nn_real number[]) {                        \
    const nn_real *restrict a = x[0], *restrict b = x[1];                                                         \
    (void)dy, (void)number;                                                                                       \
    if (stride[0] && stride[1]) LOOP(i, i, statement)                                                             \
    else if (stride[0]) LOOP(i, 0, statement)                                                                     \
    else LOOP(0, i, statement)                                                                                    \
  }
#define VALUE(name, value) LINE(name##_value, out[i] = value)
#define GRADS(name, to_a, to_b)                          \
  LINE(name##_to_a, const nn_real D = dy[i]; out[i] += to_a) \
  LINE(name##_to_b, const nn_real D = dy[i]; out[i] += to_b)
#define BINARY(name, value, to_a, to_b) \
  VALUE(name, value)                    \
  GRADS(name, to_a, to_b)               \
  const nnk_elementwise nnk_##name = { name##_value, { name##_to_a, name##_to_b } };
#define COMPARE(name, value) \
  VALUE(name, value)         \
  const nnk_elementwise nnk_##name = { name##_value, { NULL } };

BINARY(add, A + B, D, D)
BINARY(sub, A - B, D, -D)
BINARY(mul, A * B, D * B, D * A)
BINARY(div, A / B, D / B, -D * A / (B * B))

/* A NaN on either side is the result; where the two are equal each side gets half the gradient. */
BINARY(maximum, A > B || A != A ? A : B, A > B ? D : A == B ? 0.5f * D : 0, B > A ? D : A == B ? 0.5f * D : 0)
BINARY(minimum, A < B || A != A ? A : B, A < B ? D : A == B ? 0.5f * D : 0, B < A ? D : A == B ? 0.5f * D : 0)

/* A square is what scripts ask for most; the library's pow would cost ten times as much. */
NNK_INLINE nn_real power(nn_real a, nn_real b) { return b == 2 ? a * a : b == 1 ? a : pow(a, b); }

/* d a^b / da = b a^(b-1), 0 for b = 0; d a^b / db = a^b log a, 0 for a = 0 and b >= 0. */
NNK_INLINE nn_real power_to_base(nn_real a, nn_real b) { return b == 0 ? 0 : b * power(a, b - 1); }
NNK_INLINE nn_real power_to_exponent(nn_real a, nn_real b) { return a == 0 && b >= 0 ? 0 : pow(a, b) * log(a); }

BINARY(pow, power(A, B), D * power_to_base(A, B), D * power_to_exponent(A, B))

COMPARE(eq, A == B)
COMPARE(ne, A != B)
COMPARE(lt, A < B)
COMPARE(le, A <= B)
COMPARE(gt, A > B)
COMPARE(ge, A >= B)

/* y = cond != 0 ? a : b. cond gets no gradient. */
static void where_value(nn_real *restrict out, const nn_real *dy, const nn_real *const x[], const int64_t stride[],
                        int64_t n, const nn_real number[]) {
  (void)dy, (void)number;
  for (int64_t i = 0; i < n; i++)
    out[i] = x[0][i * stride[0]] != 0 ? x[1][i * stride[1]] : x[2][i * stride[2]];
}

static void where_to_a(nn_real *restrict out, const nn_real *dy, const nn_real *const x[], const int64_t stride[],
                       int64_t n, const nn_real number[]) {
  (void)number;
  for (int64_t i = 0; i < n; i++) out[i] += x[0][i * stride[0]] != 0 ? dy[i] : 0;
}

static void where_to_b(nn_real *restrict out, const nn_real *dy, const nn_real *const x[], const int64_t stride[],
                       int64_t n, const nn_real number[]) {
  (void)number;
  for (int64_t i = 0; i < n; i++) out[i] += x[0][i * stride[0]] != 0 ? 0 : dy[i];
}

const nnk_elementwise nnk_where = { where_value, { NULL, where_to_a, where_to_b } };
