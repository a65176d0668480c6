/* The model's memory and its judgement.
 * Repairs nothing: the first difference ends a case. SPDX-License-Identifier: GPL-2.0-or-later */
#include "model.h"

#include "cleanup.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { LOG_SHOWN = 6000 };

int model_open(struct model *ret, const char *program, const char *who, uint64_t seed, bool privileged) {
    *ret = (struct model){ .who = who, .seed = seed, .rng = { seed ^ 0x5eed } };
    if (box_open(&ret->box, program, NULL) < 0)
        return -1;
    ret->log_file = open_memstream(&ret->log, &ret->log_size);
    if (!ret->log_file)
        return -1;
    mutate_init(&ret->mutator, ret->box.project_fd, seed, privileged, ret->log_file);
    return 0;
}

void model_done(struct model *model, bool keep_files) {
    mutate_done(&model->mutator);
    for (size_t i = 0; i < model->count; i++)
        listing_free(model->kept[i].listing);
    free(model->kept);
    if (model->log_file)
        (void)fclose(model->log_file);
    free(model->log);
    if (keep_files)
        box_done(&model->box);
    else
        box_remove(&model->box);
}

bool model_fail(struct model *model, const struct run *run, const char *format, ...) {
    fflush(model->log_file);
    size_t from = model->log_size > LOG_SHOWN && !getenv("KEEP") ? model->log_size - LOG_SHOWN : 0;
    fprintf(stderr, "--- what was done last:\n%s---\n", model->log + from);
    if (run)
        fprintf(stderr, "exit code %d\nstdout: %.2000s\nstderr: %.2000s\n", run->code, run->out, run->err);
    fprintf(stderr, "FAILED with seed %" PRIu64 " as %s: ", model->seed, model->who);
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\nin %s\n", model->box.base);
    return false;
}

/* A deep tree or a large one makes a long list of differences; what comes first says enough. */
static bool is_same(struct model *model, const struct listing *want, const struct listing *have, unsigned leave_out,
                    const char *const *times_of_some, const char *what) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    unsigned found = out ? listing_differs(want, have, leave_out, times_of_some, out) : 1;
    if (out)
        (void)fclose(out);
    model->checks++;
    if (found)
        model_fail(model, NULL, "%s differs in %u points:\n%s", what, found, text ? text : "");
    free(text);
    return !found;
}

struct listing *model_now(struct model *model) {
    struct listing *now = listing_read_path(model->box.project);
    if (!now)
        model_fail(model, NULL, "cannot list the project: %s", strerror(errno));
    return now;
}

static void free_listing(struct listing **listing) { listing_free(*listing); }
#define _listing_ _cleanup_(free_listing)

bool model_project_is(struct model *model, const struct listing *want, unsigned leave_out, const char *const *times_of_some, const char *after) {
    _listing_ struct listing *now = model_now(model);
    _free_ char *what = NULL;
    if (asprintf(&what, "the project after %s", after) < 0)
        abort();
    return now && is_same(model, want, now, leave_out, times_of_some, what);
}

bool model_tree_is(struct model *model, const char *path, const struct listing *want, unsigned leave_out, const char *after) {
    _listing_ struct listing *have = listing_read_path(path);
    if (!have)
        return model_fail(model, NULL, "cannot list %s after %s: %s", path, after, strerror(errno));
    return is_same(model, want, have, leave_out, NULL, after);
}

bool model_keep(struct model *model, int64_t number, bool automatic, struct listing *listing) {
    if (model->count == model->room) {
        model->room = model->room ? model->room * 2 : 64;
        model->kept = reallocarray(model->kept, model->room, sizeof(*model->kept));
        if (!model->kept)
            abort();
    }
    if (model->count && model->kept[model->count - 1].number >= number) {
        listing_free(listing);
        return model_fail(model, NULL, "snapshot %" PRId64 " is not newer than %" PRId64, number, model->kept[model->count - 1].number);
    }
    model->kept[model->count++] = (struct kept){ .number = number, .automatic = automatic, .listing = listing };
    return true;
}

