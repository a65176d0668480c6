/* Fields of a tar header: numbers in octal or binary, and the checksum over all of it.
 * Knows no member. Sources: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format".
 * SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive_read_field.h"
#include "archive_read_tar.h"
#include <errno.h>
#include <string.h>

enum { CHECKSUM = 148, CHECKSUM_SIZE = 8 };

/* Octal between spaces, ended by a space, a NUL or the field. */
static int octal(const uint8_t *at, size_t size, uint64_t *ret) {
    uint64_t value = 0;
    size_t i = 0;
    while (i < size && at[i] == ' ')
        i++;
    for (; i < size && at[i] >= '0' && at[i] <= '7'; i++) {
        if (value >> 61)
            return -EINVAL;
        value = value << 3 | (uint64_t)(at[i] - '0');
    }
    for (; i < size; i++)
        if (at[i] != ' ' && at[i] != '\0')
            return -EINVAL;
    *ret = value;
    return 0;
}

/* GNU's way of large numbers: a set top bit, then two's complement, the highest byte first. */
static int binary(const uint8_t *at, size_t size, int64_t *ret) {
    bool negative = at[0] & 0x40;
    uint64_t value = negative ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = i ? at[i] : (uint8_t)((at[0] & 0x3f) | (negative ? 0xc0 : 0));
        if (size - i > 8 && byte != (negative ? 0xff : 0))
            return -EINVAL;
        value = value << 8 | byte;
    }
    *ret = (int64_t)value;
    return (*ret < 0) == negative ? 0 : -EINVAL;
}

int field_signed(const uint8_t *at, size_t size, int64_t *ret) {
    uint64_t value;
    if (*at & 0x80)
        return binary(at, size, ret);
    if (octal(at, size, &value) < 0 || value > INT64_MAX)
        return -EINVAL;
    *ret = (int64_t)value;
    return 0;
}

int field_number(const uint8_t *at, size_t size, uint64_t *ret) {
    int64_t value;
    if (field_signed(at, size, &value) < 0 || value < 0)
        return -EINVAL;
    *ret = (uint64_t)value;
    return 0;
}

/* The checksum is the sum of all bytes with its own field as spaces; old writers summed signed ones. */
bool untar_is_header(const void *block) {
    const uint8_t *at = block;
    uint64_t said;
    int64_t sum = 0, signed_sum = 0;
    for (size_t i = 0; i < UNTAR_BLOCK; i++) {
        uint8_t byte = i >= CHECKSUM && i < CHECKSUM + CHECKSUM_SIZE ? ' ' : at[i];
        sum += byte;
        signed_sum += (int8_t)byte;
    }
    return at[CHECKSUM] && octal(at + CHECKSUM, CHECKSUM_SIZE, &said) == 0 && ((int64_t)said == sum || (int64_t)said == signed_sum);
}

bool field_is_zero(const uint8_t *block, size_t size) {
    return block[0] == 0 && memcmp(block, block + 1, size - 1) == 0;
}
