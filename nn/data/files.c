/* files.c -- lists of picture files with labels, small enough for a million of them.
 *
 * A list is a view (rows) of a store that several lists share. The store keeps each path as a folder and a name in one
 * block of text, 12 bytes and the name's own for each file; nothing is asked about a file but what its folder says.
 * The index on disk is the store as it lies in memory, with a checksum, and the modification time of every folder: it
 * stands for the folders for as long as none of them has changed.
 */
#define _DEFAULT_SOURCE /* d_type: what a folder says about its entries */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#include "formats/bytes.h"
#include "formats/file.h"
#include "tensor/tensor.h"

enum { MAX_DEPTH = 8, MAX_PATH = 4096, INDEX_VERSION = 1, SETTLED_SECONDS = 2 };

typedef struct {
  uint32_t path;  /* below the root, "" for the root itself: a place in the text */
  uint32_t nanoseconds;
  int64_t seconds;
  uint64_t node;  /* the inode: another folder under the same name is a change too */
} folder_entry;

typedef struct {
  uint32_t folder, name;
  int32_t label;
} file_entry;

typedef struct {
  atomic_int references;
  bool settled;  /* no folder changed just before it was read: its time tells the next change */
  char *text;    /* strings, each with its zero byte; the first is the root */
  folder_entry *folders;
  file_entry *files;
  uint32_t *classes;  /* names, by label */
  int64_t text_used, folder_count, file_count, class_count;
  size_t text_room, folder_room, file_room, class_room;
} file_store;

struct nn_files {
  atomic_int references;
  file_store *store;
  int32_t *rows;  /* places in the store; NULL: all, in order */
  int64_t count;
};

/* ---- the store ---- */

static void store_release(file_store *s) {
  if (!s || atomic_fetch_sub(&s->references, 1) > 1) return;
  nn_memory_put(s->text);
  nn_memory_put(s->folders);
  nn_memory_put(s->files);
  nn_memory_put(s->classes);
  nn_memory_put(s);
}

static int add_text(file_store *s, const char *text, size_t size, uint32_t *place) {
  if (s->text_used + (int64_t)size + 1 > UINT32_MAX)
    return nn_fail(NN_EARGUMENT, "files: the names of a list are longer than 4 GiB together");
  if (!nni_grow(&s->text, &s->text_room, (size_t)s->text_used, size + 1, 1)) return NN_EMEMORY;
  memcpy(s->text + s->text_used, text, size);
  s->text[s->text_used + (int64_t)size] = '\0';
  *place = (uint32_t)s->text_used;
  s->text_used += (int64_t)size + 1;
  return NN_OK;
}

static int add_folder(file_store *s, const char *path, size_t size, const struct stat *about) {
  uint32_t place = 0;
  int status = add_text(s, path, size, &place);
  if (status != NN_OK) return status;
  if (!nni_grow(&s->folders, &s->folder_room, (size_t)s->folder_count, 1, sizeof *s->folders)) return NN_EMEMORY;
  s->folders[s->folder_count++] = (folder_entry){
    .path = place, .seconds = about ? (int64_t)about->st_mtim.tv_sec : 0,
    .nanoseconds = about ? (uint32_t)about->st_mtim.tv_nsec : 0, .node = about ? (uint64_t)about->st_ino : 0,
  };
  return NN_OK;
}

static int add_file(file_store *s, uint32_t name, int32_t label) {
  if (s->file_count == INT32_MAX) return nn_fail(NN_EARGUMENT, "files: at most %d in a list", INT32_MAX);
  if (!nni_grow(&s->files, &s->file_room, (size_t)s->file_count, 1, sizeof *s->files)) return NN_EMEMORY;
  s->files[s->file_count++] = (file_entry){ (uint32_t)(s->folder_count - 1), name, label };
  return NN_OK;
}

static int add_class(file_store *s, const char *name) {
  uint32_t place = 0;
  int status = add_text(s, name, strlen(name), &place);
  if (status != NN_OK) return status;
  if (!nni_grow(&s->classes, &s->class_room, (size_t)s->class_count, 1, sizeof *s->classes)) return NN_EMEMORY;
  s->classes[s->class_count++] = place;
  return NN_OK;
}

