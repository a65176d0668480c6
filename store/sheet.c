/* A manifest in memory. Reads no tree. SPDX-License-Identifier: GPL-2.0-or-later */
#include "sheet.h"

#include "dirs.h"

#include <string.h>

static void entry_free(struct sheet_entry *entry) {
    if (!entry)
        return;
    object_done(&entry->object);
    free(entry->name);
    free(entry->redirect);
    free(entry);
}
DEFINE_CLEANUP(struct sheet_entry *, entry_free)

struct sheet *sheet_free(struct sheet *sheet) {
    if (!sheet)
        return NULL;
    for (size_t i = sheet->dirs_count; i-- > 0;) {       /* what lies in a directory first */
        dir_unref(sheet->dirs[i]->node);
        free(sheet->dirs[i]);
    }
    for (size_t i = 0; i < sheet->count; i++)
        entry_free(sheet->entries[i]);
    free(sheet->entries);
    free(sheet->dirs);
    map_free(sheet->by_dir, NULL);
    map_free(sheet->by_place, NULL);
    facts_done(&sheet->facts);
    snapshot_free(sheet->snapshot);
    free(sheet);
    return NULL;
}

static int copy_object(const struct object *object, struct object *ret) {
    struct object copy = *object;
    copy.meta = (struct meta){0};
    int r = meta_copy(&copy.meta, &object->meta);
    if (r == 0)
        *ret = copy;
    return r;
}

static struct sheet_entry *copy_entry(const struct manifest_entry *from) {
    _cleanup_(entry_freep) struct sheet_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    entry->in = from->in;
    entry->flags = from->flags;
    entry->content_layer = from->content_layer;
    entry->name = strdup(from->name);
    entry->redirect = from->redirect ? strdup(from->redirect) : NULL;
    if (!entry->name || (from->redirect && !entry->redirect))
        return NULL;
    if (!(from->flags & MANIFEST_DELETED) && copy_object(from->object, &entry->object) < 0)
        return NULL;
    return TAKE_PTR(entry);
}

static int add_dir(struct sheet *sheet, struct sheet_entry *entry) {
    _free_ struct sheet_dir *dir = calloc(1, sizeof(*dir));
    if (!dir || MAKE_ROOM(sheet->dirs, sheet->dirs_count, sheet->dirs_room) < 0)
        return -ENOMEM;
    dir->self = entry;
    int r = map_put(sheet->by_dir, &entry->object.dir, sizeof(entry->object.dir), dir, NULL);
    if (r < 0)
        return r;
    sheet->dirs[sheet->dirs_count++] = TAKE_PTR(dir);
    return 0;
}

static int add(void *data, const struct manifest_entry *from) {
    struct sheet *sheet = data;
    char key[ENTRY_KEY_MAX];
    _cleanup_(entry_freep) struct sheet_entry *entry = copy_entry(from);
    if (!entry || MAKE_ROOM(sheet->entries, sheet->count, sheet->room) < 0)
        return -ENOMEM;
    size_t size = entry_key(key, entry->in, entry->name);
    if (map_get(sheet->by_place, key, size))
        return -EUCLEAN;
    int r = map_put(sheet->by_place, key, size, entry, NULL);
    if (r == 0 && sheet_entry_is_dir(entry))
        r = add_dir(sheet, entry);
    if (r < 0) {
        map_remove(sheet->by_place, key, size);
        return r;
    }
    struct sheet_dir *in = entry->in ? sheet_dir(sheet, entry->in) : NULL;
    if (in) {
        *(in->last ? &in->last->next : &in->first) = entry;
        in->last = entry;
    }
    sheet->entries[sheet->count++] = TAKE_PTR(entry);
    return 0;
}

static struct sheet *sheet_new(int64_t layer) {
    _sheet_ struct sheet *sheet = calloc(1, sizeof(*sheet));
    if (!sheet)
        return NULL;
    sheet->layer = layer;
    sheet->by_dir = map_new();
    sheet->by_place = map_new();
    return sheet->by_dir && sheet->by_place ? TAKE_PTR(sheet) : NULL;
}

int sheet_glean(struct store *store, int64_t layer, struct sheet **ret, struct snap_err *err) {
    _sheet_ struct sheet *sheet = sheet_new(layer);
    if (!sheet)
        return err_nomem(err);
    int r = manifest_glean(store, layer, &sheet->snapshot, add, sheet, err);
    if (r == 0)
        *ret = TAKE_PTR(sheet);
    return r;
}

int sheet_read(struct store *store, int64_t layer, struct sheet **ret, struct snap_err *err) {
    _sheet_ struct sheet *sheet = sheet_new(layer);
    if (!sheet)
        return err_nomem(err);
    int r = manifest_read(store, layer, &sheet->snapshot, add, sheet, err);
    if (r == -EUCLEAN && err && err->failure != SNAP_FAILURE_DAMAGE)
        return err_damage(err, "the manifest of layer %lld is damaged: it names one place twice", (long long)layer);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(sheet);
    return 0;
}

struct sheet_dir *sheet_dir(const struct sheet *sheet, int64_t id) {
    return map_get(sheet->by_dir, &id, sizeof(id));
}

struct sheet_entry *sheet_find(const struct sheet *sheet, int64_t in, const char *name) {
    char key[ENTRY_KEY_MAX];
    return map_get(sheet->by_place, key, entry_key(key, in, name));
}

bool sheet_is_lost(const struct sheet *sheet, int64_t content) {
    for (size_t i = 0; i < sheet->facts.lost_count; i++)
        if (sheet->facts.lost[i] == content)
            return true;
    return false;
}
