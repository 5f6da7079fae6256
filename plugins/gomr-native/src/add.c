/* Adds pairs of Python to a table, some at a time, so that memory is asked for what all of them need before it is used. */
#include "table.h"

enum { BATCH_PAIRS = 16, LARGE_BYTES = 4 * 1024 };

/* A pair on its way into the table. */
typedef struct {
    Key key;
    KeyRoom room;
    uint64_t hash;
    PyObject *object, *value; /* owned: the key's bytes are those of its object */
    int64_t number;           /* the value of a table that folds; of one that keeps, encoded: */
    size_t start, length;
} Pending;

typedef struct {
    Pending pending[BATCH_PAIRS];
    int count;
    Buffer values;
} Batch;

static void batch_start(Batch *batch) /* not zeroed as a whole: a mapper without `yield` takes one for each record */
{
    batch->count = 0;
    batch->values = (Buffer){0};
}

static void batch_drop_pairs(Batch *batch)
{
    for (Pending *one = batch->pending; one < batch->pending + batch->count; one++) {
        Py_XDECREF(one->room.encoded);
        Py_DECREF(one->object);
        Py_DECREF(one->value);
    }
    batch->count = 0;
    batch->values.length = 0;
}

/* A batch ends with every so many pairs of the table, or with a large one, and it is then that the budget is looked at:
   what is spilled when depends on the pairs alone, not on how many come from one iterator. */
static bool batch_is_full(const Table *table, const Batch *batch)
{
    if (batch->count == 0)
        return false;
    const Pending *last = &batch->pending[batch->count - 1];
    return batch->count == BATCH_PAIRS || (table->pairs + (unsigned)batch->count) % BATCH_PAIRS == 0
           || last->key.length + last->length > LARGE_BYTES;
}

static bool table_is_full(const Table *table)
{
    return table_used_bytes(table) > table->budget_bytes;
}

/* 1: taken; 0: the core does not take such a value; -1: an exception is set. */
static int take_value(const Table *table, Batch *batch, Pending *one, PyObject *value)
{
    one->length = 0;
    if (table->fold == KEEP) {
        one->start = batch->values.length;
        int result = encode_value(&batch->values, value);
        if (result != 1)
            batch->values.length = one->start;
        one->length = batch->values.length - one->start;
        return result == 1 && one->length > INT32_MAX ? 0 : result;
    }
    if (!PyLong_CheckExact(value))
        return 0;
    int overflow;
    one->number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return !overflow;
}

/* Takes one more pair. 1: taken; 0: the core does not take it; -1: an exception is set. */
static int batch_take(const Table *table, Batch *batch, PyObject *object, PyObject *value)
{
    Pending *one = &batch->pending[batch->count];
    one->room.encoded = NULL;
    int result = key_of_object(object, &one->key, &one->room);
    if (result == 1)
        result = take_value(table, batch, one, value);
    if (result != 1) {
        Py_CLEAR(one->room.encoded);
        return result;
    }
    one->object = Py_NewRef(object);
    one->value = Py_NewRef(value);
    one->hash = key_hash(&one->key, table->seed);
    if (table->slot_count > 0)
        __builtin_prefetch(&table->slots[one->hash & (table->slot_count - 1)]);
    batch->count++;
    return 1;
}

