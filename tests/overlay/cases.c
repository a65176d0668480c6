/* Cases as data: lower trees, actions with their results, the tree that has to be shown and the layer that has to be written; in
 * our library, in the kernel's overlayfs (as root), and in a mount made by a command.
 *
 * A file: `lower` and the actions that fill it, top first; `do` and actions, each with `= ERRNO` if it has to fail; `tree` and
 * `layer`, as dumps show them (what stands in `layer` is our library's). `kernel no: REASON` leaves the kernel out. Then both
 * change places: the kernel mounts what the library wrote, the library opens what the kernel wrote, and the tree is the same
 * (`foreign no: REASON` leaves that out). `user no: REASON`: only as root.
 *
 * usage: cases [--mount COMMAND] FILE...     %l, %u, %w and %m in COMMAND: lower directories (colons between), upper, work, mount point
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include "cleanup.h"
#include "fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { LOWERS = 4, LINES = 64, LINE = 300 };

struct section { char line[LINES][LINE]; unsigned count; };
struct test_case {
    struct section lowers[LOWERS], actions, tree, layer;
    unsigned lower_count;
    bool has_tree, has_layer;
    char no_kernel[LINE], no_foreign[LINE], no_user[LINE];
};

static const struct { const char *name; int number; } errors[] = {
    { "ENOENT", ENOENT }, { "EEXIST", EEXIST }, { "ENOTDIR", ENOTDIR }, { "EISDIR", EISDIR }, { "ENOTEMPTY", ENOTEMPTY }, { "EINVAL", EINVAL },
    { "EPERM", EPERM }, { "ENODATA", ENODATA }, { "ELOOP", ELOOP }, { "EXDEV", EXDEV }, { "ENAMETOOLONG", ENAMETOOLONG }, { "EIO", EIO },
    { "EOPNOTSUPP", EOPNOTSUPP }, { "EBADMSG", EBADMSG },
};

static int error_named(const char *name) {
    for (size_t i = 0; i < ELEMENTS(errors); i++) {
        if (strcmp(name, errors[i].name) == 0)
            return -errors[i].number;
    }
    return 1;                  /* equals no result */
}

/* Reading. */

static struct section *section_named(struct test_case *test, const char *word) {
    if (strcmp(word, "lower") == 0)
        return test->lower_count < LOWERS ? &test->lowers[test->lower_count++] : NULL;
    if (strcmp(word, "do") == 0)
        return &test->actions;
    test->has_tree |= strcmp(word, "tree") == 0;
    test->has_layer |= strcmp(word, "layer") == 0;
    return strcmp(word, "tree") == 0 ? &test->tree : strcmp(word, "layer") == 0 ? &test->layer : NULL;
}

static bool is_note(const char *line, const char *note, char (*ret)[LINE]) {
    if (strncmp(line, note, strlen(note)) != 0)
        return false;
    (void)snprintf(*ret, LINE, "%s", line + strlen(note));
    return true;
}

static int read_case(const char *path, struct test_case *test) {
    char line[LINE];
    struct section *section = NULL;
    FILE *file = fopen(path, "re");
    int r = file ? 0 : -errno;
    while (r >= 0 && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *text = line + strspn(line, " ");
        if (*text == '#' || *text == '\0' || is_note(line, "kernel no: ", &test->no_kernel) || is_note(line, "foreign no: ", &test->no_foreign)
            || is_note(line, "user no: ", &test->no_user))
            continue;
        if (text == line)
            section = section_named(test, line);
        else if (section && section->count < LINES)
            (void)snprintf(section->line[section->count++], LINE, "%s", text);
        if (!section)
            r = -EINVAL;
    }
    if (file)
        (void)fclose(file);
    return r;
}

/* The rooms of one run. */
struct scene {
    char base[64];
    int fd, upper, work, lowers[LOWERS];
    unsigned lower_count;
};

