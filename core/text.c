/* Comparing texts: line by line, and by how much they share.
 * Knows no files, no paths and no patch headers. SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include "gitlib.h"
#include <limits.h>
#include <string.h>

#define BINARY_LOOK 8000
#define SPAN 64                /* bytes of a line that are one piece at most, as git counts them */

bool text_is_binary(const char *data, size_t size) {
    return size && memchr(data, '\0', MIN(size, (size_t)BINARY_LOOK));
}

/* Hunks. */

struct patch { const struct git2 *git; git_patch *at; };

static void patch_done(struct patch *patch) {
    if (patch->at)
        patch->git->patch_free(patch->at);
}

/* A line that lacks its newline is followed by one that says so, without a sign of its own. */
static void add_line(struct buf *out, const git_diff_line *line) {
    if (line->origin == GIT_DIFF_LINE_CONTEXT || line->origin == GIT_DIFF_LINE_ADDITION || line->origin == GIT_DIFF_LINE_DELETION)
        buf_char(out, line->origin);
    buf_add(out, line->content, line->content_len);
}

static int add_hunk(const struct patch *patch, size_t index, struct buf *out) {
    const git_diff_hunk *hunk;
    size_t lines;
    int r = patch->git->patch_get_hunk(&hunk, &lines, patch->at, index);
    if (r < 0)
        return r;
    buf_add(out, hunk->header, hunk->header_len);
    for (size_t i = 0; i < lines; i++) {
        const git_diff_line *line;
        r = patch->git->patch_get_line_in_hunk(&line, patch->at, index, i);
        if (r < 0)
            return r;
        add_line(out, line);
    }
    return 0;
}

static int add_hunks(const struct patch *patch, struct buf *out) {
    size_t count = patch->git->patch_num_hunks(patch->at);
    for (size_t i = 0; i < count; i++) {
        int r = add_hunk(patch, i, out);
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_patch(struct patch *patch, struct text_side old, struct text_side new) {
    git_diff_options options;
    int r = patch->git->diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
    if (r < 0)
        return r;
    options.flags = GIT_DIFF_FORCE_TEXT | GIT_DIFF_INDENT_HEURISTIC;
    return patch->git->patch_from_buffers(&patch->at, old.data ? old.data : "", old.size, NULL,
                                          new.data ? new.data : "", new.size, NULL, &options);
}

int text_diff(struct text_side old, struct text_side new, struct buf *out, struct text_counts *ret, struct snap_err *err) {
    _cleanup_(patch_done) struct patch patch = {0};
    struct text_counts counts = { .binary = text_is_binary(old.data, old.size) || text_is_binary(new.data, new.size) };
    size_t added = 0, deleted = 0;
    if (counts.binary) {
        *ret = counts;
        return 0;
    }
    int r = git2_load(&patch.git, err);
    if (r < 0)
        return r;
    r = make_patch(&patch, old, new);
    if (r >= 0)
        r = patch.git->patch_line_stats(NULL, &added, &deleted, patch.at);
    if (r >= 0 && out)
        r = add_hunks(&patch, out);
    if (r < 0)
        return git2_error(patch.git, r, err, "compare texts");
    if (out && out->failed)
        return err_nomem(err);
    counts.added = added;
    counts.deleted = deleted;
    *ret = counts;
    return 0;
}

/* Merging. */

static git_merge_file_input merge_input(struct text_side side) {
    git_merge_file_input input = GIT_MERGE_FILE_INPUT_INIT;
    input.ptr = side.data ? side.data : "";
    input.size = side.size;
    return input;
}

int text_merge(struct text_side base, struct text_side ours, struct text_side theirs, struct buf *ret, struct snap_err *err) {
    const struct git2 *git;
    git_merge_file_result result = {0};
    if (text_is_binary(base.data, base.size) || text_is_binary(ours.data, ours.size) || text_is_binary(theirs.data, theirs.size))
        return 0;
    int r = git2_load(&git, err);
    if (r < 0)
        return r;
    git_merge_file_input old = merge_input(base), left = merge_input(ours), right = merge_input(theirs);
    r = git->merge_file(&result, &old, &left, &right, NULL);
    if (r < 0)
        return git2_error(git, r, err, "merge texts");
    bool merged = result.automergeable;
    if (merged)
        buf_add(ret, result.ptr, result.len);
    git->merge_file_result_free(&result);
    return ret->failed ? err_nomem(err) : merged;
}

int text_hash(struct text_side text, struct text_hash *ret, struct snap_err *err) {
    const struct git2 *git;
    git_oid oid;
    int r = git2_load(&git, err);
    if (r < 0)
        return r;
    r = git->odb_hash(&oid, text.data ? text.data : "", text.size, GIT_OBJECT_BLOB);
    if (r < 0)
        return git2_error(git, r, err, "name a file's content as git does");
    _Static_assert(sizeof(oid.id) >= sizeof(ret->bytes), "a SHA-1");
    memcpy(ret->bytes, oid.id, sizeof(ret->bytes));
    return 0;
}

/* Similarity: which share of the larger text consists of pieces that the other has too. */

struct piece { uint32_t hash, bytes; };
struct text_print {
    size_t size, count;
    struct piece pieces[];     /* sorted by hash, equal ones added up */
};

struct text_print *text_print_free(struct text_print *print) {
    free(print);
    return NULL;
}

static size_t piece_end(const char *data, size_t at, size_t size) {
    size_t limit = MIN(size - at, (size_t)SPAN);
    const char *newline = memchr(data + at, '\n', limit);
    return newline ? (size_t)(newline - data) + 1 : at + limit;
}

static uint32_t hash_piece(const char *data, size_t size) {
    uint32_t hash = 2166136261u;           /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)data[i]) * 16777619u;
    return hash;
}

