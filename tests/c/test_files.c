/* test_files.c -- lists of picture files: by hand, from folders, and by their index. */
#include "scratch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

static void make_folder(const char *name) { assert_int_equal(mkdir(scratch_path(name), 0777), 0); }

static void touch(const char *name) { scratch_write(scratch_path(name), "", 0); }

static void age(const char *name) {  /* as if nothing had changed for an hour */
  struct timespec times[2] = { { .tv_sec = time(NULL) - 3600 }, { .tv_sec = time(NULL) - 3600 } };
  assert_int_equal(utimensat(AT_FDCWD, scratch_path(name), times, 0), 0);
}

static const char *const tree[] = { "set", "set/cat", "set/dog", "set/dog/images", "set/dog/more" };
static const char *const pictures[] = { "set/cat/b.jpg", "set/cat/a.JPEG", "set/dog/z.png", "set/dog/images/x.jpeg",
                                        "set/dog/more/y.PNG", "set/dog/.hidden.jpg", "set/dog/boxes.txt",
                                        "set/readme" };
enum { FOLDERS = sizeof tree / sizeof *tree, PICTURES = sizeof pictures / sizeof *pictures };

static void make_tree(void) {
  for (int i = 0; i < FOLDERS; i++) make_folder(tree[i]);
  for (int i = 0; i < PICTURES; i++) touch(pictures[i]);
  for (int i = 0; i < FOLDERS; i++) age(tree[i]);
}

static void remove_tree(void) {
  for (int i = PICTURES - 1; i >= 0; i--) unlink(scratch_path(pictures[i]));
  for (int i = FOLDERS - 1; i >= 0; i--) assert_int_equal(rmdir(scratch_path(tree[i])), 0);
}

static void check_file(const nn_files *f, int64_t i, const char *name, int32_t label) {
  char text[512];
  assert_string_equal(nn_files_path(f, i, text, sizeof text), scratch_path(name));
  assert_int_equal(nn_files_label(f, i), label);
}

static void check_tree(const nn_files *f) {
  assert_int_equal(nn_files_count(f), 5);
  assert_int_equal(nn_files_class_count(f), 2);
  assert_string_equal(nn_files_class_name(f, 1), "dog");
  check_file(f, 0, "set/cat/a.JPEG", 0);
  check_file(f, 1, "set/cat/b.jpg", 0);
  check_file(f, 2, "set/dog/z.png", 1);
  check_file(f, 3, "set/dog/images/x.jpeg", 1);
  check_file(f, 4, "set/dog/more/y.PNG", 1);
}

static void a_list_by_hand(void **state) {
  (void)state;
  char text[16];
  nn_files *f = nn_files_new("/a/b/"), *some = NULL;
  assert_int_equal(nn_files_add(f, "x/1.jpg", 3), NN_OK);
  assert_int_equal(nn_files_add(f, "2.jpg", 0), NN_OK);
  assert_int_equal(nn_files_add(f, "x/y/3.jpg", 1), NN_OK);
  assert_int_equal(nn_files_count(f), 3);
  assert_string_equal(nn_files_root(f), "/a/b");
  assert_string_equal(nn_files_path(f, 0, text, sizeof text), "/a/b/x/1.jpg");
  assert_string_equal(nn_files_path(f, 1, text, sizeof text), "/a/b/2.jpg");
  assert_string_equal(nn_files_path(f, 2, text, sizeof text), "/a/b/x/y/3.jpg");
  assert_null(nn_files_path(f, 2, text, 14));
  static const char *const wrong[] = { "", "/etc/passwd", "../x", "x/../../y", "x//y", "x/", ".", "x/." };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    ASSERT_FAILED(nn_files_add(f, wrong[i], 0), NN_EARGUMENT, "a path below /a/b expected, got", wrong[i]);
  ASSERT_FAILED(nn_files_add(f, "4.jpg", -1), NN_EARGUMENT, "label of 4.jpg");

  int64_t two = 2;
  nn_tensor *rows = nn_tensor_new(NN_INDEX, 1, &two), *labels = NULL;
  memcpy(nn_tensor_write(rows), (int32_t[]){ 2, 0 }, sizeof(int32_t[2]));
  assert_int_equal(nn_files_select(f, rows, &some), NN_OK);
  nn_files_release(f);
  assert_int_equal(nn_files_count(some), 2);
  assert_int_equal(nn_files_label(some, 1), 3);
  assert_string_equal(nn_files_path(some, 0, text, sizeof text), "/a/b/x/y/3.jpg");
  memcpy(nn_tensor_write(rows), (int32_t[]){ 1, 1 }, sizeof(int32_t[2]));
  assert_int_equal(nn_files_select(some, rows, &f), NN_OK);
  assert_int_equal(nn_files_labels(f, &labels), NN_OK);
  assert_int_equal(((const int32_t *)nn_tensor_data(labels))[0], 3);
  ASSERT_FAILED(nn_files_add(f, "4.jpg", 0), NN_ESTATE, "in use already");
  memcpy(nn_tensor_write(rows), (int32_t[]){ 1, 2 }, sizeof(int32_t[2]));
  nn_files *none = NULL;
  ASSERT_FAILED(nn_files_select(f, rows, &none), NN_EARGUMENT, "row 3 is outside 1 .. 2");
  assert_null(none);
  nn_tensor_release(labels);
  nn_tensor_release(rows);
  nn_files_release(f);
  nn_files_release(some);
}

