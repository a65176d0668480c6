/* From a finished scan to a sealed layer, its manifest and the rows of the index.
 * Reads nothing of the project. Plan first (only questions), then the layer's tree, then the rows: the layer is whole
 * before the index speaks of it. Cost: what differs, and the directories that lead to it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "changes.h"
#include "current.h"
#include "fs.h"
#include "graft.h"
#include "manifest.h"
#include "seal.h"
#include <fcntl.h>
#include <string.h>

struct row {                              /* one name that differs from the newest entries */
    struct delta_row *delta;
    int64_t before;                       /* object id, 0 = absent */
    int64_t dead_dir;                     /* a directory was here and is in the project no more: its identity */
    bool built;                           /* its file, if it has one, lies in the layer */
};
struct seal_dir {                         /* a directory of the layer */
    int64_t id, parent;
    const char *name;
    unsigned depth;
    struct object *object;
    bool context;                         /* did not change itself */
    bool opaque;
    char *redirect;
};
struct seal {
    struct scan *scan;
    int64_t number, line, next_content;
    bool first;                           /* nothing to compare with */
    struct row *rows;
    size_t count;
    struct map *dirs;                     /* identity -> struct seal_dir */
    struct seal_dir **order;              /* by depth, shallow first */
    size_t dirs_count;
    struct map *placed;                   /* id of an object that may have several names -> struct row: its first in this layer */
    uint8_t *shared;                      /* two bits for each new object: it has a row; it has several */
    struct sealed sums;
};

/* Several names. Most objects have one and are in no table; a file that was captured under one name while it got another has two
 * rows, whatever its flags say. */

static bool may_share(const struct seal *seal, const struct object *object) {
    if (object->flags & OBJECT_LINKED)
        return true;
    int64_t i = object->id - seal->scan->first_object;
    return i >= 0 && seal->shared[i / 4] & 2 << i % 4 * 2;
}

static int note_shared(struct seal *seal) {
    int64_t first = seal->scan->first_object, room = 0;
    for (size_t i = 0; i < seal->count; i++) {
        const struct object *after = seal->rows[i].delta->entry.after;
        room = after ? MAX(room, after->id - first) : room;
    }
    seal->shared = calloc((size_t)room / 4 + 1, 1);
    if (!seal->shared)
        return -ENOMEM;
    for (size_t i = 0; i < seal->count; i++) {
        const struct object *after = seal->rows[i].delta->entry.after;
        int64_t at = after ? after->id - first : -1;
        if (at >= 0)
            seal->shared[at / 4] |= (uint8_t)((seal->shared[at / 4] & 1 << at % 4 * 2 ? 2 : 1) << at % 4 * 2);
    }
    return 0;
}

/* Plan. */

static int by_key(const void *a, const void *b) {
    const struct delta_entry *left = &((const struct row *)a)->delta->entry, *right = &((const struct row *)b)->delta->entry;
    if (left->dir != right->dir)
        return left->dir < right->dir ? -1 : 1;
    return strcmp(left->name, right->name);
}

static bool is_dir(const struct object *object) {
    return object && object_is_dir(object);
}

/* What stood there before, and whether a directory is gone with it. */
static int ask_before(struct seal *seal, struct row *row, struct snap_err *err) {
    const struct delta_entry *entry = &row->delta->entry;
    int64_t before = index_lookup_id(seal->scan->store, index_newest(seal->line), entry->dir, entry->name, err);
    if (before < 0)
        return (int)before;
    row->before = before;
    if (!before || (entry->after && entry->after->id == before))
        return 0;
    struct object *object = NULL;
    int r = scan_known_object(seal->scan, before, &object);
    if (r < 0)
        return err_errno(err, r, "cannot read object %lld", (long long)before);
    if (is_dir(object) && !(is_dir(entry->after) && entry->after->dir == object->dir) && !scan_has_dir(seal->scan, object->dir))
        row->dead_dir = object->dir;
    return 0;
}

