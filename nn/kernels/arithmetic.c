/* arithmetic.c -- functions of two tensors' elements, A and B, and of three for `where`.
 *
 * Along a line an operand is a vector (stride 1) or one repeated element (stride 0), so each function has a loop for
 * vector and vector, vector and scalar, scalar and vector. D is an element of dy.
 */
#include "kernels/elementwise.h"
#include "kernels/vecmath.h"

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

/* d a^b / da = b a^(b-1), 0 for b = 0; d a^b / db = a^b log a, 0 for a = 0 and b >= 0. */
LINE(power_value, out[i] = nnk_pow_of(A, B))
LINE(power_to_a, out[i] += dy[i] * nnk_select(B == 0, 0, B * nnk_pow_of(A, B - 1)))
LINE(pow_to_b, out[i] += dy[i] * nnk_select((A == 0) & (B >= 0), 0, nnk_pow_of(A, B) * nnk_log_of(A)))

/* A square is what scripts ask for most. */
static bool is_square(const nn_real *const x[], const int64_t stride[]) { return !stride[1] && x[1][0] == 2; }

static void pow_value(nn_real *restrict out, const nn_real *dy, const nn_real *const x[], const int64_t stride[],
                      int64_t n, const nn_real number[]) {
  (is_square(x, stride) ? nnk_square.value : power_value)(out, dy, x, stride, n, number);
}

static void pow_to_a(nn_real *restrict out, const nn_real *dy, const nn_real *const x[], const int64_t stride[],
                     int64_t n, const nn_real number[]) {
  (is_square(x, stride) ? nnk_square.grad[0] : power_to_a)(out, dy, x, stride, n, number);
}

const nnk_elementwise nnk_pow = { pow_value, { pow_to_a, pow_to_b } };

COMPARE(eq, A == B)
COMPARE(ne, A != B)
COMPARE(lt, A < B)
COMPARE(le, A <= B)
COMPARE(gt, A > B)
COMPARE(ge, A >= B)

/* y = C != 0 ? A : B. C gets no gradient. Where all three are vectors the loop is one of vectors too. */
#define CHOOSE(name, statement)                                                                                   \
  NNK_CLONES static void name(nn_real *restrict out, const nn_real *restrict dy, const nn_real *const x[],        \
                              const int64_t stride[], int64_t n, const nn_real number[]) {                        \
    const nn_real *restrict c = x[0], *restrict a = x[1], *restrict b = x[2];                                     \
    (void)dy, (void)number, (void)a, (void)b;                                                                     \
    if (stride[0] && stride[1] && stride[2]) CHOICES(1, 1, 1, statement)                                          \
    else CHOICES(stride[0], stride[1], stride[2], statement)                                                      \
  }
#define CHOICES(c_step, a_step, b_step, statement)                                                                \
  for (int64_t i = 0; i < n; i++) {                                                                               \
    const nn_real C = c[i * (c_step)], A = a[i * (a_step)], B = b[i * (b_step)];                                  \
    (void)A, (void)B;                                                                                             \
    statement;                                                                                                    \
  }
CHOOSE(where_value, out[i] = C != 0 ? A : B)
CHOOSE(where_to_a, const nn_real D = dy[i]; out[i] += C != 0 ? D : 0)
CHOOSE(where_to_b, const nn_real D = dy[i]; out[i] += C != 0 ? 0 : D)

const nnk_elementwise nnk_where = { where_value, { NULL, where_to_a, where_to_b } };
