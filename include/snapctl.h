/* libsnapctl: snapshots for project directories on any Linux file system.
 *
 * A project is an ordinary directory. Its snapshots live in a store outside it: sealed layers
 * in overlayfs' format and one database. Open a project, call verbs on it, close it:
 *
 *     struct snap_err err = {0};
 *     struct snap_project *project = NULL;
 *     if (snap_project_open(&env, SNAP_OPEN_WRITE, &project, &err) < 0)
 *         die(err.message);
 *     snap_take(project, &options, &result, &err);
 *     snap_project_close(project);
 *
 * Conventions. A verb returns a negative errno on failure and then fills `err`; 0 or a positive
 * value otherwise. Outputs are untouched on failure. Paths are NUL-terminated bytes, never
 * assumed to be UTF-8; a path of the project is relative to its root, and the root itself is "".
 * Rows are handed to a callback and live only during the call; a callback that returns a
 * negative errno ends the listing with that error. Nothing here prints.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define SNAP_API __attribute__((visibility("default")))

/* Failures. */

enum snap_failure {            /* why a verb failed, as far as the caller's exit code is concerned */
    SNAP_FAILURE_GENERIC = 0,
    SNAP_FAILURE_USAGE,        /* the request makes no sense */
    SNAP_FAILURE_CONFLICT,     /* nothing was written; the conflicting paths were given as notices */
    SNAP_FAILURE_DAMAGE,       /* the store is damaged */
    SNAP_FAILURE_NO_PROJECT,   /* no project or store here */
    SNAP_FAILURE_LOCKED,       /* another command holds the store */
    SNAP_FAILURE_INTERRUPTED,  /* env.cancel was set; nothing is half-done */
};

struct snap_err {
    int code;                  /* negative errno, 0 = none */
    enum snap_failure failure;
    char message[2048];        /* one sentence without a full stop: what, on which path, the cause */
    char path[1024];           /* the path it is about, raw bytes, cut if longer; may be empty */
    char hint[512];            /* what to do next, one sentence; may be empty */
};

/* What a long verb tells while it works. */

enum snap_notice {
    SNAP_NOTICE_INFO = 0,      /* worth knowing; no path failed */
    SNAP_NOTICE_RECOVERED,     /* an earlier command that was cut short was finished or put back */
    SNAP_NOTICE_FAILED_PATH,   /* this path was not done; all others were (exit code 3) */
    SNAP_NOTICE_CONFLICT,      /* this path is in conflict (exit code 4) */
};

struct snap_progress {
    const char *doing;         /* "capturing", "restoring", "comparing" */
    uint64_t entries, entries_total;   /* total 0 = not known */
    uint64_t bytes, bytes_total;
};

struct snap_env {
    const char *dir;           /* where to look for the project; NULL = the working directory */
    const char *store;         /* the store's own directory; NULL = found by the registry */
    bool wait;                 /* wait for the store's lock instead of failing */
    /* `path` may be NULL. May be called from any thread, one call at a time. */
    void (*notice)(void *data, enum snap_notice kind, const char *path, const char *text);
    void (*progress)(void *data, const struct snap_progress *progress);  /* often; throttle yourself */
    void *data;
    const volatile sig_atomic_t *cancel;   /* set it, and the verb ends with nothing half-done */
    const char *command;       /* what the user typed; kept in the operation log and shown to who waits */
};

/* Projects. */

struct snap_project;

enum snap_open {
    SNAP_OPEN_READ = 0,        /* never waits for writers; repairs an interrupted command if nobody holds the lock */
    SNAP_OPEN_WRITE = 1,       /* holds the store's lock until close */
    SNAP_OPEN_CREATE = 2,      /* with WRITE: register the directory if no project is found */
    SNAP_OPEN_WORKSPACE = 8,   /* in a workspace's mount: that workspace; else the project that it stands on */
    SNAP_OPEN_DAMAGED = 4,     /* also a store whose database is damaged or missing: for snap_verify alone */
};

