/* The world of the overlay's library: paths are walked, and verbs called, as a kernel would through FUSE.
 * Half of the objects stay held after an action, as they do in a kernel's caches. SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include "cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { HANDLES = 8 };

struct library {
    struct world world;
    struct overlay *overlay;
    struct world_stack stack;
    int lowers[16];
    struct overlay_handle *handles[HANDLES];
    uint64_t nodes[HANDLES];
    unsigned acts;
};

static struct overlay_caller caller = { .umask = 022 };

/* `count` lookups of a node end, or every other time do not. */
static void done_with(struct library *library, uint64_t node) {
    if (node != OVERLAY_ROOT && library->acts++ % 2)
        overlay_forget(library->overlay, node, 1);
}

/* The directory and last name of `path`. */
static int find_parent(struct library *library, const char *path, uint64_t *ret, const char **ret_name) {
    uint64_t at = OVERLAY_ROOT;
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        char name[256];
        struct overlay_entry entry;
        (void)snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
        int r = overlay_lookup(library->overlay, at, name, &entry);
        done_with(library, at);
        if (r < 0)
            return r;
        if (!S_ISDIR(entry.stat.st_mode)) {
            done_with(library, entry.node);
            return S_ISLNK(entry.stat.st_mode) ? -ENOENT : -ENOTDIR;       /* actions make symlinks that lead nowhere */
        }
        at = entry.node;
    }
    *ret = at;
    *ret_name = path;
    return 0;
}

static int find(struct library *library, const char *path, struct overlay_entry *ret) {
    uint64_t parent;
    const char *name;
    int r = find_parent(library, path, &parent, &name);
    if (r < 0)
        return r;
    r = strcmp(name, ".") == 0 ? overlay_getattr(library->overlay, parent, NULL, ret) : overlay_lookup(library->overlay, parent, name, ret);
    if (strcmp(name, ".") != 0)
        done_with(library, parent);
    return r;
}

static int write_handle(struct overlay_handle *handle, off_t offset, const char *text) {
    _buf_ struct buf bytes = {0};
    int r = expand_text(text, &bytes);
    int fd = r < 0 ? r : overlay_data_begin(handle, true);
    if (fd < 0)
        return fd;
    r = pwrite(fd, bytes.data, bytes.size, offset) < 0 ? -errno : 0;
    overlay_data_end(handle);
    return r;
}

static int compare(struct overlay_handle *handle, off_t offset, const char *text) {
    _buf_ struct buf bytes = {0};
    int r = expand_text(text, &bytes);
    _free_ char *got = malloc(bytes.size + 1);
    int fd = r < 0 || !got ? -ENOMEM : overlay_data_begin(handle, false);
    if (fd < 0)
        return fd;
    ssize_t size = pread(fd, got, bytes.size + 1, offset);
    r = size < 0 ? -errno : (size_t)size == bytes.size && (!size || memcmp(got, bytes.data, bytes.size) == 0) ? 0 : -EBADMSG;
    overlay_data_end(handle);
    return r;
}

static int write_file(struct library *library, const char *path, const char *text, bool append) {
    struct overlay *overlay = library->overlay;
    struct overlay_handle *handle = NULL;
    struct overlay_entry entry;
    uint64_t parent;
    const char *name;
    int r = find(library, path, &entry);
    if (r == -ENOENT && !append) {
        r = find_parent(library, path, &parent, &name);
        if (r >= 0)
            r = overlay_create(overlay, &caller, parent, name, 0644, O_WRONLY, &entry, &handle);
    } else if (r >= 0) {
        r = S_ISLNK(entry.stat.st_mode) ? -ELOOP : S_ISDIR(entry.stat.st_mode) ? -EISDIR
            : S_ISFIFO(entry.stat.st_mode) ? -ENXIO : overlay_open_file(overlay, entry.node, O_WRONLY | (append ? 0 : O_TRUNC), &handle);
    }
    if (r < 0)
        return r;
    r = *text && strcmp(text, "*0:") != 0 ? write_handle(handle, append ? entry.stat.st_size : 0, text) : 0;
    overlay_release(overlay, handle);
    done_with(library, entry.node);
    return r;
}

