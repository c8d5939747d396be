/* dtype.c -- the element types of other programs' files, and how they become ours.
 *
 * float16, bfloat16, float32, float64 -> float (bfloat16 is the upper half of a float32); uint8, bool -> uint8; the
 * other integers -> int32, each checked. Types that have a name here but no kind can be listed and skipped.
 */
#include "formats/dtype.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the formats hold little-endian elements, which are read and written in place"
#endif

enum { NONE, F16, BF16, F32, F64, U8, I8, I16, U16, I32, U32, I64, U64 };

static const nni_dtype rows[] = {
  { { "float32", "FloatStorage", "F32", "f4" }, 4, F32, NN_REAL },
  { { "float64", "DoubleStorage", "F64", "f8" }, 8, F64, NN_REAL },
  { { "float16", "HalfStorage", "F16", "f2" }, 2, F16, NN_REAL },
  { { "bfloat16", "BFloat16Storage", "BF16", NULL }, 2, BF16, NN_REAL },
  { { "uint8", "ByteStorage", "U8", "u1" }, 1, U8, NN_UINT8 },
  { { "bool", "BoolStorage", "BOOL", "b1" }, 1, U8, NN_UINT8 },
  { { "int8", "CharStorage", "I8", "i1" }, 1, I8, NN_INT32 },
  { { "int16", "ShortStorage", "I16", "i2" }, 2, I16, NN_INT32 },
  { { "int32", "IntStorage", "I32", "i4" }, 4, I32, NN_INT32 },
  { { "int64", "LongStorage", "I64", "i8" }, 8, I64, NN_INT32 },
  { { "uint16", NULL, "U16", "u2" }, 2, U16, NN_INT32 },
  { { "uint32", NULL, "U32", "u4" }, 4, U32, NN_INT32 },
  { { "uint64", NULL, "U64", "u8" }, 8, U64, NN_INT32 },
  { { "complex32", "ComplexHalfStorage", NULL, NULL }, 4, NONE, NN_REAL },
  { { "complex64", "ComplexFloatStorage", "C64", "c8" }, 8, NONE, NN_REAL },
  { { "complex128", "ComplexDoubleStorage", NULL, "c16" }, 16, NONE, NN_REAL },
  { { "qint8", "QInt8Storage", NULL, NULL }, 1, NONE, NN_REAL },
  { { "quint8", "QUInt8Storage", NULL, NULL }, 1, NONE, NN_REAL },
  { { "qint32", "QInt32Storage", NULL, NULL }, 4, NONE, NN_REAL },
  { { "float8_e4m3fn", NULL, "F8_E4M3", NULL }, 1, NONE, NN_REAL },
  { { "float8_e5m2", NULL, "F8_E5M2", NULL }, 1, NONE, NN_REAL },
  { { "float8_e4m3fnuz", NULL, "F8_E4M3FNUZ", NULL }, 1, NONE, NN_REAL },
  { { "float8_e5m2fnuz", NULL, "F8_E5M2FNUZ", NULL }, 1, NONE, NN_REAL },
  { { "float8_e8m0fnu", NULL, "F8_E8M0", NULL }, 1, NONE, NN_REAL },
};

const nni_dtype *nni_dtype_find(int tongue, const char *name) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].name[tongue] && strcmp(rows[i].name[tongue], name) == 0) return &rows[i];
  return NULL;
}

const nni_dtype *nni_dtype_of(nn_type type) {
  switch (type) {
    case NN_REAL: return nni_dtype_find(NNI_BY_TORCH, sizeof(nn_real) == 4 ? "float32" : "float64");
    case NN_UINT8: return nni_dtype_find(NNI_BY_TORCH, "uint8");
    default: return nni_dtype_find(NNI_BY_TORCH, "int32");
  }
}

/* ---- byte order ---- */