enum snap_init {
    SNAP_INIT_FORCE = 1,       /* also $HOME and /, as root another's directory, and anew where a directory was replaced or its store is gone */
    SNAP_INIT_ADOPT = 2,       /* take over the store of a directory that was replaced */
};

struct snap_project_info {
    const char *root;          /* absolute path of the project */
    const char *store;         /* absolute path of the store */
    const char *workspace;     /* name of the workspace that was opened, whose mount `root` is then; NULL = the project itself */
    int64_t base;              /* the snapshot that it stands on; 0 = the project */
    const char *inside;        /* env.dir relative to root, "" for the root itself */
    bool store_inside;         /* the store lies in the project (nothing else was possible) and is left out of it */
    bool same_file_system;     /* of store and project: reflink and rename are possible */
};

SNAP_API int snap_project_open(const struct snap_env *env, unsigned flags, struct snap_project **ret, struct snap_err *err);
/* Registers env->dir itself as a project, whatever lies above; an open project for writing on success.
 * 0 = it was one already, 1 = made. */
SNAP_API int snap_project_init(const struct snap_env *env, unsigned flags, struct snap_project **ret, struct snap_err *err);
SNAP_API struct snap_project *snap_project_close(struct snap_project *project);   /* accepts NULL, returns NULL */
SNAP_API const struct snap_project_info *snap_project_info(const struct snap_project *project);
/* A path as the user typed it, relative to env.dir, as a path of the project. The caller frees *ret. */
SNAP_API int snap_project_path(const struct snap_project *project, const char *typed, char **ret, struct snap_err *err);

/* Snapshots. */

struct snap_snapshot {
    int64_t number;
    int64_t parent;            /* 0 = none */
    struct timespec created;
    bool automatic;            /* made by a command before it overwrote something */
    bool foreign;              /* imported: the project never was like this; never `latest` */
    bool synced;               /* known to be on disk */
    const char *name;          /* "" = none */
    const char *message;       /* "" = none */
    uint64_t added, changed, deleted;  /* rows that diff lists from the latest snapshot before it (not automatic) to it */
    uint64_t bytes;            /* of file content stored in its own layer */
};

/* Number, name, `latest` (the highest number that is neither automatic nor foreign) or `latest~N`.
 * The caller frees *ret with snap_snapshot_free. */
SNAP_API int snap_find(struct snap_project *project, const char *spec, struct snap_snapshot **ret, struct snap_err *err);
SNAP_API void snap_snapshot_free(struct snap_snapshot *snapshot);
/* 0 = `name` may be given to a snapshot, else -EINVAL and why. */
SNAP_API int snap_name_check(const char *name, struct snap_err *err);

struct snap_log_options {
    const char *path;          /* NULL = all; else only those in which it, or something below it, changed */
    uint64_t limit;            /* 0 = all */
    int64_t since, until;      /* seconds since the epoch; 0 = no limit */
    bool automatic;            /* also automatic ones */
};
typedef int (*snap_snapshot_fn)(void *data, const struct snap_snapshot *snapshot);
SNAP_API int snap_log(struct snap_project *project, const struct snap_log_options *options,
                      snap_snapshot_fn fn, void *data, struct snap_err *err);      /* newest first */

struct snap_counts {
    uint64_t files, directories, symlinks, others;
    uint64_t bytes;            /* of all regular files, each hard-link group once */
    uint64_t own_bytes;        /* stored content that only this snapshot shows */
    uint64_t unread;           /* entries whose content could not be read when it was taken */
    uint64_t lost;             /* entries whose stored content was found damaged, with no whole copy */
    bool removed;              /* and still there for those who use it: snap_users */
};
/* Also one that was removed, as long as somebody shows it or stands on it. */
SNAP_API int snap_show(struct snap_project *project, const char *spec, struct snap_snapshot **ret,
                       struct snap_counts *ret_counts, struct snap_err *err);

