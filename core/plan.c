/* A transition's plan: which entries differ, and how directories that moved, came or went are to be understood.
 * Touches no file of the project and decides nothing about how a change is made.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan.h"
#include "fs.h"
#include "ignore.h"
#include "map.h"
#include "tree.h"
#include <string.h>

static char present[1];                   /* the value of sets */

/* Where directories lie in one of the two states, looked up once each. */
struct place {
    int64_t parent;
    const char *name;
    bool there, covered, excluded;        /* covered: at or below one of the paths */
};
struct view {
    struct point at;
    struct map *places;                   /* identity -> struct place */
    struct map *starts;                   /* identities of the directories that the paths name */
};

/* A row before its directories are known. */
struct draft {
    int64_t dir;
    struct plan_dir *in;                  /* not NULL: a directory that goes or comes as a whole */
    const char *name;
    struct object *before, *after;
};

struct builder {
    const struct plan_request *request;
    struct snap_project *project;
    struct store *store;
    struct plan *plan;
    struct view from, to;
    struct view *ground;                  /* the one of the two that the project is like outside of the paths */
    struct map *also;                     /* NULL, or the set of (identity, name) that may be in the plan */
    struct map *leaving, *arriving;       /* sets of directory identities */
    struct map *gone, *fresh, *both;      /* identity -> plan_dir */
    struct draft *drafts;
    size_t count, room;
    struct snap_err *err;
};

static void builder_done(struct builder *builder) {
    for (size_t i = 0; i < builder->count; i++) {
        object_free(builder->drafts[i].before);
        object_free(builder->drafts[i].after);
    }
    free(builder->drafts);
    map_free(builder->from.places, free);
    map_free(builder->to.places, free);
    map_free(builder->from.starts, NULL);
    map_free(builder->to.starts, NULL);
    map_free(builder->also, NULL);
    map_free(builder->leaving, NULL);
    map_free(builder->arriving, NULL);
    map_free(builder->gone, NULL);
    map_free(builder->fresh, NULL);
    map_free(builder->both, NULL);
}
#define _builder_ _cleanup_(builder_done)

struct plan *plan_free(struct plan *plan) {
    if (!plan)
        return NULL;
    for (size_t i = 0; i < plan->count; i++) {
        object_free(plan->rows[i].before);
        object_free(plan->rows[i].after);
    }
    for (size_t i = 0; i < plan->dirs_count; i++) {
        dir_unref(plan->dirs[i]->from_at);
        dir_unref(plan->dirs[i]->to_at);
        free(plan->dirs[i]);
    }
    for (size_t i = 0; i < plan->names_count; i++)
        free(plan->names[i]);
    for (size_t i = 0; i < plan->rules_count; i++)
        ignore_free(plan->rules[i]);
    free(plan->rows);
    free(plan->dirs);
    free(plan->names);
    free(plan);
    return NULL;
}

/* True once in a power of two, and at the start: the array is full then. */
static bool is_full(size_t count) {
    return (count & (count - 1)) == 0;
}

static int keep_name(struct builder *builder, const char *name, size_t size, const char **ret) {
    struct plan *plan = builder->plan;
    if (is_full(plan->names_count)) {
        char **more = reallocarray(plan->names, plan->names_count ? 2 * plan->names_count : 1, sizeof(*more));
        if (!more)
            return err_nomem(builder->err);
        plan->names = more;
    }
    char *copy = strndup(name, size);
    if (!copy)
        return err_nomem(builder->err);
    *ret = plan->names[plan->names_count++] = copy;
    return 0;
}

static int set_add(struct builder *builder, struct map *set, int64_t id) {
    return map_put(set, &id, sizeof(id), present, NULL) < 0 ? err_nomem(builder->err) : 0;
}

static bool set_has(const struct map *set, int64_t id) {
    return map_get(set, &id, sizeof(id)) != NULL;
}

/* Rules: what is left out now, or was in either state, is not touched. */

static int rules_of(struct builder *builder, struct point at) {
    _object_ struct object *object = NULL;
    int r = index_lookup(builder->store, at, INDEX_ROOT, IGNORE_FILE, &object, builder->err);
    if (r <= 0 || !S_ISREG(object->meta.mode) || object->flags & OBJECT_UNREAD)
        return MIN(r, 0);
    _close_ int fd = project_open_content(builder->project, object, builder->err);
    if (fd < 0)
        return fd;
    _buf_ struct buf text = {0};
    if ((r = fs_read_all(fd, SIZE_MAX, &text)) < 0)
        return err_errno(builder->err, r, "cannot read the " IGNORE_FILE " of snapshot %lld", (long long)at.snap);
    struct ignore *rules = NULL;
    r = ignore_new(text.data ? text.data : "", text.size, &rules, builder->err);
    if (r >= 0 && rules)
        builder->plan->rules[builder->plan->rules_count++] = rules;
    return r;
}

