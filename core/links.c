/* Hard links: names of one inode are captured once and become one object; and where the live index has an inode, so that
 * what was moved keeps its identity. SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"
#include "sweep.h"
#include <fcntl.h>
#include <string.h>

/* Where an inode was. */

struct moved_key { uint64_t ino, birth; };

static int remember(struct map *map, struct moved_key key, int64_t dir, const struct live_entry *entry) {
    struct moved *moved = malloc(sizeof(*moved));
    if (!moved)
        return -ENOMEM;
    *moved = (struct moved){ .dir = dir, .entry = entry };
    void *old = NULL;
    int r = map_put(map, &key, sizeof(key), moved, &old);
    free(old);
    if (r < 0)
        free(moved);
    return MIN(r, 0);
}

/* Inode numbers of another st_dev and fingerprints that were lost say nothing. */
static bool has_identity(const struct live_entry *entry) {
    return entry->print.ino && !(entry->flags & (LIVE_GONE | LIVE_FOREIGN));
}

struct inodes { struct map *dirs, *files, *links; };

static void inodes_done(struct inodes *inodes) {
    map_free(inodes->dirs, free);
    map_free(inodes->files, free);
    map_free(inodes->links, free);
}

static int inodes_new(struct inodes *ret) {
    *ret = (struct inodes){ map_new(), map_new(), map_new() };
    return ret->dirs && ret->files && ret->links ? 0 : -ENOMEM;
}

static void inodes_give(struct inodes *inodes, struct scan *scan) {
    scan->moved_dirs = TAKE_PTR(inodes->dirs);
    scan->moved_files = TAKE_PTR(inodes->files);
    scan->moved_links = TAKE_PTR(inodes->links);
}

static int inodes_add(struct inodes *inodes, int64_t dir, const struct live_entry *entry) {
    if (!has_identity(entry))
        return 0;
    if (entry->flags & LIVE_LINKED && !entry->dir)
        return remember(inodes->links, (struct moved_key){ .ino = entry->print.ino }, dir, entry);
    if (entry->dir && entry->print.size)
        return remember(inodes->dirs, (struct moved_key){ entry->print.ino, entry->print.size }, dir, entry);
    return S_ISREG(entry->print.mode) ? remember(inodes->files, (struct moved_key){ .ino = entry->print.ino }, dir, entry) : 0;
}

static int index_inodes(struct scan *scan) {
    _cleanup_(inodes_done) struct inodes inodes = {0};
    int r = inodes_new(&inodes);
    for (struct live_iter i = {0}; r == 0 && live_next(scan->live, &i);)
        for (size_t j = 0; r == 0 && j < i.dir->count; j++)
            r = inodes_add(&inodes, i.dir->dir, &i.dir->entries[j]);
    if (r == 0)
        inodes_give(&inodes, scan);
    return r;
}

/* The same of what was touched: what moved is among it, at both its places. touched NULL: all in that directory. */
struct visit { int64_t dir; const struct touched *touched; };
struct visits { struct visit *at; size_t count, room; };

static int index_entry(struct inodes *inodes, struct visits *visits, int64_t dir, const struct live_entry *entry,
                       const struct touched *touched) {
    int r = inodes_add(inodes, dir, entry);
    bool all = !touched || touched->inside || touched->itself;     /* it may have left, and then its inside is named by another path */
    if (r < 0 || !entry->dir || (!all && !touched->children))
        return r;
    if (MAKE_ROOM(visits->at, visits->count, visits->room) < 0)
        return -ENOMEM;
    visits->at[visits->count++] = (struct visit){ entry->dir, all ? NULL : touched };
    return 0;
}

static int index_visit(struct scan *scan, struct inodes *inodes, struct visits *visits, struct visit visit) {
    const struct live_dir *records = NULL;
    int r = scan_records(scan, visit.dir, &records);
    for (size_t i = 0; r == 0 && records && !visit.touched && i < records->count; i++)
        r = index_entry(inodes, visits, visit.dir, &records->entries[i], NULL);
    struct map_iter i = {0};
    while (r == 0 && records && visit.touched && visit.touched->children && map_next(visit.touched->children, &i)) {
        _free_ char *name = strndup(i.key, i.key_size);
        const struct live_entry *entry = name ? live_dir_find(records, name) : NULL;
        r = !name ? -ENOMEM : entry ? index_entry(inodes, visits, visit.dir, entry, i.value) : 0;
    }
    return r;
}

