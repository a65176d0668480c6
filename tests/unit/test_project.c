/* Opening projects: which one is meant, whose store it is, what is refused, what is repaired.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "op.h"
#include "project.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

DEFINE_CLEANUP(struct snap_project *, snap_project_close)
#define _project_ _cleanup_(snap_project_closep)
#define WRITE_CREATE (SNAP_OPEN_WRITE | SNAP_OPEN_CREATE)

static char place[64];
static int fd = -1;
static const char *mounted;
static char told[8192];        /* all notices of the test */
static struct snap_err err;

static char *path_of(const char *name) {
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % ELEMENTS(paths)];
    snprintf(path, sizeof(paths[0]), *name ? "%s/%s" : "%s%s", place, name);
    return path;
}

static void make(const char *name) {
    assert_return_code(mkdirat(fd, name, 0755), errno);
}

static void run(const char *shell) {
    _free_ char *command = NULL;
    assert_true(asprintf(&command, "cd '%s' && %s", place, shell) > 0);
    assert_int_equal(system(command), 0);
}

static int setup(void **state) {
    (void)state;
    strcpy(place, "/tmp/snapctl-project-XXXXXX");
    assert_non_null(mkdtemp(place));
    fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make("home");
    make("p");
    make("p/sub");
    setenv("HOME", path_of("home"), 1);
    setenv("XDG_STATE_HOME", path_of("state"), 1);
    unsetenv("SUDO_UID");
    told[0] = '\0';
    err = (struct snap_err){0};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fd = fd_close(fd);
    if (mounted)
        umount2(path_of(mounted), MNT_DETACH);
    mounted = NULL;
    return fs_remove_tree(AT_FDCWD, place);
}

static void note(void *data, enum snap_notice kind, const char *path, const char *text) {
    (void)data, (void)path;
    size_t size = strlen(told);
    snprintf(told + size, sizeof(told) - size, "%d %s\n", (int)kind, text);
}

static struct snap_env env_at(const char *dir) {
    return (struct snap_env){ .dir = path_of(dir), .notice = note, .command = "snapctl test" };
}

static int try_open(const char *dir, unsigned flags, struct snap_project **ret) {
    struct snap_env env = env_at(dir);
    return snap_project_open(&env, flags, ret, &err);
}

static struct snap_project *open_at(const char *dir, unsigned flags) {
    struct snap_project *project = NULL;
    if (try_open(dir, flags, &project) < 0)
        fail_msg("%s", err.message);
    return project;
}

static int try_init(const char *dir, unsigned flags, struct snap_project **ret) {
    struct snap_env env = env_at(dir);
    return snap_project_init(&env, flags, ret, &err);
}

static void create(const char *dir) {
    snap_project_close(open_at(dir, WRITE_CREATE));
}

static void assert_refused(const char *dir, unsigned flags, enum snap_failure failure, const char *says) {
    struct snap_project *project = NULL;
    assert_true(try_open(dir, flags, &project) < 0);
    assert_null(project);
    assert_int_equal(err.failure, failure);
    if (!strstr(err.message, says))
        fail_msg("%s", err.message);
}

static unsigned count_in(const char *name) {
    unsigned count = 0;
    _closedir_ DIR *dir = opendir(path_of(name));
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    return count;
}

/* Finding. */

static void where_there_is_no_project_reading_says_so(void **state) {
    (void)state;
    assert_refused("p", SNAP_OPEN_READ, SNAP_FAILURE_NO_PROJECT, "does not lie in a project");
    assert_refused("p", SNAP_OPEN_WRITE, SNAP_FAILURE_NO_PROJECT, "does not lie in a project");
    assert_int_equal(faccessat(fd, "state", F_OK, 0), -1);
}

static void the_first_use_makes_a_project(void **state) {
    (void)state;
    _project_ struct snap_project *project = open_at("p", WRITE_CREATE);
    const struct snap_project_info *info = snap_project_info(project);
    assert_string_equal(info->root, path_of("p"));
    assert_string_equal(info->inside, "");
    assert_true(info->same_file_system);
    assert_false(info->store_inside);
    assert_int_equal(strncmp(info->store, path_of("state/snapctl/p-"), strlen(path_of("state/snapctl/p-"))), 0);
    assert_true(store_locked(project->store));
    assert_non_null(strstr(told, "is a project now"));
}

