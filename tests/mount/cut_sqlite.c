/* A database that is written by two processes while snapshots of the workspace are taken: each view's copy is whole, and holds every
 * transaction that was committed before its take began.
 *
 *     cut_sqlite SNAPCTL MODE TAKES      MODE: wal, full, mmap, delete (the journal is removed at each commit)
 *
 * The working directory is a scratch directory. SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRITERS = 2, SLOTS = 64 };

struct shared {                /* what each process knows of the others */
    atomic_llong committed[WRITERS];       /* the highest number that each has committed */
    atomic_bool stop;
    atomic_int failed;
};
static struct shared *shared;

static void die(const char *what, const char *why) {
    fprintf(stderr, "failed: %s: %s\n", what, why);
    exit(1);
}

static sqlite3 *open_database(const char *path, const char *mode) {
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die("open", sqlite3_errmsg(db));
    sqlite3_busy_timeout(db, 60000);
    bool wal = strcmp(mode, "delete") != 0;
    const char *pragmas = strcmp(mode, "mmap") == 0 ? "PRAGMA mmap_size=268435456; PRAGMA synchronous=NORMAL"
        : strcmp(mode, "wal") == 0 ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL";
    if (sqlite3_exec(db, wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) != SQLITE_OK
        || sqlite3_exec(db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
        die("set up", sqlite3_errmsg(db));
    return db;
}

static int first_int(void *data, int columns, char **values, char **names) {
    (void)columns, (void)names;
    *(long long *)data = values[0] ? strtoll(values[0], NULL, 10) : 0;
    return 0;
}

/* Number n of a writer: rows in three tables, which must never be seen apart. Old ones are replaced, so that the file stays small. */
static void write_on(const char *path, const char *mode, int writer) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    sqlite3 *db = open_database(path, mode);
    for (long long n = 1; !atomic_load(&shared->stop); n++) {
        char sql[512];
        int slot = writer * SLOTS + (int)(n % SLOTS);
        snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; INSERT OR REPLACE INTO a VALUES (%d, %d, %lld, randomblob(%d));"
                 " INSERT OR REPLACE INTO b VALUES (%d, %d, %lld); UPDATE c SET n = %lld WHERE writer = %d; COMMIT",
                 slot, writer, n, (int)(n % 7) * 600, slot, writer, n, n, writer);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
            fprintf(stderr, "failed: writer %d: %s\n", writer, sqlite3_errmsg(db));
            atomic_fetch_add(&shared->failed, 1);
            break;
        }
        atomic_store(&shared->committed[writer], n);
    }
    sqlite3_close(db);
    _exit(0);
}

static long long ask(sqlite3 *db, const char *sql) {
    long long value = -1;
    if (sqlite3_exec(db, sql, first_int, &value, NULL) != SQLITE_OK)
        die(sql, sqlite3_errmsg(db));
    return value;
}

static int first_text(void *data, int columns, char **values, char **names) {
    (void)columns, (void)names;
    snprintf(data, 64, "%s", values[0] ? values[0] : "");
    return 0;
}

static void check_copy(const char *path, const long long *before) {
    sqlite3 *db = NULL;
    char word[64] = "";
    if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, "PRAGMA integrity_check", first_text, word, NULL) != SQLITE_OK || strcmp(word, "ok") != 0)
        die("integrity_check", *word ? word : sqlite3_errmsg(db));
    for (int w = 0; w < WRITERS; w++) {
        char sql[128];
        snprintf(sql, sizeof(sql), "SELECT max(n) FROM a WHERE writer = %d", w);
        long long a = ask(db, sql);
        snprintf(sql, sizeof(sql), "SELECT max(n) FROM b WHERE writer = %d", w);
        long long b = ask(db, sql);
        snprintf(sql, sizeof(sql), "SELECT n FROM c WHERE writer = %d", w);
        long long c = ask(db, sql);
        if (a != b || b != c || a < before[w]) {
            fprintf(stderr, "failed: writer %d has %lld, %lld and %lld, and had committed %lld\n", w, a, b, c, before[w]);
            exit(1);
        }
    }
    sqlite3_close(db);
}

static void stop(void) {
    atomic_store(&shared->stop, true);
}

static void run(const char *command) {
    int status = system(command);
    if (status != 0)
        die(command, WIFEXITED(status) ? "it fails" : "it was killed");
}

static void take_and_check(const char *program, int number) {
    char command[2048];
    long long before[WRITERS];
    for (int w = 0; w < WRITERS; w++)
        before[w] = atomic_load(&shared->committed[w]);
    snprintf(command, sizeof(command), "%s -C ws -q take --no-sync -n t%d", program, number);
    run(command);
    /* the copy is opened as after a power loss: with its log, by nobody before */
    snprintf(command, sizeof(command), "rm -rf copy && %s -C project -q restore t%d:db ../copy", program, number);
    run(command);
    check_copy("copy/data.db", before);
}

int main(int argc, char **argv) {
    char command[2048];
    if (argc != 4)
        die("usage", "cut_sqlite SNAPCTL MODE TAKES");
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap", strerror(errno));
    snprintf(command, sizeof(command), "mkdir -p project/db ws && %s -C project -q take -n base && %s -C project -q workspace add --from base w ../ws",
             argv[1], argv[1]);
    run(command);
    sqlite3 *db = open_database("ws/db/data.db", argv[2]);
    if (sqlite3_exec(db, "CREATE TABLE a(slot PRIMARY KEY, writer, n, bytes); CREATE TABLE b(slot PRIMARY KEY, writer, n); CREATE TABLE c(writer, n);"
                     " INSERT INTO c VALUES (0, 0), (1, 0)", NULL, NULL, NULL) != SQLITE_OK)
        die("create", sqlite3_errmsg(db));
    sqlite3_close(db);
    pid_t writers[WRITERS];
    (void)atexit(stop);
    for (int w = 0; w < WRITERS; w++)
        if ((writers[w] = fork()) == 0)
            write_on("ws/db/data.db", argv[2], w);
    int takes = atoi(argv[3]);
    for (int i = 0; i < takes; i++)
        take_and_check(argv[1], i);
    atomic_store(&shared->stop, true);
    for (int w = 0; w < WRITERS; w++)
        (void)waitpid(writers[w], NULL, 0);
    if (atomic_load(&shared->failed))
        return 1;
    printf("%s: %d takes, %lld and %lld transactions\n", argv[2], takes, atomic_load(&shared->committed[0]), atomic_load(&shared->committed[1]));
    return 0;
}