struct snap_take_options {
    const char *message, *name;   /* NULL = none */
    bool if_changed;           /* make no snapshot when nothing changed since the newest */
    bool no_sync;              /* return before the flush */
};
struct snap_take_result {
    int64_t number;            /* 0 = nothing had changed and none was made */
    int64_t parent;
    uint64_t added, changed, deleted;   /* as in struct snap_snapshot */
    uint64_t reflinked, copied, linked; /* files, by how their content was stored */
    uint64_t bytes;            /* of content stored, however */
    uint64_t failed;           /* paths that could not be captured, each given as a notice */
    double seconds;
};
SNAP_API int snap_take(struct snap_project *project, const struct snap_take_options *options,
                       struct snap_take_result *ret, struct snap_err *err);
SNAP_API int snap_tag(struct snap_project *project, const char *spec, const char *name,
                      char **ret_old_name, struct snap_err *err);    /* *ret_old_name: freed by the caller, NULL = had none */

struct snap_import_options {
    const char *message, *name;   /* NULL = none */
    uint64_t max_bytes;        /* that may come out of the archive, holes not counted; 0 = any number */
    uint64_t max_entries;      /* 0 = any number */
    uint64_t max_ratio;        /* by which it may grow when decompressed, once that is more than 256 MiB; 0 = any */
};
struct snap_import_result {
    int64_t number;
    int64_t before;            /* the snapshot that the project equals */
    uint64_t added, changed, deleted;   /* as in struct snap_snapshot */
    uint64_t entries;          /* in the imported tree */
    uint64_t bytes;            /* of content read from the archive */
    uint64_t stored;           /* of content that no snapshot had at its place, and is stored now */
    uint64_t failed;           /* paths of the project that could not be captured, each given as a notice */
    double seconds;
};
/* A tar archive, compressed or not, or an OCI image layout (a directory, or an archive of one) becomes a snapshot; the project
 * stays as it is. `file` as the user typed it, relative to env.dir, "-" = standard input. */
SNAP_API int snap_import(struct snap_project *project, const char *file, const struct snap_import_options *options,
                         struct snap_import_result *ret, struct snap_err *err);

/* Removing snapshots, and their space. */

struct snap_remove_result { int64_t operation; uint64_t removed; };    /* operation: for `undo`; 0 = nothing was removed */
/* Hides them (NULL-terminated specs, each told through fn); later ones keep their content. Undoable until gc frees them. */
SNAP_API int snap_remove(struct snap_project *project, const char *const *specs, snap_snapshot_fn fn, void *data,
                         struct snap_remove_result *ret, struct snap_err *err);

struct snap_prune_options {   /* what any of these keeps, is kept; automatic snapshots are none of its business */
    uint64_t last;             /* the newest so many */
    uint64_t hourly, daily, weekly, monthly, yearly;   /* the newest of each of the last so many local hours... that have any */
    uint64_t size;             /* the newest, as long as they show no more bytes of content than this together */
    int64_t within;            /* those not older than the newest by more than these seconds */
    bool tagged;               /* those that have a name */
    bool dry_run;
};
struct snap_prune_result { int64_t operation; uint64_t kept, removed; };
/* Newest first; reason: last hourly daily weekly monthly yearly oldest within size tag, NULL = removed. */
typedef int (*snap_prune_fn)(void *data, const struct snap_snapshot *snapshot, const char *reason);
SNAP_API int snap_prune(struct snap_project *project, const struct snap_prune_options *options, snap_prune_fn fn, void *data,
                        struct snap_prune_result *ret, struct snap_err *err);

struct snap_gc_result {
    int64_t operation;         /* 0 = nothing was freed */
    uint64_t snapshots;        /* freed */
    uint64_t bytes;            /* of content that no remaining snapshot shows */
    uint64_t layers, files;    /* layers removed as a whole; names removed from others */
    uint64_t held;             /* removed and automatic snapshots that undo still needs */
    uint64_t pinned;           /* those that somebody looks at or stands on */
    uint64_t ended;            /* operations that could be undone or redone, and can no more */
    double seconds;
};
/* Frees removed and automatic snapshots, and what restores displaced, past the hold: the last 20 operations and 14 days;
 * with `now` all of them. */