/* ---- lists ---- */

static nn_files *list_of(file_store *store) {
  nn_files *f = nn_memory_get_zeroed(sizeof *f);
  if (!f) return NULL;
  atomic_init(&f->references, 1);
  f->store = store;
  f->count = store->file_count;
  return f;
}

static file_store *store_new(const char *root) {
  uint32_t place;
  file_store *s = nn_memory_get_zeroed(sizeof *s);
  if (!s) return NULL;
  atomic_init(&s->references, 1);
  size_t size = strlen(root);
  while (size > 1 && root[size - 1] == '/') size--;
  if (add_text(s, root, size, &place) == NN_OK) return s;
  store_release(s);
  return NULL;
}

nn_files *nn_files_new(const char *root) {
  file_store *store = store_new(root);
  nn_files *f = store ? list_of(store) : NULL;
  if (!f) store_release(store);
  return f;
}

nn_files *nn_files_retain(nn_files *f) {
  atomic_fetch_add(&f->references, 1);
  return f;
}

void nn_files_release(nn_files *f) {
  if (!f || atomic_fetch_sub(&f->references, 1) > 1) return;
  store_release(f->store);
  nn_memory_put(f->rows);
  nn_memory_put(f);
}

/* Is every part of the path a name of its own: none empty, "." or ".."? */
static bool below(const char *path) {
  for (const char *part = path;; part++) {
    size_t size = strcspn(part, "/");
    if (size == 0 || (part[0] == '.' && (size == 1 || (size == 2 && part[1] == '.')))) return false;
    part += size;
    if (!*part) return true;
  }
}

int nn_files_add(nn_files *f, const char *path, int32_t label) {
  file_store *s = f->store;
  uint32_t name = 0;
  if (f->rows || atomic_load(&s->references) > 1 || atomic_load(&f->references) > 1)
    return nn_fail(NN_ESTATE, "files: the list is in use already: nothing can be added");
  if (!below(path)) return nn_fail(NN_EARGUMENT, "files: a path below %s expected, got \"%s\"", s->text, path);
  if (label < 0) return nn_fail(NN_EARGUMENT, "files: label of %s: 0 or more expected, got %d", path, (int)label);
  const char *slash = strrchr(path, '/');
  size_t folder = slash ? (size_t)(slash - path) : 0;
  const char *last = s->folder_count > 0 ? s->text + s->folders[s->folder_count - 1].path : NULL;
  int status = NN_OK;
  if (!last || strlen(last) != folder || strncmp(last, path, folder) != 0) status = add_folder(s, path, folder, NULL);
  if (status == NN_OK) status = add_text(s, slash ? slash + 1 : path, strlen(slash ? slash + 1 : path), &name);
  if (status == NN_OK) status = add_file(s, name, label);
  f->count = s->file_count;
  return status;
}

int64_t nn_files_count(const nn_files *f) { return f->count; }

const char *nn_files_root(const nn_files *f) { return f->store->text; }

static const file_entry *entry(const nn_files *f, int64_t i) { return &f->store->files[f->rows ? f->rows[i] : i]; }

int32_t nn_files_label(const nn_files *f, int64_t i) { return entry(f, i)->label; }

const char *nn_files_path(const nn_files *f, int64_t i, char *text, size_t room) {
  const char *strings = f->store->text, *folder = strings + f->store->folders[entry(f, i)->folder].path;
  const char *between = strcmp(strings, "/") == 0 ? "" : "/";
  int size = snprintf(text, room, "%s%s%s%s%s", strings, between, folder, *folder ? "/" : "",
                      strings + entry(f, i)->name);
  if (size >= 0 && (size_t)size < room) return text;
  nn_fail(NN_EIO, "%s: the path is longer than %zu bytes", text, room - 1);
  return NULL;
}

int64_t nn_files_class_count(const nn_files *f) { return f->store->class_count; }

