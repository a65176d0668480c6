/* Opening and closing an overlay, and what is asked of it as a whole.
 * Decides nothing about entries. SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include "at.h"
#include "find.h"
#include "fs.h"
#include "below.h"
#include "numbers.h"
#include "records.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

enum { DESCRIPTORS = 1024, SHARE = 8 };      /* of directories kept open: at most so many, and such a part of what we may have */

void overlay_log(struct overlay *overlay, const char *format, ...) {
    char sentence[1024];
    va_list list;
    if (!overlay->log)
        return;
    va_start(list, format);
    int size = vsnprintf(sentence, sizeof(sentence), format, list);
    va_end(list);
    if (size > 0)
        overlay->log(overlay->data, sentence);
}

/* What a tree's numbers are unique in. Two trees of one file system share them; a snapshot's are its own. */
static int find_domain(struct lower *lower, dev_t device, uint64_t *ret) {
    struct statvfs stat = {0};
    if (lower->device == device) {
        *ret = 0;
        return 0;
    }
    int r = lower->device && lower->ops->statfs ? lower->ops->statfs(lower, &stat) : 0;
    *ret = stat.f_fsid ? stat.f_fsid : lower->device ? lower->device : (uint64_t)-1;
    return r;
}

static int open_lowers(struct overlay *overlay, dev_t device) {
    for (size_t i = 0; i < overlay->lower_count; i++) {
        struct lower *lower = overlay->lowers[i];
        struct lower_entry entry = {0};
        int r = lower->ops->root(lower, &entry);
        if (r >= 0)
            r = find_domain(lower, device, &overlay->domains[i]);
        free(entry.redirect);
        overlay->roots[i] = entry.dir;
        overlay->root->dir.parts[i] = (struct part){ .lower = (unsigned)i, .ino = entry.stat.st_ino,
                                                     .dir = entry.dir ? lower->ops->ref(entry.dir) : NULL };
        overlay->root->dir.part_count = (unsigned)(entry.dir ? i + 1 : i);
        if (r < 0)
            return r;
        if (entry.opaque) {
            overlay->lower_count = i + 1;          /* the rest is never seen, but stays owned */
            return 0;
        }
    }
    return 0;
}

