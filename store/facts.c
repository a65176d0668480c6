/* Facts beside a layer: written from the index, read to build it anew.
 * Changes no row but the list of what is to be written. SPDX-License-Identifier: GPL-2.0-or-later */
#include "facts.h"

#include "db.h"
#include "fs.h"
#include "manifest_text.h"
#include "quote.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define SIZE_LIMIT ((size_t)1 << 28)
static const char PENDING[] = "facts";

void facts_done(struct facts *facts) {
    free(facts->name);
    free(facts->lost);
    *facts = (struct facts){0};
}

/* Reading. */

enum { F_FLAGS, F_NAME };
static const char *const snapshot_fields[] = { "flags", "name" };

struct line { struct facts *facts; unsigned seen; };

static int snapshot_field(void *data, struct text key, struct text value, bool has_value) {
    struct line *line = data;
    if (!has_value)
        return -EINVAL;
    switch (text_once(snapshot_fields, ELEMENTS(snapshot_fields), key, &line->seen)) {
    case F_FLAGS: return text_u32(value, &line->facts->flags);
    case F_NAME: return text_string(value, &line->facts->name);
    default: return -EINVAL;
    }
}

static int read_lost(struct text text, struct facts *facts) {
    struct text key = {0};
    int64_t content = 0;
    if (!text_take_until(&text, '=', &key) || !text_is(key, "content") || text_id(text, 1, &content) < 0)
        return -EINVAL;
    int64_t *lost = reallocarray(facts->lost, facts->lost_count + 1, sizeof(*lost));
    if (!lost)
        return -ENOMEM;
    facts->lost = lost;
    facts->lost[facts->lost_count++] = content;
    return 0;
}

static int read_line(struct text text, struct facts *facts) {
    struct text word = {0};
    struct line line = { .facts = facts };
    if (!text_take_until(&text, ' ', &word))
        return -EINVAL;
    if (text_is(word, "#lost"))
        return read_lost(text, facts);
    if (!text_is(word, "#snapshot") || facts->has_snapshot)
        return -EINVAL;
    facts->has_snapshot = true;
    int result = text_each_field(text, snapshot_field, &line);
    return result < 0 ? result : line.seen & 1u << F_FLAGS ? 0 : -EINVAL;
}

static int damaged(struct snap_err *err, int64_t layer, const char *what) {
    return err_damage(err, "the facts of layer %lld are damaged: %s", (long long)layer, what);
}

static int read_text(struct text rest, int64_t layer, struct facts *ret, struct snap_err *err) {
    const char *wrong = text_end(&rest);
    struct text line = {0};
    if (wrong)
        return damaged(err, layer, wrong);
    if (!text_take_until(&rest, '\n', &line) || !text_begins(line, "#snapctl-facts "))
        return damaged(err, layer, "they do not begin like facts");
    if (!text_is(line, "#snapctl-facts 1"))
        return err_set(err, -EPROTONOSUPPORT, "the facts of layer %lld were written by a newer snapctl", (long long)layer);
    while (text_take_until(&rest, '\n', &line)) {
        int result = read_line(line, ret);
        if (result < 0)
            return result == -ENOMEM ? err_nomem(err) : damaged(err, layer, "a line makes no sense");
    }
    return 0;
}

