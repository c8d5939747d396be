/* JSON text. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* In room of just the length that is promised to be enough. */
static int resolve(const nn_json_token *token) {
  char *text = malloc(token->length ? token->length : 1);
  size_t length = text ? nn_json_text(token, text) : 0;
  free(text);
  if (length > token->length) fuzz_fail("a string longer than its raw text");
  return NN_OK;
}

static int parse(const uint8_t *bytes, size_t size) {
  nn_json json;
  nn_json_token token;
  char *text = malloc(size + 1);
  if (!text) return nn_fail(NN_EMEMORY, "input: out of memory");
  if (size) memcpy(text, bytes, size);
  text[size] = '\0';
  nn_json_start(&json, "input", text, size);
  int status, open = 0;
  while ((status = nn_json_next(&json, &token)) == NN_OK && token.kind != NN_JSON_END) {
    if (token.kind == NN_JSON_STRING || token.kind == NN_JSON_KEY) status = resolve(&token);
    open += token.kind == NN_JSON_OBJECT || token.kind == NN_JSON_ARRAY;
    open -= token.kind == NN_JSON_OBJECT_END || token.kind == NN_JSON_ARRAY_END;
    if (open != json.depth) fuzz_fail("%d containers are open, depth is %d", open, json.depth);
  }
  if (status == NN_OK && open != 0) fuzz_fail("the text ended with %d containers open", open);
  free(text);
  return status;
}

const fuzz_target fuzz_tested = { parse, NULL };
