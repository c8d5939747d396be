/* loader.c -- batches of images: read, changed and put together by worker threads that keep the model fed.
 *
 * Batch b takes the places b * size .. of an order and is written into slot b mod prefetch of a ring. Workers take
 * pieces of it, a few images each, in order; a batch is begun when fewer than `prefetch` lie ahead of the one that was
 * handed out last, so memory is bounded whatever the speeds. An image depends on its file or row, on the seed, and on
 * its batch and place there: never on which thread made it or when. Without workers the calling thread makes a batch
 * with its team when it is asked for.
 *
 * What cannot be made is noted with its place. A batch with such images is handed out once all of its pieces are done,
 * so that the first one in order is the one that is told, and those before it are seen.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/parallel.h"
#include "data/picture.h"
#include "kernels/colour.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

enum { PIECE_ELEMENTS = 1 << 15, LOOK_NANOSECONDS = 20000000, MAX_PREFETCH = 1024, MAX_BATCH = 1 << 24 };

/* What a thread works with. */
typedef struct scratch {
  nni_maker maker;
  nn_real *spare;  /* an image, for the augmentation */
  struct scratch *next;
} scratch;

typedef struct {
  int64_t place;
  int status;
  char message[NN_BAD_TEXT];
} fault;

typedef struct {
  nn_tensor *x;       /* [count,H,W,C] */
  char *pixels;       /* its elements */
  int64_t batch, count;
  int64_t left;       /* images that are not done */
  uint8_t *bad;       /* [size] */
  fault first[NN_BAD_NAMES];
  int64_t faults;     /* images that are left out */
  fault fatal;        /* the first that ends all: place -1 without one */
} slot;

struct nn_loader {
  nn_tensor *images, *labels, *order;
  nn_files *files;
  nn_fit fit;
  nn_perturb *augment;
  nn_loader_options options;
  int64_t places, elements;  /* in all; of an image */
  size_t image_bytes;        /* of an image in a batch */
  int64_t piece;             /* images */
  nni_workers *workers;

  pthread_mutex_t lock;      /* guards what follows */
  pthread_cond_t room, ready;
  atomic_bool stopping;
  int64_t begun, begun_place;  /* the next piece: of this batch, from this place */
  int64_t end;                 /* no batch from here on is begun */
  int64_t handed;              /* the next batch to hand out */
  slot *slots;
  int depth;
  scratch *idle;

  double waited;               /* seconds; what follows is the calling thread's */
  nn_bad_images bad;
  int status;                  /* what ended it */
  char message[NN_BAD_TEXT];
};

/* ---- one image ---- */

static int64_t row_at(const nn_loader *l, int64_t place) {
  return l->order ? nni_int32(l->order)[place] : place;
}

static void *image_at(const nn_loader *l, const slot *s, int64_t place) {
  return s->pixels + (size_t)place * l->image_bytes;
}

/* The image at a place of a batch, changed as the augmentation says. */
static int make_image(nn_loader *l, scratch *s, int64_t batch, int64_t place, void *out) {
  int64_t row = row_at(l, batch * l->options.size + place), done = NNI_NO_NODE;
  uint64_t key = nni_perturb_key(l->options.seed, (uint64_t)(l->options.step + batch));
  const uint8_t *pixels = NULL;
  if (l->images) pixels = (const uint8_t *)nn_tensor_data(l->images) + row * l->elements;
  else {
    nni_crop crop = { l->augment, key, (uint64_t)place, NNI_NO_NODE };
    int status = nni_make_picture(&s->maker, l->files, row, &l->fit, &crop, &pixels);
    if (status != NN_OK) return status;
    done = crop.done;
  }
  if (l->options.bytes) {
    memcpy(out, pixels, l->image_bytes);
    return NN_OK;
  }
  nn_real *to = out;
  nnk_from_bytes(to, pixels, l->elements);
  if (!l->augment) return NN_OK;
  bool spare = nni_perturb_needs_spare(l->augment);
  if (spare && !s->spare && !(s->spare = nn_memory_get(l->image_bytes))) return NN_EMEMORY;
  nni_canvas canvas = { to, s->spare, l->fit.height, l->fit.width, l->fit.channels };
  int status = nni_perturb_image(l->augment, key, (uint64_t)place, done, &canvas);
  if (status == NN_OK && canvas.pixels != to) memcpy(to, canvas.pixels, l->image_bytes);
  return status;
}

