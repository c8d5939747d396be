/* conv.h -- two-dimensional convolution of N x H x W x C images: three passes, what is fused into them, and how one of
 * several ways is chosen.
 *
 * A pass reads images through a `source`, which may normalise them on the way in, and hands every finished sum to a
 * `sink`, which may add, gate and sum it on the way out: what a network does between two convolutions costs no pass
 * over memory of its own.
 *
 *   forward        y  [out grid] = sum over taps of x * weight
 *   grad_input     dx [in grid]  = sum over taps of dy * weight'
 *   grad_weight    dweight      += sum over pixels of x * dy
 *
 * The first two run from prepared weights (reordered, or transformed): they are made once as long as weights stay the
 * same. Memory for intermediate results is each pass's own, from nn_memory_get.
 */
#ifndef NN_KERNELS_CONV_H
#define NN_KERNELS_CONV_H

#include "kernels/kernels.h"

typedef struct {
  int64_t images, height, width, channels;       /* x  [images x height x width x channels] */
  int64_t out_height, out_width, out_channels;   /* y  [images x out_height x out_width x out_channels] */
  int64_t kernel_height, kernel_width; /* weight [kernel_height x kernel_width x channels/groups x out_channels] */
  int64_t stride, padding, dilation, groups;
} nnk_conv;

/* What a pass reads, by channel c:
 *   v = x * scale[c] + shift[c] + other * other_scale[c],   relu(v) when asked.
 * The zeros around an image are put around v. */
typedef struct {
  const nn_real *x;                    /* [images x height x width x channels] of the images read */
  const nn_real *scale, *shift;        /* [channels]; both NULL: 1 and 0 */
  const nn_real *other, *other_scale;  /* like x, and [channels]; both NULL: nothing is added. Needs scale. */
  bool relu;
} nnk_source;

/* What becomes of a finished sum, in this order. Everything may be absent (NULL, false) but y.
 *   v = sum + bias[c]
 *   v = v + residual
 *   v = max(v, 0)                                when relu
 *   v = 0 unless the element's bit of gate is set
 *   v = 0 unless z * z_scale[c] + z_shift[c] > 0 when z_scale
 *   signs gets a bit for each element: v > 0
 *   y = v
 *   sums[0][c] += v - centre[c],  sums[1][c] += (v - centre[c])^2    without z
 *   sums[0][c] += v,              sums[1][c] += v * (z - centre[c])  with z
 * Bits lie in one uint16_t for each pixel and sixteen channels, channel c in bit c % 16:
 * [pixels x nnk_signs(channels)].
 * Sums are taken in float over few elements and in double from there, in an order fixed by shape. */
typedef struct {
  nn_real *y;
  const nn_real *bias;                 /* [channels] of the images written, as all vectors here */
  const nn_real *residual;             /* like y; may be y itself */
  bool relu;
  const uint16_t *gate;
  uint16_t *signs;
  const nn_real *z, *z_scale, *z_shift;
  const nn_real *centre;               /* NULL: 0 */
  double *sums;                        /* [2 x channels], overwritten */
} nnk_sink;

static inline int64_t nnk_signs(int64_t channels) { return nnk_divide_up(channels, 16); }

typedef enum { NNK_FORWARD, NNK_GRAD_INPUT, NNK_GRAD_WEIGHT } nnk_conv_pass;

/* How one pass of one shape is computed. */
typedef struct {
  nnk_conv shape;
  nnk_conv_pass pass;
  int way;                             /* one of conv.c's */
  size_t weights;                      /* bytes of the prepared weights */
} nnk_conv_method;

/* Fast ways round differently: Winograd's error is up to ten times that of the direct ways. */
typedef enum { NNK_FAST, NNK_EXACT } nnk_precision;
nnk_precision nni_precision(void);   /* that of nn_set_precision */

/* A shape that memory cannot hold is NN_ESHAPE. */
int nnk_conv_choose(nnk_conv_method *m, const nnk_conv *shape, nnk_conv_pass pass, nnk_precision precision);

/* What rounding may do, u = 2^-24 (in double 2^-53):  |result - exact| <= nnk_conv_bound * u * size,  size the sum of
 * the magnitudes of an element's products, or the mean of that over all elements where this is larger. */
double nnk_conv_bound(const nnk_conv_method *m);

/* The weights [kh x kw x channels/groups x out_channels] as the method wants them; scale [out_channels] multiplies them
 * by output channel of the layer, also for grad_input (NULL: 1). */
int nnk_conv_prepare(const nnk_conv_method *m, void *prepared, const nn_real *weight, const nn_real *scale);
/* forward: source x, sink y. grad_input: source dy, sink dx. */
int nnk_conv_run(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source, const void *prepared);
/* dweight += */
int nnk_conv_weigh(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x);

/* The plain twins (conv_reference.c): one loop for each formula above. */
int nnk_conv_run_reference(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source,
                           const nn_real *weight, const nn_real *scale);
int nnk_conv_weigh_reference(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x);

/* The three passes in one call each, with nothing fused, at nni_precision().
 * y = weight * x (+ bias [out_channels], which may be NULL) */
int nnk_conv2d(nn_real *y, const nn_real *x, const nn_real *weight, const nn_real *bias, const nnk_conv *s);
int nnk_conv2d_grad_input(nn_real *dx, const nn_real *dy, const nn_real *weight, const nnk_conv *s);   /* adds */
int nnk_conv2d_grad_weight(nn_real *dweight, const nn_real *dy, const nn_real *x, const nnk_conv *s);  /* adds */

#endif
