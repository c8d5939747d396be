/* file.h -- files written whole or not at all, and numbers in messages. */
#ifndef NN_FILE_H
#define NN_FILE_H

#include <stdio.h>

#include "nn.h"

/* A file that appears under its name only when it is complete. */
typedef struct {
  FILE *stream;
  char *path, *temporary;
} nni_output;

/* Opens a new file beside `path`. On success end with commit or discard. */
int nni_output_open(nni_output *output, const char *path);
/* Writes everything out and renames; on failure nothing is left behind and an older file stays as it was. */
int nni_output_commit(nni_output *output);
void nni_output_discard(nni_output *output);

/* Opens a regular file for reading and tells its size. */
int nni_input_open(const char *path, FILE **stream, uint64_t *bytes);

/* 2496088 -> "2,496,088"; returns text. */
const char *nni_grouped(char text[32], uint64_t value);

#endif
