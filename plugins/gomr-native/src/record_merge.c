/* RecordMerge: many sorted blocks of records as one, equal keys in the order of the blocks. */
#include "heap.h"
#include "records.h"

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
    void **heap;
    size_t heap_count;
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
    const char *end = record_end(shape, cursor->at, cursor->stop);
    if (end == NULL)
        return damaged("a block of map output is damaged: a record has no end");
    cursor->record = record_at(shape, cursor->at, end);
    cursor->item = record_item(&cursor->record.key, &cursor->record);
    cursor->at = end;
    return 1;
}

static bool is_before(const void *left_cursor, const void *right_cursor)
{
    const RecordCursor *left = left_cursor, *right = right_cursor;
    if (left->item.prefix != right->item.prefix)
        return left->item.prefix < right->item.prefix;
    if (left->item.next != right->item.next)
        return left->item.next < right->item.next;
    int order = bytes_compare(left->record.key, right->record.key);
    return order != 0 ? order < 0 : left < right; /* cursors lie in the order of the blocks */
}

/* Makes room for so many bytes in `*out`, of which `used` are taken. 0 or -1. */
static int make_room(PyObject **out, size_t used, size_t length)
{
    size_t room = (size_t)PyBytes_GET_SIZE(*out);
    return room - used >= length ? 0 : _PyBytes_Resize(out, (Py_ssize_t)(used + (length > room ? length : room)));
}

static PyObject *record_merge_read(RecordMerge *merge, PyObject *argument)
{
    Py_ssize_t size = PyLong_AsSsize_t(argument);
    PyObject *out = PyErr_Occurred() ? NULL : PyBytes_FromStringAndSize(NULL, size + size / 8);
    if (out == NULL)
        return NULL;
    size_t used = 0;
    int result = 1;
    while (result >= 0 && merge->heap_count > 0 && used < (size_t)size) {
        RecordCursor *cursor = merge->heap[0];
        size_t length = (size_t)(cursor->record.end - cursor->record.bytes);
        result = make_room(&out, used, length);
        if (result < 0)
            break;
        memcpy(PyBytes_AS_STRING(out) + used, cursor->record.bytes, length);
        used += length;
        result = next_record(&merge->shape, cursor);
        if (result == 0)
            merge->heap[0] = merge->heap[--merge->heap_count];
        if (result >= 0 && merge->heap_count > 0)
            heap_sift_down(merge->heap, merge->heap_count, 0, is_before);
    }
    if (result < 0)
        Py_CLEAR(out);
    else
        _PyBytes_Resize(&out, (Py_ssize_t)used);
    return out;
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
    heap_build(merge->heap, merge->heap_count, is_before);
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

static PyType_Slot slots[] = {
    {Py_tp_doc, "RecordMerge(blocks, length, start, stop): many sorted blocks of records as one."},
    {Py_tp_new, record_merge_new},
    {Py_tp_dealloc, record_merge_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec record_merge_spec = {"gomr_native._core.RecordMerge", sizeof(RecordMerge), 0, Py_TPFLAGS_DEFAULT, slots};