const char *nn_files_class_name(const nn_files *f, int64_t class) { return f->store->text + f->store->classes[class]; }

int nn_files_labels(const nn_files *f, nn_tensor **out) {
  nn_tensor *t = nn_tensor_new(NN_INDEX, 1, &f->count);
  if (!t) return NN_EMEMORY;
  int32_t *label = nn_tensor_write(t);
  for (int64_t i = 0; i < f->count; i++) label[i] = nn_files_label(f, i);
  *out = t;
  return NN_OK;
}

int nn_files_select(nn_files *f, nn_tensor *rows, nn_files **out) {
  char shape[96];
  if (nn_tensor_type(rows) != NN_INDEX || nn_tensor_axes(rows) != 1 || !nn_tensor_contiguous(rows))
    return nn_fail(NN_ETYPE, "files: rows: an index tensor with one axis expected, got %s %s",
                   nn_type_name(nn_tensor_type(rows)), nn_tensor_describe(rows, shape, sizeof shape));
  const int32_t *row = nn_tensor_data(rows);
  int64_t count = nn_tensor_count(rows);
  for (int64_t i = 0; i < count; i++)
    if (row[i] < 0 || row[i] >= f->count)
      return nn_fail(NN_EARGUMENT, "files: row %lld is outside 1 .. %lld", (long long)row[i] + 1, (long long)f->count);
  nn_files *chosen = list_of(f->store);
  if (!chosen) return NN_EMEMORY;
  atomic_fetch_add(&f->store->references, 1);
  chosen->rows = nn_memory_get((size_t)(count + 1) * sizeof *chosen->rows);
  if (!chosen->rows) {
    nn_files_release(chosen);
    return NN_EMEMORY;
  }
  for (int64_t i = 0; i < count; i++) chosen->rows[i] = f->rows ? f->rows[row[i]] : row[i];
  chosen->count = count;
  *out = chosen;
  return NN_OK;
}

/* ---- reading folders ---- */

typedef struct {
  file_store *store;
  int64_t settled_before;  /* folders changed at this second or later may change again within the same tick */
  char path[MAX_PATH];     /* of the folder being read */
  size_t root;             /* how much of it is the root */
} folder_walk;

/* What one folder holds. */
typedef struct {
  char **folders;  /* sorted */
  char **pictures; /* sorted; names are malloc'ed */
  int64_t folder_count, picture_count, others;
  size_t folder_room, picture_room;
} folder_content;

static bool is_picture(const char *name) {
  const char *ending = strrchr(name, '.');
  return ending &&
         (strcasecmp(ending, ".jpg") == 0 || strcasecmp(ending, ".jpeg") == 0 || strcasecmp(ending, ".png") == 0);
}

static void drop_names(char **names, int64_t count) {
  for (int64_t i = 0; i < count; i++) free(names[i]);
  nn_memory_put(names);
}

static void content_free(folder_content *c) {
  drop_names(c->folders, c->folder_count);
  drop_names(c->pictures, c->picture_count);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int keep_name(char ***list, int64_t *count, size_t *room, const char *name) {
  if (!nni_grow(list, room, (size_t)*count, 1, sizeof **list)) return NN_EMEMORY;
  char *copy = strdup(name);
  if (!copy) return nn_fail(NN_EMEMORY, "%s: out of memory", name);
  (*list)[(*count)++] = copy;
  return NN_OK;
}

/* Appends "/name" to the walk's path. */
static int enter(folder_walk *w, const char *name) {
  size_t used = strlen(w->path);
  int size = snprintf(w->path + used, sizeof w->path - used, "%s%s", used > 0 && w->path[used - 1] == '/' ? "" : "/",
                      name);
  if ((size_t)size < sizeof w->path - used) return NN_OK;
  w->path[used] = '\0';
  return nn_fail(NN_EIO, "%s: %s: the path is longer than %d bytes", w->path, name, MAX_PATH - 1);
}

/* The kind of an entry of the walk's folder; it is asked for only when the folder does not tell. A link to a file
 * counts as one; one to a folder does only where `links`, so that a walk has an end. */
static int entry_mode(folder_walk *w, const struct dirent *e, bool links, mode_t *mode) {
  struct stat about;
  size_t used = strlen(w->path);
  if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK) {
    *mode = e->d_type == DT_DIR ? S_IFDIR : e->d_type == DT_REG ? S_IFREG : 0;
    return NN_OK;
  }
  int status = enter(w, e->d_name);
  if (status != NN_OK) return status;
  *mode = stat(w->path, &about) == 0 ? about.st_mode & S_IFMT : 0;
  if (*mode == S_IFDIR && !links && (e->d_type == DT_LNK || (lstat(w->path, &about) == 0 && S_ISLNK(about.st_mode))))
    *mode = 0;
  w->path[used] = '\0';
  return NN_OK;
}

