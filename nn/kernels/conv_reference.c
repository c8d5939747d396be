/* conv_reference.c -- the plain twins of conv.h's passes: its formulas, one loop each, every sum in double.
 *
 * What a faster way computes is compared with these; the build in double computes with them. Loops over the channels of
 * one pixel are innermost, as that is how memory lies.
 */
#include <string.h>

#include "kernels/conv.h"

/* Element `at` of channel c, as the pass sees it. */
static double read(const nnk_source *s, int64_t at, int64_t c) {
  double v = s->x[at];
  if (s->scale) v = v * s->scale[c] + s->shift[c];
  if (s->other) v += (double)s->other[at] * s->other_scale[c];
  return s->relu && v < 0 ? 0 : v;
}

static bool bit(const uint16_t *bits, int64_t pixel, int64_t c, int64_t channels) {
  return bits[pixel * nnk_signs(channels) + c / 16] >> c % 16 & 1;
}

/* The finished sums of one pixel. */
static void write(const nnk_sink *s, int64_t pixel, const double *sum, int64_t channels) {
  for (int64_t c = 0; c < channels; c++) {
    int64_t at = pixel * channels + c;
    double v = sum[c], z = s->z ? s->z[at] : 0, centre = s->centre ? s->centre[c] : 0;
    if (s->bias) v += s->bias[c];
    if (s->residual) v += s->residual[at];
    if (s->relu && v < 0) v = 0;
    if (s->gate && !bit(s->gate, pixel, c, channels)) v = 0;
    if (s->z_scale && !(z * s->z_scale[c] + s->z_shift[c] > 0)) v = 0;
    if (s->signs) {
      uint16_t *word = s->signs + pixel * nnk_signs(channels) + c / 16;
      if (c % 16 == 0) *word = 0;
      if (v > 0) *word |= (uint16_t)(1u << c % 16);
    }
    s->y[at] = (nn_real)v;
    if (!s->sums) continue;
    s->sums[c] += s->z ? v : v - centre;
    s->sums[channels + c] += s->z ? v * (z - centre) : (v - centre) * (v - centre);
  }
}

/* sum [out channels] = the taps of one pixel of y */
static void gather_forward(double *sum, const nnk_conv *s, int64_t pixel, const nnk_source *x, const nn_real *weight) {
  int64_t image = pixel / (s->out_height * s->out_width);
  int64_t top = pixel / s->out_width % s->out_height * s->stride - s->padding;
  int64_t left = pixel % s->out_width * s->stride - s->padding;
  int64_t part = s->channels / s->groups, out_part = s->out_channels / s->groups;
  for (int64_t tap = 0; tap < s->kernel_height * s->kernel_width; tap++) {
    int64_t i = top + tap / s->kernel_width * s->dilation, j = left + tap % s->kernel_width * s->dilation;
    if (i < 0 || i >= s->height || j < 0 || j >= s->width) continue;
    for (int64_t c = 0; c < s->channels; c++) {
      double v = read(x, ((image * s->height + i) * s->width + j) * s->channels + c, c);
      const nn_real *w = weight + (tap * part + c % part) * s->out_channels;
      for (int64_t k = c / part * out_part; k < (c / part + 1) * out_part; k++) sum[k] += v * w[k];
    }
  }
}

/* sum [channels] = what one pixel of x gives to y, times dy: pixel i of y has it under tap (x + padding - i stride) /
 * dilation. */
static void gather_backward(double *sum, const nnk_conv *s, int64_t pixel, const nnk_source *dy, const nn_real *weight,
                            const nn_real *scale) {
  int64_t image = pixel / (s->height * s->width);
  int64_t line = pixel / s->width % s->height + s->padding, column = pixel % s->width + s->padding;
  int64_t part = s->channels / s->groups, out_part = s->out_channels / s->groups;
  for (int64_t tap = 0; tap < s->kernel_height * s->kernel_width; tap++) {
    int64_t i = line - tap / s->kernel_width * s->dilation, j = column - tap % s->kernel_width * s->dilation;
    if (i < 0 || j < 0 || i % s->stride != 0 || j % s->stride != 0) continue;
    i /= s->stride, j /= s->stride;
    if (i >= s->out_height || j >= s->out_width) continue;
    for (int64_t k = 0; k < s->out_channels; k++) {
      double v = read(dy, ((image * s->out_height + i) * s->out_width + j) * s->out_channels + k, k);
      const nn_real *w = weight + tap * part * s->out_channels + k;
      if (scale) v *= scale[k];
      for (int64_t c = 0; c < part; c++) sum[k / out_part * part + c] += v * w[c * s->out_channels];
    }
  }
}

int nnk_conv_run_reference(const nnk_conv_method *m, const nnk_sink *sink, const nnk_source *source,
                           const nn_real *weight, const nn_real *scale) {
  const nnk_conv *s = &m->shape;
  bool forward = m->pass == NNK_FORWARD;
  int64_t channels = forward ? s->out_channels : s->channels;
  int64_t pixels = s->images * (forward ? s->out_height * s->out_width : s->height * s->width);
  double *sum = nn_memory_get((size_t)channels * sizeof *sum);
  if (!sum) return NN_EMEMORY;
  if (sink->sums) memset(sink->sums, 0, (size_t)channels * 2 * sizeof *sink->sums);
  for (int64_t pixel = 0; pixel < pixels && !nn_interrupted(); pixel++) {
    memset(sum, 0, (size_t)channels * sizeof *sum);
    if (forward) gather_forward(sum, s, pixel, source, weight);
    else gather_backward(sum, s, pixel, source, weight, scale);
    for (int64_t k = 0; k < channels && forward && scale; k++) sum[k] *= scale[k];
    write(sink, pixel, sum, channels);
  }
  nn_memory_put(sum);
  return nn_interrupt_check();
}

int nnk_conv_weigh_reference(const nnk_conv_method *m, nn_real *dweight, const nnk_source *dy, const nnk_source *x) {
  const nnk_conv *s = &m->shape;
  int64_t part = s->channels / s->groups, out_part = s->out_channels / s->groups;
  int64_t size = s->kernel_height * s->kernel_width * part * s->out_channels;
  double *sum = nn_memory_get_zeroed((size_t)(size + s->out_channels) * sizeof *sum), *row = sum + size;
  if (!sum) return NN_EMEMORY;
  for (int64_t pixel = 0; pixel < s->images * s->out_height * s->out_width && !nn_interrupted(); pixel++) {
    int64_t image = pixel / (s->out_height * s->out_width);
    int64_t top = pixel / s->out_width % s->out_height * s->stride - s->padding;
    int64_t left = pixel % s->out_width * s->stride - s->padding;
    for (int64_t k = 0; k < s->out_channels; k++) row[k] = read(dy, pixel * s->out_channels + k, k);
    for (int64_t tap = 0; tap < s->kernel_height * s->kernel_width; tap++) {
      int64_t i = top + tap / s->kernel_width * s->dilation, j = left + tap % s->kernel_width * s->dilation;
      if (i < 0 || i >= s->height || j < 0 || j >= s->width) continue;
      for (int64_t c = 0; c < s->channels; c++) {
        double v = read(x, ((image * s->height + i) * s->width + j) * s->channels + c, c);
        double *to = sum + (tap * part + c % part) * s->out_channels;
        for (int64_t k = c / part * out_part; k < (c / part + 1) * out_part; k++) to[k] += v * row[k];
      }
    }
  }
  for (int64_t i = 0; i < size; i++) dweight[i] += (nn_real)sum[i];
  nn_memory_put(sum);
  return nn_interrupt_check();
}
