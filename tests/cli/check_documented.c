/* What the cases print as JSON, and what snapctl-json(5) says of it, are the same: every type and member printed is documented,
 * and every type and member documented is printed by some case. Reads the cases' expected output, which holds everywhere,
 * whoever runs them. Runs no command. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * usage: check_documented MANUAL OUTPUT... */
#include "buf.h"
#include "cleanup.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* How the manual is written. A section `.Ss a, b` has these message types; `.It Va c , d` are members of them. A line that ends
 * in "members of" or "members as in" stands before the name of another section, whose members these have too; below an `.It`,
 * it speaks of the members of that member, which is an object; so does one that ends in "with", of those that are named after it. */
struct member { char name[64]; char inside[64], own[8][64]; size_t own_count; bool printed; };
struct section { char types[8][64]; bool printed[8]; struct member members[32]; char also[4][64]; size_t count, member_count, also_count; };

static struct section sections[96];
static size_t section_count;
static unsigned passed, failed;

static void check(bool right, const char *what, const char *type, const char *member, const char *where) {
    passed += right;
    failed += !right;
    if (!right)
        printf("failed: %s: %s%s%s (%s)\n", what, type, member[0] ? "." : "", member, where);
}

/* The manual. */

static void copy_name(char name[static 64], const char *from, size_t size) {
    snprintf(name, 64, "%.*s", (int)size, from);
}

/* The words of a macro's line, without the commas between them: `.It Va a , b`. */
static size_t split(char *line, const char *separators, char *words[], size_t room) {
    size_t count = 0;
    for (char *rest = NULL, *word = strtok_r(line, separators, &rest); word && count < room; word = strtok_r(NULL, separators, &rest)) {
        while (isspace((unsigned char)*word))
            word++;
        size_t size = strlen(word);
        while (size && isspace((unsigned char)word[size - 1]))
            word[--size] = '\0';
        if (size)
            words[count++] = word;
    }
    return count;
}

static void begin_section(char *names) {
    char *words[8];
    struct section *section = &sections[section_count++];
    section->count = split(names, ",", words, ELEMENTS(words));
    for (size_t i = 0; i < section->count; i++)
        copy_name(section->types[i], words[i], strlen(words[i]));
}

static size_t add_members(struct section *section, char *names) {
    char *words[16];
    size_t count = split(names, " ,", words, ELEMENTS(words));
    for (size_t i = 0; i < count; i++)
        copy_name(section->members[section->member_count++].name, words[i], strlen(words[i]));
    return count;
}

/* What `.Va name` or `.Ql name .` names. */
static void add_other(struct section *section, size_t members, const char *line) {
    const char *name = line + strcspn(line, " ");
    name += strspn(name, " ");
    size_t size = strcspn(name, " \n");
    if (!members && section->also_count < ELEMENTS(section->also))
        copy_name(section->also[section->also_count++], name, size);
    for (size_t i = section->member_count - members; i < section->member_count; i++)
        copy_name(section->members[i].inside, name, size);
}

/* `.Va a ,`, `and`, `.Va b`: members of the objects that the items before are. Returns whether more may come. */
static bool add_own(struct section *section, size_t members, const char *line) {
    const char *name = line + 4;
    if (strncmp(line, ".Va ", 4) != 0)
        return strcmp(line, "and\n") == 0;
    for (size_t i = section->member_count - members; i < section->member_count; i++)
        copy_name(section->members[i].own[section->members[i].own_count++], name, strcspn(name, " \n"));
    return true;
}

static bool ends_with(const char *line, const char *end) {
    size_t size = strcspn(line, "\n"), end_size = strlen(end);
    return size >= end_size && strncmp(line + size - end_size, end, end_size) == 0;
}

static void read_manual(FILE *manual) {
    _free_ char *line = NULL;
    size_t room = 0, members = 0;          /* members: of the item in which we are */
    bool other = false, own = false;
    while (getline(&line, &room, manual) > 0) {
        struct section *section = section_count ? &sections[section_count - 1] : NULL;
        if (other && section && line[0] == '.')
            add_other(section, members, line);
        other = ends_with(line, "members of") || ends_with(line, "members as in");
        own = members && (own ? add_own(section, members, line) : ends_with(line, " with"));
        if (strncmp(line, ".Ss ", 4) == 0) {
            begin_section(line + 4);
            members = 0;
        } else if (section && strncmp(line, ".It Va ", 7) == 0) {
            members = add_members(section, line + 7);
        } else if (strncmp(line, ".El", 3) == 0) {
            members = 0;
        }
    }
}

static struct section *section_of(const char *type, size_t *ret) {
    for (size_t i = 0; i < section_count; i++)
        for (size_t k = 0; k < sections[i].count; k++)
            if (strcmp(sections[i].types[k], type) == 0) {
                *ret = k;
                return &sections[i];
            }
    return NULL;
}

static bool is_own(const struct member *member, const char *name) {
    for (size_t i = 0; i < member->own_count; i++)
        if (strcmp(member->own[i], name) == 0)
            return true;
    return false;
}

