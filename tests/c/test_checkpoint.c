/* test_checkpoint.c -- safetensors and .npz written and read back, element types, views, pickles opcode by opcode.
 * Files of other programs, and damaged ones, are in tests/lua/formats_spec.lua. */
#include "scratch.h"

#include <math.h>

#include "formats/checkpoint.h"
#include "formats/dtype.h"
#include "formats/pickle.h"

/* ---- element types ---- */

/* What binary16 says, by its definition. */
static double half_value(unsigned bits) {
  int exponent = bits >> 10 & 31;
  double fraction = (bits & 1023) / 1024.0, sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return bits & 1023 ? NAN : sign * INFINITY;
  return sign * (exponent ? ldexp(1 + fraction, exponent - 15) : ldexp(fraction, -14));
}

static void every_half_is_exact(void **state) {
  (void)state;
  static uint16_t half[65536];
  static nn_real real[65536];
  for (unsigned i = 0; i < 65536; i++) half[i] = (uint16_t)i;
  assert_int_equal(nni_dtype_convert(nni_dtype_find(NNI_BY_TORCH, "float16"), false, "x", real, half, 0, 65536), NN_OK);
  for (unsigned i = 0; i < 65536; i++) {
    double expected = half_value(i);
    if (isnan(expected)) assert_true(isnan(real[i]));
    else assert_true(real[i] == (nn_real)expected && !signbit(real[i]) == !signbit(expected));
  }
}

static void either_byte_order(void **state) {
  (void)state;
  uint64_t block = __builtin_bswap64(0x3ff8000000000000u);  /* 1.5 */
  nn_real real[3] = { 0 };
  assert_int_equal(nni_dtype_convert(nni_dtype_find(NNI_BY_NUMPY, "f8"), true, "x", real, &block, 2, 1), NN_OK);
  assert_true(real[2] == 1.5 && real[1] == 0);
  uint16_t brain[2] = { 0xc03f, 0x0080 };
  assert_int_equal(nni_dtype_convert(nni_dtype_find(NNI_BY_TORCH, "bfloat16"), true, "x", real, brain, 0, 2), NN_OK);
  assert_true(real[0] == 1.5 && signbit(real[1]) && real[1] == 0);
}

