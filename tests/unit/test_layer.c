/* Layers: the marks of overlayfs' format, building in work/, publishing, reading content back.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "layer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

struct place { char path[64]; int fd; struct store *store; };

static int setup(void **state) {
    struct place *place = calloc(1, sizeof(*place));
    struct snap_err err = {0};
    char path[80];
    strcpy(place->path, "/tmp/snapctl-layer-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof(path), "%s/store", place->path);
    assert_int_equal(store_create(path, &err), 0);
    assert_int_equal(store_open(path, &place->store, &err), 0);
    assert_int_equal(store_lock(place->store, STORE_LOCK_TRY, "test", NULL, &err), 0);
    *state = place;
    return 0;
}

static int teardown(void **state) {
    struct place *place = *state;
    store_close(place->store);
    close(place->fd);
    int result = fs_remove_tree(AT_FDCWD, place->path);
    free(place);
    return result;
}

static struct meta meta_of(uint32_t mode) {
    return (struct meta){ .mode = mode, .uid = geteuid(), .gid = getegid(), .mtime = { .tv_sec = 1000, .tv_nsec = 5 } };
}

static struct stat stat_in(int dirfd, const char *path) {
    struct stat stat;
    assert_return_code(fstatat(dirfd, path, &stat, AT_SYMLINK_NOFOLLOW), errno);
    return stat;
}

static bool exists(int dirfd, const char *path) {
    return faccessat(dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The marks. */

static void a_whiteout_is_a_device_0_0(void **state) {
    struct place *place = *state;
    int result = layer_whiteout(place->fd, "gone");
    assert_int_equal(result, 0);
    struct stat stat = stat_in(place->fd, "gone");
    assert_true((S_ISCHR(stat.st_mode) && stat.st_rdev == makedev(0, 0)) || (S_ISREG(stat.st_mode) && stat.st_size == 0));
    assert_int_equal(layer_is_whiteout(place->fd, "gone"), 1);
    assert_int_equal(layer_whiteout(place->fd, "gone"), -EEXIST);
}

