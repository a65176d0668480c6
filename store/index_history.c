/* The index: in which snapshots something changed at a path or below it.
 * Follows a path through the identities that its components had over time; reads no tree of any one snapshot.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "index_rows.h"

#include <string.h>

/* Snapshot numbers, sorted and made unique whenever room runs out, so that memory follows the answer, not the rows. */
struct numbers { int64_t *at; size_t count, room; };

static void numbers_done(struct numbers *numbers) {
    free(numbers->at);
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void numbers_unify(struct numbers *numbers) {
    size_t kept = 0;
    if (numbers->count)
        qsort(numbers->at, numbers->count, sizeof(*numbers->at), by_number);
    for (size_t i = 0; i < numbers->count; i++)
        if (kept == 0 || numbers->at[kept - 1] != numbers->at[i])
            numbers->at[kept++] = numbers->at[i];
    numbers->count = kept;
}

static int numbers_make_room(struct numbers *numbers) {
    numbers_unify(numbers);
    if (2 * numbers->count < numbers->room)
        return 0;
    size_t room = numbers->room ? 2 * numbers->room : 64;
    int64_t *at = reallocarray(numbers->at, room, sizeof(*at));
    if (!at)
        return -ENOMEM;
    numbers->at = at;
    numbers->room = room;
    return 0;
}

static int numbers_add(struct numbers *numbers, int64_t number) {
    if (number == NEVER || (numbers->count && numbers->at[numbers->count - 1] == number))
        return 0;
    if (numbers->count == numbers->room && numbers_make_room(numbers) < 0)
        return -ENOMEM;
    numbers->at[numbers->count++] = number;
    return 0;
}

/* What stood somewhere in [born, died): the identity of a directory, or an object. */
struct span { int64_t what, born, died; };
struct spans { struct span *at; size_t count, room; };

static void spans_done(struct spans *spans) {
    free(spans->at);
}

static int spans_add(struct spans *spans, struct span span) {
    if (MAKE_ROOM(spans->at, spans->count, spans->room) < 0)
        return -ENOMEM;
    spans->at[spans->count++] = span;
    return 0;
}

/* The rows' columns what, born, died, cut to `within`. */
static int read_spans(struct spans *spans, struct db_statement *row, const struct span *within, struct snap_err *err) {
    int r;
    while ((r = db_step(row, err)) > 0) {
        struct span span = { db_int(row, 0), MAX(db_int(row, 1), within->born), MIN(db_int(row, 2), within->died) };
        if (span.born < span.died && spans_add(spans, span) < 0)
            return err_nomem(err);
    }
    return r;
}

struct history {
    struct store *store;
    int64_t line;
    struct numbers numbers;
    struct spans parents;      /* the directories in which the path's last component hangs */
    struct spans below;        /* directories at or below the path, still to be read */
};

static void history_done(struct history *history) {
    numbers_done(&history->numbers);
    spans_done(&history->parents);
    spans_done(&history->below);
}

/* The directories that were called so, in one that was in place in `within`. */
static int read_dirs_at(struct history *history, const struct span *within, const char *name, size_t size, struct spans *ret,
                        struct snap_err *err) {
    _statement_ struct db_statement row = {0};
    int r = db_bind(&row, history->store, err, "SELECT id, born, died FROM dir INDEXED BY dir_by_place"
                    " WHERE line = ? AND parent = ? AND name = ?", "iib", history->line, within->what, name, size);
    return r < 0 ? r : read_spans(ret, &row, within, err);
}

/* From directories to those of the next component. */
static int step_down(struct history *history, struct spans *spans, const char *name, size_t size, struct snap_err *err) {
    _cleanup_(spans_done) struct spans next = {0};
    for (size_t i = 0; i < spans->count; i++) {
        int r = read_dirs_at(history, &spans->at[i], name, size, &next, err);
        if (r < 0)
            return r;
    }
    struct spans old = *spans;
    *spans = next;
    next = old;
    return 0;
}

static int by_time(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    return (x->born > y->born) - (x->born < y->born);
}

/* The beginnings and ends of what stood at the path, but not where one thing goes on in the next row. */
static int add_changes(struct numbers *numbers, struct spans *entries) {
    if (entries->count)
        qsort(entries->at, entries->count, sizeof(*entries->at), by_time);
    int r = 0;
    for (size_t i = 0; i < entries->count && r == 0; i++) {
        const struct span *span = &entries->at[i], *before = i > 0 ? span - 1 : NULL;
        if (!before || before->died != span->born || before->what != span->what)
            r = numbers_add(numbers, span->born);
        bool goes_on = i + 1 < entries->count && span[1].born == span->died;
        if (r == 0 && !goes_on)
            r = numbers_add(numbers, span->died);
    }
    return r;
}

/* The path's own entry. */
static int read_own(struct history *history, const char *name, size_t size, struct snap_err *err) {
    _cleanup_(spans_done) struct spans entries = {0};
    for (size_t i = 0; i < history->parents.count; i++) {
        const struct span *within = &history->parents.at[i];
        _statement_ struct db_statement row = {0};
        int r = db_bind(&row, history->store, err, "SELECT object, born, died FROM entry WHERE line = ? AND dir = ? AND name = ?",
                        "iib", history->line, within->what, name, size);
        if (r == 0)
            r = read_spans(&entries, &row, within, err);
        if (r < 0)
            return r;
    }
    return add_changes(&history->numbers, &entries) < 0 ? err_nomem(err) : 0;
}

/* What was born or died in a directory while it was at or below the path; its directories come next. */
static int read_within(struct history *history, const struct span *within, struct snap_err *err) {
    _statement_ struct db_statement row = {0}, dirs = {0};
    int r = db_bind(&row, history->store, err, "SELECT born, died FROM entry WHERE line = ? AND dir = ?", "ii",
                    history->line, within->what);
    while (r >= 0 && (r = db_step(&row, err)) > 0) {
        int64_t born = db_int(&row, 0), died = db_int(&row, 1);
        if (born >= within->born && born <= within->died)
            r = numbers_add(&history->numbers, born);
        if (r >= 0 && died >= within->born && died <= within->died)
            r = numbers_add(&history->numbers, died);
        if (r < 0)
            return err_nomem(err);
    }
    if (r == 0)
        r = db_bind(&dirs, history->store, err, "SELECT id, born, died FROM dir INDEXED BY dir_by_place"
                    " WHERE line = ? AND parent = ?", "ii", history->line, within->what);
    return r < 0 ? r : read_spans(&history->below, &dirs, within, err);
}

static int read_below(struct history *history, const char *name, size_t size, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; i < history->parents.count && r == 0; i++)
        r = read_dirs_at(history, &history->parents.at[i], name, size, &history->below, err);
    while (r == 0 && history->below.count > 0) {
        struct span within = history->below.at[--history->below.count];
        r = read_within(history, &within, err);
    }
    return r;
}

int index_history(struct store *store, int64_t line, const char *path, int64_t **ret, size_t *ret_count, struct snap_err *err) {
    _cleanup_(history_done) struct history history = { .store = store, .line = line };
    const char *name = "";
    size_t size = 0;
    int r = spans_add(&history.parents, (struct span){ .what = 0, .born = 1, .died = NEVER }) < 0 ? err_nomem(err) : 0;
    for (const char *rest = path; r == 0 && *rest;) {
        r = step_down(&history, &history.parents, name, size, err);
        name = rest;
        size = strcspn(rest, "/");
        rest += size;
        rest += *rest == '/';
    }
    if (r == 0)
        r = read_own(&history, name, size, err);
    if (r == 0)
        r = read_below(&history, name, size, err);
    if (r < 0)
        return r;
    numbers_unify(&history.numbers);
    *ret_count = history.numbers.count;
    *ret = TAKE_PTR(history.numbers.at);
    return 0;
}
