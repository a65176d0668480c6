/* Rows of freed snapshots: entries and links, objects and content, places of directories.
 * Reads what was born or died between the snapshots that remain, not the trees; unlinks nothing.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "gc_rows.h"

#include "index_rows.h"
#include "live.h"

#include <string.h>

/* Numbers. */

void numbers_done(struct numbers *numbers) {
    free(numbers->at);
    *numbers = (struct numbers){0};
}

int numbers_add(struct numbers *numbers, int64_t number) {
    if (numbers->count && numbers->at[numbers->count - 1] == number)
        return 0;
    if (MAKE_ROOM(numbers->at, numbers->count, numbers->room) < 0)
        return -ENOMEM;
    numbers->at[numbers->count++] = number;
    return 0;
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void numbers_sort(struct numbers *numbers) {
    size_t kept = 0;
    if (numbers->count)
        qsort(numbers->at, numbers->count, sizeof(*numbers->at), by_number);
    for (size_t i = 0; i < numbers->count; i++)
        if (kept == 0 || numbers->at[kept - 1] != numbers->at[i])
            numbers->at[kept++] = numbers->at[i];
    numbers->count = kept;
}

/* The first that is not less. */
static size_t search(const struct numbers *numbers, int64_t number) {
    size_t low = 0, high = numbers->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (numbers->at[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool numbers_within(const struct numbers *numbers, int64_t from, int64_t to) {
    size_t at = search(numbers, from);
    return at < numbers->count && numbers->at[at] < to;
}

bool numbers_have(const struct numbers *numbers, int64_t number) {
    return numbers_within(numbers, number, number + 1);
}

int numbers_read(struct numbers *numbers, struct db_statement *row, struct snap_err *err) {
    int r;
    while ((r = db_step(row, err)) > 0)
        if (numbers_add(numbers, db_int(row, 0)) < 0)
            return err_nomem(err);
    numbers_sort(numbers);
    return r;
}

/* Rows that nobody shows. */

struct dead {
    int64_t dir, born, died, object;
    int64_t identity;          /* of a directory, else 0 */
    int64_t content;
    uint64_t size;
    size_t name;
    bool again, linked;
};
struct deads { struct dead *at; size_t count, room; struct buf names; };

static void deads_done(struct deads *deads) {
    free(deads->at);
    buf_done(&deads->names);
}
#define _deads_ _cleanup_(deads_done)

#define DEAD_COLUMNS "e.dir, e.name, e.born, e.died, e.object, e.again, o.dir, o.flags, o.content, o.size"

static int add_dead(struct deads *deads, struct db_statement *row, struct snap_err *err) {
    if (MAKE_ROOM(deads->at, deads->count, deads->room) < 0)
        return err_nomem(err);
    struct dead dead = { .dir = db_int(row, 0), .born = db_int(row, 2), .died = db_int(row, 3), .object = db_int(row, 4),
                         .again = db_int(row, 5) != 0, .identity = db_int(row, 6), .content = db_int(row, 8),
                         .size = (uint64_t)db_int(row, 9), .linked = (db_int(row, 7) & OBJECT_LINKED) != 0 };
    int r = name_row(row, 1, dead.dir, &deads->names, &dead.name, err);
    if (r == 0)
        deads->at[deads->count++] = dead;
    return r;
}

static int add_deads(struct deads *deads, struct db_statement *row, struct snap_err *err) {
    int r;
    while ((r = db_step(row, err)) > 0)
        if ((r = add_dead(deads, row, err)) < 0)
            return r;
    return r;
}

/* Born and died between two that remain. */
static int find_between(struct pass *pass, int64_t before, int64_t after, struct deads *deads) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT " DEAD_COLUMNS " FROM entry e INDEXED BY entry_by_died LEFT JOIN object o"
                    " ON o.id = e.object WHERE e.line = ?1 AND e.died > ?2 AND e.died <= ?3 AND e.died < " NEVER_SQL " AND e.born > ?2",
                    "iii", pass->line, before, after);
    return r < 0 ? r : add_deads(deads, &row, pass->err);
}

/* Born after the last that remains. */
static int find_after(struct pass *pass, int64_t before, struct deads *deads) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT " DEAD_COLUMNS " FROM entry e INDEXED BY entry_by_born LEFT JOIN object o"
                    " ON o.id = e.object WHERE e.line = ?1 AND e.born > ?2", "ii", pass->line, before);
    return r < 0 ? r : add_deads(deads, &row, pass->err);
}

