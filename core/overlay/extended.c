/* Extended attributes of objects. ACLs are among them.
 * Shows and changes people's own names only: at.c hides the marks. SPDX-License-Identifier: GPL-2.0-or-later */
#include "attr.h"

#include "at.h"
#include "below.h"

#include <string.h>

/* One question about a node's xattrs; `name` NULL: the list. */
struct question { const char *name; void *value; size_t size; };

static ssize_t ask_upper(struct overlay *overlay, struct node *node, const struct question *question) {
    _upper_ struct upper_at at = {0};
    int r = upper_reach(overlay, node, &at);
    if (r < 0)
        return r;
    return question->name ? at_get_xattr(at.fd, at.name, question->name, question->value, question->size, true)
        : at_list_xattr(at.fd, at.name, question->value, question->size, true);
}

static ssize_t ask_lower(struct lower *lower, struct lower_dir *dir, const char *name, const struct question *question) {
    return question->name ? lower->ops->get_xattr(lower, dir, name, question->name, question->value, question->size)
        : lower->ops->list_xattr(lower, dir, name, question->value, question->size);
}

static ssize_t ask(struct overlay *overlay, struct node *node, const struct question *question) {
    if (node_is(node, NODE_UPPER))
        return ask_upper(overlay, node, question);
    if (node_is_dir(node))
        return node->dir.part_count ? ask_lower(overlay->lowers[node->dir.parts[0].lower], node->dir.parts[0].dir, "", question) : -ESTALE;
    _lower_place_ struct lower_place_ref at = { .overlay = overlay, .place = node_meta(overlay, node) };
    return at.place ? ask_lower(overlay->lowers[at.place->lower], at.place->dir, at.place->name, question) : -ESTALE;
}

static ssize_t ask_number(struct overlay *overlay, uint64_t number, const struct question *question) {
    _node_ struct node_ref of = { .overlay = overlay };
    int r = node_find(overlay, number, &of.node);
    if (r < 0)
        return r;
    unsigned tries = 0;
    ssize_t got;
    do {
        tree_read(overlay);
        got = ask(overlay, of.node, question);
        tree_unlock(overlay);
        r = overlay->below && is_gone_error((int)MIN(got, (ssize_t)0)) ? below_again(overlay, of.node, -ESTALE, &tries) : 0;
    } while (r > 0);
    _close_ int fd = is_gone_error(r) && overlay->below ? below_borrow(overlay, of.node) : -1;
    if (fd >= 0)
        return question->name ? at_get_xattr(fd, "", question->name, question->value, question->size, false)
            : at_list_xattr(fd, "", question->value, question->size, false);
    return r < 0 ? r : got;
}

ssize_t overlay_get_xattr(struct overlay *overlay, uint64_t node, const char *name, void *value, size_t size) {
    return ask_number(overlay, node, &(struct question){ .name = name, .value = value, .size = size });
}

ssize_t overlay_list_xattr(struct overlay *overlay, uint64_t node, char *list, size_t size) {
    return ask_number(overlay, node, &(struct question){ .value = list, .size = size });
}

/* `change` with the object in the current layer. */
static int change(struct overlay *overlay, struct node *node, const char *name, const void *value, size_t size, int flags, bool set) {
    int r = node_raise(overlay, node, COPY_UP_META);
    if (r < 0)
        return r;
    bool claimed = claim_metacopy(overlay, node);
    tree_read(overlay);
    struct upper_at at = {0};
    r = upper_reach(overlay, node, &at);
    struct stripe *stripe = node_lock(overlay, node);
    if (r >= 0)
        r = set ? at_set_xattr(at.fd, at.name, name, value, size, flags) : at_remove_xattr(at.fd, at.name, name);
    node_unlock(stripe);
    upper_leave(&at);
    tree_unlock(overlay);
    if (claimed)
        copy_release(overlay, node);
    return r;
}

int overlay_set_xattr(struct overlay *overlay, const struct overlay_caller *caller, uint64_t number, const char *name,
                      const void *value, size_t size, int flags) {
    _node_ struct node_ref of = { .overlay = overlay };
    (void)caller;
    int r = node_find(overlay, number, &of.node);
    return r < 0 ? r : change(overlay, of.node, name, value, size, flags, true);
}

int overlay_remove_xattr(struct overlay *overlay, uint64_t number, const char *name) {
    _node_ struct node_ref of = { .overlay = overlay };
    int r = node_find(overlay, number, &of.node);
    ssize_t has = r < 0 ? r : overlay_get_xattr(overlay, number, name, NULL, 0);      /* what is not there is not copied up for */
    return has < 0 ? (int)has : change(overlay, of.node, name, NULL, 0, 0, false);
}
