/* An NFS client that does what it is told on standard input, a command a line, and answers each with a line: so that a file can stay
 * open while other things happen to the server. `open` keeps a file handle of the server's, which is all that NFS 3 has of a file.
 *
 *     open KEY PATH    read KEY    write KEY OFFSET TEXT    close KEY    number KEY
 *     list PATH        cat PATH    put PATH TEXT            rename A B   remove PATH    mkdir PATH    rmdir PATH    stat PATH
 *
 * usage: nfs_client 'nfs://127.0.0.1/export?version=3&nfsport=...'      SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <nfsc/libnfs.h>

enum { KEYS = 10, ROOM = 64 << 10 };

static struct nfs_context *nfs;
static struct nfsfh *files[KEYS];
static char room[ROOM + 1];

/* One line, whatever is in it. */
static void answer(int r, char *text) {
    for (size_t size = strlen(text); size > 0 && text[size - 1] == '\n'; size--)
        text[size - 1] = '\0';
    for (char *at = text; (at = strchr(at, '\n'));)
        *at = ' ';
    if (r < 0)
        printf("error %s\n", strerror(-r));
    else
        printf("ok%s%s\n", *text ? " " : "", text);
    (void)fflush(stdout);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list(const char *path) {
    struct nfsdir *dir = NULL;
    const char *names[1024];
    size_t count = 0, size = 0;
    int r = nfs_opendir(nfs, path, &dir);
    if (r < 0)
        return r;
    for (struct nfsdirent *entry; (entry = nfs_readdir(nfs, dir));)
        if (entry->name[0] != '.' && count < 1024)
            names[count++] = entry->name;
    qsort(names, count, sizeof(*names), by_name);
    for (size_t i = 0; i < count && size < ROOM; i++)
        size += (size_t)snprintf(room + size, ROOM - size, "%s%s", i ? " " : "", names[i]);
    nfs_closedir(nfs, dir);
    return 0;
}

static int read_file(struct nfsfh *file) {
    int got = nfs_pread(nfs, file, 0, ROOM, room);
    room[got < 0 ? 0 : got] = '\0';
    return got;
}

static int cat(const char *path) {
    struct nfsfh *file = NULL;
    int r = nfs_open(nfs, path, O_RDONLY, &file);
    if (r < 0)
        return r;
    r = read_file(file);
    (void)nfs_close(nfs, file);
    return r;
}

static int put(const char *path, const char *text) {
    struct nfsfh *file = NULL;
    int r = nfs_open2(nfs, path, O_WRONLY | O_CREAT, 0644, &file);
    if (r < 0)
        return r;
    r = nfs_pwrite(nfs, file, 0, strlen(text), text);
    int closed = nfs_close(nfs, file);
    return r < 0 ? r : closed;
}

static int tell_stat(int r, const struct nfs_stat_64 *stat) {
    if (r >= 0)
        (void)snprintf(room, ROOM, "%" PRIu64 " %" PRIu64 " %" PRIo64, stat->nfs_ino, stat->nfs_nlink, stat->nfs_mode);
    return r;
}

static int with_file(const char *verb, char *rest) {
    struct nfs_stat_64 stat;
    int used = 0;
    unsigned key = 0, offset = 0;
    if (sscanf(rest, "%u %n", &key, &used) < 1 || key >= KEYS)
        return -22;
    rest += used;
    if (strcmp(verb, "open") == 0)
        return nfs_open(nfs, rest, O_RDWR, &files[key]);
    if (!files[key])
        return -9;
    if (strcmp(verb, "read") == 0)
        return read_file(files[key]);
    if (strcmp(verb, "number") == 0)
        return tell_stat(nfs_fstat64(nfs, files[key], &stat), &stat);
    if (strcmp(verb, "close") == 0)
        return nfs_close(nfs, files[key]);
    if (strcmp(verb, "write") != 0 || sscanf(rest, "%u %n", &offset, &used) < 1)
        return -22;
    return nfs_pwrite(nfs, files[key], offset, strlen(rest + used), rest + used);
}

static int with_path(const char *verb, char *path) {
    struct nfs_stat_64 stat;
    char *second = strchr(path, ' ');
    if (second)
        *second++ = '\0';
    if (strcmp(verb, "list") == 0)
        return list(path);
    if (strcmp(verb, "cat") == 0)
        return cat(path);
    if (strcmp(verb, "put") == 0 && second)
        return put(path, second);
    if (strcmp(verb, "rename") == 0 && second)
        return nfs_rename(nfs, path, second);
    if (strcmp(verb, "remove") == 0)
        return nfs_unlink(nfs, path);
    if (strcmp(verb, "mkdir") == 0)
        return nfs_mkdir(nfs, path);
    if (strcmp(verb, "rmdir") == 0)
        return nfs_rmdir(nfs, path);
    return strcmp(verb, "stat") == 0 ? tell_stat(nfs_lstat64(nfs, path, &stat), &stat) : -22;
}

static void obey(char *line) {
    static const char *const of_files[] = { "open", "read", "write", "close", "number" };
    char *rest = strchr(line, ' ');
    bool is_file = false;
    if (rest)
        *rest++ = '\0';
    for (size_t i = 0; i < sizeof(of_files) / sizeof(*of_files); i++)
        is_file |= strcmp(line, of_files[i]) == 0;
    *room = '\0';
    int r = !rest ? -22 : is_file ? with_file(line, rest) : with_path(line, rest);
    answer(r, room);
}

int main(int argc, char *argv[]) {
    static char line[ROOM];
    nfs = nfs_init_context();
    struct nfs_url *url = argc == 2 && nfs ? nfs_parse_url_dir(nfs, argv[1]) : NULL;
    if (!url) {
        (void)fprintf(stderr, "usage: nfs_client URL\n");
        return 2;
    }
    int r = nfs_mount(nfs, url->server, url->path);
    if (r < 0)
        (void)fprintf(stderr, "nfs_client: %s\n", nfs_get_error(nfs));
    answer(r, room);
    while (r >= 0 && fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        obey(line);
    }
    nfs_destroy_url(url);
    nfs_destroy_context(nfs);
    return r < 0;
}
