/* absent.c -- nothing to open until the files of modules and optimisers are there; theirs replace these. */
#include "nnl.h"

__attribute__((weak)) void nnl_open_optimizers(lua_State *L, int module) { (void)L, (void)module; }
