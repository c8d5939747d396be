/* The index of a folder of pictures. */
#include <string.h>
#include <zlib.h>

#include "fuzz.h"

static int parse(const uint8_t *bytes, size_t size) {
  nn_files *files = NULL;
  int status = nn_files_read(fuzz_path(bytes, size), "/no/such/folder", &files);
  nn_files_release(files);
  /* whole, but of another folder or out of date: as far as any can come, for folders are known by their inodes */
  return status == NN_ESTATE ? NN_OK : status;
}

static void repair(uint8_t *bytes, size_t size) {
  enum { HEADER = 56, CHECK = 48 };
  if (size < HEADER) return;
  uint32_t check = (uint32_t)crc32(0, bytes + HEADER, (uInt)(size - HEADER));
  memcpy(bytes + CHECK, &check, sizeof check);
}

const fuzz_target fuzz_tested = { parse, repair };
