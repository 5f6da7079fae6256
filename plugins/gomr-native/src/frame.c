/* Frames of sorted entries: the same bytes as gomr/job/frames.py writes and reads. */
#include "core.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* One entry of a frame that is being gathered: how many values, in how many bytes. */
typedef struct {
    uint64_t count, bytes;
} Part;

static int start_entry(FrameWriter *writer, const Key *key)
{
    Part part = {0, 0};
    if (encode_key(&writer->keys, key) < 0 || buffer_add(&writer->parts, &part, sizeof part) < 0)
        return -1;
    writer->kind = key->kind;
    writer->entries++;
    return 0;
}

PyObject *zlib_crc32;

static int checksum_of(unsigned char codec, const char *bytes, size_t length, uint32_t *checksum)
{
    PyObject *view = PyMemoryView_FromMemory((char *)bytes, (Py_ssize_t)length, PyBUF_READ);
    PyObject *answer = view == NULL ? NULL : PyObject_CallFunction(zlib_crc32, "Oi", view, (int)codec);
    Py_XDECREF(view);
    if (answer == NULL)
        return -1;
    *checksum = (uint32_t)PyLong_AsUnsignedLong(answer);
    Py_DECREF(answer);
    return PyErr_Occurred() ? -1 : 0;
}

static Part *last_part(FrameWriter *writer)
{
    return (Part *)(void *)(writer->parts.bytes + writer->parts.length) - 1;
}

int frame_begin(FrameWriter *writer, const Key *key, uint64_t values)
{
    bool is_full = writer->all_values + values > VALUES_PER_FRAME
        || writer->keys.length + writer->values.length > FRAME_BYTES_MAX;
    if (writer->entries > 0 && (is_full || writer->kind != key->kind) && frame_flush(writer) < 0)
        return -1;
    return start_entry(writer, key);
}

static int add_to_entry(FrameWriter *writer, const char *bytes, size_t length, uint64_t count)
{
    if (buffer_add(&writer->values, bytes, length) < 0)
        return -1;
    Part *part = last_part(writer);
    part->count += count;
    part->bytes += length;
    writer->all_values += count;
    return 0;
}

/* Adds values to the entry that was begun; a key with more of them than a frame takes stands in several frames. */
int frame_values(FrameWriter *writer, const Key *key, Reader values, uint64_t count)
{
    size_t bytes = writer->values.length + (size_t)(values.end - values.at);
    if (last_part(writer)->count + count <= VALUES_PER_FRAME && bytes <= FRAME_BYTES_MAX)
        return add_to_entry(writer, values.at, (size_t)(values.end - values.at), count);
    while (count-- > 0) {
        const char *start = values.at;
        if (skip_value(&values) != 1)
            return damaged("a value that was encoded cannot be read");
        uint64_t before = last_part(writer)->count;
        if (before == VALUES_PER_FRAME || (before > 0 && writer->values.length > FRAME_BYTES_MAX))
            if (frame_flush(writer) < 0 || start_entry(writer, key) < 0)
                return -1;
        if (add_to_entry(writer, start, (size_t)(values.at - start), 1) < 0)
            return -1;
    }
    return 0;
}

int frame_integer(FrameWriter *writer, const Key *key, int64_t value)
{
    if (frame_begin(writer, key, 1) < 0)
        return -1;
    size_t before = writer->values.length;
    if (encode_integer(&writer->values, value) < 0)
        return -1;
    *last_part(writer) = (Part){1, writer->values.length - before};
    writer->all_values++;
    return 0;
}

/* Appends `[` and a count; returns where the list's items go. */
static char *put_list(char *at, uint64_t count)
{
    *at = '[';
    put_number(at + 1, (uint32_t)count);
    return at + 5;
}