int links_index(struct scan *scan) {
    _cleanup_(inodes_done) struct inodes inodes = {0};
    struct visits visits = {0};
    int r = inodes_new(&inodes);
    if (r == 0)
        r = index_visit(scan, &inodes, &visits, (struct visit){ INDEX_ROOT, scan->touched->inside ? NULL : scan->touched });
    while (r == 0 && visits.count)
        r = index_visit(scan, &inodes, &visits, visits.at[--visits.count]);
    free(visits.at);
    if (r == 0)
        inodes_give(&inodes, scan);
    return r;
}

/* Made when the first unknown name appears: a scan that finds nothing new does not pay for it. Without memory nothing is
 * known to have moved, which is only slower. */
static const struct moved *moved_from(struct scan *scan, struct map *const *map, struct moved_key key) {
    const struct moved *moved = NULL;
    pthread_mutex_lock(&scan->lock);
    if (scan->moved_dirs || index_inodes(scan) == 0)
        moved = map_get(*map, &key, sizeof(key));
    pthread_mutex_unlock(&scan->lock);
    return moved;
}

const struct moved *links_moved_dir(struct scan *scan, const struct fingerprint *print) {
    return print->size ? moved_from(scan, &scan->moved_dirs, (struct moved_key){ print->ino, print->size }) : NULL;
}

const struct moved *links_moved_file(struct scan *scan, const struct fingerprint *print) {
    const struct moved *moved = moved_from(scan, &scan->moved_files, (struct moved_key){ .ino = print->ino });
    if (!moved || moved->entry->print.size != print->size || moved->entry->print.mtime_sec != print->mtime_sec
        || moved->entry->print.mtime_nsec != print->mtime_nsec)
        return NULL;
    return moved;
}

/* Groups. */

static int group_add(struct group *group, struct scan_dir *dir, struct found *found) {
    if (MAKE_ROOM(group->members, group->count, group->room) < 0)
        return -ENOMEM;
    group->members[group->count++] = (struct member){ .dir = dir, .found = found };
    return 0;
}

static int add_to_group(struct scan *scan, struct scan_dir *dir, struct found *found, const struct statx *stat, bool changed) {
    struct group_key key = { .device = (uint64_t)stat->stx_dev_major << 32 | stat->stx_dev_minor, .ino = stat->stx_ino };
    dir->deferred = true;
    pthread_mutex_lock(&scan->lock);
    struct group *group = map_get(scan->groups, &key, sizeof(key));
    int r = 0;
    if (!group) {
        group = calloc(1, sizeof(*group));
        if (group)
            group->key = key;
        r = group ? map_put(scan->groups, &key, sizeof(key), group, NULL) : -ENOMEM;
        if (r < 0)
            free(group);
    }
    if (r >= 0)
        r = group_add(group, dir, found);
    if (r >= 0)
        group->changed |= changed;
    pthread_mutex_unlock(&scan->lock);
    return MIN(r, 0);
}

int links_defer(struct scan *scan, struct scan_dir *dir, struct found *found, const struct statx *stat) {
    return add_to_group(scan, dir, found, stat, true);
}

/* A name that was captured in the round before, and one that got its inode since, are names of one object. */
int links_join(struct scan *scan, struct scan_dir *dir, struct found *found, const struct statx *stat) {
    struct group_key key = { .device = (uint64_t)stat->stx_dev_major << 32 | stat->stx_dev_minor, .ino = stat->stx_ino };
    if (stat->stx_nlink < 2)
        return 0;
    if (scan->round > 1 || scan->touched)
        return add_to_group(scan, dir, found, stat, false);
    pthread_mutex_lock(&scan->lock);
    int r = map_put(scan->standing, &key, sizeof(key), scan, NULL);
    pthread_mutex_unlock(&scan->lock);
    return MIN(r, 0);
}

/* The order of the walk is chance; that of names is not. */
static int by_place(const void *a, const void *b) {
    const struct member *left = a, *right = b;
    if (left->dir->id != right->dir->id)
        return left->dir->id < right->dir->id ? -1 : 1;
    return strcmp(left->found->name, right->found->name);
}

/* An object that this round's other groups have not kept; kept by this one from now on. */
static bool claim(struct scan *scan, int64_t object) {
    pthread_mutex_lock(&scan->lock);
    bool ours = !map_get(scan->claimed, &object, sizeof(object)) && map_put(scan->claimed, &object, sizeof(object), scan, NULL) == 0;
    pthread_mutex_unlock(&scan->lock);
    return ours;
}