static int open_room(int work, const char *name, int *ret) {
    if (mkdirat(work, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    *ret = openat(work, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret < 0 ? -errno : 0;
}

/* Directories in the work directory, called as the kernel's are; the first is emptied. */
static int open_work(struct overlay *overlay, int work) {
    int r = open_room(work, "work", &overlay->work);
    if (r >= 0 && flock(overlay->work, LOCK_EX | LOCK_NB) < 0)
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;      /* what another mount is making in there would be swept away */
    if (r < 0) {
        overlay->work = fd_close(overlay->work);
        return r;
    }
    work_clear(overlay->work);
    return open_room(work, "index", &overlay->index);
}

static int open_records(struct overlay *overlay, const struct overlay_options *options) {
    int r = records_open(options->work, options->upper, overlay->index, &overlay->records);
    if (r > 0)
        overlay_log(overlay, "the log of identities was not whole, and was mended from the current layer");
    return r < 0 ? r : index_check(overlay);
}

static int same_file_system(int upper, int work) {
    struct stat a, b;
    if (fstat(upper, &a) < 0 || fstat(work, &b) < 0)
        return -errno;
    return a.st_dev == b.st_dev ? 0 : -EXDEV;
}

static int open_upper(struct overlay *overlay, const struct overlay_options *options) {
    int limit = fs_raise_descriptor_limit();
    int r = limit < 0 ? limit : same_file_system(options->upper, options->work);
    if (r >= 0)
        r = dirs_open(options->upper, MIN((unsigned)limit / SHARE, (unsigned)DESCRIPTORS), &overlay->upper);
    if (r >= 0)
        r = open_work(overlay, options->work);
    if (r >= 0)
        r = open_records(overlay, options);
    if (r < 0)
        return r;
    overlay->handles_last = at_handles_last(options->upper);
    overlay->root->dir.upper = dir_ref(dirs_root(overlay->upper));
    node_mark(overlay->root, NODE_UPPER);
    struct marks marks = {0};
    r = marks_read(options->upper, "", &marks);
    free(marks.redirect);
    if (marks.has_whiteouts || options->flags & OVERLAY_PLAIN_MARKS)
        atomic_store(&overlay->plain_marks, true);
    if (marks.opaque)
        overlay_log(overlay, "the current layer hides everything below it");
    return r;
}

static int init_locks(struct overlay *overlay) {
    pthread_rwlockattr_t attributes;
    int r = pthread_rwlockattr_init(&attributes);
    if (r == 0)
        r = pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    if (r == 0)
        r = pthread_rwlock_init(&overlay->tree, &attributes);
    if (r == 0)
        r = pthread_mutex_init(&overlay->table, NULL);
    for (size_t i = 0; r == 0 && i < STRIPES; i++) {
        r = pthread_mutex_init(&overlay->stripes[i].mutex, NULL);
        if (r == 0)
            r = pthread_cond_init(&overlay->stripes[i].cond, NULL);
    }
    return -r;
}

static int allocate(struct overlay *overlay, const struct overlay_options *options) {
    size_t count = options->lower_count;
    overlay->lowers = calloc(count + 1, sizeof(*overlay->lowers));
    overlay->roots = calloc(count + 1, sizeof(*overlay->roots));
    overlay->domains = calloc(count + 1, sizeof(*overlay->domains));
    overlay->root = calloc(1, sizeof(*overlay->root));
    overlay->owned = calloc(count + 1, sizeof(*overlay->owned));
    struct part *parts = calloc(count + 1, sizeof(*parts));
    if (!overlay->lowers || !overlay->owned || !overlay->roots || !overlay->domains || !overlay->root || !parts) {
        free(parts);
        return -ENOMEM;
    }
    if (count) {
        memcpy(overlay->lowers, options->lowers, count * sizeof(*overlay->lowers));
        memcpy(overlay->owned, options->lowers, count * sizeof(*overlay->owned));
    }
    overlay->lower_count = overlay->owned_count = count;
    *overlay->root = (struct node){ .number = OVERLAY_ROOT, .type = S_IFDIR, .refs = 1, .fd = -1 };
    overlay->root->dir.parts = parts;
    return init_locks(overlay);
}

static void free_table(struct overlay *overlay) {
    for (size_t i = 0; i < overlay->slot_count; i++) {
        struct node *node = overlay->slots[i];
        while (node) {                     /* parents go with the last of their children */
            bool held = node->lookups;
            if (held)
                overlay_forget(overlay, node->number, UINT64_MAX);
            node = held ? overlay->slots[i] : node->next;
        }
    }
    free(overlay->slots);
}

static void free_root(struct overlay *overlay) {
    struct node *root = overlay->root;
    if (!root)
        return;
    (void)dir_unref(root->dir.upper);
    for (unsigned i = 0; i < root->dir.part_count; i++)
        overlay->lowers[i]->ops->unref(overlay->lowers[i], root->dir.parts[i].dir);
    free(root->dir.parts);
    free(root);
}

/* All but the lower trees themselves, which are the caller's until an open succeeds. */
static void dismantle(struct overlay *overlay) {
    free_table(overlay);
    free_root(overlay);
    for (size_t i = 0; i < overlay->lower_count; i++) {
        if (overlay->roots && overlay->roots[i])
            overlay->lowers[i]->ops->unref(overlay->lowers[i], overlay->roots[i]);
    }
    if (overlay->work >= 0)
        work_clear(overlay->work);
    overlay->work = fd_close(overlay->work);
    overlay->index = fd_close(overlay->index);
    overlay->upper = dirs_close(overlay->upper);
    overlay->records = records_close(overlay->records);
    overlay->finder = finder_close(overlay->finder);
    free(overlay->lowers);
    free(overlay->owned);
    free(overlay->roots);
    free(overlay->domains);
    free(overlay->by_name);
    (void)below_close(overlay->below);
    free(overlay);
}

static int open_all(struct overlay *overlay, const struct overlay_options *options, struct snap_err *err) {
    int r = allocate(overlay, options);
    if (r >= 0)
        r = finder_open(&overlay->finder);
    if (r < 0)
        return err_errno(err, r, "cannot set up the overlay");
    if (options->upper >= 0)
        r = open_upper(overlay, options);
    if (r == -EBUSY)
        return err_set(err, r, "the work directory belongs to a mount that is running");
    if (r < 0)
        return err_errno(err, r, "cannot use the current layer and its work directory");
    struct stat stat = {0};
    if (options->upper >= 0 && fstat(options->upper, &stat) < 0)
        return err_errno(err, -errno, "cannot look at the current layer");
    if (options->upper < 0 && options->lower_count)
        stat.st_dev = options->lowers[0]->device;
    if (options->flags & OVERLAY_FOLLOW && (r = below_open(overlay, options->watches_max)) < 0)
        return err_errno(err, r, "cannot follow what changes below");
    r = open_lowers(overlay, stat.st_dev);
    return r < 0 ? err_errno(err, r, "cannot look at a lower tree") : 0;
}

int overlay_open(const struct overlay_options *options, struct overlay **ret, struct snap_err *err) {
    struct overlay *overlay = calloc(1, sizeof(*overlay));
    if (!overlay)
        return err_nomem(err);
    overlay->work = overlay->index = -1;
    overlay->flags = options->flags;
    overlay->log = options->log;
    overlay->data = options->data;
    overlay->uid = geteuid();
    overlay->gid = getegid();
    int r = open_all(overlay, options, err);
    if (r < 0) {
        dismantle(overlay);
        return r;
    }
    *ret = overlay;
    return 0;
}

struct overlay *overlay_close(struct overlay *overlay) {
    if (!overlay)
        return NULL;
    struct lower **lowers = TAKE_PTR(overlay->owned);
    size_t count = overlay->owned_count;
    dismantle(overlay);
    for (size_t i = 0; i < count; i++)
        lowers[i]->ops->close(lowers[i]);
    free(lowers);
    return NULL;
}

int overlay_statfs(struct overlay *overlay, struct statvfs *ret) {
    if (overlay->upper) {
        _pinned_ struct dir_pinned at = dir_pinned(dirs_root(overlay->upper));
        return at.fd < 0 ? at.fd : fstatvfs(at.fd, ret) < 0 ? -errno : 0;
    }
    struct lower *lower = overlay->lower_count ? overlay->lowers[0] : NULL;
    return lower && lower->ops->statfs ? lower->ops->statfs(lower, ret) : -ENOSYS;
}

int overlay_sync(struct overlay *overlay) {
    if (!overlay->upper)
        return 0;
    _pinned_ struct dir_pinned at = dir_pinned(dirs_root(overlay->upper));
    return at.fd < 0 ? at.fd : syncfs(at.fd) < 0 ? -errno : 0;      /* the log of records is on the same file system */
}

void overlay_counters(struct overlay *overlay, struct overlay_counters *ret) {
    if (pthread_mutex_lock(&overlay->table) != 0)
        abort();
    size_t nodes = overlay->node_count;
    if (pthread_mutex_unlock(&overlay->table) != 0)
        abort();
    *ret = (struct overlay_counters){
        .nodes = nodes, .handles = atomic_load(&overlay->handles), .copy_ups = atomic_load(&overlay->copy_ups),
        .bytes_copied = atomic_load(&overlay->bytes_copied), .records = records_count(overlay->records),
        .record_queries = records_read(overlay->records),
    };
}
