/* json.c -- JSON text, read token by token.
 *
 * Strict: one value, RFC 8259's grammar, valid UTF-8. Nothing is allocated and nothing recurses: the reader is a small
 * automaton with one bit for each container that is open. Integers that 64 bits hold stay integers.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/file.h"

/* What may come next. */
enum { VALUE, VALUE_OR_END, KEY, KEY_OR_END, COLON, COMMA, NOTHING };

void nn_json_start(nn_json *json, const char *name, const char *text, size_t size) {
  *json = (nn_json){ .name = name, .text = text, .size = size, .expects = VALUE };
}

int nn_json_fail(const nn_json *json, size_t offset, const char *format, ...) {
  char message[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return nn_fail(NN_EFORMAT, "%s: offset %zu: %s", json->name, offset, message);
}

static int unexpected(const nn_json *json, const char *expected) {
  char found[40] = "the end";
  if (json->at < json->size) {
    size_t length = nni_utf8(json->text + json->at, json->size - json->at);
    nni_quoted(found, sizeof found, json->text + json->at, length ? length : 1);
  }
  return nn_json_fail(json, json->at, "expected %s, got %s", expected, found);
}

/* ---- strings ---- */

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Four hexadecimal digits, or -1; text ends with a zero byte. */
static int32_t hex_four(const char *text) {
  int32_t value = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(text[i]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/* The code point of \uXXXX at `text`, which starts with the backslash, and how many bytes it takes: two escapes may be
 * the halves of one. -1: not four digits; -2: half of a pair. */
static int32_t code_point(const char *text, size_t *taken) {
  int32_t point = hex_four(text + 2);
  *taken = 6;
  if (point < 0xD800 || point > 0xDFFF) return point;
  if (point > 0xDBFF || text[6] != '\\' || text[7] != 'u') return -2;
  int32_t low = hex_four(text + 8);
  if (low < 0xDC00 || low > 0xDFFF) return -2;
  *taken = 12;
  return 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
}

static const char escape_letters[] = "\"\\/bfnrt", escape_values[] = "\"\\/\b\f\n\r\t";

/* An escape at json->at. */
static int check_escape(nn_json *json) {
  char shown[24], code = json->text[json->at + 1];
  size_t taken = 2;
  if (code == 'u') {
    int32_t point = code_point(json->text + json->at, &taken);
    if (point == -1) return nn_json_fail(json, json->at, "\\u expects four hexadecimal digits");
    if (point == -2) return nn_json_fail(json, json->at, "half of a surrogate pair");
  } else if (!code || !strchr(escape_letters, code)) {
    size_t rest = json->size - json->at - 1, length = nni_utf8(json->text + json->at + 1, rest);
    nni_printable(shown, sizeof shown, json->text + json->at + 1, length ? length : rest > 0);
    return nn_json_fail(json, json->at, "unknown escape \\%s", shown);
  }
  json->at += taken;
  return NN_OK;
}

static int take_string(nn_json *json, nn_json_token *token) {
  size_t start = json->at++;
  while (json->at < json->size) {
    unsigned char c = (unsigned char)json->text[json->at];
    int status = NN_OK;
    if (c == '"') {
      token->raw = json->text + start + 1;
      token->length = json->at - start - 1;
      json->at++;
      return NN_OK;
    }
    if (c == '\\') {
      status = check_escape(json);
    } else if (c < 0x20) {
      status = nn_json_fail(json, json->at, "control character in a string");
    } else if (c < 0x80) {
      json->at++;
    } else {
      size_t length = nni_utf8(json->text + json->at, json->size - json->at);
      if (!length) status = nn_json_fail(json, json->at, "a string that is not UTF-8");
      json->at += length;
    }
    if (status != NN_OK) return status;
  }
  return nn_json_fail(json, start, "string without an end");
}

static char *put_point(char *out, int32_t point) {
  if (point < 0x80) {
    *out++ = (char)point;
    return out;
  }
  static const int lead[] = { 0, 0xC0, 0xE0, 0xF0 };
  int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  *out++ = (char)(lead[more] | point >> 6 * more);
  while (more-- > 0) *out++ = (char)(0x80 | (point >> 6 * more & 0x3F));
  return out;
}

size_t nn_json_text(const nn_json_token *token, char *out) {
  const char *at = token->raw, *end = at + token->length;
  char *start = out;
  while (at < end) {
    const char *stop = memchr(at, '\\', (size_t)(end - at));
    size_t plain = (size_t)((stop ? stop : end) - at), taken = 2;
    memcpy(out, at, plain);
    out += plain;
    at += plain;
    if (!stop) break;
    if (at[1] == 'u') out = put_point(out, code_point(at, &taken));
    else *out++ = escape_values[strchr(escape_letters, at[1]) - escape_letters];
    at += taken;
  }
  return (size_t)(out - start);
}

/* ---- numbers and words ---- */

static size_t digits(const char *text) {
  size_t count = 0;
  while (text[count] >= '0' && text[count] <= '9') count++;
  return count;
}

/* False when 64 bits do not hold it. */
static bool whole_number(const char *text, const char *end, int64_t *out) {
  bool negative = *text == '-';
  int64_t value = 0;
  for (text += negative; text < end; text++) {
    int digit = *text - '0';
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, negative ? -digit : digit, &value)) return false;
  }
  *out = value;
  return true;
}

static int take_number(nn_json *json, nn_json_token *token) {
  const char *start = json->text + json->at, *whole = start + (*start == '-'), *end = whole + digits(whole);
  bool good = end > whole && (*whole != '0' || end == whole + 1), integer = true;
  if (*end == '.') {
    size_t count = digits(end + 1);
    good = good && count > 0;
    end += 1 + count;
    integer = false;
  }
  if (*end == 'e' || *end == 'E') {
    end += end[1] == '+' || end[1] == '-' ? 2 : 1;
    size_t count = digits(end);
    good = good && count > 0;
    end += count;
    integer = false;
  }
  if (!good) return nn_json_fail(json, json->at, "malformed number");
  if (integer && whole_number(start, end, &token->integer)) {
    token->kind = NN_JSON_INTEGER;
    token->number = (double)token->integer;
  } else {
    token->kind = NN_JSON_NUMBER;
    token->number = strtod(start, NULL);  /* stops where the grammar above did */
  }
  json->at = (size_t)(end - json->text);
  return NN_OK;
}

static bool take_word(nn_json *json, nn_json_token *token) {
  static const struct {
    const char *word;
    nn_json_kind kind;
  } words[] = { { "true", NN_JSON_TRUE }, { "false", NN_JSON_FALSE }, { "null", NN_JSON_NULL } };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t length = strlen(words[i].word);
    if (strncmp(json->text + json->at, words[i].word, length) != 0) continue;
    token->kind = words[i].kind;
    json->at += length;
    return true;
  }
  return false;
}

