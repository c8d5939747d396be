/* hyperplane.c -- projection onto a hyperplane within the box, as FAB needs it (Croce & Hein 2020, section 2).
 *
 * The solution has one unknown, t: each component moves towards the hyperplane until it reaches its face of the box,
 *   step_i = sign(gap w_i) min(t u_i, room_i),   u_i = 1 (largest component) or |w_i| (Euclidean),
 * and t is the root of g(t) = sum_i |w_i| min(t u_i, room_i) = |gap|. g is concave and made of straight pieces, so
 * Newton's method from t = 0 climbs to the root without overshooting, and each of its passes ends on a later piece:
 * no sorting, and exact as soon as the piece is the right one.
 */
#include "kernels/hyperplane.h"

#include <math.h>

#include "kernels/kernels.h"

/* How far component i may go towards the hyperplane. */
static inline double room(const nn_real *x, const nn_real *w, int64_t i, double sign) {
  double at = (double)x[i];
  return sign * (double)w[i] > 0 ? 1 - at : at;
}

/* The root of g, or infinity where the box ends before it. */
static double find_root(const nn_real *x, const nn_real *w, int64_t n, double gap, bool euclidean) {
  double t = 0, sign = gap < 0 ? -1 : 1;
  for (;;) {
    double used = 0, slope = 0;  /* by components at their faces; by those on their way */
    for (int64_t i = 0; i < n; i++) {
      double a = fabs((double)w[i]), u = euclidean ? a : 1, most = room(x, w, i, sign);
      if (t * u < most) slope += a * u;
      else used += a * most;
    }
    if (slope == 0) return INFINITY;
    double next = (fabs(gap) - used) / slope;
    if (!(next > t)) return t;
    t = next;
  }
}

double nnk_hyperplane_step(nn_real *step, const nn_real *x, const nn_real *w, int64_t n, double gap, bool euclidean) {
  double t = find_root(x, w, n, gap, euclidean), sign = gap < 0 ? -1 : 1, length = 0;
  for (int64_t i = 0; i < n; i++) {
    double a = fabs((double)w[i]), most = room(x, w, i, sign);
    double move = a > 0 ? fmin(t * (euclidean ? a : 1), most) : 0;
    step[i] = (nn_real)(sign * (double)w[i] > 0 ? move : -move);
    length = euclidean ? length + move * move : fmax(length, move);
  }
  return euclidean ? sqrt(length) : length;
}
