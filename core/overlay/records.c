/* The table of records, and its log.
 * Knows nothing of nodes. SPDX-License-Identifier: GPL-2.0-or-later */
#include "records.h"

#include "at.h"
#include "dirs.h"
#include "fs.h"
#include "hook.h"
#include "map.h"
#include "xattr.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "snapctl identity 2\n"

/* 0 and the root's number are nobody else's. */
enum { NUMBERS_RESERVED = 1 };
enum { LINE = 64, INDEXED = 1, DROPPED = 2, LINKS_SHIFT = 2, SLACK = 1024 };

/* One line of the log, in the machine's byte order: it does not travel. The first one is the header. */
struct line {
    uint64_t upper, number, generation, domain, origin;
    uint32_t uncovered, flags;
    uint64_t tag;
    uint64_t check;
};
_Static_assert(sizeof(struct line) == LINE, "a line of the log has 64 bytes");

struct header {
    char magic[20];
    char state[44];            /* "open", or "closed" and how many lines follow, and then all of it is on disk */
};
_Static_assert(sizeof(struct header) == LINE, "the header is a line");

struct records {
    pthread_mutex_t mutex;
    struct map *by_upper, *by_number;      /* the same records; those of `by_number` are owned */
    int fd, work;
    size_t lines;              /* in the log */
    bool broken;               /* something is missing in it */
    uint64_t read;
};

static void lock(struct records *records) {
    if (pthread_mutex_lock(&records->mutex) != 0)
        abort();
}

static void unlock(struct records *records) {
    if (pthread_mutex_unlock(&records->mutex) != 0)
        abort();
}

/* Text. */

void record_print(const struct record *record, char (*ret)[RECORD_TEXT]) {
    (void)snprintf(*ret, sizeof(*ret), "%llx.%llx.%llx.%llx.%x.%x%s", (unsigned long long)record->number, (unsigned long long)record->generation,
                   (unsigned long long)record->origin, (unsigned long long)record->domain, record->uncovered, record->lower_links,
                   record->indexed ? ".i" : "");
}

int record_parse(const char *text, uint64_t upper, struct record *ret) {
    unsigned long long number, generation, origin, domain;
    unsigned uncovered, lower_links;
    int end = 0;
    if (sscanf(text, "%llx.%llx.%llx.%llx.%x.%x%n", &number, &generation, &origin, &domain, &uncovered, &lower_links, &end) < 6 || end == 0)
        return -EINVAL;
    bool indexed = strcmp(text + end, ".i") == 0;
    if ((text[end] && !indexed) || number <= NUMBERS_RESERVED)
        return -EINVAL;
    *ret = (struct record){ .upper = upper, .number = number, .generation = generation, .domain = domain, .origin = origin,
                            .uncovered = uncovered, .lower_links = lower_links, .indexed = indexed };
    return 0;
}

/* The table. The caller holds the mutex, or is alone. */

static void forget(struct records *records, struct record *old) {
    if (!old)
        return;
    if (old->upper && map_get(records->by_upper, &old->upper, sizeof(old->upper)) == old)
        (void)map_remove(records->by_upper, &old->upper, sizeof(old->upper));
    (void)map_remove(records->by_number, &old->number, sizeof(old->number));
    free(old);
}

static int remember(struct records *records, const struct record *record) {
    struct record *kept = malloc(sizeof(*kept));
    if (!kept)
        return -ENOMEM;
    *kept = *record;
    forget(records, map_get(records->by_number, &record->number, sizeof(record->number)));
    if (record->upper)
        forget(records, map_get(records->by_upper, &record->upper, sizeof(record->upper)));
    int r = map_put(records->by_number, &kept->number, sizeof(kept->number), kept, NULL);
    if (r >= 0 && kept->upper)
        r = map_put(records->by_upper, &kept->upper, sizeof(kept->upper), kept, NULL);
    if (r >= 0)
        return 0;
    (void)map_remove(records->by_number, &kept->number, sizeof(kept->number));
    free(kept);
    return r;
}

/* The log. */

static uint64_t check_of(const struct line *line) {
    const unsigned char *bytes = (const unsigned char *)line;
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < offsetof(struct line, check); i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3U;
    return hash;
}

static struct line line_of(const struct record *record, unsigned flags) {
    struct line line = {
        .upper = record->upper, .number = record->number, .generation = record->generation, .domain = record->domain,
        .origin = record->origin, .tag = record->tag, .uncovered = record->uncovered, .flags = flags | (record->indexed ? INDEXED : 0) | record->lower_links << LINKS_SHIFT,
    };
    line.check = check_of(&line);
    return line;
}

