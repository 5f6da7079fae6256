/* Keys and their order, inline: a merge compares keys several times for each of its entries. */
#ifndef GOMR_KEY_H
#define GOMR_KEY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* In the order of keys: numbers < str < bytes. */
typedef enum { KEY_INT, KEY_STR, KEY_BYTES, KEY_KINDS } KeyKind;

/* A key as bytes whose order is the key's: UTF-8 of a str (lone surrogates as three bytes each), bytes as they are,
   an int of 64 bits big-endian with its sign bit turned over. `prefix` is the first 8 bytes, big-endian. */
typedef struct {
    const char *bytes;
    uint64_t prefix;
    uint32_t length;
    uint8_t kind;
} Key;

static inline uint64_t big_endian(const char *bytes, int count)
{
    uint64_t number = 0;
    for (int i = 0; i < count; i++) /* compilers make one load of this */
        number = number << 8 | (unsigned char)bytes[i];
    return number;
}

/* Returns up to 8 bytes, the first one the most significant. */
static inline uint64_t prefix_of(const char *bytes, size_t length)
{
    if (length >= 8)
        return big_endian(bytes, 8);
    if (length >= 4) /* the first four and the last four, which may overlap */
        return big_endian(bytes, 4) << 32 | big_endian(bytes + length - 4, 4) << (64 - 8 * length);
    uint64_t number = 0;
    for (size_t i = 0; i < length; i++)
        number |= (uint64_t)(unsigned char)bytes[i] << (56 - 8 * i);
    return number;
}

static inline void key_set(Key *key, KeyKind kind, const char *bytes, size_t length)
{
    *key = (Key){.bytes = bytes, .prefix = prefix_of(bytes, length), .length = (uint32_t)length, .kind = (uint8_t)kind};
}

static inline int key_compare(const Key *left, const Key *right)
{
    if (left->kind != right->kind)
        return left->kind < right->kind ? -1 : 1;
    if (left->prefix != right->prefix)
        return left->prefix < right->prefix ? -1 : 1;
    uint32_t shorter = left->length < right->length ? left->length : right->length;
    int order = shorter > 8 ? memcmp(left->bytes + 8, right->bytes + 8, shorter - 8) : 0;
    if (order != 0)
        return order;
    return left->length < right->length ? -1 : left->length > right->length;
}

#endif