static int first_operation(void *data, const struct op *op) {
    *(char **)data = strdup(op->kind);
    return 1;
}

static void making_a_project_is_an_operation(void **state) {
    (void)state;
    _free_ char *kind = NULL;
    _project_ struct snap_project *project = open_at("p", WRITE_CREATE);
    assert_int_equal(op_list(project->store, first_operation, &kind, &err), 0);
    assert_string_equal(kind, "init");
}

static void it_is_found_from_below(void **state) {
    (void)state;
    create("p");
    make("p/sub/deeper");
    _project_ struct snap_project *project = open_at("p/sub/deeper", SNAP_OPEN_READ);
    assert_string_equal(snap_project_info(project)->root, path_of("p"));
    assert_string_equal(snap_project_info(project)->inside, "sub/deeper");
    assert_false(store_locked(project->store));
}

static void it_is_found_through_a_symlink(void **state) {
    (void)state;
    create("p");
    assert_return_code(symlinkat("p/sub", fd, "link"), errno);
    _project_ struct snap_project *project = open_at("link", SNAP_OPEN_READ);
    assert_string_equal(snap_project_info(project)->root, path_of("p"));
    assert_string_equal(snap_project_info(project)->inside, "sub");
}

static void the_innermost_project_is_meant(void **state) {
    (void)state;
    struct snap_project *inner = NULL;
    create("p");
    assert_int_equal(try_init("p/sub", 0, &inner), 1);
    assert_string_equal(snap_project_info(inner)->root, path_of("p/sub"));
    snap_project_close(inner);
    _project_ struct snap_project *project = open_at("p/sub", SNAP_OPEN_WRITE);
    assert_string_equal(snap_project_info(project)->root, path_of("p/sub"));
    _project_ struct snap_project *outer = open_at("p", SNAP_OPEN_WRITE);
    assert_string_not_equal(snap_project_info(project)->store, snap_project_info(outer)->store);
}

static void first_use_below_a_project_means_that_project(void **state) {
    (void)state;
    create("p");
    _project_ struct snap_project *project = open_at("p/sub", WRITE_CREATE);
    assert_string_equal(snap_project_info(project)->root, path_of("p"));
}

static void init_tells_whether_it_was_one_already(void **state) {
    (void)state;
    struct snap_project *project = NULL;
    assert_int_equal(try_init("p", 0, &project), 1);
    project = snap_project_close(project);
    assert_int_equal(try_init("p", 0, &project), 0);
    assert_true(store_locked(project->store));
    snap_project_close(project);
    assert_int_equal(count_in("state/snapctl"), 3);      /* one store, the registry and its lock */
}

/* Moving and replacing. */

static void a_moved_project_keeps_its_snapshots(void **state) {
    (void)state;
    create("p");
    assert_return_code(renameat(fd, "p", fd, "q"), errno);
    struct snap_project *project = open_at("q/sub", SNAP_OPEN_READ);
    _free_ char *fact = NULL;
    assert_string_equal(snap_project_info(project)->root, path_of("q"));
    assert_non_null(strstr(told, "moved from"));
    assert_int_equal(store_fact(project->store, "project.path", &fact, &err), 1);
    assert_string_equal(fact, path_of("q"));
    snap_project_close(project);
    told[0] = '\0';
    snap_project_close(open_at("q", SNAP_OPEN_READ));
    assert_string_equal(told, "");
}

static void a_replaced_directory_is_not_touched(void **state) {
    (void)state;
    create("p");
    run("mv p old && mkdir p");
    assert_refused("p", SNAP_OPEN_READ, SNAP_FAILURE_NO_PROJECT, "was replaced by another one");
    assert_refused("p", WRITE_CREATE, SNAP_FAILURE_NO_PROJECT, "was replaced by another one");
    assert_non_null(strstr(err.hint, "init --adopt"));
    snap_project_close(open_at("old", SNAP_OPEN_READ));
}

static void a_replaced_directory_can_take_over(void **state) {
    (void)state;
    struct snap_project *project = open_at("p", WRITE_CREATE);
    _free_ char *store = strdup(snap_project_info(project)->store);
    snap_project_close(project);
    run("rm -r p && mkdir p");
    assert_int_equal(try_init("p", 0, &project), -ESTALE);
    assert_int_equal(try_init("p", SNAP_INIT_ADOPT, &project), 1);
    assert_string_equal(snap_project_info(project)->store, store);
    snap_project_close(project);
    project = open_at("p", SNAP_OPEN_WRITE);
    assert_string_equal(snap_project_info(project)->store, store);
    snap_project_close(project);
    assert_int_equal(try_init("p", SNAP_INIT_ADOPT, &project), 0);
    snap_project_close(project);
}