static void folders_are_classes(void **state) {
  (void)state;
  nn_files *f = NULL;
  make_tree();
  assert_int_equal(nn_files_scan(scratch_path("set/"), NULL, 0, &f), NN_OK);
  check_tree(f);
  nn_files_release(f);

  static const char *const given[] = { "dog", "emu", "cat" };
  assert_int_equal(nn_files_scan(scratch_path("set"), given, 3, &f), NN_OK);
  assert_int_equal(nn_files_class_count(f), 3);
  check_file(f, 0, "set/cat/a.JPEG", 2);
  check_file(f, 4, "set/dog/more/y.PNG", 0);
  nn_files_release(f);

  f = NULL;
  ASSERT_FAILED(nn_files_scan(scratch_path("set"), given + 1, 2, &f), NN_EFORMAT,
                "set: folder dog is not one of the 2 classes");
  ASSERT_FAILED(nn_files_scan(scratch_path("set/cat"), NULL, 0, &f), NN_EFORMAT,
                "set/cat: a folder for each class expected, found 2 pictures and no folder");
  ASSERT_FAILED(nn_files_scan(scratch_path("none"), NULL, 0, &f), NN_EIO, "none: No such file or directory");
  ASSERT_FAILED(nn_files_scan(scratch_path("set/readme"), NULL, 0, &f), NN_EIO, "readme: Not a directory");
  make_folder("set/emu");
  touch("set/emu/notes.txt");
  ASSERT_FAILED(nn_files_scan(scratch_path("set"), NULL, 0, &f), NN_EFORMAT,
                "set/emu: pictures (.jpg, .jpeg, .png) expected, found none among 1 files");
  assert_null(f);
  unlink(scratch_path("set/emu/notes.txt"));
  rmdir(scratch_path("set/emu"));
  remove_tree();
}

static void links_end(void **state) {
  (void)state;
  nn_files *f = NULL;
  make_tree();
  assert_int_equal(symlink("..", scratch_path("set/dog/loop")), 0);         /* passed over */
  assert_int_equal(symlink("../cat/a.JPEG", scratch_path("set/dog/zz.jpg")), 0);
  assert_int_equal(symlink("nowhere", scratch_path("set/dog/gone.jpg")), 0);
  assert_int_equal(symlink("cat", scratch_path("set/lynx")), 0);            /* a class may be a link */
  assert_int_equal(nn_files_scan(scratch_path("set"), NULL, 0, &f), NN_OK);
  assert_int_equal(nn_files_count(f), 8);
  check_file(f, 3, "set/dog/zz.jpg", 1);
  check_file(f, 7, "set/lynx/b.jpg", 2);
  nn_files_release(f);
  unlink(scratch_path("set/dog/loop"));
  unlink(scratch_path("set/dog/zz.jpg"));
  unlink(scratch_path("set/dog/gone.jpg"));
  unlink(scratch_path("set/lynx"));
  remove_tree();
}

