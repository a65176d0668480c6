/* Layers of freed snapshots: which lines of their manifests are still needed, and which names of their trees are not.
 * Decides by the index alone, so that it comes to the same end however often it is begun; reads no file but manifests.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "gc_layers.h"

#include "facts.h"
#include "fs.h"
#include "manifest.h"
#include "map.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum need { NEED_NOT = 0, NEED_LEADS /* a directory on the way to what is needed */, NEED_LINE };

struct line {
    int64_t in, dir;           /* dir: of a directory its identity, else 0 */
    size_t name;
    enum need need;
};
struct plan {
    struct store *store;
    int64_t layer, line;
    struct line *lines;
    size_t count, room;
    struct buf names;
    struct map *dirs;          /* identity -> index of its line + 1 */
    bool needed;               /* anything is */
    struct snap_err *err;
};

static void plan_done(struct plan *plan) {
    free(plan->lines);
    buf_done(&plan->names);
    map_free(plan->dirs, NULL);
}
#define _plan_ _cleanup_(plan_done)

static int is_born(struct plan *plan, int64_t dir, const char *name) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, plan->store, plan->err, "SELECT 1 FROM entry WHERE line = ? AND dir = ? AND name = ? AND born = ?", "iini",
                    plan->line, dir, name, plan->layer);
    return r < 0 ? r : db_step(&row, plan->err);
}

/* Whether a row that remains ended here. */
static int has_died(struct plan *plan, int64_t dir, const char *name) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, plan->store, plan->err, "SELECT died FROM entry WHERE line = ?1 AND dir = ?2 AND name = ?3 AND born < ?4"
                    " ORDER BY born DESC LIMIT 1", "iini", plan->line, dir, name, plan->layer);
    if (r == 0)
        r = db_step(&row, plan->err);
    return r > 0 ? db_int(&row, 0) == plan->layer : r;
}

static struct line *line_of_dir(const struct plan *plan, int64_t dir) {
    uintptr_t at = (uintptr_t)map_get(plan->dirs, &dir, sizeof(dir));
    return at ? &plan->lines[at - 1] : NULL;
}

static int add_line(void *data, const struct manifest_entry *entry) {
    struct plan *plan = data;
    if (MAKE_ROOM(plan->lines, plan->count, plan->room) < 0)
        return -ENOMEM;
    struct line *line = &plan->lines[plan->count++];
    bool deleted = entry->flags & MANIFEST_DELETED, context = entry->flags & MANIFEST_CONTEXT;
    *line = (struct line){ .in = entry->in, .dir = deleted ? 0 : entry->object->dir, .name = plan->names.size };
    buf_add(&plan->names, entry->name, strlen(entry->name) + 1);
    if (plan->names.failed)
        return -ENOMEM;
    int r = context || !deleted ? 0 : has_died(plan, entry->in, entry->name);
    if (r == 0 && !context)                  /* what is gone has a row, too, where a base has it */
        r = is_born(plan, entry->in, entry->name);
    if (r < 0)
        return r;
    line->need = r ? NEED_LINE : NEED_NOT;
    plan->needed |= r != 0;
    if (!line->dir)
        return 0;
    return MIN(map_put(plan->dirs, &line->dir, sizeof(line->dir), (void *)(uintptr_t)plan->count, NULL), 0);
}

/* Children come after their directories, so one pass backwards reaches every way. */
static void mark_ways(struct plan *plan) {
    for (size_t i = plan->count; i-- > 0;) {
        struct line *way = plan->lines[i].need ? line_of_dir(plan, plan->lines[i].in) : NULL;
        if (way && !way->need)
            way->need = NEED_LEADS;
    }
}

/* ret may be NULL. */
static int make_plan(struct plan *plan, struct snapshot **ret) {
    plan->dirs = map_new();
    if (!plan->dirs)
        return err_nomem(plan->err);
    int r = manifest_read(plan->store, plan->layer, ret, add_line, plan, plan->err);
    if (r == 0)
        mark_ways(plan);
    return r;
}

/* What goes. */

