/* unpack.c -- an archive's files into a folder, whole or not at all.
 *
 * Nothing that an archive says is done without a look: a name stays below the folder (relative, no "..", no control
 * characters), an entry is a file or a folder and nothing else, no file is written twice, and sizes stay within limits
 * that a zip bomb exceeds. Everything goes to a folder beside the target, which is renamed when it is complete; what a
 * killed process left of one is removed by the next.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/archive.h"
#include "formats/file.h"

enum { STEP = 1 << 17, MOST_DEPTH = 64, MOST_NAME = 1024, CLUSTER = 4096 };

static const nn_archive_info most = { .bytes = (uint64_t)4 << 40, .files = 50000000 };

/* ---- what may be unpacked ---- */

static int refuse(const char *path, const char *name, const char *why) {
  char shown[100];
  return nn_fail(NN_EFORMAT, "%s: %s: %s", path, nni_name_end(shown, name), why);
}

static int check_name(const char *path, const char *name) {
  if (name[0] == '/') return refuse(path, name, "an absolute name; only names below the folder are unpacked");
  size_t length = strlen(name);
  if (length > MOST_NAME) return refuse(path, name, "a name of more than 1024 bytes");
  int depth = 0;
  for (const char *part = name; *part; depth++) {
    size_t size = strcspn(part, "/");
    if (size == 2 && memcmp(part, "..", 2) == 0)
      return refuse(path, name, "\"..\" in a name; only names below the folder are unpacked");
    part += size;
    part += strspn(part, "/");
  }
  if (depth > MOST_DEPTH) return refuse(path, name, "folders nested more than 64 deep");
  for (const char *c = name; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f) return refuse(path, name, "a control character in a name");
  return NN_OK;
}

/* Is this entry one that may be unpacked, after those counted in `sum`? Counts it. */
static int check_entry(const char *path, const nni_entry *entry, const nn_archive_info *limit, nn_archive_info *sum) {
  char shown[100], size[32], bound[32];
  int status = check_name(path, entry->name);
  if (status != NN_OK) return status;
  if (entry->kind == NNI_LINK) return refuse(path, entry->name, "a link; only files and folders are unpacked");
  if (entry->kind == NNI_OTHER)
    return refuse(path, entry->name, "a device or pipe; only files and folders are unpacked");
  sum->files++;
  sum->bytes += (uint64_t)entry->size;
  if (sum->files > limit->files) {
    char why[100];
    snprintf(why, sizeof why, "more than %s entries", nni_grouped(bound, (uint64_t)limit->files));
    return refuse(path, entry->name, why);
  }
  if (sum->bytes > limit->bytes)
    return nn_fail(NN_EFORMAT, "%s: %s: with its %s bytes more than %s would be unpacked", path,
                   nni_name_end(shown, entry->name), nni_grouped(size, (uint64_t)entry->size),
                   nni_grouped(bound, limit->bytes));
  return nni_is_bomb(sum->bytes, sum->packed) ? nni_bomb(path, entry->name, sum->packed) : NN_OK;
}

int nn_archive_survey(const char *path, nn_archive_info *out) {
  nni_archive *a;
  nni_entry entry;
  struct stat about;
  bool more = true;
  nn_archive_info sum = { 0 };
  int status = nni_archive_open(path, &a);
  if (status != NN_OK) return status;
  if (stat(path, &about) == 0) sum.packed = (uint64_t)about.st_size;
  sum.format = nni_archive_format(a);
  while (status == NN_OK) {
    status = nni_archive_next(a, &entry, &more);
    if (status != NN_OK || !more) break;
    status = check_entry(path, &entry, &most, &sum);
    if (status == NN_OK) status = nn_interrupt_check();
  }
  nni_archive_close(a);
  if (status == NN_OK && sum.files == 0) status = nn_fail(NN_EFORMAT, "%s: the archive holds nothing", path);
  if (status == NN_OK) *out = sum;
  return status;
}

/* ---- folders ---- */

/* Removes what is below an open folder; closes it. Depth is bounded by what check_name lets through. */
static void clear(int folder, int depth) {
  DIR *list = fdopendir(folder);
  if (!list) {
    close(folder);
    return;
  }
  for (struct dirent *e; (e = readdir(list));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (unlinkat(folder, e->d_name, 0) == 0 || depth > MOST_DEPTH + 1) continue;
    int below = openat(folder, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0) continue;
    clear(below, depth + 1);
    unlinkat(folder, e->d_name, AT_REMOVEDIR);
  }
  closedir(list);
}

static void remove_folder(const char *path) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder >= 0) clear(folder, 0);
  rmdir(path);
}

/* Parts (nni_part_name) of processes that are no more: what they could not remove. */
static void remove_leftovers(const char *target) {
  char *parent = strdup(target);
  char *slash = parent ? strrchr(parent, '/') : NULL;
  const char *name = slash ? target + (slash - parent) + 1 : target;
  size_t length = strlen(name);
  if (slash) slash[slash == parent ? 1 : 0] = '\0';
  DIR *list = parent ? opendir(slash ? parent : ".") : NULL;
  for (struct dirent *e; list && (e = readdir(list));) {
    long process;
    int serial, end = -1;
    if (strncmp(e->d_name, name, length) != 0) continue;
    if (sscanf(e->d_name + length, ".part-%ld-%d%n", &process, &serial, &end) < 2 || e->d_name[length + (size_t)end])
      continue;
    if (process <= 0 || kill((pid_t)process, 0) == 0 || errno != ESRCH) continue;
    int folder = openat(dirfd(list), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder >= 0) clear(folder, 0);
    unlinkat(dirfd(list), e->d_name, AT_REMOVEDIR);
  }
  if (list) closedir(list);
  free(parent);
}

