/* Keys: from and to Python objects, their order, their hash, their partition. */
#include "core.h"

#include <stdio.h>
#include <string.h>

static uint32_t crc32_tables[8][256]; /* [n][b]: of byte b and n zeros after it */

/* Prepares the tables of CRC-32 (the polynomial of zlib). */
void crc32_prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        crc32_tables[0][i] = crc;
    }
    for (int zeros = 1; zeros < 8; zeros++)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t before = crc32_tables[zeros - 1][i];
            crc32_tables[zeros][i] = before >> 8 ^ crc32_tables[0][before & 0xFF];
        }
}

/* Of the few bytes of a key: a call of zlib's costs more. Eight bytes at a time (Kounavis and Berry, "slicing by 8"). */
static uint32_t crc32_of(uint32_t crc, const char *bytes, size_t length)
{
    crc = ~crc;
    for (; length >= 8; length -= 8, bytes += 8) {
        uint32_t first = number_at(bytes) ^ crc, second = number_at(bytes + 4);
        crc = 0;
        for (int i = 0; i < 4; i++) /* compilers unroll this */
            crc ^= crc32_tables[7 - i][first >> 8 * i & 0xFF] ^ crc32_tables[3 - i][second >> 8 * i & 0xFF];
    }
    for (; length > 0; length--, bytes++)
        crc = crc >> 8 ^ crc32_tables[0][(crc ^ (unsigned char)*bytes) & 0xFF];
    return ~crc;
}

void key_set_number(Key *key, KeyRoom *room, int64_t number)
{
    uint64_t ordered = (uint64_t)number ^ (uint64_t)1 << 63;
    for (int i = 0; i < 8; i++)
        room->number[i] = (char)(ordered >> (56 - 8 * i));
    *key = (Key){.bytes = room->number, .prefix = ordered, .length = 8, .kind = KEY_INT};
}

int64_t key_number(const Key *key)
{
    return (int64_t)(key->prefix ^ (uint64_t)1 << 63);
}

static int set_text(Key *key, KeyRoom *room, PyObject *text)
{
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    if (bytes == NULL) { /* a lone surrogate: a byte of the input that was no UTF-8 */
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return -1;
        PyErr_Clear();
        Py_XSETREF(room->encoded, PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass"));
        if (room->encoded == NULL)
            return -1;
        bytes = PyBytes_AS_STRING(room->encoded);
        length = PyBytes_GET_SIZE(room->encoded);
    }
    if (length > INT32_MAX)
        return 0;
    key_set(key, KEY_STR, bytes, (size_t)length);
    return 1;
}

int key_of_object(PyObject *object, Key *key, KeyRoom *room)
{
    if (PyUnicode_CheckExact(object)) {
        if (PyUnicode_IS_COMPACT_ASCII(object) && PyUnicode_GET_LENGTH(object) <= INT32_MAX) {
            key_set(key, KEY_STR, PyUnicode_DATA(object), (size_t)PyUnicode_GET_LENGTH(object));
            return 1;
        }
        return set_text(key, room, object);
    }
    if (PyBytes_CheckExact(object) && PyBytes_GET_SIZE(object) <= INT32_MAX) {
        key_set(key, KEY_BYTES, PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object));
        return 1;
    }
    if (PyLong_CheckExact(object)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow)
            return 0;
        key_set_number(key, room, number);
        return 1;
    }
    return 0;
}

PyObject *key_object(const Key *key)
{
    switch (key->kind) {
    case KEY_STR:
        return checked(PyUnicode_DecodeUTF8(key->bytes, key->length, "surrogatepass"));
    case KEY_BYTES:
        return PyBytes_FromStringAndSize(key->bytes, key->length);
    default:
        return PyLong_FromLongLong(key_number(key));
    }
}

/* Multiplies and folds eight bytes. */
static inline uint64_t hash_of(uint64_t hash, uint64_t word)
{
    const uint64_t odd = 0x9E3779B97F4A7C15u; /* 2^64 divided by the golden ratio, as in Fibonacci hashing */
    hash = (hash ^ word) * odd;
    return hash ^ hash >> 32;
}

/* `seed` keeps a user's data from choosing where its keys meet. */
uint64_t key_hash(const Key *key, uint64_t seed)
{
    uint64_t word, hash = hash_of(seed ^ ((uint64_t)key->length << 8 | key->kind), key->prefix);
    if (key->length > 8) {
        const char *last = key->bytes + key->length - 8; /* its eight bytes may overlap those before */
        for (const char *at = key->bytes + 8; at < last; at += 8) {
            memcpy(&word, at, 8);
            hash = hash_of(hash, word);
        }
        memcpy(&word, last, 8);
        hash = hash_of(hash, word);
    }
    return hash_of(hash, 0);
}

/* CRC-32 of the key's canonical bytes, as in gomr/job/keys.py. */
uint32_t key_partition(const Key *key, uint32_t partitions)
{
    if (partitions == 1)
        return 0;
    if (key->kind == KEY_INT) {
        char text[24];
        int64_t number = key_number(key);
        uint64_t size = number < 0 ? -(uint64_t)number : (uint64_t)number;
        int length = snprintf(text, sizeof text, "i%s%llx", number < 0 ? "-" : "", (unsigned long long)size);
        return crc32_of(0, text, (size_t)length) % partitions;
    }
    uint32_t crc = crc32_of(0, key->kind == KEY_STR ? "s" : "b", 1);
    return crc32_of(crc, key->bytes, key->length) % partitions;
}