static int load_rules(struct builder *builder) {
    struct ignore *now = NULL;
    int r = ignore_load(builder->project->root, &now, builder->err);
    if (r < 0)
        return r;
    if (now)
        builder->plan->rules[builder->plan->rules_count++] = now;
    r = rules_of(builder, builder->request->from);
    return r < 0 ? r : rules_of(builder, builder->request->to);
}

static bool rules_match(const struct plan *plan, const char *path, bool is_dir) {
    for (size_t i = 0; i < plan->rules_count; i++)
        if (ignore_matches(plan->rules[i], path, is_dir))
            return true;
    return false;
}

/* Whether an entry of a directory, which is not excluded itself, is. 1, 0 or a negative errno. */
static int is_excluded(struct builder *builder, struct view *view, int64_t dir, const char *name, bool is_dir) {
    if (!builder->plan->rules_count || dir == 0)
        return 0;
    _buf_ struct buf path = {0};
    int r = index_dir_path(builder->store, view->at, dir, &path, builder->err);
    if (r < 0)
        return r;
    if (path.size)
        buf_char(&path, '/');
    buf_str(&path, name);
    return path.failed ? err_nomem(builder->err) : rules_match(builder->plan, path.data, is_dir);
}

/* Places. */

static int place_load(struct builder *builder, struct view *view, int64_t dir, struct place **ret) {
    _free_ char *name = NULL;
    _free_ struct place *place = calloc(1, sizeof(*place));
    if (!place)
        return err_nomem(builder->err);
    int r = index_dir_place(builder->store, view->at, dir, &place->parent, &name, builder->err);
    if (r < 0)
        return r;
    place->there = r > 0;
    if (r > 0 && (r = keep_name(builder, name, strlen(name), &place->name)) < 0)
        return r;
    if (map_put(view->places, &dir, sizeof(dir), place, NULL) < 0)
        return err_nomem(builder->err);
    *ret = TAKE_PTR(place);
    return 0;
}

/* What depends on the directory above, which is settled already; NULL: this is the root. */
static int place_settle(struct builder *builder, struct view *view, int64_t dir, struct place *place, const struct place *above) {
    if (!place->there)
        return 0;
    if (above && !above->there) {
        place->there = false;
        return 0;
    }
    place->covered = set_has(view->starts, dir) || (above && above->covered);
    place->excluded = above && above->excluded;
    if (!above || place->excluded)
        return 0;
    int r = is_excluded(builder, view, place->parent, place->name, true);
    place->excluded = r > 0;
    return MIN(r, 0);
}

static int push_id(struct builder *builder, int64_t **ids, size_t *count, int64_t id) {
    if (is_full(*count)) {
        int64_t *more = reallocarray(*ids, *count ? 2 * *count : 1, sizeof(*more));
        if (!more)
            return err_nomem(builder->err);
        *ids = more;
    }
    (*ids)[(*count)++] = id;
    return 0;
}

/* Upwards to what is known, then down again, so that depth costs no recursion. */
static int view_find(struct builder *builder, struct view *view, int64_t dir, const struct place **ret) {
    _free_ int64_t *chain = NULL;
    size_t count = 0;
    struct place *place = NULL, *above = NULL;
    for (int64_t at = dir; at && !(above = map_get(view->places, &at, sizeof(at))); at = place->parent) {
        int r = push_id(builder, &chain, &count, at);
        if (r < 0 || (r = place_load(builder, view, at, &place)) < 0)
            return r;
        if (!place->there)
            break;
    }
    while (count > 0) {
        int64_t at = chain[--count];
        place = map_get(view->places, &at, sizeof(at));
        int r = place_settle(builder, view, at, place, above);
        if (r < 0)
            return r;
        above = place;
    }
    *ret = above;
    return 0;
}

/* Drafts. */

/* Takes the objects, also on failure. */
static int add_draft(struct builder *builder, struct draft draft, const char *name) {
    _object_ struct object *before = draft.before, *after = draft.after;
    int r = keep_name(builder, name, strlen(name), &draft.name);
    if (r < 0)
        return r;
    if (MAKE_ROOM(builder->drafts, builder->count, builder->room) < 0)
        return err_nomem(builder->err);
    builder->drafts[builder->count++] = draft;
    (void)TAKE_PTR(before);
    (void)TAKE_PTR(after);
    return 0;
}

static bool same_directory(const struct object *before, const struct object *after) {
    return before && after && object_is_dir(before) && object_is_dir(after) && before->dir == after->dir;
}