static void a_replaced_directory_can_begin_anew(void **state) {
    (void)state;
    struct snap_project *project = open_at("p", WRITE_CREATE);
    _free_ char *store = strdup(snap_project_info(project)->store);
    snap_project_close(project);
    run("rm -r p && mkdir p");
    assert_int_equal(try_init("p", SNAP_INIT_FORCE, &project), 1);
    assert_string_not_equal(snap_project_info(project)->store, store);
    snap_project_close(project);
    project = open_at("p", SNAP_OPEN_READ);
    assert_string_not_equal(snap_project_info(project)->store, store);
    snap_project_close(project);
}

static void there_must_be_something_to_adopt(void **state) {
    (void)state;
    struct snap_project *project = NULL;
    assert_int_equal(try_init("p", SNAP_INIT_ADOPT, &project), -ENOENT);
    assert_int_equal(err.failure, SNAP_FAILURE_NO_PROJECT);
}

static void a_missing_store_is_not_made_again_by_itself(void **state) {
    (void)state;
    struct snap_project *project = NULL;
    create("p");
    run("mv state/snapctl/p-* away");
    assert_refused("p", WRITE_CREATE, SNAP_FAILURE_NO_PROJECT, "is missing");
    assert_true(try_init("p", 0, &project) < 0);
    assert_int_equal(try_init("p", SNAP_INIT_FORCE, &project), 1);
    snap_project_close(project);
    create("p");
}

static void a_lost_registry_does_not_make_a_second_store(void **state) {
    (void)state;
    struct snap_project *project = open_at("p", WRITE_CREATE);
    _free_ char *store = strdup(snap_project_info(project)->store);
    snap_project_close(project);
    run("rm state/snapctl/projects");
    project = open_at("p", WRITE_CREATE);
    assert_string_equal(snap_project_info(project)->store, store);
    snap_project_close(project);
}

static void mount_or_skip(const char *source, const char *target, unsigned long flags) {
    if (mount(source ? path_of(source) : "tmpfs", path_of(target), source ? NULL : "tmpfs", flags, NULL) < 0) {
        print_message("skipped: nothing can be mounted here: %s\n", strerror(errno));
        skip();
    }
    mounted = target;
}

static void a_bind_mount_is_the_same_project(void **state) {
    (void)state;
    _free_ char *typed = NULL, *absolute = NULL;
    create("p");
    make("bound");
    mount_or_skip("p", "bound", MS_BIND);
    _project_ struct snap_project *project = open_at("bound/sub", WRITE_CREATE);
    assert_string_equal(snap_project_info(project)->root, path_of("p"));
    assert_string_equal(snap_project_info(project)->inside, "sub");
    assert_int_equal(snap_project_path(project, "../x", &typed, &err), 0);
    assert_string_equal(typed, "x");
    assert_int_equal(snap_project_path(project, path_of("bound/y"), &absolute, &err), 0);
    assert_string_equal(absolute, "y");
}

/* What is refused. */

static void home_and_what_lies_above_it_are_refused(void **state) {
    (void)state;
    struct snap_project *project = NULL;
    struct snap_env env = { .dir = "/" };
    assert_refused("home", WRITE_CREATE, SNAP_FAILURE_USAGE, "is the home directory");
    assert_refused("", WRITE_CREATE, SNAP_FAILURE_USAGE, "above the home directory");
    assert_true(snap_project_open(&env, WRITE_CREATE, &project, &err) < 0);
    assert_non_null(strstr(err.message, "root of the file system"));
    assert_true(try_init("home", 0, &project) < 0);
    assert_int_equal(try_init("home", SNAP_INIT_FORCE, &project), 1);
    project = snap_project_close(project);
    assert_int_equal(try_init("home", 0, &project), 0);
    snap_project_close(project);
    make("home/in");
    snap_project_close(open_at("home/in", WRITE_CREATE));
}