static int read_file(struct library *library, const char *path, const char *text) {
    struct overlay_handle *handle = NULL;
    struct overlay_entry entry;
    int r = find(library, path, &entry);
    if (r >= 0)
        r = overlay_open_file(library->overlay, entry.node, O_RDONLY, &handle);
    if (r < 0)
        return r;
    r = compare(handle, 0, text);
    overlay_release(library->overlay, handle);
    return r;
}

static int count_name(void *data, const struct overlay_name *name) {
    (void)name;
    ++*(int *)data;
    return 0;
}

static int list(struct library *library, const char *path) {
    struct overlay_handle *handle = NULL;
    struct overlay_entry entry;
    int count = 0, r = find(library, path, &entry);
    if (r >= 0)
        r = overlay_open_dir(library->overlay, entry.node, &handle);
    if (r < 0)
        return r;
    r = overlay_read_dir(handle, 0, count_name, &count);
    overlay_release(library->overlay, handle);
    return r < 0 ? r : count;
}

/* Attributes. */

static int set(struct library *library, const char *path, const struct stat *wanted, unsigned what) {
    struct overlay_entry entry;
    int r = find(library, path, &entry);
    return r < 0 ? r : overlay_setattr(library->overlay, &caller, entry.node, NULL, wanted, what, &entry);
}

static int change(struct library *library, char *const *w, unsigned count) {
    struct overlay_entry entry;
    if (strcmp(w[0], "truncate") == 0) {
        int r = find(library, w[1], &entry);
        if (r >= 0 && S_ISLNK(entry.stat.st_mode))
            r = -ELOOP;
        if (r >= 0 && S_ISFIFO(entry.stat.st_mode))
            r = -ENXIO;
        return r < 0 ? r : set(library, w[1], &(struct stat){ .st_size = atol(w[2]) }, OVERLAY_SET_SIZE);
    }
    if (strcmp(w[0], "chmod") == 0)
        return set(library, w[1], &(struct stat){ .st_mode = (mode_t)strtoul(w[2], NULL, 8) }, OVERLAY_SET_MODE);
    if (strcmp(w[0], "chown") == 0 && count == 4)
        return set(library, w[1], &(struct stat){ .st_uid = (uid_t)atol(w[2]), .st_gid = (gid_t)atol(w[3]) }, OVERLAY_SET_UID | OVERLAY_SET_GID);
    if (strcmp(w[0], "utimens") == 0) {
        const struct stat wanted = { .st_atim.tv_sec = atol(w[2]), .st_mtim.tv_sec = atol(w[2]) };
        return set(library, w[1], &wanted, OVERLAY_SET_ATIME | OVERLAY_SET_MTIME);
    }
    int r = find(library, w[1], &entry);
    if (r < 0)
        return r;
    if (strcmp(w[0], "setxattr") == 0 && count == 4)
        return overlay_set_xattr(library->overlay, &caller, entry.node, w[2], w[3], strlen(w[3]), 0);
    return strcmp(w[0], "unsetxattr") == 0 ? overlay_remove_xattr(library->overlay, entry.node, w[2]) : -ENOSYS;
}

static int make(struct library *library, uint64_t parent, const char *name, char *const *w) {
    struct overlay *overlay = library->overlay;
    struct overlay_entry entry;
    mode_t mode = (mode_t)strtoul(w[2], NULL, 8);
    int r = strcmp(w[0], "mkdir") == 0 ? overlay_mkdir(overlay, &caller, parent, name, mode, &entry)
        : strcmp(w[0], "fifo") == 0 ? overlay_mknod(overlay, &caller, parent, name, S_IFIFO | mode, 0, &entry)
        : strcmp(w[0], "symlink") == 0 ? overlay_symlink(overlay, &caller, parent, name, w[2], &entry) : -ENOSYS;
    if (r >= 0)
        done_with(library, entry.node);
    return r;
}