/* A row of a directory that is in both states; it says which directories come and go. Takes the objects. */
static int add_change(struct builder *builder, struct draft draft, const char *name) {
    const struct object *before = draft.before, *after = draft.after;
    int r = 0;
    if (!same_directory(before, after)) {
        if (before && object_is_dir(before))
            r = set_add(builder, builder->leaving, before->dir);
        if (r == 0 && after && object_is_dir(after))
            r = set_add(builder, builder->arriving, after->dir);
    }
    if (r < 0) {
        object_free(draft.before);
        object_free(draft.after);
        return r;
    }
    return add_draft(builder, draft, name);
}

static int load_object(struct builder *builder, int64_t id, struct object **ret) {
    return id ? index_object(builder->store, id, ret, builder->err) : 0;
}

static bool may_change(const struct builder *builder, int64_t dir, const char *name) {
    char key[ENTRY_KEY_MAX];
    return !builder->also || map_get(builder->also, key, entry_key(key, dir, name));
}

/* Whether the entry is left out in either state. */
static int change_excluded(struct builder *builder, const struct index_change *change, const struct object *before,
                           const struct object *after) {
    int r = before ? is_excluded(builder, &builder->from, change->dir, change->name, object_is_dir(before)) : 0;
    if (r == 0 && after)
        r = is_excluded(builder, &builder->to, change->dir, change->name, object_is_dir(after));
    return r;
}

static int bare_chain(struct builder *builder, int64_t dir);

static bool counts(const struct place *place) {
    return place->there && place->covered && !place->excluded;
}

/* A directory that nobody asked to bring back, but something in it. */
static int wants_directory(struct builder *builder, const struct index_change *change, const struct place *from, const struct place *to) {
    return builder->also && change->after && !from->there && counts(to) && !set_has(builder->arriving, change->dir);
}

/* Rows of directories that are in one state only come from the listing of those (expand); here they only say which
 * directories come and go with them. */
static int note_side(struct builder *builder, struct view *view, struct map *set, const struct index_change *change, int64_t id) {
    _object_ struct object *object = NULL;
    int r = load_object(builder, id, &object);
    if (r < 0 || !object || !object_is_dir(object) || (r = is_excluded(builder, view, change->dir, change->name, true)) != 0)
        return MIN(r, 0);
    return set_add(builder, set, object->dir);
}

static int on_change(void *data, const struct index_change *change) {
    struct builder *builder = data;
    if (change->dir == 0 || !may_change(builder, change->dir, change->name))
        return 0;
    const struct place *from, *to;
    int r = view_find(builder, &builder->from, change->dir, &from);
    if (r < 0 || (r = view_find(builder, &builder->to, change->dir, &to)) < 0 || (!counts(from) && !counts(to)))
        return r;
    if (!counts(to))
        return note_side(builder, &builder->from, builder->leaving, change, change->before);
    if (!counts(from))
        return note_side(builder, &builder->to, builder->arriving, change, change->after);
    _object_ struct object *before = NULL, *after = NULL;
    if ((r = load_object(builder, change->before, &before)) < 0 || (r = load_object(builder, change->after, &after)) < 0
        || (r = change_excluded(builder, change, before, after)) != 0)
        return MIN(r, 0);
    return add_change(builder, (struct draft){ .dir = change->dir, .before = TAKE_PTR(before), .after = TAKE_PTR(after) },
                      change->name);
}

/* After all rows are known: what is in a directory that went away for another reason. */
static int on_orphan(void *data, const struct index_change *change) {
    struct builder *builder = data;
    if (change->dir == 0 || !may_change(builder, change->dir, change->name))
        return 0;
    const struct place *from, *to;
    int r = view_find(builder, &builder->from, change->dir, &from);
    if (r < 0 || (r = view_find(builder, &builder->to, change->dir, &to)) < 0 || !wants_directory(builder, change, from, to))
        return r;
    _object_ struct object *after = NULL;
    if ((r = load_object(builder, change->after, &after)) < 0 || (r = bare_chain(builder, change->dir)) < 0)
        return r;
    struct plan_dir *in = map_get(builder->fresh, &change->dir, sizeof(change->dir));
    return add_change(builder, (struct draft){ .dir = change->dir, .in = in, .after = TAKE_PTR(after) }, change->name);
}

static int on_also(void *data, const struct index_change *change) {
    struct builder *builder = data;
    char key[ENTRY_KEY_MAX];
    size_t size = entry_key(key, change->dir, change->name);
    return map_put(builder->also, key, size, present, NULL) < 0 ? err_nomem(builder->err) : 0;
}

/* Directories of the plan. */