static int append(struct records *records, const struct record *record, unsigned flags) {
    int r = hook("records.append", flags & DROPPED ? "drop" : "put");
    if (r < 0)
        return r;
    const struct line line = line_of(record, flags);
    ssize_t put = pwrite(records->fd, &line, sizeof(line), (off_t)((records->lines + 1) * LINE));
    if (put != (ssize_t)sizeof(line))
        return put < 0 ? -errno : -ENOSPC;
    records->lines++;
    return 0;
}

static struct header header_of(const struct records *records, bool closed) {
    struct header header = { .magic = MAGIC, .state = "open" };
    if (closed)
        (void)snprintf(header.state, sizeof(header.state), "closed %zu", records->lines);
    return header;
}

static int write_header(struct records *records, bool closed) {
    const struct header header = header_of(records, closed);
    ssize_t put = pwrite(records->fd, &header, sizeof(header), 0);
    return put == (ssize_t)sizeof(header) ? 0 : put < 0 ? -errno : -ENOSPC;
}

static int take_line(struct records *records, const struct line *line) {
    if (line->check != check_of(line))
        return -EUCLEAN;
    records->read++;
    if (line->flags & DROPPED) {
        forget(records, map_get(records->by_number, &line->number, sizeof(line->number)));
        return 0;
    }
    const struct record record = { .upper = line->upper, .number = line->number, .generation = line->generation, .domain = line->domain,
                                   .origin = line->origin, .tag = line->tag, .uncovered = line->uncovered, .indexed = line->flags & INDEXED,
                                   .lower_links = line->flags >> LINKS_SHIFT };
    return remember(records, &record);
}

/* As far as it is whole. 1 = it was closed properly. */
static int read_log(struct records *records) {
    struct header header;
    ssize_t got = pread(records->fd, &header, sizeof(header), 0);
    if (got < 0)
        return -errno;
    if (got != (ssize_t)sizeof(header) || memcmp(header.magic, MAGIC, sizeof(header.magic)) != 0)
        return 0;
    struct line lines[64];
    for (off_t at = LINE; (got = pread(records->fd, lines, sizeof(lines), at)) > 0; at += got) {
        for (size_t i = 0; i < (size_t)got / LINE; i++) {
            int r = take_line(records, &lines[i]);
            if (r < 0)
                return r == -EUCLEAN ? 0 : r;
            records->lines++;
        }
        if (got % LINE)
            return 0;          /* the line that was cut short */
    }
    const struct header whole = header_of(records, true);
    return got < 0 ? -errno : memcmp(&header, &whole, sizeof(whole)) == 0;
}

/* Only what is still true, in a new file. */
static int rewrite(struct records *records) {
    _close_ int fd = openat(records->work, "identity.new", O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int old = records->fd;
    records->fd = fd;
    records->lines = 0;
    int r = write_header(records, false);
    for (struct map_iter i = {0}; r >= 0 && map_next(records->by_number, &i);)
        r = append(records, i.value, 0);
    if (r >= 0)
        r = fdatasync(fd) < 0 || renameat(records->work, "identity.new", records->work, "identity") < 0 ? -errno : 0;
    if (r < 0) {
        records->fd = old;
        return r;
    }
    (void)TAKE_FD(fd);
    (void)fd_close(old);
    return 0;
}

/* Checking against the objects. */

/* One pass over the current layer, or over the index, whose objects alone have other names to show. */
struct pass {
    struct records *records;
    struct map *seen;          /* inode numbers of objects whose record is right */
    bool is_index;
    bool handles;              /* those of the file system last */
    bool differs;
    struct dir **dirs;         /* still to be looked at */
    size_t count, room;
};

/* What the object itself says: 1 = a record, 0 = that it has none, -ENODATA: it cannot say. */
static int read_object(int dirfd, const char *name, const struct stat *stat, struct record *ret) {
    struct xattr_at inode;
    _xattr_value_ struct xattr_value value = {0};
    char text[RECORD_TEXT] = "";
    if (!S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode))
        return -ENODATA;
    int r = xattr_find(dirfd, name, &inode);
    if (r >= 0)
        r = xattr_get(&inode, "user.overlay.identity", &value);
    if (r == -EOPNOTSUPP || r == -EPERM || r == -EACCES)
        return -ENODATA;
    if (r < 0)
        return r == -ENODATA ? 0 : r;
    memcpy(text, value.data, MIN(value.size, sizeof(text) - 1));
    return record_parse(text, stat->st_ino, ret) < 0 ? 0 : 1;
}