static void integers_fit_or_are_told(void **state) {
  (void)state;
  static const struct {
    const char *type;
    uint64_t bits;
    const char *says;  /* NULL: fits, as `value` */
    int32_t value;
  } cases[] = {
    { "int8", 0x80, NULL, -128 }, { "int16", 0x8000, NULL, -32768 }, { "uint16", 0xffff, NULL, 65535 },
    { "int32", 0x80000000u, NULL, INT32_MIN }, { "uint32", 0x7fffffff, NULL, INT32_MAX },
    { "uint32", 0x80000000u, "x: element 4: 2147483648 does not fit 32 bits", 0 },
    { "int64", (uint64_t)INT64_MIN, "x: element 4: -9223372036854775808 does not fit 32 bits", 0 },
    { "int64", (uint64_t)-1, NULL, -1 }, { "uint64", 7, NULL, 7 },
    { "uint64", UINT64_MAX, "x: element 4: 18446744073709551615 does not fit 32 bits", 0 },
    { "complex64", 0, "x: elements of type complex64 are not supported", 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t block = cases[i].bits;
    int32_t whole[5] = { 0 };
    int status = nni_dtype_convert(nni_dtype_find(NNI_BY_TORCH, cases[i].type), false, "x", whole, &block, 4, 1);
    if (cases[i].says) {
      ASSERT_FAILED(status, NN_EFORMAT, cases[i].says);
    } else {
      assert_int_equal(status, NN_OK);
      assert_int_equal(whole[4], cases[i].value);
    }
  }
}

/* ---- files written here ---- */

static nn_tensor *counted(nn_type type, int axes, const int64_t *size) {
  nn_tensor *t = nn_tensor_new(type, axes, size);
  assert_non_null(t);
  void *data = nn_tensor_write(t);
  for (int64_t i = 0; i < nn_tensor_count(t); i++) {
    if (type == NN_REAL) ((nn_real *)data)[i] = (nn_real)(i * 0.25 - 3);
    else if (type == NN_UINT8) ((uint8_t *)data)[i] = (uint8_t)(i * 7);
    else ((int32_t *)data)[i] = (int32_t)(i - 5);
  }
  return t;
}

static void assert_same_elements(const nn_tensor *a, const nn_tensor *b) {
  assert_int_equal(nn_tensor_axes(a), nn_tensor_axes(b));
  for (int i = 0; i < nn_tensor_axes(a); i++) assert_int_equal(nn_tensor_size(a, i), nn_tensor_size(b, i));
  assert_memory_equal(nn_tensor_data(a), nn_tensor_data(b),
                      (size_t)nn_tensor_count(a) * nn_type_bytes(nn_tensor_type(a)));
}

typedef int (*writer)(const char *path, int count, const char *const *names, nn_tensor *const *tensors);

static int write_safetensors(const char *path, int count, const char *const *names, nn_tensor *const *tensors) {
  static const char *const metadata[] = { "format", "pt", "a", "1" };
  return nn_safetensors_write(path, count, names, tensors, 2, metadata);
}

/* Every type and number of axes, views, none at all. */
static void round_trip(writer write, const char *format, const char *file) {
  enum { COUNT = 3 * (NN_MAX_AXES + 1) + 2 };
  static const nn_type types[] = { NN_UINT8, NN_REAL, NN_INDEX };
  const int64_t size[NN_MAX_AXES] = { 2, 3, 1, 2, 300, 2 }, none[] = { 4, 0 };
  nn_tensor *tensors[COUNT];
  char text[COUNT][16];
  const char *names[COUNT], *path = scratch_path(file);
  int count = 0;
  for (int k = 0; k < 3; k++)
    for (int axes = 0; axes <= NN_MAX_AXES; axes++) tensors[count++] = counted(types[k], axes, size);
  tensors[count++] = counted(NN_REAL, 2, none);
  tensors[count++] = nn_tensor_rows(tensors[5], 1, 2);
  for (int i = 0; i < count; i++) {
    snprintf(text[i], sizeof text[i], "t.%d", i * 7 % 100);
    names[i] = text[i];
  }
  assert_int_equal(write(path, count, names, tensors), NN_OK);
  nn_checkpoint *c;
  assert_int_equal(nn_checkpoint_read(path, &c), NN_OK);
  assert_string_equal(nn_checkpoint_format(c), format);
  assert_int_equal(nn_checkpoint_count(c), count);
  for (int i = 0; i < count; i++) {
    nn_tensor *back;
    int place = nn_checkpoint_find(c, names[i]);
    assert_in_range(place, 0, count - 1);
    assert_int_equal(nn_checkpoint_tensor(c, place, &back), NN_OK);
    assert_same_elements(tensors[i], back);
    nn_tensor_release(back);
    nn_tensor_release(tensors[i]);
  }
  assert_int_equal(nn_checkpoint_find(c, "t"), -1);
  nn_checkpoint_free(c);
  unlink(path);
}

static void a_round_trip_through_safetensors(void **state) {
  (void)state;
  round_trip(write_safetensors, "safetensors", "trip.safetensors");
}

static void a_round_trip_through_npz(void **state) {
  (void)state;
#ifndef NN_HAVE_ARCHIVE
  print_message("built without libarchive\n");
  skip();
#endif
  round_trip(nn_npz_write, "npz", "trip.npz");
}

/* An interrupt or a lack of memory at any point leaves the older file and nothing else. */
static void writing_is_whole_or_not_at_all(void **state) {
  (void)state;
  const char *path = scratch_path("whole.safetensors"), *names[] = { "a", "b" };
  static const writer writers[] = { write_safetensors, nn_npz_write };
  nn_tensor *tensors[] = { counted(NN_REAL, 1, (int64_t[]){ 1000 }), counted(NN_UINT8, 1, (int64_t[]){ 3 }) };
  nn_memory_stats before, after;
  scratch_write(path, "older", 5);
  nn_memory_get_stats(&before);
  for (size_t k = 0; k < 2; k++) {
    nn_interrupt();
    assert_int_equal(writers[k](path, 2, names, tensors), NN_EINTERRUPT);
    nn_interrupt_clear();
    nn_memory_fail_at(1);
    assert_int_equal(writers[k](path, 2, names, tensors), NN_EMEMORY);
    nn_memory_fail_at(0);
    size_t size;
    uint8_t *bytes = scratch_read(path, &size);
    assert_int_equal(size, 5);
    free(bytes);
  }
  nn_memory_get_stats(&after);
  assert_int_equal(before.live_blocks, after.live_blocks);
  nn_tensor_release(tensors[0]);
  nn_tensor_release(tensors[1]);
  unlink(path);
}

/* Each allocation fails in turn. */
static void reading_without_memory_leaves_nothing(void **state) {
  (void)state;
  const char *path = scratch_path("memory.safetensors"), *names[] = { "a", "b" };
  nn_tensor *tensors[] = { counted(NN_REAL, 2, (int64_t[]){ 10, 2 }), counted(NN_UINT8, 1, (int64_t[]){ 3 }) };
  nn_memory_stats before, after;
#ifdef NN_HAVE_ARCHIVE
  static const writer writers[] = { write_safetensors, nn_npz_write };
#else
  static const writer writers[] = { write_safetensors };
#endif
  for (size_t k = 0; k < sizeof writers / sizeof *writers; k++) {
    assert_int_equal(writers[k](path, 2, names, tensors), NN_OK);
    nn_memory_get_stats(&before);
    int status = NN_EMEMORY;
    for (uint64_t n = 1; status == NN_EMEMORY; n++) {
      nn_checkpoint *c = NULL;
      nn_tensor *t = NULL;
      nn_memory_fail_at(n);
      status = nn_checkpoint_read(path, &c);
      if (status == NN_OK) status = nn_checkpoint_tensor(c, 0, &t);
      nn_memory_fail_at(0);
      nn_tensor_release(t);
      nn_checkpoint_free(c);
    }
    assert_int_equal(status, NN_OK);
    nn_memory_get_stats(&after);
    assert_int_equal(before.live_blocks, after.live_blocks);
    unlink(path);
  }
  nn_tensor_release(tensors[0]);
  nn_tensor_release(tensors[1]);
}

/* ---- pickles ---- */

/* One pickle's object as text: "{a: [1, 2.5]}"; NULL: refused. */
static void show(const nni_object *o, char **out) {
  switch (o->kind) {
    case NNI_NONE: *out += sprintf(*out, "None"); break;
    case NNI_BOOLEAN: *out += sprintf(*out, o->integer ? "True" : "False"); break;
    case NNI_INTEGER: *out += sprintf(*out, "%lld", (long long)o->integer); break;
    case NNI_NUMBER: *out += sprintf(*out, "%g", o->number); break;
    case NNI_LONG: *out += sprintf(*out, "long"); break;
    case NNI_TEXT: case NNI_BYTES: case NNI_OTHER: *out += sprintf(*out, "%.*s", (int)o->length, o->text); break;
    case NNI_TUPLE: case NNI_LIST: case NNI_DICT:
      *(*out)++ = "([{"[o->kind - NNI_TUPLE];
      for (const nni_item *item = o->first; item; item = item->next) {
        if (item->key) {
          show(item->key, out);
          *(*out)++ = ':';
        }
        show(item->value, out);
        if (item->next) *(*out)++ = ',';
      }
      *(*out)++ = ")]}"[o->kind - NNI_TUPLE];
      break;
    default: *out += sprintf(*out, "?");
  }
  **out = '\0';
}

static const char *unpickled(const char *bytes, size_t size) {
  static char text[1000];
  nn_checkpoint c = { .path = "file" };
  nni_pickle p = { .c = &c, .part = "part", .bytes = (const uint8_t *)bytes, .size = size };
  nni_object *o;
  char *end = text;
  int status = nni_pickle_next(&p, &o);
  if (status == NN_OK) show(o, &end);
  else assert_int_equal(status, NN_EFORMAT);
  nni_pickle_end(&p);
  nni_pool_free(&c.pool);
  return status == NN_OK ? text : NULL;
}

#define CASE(bytes, shown) { bytes, sizeof bytes - 1, shown }

static void every_protocol_is_read(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *shown;
  } cases[] = {
    /* protocol 0 */
    CASE("N.", "None"), CASE("I01\n.", "True"), CASE("I00\n.", "False"), CASE("I-12\n.", "-12"), CASE("L12L\n.", "12"),
    CASE("L99999999999999999999L\n.", "long"), CASE("F2.5\n.", "2.5"), CASE("S'ab'\n.", "ab"), CASE("Vab\n.", "ab"),
    CASE("(I1\nI2\nt.", "(1,2)"), CASE("(I1\nl.", "[1]"), CASE("(lp0\nI1\nag0\n0.", "[1]"),
    CASE("(S'a'\nI1\nd.", "{a:1}"), CASE("(dp0\nS'a'\nI1\ns.", "{a:1}"),
    CASE("ccollections\nOrderedDict\n(tR.", "{}"),
    CASE("ccollections\nOrderedDict\n((l(S'a'\nI1\nltatR.", NULL),
    CASE("ccollections\nOrderedDict\n(((S'a'\nI1\nltltR.", NULL),
    CASE("ccollections\nOrderedDict\n(((S'a'\nI1\ntltR.", "{a:1}"),
    /* protocols 1 and 2 */
    CASE("\x80\2K\7.", "7"), CASE("M\1\2.", "513"), CASE("J\xfe\xff\xff\xff.", "-2"), CASE("\x8a\0.", "0"),
    CASE("\x8a\1\xff.", "-1"), CASE("\x8a\2\xff\0.", "255"), CASE("\x8b\1\0\0\0\5.", "5"),
    CASE("G@\4\0\0\0\0\0\0.", "2.5"),
    CASE("U\2ab.", "ab"), CASE("T\1\0\0\0a.", "a"), CASE("X\1\0\0\0a.", "a"), CASE(").", "()"), CASE("].", "[]"),
    CASE("}.", "{}"), CASE("K\1\x85.", "(1)"), CASE("K\1K\2\x86.", "(1,2)"), CASE("K\1K\2K\3\x87.", "(1,2,3)"),
    CASE("](K\1K\2e.", "[1,2]"), CASE("}(K\1K\2u.", "{1:2}"), CASE("K\1q\1" "0h\1.", "1"),
    CASE("K\1r\5\0\0\0" "0j\5\0\0\0.", "1"), CASE("K\1q\7.", NULL),
    CASE("K\1" "2\x86.", "(1,1)"), CASE("(K\1" "1N.", "None"), CASE("(0N.", "None"), CASE("\x88.", "True"),
    CASE("\x89.", "False"),
    CASE("ctorch\nSize\nK\2K\3\x86\x85R.", "(2,3)"), CASE("ctorch\ndevice\nU\4cuda\x85R.", "cuda"),
    CASE("ccollections\nOrderedDict\n)R}U\1_K\1sb.", "{}"), CASE("ccollections\nOrderedDict\n)\x81.", "{}"),
    /* protocols 3, 4 and 5 */
    CASE("C\1a.", "a"), CASE("B\1\0\0\0a.", "a"), CASE("\x80\4\x95\0\0\0\0\0\0\0\0\x8c\1a\x94" "0h\0.", "a"),
    CASE("\x8d\1\0\0\0\0\0\0\0a.", "a"), CASE("\x8e\1\0\0\0\0\0\0\0a.", "a"), CASE("\x96\1\0\0\0\0\0\0\0a.", "a"),
    CASE("\x8f(K\1\x90.", "[1]"), CASE("(K\1\x91.", "[1]"),
    CASE("\x8c\x0b" "collections\x8c\x0bOrderedDict\x93)R.", "{}"),
    /* what is refused */
    CASE("", NULL), CASE(".", NULL), CASE("(.", NULL), CASE("K", NULL), CASE("t.", NULL), CASE("K\1\x86.", NULL),
    CASE("(K\1(\x85.", NULL),
    CASE("a.", NULL), CASE("K\1a.", NULL), CASE("}K\1a.", NULL), CASE("]K\1K\1s.", NULL), CASE("h\0.", NULL),
    CASE("\x80\6N.", NULL),
    CASE("cos\nsystem\n.", NULL), CASE("c", NULL), CASE("cos\n", NULL), CASE("K\1K\2\x93.", NULL), CASE("U\1aQ.", NULL),
    CASE("Pabc\n.", NULL), CASE("(K\1o.", NULL), CASE("\x82\1.", NULL), CASE("]]b.", NULL), CASE("]]R.", NULL),
    CASE("\x97.", NULL),
    CASE("Ix\n.", NULL), CASE("I\n.", NULL), CASE("Fx\n.", NULL), CASE("Sab\n.", NULL), CASE("S'a\n.", NULL),
    CASE("S'\\x00'\n.", NULL),
    CASE("p-1\n.", NULL), CASE("ctorch\nSize\n)R.", NULL), CASE("ctorch\nfloat32\n)R.", NULL),
    CASE("ctorch\nfloat33\n.", NULL),
    CASE("ctorch._utils\n_rebuild_tensor_v2\n)R.", NULL), CASE("ctorch._utils\n_rebuild_parameter\n]\x85R.", NULL),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *shown = unpickled(cases[i].bytes, cases[i].size);
    if (!cases[i].shown != !shown || (shown && strcmp(shown, cases[i].shown) != 0))
      fail_msg("case %zu: %s expected, got %s (%s)", i, cases[i].shown ? cases[i].shown : "a refusal",
               shown ? shown : "a refusal", nn_error());
  }
}

