/* From damage of files and rows to paths and snapshots.
 * Asks the index alone, and repairs nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "findings.h"

#include <string.h>

const char *finding_kind(enum damage_kind kind) {
    switch (kind) {
    case DAMAGE_DATABASE: return "database";
    case DAMAGE_INDEX: return "index";
    case DAMAGE_LAYER: return "layer";
    case DAMAGE_MANIFEST: return "manifest";
    case DAMAGE_FACTS: return "facts";
    case DAMAGE_CONTENT: return "content";
    case DAMAGE_MISSING: return "missing";
    case DAMAGE_TYPE: return "type";
    case DAMAGE_METADATA: return "metadata";
    case DAMAGE_MARK: return "mark";
    case DAMAGE_LINK: return "link";
    case DAMAGE_FOREIGN: return "foreign";
    case DAMAGE_LEFTOVER: return "leftover";
    case DAMAGE_LOST: return "lost";
    }
    return "index";
}

static void finding_free(struct finding *finding) {
    if (!finding)
        return;
    for (size_t i = 0; i < finding->shown_count; i++)
        free((char *)(uintptr_t)finding->shown[i].name);
    free(finding->shown);
    free(finding->file);
    free(finding->name);
    free(finding->text);
    free(finding);
}
DEFINE_CLEANUP(struct finding *, finding_free)

void findings_done(struct findings *findings) {
    for (size_t i = 0; i < findings->count; i++)
        finding_free(findings->all[i]);
    free(findings->all);
    *findings = (struct findings){0};
}

void findings_cut(struct findings *findings, size_t count) {
    while (findings->count > count)
        finding_free(findings->all[--findings->count]);
}

int finding_set_lost(struct finding *finding) {
    char *text = strdup("is lost: there is no whole copy of its content");
    if (!text)
        return -ENOMEM;
    free(finding->text);
    finding->text = text;
    finding->kind = DAMAGE_LOST;
    finding->outcome = SNAP_OUTCOME_LOST;
    return 0;
}

static int add_shown(struct finding *finding, const struct shown *shown) {
    char *name = strdup(shown->name);
    if (!name || MAKE_ROOM(finding->shown, finding->shown_count, finding->shown_room) < 0) {
        free(name);
        return -ENOMEM;
    }
    struct shown copy = *shown;
    copy.name = name;
    finding->shown[finding->shown_count++] = copy;
    return 0;
}

static int copy_text(const char *from, char **ret) {
    *ret = from ? strdup(from) : NULL;
    return from && !*ret ? -ENOMEM : 0;
}

/* What shows a row is in it; what is a layer's alone belongs to the snapshot of that number. */
static int note_row(struct finding *finding, const struct damage *damage) {
    if (damage->row.line && damage->row.name)
        return add_shown(finding, &(struct shown){ damage->row.line, damage->row.dir, damage->row.name, damage->row.born, damage->row.died });
    bool of_layer = damage->kind == DAMAGE_LAYER || damage->kind == DAMAGE_MANIFEST || damage->kind == DAMAGE_FACTS;
    finding->whole = damage->row.line || of_layer;
    finding->line = damage->row.line ? damage->row.line : INDEX_PROJECT_LINE;
    finding->born = damage->row.line ? damage->row.born : damage->layer;
    finding->died = damage->row.line ? damage->row.died : damage->layer + 1;
    /* of a name that is no object, only where it should stand is known */
    bool placed = damage->in && damage->name && !damage->object && !damage->content;
    return placed ? add_shown(finding, &(struct shown){ INDEX_PROJECT_LINE, damage->in, damage->name, damage->layer, damage->layer + 1 }) : 0;
}