static bool says_the_same(const struct record *a, const struct record *b) {
    return a->number == b->number && a->generation == b->generation && a->domain == b->domain && a->origin == b->origin;
}

static int check_object(struct pass *pass, int dirfd, const char *name, const struct stat *stat, const struct timespec *birth) {
    struct records *records = pass->records;
    struct record said;
    const struct record *known = map_get(records->by_upper, &stat->st_ino, sizeof(stat->st_ino));
    uint64_t tag = at_generation(dirfd, name, birth, pass->handles);
    int r = read_object(dirfd, name, stat, &said);
    if (r == -ENODATA && known && (known->tag == 0 || known->tag == tag))
        return map_put(pass->seen, &stat->st_ino, sizeof(stat->st_ino), pass, NULL) < 0 ? -ENOMEM : 0;
    if (r <= 0)
        return r == -ENODATA ? 0 : r;
    said.tag = tag;
    said.indexed &= pass->is_index;
    said.uncovered = said.indexed ? said.uncovered : 0;
    if (map_put(pass->seen, &stat->st_ino, sizeof(stat->st_ino), pass, NULL) < 0)
        return -ENOMEM;
    if (known && says_the_same(known, &said) && (!pass->is_index || known->indexed))
        return 0;
    pass->differs = true;
    records->read++;
    return remember(records, &said);
}

static int check_entry(struct pass *pass, struct dir *dir, int fd, const char *name) {
    struct stat stat;
    struct timespec birth;
    int r = at_stat(fd, name, &stat, &birth);
    if (r >= 0)
        r = check_object(pass, fd, name, &stat, &birth);
    if (r < 0 || !S_ISDIR(stat.st_mode))
        return r;
    struct dir *child = dir_child(dir, name);
    if (!child || MAKE_ROOM(pass->dirs, pass->count, pass->room) < 0) {
        (void)dir_unref(child);
        return -ENOMEM;
    }
    pass->dirs[pass->count++] = child;
    return 0;
}

