/* Whether one layer is whole, and if not, one sentence why: what recovery asks after a power loss.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "manifest.h"

#include "check.h"
#include "layer.h"

#include <stdio.h>
#include <string.h>

struct first { bool found; struct snap_err *err; };

/* The first is enough: anything but 0 ends the check. */
static int note(void *data, const struct damage *damage) {
    struct first *first = data;
    char tree[48];
    int size = snprintf(tree, sizeof(tree), "layers/%lld/tree/", (long long)damage->layer);
    first->found = true;
    if (strncmp(damage->file, tree, (size_t)size) == 0)
        return layer_damaged(first->err, damage->layer, damage->file + size, damage->text);
    if (damage->kind == DAMAGE_MANIFEST)
        return err_damage(first->err, "the manifest of layer %lld is damaged: %s", (long long)damage->layer, damage->text);
    return err_damage(first->err, "layer %lld is damaged: its %s %s", (long long)damage->layer,
                      damage->kind == DAMAGE_LAYER ? "tree" : "folder", damage->text);
}

int manifest_check_layer(struct store *store, int64_t layer, bool content, struct snap_err *err) {
    struct snap_err space = {0}, why = {0};
    struct first first = { .err = err ? err : &space };
    struct check_options options = { .content = content, .coarse = true, .threads = 1, .fn = note, .data = &first };
    _check_ struct check *check = NULL;
    int result = check_open(store, &options, &check, &why);
    if (result == 0)
        result = check_layer(check, layer, &why);
    if (result >= 0)
        result = check_finish(check, &why);
    if (result < 0 && !first.found && err)
        *err = why;
    return first.found ? 0 : result < 0 ? result : 1;
}
