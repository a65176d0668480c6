/* OCI image layouts, read: the layers of an image, one over the other, as one tree. The input is hostile: what is named by a
 * digest is believed only after it was found to have it. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "import_tree.h"

struct import_oci {
    int dir;                              /* the layout's directory; -1: */
    const struct import_tree *layout;     /* it came out of an archive */
    struct import_tree *into;
    struct inflow_limits limits;          /* of all layers together */
};
/* It looks like the directory of a layout. */
bool import_oci_is_layout(const struct import_tree *tree);
int import_oci_read(struct import_oci *oci, struct snap_err *err);