/* Reads the walk's folder and adds it to the store. Hidden names are passed over. */
static int read_folder(folder_walk *w, bool links, folder_content *c) {
  struct stat about;
  struct dirent *e;
  *c = (folder_content){ 0 };
  DIR *stream = opendir(w->path);
  if (!stream) return nn_fail(NN_EIO, "%s: %s", w->path, strerror(errno));
  int status = fstat(dirfd(stream), &about) == 0 ? NN_OK : nn_fail(NN_EIO, "%s: %s", w->path, strerror(errno));
  while (status == NN_OK && (errno = 0, e = readdir(stream))) {
    mode_t mode;
    if (e->d_name[0] == '.') continue;
    status = entry_mode(w, e, links, &mode);
    if (status != NN_OK) break;
    if (mode == S_IFDIR) status = keep_name(&c->folders, &c->folder_count, &c->folder_room, e->d_name);
    else if (mode == S_IFREG && is_picture(e->d_name))
      status = keep_name(&c->pictures, &c->picture_count, &c->picture_room, e->d_name);
    else c->others++;
  }
  if (status == NN_OK && errno != 0) status = nn_fail(NN_EIO, "%s: %s", w->path, strerror(errno));
  closedir(stream);
  if (c->folder_count) qsort(c->folders, (size_t)c->folder_count, sizeof *c->folders, compare_names);
  if (c->picture_count) qsort(c->pictures, (size_t)c->picture_count, sizeof *c->pictures, compare_names);
  if (status == NN_OK) {
    const char *inner = w->path + w->root;
    while (*inner == '/') inner++;
    if ((int64_t)about.st_mtim.tv_sec >= w->settled_before) w->store->settled = false;
    status = add_folder(w->store, inner, strlen(inner), &about);
  }
  if (status == NN_OK) status = nn_interrupt_check();
  if (status != NN_OK) content_free(c);
  return status;
}

/* All pictures at and below the walk's folder: its own first, then those of its folders, by name. */
static int walk_class(folder_walk *w, int32_t label, int depth, int64_t *others) {
  folder_content c;
  size_t used = strlen(w->path);
  if (depth > MAX_DEPTH) return nn_fail(NN_EFORMAT, "%s: folders more than %d deep", w->path, MAX_DEPTH);
  int status = read_folder(w, false, &c);
  if (status != NN_OK) return status;
  *others += c.others;
  for (int64_t i = 0; i < c.picture_count && status == NN_OK; i++) {
    uint32_t name = 0;
    status = add_text(w->store, c.pictures[i], strlen(c.pictures[i]), &name);
    if (status == NN_OK) status = add_file(w->store, name, label);
  }
  for (int64_t i = 0; i < c.folder_count && status == NN_OK; i++) {
    status = enter(w, c.folders[i]);
    if (status == NN_OK) status = walk_class(w, label, depth + 1, others);
    w->path[used] = '\0';
  }
  content_free(&c);
  return status;
}

/* The label of a class by name, looked for from the one after `last` on; -1 when there is none. */
static int32_t find_class(const file_store *s, const char *name, int32_t last) {
  for (int64_t i = 1; i <= s->class_count; i++) {
    int64_t place = (last + i) % s->class_count;
    if (strcmp(s->text + s->classes[place], name) == 0) return (int32_t)place;
  }
  return -1;
}

