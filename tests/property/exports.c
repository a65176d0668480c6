/* Exports of random snapshots against the copies in memory.
 * Leaves out what archives cannot hold, and what overlayfs reads as marks of its own.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "exports.h"

#include "cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define _run_ _cleanup_(run_done)

/* Places of one look, in the sandbox's out/. */
struct places { char *archive, *older, *layer, *merged; };

static void places_done(struct places *places) {
    free(places->archive);
    free(places->older);
    free(places->layer);
    free(places->merged);
}
#define _places_ _cleanup_(places_done)

static void set_places(struct model *model, struct places *places) {
    const char *out = model->box.out;
    if (asprintf(&places->archive, "%s/x.tar", out) < 0 || asprintf(&places->older, "%s/older", out) < 0 ||
        asprintf(&places->layer, "%s/layer", out) < 0 || asprintf(&places->merged, "%s/merged", out) < 0)
        abort();
}

static bool any(const struct listing *listing, bool (*is)(const struct node *node)) {
    for (size_t i = 0; i < listing->count; i++)
        if (is(&listing->nodes[i]))
            return true;
    return false;
}

static bool is_socket(const struct node *node) {
    return S_ISSOCK(node->mode);
}

/* Where a layer or what lies below it has these, the kernel does not show them. */
static bool is_mark(const struct node *node) {
    return (S_ISCHR(node->mode) && node->rdev == 0)
        || (node->xattrs_size && memmem(node->xattrs, node->xattrs_size, "user.overlay.", strlen("user.overlay.")));
}

static bool unpack(struct model *model, const char *archive, const char *dir) {
    struct box tool = model->box;
    _run_ struct run run = {0};
    const char *const words[] = { "-xpf", archive, "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--same-owner",
                                  "--warning=no-unknown-keyword", "--warning=no-timestamp", NULL };
    tool.program = (char *)(uintptr_t)"/bin/tar";
    if (mkdir(dir, 0700) < 0)
        return model_fail(model, NULL, "cannot make %s: %s", dir, strerror(errno));
    run_words(&run, &tool, dir, words);
    return run.code == 0 || model_fail(model, &run, "tar cannot unpack an export");
}

static bool export(struct model *model, const struct kept *kept, const struct kept *since, const char *archive) {
    char number[24], from[24];
    _run_ struct run run = {0};
    snprintf(number, sizeof(number), "%" PRId64, kept->number);
    snprintf(from, sizeof(from), "%" PRId64, since ? since->number : 0);
    if (since)
        model_run(model, &run, "export", number, "--since", from, "--whiteouts", "overlay", "--overwrite", "-o", archive, NULL);
    else
        model_run(model, &run, "export", number, "--overwrite", "-o", archive, NULL);
    return run.code == 0 || model_fail(model, &run, "export %s fails", number);
}

static bool discard(struct model *model, const char *path) {
    return remove_tree(AT_FDCWD, path) == 0 || model_fail(model, NULL, "cannot remove %s: %s", path, strerror(errno));
}

bool exports_whole(struct model *model) {
    _places_ struct places places = {0};
    const struct kept *kept = model_any(model);
    if (geteuid() != 0 || any(kept->listing, is_socket))
        return true;
    set_places(model, &places);
    return export(model, kept, NULL, places.archive) && unpack(model, places.archive, places.layer)
        && model_tree_is(model, places.layer, kept->listing, 0, "export and tar -x") && discard(model, places.layer);
}

/* 1 = mounted, 0 = it cannot be done here. */
static int lay_over(struct model *model, const struct places *places) {
    _free_ char *options = NULL;
    if (asprintf(&options, "userxattr,lowerdir=%s:%s", places->layer, places->older) < 0)
        abort();
    if (mkdir(places->merged, 0700) < 0) {
        model_fail(model, NULL, "cannot make %s: %s", places->merged, strerror(errno));
        return -1;
    }
    return mount("overlay", places->merged, "overlay", MS_RDONLY, options) == 0;
}

static bool shows(struct model *model, const struct kept *to, const struct places *places) {
    int mounted = lay_over(model, places);
    if (mounted < 0)
        return false;
    bool good = !mounted || model_tree_is(model, places->merged, to->listing, DIFFER_SPACE, "a difference laid over the older tree");
    if (mounted && umount2(places->merged, MNT_DETACH) < 0)
        return model_fail(model, NULL, "cannot unmount %s: %s", places->merged, strerror(errno));
    return good;
}

/* Not on overlayfs, which keeps them for itself. */
static bool can_make_whiteouts(const struct model *model) {
    _free_ char *path = NULL;
    if (asprintf(&path, "%s/whiteout", model->box.out) < 0)
        abort();
    bool made = mknod(path, S_IFCHR, 0) == 0;
    return made && unlink(path) == 0;
}

bool exports_difference(struct model *model) {
    _places_ struct places places = {0};
    _run_ struct run run = {0};
    const struct kept *from = model_any(model), *to = model_any(model);
    if (geteuid() != 0 || any(to->listing, is_socket) || any(to->listing, is_mark) || any(from->listing, is_mark)
        || !can_make_whiteouts(model))
        return true;
    char spec[32];
    set_places(model, &places);
    snprintf(spec, sizeof(spec), "%" PRId64 ":", from->number);
    model_run(model, &run, "restore", spec, places.older, NULL);
    if (run.code)
        return model_fail(model, &run, "restore fails");
    return export(model, to, from, places.archive) && unpack(model, places.archive, places.layer) && shows(model, to, &places)
        && discard(model, places.older) && discard(model, places.layer) && discard(model, places.merged);
}
