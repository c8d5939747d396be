/* pictures.h -- what the tests of pictures share: files of every kind, windows drawn at random, damage. */
#ifndef PICTURES_H
#define PICTURES_H

#include "scratch.h"

#include <dirent.h>
#include <inttypes.h>

#include "formats/bytes.h"
#include "image/image.h"

/* Made by scripts/dev/image_fixtures.py. */
#define PICTURES "tests/parity/fixtures/images"

static inline nni_bytes picture_bytes(const char *path) {
  nni_bytes b = { 0 };
  if (nni_bytes_read(&b, path, UINT32_MAX) != NN_OK) fail_msg("%s", nn_error());
  return b;
}

static inline nni_bytes fixture(const char *name) {
  char path[256];
  snprintf(path, sizeof path, PICTURES "/%s", name);
  return picture_bytes(path);
}

/* Calls `each` for every fixture whose name ends so. */
static inline void each_fixture(const char *ending, void (*each)(const char *name, const nni_bytes *file)) {
  struct dirent *entry;
  int found = 0;
  DIR *folder = opendir(PICTURES);
  assert_non_null(folder);
  while ((entry = readdir(folder))) {
    const char *at = strrchr(entry->d_name, '.');
    if (!at || strcmp(at, ending) != 0) continue;
    nni_bytes file = fixture(entry->d_name);
    each(entry->d_name, &file);
    nni_bytes_free(&file);
    found++;
  }
  closedir(folder);
  assert_true(found > 10);
}

static inline uint64_t live_blocks(void) {
  nn_memory_stats stats;
  nn_memory_get_stats(&stats);
  return stats.live_blocks;
}

/* The message is one line, starts with the file's name and says something. */
static inline void check_message(const char *name) {
  const char *text = nn_error();
  if (strncmp(text, name, strlen(name)) != 0 || strncmp(text + strlen(name), ": ", 2) != 0 || strchr(text, '\n') ||
      text[strlen(text) - 1] == '.' || strlen(text) < strlen(name) + 10)
    fail_msg("\"%s\" is no message about \"%s\"", text, name);
}

/* Decodes; a failure has to be told well and to leave nothing behind. */
static inline int try_decode(const void *bytes, size_t size, const nni_decode *how) {
  nni_picture picture = { 0 };
  uint64_t before = live_blocks();
  int status = nni_image_decode("x", bytes, size, how, &picture);
  if (status != NN_OK) check_message("x");
  nni_picture_free(&picture);
  assert_int_equal(live_blocks(), before);
  return status;
}

static inline int64_t drawn(uint64_t index, int64_t below) {
  return (int64_t)(nn_random_uniform(7, 1, index) * (double)below);
}

/* `count` windows drawn at random have the pixels that the whole picture has there. */
static inline void check_windows(const char *name, const nni_bytes *file, nni_decode how, int count) {
  static uint64_t draw;
  nni_picture whole = { 0 }, part = { 0 };
  assert_int_equal(nni_image_decode(name, file->data, file->size, &how, &whole), NN_OK);
  for (int i = 0; i < count; i++) {
    how.window = true;
    how.height = 1 + drawn(draw++, whole.height);
    how.width = 1 + drawn(draw++, whole.width);
    how.top = drawn(draw++, whole.height - how.height + 1);
    how.left = drawn(draw++, whole.width - how.width + 1);
    if (nni_image_decode(name, file->data, file->size, &how, &part) != NN_OK) fail_msg("%s", nn_error());
    assert_int_equal(part.height, how.height);
    assert_int_equal(part.width, how.width);
    assert_int_equal(part.channels, whole.channels);
    int64_t pixel = whole.channels * whole.depth / 8;
    for (int64_t y = 0; y < part.height; y++) {
      const uint8_t *expected = whole.pixels + ((how.top + y) * whole.width + how.left) * pixel;
      if (memcmp(part.pixels + y * part.width * pixel, expected, (size_t)(part.width * pixel)) != 0)
        fail_msg("%s: row %" PRId64 " of window %" PRId64 "x%" PRId64 " at (%" PRId64 ", %" PRId64
                 ") differs, scale %d", name, y, how.width, how.height, how.left, how.top, how.scale);
    }
  }
  nni_picture_free(&whole);
  nni_picture_free(&part);
}

/* Every beginning of the file is refused. */
static inline void check_truncated(const nni_bytes *file) {
  for (size_t size = 0; size < file->size; size++) {
    uint8_t *copy = malloc(size + 1);  /* of its own, so that a sanitizer sees a byte read too far */
    memcpy(copy, file->data, size);
    int status = try_decode(copy, size, &(nni_decode){ 0 });
    free(copy);
    if (status != NN_EFORMAT) fail_msg("%zu of %zu bytes: status %d", size, file->size, status);
  }
}

/* Bytes changed at random: any result is fine, but for a crash, a leak, or a message that says nothing. */
static inline void check_flipped(const nni_bytes *file, int rounds) {
  static uint64_t draw;
  uint8_t *copy = malloc(file->size);
  for (int i = 0; i < rounds; i++) {
    memcpy(copy, file->data, file->size);
    for (int64_t flips = 1 + drawn(draw++, 4); flips > 0; flips--) {
      uint8_t *at = copy + drawn(draw++, (int64_t)file->size);
      *at = (uint8_t)drawn(draw++, 256);
    }
    int64_t part = drawn(draw++, 3);
    nni_decode how = { .channels = part == 1 ? 3 : 0, .max_pixels = 1 << 20, .damaged = part == 2 };
    int status = try_decode(copy, file->size, &how);
    assert_true(status == NN_OK || status == NN_EFORMAT);
  }
  free(copy);
}

/* With each allocation failing in turn, the decoder says so and keeps nothing. */
static inline void check_memory(const nni_bytes *file, const nni_decode *how) {
  for (uint64_t n = 1;; n++) {
    nn_memory_fail_at(n);
    nni_picture picture = { 0 };
    uint64_t before = live_blocks();
    int status = nni_image_decode("x", file->data, file->size, how, &picture);
    nn_memory_fail_at(0);
    nni_picture_free(&picture);
    assert_int_equal(live_blocks(), before);
    if (status == NN_OK) break;
    assert_int_equal(status, NN_EMEMORY);
    assert_true(n < 20);
  }
}

#endif