int findings_add(void *data, const struct damage *damage) {
    struct findings *findings = data;
    _cleanup_(finding_freep) struct finding *finding = calloc(1, sizeof(*finding));
    if (!finding || MAKE_ROOM(findings->all, findings->count, findings->room) < 0)
        return -ENOMEM;
    finding->kind = damage->kind;
    finding->layer = damage->layer;
    finding->in = damage->in;
    finding->content = damage->content;
    finding->object = damage->object;
    finding->shared = damage->shared;
    finding->outcome = damage->kind == DAMAGE_LOST ? SNAP_OUTCOME_LOST : SNAP_OUTCOME_FOUND;
    if (copy_text(damage->file, &finding->file) < 0 || copy_text(damage->name, &finding->name) < 0 ||
        copy_text(damage->text, &finding->text) < 0 || note_row(finding, damage) < 0)
        return -ENOMEM;
    findings->all[findings->count++] = TAKE_PTR(finding);
    return 0;
}

/* Who shows them. */

/* What is a row or a layer is shown by what it says itself; that stays. */
void findings_unspread(struct findings *findings) {
    for (size_t i = 0; i < findings->count; i++) {
        struct finding *finding = findings->all[i];
        bool asked = finding->content || finding->object;
        for (; asked && finding->shown_count; finding->shown_count--)
            free((char *)(uintptr_t)finding->shown[finding->shown_count - 1].name);
    }
}

static int spread(void *data, void *value, const struct shown *shown) {
    (void)data;
    for (struct finding *finding = value; finding; finding = finding->same)
        if (add_shown(finding, shown) < 0)
            return -ENOMEM;
    return 0;
}

static int key_finding(struct map *map, int64_t id, struct finding *finding) {
    finding->same = map_get(map, &id, sizeof(id));
    return MIN(map_put(map, &id, sizeof(id), finding, NULL), 0);
}