/* ---- unpacking ---- */

typedef struct {
  const char *path, *target;  /* the archive, where its files go */
  nni_archive *archive;
  int folder;                 /* of the part, open */
  uint64_t done, total;
  nn_progress progress;
  void *context;
} unpacking;

static int cannot_write(const unpacking *u, const char *name) {
  char shown[100];
  int reason = errno;
  if (reason == ENOSPC || reason == EDQUOT) {
    int status = nni_check_space(u->target, u->total - u->done);
    if (status != NN_OK) return status;
  }
  return nn_fail(NN_EIO, "%s: %s cannot be written: %s", u->target, nni_name_end(shown, name), strerror(reason));
}

/* Makes the folders above a name, or with `itself` the name too. */
static int make_folders(const unpacking *u, const char *name, bool itself) {
  char part[MOST_NAME + 1];
  for (const char *end = name; *end;) {
    end += strcspn(end, "/");
    if (!*end && !itself) break;
    size_t size = (size_t)(end - name);
    end += strspn(end, "/");
    memcpy(part, name, size);
    part[size] = '\0';
    if (mkdirat(u->folder, part, 0777) == 0) continue;
    struct stat about;
    if (errno != EEXIST) return cannot_write(u, name);
    if (fstatat(u->folder, part, &about, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(about.st_mode))
      return refuse(u->path, name, "its folder is a file elsewhere in the archive");
  }
  return NN_OK;
}

static int copy_bytes(unpacking *u, const nni_entry *entry, int file) {
  uint8_t block[STEP];
  for (uint64_t left = (uint64_t)entry->size; left > 0;) {
    size_t now = left < STEP ? (size_t)left : STEP;
    int status = nni_archive_read(u->archive, block, now);
    for (size_t written = 0; status == NN_OK && written < now;) {
      ssize_t put = write(file, block + written, now - written);
      if (put < 0 && errno != EINTR) status = cannot_write(u, entry->name);
      else if (put > 0) written += (size_t)put;
    }
    if (status == NN_OK) status = nn_interrupt_check();
    if (status != NN_OK) return status;
    left -= now;
    u->done += now;
    if (u->progress) status = u->progress(u->context, u->done, u->total);
    if (status != NN_OK) return status;
  }
  return NN_OK;
}

static int unpack_file(unpacking *u, const nni_entry *entry) {
  enum { HOW = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
  const char *name = entry->name;
  if (name[strlen(name) - 1] == '/') return refuse(u->path, name, "a file with the name of a folder");
  int file = openat(u->folder, name, HOW, 0666);
  if (file < 0 && (errno == ENOENT || errno == ENOTDIR)) {
    int status = make_folders(u, name, false);
    if (status != NN_OK) return status;
    file = openat(u->folder, name, HOW, 0666);
  }
  if (file < 0 && errno == EEXIST) return refuse(u->path, name, "the name is there twice");
  if (file < 0) return cannot_write(u, name);
  int status = copy_bytes(u, entry, file);
  if (status == NN_OK && entry->size == 0) status = nni_archive_read(u->archive, NULL, 0);
  if (close(file) != 0 && status == NN_OK) status = cannot_write(u, name);
  return status;
}

static int unpack_all(unpacking *u, const nn_archive_info *info) {
  nn_archive_info sum = { .packed = info->packed };
  nni_entry entry;
  bool more;
  for (;;) {
    int status = nni_archive_next(u->archive, &entry, &more);
    if (status != NN_OK || !more) return status;
    status = check_entry(u->path, &entry, info, &sum);
    if (status == NN_OK)
      status = entry.kind == NNI_FOLDER ? make_folders(u, entry.name, true) : unpack_file(u, &entry);
    if (status == NN_OK) status = nn_interrupt_check();
    if (status != NN_OK) return status;
  }
}

int nn_archive_unpack(const char *path, const char *target, const nn_archive_info *info, nn_progress progress,
                      void *context) {
  struct stat about;
  if (lstat(target, &about) == 0) return nn_fail(NN_EIO, "%s: is there already", target);
  remove_leftovers(target);
  /* each file takes whole clusters of the disk */
  int status = nni_check_space(target, info->bytes + (uint64_t)info->files * CLUSTER);
  if (status != NN_OK) return status;
  char *part = nni_part_name(target);
  if (!part) return NN_EMEMORY;
  if (mkdir(part, 0777) != 0) {
    status = nn_fail(NN_EIO, "%s: the folder cannot be made: %s", part, strerror(errno));
    free(part);
    return status;
  }
  unpacking u = { .path = path, .target = target, .total = info->bytes, .progress = progress, .context = context };
  u.folder = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  status = u.folder < 0 ? nn_fail(NN_EIO, "%s: %s", part, strerror(errno)) : nni_archive_open(path, &u.archive);
  if (status == NN_OK) status = unpack_all(&u, info);
  nni_archive_close(u.archive);
  if (u.folder >= 0) close(u.folder);
  if (status == NN_OK && rename(part, target) != 0)
    status = nn_fail(NN_EIO, "%s: cannot be renamed to %s: %s", part, target, strerror(errno));
  if (status != NN_OK) remove_folder(part);
  free(part);
  return status;
}