SNAP_API int snap_gc(struct snap_project *project, bool now, struct snap_gc_result *ret, struct snap_err *err);

struct snap_usage {
    uint64_t snapshots, automatic, removed;            /* how many */
    uint64_t shown_bytes;      /* of content that snapshots show, each once */
    uint64_t automatic_bytes, removed_bytes;           /* that only automatic, or only removed ones show */
    uint64_t layers_allocated, database_allocated, held_allocated, work_allocated;   /* on disk; reflinked blocks count as often as they are referred to */
};
typedef int (*snap_usage_fn)(void *data, const struct snap_snapshot *snapshot, uint64_t own_bytes, bool removed, bool pinned);
/* Newest first, all of them; own_bytes: of content that only this one shows; pinned: somebody reads it or stands on it. */
SNAP_API int snap_usage(struct snap_project *project, snap_usage_fn fn, void *data, struct snap_usage *ret, struct snap_err *err);

/* Trees. */

struct snap_entry {
    uint32_t mode;             /* type and permission bits, as st_mode */
    uint32_t uid, gid;
    uint64_t size;             /* regular files: bytes; symlinks: length of the target; else 0 */
    struct timespec mtime;
    uint32_t rdev_major, rdev_minor;
    uint32_t links;            /* names of this object in the tree; 0 = not counted */
    const char *target;        /* symlinks, else NULL */
    unsigned xattrs;           /* how many */
    bool unread;               /* known by its metadata only */
    bool lost;                 /* its stored content was found damaged, with no whole copy; then not `unread` */
};
typedef int (*snap_entry_fn)(void *data, const char *path, const struct snap_entry *entry);

/* `spec` is SNAP or SNAP:PATH. A directory lists what is in it, depth first, names in byte order;
 * anything else lists itself. Paths are relative to the project. */
SNAP_API int snap_list(struct snap_project *project, const char *spec, bool recursive,
                       snap_entry_fn fn, void *data, struct snap_err *err);
SNAP_API int snap_cat(struct snap_project *project, const char *spec, int fd, struct snap_err *err);

/* Changes. */

enum snap_what {
    SNAP_WHAT_CONTENT = 1, SNAP_WHAT_MODE = 2, SNAP_WHAT_OWNER = 4, SNAP_WHAT_XATTR = 8,
    SNAP_WHAT_LINKS = 16, SNAP_WHAT_TARGET = 32, SNAP_WHAT_DEVICE = 64, SNAP_WHAT_TIME = 128,
};
struct snap_change {
    char letter;               /* A D M m T R; 't' only the times, given with `times` alone */
    unsigned what;             /* enum snap_what */
    const char *path;          /* the new one of a rename */
    const char *old_path;      /* renames only, else NULL */
    unsigned similarity;       /* renames: percent */
    const struct snap_entry *before, *after;   /* NULL where there is none */
    bool binary;               /* with patch or stat */
    uint64_t lines_added, lines_deleted;       /* with patch or stat */
    const char *patch;         /* with patch: text, `patch_size` bytes, not NUL-terminated; else NULL */
    size_t patch_size;
};
typedef int (*snap_change_fn)(void *data, const struct snap_change *change);

struct snap_diff_options {
    const char *from;          /* NULL = `latest`; before there is one, the empty tree */
    const char *to;            /* NULL = the project */
    const char *const *paths;  /* paths of the project, NULL-terminated; NULL = all */
    const char *workspace;     /* its name: that and what it stands on, in place of the project and `latest`; NULL = as it was opened */
    bool no_renames, patch, stat, times;
};
struct snap_diff_result {
    int64_t from, to;          /* snapshot numbers, 0 = the project (or, for `from`, the empty tree before any snapshot) */
    uint64_t added, deleted, modified, metadata, type_changed, renamed;   /* rows by letter */
    uint64_t left_out;         /* rows of a workspace that are not told, for the project leaves these paths out */
    uint64_t failed;           /* paths that could not be compared, each given as a notice */
};
/* Rows come sorted by path. */
SNAP_API int snap_diff(struct snap_project *project, const struct snap_diff_options *options,
                       snap_change_fn fn, void *data, struct snap_diff_result *ret, struct snap_err *err);