/* An object found under another name keeps its identity only if that name is not its any more. */
static int check_moved(struct seal *seal, struct row *row) {
    struct delta_row *delta = row->delta;
    if (!delta->from_name || delta->entry.after->id >= seal->scan->first_object)
        return 0;
    struct delta_row *old = scan_row(seal->scan, delta->from_dir, delta->from_name);
    if ((old && (!old->entry.after || old->entry.after->id != delta->entry.after->id)) || !scan_has_dir(seal->scan, delta->from_dir))
        return 0;
    struct object *copy = calloc(1, sizeof(*copy));
    if (!copy || meta_copy(&copy->meta, &delta->entry.after->meta) < 0) {
        free(copy);
        return -ENOMEM;
    }
    copy->id = seal->scan->next_object++;
    copy->digest = delta->entry.after->digest;
    copy->content = delta->entry.after->content;
    delta->entry.after = copy;
    return scan_own(seal->scan, copy);
}

static int plan_rows(struct seal *seal, struct snap_err *err) {
    struct scan *scan = seal->scan;
    seal->rows = calloc(map_count(scan->delta) + 1, sizeof(*seal->rows));
    if (!seal->rows)
        return err_nomem(err);
    for (struct map_iter i = {0}; map_next(scan->delta, &i);) {
        struct row row = { .delta = i.value };
        if (!scan_has_dir(scan, row.delta->entry.dir))
            continue;                     /* its directory went while we looked; the row of that says so */
        int r = check_moved(seal, &row);
        if (r < 0)
            return err_nomem(err);
        if (!seal->first && (r = ask_before(seal, &row, err)) < 0)
            return r;
        int64_t after = row.delta->entry.after ? row.delta->entry.after->id : 0;
        if (after != row.before)
            seal->rows[seal->count++] = row;
    }
    qsort(seal->rows, seal->count, sizeof(*seal->rows), by_key);
    return note_shared(seal) < 0 ? err_nomem(err) : 0;
}

/* The layer's directories. */

static void seal_dir_free(void *value) {
    struct seal_dir *dir = value;
    free(dir->redirect);
    free(dir);
}

/* The object that a directory of the project is now. */
static int directory_object(struct seal *seal, const struct scan_dir *dir, struct object **ret, bool *ret_changed) {
    const char *name = dir_name(dir->at);
    struct delta_row *delta = scan_row(seal->scan, dir->parent, name);
    if (delta && delta->entry.after) {
        *ret = delta->entry.after;
        *ret_changed = true;
        return 0;
    }
    const struct scan_dir *parent = scan_dir_of(seal->scan, dir->parent);
    const struct live_entry *record = parent ? live_dir_find(parent->known, name) : NULL;
    *ret_changed = false;
    if (seal->line != INDEX_PROJECT_LINE) {
        int64_t id = index_lookup_id(seal->scan->store, index_newest(seal->line), dir->parent, name, NULL);
        return id > 0 ? scan_known_object(seal->scan, id, ret) : id < 0 ? (int)id : -EUCLEAN;
    }
    return record ? scan_known_object(seal->scan, record->object, ret) : -EUCLEAN;
}

/* New to the newest entries: opaque. Elsewhere there: a redirect to where it was. */
static int ask_place(struct seal *seal, struct seal_dir *dir, struct snap_err *err) {
    struct store *store = seal->scan->store;
    struct point newest = index_newest(seal->line);
    int64_t parent = 0;
    _free_ char *name = NULL;
    int r = seal->first || !dir->id ? 0 : index_dir_place(store, newest, dir->id, &parent, &name, err);
    if (r < 0)
        return r;
    if (r == 0) {
        dir->opaque = dir->id != INDEX_ROOT;
        return 0;
    }
    if (dir->id == INDEX_ROOT || (parent == dir->parent && !strcmp(name, dir->name)))
        return 0;
    _buf_ struct buf path = {0};
    buf_char(&path, '/');
    if ((r = index_dir_path(store, newest, dir->id, &path, err)) < 0)
        return r;
    dir->redirect = buf_take(&path);
    return dir->redirect ? 0 : err_nomem(err);
}

static int add_dir(struct seal *seal, const struct scan_dir *from, struct seal_dir **ret, struct snap_err *err) {
    struct seal_dir *dir = calloc(1, sizeof(*dir));
    if (!dir)
        return err_nomem(err);
    *dir = (struct seal_dir){ .id = from->id, .parent = from->parent, .name = dir_name(from->at) };
    bool changed = false;
    int r = directory_object(seal, from, &dir->object, &changed);
    dir->context = !changed;
    if (r < 0)
        err_errno(err, r, "directory %lld has no record", (long long)dir->id);
    if (r < 0 || (r = ask_place(seal, dir, err)) < 0 || (r = map_put(seal->dirs, &dir->id, sizeof(dir->id), dir, NULL)) < 0) {
        seal_dir_free(dir);
        return r;
    }
    *ret = dir;
    return 0;
}