void model_drop(struct model *model, int64_t number) {
    for (size_t i = 0; i < model->count; i++) {
        if (model->kept[i].number != number)
            continue;
        listing_free(model->kept[i].listing);
        memmove(&model->kept[i], &model->kept[i + 1], (--model->count - i) * sizeof(*model->kept));
        return;
    }
}

struct kept *model_newest(const struct model *model) {
    for (size_t i = model->count; i--;) {
        if (!model->kept[i].automatic)
            return &model->kept[i];
    }
    return NULL;
}

struct kept *model_any(struct model *model) {
    return model->count ? &model->kept[rng_below(&model->rng, model->count)] : NULL;
}

struct kept *model_numbered(const struct model *model, int64_t number) {
    for (size_t i = 0; i < model->count; i++) {
        if (model->kept[i].number == number)
            return &model->kept[i];
    }
    return NULL;
}

void model_run(struct model *model, struct run *ret, ...) {
    const char *words[RUN_WORDS + 1] = { NULL };
    va_list list;
    va_start(list, ret);
    for (size_t i = 0; i < RUN_WORDS && (words[i] = va_arg(list, const char *)); i++)
        ;
    va_end(list);
    fputs("$ snapctl", model->log_file);
    for (size_t i = 0; words[i]; i++) {
        fputc(' ', model->log_file);
        print_path(model->log_file, words[i]);
    }
    run_words(ret, &model->box, NULL, words);
    fprintf(model->log_file, " = %d\n", ret->code);
}

/* Differences. */

char model_letter(const struct listing *a, const struct listing *b, const char *path, bool *ret_may_miss) {
    const struct node *before = listing_find(a, path), *after = listing_find(b, path);
    *ret_may_miss = false;
    if (!before || !after)
        return before ? 'D' : after ? 'A' : 0;
    if ((before->mode & S_IFMT) != (after->mode & S_IFMT))
        return 'T';
    if (!node_same_content(before, after))
        return 'M';
    if (!node_same_metadata(before, after))
        return 'm';
    *ret_may_miss = !node_same_links(a, before, b, after);
    return *ret_may_miss ? 'm' : 0;
}

struct row { char letter; const char *path; };

static int by_row_path(const void *a, const void *b) {
    return strcmp(((const struct row *)a)->path, ((const struct row *)b)->path);
}

/* LETTER SP path NUL, in place; -1: not such rows. */
static ssize_t split_rows(const struct run *run, struct row **ret) {
    size_t count = 0;
    struct row *rows = calloc(run->out_size + 1, sizeof(*rows));
    if (!rows)
        abort();
    *ret = rows;
    for (const char *at = run->out; at < run->out + run->out_size; at += strlen(at) + 1) {
        if (!at[0] || at[1] != ' ')
            return -1;
        rows[count++] = (struct row){ at[0], !strcmp(at + 2, ".") ? "" : at + 2 };
    }
    qsort(rows, count, sizeof(*rows), by_row_path);
    return (ssize_t)count;
}

static bool path_agrees(struct model *model, const struct run *run, const struct row *rows, size_t count, const struct listing *a,
                        const struct listing *b, const char *path, const char *what) {
    bool may_miss;
    char want = model_letter(a, b, path, &may_miss);
    const struct row *row = count ? bsearch(&(struct row){ 0, path }, rows, count, sizeof(*rows), by_row_path) : NULL;
    char have = row ? row->letter : 0;
    model->checks++;
    if (have == want || (may_miss && !have))
        return true;
    return model_fail(model, run, "%s: %s is shown as '%c', should be '%c'", what, path, have ? have : '-', want ? want : '-');
}

