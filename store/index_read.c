/* The index: the tree at one point, by place, by path, by directory.
 * Changes nothing. Everything about a point ends in entry_at, entries_at or dir_at: where a line has no row of its own
 * and stands on another line, they are what must look there. SPDX-License-Identifier: GPL-2.0-or-later */
#include "index_rows.h"

#include <string.h>

/* A line may stand on a snapshot of another one: where it has no row of its own for a place, the place is what it is
 * there. ?1 line, ?2 snapshot. Level 0 is the line's own; a row of one level hides those of the levels below it, also the
 * row of object 0, which says that nothing is there. */
#define LEVELS "WITH RECURSIVE level(depth, line, snap) AS (SELECT 0, ?1, ?2 UNION ALL SELECT v.depth + 1, l.base_line, l.base_snapshot" \
    " FROM level v JOIN line l ON l.id = v.line WHERE l.base_line IS NOT NULL AND v.depth < 1000) "
#define SHOWN(row) row ".line = v.line AND " row ".born <= v.snap AND " row ".died > v.snap"
#define NOT_HIDDEN(row) "NOT EXISTS (SELECT 1 FROM level u CROSS JOIN entry h ON h.line = u.line AND h.dir = " row ".dir" \
    " AND h.name = " row ".name AND h.born <= u.snap AND h.died > u.snap WHERE u.depth < v.depth)"

/* The project's line stands on nothing, and its questions are asked without levels. */
static bool is_alone(struct point at) {
    return at.line == INDEX_PROJECT_LINE;
}

int index_base(struct store *store, int64_t line, struct point *ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT base_line, base_snapshot FROM line WHERE id = ? AND base_line IS NOT NULL", "i", line);
    if (r == 0)
        r = db_step(&row, err);
    if (r > 0)
        *ret = (struct point){ db_int(&row, 0), db_int(&row, 1) };
    return r;
}

/* The object at a place: > 0, 0 absent, negative errno. */
static int64_t entry_at(struct store *store, struct point at, int64_t dir, const char *name, size_t size, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = is_alone(at)
        ? db_bind(&row, store, err, "SELECT died, object FROM entry WHERE line = ? AND born <= ? AND dir = ? AND name = ?"
                  " ORDER BY born DESC LIMIT 1", "iiib", at.line, at.snap, dir, name, size)
        : db_bind(&row, store, err, LEVELS "SELECT " NEVER_SQL ", e.object FROM level v CROSS JOIN entry e ON " SHOWN("e")
                  " AND e.dir = ?3 AND e.name = ?4 ORDER BY v.depth LIMIT 1", "iiib", at.line, at.snap, dir, name, size);
    if (r == 0)
        r = db_step(&row, err);
    if (r <= 0 || db_int(&row, 0) <= at.snap)
        return r < 0 ? r : 0;
    int64_t object = db_int(&row, 1);
    if (object > 0 || (object == 0 && !is_alone(at)))
        return object;
    return err_damage(err, "the index is damaged: an entry has no object");
}

#define LINKS_ALONE "(SELECT max(count(*), 1) FROM link k WHERE k.object = o.id AND k.line = ?1 AND k.born <= ?2 AND k.died > ?2)"
#define LINKS_OF_LEVELS "(SELECT max(count(*), 1) FROM level v CROSS JOIN link k ON k.object = o.id AND " SHOWN("k") " WHERE " NOT_HIDDEN("k") ")"
#define ENTRIES_ALONE " FROM entry e LEFT JOIN object o ON o.id = e.object" \
    " WHERE e.line = ?1 AND e.dir = ?3 AND e.born <= ?2 AND e.died > ?2 ORDER BY e.name"
#define ENTRIES_OF_LEVELS " FROM level v CROSS JOIN entry e ON " SHOWN("e") " AND e.dir = ?3 LEFT JOIN object o ON o.id = e.object" \
    " WHERE e.object <> 0 AND " NOT_HIDDEN("e") " ORDER BY e.name"
#define LINKED_SQL(count) ", CASE WHEN o.flags & 2 THEN " count " ELSE 1 END"       /* OBJECT_LINKED */

