/* server.c -- an HTTP server for the tests of downloads, on this machine only.
 *
 *   server FOLDER REQUESTS
 *
 * Serves the files of FOLDER on a free port of 127.0.0.1, which it prints, until its standard input ends. Understands
 * Range and If-Range, and answers with a strong ETag made from the file. A first part of the path chooses what goes
 * wrong; the rest names the file:
 *
 *   /cut/N/f      sends N bytes of the body (after those skipped by a range) and drops the connection
 *   /whole/f      ignores Range
 *   /short/f      declares one byte less than it sends;  /long/f  one more
 *   /slow/f       sends a little at a time, one piece in 50 ms
 *   /silent/f     never answers
 *   /wrong/f      answers a range with another one
 *   /stubborn/f   answers a range although If-Range names another version
 *   /plain/f      neither ETag nor Last-Modified
 *   /status/N/f   answers N
 *   /to/URL       redirects to URL (/to/file:///etc/passwd);  /round/f  redirects to itself
 *   /huge/f       declares 2^60 bytes
 *   /endless/f    declares nothing and never ends
 *
 * One line for each answer goes to the file REQUESTS: the path, the range asked for ("-" for none), the status, and the
 * bytes of body that were sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 8192, PIECE = 4096 };

static const char *folder;
static FILE *requests;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void nap(long milliseconds) {
  nanosleep(&(struct timespec){ milliseconds / 1000, milliseconds % 1000 * 1000000 }, NULL);
}

/* "GET /path HTTP/1.1" and the headers that matter. */
typedef struct {
  char path[2048], range[64], condition[128];
} request;

static bool header(const char *line, const char *name, char *to, size_t room) {
  size_t length = strlen(name);
  if (strncasecmp(line, name, length) != 0 || line[length] != ':') return false;
  line += length + 1 + strspn(line + length + 1, " ");
  snprintf(to, room, "%.*s", (int)strcspn(line, "\r\n"), line);
  return true;
}

static bool read_request(int peer, request *r) {
  char text[REQUEST];
  size_t have = 0;
  memset(r, 0, sizeof *r);
  while (have < sizeof text - 1) {
    ssize_t got = read(peer, text + have, sizeof text - 1 - have);
    if (got <= 0) return false;
    have += (size_t)got;
    text[have] = '\0';
    if (strstr(text, "\r\n\r\n")) break;
  }
  if (sscanf(text, "GET %2047s", r->path) != 1) return false;
  for (char *line = strstr(text, "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n"))
    if (!header(line + 2, "Range", r->range, sizeof r->range))
      header(line + 2, "If-Range", r->condition, sizeof r->condition);
  return true;
}

/* What comes before the file's name in the path; the number after it, if it has one. */
static bool fault(const char **path, const char *name, long *number) {
  size_t length = strlen(name);
  if (strncmp(*path, name, length) != 0 || (*path)[length] != '/') return false;
  const char *rest = *path + length + 1;
  if (number) {
    char *end;
    *number = strtol(rest, &end, 10);
    rest = *end ? end + 1 : end;
  }
  *path = rest;
  return true;
}

static char *read_file(const char *name, size_t *size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *stream = strstr(name, "..") ? NULL : fopen(path, "rb");
  if (!stream) return NULL;
  fseek(stream, 0, SEEK_END);
  *size = (size_t)ftell(stream);
  rewind(stream);
  char *bytes = malloc(*size + 1);
  if (bytes && fread(bytes, 1, *size, stream) != *size) *size = 0;
  fclose(stream);
  return bytes;
}

static uint64_t version_of(const char *bytes, size_t size) {
  uint64_t sum = UINT64_C(14695981039346656037);
  for (size_t i = 0; i < size; i++) sum = (sum ^ (uint8_t)bytes[i]) * UINT64_C(1099511628211);
  return sum;
}

static bool send_all(int peer, const char *bytes, size_t size, long pause, size_t *sent) {
  while (size > 0) {
    size_t step = pause && size > PIECE ? PIECE : size;
    ssize_t put = send(peer, bytes, step, MSG_NOSIGNAL);
    if (put <= 0) return false;
    bytes += put;
    size -= (size_t)put;
    if (sent) *sent += (size_t)put;
    if (pause) nap(pause);
  }
  return true;
}

static void note(const request *r, int status, size_t sent) {
  pthread_mutex_lock(&lock);
  fprintf(requests, "%s %s %d %zu\n", r->path, r->range[0] ? r->range : "-", status, sent);
  fflush(requests);
  pthread_mutex_unlock(&lock);
}

/* Ends a connection so that the other side sees an error, not an end. */
static void drop(int peer) {
  struct linger now = { .l_onoff = 1 };
  setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void answer_status(int peer, const request *r, int status, const char *words, const char *more) {
  char head[4096];
  int size = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\n%sContent-Length: 6\r\nConnection: close\r\n\r\noops!\n",
                      status, words, more);
  send_all(peer, head, (size_t)size, 0, NULL);
  note(r, status, 0);
}

