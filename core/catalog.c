/* The list of snapshots: finding, listing, naming them.
 * Never touches a layer or the project; everything here is a question to the index, or one row in it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "catalog.h"

#include "changes.h"
#include "facts.h"
#include "hook.h"
#include "op.h"
#include "pin.h"
#include "quote.h"
#include "reading.h"
#include "workspace.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define NAME_LIMIT 255

const char *snap_version(void) {
    return SNAPCTL_VERSION;
}

/* Spec. */

/* 1 = only digits, and the value; as large as fits if it does not. */
static bool parse_number(const char *text, uint64_t *ret) {
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            value = UINT64_MAX / 10;
    }
    *ret = value;
    return true;
}

static bool parse_latest(const char *spec, uint64_t *ret) {
    if (strcmp(spec, "latest") == 0) {
        *ret = 0;
        return true;
    }
    return strncmp(spec, "latest~", 7) == 0 && parse_number(spec + 7, ret);
}

/* Behind the first snapshot of a workspace's line comes what it stands on: a snapshot, or the project. */
static int latest(struct snap_project *project, uint64_t back, struct snapshot **ret, struct snap_err *err) {
    _snapshot_ struct snapshot *oldest = NULL;
    bool follows = project->workspace && project->workspace->follow;
    int64_t line = follows ? INDEX_PROJECT_LINE : project_line(project), base = project->workspace ? project->workspace->base : 0;
    int r = index_latest(project->store, line, back, ret, err);
    if (r != 0 || !base || (back > 0 && (r = index_latest(project->store, line, back - 1, &oldest, err)) <= 0))
        return r;
    return index_snapshot(project->store, base, ret, err);
}

static int look_up(struct snap_project *project, const char *spec, struct snapshot **ret, struct snap_err *err) {
    uint64_t number;
    if (parse_number(spec, &number))
        return number > INT64_MAX || number >= INDEX_NEWEST ? 0 : index_snapshot(project->store, (int64_t)number, ret, err);
    if (parse_latest(spec, &number))
        return latest(project, number, ret, err);
    return index_snapshot_named(project->store, spec, ret, err);
}

/* Hints for what is not there. */

/* Edits between two names, at most `limit`; one row of the table is enough. */
static unsigned distance(const char *a, const char *b, unsigned limit) {
    unsigned row[NAME_LIMIT + 1];
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > NAME_LIMIT || b_size > NAME_LIMIT || a_size > b_size + limit || b_size > a_size + limit)
        return limit + 1;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = MIN(row[j], row[j - 1]) + 1;
            row[j] = MIN(row[j], change);
        }
    }
    return row[b_size];
}

struct nearest {
    const char *spec;
    unsigned distance;
    char name[NAME_LIMIT + 1];
    int64_t first, last;
};

static int weigh(void *data, const struct snapshot *snapshot) {
    struct nearest *nearest = data;
    const struct snap_snapshot *public = &snapshot->public;
    nearest->last = MAX(nearest->last, public->number);
    nearest->first = nearest->first ? MIN(nearest->first, public->number) : public->number;
    if (!public->name || !*public->name)
        return 0;
    unsigned far = distance(nearest->spec, public->name, nearest->distance);
    if (far < nearest->distance) {
        nearest->distance = far;
        snprintf(nearest->name, sizeof(nearest->name), "%s", public->name);
    }
    return 0;
}

/* How many edits still look like the same word. */
static unsigned tolerance(const char *spec) {
    size_t size = strlen(spec);
    return size <= 2 ? 1 : size <= 5 ? 2 : size <= 9 ? 3 : 4;
}

static int not_found(struct snap_project *project, const char *spec, struct snap_err *err) {
    struct nearest nearest = { .spec = spec, .distance = tolerance(spec) + 1 };
    struct snap_err ignored = {0};
    _buf_ struct buf shown = {0};
    quote_display(&shown, spec, strlen(spec));
    int r = err_set(err, -ENOENT, "there is no snapshot '%s'", shown.data ? shown.data : spec);
    if (distance(spec, "latest", nearest.distance) < nearest.distance && strcmp(spec, "latest") != 0) {
        nearest.distance = distance(spec, "latest", nearest.distance);
        strcpy(nearest.name, "latest");
    }
    /* A hint that cannot be found is no failure of its own. */
    _snapshot_ struct snapshot *base = NULL;
    if (index_snapshots(project->store, project_line(project), weigh, &nearest, &ignored) < 0)
        return r;
    if (project->workspace && index_snapshot(project->store, project->workspace->base, &base, &ignored) > 0)
        weigh(&nearest, base);
    if (nearest.last == 0)
        return err_hint(err, "nothing was captured yet; 'snapctl take' makes the first snapshot");
    if (*nearest.name && spec[strspn(spec, "0123456789")])
        return err_hint(err, "did you mean '%s'?", nearest.name);
    if (nearest.first == nearest.last)
        return err_hint(err, "the only snapshot is %lld", (long long)nearest.last);
    return err_hint(err, "snapshots are numbered from %lld to %lld", (long long)nearest.first, (long long)nearest.last);
}

