/* repair.c -- the right checksums for changed bytes. What does not look like the format is left alone. */
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "fuzz.h"

static uint32_t get(const uint8_t *at, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint32_t)at[i] << 8 * i;
  return value;
}

static void put(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static void put_crc(uint8_t *at, const uint8_t *bytes, size_t size) {
  put(at, (uint32_t)crc32(0, bytes, (uInt)size));
}

static void put_big(uint8_t *at, uint32_t value) { put(at, __builtin_bswap32(value)); }

/* Every block that says "ustar" where headers do: the sum of its bytes, those of the sum counted as blanks. */
static void repair_tar(uint8_t *bytes, size_t size) {
  enum { BLOCK = 512, SUM = 148, MAGIC = 257 };
  for (uint8_t *header = bytes; size - (size_t)(header - bytes) >= BLOCK; header += BLOCK) {
    if (memcmp(header + MAGIC, "ustar", 5) != 0) continue;
    unsigned sum = 0;
    char text[8];
    memset(header + SUM, ' ', 8);
    for (int i = 0; i < BLOCK; i++) sum += header[i];
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(header + SUM, text, 7);
  }
}

/* Every stored entry of the list of contents whose bytes are there: CRC-32 in the list and before the bytes. */
static void repair_zip(uint8_t *bytes, size_t size) {
  enum { LOCAL = 30, LISTED = 46 };
  for (size_t at = 0; at + LISTED <= size; at++) {
    uint8_t *entry = bytes + at;
    if (memcmp(entry, "PK\1\2", 4) != 0 || get(entry + 10, 2) != 0) continue;
    size_t length = get(entry + 20, 4), offset = get(entry + 42, 4);
    if (offset + LOCAL > size) continue;
    uint8_t *local = bytes + offset;
    size_t start = offset + LOCAL + get(local + 26, 2) + get(local + 28, 2);
    if (memcmp(local, "PK\3\4", 4) != 0 || start > size || length > size - start) continue;
    put_crc(entry + 16, bytes + start, length);
    if (get(local + 14, 4) != 0) put_crc(local + 14, bytes + start, length);
  }
}

void fuzz_repair_archive(uint8_t *bytes, size_t size) {
  if (size >= 2 && memcmp(bytes, "PK", 2) == 0) repair_zip(bytes, size);
  else repair_tar(bytes, size);
}

/* Chunks are length, name, bytes, CRC-32 of name and bytes; the numbers are big-endian. */
void fuzz_repair_png(uint8_t *bytes, size_t size) {
  enum { SIGNATURE = 8 };
  for (size_t at = SIGNATURE; at + 12 <= size;) {
    size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    if (length > size - at - 12) return;
    uint32_t crc = (uint32_t)crc32(0, bytes + at + 4, (uInt)length + 4);
    put_big(bytes + at + 8 + length, crc);
    at += 12 + length;
  }
}

/* ---- compressed bytes ---- */

typedef struct {
  size_t used, length;  /* bytes of the stream, and what they unpack to; used is 0 when it has no end */
  uint32_t crc, adler;  /* of what they unpack to */
} unpacked;

static unpacked unpack(const uint8_t *bytes, size_t size) {
  enum { MOST = 1 << 20 };
  static uint8_t block[1 << 14];
  unpacked u = { .crc = 0, .adler = 1 };
  z_stream z = { .next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = (uInt)size };
  int code = inflateInit2(&z, -15);
  while (code == Z_OK && u.length < MOST) {
    z.next_out = block;
    z.avail_out = sizeof block;
    code = inflate(&z, Z_NO_FLUSH);
    uInt now = (uInt)sizeof block - z.avail_out;
    u.crc = (uint32_t)crc32(u.crc, block, now);
    u.adler = (uint32_t)adler32(u.adler, block, now);
    u.length += now;
  }
  if (code == Z_STREAM_END) u.used = size - z.avail_in;
  inflateEnd(&z);
  return u;
}

/* One member without a name. */
void fuzz_repair_gzip(uint8_t *bytes, size_t size) {
  enum { HEADER = 10, END = 8 };
  if (size < HEADER + END || memcmp(bytes, "\x1f\x8b\x08\0", 4) != 0) return;
  unpacked u = unpack(bytes + HEADER, size - HEADER);
  if (u.used == 0 || size - HEADER - u.used < END) return;
  put(bytes + HEADER + u.used, u.crc);
  put(bytes + HEADER + u.used + 4, (uint32_t)u.length);
}

/* Variables follow each other after the header; those of type 15 are zlib streams. */
void fuzz_repair_mat(uint8_t *bytes, size_t size) {
  enum { HEADER = 128, TAG = 8, ZLIB = 2, COMPRESSED = 15 };
  for (size_t at = HEADER; at + TAG + ZLIB <= size;) {
    uint8_t *stream = bytes + at + TAG;
    size_t left = size - at - TAG, length = get(bytes + at + 4, 4);
    if (length > left) length = left;
    if (get(bytes + at, 4) == COMPRESSED && length > ZLIB) {
      unpacked u = unpack(stream + ZLIB, length - ZLIB);
      if (u.used > 0 && length - ZLIB - u.used >= 4) put_big(stream + ZLIB + u.used, u.adler);
    }
    at += TAG + length;
  }
}