static int new_dir(struct builder *builder, struct map *map, int64_t id, struct plan_dir what, struct plan_dir **ret) {
    struct plan *plan = builder->plan;
    if (is_full(plan->dirs_count)) {
        struct plan_dir **more = reallocarray(plan->dirs, plan->dirs_count ? 2 * plan->dirs_count : 1, sizeof(*more));
        if (!more)
            return err_nomem(builder->err);
        plan->dirs = more;
    }
    struct plan_dir *dir = malloc(sizeof(*dir));
    if (!dir)
        return err_nomem(builder->err);
    *dir = what;
    dir->id = id;
    plan->dirs[plan->dirs_count++] = dir;
    if (map_put(map, &id, sizeof(id), dir, NULL) < 0)
        return err_nomem(builder->err);
    *ret = dir;
    return 0;
}

static struct plan_dir *dir_in(const struct map *map, int64_t id) {
    return map_get(map, &id, sizeof(id));
}

static int new_fresh(struct builder *builder, int64_t id, struct plan_dir **ret) {
    const struct place *elsewhere;
    int r = view_find(builder, &builder->from, id, &elsewhere);
    if (r < 0)
        return r;
    bool clone = elsewhere->there;
    return new_dir(builder, builder->fresh, id, (struct plan_dir){ .in_to = true, .clone = clone }, ret);
}

/* One that did not move: its place is the one before. A directory that moves gets its places from its rows. */
static int dir_both(struct builder *builder, int64_t id, struct plan_dir **ret) {
    _free_ int64_t *chain = NULL;
    size_t count = 0;
    struct plan_dir *above = NULL;
    const struct place *place = NULL;
    for (int64_t at = id; at && !(above = dir_in(builder->both, at)); at = place->parent) {
        int r = push_id(builder, &chain, &count, at);
        if (r < 0 || (r = view_find(builder, builder->ground, at, &place)) < 0)
            return r;
        if (!place->there)
            return err_damage(builder->err, "the index is damaged: directory %lld lies nowhere", (long long)at);
        if (set_has(builder->leaving, at) && set_has(builder->arriving, at))
            break;
    }
    while (count > 0) {
        int64_t at = chain[--count];
        bool moves = set_has(builder->leaving, at) && set_has(builder->arriving, at);
        struct plan_dir what = { .in_from = true, .in_to = true };
        int r = view_find(builder, builder->ground, at, &place);
        if (r < 0)
            return r;
        if (!moves) {
            what.context = !place->covered;
            what.from_parent = what.to_parent = above;
            what.from_name = what.to_name = place->name;
        }
        if ((r = new_dir(builder, builder->both, at, what, &above)) < 0)
            return r;
    }
    *ret = above;
    return 0;
}

/* Going and coming as a whole. */

struct expansion {
    struct builder *builder;
    struct view *view;
    struct plan_dir *in;
    bool to;
    int64_t **queue;
    size_t *queued;
};

/* A directory that leaves one place and arrives at another moves; its inside is not listed. */
static int expand_child(struct expansion *expansion, const struct object *object) {
    struct builder *builder = expansion->builder;
    struct map *there = expansion->to ? builder->leaving : builder->arriving;
    struct map *here = expansion->to ? builder->arriving : builder->leaving;
    bool moves = set_has(there, object->dir) && !dir_in(expansion->to ? builder->gone : builder->fresh, object->dir);
    if (moves)
        return set_add(builder, here, object->dir);
    return push_id(builder, expansion->queue, expansion->queued, object->dir);
}

static int on_entry(void *data, const char *name, const struct object *object) {
    struct expansion *expansion = data;
    struct builder *builder = expansion->builder;
    int r = is_excluded(builder, expansion->view, expansion->in->id, name, object_is_dir(object));
    if (r != 0)
        return MIN(r, 0);
    if (object_is_dir(object) && (r = expand_child(expansion, object)) < 0)
        return r;
    struct object *copy = tree_object_copy(object);
    if (!copy)
        return err_nomem(builder->err);
    struct draft draft = { .dir = expansion->in->id, .in = expansion->in };
    *(expansion->to ? &draft.after : &draft.before) = copy;
    return add_draft(builder, draft, name);
}

/* Everything in the directories of `ids`, and in those below. Takes `ids`. */
static int expand_all(struct builder *builder, bool to, int64_t *ids, size_t count) {
    _free_ int64_t *queue = ids;
    while (count > 0) {
        int64_t id = queue[--count];
        if (dir_in(to ? builder->fresh : builder->gone, id))
            continue;
        struct plan_dir *dir = NULL;
        int r = to ? new_fresh(builder, id, &dir) : new_dir(builder, builder->gone, id, (struct plan_dir){ .in_from = true }, &dir);
        if (r < 0)
            return r;
        struct view *view = to ? &builder->to : &builder->from;
        struct expansion expansion = { builder, view, dir, to, &queue, &count };
        if ((r = index_list(builder->store, view->at, id, on_entry, &expansion, builder->err)) < 0)
            return r;
    }
    return 0;
}