static struct member *own_member(struct section *section, const char *name) {
    for (size_t i = 0; i < section->member_count; i++)
        if (strcmp(section->members[i].name, name) == 0)
            return &section->members[i];
    return NULL;
}

/* In the section or one whose members it has too. *ret_own: in the section itself. */
static struct member *member_of(struct section *section, const char *name, bool *ret_own) {
    struct member *member = own_member(section, name);
    *ret_own = member;
    for (size_t i = 0, k; !member && i < section->also_count; i++) {
        struct section *other = section_of(section->also[i], &k);
        check(other, "the manual speaks of a section that it has not", section->also[i], "", section->types[0]);
        member = other ? own_member(other, name) : NULL;
    }
    return member;
}

/* The output. */

static void check_members(struct section *section, const char *type, json_object *object, bool whole, const char *where);

/* An object, or an array of them. */
static void check_inside(const struct member *member, json_object *value, const char *where) {
    size_t k, count = json_object_is_type(value, json_type_array) ? json_object_array_length(value) : 0;
    for (size_t i = 0; i < count; i++)
        check_inside(member, json_object_array_get_idx(value, i), where);
    if (!json_object_is_type(value, json_type_object))
        return;
    if (member->own_count) {
        json_object_object_foreach(value, key, ignored) {
            (void)ignored;
            check(is_own(member, key), "not documented", member->name, key, where);
        }
        return;
    }
    struct section *inside = section_of(member->inside, &k);
    check(inside, "an object's members are not documented", member->name, "", where);
    if (inside)
        check_members(inside, member->inside, value, false, where);
}

static void check_member(struct section *section, const char *type, const char *key, json_object *value, bool whole, const char *where) {
    char name[64];
    size_t size = strlen(key);
    copy_name(name, key, size > 4 && strcmp(key + size - 4, "_b64") == 0 ? size - 4 : size);
    bool own;
    struct member *member = member_of(section, name, &own);
    check(member, "not documented", type, name, where);
    if (!member)
        return;
    if (whole && own)
        member->printed = true;
    check_inside(member, value, where);
}

static void check_members(struct section *section, const char *type, json_object *object, bool whole, const char *where) {
    json_object_object_foreach(object, key, value) {
        if (whole && strcmp(key, "message_type") == 0)
            continue;
        /* run.sh makes this of both, since file systems differ in which it is */
        bool either = strcmp(key, "stored") == 0 && !own_member(section, key);
        check_member(section, type, either ? "reflinked" : key, value, whole, where);
        if (either)
            check_member(section, type, "copied", value, whole, where);
    }
}

/* Bare words, which run.sh and the cases put where machines differ, become null. */
static void add_valid(struct buf *out, const char *line) {
    bool text = false;
    for (; *line && *line != '\n'; line++) {
        text ^= *line == '"';
        if (text && *line == '\\' && line[1])
            buf_char(out, *line++);
        buf_char(out, *line);
        if (!text && *line == ':' && isupper((unsigned char)line[1])) {
            buf_str(out, "null");
            line += strspn(line + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        }
    }
}

static void check_line(const char *line, const char *where) {
    _buf_ struct buf valid = {0};
    add_valid(&valid, line);
    json_object *object = valid.failed ? NULL : json_tokener_parse(valid.data);
    json_object *type_value;
    const char *type = json_object_object_get_ex(object, "message_type", &type_value) ? json_object_get_string(type_value) : NULL;
    check(type, "this is no object", line, "", where);
    size_t k = 0;
    struct section *section = type ? section_of(type, &k) : NULL;
    if (type)
        check(section, "not documented", type, "", where);
    if (section) {
        section->printed[k] = true;
        check_members(section, type, object, true, where);
    }
    json_object_put(object);
}

static int check_output(const char *path) {
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    const char *name = strrchr(path, '/');
    _free_ char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0)
        if (strncmp(line, "{\"message_type\":", 16) == 0)
            check_line(line, name ? name + 1 : path);
    bool bad = ferror(file);
    return fclose(file) == 0 && !bad ? 0 : -1;
}

static void check_all_printed(void) {
    for (const struct section *section = sections; section < sections + section_count; section++) {
        for (size_t i = 0; i < section->count; i++)
            check(section->printed[i], "no case prints", section->types[i], "", "snapctl-json(5)");
        for (size_t i = 0; i < section->member_count; i++)
            check(section->members[i].printed, "no case prints", section->types[0], section->members[i].name, "snapctl-json(5)");
    }
}

int main(int argc, char **argv) {
    FILE *manual = argc > 2 ? fopen(argv[1], "re") : NULL;
    if (!manual) {
        fprintf(stderr, "usage: check_documented MANUAL OUTPUT...\n");
        return 2;
    }
    read_manual(manual);
    if (fclose(manual) != 0 || !section_count)
        return 2;
    for (int i = 2; i < argc; i++)
        if (check_output(argv[i]) < 0) {
            perror(argv[i]);
            return 2;
        }
    check_all_printed();
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed ? 1 : 0;
}
