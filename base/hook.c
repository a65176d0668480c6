/* The variable behind the test points.
 * Decides nothing: outside tests it stays NULL. SPDX-License-Identifier: GPL-2.0-or-later */
#include "hook.h"

#include <stddef.h>

hook_fn hook_function = NULL;