/* What is in `set` and not in `without`. */
static int difference(struct builder *builder, const struct map *set, const struct map *without, int64_t **ret, size_t *ret_count) {
    for (struct map_iter i = {0}; map_next(set, &i);) {
        int64_t id;
        memcpy(&id, i.key, sizeof(id));
        if (set_has(without, id))
            continue;
        int r = push_id(builder, ret, ret_count, id);
        if (r < 0)
            return r;
    }
    return 0;
}

static int expand(struct builder *builder) {
    _free_ int64_t *ids = NULL;
    size_t count = 0;
    int r = difference(builder, builder->arriving, builder->leaving, &ids, &count);
    if (r < 0 || (r = expand_all(builder, true, TAKE_PTR(ids), count)) < 0)
        return r;
    count = 0;
    r = difference(builder, builder->leaving, builder->arriving, &ids, &count);
    return r < 0 ? r : expand_all(builder, false, TAKE_PTR(ids), count);
}

/* Paths. */

static bool is_below(const char *path, const char *above) {
    size_t size = strlen(above);
    return size == 0 || (strncmp(path, above, size) == 0 && (path[size] == '/' || path[size] == '\0'));
}

/* Whether another of the paths covers this one. */
static bool is_redundant(const char *const *paths, size_t at) {
    for (size_t i = 0; paths[i]; i++)
        if (i != at && is_below(paths[at], paths[i]) && (strcmp(paths[at], paths[i]) != 0 || i < at))
            return true;
    return false;
}

static int add_start(struct builder *builder, struct view *view, const char *path) {
    _object_ struct object *object = NULL;
    int r = index_resolve(builder->store, view->at, path, NULL, NULL, &object, builder->err);
    if (r <= 0 || !object_is_dir(object))
        return MIN(r, 0);
    return set_add(builder, view->starts, object->dir);
}

/* Where a path hangs in the project: in a directory that is there, or in one that is to be made. */
struct hang { int64_t dir; struct plan_dir *in; };

/* A directory that only led to what goes: it goes too if it is empty. Takes `object`. */
static int step_pruning(struct builder *builder, struct hang *hang, const char *name, struct object *object) {
    _object_ struct object *owned = object;
    int64_t id = object->dir;
    struct plan_dir *gone = dir_in(builder->gone, id);
    if (!gone) {
        int r = new_dir(builder, builder->gone, id, (struct plan_dir){ .in_from = true, .optional = true }, &gone);
        if (r < 0 || (r = add_draft(builder, (struct draft){ .dir = hang->dir, .in = hang->in, .before = TAKE_PTR(owned) }, name)) < 0)
            return r;
    }
    *hang = (struct hang){ .dir = id, .in = gone };
    return 1;
}

/* One that is not there and must be: as it is in the state after, without what is in it. Takes `object`. */
static int step_making(struct builder *builder, struct hang *hang, const char *name, struct object *object) {
    _object_ struct object *owned = object;
    int64_t id = object->dir;
    struct plan_dir *made = dir_in(builder->fresh, id);
    if (!made) {
        int r = new_fresh(builder, id, &made);
        if (r < 0 || (r = add_draft(builder, (struct draft){ .dir = hang->dir, .in = hang->in, .after = TAKE_PTR(owned) }, name)) < 0)
            return r;
    }
    *hang = (struct hang){ .dir = id, .in = made };
    return 1;
}

/* One step down a path, to the directory `prefix`, which is there, or is made if the path's end is to come back. 0: it is
 * neither. */
static int step_into(struct builder *builder, struct hang *hang, const char *name, const char *prefix, bool make) {
    _object_ struct object *now = NULL, *before = NULL, *after = NULL;
    struct store *store = builder->store;
    int r = hang->in ? 0 : index_lookup(store, builder->ground->at, hang->dir, name, &now, builder->err);
    if (r < 0 || (r = index_resolve(store, builder->to.at, prefix, NULL, NULL, &after, builder->err)) < 0
        || (r = index_resolve(store, builder->from.at, prefix, NULL, NULL, &before, builder->err)) < 0)
        return r;
    if (!make && builder->request->prune && !after && before && object_is_dir(before))
        return step_pruning(builder, hang, name, TAKE_PTR(before));
    if (now && !object_is_dir(now))
        return err_path(builder->err, -ENOTDIR, prefix, "bring back what was in a directory, because a file now is");
    if (!now)
        return make && after && object_is_dir(after) ? step_making(builder, hang, name, TAKE_PTR(after)) : 0;
    hang->dir = now->dir;
    return 1;
}