static int is_removed(struct snap_project *project, const struct snapshot *snapshot, struct snap_err *err) {
    int64_t operation = op_that_hid(project->store, snapshot->public.number, err);
    if (operation < 0)
        return (int)operation;
    err_set(err, -ENOENT, "snapshot %lld was removed", (long long)snapshot->public.number);
    return operation ? err_hint(err, "until gc frees it, 'snapctl undo %lld' brings it back", (long long)operation) : -ENOENT;
}

static int look_up_shown(struct snap_project *project, const char *spec, struct snapshot **ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = look_up(project, spec, &snapshot, err);
    if (r < 0)
        return r;
    if (r == 0)
        return not_found(project, spec, err);
    if (snapshot->flags & SNAPSHOT_HIDDEN)
        return is_removed(project, snapshot, err);
    *ret = TAKE_PTR(snapshot);
    return 0;
}

int catalog_find(struct snap_project *project, const char *spec, struct snapshot **ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = look_up_shown(project, spec, &snapshot, err);
    if (r < 0 || (r = hook("catalog.found", spec)) < 0)
        return r;
    int64_t number = snapshot->public.number;
    if ((r = reading_hold(project, snapshot, err)) < 0)
        return r;
    if (r > 0) {                              /* gc may have come before the pin */
        snapshot = snapshot_free(snapshot);
        r = look_up_shown(project, spec, &snapshot, err);
        if (r < 0)
            return r;
        if (snapshot->public.number != number && reading_hold(project, snapshot, err) <= 0)
            return err_set(err, -EAGAIN, "snapshot '%s' was removed a moment ago", spec);
    }
    *ret = TAKE_PTR(snapshot);
    return MIN(hook("catalog.held", spec), 0);
}

int catalog_latest(struct snap_project *project, struct snapshot **ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = index_latest(project->store, project_line(project), 0, &snapshot, err);
    if (r > 0)
        r = catalog_find(project, "latest", ret, err);
    return r < 0 ? r : snapshot != NULL;
}

/* Public rows. */

/* One allocation: the strings lie behind the struct. */
static int publish(const struct snapshot *snapshot, struct snap_snapshot **ret, struct snap_err *err) {
    const char *name = snapshot->public.name ? snapshot->public.name : "";
    const char *message = snapshot->public.message ? snapshot->public.message : "";
    size_t name_size = strlen(name) + 1, message_size = strlen(message) + 1;
    struct snap_snapshot *public = malloc(sizeof(*public) + name_size + message_size);
    if (!public)
        return err_nomem(err);
    char *strings = (char *)(public + 1);
    *public = snapshot->public;
    public->name = memcpy(strings, name, name_size);
    public->message = memcpy(strings + name_size, message, message_size);
    *ret = public;
    return 0;
}

int snap_find(struct snap_project *project, const char *spec, struct snap_snapshot **ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = catalog_find(project, spec, &snapshot, err);
    return r < 0 ? r : publish(snapshot, ret, err);
}

void snap_snapshot_free(struct snap_snapshot *snapshot) {
    free(snapshot);
}

int catalog_is_used(struct snap_project *project, int64_t number, struct snap_err *err) {
    int r = pin_held(project->store, number, err);
    return r != 0 ? r : index_is_base(project->store, number, err);
}

/* What is there for its users alone: 1 = that is so of this one, 0 = it is to be found as any other. */
static int find_removed(struct snap_project *project, const char *spec, struct snapshot **ret, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    int r = look_up(project, spec, &snapshot, err);
    if (r > 0)
        r = snapshot->flags & SNAPSHOT_HIDDEN ? catalog_is_used(project, snapshot->public.number, err) : 0;
    if (r <= 0)
        return r;
    *ret = TAKE_PTR(snapshot);
    return 1;
}

int snap_show(struct snap_project *project, const char *spec, struct snap_snapshot **ret,
              struct snap_counts *ret_counts, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    struct snap_counts counts = {0};
    int r = find_removed(project, spec, &snapshot, err);
    if (r == 0)
        r = catalog_find(project, spec, &snapshot, err);
    if (r >= 0 && (r = reading_begin(project, err)) == 0)
        r = reading_end(project, index_counts(project->store, snapshot, &counts, err), err);
    if (r >= 0)
        r = publish(snapshot, ret, err);
    counts.removed = snapshot && snapshot->flags & SNAPSHOT_HIDDEN;
    if (r >= 0)
        *ret_counts = counts;
    return MIN(r, 0);
}