/* The directory and all above it, up to the root. */
static int need_dir(struct seal *seal, int64_t id, struct snap_err *err) {
    while (id && !map_get(seal->dirs, &id, sizeof(id))) {
        const struct scan_dir *from = scan_dir_of(seal->scan, id);
        struct seal_dir *dir = NULL;
        if (!from)
            return err_set(err, -EUCLEAN, "directory %lld is not in the project", (long long)id);
        int r = add_dir(seal, from, &dir, err);
        if (r < 0)
            return r;
        id = from->parent;
    }
    return 0;
}

static int by_depth(const void *a, const void *b) {
    const struct seal_dir *left = *(struct seal_dir *const *)a, *right = *(struct seal_dir *const *)b;
    if (left->depth != right->depth)
        return left->depth < right->depth ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* Depths without recursion: up to a directory whose depth is known, then down again. */
static unsigned depth_of(struct seal *seal, struct seal_dir *dir) {
    unsigned above = 0;
    struct seal_dir *at = dir;
    while (at->id != INDEX_ROOT && !at->depth) {
        above++;
        at = map_get(seal->dirs, &at->parent, sizeof(at->parent));
    }
    unsigned depth = at->depth + above;
    for (at = dir; at->id != INDEX_ROOT && !at->depth; at = map_get(seal->dirs, &at->parent, sizeof(at->parent)))
        at->depth = depth--;
    return dir->depth;
}

static int plan_dirs(struct seal *seal, struct snap_err *err) {
    int r = need_dir(seal, INDEX_ROOT, err);
    for (size_t i = 0; r == 0 && i < seal->count; i++) {
        const struct delta_entry *entry = &seal->rows[i].delta->entry;
        r = need_dir(seal, entry->dir, err);
        if (r == 0 && is_dir(entry->after))
            r = need_dir(seal, entry->after->dir, err);
    }
    if (r < 0)
        return r;
    seal->order = calloc(map_count(seal->dirs), sizeof(struct seal_dir *));
    if (!seal->order)
        return err_nomem(err);
    for (struct map_iter i = {0}; map_next(seal->dirs, &i);) {
        depth_of(seal, i.value);
        seal->order[seal->dirs_count++] = i.value;
    }
    qsort(seal->order, seal->dirs_count, sizeof(struct seal_dir *), by_depth);
    return 0;
}

/* The layer's files. What the scan captured lies there already. */

static bool has_bytes(const struct object *object) {
    return S_ISREG(object->meta.mode) && !(object->flags & OBJECT_UNREAD);
}

static int copy_from_layer(struct seal *seal, const struct content *content, struct dir *stage, const struct delta_entry *entry,
                           struct layers *layers, struct snap_err *err) {
    _close_ int from = layers_open_content(layers, content, err);
    if (from < 0)
        return from;
    _close_ int to = stage_create(seal->scan->stage, stage, entry->name, entry->after->meta.mode);
    if (to < 0)
        return to;
    struct copy_options options = { .cancel = seal->scan->project->env.cancel, .want_digest = true, .digest_source = true };
    struct digest digest;
    int r = copy_content(from, to, &options, NULL, &digest);
    if (r >= 0)
        r = project_check_content(seal->scan->project, entry->after, &digest, err);
    return r < 0 ? r : stage_apply(seal->scan->stage, stage, entry->name, &entry->after->meta);
}

/* Bytes that an older layer has: the same object shown again, so its file may be the same inode. */
static int stage_known(struct seal *seal, struct row *row, struct dir *stage, struct snap_err *err) {
    const struct delta_entry *entry = &row->delta->entry;
    struct layers *layers = NULL;
    _free_ char *name = NULL;
    struct content content;
    int r = project_layers(seal->scan->project, &layers, err);
    if (r < 0 || (r = index_content(seal->scan->store, entry->after->content, &content, err)) < 0)
        return r;
    name = content.name;
    _pinned_ struct dir_pinned at = dir_pinned(stage);
    if (at.fd < 0)
        return at.fd;
    bool own = entry->after->id >= seal->scan->first_object;
    r = own ? -EMLINK : layers_link_content(layers, &content, at.fd, entry->name, NULL);
    if (r == 0) {
        seal->sums.linked++;
        return 0;
    }
    r = copy_from_layer(seal, &content, stage, entry, layers, err);
    if (r == 0) {
        seal->sums.copied++;
        seal->sums.bytes += content.size;
        row->delta->staged = true;
    }
    return r;
}

static int stage_empty(struct seal *seal, struct dir *stage, const struct delta_entry *entry) {
    _close_ int fd = stage_create(seal->scan->stage, stage, entry->name, entry->after->meta.mode);
    return fd < 0 ? fd : stage_apply(seal->scan->stage, stage, entry->name, &entry->after->meta);
}

static int stage_special(struct seal *seal, struct dir *stage, const struct delta_entry *entry) {
    int r = stage_make_special(seal->scan->stage, stage, entry->name, &entry->after->meta);
    return r < 0 ? r : stage_apply(seal->scan->stage, stage, entry->name, &entry->after->meta);
}

/* The object's other name in this layer, as a hard link of it; -EMLINK: make it anew. */
static int link_to_first(struct seal *seal, const struct row *first, struct dir *stage, const char *name) {
    _dir_ struct dir *from = stage_dir(seal->scan->stage, first->delta->entry.dir);
    return from ? stage_link(seal->scan->stage, from, first->delta->entry.name, stage, name) : -ENOMEM;
}

static int stage_whiteout(struct dir *stage, const char *name) {
    _pinned_ struct dir_pinned at = dir_pinned(stage);
    return at.fd < 0 ? at.fd : layer_whiteout(at.fd, name);
}

static int stage_row(struct seal *seal, struct row *row, struct snap_err *err) {
    const struct delta_entry *entry = &row->delta->entry;
    if (!entry->dir || is_dir(entry->after) || row->delta->staged)
        return 0;
    _dir_ struct dir *stage = stage_dir(seal->scan->stage, entry->dir);
    if (!stage)
        return -ENOMEM;
    if (!entry->after || entry->after->flags & OBJECT_UNREAD)
        return stage_whiteout(stage, entry->name);
    struct row *first = map_get(seal->placed, &entry->after->id, sizeof(entry->after->id));
    if (first && link_to_first(seal, first, stage, entry->name) == 0)
        return 0;
    if (!S_ISREG(entry->after->meta.mode))
        return stage_special(seal, stage, entry);
    if (entry->after->content)
        return stage_known(seal, row, stage, err);
    return entry->after->meta.size ? err_set(err, -EUCLEAN, "the bytes of '%s' were lost while it was captured", entry->name)
        : stage_empty(seal, stage, entry);
}

static void count_staged(struct seal *seal, const struct row *row, bool first) {
    const struct object *after = row->delta->entry.after;
    if (!row->delta->staged || !first || !after->meta.size || !row->delta->how)
        return;
    *(row->delta->how == COPY_REFLINKED ? &seal->sums.reflinked : &seal->sums.copied) += 1;
    seal->sums.bytes += after->meta.size;
}

/* Each new object's bytes get a row of their own: where they lie is the first name under which they were put. */
static int place_object(struct seal *seal, struct row *row) {
    struct object *after = row->delta->entry.after;
    if (!after)
        return 0;
    bool linked = may_share(seal, after), first = !linked || !map_get(seal->placed, &after->id, sizeof(after->id));
    count_staged(seal, row, first);
    if (!first)
        return 0;
    if (after->id >= seal->scan->first_object && has_bytes(after))
        after->content = after->meta.size ? seal->next_content++ : 0;
    return linked ? map_put(seal->placed, &after->id, sizeof(after->id), row, NULL) : 0;
}

/* Where the bytes of an object lie comes before its other names. */
static int build_rows(struct seal *seal, bool staged, struct snap_err *err) {
    for (size_t i = 0; i < seal->count; i++) {
        struct row *row = &seal->rows[i];
        if (row->built || row->delta->staged != staged)
            continue;
        row->built = true;
        if (project_cancelled(seal->scan->project))
            return project_cancelled_error(err);
        int r = stage_row(seal, row, err);
        if (r == 0)
            r = place_object(seal, row);
        if (r < 0)
            return err && err->code == r ? r : err_path(err, r, row->delta->entry.name, "store");
    }
    return 0;
}

static int build_files(struct seal *seal, struct snap_err *err) {
    int r = build_rows(seal, true, err);
    return r < 0 ? r : build_rows(seal, false, err);
}

/* The manifest. */

static int64_t content_layer(struct seal *seal, const struct object *object, struct snap_err *err) {
    if (object->id >= seal->scan->first_object || !object->content)
        return 0;
    struct content content;
    int r = index_content(seal->scan->store, object->content, &content, err);
    if (r < 0)
        return r;
    free(content.name);
    return content.layer;
}

static int list_row(struct seal *seal, const struct row *row, struct text_stream *out, struct snap_err *err) {
    const struct delta_entry *entry = &row->delta->entry;
    struct manifest_entry line = { .in = entry->dir, .name = entry->name, .object = entry->after, .flags = entry->after ? 0 : MANIFEST_DELETED };
    if (is_dir(entry->after))
        return 0;
    if (entry->after && has_bytes(entry->after))
        line.content_layer = content_layer(seal, entry->after, err);
    if (line.content_layer < 0)
        return (int)line.content_layer;
    manifest_add(&out->text, &line);
    return text_stream_push(out);
}

static int list_all(struct seal *seal, struct text_stream *out, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; i < seal->dirs_count && r == 0; i++) {
        const struct seal_dir *dir = seal->order[i];
        manifest_add(&out->text, &(struct manifest_entry){ .in = dir->parent, .name = dir->name, .object = dir->object,
            .flags = (dir->context ? MANIFEST_CONTEXT : 0) | (dir->opaque ? MANIFEST_OPAQUE : 0), .redirect = dir->redirect });
        r = text_stream_push(out);
    }
    for (size_t i = 0; i < seal->count && r == 0; i++)
        r = list_row(seal, &seal->rows[i], out, err);
    return r;
}

