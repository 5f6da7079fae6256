/* Whole records and the bytes of them that are their keys; see gomr/job/sort_task.py for the format of their frames. */
#ifndef GOMR_RECORDS_H
#define GOMR_RECORDS_H

#include "core.h"

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

/* Returns where a record ends, its newline included; NULL where it has no end. */
const char *record_end(const Shape *shape, const char *record, const char *end);
Record record_at(const Shape *shape, const char *bytes, const char *end);
SortItem record_item(const Bytes *key, void *entry);
int bytes_compare(Bytes left, Bytes right);

#endif