/* Log. */

struct log {
    struct snap_project *project;
    const struct snap_log_options *options;
    uint64_t given;
    snap_snapshot_fn fn;
    void *data;
};

static bool wanted(const struct log *log, const struct snapshot *snapshot) {
    const struct snap_log_options *options = log->options;
    int64_t created = snapshot->public.created.tv_sec;
    if (snapshot->flags & SNAPSHOT_HIDDEN)
        return false;
    if (snapshot->public.automatic && !options->automatic)
        return false;
    return (!options->since || created >= options->since) && (!options->until || created <= options->until);
}

/* > 0: enough were given. */
static int give(void *data, const struct snapshot *snapshot) {
    struct log *log = data;
    if (project_cancelled(log->project))
        return -ECANCELED;
    if (!wanted(log, snapshot))
        return 0;
    int r = log->fn(log->data, &snapshot->public);
    if (r < 0)
        return r;
    log->given++;
    return log->options->limit && log->given >= log->options->limit;
}

/* What changed in a snapshot that was removed, changed in the next that is shown. */
static int log_path(struct log *log, struct snap_err *err) {
    _free_ int64_t *numbers = NULL;
    size_t count = 0;
    int64_t given = INT64_MAX;
    int r = index_history(log->project->store, INDEX_PROJECT_LINE, log->options->path, &numbers, &count, err);
    for (size_t i = count; r >= 0 && i > 0; i--) {
        _snapshot_ struct snapshot *snapshot = NULL;
        int64_t number = index_next_shown(log->project->store, INDEX_PROJECT_LINE, numbers[i - 1], err);
        if (number < 0)
            return (int)number;
        if (number == 0 || number >= given)
            continue;
        given = number;
        r = index_snapshot(log->project->store, number, &snapshot, err);
        if (r > 0)
            r = give(log, snapshot);
        if (r > 0)
            return 0;
    }
    return MIN(r, 0);
}

/* In a workspace: what each of its snapshots changed is asked for, since its line has no row of what it did not change. */
struct path_log { struct log *log; struct snapshot *later; struct snap_err *err; };

static int changed_at(struct path_log *path, struct point before, const struct snapshot *snapshot) {
    const char *const paths[] = { path->log->options->path, NULL };
    _changes_ struct changes changes = {0};
    int r = changes_between(path->log->project, before, snapshot_point(snapshot), NULL, paths, CHANGES_TIMES, &changes, path->err);
    return r < 0 ? r : changes.count > 0;
}

/* A snapshot is told once it is known what came before it. > 0: enough were given. */
static int give_changed(void *data, const struct snapshot *snapshot) {
    struct path_log *path = data;
    struct snapshot *later = TAKE_PTR(path->later);
    int r = later ? changed_at(path, snapshot_point(snapshot), later) : 0;
    if (r > 0)
        r = give(path->log, later);
    snapshot_free(later);
    return r != 0 ? r : index_snapshot(path->log->project->store, snapshot->public.number, &path->later, path->err) < 0 ? -EIO : 0;
}

static int log_line_path(struct log *log, struct snap_err *err) {
    const struct workspace *workspace = log->project->workspace;
    struct path_log path = { .log = log, .err = err };
    int r = index_snapshots(log->project->store, workspace->line, give_changed, &path, err);
    if (r == 0 && path.later && (r = changed_at(&path, (struct point){ workspace->line, workspace->base }, path.later)) > 0)
        r = give(log, path.later);
    snapshot_free(path.later);
    return MIN(r, 0);
}

/* A workspace's line, and what it stands on. */
static int log_line(struct log *log, struct snap_err *err) {
    _snapshot_ struct snapshot *base = NULL;
    int r = index_snapshots(log->project->store, project_line(log->project), give, log, err);
    bool enough = log->options->limit && log->given >= log->options->limit;
    if (r < 0 || enough || !log->project->workspace)
        return r;
    r = index_snapshot(log->project->store, log->project->workspace->base, &base, err);
    return r > 0 ? give(log, base) : r;
}

/* What a callback returned is an error without a sentence yet. */
static int end_listing(struct snap_project *project, int r, struct snap_err *err) {
    if (r == -ECANCELED && project_cancelled(project))
        return project_cancelled_error(err);
    if (r < 0 && err && err->code != r)
        return err_errno(err, r, "cannot list snapshots");
    return MIN(r, 0);
}

