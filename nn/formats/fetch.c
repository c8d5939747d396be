/* fetch.c -- downloads through libcurl, which is loaded by the first of them.
 *
 * A transfer that ends early leaves <target>.part and, in <target>.part.from, where it came from: the URL and the mark
 * (ETag, or the time of the last change) that tells this version of the file from another. The next call asks for the
 * rest on the condition that the mark is still right (RFC 9110, 13.1.5 and 14); a server that ignores the condition or
 * the range, or has another version, makes it start again. Only the answer's own words are trusted: a status of 206
 * with the range that was asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/file.h"
#include "formats/library.h"

#ifdef NN_HAVE_CURL

#define CURL_DISABLE_TYPECHECK  /* its macros would call the functions by their names */
#include <curl/curl.h>

#define FUNCTIONS(_) \
  _(curl_easy_cleanup) _(curl_easy_init) _(curl_easy_setopt) _(curl_easy_strerror) _(curl_global_init) \
  _(curl_multi_add_handle) _(curl_multi_cleanup) _(curl_multi_info_read) _(curl_multi_init) \
  _(curl_multi_perform) _(curl_multi_poll) _(curl_multi_remove_handle) _(curl_slist_append) \
  _(curl_slist_free_all)
NNI_LIBRARY(FUNCTIONS, NN_FILE_libcurl)

enum { MARK = 256, WORDS = 128, CONNECT_SECONDS = 30, STALL_SECONDS = 60, POLL_MS = 50 };
#define MOST_BYTES ((uint64_t)4 << 40)

typedef struct {
  const nn_fetch_request *request;
  char *part, *from;        /* the files that stay behind */
  int file;                 /* part, open and locked */
  uint64_t have;            /* bytes in it */
  char mark[MARK];          /* of the bytes in it; "" when there is none */
  nn_progress progress;
  void *context;
  uint64_t told;
  /* of the answer that comes in, after the last redirect */
  uint64_t asked;           /* bytes asked for from here on; 0: the whole file */
  bool begun;
  int code;
  char words[WORDS], etag[MARK], modified[MARK], location[MARK];
  bool ranged;
  uint64_t first, total;    /* from Content-Range; total from Content-Length otherwise, 0 when not known */
  int status;               /* why we stopped the transfer ourselves; or one of these: */
  bool again;               /* the part is of no use: ask for the whole file */
  bool whole;               /* nothing is missing from the part */
} fetch;

static int no_memory(const fetch *f) { return nn_fail(NN_EMEMORY, "%s: out of memory", f->request->target); }

/* ---- what stays between calls ---- */

static void forget_part(fetch *f) {
  f->have = f->told = 0;
  f->mark[0] = '\0';
  if (ftruncate(f->file, 0) == 0) lseek(f->file, 0, SEEK_SET);
  unlink(f->from);
}

/* Bytes of an earlier call can be used when the mark tells that they are of the same version, or the digest will. */
static void read_mark(fetch *f) {
  char url[2048], mark[MARK];
  FILE *stream = fopen(f->from, "re");
  bool same = false;
  if (stream && fgets(url, sizeof url, stream)) {
    url[strcspn(url, "\n")] = '\0';
    if (!fgets(mark, sizeof mark, stream)) mark[0] = '\0';
    mark[strcspn(mark, "\n")] = '\0';
    same = strcmp(url, f->request->url) == 0;
    if (same) snprintf(f->mark, sizeof f->mark, "%s", mark);
  }
  if (stream) fclose(stream);
  if (!f->mark[0] && !f->request->sha256) forget_part(f);
}

static void write_mark(fetch *f) {
  const char *mark = f->etag[0] ? f->etag : f->modified;
  snprintf(f->mark, sizeof f->mark, "%s", mark);
  FILE *stream = fopen(f->from, "we");
  if (!stream) return;
  fprintf(stream, "%s\n%s\n", f->request->url, mark);
  fclose(stream);
}

