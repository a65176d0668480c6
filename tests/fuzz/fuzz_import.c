/* Archives of any bytes, read into a tree: the entry point of libFuzzer, and of the program that replays what it found.
 * Looks at what must hold whatever the bytes are: nothing lies outside of the stage, and the tree is what lies in it.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"
#include "import_tree.h"
#include "store.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAGIC = 257, CHECKSUM = 148 };

static char directory[64];
static struct store *store;

static void must(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static void remove_directory(void) {
    store_close(store);
    must(fs_remove_tree(AT_FDCWD, directory) == 0, "what was made can be removed");
}

static void prepare(void) {
    char path[80];
    struct snap_err err = {0};
    snprintf(directory, sizeof(directory), "%s/snapctl-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(directory) != NULL, "a directory can be made");
    snprintf(path, sizeof(path), "%s/store", directory);
    must(store_create(path, &err) == 0 && store_open(path, &store, &err) == 0, err.message);
    must(atexit(remove_directory) == 0, "it can be removed at the end");
}

/* Bytes that are nearly a header become one: by chance no checksum would ever be right. */
static void mend(uint8_t *data, size_t size) {
    for (size_t at = 0; at + UNTAR_BLOCK <= size; at += UNTAR_BLOCK) {
        char text[8];
        unsigned sum = 0;
        if (memcmp(data + at + MAGIC, "ustar", 5) != 0)
            continue;
        memset(data + at + CHECKSUM, ' ', sizeof(text));
        for (size_t i = 0; i < UNTAR_BLOCK; i++)
            sum += data[at + i];
        snprintf(text, sizeof(text), "%06o", sum);
        memcpy(data + at + CHECKSUM, text, 7);
    }
}

static bool is_packed(const uint8_t *data, size_t size) {
    static const uint8_t magics[][2] = { { 0x1f, 0x8b }, { 0xfd, '7' }, { 0x28, 0xb5 }, { 'B', 'Z' } };
    for (size_t i = 0; size >= 2 && i < ELEMENTS(magics); i++)
        if (!memcmp(data, magics[i], 2))
            return true;
    return false;
}

static int file_of(const uint8_t *data, size_t size) {
    int fd = memfd_create("archive", MFD_CLOEXEC);
    must(fd >= 0 && fs_write_all(fd, data, size) == 0 && lseek(fd, 0, SEEK_SET) == 0, "an input can be written");
    return fd;
}

static void check_name(const char *name) {
    must(*name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/') && strlen(name) <= NAME_MAX, "a name is one");
}

static void check_node(const struct import_tree *tree, struct import_node *node) {
    _buf_ struct buf path = {0};
    const struct object *object = node->inode->object;
    struct stat stat;
    check_name(node->name);
    must(import_tree_child(tree, node->parent, node->name) == node, "an entry is found by its name");
    if (!node->inode->staged)
        return;
    import_node_path(node, &path);
    _close_ int fd = import_tree_open(tree, path.data);
    must(fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode), "a file lies in the stage");
    must((uint64_t)stat.st_size == object->meta.size, "it has its size");
    must(stat.st_nlink == node->inode->links, "it has its names");
}

static void check_tree(const struct import_tree *tree) {
    uint64_t entries = 0;
    for (struct import_node *node = tree->root; (node = import_node_next(tree->root, node)); entries++)
        check_node(tree, node);
    must(entries == tree->entries, "entries were counted");
}

static void read_archive(struct stage *stage, int fd, bool plain, bool whiteouts) {
    _import_tree_ struct import_tree tree;
    _inflow_ struct inflow *flow = NULL;
    struct snap_err err = {0};
    struct inflow_limits limits = { .bytes = 4 << 20, .ratio = 100, .plain = plain };
    must(import_tree_init(&tree, stage) == 0, "a tree can be begun");
    tree.limits = (struct import_limits){ .entries = 1000, .memory = 4 << 20 };
    int r = inflow_open(fd, &limits, &flow, &err);
    if (r == 0)
        r = import_tree_add(&tree, flow, whiteouts, &err);
    must(r == 0 || (r < 0 && err.code == r && *err.message), "a failure has a sentence");
    if (r == 0)
        check_tree(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct stage *stage = NULL;
    struct snap_err err = {0};
    if (!store)
        prepare();
    _free_ uint8_t *copy = malloc(size + 1);
    must(copy != NULL, "there is memory");
    if (size)
        memcpy(copy, data, size);
    mend(copy, size);
    _close_ int fd = file_of(copy, size);
    must(stage_open(store, 1, &stage, &err) == 0, err.message);
    read_archive(stage, fd, !is_packed(copy, size), size && data[size / 2] & 1);
    stage_free(stage);
    must(faccessat(store_work_fd(store), "1", F_OK, AT_SYMLINK_NOFOLLOW) < 0, "nothing is left in the stage");
    return 0;
}