static int add_path_of(const struct plan *plan, int64_t dir, struct buf *out) {
    const struct line *line = line_of_dir(plan, dir);
    if (dir == INDEX_ROOT || !line)
        return dir == INDEX_ROOT ? 0 : -EUCLEAN;
    _free_ const struct line **way = NULL;
    size_t count = 0, room = 0;
    for (; line && line->dir != INDEX_ROOT; line = line_of_dir(plan, line->in)) {
        if (MAKE_ROOM(way, count, room) < 0)
            return -ENOMEM;
        way[count++] = line;
    }
    while (count > 0) {
        buf_char(out, '/');
        buf_str(out, plan->names.data + way[--count]->name);
    }
    return line ? 0 : -EUCLEAN;
}

static int doom_line(struct plan *plan, const struct line *line) {
    _buf_ struct buf path = {0};
    buf_fmt(&path, "layers/%lld/tree", (long long)plan->layer);
    int r = add_path_of(plan, line->in, &path);
    if (r < 0)
        return err_damage(plan->err, "the manifest of layer %lld is damaged: a directory leads nowhere", (long long)plan->layer);
    buf_char(&path, '/');
    buf_str(&path, plan->names.data + line->name);
    return path.failed ? err_nomem(plan->err) : gc_doom(plan->store, path.data, plan->err);
}

/* Below what goes as a whole, nothing is said. A deletion inside a directory that the layer does not have left no file. */
static int doom_lines(struct plan *plan, struct gc_freed *sums) {
    int r = 0;
    for (size_t i = 0; i < plan->count && r == 0; i++) {
        const struct line *line = &plan->lines[i], *in = line_of_dir(plan, line->in);
        if (line->need || !in || !in->need)
            continue;
        sums->files++;
        r = doom_line(plan, line);
    }
    return r;
}

static int doom_layer(struct pass *pass, struct plan *plan) {
    char path[40];
    (void)snprintf(path, sizeof(path), "layers/%lld", (long long)plan->layer);
    int r = gc_doom(pass->store, path, pass->err);
    pass->sums->layers++;
    if (r == 0)
        r = db_run(pass->store, pass->err, "DELETE FROM gone WHERE layer = ?", "i", plan->layer);
    return r < 0 ? r : db_run(pass->store, pass->err, "DELETE FROM stale WHERE layer = ?", "i", plan->layer);
}

/* Which directories the layer has from now on. */
static int note_dirs(struct pass *pass, const struct plan *plan) {
    int r = 0;
    for (size_t i = 0; i < plan->count && r == 0; i++) {
        const struct line *line = &plan->lines[i];
        if (!line->dir || line->dir == INDEX_ROOT)
            continue;
        if (line->need)
            r = db_run(pass->store, pass->err, "INSERT INTO gone_dir(dir, layer) VALUES (?, ?) ON CONFLICT DO NOTHING", "ii",
                       line->dir, plan->layer);
        else if (numbers_add(&pass->dirs, line->dir) < 0)
            r = err_nomem(pass->err);
        else
            r = db_run(pass->store, pass->err, "DELETE FROM gone_dir WHERE dir = ? AND layer = ?", "ii", line->dir, plan->layer);
    }
    return r;
}

static int free_layer(struct pass *pass, int64_t layer) {
    _plan_ struct plan plan = { .store = pass->store, .layer = layer, .line = pass->line, .err = pass->err };
    int r = make_plan(&plan, NULL);
    if (r < 0 || (r = note_dirs(pass, &plan)) < 0 || !plan.needed)
        return r < 0 ? r : doom_layer(pass, &plan);
    if ((r = doom_lines(&plan, pass->sums)) < 0)
        return r;
    return gc_stale(pass->store, layer, pass->line, pass->err);
}

static int is_gone(struct store *store, int64_t layer, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT 1 FROM gone WHERE layer = ?", "i", layer);
    return r < 0 ? r : db_step(&row, err);
}

static int note_gone(struct pass *pass, int64_t layer) {
    if (numbers_add(&pass->touched, layer) < 0)
        return err_nomem(pass->err);
    int r = facts_remember(pass->store, layer, pass->err);
    return r < 0 ? r : db_run(pass->store, pass->err, "INSERT INTO gone(layer, line) VALUES (?, ?)", "ii", layer, pass->line);
}

int gc_stale(struct store *store, int64_t layer, int64_t line, struct snap_err *err) {
    return db_run(store, err, "INSERT INTO stale(layer, line) VALUES (?, ?) ON CONFLICT DO NOTHING", "ii", layer, line);
}