/* Going back. */

struct snap_rollback_options {
    const char *to;            /* NULL = `latest` */
    const char *const *paths;  /* as above */
    bool dry_run;              /* tell the changes, write nothing */
    bool force;                /* also over files that somebody has open for writing */
};
struct snap_rollback_result {
    int64_t to;                /* the snapshot gone back to */
    int64_t safety;            /* the snapshot that holds what was overwritten; 0 = nothing to undo */
    int64_t operation;         /* for `undo`; 0 = nothing was done */
    const char *operation_kind;   /* "rollback", "restore", "tag"...: what was undone or redone; static */
    uint64_t restored, removed;   /* entries */
    uint64_t bytes;            /* of content written */
    uint64_t failed;           /* paths not done, each given as a notice */
    double seconds;
};
SNAP_API int snap_rollback(struct snap_project *project, const struct snap_rollback_options *options,
                           snap_change_fn fn, void *data, struct snap_rollback_result *ret, struct snap_err *err);
/* `spec` is SNAP:PATH (SNAP alone: its root). `dest` as the user typed it, relative to env.dir. */
SNAP_API int snap_restore(struct snap_project *project, const char *spec, const char *dest, bool overwrite,
                          struct snap_rollback_result *ret, struct snap_err *err);

/* Operations. */

struct snap_operation {
    int64_t id;
    const char *kind;          /* init take import tag rollback restore rm prune gc undo redo */
    const char *state;         /* begun done undone failed freed: gc freed what undo or redo needs */
    struct timespec created;
    const char *command;       /* what the user typed */
    int64_t before, after;     /* snapshots, 0 = none */
    int64_t target;            /* undo, redo: the operation meant; else 0 */
    bool undoable;
};
typedef int (*snap_operation_fn)(void *data, const struct snap_operation *operation);
SNAP_API int snap_operations(struct snap_project *project, snap_operation_fn fn, void *data, struct snap_err *err);  /* newest first */
SNAP_API int snap_undo(struct snap_project *project, int64_t operation, bool force,
                       struct snap_rollback_result *ret, struct snap_err *err);       /* 0 = the newest that can be */
SNAP_API int snap_redo(struct snap_project *project, bool force,
                       struct snap_rollback_result *ret, struct snap_err *err);

/* Out. */

enum snap_export_format {
    SNAP_EXPORT_AUTO = 0,      /* what the end of the file's name says; to a descriptor: tar */
    SNAP_EXPORT_TAR,           /* pax */
    SNAP_EXPORT_MTREE,         /* mtree(5), with SHA-256 digests */
    SNAP_EXPORT_OCI,           /* an OCI image layout: a directory, or, where the file's name ends in .tar or to a descriptor, a tar of one */
};
enum snap_whiteouts {          /* how a difference says what was deleted */
    SNAP_WHITEOUTS_OCI = 0,    /* .wh.NAME, .wh..wh..opq */
    SNAP_WHITEOUTS_OVERLAY,    /* character devices 0:0 and user.overlay.opaque: a layer for `mount -t overlay -o userxattr` */
};
struct snap_export_options {
    const char *snapshot;
    const char *since;         /* NULL = all of `snapshot`; else what makes its tree of that of this one; an image has a layer of all
                                * of `since`, and one of each snapshot after it */
    const char *file;          /* as the user typed it, relative to env.dir; NULL = write to `fd` */
    int fd;                    /* stays open */
    enum snap_export_format format;
    enum snap_whiteouts whiteouts;
    bool overwrite;            /* `file` may exist and is replaced, unless it is a directory */
};
struct snap_export_result {
    int64_t snapshot, since;   /* since: 0 = none */
    const char *format;        /* "tar", "mtree", "oci"; static */
    const char *compression;   /* "gzip", "xz", "zstd"; NULL = none; static */
    uint64_t layers;           /* of an image, else 0 */
    uint64_t entries;          /* in the archive */
    uint64_t deleted;          /* whiteouts in it */
    uint64_t bytes;            /* of content that was read */
    uint64_t written;          /* bytes of the archive */
    uint64_t failed;           /* paths left out, each given as a notice */
    double seconds;
};
/* Writes nothing in the store. Content is compared with its digest while it is read: damage ends it. A file has its name only
 * when it is whole and flushed. The same snapshot gives the same bytes. -EPIPE: whoever was to read it has gone. */
