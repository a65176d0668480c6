/* The database by itself, and the index against one that was built from the layers.
 * SQLite compares; what differs is told row by row, up to a number that people can still read.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include "db.h"
#include "index_rows.h"

#include <stdio.h>
#include <string.h>

enum { ROWS_TOLD = 200 };      /* of each table and kind */

struct teller { damage_fn fn; void *data; struct snap_err *err; };

static int tell(const struct teller *teller, const struct damage *damage) {
    int r = teller->fn(teller->data, damage);
    return r < 0 && teller->err && teller->err->code != r ? err_errno(teller->err, r, "cannot tell what is damaged") : MIN(r, 0);
}

static int tell_database(const struct teller *teller, const char *text) {
    return tell(teller, &(struct damage){ .kind = DAMAGE_DATABASE, .file = "store.db", .text = text });
}

/* A statement of its own: what SQLite says of damage is a row or an error, and both are findings. */
static int each_word(struct store *store, const struct teller *teller, const char *sql, const char *good) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(store_db(store), sql, -1, &statement, NULL), r = 0;
    while (result == SQLITE_OK && r == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *word = (const char *)sqlite3_column_text(statement, 0);
        const char *said = word ? strchr(word, '\n') : NULL;      /* behind a heading */
        if (!good || !word || strcmp(word, good) != 0)
            r = tell_database(teller, said ? said + 1 : word ? word : "a row refers to none");
        result = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    if (r < 0 || result == SQLITE_DONE || result == SQLITE_OK)
        return r;
    if (result == SQLITE_INTERRUPT || (result & 0xff) == SQLITE_NOMEM)
        return err_nomem(teller->err);
    return tell_database(teller, sqlite3_errmsg(store_db(store)));
}

int check_database(struct store *store, bool quick, damage_fn fn, void *data, struct snap_err *err) {
    const struct teller teller = { fn, data, err };
    int r = each_word(store, &teller, quick ? "PRAGMA quick_check" : "PRAGMA integrity_check", "ok");
    return r < 0 ? r : each_word(store, &teller, "SELECT 'a row of ' || \"table\" || ' refers to none of ' || \"parent\""
                                 " FROM pragma_foreign_key_check", NULL);
}

/* Columns of what is found: id, line, dir, name, born, died, object, content. */
#define ENTRY_COLUMNS "0, a.line, a.dir, a.name, a.born, a.died, a.object, 0"
#define DIR_COLUMNS "a.id, a.line, a.parent, a.name, a.born, a.died, 0, 0"
#define OBJECT_ROW "a.id, 0, 0, NULL, 0, 0, a.id, 0"
#define CONTENT_ROW "a.id, 0, 0, NULL, 0, 0, 0, a.id"
#define SNAPSHOT_ROW "a.id, a.line, 0, NULL, a.id, a.id + 1, 0, 0"

#define SAME_ENTRY "b.line = a.line AND b.dir = a.dir AND b.name = a.name AND b.born = a.born AND b.died = a.died AND b.object = a.object"
#define SAME_DIR "b.line = a.line AND b.id = a.id AND b.born = a.born AND b.died = a.died AND b.parent = a.parent AND b.name = a.name"
/* Where snapshots were freed, different rows may say the same of those that are left, and of the newest state; directories' places
 * also of what a layer still has. Whether they do is asked of rows that are not the same. */
#define SHOWS_ENTRY "b.line = a.line AND b.dir = a.dir AND b.name = a.name AND b.object = a.object AND b.born <= p.id AND b.died > p.id"
#define SHOWS_DIR "b.line = a.line AND b.id = a.id AND b.parent = a.parent AND b.name = a.name AND b.born <= p.id AND b.died > p.id"
#define POINTS "SELECT s.id FROM snapshot s WHERE s.line = a.line AND s.id >= a.born AND s.id < a.died" \
    " UNION ALL SELECT 9223372036854775806 WHERE a.died = " NEVER_SQL
#define DIR_POINTS POINTS " UNION ALL SELECT g.layer FROM gone_dir g WHERE g.dir = a.id AND g.layer >= a.born AND g.layer < a.died"
#define SAME_OBJECT "b.id = a.id AND b.dir = a.dir AND b.mode = a.mode AND b.uid = a.uid AND b.gid = a.gid AND b.size = a.size" \
    " AND b.mtime_sec = a.mtime_sec AND b.mtime_nsec = a.mtime_nsec AND b.rdev = a.rdev AND b.flags = a.flags" \
    " AND b.content IS a.content AND b.target IS a.target AND b.xattrs IS a.xattrs AND b.xxh128 IS a.xxh128"
