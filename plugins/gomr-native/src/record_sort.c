/* RecordSort: sorts whole records in memory, and writes them as frames, in partitions that start at given keys. */
#include "records.h"

#include <string.h>

enum { PREFETCHED = 8 };

static bool is_less(const SortItem *left, const SortItem *right)
{
    return bytes_compare(((const Record *)left->entry)->key, ((const Record *)right->entry)->key) < 0;
}

/* Finds the records of `data`; returns how many, or -1 with an exception. */
static Py_ssize_t find_records(const Shape *shape, const char *data, const char *end, Buffer *records)
{
    while (data < end) {
        const char *next = record_end(shape, data, end);
        if (next == NULL) {
            PyErr_SetString(PyExc_ValueError, "the last record has no end");
            return -1;
        }
        Record record = record_at(shape, data, next);
        if (buffer_add(records, &record, sizeof record) < 0)
            return -1;
        data = next;
    }
    return (Py_ssize_t)(records->length / sizeof(Record));
}

/* Writes records as one frame: as many of them as it takes; returns how many, 0 with an exception. */
static size_t write_frame(PyObject *write, const SortItem *items, size_t count)
{
    size_t length = 0, taken = 0;
    for (; taken < count && length < FRAME_BYTES_MAX; taken++) {
        const Record *record = items[taken].entry;
        length += (size_t)(record->end - record->bytes);
    }
    PyObject *frame = frame_of(length);
    if (frame == NULL)
        return 0;
    char *at = PyBytes_AS_STRING(frame) + HEADER_BYTES;
    for (size_t i = 0; i < taken; i++) {
        const Record *record = items[i].entry;
        if (i + PREFETCHED < taken) /* records lie in the order of the input, not in that of their keys */
            __builtin_prefetch(((const Record *)items[i + PREFETCHED].entry)->bytes);
        memcpy(at, record->bytes, (size_t)(record->end - record->bytes));
        at += record->end - record->bytes;
    }
    return frame_write(write, frame, RECORDS) < 0 ? 0 : taken;
}

/* Returns the first of sorted items whose key is not below `key`. */
static size_t first_from(const SortItem *items, size_t count, Bytes key)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (bytes_compare(((const Record *)items[middle].entry)->key, key) < 0)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

typedef struct {
    PyObject_HEAD
    Py_buffer data;
    Shape shape;
    Buffer records;
    SortItem *items;
    size_t *bounds; /* where each partition starts in `items`; one more, for the end */
    size_t partitions;
} RecordSort;

static int sort_all(RecordSort *sort, PyObject *starts)
{
    const char *bytes = sort->data.buf;
    Py_ssize_t found = find_records(&sort->shape, bytes, bytes + sort->data.len, &sort->records);
    if (found < 0)
        return -1;
    size_t count = (size_t)found;
    sort->partitions = (size_t)PyList_GET_SIZE(starts) + 1;
    sort->items = core_realloc(NULL, count * sizeof *sort->items);
    sort->bounds = core_realloc(NULL, (sort->partitions + 1) * sizeof *sort->bounds);
    SortItem *room = core_realloc(NULL, count * sizeof *room);
    if (sort->items != NULL && sort->bounds != NULL && room != NULL) {
        Record *record = (Record *)(void *)sort->records.bytes;
        for (size_t i = 0; i < count; i++)
            sort->items[i] = record_item(&record[i].key, &record[i]);
        sort_items(sort->items, room, count, is_less);
    }
    core_free(room);
    return PyErr_Occurred() ? -1 : 0;
}

static int find_bounds(RecordSort *sort, PyObject *starts)
{
    size_t count = sort->records.length / sizeof(Record);
    sort->bounds[0] = 0;
    sort->bounds[sort->partitions] = count;
    for (size_t i = 1; i < sort->partitions; i++) {
        char *bytes;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(starts, (Py_ssize_t)i - 1), &bytes, &length) < 0)
            return -1;
        size_t bound = first_from(sort->items, count, (Bytes){bytes, (size_t)length});
        sort->bounds[i] = bound < sort->bounds[i - 1] ? sort->bounds[i - 1] : bound;
    }
    return 0;
}

static PyObject *record_sort_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    Py_buffer data;
    Py_ssize_t length, start, stop;
    PyObject *starts;
    if (!PyArg_ParseTuple(arguments, "y*nnnO!:RecordSort", &data, &length, &start, &stop, &PyList_Type, &starts))
        return NULL;
    RecordSort *sort = (RecordSort *)type->tp_alloc(type, 0);
    if (sort == NULL) {
        PyBuffer_Release(&data);
        return NULL;
    }
    sort->data = data;
    sort->shape = (Shape){(size_t)length, (size_t)start, (size_t)stop};
    if (sort_all(sort, starts) < 0 || find_bounds(sort, starts) < 0)
        Py_CLEAR(sort);
    return (PyObject *)sort;
}

static void record_sort_dealloc(RecordSort *sort)
{
    PyTypeObject *type = Py_TYPE(sort);
    PyBuffer_Release(&sort->data);
    buffer_clear(&sort->records);
    core_free(sort->items);
    core_free(sort->bounds);
    type->tp_free(sort);
    Py_DECREF(type);
}

static PyObject *record_sort_write(RecordSort *sort, PyObject *arguments)
{
    Py_ssize_t partition;
    PyObject *write;
    if (!PyArg_ParseTuple(arguments, "nO:write", &partition, &write))
        return NULL;
    if (partition < 0 || (size_t)partition >= sort->partitions)
        return PyErr_Format(PyExc_IndexError, "partition %zd of %zu", partition, sort->partitions);
    size_t at = sort->bounds[partition], end = sort->bounds[partition + 1];
    while (at < end) {
        size_t taken = write_frame(write, sort->items + at, end - at);
        if (taken == 0)
            return NULL;
        at += taken;
    }
    Py_RETURN_NONE;
}

static PyMethodDef sort_methods[] = {
    {"write", (PyCFunction)record_sort_write, METH_VARARGS, "Write a partition's records as frames."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot sort_slots[] = {
    {Py_tp_doc, "RecordSort(data, length, start, stop, starts): whole records, sorted, in partitions that start at keys."},
    {Py_tp_new, record_sort_new},
    {Py_tp_dealloc, record_sort_dealloc},
    {Py_tp_methods, sort_methods},
    {0, NULL},
};

PyType_Spec record_sort_spec = {"gomr_native._core.RecordSort", sizeof(RecordSort), 0, Py_TPFLAGS_DEFAULT, sort_slots};