/* A directory's entries by name; columns: name, then OBJECT_COLUMNS, then, if asked for, how many names the object has. */
static int entries_at(struct db_statement *ret, struct store *store, struct point at, int64_t dir, bool links, struct snap_err *err) {
    if (is_alone(at))
        return links
            ? db_bind(ret, store, err, "SELECT e.name, " OBJECT_COLUMNS LINKED_SQL(LINKS_ALONE) ENTRIES_ALONE, "iii", at.line, at.snap, dir)
            : db_bind(ret, store, err, "SELECT e.name, " OBJECT_COLUMNS ENTRIES_ALONE, "iii", at.line, at.snap, dir);
    return links
        ? db_bind(ret, store, err, LEVELS "SELECT e.name, " OBJECT_COLUMNS LINKED_SQL(LINKS_OF_LEVELS) ENTRIES_OF_LEVELS, "iii",
                  at.line, at.snap, dir)
        : db_bind(ret, store, err, LEVELS "SELECT e.name, " OBJECT_COLUMNS ENTRIES_OF_LEVELS, "iii", at.line, at.snap, dir);
}

static int64_t identity_of(struct store *store, int64_t object, struct snap_err *err);

/* Whether the entry at this place is the directory: one whose place is that of a line below may be gone, or replaced, here. */
static int is_at(struct db_statement *place, struct store *store, struct point at, int64_t dir, struct snap_err *err) {
    size_t size = 0;
    const char *name = db_blob(place, 1, &size);
    int64_t object = entry_at(store, at, db_int(place, 0), name ? name : "", size, err);
    int64_t identity = object > 0 ? identity_of(store, object, err) : object;
    return identity < 0 ? (int)identity : identity == dir;
}

/* A directory's place: 1 and the row's columns parent, name; 0 absent. On a line that stands on another, a row with no
 * parent says that it is nowhere. */
static int dir_at(struct db_statement *ret, struct store *store, struct point at, int64_t dir, struct snap_err *err) {
    int r = is_alone(at)
        ? db_bind(ret, store, err, "SELECT parent, name, died FROM dir WHERE line = ? AND born <= ? AND id = ?"
                  " ORDER BY born DESC LIMIT 1", "iii", at.line, at.snap, dir)
        : db_bind(ret, store, err, LEVELS "SELECT d.parent, d.name, " NEVER_SQL ", v.depth FROM level v CROSS JOIN dir d ON " SHOWN("d")
                  " AND d.id = ?3 ORDER BY v.depth LIMIT 1", "iii", at.line, at.snap, dir);
    if (r == 0)
        r = db_step(ret, err);
    if (r > 0 && (db_int(ret, 2) <= at.snap || (!db_int(ret, 0) && dir != INDEX_ROOT)))
        return 0;
    return r > 0 && !is_alone(at) && db_int(ret, 3) > 0 ? is_at(ret, store, at, dir, err) : r;
}

int64_t index_lookup_id(struct store *store, struct point at, int64_t dir, const char *name, struct snap_err *err) {
    return entry_at(store, at, dir, name, strlen(name), err);
}

int index_lookup(struct store *store, struct point at, int64_t dir, const char *name, struct object **ret, struct snap_err *err) {
    int64_t id = index_lookup_id(store, at, dir, name, err);
    if (id <= 0)
        return (int)id;
    int r = index_object(store, id, ret, err);
    return r < 0 ? r : 1;
}

