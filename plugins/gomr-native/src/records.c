/* Whole records: how their keys compare. */
#include "records.h"

SortItem record_item(const Bytes *key, const void *entry)
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