/* Whether another group is the inode that the record speaks of, or a name that was looked at before it got another one. */
static bool is_elsewhere(const struct scan *scan, const struct group *group, const struct live_entry *known) {
    struct group_key was = { .device = group->key.device, .ino = known->print.ino };
    return was.ino && was.ino != group->key.ino
        && (map_get(scan->groups, &was, sizeof(was)) || map_get(scan->standing, &was, sizeof(was)));
}

/* A name that looks as it did may be none of the members, though it is the same inode: what it is, they are. Not what this scan
 * captured under a name that went since: its bytes went with it. */
static int64_t base_by_inode(struct scan *scan, const struct group *group) {
    const struct moved *other = moved_from(scan, &scan->moved_links, (struct moved_key){ .ino = group->key.ino });
    return other && other->entry->object < scan->first_object && claim(scan, other->entry->object) ? other->entry->object : 0;
}

/* The object that the inode was, or that of the group's first known member if no other group goes on being it: the inode
 * decides, not the order. */
static int64_t group_base(struct scan *scan, const struct group *group) {
    int64_t base = 0;
    for (size_t i = 0; base == 0 && i < group->count; i++) {
        const struct live_entry *known = group->members[i].found->known;
        if (known && !known->dir && known->flags & LIVE_LINKED && known->print.ino == group->key.ino && claim(scan, known->object))
            base = known->object;
    }
    if (base == 0)
        base = base_by_inode(scan, group);
    for (size_t i = 0; base == 0 && i < group->count; i++) {
        const struct live_entry *known = group->members[i].found->known;
        if (known && !known->dir && known->print.ino == group->key.ino && claim(scan, known->object))
            base = known->object;
    }
    for (size_t i = 0; base == 0 && i < group->count; i++) {
        const struct live_entry *known = group->members[i].found->known;
        if (known && !known->dir && !is_elsewhere(scan, group, known) && claim(scan, known->object))
            base = known->object;
    }
    return base;
}

/* The member under which the layer being built has the bytes; NULL: none, or no new ones. */
static const struct member *staged_member(struct scan *scan, const struct group *group, const struct captured *captured, const struct member *first) {
    if (captured->staged || captured->object->id < scan->first_object)
        return captured->staged ? first : NULL;
    const struct member *found = NULL;
    pthread_mutex_lock(&scan->lock);
    for (size_t i = 0; !found && i < group->count; i++) {
        const struct delta_row *row = scan_row(scan, group->members[i].dir->id, group->members[i].found->name);
        if (row && row->staged && row->entry.after == captured->object)
            found = &group->members[i];
    }
    pthread_mutex_unlock(&scan->lock);
    return found;
}

static int put_member(struct scan *scan, struct member *member, const struct captured *captured, const struct member *first,
                      bool linked) {
    struct found *found = member->found;
    found->print = captured->print;
    found->object = captured->object->id;
    found->flags = captured->flags | (linked ? LIVE_LINKED : 0);
    found->state = FOUND_RECORD;
    member->dir->differs = true;
    if (found_as_recorded(found))
        return 0;
    struct delta_row how = { .staged = first != NULL, .how = captured->how };
    if (first && member != first) {
        struct dir *from = capture_stage_dir(scan, first->dir), *to = capture_stage_dir(scan, member->dir);
        if (!from || !to)
            return -ENOMEM;
        int r = stage_link(scan->stage, from, first->found->name, to, found->name);
        if (r == -EEXIST && (r = stage_remove(scan->stage, to, found->name)) == 0)
            r = stage_link(scan->stage, from, first->found->name, to, found->name);
        how.staged = r == 0;
        if (r < 0 && r != -EMLINK)
            return r;
    }
    return scan_differ(scan, member->dir->id, found->name, captured->object, &how);
}

/* Symlinks, fifos and devices may have several names too. */
static int describe_other(struct scan *scan, struct member *member, int dirfd, const struct statx *stat, int64_t base, struct captured *ret) {
    _object_ struct object *object = calloc(1, sizeof(*object));
    if (!object)
        return -ENOMEM;
    int r = meta_read(dirfd, member->found->name, -1, stat, &object->meta);
    if (r < 0)
        return r == -ENOENT || r == -EINVAL || r == -ELOOP ? 1 : r;
    struct object *old = NULL;
    if (base && (r = scan_known_object(scan, base, &old)) < 0)
        return r;
    *ret = (struct captured){0};
    fingerprint_from(stat, &ret->print);
    ret->flags = capture_is_racy(scan, &ret->print) ? LIVE_HOT : 0;
    if (old && meta_equal(&old->meta, &object->meta)) {
        ret->object = old;
        return 0;
    }
    object->id = scan->next_object++;
    ret->object = object;
    ret->is_new = true;
    return scan_own(scan, TAKE_PTR(object));
}