static int open_part(fetch *f) {
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  struct stat about, named;
  f->file = open(f->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (f->file < 0) return nn_fail(NN_EIO, "%s: cannot be written: %s", f->part, strerror(errno));
  if (fcntl(f->file, F_SETLK, &lock) != 0 && (errno == EACCES || errno == EAGAIN))
    return nn_fail(NN_EIO, "%s: another process is downloading it", f->part);
  if (fstat(f->file, &about) != 0 || !S_ISREG(about.st_mode))
    return nn_fail(NN_EIO, "%s: not a regular file", f->part);
  /* between the two calls another process may have finished this very file and given it its name */
  if (lstat(f->part, &named) != 0 || named.st_ino != about.st_ino || named.st_dev != about.st_dev)
    return nn_fail(NN_EIO, "%s: another process was downloading it a moment ago", f->request->target);
  f->have = (uint64_t)about.st_size;
  if (f->have > 0) read_mark(f);
  if (f->request->size && f->have > f->request->size) forget_part(f);
  return NN_OK;
}

/* ---- the answer ---- */

static bool field(const char *line, const char *name, char *to, size_t room) {
  size_t length = strlen(name);
  if (strncasecmp(line, name, length) != 0 || line[length] != ':') return false;
  line += length + 1;
  line += strspn(line, " \t");
  size_t size = strcspn(line, "\r\n");
  while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t')) size--;
  if (size < room) {  /* what is longer is as good as not there: never cut a mark */
    memcpy(to, line, size);
    to[size] = '\0';
  }
  return true;
}

static bool number(const char *text, uint64_t *out, const char **end) {
  char *stop;
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  unsigned long long value = strtoull(text, &stop, 10);
  if (errno || value > INT64_MAX) return false;
  *out = value;
  if (end) *end = stop;
  return true;
}

/* "bytes 100-199/200", "bytes * /200" */
static void read_range(fetch *f, const char *text) {
  uint64_t last;
  if (strncasecmp(text, "bytes ", 6) != 0) return;
  text += 6;
  if (*text == '*') {
    text++;
  } else {
    if (!number(text, &f->first, &text) || *text != '-' || !number(text + 1, &last, &text) || last < f->first) return;
    f->ranged = true;
  }
  if (*text == '/') number(text + 1, &f->total, NULL);
}

static size_t take_header(char *bytes, size_t one, size_t count, void *context) {
  fetch *f = context;
  char line[1024], value[MARK];
  size_t size = one * count, kept = size < sizeof line - 1 ? size : sizeof line - 1;
  memcpy(line, bytes, kept);
  line[kept] = '\0';
  value[0] = '\0';
  if (strncmp(line, "HTTP/", 5) == 0) {  /* of the next answer: a redirect, or the last */
    const char *code = strchr(line, ' ');
    f->code = code ? atoi(code) : 0;
    f->words[0] = f->etag[0] = f->modified[0] = '\0';
    f->ranged = false;
    f->first = f->total = 0;
    if (code && strlen(code) > 5) {
      snprintf(f->words, sizeof f->words, "%s", code + 5);
      f->words[strcspn(f->words, "\r\n")] = '\0';
    }
  } else if (field(line, "etag", f->etag, sizeof f->etag)) {
    if (f->etag[0] != '"') f->etag[0] = '\0';  /* a weak mark does not promise the same bytes */
  } else if (field(line, "last-modified", f->modified, sizeof f->modified)) {
  } else if (field(line, "location", f->location, sizeof f->location)) {
  } else if (field(line, "content-range", value, sizeof value)) {
    read_range(f, value);
  } else if (field(line, "content-length", value, sizeof value)) {
    if (f->total == 0 && f->code != 206 && f->code != 416) number(value, &f->total, NULL);
  }
  return size;
}

/* The first bytes of the last answer are there: is it the one that was asked for? */
static int begin(fetch *f) {
  char expected[32], found[32];
  const char *mark = f->etag[0] ? f->etag : f->modified;
  f->begun = true;
  bool same = !f->mark[0] || !mark[0] || strcmp(f->mark, mark) == 0;
  if (f->asked > 0 && f->code == 206) {
    f->again = !same || !f->ranged || f->first != f->asked || (f->total > 0 && f->total <= f->asked);
    if (f->again) return NN_EIO;
  } else if (f->asked > 0 && f->code == 416) {
    /* nothing lies beyond what is there: either it is whole, or it is no part of this file */
    f->whole = same && f->total == f->asked;
    f->again = !f->whole;
    return NN_EIO;
  } else if (f->code == 200) {
    forget_part(f);
    f->asked = 0;
  } else {
    return nn_fail(NN_EIO, "%s: the server answered %d%s%s%s", f->request->url, f->code, f->words[0] ? " (" : "",
                   f->words, f->words[0] ? ")" : "");
  }
  if (f->request->size && f->total && f->total != f->request->size)
    return nn_fail(NN_EFORMAT, "%s: %s bytes expected, the server's file has %s", f->request->url,
                   nni_grouped(expected, f->request->size), nni_grouped(found, f->total));
  if (f->total == 0 && f->request->size) f->total = f->request->size;
  if (f->total > f->have) {
    int status = nni_check_space(f->request->target, f->total - f->have);
    if (status != NN_OK) return status;
  }
  if (f->total > MOST_BYTES)
    return nn_fail(NN_EIO, "%s: the server's file has %s bytes, at most %s are taken", f->request->url,
                   nni_grouped(found, f->total), nni_grouped(expected, MOST_BYTES));
  write_mark(f);
  return NN_OK;
}

static size_t take_bytes(char *bytes, size_t one, size_t count, void *context) {
  fetch *f = context;
  size_t size = one * count;
  char at[32], expected[32];
  if (!f->begun && (f->status = begin(f)) != NN_OK) return 0;
  uint64_t bound = f->request->size ? f->request->size : MOST_BYTES;
  if (size > bound - f->have) {
    f->status = nn_fail(NN_EFORMAT, "%s: %s bytes expected, the server sends more", f->request->url,
                        nni_grouped(expected, bound));
    forget_part(f);
    return 0;
  }
  for (size_t done = 0; done < size;) {
    ssize_t put = pwrite(f->file, bytes + done, size - done, (off_t)f->have);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      int reason = put < 0 ? errno : ENOSPC;
      uint64_t left = f->total > f->have ? f->total - f->have : size - done;
      f->status = reason == ENOSPC || reason == EDQUOT ? nni_check_space(f->request->target, left) : NN_OK;
      if (f->status == NN_OK)
        f->status = nn_fail(NN_EIO, "%s: cannot be written after %s bytes: %s", f->part, nni_grouped(at, f->have),
                            strerror(reason));
      return 0;
    }
    done += (size_t)put;
    f->have += (uint64_t)put;
  }
  return size;
}