int seal_manifest(struct seal *seal, const struct snapshot *snapshot, struct snap_err *err) {
    _text_stream_ struct text_stream out = {0};
    _close_ int fd = stage_create_manifest(seal->scan->stage);
    int r = fd < 0 ? fd : text_stream_open(&out, fd);
    if (r == 0) {
        manifest_begin(&out.text, snapshot);
        r = list_all(seal, &out, err);
    }
    if (r == 0)
        r = text_stream_end(&out);
    if (r < 0 && err && err->code == r)
        return r;
    return r < 0 ? err_errno(err, r, "cannot write the manifest of layer %lld", (long long)seal->number) : 0;
}

static int put_directories_together(struct seal *seal, struct snap_err *err) {
    for (size_t i = seal->dirs_count; i-- > 0;) {
        const struct seal_dir *dir = seal->order[i];
        int r = stage_place_dir(seal->scan->stage, dir->id, dir->id == INDEX_ROOT ? 0 : dir->parent, dir->name,
                                &dir->object->meta, dir->opaque, dir->redirect);
        if (r < 0)
            return err_path(err, r, dir->name, "store the directory");
    }
    return 0;
}

/* The index. */

struct kill { struct seal *seal; int64_t dir; int64_t *dirs; size_t count, room; struct snap_err *err; };

