/* test_tensor.c -- whole tensors: zeros, fills, copies of any layout and type; sizes nothing can hold. */
#include "rows.h"

static const nn_type types[] = { NN_REAL, NN_UINT8, NN_INT32, NN_INDEX };
enum { TYPES = sizeof types / sizeof *types };

/* Whole numbers 0 .. 250 at every element. */
static nn_tensor *counted(nn_type type, int axes, const int64_t *size) {
  nn_tensor *real = nn_tensor_new(NN_REAL, axes, size);
  nn_real *x = nn_tensor_write(real);
  for (int64_t i = 0; i < nn_tensor_count(real); i++) x[i] = (nn_real)(i * 7 % 251);
  nn_tensor *t = nn_tensor_to(real, type);
  nn_tensor_release(real);
  assert_non_null(t);
  return t;
}

static nn_tensor *turned(nn_tensor *x, int64_t a, int64_t b) {
  nn_tensor *y = NULL;
  nn_param p[NN_MAX_PARAMS] = { whole(a), whole(b) };
  assert_int_equal(nn_apply(nn_op_find("transpose"), &x, 1, p, &y), NN_OK);
  return y;
}

static nn_tensor *expanded(nn_tensor *x, int64_t times, int64_t n) {
  nn_tensor *y = NULL;
  nn_param p[NN_MAX_PARAMS] = { { .given = true, .count = 2, .list = { times, n } } };
  assert_int_equal(nn_apply(nn_op_find("expand"), &x, 1, p, &y), NN_OK);
  return y;
}

static void copies_and_converts(void **state) {
  (void)state;
  const int64_t size[] = { 30, 3, 701 }, back[] = { 701, 3, 30 };
  for (int i = 0; i < TYPES; i++) {
    for (int j = 0; j < TYPES; j++) {
      nn_tensor *from = counted(types[i], 3, size), *view = turned(from, 0, 2);
      nn_tensor *wide = nn_tensor_zeros(types[j], 3, size), *to = turned(wide, 0, 2);
      nn_tensor *made = nn_tensor_to(view, types[j]), *packed = nn_tensor_pack(view);
      assert_int_equal(nn_tensor_copy(to, view), NN_OK);
      assert_true(nn_tensor_contiguous(packed) && (i == j || nn_tensor_contiguous(made)));
      for (int64_t k = 0; k < nn_tensor_count(view); k += 13) {
        int64_t at[] = { k / 90, k / 30 % 3, k % 30 };
        assert_true(at[0] < back[0]);
        double value = (double)((at[2] * 3 + at[1]) * 701 + at[0]);
        value = (double)((int64_t)value * 7 % 251);
        assert_true(nn_tensor_get(view, at) == value && nn_tensor_get(to, at) == value);
        assert_true(nn_tensor_get(made, at) == value && nn_tensor_get(packed, at) == value);
      }
      release_all((nn_tensor *[]){ from, view, wide, to, made, packed }, 6);
    }
  }
}

static void fills_any_layout(void **state) {
  (void)state;
  const int64_t size[] = { 5, 3001 };
  for (int i = 0; i < TYPES; i++) {
    nn_tensor *x = nn_tensor_zeros(types[i], 2, size), *view = turned(x, 0, 1), *part = nn_tensor_rows(view, 1, 3000);
    assert_int_equal(nn_tensor_fill(part, 9), NN_OK);
    for (int64_t k = 0; k < 5 * 3001; k++) {
      int64_t at[] = { k / 3001, k % 3001 };
      assert_true(nn_tensor_get(x, at) == (at[1] > 0 && at[1] < 3000 ? 9 : 0));
    }
    release_all((nn_tensor *[]){ x, view, part }, 3);
  }
  nn_tensor *one = counted(NN_REAL, 2, (const int64_t[]){ 1, 4 }), *many = expanded(one, 50, 4);
  assert_int_equal(nn_tensor_fill(many, 3), NN_OK);
  assert_true(values(one)[0] == 3 && values(one)[3] == 3);
  ASSERT_FAILED(nn_tensor_copy(many, many), NN_ESHAPE, "copy: an expanded tensor");
  release_all((nn_tensor *[]){ one, many }, 2);
}

