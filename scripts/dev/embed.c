/* embed.c -- turns Lua sources into two C tables, at build time: modules, and after `--` recipes.
 *
 *   embed stdlib/help.lua stdlib/probe/init.lua ... -- scripts/paper/table4.lua ... > embedded.c
 *
 * The module's name comes from its path: stdlib/probe/init.lua is "probe", stdlib/probe/continuity.lua is
 * "probe.continuity". The path stays the chunk's name, so that an error says stdlib/probe/continuity.lua:14.
 * A recipe's name is that of its file, "table4".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *path, const char *what) {
  fprintf(stderr, "embed: %s: %s\n", path, what);
  exit(EXIT_FAILURE);
}

static size_t without_ending(const char *path, const char *name) {
  size_t length = name == NULL ? 0 : strlen(name);
  if (length < 5 || strcmp(name + length - 4, ".lua") != 0) fail(path, "a module is stdlib/<name>.lua");
  return length - 4;
}

static void print_recipe(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
  fwrite(name, 1, without_ending(path, name), stdout);
}

static void print_module(const char *path) {
  const char *name = strchr(path, '/');
  if (name != NULL) name++;
  size_t length = without_ending(path, name);
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

/* One table of the files from argv[i] up to "--" or the end; gives where it stopped. */
static int print_table(const char *name, char **argv, int i, void (*print_name)(const char *path)) {
  printf("\nconst vm_module %s[] = {\n", name);
  for (; argv[i] != NULL && strcmp(argv[i], "--") != 0; i++) {
    fputs("  { \"", stdout);
    print_name(argv[i]);
    printf("\", \"%s\", \"\"", argv[i]);
    size_t count = print_text(argv[i]);
    printf(",\n    %zu },\n", count);
  }
  puts("  { 0 }\n};");
  return i;
}

int main(int argc, char **argv) {
  puts("#include \"embedded.h\"");
  int i = print_table("vm_modules", argv, 1, print_module);
  print_table("vm_recipes", argv, i < argc ? i + 1 : i, print_recipe);
  return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
