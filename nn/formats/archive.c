/* archive.c -- reading .zip, .tar and .tar.gz through libarchive, which is loaded by the first of them.
 *
 * Only these formats are enabled. The bytes are fed from here: gzip goes through zlib, because libarchive does not look
 * at its checksums, and what a tar file has at its end is checked, because libarchive takes a file cut between two
 * entries for a whole one. A zip file is read by its list of contents, never by scanning.
 */
#include "formats/archive.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "formats/file.h"
#include "formats/library.h"

#ifdef NN_HAVE_ARCHIVE

#include <archive.h>
#include <archive_entry.h>

#define FUNCTIONS(_) \
  _(archive_entry_filetype) _(archive_entry_hardlink) _(archive_entry_is_encrypted) _(archive_entry_pathname) \
  _(archive_entry_size) _(archive_entry_sparse_count) _(archive_errno) _(archive_error_string) \
  _(archive_read_data) _(archive_read_free) _(archive_read_header_position) _(archive_read_new) \
  _(archive_read_next_header) _(archive_read_open1) _(archive_read_set_callback_data) \
  _(archive_read_set_read_callback) _(archive_read_set_seek_callback) _(archive_read_set_skip_callback) \
  _(archive_read_support_format_tar) _(archive_read_support_format_zip_seekable) _(archive_set_error)
NNI_LIBRARY(FUNCTIONS, NN_FILE_libarchive)

/* Deflate makes at most 1032 bytes of one. After its end mark a tar file may be padded to whole records; more than this
 * is something else. */
enum { BLOCK = 1 << 17, STEP = 1 << 24, MOST_DEFLATED = 1032, TAR_BLOCK = 512, PADDING = 1 << 24 };

typedef enum { ZIP, TAR, TAR_GZIP } archive_format_kind;

struct nni_archive {
  struct archive *reader;
  locale_t utf8;          /* libarchive turns names into the thread's charset: this one, or whatever it is */
  char *path, *name;      /* of the archive; of the current entry */
  archive_format_kind format;
  int file;
  gzFile packed;          /* owns the file when there is one */
  uint64_t bytes;         /* length of the file */
  uint64_t offset;        /* in the file, or in the unpacked tar */
  uint64_t last;          /* where the last byte that is not zero ended */
  uint64_t declared;      /* sizes of all entries so far */
  uint64_t size, done;    /* of the current entry */
  uint8_t block[BLOCK];
};

/* ---- bytes for libarchive ---- */

static la_ssize_t feed(struct archive *reader, void *context, const void **buffer) {
  nni_archive *a = context;
  ssize_t got;
  if (nn_interrupted()) {
    lib.archive_set_error(reader, EINTR, "interrupted");
    return -1;
  }
  if (a->packed) {
    got = gzread(a->packed, a->block, BLOCK);
    int code = Z_OK;
    const char *reason = gzerror(a->packed, &code);
    if (code != Z_OK && code != Z_STREAM_END) {
      const char *plain = strstr(reason, ">: ");  /* zlib's name of a file it was given open, "<fd:3>: " */
      lib.archive_set_error(reader, EIO, "the compressed data is damaged: %s", code == Z_ERRNO ? strerror(errno)
                            : code == Z_BUF_ERROR ? "it is cut short" : plain ? plain + 3 : reason);
      return -1;
    }
  } else {
    do got = read(a->file, a->block, BLOCK);
    while (got < 0 && errno == EINTR);
    if (got < 0) lib.archive_set_error(reader, errno, "%s", strerror(errno));
  }
  if (got < 0) return -1;
  for (ssize_t i = got; i > 0; i--)
    if (a->block[i - 1]) {
      a->last = a->offset + (uint64_t)i;
      break;
    }
  a->offset += (uint64_t)got;
  *buffer = a->block;
  return got;
}

/* A plain file can be passed over; what is passed over counts as not zero. */
static la_int64_t pass(struct archive *reader, void *context, la_int64_t request) {
  nni_archive *a = context;
  uint64_t left = a->bytes > a->offset ? a->bytes - a->offset : 0;
  uint64_t step = request < 0 ? 0 : (uint64_t)request < left ? (uint64_t)request : left;
  (void)reader;
  if (a->packed || step == 0 || lseek(a->file, (off_t)step, SEEK_CUR) < 0) return 0;
  a->offset += step;
  a->last = a->offset;
  return (la_int64_t)step;
}

