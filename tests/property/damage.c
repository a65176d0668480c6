/* The damage test: a random history, then damage of every kind at random places in its store. verify must find it; what
 * verify --repair claims must be true: afterwards verify says only what was declared lost, and every snapshot that is not
 * named there equals the independent copy made at the time.
 *
 *     damage SNAPCTL          SEED=n (one case), DAMAGES=n, KEEP=1, TMPDIR
 *
 * A seed gives the same history and the same damages again. SPDX-License-Identifier: GPL-2.0-or-later */
#include "model.h"

#include "cleanup.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { SNAPSHOTS = 8, STEPS = 12, DAMAGES_DEFAULT = 60 };

static void free_listing(struct listing **listing) { listing_free(*listing); }
#define _listing_ _cleanup_(free_listing)
#define _run_ _cleanup_(run_done)

struct victim { struct model *model; char store[600], whole[600]; struct rng rng; };

/* `cp -a`, of paths that are ours. */
static void copy_all(const char *from, const char *to) {
    _free_ char *command = NULL;
    if (asprintf(&command, "cp -a '%s' '%s'", from, to) < 0 || system(command) != 0)
        abort();
}

static void remove_all(const char *path) {
    if (remove_tree(AT_FDCWD, path) < 0)
        abort();
}

/* What lies in the store. */

static struct { char **at; size_t count, room; } files;
static const char *wanted_part;
static mode_t wanted_type;

