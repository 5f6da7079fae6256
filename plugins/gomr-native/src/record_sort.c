/* RecordSort: sorts whole records in memory, and writes them as frames, in partitions that start at given keys. */
#include "records.h"

enum { PREFETCHED = 8 };

typedef struct {
    PyObject_HEAD
    Py_buffer data;
    Shape shape;
    Buffer items;   /* of SortItem: each one's entry is where its record starts in `data` */
    size_t *bounds; /* where each partition starts in `items`; one more, for the end */
    size_t partitions;
} RecordSort;

static SortItem *items_of(const RecordSort *sort)
{
    return (SortItem *)(void *)sort->items.bytes;
}

static size_t count_of(const RecordSort *sort)
{
    return sort->items.length / sizeof(SortItem);
}

static const char *end_of_data(const RecordSort *sort)
{
    return (const char *)sort->data.buf + sort->data.len;
}

/* Returns the record of an item, which was found to have an end. */
static Record record_of(const RecordSort *sort, const SortItem *item)
{
    return record_at(&sort->shape, item->entry, record_end(&sort->shape, item->entry, end_of_data(sort)));
}

static bool is_less(const SortItem *left, const SortItem *right, const void *sort)
{
    return bytes_compare(record_of(sort, left).key, record_of(sort, right).key) < 0;
}

static int find_records(RecordSort *sort)
{
    const char *at = sort->data.buf, *end = end_of_data(sort), *next;
    if (sort->shape.length > 0 && buffer_grow(&sort->items, (size_t)(end - at) / sort->shape.length * sizeof(SortItem)) < 0)
        return -1;
    for (; at < end; at = next) {
        next = record_end(&sort->shape, at, end);
        if (next == NULL) {
            PyErr_SetString(PyExc_ValueError, "the last record has no end");
            return -1;
        }
        Record record = record_at(&sort->shape, at, next);
        SortItem item = record_item(&record.key, at);
        if (buffer_add(&sort->items, &item, sizeof item) < 0)
            return -1;
    }
    return 0;
}

static int sort_all(RecordSort *sort)
{
    if (find_records(sort) < 0)
        return -1;
    SortItem *room = core_realloc(NULL, sort->items.length);
    if (room == NULL)
        return -1;
    sort_items(items_of(sort), room, count_of(sort), &(Order){is_less, sort});
    core_free(room);
    return 0;
}

/* Returns the first of sorted items whose key is not below `key`. */
static size_t first_from(const RecordSort *sort, Bytes key)
{
    size_t low = 0, high = count_of(sort);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(record_of(sort, items_of(sort) + middle).key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int find_bounds(RecordSort *sort, PyObject *starts)
{
    sort->partitions = (size_t)PyList_GET_SIZE(starts) + 1;
    sort->bounds = core_realloc(NULL, (sort->partitions + 1) * sizeof *sort->bounds);
    if (sort->bounds == NULL)
        return -1;
    sort->bounds[0] = 0;
    sort->bounds[sort->partitions] = count_of(sort);
    for (size_t i = 1; i < sort->partitions; i++) {
        char *bytes;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(starts, (Py_ssize_t)i - 1), &bytes, &length) < 0)
            return -1;
        size_t bound = first_from(sort, (Bytes){bytes, (size_t)length});
        sort->bounds[i] = bound < sort->bounds[i - 1] ? sort->bounds[i - 1] : bound;
    }
    return 0;
}

/* Asks for what a later step reads: records lie in the order of the input, not in that of their keys. */
static inline void prefetch(const SortItem *items, size_t at, size_t count)
{
    if (at + PREFETCHED < count)
        __builtin_prefetch(items[at + PREFETCHED].entry);
}

/* Writes records as one frame: as many of them as it takes; returns how many, 0 with an exception. */
static size_t write_frame(const RecordSort *sort, PyObject *write, const SortItem *items, size_t count)
{
    size_t length = 0, taken = 0;
    for (; taken < count && length < FRAME_BYTES_MAX; taken++) {
        if (sort->shape.length == 0)
            prefetch(items, taken, count);
        Record record = record_of(sort, &items[taken]);
        length += (size_t)(record.end - record.bytes);
    }
    PyObject *frame = frame_of(length);
    if (frame == NULL)
        return 0;
    char *at = PyBytes_AS_STRING(frame) + HEADER_BYTES;
    for (size_t i = 0; i < taken; i++) {
        prefetch(items, i, taken);
        Record record = record_of(sort, &items[i]);
        memcpy(at, record.bytes, (size_t)(record.end - record.bytes));
        at += record.end - record.bytes;
    }
    return frame_write(write, frame, RECORDS) < 0 ? 0 : taken;
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
    if (sort_all(sort) < 0 || find_bounds(sort, starts) < 0)
        Py_CLEAR(sort);
    return (PyObject *)sort;
}

static void record_sort_dealloc(RecordSort *sort)
{
    PyTypeObject *type = Py_TYPE(sort);
    PyBuffer_Release(&sort->data);
    buffer_clear(&sort->items);
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
        size_t taken = write_frame(sort, write, items_of(sort) + at, end - at);
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
