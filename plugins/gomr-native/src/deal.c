/* Deals the keys of a table to partitions, and sorts those of each. */
#include "table.h"

#include <string.h>

static bool is_less(const SortItem *left, const SortItem *right, const void *Py_UNUSED(context))
{
    Key one = key_of_entry(left->entry), other = key_of_entry(right->entry);
    return key_compare(&one, &other) < 0;
}

/* Returns the partition of an entry, by the job's function where it has one; -1 with an exception. */
static int64_t partition_of(const Entry *entry, uint32_t partitions, PyObject *partitioner)
{
    Key key = key_of_entry(entry);
    if (partitioner == Py_None)
        return key_partition(&key, partitions);
    PyObject *object = key_object(&key);
    PyObject *answer = object == NULL ? NULL : PyObject_CallOneArg(partitioner, object);
    Py_XDECREF(object);
    if (answer == NULL)
        return -1;
    long number = PyLong_AsLong(answer);
    Py_DECREF(answer);
    if (!PyErr_Occurred() && (number < 0 || (unsigned long)number >= partitions))
        PyErr_SetString(PyExc_ValueError, "deal(): a partition out of range");
    return PyErr_Occurred() ? -1 : number;
}

/* Fills `items` bucket by bucket: a counting sort by partition and kind of key. `buckets` is each entry's. */
static void fill_buckets(Table *table, const uint32_t *buckets, size_t bucket_count)
{
    for (size_t i = 0; i < table->entry_count; i++)
        table->starts[buckets[i] + 1]++;
    for (size_t i = 0; i < bucket_count; i++)
        table->starts[i + 1] += table->starts[i];
    for (size_t i = 0; i < table->entry_count; i++) { /* `starts[b]` runs to the end of bucket b ... */
        Entry *entry = table->entries[i];
        uint64_t next = entry->length > 8 ? prefix_of(entry->key + 8, entry->length - 8) : 0;
        table->items[table->starts[buckets[i]]++] = (SortItem){entry->prefix, next, entry};
    }
    memmove(table->starts + 1, table->starts, bucket_count * sizeof *table->starts); /* ... which is the next one's start */
    table->starts[0] = 0;
}

static int deal(Table *table, uint32_t partitions, PyObject *partitioner)
{
    size_t bucket_count = (size_t)partitions * KEY_KINDS, count = table->entry_count;
    uint32_t *buckets = core_realloc(NULL, count * sizeof *buckets);
    table->items = core_realloc(NULL, count * sizeof *table->items);
    table->starts = core_realloc(NULL, (bucket_count + 1) * sizeof *table->starts);
    SortItem *room = core_realloc(NULL, count * sizeof *room);
    bool failed = buckets == NULL || table->items == NULL || table->starts == NULL || room == NULL;
    for (size_t i = 0; i < count && !failed; i++) {
        int64_t partition = partition_of(table->entries[i], partitions, partitioner);
        failed = partition < 0;
        buckets[i] = (uint32_t)partition * KEY_KINDS + table->entries[i]->kind;
    }
    if (!failed) {
        memset(table->starts, 0, (bucket_count + 1) * sizeof *table->starts);
        fill_buckets(table, buckets, bucket_count);
        const Order order = {is_less, NULL};
        for (size_t i = 0; i < bucket_count; i++)
            sort_items(table->items + table->starts[i], room, table->starts[i + 1] - table->starts[i], &order);
        table->partitions = partitions;
    }
    core_free(buckets);
    core_free(room);
    return failed ? -1 : 0;
}

PyObject *table_deal(Table *table, PyObject *arguments)
{
    unsigned int partitions;
    PyObject *partitioner;
    if (!PyArg_ParseTuple(arguments, "IO:deal", &partitions, &partitioner))
        return NULL;
    if (partitions == 0 || partitions > INT32_MAX / KEY_KINDS)
        return PyErr_Format(PyExc_ValueError, "deal(): %u partitions", partitions);
    table_forget_order(table);
    if (deal(table, partitions, partitioner) < 0) {
        table_forget_order(table);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Finds the entries of a partition in `items`; -1 with an exception where there is none such. */
int table_find_partition(const Table *table, unsigned int partition, size_t *start, size_t *end)
{
    if (partition >= table->partitions) {
        PyErr_Format(PyExc_IndexError, "partition %u of %u", partition, table->partitions);
        return -1;
    }
    *start = table->starts[partition * KEY_KINDS];
    *end = table->starts[(partition + 1) * KEY_KINDS];
    return 0;
}