static la_int64_t seek(struct archive *reader, void *context, la_int64_t offset, int whence) {
  nni_archive *a = context;
  off_t at = lseek(a->file, (off_t)offset, whence);
  if (at < 0) {
    lib.archive_set_error(reader, errno, "%s", strerror(errno));
    return ARCHIVE_FATAL;
  }
  a->offset = (uint64_t)at;
  return at;
}

/* ---- messages ---- */

static int failed(nni_archive *a) {
  if (nn_interrupted()) return nn_interrupt_check();
  const char *reason = lib.archive_error_string(a->reader);
  char name[100], at[32], size[32];
  if (lib.archive_errno(a->reader) == ENOMEM) return nn_fail(NN_EMEMORY, "%s: out of memory", a->path);
  if (!reason) reason = "damaged";
  if (!a->name) return nn_fail(NN_EFORMAT, "%s: %s", a->path, reason);
  return nn_fail(NN_EFORMAT, "%s: %s: at byte %s of %s: %s", a->path, nni_name_end(name, a->name),
                 nni_grouped(at, a->done), nni_grouped(size, a->size), reason);
}

static int too_large(nni_archive *a, const nni_entry *entry) {
  char name[100], size[32];
  return nn_fail(NN_EFORMAT, "%s: %s: declares %s bytes, more than an archive of this length can hold", a->path,
                 nni_name_end(name, entry->name), nni_grouped(size, (uint64_t)entry->size));
}

/* ---- opening ---- */

/* What the file is by its first bytes; libarchive then checks that a tar file is one. */
static int recognise(nni_archive *a) {
  uint8_t start[4];
  ssize_t got = pread(a->file, start, sizeof start, 0);
  if (got < 0) return nn_fail(NN_EIO, "%s: %s", a->path, strerror(errno));
  if (got == 0) return nn_fail(NN_EFORMAT, "%s: an archive expected, the file is empty", a->path);
  a->format = got >= 2 && start[0] == 0x1f && start[1] == 0x8b ? TAR_GZIP
              : got == 4 && memcmp(start, "PK", 2) == 0 && start[2] <= 8 ? ZIP : TAR;
  return NN_OK;
}

static int start_reading(nni_archive *a) {
  if (a->format == TAR_GZIP) {
    a->packed = gzdopen(a->file, "rb");
    if (!a->packed || gzbuffer(a->packed, BLOCK) != 0) return nn_fail(NN_EMEMORY, "%s: out of memory", a->path);
  }
  a->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  a->reader = lib.archive_read_new();
  if (!a->reader) return nn_fail(NN_EMEMORY, "%s: out of memory", a->path);
  if (a->format == ZIP) {
    lib.archive_read_support_format_zip_seekable(a->reader);
    lib.archive_read_set_seek_callback(a->reader, seek);
  } else {
    lib.archive_read_support_format_tar(a->reader);
  }
  lib.archive_read_set_read_callback(a->reader, feed);
  lib.archive_read_set_skip_callback(a->reader, pass);
  lib.archive_read_set_callback_data(a->reader, a);
  if (lib.archive_read_open1(a->reader) >= ARCHIVE_WARN) return NN_OK;
  if (nn_interrupted()) return nn_interrupt_check();
  if (a->format == ZIP)
    return nn_fail(NN_EFORMAT, "%s: a zip file without the list of contents at its end; it was cut short", a->path);
  if (a->format == TAR_GZIP) return failed(a);
  return nn_fail(NN_EFORMAT, "%s: not a .zip, .tar or .tar.gz archive", a->path);
}

int nni_archive_open(const char *path, nni_archive **out) {
  int file;
  uint64_t bytes;
  const char *problem = load_library();
  if (problem) return nn_fail(NN_EIO, "%s: archives cannot be read: %s", path, problem);
  int status = nni_descriptor_open(path, &file, &bytes);
  if (status != NN_OK) return status;
  nni_archive *a = calloc(1, sizeof *a);
  if (a) {
    a->file = file;
    a->bytes = bytes;
    a->path = strdup(path);
  } else {
    close(file);
  }
  status = a && a->path ? recognise(a) : nn_fail(NN_EMEMORY, "%s: out of memory", path);
  if (status == NN_OK) status = start_reading(a);
  if (status == NN_OK) *out = a;
  else nni_archive_close(a);
  return status;
}