static void answer(int peer, const request *r) {
  const char *path = r->path + 1;
  char more[2200], head[1024];
  long cut = -1, status = 0;
  if (fault(&path, "to", NULL)) {
    snprintf(more, sizeof more, "Location: %s\r\n", path);
    answer_status(peer, r, 302, "Found", more);
    return;
  }
  if (fault(&path, "round", NULL)) {
    snprintf(more, sizeof more, "Location: %s\r\n", r->path);
    answer_status(peer, r, 302, "Found", more);
    return;
  }
  if (fault(&path, "status", &status)) {
    answer_status(peer, r, (int)status, status == 503 ? "Service Unavailable" : "Internal Server Error", "");
    return;
  }
  if (fault(&path, "silent", NULL)) {
    while (recv(peer, more, 1, 0) > 0) continue;
    note(r, 0, 0);
    return;
  }
  bool cuts = fault(&path, "cut", &cut), whole = fault(&path, "whole", NULL), brief = fault(&path, "short", NULL);
  bool longer = fault(&path, "long", NULL), slow = fault(&path, "slow", NULL), wrong = fault(&path, "wrong", NULL);
  bool stubborn = fault(&path, "stubborn", NULL), plain = fault(&path, "plain", NULL);
  bool huge = fault(&path, "huge", NULL), endless = fault(&path, "endless", NULL);
  size_t size = 0, sent = 0;
  char *bytes = read_file(path, &size);
  if (!bytes) {
    answer_status(peer, r, 404, "Not Found", "");
    return;
  }
  char mark[40], unused;
  snprintf(mark, sizeof mark, "\"%016" PRIx64 "\"", version_of(bytes, size));
  size_t first = 0;
  bool ranged = !whole && sscanf(r->range, "bytes=%zu-%c", &first, &unused) == 1 &&
                (stubborn || !r->condition[0] || strcmp(r->condition, mark) == 0);
  if (!ranged) first = 0;
  if (ranged && first >= size) {
    snprintf(more, sizeof more, "ETag: %s\r\nContent-Range: bytes */%zu\r\n", mark, size);
    answer_status(peer, r, 416, "Range Not Satisfiable", more);
    free(bytes);
    return;
  }
  uint64_t declared = huge ? UINT64_C(1) << 60 : size - first - (brief ? 1 : 0) + (longer ? 1 : 0);
  int used = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nConnection: close\r\n",
                      ranged ? "206 Partial Content" : "200 OK");
  if (!endless) used += snprintf(head + used, sizeof head - (size_t)used, "Content-Length: %" PRIu64 "\r\n", declared);
  if (!plain) used += snprintf(head + used, sizeof head - (size_t)used, "ETag: %s\r\n", mark);
  if (ranged)
    used += snprintf(head + used, sizeof head - (size_t)used, "Content-Range: bytes %zu-%zu/%zu\r\n",
                     wrong ? first - 1 : first, size - 1, size);
  used += snprintf(head + used, sizeof head - (size_t)used, "\r\n");
  size_t body = cuts && (size_t)cut < size - first ? (size_t)cut : size - first;
  if (send_all(peer, head, (size_t)used, 0, NULL)) {
    send_all(peer, bytes + first, body, slow ? 50 : 0, &sent);
    while (endless && size > 0 && send_all(peer, bytes, size, 1, &sent)) continue;
  }
  if (cuts) {
    nap(100);  /* what was sent arrives before the connection is dropped */
    drop(peer);
  }
  note(r, ranged ? 206 : 200, sent);
  free(bytes);
}

static void *serve(void *context) {
  int peer = (int)(intptr_t)context;
  request r;
  if (read_request(peer, &r)) answer(peer, &r);
  close(peer);
  return NULL;
}

int main(int count, char **argument) {
  if (count != 3) return 2;
  folder = argument[1];
  requests = fopen(argument[2], "w");
  signal(SIGPIPE, SIG_IGN);
  int door = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in where = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof where;
  if (!requests || door < 0 || bind(door, (struct sockaddr *)&where, sizeof where) != 0 || listen(door, 16) != 0 ||
      getsockname(door, (struct sockaddr *)&where, &size) != 0) {
    perror("server");
    return 1;
  }
  printf("%d\n", ntohs(where.sin_port));
  fflush(stdout);
  struct pollfd both[2] = { { .fd = door, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
  while (poll(both, 2, -1) >= 0 || errno == EINTR) {
    char byte;
    if (both[1].revents && read(0, &byte, 1) <= 0) break;
    if (!(both[0].revents & POLLIN)) continue;
    int peer = accept(door, NULL, NULL);
    pthread_t thread;
    if (peer < 0) continue;
    if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)peer) == 0) pthread_detach(thread);
    else close(peer);
  }
  return 0;
}
