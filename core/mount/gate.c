/* The gate: requests that wait while what the mount shows is being captured.
 *
 * First those that order data: names that come, go and move, and answers to fsync. Then, for as long as the layer is read, all that
 * changes it. Who waits for an answer gets no further, so that what lands late is only what a power loss could also have kept.
 * SETATTR waits with the rest, although it may truncate: the kernel writes no page of an inode that it truncates, and pages are
 * written between the two. Held requests keep no lock of ours; the kernel keeps theirs of directories and inodes, none of which
 * writing pages takes. SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

enum class { CLASS_READS, CLASS_ORDERS /* changes, too, or lets somebody rely on what was changed */, CLASS_CHANGES };

static enum class class_of(uint32_t opcode) {
    switch (opcode) {
    case FUSE_MKNOD: case FUSE_MKDIR: case FUSE_SYMLINK: case FUSE_LINK: case FUSE_UNLINK: case FUSE_RMDIR: case FUSE_RENAME:
    case FUSE_RENAME2: case FUSE_CREATE: case FUSE_TMPFILE: case FUSE_FSYNC: case FUSE_FSYNCDIR: case FUSE_SYNCFS:
        return CLASS_ORDERS;
    case FUSE_WRITE: case FUSE_SETATTR: case FUSE_FALLOCATE: case FUSE_COPY_FILE_RANGE: case FUSE_SETXATTR: case FUSE_REMOVEXATTR:
    case FUSE_OPEN:
        return CLASS_CHANGES;
    default:
        return CLASS_READS;
    }
}

static bool must_wait(const struct gate *gate, enum class class) {
    return !gate->over && (gate->closed == GATE_SHUT || (gate->closed == GATE_ORDERS && class == CLASS_ORDERS));
}

bool gate_enter(struct mount *mount, uint32_t opcode) {
    struct gate *gate = &mount->gate;
    enum class class = class_of(opcode);
    if (class == CLASS_READS)
        return false;
    pthread_mutex_lock(&gate->lock);
    while (must_wait(gate, class)) {
        pthread_mutex_unlock(&gate->lock);
        loop_step_aside(mount, true);             /* writing what the kernel has needs somebody who answers */
        pthread_mutex_lock(&gate->lock);
        while (must_wait(gate, class))
            (void)pthread_cond_wait(&gate->changed, &gate->lock);
        pthread_mutex_unlock(&gate->lock);
        loop_step_aside(mount, false);
        pthread_mutex_lock(&gate->lock);
    }
    gate->inside++;
    pthread_mutex_unlock(&gate->lock);
    return true;
}

void gate_leave(struct mount *mount) {
    struct gate *gate = &mount->gate;
    pthread_mutex_lock(&gate->lock);
    if (--gate->inside == 0)
        (void)pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void set(struct gate *gate, enum gate_closed closed) {
    pthread_mutex_lock(&gate->lock);
    gate->closed = closed;
    (void)pthread_cond_broadcast(&gate->changed);
    while (closed == GATE_SHUT && gate->inside > 0 && !gate->over)
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

void gate_end(struct mount *mount) {
    struct gate *gate = &mount->gate;
    pthread_mutex_lock(&gate->lock);
    gate->over = true;
    (void)pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

/* Everything that programs wrote before is in the layer when it returns. Twice: the second time there is little, and nobody gets ahead
 * by it. */
int mount_hold(struct mount *mount) {
    int r = flush_read_files(mount);
    set(&mount->gate, GATE_ORDERS);
    if (r == 0)
        r = flush_read_files(mount);
    if (r == 0)
        set(&mount->gate, GATE_SHUT);
    else
        set(&mount->gate, GATE_OPEN);
    return r;
}

void mount_release(struct mount *mount) {
    set(&mount->gate, GATE_OPEN);
}