static int walk_root(folder_walk *w, bool known) {
  folder_content c;
  char a[32];
  file_store *s = w->store;
  size_t used = strlen(w->path);
  int32_t label = -1;
  int status = read_folder(w, true, &c);
  if (status != NN_OK) return status;
  if (c.folder_count == 0)
    status = nn_fail(NN_EFORMAT, "%s: a folder for each class expected, found %s pictures and no folder", w->path,
                     nni_grouped(a, (uint64_t)c.picture_count));
  for (int64_t i = 0; i < c.folder_count && status == NN_OK && !known; i++) status = add_class(s, c.folders[i]);
  for (int64_t i = 0; i < c.folder_count && status == NN_OK; i++) {
    int64_t others = 0, before = s->file_count;
    int32_t found = find_class(s, c.folders[i], label);
    if (found < 0)
      status = nn_fail(NN_EFORMAT, "%s: folder %s is not one of the %s classes", w->path, c.folders[i],
                       nni_grouped(a, (uint64_t)s->class_count));
    if (status == NN_OK) status = enter(w, c.folders[i]);
    if (status == NN_OK) status = walk_class(w, label = found, 0, &others);
    if (status == NN_OK && s->file_count == before)
      status = nn_fail(NN_EFORMAT, "%s: pictures (.jpg, .jpeg, .png) expected, found none among %s files", w->path,
                       nni_grouped(a, (uint64_t)others));
    w->path[used] = '\0';
  }
  content_free(&c);
  return status;
}

int nn_files_scan(const char *root, const char *const *classes, int64_t count, nn_files **out) {
  nn_files *f = nn_files_new(root);
  folder_walk *w = f ? nn_memory_get(sizeof *w) : NULL;
  int status = w ? NN_OK : NN_EMEMORY;
  if (status != NN_OK) goto out;
  w->store = f->store;
  w->settled_before = (int64_t)time(NULL) - SETTLED_SECONDS;
  w->root = strlen(f->store->text);
  f->store->settled = true;
  if (w->root >= sizeof w->path) {
    status = nn_fail(NN_EIO, "%s: the path is longer than %d bytes", root, MAX_PATH - 1);
    goto out;
  }
  memcpy(w->path, f->store->text, w->root + 1);
  for (int64_t i = 0; i < count && status == NN_OK; i++) status = add_class(f->store, classes[i]);
  if (status == NN_OK) status = walk_root(w, count > 0);
  if (status != NN_OK) goto out;
  f->count = f->store->file_count;
  *out = f;
  f = NULL;
out:
  nn_memory_put(w);
  nn_files_release(f);
  return status;
}

/* ---- the pictures' sizes ---- */

typedef struct {
  const nn_files *files;
  nn_image_about *about;  /* [N]; height 0: the header cannot be read */
} survey_job;

static void survey_files(void *context, int64_t begin, int64_t end) {
  const survey_job *job = context;
  char path[MAX_PATH];
  for (int64_t i = begin; i < end; i++)
    if (!nn_files_path(job->files, i, path, sizeof path) || nn_image_info(path, &job->about[i]) != NN_OK)
      job->about[i].height = 0;
}

int nn_files_survey(const nn_files *f, nn_files_sizes *sizes) {
  char path[MAX_PATH];
  if (f->count == 0) return nn_fail(NN_EARGUMENT, "files: pictures expected, the list is empty");
  survey_job job = { f, nn_memory_get((size_t)f->count * sizeof *job.about) };
  if (!job.about) return NN_EMEMORY;
  int status = nn_parallel_for(f->count, 16, survey_files, &job);
  nn_files_sizes found = { .first_bad = -1, .other = -1 };
  int64_t first = -1;
  for (int64_t i = 0; i < f->count && status == NN_OK; i++) {
    const nn_image_about *about = &job.about[i];
    if (about->height == 0) {
      if (found.bad++ == 0) found.first_bad = i;
      continue;
    }
    if (first < 0) {
      first = i;
      found.height = about->height, found.width = about->width;
    }
    if (about->channels > found.channels) found.channels = about->channels;
    if (found.other < 0 && (about->height != found.height || about->width != found.width)) {
      found.other = i;
      found.other_height = about->height, found.other_width = about->width;
    }
  }
  /* the message about the first bad one, once more on this thread */
  if (status == NN_OK && first < 0) {
    status = nn_files_path(f, found.first_bad, path, sizeof path) ? nn_image_info(path, job.about) : NN_EIO;
    if (status == NN_OK) status = nn_fail(NN_EIO, "%s: the file changes while it is read", path);
  }
  nn_memory_put(job.about);
  if (status == NN_OK) *sizes = found;
  return status;
}

