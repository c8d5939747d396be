/* file.h -- files written whole or not at all; numbers and names in messages. */
#ifndef NN_FILE_H
#define NN_FILE_H

#include <stdio.h>

#include "nn.h"

/* A file that appears under its name only when it is complete. */
typedef struct {
  FILE *stream;
  char *path, *temporary;
} nni_output;

/* "<path>.part-<process>-<number>", a name for what is to become `path`, used by nobody else; free() it. NULL: out of
 * memory. */
char *nni_part_name(const char *path);
/* Opens a new file beside `path`. On success end with commit or discard. */
int nni_output_open(nni_output *output, const char *path);
/* Writes everything out, to the disk, and renames; on failure nothing is left behind and an older file stays as it
 * was. */
int nni_output_commit(nni_output *output);
void nni_output_discard(nni_output *output);

/* Opens a regular file for reading and tells its size; anything else is refused, a pipe without waiting for it. */
int nni_descriptor_open(const char *path, int *file, uint64_t *bytes);
int nni_input_open(const char *path, FILE **stream, uint64_t *bytes);
/* Are `needed` bytes free where a file of this name would be? NN_EIO says how many are needed and free. */
int nni_check_space(const char *path, uint64_t needed);

/* Is it a bomb's work to make `bytes` of `packed` ones? Pictures do not expand at all, label files of one value a
 * hundredfold; and what fits any memory harms nobody. */
bool nni_is_bomb(uint64_t bytes, uint64_t packed);
int nni_bomb(const char *path, const char *part, uint64_t packed);  /* NN_EFORMAT: that it is one */

/* 2496088 -> "2,496,088"; returns text. */
const char *nni_grouped(char text[32], uint64_t value);

/* Bytes of the valid UTF-8 character that text starts with; 0: there is none. */
size_t nni_utf8(const char *text, size_t size);
/* Text from a file for a message: control characters and what is no UTF-8 as \xNN, cut with "..." where room ends;
 * room is at least 16. Returns out. */
const char *nni_printable(char *out, size_t room, const char *text, size_t size);
/* The end of a name that may be long, in the same way. */
const char *nni_name_end(char text[100], const char *name);
/* The same as nni_printable in double quotes. */
const char *nni_quoted(char *out, size_t room, const char *text, size_t size);

#endif