int snap_log(struct snap_project *project, const struct snap_log_options *options,
             snap_snapshot_fn fn, void *data, struct snap_err *err) {
    static const struct snap_log_options everything;
    struct log log = { .project = project, .options = options ? options : &everything, .fn = fn, .data = data };
    bool of_path = log.options->path && *log.options->path;
    int r = !of_path ? log_line(&log, err) : project->workspace ? log_line_path(&log, err) : log_path(&log, err);
    return end_listing(project, r, err);
}

/* Names. */

static bool has_control_character(const char *name) {
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == 0x7f)
            return true;
    return false;
}

static const char *what_is_wrong(const char *name) {
    size_t size = strlen(name);
    uint64_t number;
    if (size == 0)
        return "it is empty";
    if (size > NAME_LIMIT)
        return "it is longer than 255 bytes";
    if (!utf8_valid(name, size))
        return "it is not valid UTF-8";
    if (parse_number(name, &number))
        return "it would be taken for a number";
    if (strcmp(name, "latest") == 0)
        return "'latest' always means the newest snapshot";
    if (has_control_character(name))
        return "it has control characters";
    if (name[0] == ' ' || name[size - 1] == ' ')
        return "it begins or ends with a space";
    if (name[0] == '-')
        return "it would be taken for an option";
    return strpbrk(name, "/:~") ? "'/', ':' and '~' mean something else in a snapshot's place" : NULL;
}

int snap_name_check(const char *name, struct snap_err *err) {
    const char *wrong = what_is_wrong(name);
    if (!wrong)
        return 0;
    _buf_ struct buf shown = {0};
    quote_display(&shown, name, strlen(name));
    err_set(err, -EINVAL, "a snapshot cannot be called '%s': %s", shown.data ? shown.data : "", wrong);
    err_failure(err, SNAP_FAILURE_USAGE);
    return -EINVAL;
}

static int change_name(struct snap_project *project, const struct snapshot *snapshot, const char *name, struct snap_err *err) {
    struct op op = {
        .kind = (char *)"tag", .state = (char *)"done", .command = (char *)(project->env.command ? project->env.command : ""),
        .target = snapshot->public.number, .old_text = (char *)snapshot->public.name, .new_text = (char *)name,
    };
    int r = index_change_snapshot(project->store, snapshot->public.number, name, 0, 0, err);
    return r < 0 ? r : op_begin(project->store, &op, NULL, err);
}

/* One durable transaction: the name and the operation that undoes it. */
static int rename_snapshot(struct snap_project *project, const struct snapshot *snapshot, const char *name, struct snap_err *err) {
    int r = store_begin(project->store, err);
    if (r < 0)
        return r;
    r = change_name(project, snapshot, name, err);
    if (r < 0) {
        store_abort(project->store);
        return r;
    }
    if ((r = store_commit(project->store, true, err)) == 0)
        facts_settle(project->store);
    return r;
}

int catalog_check_free(struct snap_project *project, const char *name, int64_t but, struct snap_err *err) {
    _snapshot_ struct snapshot *other = NULL;
    _workspace_ struct workspace *workspace = NULL;
    int r = workspace_named(project->store, name, &workspace, err);
    if (r > 0) {
        err_set(err, -EEXIST, "a workspace is called '%s' already", name);
        return err_hint(err, "choose another name");
    }
    if (r == 0)
        r = index_snapshot_named(project->store, name, &other, err);
    if (r <= 0 || other->public.number == but)
        return MIN(r, 0);
    err_set(err, -EEXIST, "snapshot %lld is called '%s' already", (long long)other->public.number, name);
    return err_hint(err, "choose another name, or take this one away first: 'snapctl tag %lld \"\"'", (long long)other->public.number);
}

int snap_tag(struct snap_project *project, const char *spec, const char *name, char **ret_old_name, struct snap_err *err) {
    _snapshot_ struct snapshot *snapshot = NULL;
    _free_ char *old = NULL;
    int r = *name ? snap_name_check(name, err) : 0;
    if (r >= 0)
        r = catalog_find(project, spec, &snapshot, err);
    if (r >= 0)
        r = *name ? catalog_check_free(project, name, snapshot->public.number, err) : 0;
    if (r < 0)
        return r;
    const char *before = snapshot->public.name ? snapshot->public.name : "";
    if (*before && !(old = strdup(before)))
        return err_nomem(err);
    if (strcmp(before, name) != 0)
        r = rename_snapshot(project, snapshot, name, err);
    if (r < 0)
        return r;
    if (ret_old_name)
        *ret_old_name = TAKE_PTR(old);
    return 0;
}
