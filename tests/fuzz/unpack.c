/* Archives unpacked into a folder: nothing may appear beside it, nothing in it but files and folders, and nothing at
 * all when the archive is refused.
 */
#define _DEFAULT_SOURCE /* d_type */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

/* The target is <top>/a/b/out, so that "../" and "../../" would be seen. */
#define TOP "/tmp/penumbra-fuzz-XXXXXX"
static char top[] = TOP, middle[] = TOP "/a", inner[] = TOP "/a/b", out[] = TOP "/a/b/out";
static bool started;

static void leave(void) {
  rmdir(inner);
  rmdir(middle);
  rmdir(top);
}

static void start(void) {
  if (!mkdtemp(top)) fuzz_fail("no temporary folder: %s", strerror(errno));
  char *below[] = { middle, inner, out };
  for (int i = 0; i < 3; i++) memcpy(below[i], top, strlen(top));
  started = true;
  if (mkdir(middle, 0700) != 0 || mkdir(inner, 0700) != 0) fuzz_fail("%s: %s", inner, strerror(errno));
  atexit(leave);
}

/* Everything in the folder, which is closed; only plain files and folders may be there. */
static void remove_all(int folder) {
  DIR *list = fdopendir(folder);
  if (!list) fuzz_fail("fdopendir: %s", strerror(errno));
  for (struct dirent *entry; (entry = readdir(list));) {
    struct stat about;
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (fstatat(folder, name, &about, AT_SYMLINK_NOFOLLOW) != 0) fuzz_fail("fstatat: %s", strerror(errno));
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode)) fuzz_fail("unpacked something that is no file: %s", name);
    if (about.st_mode & (S_ISUID | S_ISGID | S_ISVTX)) fuzz_fail("unpacked special permissions: %s", name);
    if (S_ISDIR(about.st_mode)) remove_all(openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (unlinkat(folder, name, S_ISDIR(about.st_mode) ? AT_REMOVEDIR : 0) != 0)
      fuzz_fail("unlinkat %s: %s", name, strerror(errno));
  }
  closedir(list);
}

/* The folder holds just this name; nothing when it is NULL. */
static void check_only(const char *folder, const char *name) {
  DIR *list = opendir(folder);
  if (!list) fuzz_fail("%s: %s", folder, strerror(errno));
  for (struct dirent *entry; (entry = readdir(list));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
        (!name || strcmp(entry->d_name, name) != 0))
      fuzz_fail("%s/%s appeared", folder, entry->d_name);
  closedir(list);
}

static int parse(const uint8_t *bytes, size_t size) {
  enum { MOST = 1 << 20 };
  nn_archive_info info;
  const char *path = fuzz_path(bytes, size);
  if (!started) start();
  int status = nn_archive_survey(path, &info);
  if (status == NN_OK && info.bytes > MOST) return NN_OK;
  if (status == NN_OK) status = nn_archive_unpack(path, out, &info, NULL, NULL);
  int folder = open(out, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if ((folder >= 0) != (status == NN_OK))
    fuzz_fail("status %d, and the folder is %s", status, folder < 0 ? "not there" : "there");
  if (folder >= 0) {
    remove_all(folder);
    rmdir(out);
  }
  check_only(inner, NULL);
  check_only(middle, "b");
  check_only(top, "a");
  return status;
}

const fuzz_target fuzz_tested = { parse, fuzz_repair_archive };
