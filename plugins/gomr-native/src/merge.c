/* Merge: the entries of many sorted blocks as one sorted sequence, equal keys' values in the order of the blocks. */
#include "core.h"
#include "heap.h"

#include <stddef.h>
#include <string.h>

typedef struct {
    PyObject_HEAD
    Fold fold;
    Cursor *cursors;
    size_t cursor_count; /* opened */
    void **heap;         /* those with an entry in hand, the least first */
    size_t heap_count;
    Buffer group_bytes; /* the key of the group in hand, which outlives its cursor's */
    Key group;
    bool in_group;
    bool failed;   /* a block was damaged: all that is asked from then on fails, too */
    bool moving;   /* a cursor is on its way to its next entry, and another thread may run meanwhile */
    unsigned long long keys;
    PyObject *refuse; /* called where values are read a second time (False) or after their turn (True): it raises */
} Merge;

static bool is_before(const void *left_cursor, const void *right_cursor)
{
    const Cursor *left = left_cursor, *right = right_cursor;
    int order = key_compare(&left->key, &right->key);
    return order != 0 ? order < 0 : left < right; /* cursors lie in the order of the blocks */
}

static Cursor *first(const Merge *merge)
{
    return merge->heap[0];
}

/* Raises where the merge cannot be used: after a failure, or by a second thread. */
static int check_usable(const Merge *merge)
{
    if (merge->failed)
        return damaged("a block of map output was damaged");
    if (merge->moving) {
        PyErr_SetString(PyExc_ValueError, "the values of a key are read by several threads");
        return -1;
    }
    return 0;
}

/* Moves the first cursor to its next entry. */
static int advance(Merge *merge)
{
    merge->moving = true;
    int result = cursor_next(first(merge));
    merge->moving = false;
    if (result < 0) { /* its key may be gone: nothing of the heap may be looked at again */
        merge->failed = true;
        return -1;
    }
    if (result == 0)
        merge->heap[0] = merge->heap[--merge->heap_count];
    if (merge->heap_count > 0)
        heap_sift_down(merge->heap, merge->heap_count, 0, is_before);
    return 0;
}

static int begin_group(Merge *merge)
{
    if (check_usable(merge) < 0)
        return -1;
    const Key *key = &first(merge)->key;
    merge->group_bytes.length = 0;
    if (buffer_add(&merge->group_bytes, key->bytes, key->length) < 0)
        return -1;
    merge->group = *key;
    merge->group.bytes = merge->group_bytes.bytes;
    merge->in_group = true;
    merge->keys++;
    return 0;
}

/* Says whether the first cursor has a value of the group in hand; moves on past entries that are read to their end. */
static int has_value(Merge *merge)
{
    if (check_usable(merge) < 0)
        return -1;
    while (merge->in_group) {
        if (merge->heap_count == 0 || key_compare(&first(merge)->key, &merge->group) != 0) {
            merge->in_group = false;
            break;
        }
        if (first(merge)->count > 0)
            return 1;
        if (advance(merge) < 0)
            return -1;
    }
    return 0;
}

static int unfit(const char *why)
{
    PyErr_SetString(Unfit, why);
    return -1;
}

/* Folds values of the group in hand. 1: all; 2: all but those from one on with which the sum takes more than 64 bits. */
static int fold_some(Merge *merge, int64_t *folded)
{
    bool is_first = true;
    int more;
    *folded = 0;
    while ((more = has_value(merge)) == 1) {
        Cursor *cursor = first(merge);
        Reader before = cursor->entry_values;
        int64_t value;
        if (read_integer(&cursor->entry_values, &value) != 1)
            return unfit("a value is no int of 64 bits");
        if (is_first)
            *folded = value;
        else if (fold(merge->fold, folded, value) < 0) {
            cursor->entry_values = before;
            return 2;
        }
        is_first = false;
        cursor->count--;
    }
    return more < 0 ? -1 : 1;
}

/* Folds the values of the next key. 1: done; 0: there is no key left; -1: an exception. */
static int fold_group(Merge *merge, int64_t *folded)
{
    if (merge->heap_count == 0)
        return 0;
    if (begin_group(merge) < 0)
        return -1;
    int result = fold_some(merge, folded);
    return result == 2 ? unfit("a sum takes more than 64 bits") : result;
}

