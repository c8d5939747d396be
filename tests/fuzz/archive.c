/* .zip, .tar and .tar.gz: every entry, read to its end. */
#include "formats/archive.h"

#include "fuzz.h"

static int parse(const uint8_t *bytes, size_t size) {
  nni_archive *a = NULL;
  nni_entry entry;
  bool more = true;
  int status = nni_archive_open(fuzz_path(bytes, size), &a);
  while (status == NN_OK && (status = nni_archive_next(a, &entry, &more)) == NN_OK && more) {
    nni_bytes whole = { 0 };
    if (entry.kind == NNI_FILE) status = nni_archive_read_whole(a, FUZZ_MEMORY, &whole);
    nni_bytes_free(&whole);
  }
  nni_archive_close(a);
  return status;
}

const fuzz_target fuzz_tested = { parse, fuzz_repair_archive };
