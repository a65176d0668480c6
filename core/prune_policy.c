/* The rules of prune, as restic has them: the newest snapshot of each of the last so many hours, days, weeks, months, years
 * in which there are any. Reads no clock: ages count from the newest snapshot. SPDX-License-Identifier: GPL-2.0-or-later */
#include "prune.h"

#include "cleanup.h"

#include <limits.h>
#include <string.h>
#include <time.h>

bool prune_is_empty(const struct snap_prune_options *options) {
    static const struct snap_prune_options nothing;
    struct snap_prune_options asked = *options;
    asked.dry_run = false;
    return memcmp(&asked, &nothing, sizeof(asked)) == 0;
}

/* The hour, day, week, month or year, in local time, in which something was made: a number that grows with time. */
enum period { HOUR, DAY, WEEK, MONTH, YEAR, PERIODS };
static const char *const reasons[PERIODS] = { "hourly", "daily", "weekly", "monthly", "yearly" };

static int64_t period_of(enum period period, int64_t created) {
    time_t time = (time_t)created;
    struct tm at;
    char week[16];
    if (!localtime_r(&time, &at))
        return created;
    switch (period) {
    case HOUR: return ((int64_t)at.tm_year * 366 + at.tm_yday) * 24 + at.tm_hour;
    case DAY: return (int64_t)at.tm_year * 366 + at.tm_yday;
    case WEEK: return strftime(week, sizeof(week), "%G%V", &at) ? strtoll(week, NULL, 10) : created;
    case MONTH: return (int64_t)at.tm_year * 12 + at.tm_mon;
    case YEAR:
    case PERIODS:
    default: return at.tm_year;
    }
}

static void keep(struct prune_item *item, const char *reason) {
    if (!item->reason)
        item->reason = reason;
}

/* The oldest is kept as well while fewer periods were met than asked for: there is nothing older that could stand for it. */
static void keep_periods(enum period period, uint64_t wanted, struct prune_item *items, size_t count) {
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < count && wanted > 0; i++) {
        int64_t now = period_of(period, items[i].created);
        if (now == last && i + 1 < count)
            continue;
        keep(&items[i], now == last ? "oldest" : reasons[period]);
        last = now;
        wanted--;
    }
}

void prune_decide(const struct snap_prune_options *options, struct prune_item *items, size_t count) {
    const uint64_t periods[PERIODS] = { options->hourly, options->daily, options->weekly, options->monthly, options->yearly };
    for (size_t i = 0; i < count; i++)
        items[i].reason = NULL;
    for (size_t i = 0; i < count && i < options->last; i++)
        keep(&items[i], "last");
    for (size_t i = 0; i < count && options->within; i++)
        if (items[i].created >= items[0].created - options->within)
            keep(&items[i], "within");
    for (int i = 0; i < PERIODS; i++)
        keep_periods((enum period)i, periods[i], items, count);
    for (size_t i = 0; i < count && options->size; i++)
        if (i == 0 || items[i].held <= options->size)
            keep(&items[i], "size");
    for (size_t i = 0; i < count; i++)
        if (options->tagged && items[i].named)
            keep(&items[i], "tag");
}
