/* file.c -- files written whole or not at all; numbers and names in messages. */
#include "formats/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

char *nni_part_name(const char *path) {
  static atomic_uint serial;
  size_t room = strlen(path) + 48;
  char *name = malloc(room);
  if (name) snprintf(name, room, "%s.part-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
  else nn_fail(NN_EMEMORY, "%s: out of memory", path);
  return name;
}

int nni_output_open(nni_output *output, const char *path) {
  char *copy = strdup(path), *temporary = nni_part_name(path);
  FILE *stream = NULL;
  int status = NN_OK;
  if (!copy || !temporary) {
    status = nn_fail(NN_EMEMORY, "%s: out of memory", path);
    goto out;
  }
  int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file >= 0 && !(stream = fdopen(file, "wb"))) {
    close(file);
    unlink(temporary);
  }
  if (!stream) status = nn_fail(NN_EIO, "%s: cannot be written: %s", path, strerror(errno));
out:
  if (status != NN_OK) {
    free(copy);
    free(temporary);
    return status;
  }
  *output = (nni_output){ stream, copy, temporary };
  return NN_OK;
}

/* Makes a rename last through a loss of power. A folder that cannot be synced (some file systems refuse) is no failure:
 * the file is whole under its old or its new name. */
static void sync_folder(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t size = slash ? (size_t)(slash - path) + 1 : 1;
  char *folder = malloc(size + 1);
  if (!folder) return;
  memcpy(folder, slash ? path : ".", size);
  folder[size] = '\0';
  int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file >= 0) {
    fsync(file);
    close(file);
  }
  free(folder);
}

int nni_output_commit(nni_output *output) {
  int status = NN_OK;
  bool written = !ferror(output->stream) && fflush(output->stream) == 0 && fsync(fileno(output->stream)) == 0;
  int reason = errno;
  if (fclose(output->stream) != 0 && written) {
    written = false;
    reason = errno;
  }
  if (written && rename(output->temporary, output->path) != 0) {
    written = false;
    reason = errno;
  }
  if (!written) {
    unlink(output->temporary);
    status = nn_fail(NN_EIO, "%s: cannot be written: %s", output->path, strerror(reason));
  } else {
    sync_folder(output->path);
  }
  free(output->path);
  free(output->temporary);
  return status;
}

void nni_output_discard(nni_output *output) {
  fclose(output->stream);
  unlink(output->temporary);
  free(output->path);
  free(output->temporary);
}

int nn_file_write(const char *path, const void *bytes, size_t size) {
  nni_output output;
  int status = nni_output_open(&output, path);
  if (status != NN_OK) return status;
  fwrite(bytes, 1, size, output.stream);  /* commit sees what went wrong */
  return nni_output_commit(&output);
}

int nni_descriptor_open(const char *path, int *file, uint64_t *bytes) {
  struct stat about;
  int opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);  /* a pipe without a writer would wait for one */
  if (opened < 0) return nn_fail(NN_EIO, "%s: %s", path, strerror(errno));
  if (fstat(opened, &about) != 0 || !S_ISREG(about.st_mode)) {
    close(opened);
    return nn_fail(NN_EIO, "%s: not a regular file", path);
  }
  *file = opened;
  *bytes = (uint64_t)about.st_size;
  return NN_OK;
}

int nni_input_open(const char *path, FILE **stream, uint64_t *bytes) {
  int opened;
  int status = nni_descriptor_open(path, &opened, bytes);
  if (status != NN_OK) return status;
  FILE *file = fdopen(opened, "rb");
  if (!file) {
    close(opened);
    return nn_fail(NN_EIO, "%s: %s", path, strerror(errno));
  }
  *stream = file;
  return NN_OK;
}

int nn_free_bytes(const char *folder, uint64_t *bytes) {
  struct statvfs space;
  if (statvfs(folder, &space) != 0) return nn_fail(NN_EIO, "%s: %s", folder, strerror(errno));
  if (__builtin_mul_overflow((uint64_t)space.f_bavail, (uint64_t)space.f_frsize, bytes)) *bytes = UINT64_MAX;
  return NN_OK;
}

int nni_check_space(const char *path, uint64_t needed) {
  char *folder = strdup(path), need[32], have[32];
  uint64_t room = 0;
  if (!folder) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  char *slash = strrchr(folder, '/');
  if (slash) slash[slash == folder ? 1 : 0] = '\0';
  int status = nn_free_bytes(slash ? folder : ".", &room);
  free(folder);
  if (status != NN_OK || needed <= room) return status;
  return nn_fail(NN_EIO, "%s: no space: %s bytes are needed, %s are free", path, nni_grouped(need, needed),
                 nni_grouped(have, room));
}