static int add_file(const char *path, const struct stat *stat, int flag, struct FTW *ftw) {
    (void)flag, (void)ftw;
    if (!strstr(path, wanted_part) || (wanted_type && (stat->st_mode & S_IFMT) != wanted_type))
        return 0;
    if (wanted_type == S_IFREG && strcmp(wanted_part, "/tree/") == 0 && stat->st_size == 0)
        return 0;
    if (MAKE_ROOM(files.at, files.count, files.room) < 0 || !(files.at[files.count] = strdup(path)))
        abort();
    files.count++;
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One at random whose path has `part` and that is of this type (0: any); NULL: there is none. Regular files of trees: not empty. */
static const char *any_file(struct victim *victim, const char *part, mode_t type) {
    while (files.count)
        free(files.at[--files.count]);
    wanted_part = part;
    wanted_type = type;
    if (nftw(victim->store, add_file, 16, FTW_PHYS) != 0)
        abort();
    if (!files.count)
        return NULL;
    qsort(files.at, files.count, sizeof(*files.at), by_name);
    return files.at[rng_below(&victim->rng, files.count)];
}

/* The kinds: each damages and says what in `said`; false: there was nothing of the kind to damage. */

typedef bool (*damage_fn)(struct victim *victim, char said[static 1200]);

static void keep_times(const char *path, const struct stat *before) {
    struct timespec times[2] = { before->st_atim, before->st_mtim };
    if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
        abort();
}

static bool flip(struct victim *victim, const char *path, char said[static 1200]) {
    struct stat before;
    uint8_t byte;
    if (!path || lstat(path, &before) < 0 || chmod(path, 0600) < 0)
        return false;
    _close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t at = (off_t)rng_below(&victim->rng, (uint64_t)before.st_size);
    if (fd < 0 || pread(fd, &byte, 1, at) != 1)
        abort();
    byte ^= (uint8_t)(1u << rng_below(&victim->rng, 8));
    if (pwrite(fd, &byte, 1, at) != 1 || chmod(path, before.st_mode & 07777) < 0)
        abort();
    keep_times(path, &before);
    snprintf(said, 1200, "a bit of %s flipped at %lld", path, (long long)at);
    return true;
}

static bool flip_content(struct victim *victim, char said[static 1200]) {
    return flip(victim, any_file(victim, "/tree/", S_IFREG), said);
}

static bool flip_manifest(struct victim *victim, char said[static 1200]) {
    return flip(victim, any_file(victim, "/manifest", S_IFREG), said);
}

static bool flip_facts(struct victim *victim, char said[static 1200]) {
    return flip(victim, any_file(victim, "/facts", S_IFREG), said);
}

static bool take_away(const char *path, char said[static 1200]) {
    if (!path)
        return false;
    remove_all(path);
    snprintf(said, 1200, "%s removed", path);
    return true;
}

static bool remove_any(struct victim *victim, char said[static 1200]) {
    return take_away(any_file(victim, "/tree/", 0), said);
}

static bool remove_dir(struct victim *victim, char said[static 1200]) {
    return take_away(any_file(victim, "/tree/", S_IFDIR), said);
}

static bool remove_whiteout(struct victim *victim, char said[static 1200]) {
    return take_away(any_file(victim, "/tree/", S_IFCHR), said);
}

static bool remove_tree_of(struct victim *victim, char said[static 1200]) {
    const char *manifest = any_file(victim, "/manifest", S_IFREG);
    _free_ char *tree = manifest ? strndup(manifest, strlen(manifest) - strlen("manifest")) : NULL;
    if (!tree)
        return false;
    _free_ char *path = NULL;
    if (asprintf(&path, "%stree", tree) < 0)
        abort();
    return take_away(path, said);
}

static bool remove_layer(struct victim *victim, char said[static 1200]) {
    const char *manifest = any_file(victim, "/manifest", S_IFREG);
    _free_ char *layer = manifest ? strndup(manifest, strlen(manifest) - strlen("/manifest")) : NULL;
    return take_away(layer, said);
}

static bool remove_manifest(struct victim *victim, char said[static 1200]) {
    return take_away(any_file(victim, "/manifest", S_IFREG), said);
}

static bool shorten(const char *path, char said[static 1200]) {
    struct stat before;
    if (!path || lstat(path, &before) < 0 || truncate(path, before.st_size - 1) < 0)
        return false;
    keep_times(path, &before);
    snprintf(said, 1200, "%s made shorter", path);
    return true;
}

static bool shorten_content(struct victim *victim, char said[static 1200]) {
    return shorten(any_file(victim, "/tree/", S_IFREG), said);
}

static bool shorten_manifest(struct victim *victim, char said[static 1200]) {
    return shorten(any_file(victim, "/manifest", S_IFREG), said);
}

static bool add_foreign(struct victim *victim, char said[static 1200]) {
    const char *dir = any_file(victim, "/tree/", S_IFDIR);
    char path[1000];
    if (!dir)
        return false;
    snprintf(path, sizeof(path), "%s/nobody's", dir);
    _close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    snprintf(said, 1200, "%s added", path);
    return fd >= 0;
}

static bool add_stray(struct victim *victim, char said[static 1200]) {
    static const char *const names[] = { "held", "held/77", "layers/x", "layers/4711", "stray" };
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char path[700];
        snprintf(path, sizeof(path), "%s/%s", victim->store, names[i]);
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            abort();
    }
    snprintf(said, 1200, "strays in the store");
    return true;
}

static bool change_mode(struct victim *victim, char said[static 1200]) {
    const char *path = any_file(victim, "/tree/", rng_percent(&victim->rng, 70) ? S_IFREG : S_IFDIR);
    struct stat before;
    if (!path || lstat(path, &before) < 0 || chmod(path, (before.st_mode ^ 01) & 07777) < 0)
        return false;
    snprintf(said, 1200, "mode of %s changed", path);
    return true;
}

static bool change_time(struct victim *victim, char said[static 1200]) {
    const char *path = any_file(victim, "/tree/", rng_percent(&victim->rng, 70) ? S_IFREG : S_IFDIR);
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 12345, .tv_nsec = 678 } };
    if (!path || utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    snprintf(said, 1200, "time of %s changed", path);
    return true;
}

