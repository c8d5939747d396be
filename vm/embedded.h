/* embedded.h -- the Lua modules inside the executable; the table is written by scripts/dev/embed.c. */
#ifndef VM_EMBEDDED_H
#define VM_EMBEDDED_H

#include <stddef.h>

typedef struct {
  const char *name;  /* "probe.continuity" */
  const char *path;  /* "stdlib/probe/continuity.lua" */
  const char *text;
  size_t size;
} vm_module;

extern const vm_module vm_modules[];  /* ends with a row whose name is NULL */

#endif
