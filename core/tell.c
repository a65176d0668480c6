/* How an open project talks to whoever opened it, and what every verb asks of it.
 * Opens and closes no project; project.c does. SPDX-License-Identifier: GPL-2.0-or-later */
#include "project.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

void project_notice(struct snap_project *project, enum snap_notice kind, const char *path, const char *format, ...) {
    _free_ char *text = NULL;
    va_list args;
    va_start(args, format);
    int r = vasprintf(&text, format, args);
    va_end(args);
    if (r < 0)
        text = NULL;
    pthread_mutex_lock(&project->telling);
    if (kind == SNAP_NOTICE_FAILED_PATH)
        project->failed++;
    if (project->env.notice)
        project->env.notice(project->env.data, kind, path, text ? text : "out of memory");
    pthread_mutex_unlock(&project->telling);
}

void project_progress(struct snap_project *project, const struct snap_progress *progress) {
    if (!project->env.progress)
        return;
    pthread_mutex_lock(&project->telling);
    project->env.progress(project->env.data, progress);
    pthread_mutex_unlock(&project->telling);
}

bool project_cancelled(const struct snap_project *project) {
    return project->env.cancel && *project->env.cancel;
}

int project_cancelled_error(struct snap_err *err) {
    err_set(err, -ECANCELED, "interrupted");
    return err_failure(err, SNAP_FAILURE_INTERRUPTED);
}

int project_need_lock(const struct snap_project *project, struct snap_err *err) {
    return store_locked(project->store) ? 0 : err_set(err, -EPERM, "the project was opened for reading only");
}

double project_seconds(void) {
    struct timespec now;
    return clock_gettime(CLOCK_MONOTONIC, &now) < 0 ? 0 : (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int project_layers(struct snap_project *project, struct layers **ret, struct snap_err *err) {
    if (!project->layers) {
        int r = layers_open(project->store, &project->layers);
        if (r < 0)
            return err_errno(err, r, "cannot open the layers of the store '%s'", project->info.store);
    }
    *ret = project->layers;
    return 0;
}

const char *project_store_inside(const struct snap_project *project) {
    return project->left_out;
}

/* An unnamed file with nothing in it. */
static int open_empty(struct snap_project *project, struct snap_err *err) {
    (void)project;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_path(err, -errno, "/dev/null", "open") : fd;
}

int project_open_content(struct snap_project *project, const struct object *object, struct snap_err *err) {
    if (!S_ISREG(object->meta.mode))
        return err_set(err, -EINVAL, "object %lld has no content", (long long)object->id);
    if (object->flags & OBJECT_LOST)
        return err_damage(err, "its content is lost: what the store had of it was damaged");
    if (object->flags & OBJECT_UNREAD)
        return err_set(err, -ENODATA, "its content could not be read when the snapshot was taken");
    if (!object->content)
        return open_empty(project, err);
    struct layers *layers = NULL;
    int r = project_layers(project, &layers, err);
    return r < 0 ? r : layers_open_content_id(layers, object->content, err);
}

int project_check_content(struct snap_project *project, const struct object *object, const struct digest *digest, struct snap_err *err) {
    struct layers *layers = NULL;
    if (!object->content || digest_equal(digest, &object->digest))
        return 0;
    int r = project_layers(project, &layers, err);
    return r < 0 ? r : layers_content_differs(layers, object->content, err);
}