static PyObject *merge_columns(Merge *merge, PyObject *argument)
{
    long limit = PyLong_AsLong(argument);
    if (PyErr_Occurred())
        return NULL;
    PyObject *keys = PyList_New(0), *values = PyList_New(0);
    int result = keys == NULL || values == NULL ? -1 : 1;
    for (long i = 0; i < limit && result == 1; i++) {
        int64_t folded;
        result = fold_group(merge, &folded);
        if (result != 1)
            break;
        PyObject *key = key_object(&merge->group), *value = PyLong_FromLongLong(folded);
        if (key == NULL || value == NULL || PyList_Append(keys, key) < 0 || PyList_Append(values, value) < 0)
            result = -1;
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    if (result >= 0)
        return Py_BuildValue("(NN)", keys, values);
    Py_XDECREF(keys);
    Py_XDECREF(values);
    return NULL;
}

static PyObject *merge_lines(Merge *merge, PyObject *arguments)
{
    Py_ssize_t size;
    PyObject *function;
    if (!PyArg_ParseTuple(arguments, "nO:lines", &size, &function))
        return NULL;
    Buffer lines = {0};
    int result = 1;
    while (lines.length < (size_t)size && result == 1) {
        int64_t folded;
        result = fold_group(merge, &folded);
        if (result != 1)
            break;
        result = text_key(&lines, &merge->group);
        if (result == 1)
            result = text_number(&lines, folded);
        if (result == 0) { /* a key that is no UTF-8 text */
            PyObject *pair = Py_BuildValue("(NL)", key_object(&merge->group), (long long)folded);
            result = text_of_python(&lines, function, pair);
            Py_XDECREF(pair);
        }
    }
    PyObject *bytes = result < 0 ? NULL : PyBytes_FromStringAndSize(lines.bytes, (Py_ssize_t)lines.length);
    buffer_clear(&lines);
    return bytes;
}

/* The values of one key, which are read once, in the turn of that key. */
typedef struct {
    PyObject_HEAD
    Merge *merge;
    unsigned long long number; /* of the key, counted from 1 */
    bool is_read;              /* to the end */
} Values;

/* What iter(values) gives: an iterator like any other, which may be asked again at its end. */
typedef struct {
    PyObject_HEAD
    Values *values;
} Stream;

static PyObject *refuse(const Merge *merge, bool is_over)
{
    PyObject *answer = PyObject_CallOneArg(merge->refuse, is_over ? Py_True : Py_False);
    if (answer != NULL)
        PyErr_SetString(PyExc_TypeError, "what Merge() is given to refuse with must raise");
    Py_XDECREF(answer);
    return NULL;
}

static PyObject *values_next(Values *values)
{
    Merge *merge = values->merge;
    if (merge->keys != values->number)
        return refuse(merge, true);
    int more = has_value(merge);
    if (more == 0)
        values->is_read = true;
    if (more != 1)
        return NULL;
    Cursor *cursor = first(merge);
    const char *start = cursor->entry_values.at;
    skip_value(&cursor->entry_values);
    cursor->count--;
    return value_object(start, (size_t)(cursor->entry_values.at - start));
}

static void values_dealloc(Values *values)
{
    PyTypeObject *type = Py_TYPE(values);
    Py_DECREF(values->merge);
    PyObject_Free(values);
    Py_DECREF(type);
}

static PyObject *stream_next(Stream *stream)
{
    return values_next(stream->values);
}

static void stream_dealloc(Stream *stream)
{
    PyTypeObject *type = Py_TYPE(stream);
    Py_DECREF(stream->values);
    PyObject_Free(stream);
    Py_DECREF(type);
}

static PyType_Slot stream_slots[] = {
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, stream_next},
    {Py_tp_dealloc, stream_dealloc},
    {0, NULL},
};

PyType_Spec stream_spec = {
    "gomr_native._core.Stream", sizeof(Stream), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, stream_slots};
PyTypeObject *stream_type;

static PyObject *values_iter(Values *values)
{
    bool is_over = values->merge->keys != values->number;
    if (is_over || values->is_read)
        return refuse(values->merge, is_over);
    Stream *stream = PyObject_New(Stream, stream_type);
    if (stream != NULL)
        stream->values = (Values *)Py_NewRef(values);
    return (PyObject *)stream;
}

static PyType_Slot values_slots[] = {
    {Py_tp_iter, values_iter},
    {Py_tp_iternext, values_next},
    {Py_tp_dealloc, values_dealloc},
    {0, NULL},
};

PyType_Spec values_spec = {
    "gomr_native._core.Values", sizeof(Values), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, values_slots};
PyTypeObject *values_type;

/* Returns the next (key, values). */
static PyObject *merge_next(Merge *merge)
{
    int more;
    while ((more = has_value(merge)) == 1) /* what the last key's user left unread */
        first(merge)->count = 0;
    if (more < 0 || merge->heap_count == 0 || begin_group(merge) < 0)
        return NULL;
    Values *values = PyObject_New(Values, values_type);
    if (values == NULL)
        return NULL;
    values->merge = (Merge *)Py_NewRef(merge);
    values->number = merge->keys;
    values->is_read = false;
    PyObject *key = key_object(&merge->group), *pair = key == NULL ? NULL : PyTuple_New(2);
    if (pair == NULL) {
        Py_XDECREF(key);
        Py_DECREF(values);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, key);
    PyTuple_SET_ITEM(pair, 1, (PyObject *)values);
    return pair;
}

