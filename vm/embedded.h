/* embedded.h -- the Lua modules and recipes inside the executable; the tables are written by scripts/dev/embed.c. */
#ifndef VM_EMBEDDED_H
#define VM_EMBEDDED_H

#include <stddef.h>

typedef struct {
  const char *name;  /* "probe.continuity" */
  const char *path;  /* "stdlib/probe/continuity.lua" */
  const char *text;
  size_t size;
} vm_module;

/* Both end with a row whose name is NULL. */
extern const vm_module vm_modules[];
extern const vm_module vm_recipes[];

#endif