/* ---- the index ---- */

typedef struct {
  char magic[8];
  uint32_t version, order;  /* written as 0x01020304: the index of another kind of machine is not ours */
  int64_t text, folders, files, classes;
  uint32_t check, zero;     /* CRC-32 of all that follows */
} index_header;

static const char index_magic[8] = "PENFILES";
enum { INDEX_ORDER = 0x01020304 };

/* The blocks of an index, in order: what comes first is aligned best. */
static int index_blocks(file_store *s, void **block[4], size_t size[4]) {
  block[0] = (void **)&s->folders, size[0] = (size_t)s->folder_count * sizeof *s->folders;
  block[1] = (void **)&s->files, size[1] = (size_t)s->file_count * sizeof *s->files;
  block[2] = (void **)&s->classes, size[2] = (size_t)s->class_count * sizeof *s->classes;
  block[3] = (void **)&s->text, size[3] = (size_t)s->text_used;
  return 4;
}

static uint32_t index_check(uint32_t check, const void *block, size_t size) {
  for (const uint8_t *at = block; size > 0;) {
    uInt now = size < 1u << 30 ? (uInt)size : 1u << 30;
    check = (uint32_t)crc32(check, at, now);
    at += now;
    size -= now;
  }
  return check;
}

bool nn_files_settled(const nn_files *f) { return f->store->settled && !f->rows; }

int nn_files_write(const nn_files *f, const char *path) {
  file_store *s = f->store;
  nni_output output;
  void **block[4];
  size_t size[4];
  if (!nn_files_settled(f))
    return nn_fail(NN_ESTATE, "%s: an index is written of whole folders that have not changed for %d seconds", path,
                   SETTLED_SECONDS);
  index_header h = { .version = INDEX_VERSION, .order = INDEX_ORDER, .text = s->text_used, .folders = s->folder_count,
                     .files = s->file_count, .classes = s->class_count };
  memcpy(h.magic, index_magic, sizeof h.magic);
  int blocks = index_blocks(s, block, size);
  for (int i = 0; i < blocks; i++) h.check = index_check(h.check, *block[i], size[i]);
  int status = nni_output_open(&output, path);
  if (status != NN_OK) return status;
  /* a failed write stays in the stream's error flag, where commit finds it */
  fwrite(&h, sizeof h, 1, output.stream);
  for (int i = 0; i < blocks; i++)
    if (size[i] > 0) fwrite(*block[i], 1, size[i], output.stream);
  return nni_output_commit(&output);
}

static int damaged(const char *path, const char *what) {
  return nn_fail(NN_EFORMAT, "%s: the index is damaged: %s", path, what);
}

/* Every place within its list, every string within the text. */
static int check_store(const char *path, const file_store *s) {
  int64_t text = s->text_used;
  if (s->text[text - 1] != '\0') return damaged(path, "its text has no end");
  for (int64_t i = 0; i < s->folder_count; i++)
    if (s->folders[i].path >= text) return damaged(path, "a folder's name is outside the text");
  for (int64_t i = 0; i < s->class_count; i++)
    if (s->classes[i] >= text) return damaged(path, "a class's name is outside the text");
  for (int64_t i = 0; i < s->file_count; i++) {
    const file_entry *e = &s->files[i];
    if (e->name >= text || e->folder >= s->folder_count) return damaged(path, "a file's name is outside the text");
    if (e->label < 0 || e->label >= s->class_count) return damaged(path, "a label is outside the classes");
  }
  return NN_OK;
}

