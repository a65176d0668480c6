/* File handles of the model's objects: each opens its object for as long as that has a name, and nothing ever after.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT = 96, ROOM = 128, CONNECTABLE = 2 };        /* AT_HANDLE_CONNECTABLE, since Linux 6.13 */

struct kept {
    int object;
    int parent;                /* the directory that a connectable one names; -1 = none */
    union { struct file_handle handle; char room[sizeof(struct file_handle) + ROOM]; };
};
static struct kept kept[KEPT];
static unsigned count;

static bool wanted(void) {
    return getenv("HANDLES") != NULL;
}

/* Again, an object's handle is the same. */
static void same_handle(const struct kept *one) {
    for (unsigned i = 0; i < count; i++)
        if (&kept[i] != one && kept[i].object == one->object && kept[i].parent == one->parent
            && (kept[i].handle.handle_bytes != one->handle.handle_bytes
                || memcmp(kept[i].handle.f_handle, one->handle.f_handle, one->handle.handle_bytes) != 0))
            disagree("the handle of number %llu changed", (unsigned long long)objects[one->object].number);
}

void handles_take(void) {
    char path[PATH_ROOM];
    int mount, name = some_name();
    if (!wanted() || name < 0)
        return;
    bool connectable = pick(3) == 0;
    struct kept *one = &kept[count < KEPT ? count : pick(KEPT)];
    *one = (struct kept){ .object = names[name].object, .parent = connectable && !S_ISDIR(objects[names[name].object].mode) ? names[name].dir : -1 };
    one->handle.handle_bytes = ROOM;
    name_path(name, path);
    int r = name_to_handle_at(root, path, &one->handle, &mount, connectable ? CONNECTABLE : 0);
    if (r < 0 && errno == EINVAL && connectable) {
        one->parent = -1;
        one->handle.handle_bytes = ROOM;
        r = name_to_handle_at(root, path, &one->handle, &mount, 0);
    }
    expect(true, r, "take a handle of %s", path);
    if (count < KEPT)
        count++;
    same_handle(one);
}

static bool is_held(int object) {
    for (int i = 0; i < HELD; i++)
        if (held[i].fd >= 0 && held[i].object == object)
            return true;
    return false;
}

/* A connectable one is good for as long as the object has a name in that directory. */
static bool is_sure(const struct kept *one) {
    bool sure = one->parent < 0;
    for (int i = 0; i < name_count && !sure; i++)
        sure = names[i].object == one->object && names[i].dir == one->parent;
    return sure && objects[one->object].alive;
}

static int open_kept(struct kept *one, int flags) {
    return open_by_handle_at(root, &one->handle, flags | O_CLOEXEC);
}

static void check(struct kept *one) {
    struct object *object = &objects[one->object];
    struct stat stat;
    bool is_file = S_ISREG(object->mode), is_dir = S_ISDIR(object->mode);
    int fd = open_kept(one, is_file ? O_RDONLY : is_dir ? O_RDONLY | O_DIRECTORY : O_PATH);
    if (fd < 0) {
        if (is_sure(one) || errno != ESTALE)
            disagree("the handle of number %llu does not open: %s", (unsigned long long)object->number, strerror(errno));
        return;
    }
    if (!object->alive && !is_held(one->object))
        disagree("the handle of number %llu opens, though that is gone", (unsigned long long)object->number);
    expect(true, fstat(fd, &stat), "stat by handle");
    same_object(one->object, &stat, "what a handle opened");
    if (is_file)
        same_content(one->object, fd, "what a handle opened");
    (void)close(fd);
}

void handles_check(void) {
    for (unsigned i = 0; i < count; i++)
        check(&kept[i]);
}

void handles_use(void) {
    char text[40];
    struct kept *one = count ? &kept[pick(count)] : NULL;
    if (!one || !S_ISREG(objects[one->object].mode) || !is_sure(one))
        return;
    int fd = open_kept(one, O_WRONLY | O_APPEND);
    expect(true, fd, "open number %llu by handle to append", (unsigned long long)objects[one->object].number);
    append_to(one->object, fd, text);
    (void)close(fd);
}
