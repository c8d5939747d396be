/* test_json.c -- JSON text token by token: what is accepted, what numbers and strings are, where damage is. */
#include "scratch.h"

static const char *const kinds = "$nftiNskaAoO";  /* a letter for each nn_json_kind */

/* The kinds of all tokens as letters; "!" at the end when the text is damaged. */
static const char *kinds_of(const char *text, size_t size) {
  static char out[2000];
  nn_json json;
  nn_json_token token;
  size_t used = 0;
  nn_json_start(&json, "text", text, size);
  for (;;) {
    assert_true(used < sizeof out - 2);
    int status = nn_json_next(&json, &token);
    out[used++] = status == NN_OK ? kinds[token.kind] : '!';
    if (status != NN_OK || token.kind == NN_JSON_END) break;
  }
  out[used] = '\0';
  return out;
}

static void the_grammar_is_strict(void **state) {
  (void)state;
  static const struct {
    const char *text, *expected;
  } cases[] = {
    { "null", "n$" }, { " true ", "t$" }, { "false", "f$" }, { "-0", "i$" }, { "1e5", "N$" }, { "\"\"", "s$" },
    { "[]", "aA$" }, { "{}", "oO$" }, { "[1,[2],{}]", "aiaiAoOA$" }, { "{\"a\":1,\"b\":[null]}", "okikanAO$" },
    { "\t\r\n [ ]", "aA$" },
    { "", "!" }, { "nul", "!" }, { "nulll", "n!" }, { "[1,]", "ai!" }, { "[,1]", "a!" }, { "[1 2]", "ai!" },
    { "{\"a\"}", "ok!" }, { "{\"a\":}", "ok!" }, { "{a:1}", "o!" }, { "{\"a\":1,}", "oki!" }, { "{1:1}", "o!" },
    { "[1}", "ai!" }, { "{\"a\":1]", "oki!" }, { "]", "!" }, { "1 1", "i!" }, { "[", "a!" }, { "{", "o!" },
    { "01", "!" }, { "+1", "!" }, { ".5", "!" }, { "1.", "!" }, { "1e", "!" }, { "1e+", "!" }, { "-", "!" },
    { "0x10", "i!" }, { "NaN", "!" }, { "Infinity", "!" }, { "'a'", "!" }, { "\"a", "!" }, { "\"\n\"", "!" },
    { "\"\\q\"", "!" }, { "\"\\u12g4\"", "!" }, { "\"\\ud800\"", "!" }, { "\"\\udc00\"", "!" },
    { "\"\\ud800\\u0041\"", "!" },
    { "\"\x80\"", "!" }, { "\"\xc0\x80\"", "!" }, { "\"\xed\xa0\x80\"", "!" }, { "\"\xf4\x90\x80\x80\"", "!" },
    { "\"\xe2\x82\"", "!" }, { "\"\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"", "s$" }, { "\xef\xbb\xbf{}", "!" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_string_equal(kinds_of(cases[i].text, strlen(cases[i].text)), cases[i].expected);
  assert_string_equal(kinds_of("1\0", 2), "i!");  /* the length counts, not the zero */
}

static nn_json_token first(const char *text) {
  nn_json json;
  nn_json_token token;
  nn_json_start(&json, "text", text, strlen(text));
  assert_int_equal(nn_json_next(&json, &token), NN_OK);
  return token;
}

static void whole_numbers_stay_whole(void **state) {
  (void)state;
  assert_true(first("9223372036854775807").integer == INT64_MAX);
  assert_true(first("-9223372036854775808").integer == INT64_MIN);
  assert_int_equal(first("9223372036854775808").kind, NN_JSON_NUMBER);
  assert_true(first("9223372036854775808").number == 0x1p63);
  assert_true(first("-9223372036854775809").number == -0x1p63);
  assert_int_equal(first("1.0").kind, NN_JSON_NUMBER);
  assert_true(first("1.7976931348623157e308").number == 1.7976931348623157e308);
  assert_true(first("5e-324").number == 5e-324);
  assert_true(first("0.1").number == 0.1);
}

static void strings_are_unescaped(void **state) {
  (void)state;
  char out[64];
  nn_json_token token = first("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\u0000z\"");
  static const char expected[] = "a\"\\/\b\f\n\r\tA\u00e9\u20ac\U0001F600\0z";
  size_t length = nn_json_text(&token, out);
  assert_int_equal(length, sizeof expected - 1);
  assert_memory_equal(out, expected, length);
  assert_true(length <= token.length);
}

static void depth_has_an_end(void **state) {
  (void)state;
  char text[2 * NN_JSON_DEPTH + 8];
  int deepest = NN_JSON_DEPTH + 1;  /* that many containers, the innermost one empty */
  memset(text, '[', (size_t)deepest);
  memset(text + deepest, ']', (size_t)deepest);
  assert_null(strchr(kinds_of(text, 2 * (size_t)deepest), '!'));
  memset(text, '[', (size_t)deepest + 1);
  nn_json json;
  nn_json_token token;
  text[deepest + 1] = '\0';
  nn_json_start(&json, "text", text, (size_t)deepest + 1);
  int status = NN_OK;
  while (status == NN_OK) status = nn_json_next(&json, &token);
  ASSERT_FAILED(status, NN_EFORMAT, "text: offset 201: more than 200 levels deep");
}

static void damage_is_one_plain_line(void **state) {
  (void)state;
  static const struct {
    const char *text, *says;
  } cases[] = {
    { "[1\x1b]", "text: offset 2: expected ',' or ']', got \"\\x1b\"" },
    { "[\xff]", "text: offset 1: expected a value, got \"\\xff\"" },
    { "[\"\\\x07\"]", "text: offset 2: unknown escape \\\\x07" },
    { "[\"\xff\"]", "text: offset 2: a string that is not UTF-8" },
    { "{\"a\" 1}", "text: offset 5: expected ':', got \"1\"" },
    { "\"\\u12\"", "text: offset 1: \\u expects four hexadecimal digits" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    kinds_of(cases[i].text, strlen(cases[i].text));
    assert_string_equal(nn_error(), cases[i].says);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_grammar_is_strict),
    cmocka_unit_test(whole_numbers_stay_whole),
    cmocka_unit_test(strings_are_unescaped),
    cmocka_unit_test(depth_has_an_end),
    cmocka_unit_test(damage_is_one_plain_line),
  };
  return cmocka_run_group_tests_name("json", tests, scratch_open, scratch_close);
}