static int kill_entry(void *data, const char *name, const struct object *object) {
    struct kill *kill = data;
    int r = index_died(kill->seal->scan->store, kill->seal->line, kill->seal->number, kill->dir, name, kill->err);
    if (r < 0 || !object_is_dir(object) || scan_has_dir(kill->seal->scan, object->dir))
        return r;
    if (MAKE_ROOM(kill->dirs, kill->count, kill->room) < 0)
        return err_nomem(kill->err);
    kill->dirs[kill->count++] = object->dir;
    return 0;
}

/* All that was below a directory which is gone, but for directories that live elsewhere now. */
static int kill_below(struct seal *seal, int64_t dir, struct snap_err *err) {
    struct kill kill = { .seal = seal, .err = err };
    int r = 0;
    for (;;) {
        kill.dir = dir;
        r = index_list(seal->scan->store, index_newest(seal->line), dir, kill_entry, &kill, err);
        if (r >= 0 && !seal->scan->foreign && seal->line == INDEX_PROJECT_LINE)
            r = live_remove_dir(seal->scan->store, dir, err);
        if (r < 0 || !kill.count)
            break;
        dir = kill.dirs[--kill.count];
    }
    free(kill.dirs);
    return MIN(r, 0);
}

static int index_new_object(struct seal *seal, const struct row *row, struct snap_err *err) {
    struct object *after = row->delta->entry.after;
    const struct delta_entry *entry = &row->delta->entry;
    if (after->id < seal->scan->first_object || (may_share(seal, after) && map_get(seal->placed, &after->id, sizeof(after->id)) != row))
        return 0;
    struct content content = { .id = after->content, .layer = seal->number, .dir = entry->dir, .name = (char *)(uintptr_t)entry->name,
                               .size = after->meta.size, .digest = after->digest };
    int r = after->content ? index_add_content(seal->scan->store, &content, err) : 0;
    return r < 0 ? r : index_add_object(seal->scan->store, after, err);
}