static int by_hash(const void *a, const void *b) {
    uint32_t x = ((const struct piece *)a)->hash, y = ((const struct piece *)b)->hash;
    return x < y ? -1 : x > y;
}

static size_t add_up(struct piece *pieces, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept && pieces[kept - 1].hash == pieces[i].hash)
            pieces[kept - 1].bytes += pieces[i].bytes;
        else
            pieces[kept++] = pieces[i];
    }
    return kept;
}

static size_t count_pieces(struct text_side text) {
    size_t count = 0;
    for (size_t at = 0; at < text.size; at = piece_end(text.data, at, text.size))
        count++;
    return count;
}

int text_print_new(struct text_side text, struct text_print **ret, struct snap_err *err) {
    if (text_is_binary(text.data, text.size) || text.size > UINT32_MAX)
        return err_set(err, -ENOTSUP, "binary content is not compared by likeness");
    size_t count = count_pieces(text);
    struct text_print *print = malloc(sizeof(*print) + count * sizeof(*print->pieces));
    if (!print)
        return err_nomem(err);
    print->size = text.size;
    size_t i = 0;
    for (size_t at = 0, next; at < text.size; at = next) {
        next = piece_end(text.data, at, text.size);
        print->pieces[i++] = (struct piece){ hash_piece(text.data + at, next - at), (uint32_t)(next - at) };
    }
    qsort(print->pieces, count, sizeof(*print->pieces), by_hash);
    print->count = add_up(print->pieces, count);
    struct text_print *small = realloc(print, sizeof(*print) + print->count * sizeof(*print->pieces));
    *ret = small ? small : print;
    return 0;
}

unsigned text_print_similarity(const struct text_print *a, const struct text_print *b) {
    size_t i = 0, j = 0;
    uint64_t common = 0, larger = MAX(a->size, b->size);
    if (larger == 0)
        return 100;
    while (i < a->count && j < b->count) {
        const struct piece *left = &a->pieces[i], *right = &b->pieces[j];
        if (left->hash == right->hash)
            common += MIN(left->bytes, right->bytes);
        i += left->hash <= right->hash;
        j += right->hash <= left->hash;
    }
    return (unsigned)(common * 100 / larger);
}