int gc_layers(struct pass *pass) {
    int r = 0;
    for (size_t i = 0; i < pass->freed.count && r == 0; i++)
        r = note_gone(pass, pass->freed.at[i]);
    numbers_sort(&pass->touched);
    for (size_t i = 0; i < pass->touched.count && r == 0; i++) {
        r = is_gone(pass->store, pass->touched.at[i], pass->err);
        if (r > 0)
            r = free_layer(pass, pass->touched.at[i]);
    }
    return r;
}

/* Manifests. */

struct rewrite { struct plan *plan; size_t at; struct text_stream out; };

static void rewrite_done(struct rewrite *rewrite) {
    text_stream_done(&rewrite->out);
}

/* Content may have been given another place. */
static int find_content(struct plan *plan, struct manifest_entry *entry) {
    if (!entry->content_layer)
        return 0;
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, plan->store, plan->err, "SELECT layer FROM content WHERE id = ?", "i", entry->object->content);
    if (r < 0 || (r = db_step(&row, plan->err)) <= 0)
        return r;
    entry->content_layer = db_int(&row, 0) == plan->layer ? 0 : db_int(&row, 0);
    return 0;
}

static int copy_line(void *data, const struct manifest_entry *entry) {
    struct rewrite *rewrite = data;
    if (rewrite->at >= rewrite->plan->count)
        return -EUCLEAN;
    enum need need = rewrite->plan->lines[rewrite->at++].need;
    struct manifest_entry copy = *entry;
    if (!need)
        return 0;
    if (need == NEED_LEADS)
        copy.flags |= MANIFEST_CONTEXT;
    int r = copy.flags & MANIFEST_DELETED ? 0 : find_content(rewrite->plan, &copy);
    manifest_add(&rewrite->out.text, &copy);
    return r < 0 ? r : text_stream_push(&rewrite->out);
}

static int write_lines(struct rewrite *rewrite, const struct snapshot *snapshot, struct snap_err *err) {
    manifest_begin(&rewrite->out.text, snapshot);
    int r = manifest_read(rewrite->plan->store, rewrite->plan->layer, NULL, copy_line, rewrite, err);
    return r < 0 ? r : text_stream_end(&rewrite->out);
}

/* Built in work/, so that a layer never holds half of one. */
static int put_manifest(struct rewrite *rewrite, const struct snapshot *snapshot, struct snap_err *err) {
    char name[40], to[24];
    struct store *store = rewrite->plan->store;
    (void)snprintf(name, sizeof(name), "manifest-%lld", (long long)rewrite->plan->layer);
    (void)snprintf(to, sizeof(to), "%lld", (long long)rewrite->plan->layer);
    int work = store_work_fd(store);
    _close_ int dir = openat(store_layers_fd(store), to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _close_ int fd = openat(work, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = dir < 0 || fd < 0 ? -errno : text_stream_open(&rewrite->out, fd);
    if (r == 0)
        r = write_lines(rewrite, snapshot, err);
    if (r == 0 && (fsync(fd) < 0 || renameat(work, name, dir, "manifest") < 0 || fsync(dir) < 0))
        r = -errno;
    if (r < 0 && err && err->code == r)
        return r;
    return r < 0 ? err_errno(err, r, "cannot write the manifest of layer %lld", (long long)rewrite->plan->layer) : 0;
}

/* Of a layer whose snapshot is there, only places of content change. */
int gc_write_manifest(struct store *store, int64_t layer, int64_t line, struct snap_err *err) {
    _plan_ struct plan plan = { .store = store, .layer = layer, .line = line, .err = err };
    _cleanup_(rewrite_done) struct rewrite rewrite = { .plan = &plan };
    _snapshot_ struct snapshot *snapshot = NULL;
    int gone = is_gone(store, layer, err), r = gone < 0 ? gone : make_plan(&plan, &snapshot);
    if (r < 0)
        return r;
    if (gone)
        snapshot->flags |= SNAPSHOT_GONE;
    for (size_t i = 0; i < plan.count && !gone; i++)
        plan.lines[i].need = NEED_LINE;      /* all of what a snapshot says that is there */
    return put_manifest(&rewrite, snapshot, err);
}