static char *put_bytes(char *at, const char *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

static void fill_payload(const FrameWriter *writer, bool flat, char *at)
{
    *at++ = '(';
    put_number(at, 2);
    at = put_list(at + 4, writer->entries);
    at = put_bytes(at, writer->keys.bytes, writer->keys.length);
    at = put_list(at, writer->entries);
    if (flat) {
        put_bytes(at, writer->values.bytes, writer->values.length);
        return;
    }
    const Part *parts = (const Part *)(void *)writer->parts.bytes;
    const char *values = writer->values.bytes;
    for (uint64_t i = 0; i < writer->entries; i++) {
        at = put_list(at, parts[i].count);
        at = put_bytes(at, values, parts[i].bytes);
        values += parts[i].bytes;
    }
}

PyObject *frame_of(size_t length)
{
    if (length > UINT32_MAX)
        return PyErr_Format(PyExc_OverflowError, "a key, its values or a record of %zu bytes: more than 4 GiB", length);
    return PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(HEADER_BYTES + length));
}

int frame_write(PyObject *write, PyObject *frame, unsigned char codec)
{
    char *header = PyBytes_AS_STRING(frame);
    size_t length = (size_t)PyBytes_GET_SIZE(frame) - HEADER_BYTES;
    uint32_t checksum;
    PyObject *written = NULL;
    header[0] = (char)codec;
    put_number(header + 1, (uint32_t)length);
    if (checksum_of(codec, header + HEADER_BYTES, length, &checksum) == 0) {
        put_number(header + 5, checksum);
        written = PyObject_CallOneArg(write, frame);
    }
    Py_DECREF(frame);
    Py_XDECREF(written);
    return written == NULL ? -1 : 0;
}

int frame_flush(FrameWriter *writer)
{
    if (writer->entries == 0)
        return 0;
    bool flat = writer->all_values == writer->entries;
    size_t length = 15 + writer->keys.length + writer->values.length + (flat ? 0 : 5 * writer->entries);
    PyObject *frame = frame_of(length);
    if (frame == NULL)
        return -1;
    fill_payload(writer, flat, PyBytes_AS_STRING(frame) + HEADER_BYTES);
    writer->keys.length = writer->values.length = writer->parts.length = 0;
    writer->entries = writer->all_values = 0;
    unsigned char codec = (unsigned char)((flat ? PLAIN_FLAT : PLAIN_LISTS) | (writer->kind + 1) << KEY_KIND_SHIFT);
    return frame_write(writer->write, frame, codec);
}

void frame_clear(FrameWriter *writer)
{
    buffer_clear(&writer->keys);
    buffer_clear(&writer->values);
    buffer_clear(&writer->parts);
}

/* Reads `length` bytes at `offset`; the file is open only while it is read, so that any number may be merged. */
static int read_file(const char *path, int64_t offset, char *bytes, size_t length)
{
    int error = 0;
    Py_BEGIN_ALLOW_THREADS
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        error = errno;
    while (error == 0 && length > 0) {
        ssize_t got = pread(file, bytes, length, offset);
        if (got < 0 && errno != EINTR)
            error = errno;
        if (got == 0)
            break;
        if (got > 0) {
            bytes += got;
            offset += got;
            length -= (size_t)got;
        }
    }
    if (file >= 0)
        close(file);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        errno = error;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
        return -1;
    }
    return length > 0 ? damaged("a block of map output is cut short") : 0;
}

char *path_copy(const char *path)
{
    size_t size = strlen(path) + 1;
    char *copy = core_realloc(NULL, size);
    if (copy != NULL)
        memcpy(copy, path, size);
    return copy;
}

int cursor_open(Cursor *cursor, const char *path, int64_t offset, int64_t length)
{
    *cursor = (Cursor){.offset = offset, .end = offset + length, .path = path_copy(path)};
    return cursor->path == NULL ? -1 : 0;
}

void cursor_close(Cursor *cursor)
{
    core_free(cursor->path);
    cursor->path = NULL;
    buffer_clear(&cursor->payload);
}

