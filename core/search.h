/* Which project is meant, and where its store lies: the directory, the registry, or a store named explicitly.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "registry.h"
#include "store.h"

struct search {
    const struct snap_env *env;           /* borrowed */
    char *dir;                            /* env->dir, absolute, without symlinks */
    char *identity;                       /* of dir */
    char *store;                          /* env->store, absolute; NULL = not given */
    char *state;                          /* directory of our registry; NULL = we have none */
    uid_t owner;                          /* of dir */
    unsigned flags;                       /* enum snap_open: with DAMAGED also a store whose database cannot be used */
};
void search_done(struct search *search);
#define _search_ _cleanup_(search_done)
int search_begin(const struct snap_env *env, unsigned flags, struct search *ret, struct snap_err *err);
/* store_open, or store_open_damaged if that is wanted. */
int search_open_store(unsigned flags, const char *path, struct store **ret, struct snap_err *err);

struct located {
    enum registry_found how;
    char *root;                           /* the project as we reach it; NULL = none */
    struct registration row;              /* with an explicit store: what its facts say, also where nothing matches */
    struct store *store;                  /* open already, or NULL */
    bool covered;                         /* something is mounted on root, and `below` is the directory itself; borrowed */
    int below;
};
void located_done(struct located *found);
#define _located_ _cleanup_(located_done)

/* The innermost project at or above dir, or only dir itself. ret->how says what was found; fails where the project is
 * another user's. */
int search_up(const struct search *search, struct located *ret, struct snap_err *err);
int search_here(const struct search *search, struct located *ret, struct snap_err *err);
/* The project of the explicit store, whose directory is `below`; dir is its root. */
int search_covered(const struct search *search, int below, struct located *ret, struct snap_err *err);
/* Nothing was found, or not the directory that it was: the failure to return. */
int search_failed(const struct search *search, const struct located *found, struct snap_err *err);
/* True: `path` is `root` or lies below it, as text; *ret is what follows, "" for the root itself. */
bool search_below(const char *root, const char *path, const char **ret);
/* "alice", or "#1000" where there is no name. */
void search_user_name(uid_t uid, char *name, size_t room);

/* Making projects (init.c). */

/* Makes dir a project: chooses and makes a store, registers it. 0 = somebody else was faster and it is found, 1 = made.
 * `flags`: enum snap_init; `implied`: no `init` was asked for. The store comes open, and locked if 1. */
int init_make(const struct search *search, unsigned flags, bool implied, struct located *ret, struct snap_err *err);
/* Gives the found store to dir, which replaced the directory that it belonged to. */
int init_adopt(const struct search *search, struct located *found, struct snap_err *err);
/* The project was moved to found->root: store and registry follow. Needs the store's lock. */
int init_follow(const struct search *search, struct located *found, struct snap_err *err);
/* The store of a row; one that is missing is a failure that says what to do. */
int init_open_store(unsigned flags, const struct registration *row, struct store **ret, struct snap_err *err);