/* Verbs with one or two parents. */
static int move(struct library *library, char *const *w, unsigned count) {
    struct overlay *overlay = library->overlay;
    uint64_t parent, to = 0;
    const char *name, *new_name = NULL;
    int r = find_parent(library, w[1], &parent, &name);
    if (r < 0)
        return r;
    if (strcmp(w[0], "unlink") == 0)
        return overlay_unlink(overlay, parent, name);
    if (strcmp(w[0], "rmdir") == 0)
        return overlay_rmdir(overlay, parent, name);
    if (count < 3)
        return -EINVAL;
    r = make(library, parent, name, w);
    if (r != -ENOSYS)
        return r;
    struct overlay_entry entry;
    bool links = strcmp(w[0], "link") == 0;
    bool renames = strcmp(w[0], "rename") == 0 || strcmp(w[0], "exchange") == 0 || strcmp(w[0], "renew") == 0;
    if (!links && !renames)
        return -ENOSYS;
    if (links && (r = find(library, w[1], &entry)) < 0)
        return r;
    r = find_parent(library, w[2], &to, &new_name);
    if (r < 0)
        return r;
    unsigned how = *w[0] == 'e' ? RENAME_EXCHANGE : strcmp(w[0], "renew") == 0 ? RENAME_NOREPLACE : 0;
    if (renames)
        return overlay_rename(overlay, parent, name, to, new_name, how);
    return overlay_link(overlay, entry.node, to, new_name, &entry);
}

/* Handles. */

static int open_handle(struct library *library, unsigned at, char *const *w) {
    struct overlay *overlay = library->overlay;
    struct overlay_entry entry;
    int r = find(library, w[2], &entry);
    if (r < 0)
        return r;
    if (*w[0] == 't') {
        if (!S_ISDIR(entry.stat.st_mode))
            return -ENOTDIR;
        r = overlay_tmpfile(overlay, &caller, entry.node, 0644, O_RDWR, &entry, &library->handles[at]);
        if (r >= 0)
            library->nodes[at] = entry.node;
        return r;
    }
    library->nodes[at] = entry.node;
    int flags = open_flags(w[3]);
    if (S_ISDIR(entry.stat.st_mode))
        return flags & O_ACCMODE ? -EISDIR : MIN(overlay_open_dir(overlay, entry.node, &library->handles[at]), 0);
    if (S_ISFIFO(entry.stat.st_mode))
        return -ENXIO;
    return overlay_open_file(overlay, entry.node, flags, &library->handles[at]);
}

static void close_handle(struct library *library, unsigned at) {
    if (library->handles[at])
        overlay_release(library->overlay, library->handles[at]);
    library->handles[at] = NULL;
}

static int handle_act(struct library *library, char *const *w, unsigned count) {
    unsigned at = (unsigned)strtoul(w[1], NULL, 10) % HANDLES;
    struct overlay *overlay = library->overlay;
    struct overlay_entry entry;
    if (strcmp(w[0], "open") == 0 || strcmp(w[0], "tmpfile") == 0) {
        close_handle(library, at);
        return open_handle(library, at, w);
    }
    struct overlay_handle *handle = library->handles[at];
    if (!handle)
        return -EBADF;
    if (strcmp(w[0], "pread") == 0)
        return compare(handle, atol(w[2]), w[3]);
    if (strcmp(w[0], "pwrite") == 0)
        return write_handle(handle, atol(w[2]), w[3]);
    if (strcmp(w[0], "fallocate") == 0 && count == 4)
        return overlay_fallocate(handle, 0, atol(w[2]), atol(w[3]));
    if (strcmp(w[0], "fstat") == 0) {
        int r = overlay_getattr(overlay, library->nodes[at], handle, &entry);
        return r < 0 ? r : S_ISDIR(entry.stat.st_mode) ? 0 : (int)(entry.stat.st_nlink * 1000 + (size_t)entry.stat.st_size % 1000);
    }
    if (strcmp(w[0], "linkfd") == 0) {
        uint64_t parent;
        const char *name;
        int r = find_parent(library, w[2], &parent, &name);
        return r < 0 ? r : overlay_link(overlay, library->nodes[at], parent, name, &entry);
    }
    close_handle(library, at);
    return 0;
}

