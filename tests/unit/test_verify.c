/* Verifying and repairing: what layers say of themselves is what takes wrote.
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"

#include "check.h"
#include "facts.h"
#include "rebuild.h"
#include "renew.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct store *store_of(struct scratch *scratch) { return scratch->project->store; }

static void take(struct scratch *scratch, const char *name) {
    struct snap_err err = {0};
    struct snap_take_result result = {0};
    struct snap_take_options options = { .name = name, .message = "why" };
    if (snap_take(scratch->project, &options, &result, &err) < 0)
        fail_msg("%s", err.message);
}

static void tag(struct scratch *scratch, const char *spec, const char *name) {
    struct snap_err err = {0};
    if (snap_tag(scratch->project, spec, name, NULL, &err) < 0)
        fail_msg("%s", err.message);
}

/* Directories that move and go, hard links, files that come back, names that are given later. */
static void make_history(struct scratch *scratch) {
    scratch_run(scratch, "mkdir -p a/b/c x; echo 1 >a/f; ln a/f a/b/g; echo 2 >a/b/c/h; ln -s f a/l; mkfifo x/p; touch x/empty");
    take(scratch, "first");
    scratch_run(scratch, "mv a/b x/moved; echo 3 >x/moved/c/h; rm a/l; chmod 700 x");
    take(scratch, NULL);
    scratch_run(scratch, "rm -r x; mkdir x; echo 1 >x/f; mv a y");
    take(scratch, NULL);
    scratch_run(scratch, "rm -r y x; mkdir a; echo 1 >a/f");
    take(scratch, NULL);
    tag(scratch, "2", "second");
    tag(scratch, "1", "");
}

static int print(void *data, const struct damage *damage) {
    print_message("%s: %s\n", damage->file ? damage->file : "", damage->text);
    ++*(unsigned *)data;
    return 0;
}

static unsigned differences(struct store *store) {
    struct snap_err err = {0};
    struct store *apart = NULL;
    struct rebuilt rebuilt = {0};
    unsigned count = 0;
    if (store_open_apart(store, &apart, &err) < 0 || rebuild_index(store, apart, INT64_MAX, NULL, &rebuilt, &err) < 0 ||
        check_index(store, apart, print, &count, &err) < 0)
        fail_msg("%s", err.message);
    store_close(apart);
    return count;
}

static void the_layers_alone_say_what_the_index_says(void **state) {
    struct scratch *scratch = *state;
    make_history(scratch);
    assert_int_equal(differences(store_of(scratch)), 0);
}

static void a_name_that_is_not_beside_the_layer_is_a_difference(void **state) {
    struct scratch *scratch = *state;
    make_history(scratch);
    assert_int_equal(unlinkat(store_layers_fd(store_of(scratch)), "2/facts", 0), 0);
    assert_int_equal(differences(store_of(scratch)), 2);
}

static void facts_say_what_changed_since(void **state) {
    struct scratch *scratch = *state;
    make_history(scratch);
    _facts_ struct facts facts = {0};
    struct snap_err err = {0};
    assert_int_equal(facts_read(store_of(scratch), 2, &facts, &err), 1);
    assert_true(facts.has_snapshot);
    assert_string_equal(facts.name, "second");
    facts_done(&facts);
    assert_int_equal(facts_read(store_of(scratch), 1, &facts, &err), 1);
    assert_null(facts.name);
    assert_int_equal(facts_read(store_of(scratch), 3, &facts, &err), 0);
}

/* The next command writes what was remembered. */
static void facts_that_were_not_written_are_pending(void **state) {
    struct scratch *scratch = *state;
    struct store *store = store_of(scratch);
    struct snap_err err = {0};
    make_history(scratch);
    assert_int_equal(facts_pending(store, &err), 0);
    assert_int_equal(store_begin(store, &err), 0);
    assert_int_equal(index_change_snapshot(store, 3, "third", 0, 0, &err), 0);
    assert_int_equal(store_commit(store, true, &err), 0);
    assert_int_equal(facts_pending(store, &err), 1);
    assert_int_equal(store_recovery_needed(store, &err), 1);
    assert_int_equal(store_recover(store, NULL, NULL, &err), 0);
    assert_int_equal(facts_pending(store, &err), 0);
    assert_int_equal(differences(store), 0);
}

