/* exif.c -- the orientation out of an EXIF block: a TIFF header, then a directory of entries of 12 bytes. */
#include "image/codec.h"

enum { ORIENTATION = 0x0112, SHORT = 3, HEADER = 8, ENTRY = 12 };

typedef struct {
  const uint8_t *at;
  bool big;  /* byte order */
} tiff_bytes;

static uint32_t take16(tiff_bytes t, size_t offset) {
  const uint8_t *p = t.at + offset;
  return t.big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t take32(tiff_bytes t, size_t offset) {
  uint32_t first = take16(t, offset), second = take16(t, offset + 2);
  return t.big ? first << 16 | second : second << 16 | first;
}

int nni_exif_orientation(const uint8_t *tiff, size_t size) {
  if (size < HEADER || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M')) return 1;
  tiff_bytes t = { tiff, tiff[0] == 'M' };
  size_t directory = take32(t, 4);
  if (take16(t, 2) != 42 || directory < HEADER || directory > size || size - directory < 2) return 1;
  size_t entries = take16(t, directory), room = (size - directory - 2) / ENTRY;
  for (size_t i = 0; i < entries && i < room; i++) {
    size_t entry = directory + 2 + i * ENTRY;
    if (take16(t, entry) != ORIENTATION) continue;
    uint32_t value = take16(t, entry + 8);
    bool usable = take16(t, entry + 2) == SHORT && take32(t, entry + 4) == 1 && value >= 1 && value <= 8;
    return usable ? (int)value : 1;
  }
  return 1;
}