static bool add_xattr(struct victim *victim, char said[static 1200]) {
    const char *path = any_file(victim, "/tree/", rng_percent(&victim->rng, 50) ? S_IFREG : S_IFDIR);
    if (!path || lsetxattr(path, "user.nobodys", "x", 1, 0) < 0)
        return false;
    snprintf(said, 1200, "attribute added to %s", path);
    return true;
}

static bool remove_mark(struct victim *victim, char said[static 1200]) {
    static const char *const marks[] = { "user.overlay.opaque", "user.overlay.redirect" };
    const char *path = any_file(victim, "/tree/", S_IFDIR);
    for (size_t i = 0; path && i < files.count; i++) {
        for (size_t j = 0; j < ELEMENTS(marks); j++) {
            char value;
            bool is = lgetxattr(files.at[i], marks[j], &value, 1) == 1 ? value == 'y' : errno == ERANGE;
            if (!is || lremovexattr(files.at[i], marks[j]) < 0)
                continue;
            snprintf(said, 1200, "%s removed from %s", marks[j], files.at[i]);
            return true;
        }
    }
    return false;
}

static bool change_type(struct victim *victim, char said[static 1200]) {
    const char *path = any_file(victim, "/tree/", 0);
    struct stat before;
    if (!path || lstat(path, &before) < 0)
        return false;
    remove_all(path);
    if (S_ISDIR(before.st_mode) ? symlink("nowhere", path) < 0 : mkdir(path, 0755) < 0)
        abort();
    snprintf(said, 1200, "%s replaced by another type", path);
    return true;
}

static bool join_files(struct victim *victim, char said[static 1200]) {
    _free_ char *first = NULL;
    const char *path = any_file(victim, "/tree/", S_IFREG);
    struct stat a, b;
    if (!path || !(first = strdup(path)))
        return false;
    const char *second = any_file(victim, "/tree/", S_IFREG);
    if (lstat(first, &a) < 0 || lstat(second, &b) < 0 || a.st_ino == b.st_ino)
        return false;
    remove_all(second);
    if (link(first, second) < 0)
        abort();
    snprintf(said, 1200, "%s made one file with %s", second, first);
    return true;
}

/* The database. */

static void sql(struct victim *victim, const char *text) {
    char path[700];
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s/store.db", victim->store);
    if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", text, sqlite3_errmsg(db));
        abort();
    }
    sqlite3_close(db);
}

static bool change_rows(struct victim *victim, char said[static 1200]) {
    static const char *const changes[] = {      /* @: a number */
        "DELETE FROM entry WHERE object IN (SELECT object FROM entry ORDER BY object LIMIT 1 OFFSET @)",
        "DELETE FROM object WHERE id IN (SELECT id FROM object ORDER BY id LIMIT 1 OFFSET @)",
        "DELETE FROM content WHERE id IN (SELECT id FROM content ORDER BY id LIMIT 1 OFFSET @ % (SELECT count(*) FROM content))",
        "DELETE FROM dir WHERE id IN (SELECT id FROM dir ORDER BY id LIMIT 1 OFFSET @ % (SELECT count(*) FROM dir))",
        "UPDATE entry SET died = born + 1 WHERE object IN (SELECT object FROM entry WHERE died > born + 1 ORDER BY object LIMIT 1 OFFSET @)",
        "UPDATE object SET mtime_sec = mtime_sec + 1 WHERE id IN (SELECT id FROM object ORDER BY id LIMIT 1 OFFSET @)",
        ("UPDATE content SET name = CAST('elsewhere' AS BLOB) WHERE id IN (SELECT id FROM content ORDER BY id LIMIT 1"
         " OFFSET @ % (SELECT count(*) FROM content))"),
        "UPDATE snapshot SET parent = 0, message = 'another' WHERE id = 1 + @ % 5",
        "INSERT INTO link SELECT object, line, dir, CAST('nowhere' AS BLOB), born, died FROM entry LIMIT 1 OFFSET @",
    };
    char text[400];
    snprintf(text, sizeof(text), "%s", rng_pick(&victim->rng, changes));
    *strchr(text, '@') = (char)('0' + rng_below(&victim->rng, 6));
    sql(victim, text);
    snprintf(said, 1200, "%s", text);
    return true;
}