int nn_file_stamp(const char *path, char *text, size_t size) {
  struct stat about;
  if (stat(path, &about) != 0) return nn_fail(NN_EIO, "%s: %s", path, strerror(errno));
  snprintf(text, size, "%jd %jd.%09ld %ju", (intmax_t)about.st_size, (intmax_t)about.st_mtim.tv_sec,
           about.st_mtim.tv_nsec, (uintmax_t)about.st_ino);
  return NN_OK;
}

int nn_sha256_file(const char *path, char text[65]) {
  enum { STEP = 1 << 16 };
  FILE *stream = NULL;
  uint64_t bytes;
  uint8_t *block = malloc(STEP);
  if (!block) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  int status = nni_input_open(path, &stream, &bytes);
  if (status != NN_OK) {
    free(block);
    return status;
  }
  nn_sha256 sum;
  size_t got;
  nn_sha256_start(&sum);
  while (status == NN_OK && (got = fread(block, 1, STEP, stream)) > 0) {
    nn_sha256_add(&sum, block, got);
    status = nn_interrupt_check();
  }
  if (status == NN_OK && ferror(stream)) status = nn_fail(NN_EIO, "%s: %s", path, strerror(errno));
  if (status == NN_OK) nn_sha256_end(&sum, text);
  fclose(stream);
  free(block);
  return status;
}

enum { MOST_EXPANSION = 200 };

bool nni_is_bomb(uint64_t bytes, uint64_t packed) {
  const uint64_t harmless = (uint64_t)64 << 20;
  return bytes > harmless && bytes / MOST_EXPANSION > packed;
}

int nni_bomb(const char *path, const char *part, uint64_t packed) {
  char shown[100], size[32];
  return nn_fail(NN_EFORMAT, "%s: %s: unpacks to more than %d times the %s bytes of the file, as a bomb does", path,
                 nni_name_end(shown, part), MOST_EXPANSION, nni_grouped(size, packed));
}

const char *nni_grouped(char text[32], uint64_t value) {
  char digits[24];
  int count = snprintf(digits, sizeof digits, "%" PRIu64, value), at = 0;
  for (int i = 0; i < count; i++) {
    if (i > 0 && (count - i) % 3 == 0) text[at++] = ',';
    text[at++] = digits[i];
  }
  text[at] = '\0';
  return text;
}

size_t nni_utf8(const char *text, size_t size) {
  const uint8_t *t = (const uint8_t *)text;
  if (size == 0) return 0;
  if (t[0] < 0x80) return 1;
  size_t length = t[0] >= 0xF0 ? 4 : t[0] >= 0xE0 ? 3 : 2;
  if (t[0] < 0xC2 || t[0] > 0xF4 || length > size) return 0;
  for (size_t i = 1; i < length; i++)
    if ((t[i] & 0xC0) != 0x80) return 0;
  /* too long for what it says, half of a surrogate pair, beyond the last character */
  if ((t[0] == 0xE0 && t[1] < 0xA0) || (t[0] == 0xED && t[1] > 0x9F) || (t[0] == 0xF0 && t[1] < 0x90) ||
      (t[0] == 0xF4 && t[1] > 0x8F)) return 0;
  return length;
}

const char *nni_printable(char *out, size_t room, const char *text, size_t size) {
  static const char hex[] = "0123456789abcdef";
  size_t used = 0;
  for (size_t at = 0; at < size;) {
    size_t length = nni_utf8(text + at, size - at);
    bool control = length == 1 ? text[at] < 0x20 || text[at] == 0x7f
                               : length == 2 && text[at] == '\xc2' && (unsigned char)text[at + 1] < 0xa0;
    bool plain = length > 0 && !control;
    if (used + (plain ? length : 4) + 4 > room) {
      memcpy(out + used, "...", 3);
      used += 3;
      break;
    }
    if (plain) {
      memcpy(out + used, text + at, length);
      used += length;
    } else {
      uint8_t byte = (uint8_t)text[at];
      memcpy(out + used, (char[]){ '\\', 'x', hex[byte >> 4], hex[byte & 15] }, 4);
      used += 4;
      length = 1;
    }
    at += length;
  }
  out[used] = '\0';
  return out;
}

const char *nni_name_end(char text[100], const char *name) {
  enum { ROOM = 100, MARK = 3, MOST = ROOM - 4 };  /* nni_printable keeps room for a mark of its own */
  size_t length = strlen(name), start = length > MOST ? length - (MOST - MARK) : 0;
  while (start > 0 && start < length && ((unsigned char)name[start] & 0xc0) == 0x80) start++;
  size_t mark = start > 0 ? MARK : 0;
  memcpy(text, "...", mark);
  nni_printable(text + mark, ROOM - mark, name + start, length - start);
  return text;
}

const char *nni_quoted(char *out, size_t room, const char *text, size_t size) {
  nni_printable(out + 1, room - 2, text, size);
  size_t used = strlen(out + 1) + 1;
  out[0] = out[used] = '"';
  out[used + 1] = '\0';
  return out;
}
