/* Whole records: where they end, what is their key, how keys compare. */
#include "records.h"

#include <string.h>

const char *record_end(const Shape *shape, const char *record, const char *end)
{
    if (shape->length > 0)
        return (size_t)(end - record) < shape->length ? NULL : record + shape->length;
    const char *newline = memchr(record, '\n', (size_t)(end - record));
    return newline == NULL ? NULL : newline + 1;
}

static Bytes key_of(const Shape *shape, const char *record, const char *end)
{
    size_t length = (size_t)(end - record) - (shape->length == 0); /* a line's newline is no part of its key */
    size_t stop = shape->stop < length ? shape->stop : length;
    return shape->start < stop ? (Bytes){record + shape->start, stop - shape->start} : (Bytes){record, 0};
}

Record record_at(const Shape *shape, const char *bytes, const char *end)
{
    return (Record){bytes, end, key_of(shape, bytes, end)};
}

SortItem record_item(const Bytes *key, void *entry)
{
    uint64_t next = key->length > 8 ? prefix_of(key->bytes + 8, key->length - 8) : 0;
    return (SortItem){prefix_of(key->bytes, key->length), next, entry};
}

int bytes_compare(Bytes left, Bytes right)
{
    size_t shorter = left.length < right.length ? left.length : right.length;
    int order = memcmp(left.bytes, right.bytes, shorter);
    return order != 0 ? order : left.length < right.length ? -1 : left.length > right.length;
}