static bool overwrite_pages(struct victim *victim, char said[static 1200]) {
    char path[700], junk[64];
    struct stat stat;
    sql(victim, "PRAGMA wal_checkpoint(TRUNCATE)");
    snprintf(path, sizeof(path), "%s/store.db", victim->store);
    for (size_t i = 0; i < sizeof(junk); i++)
        junk[i] = (char)rng_below(&victim->rng, 256);
    _close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0)
        abort();
    off_t at = (off_t)rng_below(&victim->rng, (uint64_t)stat.st_size - sizeof(junk));
    if (pwrite(fd, junk, sizeof(junk), at) != (ssize_t)sizeof(junk))
        abort();
    snprintf(said, 1200, "the database overwritten at %lld", (long long)at);
    return true;
}

static bool remove_database(struct victim *victim, char said[static 1200]) {
    static const char *const names[] = { "store.db", "store.db-wal", "store.db-shm" };
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char path[700];
        snprintf(path, sizeof(path), "%s/%s", victim->store, names[i]);
        remove_all(path);
    }
    snprintf(said, 1200, "the database removed");
    return true;
}

static bool cut_database(struct victim *victim, char said[static 1200]) {
    char path[700];
    sql(victim, "PRAGMA wal_checkpoint(TRUNCATE)");
    snprintf(path, sizeof(path), "%s/store.db", victim->store);
    if (truncate(path, (off_t)rng_below(&victim->rng, 3) * 4096) < 0)
        abort();
    snprintf(said, 1200, "the database cut");
    return true;
}

/* sure: it cannot be that nothing is there to be found */
static const struct kind { damage_fn damage; bool sure; } kinds[] = {
    { flip_content, true }, { flip_content, true }, { flip_manifest, true }, { flip_facts, true }, { remove_any, true }, { remove_dir, true },
    { remove_whiteout, true }, { remove_tree_of, true }, { remove_layer, true }, { remove_manifest, true }, { shorten_content, true },
    { shorten_manifest, true }, { add_foreign, true }, { add_stray, true }, { change_mode, true }, { change_time, true }, { add_xattr, true },
    { remove_mark, true }, { change_type, true }, { join_files, false }, { change_rows, false }, { change_rows, false },
    { overwrite_pages, false }, { overwrite_pages, false }, { remove_database, true }, { cut_database, true },
};

/* What is said of it. */

static bool line_has(const char *line, const char *what) {
    const char *end = strchrnul(line, '\n'), *at = strstr(line, what);
    return at && at < end;
}