static PyObject *merge_key(Merge *merge, void *Py_UNUSED(closure))
{
    if (merge->keys == 0)
        Py_RETURN_NONE;
    return key_object(&merge->group);
}

/* Writes the next key with its folded value: several times where the sum takes more than 64 bits. */
static int write_folded(Merge *merge, FrameWriter *writer)
{
    int result = begin_group(merge) < 0 ? -1 : 2;
    while (result == 2) {
        int64_t folded;
        result = fold_some(merge, &folded);
        if (result > 0 && frame_integer(writer, &merge->group, folded) < 0)
            result = -1;
    }
    return result;
}

static int write_all(Merge *merge, FrameWriter *writer)
{
    while (merge->heap_count > 0) {
        if (check_usable(merge) < 0)
            return -1;
        if (merge->fold != KEEP) {
            if (write_folded(merge, writer) < 0)
                return -1;
            continue;
        }
        Cursor *cursor = first(merge);
        if (frame_begin(writer, &cursor->key, cursor->count) < 0
            || frame_values(writer, &cursor->key, cursor->entry_values, cursor->count) < 0 || advance(merge) < 0)
            return -1;
    }
    return frame_flush(writer);
}

static PyObject *merge_write(Merge *merge, PyObject *write)
{
    FrameWriter writer = {.write = write};
    int result = write_all(merge, &writer);
    frame_clear(&writer);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Opens the blocks of a list of (path, offset, length). */
static int open_cursors(Merge *merge, PyObject *blocks)
{
    size_t count = (size_t)PyList_GET_SIZE(blocks);
    merge->cursors = core_realloc(NULL, count * sizeof *merge->cursors);
    merge->heap = core_realloc(NULL, count * sizeof *merge->heap);
    if (merge->cursors == NULL || merge->heap == NULL)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const char *path;
        long long offset, length;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(blocks, (Py_ssize_t)i), "sLL:Merge", &path, &offset, &length))
            return -1;
        if (cursor_open(&merge->cursors[i], path, offset, length) < 0)
            return -1;
        merge->cursor_count++;
        int result = cursor_next(&merge->cursors[i]);
        if (result < 0)
            return -1;
        if (result == 1)
            merge->heap[merge->heap_count++] = &merge->cursors[i];
    }
    heap_build(merge->heap, merge->heap_count, is_before);
    return 0;
}

static PyObject *merge_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *blocks, *refuse;
    int how;
    if (!PyArg_ParseTuple(arguments, "O!iO:Merge", &PyList_Type, &blocks, &how, &refuse))
        return NULL;
    if (how < KEEP || how >= FOLDS)
        return PyErr_Format(PyExc_ValueError, "Merge(): no fold %d", how);
    Merge *merge = (Merge *)type->tp_alloc(type, 0);
    if (merge == NULL)
        return NULL;
    merge->fold = (Fold)how;
    merge->refuse = Py_NewRef(refuse);
    if (open_cursors(merge, blocks) < 0)
        Py_CLEAR(merge);
    return (PyObject *)merge;
}

static void merge_dealloc(Merge *merge)
{
    PyTypeObject *type = Py_TYPE(merge);
    for (size_t i = 0; i < merge->cursor_count; i++)
        cursor_close(&merge->cursors[i]);
    core_free(merge->cursors);
    core_free(merge->heap);
    buffer_clear(&merge->group_bytes);
    Py_XDECREF(merge->refuse);
    type->tp_free(merge);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"columns", (PyCFunction)merge_columns, METH_O, "Return the next keys and their folded values, at most so many."},
    {"lines", (PyCFunction)merge_lines, METH_VARARGS, "Return the next lines of text, about so many bytes; none at the end."},
    {"write", (PyCFunction)merge_write, METH_O, "Write everything as frames."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"keys", T_ULONGLONG, offsetof(Merge, keys), READONLY, "How many keys have come."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"key", (getter)merge_key, NULL, "The key that came last; None before the first.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Merge(blocks, fold, refuse): many sorted blocks as one; an iterator of (key, values)."},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, merge_next},
    {Py_tp_getset, properties},
    {Py_tp_new, merge_new},
    {Py_tp_dealloc, merge_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec merge_spec = {"gomr_native._core.Merge", sizeof(Merge), 0, Py_TPFLAGS_DEFAULT, slots};