static int key_all(struct findings *findings, struct map *contents, struct map *objects) {
    for (size_t i = 0; i < findings->count; i++) {
        struct finding *finding = findings->all[i];
        int r = finding->content ? key_finding(contents, finding->content, finding)
              : finding->object ? key_finding(objects, finding->object, finding) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* Chains of contents replace those of objects in the map: an object that is in both is told as its content. */
int findings_spread(struct findings *findings, struct store *index, struct snap_err *err) {
    findings_unspread(findings);
    struct map *contents = map_new(), *objects = map_new();
    int r = contents && objects ? key_all(findings, contents, objects) : -ENOMEM;
    r = r < 0 ? err_nomem(err) : check_shown(index, contents, objects, spread, NULL, err);
    map_free(contents, NULL);
    map_free(objects, NULL);
    return r;
}

/* Telling. */

struct place_told { char *path; int64_t *snapshots; size_t count, room; };
struct places_told { struct place_told *at; size_t count, room; };

static void places_done(struct places_told *places) {
    for (size_t i = 0; i < places->count; i++) {
        free(places->at[i].path);
        free(places->at[i].snapshots);
    }
    free(places->at);
}

static struct place_told *place_of_path(struct places_told *places, const char *path) {
    for (size_t i = 0; i < places->count; i++)
        if (places->at[i].path && path ? strcmp(places->at[i].path, path) == 0 : places->at[i].path == path)
            return &places->at[i];
    if (MAKE_ROOM(places->at, places->count, places->room) < 0)
        return NULL;
    char *copy = path ? strdup(path) : NULL;
    if (path && !copy)
        return NULL;
    places->at[places->count] = (struct place_told){ .path = copy };
    return &places->at[places->count++];
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

struct lines { struct store *index; int64_t line, *numbers; size_t count; };

/* The snapshots of a line; those of one line at a time are kept. */
static int load_line(struct lines *lines, int64_t line, struct snap_err *err) {
    if (lines->line == line)
        return 0;
    free(TAKE_PTR(lines->numbers));
    lines->line = 0;
    int r = check_numbers(lines->index, line, &lines->numbers, &lines->count, err);
    if (r == 0)
        lines->line = line;
    return r;
}

static int add_range(struct places_told *places, const char *path, const struct lines *lines, int64_t from, int64_t to, struct snap_err *err) {
    struct place_told *place = NULL;
    for (size_t i = 0; i < lines->count; i++) {
        if (lines->numbers[i] < from || lines->numbers[i] >= to)
            continue;
        if ((!place && !(place = place_of_path(places, path))) || MAKE_ROOM(place->snapshots, place->count, place->room) < 0)
            return err_nomem(err);
        place->snapshots[place->count++] = lines->numbers[i];
    }
    return 0;
}

/* The first snapshot at or after `from`. */
static int64_t next_number(const struct lines *lines, int64_t from) {
    for (size_t i = 0; i < lines->count; i++)
        if (lines->numbers[i] >= from)
            return lines->numbers[i];
    return INT64_MAX;
}

static int add_row(struct places_told *places, struct lines *lines, const struct shown *shown, struct snap_err *err) {
    int r = load_line(lines, shown->line, err);
    for (int64_t at = shown->born; r >= 0 && (at = next_number(lines, at)) < shown->died;) {
        _buf_ struct buf path = {0};
        int64_t until = at + 1;
        r = check_path(lines->index, (struct point){ shown->line, at }, shown->dir, shown->name, &path, &until, err);
        until = MIN(until, shown->died);
        if (r >= 0)
            r = add_range(places, r > 0 ? path.data ? path.data : "" : NULL, lines, at, until, err);
        at = until;
    }
    return MIN(r, 0);
}

static int gather_places(const struct finding *finding, struct lines *lines, struct places_told *places, struct snap_err *err) {
    int r = 0;
    for (size_t i = 0; i < finding->shown_count && r >= 0; i++)
        r = add_row(places, lines, &finding->shown[i], err);
    if (r >= 0 && finding->whole && (r = load_line(lines, finding->line, err)) == 0)
        r = add_range(places, NULL, lines, finding->born, finding->died, err);
    return r;
}

static int tell_place(const struct finding *finding, const struct place_told *place, snap_damage_fn fn, void *data) {
    struct snap_damage damage = { .kind = finding_kind(finding->kind), .text = finding->text, .file = finding->file,
                                  .outcome = finding->outcome };
    if (place && place->count) {
        damage.path = place->path;
        damage.snapshots = place->snapshots;
        qsort(place->snapshots, place->count, sizeof(*place->snapshots), by_number);
        damage.snapshot_count = place->count;
    }
    return fn(data, &damage);
}

static int tell_finding(const struct finding *finding, struct lines *lines, snap_damage_fn fn, void *data, struct snap_err *err) {
    _cleanup_(places_done) struct places_told places = {0};
    int r = lines->index ? gather_places(finding, lines, &places, err) : 0;
    if (r < 0)
        return r;
    if (places.count == 0)
        r = tell_place(finding, NULL, fn, data);
    for (size_t i = 0; i < places.count && r >= 0; i++)
        r = tell_place(finding, &places.at[i], fn, data);
    return r < 0 ? err_errno(err, r, "cannot tell what is damaged") : 0;
}

static int by_place(const void *a, const void *b) {
    const struct finding *left = *(struct finding *const *)a, *right = *(struct finding *const *)b;
    if (left->layer != right->layer)
        return left->layer < right->layer ? -1 : 1;
    int order = strcmp(left->file ? left->file : "", right->file ? right->file : "");
    return order ? order : (int)left->kind - (int)right->kind;
}

/* Threads found them in any order. */
void findings_sort(struct findings *findings) {
    if (findings->count)
        qsort(findings->all, findings->count, sizeof(struct finding *), by_place);
}

int findings_tell(const struct findings *findings, struct store *index, snap_damage_fn fn, void *data, struct snap_err *err) {
    struct lines lines = { .index = index };
    int r = 0;
    for (size_t i = 0; i < findings->count && r >= 0; i++)
        r = tell_finding(findings->all[i], &lines, fn, data, err);
    free(lines.numbers);
    return r;
}
