/* pointwise.c -- functions of one tensor's elements.
 *
 * X is an element of the input, D of dy, and K of what backward keeps: the input or, where the formula allows, the
 * output, which the next layer usually keeps anyway. P and Q are the op's numbers. A NaN stays a NaN.
 */
#include <tgmath.h>

#include "kernels/elementwise.h"
#include "kernels/vecmath.h"

/* y = value(X) */
#define VALUE(name, value)                                                                                           \
  NNK_CLONES static void name##_value(nn_real *restrict out, const nn_real *dy, const nn_real *const x[],            \
                                      const int64_t stride[], int64_t n, const nn_real number[]) {                   \
    const nn_real *restrict in = x[0];                                                                               \
    const nn_real P = number ? number[0] : 0, Q = number ? number[1] : 0;                                            \
    (void)dy, (void)stride, (void)P, (void)Q;                                                                        \
    for (int64_t i = 0; i < n; i++) {                                                                                \
      const nn_real X = in[i];                                                                                       \
      out[i] = value;                                                                                                \
    }                                                                                                                \
  }
/* dx += grad(D, K) */
#define GRAD(name, grad)                                                                                             \
  NNK_CLONES static void name##_grad(nn_real *restrict out, const nn_real *restrict dy, const nn_real *const x[],    \
                                     const int64_t stride[], int64_t n, const nn_real number[]) {                    \
    const nn_real *restrict kept = x[0];                                                                             \
    const nn_real P = number ? number[0] : 0, Q = number ? number[1] : 0;                                            \
    (void)stride, (void)P, (void)Q;                                                                                  \
    for (int64_t i = 0; i < n; i++) {                                                                                \
      const nn_real D = dy[i], K = kept[i];                                                                          \
      (void)K;                                                                                                       \
      out[i] += grad;                                                                                                \
    }                                                                                                                \
  }
#define POINTWISE(name, value, grad) \
  VALUE(name, value)                 \
  GRAD(name, grad)                   \
  const nnk_elementwise nnk_##name = { name##_value, { name##_grad } };

static const nn_real root_two_over_pi = (nn_real)0.79788456080286535588,
                     normal_peak = (nn_real)0.39894228040143267794, cubic = (nn_real)0.044715;

/* gelu: x Phi(x), Phi the normal distribution function. */
NNK_INLINE nn_real gelu_of(nn_real x) { return x * nnk_normal_of(x); }
NNK_INLINE nn_real gelu_slope(nn_real x) { return nnk_normal_of(x) + x * normal_peak * nnk_exp_of(-0.5f * x * x); }

/* Its approximation: 0.5 x (1 + tanh u), u = sqrt(2 / pi) (x + 0.044715 x^3). */
NNK_INLINE nn_real gelu_tanh_of(nn_real x) {
  return 0.5f * x * (1 + nnk_tanh_of(root_two_over_pi * (x + cubic * x * x * x)));
}
NNK_INLINE nn_real gelu_tanh_slope(nn_real x) {
  nn_real t = nnk_tanh_of(root_two_over_pi * (x + cubic * x * x * x));
  nn_real du = root_two_over_pi * (1 + 3 * cubic * x * x);
  return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * du;
}

POINTWISE(neg, -X, -D)
POINTWISE(exp, nnk_exp_of(X), D * K)                                 /* K is y */
POINTWISE(log, nnk_log_of(X), D / K)                                 /* x */
POINTWISE(sqrt, sqrt(X), D * 0.5f / K)                               /* y */
POINTWISE(square, X * X, 2 * D * K)                                  /* x */
POINTWISE(abs, fabs(X), K > 0 ? D : K < 0 ? -D : 0)                  /* x */
POINTWISE(tanh, nnk_tanh_of(X), D * (1 - K * K))                     /* y */
POINTWISE(sigmoid, nnk_sigmoid_of(X), D * K * (1 - K))               /* y */
POINTWISE(relu, X < 0 ? 0 : X, K > 0 ? D : 0)                        /* y */
POINTWISE(leaky_relu, X > 0 ? X : P * X, K > 0 ? D : P * D)  /* y, as slope >= 0 keeps the sign */
POINTWISE(gelu, gelu_of(X), D * gelu_slope(K))                       /* x */
POINTWISE(gelu_tanh, gelu_tanh_of(X), D * gelu_tanh_slope(K))        /* x */
POINTWISE(clamp, X < P ? P : X > Q ? Q : X,
          ((K >= P) & (K <= Q)) ? D : 0)                  /* x */

VALUE(sign, X > 0 ? 1 : X < 0 ? -1 : X)
const nnk_elementwise nnk_sign = { sign_value, { NULL } };