static int batch_take_pair(const Table *table, Batch *batch, PyObject *pair)
{
    if (PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2)
        return batch_take(table, batch, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    if (PyList_CheckExact(pair) && PyList_GET_SIZE(pair) == 2)
        return batch_take(table, batch, PyList_GET_ITEM(pair, 0), PyList_GET_ITEM(pair, 1));
    return 0;
}

/* Adds the pairs of a batch, `*added` of them: all where it returns 1; 0: a sum grew too large; -1: an exception is set. */
static int batch_add(Table *table, const Batch *batch, int *added)
{
    for (int i = 0; i < batch->count && table->slot_count > 0; i++)
        __builtin_prefetch(table->slots[batch->pending[i].hash & (table->slot_count - 1)].entry);
    int result = 1;
    for (*added = 0; *added < batch->count; ++*added) {
        const Pending *one = &batch->pending[*added];
        if (table->fold == KEEP)
            result = table_append(table, &one->key, one->hash, batch->values.bytes + one->start, one->length);
        else
            result = table_fold(table, &one->key, one->hash, one->number);
        if (result != 1)
            break;
    }
    table->pairs += (unsigned)*added;
    return result;
}

/* Keeps for Python what is not in the table: pairs of the batch from `first` on, and one that the batch did not take. */
static int keep_refused(Table *table, const Batch *batch, int first, PyObject *last)
{
    PyObject *list = PyList_New(0);
    for (int i = first; i < batch->count && list != NULL; i++) {
        PyObject *pair = PyTuple_Pack(2, batch->pending[i].object, batch->pending[i].value);
        if (pair == NULL || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    if (list != NULL && last != NULL && PyList_Append(list, last) < 0)
        Py_CLEAR(list);
    if (list == NULL)
        return -1;
    Py_XSETREF(table->refused, list);
    return 0;
}

/* Takes pairs of an iterator. IS_FULL: the batch is, the table perhaps not; ADDED_ALL: the iterator has ended; IS_REFUSED:
   the batch did not take `*refused`, a new reference; -1: an exception is set. */
static int batch_fill(const Table *table, Batch *batch, PyObject *iterator, PyObject **refused)
{
    while (!batch_is_full(table, batch)) {
        PyObject *pair = Py_TYPE(iterator)->tp_iternext(iterator);
        if (pair == NULL) {
            if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_StopIteration))
                return -1;
            PyErr_Clear();
            return ADDED_ALL;
        }
        int result = batch_take_pair(table, batch, pair);
        if (result == 0) {
            *refused = pair;
            return IS_REFUSED;
        }
        Py_DECREF(pair);
        if (result < 0)
            return -1;
    }
    return IS_FULL;
}

PyObject *table_add(Table *table, PyObject *iterator)
{
    if (Py_TYPE(iterator)->tp_iternext == NULL)
        return PyErr_Format(PyExc_TypeError, "add() takes an iterator, not %.100s", Py_TYPE(iterator)->tp_name);
    table_forget_order(table);
    Batch batch;
    batch_start(&batch);
    int status;
    do {
        PyObject *refused = NULL;
        status = batch_fill(table, &batch, iterator, &refused);
        int added = 0, result = status < 0 ? -1 : batch_add(table, &batch, &added);
        if (result != 1)
            status = result < 0 ? -1 : IS_REFUSED;
        if (status == IS_REFUSED && keep_refused(table, &batch, added, refused) < 0)
            status = -1;
        Py_XDECREF(refused);
        batch_drop_pairs(&batch);
    } while (status == IS_FULL && !table_is_full(table));
    buffer_clear(&batch.values);
    return status < 0 ? NULL : PyLong_FromLong(status);
}

/* As batch_fill, from a dict. */
static int batch_fill_of_dict(const Table *table, Batch *batch, PyObject *dict, Py_ssize_t *place)
{
    PyObject *object, *value;
    while (!batch_is_full(table, batch)) {
        if (!PyDict_Next(dict, place, &object, &value))
            return ADDED_ALL;
        int result = batch_take(table, batch, object, value);
        if (result != 1)
            return result < 0 ? -1 : IS_REFUSED;
    }
    return IS_FULL;
}

/* add_dict(dict, skip) -> (what `add` returns, how many of its pairs are in the table, the skipped ones included). */
PyObject *table_add_dict(Table *table, PyObject *arguments)
{
    PyObject *dict;
    Py_ssize_t skip, place = 0, done = 0;
    if (!PyArg_ParseTuple(arguments, "O!n:add_dict", &PyDict_Type, &dict, &skip))
        return NULL;
    table_forget_order(table);
    while (done < skip && PyDict_Next(dict, &place, NULL, NULL))
        done++;
    Batch batch;
    batch_start(&batch);
    int status;
    do {
        status = batch_fill_of_dict(table, &batch, dict, &place);
        int added = 0, result = status < 0 ? -1 : batch_add(table, &batch, &added);
        if (result != 1)
            status = result < 0 ? -1 : IS_REFUSED;
        done += added;
        batch_drop_pairs(&batch);
    } while (status == IS_FULL && !table_is_full(table));
    buffer_clear(&batch.values);
    return status < 0 ? NULL : Py_BuildValue("(in)", status, done);
}
