/* library.c -- libraries that are loaded when something first needs them. */
#include "formats/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static bool load(nni_library *l) {
  void *library = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
  for (size_t i = 0; library && i < l->count; i++) {
    void *function = dlsym(library, l->symbols[i].name);
    if (!function) return false;
    memcpy(l->symbols[i].place, &function, sizeof function);
  }
  return library;
}

const char *nni_library_load(nni_library *l) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  if (!l->tried && !load(l)) snprintf(l->problem, sizeof l->problem, "%s", dlerror());
  l->tried = true;
  pthread_mutex_unlock(&lock);
  return l->problem[0] ? l->problem : NULL;
}