static int check_dir(struct pass *pass, struct dir *dir) {
    _pinned_ struct dir_pinned at = dir_pinned(dir);
    _closedir_ DIR *stream = NULL;
    int r = at.fd < 0 ? at.fd : at_list(at.fd, &stream);
    if (r < 0)
        return r == -EACCES ? 0 : r;
    for (struct dirent *entry; errno = 0, (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        r = check_entry(pass, dir, at.fd, entry->d_name);
        if (r < 0)
            return r;
    }
    return -errno;
}

static int check_tree(struct pass *pass, int rootfd, bool is_index) {
    _dirs_ struct dirs *dirs = NULL;
    pass->is_index = is_index;
    int r = dirs_open(rootfd, 64, &dirs);
    if (r >= 0)
        r = check_dir(pass, dirs_root(dirs));
    while (pass->count > 0) {
        struct dir *dir = pass->dirs[--pass->count];
        if (r >= 0)
            r = check_dir(pass, dir);
        (void)dir_unref(dir);
    }
    return r;
}

/* Of what was never given its name, or is gone. */
static int forget_unseen(struct pass *pass) {
    struct records *records = pass->records;
    _free_ uint64_t *numbers = NULL;
    size_t count = 0, room = 0;
    for (struct map_iter i = {0}; map_next(records->by_upper, &i);) {
        const struct record *record = i.value;
        if (map_get(pass->seen, &record->upper, sizeof(record->upper)))
            continue;
        if (MAKE_ROOM(numbers, count, room) < 0)
            return -ENOMEM;
        numbers[count++] = record->number;
    }
    for (size_t i = 0; i < count; i++)
        forget(records, map_get(records->by_number, &numbers[i], sizeof(numbers[i])));
    pass->differs |= count > 0;
    return 0;
}

/* 1 = something was not as the log said. */
static int check_all(struct records *records, int upper, int index) {
    struct pass pass = { .records = records, .seen = map_new(), .handles = at_handles_last(upper) };
    int r = pass.seen ? check_tree(&pass, upper, false) : -ENOMEM;
    if (r >= 0)
        r = check_tree(&pass, index, true);
    if (r >= 0)
        r = forget_unseen(&pass);
    free(pass.dirs);
    (void)map_free(pass.seen, NULL);
    return r < 0 ? r : pass.differs;
}

static int load(struct records *records, int upper, int index) {
    int closed = read_log(records), differs = closed == 0 ? check_all(records, upper, index) : closed;
    if (differs < 0)
        return differs;
    bool anew = closed == 0 || records->lines > 2 * map_count(records->by_number) + SLACK;
    int r = anew ? rewrite(records) : write_header(records, false);
    return r < 0 ? r : closed == 0 && differs;
}

/* Whatever else lies there is no log. */
static int open_log(int work) {
    struct stat stat;
    if (fstatat(work, "identity", &stat, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(stat.st_mode) && (errno = -fs_remove_tree(work, "identity")))
        return -1;
    return openat(work, "identity", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int records_open(int work, int upper, int index, struct records **ret) {
    struct records *records = calloc(1, sizeof(*records));
    if (!records)
        return -ENOMEM;
    int r = -pthread_mutex_init(&records->mutex, NULL);
    if (r < 0) {
        free(records);
        return r;
    }
    records->work = fcntl(work, F_DUPFD_CLOEXEC, 3);
    records->fd = open_log(work);
    records->by_upper = map_new();
    records->by_number = map_new();
    r = records->work < 0 || records->fd < 0 ? -errno : !records->by_upper || !records->by_number ? -ENOMEM : load(records, upper, index);
    if (r < 0) {
        (void)records_close(records);
        return r;
    }
    *ret = records;
    return r;
}

struct records *records_close(struct records *records) {
    if (!records)
        return NULL;
    if (records->fd >= 0 && !records->broken && fdatasync(records->fd) == 0)
        (void)write_header(records, true);     /* else it is checked the next time */
    records->fd = fd_close(records->fd);
    records->work = fd_close(records->work);
    (void)map_free(records->by_upper, NULL);
    (void)map_free(records->by_number, free);
    (void)pthread_mutex_destroy(&records->mutex);
    free(records);
    return NULL;
}

/* Asking and telling. */

static bool find(struct records *records, struct map **map, uint64_t key, struct record *ret) {
    if (!records)
        return false;
    lock(records);
    const struct record *record = map_get(*map, &key, sizeof(key));
    if (record)
        *ret = *record;
    unlock(records);
    return record;
}

bool records_find(struct records *records, uint64_t upper, struct record *ret) {
    return records && find(records, &records->by_upper, upper, ret);
}

bool records_find_number(struct records *records, uint64_t number, struct record *ret) {
    return records && find(records, &records->by_number, number, ret);
}

/* A log that could not be written is made anew the next time; until then memory knows better. */
static int note(struct records *records, const struct record *record, unsigned flags) {
    int r = append(records, record, flags);
    if (r >= 0 || records->broken)
        return r;
    static const struct header invalid;
    records->broken = true;
    ssize_t put = pwrite(records->fd, &invalid, sizeof(invalid), 0);
    return put < 0 ? -errno : r;
}

int records_put(struct records *records, const struct record *record) {
    lock(records);
    int r = note(records, record, 0), kept = remember(records, record);
    unlock(records);
    return r < 0 ? r : kept;
}

void records_recount(struct records *records, uint64_t number, uint32_t links) {
    lock(records);
    struct record *record = map_get(records->by_number, &number, sizeof(number));
    if (record && record->lower_links) {
        int64_t uncovered = (int64_t)record->uncovered + links - record->lower_links;
        record->uncovered = (uint32_t)MAX(uncovered, (int64_t)0);
        record->lower_links = links;
    }
    unlock(records);
}

static int drop(struct records *records, struct map **map, uint64_t key) {
    int r = 0;
    lock(records);
    struct record *record = map_get(*map, &key, sizeof(key));
    if (record) {
        r = note(records, record, DROPPED);
        forget(records, record);
    }
    unlock(records);
    return r;
}

int records_drop(struct records *records, uint64_t upper) {
    return drop(records, &records->by_upper, upper);
}

int records_drop_number(struct records *records, uint64_t number) {
    return drop(records, &records->by_number, number);
}

int records_sync(struct records *records) {
    return fdatasync(records->fd) < 0 ? -errno : 0;
}

size_t records_count(struct records *records) {
    if (!records)
        return 0;
    lock(records);
    size_t count = map_count(records->by_number);
    unlock(records);
    return count;
}

uint64_t records_read(struct records *records) {
    return records ? records->read : 0;
}
