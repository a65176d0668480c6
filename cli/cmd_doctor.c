/* snapctl doctor: what works on this machine, and what to do about the rest.
 * Repairs nothing. SPDX-License-Identifier: GPL-2.0-or-later */
#include "json.h"
#include "project.h"

#include <inttypes.h>

struct checkup { struct call *call; uint64_t ok, limited, missing; };

static const char *result_name(enum snap_check result) {
    switch (result) {
    case SNAP_CHECK_OK: return "ok";
    case SNAP_CHECK_LIMITED: return "limited";
    case SNAP_CHECK_MISSING: return "missing";
    }
    return "missing";
}

static enum paint result_paint(enum snap_check result) {
    if (result == SNAP_CHECK_OK)
        return PAINT_GREEN;
    return result == SNAP_CHECK_LIMITED ? PAINT_YELLOW : PAINT_RED;
}

static void count(struct checkup *checkup, enum snap_check result) {
    checkup->ok += result == SNAP_CHECK_OK;
    checkup->limited += result == SNAP_CHECK_LIMITED;
    checkup->missing += result == SNAP_CHECK_MISSING;
}

static int show_json(struct call *call, const struct snap_finding *finding) {
    json_object *object = json_message("finding");
    json_text(object, "topic", finding->topic);
    json_text(object, "result", result_name(finding->result));
    json_path(object, "text", finding->text);
    json_optional(object, "advice", finding->advice);
    return json_print(&call->out, object);
}

static void show_text(struct out *out, const struct snap_finding *finding) {
    out_paint(out, result_paint(finding->result));
    out_text(out, "%-7s", result_name(finding->result));
    out_paint(out, PAINT_PLAIN);
    out_text(out, "  %-12s  ", finding->topic);
    out_path(out, finding->text);
    out_text(out, "\n");
    if (!finding->advice || !*finding->advice)
        return;
    out_text(out, "%25s", "");
    out_path(out, finding->advice);
    out_text(out, "\n");
}

static int show(void *data, const struct snap_finding *finding) {
    struct checkup *checkup = data;
    count(checkup, finding->result);
    if (checkup->call->globals.json)
        return show_json(checkup->call, finding);
    show_text(&checkup->call->out, finding);
    return out_check(&checkup->call->out);
}

static int run(struct call *call, struct snap_err *err) {
    struct checkup checkup = { .call = call };
    int r = snap_doctor(&call->env, show, &checkup, err);
    if (r < 0 || !call->globals.json)
        return r;
    json_object *object = json_message("doctor");
    json_count(object, "ok", checkup.ok);
    json_count(object, "limited", checkup.limited);
    json_count(object, "missing", checkup.missing);
    return json_print(&call->out, object);
}

const struct cmd cmd_doctor = {
    .name = "doctor", .summary = "Check what works here, and say what to do about the rest", .usage = "", .group = "More",
    .manual = "snapctl-doctor", .run = run,
};