static void a_whiteout_in_xattr_form_is_one_too(void **state) {
    struct place *place = *state;
    _close_ int fd = openat(place->fd, "gone", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(layer_is_whiteout(place->fd, "gone"), 0);
    if (fsetxattr(fd, "user.overlay.whiteout", "", 0, 0) < 0 && errno == EOPNOTSUPP) {
        print_message("skipped: no user xattrs here\n");
        skip();
    }
    assert_int_equal(layer_is_whiteout(place->fd, "gone"), 1);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(layer_is_whiteout(place->fd, "gone"), 0);
}

static void nothing_else_is_a_whiteout(void **state) {
    struct place *place = *state;
    assert_int_equal(layer_is_whiteout(place->fd, "absent"), -ENOENT);
    assert_return_code(symlinkat("gone", place->fd, "link"), errno);
    assert_int_equal(layer_is_whiteout(place->fd, "link"), 0);
    assert_int_equal(layer_is_whiteout(place->fd, "store"), 0);
    if (mknodat(place->fd, "null", S_IFCHR | 0600, makedev(1, 3)) == 0)
        assert_int_equal(layer_is_whiteout(place->fd, "null"), 0);
}

static void opaque_and_redirect_are_read_back(void **state) {
    struct place *place = *state;
    _free_ char *path = NULL;
    assert_int_equal(layer_is_opaque(place->fd), 0);
    assert_int_equal(layer_redirect(place->fd, &path), 0);
    assert_int_equal(layer_set_opaque(place->fd), 0);
    assert_int_equal(layer_set_redirect(place->fd, "/a b/\xff"), 0);
    assert_int_equal(layer_is_opaque(place->fd), 1);
    assert_int_equal(layer_redirect(place->fd, &path), 1);
    assert_string_equal(path, "/a b/\xff");
    char value[8];
    assert_int_equal(fgetxattr(place->fd, "user.overlay.opaque", value, sizeof(value)), 1);
    assert_int_equal(value[0], 'y');
}

static void the_mark_for_xattr_whiteouts_is_not_opaque(void **state) {
    struct place *place = *state;
    assert_return_code(fsetxattr(place->fd, "user.overlay.opaque", "x", 1, 0), errno);
    assert_int_equal(layer_is_opaque(place->fd), 0);
}

/* Building. */

static struct stage *begin(struct place *place, int64_t id) {
    struct stage *stage = NULL;
    struct snap_err err = {0};
    if (stage_open(place->store, id, &stage, &err) < 0)
        fail_msg("%s", err.message);
    return stage;
}

static void put(struct stage *stage, int64_t id, const char *name, const char *text) {
    _dir_ struct dir *dir = stage_dir(stage, id);
    assert_non_null(dir);
    _close_ int fd = stage_create(stage, dir, name, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void place_dir(struct stage *stage, int64_t id, int64_t parent, const char *name) {
    struct meta meta = meta_of(S_IFDIR | 0755);
    assert_int_equal(stage_place_dir(stage, id, parent, name, &meta, false, NULL), 0);
}

static void publish(struct stage *stage) {
    struct snap_err err = {0};
    if (stage_publish(stage, &err) < 0)
        fail_msg("%s", err.message);
}

static void directories_end_where_they_belong(void **state) {
    struct place *place = *state;
    _cleanup_(stage_freep) struct stage *stage = begin(place, 3);
    put(stage, 20, "file", "text");
    put(stage, INDEX_ROOT, "top", "");
    place_dir(stage, 20, 10, "inner");
    place_dir(stage, 10, INDEX_ROOT, "outer");
    place_dir(stage, INDEX_ROOT, 0, "");
    assert_false(exists(store_layers_fd(place->store), "3"));
    publish(stage);
    stage_keep(stage);
    stage = stage_free(stage);
    int layers = store_layers_fd(place->store);
    assert_int_equal(stat_in(layers, "3/tree/outer/inner/file").st_size, 4);
    assert_true(exists(layers, "3/tree/top"));
    assert_int_equal(stat_in(layers, "3/tree/outer").st_mode & 07777, 0755);
    assert_int_equal(stat_in(layers, "3/tree/outer").st_mtim.tv_nsec, 5);
    assert_int_equal(stat_in(layers, "3/tree").st_mtim.tv_sec, 1000);
    assert_false(exists(layers, "3/dirs"));
    assert_false(exists(store_work_fd(place->store), "3"));
}

static void what_is_not_published_leaves_nothing(void **state) {
    struct place *place = *state;
    struct stage *stage = begin(place, 3);
    put(stage, 20, "file", "text");
    stage_free(stage);
    assert_false(exists(store_work_fd(place->store), "3"));
}

static void what_is_published_and_not_committed_leaves_nothing(void **state) {
    struct place *place = *state;
    struct stage *stage = begin(place, 3);
    place_dir(stage, INDEX_ROOT, 0, "");
    publish(stage);
    assert_true(exists(store_layers_fd(place->store), "3/tree"));
    stage_free(stage);
    assert_false(exists(store_layers_fd(place->store), "3"));
}

static void leftovers_of_the_same_number_go_first(void **state) {
    struct place *place = *state;
    int work = store_work_fd(place->store), layers = store_layers_fd(place->store);
    assert_return_code(mkdirat(work, "3", 0700), errno);
    assert_return_code(mkdirat(work, "3/old", 0), errno);
    assert_return_code(mkdirat(layers, "3", 0700), errno);
    assert_return_code(mkdirat(layers, "3/old", 0700), errno);
    struct stage *stage = begin(place, 3);
    assert_false(exists(work, "3/old"));
    place_dir(stage, INDEX_ROOT, 0, "");
    publish(stage);
    stage_keep(stage);
    stage_free(stage);
    assert_false(exists(layers, "3/old"));
    assert_true(exists(layers, "3/tree"));
}

static void special_files_are_made_or_stood_in_for(void **state) {
    struct place *place = *state;
    _cleanup_(stage_freep) struct stage *stage = begin(place, 3);
    _dir_ struct dir *dir = stage_dir(stage, INDEX_ROOT);
    static const struct { const char *name; uint32_t mode, major, minor; } kinds[] = {
        { "link", S_IFLNK | 0777, 0, 0 }, { "fifo", S_IFIFO | 0640, 0, 0 }, { "socket", S_IFSOCK | 0600, 0, 0 },
        { "null", S_IFCHR | 0666, 1, 3 }, { "disk", S_IFBLK | 0660, 7, 200 }, { "whiteout", S_IFCHR | 0, 0, 0 },
    };
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        struct meta meta = meta_of(kinds[i].mode);
        meta.rdev_major = kinds[i].major;
        meta.rdev_minor = kinds[i].minor;
        meta.target = S_ISLNK(meta.mode) ? (char *)"some where" : NULL;
        assert_int_equal(stage_make_special(stage, dir, kinds[i].name, &meta), 0);
        assert_int_equal(stage_apply(stage, dir, kinds[i].name, &meta), 0);
    }
    place_dir(stage, INDEX_ROOT, 0, "");
    publish(stage);
    _close_ int tree = openat(store_layers_fd(place->store), "3/tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(S_ISLNK(stat_in(tree, "link").st_mode));
    assert_int_equal(stat_in(tree, "link").st_mtim.tv_sec, 1000);
    assert_true(S_ISFIFO(stat_in(tree, "fifo").st_mode));
    assert_int_equal(stat_in(tree, "fifo").st_mode & 07777, 0640);
    assert_true(S_ISSOCK(stat_in(tree, "socket").st_mode));
    assert_true(S_ISCHR(stat_in(tree, "null").st_mode) || S_ISREG(stat_in(tree, "null").st_mode));
    assert_int_equal(layer_is_whiteout(tree, "whiteout"), 0);
}

static void names_of_one_object_are_links_in_the_layer(void **state) {
    struct place *place = *state;
    _cleanup_(stage_freep) struct stage *stage = begin(place, 3);
    _dir_ struct dir *a = stage_dir(stage, 10);
    _dir_ struct dir *b = stage_dir(stage, 11);
    put(stage, 10, "one", "text");
    assert_int_equal(stage_link(stage, a, "one", b, "two"), 0);
    assert_int_equal(stage_link(stage, a, "one", b, "two"), -EEXIST);
    place_dir(stage, 10, INDEX_ROOT, "a");
    place_dir(stage, 11, INDEX_ROOT, "b");
    place_dir(stage, INDEX_ROOT, 0, "");
    publish(stage);
    int layers = store_layers_fd(place->store);
    assert_int_equal(stat_in(layers, "3/tree/a/one").st_ino, stat_in(layers, "3/tree/b/two").st_ino);
}

static void what_is_removed_can_be_made_again(void **state) {
    struct place *place = *state;
    _cleanup_(stage_freep) struct stage *stage = begin(place, 3);
    _dir_ struct dir *dir = stage_dir(stage, INDEX_ROOT);
    put(stage, INDEX_ROOT, "name", "old");
    assert_int_equal(stage_create(stage, dir, "name", 0600), -EEXIST);
    assert_int_equal(stage_remove(stage, dir, "name"), 0);
    put(stage, INDEX_ROOT, "name", "newer");
}

static void marks_survive_the_metadata(void **state) {
    struct place *place = *state;
    _cleanup_(stage_freep) struct stage *stage = begin(place, 3);
    struct meta meta = meta_of(S_IFDIR | 0555);
    assert_int_equal(stage_place_dir(stage, 10, INDEX_ROOT, "moved", &meta, true, "/old"), 0);
    place_dir(stage, INDEX_ROOT, 0, "");
    publish(stage);
    _free_ char *redirect = NULL;
    _close_ int dir = openat(store_layers_fd(place->store), "3/tree/moved", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(layer_is_opaque(dir), 1);
    assert_int_equal(layer_redirect(dir, &redirect), 1);
    assert_string_equal(redirect, "/old");
}

/* As a user without privileges: in a child, since there is no way back. */
static int unprivileged_child(struct place *place) {
    char path[80];
    struct snap_err err = {0};
    _cleanup_(store_closep) struct store *store = NULL;
    if (setgid(65534) < 0 || setuid(65534) < 0)
        return 10;
    snprintf(path, sizeof(path), "%s/open/store", place->path);
    if (store_create(path, &err) < 0 || store_open(path, &store, &err) < 0)
        return 11;
    struct stage *stage = begin(&(struct place){ .store = store }, 1);
    struct meta nothing = { .mode = S_IFREG, .uid = 0, .gid = 0 }, closed = { .mode = S_IFDIR }, device = { .mode = S_IFBLK | 0600, .rdev_major = 7 };
    put(stage, 10, "secret", "text");
    _dir_ struct dir *dir = stage_dir(stage, 10);
    if (stage_apply(stage, dir, "secret", &nothing) < 0 || stage_make_special(stage, dir, "disk", &device) < 0 ||
        stage_apply(stage, dir, "disk", &device) < 0)
        return 12;
    dir = dir_unref(dir);
    if (stage_place_dir(stage, 10, INDEX_ROOT, "closed", &closed, true, NULL) < 0
        || stage_place_dir(stage, INDEX_ROOT, 0, "", &closed, false, NULL) < 0)
        return 13;
    publish(stage);
    stage_keep(stage);
    stage_free(stage);
    _close_ int fd = openat(store_layers_fd(store), "1/tree/closed/secret", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? 14 : 0;
}

static void without_privilege_what_is_stored_can_be_read_back(void **state) {
    struct place *place = *state;
    if (geteuid() != 0) {
        print_message("skipped: needs root to become somebody without privileges\n");
        skip();
    }
    assert_return_code(fchmod(place->fd, 0755), errno);
    assert_return_code(mkdirat(place->fd, "open", 0700), errno);
    assert_return_code(fchownat(place->fd, "open", 65534, 65534, 0), errno);
    pid_t child = fork();
    if (child == 0)
        _exit(unprivileged_child(place));
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : 99, 0);
}

/* The kernel's overlayfs is the oracle for the marks. */
static void the_kernel_understands_the_marks(void **state) {
    struct place *place = *state;
    assert_return_code(mkdirat(place->fd, "lower", 0755), errno);
    assert_return_code(mkdirat(place->fd, "lower/dir", 0755), errno);
    assert_return_code(mkdirat(place->fd, "lower/dir/hidden", 0755), errno);
    assert_return_code(mkdirat(place->fd, "lower/gone", 0755), errno);
    assert_return_code(mkdirat(place->fd, "merged", 0755), errno);
    _cleanup_(stage_freep) struct stage *stage = begin(place, 3);
    struct meta meta = meta_of(S_IFDIR | 0755);
    put(stage, 10, "shown", "text");
    _dir_ struct dir *root = stage_dir(stage, INDEX_ROOT);
    _pinned_ struct dir_pinned at = dir_pinned(root);
    assert_int_equal(layer_whiteout(at.fd, "gone"), 0);
    assert_int_equal(stage_place_dir(stage, 10, INDEX_ROOT, "dir", &meta, true, NULL), 0);
    place_dir(stage, INDEX_ROOT, 0, "");
    publish(stage);
    char options[300], target[80];
    snprintf(options, sizeof(options), "userxattr,lowerdir=%s/store/layers/3/tree:%s/lower", place->path, place->path);
    snprintf(target, sizeof(target), "%s/merged", place->path);
    if (mount("overlay", target, "overlay", MS_RDONLY, options) < 0) {
        print_message("skipped: overlayfs cannot be mounted here: %s\n", strerror(errno));
        skip();
    }
    bool gone = !exists(place->fd, "merged/gone"), shown = exists(place->fd, "merged/dir/shown"), hidden = !exists(place->fd, "merged/dir/hidden");
    assert_return_code(umount2(target, MNT_DETACH), errno);
    assert_true(gone && shown && hidden);
}

/* Reading back: the index says where a directory lay. */

static void record(struct place *place, int64_t snapshot, int64_t parent, int64_t dir, const char *name) {
    struct snap_err err = {0};
    struct object object = { .id = 100 * snapshot + dir, .dir = dir, .meta = { .mode = S_IFDIR | 0755 } };
    if (index_add_object(place->store, &object, &err) < 0 ||
        index_born(place->store, INDEX_PROJECT_LINE, snapshot, parent, name, &object, &err) < 0)
        fail_msg("%s", err.message);
}

/* Layer 1: outer/inner/file "text", top "!"; recorded as snapshot 1. */
static void capture(struct place *place) {
    struct snap_err err = {0};
    struct snapshot snapshot = { .line = INDEX_PROJECT_LINE, .layer = 1, .public = { .number = 1, .name = "", .message = "" } };
    struct stage *stage = begin(place, 1);
    put(stage, 20, "file", "text");
    put(stage, INDEX_ROOT, "top", "!");
    place_dir(stage, 20, 10, "inner");
    place_dir(stage, 10, INDEX_ROOT, "outer");
    place_dir(stage, INDEX_ROOT, 0, "");
    publish(stage);
    assert_int_equal(store_begin(place->store, &err), 0);
    if (index_add_snapshot(place->store, &snapshot, &err) < 0)
        fail_msg("%s", err.message);
    record(place, 1, 0, INDEX_ROOT, "");
    record(place, 1, INDEX_ROOT, 10, "outer");
    record(place, 1, 10, 20, "inner");
    assert_int_equal(store_commit(place->store, false, &err), 0);
    stage_keep(stage);
    stage_free(stage);
}

static const struct content text_content = { .id = 1, .layer = 1, .dir = 20, .size = 4, .name = (char *)"file" };
static const struct content top_content = { .id = 2, .layer = 1, .dir = INDEX_ROOT, .size = 1, .name = (char *)"top" };

static struct layers *open_layers(struct place *place) {
    struct layers *layers = NULL;
    assert_int_equal(layers_open(place->store, &layers), 0);
    return layers;
}

static void assert_reads(struct layers *layers, const struct content *content, const char *text) {
    char got[16] = "";
    struct snap_err err = {0};
    _close_ int fd = layers_open_content(layers, content, &err);
    if (fd < 0)
        fail_msg("%s", err.message);
    assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
    assert_string_equal(got, text);
}

static void content_is_found_by_directory_and_name(void **state) {
    struct place *place = *state;
    capture(place);
    _cleanup_(layers_closep) struct layers *layers = open_layers(place);
    for (int i = 0; i < 3; i++) {
        assert_reads(layers, &text_content, "text");
        assert_reads(layers, &top_content, "!");
    }
}

static void content_is_found_where_its_directory_was_then(void **state) {
    struct place *place = *state;
    struct snap_err err = {0};
    struct snapshot second = { .line = INDEX_PROJECT_LINE, .layer = 2, .public = { .number = 2, .parent = 1, .name = "", .message = "" } };
    capture(place);
    assert_int_equal(store_begin(place->store, &err), 0);
    assert_int_equal(index_add_snapshot(place->store, &second, &err), 0);
    assert_int_equal(index_died(place->store, INDEX_PROJECT_LINE, 2, 10, "inner", &err), 0);
    record(place, 2, INDEX_ROOT, 20, "elsewhere");
    assert_int_equal(store_commit(place->store, false, &err), 0);
    _cleanup_(layers_closep) struct layers *layers = open_layers(place);
    assert_reads(layers, &text_content, "text");
}

static void many_layers_and_directories_do_not_run_out_of_descriptors(void **state) {
    struct place *place = *state;
    struct snap_err err = {0};
    capture(place);
    char from[32], to[32];
    _cleanup_(layers_closep) struct layers *layers = open_layers(place);
    for (int64_t i = 2; i < 1500; i++) {
        snprintf(from, sizeof(from), "%lld", (long long)i - 1);
        snprintf(to, sizeof(to), "%lld", (long long)i);
        assert_return_code(renameat(store_layers_fd(place->store), from, store_layers_fd(place->store), to), errno);
        struct content content = { .id = 1, .layer = i, .dir = INDEX_ROOT, .size = 1, .name = (char *)"top" };
        _close_ int fd = layers_open_content(layers, &content, &err);
        if (fd < 0)
            fail_msg("%s", err.message);
    }
}

static void damage_names_layer_and_path(void **state) {
    static const struct { const char *damage, *says; } cases[] = {
        { "printf longer > outer/inner/file", "layer 1 is damaged: 'outer/inner/file' has another size" },
        { "rm outer/inner/file && ln -s /etc/hostname outer/inner/file", "'outer/inner/file' is not a regular file" },
        { "rm outer/inner/file && mkfifo outer/inner/file", "'outer/inner/file' is not a regular file" },
        { "rm outer/inner/file", "'outer/inner/file' is missing" },
        { "rm -r outer/inner && ln -s /tmp outer/inner", "'outer/inner/file' lies in what is no directory" },
        { "rm -r outer", "'outer/inner/file' is missing" },
        { "cd .. && rm -r tree", "layer 1 is damaged: its tree is missing" },
    };
    struct place *place = *state;
    capture(place);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct snap_err err = {0};
        char command[256];
        snprintf(command, sizeof(command), "cd %s/store/layers/1/tree && %s", place->path, cases[i].damage);
        assert_int_equal(system(command), 0);
        _cleanup_(layers_closep) struct layers *layers = open_layers(place);
        assert_int_equal(layers_open_content(layers, &text_content, &err), -EUCLEAN);
        assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
        if (!strstr(err.message, cases[i].says))
            fail_msg("'%s' after: %s", err.message, cases[i].damage);
    }
}

static void a_directory_that_the_index_does_not_know_is_damage(void **state) {
    struct place *place = *state;
    struct snap_err err = {0};
    capture(place);
    _cleanup_(layers_closep) struct layers *layers = open_layers(place);
    struct content content = text_content;
    content.dir = 77;
    assert_int_equal(layers_open_content(layers, &content, &err), -EUCLEAN);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

static void content_can_be_linked_into_another_directory(void **state) {
    struct place *place = *state;
    struct snap_err err = {0};
    capture(place);
    _cleanup_(layers_closep) struct layers *layers = open_layers(place);
    assert_int_equal(layers_link_content(layers, &text_content, place->fd, "linked", &err), 0);
    assert_int_equal(stat_in(place->fd, "linked").st_nlink, 2);
    assert_int_equal(layers_link_content(layers, &text_content, place->fd, "linked", &err), -EEXIST);
}

static void *read_often(void *data) {
    for (int i = 0; i < 500; i++) {
        _close_ int fd = layers_open_content(data, i % 2 ? &text_content : &top_content, NULL);
        if (fd < 0)
            return data;
    }
    return NULL;
}

static void many_threads_read_at_once(void **state) {
    struct place *place = *state;
    capture(place);
    _cleanup_(layers_closep) struct layers *layers = open_layers(place);
    pthread_t threads[8];
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, layers), 0);
    for (size_t i = 0; i < ELEMENTS(threads); i++) {
        void *failed = layers;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_whiteout_is_a_device_0_0), CASE(a_whiteout_in_xattr_form_is_one_too), CASE(nothing_else_is_a_whiteout),
        CASE(opaque_and_redirect_are_read_back), CASE(the_mark_for_xattr_whiteouts_is_not_opaque),
        CASE(directories_end_where_they_belong), CASE(what_is_not_published_leaves_nothing),
        CASE(what_is_published_and_not_committed_leaves_nothing), CASE(leftovers_of_the_same_number_go_first),
        CASE(special_files_are_made_or_stood_in_for), CASE(names_of_one_object_are_links_in_the_layer),
        CASE(what_is_removed_can_be_made_again), CASE(marks_survive_the_metadata),
        CASE(without_privilege_what_is_stored_can_be_read_back), CASE(the_kernel_understands_the_marks),
        CASE(content_is_found_by_directory_and_name), CASE(content_is_found_where_its_directory_was_then),
        CASE(many_layers_and_directories_do_not_run_out_of_descriptors), CASE(damage_names_layer_and_path),
        CASE(a_directory_that_the_index_does_not_know_is_damage), CASE(content_can_be_linked_into_another_directory),
        CASE(many_threads_read_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