SNAP_API int snap_export(struct snap_project *project, const struct snap_export_options *options,
                         struct snap_export_result *ret, struct snap_err *err);
/* Mounts. */

enum snap_mount_kind {
    SNAP_MOUNT_VIEW = 1,       /* a snapshot, read-only */
    SNAP_MOUNT_FROZEN,         /* a workspace that stands on a snapshot */
    SNAP_MOUNT_FOLLOW,         /* a workspace that stands on the project as it is */
};
enum snap_mount_state {
    SNAP_MOUNT_SERVED = 1,     /* it answers */
    SNAP_MOUNT_DEAD,           /* its process ended; it is still in the way until it is unmounted */
    SNAP_MOUNT_NONE,           /* a workspace that is not mounted */
};
struct snap_mount {
    enum snap_mount_kind kind;
    enum snap_mount_state state;
    const char *workspace;     /* its name; NULL = a view */
    const char *dir;           /* absolute: where it is mounted, or a workspace was last */
    int64_t snapshot;          /* that it shows or stands on; 0 = the project as it is */
    const char *name;          /* of that snapshot, "" = none */
    int64_t pid;               /* of the process that serves it, or did; 0 = not mounted */
    struct timespec since;     /* when it was mounted; of a workspace that is not, when it was made */
};
typedef int (*snap_mount_fn)(void *data, const struct snap_mount *mount);

struct snap_mount_options {
    const char *what;          /* SNAP, or the name of a workspace */
    const char *dir;           /* a directory, as typed, relative to env.dir */
    const char *options;       /* as after -o of mount(8); NULL = none */
    bool foreground;           /* serve it here, and return when it is unmounted; else by a process of its own */
};
/* `fn` is called once the mount answers. Call it while the caller has no other thread. */
SNAP_API int snap_mount(const struct snap_env *env, const struct snap_mount_options *options, snap_mount_fn fn, void *data,
                        struct snap_err *err);
/* All mounts, then the workspaces that are not mounted. */
SNAP_API int snap_mounts(struct snap_project *project, snap_mount_fn fn, void *data, struct snap_err *err);
/* The mounts that show a snapshot, and the workspaces that stand on it: as long as they are there gc keeps it, removed or not. */
SNAP_API int snap_users(struct snap_project *project, int64_t snapshot, snap_mount_fn fn, void *data, struct snap_err *err);
/* Of a mount of any project, dead or not; returns when its process has ended. `dir` as above. */
SNAP_API int snap_unmount(const struct snap_env *env, const char *dir, struct snap_err *err);

/* Workspaces: writable mounts. What is changed in one goes into its current layer; the project and the snapshot that it
 * stands on stay as they are. */

struct snap_workspace_options {
    const char *name;          /* NULL = "run-1" or the next that is free; then an automatic snapshot is taken, where one is needed at all */
    const char *dir;           /* as in struct snap_mount_options; NULL = one is made, which goes with the workspace */
    const char *from;          /* the snapshot to stand on; NULL = one is taken */
    bool follow;               /* stand on the project as it is */
    const char *options;       /* as after -o of mount(8); NULL = none */
};
/* Makes it and mounts it. `fn` as for snap_mount; *ret_taken: the snapshot that was taken, number 0 = none. If it cannot be
 * mounted there is none. */
SNAP_API int snap_workspace_add(const struct snap_env *env, const struct snap_workspace_options *options, struct snap_take_result *ret_taken,
                                snap_mount_fn fn, void *data, struct snap_err *err);