static void the_directory_of_all_stores_is_left_out(void **state) {
    (void)state;
    struct snap_project *project = NULL;
    setenv("XDG_STATE_HOME", path_of("home/.local/state"), 1);
    create("p");
    struct snap_env env = env_at("home");
    env.store = path_of("elsewhere");
    assert_int_equal(snap_project_init(&env, SNAP_INIT_FORCE, &project, &err), 1);
    assert_false(snap_project_info(project)->store_inside);
    assert_string_equal(project_store_inside(project), ".local/state/snapctl");
    snap_project_close(project);
}

static void under_sudo_a_users_directory_is_not_made_roots(void **state) {
    (void)state;
    struct snap_project *project = NULL;
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
    assert_return_code(fchownat(fd, "p", 65534, 65534, 0), errno);
    setenv("SUDO_UID", "65534", 1);
    assert_refused("p", WRITE_CREATE, SNAP_FAILURE_GENERIC, "belongs to user");
    assert_int_equal(try_init("p", SNAP_INIT_FORCE, &project), 1);
    snap_project_close(project);
    create("p");
}

/* Explicit stores. */

static struct snap_project *open_with_store(const char *dir, const char *store, unsigned flags) {
    struct snap_env env = env_at(dir);
    struct snap_project *project = NULL;
    env.store = path_of(store);
    err = (struct snap_err){0};
    return snap_project_open(&env, flags, &project, &err) < 0 ? NULL : project;
}

static void a_store_can_be_named(void **state) {
    (void)state;
    struct snap_project *project = open_with_store("p", "mine/store", WRITE_CREATE);
    assert_non_null(project);
    assert_string_equal(snap_project_info(project)->store, path_of("mine/store"));
    snap_project_close(project);
    project = open_at("p/sub", SNAP_OPEN_READ);
    assert_string_equal(snap_project_info(project)->store, path_of("mine/store"));
    snap_project_close(project);
    run("rm state/snapctl/projects");
    project = open_with_store("p/sub", "mine/store", SNAP_OPEN_WRITE);
    assert_string_equal(snap_project_info(project)->inside, "sub");
    snap_project_close(project);
}

static void a_named_store_that_is_not_there_is_not_read(void **state) {
    (void)state;
    assert_null(open_with_store("p", "mine", SNAP_OPEN_READ));
    assert_int_equal(err.failure, SNAP_FAILURE_NO_PROJECT);
    assert_int_equal(faccessat(fd, "mine", F_OK, 0), -1);
}

static void a_named_store_serves_only_its_project(void **state) {
    (void)state;
    struct snap_project *project = NULL;
    make("q");
    snap_project_close(open_with_store("p", "mine", WRITE_CREATE));
    assert_null(open_with_store("q", "mine", WRITE_CREATE));
    assert_non_null(strstr(err.message, "does not lie in"));
    run("rm -r p");
    struct snap_env env = env_at("q");
    env.store = path_of("mine");
    assert_int_equal(snap_project_init(&env, SNAP_INIT_ADOPT, &project, &err), 1);
    snap_project_close(project);
    project = open_at("q", SNAP_OPEN_READ);
    assert_string_equal(snap_project_info(project)->store, path_of("mine"));
    snap_project_close(project);
}

static void a_project_gets_no_second_store_by_accident(void **state) {
    (void)state;
    create("p");
    assert_null(open_with_store("p", "mine", WRITE_CREATE));
    assert_int_equal(err.failure, SNAP_FAILURE_USAGE);
    assert_non_null(strstr(err.message, "already"));
    assert_int_equal(faccessat(fd, "mine", F_OK, 0), -1);
}

static void a_store_in_the_project_is_left_out(void **state) {
    (void)state;
    _project_ struct snap_project *project = open_with_store("p", "p/sub/.store", WRITE_CREATE);
    assert_non_null(project);
    assert_true(snap_project_info(project)->store_inside);
    assert_string_equal(project_store_inside(project), "sub/.store");
}

static void a_store_is_not_the_project_nor_around_it(void **state) {
    (void)state;
    assert_null(open_with_store("p", "p", WRITE_CREATE));
    assert_int_equal(err.failure, SNAP_FAILURE_USAGE);
    assert_null(open_with_store("p/sub", "p", WRITE_CREATE));
    assert_int_equal(err.failure, SNAP_FAILURE_USAGE);
    assert_int_equal(faccessat(fd, "p/store.db", F_OK, 0), -1);
}

