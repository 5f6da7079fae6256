/* The extension module: its types, its exceptions, its constants. */
#include "core.h"

#ifdef GOMR_FAILING_ALLOCATIONS
extern long core_allocations_left;

static PyObject *fail_after(PyObject *Py_UNUSED(module), PyObject *argument)
{
    core_allocations_left = PyLong_AsLong(argument);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}
#endif

static PyMethodDef functions[] = {
    {"scan", scan_block, METH_VARARGS,
     "Return the largest payload of a block in bytes, and whether the core can read all its frames."},
    {"write_text", write_text, METH_VARARGS,
     "Write pairs as lines of text, those that the core cannot write by a function; return how many."},
#ifdef GOMR_FAILING_ALLOCATIONS
    {"fail_after", fail_after, METH_O, "Let so many allocations succeed and the rest fail; below 0: none fails."},
#endif
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return result;
}

static int fill(PyObject *module)
{
    crc32_prepare();
    const char *summary = "This data is not for the core: take the standard-library path.";
    Unfit = PyErr_NewExceptionWithDoc("gomr_native._core.Unfit", summary, NULL, NULL);
    if (Unfit == NULL || PyModule_AddObjectRef(module, "Unfit", Unfit) < 0 || add_type(module, &table_spec) < 0 || add_type(module, &merge_spec) < 0
        || add_type(module, &record_sort_spec) < 0 || add_type(module, &record_merge_spec) < 0)
        return -1;
    PyObject *zlib = PyImport_ImportModule("zlib");
    zlib_crc32 = zlib == NULL ? NULL : PyObject_GetAttrString(zlib, "crc32");
    Py_XDECREF(zlib);
    if (zlib_crc32 == NULL)
        return -1;
    values_type = (PyTypeObject *)PyType_FromSpec(&values_spec);
    stream_type = (PyTypeObject *)PyType_FromSpec(&stream_spec);
    if (values_type == NULL || stream_type == NULL)
        return -1;
    return PyModule_AddIntConstant(module, "KEEP", KEEP) < 0 || PyModule_AddIntConstant(module, "TOTAL", TOTAL) < 0
            || PyModule_AddIntConstant(module, "LARGEST", LARGEST) < 0
            || PyModule_AddIntConstant(module, "SMALLEST", SMALLEST) < 0
            || PyModule_AddIntConstant(module, "FIRST", FIRST) < 0
            || PyModule_AddIntConstant(module, "ADDED_ALL", ADDED_ALL) < 0
            || PyModule_AddIntConstant(module, "IS_FULL", IS_FULL) < 0
            || PyModule_AddIntConstant(module, "IS_REFUSED", IS_REFUSED) < 0
        ? -1
        : 0;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gomr_native._core",
    .m_doc = "The data plane of gomr's tasks in C.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && fill(module) < 0)
        Py_CLEAR(module);
    return module;
}
