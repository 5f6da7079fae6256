/* Sorting of whole records by bytes of them: lines, or records of one length. See gomr/job/sort_task.py for the format. */
#include "core.h"

#include <stddef.h>
#include <string.h>

enum { PREFETCHED = 8 };

/* Which bytes of a record are its key; `length` of a record is 0 for lines. */
typedef struct {
    size_t length, start, stop;
} Shape;

/* A key's bytes within a record. */
typedef struct {
    const char *bytes;
    size_t length;
} Bytes;

/* Returns where a record ends, its newline included; NULL where it has no end. */
static const char *end_of(const Shape *shape, const char *record, const char *end)
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

static SortItem item_of(Bytes key, void *entry)
{
    return (SortItem){prefix_of(key.bytes, key.length), key.length > 8 ? prefix_of(key.bytes + 8, key.length - 8) : 0, entry};
}

static int compare(Bytes left, Bytes right)
{
    size_t shorter = left.length < right.length ? left.length : right.length;
    int order = memcmp(left.bytes, right.bytes, shorter);
    return order != 0 ? order : left.length < right.length ? -1 : left.length > right.length;
}

/* A record as it is sorted. */
typedef struct {
    const char *bytes, *end;
    Bytes key;
} Record;

static bool is_less(const SortItem *left, const SortItem *right)
{
    return compare(((const Record *)left->entry)->key, ((const Record *)right->entry)->key) < 0;
}

/* Finds the records of `data`; returns how many, or -1 with an exception. */
static Py_ssize_t find_records(const Shape *shape, const char *data, const char *end, Buffer *records)
{
    while (data < end) {
        const char *next = end_of(shape, data, end);
        if (next == NULL) {
            PyErr_SetString(PyExc_ValueError, "the last record has no end");
            return -1;
        }
        Record record = {data, next, key_of(shape, data, next)};
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
    PyObject *frame = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(HEADER_BYTES + length));
    if (frame == NULL)
        return 0;
    char *header = PyBytes_AS_STRING(frame), *at = header + HEADER_BYTES;
    for (size_t i = 0; i < taken; i++) {
        const Record *record = items[i].entry;
        if (i + PREFETCHED < taken) /* records lie in the order of the input, not in that of their keys */
            __builtin_prefetch(((const Record *)items[i + PREFETCHED].entry)->bytes);
        memcpy(at, record->bytes, (size_t)(record->end - record->bytes));
        at += record->end - record->bytes;
    }
    header[0] = (char)RECORDS;
    put_number(header + 1, (uint32_t)length);
    uint32_t checksum;
    PyObject *written = NULL;
    if (checksum_of(RECORDS, header + HEADER_BYTES, length, &checksum) == 0) {
        put_number(header + 5, checksum);
        written = PyObject_CallOneArg(write, frame);
    }
    Py_DECREF(frame);
    Py_XDECREF(written);
    return written == NULL ? 0 : taken;
}