/* ---- one transfer ---- */

static bool is_web(const char *url) {
  return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static void allow(CURL *curl, CURLoption option, CURLoption old, bool plain) {
#if LIBCURL_VERSION_NUM >= 0x075500
  (void)old;
  lib.curl_easy_setopt(curl, option, plain ? "http,https" : "https");
#else
  (void)option;
  lib.curl_easy_setopt(curl, old, (long)(plain ? CURLPROTO_HTTP | CURLPROTO_HTTPS : CURLPROTO_HTTPS));
#endif
}

#if LIBCURL_VERSION_NUM >= 0x075500
#define PROTOCOLS CURLOPT_PROTOCOLS_STR, CURLOPT_PROTOCOLS_STR
#define REDIRECTS CURLOPT_REDIR_PROTOCOLS_STR, CURLOPT_REDIR_PROTOCOLS_STR
#else
#define PROTOCOLS CURLOPT_PROTOCOLS, CURLOPT_PROTOCOLS
#define REDIRECTS CURLOPT_REDIR_PROTOCOLS, CURLOPT_REDIR_PROTOCOLS
#endif

static int explain(fetch *f, CURLcode code, const char *detail) {
  const char *url = f->request->url;
  char at[32], whole[32];
  switch (code) {
    case CURLE_OK: return NN_OK;
    case CURLE_UNSUPPORTED_PROTOCOL:
      return nn_fail(NN_EIO, "%s: redirects to %s, which is refused", url, f->location[0] ? f->location : "elsewhere");
    case CURLE_TOO_MANY_REDIRECTS: return nn_fail(NN_EIO, "%s: redirects without end", url);
    case CURLE_COULDNT_RESOLVE_HOST: return nn_fail(NN_EIO, "%s: there is no such host, or no network", url);
    case CURLE_COULDNT_CONNECT: return nn_fail(NN_EIO, "%s: no connection (%s)", url, detail);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_OPERATION_TIMEDOUT:
      if (!f->begun) return nn_fail(NN_EIO, "%s: no answer (%s)", url, detail);
      return nn_fail(NN_EIO, "%s: the connection ended after %s%s%s bytes; the next try goes on from there", url,
                     nni_grouped(at, f->have), f->total ? " of " : "", f->total ? nni_grouped(whole, f->total) : "");
    default: return nn_fail(NN_EIO, "%s: %s", url, detail);
  }
}

static int tell(fetch *f) {
  if (!f->progress || f->have == f->told) return NN_OK;
  f->told = f->have;
  return f->progress(f->context, f->have, f->total);
}

/* Drives the transfer and looks for interrupts meanwhile, also while nothing comes. */
static int drive(fetch *f, CURLM *multi, CURLcode *code) {
  for (;;) {
    int running, left;
    if (lib.curl_multi_perform(multi, &running) != CURLM_OK) return no_memory(f);
    if (f->status != NN_OK) return f->status;
    int status = nn_interrupt_check();
    if (status == NN_OK) status = tell(f);
    if (status != NN_OK) return status;
    if (running == 0) {
      CURLMsg *message = lib.curl_multi_info_read(multi, &left);
      *code = message ? message->data.result : CURLE_OK;
      return NN_OK;
    }
    if (lib.curl_multi_poll(multi, NULL, 0, POLL_MS, NULL) != CURLM_OK) return no_memory(f);
  }
}

static int transfer_with(fetch *f, CURLM *multi, CURL *curl, struct curl_slist **headers) {
  char range[40], condition[MARK + 16], detail[CURL_ERROR_SIZE] = "";
  const char *url = f->request->url;
  lib.curl_easy_setopt(curl, CURLOPT_URL, url);
  allow(curl, PROTOCOLS, true);
  /* what came safely does not go on in the open, unless the digest makes up for it */
  allow(curl, REDIRECTS, f->request->sha256 || strncasecmp(url, "https", 5) != 0);
  lib.curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  lib.curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
  lib.curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
  lib.curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  lib.curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
  lib.curl_easy_setopt(curl, CURLOPT_USERAGENT, "penumbra/" NN_VERSION);
  lib.curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
  lib.curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  lib.curl_easy_setopt(curl, CURLOPT_HEADERDATA, f);
  lib.curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
  lib.curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
#if LIBCURL_VERSION_NUM >= 0x075700
  lib.curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);  /* an interrupt does not wait for the name server */
#endif
  if (f->asked > 0) {
    snprintf(range, sizeof range, "%" PRIu64 "-", f->asked);
    lib.curl_easy_setopt(curl, CURLOPT_RANGE, range);
    if (f->mark[0]) {
      snprintf(condition, sizeof condition, "If-Range: %s", f->mark);
      *headers = lib.curl_slist_append(NULL, condition);
      if (!*headers) return no_memory(f);
      lib.curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    }
  }
  if (lib.curl_multi_add_handle(multi, curl) != CURLM_OK) return no_memory(f);
  CURLcode code = CURLE_OK;
  int status = drive(f, multi, &code);
  lib.curl_multi_remove_handle(multi, curl);
  if (status == NN_OK && code == CURLE_OK && !f->begun) status = begin(f);  /* an answer without a body */
  if (f->whole) return NN_OK;
  if (status != NN_OK) return status;
  return explain(f, code, detail[0] ? detail : lib.curl_easy_strerror(code));
}

