/* Table as Python sees it: collects (key, value) pairs by key within a budget, and writes them as frames, keys in order. */
#include "table.h"

#include <stddef.h>

static PyObject *table_clear(Table *table, PyObject *Py_UNUSED(nothing))
{
    table_empty(table);
    Py_RETURN_NONE;
}

static PyObject *get_used_bytes(Table *table, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(table_used_bytes(table));
}

static PyObject *table_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    int how;
    Py_ssize_t budget_bytes;
    unsigned long long seed;
    if (!PyArg_ParseTuple(arguments, "inK:Table", &how, &budget_bytes, &seed))
        return NULL;
    if (how < KEEP || how >= FOLDS)
        return PyErr_Format(PyExc_ValueError, "Table(): no fold %d", how);
    Table *table = (Table *)type->tp_alloc(type, 0);
    if (table != NULL) {
        table->fold = (Fold)how;
        table->budget_bytes = (size_t)budget_bytes;
        table->seed = seed;
    }
    return (PyObject *)table;
}

static void table_dealloc(Table *table)
{
    PyTypeObject *type = Py_TYPE(table);
    table_empty(table);
    Py_XDECREF(table->refused);
    type->tp_free(table);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"add", (PyCFunction)table_add, METH_O,
     "Add pairs of an iterator until it ends, the table is full, or a pair is refused; return which."},
    {"add_dict", (PyCFunction)table_add_dict, METH_VARARGS,
     "Add pairs of a dict but the first few; return as `add`, and how many of the dict are in the table."},
    {"deal", (PyCFunction)table_deal, METH_VARARGS, "Sort the entries by partition, kind of key, and key."},
    {"write", (PyCFunction)table_write, METH_VARARGS,
     "Write a partition's entries as frames; return how many, fewer than all where a value cannot be encoded."},
    {"entries", (PyCFunction)table_entries, METH_VARARGS, "Return a partition's entries but the first few."},
    {"drain", (PyCFunction)table_drain, METH_NOARGS, "Return the table as a dict in the order of its keys' coming; empty it."},
    {"clear", (PyCFunction)table_clear, METH_NOARGS, "Empty the table."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"pairs", T_ULONGLONG, offsetof(Table, pairs), READONLY, "How many pairs were added, all in all."},
    {"refused", T_OBJECT, offsetof(Table, refused), READONLY, "The pairs that were not added: one that was refused, and those after it."},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *get_keys(Table *table, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(table->entry_count);
}

static PyGetSetDef properties[] = {
    {"keys", (getter)get_keys, NULL, "How many keys the table holds.", NULL},
    {"used_bytes", (getter)get_used_bytes, NULL, "The memory that the table holds, and needs to sort itself.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Table(fold, budget_bytes, seed): pairs by key, in memory."},
    {Py_tp_new, table_new},
    {Py_tp_dealloc, table_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec table_spec = {"gomr_native._core.Table", sizeof(Table), 0, Py_TPFLAGS_DEFAULT, slots};