/* What clears a memo costs no more than what filled it, or many short pickles would take forever. */
static void each_pickle_has_a_memo_of_its_own(void **state) {
  (void)state;
  static const char two[][26] = { "U\24aaaaaaaaaaaaaaaaaaaaq\2.", "h\2.", "Nq\24." };
  for (int second = 1; second <= 2; second++) {
    nn_checkpoint c = { .path = "file" };
    uint8_t bytes[32];
    size_t first = 25;
    memcpy(bytes, two[0], first);
    memcpy(bytes + first, two[second], sizeof bytes - 26);
    nni_pickle p = { .c = &c, .part = "part", .bytes = bytes, .size = sizeof bytes };
    nni_object *o;
    assert_int_equal(nni_pickle_next(&p, &o), NN_OK);
    assert_int_equal(p.at, first);
    ASSERT_FAILED(nni_pickle_next(&p, &o), NN_EFORMAT, second == 1 ? "was not made" : "which is too far");
    nni_pickle_end(&p);
    nni_pool_free(&c.pool);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_half_is_exact),
    cmocka_unit_test(either_byte_order),
    cmocka_unit_test(integers_fit_or_are_told),
    cmocka_unit_test(a_round_trip_through_safetensors),
    cmocka_unit_test(a_round_trip_through_npz),
    cmocka_unit_test(writing_is_whole_or_not_at_all),
    cmocka_unit_test(reading_without_memory_leaves_nothing),
    cmocka_unit_test(every_protocol_is_read),
    cmocka_unit_test(each_pickle_has_a_memo_of_its_own),
  };
  return cmocka_run_group_tests_name("checkpoint", tests, scratch_open, scratch_close);
}