/* Returns the first of sorted items whose key is not below `key`. */
static size_t first_from(const SortItem *items, size_t count, Bytes key)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (compare(((const Record *)items[middle].entry)->key, key) < 0)
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
    SortItem *room = core_realloc(NULL, (count / 2 + 1) * sizeof *room);
    if (sort->items != NULL && sort->bounds != NULL && room != NULL) {
        Record *record = (Record *)(void *)sort->records.bytes;
        for (size_t i = 0; i < count; i++)
            sort->items[i] = item_of(record[i].key, &record[i]);
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

/* Reads the records of one block. */
typedef struct {
    char *path;
    int64_t offset, end;
    Buffer payload;
    const char *at, *stop; /* of the payload: after the record in hand, and its end */
    Record record;
    SortItem item;
} RecordCursor;

typedef struct {
    PyObject_HEAD
    Shape shape;
    RecordCursor *cursors;
    size_t cursor_count;
    RecordCursor **heap;
    size_t heap_count;
    unsigned long long records;
} RecordMerge;

/* 1: a record is in hand; 0: the end; -1: an exception is set. */
static int next_record(const Shape *shape, RecordCursor *cursor)
{
    while (cursor->at == cursor->stop) {
        unsigned char codec;
        if (cursor->offset >= cursor->end)
            return 0;
        if (load_frame(cursor->path, &cursor->offset, cursor->end, &cursor->payload, &codec) < 0)
            return -1;
        if (codec != RECORDS)
            return damaged("a block of map output is damaged: a frame is not of records");
        cursor->at = cursor->payload.bytes;
        cursor->stop = cursor->at + cursor->payload.length;
    }
    const char *end = end_of(shape, cursor->at, cursor->stop);
    if (end == NULL)
        return damaged("a block of map output is damaged: a record has no end");
    cursor->record = (Record){cursor->at, end, key_of(shape, cursor->at, end)};
    cursor->item = item_of(cursor->record.key, &cursor->record);
    cursor->at = end;
    return 1;
}

static bool is_before(const RecordCursor *left, const RecordCursor *right)
{
    if (left->item.prefix != right->item.prefix)
        return left->item.prefix < right->item.prefix;
    if (left->item.next != right->item.next)
        return left->item.next < right->item.next;
    int order = compare(left->record.key, right->record.key);
    return order != 0 ? order < 0 : left < right; /* cursors lie in the order of the blocks */
}

static void sift_down(RecordMerge *merge, size_t at)
{
    RecordCursor *moved = merge->heap[at];
    for (size_t child; (child = 2 * at + 1) < merge->heap_count; at = child) {
        if (child + 1 < merge->heap_count && is_before(merge->heap[child + 1], merge->heap[child]))
            child++;
        if (!is_before(merge->heap[child], moved))
            break;
        merge->heap[at] = merge->heap[child];
    }
    merge->heap[at] = moved;
}

static PyObject *record_merge_read(RecordMerge *merge, PyObject *argument)
{
    Py_ssize_t size = PyLong_AsSsize_t(argument);
    if (PyErr_Occurred())
        return NULL;
    Buffer out = {0};
    int result = 1;
    while (result >= 0 && merge->heap_count > 0 && out.length < (size_t)size) {
        RecordCursor *cursor = merge->heap[0];
        result = buffer_add(&out, cursor->record.bytes, (size_t)(cursor->record.end - cursor->record.bytes));
        if (result == 0)
            result = next_record(&merge->shape, cursor);
        if (result == 0)
            merge->heap[0] = merge->heap[--merge->heap_count];
        if (result >= 0) {
            merge->records++;
            if (merge->heap_count > 0)
                sift_down(merge, 0);
        }
    }
    PyObject *bytes = result < 0 ? NULL : PyBytes_FromStringAndSize(out.bytes, (Py_ssize_t)out.length);
    buffer_clear(&out);
    return bytes;
}

static int open_record_cursors(RecordMerge *merge, PyObject *blocks)
{
    size_t count = (size_t)PyList_GET_SIZE(blocks);
    merge->cursors = core_realloc(NULL, count * sizeof *merge->cursors);
    merge->heap = core_realloc(NULL, count * sizeof *merge->heap);
    if (merge->cursors == NULL || merge->heap == NULL)
        return -1;
    for (size_t i = 0; i < count; i++) {
        RecordCursor *cursor = &merge->cursors[i];
        const char *path;
        long long offset, length;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(blocks, (Py_ssize_t)i), "sLL:RecordMerge", &path, &offset, &length))
            return -1;
        *cursor = (RecordCursor){.path = path_copy(path), .offset = offset, .end = offset + length};
        merge->cursor_count++;
        int result = cursor->path == NULL ? -1 : next_record(&merge->shape, cursor);
        if (result < 0)
            return -1;
        if (result == 1)
            merge->heap[merge->heap_count++] = cursor;
    }
    for (size_t i = merge->heap_count; i-- > 0;)
        sift_down(merge, i);
    return 0;
}

static PyObject *record_merge_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *blocks;
    Py_ssize_t length, start, stop;
    if (!PyArg_ParseTuple(arguments, "O!nnn:RecordMerge", &PyList_Type, &blocks, &length, &start, &stop))
        return NULL;
    RecordMerge *merge = (RecordMerge *)type->tp_alloc(type, 0);
    if (merge == NULL)
        return NULL;
    merge->shape = (Shape){(size_t)length, (size_t)start, (size_t)stop};
    if (open_record_cursors(merge, blocks) < 0)
        Py_CLEAR(merge);
    return (PyObject *)merge;
}

static void record_merge_dealloc(RecordMerge *merge)
{
    PyTypeObject *type = Py_TYPE(merge);
    for (size_t i = 0; i < merge->cursor_count; i++) {
        core_free(merge->cursors[i].path);
        buffer_clear(&merge->cursors[i].payload);
    }
    core_free(merge->cursors);
    core_free(merge->heap);
    type->tp_free(merge);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)record_merge_read, METH_O, "Return the next records, about so many bytes; none at the end."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"records", T_ULONGLONG, offsetof(RecordMerge, records), READONLY, "How many records have come."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "RecordMerge(blocks, length, start, stop): many sorted blocks of records as one."},
    {Py_tp_new, record_merge_new},
    {Py_tp_dealloc, record_merge_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec record_merge_spec = {"gomr_native._core.RecordMerge", sizeof(RecordMerge), 0, Py_TPFLAGS_DEFAULT, slots};
