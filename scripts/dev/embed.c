/* embed.c -- turns Lua sources into a C table, at build time.
 *
 *   embed stdlib/help.lua stdlib/probe/init.lua ... > embedded.c
 *
 * The module's name comes from its path: stdlib/probe/init.lua is "probe", stdlib/probe/continuity.lua is
 * "probe.continuity". The path stays the chunk's name, so that an error says stdlib/probe/continuity.lua:14.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *path, const char *what) {
  fprintf(stderr, "embed: %s: %s\n", path, what);
  exit(EXIT_FAILURE);
}

static void print_name(const char *path) {
  const char *name = strchr(path, '/');
  size_t length = strlen(path);
  if (name == NULL || length < 5 || strcmp(path + length - 4, ".lua") != 0)
    fail(path, "a module is stdlib/<name>.lua");
  name++;
  length = strlen(name) - 4;
  if (length > 5 && strncmp(name + length - 5, "/init", 5) == 0) length -= 5;
  for (size_t i = 0; i < length; i++) putchar(name[i] == '/' ? '.' : name[i]);
}

/* The file as string literals, one for each line; octal escapes always have three digits, so none can run on. */
static size_t print_text(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(path, strerror(errno));
  size_t count = 0;
  int c, begin = 1;
  while ((c = getc(file)) != EOF) {
    if (begin) fputs("\n    \"", stdout);
    begin = c == '\n';
    if (c == '\n') fputs("\\n\"", stdout);
    else if (c == '"' || c == '\\') printf("\\%c", c);
    else if (c < ' ' || c > '~' || c == '?') printf("\\%03o", (unsigned)c);
    else putchar(c);
    count++;
  }
  if (!begin) putchar('"');
  if (ferror(file)) fail(path, strerror(errno));
  fclose(file);
  return count;
}

int main(int argc, char **argv) {
  puts("#include \"embedded.h\"\n\nconst vm_module vm_modules[] = {");
  for (int i = 1; i < argc; i++) {
    fputs("  { \"", stdout);
    print_name(argv[i]);
    printf("\", \"%s\", \"\"", argv[i]);
    size_t count = print_text(argv[i]);
    printf(",\n    %zu },\n", count);
  }
  puts("  { 0 }\n};");
  return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
