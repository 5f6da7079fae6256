/* Whole records and the bytes of them that are their keys; see gomr/job/sort_task.py for the format of their frames. */
#ifndef GOMR_RECORDS_H
#define GOMR_RECORDS_H

#include "core.h"

#include <string.h>

/* Which bytes of a record are its key; `length` of a record is 0 for lines. */
typedef struct {
    size_t length, start, stop;
} Shape;

/* A key's bytes within a record. */
typedef struct {
    const char *bytes;
    size_t length;
} Bytes;

/* A record as it is sorted. */
typedef struct {
    const char *bytes, *end;
    Bytes key;
} Record;

/* Returns where a record ends, its newline included; NULL where it has no end. Inline, as is the next one: a sort asks for
   each record several times. */
static inline const char *record_end(const Shape *shape, const char *record, const char *end)
{
    if (shape->length > 0)
        return (size_t)(end - record) < shape->length ? NULL : record + shape->length;
    const char *newline = memchr(record, '\n', (size_t)(end - record));
    return newline == NULL ? NULL : newline + 1;
}

static inline Record record_at(const Shape *shape, const char *bytes, const char *end)
{
    size_t length = (size_t)(end - bytes) - (shape->length == 0); /* a line's newline is no part of its key */
    size_t stop = shape->stop < length ? shape->stop : length;
    Bytes key = shape->start < stop ? (Bytes){bytes + shape->start, stop - shape->start} : (Bytes){bytes, 0};
    return (Record){bytes, end, key};
}

SortItem record_item(const Bytes *key, const void *entry);
int bytes_compare(Bytes left, Bytes right);

#endif
