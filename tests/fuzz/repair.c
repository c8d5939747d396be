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

static void put_crc(uint8_t *at, const uint8_t *bytes, size_t size) {
  uint32_t crc = (uint32_t)crc32(0, bytes, (uInt)size);
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(crc >> 8 * i);
}

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
    for (int i = 0; i < 4; i++) bytes[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    at += 12 + length;
  }
}