static int open_layer(struct store *store, int64_t layer) {
    char name[24];
    snprintf(name, sizeof(name), "%lld", (long long)layer);
    int fd = openat(store_layers_fd(store), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int facts_read(struct store *store, int64_t layer, struct facts *ret, struct snap_err *err) {
    _buf_ struct buf text = {0};
    _facts_ struct facts facts = {0};
    _close_ int dirfd = open_layer(store, layer);
    int result = dirfd < 0 ? dirfd : fs_read_file(dirfd, "facts", SIZE_LIMIT, &text);
    if (result == -ENOENT || result == -ENOTDIR)
        return 0;
    if (result == -EFBIG || result == -EISDIR || result == -ELOOP)
        return damaged(err, layer, "they are no such file");
    if (result < 0)
        return err_errno(err, result, "cannot read the facts of layer %lld", (long long)layer);
    result = read_text((struct text){ .at = text.data, .size = text.size }, layer, &facts, err);
    if (result < 0)
        return result;
    *ret = facts;
    facts = (struct facts){0};
    return 1;
}

/* Writing. */

static int add_snapshot(struct store *store, int64_t layer, struct buf *out, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int result = index_snapshot(store, layer, &snapshot, err);
    if (result <= 0)
        return result;
    buf_fmt(out, "#snapshot flags=%u", snapshot->flags & ~(unsigned)SNAPSHOT_UNSYNCED);
    if (*snapshot->public.name) {
        buf_str(out, " name=");
        quote_mtree(out, snapshot->public.name, strlen(snapshot->public.name));
    }
    buf_char(out, '\n');
    return 1;
}

/* Without an index for it, because it is as good as always nothing: the fact "lost" says when it is worth a look. */
static int add_lost(struct store *store, int64_t layer, struct buf *out, struct snap_err *err) {
    _free_ char *any = NULL;
    _statement_ struct db_statement row = {0};
    int result = store_fact(store, "lost", &any, err);
    if (result <= 0)
        return result;
    int count = 0;
    result = db_bind(&row, store, err, "SELECT DISTINCT c.id FROM content c CROSS JOIN object o ON o.content = c.id"
                     " WHERE c.layer = ? AND o.flags & ? ORDER BY c.id", "ii", layer, (int64_t)OBJECT_LOST);
    for (; result >= 0 && (result = db_step(&row, err)) > 0; count++)
        buf_fmt(out, "#lost content=%lld\n", (long long)db_int(&row, 0));
    return result < 0 ? result : count > 0;
}

static int write_one(struct store *store, int64_t layer, struct snap_err *err) {
    _buf_ struct buf out = {0};
    buf_str(&out, "#snapctl-facts 1\n");
    int snapshot = add_snapshot(store, layer, &out, err);
    int lost = snapshot < 0 ? snapshot : add_lost(store, layer, &out, err);
    if (lost < 0)
        return lost;
    _close_ int dirfd = open_layer(store, layer);
    if (dirfd == -ENOENT)
        return 0;                            /* gone, or damage: not what to say here */
    text_add_end(&out);
    int result = out.failed ? out.failed : dirfd < 0 ? dirfd : 0;
    if (result == 0 && (snapshot || lost))
        result = fs_replace_file(dirfd, "facts", out.data, out.size, 0600);
    else if (result == 0 && unlinkat(dirfd, "facts", 0) < 0 && errno != ENOENT)
        result = -errno;
    return result < 0 ? err_errno(err, result, "cannot write the facts of layer %lld", (long long)layer) : 0;
}

static int forget(struct store *store, struct snap_err *err) {
    int result = store_begin(store, err);
    if (result == 0 && (result = store_set_fact(store, PENDING, NULL, err)) < 0)
        store_abort(store);
    return result < 0 ? result : store_commit(store, false, err);
}

int facts_write(struct store *store, struct snap_err *err) {
    _free_ char *layers = NULL;
    int result = store_fact(store, PENDING, &layers, err);
    if (result <= 0)
        return result;
    for (char *at = layers, *end; *at && result >= 0; at = end) {
        int64_t layer = strtoll(at, &end, 10);
        if (end == at || layer <= 0)
            return err_damage(err, "the store is damaged: its list of facts to be written is none");
        result = write_one(store, layer, err);
    }
    return result < 0 ? result : forget(store, err);
}

void facts_settle(struct store *store) {
    (void)facts_write(store, NULL);
}

int facts_pending(struct store *store, struct snap_err *err) {
    _free_ char *layers = NULL;
    return store_fact(store, PENDING, &layers, err);
}

int facts_remember(struct store *store, int64_t layer, struct snap_err *err) {
    _free_ char *layers = NULL;
    _buf_ struct buf list = {0};
    int result = store_fact(store, PENDING, &layers, err);
    if (result < 0)
        return result;
    for (char *at = layers; at && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strtoll(at, NULL, 10) == layer)
            return 0;
    buf_fmt(&list, "%s%s%lld", layers ? layers : "", layers ? " " : "", (long long)layer);
    return list.failed ? err_nomem(err) : store_set_fact(store, PENDING, list.data, err);
}

int facts_lose(struct store *store, int64_t id, bool lost, struct snap_err *err) {
    struct content content;
    struct snap_err why = {0};
    int result = index_content(store, id, &content, &why);
    if (result == -EUCLEAN)
        return 0;                            /* of an index that is no more: nothing shows it */
    if (result < 0) {
        if (err)
            *err = why;
        return result;
    }
    free(content.name);
    result = db_run(store, err, lost ? "UPDATE object SET flags = flags | ?2 WHERE content = ?1"
                    : "UPDATE object SET flags = flags & ~?2 WHERE content = ?1", "ii", id, (int64_t)(OBJECT_UNREAD | OBJECT_LOST));
    if (result == 0)
        result = store_set_fact(store, "lost", "1", err);
    return result < 0 ? result : facts_remember(store, content.layer, err);
}

int facts_is_lost(struct store *store, int64_t content, struct snap_err *err) {
    _free_ char *any = NULL;
    _statement_ struct db_statement row = {0};
    int result = store_fact(store, "lost", &any, err);
    if (result > 0)
        result = db_bind(&row, store, err, "SELECT 1 FROM object WHERE content = ? AND flags & ? LIMIT 1", "ii", content, (int64_t)OBJECT_LOST);
    return result < 0 || !row.at ? result : db_step(&row, err);
}