/* How a workspace that follows the project hears of changes there. When it returns, everything that was changed before is seen in it. */
struct snap_following {
    uint64_t watches;          /* directories, and files of several names, that somebody has looked at there and that are watched */
    uint64_t uncovered;        /* directories that cannot be watched: what is in them is asked for each time */
    uint64_t lost;             /* how often more happened than could be told, so that everything was asked for again */
};
/* `project` was opened as a workspace: 1, or 0 where it follows nothing. */
SNAP_API int snap_following(struct snap_project *project, struct snap_following *ret, struct snap_err *err);
SNAP_API int snap_workspaces(struct snap_project *project, snap_mount_fn fn, void *data, struct snap_err *err);     /* by name */
enum snap_apply_side { SNAP_APPLY_NEITHER = 0, SNAP_APPLY_OURS, SNAP_APPLY_THEIRS };
struct snap_apply_options {
    const char *workspace;     /* its name; it stands on a snapshot */
    const char *const *paths;  /* NULL-terminated, NULL = all */
    enum snap_apply_side prefer;   /* who wins where both changed something: the project, the workspace, neither */
    bool dry_run, force;       /* as for rollback */
    bool merge;                /* what both changed by lines, in texts of up to 1 MiB, before `prefer` is asked; told as a notice */
    bool remove;               /* the workspace is removed, too; it may not be mounted */
};
/* Three-way against what it stands on. A conflict (SNAP_FAILURE_CONFLICT) is given as a notice, and nothing is written. */
SNAP_API int snap_apply(struct snap_project *project, const struct snap_apply_options *options, snap_change_fn fn, void *data,
                        struct snap_rollback_result *ret, struct snap_err *err);
/* It may not be mounted. Can be undone until gc frees it. */
SNAP_API int snap_workspace_remove(struct snap_project *project, const char *name, int64_t *ret_operation, struct snap_err *err);
/* The same for good, of one in which nothing was changed; one that has snapshots is removed as above. */
SNAP_API int snap_workspace_forget(struct snap_project *project, const char *name, struct snap_err *err);
/* In a process that has one thread: from here on the mount on `dir` lies over `root` too, for this process and those that it starts,
 * and for nobody else. If that fails the process may be in namespaces where nothing can be done: let it end. */
SNAP_API int snap_workspace_enter(const char *dir, const char *root, struct snap_err *err);

/* The watcher of a project: a process that knows what changed, so that take and status look at nothing else. */

enum snap_watch_backend { SNAP_WATCH_AUTO = 0, SNAP_WATCH_INOTIFY, SNAP_WATCH_FANOTIFY };
struct snap_watch {
    bool running;
    enum snap_watch_backend backend;   /* the rest: of one that runs */
    pid_t pid;
    int64_t since;             /* seconds since the epoch */
    uint64_t watches;          /* inotify: directories watched */
    uint64_t uncovered;        /* directories that are not, and so are compared each time */
    uint64_t lost;             /* how often the kernel's queue overflowed */
    uint64_t events, noted;    /* read so far; names that changed and wait for a take */
    char ended[512];           /* of one that does not run: why the last one failed, "" = it did not */
};
/* In a process of its own, which goes on after the caller; returns when changes are being recorded. -EBUSY: there is one already. */
SNAP_API int snap_watch_start(const struct snap_env *env, enum snap_watch_backend backend, struct snap_err *err);
/* In this thread, until env.cancel is set, it is stopped, or the project or the store goes away. `ready` may be NULL. */
SNAP_API int snap_watch_run(struct snap_project *project, enum snap_watch_backend backend, void (*ready)(void *data), void *data,
                            struct snap_err *err);
SNAP_API const char *snap_watch_backend_name(enum snap_watch_backend backend);      /* "auto", "inotify", "fanotify" */
SNAP_API int snap_watch_status(struct snap_project *project, struct snap_watch *ret, struct snap_err *err);
/* Returns when it has ended. *ret: what it was; not running: there was none. */
SNAP_API int snap_watch_stop(struct snap_project *project, struct snap_watch *ret, struct snap_err *err);