/* To the directory in which the path's last name is; 0: there is none, and none is to be made. */
static int find_hang(struct builder *builder, const char *path, bool make, struct hang *ret, const char **ret_name) {
    struct hang hang = { .dir = INDEX_ROOT };
    const char *at = path;
    for (const char *slash; (slash = strchr(at, '/')); at = slash + 1) {
        _free_ char *name = strndup(at, (size_t)(slash - at)), *prefix = strndup(path, (size_t)(slash - path));
        if (!name || !prefix)
            return err_nomem(builder->err);
        int r = step_into(builder, &hang, name, prefix, make);
        if (r <= 0)
            return r;
    }
    *ret = hang;
    *ret_name = at;
    return 1;
}

/* What the path itself is, before and after: the one row that lies outside of what the paths cover. */
static int add_path(struct builder *builder, const char *path) {
    _object_ struct object *before = NULL, *after = NULL;
    int r = index_resolve(builder->store, builder->from.at, path, NULL, NULL, &before, builder->err);
    if (r < 0 || (r = index_resolve(builder->store, builder->to.at, path, NULL, NULL, &after, builder->err)) < 0)
        return r;
    if (!before && !after && !builder->also)
        return err_path(builder->err, -ENOENT, path, "find, in the project or in the snapshot,");
    if ((before && after && before->id == after->id) || (!before && !after)
        || (*path && plan_excludes(builder->plan, path, object_is_dir(before ? before : after))))
        return 0;
    struct hang hang = { .dir = 0 };
    const char *name = "";
    if (*path && (r = find_hang(builder, path, after != NULL, &hang, &name)) <= 0)
        return r;
    if (!may_change(builder, hang.dir, name))
        return 0;
    return add_change(builder, (struct draft){ .dir = hang.dir, .in = hang.in, .before = TAKE_PTR(before),
                                               .after = TAKE_PTR(after) }, name);
}

/* Makes the directories that lead to `dir` as they are in the state after, as far as they are not there. */
static int bare_chain(struct builder *builder, int64_t dir) {
    _free_ int64_t *chain = NULL;
    size_t count = 0;
    const struct place *from = NULL, *to = NULL;
    for (int64_t at = dir; ; at = to->parent) {
        int r = view_find(builder, &builder->from, at, &from);
        if (r < 0 || (r = view_find(builder, &builder->to, at, &to)) < 0)
            return r;
        if (from->there || !to->there || dir_in(builder->fresh, at) || set_has(builder->arriving, at))
            break;
        if ((r = push_id(builder, &chain, &count, at)) < 0)
            return r;
    }
    while (count > 0) {
        int64_t at = chain[--count];
        int r = view_find(builder, &builder->to, at, &to);
        if (r < 0)
            return r;
        _object_ struct object *before = NULL, *after = NULL;
        if ((r = index_lookup(builder->store, builder->from.at, to->parent, to->name, &before, builder->err)) < 0
            || (r = index_lookup(builder->store, builder->to.at, to->parent, to->name, &after, builder->err)) < 0)
            return r;
        struct plan_dir *in = dir_in(builder->fresh, to->parent), *made = NULL;
        if (before && object_is_dir(before) && (r = set_add(builder, builder->leaving, before->dir)) < 0)
            return r;
        if ((r = new_fresh(builder, at, &made)) < 0
            || (r = add_draft(builder, (struct draft){ .dir = to->parent, .in = in, .before = TAKE_PTR(before),
                                                       .after = TAKE_PTR(after) }, to->name)) < 0)
            return r;
    }
    return 0;
}

/* Collecting. */

static int collect(struct builder *builder) {
    static const char *const everything[] = { "", NULL };
    const struct plan_request *request = builder->request;
    const char *const *paths = request->paths && *request->paths ? request->paths : everything;
    int r = 0;
    for (size_t i = 0; paths[i]; i++)
        if ((r = add_start(builder, &builder->from, paths[i])) < 0 || (r = add_start(builder, &builder->to, paths[i])) < 0)
            return r;
    for (size_t i = 0; paths[i]; i++)
        if (!is_redundant(paths, i) && (r = add_path(builder, paths[i])) < 0)
            return r;
    r = index_diff(builder->store, request->from, request->to, on_change, builder, builder->err);
    if (r < 0)
        return r;
    if (builder->also && (r = index_diff(builder->store, request->from, request->to, on_orphan, builder, builder->err)) < 0)
        return r;
    return expand(builder);
}

static int read_also(struct builder *builder) {
    const struct plan_request *request = builder->request;
    if (!request->also_from.line)
        return 0;
    builder->also = map_new();
    if (!builder->also)
        return err_nomem(builder->err);
    return index_diff(builder->store, request->also_from, request->also_to, on_also, builder, builder->err);
}

/* Rows. */

