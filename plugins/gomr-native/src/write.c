/* Writes the entries of a table as frames, combined by the job's function where it has one; or gives them to Python. */
#include "table.h"

enum { WRITE_AHEAD = 8 };

static PyObject *value_list(const Entry *entry)
{
    PyObject *list = PyList_New(0);
    for (const ValuePiece *piece = entry->first; piece != NULL && list != NULL; piece = piece->next) {
        Reader reader = {piece->bytes, piece->bytes + piece->used};
        while (reader.at < reader.end && list != NULL) {
            const char *start = reader.at;
            skip_value(&reader);
            PyObject *value = value_object(start, (size_t)(reader.at - start));
            if (value == NULL || PyList_Append(list, value) < 0)
                Py_CLEAR(list);
            Py_XDECREF(value);
        }
    }
    return list;
}

/* Returns (key, list of values), or (key, folded value). */
static PyObject *entry_object(const Table *table, const Entry *entry)
{
    Key key = key_of_entry(entry);
    PyObject *object = key_object(&key);
    PyObject *value = table->fold == KEEP ? value_list(entry) : PyLong_FromLongLong(entry->folded);
    if (object != NULL && value != NULL)
        return Py_BuildValue("(NN)", object, value);
    Py_XDECREF(object);
    Py_XDECREF(value);
    return NULL;
}

static int write_kept(FrameWriter *writer, const Key *key, const Entry *entry)
{
    if (frame_begin(writer, key, entry->count) < 0)
        return -1;
    for (const ValuePiece *piece = entry->first; piece != NULL; piece = piece->next)
        if (frame_values(writer, key, (Reader){piece->bytes, piece->bytes + piece->used}, piece->count) < 0)
            return -1;
    return 1;
}

/* Writes what `combine` makes of an entry. 1: written; 0: it made a value that the core cannot encode. */
static int write_combined(FrameWriter *writer, const Key *key, const Table *table, const Entry *entry, PyObject *combine)
{
    PyObject *pair = entry_object(table, entry);
    PyObject *values = pair == NULL ? NULL : PyObject_CallObject(combine, pair);
    Py_XDECREF(pair);
    if (values == NULL || !PyList_CheckExact(values)) {
        if (values != NULL)
            PyErr_SetString(PyExc_TypeError, "write(): combine returns a list");
        Py_XDECREF(values);
        return -1;
    }
    Buffer encoded = {0};
    int result = 1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(values) && result == 1; i++)
        result = encode_value(&encoded, PyList_GET_ITEM(values, i));
    uint64_t count = (uint64_t)PyList_GET_SIZE(values);
    Reader bytes = {encoded.bytes, encoded.bytes + encoded.length};
    if (result == 1 && count > 0)
        result = frame_begin(writer, key, count) < 0 || frame_values(writer, key, bytes, count) < 0 ? -1 : 1;
    buffer_clear(&encoded);
    Py_DECREF(values);
    return result;
}

static int write_entry(FrameWriter *writer, const Table *table, const Entry *entry, PyObject *combine)
{
    Key key = key_of_entry(entry);
    if (table->fold != KEEP)
        return frame_integer(writer, &key, entry->folded) < 0 ? -1 : 1;
    if (combine == Py_None || entry->count == 1)
        return write_kept(writer, &key, entry);
    return write_combined(writer, &key, table, entry, combine);
}

PyObject *table_write(Table *table, PyObject *arguments)
{
    unsigned int partition;
    PyObject *write, *combine;
    size_t start, end;
    if (!PyArg_ParseTuple(arguments, "IOO:write", &partition, &write, &combine))
        return NULL;
    if (table_find_partition(table, partition, &start, &end) < 0)
        return NULL;
    FrameWriter writer = {.write = write};
    size_t at = start;
    int result = 1;
    for (; at < end && result == 1; at += result == 1) {
        if (at + WRITE_AHEAD < end) /* entries lie in the order in which they came, not in that of their keys */
            __builtin_prefetch(table->items[at + WRITE_AHEAD].entry);
        result = write_entry(&writer, table, table->items[at].entry, combine);
    }
    if (result >= 0 && frame_flush(&writer) < 0)
        result = -1;
    frame_clear(&writer);
    return result < 0 ? NULL : PyLong_FromSize_t(at - start);
}

PyObject *table_entries(Table *table, PyObject *arguments)
{
    unsigned int partition;
    Py_ssize_t skip;
    size_t start, end;
    if (!PyArg_ParseTuple(arguments, "In:entries", &partition, &skip))
        return NULL;
    if (table_find_partition(table, partition, &start, &end) < 0)
        return NULL;
    PyObject *list = PyList_New(0);
    for (size_t at = start + (size_t)skip; at < end && list != NULL; at++) {
        PyObject *entry = entry_object(table, table->items[at].entry);
        if (entry == NULL || PyList_Append(list, entry) < 0)
            Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

PyObject *table_drain(Table *table, PyObject *Py_UNUSED(nothing))
{
    PyObject *groups = PyDict_New();
    for (size_t i = 0; i < table->entry_count && groups != NULL; i++) {
        PyObject *entry = entry_object(table, table->entries[i]);
        if (entry == NULL || PyDict_SetItem(groups, PyTuple_GET_ITEM(entry, 0), PyTuple_GET_ITEM(entry, 1)) < 0)
            Py_CLEAR(groups);
        Py_XDECREF(entry);
    }
    if (groups != NULL)
        table_empty(table);
    return groups;
}