/* Verifying. */

enum snap_outcome {            /* what became of a damage */
    SNAP_OUTCOME_FOUND = 0,
    SNAP_OUTCOME_REPAIRED,
    SNAP_OUTCOME_ASIDE,        /* moved to lost+found in the store */
    SNAP_OUTCOME_LOST,         /* there is no whole copy: said from now on wherever it is shown */
};
struct snap_damage {
    const char *kind;          /* database index layer manifest facts content missing type metadata mark link foreign leftover lost */
    const char *text;          /* what is wrong */
    const char *file;          /* in the store; NULL = nowhere alone */
    const char *path;          /* of the project, where snapshots show it; NULL = not under one path */
    const int64_t *snapshots;  /* that show it there, ascending; those that are removed and not yet freed, too */
    size_t snapshot_count;
    enum snap_outcome outcome;
};
typedef int (*snap_damage_fn)(void *data, const struct snap_damage *damage);
struct snap_verify_options {
    const char *spec;          /* only what this snapshot shows; NULL = the whole store */
    bool quick;                /* read no content */
    bool repair;               /* needs SNAP_OPEN_WRITE */
};
struct snap_verify_result {
    uint64_t layers, files, bytes;     /* looked at; files and bytes: read */
    uint64_t damaged;          /* findings, what was lost before included */
    uint64_t repaired, lost;
    double seconds;
};
/* Damage is no failure: it is in *ret. */
SNAP_API int snap_verify(struct snap_project *project, const struct snap_verify_options *options,
                         snap_damage_fn fn, void *data, struct snap_verify_result *ret, struct snap_err *err);

/* Overlays of any directories, without a project. */

enum snap_overlay_flags {
    SNAP_OVERLAY_READ_ONLY = 1,
    SNAP_OVERLAY_ALLOW_OTHER = 2,      /* every user */
    SNAP_OVERLAY_ALLOW_ROOT = 4,       /* root, too */
    SNAP_OVERLAY_FOREGROUND = 8,       /* serve in this process, until it is unmounted */
    SNAP_OVERLAY_DEBUG = 16,           /* with FOREGROUND: every request on standard error */
    SNAP_OVERLAY_FOLLOW = 32,          /* the lower directories may change: what changes there is seen at once */
};
struct snap_overlay_options {
    const char *mountpoint;
    const char *const *lowers;         /* directories in overlayfs' format, the topmost first, NULL-terminated */
    const char *upper, *work;          /* where changes go, and an empty directory beside it; NULL = read-only */
    const char *source;                /* what is listed as mounted; NULL = the subtype */
    const char *subtype;               /* listed as type fuse.SUBTYPE; NULL = "snapctl-overlay" */
    const char *mount_options;         /* further ones of mount(8) and FUSE, comma-separated; NULL = none */
    unsigned flags;                    /* enum snap_overlay_flags */
    unsigned threads;                  /* requests answered at a time, at most; 0 = as many as suit */
    void (*log)(void *data, const char *sentence);   /* what goes wrong later, with FOREGROUND; else it goes to syslog. NULL = syslog */
    void *data;
};
/* Returns when the mount answers, and a process of its own serves it; with FOREGROUND when it is unmounted. Call it while there is
 * one thread. */
SNAP_API int snap_overlay_mount(const struct snap_overlay_options *options, struct snap_err *err);

/* The machine. */

enum snap_check { SNAP_CHECK_OK = 0, SNAP_CHECK_LIMITED, SNAP_CHECK_MISSING };
struct snap_finding {
    const char *topic;         /* "reflink", "fuse", ...: a stable word */
    enum snap_check result;
    const char *text;          /* what was found */
    const char *advice;        /* what to do about it, "" = nothing */
};
typedef int (*snap_finding_fn)(void *data, const struct snap_finding *finding);
SNAP_API int snap_doctor(const struct snap_env *env, snap_finding_fn fn, void *data, struct snap_err *err);

SNAP_API const char *snap_version(void);