static void the_root_of_a_mount_holds_its_store_and_leaves_it_out(void **state) {
    (void)state;
    char own[40];
    make("m");
    mount_or_skip(NULL, "m", 0);
    _project_ struct snap_project *project = open_at("m", WRITE_CREATE);
    snprintf(own, sizeof(own), ".snapctl-%u", (unsigned)geteuid());
    assert_true(snap_project_info(project)->store_inside);
    assert_string_equal(project_store_inside(project), own);
    assert_non_null(strstr(told, "inside the project"));
}

/* Locks and repair. */

static void writers_exclude_each_other_and_readers_do_not_wait(void **state) {
    (void)state;
    _project_ struct snap_project *writer = open_at("p", WRITE_CREATE);
    assert_non_null(writer);
    assert_refused("p", SNAP_OPEN_WRITE, SNAP_FAILURE_LOCKED, "locked by pid");
    assert_non_null(strstr(err.message, "snapctl test"));
    _project_ struct snap_project *reader = open_at("p", SNAP_OPEN_READ);
    assert_non_null(reader);
    assert_false(store_locked(reader->store));
}

static void many_first_uses_at_once_make_one_store(void **state) {
    (void)state;
    enum { COMMANDS = 8 };
    for (int i = 0; i < COMMANDS; i++) {
        if (fork() > 0)
            continue;
        struct snap_env env = env_at("p");
        struct snap_project *project = NULL;
        env.wait = true;
        int result = snap_project_open(&env, WRITE_CREATE, &project, &err);
        if (result < 0)
            fprintf(stderr, "%s\n", err.message);
        snap_project_close(project);
        _exit(result < 0);
    }
    for (int i = 0, status = 0; i < COMMANDS; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_in("state/snapctl"), 3);
}

static void a_reader_cleans_up_after_a_command_that_was_killed(void **state) {
    (void)state;
    create("p");
    run("cd state/snapctl/p-* && mkdir -p work/7/dirs");
    snap_project_close(open_at("p", SNAP_OPEN_READ));
    assert_non_null(strstr(told, "\n1 "));               /* SNAP_NOTICE_RECOVERED, after that of the making */
    run("! ls state/snapctl/p-*/work | grep .");
}

static void a_reader_leaves_a_running_command_alone(void **state) {
    (void)state;
    _project_ struct snap_project *writer = open_at("p", WRITE_CREATE);
    assert_non_null(writer);
    run("cd state/snapctl/p-* && mkdir -p work/7/dirs");
    told[0] = '\0';
    _project_ struct snap_project *reader = open_at("p", SNAP_OPEN_READ);
    assert_non_null(reader);
    assert_string_equal(told, "");
    run("ls state/snapctl/p-*/work | grep -q 7");
}

static void a_damaged_store_is_called_so(void **state) {
    (void)state;
    create("p");
    run("for f in state/snapctl/p-*/store.db; do printf nonsense > $f; done");
    struct snap_project *project = NULL;
    assert_true(try_open("p", SNAP_OPEN_READ, &project) < 0);
    assert_int_equal(err.failure, SNAP_FAILURE_DAMAGE);
}

/* Paths. */

static void typed_paths_become_paths_of_the_project(void **state) {
    (void)state;
    static const struct { const char *typed, *path; } cases[] = {
        { "a", "sub/a" }, { ".", "sub" }, { "..", "" }, { "../", "" }, { "../b//c/", "b/c" }, { "./a/../b", "sub/b" },
        { "../../p/x", "x" }, { "a/./b", "sub/a/b" }, { "..a", "sub/..a" }, { "../../link/y", "sub/y" }, { "...", "sub/..." },
        { "..", "" }, { "../..", NULL }, { "../../q", NULL }, { "../../pp", NULL }, { "", NULL }, { "/", NULL }, { "/etc/passwd", NULL },
    };
    create("p");
    assert_return_code(symlinkat("p/sub", fd, "link"), errno);
    _project_ struct snap_project *project = open_at("p/sub", SNAP_OPEN_READ);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _free_ char *path = NULL;
        int result = snap_project_path(project, cases[i].typed, &path, &err);
        if (!cases[i].path != (result < 0) || (path && strcmp(path, cases[i].path) != 0))
            fail_msg("'%s' gives '%s' (%d)", cases[i].typed, path ? path : "", result);
        if (result < 0)
            assert_int_equal(err.failure, SNAP_FAILURE_USAGE);
    }
    _free_ char *absolute = NULL;
    assert_int_equal(snap_project_path(project, path_of("p/a b"), &absolute, &err), 0);
    assert_string_equal(absolute, "a b");
}