/* Places of a directory, in time. */
struct stay { int64_t born, died, parent; size_t name; };
struct stays { struct stay *at; size_t count, room; struct buf names; size_t needed; };

static void stays_done(struct stays *stays) {
    free(stays->at);
    buf_done(&stays->names);
}
#define _stays_ _cleanup_(stays_done)

/* stays->needed: the first so many, up to the last that a kept snapshot shows. */
static int read_stays(struct pass *pass, int64_t identity, struct stays *stays) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT born, died, parent, name FROM dir WHERE line = ? AND id = ? ORDER BY born",
                    "ii", pass->line, identity);
    while (r >= 0 && (r = db_step(&row, pass->err)) > 0) {
        if (MAKE_ROOM(stays->at, stays->count, stays->room) < 0)
            return err_nomem(pass->err);
        struct stay *stay = &stays->at[stays->count];
        *stay = (struct stay){ .born = db_int(&row, 0), .died = db_int(&row, 1), .parent = db_int(&row, 2) };
        r = name_row(&row, 3, stay->parent, &stays->names, &stay->name, pass->err);
        if (r < 0)
            return r;
        stays->count++;
        if (numbers_within(&pass->kept, stay->born, stay->died))
            stays->needed = stays->count;
    }
    return r;
}

/* 1 = the directory came to this place with this row, and is shown later. The root needs no place. */
static int is_needed_place(struct pass *pass, const struct dead *dead) {
    if (!dead->identity || dead->identity == INDEX_ROOT)
        return 0;
    _stays_ struct stays stays = {0};
    int r = read_stays(pass, dead->identity, &stays);
    for (size_t i = 0; r == 0 && i < stays.needed; i++)
        if (stays.at[i].born == dead->born)
            return 1;
    return r;
}

static int delete_entry(struct pass *pass, const struct dead *dead, const char *name) {
    int r = db_run(pass->store, pass->err, "DELETE FROM entry WHERE line = ? AND dir = ? AND name = ? AND born = ?", "iini",
                   pass->line, dead->dir, name, dead->born);
    if (r < 0 || !dead->linked)
        return r;
    return db_run(pass->store, pass->err, "DELETE FROM link WHERE object = ? AND line = ? AND dir = ? AND name = ? AND born = ?", "iiini",
                  dead->object, pass->line, dead->dir, name, dead->born);
}

/* The row at the same place that this one had ended. */
struct ended { int64_t born, object, identity; bool linked; };

/* 1 = there is one. */
static int find_ended(struct pass *pass, const struct dead *dead, const char *name, struct ended *ret) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT e.born, e.object, o.dir, o.flags FROM entry e LEFT JOIN object o ON o.id = e.object"
                    " WHERE e.line = ?1 AND e.dir = ?2 AND e.name = ?3 AND e.born < ?4 AND e.died = ?4 ORDER BY e.born DESC LIMIT 1",
                    "iini", pass->line, dead->dir, name, dead->born);
    if (r < 0 || (r = db_step(&row, pass->err)) <= 0)
        return r;
    *ret = (struct ended){ db_int(&row, 0), db_int(&row, 1), db_int(&row, 2), (db_int(&row, 3) & OBJECT_LINKED) != 0 };
    return 1;
}

/* 1 = it is a directory that went elsewhere when this row came, or came back empty when this one ended: then it was not here
 * meanwhile, and this row must go on saying so until the other one goes. */
static int comes_back(struct pass *pass, const struct ended *ended, const struct dead *dead) {
    if (!ended->identity || ended->identity == dead->identity)
        return 0;
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT 1 FROM dir WHERE line = ? AND id = ? AND born IN (?, ?)", "iiii",
                    pass->line, ended->identity, dead->born, dead->died);
    return r < 0 ? r : db_step(&row, pass->err);
}

static int set_end(struct pass *pass, const struct dead *dead, const char *name, const struct ended *ended, int64_t died) {
    int r = db_run(pass->store, pass->err, "UPDATE entry SET died = ? WHERE line = ? AND dir = ? AND name = ? AND born = ?", "iiini",
                   died, pass->line, dead->dir, name, ended->born);
    if (r == 0 && ended->linked)
        r = db_run(pass->store, pass->err, "UPDATE link SET died = ? WHERE object = ? AND line = ? AND dir = ? AND name = ? AND born = ?",
                   "iiiini", died, ended->object, pass->line, dead->dir, name, ended->born);
    return r;
}

