/* POSIX ACLs: from the text of archives to the value of the kernel's xattr (linux/posix_acl_xattr.h).
 * Guesses no id: a name that nobody here has makes no entry. SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_read_acl.h"
#include "cleanup.h"
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>

enum { VERSION = 2, USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32, ENTRIES_MAX = 8000, NAME_LIMIT = 256 };
#define NO_ID UINT32_MAX

struct acl_entry { uint16_t tag, permissions; uint32_t id; };
struct acl { struct acl_entry *at; size_t count, room; };

static void acl_done(struct acl *acl) {
    free(acl->at);
}

static bool parse_id(const char *text, size_t size, uint32_t *ret) {
    uint64_t value = 0;
    if (size == 0 || size > 10)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = 10 * value + (uint64_t)(text[i] - '0');
    }
    *ret = (uint32_t)value;
    return value < NO_ID;
}

/* 1 known, 0 not. */
static int ask_system(const char *name, bool group, uint32_t *ret) {
    char space[16 << 10];
    struct passwd user, *found_user = NULL;
    struct group one, *found_group = NULL;
    int r = group ? getgrnam_r(name, &one, space, sizeof(space), &found_group)
        : getpwnam_r(name, &user, space, sizeof(space), &found_user);
    if (r != 0 || (!found_user && !found_group))
        return 0;
    *ret = group ? found_group->gr_gid : found_user->pw_uid;
    return 1;
}

struct field { const char *at; size_t size; };

static bool is_word(const struct field *field, const char *word) {
    return field->size == strlen(word) ? !memcmp(field->at, word, field->size) : field->size == 1 && *field->at == *word;
}

static int parse_permissions(const struct field *field, uint16_t *ret) {
    *ret = 0;
    for (size_t i = 0; i < field->size; i++) {
        const char *which = strchr("xwr", field->at[i]);
        if (field->at[i] != '-' && (!which || !*which))
            return -EINVAL;
        *ret |= field->at[i] == '-' ? 0 : (uint16_t)(1u << (which - "xwr"));
    }
    return field->size ? 0 : -EINVAL;
}

/* 1 = it is somebody, 0 = nobody here. */
static int who(const struct field *name, const struct field *id, bool group, uint32_t *ret, char **ret_unknown) {
    if (parse_id(id->at, id->size, ret) || parse_id(name->at, name->size, ret))
        return 1;
    if (name->size > NAME_LIMIT || id->size)
        return -EINVAL;
    _free_ char *text = strndup(name->at, name->size);
    if (!text)
        return -ENOMEM;
    int r = ask_system(text, group, ret);
    if (r == 0 && !*ret_unknown)
        *ret_unknown = TAKE_PTR(text);
    return r;
}

static size_t split(const char *text, size_t size, struct field fields[static 4]) {
    size_t count = 0;
    const char *end = text + size;
    memset(fields, 0, 4 * sizeof(*fields));
    for (const char *at = text; count < 4; count++) {
        const char *colon = memchr(at, ':', (size_t)(end - at)), *stop = colon ? colon : end;
        fields[count] = (struct field){ at, (size_t)(stop - at) };
        if (!colon)
            return count + 1;
        at = colon + 1;
    }
    return 5;
}

/* "other:r--" is as good as "other::r--". */
static int parse_entry(const char *text, size_t size, struct acl_entry *ret, char **ret_unknown) {
    struct field fields[4];
    size_t count = split(text, size, fields);
    bool user = is_word(&fields[0], "user"), group = is_word(&fields[0], "group");
    bool other = is_word(&fields[0], "other"), mask = is_word(&fields[0], "mask");
    if (count < 2 || count > 4 || !(user || group || other || mask))
        return -EINVAL;
    if (count == 2) {
        fields[2] = fields[1];
        fields[1].size = 0;
    }
    bool named = fields[1].size > 0 || fields[3].size > 0;
    if ((named && !user && !group) || parse_permissions(&fields[2], &ret->permissions) < 0)
        return -EINVAL;
    ret->id = NO_ID;
    ret->tag = user ? (named ? USER : USER_OBJ) : group ? (named ? GROUP : GROUP_OBJ) : mask ? MASK : OTHER;
    return named ? who(&fields[1], &fields[3], group, &ret->id, ret_unknown) : 1;
}

static int by_tag(const void *a, const void *b) {
    const struct acl_entry *left = a, *right = b;
    if (left->tag != right->tag)
        return left->tag < right->tag ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* One of each of the three, a mask where somebody is named, nobody twice: what the kernel accepts. */
static bool is_valid(const struct acl *acl) {
    unsigned tags = 0;
    for (size_t i = 0; i < acl->count; i++) {
        if (i > 0 && acl->at[i].tag == acl->at[i - 1].tag && acl->at[i].id == acl->at[i - 1].id)
            return false;
        tags |= acl->at[i].tag;
    }
    return (tags & (USER_OBJ | GROUP_OBJ | OTHER)) == (USER_OBJ | GROUP_OBJ | OTHER) && (!(tags & (USER | GROUP)) || tags & MASK);
}

static int parse(const char *text, struct acl *acl, char **ret_unknown) {
    for (const char *at = text; *at;) {
        size_t size = strcspn(at, ",\n#");
        struct acl_entry entry;
        int r = size ? parse_entry(at, size, &entry, ret_unknown) : 0;
        if (r < 0)
            return r;
        if (r > 0) {
            if (acl->count == ENTRIES_MAX)
                return -EINVAL;
            if (MAKE_ROOM(acl->at, acl->count, acl->room) < 0)
                return -ENOMEM;
            acl->at[acl->count++] = entry;
        }
        at += size;
        if (*at == '#')
            at += strcspn(at, "\n");
        at += *at != '\0';
    }
    return 0;
}

int acl_from_text(const char *text, uint32_t mode, struct buf *out, char **ret_unknown) {
    _cleanup_(acl_done) struct acl acl = {0};
    _free_ char *unknown = NULL;
    int r = parse(text, &acl, &unknown);
    if (r < 0)
        return r;
    if (unknown) {
        if (!*ret_unknown)
            *ret_unknown = TAKE_PTR(unknown);
        return 0;
    }
    if (acl.count)
        qsort(acl.at, acl.count, sizeof(*acl.at), by_tag);
    if (acl.count == 0 || (mode && acl.count == 3 && is_valid(&acl)))
        return 0;
    if (!is_valid(&acl))
        return -EINVAL;
    buf_u32(out, VERSION);
    for (size_t i = 0; i < acl.count; i++) {
        buf_u16(out, acl.at[i].tag);
        buf_u16(out, acl.at[i].permissions);
        buf_u32(out, acl.at[i].id);
    }
    return out->failed ? out->failed : 1;
}