static int transfer(fetch *f) {
  struct curl_slist *headers = NULL;
  CURLM *multi = lib.curl_multi_init();
  CURL *curl = lib.curl_easy_init();
  f->begun = f->again = f->whole = false;
  f->status = NN_OK;
  f->asked = f->have;
  f->location[0] = '\0';
  int status = multi && curl ? transfer_with(f, multi, curl, &headers) : no_memory(f);
  if (curl) lib.curl_easy_cleanup(curl);
  if (multi) lib.curl_multi_cleanup(multi);
  lib.curl_slist_free_all(headers);
  return status;
}

/* ---- the file ---- */

/* Of what is on the disk, by the descriptor that holds the lock: closing another one would give it up. */
static int digest(fetch *f, char text[65]) {
  uint8_t block[1 << 16];
  nn_sha256 sum;
  nn_sha256_start(&sum);
  for (uint64_t done = 0; done < f->have;) {
    ssize_t got = pread(f->file, block, sizeof block, (off_t)done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return nn_fail(NN_EIO, "%s: %s", f->part, got < 0 ? strerror(errno) : "the file shrank meanwhile");
    nn_sha256_add(&sum, block, (size_t)got);
    done += (uint64_t)got;
    int status = nn_interrupt_check();
    if (status != NN_OK) return status;
  }
  nn_sha256_end(&sum, text);
  return NN_OK;
}

static int finish(fetch *f, nn_fetch_result *out) {
  const nn_fetch_request *r = f->request;
  char expected[32], found[32];
  nn_fetch_result result = { .bytes = f->have };
  if (r->size && f->have != r->size) {
    int status = nn_fail(NN_EFORMAT, "%s: %s bytes expected, the server sent %s", r->url,
                         nni_grouped(expected, r->size), nni_grouped(found, f->have));
    forget_part(f);
    unlink(f->part);
    return status;
  }
  int status = digest(f, result.sha256);
  if (status != NN_OK) return status;
  if (r->sha256 && strcasecmp(r->sha256, result.sha256) != 0) {
    unlink(f->part);
    unlink(f->from);
    return nn_fail(NN_EFORMAT, "%s: not the expected file, removed: SHA-256 %s expected, found %s", r->url, r->sha256,
                   result.sha256);
  }
  if (fsync(f->file) != 0 || rename(f->part, r->target) != 0)
    return nn_fail(NN_EIO, "%s: cannot be written: %s", r->target, strerror(errno));
  unlink(f->from);
  result.resumed = f->asked;
  *out = result;
  return NN_OK;
}

static void start_curl(void) { lib.curl_global_init(CURL_GLOBAL_DEFAULT); }

int nn_fetch(const nn_fetch_request *request, nn_progress progress, void *context, nn_fetch_result *out) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  fetch f = { .request = request, .file = -1, .progress = progress, .context = context };
  if (!is_web(request->url)) return nn_fail(NN_EARGUMENT, "%s: an http or https URL expected", request->url);
  if (strlen(request->url) > 2000 || strpbrk(request->url, "\r\n "))
    return nn_fail(NN_EARGUMENT, "%s: not a URL", request->url);
  const char *problem = load_library();
  if (problem) return nn_fail(NN_EIO, "%s: cannot be downloaded: %s", request->url, problem);
  pthread_once(&once, start_curl);
  size_t room = strlen(request->target) + 16;
  f.part = malloc(room);
  f.from = malloc(room);
  int status = f.part && f.from ? NN_OK : no_memory(&f);
  if (status != NN_OK) goto out;
  snprintf(f.part, room, "%s.part", request->target);
  snprintf(f.from, room, "%s.part.from", request->target);
  status = open_part(&f);
  if (status != NN_OK) goto out;
  if (!(request->size && f.have == request->size)) {
    status = transfer(&f);
    if (status != NN_OK && f.again) {
      forget_part(&f);
      status = transfer(&f);
    }
  } else {
    f.asked = f.have;
  }
  if (status == NN_OK) status = finish(&f, out);
  /* an empty part says nothing to the next call */
  if (status != NN_OK && f.have == 0) {
    unlink(f.part);
    unlink(f.from);
  }
out:
  if (f.file >= 0) close(f.file);
  free(f.part);
  free(f.from);
  return status;
}

#else

int nn_fetch(const nn_fetch_request *request, nn_progress progress, void *context, nn_fetch_result *out) {
  (void)progress, (void)context, (void)out;
  return nn_fail(NN_EIO, "%s: cannot be downloaded: this program was built without libcurl", request->url);
}

#endif