/* The doctor. */

static int collect(void *data, const struct snap_finding *finding) {
    struct buf *out = data;
    assert_non_null(finding->advice);
    buf_fmt(out, "%s=%d %s\n", finding->topic, (int)finding->result, finding->text);
    return 0;
}

static void examine(const char *dir, struct buf *out) {
    struct snap_env env = env_at(dir);
    if (snap_doctor(&env, collect, out, &err) < 0)
        fail_msg("%s", err.message);
    static const char *const topics[] = { "reflink=", "timestamps=", "leases=", "xattr=", "fuse=", "passthrough=", "namespaces=",
                                          "inotify=", "fanotify=", "libgit2=", "project=" };
    for (size_t i = 0; i < ELEMENTS(topics); i++)
        if (!strstr(out->data, topics[i]))
            fail_msg("no %s in: %s", topics[i], out->data);
}

static void the_doctor_works_without_a_project(void **state) {
    (void)state;
    _buf_ struct buf out = {0};
    examine("p", &out);
    assert_non_null(strstr(out.data, "is not in a project yet"));
    assert_int_equal(faccessat(fd, "state", F_OK, 0), -1);
    run("! ls -A p | grep -v '^sub$'");
}

static void the_doctor_looks_at_project_and_store(void **state) {
    (void)state;
    _buf_ struct buf out = {0};
    create("p");
    examine("p/sub", &out);
    assert_non_null(strstr(out.data, "store=0"));
    assert_non_null(strstr(out.data, "recovery=0"));
    assert_non_null(strstr(out.data, "whiteout="));
    assert_non_null(strstr(out.data, "2 directories to watch"));
    run("! ls state/snapctl/p-*/run | grep probe");
}

static void the_doctor_finds_damage_and_loss(void **state) {
    (void)state;
    _buf_ struct buf damaged = {0};
    _buf_ struct buf missing = {0};
    create("p");
    run("for f in state/snapctl/p-*/store.db; do printf nonsense > $f; done");
    examine("p", &damaged);
    assert_non_null(strstr(damaged.data, "store=2"));
    run("rm -r state/snapctl/p-*");
    examine("p", &missing);
    assert_non_null(strstr(missing.data, "is missing"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(where_there_is_no_project_reading_says_so), CASE(the_first_use_makes_a_project), CASE(making_a_project_is_an_operation),
        CASE(it_is_found_from_below), CASE(it_is_found_through_a_symlink), CASE(the_innermost_project_is_meant),
        CASE(first_use_below_a_project_means_that_project), CASE(init_tells_whether_it_was_one_already),
        CASE(a_moved_project_keeps_its_snapshots), CASE(a_replaced_directory_is_not_touched), CASE(a_replaced_directory_can_take_over),
        CASE(a_replaced_directory_can_begin_anew), CASE(there_must_be_something_to_adopt),
        CASE(a_missing_store_is_not_made_again_by_itself), CASE(a_lost_registry_does_not_make_a_second_store),
        CASE(a_bind_mount_is_the_same_project), CASE(home_and_what_lies_above_it_are_refused),
        CASE(the_directory_of_all_stores_is_left_out), CASE(under_sudo_a_users_directory_is_not_made_roots),
        CASE(a_store_can_be_named), CASE(a_named_store_that_is_not_there_is_not_read), CASE(a_named_store_serves_only_its_project),
        CASE(a_project_gets_no_second_store_by_accident), CASE(a_store_in_the_project_is_left_out),
        CASE(a_store_is_not_the_project_nor_around_it), CASE(the_root_of_a_mount_holds_its_store_and_leaves_it_out),
        CASE(writers_exclude_each_other_and_readers_do_not_wait), CASE(many_first_uses_at_once_make_one_store),
        CASE(a_reader_cleans_up_after_a_command_that_was_killed), CASE(a_reader_leaves_a_running_command_alone),
        CASE(a_damaged_store_is_called_so), CASE(typed_paths_become_paths_of_the_project),
        CASE(the_doctor_works_without_a_project), CASE(the_doctor_looks_at_project_and_store), CASE(the_doctor_finds_damage_and_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
