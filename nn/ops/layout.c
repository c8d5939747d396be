/* layout.c -- strides, reductions and index checks that several families of ops share. */
#include <stdio.h>

#include "kernels/elementwise.h"
#include "ops/layout.h"

void nni_contiguous_strides(int axes, const int64_t *size, int64_t *stride) {
  int64_t step = 1;
  for (int i = axes - 1; i >= 0; i--) {
    stride[i] = step;
    step *= size[i];
  }
}

void nni_broadcast_strides(const nn_shape *x, const nn_shape *y, int64_t *stride) {
  int64_t step = 1;
  for (int i = y->axes - 1, j = x->axes - 1; i >= 0; i--, j--) {
    stride[i] = j >= 0 && x->size[j] != 1 ? step : 0;
    if (j >= 0) step *= x->size[j];
  }
}

nnk_span nni_span_at(const nn_shape *x, int64_t axis) {
  return (nnk_span){ nni_shape_span(x, 0, (int)axis), x->size[axis], nni_shape_span(x, (int)axis + 1, x->axes) };
}

nni_reduction nni_reduce_axes(const nn_shape *x, const bool goes[NN_MAX_AXES]) {
  nni_reduction r = { .span = { 1, 1, 1 }, .as_it_lies = true, .axes = x->axes };
  int64_t stride[NN_MAX_AXES], kept = 1;
  bool begun = false, ended = false;
  for (int i = 0; i < x->axes; i++) {
    if (x->size[i] == 1) continue;
    if (goes[i]) {
      if (ended) r.as_it_lies = false;
      begun = true;
      r.span.n *= x->size[i];
    } else {
      ended = begun;
      kept *= x->size[i];
      if (begun) r.span.inner *= x->size[i];
      else r.span.outer *= x->size[i];
    }
  }
  if (!r.as_it_lies) r.span = (nnk_span){ kept, r.span.n, 1 };
  nni_contiguous_strides(x->axes, x->size, stride);
  for (int pass = 0, at = 0; pass < 2; pass++) {
    for (int i = 0; i < x->axes; i++) {
      if (goes[i] != (pass == 1)) continue;
      r.size[at] = x->size[i];
      r.stride[at++] = stride[i];
    }
  }
  return r;
}

const nn_real *nni_reduction_order(const nni_reduction *r, const nn_real *x, nn_real **copy, int *status) {
  *copy = NULL;
  *status = NN_OK;
  if (r->as_it_lies) return x;
  int64_t stride[NN_MAX_AXES];
  nni_contiguous_strides(r->axes, r->size, stride);
  *copy = nn_memory_get((size_t)nni_count(r->axes, r->size) * sizeof **copy);
  *status = *copy ? nnk_copy_strided(*copy, stride, x, r->stride, r->axes, r->size, sizeof *x) : NN_EMEMORY;
  if (*status == NN_OK) return *copy;
  nn_memory_put(*copy);
  *copy = NULL;
  return NULL;
}

int nni_sum_repeated(nn_real *to, const nn_shape *small, const nn_real *from, const nn_shape *wide, double factor) {
  bool repeated[NN_MAX_AXES];
  int lead = wide->axes - small->axes;
  for (int i = 0; i < wide->axes; i++) repeated[i] = i < lead || (small->size[i - lead] == 1 && wide->size[i] != 1);
  nni_reduction r = nni_reduce_axes(wide, repeated);
  if (r.span.n == 1) {
    nnk_walk walk = nnk_walk_flat(r.span.outer * r.span.inner);
    const nn_real *x[NNK_OPERANDS] = { from }, number = (nn_real)factor;
    return nnk_walk_run(&walk, nnk_spread_grad, to, NULL, x, &number);
  }
  nn_real *copy;
  int status;
  const nn_real *data = nni_reduction_order(&r, from, &copy, &status);
  if (data) status = nnk_reduce_sum(to, data, r.span, factor, true);
  nn_memory_put(copy);
  return status;
}

int nni_check_index(const nn_tensor *index, int64_t limit, const char *name, const char *what, const char *one) {
  const int32_t *value = nni_int32(index);
  int64_t count = nn_tensor_count(index), i = 0;
  while (i < count && value[i] >= 0 && value[i] < limit) i++;
  if (i == count) return NN_OK;
  char place[128] = "";
  int64_t rest = i, step = count;
  for (int axis = 0, used = 0; axis < index->axes; axis++) {
    step /= index->size[axis];
    used += snprintf(place + used, sizeof place - (size_t)used, "%s%lld", axis ? ", " : index->axes == 1 ? "" : "[",
                     (long long)(rest / step + 1));
    rest %= step;
  }
  if (index->axes == 0)
    return nn_fail(NN_EARGUMENT, "%s expects %s 1..%lld, got %lld", name, what, (long long)limit,
                   (long long)value[i] + 1);
  return nn_fail(NN_EARGUMENT, "%s expects %s 1..%lld, got %lld at %s%s%s%s", name, what, (long long)limit,
                 (long long)value[i] + 1, index->axes == 1 ? one : "", index->axes == 1 ? " " : "", place,
                 index->axes == 1 ? "" : "]");
}