/* Are the folders as they were? */
static int check_folders(const char *path, const file_store *s) {
  char *text = nn_memory_get(MAX_PATH);
  int status = text ? NN_OK : NN_EMEMORY;
  for (int64_t i = 0; i < s->folder_count && status == NN_OK; i++) {
    struct stat about;
    const folder_entry *folder = &s->folders[i];
    int size = snprintf(text, MAX_PATH, "%s/%s", s->text, s->text + folder->path);
    if (size >= MAX_PATH || stat(text, &about) != 0 || !S_ISDIR(about.st_mode) ||
        about.st_mtim.tv_sec != folder->seconds || (uint32_t)about.st_mtim.tv_nsec != folder->nanoseconds ||
        (uint64_t)about.st_ino != folder->node)
      status = nn_fail(NN_ESTATE, "%s: the index is out of date: %s has changed", path, text);
    if (status == NN_OK) status = nn_interrupt_check();
  }
  nn_memory_put(text);
  return status;
}

static int read_store(FILE *stream, const char *path, uint64_t bytes, file_store *s) {
  index_header h;
  void **block[4];
  size_t size[4];
  uint32_t check = 0;
  uint64_t expected = sizeof h;
  if (bytes < sizeof h || fread(&h, sizeof h, 1, stream) != 1) return damaged(path, "it is too short");
  if (memcmp(h.magic, index_magic, sizeof h.magic) != 0 || h.version != INDEX_VERSION || h.order != INDEX_ORDER)
    return damaged(path, "it is none, or of another version");
  if (h.text < 1 || h.text > UINT32_MAX || h.folders < 1 || h.folders > UINT32_MAX || h.files < 0 ||
      h.files > INT32_MAX || h.classes < 0 || h.classes > INT32_MAX)
    return damaged(path, "its counts cannot be");
  s->text_used = h.text, s->folder_count = h.folders, s->file_count = h.files, s->class_count = h.classes;
  int blocks = index_blocks(s, block, size);
  for (int i = 0; i < blocks; i++) expected += size[i];
  if (bytes != expected) return damaged(path, "it is not as long as it says");
  for (int i = 0; i < blocks; i++) {
    *block[i] = nn_memory_get(size[i] + 1);
    if (!*block[i]) return NN_EMEMORY;
    if (fread(*block[i], 1, size[i], stream) != size[i])
      return nn_fail(NN_EIO, "%s: %s", path, ferror(stream) ? strerror(errno) : "the file shrank meanwhile");
    check = index_check(check, *block[i], size[i]);
  }
  if (check != h.check) return damaged(path, "its checksum is another");
  s->text_room = (size_t)s->text_used, s->folder_room = (size_t)s->folder_count;
  s->file_room = (size_t)s->file_count, s->class_room = (size_t)s->class_count;
  s->settled = true;
  return check_store(path, s);
}

int nn_files_read(const char *path, const char *root, nn_files **out) {
  FILE *stream;
  uint64_t bytes;
  int status = nni_input_open(path, &stream, &bytes);
  if (status != NN_OK) return status;
  file_store *s = nn_memory_get_zeroed(sizeof *s);
  nn_files *f = NULL;
  if (s) atomic_init(&s->references, 1);
  status = s ? read_store(stream, path, bytes, s) : NN_EMEMORY;
  fclose(stream);
  size_t size = strlen(root);
  while (size > 1 && root[size - 1] == '/') size--;
  if (status == NN_OK && (strlen(s->text) != size || memcmp(s->text, root, size) != 0))
    status = nn_fail(NN_ESTATE, "%s: the index is of %s, not of %s", path, s->text, root);
  if (status == NN_OK) status = check_folders(path, s);
  if (status == NN_OK && !(f = list_of(s))) status = NN_EMEMORY;
  if (status == NN_OK) *out = f;
  else store_release(s);
  return status;
}