/* What comes next may be what stood there before: then it is one row. */
static int join(struct pass *pass, const struct dead *dead, const char *name, const struct ended *ended) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT died FROM entry WHERE line = ? AND dir = ? AND name = ? AND born = ?"
                    " AND object = ? AND again = 1", "iinii", pass->line, dead->dir, name, dead->died, ended->object);
    if (r < 0 || (r = db_step(&row, pass->err)) <= 0)
        return r;
    struct dead next = { .dir = dead->dir, .born = dead->died, .object = ended->object, .linked = ended->linked };
    r = delete_entry(pass, &next, name);
    return r < 0 ? r : set_end(pass, dead, name, ended, db_int(&row, 0));
}

/* Goes on to where this one ended: nobody looks between. */
static int prolong(struct pass *pass, const struct dead *dead, const char *name, const struct ended *ended) {
    int r = set_end(pass, dead, name, ended, dead->died);
    if (r == 0 && ended->identity && ended->identity != dead->identity)
        r = db_run(pass->store, pass->err, "UPDATE dir SET died = ?1 WHERE line = ?2 AND id = ?3 AND died = ?4 AND parent = ?5 AND name = ?6",
                   "iiiiin", dead->died, pass->line, ended->identity, dead->born, dead->dir, name);
    return r < 0 ? r : join(pass, dead, name, ended);
}

static int note_touched(struct pass *pass, const struct dead *dead) {
    bool failed = numbers_add(&pass->touched, dead->born) < 0 || numbers_add(&pass->touched, dead->died) < 0;
    if (dead->identity)
        failed |= numbers_add(&pass->dirs, dead->identity) < 0;
    return failed ? err_nomem(pass->err) : 1;
}

/* 1 = the row went, 0 = it stays. */
static int bury(struct pass *pass, const struct dead *dead, const char *name, bool last) {
    struct ended ended = {0};
    int r = is_needed_place(pass, dead), before = r || last ? 0 : find_ended(pass, dead, name, &ended);
    if (r == 0 && before > 0)
        r = comes_back(pass, &ended, dead);
    if (r != 0 || before < 0)
        return before < 0 ? before : MIN(r, 0);
    if ((r = delete_entry(pass, dead, name)) < 0 || (before && (r = prolong(pass, dead, name, &ended)) < 0))
        return r;
    pass->sums->entries++;
    return note_touched(pass, dead);
}

static int by_birth(const void *a, const void *b) {
    const struct dead *x = a, *y = b;
    return (x->born > y->born) - (x->born < y->born);
}

/* What ended after `before` is the newest state again. */
static const char *const revive_steps[] = {
    "UPDATE dir SET died = " NEVER_SQL " WHERE line = ?1 AND died > ?2 AND born <= ?2 AND id IN (SELECT o.dir FROM entry e INDEXED BY"
    " entry_by_died CROSS JOIN object o ON o.id = e.object WHERE e.line = ?1 AND e.died > ?2 AND e.died < " NEVER_SQL " AND o.dir <> 0)",
    "UPDATE link SET died = " NEVER_SQL " WHERE line = ?1 AND died > ?2 AND object IN (SELECT object FROM entry INDEXED BY entry_by_died"
    " WHERE line = ?1 AND died > ?2 AND died < " NEVER_SQL ")",
    "UPDATE entry SET died = " NEVER_SQL " WHERE (line, dir, name, born) IN (SELECT line, dir, name, born FROM entry INDEXED BY entry_by_died"
    " WHERE line = ?1 AND died > ?2 AND died < " NEVER_SQL ")",
};

static int revive(struct pass *pass, int64_t before) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT layer FROM gone WHERE line = ? AND layer > ?", "ii", pass->line, before);
    while (r == 0 && (r = db_step(&row, pass->err)) > 0)
        r = numbers_add(&pass->touched, db_int(&row, 0)) < 0 ? err_nomem(pass->err) : 0;
    for (size_t i = 0; i < ELEMENTS(revive_steps) && r == 0; i++)
        r = db_run(pass->store, pass->err, revive_steps[i], "ii", pass->line, before);
    return r;
}