static scratch *take_scratch(nn_loader *l) {
  pthread_mutex_lock(&l->lock);
  scratch *s = l->idle;
  if (s) l->idle = s->next;
  pthread_mutex_unlock(&l->lock);
  return s ? s : nn_memory_get_zeroed(sizeof *s);
}

static void put_scratch(nn_loader *l, scratch *s) {
  if (!s) return;
  pthread_mutex_lock(&l->lock);
  s->next = l->idle;
  l->idle = s;
  pthread_mutex_unlock(&l->lock);
}

/* ---- what cannot be made ---- */

static void set_fault(fault *f, int64_t place, int status) {
  *f = (fault){ .place = place, .status = status };
  snprintf(f->message, sizeof f->message, "%s", nn_error());
}

/* Notes this thread's failure; the lock is held. */
static void note_fault(nn_loader *l, slot *s, int64_t place, int status) {
  bool damage = status == NN_EIO || status == NN_EFORMAT;
  if (!damage || !l->options.skip) {
    if (s->fatal.place < 0 || place < s->fatal.place) set_fault(&s->fatal, place, status);
    if (s->batch + 1 < l->end) l->end = s->batch + 1;
    return;
  }
  int known = s->faults < NN_BAD_NAMES ? (int)s->faults : NN_BAD_NAMES, at = known;
  s->bad[place] = 1;
  s->faults++;
  while (at > 0 && s->first[at - 1].place > place) at--;
  if (at == NN_BAD_NAMES) return;
  if (known == NN_BAD_NAMES) known--;
  memmove(&s->first[at + 1], &s->first[at], (size_t)(known - at) * sizeof(fault));
  set_fault(&s->first[at], place, status);
}

/* ---- batches ---- */

static int64_t batch_size(const nn_loader *l, int64_t batch) {
  return nnk_min(l->options.size, l->places - batch * l->options.size);
}

/* An empty slot becomes that of a batch, with room for its images. */
static int begin_batch(nn_loader *l, slot *s, int64_t batch) {
  *s = (slot){ .batch = batch, .count = batch_size(l, batch), .bad = s->bad, .fatal.place = -1 };
  const int64_t size[4] = { s->count, l->fit.height, l->fit.width, l->fit.channels };
  s->left = s->count;
  if (l->options.skip) memset(s->bad, 0, (size_t)l->options.size);
  s->x = nn_tensor_new(l->options.bytes ? NN_UINT8 : NN_REAL, 4, size);
  if (s->x) {
    s->pixels = nn_tensor_write(s->x);
    return NN_OK;
  }
  s->left = 0;
  note_fault(l, s, 0, NN_EMEMORY);
  return NN_EMEMORY;
}

static bool stopping(nn_loader *l) { return atomic_load_explicit(&l->stopping, memory_order_relaxed); }

static void make_piece(nn_loader *l, scratch *work, slot *s, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end && !stopping(l); i++) {
    int status = work ? make_image(l, work, s->batch, i, image_at(l, s, i)) : NN_EMEMORY;
    /* An interrupt is for the calling thread, which may come back for more: a worker tries until it is over. */
    while (status == NN_EINTERRUPT && l->options.workers > 0 && !stopping(l)) {
      nanosleep(&(struct timespec){ .tv_nsec = LOOK_NANOSECONDS }, NULL);
      status = make_image(l, work, s->batch, i, image_at(l, s, i));
    }
    if (status == NN_OK) continue;
    pthread_mutex_lock(&l->lock);
    note_fault(l, s, i, status);
    pthread_mutex_unlock(&l->lock);
  }
}

/* The next piece, or false when there is none for now. The lock is held. */
static bool take_piece(nn_loader *l, slot **of, int64_t *begin, int64_t *end) {
  if (l->begun >= l->end || l->begun >= l->handed + l->depth) return false;
  slot *s = &l->slots[l->begun % l->depth];
  if (l->begun_place == 0 && begin_batch(l, s, l->begun) != NN_OK) {
    l->end = l->begun;
    pthread_cond_signal(&l->ready);
    return false;
  }
  *of = s;
  *begin = l->begun_place;
  *end = l->begun_place = nnk_min(*begin + l->piece, s->count);
  if (*end == s->count) {
    l->begun++;
    l->begun_place = 0;
  }
  return true;
}