static void tell(void *data, const char *sentence) {
    (void)data;
    (void)fprintf(stderr, "overlay: %s\n", sentence);
}

static int open_overlay(struct library *library) {
    struct lower *lowers[ELEMENTS(library->lowers)];
    struct snap_err err = {0};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < library->stack.lower_count; i++)
        r = lower_layer_open(library->lowers[i], true, &lowers[i]);
    if (r < 0)
        return r;
    const struct overlay_options options = {
        .upper = library->stack.upper, .work = library->stack.work, .lowers = lowers, .lower_count = library->stack.lower_count,
        .flags = library->stack.flags, .log = tell,
    };
    r = overlay_open(&options, &library->overlay, &err);
    if (r < 0)
        (void)fprintf(stderr, "%s\n", err.message);
    return r;
}

static int remount(struct library *library) {
    for (unsigned i = 0; i < HANDLES; i++)
        close_handle(library, i);
    library->overlay = overlay_close(library->overlay);
    return open_overlay(library);
}

static int act(struct world *world, char *const *w, unsigned count) {
    struct library *library = (struct library *)world;
    if (strcmp(w[0], "remount") == 0)
        return remount(library);
    if (count < 2)
        return -EINVAL;
    if (is_of_handle(w[0]))
        return handle_act(library, w, count);
    if (strcmp(w[0], "list") == 0)
        return list(library, w[1]);
    if (strcmp(w[0], "read") == 0)
        return read_file(library, w[1], count > 2 ? w[2] : "");
    if (strcmp(w[0], "write") == 0 || strcmp(w[0], "append") == 0)
        return write_file(library, w[1], count > 2 ? w[2] : "", *w[0] == 'a');
    int r = move(library, w, count);
    return r == -ENOSYS ? change(library, w, count) : r;
}

/* Dumping. */

struct names { char *name[1024]; uint64_t ino[1024]; unsigned char type[1024]; size_t count; };

static int keep_name(void *data, const struct overlay_name *name) {
    struct names *names = data;
    if (strcmp(name->name, ".") == 0 || strcmp(name->name, "..") == 0)
        return 0;
    names->ino[names->count] = name->ino;
    names->type[names->count] = name->type;
    names->name[names->count++] = strdup(name->name);
    return names->count == ELEMENTS(names->name) ? 1 : 0;
}

struct getter { struct overlay *overlay; uint64_t node; };

static ssize_t get(void *data, const char *name, void *value, size_t size) {
    struct getter *getter = data;
    return overlay_get_xattr(getter->overlay, getter->node, name, value, size);
}

static int read_content(struct library *library, const struct overlay_entry *entry, struct buf *out) {
    struct overlay_handle *handle = NULL;
    int r = overlay_open_file(library->overlay, entry->node, O_RDONLY, &handle);
    int fd = r < 0 ? r : overlay_data_begin(handle, false);
    char block[65536];
    ssize_t got = fd;
    for (off_t at = 0; fd >= 0 && (got = pread(fd, block, sizeof(block), at)) > 0; at += got)
        buf_add(out, block, (size_t)got);
    if (handle)
        overlay_release(library->overlay, handle);
    return got < 0 ? (r < 0 ? r : -EIO) : out->failed;
}

static int dump_entry(struct library *library, const char *path, const struct overlay_entry *entry, struct buf *out) {
    char names[8192];
    _cleanup_(shown_done) struct shown shown = { .path = path, .stat = &entry->stat };
    struct getter getter = { library->overlay, entry->node };
    int r = S_ISREG(entry->stat.st_mode) ? read_content(library, entry, &shown.content)
        : S_ISLNK(entry->stat.st_mode) ? overlay_read_link(library->overlay, entry->node, &shown.content) : 0;
    ssize_t size = r < 0 ? r : overlay_list_xattr(library->overlay, entry->node, names, sizeof(names));
    r = size < 0 ? (int)size : show_xattrs(&shown.xattrs, names, (size_t)size, false, get, &getter);
    if (r >= 0)
        show(out, &shown);
    return r;
}