/* An object with one name and no mark of others cannot get a second one: its rows would not be found by it. */
static int shareable(struct scan *scan, unsigned links, int64_t *base) {
    struct object *object = NULL;
    int r = scan_known_object(scan, *base, &object);
    if (r == 0 && links > 1 && !(object->flags & OBJECT_LINKED))
        *base = 0;
    return r;
}

static int capture_first(struct scan *scan, struct member *member, int64_t base, struct captured *ret, unsigned *ret_links) {
    _pinned_ struct dir_pinned at = dir_pinned(member->dir->at);
    if (at.fd < 0)
        return 1;
    struct statx stat;
    int r = fs_statx(at.fd, member->found->name, &stat);
    if (r < 0 || S_ISDIR(stat.stx_mode))
        return 1;
    *ret_links = stat.stx_nlink;
    if (base && (r = shareable(scan, stat.stx_nlink, &base)) < 0)
        return r;
    if (S_ISREG(stat.stx_mode))
        return capture_read(scan, member->dir, at.fd, member->found->name, (int64_t[]){ base, 0 }, ret);
    return describe_other(scan, member, at.fd, &stat, base, ret);
}

/* What could not be read was told by one of its names; who misses it may look for another. */
static void tell_unread(struct scan *scan, const struct member *member) {
    _buf_ struct buf path = {0};
    if (scan->round > 1)
        return;
    dir_path(member->dir->at, member->found->name, &path);
    project_notice(scan->project, SNAP_NOTICE_FAILED_PATH, path.failed ? "" : path.data, "is another name of a file that could not be read");
}

struct all { struct scan *scan; struct group *group; };   /* group NULL: the task that adds all others */

static int leave_out(struct scan *scan, struct member *member) {
    member->found->state = FOUND_LEFT_OUT;
    member->dir->differs = true;
    return member->found->known ? scan_differ(scan, member->dir->id, member->found->name, NULL, NULL) : 0;
}

/* A group whose names vanish under us is left to the next round, with its records as they are. */
static int capture_group(struct pool *pool, void *data) {
    (void)pool;
    struct all *task = data;
    struct scan *scan = task->scan;
    struct group *group = task->group;
    free(task);
    if (!group->changed)
        return 0;
    qsort(group->members, group->count, sizeof(*group->members), by_place);
    int64_t base = group_base(scan, group);
    struct captured captured = {0};
    unsigned links = 0;
    size_t first = 0;
    int r = 1;
    for (; first < group->count; first++)
        if ((r = capture_first(scan, &group->members[first], base, &captured, &links)) <= 0)
            break;
    if (r < 0)
        return r;
    if (captured.is_new && links > 1)
        captured.object->flags |= OBJECT_LINKED;
    const struct member *staged = first < group->count ? staged_member(scan, group, &captured, &group->members[first]) : NULL;
    for (size_t i = first; i < group->count && r >= 0; i++) {
        r = put_member(scan, &group->members[i], &captured, staged, links > 1);
        if (i > first && captured.flags & LIVE_UNREAD)
            tell_unread(scan, &group->members[i]);
    }
    for (size_t i = 0; i < first && r >= 0; i++)              /* last: the bytes may lie under the name of one of these */
        r = leave_out(scan, &group->members[i]);
    return MIN(r, 0);
}

static int add_groups(struct pool *pool, void *data) {
    struct all *task = data;
    if (task->group)
        return capture_group(pool, data);
    struct scan *scan = task->scan;
    free(task);
    for (struct map_iter i = {0}; map_next(scan->groups, &i);) {
        struct all *one = malloc(sizeof(*one));
        if (!one)
            return -ENOMEM;
        *one = (struct all){ .scan = scan, .group = i.value };
        int r = pool_add(pool, one);
        if (r < 0) {
            free(one);
            return r;
        }
    }
    return 0;
}

int links_capture(struct scan *scan) {
    if (!map_count(scan->groups))
        return 0;
    struct all *first = malloc(sizeof(*first));
    if (!first)
        return -ENOMEM;
    *first = (struct all){ .scan = scan };
    return pool_run(pool_threads_default(), add_groups, free, first);
}