static void run_worker(void *context, int worker) {
  (void)worker;
  nn_loader *l = context;
  scratch *work = take_scratch(l);
  slot *s = NULL;
  int64_t begin = 0, end = 0;
  pthread_mutex_lock(&l->lock);
  for (;;) {
    while (!atomic_load(&l->stopping) && !take_piece(l, &s, &begin, &end)) pthread_cond_wait(&l->room, &l->lock);
    if (atomic_load(&l->stopping)) break;
    pthread_mutex_unlock(&l->lock);
    make_piece(l, work, s, begin, end);
    pthread_mutex_lock(&l->lock);
    s->left -= end - begin;
    if (s->left == 0) pthread_cond_signal(&l->ready);
  }
  pthread_mutex_unlock(&l->lock);
  put_scratch(l, work);
}

static void stop_workers(void *context) {
  nn_loader *l = context;
  pthread_mutex_lock(&l->lock);
  atomic_store(&l->stopping, true);
  pthread_cond_broadcast(&l->room);
  pthread_mutex_unlock(&l->lock);
}

/* ---- handing out ---- */

/* Until the slot's batch is done. A signal's handler cannot wake this thread, so it looks up now and then. */
static int wait_for(nn_loader *l, slot *s, int64_t batch) {
  int status = NN_OK;
  pthread_mutex_lock(&l->lock);
  while (status == NN_OK && !(s->batch == batch && s->left == 0)) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NANOSECONDS;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&l->ready, &l->lock, &until);
    status = nn_interrupt_check();
  }
  pthread_mutex_unlock(&l->lock);
  return status;
}

typedef struct {
  nn_loader *loader;
  slot *slot;
} here_job;

static void make_pieces(void *context, int64_t begin, int64_t end) {
  here_job *job = context;
  scratch *work = take_scratch(job->loader);
  make_piece(job->loader, work, job->slot, begin, end);
  put_scratch(job->loader, work);
}

static int make_here(nn_loader *l, slot *s, int64_t batch) {
  nn_tensor_release(s->x); /* of a batch that was interrupted */
  if (begin_batch(l, s, batch) != NN_OK) return NN_OK;
  here_job job = { l, s };
  int status = nn_parallel_for(s->count, l->piece, make_pieces, &job);
  if (status == NN_OK) s->left = 0;
  return status;
}

/* Images that were left out are closed up. */
static int64_t close_up(const nn_loader *l, slot *s) {
  int64_t kept = 0;
  for (int64_t i = 0; i < s->count; i++) {
    if (l->options.skip && s->bad[i]) continue;
    if (kept < i) memcpy(image_at(l, s, kept), image_at(l, s, i), l->image_bytes);
    kept++;
  }
  return kept;
}

static nn_tensor *take_labels(const nn_loader *l, const slot *s, int64_t kept) {
  nn_tensor *y = nn_tensor_new(NN_INDEX, 1, &kept);
  if (!y) return NULL;
  int32_t *to = nn_tensor_write(y);
  const int32_t *label = nni_int32(l->labels);
  for (int64_t i = 0; i < s->count; i++)
    if (!l->options.skip || !s->bad[i]) *to++ = label[row_at(l, s->batch * l->options.size + i)];
  return y;
}

static void report_faults(nn_loader *l, const slot *s) {
  for (int i = 0; i < NN_BAD_NAMES && i < s->faults && l->bad.names < NN_BAD_NAMES; i++)
    memcpy(l->bad.name[l->bad.names++], s->first[i].message, NN_BAD_TEXT);
  l->bad.count += s->faults;
}

/* What ended the loader ends every later call. */
static int end_with(nn_loader *l, int status, const char *message) {
  l->status = status;
  snprintf(l->message, sizeof l->message, "%s", message);
  return nn_fail(status, "%s", l->message);
}