static int open_room(struct scene *scene, const char *name) {
    if (mkdirat(scene->fd, name, 0755) < 0 && errno != EEXIST)
        return -1;
    return openat(scene->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int fill(int dirfd, const struct section *section) {
    struct world *world = NULL;
    int r = world_open_directory(dirfd, true, &world);
    for (unsigned i = 0; r >= 0 && i < section->count; i++) {
        char line[LINE];
        memcpy(line, section->line[i], sizeof(line));
        r = world_do(world, line);
        if (r < 0)
            printf("    cannot prepare '%s': %s\n", section->line[i], strerror(-r));
    }
    if (world)
        world->close(world);
    return r;
}

static int set_up(struct scene *scene, const struct test_case *test) {
    char name[16];
    (void)snprintf(scene->base, sizeof(scene->base), "%s/snapctl-overlay-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(scene->base) || (scene->fd = open(scene->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -1;
    scene->upper = open_room(scene, "upper");
    scene->work = open_room(scene, "work");
    scene->lower_count = test->lower_count;
    for (unsigned i = 0; i < test->lower_count; i++) {
        (void)snprintf(name, sizeof(name), "lower%u", i);
        scene->lowers[i] = open_room(scene, name);
        if (scene->lowers[i] < 0 || fill(scene->lowers[i], &test->lowers[i]) < 0)
            return -1;
    }
    return scene->upper < 0 || scene->work < 0 ? -1 : 0;
}

static void take_down(struct scene *scene) {
    (void)fd_close(scene->upper);
    (void)fd_close(scene->work);
    for (unsigned i = 0; i < scene->lower_count; i++)
        (void)fd_close(scene->lowers[i]);
    (void)fd_close(scene->fd);
    if (fs_remove_tree(AT_FDCWD, scene->base) < 0)
        printf("    cannot remove %s\n", scene->base);
}

static struct world *open_library(const struct scene *scene) {
    struct world *world = NULL;
    const struct world_stack stack = { .upper = scene->upper, .work = scene->work, .lowers = scene->lowers, .lower_count = scene->lower_count };
    return world_open_overlay(&stack, &world) < 0 ? NULL : world;
}

/* Mounting. */

static void add_lowers(const struct scene *scene, struct buf *out) {
    for (unsigned i = 0; i < scene->lower_count; i++)
        buf_fmt(out, "%s%s/lower%u", i ? ":" : "", scene->base, i);
}

static int mount_kernel(const struct scene *scene, const char *work) {
    _buf_ struct buf options = {0}, at = {0};
    buf_str(&options, "userxattr,lowerdir=");
    add_lowers(scene, &options);
    buf_fmt(&options, ",upperdir=%s/upper,workdir=%s/%s", scene->base, scene->base, work);
    buf_fmt(&at, "%s/mount", scene->base);
    return mount("overlay", at.data, "overlay", 0, options.data) < 0 ? -errno : 0;
}

static int mount_command(const struct scene *scene, const char *command) {
    _buf_ struct buf line = {0};
    for (; *command; command++) {
        if (command[0] != '%' || !command[1]) {
            buf_char(&line, *command);
            continue;
        }
        command++;
        if (*command == 'l')
            add_lowers(scene, &line);
        else
            buf_fmt(&line, "%s/%s", scene->base, *command == 'u' ? "upper" : *command == 'w' ? "work" : "mount");
    }
    return system(line.data) == 0 ? 0 : -EIO;
}

static struct world *open_mount(struct scene *scene, const char *command) {
    struct world *world = NULL;
    _close_ int point = open_room(scene, "mount");
    int r = point < 0 ? -errno : command ? mount_command(scene, command) : mount_kernel(scene, "work");
    _close_ int fd = r < 0 ? r : openat(scene->fd, "mount", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || world_open_directory(fd, false, &world) < 0) {
        printf("    cannot mount: %s\n", strerror(-r));
        return NULL;
    }
    return world;
}

static void unmount(const struct scene *scene) {
    _buf_ struct buf at = {0};
    buf_fmt(&at, "%s/mount", scene->base);
    (void)umount2(at.data, 0);             /* of what was not mounted after all */
}

/* Comparing. */

static int do_actions(struct world *world, const struct section *actions) {
    for (unsigned i = 0; i < actions->count; i++) {
        char line[LINE];
        memcpy(line, actions->line[i], sizeof(line));
        char *wanted = strstr(line, " = ");
        int expected = 0;
        if (wanted) {
            *wanted = '\0';
            expected = error_named(wanted + 3);
        }
        int r = world_do(world, line);
        if (MIN(r, 0) != expected) {
            printf("    '%s' gives %s\n", actions->line[i], r < 0 ? strerror(-r) : "success");
            return -1;
        }
    }
    return 0;
}

static int check_dump(const char *what, const struct buf *dump, const struct section *wanted) {
    _buf_ struct buf text = {0};
    for (unsigned i = 0; i < wanted->count; i++)
        buf_fmt(&text, "%s\n", wanted->line[i]);
    if (text.size == dump->size && (!text.size || memcmp(text.data, dump->data, text.size) == 0))
        return 0;
    printf("    %s is\n%.*s    expected\n%.*s", what, (int)dump->size, dump->size ? dump->data : "", (int)text.size, text.size ? text.data : "");
    return -1;
}

static int check_tree(struct world *world, const char *what, const struct section *wanted) {
    _buf_ struct buf dump = {0};
    int r = world->dump(world, &dump);
    if (r < 0)
        printf("    %s cannot be read: %s\n", what, strerror(-r));
    return r < 0 ? r : check_dump(what, &dump, wanted);
}

static int check_layer(const struct scene *scene, const struct section *wanted) {
    struct world *world = NULL;
    int r = world_open_directory(scene->upper, true, &world);
    if (r >= 0)
        r = check_tree(world, "the layer", wanted);
    if (world)
        world->close(world);
    return r;
}

static int run_in(struct world *world, const struct test_case *test) {
    int r = world ? do_actions(world, &test->actions) : -1;
    return r < 0 || !test->has_tree ? r : check_tree(world, "the tree", &test->tree);
}

static int run_library(const struct test_case *test, bool with_kernel) {
    struct scene scene = { .fd = -1, .upper = -1, .work = -1 };
    int r = set_up(&scene, test);
    struct world *world = r < 0 ? NULL : open_library(&scene);
    r = run_in(world, test);
    if (r >= 0)
        r = world_do(world, (char[]){ "remount" });
    if (r >= 0 && test->has_tree)
        r = check_tree(world, "the tree, opened again,", &test->tree);
    if (world)
        world->close(world);
    if (r >= 0 && test->has_layer)
        r = check_layer(&scene, &test->layer);
    if (r >= 0 && with_kernel && test->has_tree && !*test->no_foreign) {
        world = open_mount(&scene, NULL);
        r = world ? check_tree(world, "the tree, mounted by the kernel,", &test->tree) : -1;
        if (world)
            world->close(world);
        unmount(&scene);
    }
    take_down(&scene);
    return r;
}

static int run_mounted(const struct test_case *test, const char *command) {
    struct scene scene = { .fd = -1, .upper = -1, .work = -1 };
    int r = set_up(&scene, test);
    struct world *world = r < 0 ? NULL : open_mount(&scene, command);
    r = run_in(world, test);
    if (world)
        world->close(world);
    unmount(&scene);
    world = r >= 0 && !*test->no_foreign ? open_library(&scene) : NULL;
    if (world && test->has_tree)
        r = check_tree(world, "the tree, opened by the library,", &test->tree);
    if (world)
        world->close(world);
    take_down(&scene);
    return r;
}

static unsigned passed, failed, skipped;

static void tell(const char *path, const char *where, int r) {
    const char *name = strrchr(path, '/');
    printf("%s in %s: %s\n", name ? name + 1 : path, where, r < 0 ? "FAILED" : "ok");
    passed += r >= 0;
    failed += r < 0;
}

static void skip(const char *path, const char *where, const char *why) {
    const char *name = strrchr(path, '/');
    printf("%s in %s: skipped: %s\n", name ? name + 1 : path, where, why);
    skipped++;
}

static void run_file(const char *path, const char *command) {
    struct test_case *test = calloc(1, sizeof(*test));
    int r = test ? read_case(path, test) : -ENOMEM;
    bool root = geteuid() == 0;
    tell(path, "a file", r);
    if (r >= 0 && !root && *test->no_user) {
        skip(path, "the library", test->no_user);
        r = -EPERM;
    }
    if (r >= 0)
        tell(path, "the library", run_library(test, root && !*test->no_kernel));
    if (r >= 0 && *test->no_kernel)
        skip(path, "the kernel", test->no_kernel);
    else if (r >= 0 && !root)
        skip(path, "the kernel", "mounting needs root");
    else if (r >= 0)
        tell(path, "the kernel", run_mounted(test, NULL));
    if (r >= 0 && command)
        tell(path, "the mount", run_mounted(test, command));
    free(test);
}

int main(int argc, char **argv) {
    const char *command = NULL;
    (void)umask(022);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mount") == 0 && i + 1 < argc)
            command = argv[++i];
        else
            run_file(argv[i], command);
    }
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed || !passed ? 1 : 0;
}