static int index_row(struct seal *seal, const struct row *row, struct snap_err *err) {
    struct store *store = seal->scan->store;
    const struct delta_entry *entry = &row->delta->entry;
    int r = row->dead_dir ? kill_below(seal, row->dead_dir, err) : 0;
    if (r < 0)
        return r;
    if (!entry->after)
        return index_died(store, seal->line, seal->number, entry->dir, entry->name, err);
    if ((r = index_new_object(seal, row, err)) < 0)
        return r;
    return index_born(store, seal->line, seal->number, entry->dir, entry->name, entry->after, err);
}

/* Doors. */

int seal_plan(struct scan *scan, int64_t number, struct seal **ret, struct snap_err *err) {
    _seal_ struct seal *seal = calloc(1, sizeof(*seal));
    if (!seal)
        return err_nomem(err);
    struct index_ids ids;
    seal->scan = scan;
    seal->line = scan->ground.line;
    seal->number = number;
    seal->dirs = map_new();
    seal->placed = map_new();
    int64_t newest = index_newest_number(scan->store, seal->line, err);
    int r = newest < 0 ? (int)newest : index_next_ids(scan->store, &ids, err);
    if (r < 0)
        return r;
    if (!seal->dirs || !seal->placed)
        return err_nomem(err);
    seal->next_content = ids.content;
    seal->first = newest == 0 && seal->line == INDEX_PROJECT_LINE;
    if ((r = plan_rows(seal, err)) < 0)
        return r;
    *ret = TAKE_PTR(seal);
    return 0;
}

static bool is_plain(const struct row *row) {
    const struct object *after = row->delta->entry.after;
    return after && !row->dead_dir && !row->delta->from_name && !(after->flags & OBJECT_LINKED);
}

int seal_counts(struct seal *seal, struct snap_snapshot *ret) {
    uint64_t added = 0, changed = 0;
    for (size_t i = 0; i < seal->count; i++) {
        const struct row *row = &seal->rows[i];
        struct object *before = NULL;
        int r = is_plain(row) && row->before ? scan_known_object(seal->scan, row->before, &before) : 0;
        if (r < 0 || !is_plain(row) || (before && before->flags & OBJECT_LINKED))
            return MIN(r, 0);
        added += !before;
        changed += before && changes_listed(before, row->delta->entry.after);
    }
    ret->added = added;
    ret->changed = changed;
    return 1;
}

size_t seal_count(const struct seal *seal) {
    return seal->count;
}

/* Whether the project is exactly a snapshot of its line. */

struct equal { struct seal *seal; size_t matched; bool differs; struct snap_err *err; };

static const struct row *row_of(const struct seal *seal, int64_t dir, const char *name) {
    struct delta_row delta = { .entry = { .dir = dir, .name = name } };
    struct row key = { .delta = &delta };
    return bsearch(&key, seal->rows, seal->count, sizeof(*seal->rows), by_key);
}

static int equal_objects(struct seal *seal, int64_t id, const struct object *now, bool *ret) {
    struct object *then = NULL;
    int r = scan_known_object(seal->scan, id, &then);
    if (r == 0)
        *ret = then->dir == now->dir && then->flags == now->flags && meta_equal(&then->meta, &now->meta)
            && digest_equal(&then->digest, &now->digest);
    return r;
}