#define SAME_CONTENT "b.id = a.id AND b.layer = a.layer AND b.dir = a.dir AND b.name = a.name AND b.size = a.size AND b.xxh128 = a.xxh128"
#define GONE_ROW "a.layer, 0, 0, NULL, 0, 0, 0, 0"
/* 2: not known to be on disk, which no layer says */
#define SAME_SNAPSHOT "b.id = a.id AND b.line = a.line AND b.parent = a.parent AND b.layer = a.layer AND b.created_sec = a.created_sec" \
    " AND b.created_nsec = a.created_nsec AND (b.flags & ~2) = (a.flags & ~2) AND b.name IS a.name AND b.message = a.message" \
    " AND b.added = a.added AND b.changed = a.changed AND b.deleted = a.deleted AND b.bytes = a.bytes"

/* What the layers say and the index does not, then the other way round. */
#define COMPARE(table, columns, same, missing, foreign) \
    { "SELECT " columns " FROM main." table " a WHERE NOT EXISTS (SELECT 1 FROM stored." table " b WHERE " same ")", missing }, \
    { "SELECT " columns " FROM stored." table " a WHERE NOT EXISTS (SELECT 1 FROM main." table " b WHERE " same ")", foreign }

#define COMPARE_SHOWN(table, columns, same, points, shows, missing, foreign) \
    { "SELECT " columns " FROM main." table " a WHERE NOT EXISTS (SELECT 1 FROM stored." table " b WHERE " same ") AND EXISTS (SELECT 1 FROM" \
      " (" points ") p WHERE NOT EXISTS (SELECT 1 FROM stored." table " b WHERE " shows "))", missing }, \
    { "SELECT " columns " FROM stored." table " a WHERE NOT EXISTS (SELECT 1 FROM main." table " b WHERE " same ") AND EXISTS (SELECT 1 FROM" \
      " (" points ") p WHERE NOT EXISTS (SELECT 1 FROM main." table " b WHERE " shows "))", foreign }

static const struct question { const char *sql, *text; } comparisons[] = {
    COMPARE("snapshot", SNAPSHOT_ROW, SAME_SNAPSHOT, "a snapshot of the layers is not in the index as it is there",
            "a snapshot of the index is not in the layers as it is there"),
    COMPARE_SHOWN("entry", ENTRY_COLUMNS, SAME_ENTRY, POINTS, SHOWS_ENTRY, "an entry of the layers is not in the index",
                  "an entry of the index is not in the layers"),
    COMPARE_SHOWN("dir", DIR_COLUMNS, SAME_DIR, DIR_POINTS, SHOWS_DIR, "a directory's place in the layers is not in the index",
            "a directory's place in the index is not in the layers"),
    COMPARE_SHOWN("link", ENTRY_COLUMNS, SAME_ENTRY, POINTS, SHOWS_ENTRY, "a hard link of the layers is not in the index",
                  "a hard link of the index is not in the layers"),
    COMPARE("object", OBJECT_ROW, SAME_OBJECT, "an object of the layers is not in the index as it is there",
            "an object of the index is not in the layers as it is there"),
    COMPARE("gone", GONE_ROW, "b.layer = a.layer AND b.line = a.line", "a layer of a freed snapshot is not in the index",
            "a freed snapshot of the index is not in the layers"),
    COMPARE("gone_dir", GONE_ROW, "b.layer = a.layer AND b.dir = a.dir", "a directory in a layer of a freed snapshot is not in the index",
            "a directory of the index is not in the layer of its freed snapshot"),
    COMPARE("content", CONTENT_ROW, SAME_CONTENT, "a content of the layers is not in the index as it is there",
            "a content of the index is not in the layers as it is there"),
};