bool model_rows_agree(struct model *model, const struct run *run, const struct listing *a, const struct listing *b, const char *what) {
    _free_ struct row *rows = NULL;
    ssize_t count = split_rows(run, &rows);
    if (run->code > 1 || count < 0)
        return model_fail(model, run, "%s does not give rows", what);
    for (size_t i = 0; i < a->count; i++) {
        if (!path_agrees(model, run, rows, (size_t)count, a, b, a->nodes[i].path, what))
            return false;
    }
    for (size_t i = 0; i < b->count; i++) {
        if (!path_agrees(model, run, rows, (size_t)count, a, b, b->nodes[i].path, what))
            return false;
    }
    for (size_t i = 0; i < (size_t)count; i++) {
        if (!path_agrees(model, run, rows, (size_t)count, a, b, rows[i].path, what) || (i && !strcmp(rows[i - 1].path, rows[i].path)))
            return model_fail(model, run, "%s: a row for what neither side has, or twice", what);
    }
    return true;
}

/* Listings as JSON. */

static int digit(char letter) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = letter ? strchr(digits, letter) : NULL;
    return at ? (int)(at - digits) : -1;
}

static char *decode_base64(const char *text) {
    size_t size = 0;
    char *bytes = calloc(strlen(text) + 1, 1);
    unsigned bits = 0, have = 0;
    for (; bytes && digit(*text) >= 0; text++) {
        bits = bits << 6 | (unsigned)digit(*text);
        have += 6;
        if (have >= 8)
            bytes[size++] = (char)(bits >> (have -= 8));
    }
    return bytes;
}

static char *json_bytes_of(struct json_object *object, const char *key) {
    struct json_object *value;
    _free_ char *encoded = NULL;
    if (json_object_object_get_ex(object, key, &value))
        return strdup(json_object_get_string(value));
    if (asprintf(&encoded, "%s_b64", key) < 0 || !json_object_object_get_ex(object, encoded, &value))
        return NULL;
    return decode_base64(json_object_get_string(value));
}

static int64_t json_number_of(struct json_object *object, const char *key) {
    struct json_object *value;
    return json_object_object_get_ex(object, key, &value) ? json_object_get_int64(value) : -1;
}

static const char *type_word(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return "directory";
    case S_IFLNK: return "symlink";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFBLK: return "block";
    case S_IFCHR: return "character";
    default: return "file";
    }
}

static bool entry_agrees(struct json_object *object, const struct node *node) {
    struct json_object *type;
    _free_ char *target = json_bytes_of(object, "target");
    if (!json_object_object_get_ex(object, "type", &type) || strcmp(json_object_get_string(type), type_word(node->mode)) != 0)
        return false;
    if (json_number_of(object, "mode") != (int64_t)(node->mode & 07777) || json_number_of(object, "uid") != node->uid
        || json_number_of(object, "gid") != node->gid || json_number_of(object, "size") != (int64_t)node->size)
        return false;
    if (S_ISLNK(node->mode))
        return target && !strcmp(target, node->target);
    return !node->rdev || (json_number_of(object, "rdev_major") == major(node->rdev) && json_number_of(object, "rdev_minor") == minor(node->rdev));
}

/* 1 = an entry that agrees, 0 = another message, -1 = an entry that does not agree. */
static int line_agrees(const char *line, const struct listing *want) {
    struct json_object *object = json_tokener_parse(line), *type;
    int result = -1;
    if (object && json_object_object_get_ex(object, "message_type", &type)) {
        _free_ char *path = json_bytes_of(object, "path");
        if (strcmp(json_object_get_string(type), "entry") != 0)
            result = 0;
        else if (path) {
            const struct node *node = listing_find(want, path);
            result = node && entry_agrees(object, node) ? 1 : -1;
        }
    }
    json_object_put(object);
    return result;
}

bool model_list_agrees(struct model *model, const struct run *run, const struct listing *want, const char *what) {
    size_t entries = 0;
    if (run->code)
        return model_fail(model, run, "%s fails", what);
    char *rest = run->out;
    for (char *line; (line = strsep(&rest, "\n"));) {
        int result = *line ? line_agrees(line, want) : 0;
        if (result < 0)
            return model_fail(model, NULL, "%s: this is not what was there: %s", what, line);
        entries += (size_t)result;
    }
    model->checks++;
    /* the root itself is not in the list of what is in it */
    if (entries != want->count - 1)
        return model_fail(model, NULL, "%s lists %zu entries, there were %zu", what, entries, want->count - 1);
    return true;
}