static void a_manifest_from_the_index_is_the_one_that_was_written(void **state) {
    struct scratch *scratch = *state;
    struct snap_err err = {0};
    make_history(scratch);
    tag(scratch, "1", "first");
    tag(scratch, "2", "");
    for (int64_t number = 1; number <= 4; number++) {
        _buf_ struct buf made = {0}, written = {0};
        char path[32];
        snprintf(path, sizeof(path), "%lld/manifest", (long long)number);
        assert_int_equal(manifest_from_index(store_of(scratch), number, &made, &err), 1);
        _close_ int fd = openat(store_layers_fd(store_of(scratch)), path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(fs_read_all(fd, 1 << 20, &written), 0);
        if (made.size != written.size || memcmp(made.data, written.data, made.size) != 0)
            fail_msg("snapshot %lld:\n%s\n--- is not\n%s", (long long)number, made.data, written.data);
    }
}

static void a_new_database_knows_what_the_old_one_knew(void **state) {
    struct scratch *scratch = *state;
    struct store *store = store_of(scratch), *apart = NULL;
    struct snap_err err = {0};
    struct rebuilt rebuilt = {0};
    struct renewed renewed = {0};
    _free_ char *parent = NULL;
    make_history(scratch);
    assert_int_equal(store_open_apart(store, &apart, &err), 0);
    assert_int_equal(rebuild_index(store, apart, INT64_MAX, NULL, &rebuilt, &err), 0);
    if (renew_database(store, apart, "/project", "identity", &renewed, &err) < 0)
        fail_msg("%s", err.message);
    store_close(apart);
    assert_false(renewed.operations_lost);
    assert_false(renewed.facts_lost);
    assert_int_equal(renewed.kept, 1);
    assert_int_equal(store_fact(store, "project.parent", &parent, &err), 1);
    assert_string_equal(parent, "4");
    assert_int_equal(differences(store), 0);
    scratch_run(scratch, "echo new >new");
    take(scratch, NULL);
    scratch_expect(scratch, 5, "new", "new\n");
    scratch_expect(scratch, 2, "x/moved/c/h", "3\n");
    assert_int_equal(differences(store), 0);
}

static void content_that_is_lost_stays_lost_in_a_new_index(void **state) {
    struct scratch *scratch = *state;
    struct store *store = store_of(scratch);
    struct snap_err err = {0};
    make_history(scratch);
    _object_ struct object *object = NULL;
    assert_int_equal(index_object(store, scratch_object(scratch, 2, "x/moved/c/h"), &object, &err), 0);
    for (int lost = 1; lost >= 0; lost--) {
        assert_int_equal(store_begin(store, &err), 0);
        assert_int_equal(facts_lose(store, object->content, lost, &err), 0);
        assert_int_equal(store_commit(store, true, &err), 0);
        assert_int_equal(facts_write(store, &err), 0);
        _object_ struct object *now = NULL;
        assert_int_equal(index_object(store, object->id, &now, &err), 0);
        assert_int_equal(now->flags & (OBJECT_LOST | OBJECT_UNREAD), lost ? OBJECT_LOST | OBJECT_UNREAD : 0);
        assert_int_equal(differences(store), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_layers_alone_say_what_the_index_says, scratch_setup_in_memory, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_name_that_is_not_beside_the_layer_is_a_difference, scratch_setup_in_memory, scratch_teardown),
        cmocka_unit_test_setup_teardown(facts_say_what_changed_since, scratch_setup_in_memory, scratch_teardown),
        cmocka_unit_test_setup_teardown(facts_that_were_not_written_are_pending, scratch_setup_in_memory, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_manifest_from_the_index_is_the_one_that_was_written, scratch_setup_in_memory, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_new_database_knows_what_the_old_one_knew, scratch_setup_in_memory, scratch_teardown),
        cmocka_unit_test_setup_teardown(content_that_is_lost_stays_lost_in_a_new_index, scratch_setup_in_memory, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