/* The other directory that a name stands for, before or after. */
static int link_dir(struct builder *builder, struct map *whole, int64_t id, struct plan_dir **ret) {
    *ret = dir_in(whole, id);
    return *ret ? 0 : dir_both(builder, id, ret);
}

static int link_row(struct builder *builder, struct plan_row *row) {
    int r = 0;
    if (same_directory(row->before, row->after))
        return dir_both(builder, row->after->dir, &row->self);
    if (row->before && object_is_dir(row->before)) {
        if ((r = link_dir(builder, builder->gone, row->before->dir, &row->leaves)) < 0)
            return r;
        row->leaves->from_parent = row->dir;
        row->leaves->from_name = row->name;
    }
    if (row->after && object_is_dir(row->after)) {
        if ((r = link_dir(builder, builder->fresh, row->after->dir, &row->arrives)) < 0)
            return r;
        row->arrives->to_parent = row->dir;
        row->arrives->to_name = row->name;
    }
    return 0;
}

static int by_key(const void *a, const void *b) {
    const struct plan_row *x = a, *y = b;
    int64_t p = x->dir ? x->dir->id : 0, q = y->dir ? y->dir->id : 0;
    if (p != q)
        return p < q ? -1 : 1;
    if (x->dir != y->dir)                 /* one that goes, and its clone */
        return x->dir->in_from ? -1 : 1;
    return strcmp(x->name, y->name);
}

struct plan_row *plan_find(const struct plan *plan, const struct plan_dir *dir, const char *name) {
    struct plan_row key = { .dir = (struct plan_dir *)(uintptr_t)dir, .name = name };
    return plan->count ? bsearch(&key, plan->rows, plan->count, sizeof(key), by_key) : NULL;
}

struct plan_row *plan_find_id(const struct plan *plan, int64_t dir, const char *name) {
    size_t low = 0, high = plan->count;
    while (low < high) {                  /* to the first row of the directory */
        size_t middle = low + (high - low) / 2;
        const struct plan_row *row = &plan->rows[middle];
        if ((row->dir ? row->dir->id : 0) < dir)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == plan->count || !plan->rows[low].dir || plan->rows[low].dir->id != dir || plan->rows[low].dir->clone)
        return NULL;
    return plan_find(plan, plan->rows[low].dir, name);
}

bool plan_excludes(const struct plan *plan, const char *path, bool is_dir) {
    for (size_t i = 0; i < plan->rules_count; i++)
        if (ignore_covers(plan->rules[i], path, is_dir))
            return true;
    return false;
}

/* Rows stand still from here on. */
static void settle_rows(struct plan *plan) {
    if (plan->count)
        qsort(plan->rows, plan->count, sizeof(*plan->rows), by_key);
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_row *row = &plan->rows[i];
        row->number = i;
        if (row->self)
            row->self->own = row;
        if (row->leaves)
            row->leaves->from_row = row;
        if (row->arrives)
            row->arrives->to_row = row;
    }
}

static bool is_whole(const struct builder *builder, int64_t id) {
    return dir_in(builder->gone, id) || dir_in(builder->fresh, id);
}

static int make_rows(struct builder *builder) {
    struct plan *plan = builder->plan;
    plan->rows = calloc(MAX(builder->count, (size_t)1), sizeof(*plan->rows));
    if (!plan->rows)
        return err_nomem(builder->err);
    for (size_t i = 0; i < builder->count; i++) {
        struct draft *draft = &builder->drafts[i];
        if (!draft->in && draft->dir && is_whole(builder, draft->dir))
            continue;
        struct plan_row row = { .dir = draft->in, .name = draft->name };
        int r = !draft->in && draft->dir ? dir_both(builder, draft->dir, &row.dir) : 0;
        if (r < 0)
            return r;
        row.before = TAKE_PTR(draft->before);
        row.after = TAKE_PTR(draft->after);
        plan->rows[plan->count] = row;
        if ((r = link_row(builder, &plan->rows[plan->count++])) < 0)
            return r;
    }
    settle_rows(plan);
    return dir_both(builder, INDEX_ROOT, &plan->root);
}

/* Only where a part of the rows was asked for: a directory would have to be put into itself, or was moved to a place that
 * the rows do not know. */
static int not_possible(struct builder *builder, const struct plan_dir *dir) {
    _buf_ struct buf path = {0};
    int r = index_dir_path(builder->store, builder->to.at, dir->id, &path, builder->err);
    if (r < 0)
        return r;
    r = err_path(builder->err, -EBUSY, path.failed || !path.data ? "" : path.data, "bring back, because directories were moved since,");
    return builder->err ? err_failure(builder->err, SNAP_FAILURE_CONFLICT) : r;
}

static bool is_placed(const struct plan *plan, const struct plan_dir *dir) {
    return dir == plan->root || ((!dir->in_from || dir->from_parent) && (!dir->in_to || dir->to_parent));
}