/* ---- the grammar ---- */

static void skip_space(nn_json *json) {
  while (json->at < json->size && strchr(" \t\r\n", json->text[json->at]) && json->text[json->at]) json->at++;
}

/* What may follow once a value is complete. */
static void value_done(nn_json *json) { json->expects = json->depth ? COMMA : NOTHING; }

static int close_container(nn_json *json, nn_json_token *token) {
  token->kind = json->object[--json->depth] ? NN_JSON_OBJECT_END : NN_JSON_ARRAY_END;
  json->at++;
  value_done(json);
  return NN_OK;
}

static int take_value(nn_json *json, nn_json_token *token) {
  if (json->depth > NN_JSON_DEPTH)
    return nn_json_fail(json, json->at, "more than %d levels deep", NN_JSON_DEPTH);
  char c = json->at < json->size ? json->text[json->at] : '\0';
  int status = NN_OK;
  if (c == '{' || c == '[') {
    token->kind = c == '{' ? NN_JSON_OBJECT : NN_JSON_ARRAY;
    json->object[json->depth++] = c == '{';
    json->at++;
    json->expects = c == '{' ? KEY_OR_END : VALUE_OR_END;
    return NN_OK;
  }
  if (c == '"') {
    token->kind = NN_JSON_STRING;
    status = take_string(json, token);
  } else if (c == '-' || (c >= '0' && c <= '9')) {
    status = take_number(json, token);
  } else if (!take_word(json, token)) {
    status = unexpected(json, "a value");
  }
  if (status == NN_OK) value_done(json);
  return status;
}

static int take_key(nn_json *json, nn_json_token *token) {
  if (json->at == json->size || json->text[json->at] != '"') return unexpected(json, "a field name");
  token->kind = NN_JSON_KEY;
  json->expects = COLON;
  return take_string(json, token);
}

int nn_json_next(nn_json *json, nn_json_token *token) {
  for (;;) {
    skip_space(json);
    *token = (nn_json_token){ .offset = json->at };
    char c = json->at < json->size ? json->text[json->at] : '\0';
    bool object = json->depth && json->object[json->depth - 1];
    switch (json->expects) {
      case VALUE: return take_value(json, token);
      case VALUE_OR_END: return c == ']' ? close_container(json, token) : take_value(json, token);
      case KEY: return take_key(json, token);
      case KEY_OR_END: return c == '}' ? close_container(json, token) : take_key(json, token);
      case COLON:
        if (c != ':') return unexpected(json, "':'");
        json->expects = VALUE;
        break;
      case COMMA:
        if (c == (object ? '}' : ']')) return close_container(json, token);
        if (c != ',') return unexpected(json, object ? "',' or '}'" : "',' or ']'");
        json->expects = object ? KEY : VALUE;
        break;
      default:
        if (json->at < json->size) return unexpected(json, "the end");
        token->kind = NN_JSON_END;
        return NN_OK;
    }
    json->at++;
  }
}
