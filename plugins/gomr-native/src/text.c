/* Lines of the `text` output format: key, tab, value, newline; see gomr/job/outputs.py for the rules. */
#include "core.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { WRITE_BYTES = 256 * 1024 };

/* What a backslash comes before, and as which letter; 0 for bytes that stand as they are. */
static const char escapes[256] = {['\\'] = '\\', ['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r'};

/* A lone surrogate in UTF-8 is ED, then A0 or more. */
static bool has_surrogate(const char *bytes, size_t length)
{
    const char *end = bytes + length, *at = bytes;
    while ((at = memchr(at, 0xED, (size_t)(end - at))) != NULL) {
        if (at + 1 < end && (unsigned char)at[1] >= 0xA0)
            return true;
        at++;
    }
    return false;
}

static int add_escaped(Buffer *buffer, const char *bytes, size_t length)
{
    char *out = buffer_extend(buffer, 2 * length);
    if (out == NULL)
        return -1;
    char *start = out;
    for (size_t i = 0; i < length; i++) {
        char letter = escapes[(unsigned char)bytes[i]];
        if (letter != 0)
            *out++ = '\\';
        *out++ = letter != 0 ? letter : bytes[i];
    }
    buffer->length -= 2 * length - (size_t)(out - start);
    return 1;
}

static int add_number(Buffer *buffer, int64_t number)
{
    char text[24], *end = text + sizeof text, *at = end;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        *--at = '-';
    return buffer_add(buffer, at, (size_t)(end - at)) < 0 ? -1 : 1;
}

int text_key(Buffer *buffer, const Key *key)
{
    if (key->kind == KEY_INT)
        return add_number(buffer, key_number(key));
    if (key->kind == KEY_STR && has_surrogate(key->bytes, key->length))
        return 0;
    return add_escaped(buffer, key->bytes, key->length);
}

int text_number(Buffer *buffer, int64_t value)
{
    if (buffer_add(buffer, "\t", 1) < 0 || add_number(buffer, value) < 0)
        return -1;
    return buffer_add(buffer, "\n", 1) < 0 ? -1 : 1;
}

int text_of_python(Buffer *buffer, PyObject *function, PyObject *pair)
{
    PyObject *line = pair == NULL ? NULL : PyObject_CallOneArg(function, pair);
    int result = -1;
    if (line != NULL && PyBytes_CheckExact(line))
        result = buffer_add(buffer, PyBytes_AS_STRING(line), (size_t)PyBytes_GET_SIZE(line)) < 0 ? -1 : 1;
    else if (line != NULL)
        PyErr_SetString(PyExc_TypeError, "the function that makes a line returns bytes");
    Py_XDECREF(line);
    return result;
}

/* Appends the text of a key or value. 1; 0 where Python must make the line; -1. */
static int add_object(Buffer *buffer, PyObject *object)
{
    Key key;
    KeyRoom room = {0};
    int result = key_of_object(object, &key, &room);
    if (result == 1)
        result = text_key(buffer, &key);
    Py_XDECREF(room.encoded);
    return result;
}

static int add_pair(Buffer *buffer, PyObject *pair, PyObject *function)
{
    size_t before = buffer->length;
    int result = 0;
    if (PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2) {
        result = add_object(buffer, PyTuple_GET_ITEM(pair, 0));
        if (result == 1)
            result = buffer_add(buffer, "\t", 1) < 0 ? -1 : add_object(buffer, PyTuple_GET_ITEM(pair, 1));
        if (result == 1)
            return buffer_add(buffer, "\n", 1) < 0 ? -1 : 1;
    }
    if (result < 0)
        return -1;
    buffer->length = before;
    return text_of_python(buffer, function, pair);
}

static int write_out(Buffer *buffer, PyObject *write)
{
    PyObject *bytes = PyBytes_FromStringAndSize(buffer->bytes, (Py_ssize_t)buffer->length);
    PyObject *written = bytes == NULL ? NULL : PyObject_CallOneArg(write, bytes);
    Py_XDECREF(bytes);
    Py_XDECREF(written);
    buffer->length = 0;
    return written == NULL ? -1 : 1;
}

/* write_text(pairs, write, line_of) -> how many pairs. */
PyObject *write_text(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *pairs, *write, *function, *pair;
    if (!PyArg_ParseTuple(arguments, "OOO:write_text", &pairs, &write, &function))
        return NULL;
    iternextfunc next = Py_TYPE(pairs)->tp_iternext;
    if (next == NULL)
        return PyErr_Format(PyExc_TypeError, "write_text() takes an iterator, not %.100s", Py_TYPE(pairs)->tp_name);
    Buffer buffer = {0};
    long long count = 0;
    int result = 1;
    while (result == 1 && (pair = next(pairs)) != NULL) {
        result = add_pair(&buffer, pair, function);
        Py_DECREF(pair);
        count++;
        if (result == 1 && buffer.length >= WRITE_BYTES)
            result = write_out(&buffer, write);
    }
    if (result == 1 && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_StopIteration))
        PyErr_Clear();
    if (result == 1 && !PyErr_Occurred() && buffer.length > 0)
        write_out(&buffer, write);
    buffer_clear(&buffer);
    return PyErr_Occurred() ? NULL : PyLong_FromLongLong(count);
}
