/* archive.h -- packed files: reading .zip, .tar and .tar.gz entry by entry, writing .zip.
 *
 * An archive is hostile until read: entries come one after the other as the file has them, sizes in it are promises.
 * nni_archive_next refuses an entry once the declared sizes together exceed what a file of this length can hold, and
 * reading an entry to its end checks its length and, where the format has one, its checksum.
 */
#ifndef NN_ARCHIVE_H
#define NN_ARCHIVE_H

#include "formats/bytes.h"

typedef struct nni_archive nni_archive;

typedef enum { NNI_FILE, NNI_FOLDER, NNI_LINK, NNI_OTHER } nni_entry_kind;  /* a hard link is a link too */

typedef struct {
  const char *name;  /* UTF-8 or the bytes in the file; valid until the next entry */
  int64_t size;      /* bytes, as declared; 0 for what is no file */
  nni_entry_kind kind;
} nni_entry;

int nni_archive_open(const char *path, nni_archive **out);
/* "zip", "tar" or "tar.gz" */
const char *nni_archive_format(const nni_archive *a);
/* Goes to the next entry, also past one that was not read; *more is false at the end. */
int nni_archive_next(nni_archive *a, nni_entry *entry, bool *more);
/* The next `size` bytes of the current entry, exactly. */
int nni_archive_read(nni_archive *a, void *to, size_t size);
/* What is left of the current entry, at most `limit` bytes, in place of what was in *to. */
int nni_archive_read_whole(nni_archive *a, uint64_t limit, nni_bytes *to);
void nni_archive_close(nni_archive *a);  /* NULL is fine */

/* ---- writing (zip.c) ---- */

typedef struct nni_zip nni_zip;

/* The file appears under its name at commit; the same entries give the same bytes. */
int nni_zip_create(const char *path, nni_zip **out);
/* Starts an entry of exactly `size` bytes, which follow in any number of writes. Its name is unlike all others. */
int nni_zip_add(nni_zip *z, const char *name, uint64_t size);
int nni_zip_write(nni_zip *z, const void *bytes, size_t size);
/* A whole entry, deflated where that makes it shorter. */
int nni_zip_pack(nni_zip *z, const char *name, const void *bytes, size_t size);
/* Either one ends z. */
int nni_zip_commit(nni_zip *z);
void nni_zip_discard(nni_zip *z);

#endif
