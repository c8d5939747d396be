/* checkpoint.c -- a checkpoint of any format: every name, value and tensor in it. */
#include <string.h>

#include "fuzz.h"

/* Elements of a tensor that is worth reading: views may make much of a small storage. */
enum { MOST = 1 << 18 };

/* Every byte of a text, as a listing would print it. */
static size_t look(const char *text) { return text ? strlen(text) : 0; }

static int read_tensor(const nn_checkpoint *c, int place) {
  int64_t count = 1;
  nn_tensor *t = NULL;
  const char *name = nn_checkpoint_name(c, place);
  if (nn_checkpoint_find(c, name) != place) fuzz_fail("tensor %d is not found under its name", place);
  if (look(nn_checkpoint_dtype(c, place)) == 0) fuzz_fail("tensor %d has no type", place);
  for (int i = 0; i < nn_checkpoint_axes(c, place); i++) {
    int64_t size = nn_checkpoint_sizes(c, place)[i];
    if (size < 0) fuzz_fail("tensor %d has a negative size", place);
    if (__builtin_mul_overflow(count, size, &count)) return NN_OK;
  }
  if (count > MOST) return NN_OK;
  int status = nn_checkpoint_tensor(c, place, &t);
  if (status == NN_OK && nn_tensor_count(t) != count) fuzz_fail("tensor %d has another shape than it says", place);
  nn_tensor_release(t);
  return status;
}

int fuzz_checkpoint(const uint8_t *bytes, size_t size) {
  nn_checkpoint *c = NULL;
  int status = nn_checkpoint_read(fuzz_path(bytes, size), &c), last = NN_OK;
  if (status != NN_OK) return status;
  look(nn_checkpoint_format(c));
  for (int i = 0; i < nn_checkpoint_value_count(c); i++) {
    const nn_value *value = nn_checkpoint_value(c, i);
    look(value->name);
    if (value->kind == NN_VALUE_TEXT && value->text[value->length] != '\0') fuzz_fail("a text without an end");
  }
  for (int i = 0; i < nn_checkpoint_metadata_count(c); i++) look(nn_checkpoint_metadata(c, i)->text);
  /* a tensor may be of a type that is not converted; the others still are */
  for (int i = 0; i < nn_checkpoint_count(c); i++) {
    status = read_tensor(c, i);
    if (status != NN_OK) last = status;
    if (status == NN_EMEMORY || status == NN_EINTERRUPT) break;
  }
  nn_checkpoint_free(c);
  return last;
}
