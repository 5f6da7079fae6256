/* A table in memory: what add.c and collect.c fill, deal.c sorts, write.c writes, and table.c shows to Python. */
#ifndef GOMR_TABLE_H
#define GOMR_TABLE_H

#include "core.h"

/* Encoded values of one key, in the order in which they were added. */
typedef struct ValuePiece {
    struct ValuePiece *next;
    uint32_t used, size, count;
    char bytes[];
} ValuePiece;

typedef struct {
    uint64_t count; /* of values added */
    union {
        int64_t folded;
        struct {
            ValuePiece *first, *last;
        };
    };
    uint64_t prefix; /* of the key */
    uint32_t length;
    uint8_t kind;
    char key[];
} Entry;

typedef struct {
    uint64_t hash; /* most other keys are told apart by it, without a look at their entry */
    Entry *entry;  /* NULL: free */
} Slot;

typedef struct {
    PyObject_HEAD
    Fold fold;
    uint64_t seed;
    size_t budget_bytes;
    Arena arena;
    Slot *slots; /* open addressing, linear probing, at most half full */
    size_t slot_count;
    Entry **entries; /* in the order in which their keys came */
    size_t entry_count, entry_room;
    SortItem *items; /* after `deal`: the entries by partition, kind of key, and key */
    size_t *starts;  /* where each partition's entries of a kind start in `items`; one more, for the end */
    uint32_t partitions;
    unsigned long long pairs;
    PyObject *refused; /* a list of pairs */
} Table;

static inline Key key_of_entry(const Entry *entry)
{
    return (Key){.bytes = entry->key, .prefix = entry->prefix, .length = entry->length, .kind = entry->kind};
}

/* collect.c */
size_t table_used_bytes(const Table *table);
void table_forget_order(Table *table);
void table_empty(Table *table);
/* Add one value. 1: added; 0: the sum takes more than 64 bits; -1: an exception is set. */
int table_fold(Table *table, const Key *key, uint64_t hash, int64_t number);
int table_append(Table *table, const Key *key, uint64_t hash, const char *value, size_t length);

/* add.c */
PyObject *table_add(Table *table, PyObject *iterator);
PyObject *table_add_dict(Table *table, PyObject *arguments);

/* deal.c */
PyObject *table_deal(Table *table, PyObject *arguments);
int table_find_partition(const Table *table, unsigned int partition, size_t *start, size_t *end); /* 0 or -1 */

/* write.c */
PyObject *table_write(Table *table, PyObject *arguments);
PyObject *table_entries(Table *table, PyObject *arguments);
PyObject *table_drain(Table *table, PyObject *nothing);

#endif