static int dump_dir(struct library *library, uint64_t node, const char *path, struct buf *out);

static int dump_child(struct library *library, uint64_t node, const char *path, const struct names *names, size_t i, struct buf *out) {
    char child[4096];
    struct overlay_entry entry;
    (void)snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", names->name[i]);
    int r = overlay_lookup(library->overlay, node, names->name[i], &entry);
    if (r < 0) {
        (void)fprintf(stderr, "%s is listed, and then %s\n", child, strerror(-r));
        return r;
    }
    if (entry.stat.st_ino != names->ino[i] || entry.node != names->ino[i] || IFTODT(entry.stat.st_mode) != names->type[i]) {
        (void)fprintf(stderr, "%s is listed with number %llx and has %llx\n", child, (unsigned long long)names->ino[i],
                      (unsigned long long)entry.stat.st_ino);
        return -EUCLEAN;
    }
    r = dump_entry(library, child, &entry, out);
    if (r >= 0 && S_ISDIR(entry.stat.st_mode))
        r = dump_dir(library, entry.node, child, out);
    done_with(library, entry.node);
    return r;
}

static int dump_dir(struct library *library, uint64_t node, const char *path, struct buf *out) {
    struct overlay_handle *handle = NULL;
    struct names *names = calloc(1, sizeof(*names));
    int r = names ? overlay_open_dir(library->overlay, node, &handle) : -ENOMEM;
    if (r >= 0)
        r = overlay_read_dir(handle, 0, keep_name, names);
    if (handle)
        overlay_release(library->overlay, handle);
    for (size_t i = 0; r >= 0 && i + 1 < names->count; i++) {      /* sorted by exchange: there are few */
        for (size_t k = i + 1; k < names->count; k++) {
            if (strcmp(names->name[i], names->name[k]) <= 0)
                continue;
            char *name = names->name[i];
            uint64_t ino = names->ino[i];
            unsigned char type = names->type[i];
            names->name[i] = names->name[k], names->ino[i] = names->ino[k], names->type[i] = names->type[k];
            names->name[k] = name, names->ino[k] = ino, names->type[k] = type;
        }
    }
    for (size_t i = 0; names && i < names->count; i++) {
        if (r >= 0)
            r = dump_child(library, node, path, names, i, out);
        free(names->name[i]);
    }
    free(names);
    return r;
}

static int dump(struct world *world, struct buf *ret) {
    return dump_dir((struct library *)world, OVERLAY_ROOT, "", ret);
}

static int identify(struct world *world, const char *path, struct world_id *ret) {
    struct library *library = (struct library *)world;
    struct overlay_entry entry;
    int r = find(library, path, &entry);
    if (r < 0)
        return r;
    *ret = (struct world_id){ .number = entry.stat.st_ino, .generation = entry.generation };
    done_with(library, entry.node);
    return 0;
}

static void close_world(struct world *world) {
    struct library *library = (struct library *)world;
    for (unsigned i = 0; i < HANDLES; i++)
        close_handle(library, i);
    (void)overlay_close(library->overlay);
    free(library);
}

struct overlay *world_overlay(struct world *world) {
    return ((struct library *)world)->overlay;
}

int world_open_overlay(const struct world_stack *stack, struct world **ret) {
    struct library *library = calloc(1, sizeof(*library));
    if (!library || stack->lower_count > ELEMENTS(library->lowers)) {
        free(library);
        return -ENOMEM;
    }
    caller.uid = geteuid();
    caller.gid = getegid();
    *library = (struct library){ .world = { .act = act, .dump = dump, .identify = identify, .close = close_world }, .stack = *stack };
    memcpy(library->lowers, stack->lowers, stack->lower_count * sizeof(*stack->lowers));
    int r = open_overlay(library);
    if (r < 0) {
        free(library);
        return r;
    }
    *ret = &library->world;
    return 0;
}