/* What the index says of itself, where not all layers can say it. */
static const struct question dangling[] = {
    { "SELECT " ENTRY_COLUMNS " FROM entry a WHERE NOT EXISTS (SELECT 1 FROM object o WHERE o.id = a.object)"
      " AND NOT (a.object = 0 AND EXISTS (SELECT 1 FROM line l WHERE l.id = a.line AND l.base_line IS NOT NULL))", "an entry has no object" },
    { "SELECT " ENTRY_COLUMNS " FROM entry a WHERE a.born >= a.died", "an entry dies before it is born" },
    { "SELECT a.id, 0, 0, NULL, 0, 0, a.id, 0 FROM object a WHERE a.content IS NOT NULL"
      " AND NOT EXISTS (SELECT 1 FROM content c WHERE c.id = a.content)", "an object has no content" },
    { "SELECT " OBJECT_ROW " FROM object a JOIN content c ON c.id = a.content WHERE c.size <> a.size OR c.xxh128 IS NOT a.xxh128",
      "an object and its content do not agree" },
    { "SELECT " ENTRY_COLUMNS " FROM link a WHERE NOT EXISTS (SELECT 1 FROM entry b WHERE " SAME_ENTRY ")", "a hard link has no entry" },
    { "SELECT " ENTRY_COLUMNS " FROM entry a JOIN object o ON o.id = a.object WHERE o.flags & 2"
      " AND NOT EXISTS (SELECT 1 FROM link b WHERE " SAME_ENTRY ")", "an entry of an object with several names has no hard link" },
    { "SELECT " DIR_COLUMNS " FROM dir a WHERE NOT EXISTS (SELECT 1 FROM entry e JOIN object o ON o.id = e.object WHERE e.line = a.line"
      " AND e.dir = a.parent AND e.name = a.name AND e.born <= a.born AND e.died > a.born AND o.dir = a.id)"
      " AND NOT EXISTS (SELECT 1 FROM gone_dir g WHERE g.dir = a.id AND g.layer = a.born)",
      "a directory's place has no entry" },
    { "SELECT " ENTRY_COLUMNS " FROM entry a JOIN object o ON o.id = a.object WHERE o.dir <> 0 AND NOT EXISTS (SELECT 1 FROM dir d"
      " WHERE d.line = a.line AND d.id = o.dir AND d.born <= a.born AND d.died > a.born AND d.parent = a.dir AND d.name = a.name)",
      "an entry of a directory has no place" },
};

static int64_t int_at(sqlite3_stmt *row, int column) {
    return sqlite3_column_int64(row, column);
}

static int tell_row(const struct teller *teller, sqlite3_stmt *row, const char *text) {
    size_t size = (size_t)sqlite3_column_bytes(row, 3);
    const char *bytes = sqlite3_column_blob(row, 3);
    _free_ char *name = sqlite3_column_type(row, 3) == SQLITE_NULL ? NULL : strndup(bytes ? bytes : "", size);
    struct damage damage = { .kind = DAMAGE_INDEX, .text = text, .object = int_at(row, 6), .content = int_at(row, 7), .name = name };
    damage.row.line = int_at(row, 1);
    damage.row.dir = int_at(row, 2);
    damage.row.name = name;
    damage.row.born = int_at(row, 4);
    damage.row.died = int_at(row, 5);
    if (damage.row.line)                     /* the row itself says what shows it */
        damage.object = 0;
    return tell(teller, &damage);
}

static int ask(struct store *store, const struct teller *teller, const struct question *question) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(store_db(store), question->sql, -1, &statement, NULL), r = 0;
    uint64_t count = 0;
    while (result == SQLITE_OK && r == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (count++ < ROWS_TOLD)
            r = tell_row(teller, statement, question->text);
        result = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    if (r == 0 && result != SQLITE_DONE && result != SQLITE_OK)
        return (result & 0xff) == SQLITE_NOMEM ? err_nomem(teller->err) : tell_database(teller, sqlite3_errmsg(store_db(store)));
    if (r == 0 && count > ROWS_TOLD) {
        char text[160];
        snprintf(text, sizeof(text), "%s: %llu more times", question->text, (unsigned long long)(count - ROWS_TOLD));
        r = tell(teller, &(struct damage){ .kind = DAMAGE_INDEX, .text = text });
    }
    return r;
}

static int ask_all(struct store *store, const struct question *questions, size_t count, const struct teller *teller) {
    int r = 0;
    for (size_t i = 0; i < count && r >= 0; i++)
        r = ask(store, teller, &questions[i]);
    return r;
}

int check_rows(struct store *store, damage_fn fn, void *data, struct snap_err *err) {
    const struct teller teller = { fn, data, err };
    return ask_all(store, dangling, ELEMENTS(dangling), &teller);
}

int check_index(struct store *store, struct store *apart, damage_fn fn, void *data, struct snap_err *err) {
    const struct teller teller = { fn, data, err };
    int r = db_attach(apart, store, err);
    if (r == 0)
        r = ask_all(apart, comparisons, ELEMENTS(comparisons), &teller);
    (void)sqlite3_exec(store_db(apart), "DETACH stored", NULL, NULL, NULL);      /* the connection's end does the same */
    return r;
}