void nni_archive_close(nni_archive *a) {
  if (!a) return;
  if (a->reader) lib.archive_read_free(a->reader);
  if (a->packed) gzclose(a->packed);
  else close(a->file);
  if (a->utf8) freelocale(a->utf8);
  free(a->path);
  free(a->name);
  free(a);
}

const char *nni_archive_format(const nni_archive *a) {
  static const char *const names[] = { "zip", "tar", "tar.gz" };
  return names[a->format];
}

/* ---- entries ---- */

/* The end of a tar file: its end mark was there, nothing but padding follows, and the checksum of gzip is right. */
static int check_end(nni_archive *a) {
  if (a->format == ZIP) return NN_OK;
  uint64_t start = a->offset;
  const void *unused;
  la_ssize_t got;
  do got = feed(a->reader, a, &unused);
  while (got > 0 && a->offset - start <= PADDING);
  if (got < 0) return failed(a);
  if (got > 0) return nn_fail(NN_EFORMAT, "%s: the archive goes on after its end mark", a->path);
  if (a->offset - a->last < TAR_BLOCK)
    return nn_fail(NN_EFORMAT, "%s: the archive has no end mark; it was cut short", a->path);
  return NN_OK;
}

static nni_entry_kind kind_of(struct archive_entry *header) {
  if (lib.archive_entry_hardlink(header)) return NNI_LINK;
  switch (lib.archive_entry_filetype(header)) {
    case AE_IFREG: return NNI_FILE;
    case AE_IFDIR: return NNI_FOLDER;
    case AE_IFLNK: return NNI_LINK;
    default: return NNI_OTHER;
  }
}

static int next_entry(nni_archive *a, nni_entry *entry, bool *more) {
  struct archive_entry *header;
  int code = lib.archive_read_next_header(a->reader, &header);
  if (code == ARCHIVE_EOF) {
    int status = check_end(a);
    if (status == NN_OK) *more = false;
    return status;
  }
  if (code < ARCHIVE_WARN) {
    /* what is wrong lies after the entry that came before */
    if (nn_interrupted()) return nn_interrupt_check();
    const char *reason = lib.archive_error_string(a->reader);
    char at[32], name[100];
    return nn_fail(NN_EFORMAT, "%s: %s%s%s before offset %s", a->path, reason ? reason : "damaged",
                   a->name ? " after " : "", a->name ? nni_name_end(name, a->name) : "",
                   nni_grouped(at, a->offset));
  }
  const char *name = lib.archive_entry_pathname(header);
  char at[32];
  if (!name || !*name)
    return nn_fail(NN_EFORMAT, "%s: the entry at offset %s has no name", a->path,
                   nni_grouped(at, (uint64_t)lib.archive_read_header_position(a->reader)));
  char *copy = strdup(name);
  if (!copy) return nn_fail(NN_EMEMORY, "%s: out of memory", a->path);
  free(a->name);
  a->name = copy;
  nni_entry found = { .name = copy, .kind = kind_of(header) };
  if (found.kind == NNI_FILE) found.size = lib.archive_entry_size(header);
  a->size = (uint64_t)found.size;
  a->done = 0;
  char shown[100];
  if (lib.archive_entry_is_encrypted(header))
    return nn_fail(NN_EFORMAT, "%s: %s: is encrypted", a->path, nni_name_end(shown, copy));
  if (lib.archive_entry_sparse_count(header) > 0)
    return nn_fail(NN_EFORMAT, "%s: %s: has holes (a sparse file), which is not read", a->path,
                   nni_name_end(shown, copy));
  uint64_t most;
  if (__builtin_mul_overflow(a->bytes, (uint64_t)(a->format == TAR ? 1 : MOST_DEFLATED), &most)) most = UINT64_MAX;
  if (found.size < 0 || (uint64_t)found.size > most || (a->declared += (uint64_t)found.size) > most)
    return too_large(a, &found);
  *entry = found;
  *more = true;
  return NN_OK;
}