/* What is read and what is written may be views of the same bytes. */
static void copies_between_views_of_one_tensor(void **state) {
  (void)state;
  const int64_t size[] = { 300, 300 };
  nn_tensor *x = counted(NN_REAL, 2, size), *before = nn_tensor_clone(x), *view = turned(x, 0, 1);
  assert_int_equal(nn_tensor_copy(x, view), NN_OK);
  for (int64_t i = 0; i < 300; i++)
    for (int64_t j = 0; j < 300; j++) assert_true(values(x)[i * 300 + j] == values(before)[j * 300 + i]);
  release_all((nn_tensor *[]){ x, before, view }, 3);
}

static void what_does_not_fit_is_refused(void **state) {
  (void)state;
  const int64_t size[] = { 100000 };
  for (int threads = 1; threads <= 2; threads++) {
    nn_set_threads(threads);
    nn_tensor *x = counted(NN_REAL, 1, size), *to = nn_tensor_zeros(NN_UINT8, 1, size);
    nn_real *value = nn_tensor_write(x);
    value[20000] = 256, value[70000] = -1, value[99999] = (nn_real)0.5;
    assert_null(nn_tensor_to(x, NN_UINT8));
    assert_non_null(strstr(nn_error(), "uint8 holds whole numbers from 0 to 255, got 256"));
    ASSERT_FAILED(nn_tensor_copy(to, x), NN_EARGUMENT, "got 256");
    for (int64_t i = 0; i < size[0]; i++) assert_int_equal(((const uint8_t *)nn_tensor_data(to))[i], 0);
    value[20000] = (nn_real)NAN;
    assert_null(nn_tensor_to(x, NN_INT32));
    assert_non_null(strstr(nn_error(), "got nan"));
    release_all((nn_tensor *[]){ x, to }, 2);
  }
}

static void interrupts_are_seen(void **state) {
  (void)state;
  const int64_t size[] = { 2000, 2000 };
  nn_tensor *x = nn_tensor_zeros(NN_REAL, 2, size), *view = turned(x, 0, 1);
  static int32_t order[100000];
  nn_interrupt();
  assert_null(nn_tensor_zeros(NN_REAL, 2, size));
  assert_null(nn_tensor_pack(view));
  assert_null(nn_tensor_to(x, NN_UINT8));
  assert_int_equal(nn_tensor_fill(x, 1), NN_EINTERRUPT);
  assert_int_equal(nn_tensor_copy(x, view), NN_EINTERRUPT);
  assert_int_equal(nn_random_permutation(order, 100000, 1, 1), NN_EINTERRUPT);
  nn_interrupt_clear();
  release_all((nn_tensor *[]){ x, view }, 2);
}

/* The other sizes of an empty tensor count too: strides and spans are their products. */
static void impossible_sizes_are_refused(void **state) {
  (void)state;
  const int64_t huge = (int64_t)1 << 40;
  assert_null(nn_tensor_new(NN_UINT8, 3, (int64_t[]){ huge, huge, huge }));
  assert_null(nn_tensor_new(NN_UINT8, 3, (int64_t[]){ 0, huge, huge }));
  assert_null(nn_tensor_new(NN_UINT8, 2, (int64_t[]){ 2, -1 }));
  nn_tensor *x = DRAWN(1, 1), *y = NULL, *empty = nn_tensor_new(NN_REAL, 1, (int64_t[]){ 0 });
  nn_param p[NN_MAX_PARAMS] = { { .given = true, .count = 2, .list = { huge, huge } } };
  ASSERT_FAILED(nn_apply(nn_op_find("expand"), &x, 1, p, &y), NN_EMEMORY, "more elements than memory can hold");
  p[0] = (nn_param){ .given = true, .count = 3, .list = { 0, huge, huge } };
  ASSERT_FAILED(nn_apply(nn_op_find("reshape"), &empty, 1, p, &y), NN_EMEMORY, "more elements than memory can hold");
  p[0] = (nn_param){ .given = true, .count = 2, .list = { INT64_MAX, 1 } };
  ASSERT_FAILED(nn_apply(nn_op_find("pad"), &x, 1, p, &y), NN_ESHAPE, "pairs expects sizes");
  release_all((nn_tensor *[]){ x, empty }, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(copies_and_converts), cmocka_unit_test(fills_any_layout),
    cmocka_unit_test(copies_between_views_of_one_tensor), cmocka_unit_test(what_does_not_fit_is_refused),
    cmocka_unit_test(interrupts_are_seen), cmocka_unit_test(impossible_sizes_are_refused),
  };
  return cmocka_run_group_tests_name("tensor", tests, rows_open, NULL);
}