static void an_index_stands_for_unchanged_folders(void **state) {
  (void)state;
  nn_files *f = NULL, *again = NULL;
  make_tree();
  const char *index = scratch_path("index");
  assert_int_equal(nn_files_scan(scratch_path("set"), NULL, 0, &f), NN_OK);
  assert_true(nn_files_settled(f));
  assert_int_equal(nn_files_write(f, index), NN_OK);
  nn_files_release(f);
  assert_int_equal(nn_files_read(scratch_path("index"), scratch_path("set/"), &again), NN_OK);
  check_tree(again);
  nn_files_release(again);

  again = NULL;
  ASSERT_FAILED(nn_files_read(scratch_path("index"), "/other", &again), NN_ESTATE, "not of /other");
  touch("set/dog/images/new.jpg");
  ASSERT_FAILED(nn_files_read(scratch_path("index"), scratch_path("set"), &again), NN_ESTATE,
                "out of date", "set/dog/images has changed");
  assert_int_equal(nn_files_scan(scratch_path("set"), NULL, 0, &f), NN_OK);
  assert_int_equal(nn_files_count(f), 6);
  assert_false(nn_files_settled(f));
  ASSERT_FAILED(nn_files_write(f, scratch_path("index")), NN_ESTATE, "have not changed for 2 seconds");
  nn_files_release(f);
  unlink(scratch_path("set/dog/images/new.jpg"));
  unlink(scratch_path("index"));
  remove_tree();
}

static void a_damaged_index_is_told(void **state) {
  (void)state;
  nn_files *f = NULL, *again = NULL;
  size_t size;
  make_tree();
  assert_int_equal(nn_files_scan(scratch_path("set"), NULL, 0, &f), NN_OK);
  assert_int_equal(nn_files_write(f, scratch_path("index")), NN_OK);
  nn_files_release(f);
  uint8_t *bytes = scratch_read(scratch_path("index"), &size);
  for (size_t cut = 0; cut < size; cut++) {
    scratch_write(scratch_path("index"), bytes, cut);
    ASSERT_FAILED(nn_files_read(scratch_path("index"), scratch_path("set"), &again), NN_EFORMAT, "index is damaged");
  }
  for (size_t at = 0; at < size; at++) {
    bytes[at] ^= 0x81;
    scratch_write(scratch_path("index"), bytes, size);
    int status = nn_files_read(scratch_path("index"), scratch_path("set"), &again);
    bytes[at] ^= 0x81;
    if (status == NN_OK) assert_in_range(at, 52, 55);  /* the header's padding */
    else ASSERT_FAILED(status, NN_EFORMAT, "index is damaged");
    if (status == NN_OK) nn_files_release(again);
  }
  ASSERT_FAILED(nn_files_read(scratch_path("set"), scratch_path("set"), &again), NN_EIO, "not a regular file");
  ASSERT_FAILED(nn_files_read(scratch_path("none"), scratch_path("set"), &again), NN_EIO, "No such file");
  free(bytes);
  unlink(scratch_path("index"));
  remove_tree();
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  make_tree();
  for (uint64_t n = 1;; n++) {
    nn_files *f = NULL;
    nn_memory_stats before, after;
    nn_memory_get_stats(&before);
    nn_memory_fail_at(n);
    int status = nn_files_scan(scratch_path("set"), NULL, 0, &f);
    nn_memory_fail_at(0);
    if (status != NN_OK) assert_int_equal(status, NN_EMEMORY);
    nn_files_release(f);
    nn_memory_get_stats(&after);
    assert_int_equal(before.live, after.live);
    if (status == NN_OK) break;
    assert_true(n < 1000);
  }
  remove_tree();
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_list_by_hand),
    cmocka_unit_test(folders_are_classes),
    cmocka_unit_test(links_end),
    cmocka_unit_test(an_index_stands_for_unchanged_folders),
    cmocka_unit_test(a_damaged_index_is_told),
    cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