/* before: what the snapshot shows; the project shows the row's, or what the newest entries show. */
static int compare_row(void *data, const struct index_change *change) {
    struct equal *equal = data;
    const struct row *row = row_of(equal->seal, change->dir, change->name);
    bool same = false;
    int r = 0;
    if (!row)
        same = !change->before && !scan_has_dir(equal->seal->scan, change->dir);
    else if (!row->delta->entry.after || !change->before)
        same = !row->delta->entry.after && !change->before;
    else if (!(same = row->delta->entry.after->id == change->before))
        r = equal_objects(equal->seal, change->before, row->delta->entry.after, &same);
    equal->matched += row != NULL;
    equal->differs |= !same;
    return r < 0 ? err_errno(equal->err, r, "cannot compare with object %lld", (long long)change->before) : 0;
}

int seal_equals(struct seal *seal, int64_t number, struct snap_err *err) {
    struct equal equal = { .seal = seal, .err = err };
    struct point at = { .line = seal->line, .snap = number };
    int r = index_diff(seal->scan->store, at, index_newest(seal->line), compare_row, &equal, err);
    return r < 0 ? r : !equal.differs && equal.matched == seal->count;
}

int seal_layer(struct seal *seal, struct snap_err *err) {
    int r = plan_dirs(seal, err);
    if (r == 0)
        r = build_files(seal, err);
    return r < 0 ? r : put_directories_together(seal, err);
}

int seal_index(struct seal *seal, struct sealed *ret, struct snap_err *err) {
    for (size_t i = 0; i < seal->count; i++) {
        int r = index_row(seal, &seal->rows[i], err);
        if (r < 0)
            return r;
    }
    *ret = seal->sums;
    return 0;
}

/* A directory that is nowhere any more, and what its records have below it: one that gets the same number later, or comes back, must not
 * find them. */
static int forget_live(struct scan *scan, int64_t dir, struct snap_err *err) {
    int64_t *dirs = NULL;
    size_t count = 0, room = 0;
    int r = 0;
    for (;;) {
        const struct live_dir *records = NULL;
        if ((r = scan_records(scan, dir, &records)) < 0) {
            err_errno(err, r, "cannot read the records of a directory that went");
            break;
        }
        for (size_t i = 0; r == 0 && records && i < records->count; i++) {
            if (!records->entries[i].dir || scan_has_dir(scan, records->entries[i].dir))
                continue;
            if (MAKE_ROOM(dirs, count, room) < 0)
                r = err_nomem(err);
            else
                dirs[count++] = records->entries[i].dir;
        }
        if (r == 0)
            r = live_remove_dir(scan->store, dir, err);
        if (r < 0 || !count)
            break;
        dir = dirs[--count];
    }
    free(dirs);
    return r;
}

static int forget_left(struct scan *scan, struct snap_err *err) {
    int r = 0;
    for (struct map_iter i = {0}; r == 0 && map_next(scan->left, &i);) {
        int64_t dir;
        memcpy(&dir, i.key, sizeof(dir));
        r = scan_has_dir(scan, dir) ? 0 : forget_live(scan, dir, err);
    }
    return r;
}

int seal_live(struct scan *scan, struct snap_err *err) {
    if (scan->ground.line != INDEX_PROJECT_LINE)
        return current_keep(scan, err);
    if (scan->foreign)
        return graft_live(scan, err);
    for (struct map_iter i = {0}; map_next(scan->records, &i);) {
        const struct live_dir *records = i.value;
        int r = scan_has_dir(scan, records->dir)     /* one that was met and left since may hold objects that nobody stored */
            ? live_write_dir(scan->store, records->dir, records->entries, records->count, err)
            : live_remove_dir(scan->store, records->dir, err);
        if (r < 0)
            return r;
    }
    int r = forget_left(scan, err);
    return r < 0 ? r : sparse_keep(scan, err);
}

struct seal *seal_free(struct seal *seal) {
    if (!seal)
        return NULL;
    map_free(seal->dirs, seal_dir_free);
    map_free(seal->placed, NULL);
    free(seal->shared);
    free(seal->order);
    free(seal->rows);
    free(seal);
    return NULL;
}