/* Finds the two columns of a payload. */
static int find_columns(Cursor *cursor)
{
    Reader reader = {cursor->payload.bytes, cursor->payload.bytes + cursor->payload.length};
    uint32_t two, keys, values;
    if (read_tag(&reader, '(') < 0 || read_count(&reader, &two) < 0 || two != 2)
        return -1;
    if (read_tag(&reader, '[') < 0 || read_count(&reader, &keys) < 0)
        return -1;
    cursor->keys = reader;
    for (uint32_t i = 0; i < keys; i++)
        if (skip_value(&reader) != 1)
            return -1;
    cursor->keys.end = reader.at;
    if (read_tag(&reader, '[') < 0 || read_count(&reader, &values) < 0 || values != keys)
        return -1;
    cursor->values = reader;
    cursor->left = keys;
    return 0;
}

int load_frame(const char *path, int64_t *offset, int64_t end, Buffer *payload, unsigned char *codec)
{
    char header[HEADER_BYTES];
    if (end - *offset < HEADER_BYTES)
        return damaged("a block of map output is cut short");
    if (read_file(path, *offset, header, HEADER_BYTES) < 0)
        return -1;
    *codec = (unsigned char)header[0];
    uint32_t length = number_at(header + 1), checksum = number_at(header + 5);
    *offset += HEADER_BYTES;
    if (length > end - *offset)
        return damaged("a block of map output is cut short");
    payload->length = 0;
    if (buffer_extend(payload, length) == NULL || read_file(path, *offset, payload->bytes, length) < 0)
        return -1;
    *offset += length;
    uint32_t found;
    if (checksum_of(*codec, payload->bytes, length, &found) < 0)
        return -1;
    if (found != checksum)
        return damaged("a block of map output is damaged: its checksum does not match");
    return 0;
}

static int next_frame(Cursor *cursor)
{
    unsigned char codec;
    if (load_frame(cursor->path, &cursor->offset, cursor->end, &cursor->payload, &codec) < 0)
        return -1;
    if ((codec & CODEC_MASK) > PLAIN_LISTS || codec >> KEY_KIND_SHIFT == 0) {
        PyErr_SetString(Unfit, "a frame of pickled values, or of keys of several kinds");
        return -1;
    }
    cursor->flat = (codec & CODEC_MASK) == PLAIN_FLAT;
    return find_columns(cursor) < 0 ? damaged("a block of map output is damaged: a frame has no two columns") : 0;
}

int cursor_next(Cursor *cursor)
{
    while (cursor->left == 0) {
        if (cursor->offset >= cursor->end)
            return 0;
        if (next_frame(cursor) < 0)
            return -1;
    }
    cursor->left--;
    if (read_key(&cursor->keys, &cursor->key, &cursor->room) != 1)
        return damaged("a block of map output is damaged: a key cannot be read");
    cursor->count = 1;
    if (!cursor->flat && (read_tag(&cursor->values, '[') < 0 || read_count(&cursor->values, &cursor->count) < 0))
        return damaged("a block of map output is damaged: a list of values cannot be read");
    cursor->entry_values.at = cursor->values.at;
    for (uint32_t i = 0; i < cursor->count; i++)
        if (skip_value(&cursor->values) != 1)
            return damaged("a block of map output is damaged: a value cannot be read");
    cursor->entry_values.end = cursor->values.at;
    return 1;
}

/* scan(path, offset, length) -> (largest payload in bytes, whether the core can read every frame). */
PyObject *scan_block(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    const char *path;
    long long offset, length;
    if (!PyArg_ParseTuple(arguments, "sLL:scan", &path, &offset, &length))
        return NULL;
    uint32_t largest = 0;
    bool fit = true;
    int64_t end = offset + length;
    while (offset < end) {
        char header[HEADER_BYTES];
        if (end - offset < HEADER_BYTES)
            damaged("a block of map output is cut short");
        else
            read_file(path, offset, header, HEADER_BYTES);
        if (PyErr_Occurred())
            return NULL;
        unsigned char codec = (unsigned char)header[0];
        uint32_t size = number_at(header + 1);
        fit = fit && (codec & CODEC_MASK) <= PLAIN_LISTS && codec >> KEY_KIND_SHIFT != 0;
        largest = size > largest ? size : largest;
        offset += HEADER_BYTES + (int64_t)size;
    }
    return Py_BuildValue("(IN)", largest, PyBool_FromLong(fit));
}
