/* The model of tests/mount/identity.c: what there is, what it is called, who holds it. Every disagreement ends the program with
 * seed, step and what was done last. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum { OBJECTS = 65536, NAMES = 4096, HELD = 8, NAME_ROOM = 16, PATH_ROOM = 4096 };

struct object {
    uint64_t number;
    mode_t mode;
    unsigned links;            /* names */
    bool alive, dirty;
    char *data;                /* of files and symlinks */
    size_t size;
};
struct name { int dir, object; char name[NAME_ROOM]; };
struct held { int fd, object; bool writing; };

extern struct object objects[OBJECTS];         /* 0: the root */
extern struct name names[NAMES];
extern struct held held[HELD];
extern int object_count, name_count, root;     /* root: a descriptor */
extern unsigned long step;
extern bool looking;                           /* and so does nothing worth telling */

unsigned pick(unsigned below);
void begin(const char *dir, unsigned long long seed);
void open_root(void);
void close_all(void);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
__attribute__((noreturn)) void disagree(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `result` is one of a system call, errno its error. */
void expect(bool success, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));

void read_tree(void);                          /* the model is what is there at first */
int some_name(void);                           /* -1: there is none */
int some_dir(void);
const char *fresh_name(void);
int find_name(int dir, const char *name);
void path_of(int dir, const char *name, char (ret)[PATH_ROOM]);
void name_path(int name, char (ret)[PATH_ROOM]);
bool is_empty(int dir);
bool is_within(int dir, int ancestor);

int new_object(mode_t mode, int dir, const char *name);
void learn_number(int object, const char *path);
void add_name(int dir, const char *name, int object);
void drop_name(int name);
void move_name(int from, int dir, const char *name, int to, bool exchange);
void set_data(int object, const char *data, size_t size);
void append_to(int object, int fd, char (text)[40]);

void same_object(int object, const struct stat *stat, const char *where);
void same_data(int object, const char *path);
void same_content(int object, int fd, const char *where);
void same_listing(int dir, size_t room);
void same_held(const struct held *one);

/* identity_handles.c: file handles of objects; nothing without HANDLES=1. */
void handles_take(void);
void handles_use(void);                        /* writes through one */
void handles_check(void);