static int set_depths(struct builder *builder) {
    struct plan *plan = builder->plan;
    for (size_t i = 0; i < plan->dirs_count; i++) {
        struct plan_dir *dir = plan->dirs[i];
        unsigned from = 0, to = 0;
        for (struct plan_dir *at = dir; at->from_parent && from <= plan->dirs_count; at = at->from_parent)
            from++;
        for (struct plan_dir *at = dir; at->to_parent && to <= plan->dirs_count; at = at->to_parent)
            to++;
        if (!is_placed(plan, dir) || from > plan->dirs_count || to > plan->dirs_count)
            return not_possible(builder, dir);
        dir->from_depth = from;
        dir->to_depth = to;
    }
    return 0;
}

static int top_first(const void *a, const void *b) {
    const struct plan_dir *x = *(struct plan_dir *const *)a, *y = *(struct plan_dir *const *)b;
    return x->to_depth < y->to_depth ? -1 : x->to_depth > y->to_depth;
}

static bool goes(const struct plan_dir *dir) {
    return dir && dir->in_from && !dir->in_to;
}

static struct plan_dir *predecessor(const struct plan *plan, const struct plan_dir *dir) {
    if (goes(dir->to_row->leaves))
        return dir->to_row->leaves;
    const struct plan_dir *above = dir->to_parent ? dir->to_parent->instead_of : NULL;
    const struct plan_row *row = above ? plan_find(plan, above, dir->to_name) : NULL;
    return row && goes(row->leaves) ? row->leaves : NULL;
}

/* Directories that are made where others go from: those above first, for it is their insides that meet. */
static int match_places(struct builder *builder) {
    struct plan *plan = builder->plan;
    _free_ struct plan_dir **dirs = malloc(MAX(plan->dirs_count, (size_t)1) * sizeof(*dirs));
    size_t count = 0;
    if (!dirs)
        return err_nomem(builder->err);
    for (size_t i = 0; i < plan->dirs_count; i++)
        if (!plan->dirs[i]->in_from && plan->dirs[i]->to_row)
            dirs[count++] = plan->dirs[i];
    if (count)
        qsort(dirs, count, sizeof(*dirs), top_first);
    for (size_t i = 0; i < count; i++) {
        struct plan_dir *old = predecessor(plan, dirs[i]);
        dirs[i]->instead_of = old;
        if (old)
            old->replaced_by = dirs[i];
    }
    return 0;
}

static int builder_init(struct builder *builder) {
    struct map **maps[] = { &builder->from.places, &builder->to.places, &builder->from.starts, &builder->to.starts,
                            &builder->leaving, &builder->arriving, &builder->gone, &builder->fresh, &builder->both };
    for (size_t i = 0; i < ELEMENTS(maps); i++)
        if (!(*maps[i] = map_new()))
            return err_nomem(builder->err);
    return load_rules(builder);
}

int plan_make(struct snap_project *project, const struct plan_request *request, struct plan **ret, struct snap_err *err) {
    _plan_ struct plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return err_nomem(err);
    _builder_ struct builder builder = { .request = request, .project = project, .store = project->store, .plan = plan,
                                         .from = { .at = request->from }, .to = { .at = request->to }, .err = err };
    builder.ground = request->ground_after ? &builder.to : &builder.from;
    int r = builder_init(&builder);
    if (r < 0 || (r = read_also(&builder)) < 0 || (r = collect(&builder)) < 0 || (r = make_rows(&builder)) < 0
        || (r = set_depths(&builder)) < 0 || (r = match_places(&builder)) < 0)
        return r;
    *ret = TAKE_PTR(plan);
    return 0;
}

/* Paths of the plan, for people and for messages. */

void plan_dir_path(const struct plan_dir *dir, bool after, struct buf *out) {
    _free_ const char **names = NULL;
    size_t count = 0;
    for (const struct plan_dir *at = dir; at; at = after ? at->to_parent : at->from_parent)
        count++;
    if (count < 2)
        return;
    names = malloc(count * sizeof(*names));
    if (!names) {
        out->failed = -ENOMEM;
        return;
    }
    size_t at = count;
    for (const struct plan_dir *i = dir; i; i = after ? i->to_parent : i->from_parent)
        names[--at] = after ? i->to_name : i->from_name;
    for (size_t i = 1; i < count; i++) {
        if (i > 1)
            buf_char(out, '/');
        buf_str(out, names[i]);
    }
}

void plan_row_path(const struct plan_row *row, bool after, struct buf *out) {
    if (!row->dir)
        return;
    size_t before = out->size;
    plan_dir_path(row->dir, after, out);
    if (out->size > before)
        buf_char(out, '/');
    buf_str(out, row->name);
}
