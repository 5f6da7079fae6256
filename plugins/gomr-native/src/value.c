/* Values and keys as `marshal` version 2 writes them: a format without references, so equal data gives equal bytes. */
#include "core.h"

#include <marshal.h>
#include <string.h>

enum { MARSHAL_VERSION = 2, DIGIT_BITS = 15, DIGIT_MASK = 0x7FFF, DEPTH_MAX = 8 };

int encode_integer(Buffer *buffer, int64_t value)
{
    if (value >= INT32_MIN && value <= INT32_MAX) {
        char *at = buffer_extend(buffer, 5);
        if (at == NULL)
            return -1;
        at[0] = 'i';
        put_number(at + 1, (uint32_t)value);
        return 0;
    }
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char digits[5 + 2 * 5];
    int count = 0;
    for (; rest != 0; rest >>= DIGIT_BITS, count++) {
        digits[5 + 2 * count] = (char)(rest & 0xFF);
        digits[6 + 2 * count] = (char)(rest >> 8 & DIGIT_MASK >> 8);
    }
    digits[0] = 'l';
    put_number(digits + 1, (uint32_t)(value < 0 ? -count : count));
    return buffer_add(buffer, digits, 5 + 2 * (size_t)count);
}

int encode_text(Buffer *buffer, char tag, const char *bytes, size_t length)
{
    char *at = buffer_extend(buffer, 5 + length);
    if (at == NULL)
        return -1;
    at[0] = tag;
    put_number(at + 1, (uint32_t)length);
    memcpy(at + 5, bytes, length);
    return 0;
}

int encode_key(Buffer *buffer, const Key *key)
{
    if (key->kind == KEY_INT)
        return encode_integer(buffer, key_number(key));
    return encode_text(buffer, key->kind == KEY_STR ? 'u' : 's', key->bytes, key->length);
}

/* Says whether marshal gives back what it was given: exact plain types, and tuples of them. */
static bool is_plain(PyObject *value, int depth)
{
    if (value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) || PyFloat_CheckExact(value)
        || PyUnicode_CheckExact(value) || PyBytes_CheckExact(value))
        return true;
    if (!PyTuple_CheckExact(value) || depth >= DEPTH_MAX)
        return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++)
        if (!is_plain(PyTuple_GET_ITEM(value, i), depth + 1))
            return false;
    return true;
}

static int encode_by_marshal(Buffer *buffer, PyObject *value)
{
    PyObject *bytes = PyMarshal_WriteObjectToString(value, MARSHAL_VERSION);
    if (bytes == NULL)
        return -1;
    int result = buffer_add(buffer, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return result < 0 ? -1 : 1;
}

int encode_value(Buffer *buffer, PyObject *value)
{
    if (PyLong_CheckExact(value)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (!overflow)
            return encode_integer(buffer, number) < 0 ? -1 : 1;
    } else if (PyUnicode_CheckExact(value) && PyUnicode_IS_COMPACT_ASCII(value)
               && PyUnicode_GET_LENGTH(value) <= INT32_MAX) {
        size_t length = (size_t)PyUnicode_GET_LENGTH(value);
        return encode_text(buffer, 'u', PyUnicode_DATA(value), length) < 0 ? -1 : 1;
    }
    return is_plain(value, 0) ? encode_by_marshal(buffer, value) : 0;
}

/* Reads what follows the tag of a long int of at most 64 bits; the reader stands behind it also where it is longer. */
static int read_digits(Reader *reader, int64_t *value)
{
    if (reader->end - reader->at < 4)
        return -1;
    int32_t signed_count = (int32_t)number_at(reader->at);
    reader->at += 4;
    uint64_t count = signed_count < 0 ? -(uint64_t)(int64_t)signed_count : (uint64_t)signed_count;
    if ((uint64_t)(reader->end - reader->at) < 2 * count)
        return -1;
    const unsigned char *digit = (const unsigned char *)reader->at;
    reader->at += 2 * count;
    uint64_t size = 0;
    if (count > 5)
        return 0;
    for (uint64_t i = count; i-- > 0;) {
        uint64_t part = digit[2 * i] | (uint64_t)digit[2 * i + 1] << 8;
        if (part > DIGIT_MASK || size >> (64 - DIGIT_BITS) != 0)
            return 0;
        size = size << DIGIT_BITS | part;
    }
    if (size > (uint64_t)INT64_MAX + (signed_count < 0))
        return 0;
    *value = (int64_t)(signed_count < 0 ? -size : size);
    return 1;
}

int read_integer(Reader *reader, int64_t *value)
{
    if (reader->at >= reader->end)
        return -1;
    char tag = *reader->at;
    if (tag == 'l') {
        reader->at++;
        return read_digits(reader, value);
    }
    if (tag != 'i')
        return 0;
    if (reader->end - reader->at < 5)
        return -1;
    *value = (int32_t)number_at(reader->at + 1);
    reader->at += 5;
    return 1;
}

int read_key(Reader *reader, Key *key, KeyRoom *room)
{
    if (reader->at >= reader->end)
        return -1;
    char tag = *reader->at;
    if (tag == 'u' || tag == 's') {
        uint32_t length;
        reader->at++;
        if (read_count(reader, &length) < 0 || (uint32_t)(reader->end - reader->at) < length)
            return -1;
        key_set(key, tag == 'u' ? KEY_STR : KEY_BYTES, reader->at, length);
        reader->at += length;
        return 1;
    }
    int64_t number;
    int result = read_integer(reader, &number);
    if (result == 1)
        key_set_number(key, room, number);
    return result;
}

/* Skips a value of `left` parts still to come: one, and those of tuples in it. */
int skip_value(Reader *reader)
{
    uint64_t left = 1;
    while (left-- > 0) {
        if (reader->at >= reader->end)
            return -1;
        uint32_t length = 0;
        int64_t number;
        switch (*reader->at) {
        case 'N':
        case 'T':
        case 'F':
            reader->at++;
            continue;
        case 'i':
        case 'l':
            if (read_integer(reader, &number) < 0)
                return -1;
            continue;
        case 'g':
            length = 8;
            reader->at++;
            break;
        case 'u':
        case 's':
            reader->at++;
            if (read_count(reader, &length) < 0)
                return -1;
            break;
        case '(':
            reader->at++;
            if (read_count(reader, &length) < 0)
                return -1;
            left += length;
            continue;
        default:
            return 0;
        }
        if ((uint64_t)(reader->end - reader->at) < length)
            return -1;
        reader->at += length;
    }
    return 1;
}

PyObject *value_object(const char *bytes, size_t length)
{
    Reader reader = {bytes, bytes + length};
    int64_t number;
    if (length > 0 && (*bytes == 'i' || *bytes == 'l') && read_integer(&reader, &number) == 1)
        return PyLong_FromLongLong(number);
    return checked(PyMarshal_ReadObjectFromString(bytes, (Py_ssize_t)length));
}