/* The slot's batch goes to the caller; of no images when none could be made. */
static int hand_out(nn_loader *l, slot *s, nn_tensor **x, nn_tensor **y) {
  if (s->fatal.place >= 0) return end_with(l, s->fatal.status, s->fatal.message);
  report_faults(l, s);
  int64_t kept = close_up(l, s);
  nn_tensor *labels = take_labels(l, s, kept), *images = NULL;
  if (labels) images = kept == s->count ? nn_tensor_retain(s->x) : nn_tensor_rows(s->x, 0, kept);
  if (!images) {
    nn_tensor_release(labels);
    return end_with(l, NN_EMEMORY, nn_error());
  }
  pthread_mutex_lock(&l->lock);
  nn_tensor_release(s->x);
  s->x = NULL;
  l->handed++;
  pthread_cond_broadcast(&l->room);
  pthread_mutex_unlock(&l->lock);
  *x = images;
  *y = labels;
  return NN_OK;
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int nn_loader_next(nn_loader *l, nn_tensor **x, nn_tensor **y, int64_t *number) {
  double begin = seconds_now();
  nn_tensor *images = NULL, *labels = NULL;
  int64_t batch = 0;
  if (l->status != NN_OK) return nn_fail(l->status, "%s", l->message);
  int status = NN_OK;
  while (status == NN_OK && l->handed < l->options.last) {
    batch = l->handed;
    slot *s = &l->slots[batch % l->depth];
    status = l->workers ? wait_for(l, s, batch) : make_here(l, s, batch);
    if (status == NN_OK) status = hand_out(l, s, &images, &labels);
    if (status != NN_OK || nn_tensor_count(labels) > 0) break;
    nn_tensor_release(images); /* all of them are bad */
    nn_tensor_release(labels);
    images = labels = NULL;
  }
  l->waited += seconds_now() - begin;
  if (status != NN_OK) return status;
  *x = images;
  *y = labels;
  *number = batch;
  return NN_OK;
}

double nn_loader_waited(const nn_loader *l) { return l->waited; }
const nn_bad_images *nn_loader_bad(const nn_loader *l) { return &l->bad; }

/* ---- making and freeing ---- */

static int check_images(const nn_loader_options *o) {
  char shape[96];
  if (!o->images == !o->files) return nn_fail(NN_EARGUMENT, "batches: images or files expected");
  if (o->images && (nn_tensor_type(o->images) != NN_UINT8 || nn_tensor_axes(o->images) != 4 ||
                    !nn_tensor_contiguous(o->images)))
    return nn_fail(NN_ESHAPE, "batches: images of uint8 [N x H x W x C] expected, got %s %s",
                   nn_type_name(nn_tensor_type(o->images)), nn_tensor_describe(o->images, shape, sizeof shape));
  return o->files ? nni_fit_check(&o->fit) : NN_OK;
}

static int check_index(const char *what, nn_tensor *t, int64_t limit) {
  char shape[96];
  if (nn_tensor_type(t) != NN_INDEX || nn_tensor_axes(t) != 1 || !nn_tensor_contiguous(t))
    return nn_fail(NN_ETYPE, "batches: %s: an index tensor with one axis expected, got %s %s", what,
                   nn_type_name(nn_tensor_type(t)), nn_tensor_describe(t, shape, sizeof shape));
  for (int64_t i = 0; limit >= 0 && i < nn_tensor_count(t); i++)
    if (nni_int32(t)[i] < 0 || nni_int32(t)[i] >= limit)
      return nn_fail(NN_EARGUMENT, "batches: %s: place %lld of %lld images", what, (long long)nni_int32(t)[i] + 1,
                     (long long)limit);
  return NN_OK;
}

static int check_options(const nn_loader_options *o, int64_t images) {
  int status = check_index("labels", o->labels, -1);
  if (status == NN_OK && nn_tensor_count(o->labels) != images)
    status = nn_fail(NN_ESHAPE, "batches: %lld images with %lld labels", (long long)images,
                     (long long)nn_tensor_count(o->labels));
  if (status == NN_OK && o->order) status = check_index("order", o->order, images);
  int64_t places = o->order ? nn_tensor_count(o->order) : images;
  if (status == NN_OK && (o->size < 1 || o->size > MAX_BATCH || o->first < 0 || o->last < o->first ||
                          o->last > nnk_divide_up(places, o->size)))
    status = nn_fail(NN_EARGUMENT, "batches: batches %lld to %lld of %lld images each, of %lld", (long long)o->first,
                     (long long)o->last, (long long)o->size, (long long)places);
  if (status == NN_OK && (o->workers < 0 || o->workers > 256 || o->prefetch < 1 || o->prefetch > MAX_PREFETCH))
    status = nn_fail(NN_EARGUMENT, "batches: 0 to 256 workers and a prefetch of 1 to %d expected, got %d and %d",
                     MAX_PREFETCH, o->workers, o->prefetch);
  return status;
}

static nn_fit fit_of(const nn_loader_options *o) {
  if (o->files) return o->fit;
  return (nn_fit){ .height = nn_tensor_size(o->images, 1), .width = nn_tensor_size(o->images, 2),
                   .channels = (int)nn_tensor_size(o->images, 3) };
}

static int make_slots(nn_loader *l) {
  l->depth = l->options.workers > 0 ? l->options.prefetch : 1;
  l->slots = nn_memory_get_zeroed((size_t)l->depth * sizeof *l->slots);
  if (!l->slots) return NN_EMEMORY;
  for (int i = 0; i < l->depth; i++) {
    l->slots[i].batch = -1;
    if (l->options.skip && !(l->slots[i].bad = nn_memory_get((size_t)l->options.size))) return NN_EMEMORY;
  }
  return NN_OK;
}

static int start_workers(nn_loader *l) {
  if (l->options.workers == 0 || l->options.first == l->options.last) return NN_OK;
  nni_work work = { .run = run_worker, .stop = stop_workers, .context = l };
  int status = nni_workers_start(&work, l->options.workers, &l->workers);
  if (status == NN_OK && nni_workers_count(l->workers) == 0) { /* no thread to be had: the caller does it */
    nni_workers_end(l->workers);
    l->workers = NULL;
    l->options.workers = 0;
  }
  return status;
}

int nn_loader_new(const nn_loader_options *o, nn_loader **out) {
  int status = check_images(o);
  int64_t images = status != NN_OK ? 0 : o->images ? nn_tensor_size(o->images, 0) : nn_files_count(o->files);
  if (status == NN_OK) status = check_options(o, images);
  if (status != NN_OK) return status;
  nn_fit fit = fit_of(o);
  const int64_t size[4] = { o->size, fit.height, fit.width, fit.channels };
  if (o->augment && o->bytes) status = nn_fail(NN_EARGUMENT, "batches: bytes are not augmented");
  else if (o->augment) status = nni_perturb_check(o->augment, size);
  nn_loader *l = status == NN_OK ? nn_memory_get_zeroed(sizeof *l) : NULL;
  if (!l) return status == NN_OK ? NN_EMEMORY : status;
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->room, NULL);
  pthread_cond_init(&l->ready, NULL);
  atomic_init(&l->stopping, false);
  l->options = *o;
  l->fit = fit;
  l->images = nn_tensor_retain(o->images);
  l->files = o->files ? nn_files_retain(o->files) : NULL;
  l->labels = nn_tensor_retain(o->labels);
  l->order = nn_tensor_retain(o->order);
  l->augment = nn_perturb_retain(o->augment);
  l->places = o->order ? nn_tensor_count(o->order) : images;
  l->elements = fit.height * fit.width * fit.channels;
  l->image_bytes = (size_t)l->elements * (o->bytes ? 1 : sizeof(nn_real));
  l->piece = o->files ? 1 : nnk_max(1, PIECE_ELEMENTS / nnk_max(1, l->elements));
  l->begun = l->handed = o->first;
  l->end = o->last;
  status = make_slots(l);
  if (status == NN_OK) status = start_workers(l);
  if (status == NN_OK) *out = l;
  else nn_loader_free(l);
  return status;
}

void nn_loader_free(nn_loader *l) {
  if (!l) return;
  nni_workers_end(l->workers);
  for (int i = 0; l->slots && i < l->depth; i++) {
    nn_tensor_release(l->slots[i].x);
    nn_memory_put(l->slots[i].bad);
  }
  nn_memory_put(l->slots);
  for (scratch *s = l->idle, *next; s; s = next) {
    next = s->next;
    nni_maker_free(&s->maker);
    nn_memory_put(s->spare);
    nn_memory_put(s);
  }
  nn_tensor_release(l->images);
  nn_files_release(l->files);
  nn_tensor_release(l->labels);
  nn_tensor_release(l->order);
  nn_perturb_release(l->augment);
  pthread_cond_destroy(&l->ready);
  pthread_cond_destroy(&l->room);
  pthread_mutex_destroy(&l->lock);
  nn_memory_put(l);
}
