/* history.c -- a file of lines that several sessions add to: none loses another's, and it stays below a size.
 *
 * Writers hold a lock on the file. Who finds it too long writes its newer half to a file beside it and puts that in its
 * place; who waited for the lock then sees that the name means another file, and opens that one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm.h"

/* The file, locked; -1 and errno. Only its owner may read it. */
static int open_locked(const char *path) {
  for (;;) {
    struct stat opened, named;
    int file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (file < 0) return -1;
    while (flock(file, LOCK_EX) != 0) {
      if (errno == EINTR) continue;
      close(file);
      return -1;
    }
    if (fstat(file, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
        opened.st_dev == named.st_dev)
      return file;
    close(file);
  }
}

/* Puts whole lines from the last `keep` bytes of the file in its place. The new file is locked until the caller closes
 * it. Returns it, or the old one when that cannot be done. */
static int shorten(int file, const char *path, off_t size, off_t keep) {
  char name[4096];
  if (snprintf(name, sizeof name, "%s.%ld", path, (long)getpid()) >= (int)sizeof name) return file;
  char *data = malloc((size_t)keep);
  if (data == NULL) return file;
  ssize_t count = pread(file, data, (size_t)keep, size - keep);
  const char *first = count > 0 ? memchr(data, '\n', (size_t)count) : NULL;
  int shorter = first ? open(name, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
  bool done = shorter >= 0 && flock(shorter, LOCK_EX) == 0 &&
              vm_write_all(shorter, first + 1, (size_t)(data + count - first - 1)) && rename(name, path) == 0;
  free(data);
  if (!done && shorter >= 0) {
    unlink(name);
    close(shorter);
  }
  if (done) close(file);
  return done ? shorter : file;
}

int vm_append_line(const char *path, const char *line, size_t length, size_t most) {
  int file = open_locked(path);
  if (file < 0) return -1;
  struct stat now;
  if (fstat(file, &now) == 0 && S_ISREG(now.st_mode) && now.st_size > (off_t)most)
    file = shorten(file, path, now.st_size, (off_t)most / 2);
  bool done = vm_write_all(file, line, length);
  int cause = errno;
  close(file);
  errno = cause;
  return done ? 0 : -1;
}