/* A directory that nothing shows any more keeps no row by which it came to a place. */
static int find_left(struct pass *pass, int64_t identity, struct deads *deads) {
    _stays_ struct stays stays = {0};
    int r = read_stays(pass, identity, &stays);
    for (size_t i = stays.needed; r == 0 && i < stays.count; i++) {
        const struct stay *stay = &stays.at[i];
        _statement_ struct db_statement row = {0};
        r = db_bind(&row, pass->store, pass->err, "SELECT " DEAD_COLUMNS " FROM entry e CROSS JOIN object o ON o.id = e.object WHERE e.line = ?"
                    " AND e.dir = ? AND e.name = ? AND e.born = ? AND o.dir = ?", "iinii", pass->line, stay->parent,
                    stays.names.data + stay->name, stay->born, identity);
        if (r == 0)
            r = add_deads(deads, &row, pass->err);
    }
    return r;
}

static int bury_all(struct pass *pass, struct deads *deads, bool last) {
    size_t gone = 0;
    if (deads->count)
        qsort(deads->at, deads->count, sizeof(*deads->at), by_birth);      /* what is prolonged must not be buried after it */
    for (size_t i = 0; i < deads->count; i++) {
        int r = bury(pass, &deads->at[i], deads->names.data + deads->at[i].name, last);
        if (r < 0)
            return r;
        if (r > 0)
            deads->at[gone++] = deads->at[i];
    }
    deads->count = gone;
    return 0;
}

/* Objects and content. */

/* Whoever names the content says where it is. */
static int find_stale(struct pass *pass, int64_t object) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT DISTINCT born, line FROM entry INDEXED BY entry_again WHERE object = ? AND again = 1",
                    "i", object);
    while (r == 0 && (r = db_step(&row, pass->err)) > 0)
        r = gc_stale(pass->store, db_int(&row, 0), db_int(&row, 1), pass->err);
    return r;
}

static int put_in_place(struct pass *pass, const struct dead *dead, struct db_statement *heir) {
    size_t size = 0;
    const void *name = db_blob(heir, 2, &size);
    int r = dead->content ? find_stale(pass, dead->object) : 0;
    if (r == 0)
        r = db_run(pass->store, pass->err, "UPDATE entry SET again = 0 WHERE line = ? AND dir = ? AND name = ? AND born = ?", "iibi",
                   db_int(heir, 0), db_int(heir, 1), name, size, db_int(heir, 3));
    if (r < 0 || !dead->content)
        return r;
    return db_run(pass->store, pass->err, "UPDATE content SET layer = ?, dir = ?, name = ? WHERE id = ?", "iibi",
                  db_int(heir, 3), db_int(heir, 1), name, size, dead->content);
}

/* The project may be equal to an older snapshot than the newest: then its records speak of objects that only that one shows. */
static int check_live(struct pass *pass, const struct dead *dead, const char *name) {
    struct live_entry record;
    if (pass->line != INDEX_PROJECT_LINE || pass->sums->live_reset)
        return 0;
    int r = live_find(pass->store, dead->dir, name, &record, pass->err);
    pass->sums->live_reset |= r > 0 && record.object == dead->object;
    return MIN(r, 0);
}

static int release(struct pass *pass, const struct dead *dead, const char *name) {
    if (dead->again || !dead->object)         /* nothing was there, although the base has something */
        return 0;
    _statement_ struct db_statement heir = {0};
    int r = db_bind(&heir, pass->store, pass->err, "SELECT line, dir, name, born FROM entry INDEXED BY entry_again"
                    " WHERE object = ? AND again = 1 ORDER BY born, line, dir, name LIMIT 1", "i", dead->object);
    if (r < 0 || (r = db_step(&heir, pass->err)) < 0)
        return r;
    if (r > 0)
        return put_in_place(pass, dead, &heir);
    if ((r = check_live(pass, dead, name)) < 0
        || (r = db_run(pass->store, pass->err, "DELETE FROM object WHERE id = ?", "i", dead->object)) < 0)
        return r;
    pass->sums->objects++;
    if (!dead->content)
        return 0;
    pass->sums->bytes += dead->size;
    return db_run(pass->store, pass->err, "DELETE FROM content WHERE id = ?", "i", dead->content);
}

static int release_all(struct pass *pass, const struct deads *deads) {
    int r = 0;
    for (size_t i = 0; i < deads->count && r == 0; i++)
        r = release(pass, &deads->at[i], deads->names.data + deads->at[i].name);
    return r;
}

/* The whole. */

