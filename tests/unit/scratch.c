/* A scratch project and store for tests of the core. SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct scratch *scratch_now;

static void tell(void *data, enum snap_notice kind, const char *path, const char *text) {
    (void)data;
    if (kind == SNAP_NOTICE_FAILED_PATH)
        print_message("failed path: %s: %s\n", path, text);
}

static struct snap_project *project_new(const char *root, int rootfd, struct store *store) {
    struct snap_project *project = calloc(1, sizeof(*project));
    struct statx stat;
    assert_non_null(project);
    assert_int_equal(fs_statx(rootfd, "", &stat), 0);
    pthread_mutex_init(&project->telling, NULL);
    project->env.notice = tell;
    project->root = rootfd;
    project->device = (uint64_t)stat.stx_dev_major << 32 | stat.stx_dev_minor;
    project->mount = stat.stx_mnt_id;
    project->store = store;
    project->info.root = strdup(root);
    project->info.store = strdup(store_path(store));
    project->info.inside = "";
    project->info.same_file_system = true;
    return project;
}

static int setup_in(void **state, const char *parent) {
    struct scratch *scratch = calloc(1, sizeof(*scratch));
    struct snap_err err = {0};
    struct store *store = NULL;
    char path[96];
    snprintf(scratch->path, sizeof(scratch->path), "%s/snapctl-test-XXXXXX", parent);
    if (!mkdtemp(scratch->path))
        return -1;
    snprintf(path, sizeof(path), "%s/project", scratch->path);
    if (mkdir(path, 0755) < 0 || (scratch->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -1;
    char where[96];
    snprintf(where, sizeof(where), "%s/store", scratch->path);
    if (store_create(where, &err) < 0 || store_open(where, &store, &err) < 0
        || store_lock(store, STORE_LOCK_TRY, "test", NULL, &err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    scratch->project = project_new(path, scratch->root, store);
    *state = scratch_now = scratch;
    return 0;
}

int scratch_setup(void **state) {
    return setup_in(state, "/tmp");
}

int scratch_setup_in_memory(void **state) {
    return setup_in(state, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

int scratch_teardown(void **state) {
    struct scratch *scratch = *state;
    layers_close(scratch->project->layers);
    store_close(scratch->project->store);
    free((char *)(uintptr_t)scratch->project->info.root);
    free((char *)(uintptr_t)scratch->project->info.store);
    free(scratch->project);
    close(scratch->root);
    int r = fs_remove_tree(AT_FDCWD, scratch->path);
    free(scratch);
    return r;
}

void scratch_write(struct scratch *scratch, const char *path, const char *text) {
    _close_ int fd = openat(scratch->root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

void scratch_mkdir(struct scratch *scratch, const char *path) {
    assert_return_code(mkdirat(scratch->root, path, 0755), errno);
}

void scratch_run(struct scratch *scratch, const char *shell) {
    _free_ char *command = NULL;
    assert_true(asprintf(&command, "cd '%s/project' && %s", scratch->path, shell) > 0);
    assert_int_equal(system(command), 0);
}

const char *scratch_path(struct scratch *scratch, const char *path) {
    static char whole[4096];
    snprintf(whole, sizeof(whole), "%s/project/%s", scratch->path, path);
    return whole;
}

void scratch_deep(struct scratch *scratch, unsigned levels) {
    _close_ int at = dup(scratch->root);
    for (unsigned i = 0; i < levels; i++) {
        assert_return_code(mkdirat(at, "d", 0755), errno);
        int below = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(below >= 0);
        close(at);
        at = below;
    }
    _close_ int fd = openat(at, "bottom", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "x", 1), 1);
}

static struct point point_of(int64_t number) {
    return (struct point){ .line = INDEX_PROJECT_LINE, .snap = number };
}

static int find(struct scratch *scratch, int64_t number, const char *path, struct object **ret) {
    struct snap_err err = {0};
    int64_t dir;
    _free_ char *name = NULL;
    int r = index_resolve(scratch->project->store, point_of(number), path, &dir, &name, ret, &err);
    if (r < 0)
        fail_msg("%s", err.message);
    return r;
}

void scratch_expect(struct scratch *scratch, int64_t number, const char *path, const char *text) {
    _object_ struct object *object = NULL;
    struct snap_err err = {0};
    int found = find(scratch, number, path, &object);
    if (!found && !text)
        return;
    if (!found || !text)
        fail_msg("snapshot %lld: '%s' is %s", (long long)number, path, found ? "there" : "not there");
    _close_ int fd = project_open_content(scratch->project, object, &err);
    if (fd < 0)
        fail_msg("%s", err.message);
    char content[256] = "";
    ssize_t size = read(fd, content, sizeof(content) - 1);
    assert_true(size >= 0);
    assert_string_equal(content, text);
}

int64_t scratch_object(struct scratch *scratch, int64_t number, const char *path) {
    _object_ struct object *object = NULL;
    assert_int_equal(find(scratch, number, path, &object), 1);
    return object->id;
}

unsigned scratch_count(int dirfd) {
    unsigned count = 0;
    _closedir_ DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    return count;
}
