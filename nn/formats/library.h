/* library.h -- libraries that are loaded when something first needs them.
 *
 * libcurl and libarchive bring some forty others along, which took most of the time in which a process starts; most
 * processes, such as the child that reads a recipe, need neither. So the program is not linked with them, and finds
 * their functions by name. Where the build does not know what their files are called (NN_LATE_LIBRARIES is not set) it
 * is linked as usual, and the same table holds what the linker found.
 */
#ifndef NN_FORMATS_LIBRARY_H
#define NN_FORMATS_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  const char *name;
  void *place;        /* of the pointer to the function of that name */
} nni_symbol;

typedef struct {
  const char *file;
  const nni_symbol *symbols;
  size_t count;
  bool tried;
  char problem[200];  /* why it is not there; "" when it is */
} nni_library;

/* NULL when the library is there and the pointers are set, or why not. The first call loads it. */
const char *nni_library_load(nni_library *l);

#define NNI_POINTER(name) __typeof__(name) *name;
#define NNI_SYMBOL(name) { #name, &lib.name },
#define NNI_ADDRESS(name) .name = name,

/* For a list of functions, `#define FUNCTIONS(_) _(curl_easy_init) _(curl_easy_cleanup)`, and the name of the library's
 * file: the table `lib`, through which they are called, and load_library(), which has to give NULL before. */
#ifdef NN_LATE_LIBRARIES
#define NNI_QUOTE(text) #text
#define NNI_LIBRARY(functions, name)                                                       \
  static struct { functions(NNI_POINTER) } lib;                                            \
  static const char *load_library(void) {                                                  \
    static const nni_symbol symbols[] = { functions(NNI_SYMBOL) };                         \
    static nni_library library = { .file = NNI_QUOTE(name), .symbols = symbols,            \
                                   .count = sizeof symbols / sizeof *symbols };            \
    return nni_library_load(&library);                                                     \
  }
#else
#define NNI_LIBRARY(functions, name)                                                       \
  static struct { functions(NNI_POINTER) } lib = { functions(NNI_ADDRESS) };               \
  static const char *load_library(void) { return NULL; }
#endif

#endif