int index_has_object(struct store *store, int64_t id, struct object **ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " OBJECT_COLUMNS " FROM object o WHERE o.id = ?", "i", id);
    if (r == 0)
        r = db_step(&row, err);
    if (r <= 0)
        return r;
    _object_ struct object *object = calloc(1, sizeof(*object));
    if (!object)
        return err_nomem(err);
    r = object_row(&row, 0, object, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(object);
    return 1;
}

int index_object(struct store *store, int64_t id, struct object **ret, struct snap_err *err) {
    int r = index_has_object(store, id, ret, err);
    if (r == 0)
        return err_damage(err, "the index is damaged: object %lld is missing", (long long)id);
    return MIN(r, 0);
}

int index_content(struct store *store, int64_t id, struct content *ret, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT " CONTENT_COLUMNS " FROM content WHERE id = ?", "i", id);
    if (r == 0)
        r = db_step(&row, err);
    if (r == 0)
        return err_damage(err, "the index is damaged: content %lld is missing", (long long)id);
    return r < 0 ? r : content_row(&row, ret, err);
}

/* The identity of a directory's object, 0 of anything else. */
static int64_t identity_of(struct store *store, int64_t object, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT dir FROM object WHERE id = ?", "i", object);
    if (r == 0)
        r = db_step(&row, err);
    if (r == 0)
        return err_damage(err, "the index is damaged: object %lld is missing", (long long)object);
    return r < 0 ? r : db_int(&row, 0);
}

struct place { int64_t dir; const char *name; size_t size; int64_t object; };

/* From the root to the place that the path names: > 0, 0 absent, negative errno. */
static int64_t walk(struct store *store, struct point at, const char *path, struct place *ret, struct snap_err *err) {
    struct place place = { .dir = 0, .name = "", .size = 0 };
    place.object = entry_at(store, at, place.dir, place.name, place.size, err);
    for (const char *rest = path; place.object > 0 && *rest;) {
        place.dir = identity_of(store, place.object, err);
        if (place.dir <= 0)
            return place.dir;
        place.name = rest;
        place.size = strcspn(rest, "/");
        place.object = entry_at(store, at, place.dir, place.name, place.size, err);
        rest += place.size;
        rest += *rest == '/';
    }
    if (place.object > 0)
        *ret = place;
    return place.object;
}

int index_resolve(struct store *store, struct point at, const char *path, int64_t *ret_dir, char **ret_name, struct object **ret,
                  struct snap_err *err) {
    struct place place;
    int64_t found = walk(store, at, path, &place, err);
    if (found <= 0)
        return (int)found;
    _object_ struct object *object = NULL;
    int r = ret ? index_object(store, place.object, &object, err) : 0;
    if (r < 0)
        return r;
    char *name = ret_name ? strndup(place.name, place.size) : NULL;
    if (ret_name && !name)
        return err_nomem(err);
    if (ret_dir)
        *ret_dir = place.dir;
    if (ret_name)
        *ret_name = name;
    if (ret)
        *ret = TAKE_PTR(object);
    return 1;
}

/* A directory in memory, so that no statement is open while the caller works. */

void index_listing_done(struct index_listing *listing) {
    for (size_t i = 0; i < listing->count; i++)
        object_done(&listing->rows[i].object);
    free(listing->rows);
    buf_done(&listing->names);
    *listing = (struct index_listing){0};
}

/* `links`: the column that counts them, 0 = none does. */
static int listing_add(struct index_listing *listing, struct db_statement *row, int64_t dir, int links, struct snap_err *err) {
    if (MAKE_ROOM(listing->rows, listing->count, listing->room) < 0)
        return err_nomem(err);
    struct index_row *listed = &listing->rows[listing->count];
    int r = name_row(row, 0, dir, &listing->names, &listed->name, err);
    if (r == 0)
        r = object_row(row, 1, &listed->object, err);
    if (r == 0) {
        listed->links = links ? (uint32_t)MIN(db_int(row, links), (int64_t)UINT32_MAX) : 1;
        listing->count++;
    }
    return r;
}

static int read_listing(struct index_listing *listing, struct db_statement *row, int64_t dir, int links, struct snap_err *err) {
    int r;
    while ((r = db_step(row, err)) > 0)
        if ((r = listing_add(listing, row, dir, links, err)) < 0)
            break;
    return r;
}

int index_list(struct store *store, struct point at, int64_t dir, entry_fn fn, void *data, struct snap_err *err) {
    _cleanup_(index_listing_done) struct index_listing listing = {0};
    int r;
    {
        _statement_ struct db_statement row = {0};
        r = entries_at(&row, store, at, dir, false, err);
        if (r == 0)
            r = read_listing(&listing, &row, dir, 0, err);
    }
    for (size_t i = 0; i < listing.count && r == 0; i++)
        r = fn(data, index_row_name(&listing, &listing.rows[i]), &listing.rows[i].object);
    return r;
}

int index_read_dir(struct store *store, struct point at, int64_t dir, struct index_listing *ret, struct snap_err *err) {
    enum { LINKS = 15 };       /* after the name and OBJECT_COLUMNS */
    _cleanup_(index_listing_done) struct index_listing listing = {0};
    _statement_ struct db_statement row = {0};
    int r = entries_at(&row, store, at, dir, true, err);
    if (r == 0)
        r = read_listing(&listing, &row, dir, LINKS, err);
    if (r < 0)
        return r;
    *ret = listing;
    listing = (struct index_listing){0};
    return 0;
}

/* Hard links. */

#define NAMES_ALONE " FROM link k WHERE k.object = ?3 AND k.line = ?1 AND k.born <= ?2 AND k.died > ?2"
#define NAMES_OF_LEVELS " FROM level v CROSS JOIN link k ON k.object = ?3 AND " SHOWN("k") " WHERE " NOT_HIDDEN("k")

int64_t index_links(struct store *store, struct point at, int64_t object, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = is_alone(at)
        ? db_bind(&row, store, err, "SELECT max(count(*), 1)" NAMES_ALONE, "iii", at.line, at.snap, object)
        : db_bind(&row, store, err, LEVELS "SELECT max(count(*), 1)" NAMES_OF_LEVELS, "iii", at.line, at.snap, object);
    if (r == 0)
        r = db_step(&row, err);
    return r > 0 ? db_int(&row, 0) : r;
}

/* Rows of directory and name; ends the statement's use. */
static int give_names(struct db_statement *row, name_fn fn, void *data, struct snap_err *err) {
    int r = 0;
    while (r == 0 && (r = db_step(row, err)) > 0) {
        _buf_ struct buf name = {0};
        size_t start;
        r = name_row(row, 1, db_int(row, 0), &name, &start, err);
        if (r == 0)
            r = fn(data, db_int(row, 0), name.data);
    }
    return MIN(r, 0);
}

int index_names(struct store *store, struct point at, int64_t object, name_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = is_alone(at)
        ? db_bind(&row, store, err, "SELECT k.dir, k.name" NAMES_ALONE " ORDER BY 1, 2", "iii", at.line, at.snap, object)
        : db_bind(&row, store, err, LEVELS "SELECT k.dir, k.name" NAMES_OF_LEVELS " ORDER BY 1, 2", "iii", at.line, at.snap, object);
    return r < 0 ? r : give_names(&row, fn, data, err);
}

int index_places(struct store *store, struct point at, const struct object *object, name_fn fn, void *data, struct snap_err *err) {
    if (object->flags & OBJECT_LINKED)
        return index_names(store, at, object->id, fn, data, err);
    _statement_ struct db_statement row = {0};
    int r = is_alone(at)
        ? db_bind(&row, store, err, "SELECT dir, name FROM entry WHERE line = ?1 AND object = ?3 AND born <= ?2 AND died > ?2"
                  " ORDER BY dir, name", "iii", at.line, at.snap, object->id)
        : db_bind(&row, store, err, LEVELS "SELECT e.dir, e.name FROM level v CROSS JOIN entry e ON " SHOWN("e") " AND e.object = ?3"
                  " WHERE " NOT_HIDDEN("e") " ORDER BY 1, 2", "iii", at.line, at.snap, object->id);
    return r < 0 ? r : give_names(&row, fn, data, err);
}

/* Where a directory lies. */

int index_dir_place(struct store *store, struct point at, int64_t dir, int64_t *ret_parent, char **ret_name, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    _buf_ struct buf name = {0};
    size_t start;
    int r = dir_at(&row, store, at, dir, err);
    if (r <= 0)
        return r;
    int64_t parent = db_int(&row, 0);
    r = name_row(&row, 1, parent, &name, &start, err);
    if (r < 0)
        return r;
    *ret_parent = parent;
    *ret_name = buf_take(&name);
    return 1;
}

/* Nor is its place somebody else's, or empty, by now. */
#define DIR_NOT_HIDDEN "NOT EXISTS (SELECT 1 FROM level u CROSS JOIN dir h ON h.line = u.line AND h.id = d.id AND h.born <= u.snap" \
    " AND h.died > u.snap WHERE u.depth < v.depth) AND NOT EXISTS (SELECT 1 FROM level u CROSS JOIN entry h ON h.line = u.line" \
    " AND h.dir = d.parent AND h.name = d.name AND h.born <= u.snap AND h.died > u.snap LEFT JOIN object o ON o.id = h.object" \
    " WHERE u.depth < v.depth AND coalesce(o.dir, 0) <> d.id)"

int index_dirs(struct store *store, struct point at, dir_fn fn, void *data, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = is_alone(at)
        ? db_bind(&row, store, err, "SELECT id, parent, name FROM dir WHERE line = ? AND born <= ?2 AND died > ?2", "ii", at.line, at.snap)
        : db_bind(&row, store, err, LEVELS "SELECT d.id, d.parent, d.name FROM level v CROSS JOIN dir d ON " SHOWN("d")
                  " WHERE (d.parent <> 0 OR d.id = 1) AND " DIR_NOT_HIDDEN, "ii", at.line, at.snap);
    while (r == 0 && (r = db_step(&row, err)) > 0) {
        _buf_ struct buf name = {0};
        size_t start;
        r = name_row(&row, 2, db_int(&row, 1), &name, &start, err);
        if (r == 0)
            r = fn(data, db_int(&row, 0), db_int(&row, 1), name.data);
    }
    return MIN(r, 0);
}

enum { LEVELS_MAX = 1 << 20 };             /* more is a circle */

/* Names from the directory up to the root's, each with its NUL. */
static int climb(struct store *store, struct point at, int64_t dir, struct buf *names, struct snap_err *err) {
    for (int level = 0; dir != INDEX_ROOT; level++) {
        _statement_ struct db_statement row = {0};
        size_t start;
        int r = dir_at(&row, store, at, dir, err);
        if (r <= 0)
            return r;
        if (level == LEVELS_MAX)
            return err_damage(err, "the index is damaged: directory %lld lies in itself", (long long)dir);
        dir = db_int(&row, 0);
        r = name_row(&row, 1, dir, names, &start, err);
        if (r < 0)
            return r;
    }
    return 1;
}

int index_dir_path(struct store *store, struct point at, int64_t dir, struct buf *ret, struct snap_err *err) {
    _buf_ struct buf names = {0};
    int r = climb(store, at, dir, &names, err);
    if (r <= 0)
        return r;
    for (size_t end = names.size; end > 0;) {
        size_t start = end - 1;
        while (start > 0 && names.data[start - 1])
            start--;
        buf_str(ret, names.data + start);
        if (start > 0)
            buf_char(ret, '/');
        end = start;
    }
    return ret->failed ? err_nomem(err) : 1;
}

/* Rows of its own. */

struct own { int64_t dir, object; size_t name; };
struct owns { struct own *at; size_t count, room; struct buf names; };

static void owns_done(struct owns *owns) {
    free(owns->at);
    buf_done(&owns->names);
}

static int read_own_rows(struct owns *owns, struct store *store, int64_t line, struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, store, err, "SELECT dir, name, object FROM entry WHERE line = ? AND died = " NEVER_SQL, "i", line);
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        if (MAKE_ROOM(owns->at, owns->count, owns->room) < 0)
            return err_nomem(err);
        struct own *own = &owns->at[owns->count];
        *own = (struct own){ .dir = db_int(&row, 0), .object = db_int(&row, 2) };
        if ((r = name_row(&row, 1, own->dir, &owns->names, &own->name, err)) == 0)
            owns->count++;
    }
    return r;
}

int index_own_rows(struct store *store, int64_t line, own_row_fn fn, void *data, struct snap_err *err) {
    _cleanup_(owns_done) struct owns owns = {0};
    int r = read_own_rows(&owns, store, line, err);
    for (size_t i = 0; i < owns.count && r == 0; i++)
        r = fn(data, owns.at[i].dir, owns.names.data + owns.at[i].name, owns.at[i].object);
    return r;
}