/* Every file that verify names now was declared lost by the repair. */
static bool is_declared(const struct run *repair, const char *line) {
    const char *file = strstr(line, "\"file"), *end = file ? strchr(file, ',') : NULL;      /* file, or file_b64 */
    if (!file || !end || end > strchrnul(line, '\n'))
        return false;
    _free_ char *named = strndup(file, (size_t)(end - file));
    for (const char *at = repair->out; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (line_has(at, named) && line_has(at, "\"outcome\":\"lost\""))
            return true;
    return false;
}

static bool names_snapshot(const struct run *verify, int64_t number) {
    for (const char *at = verify->out; (at = strstr(at, "\"snapshots\":[")); ) {
        at += strlen("\"snapshots\":[");
        while (*at && *at != ']') {
            char *end;
            if (strtoll(at, &end, 10) == number)
                return true;
            at = *end == ',' ? end + 1 : end;
        }
    }
    return false;
}

static bool snapshots_are_whole(struct victim *victim, const struct run *verify) {
    struct model *model = victim->model;
    for (size_t i = 0; i < model->count; i++) {
        const struct kept *kept = &model->kept[i];
        _run_ struct run run = {0};
        _free_ char *spec = NULL, *dest = NULL, *what = NULL;
        bool damaged = names_snapshot(verify, kept->number);
        if (asprintf(&spec, "%" PRId64 ":", kept->number) < 0 || asprintf(&dest, "%s/restored", model->box.out) < 0 ||
            asprintf(&what, "snapshot %" PRId64 " after a repair", kept->number) < 0)
            abort();
        model_run(model, &run, "restore", spec, dest, NULL);
        if (!damaged && (run.code || !model_tree_is(model, dest, kept->listing, 0, what)))
            return run.code ? model_fail(model, &run, "%s cannot be restored", what) : false;
        remove_all(dest);
    }
    return true;
}

/* `list`: what a snapshot had in it is known to nobody any more, perhaps not even that there was one. */
/* A repair that is killed at any moment is gone on with by the next. */
static void cut_short(struct victim *victim) {
    struct box box = victim->model->box;
    char after[16];
    _run_ struct run run = {0};
    snprintf(after, sizeof(after), "0.%03u", (unsigned)rng_below(&victim->rng, 40));
    const char *words[] = { "-s", "KILL", after, box.program, "verify", "--repair", NULL };
    box.program = (char *)"/usr/bin/timeout";
    run_words(&run, &box, NULL, words);
    fprintf(victim->model->log_file, "$ verify --repair, killed after %s s = %d\n", after, run.code);
}

static bool repair_is_true(struct victim *victim, const char *said, bool sure, bool list) {
    struct model *model = victim->model;
    _run_ struct run found = {0}, repair = {0}, after = {0};
    model_run(model, &found, "verify", NULL);
    if (found.code != 5 && (sure || found.code))
        return model_fail(model, &found, "verify does not find: %s", said);
    if (rng_percent(&victim->rng, 25))
        cut_short(victim);
    model_run(model, &repair, "--json", "--wait", "verify", "--repair", NULL);
    if (repair.code && repair.code != 5)
        return model_fail(model, &repair, "repair fails after: %s", said);
    model_run(model, &after, "--json", "verify", NULL);
    if (after.code != repair.code)
        return model_fail(model, &after, "verify after a repair that ended with %d, of: %s; it said: %s", repair.code, said, repair.out);
    for (const char *at = after.out; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (line_has(at, "\"message_type\":\"damage\"") && !is_declared(&repair, at))
            return model_fail(model, &after, "what was not declared lost is damaged after the repair of: %s; it said: %s", said, repair.out);
    model->checks += 3;
    return list || snapshots_are_whole(victim, &after) || model_fail(model, &repair, "that was after: %s", said);
}

static bool is_of_database(damage_fn damage) {
    return damage == remove_database || damage == overwrite_pages || damage == cut_database || damage == change_rows;
}

static bool is_of_list(damage_fn damage) {
    return damage == remove_layer || damage == remove_manifest || damage == flip_manifest || damage == shorten_manifest || damage == flip_facts;
}

static bool damage_once(struct victim *victim) {
    const struct kind *kind = &kinds[rng_below(&victim->rng, ELEMENTS(kinds))];
    char said[1200] = "";
    bool sure = kind->sure, list = false;
    if (!kind->damage(victim, said))
        return true;
    if (rng_percent(&victim->rng, 15)) {
        char second[1200] = "";
        const struct kind *other = &kinds[rng_below(&victim->rng, ELEMENTS(kinds))];
        /* SQL is for a database that can be opened */
        bool rows = other->damage == change_rows || other->damage == overwrite_pages || other->damage == cut_database;
        if (!(is_of_database(kind->damage) && rows) && other->damage(victim, second)) {
            snprintf(said + strlen(said), sizeof(said) - strlen(said), "; %.500s", second);
            list = is_of_database(kind->damage) ? is_of_list(other->damage) : is_of_database(other->damage) && is_of_list(kind->damage);
        }
    }
    return repair_is_true(victim, said, sure, list);
}

/* The history. */

static bool take(struct model *model) {
    for (int i = 0; i < STEPS; i++) {
        mutate_look(&model->mutator);
        mutate_step(&model->mutator);
    }
    mutate_let_go(&model->mutator);
    _listing_ struct listing *now = model_now(model);
    _run_ struct run run = {0};
    model_run(model, &run, "--json", "take", NULL);
    int64_t number = json_int(run.out, "number");
    if (run.code || number < 1)
        return model_fail(model, &run, "take fails");
    return model_keep(model, number, false, TAKE_PTR(now));
}

static bool make_history(struct model *model) {
    for (int i = 0; i < SNAPSHOTS; i++) {
        char number[24];
        _run_ struct run run = {0}, tag = {0};
        if (!take(model))
            return false;
        snprintf(number, sizeof(number), "%" PRId64, model_any(model)->number);
        if (rng_percent(&model->rng, 30))
            model_run(model, &run, "rollback", number, NULL);
        if (rng_percent(&model->rng, 30))
            model_run(model, &tag, "tag", number, i % 2 ? "odd" : "even", NULL);
    }
    return true;
}

/* Some are removed and freed, so that their layers hold only what others show. */
static bool free_some(struct model *model) {
    for (unsigned i = 0; i < 2; i++) {
        char number[24];
        _run_ struct run run = {0};
        const struct kept *kept = model_any(model);
        snprintf(number, sizeof(number), "%" PRId64, kept->number);
        model_run(model, &run, "rm", number, NULL);
        if (run.code)
            return model_fail(model, &run, "rm fails");
        model_drop(model, kept->number);
    }
    _run_ struct run run = {0};
    model_run(model, &run, "gc", "--now", NULL);
    return run.code == 0 || model_fail(model, &run, "gc fails");
}

static bool play(struct model *model, uint64_t damages) {
    struct victim victim = { .model = model, .rng = { model->seed * 7919 + 1 } };
    _run_ struct run run = {0};
    snprintf(victim.store, sizeof(victim.store), "%s/store", model->box.base);
    snprintf(victim.whole, sizeof(victim.whole), "%s/whole", model->box.base);
    model_run(model, &run, "init", "--store", victim.store, NULL);
    if (run.code || !make_history(model) || (rng_percent(&model->rng, 75) && !free_some(model)))
        return run.code ? model_fail(model, &run, "init fails") : false;
    copy_all(victim.store, victim.whole);
    for (uint64_t i = 0; i < damages; i++) {
        if (!damage_once(&victim))
            return false;
        remove_all(victim.store);
        copy_all(victim.whole, victim.store);
    }
    return true;
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static bool run_case(const char *program, uint64_t seed) {
    struct model model;
    if (model_open(&model, program, geteuid() == 0 ? "root" : "ordinary user", seed, geteuid() == 0) < 0) {
        fprintf(stderr, "cannot make a sandbox: %s\n", strerror(errno));
        return false;
    }
    bool good = play(&model, number_from("DAMAGES", DAMAGES_DEFAULT));
    printf("%s: seed %" PRIu64 ": %zu snapshots, %" PRIu64 " checks\n", good ? "passed" : "FAILED", seed, model.count, model.checks);
    model_done(&model, !good && getenv("KEEP"));
    return good;
}

int main(int argc, char **argv) {
    _free_ char *program = argc > 1 ? realpath(argv[1], NULL) : NULL;
    unsigned passed = 0, failed = 0;
    if (!program) {
        fprintf(stderr, "usage: damage SNAPCTL\n");
        return 2;
    }
    uint64_t first = number_from("SEED", 1), count = getenv("SEED") ? 1 : 2;
    for (uint64_t seed = first; seed < first + count; seed++) {
        printf("seed %" PRIu64 "\n", seed);
        fflush(stdout);
        *(run_case(program, seed) ? &passed : &failed) += 1;
    }
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed ? 1 : 0;
}