/* Between the kept neighbours of pass->freed.at[*at], which moves on past them. */
static int free_run(struct pass *pass, size_t *at, struct deads *deads) {
    size_t next = search(&pass->kept, pass->freed.at[*at]);
    int64_t before = next > 0 ? pass->kept.at[next - 1] : 0;
    bool last = next == pass->kept.count;
    int64_t after = last ? NEVER : pass->kept.at[next];
    int r = last ? find_after(pass, before, deads) : find_between(pass, before, after, deads);
    if (r == 0)
        r = bury_all(pass, deads, last);
    if (r == 0 && last)
        r = revive(pass, before);
    pass->sums->live_reset |= last && pass->line == INDEX_PROJECT_LINE;
    while (*at < pass->freed.count && pass->freed.at[*at] < after)
        ++*at;
    return r;
}

/* Directories that lost a row may have lost the last that was shown. */
static int free_left(struct pass *pass, struct deads *deads) {
    numbers_sort(&pass->dirs);
    int r = 0;
    for (size_t i = 0; i < pass->dirs.count && r == 0; i++)
        r = find_left(pass, pass->dirs.at[i], deads);
    return r < 0 ? r : bury_all(pass, deads, false);
}

int gc_rows(struct pass *pass) {
    int r = 0;
    _deads_ struct deads left = {0};
    struct deads *runs = calloc(pass->freed.count + 1, sizeof(*runs));
    size_t count = 0;
    if (!runs)
        return err_nomem(pass->err);
    for (size_t at = 0; at < pass->freed.count && r == 0;)
        r = free_run(pass, &at, &runs[count++]);
    if (r == 0)
        r = free_left(pass, &left);
    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            r = release_all(pass, &runs[i]);
        deads_done(&runs[i]);
    }
    free(runs);
    return r < 0 ? r : release_all(pass, &left);
}

/* A layer that stays has directories of its time: where they lay then has to be known. */
static int read_layers(struct pass *pass, int64_t identity, const struct stay *stay, struct numbers *ret) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, pass->store, pass->err, "SELECT layer FROM gone_dir WHERE dir = ? AND layer >= ? AND layer < ?", "iii",
                    identity, stay->born, stay->died);
    return r < 0 ? r : numbers_read(ret, &row, pass->err);
}

/* Of a place that no snapshot shows, only the moments stay at which a layer has it. */
static int cut_place(struct pass *pass, int64_t identity, const struct stay *stay, const char *name) {
    _cleanup_(numbers_done) struct numbers layers = {0};
    int r = read_layers(pass, identity, stay, &layers);
    if (r == 0)
        r = db_run(pass->store, pass->err, "DELETE FROM dir WHERE line = ? AND id = ? AND born = ?", "iii", pass->line, identity, stay->born);
    for (size_t i = 0; i < layers.count && r == 0; i++)
        r = db_run(pass->store, pass->err, "INSERT INTO dir(line, id, born, died, parent, name) VALUES (?, ?, ?, ?, ?, ?)", "iiiiin",
                   pass->line, identity, layers.at[i], layers.at[i] + 1, stay->parent, name);
    return r;
}

/* The root has one place for ever, from its first row on. */
static int free_root(struct pass *pass) {
    static const char *const steps[] = {
        "DELETE FROM dir WHERE line = ?1 AND id = ?2 AND NOT EXISTS (SELECT 1 FROM entry WHERE line = ?1 AND dir = 0 AND name = x'')",
        "UPDATE dir SET born = (SELECT min(born) FROM entry WHERE line = ?1 AND dir = 0 AND name = x'') WHERE line = ?1 AND id = ?2",
    };
    int r = 0;
    for (size_t i = 0; i < ELEMENTS(steps) && r == 0; i++)
        r = db_run(pass->store, pass->err, steps[i], "ii", pass->line, (int64_t)INDEX_ROOT);
    return r;
}

static int free_places(struct pass *pass, int64_t identity) {
    if (identity == INDEX_ROOT)
        return free_root(pass);
    _stays_ struct stays stays = {0};
    int r = read_stays(pass, identity, &stays);
    for (size_t i = stays.needed; r == 0 && i < stays.count; i++)
        r = cut_place(pass, identity, &stays.at[i], stays.names.data + stays.at[i].name);
    return r;
}

int gc_places(struct pass *pass) {
    int r = 0;
    numbers_sort(&pass->dirs);
    for (size_t i = 0; i < pass->dirs.count && r == 0; i++)
        r = free_places(pass, pass->dirs.at[i]);
    return r;
}
