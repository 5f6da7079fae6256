/* The core's exceptions: what is wrong with a block is the machine's fault, what is unfit is for Python. */
#include "core.h"

PyObject *Unfit;

int damaged(const char *what)
{
    PyObject *arguments = Py_BuildValue("(is)", EIO, what);
    if (arguments != NULL)
        PyErr_SetObject(PyExc_OSError, arguments);
    Py_XDECREF(arguments);
    return -1;
}

/* Text that is no UTF-8, say: a key or a value that was never written so. */
PyObject *checked(PyObject *decoded)
{
    if (decoded == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        damaged("a block of map output is damaged: a key or value is not what it says it is");
    }
    return decoded;
}