int nni_archive_next(nni_archive *a, nni_entry *entry, bool *more) {
  locale_t before = a->utf8 ? uselocale(a->utf8) : (locale_t)0;
  int status = next_entry(a, entry, more);
  if (a->utf8) uselocale(before);
  return status;
}

/* After the last byte: the entry must be over, which is also when its checksum is looked at. */
static int check_entry_end(nni_archive *a) {
  uint8_t beyond;
  la_ssize_t got = lib.archive_read_data(a->reader, &beyond, 1);
  char name[100], size[32];
  if (got < 0) return failed(a);
  if (got > 0)
    return nn_fail(NN_EFORMAT, "%s: %s: is longer than the %s bytes it declares", a->path,
                   nni_name_end(name, a->name), nni_grouped(size, a->size));
  return NN_OK;
}

static int read_some(nni_archive *a, uint8_t *to, size_t size) {
  char name[100], at[32], whole[32];
  for (size_t done = 0; done < size;) {
    la_ssize_t got = lib.archive_read_data(a->reader, to + done, size - done);
    if (got < 0) return failed(a);
    if (got == 0)
      return nn_fail(NN_EFORMAT, "%s: %s: ends at byte %s of %s", a->path, nni_name_end(name, a->name),
                     nni_grouped(at, a->done), nni_grouped(whole, a->size));
    done += (size_t)got;
    a->done += (uint64_t)got;
  }
  return NN_OK;
}

int nni_archive_read(nni_archive *a, void *to, size_t size) {
  char name[100], more[32], at[32], whole[32];
  if (size > a->size - a->done)
    return nn_fail(NN_EFORMAT, "%s: %s: %s bytes expected at byte %s, the entry has %s", a->path,
                   nni_name_end(name, a->name ? a->name : "no entry"), nni_grouped(more, size),
                   nni_grouped(at, a->done), nni_grouped(whole, a->size));
  int status = read_some(a, to, size);
  return status == NN_OK && a->done == a->size ? check_entry_end(a) : status;
}

int nni_archive_read_whole(nni_archive *a, uint64_t limit, nni_bytes *to) {
  uint64_t left = a->size - a->done;
  char name[100], found[32], most[32];
  if (left > limit || left > SIZE_MAX / 2)
    return nn_fail(NN_EFORMAT, "%s: %s: %s bytes, at most %s expected", a->path,
                   nni_name_end(name, a->name ? a->name : "no entry"), nni_grouped(found, left),
                   nni_grouped(most, limit));
  /* one that declares more than the whole file holds is packed, or lies: its room grows as they come */
  uint64_t step = left <= a->bytes || left < STEP ? left : STEP;
  int status = NN_OK;
  to->size = 0;
  do {
    size_t now = (size_t)(left - to->size < step ? left - to->size : step);
    /* a byte more, so that an empty one has a place, too */
    if (!nni_grow(&to->data, &to->room, to->size, now + 1, 1)) return nn_fail(NN_EMEMORY, "%s: out of memory", a->path);
    status = nni_archive_read(a, to->data + to->size, now);
    if (status == NN_OK) status = nn_interrupt_check();
    if (status == NN_OK) to->size += now;
    step = to->size;
  } while (status == NN_OK && to->size < left);
  return status;
}

#else

int nni_archive_open(const char *path, nni_archive **out) {
  (void)out;
  return nn_fail(NN_EIO, "%s: archives cannot be read: this program was built without libarchive", path);
}

const char *nni_archive_format(const nni_archive *a) {
  (void)a;
  return "";
}

int nni_archive_next(nni_archive *a, nni_entry *entry, bool *more) {
  (void)a, (void)entry, (void)more;
  return NN_EIO;
}

int nni_archive_read(nni_archive *a, void *to, size_t size) {
  (void)a, (void)to, (void)size;
  return NN_EIO;
}

int nni_archive_read_whole(nni_archive *a, uint64_t limit, nni_bytes *to) {
  (void)a, (void)limit, (void)to;
  return NN_EIO;
}

void nni_archive_close(nni_archive *a) { (void)a; }

#endif