static void swap_elements(void *block, int bytes, int64_t count) {
  switch (bytes) {
    case 2: {
      uint16_t *x = block;
      for (int64_t i = 0; i < count; i++) x[i] = __builtin_bswap16(x[i]);
      break;
    }
    case 4: {
      uint32_t *x = block;
      for (int64_t i = 0; i < count; i++) x[i] = __builtin_bswap32(x[i]);
      break;
    }
    case 8: {
      uint64_t *x = block;
      for (int64_t i = 0; i < count; i++) x[i] = __builtin_bswap64(x[i]);
      break;
    }
    default: break;
  }
}

/* ---- floating types ---- */

static float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* IEEE binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float float_of_half(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent > 0) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
  float magnitude = (float)fraction * 0x1p-24f;  /* zero or subnormal: exact */
  return sign ? -magnitude : magnitude;
}

#define CONVERT(from_type, expression)                     \
  {                                                        \
    const from_type *x = from;                             \
    for (int64_t i = 0; i < count; i++) y[i] = expression; \
    return;                                                \
  }

static void to_real(int kind, nn_real *y, const void *from, int64_t count) {
  switch (kind) {
    case F16: CONVERT(uint16_t, (nn_real)float_of_half(x[i]))
    case BF16: CONVERT(uint16_t, (nn_real)float_of_bits((uint32_t)x[i] << 16))
    case F32: CONVERT(float, (nn_real)x[i])
    default: CONVERT(double, (nn_real)x[i])
  }
}

/* ---- integers ---- */

/* The first element that int32 cannot hold, or count; those before it are converted. */
static int64_t to_int32(int kind, int32_t *y, const void *from, int64_t count) {
  switch (kind) {
    case I8: {
      const int8_t *x = from;
      for (int64_t i = 0; i < count; i++) y[i] = x[i];
      return count;
    }
    case I16: {
      const int16_t *x = from;
      for (int64_t i = 0; i < count; i++) y[i] = x[i];
      return count;
    }
    case U16: {
      const uint16_t *x = from;
      for (int64_t i = 0; i < count; i++) y[i] = x[i];
      return count;
    }
    case I32: memcpy(y, from, (size_t)count * sizeof *y); return count;
    case U32: {
      const uint32_t *x = from;
      for (int64_t i = 0; i < count; i++) {
        if (x[i] > INT32_MAX) return i;
        y[i] = (int32_t)x[i];
      }
      return count;
    }
    case I64: {
      const int64_t *x = from;
      for (int64_t i = 0; i < count; i++) {
        if (x[i] < INT32_MIN || x[i] > INT32_MAX) return i;
        y[i] = (int32_t)x[i];
      }
      return count;
    }
    default: {
      const uint64_t *x = from;
      for (int64_t i = 0; i < count; i++) {
        if (x[i] > INT32_MAX) return i;
        y[i] = (int32_t)x[i];
      }
      return count;
    }
  }
}

static int too_large(const nni_dtype *dtype, const char *who, const void *from, int64_t at, int64_t place) {
  char value[24];
  if (dtype->kind == I64) snprintf(value, sizeof value, "%" PRId64, ((const int64_t *)from)[at]);
  else if (dtype->kind == U32) snprintf(value, sizeof value, "%" PRIu32, ((const uint32_t *)from)[at]);
  else snprintf(value, sizeof value, "%" PRIu64, ((const uint64_t *)from)[at]);
  return nn_fail(NN_EFORMAT, "%s: element %" PRId64 ": %s does not fit 32 bits", who, place, value);
}

int nni_dtype_convert(const nni_dtype *dtype, bool swap, const char *who, void *to, void *from, int64_t first,
                      int64_t count) {
  if (dtype->kind == NONE)
    return nn_fail(NN_EFORMAT, "%s: elements of type %s are not supported", who,
                   dtype->name[NNI_BY_TORCH]);
  if (swap) swap_elements(from, dtype->bytes, count);
  if (dtype->type == NN_REAL) {
    to_real(dtype->kind, (nn_real *)to + first, from, count);
  } else if (dtype->type == NN_UINT8) {
    memcpy((uint8_t *)to + first, from, (size_t)count);
  } else {
    int64_t done = to_int32(dtype->kind, (int32_t *)to + first, from, count);
    if (done < count) return too_large(dtype, who, from, done, first + done);
  }
  return NN_OK;
}
