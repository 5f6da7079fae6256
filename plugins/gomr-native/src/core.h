/* What the files of the native core share: memory, keys, values, frames. See the README for who uses what. */
#ifndef GOMR_CORE_H
#define GOMR_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "key.h"

/* -- errors.c ---------------------------------------------------------------------------------------------------- */

/* The exception that says: this data is for the standard-library path. */
extern PyObject *Unfit;
/* Sets the OSError of a failing disk, for a block that is not what was written; returns -1. */
int damaged(const char *what);
PyObject *checked(PyObject *decoded); /* damaged() in place of a ValueError */

/* -- memory.c: every allocation goes through here, so that it can be counted, and made to fail by the tests ------- */

void *core_realloc(void *old, size_t bytes); /* NULL with MemoryError set */
void core_free(void *memory);

typedef struct ArenaPiece {
    struct ArenaPiece *next;
    size_t used, size;
    char bytes[];
} ArenaPiece;

/* Memory that is taken in small pieces and let go all at once. */
typedef struct {
    ArenaPiece *pieces;
    size_t total_bytes;
} Arena;

void *arena_take(Arena *arena, size_t bytes); /* aligned to 8; NULL with MemoryError set */
void arena_clear(Arena *arena);

/* -- key.c ------------------------------------------------------------------------------------------------------- */

/* Room for the bytes of a key that has none of its own. */
typedef struct {
    char number[8];
    PyObject *encoded;
} KeyRoom;

/* 1: done; 0: of a type that the core does not take; -1: an exception is set. `room` must start as zeros, and outlive
   the key; its `encoded` is the caller's to let go. */
int key_of_object(PyObject *object, Key *key, KeyRoom *room);
PyObject *key_object(const Key *key);
void key_set_number(Key *key, KeyRoom *room, int64_t number);
int64_t key_number(const Key *key);
uint64_t key_hash(const Key *key, uint64_t seed);
uint32_t key_partition(const Key *key, uint32_t partitions);
void crc32_prepare(void);

/* -- value.c: values as `marshal` version 2 writes them ------------------------------------------------------------ */

int encode_integer(Buffer *buffer, int64_t value);
int encode_text(Buffer *buffer, char tag, const char *bytes, size_t length);
int encode_key(Buffer *buffer, const Key *key);

/* 1: appended; 0: of a type that marshal would change or does not know; -1: an exception is set. */
int encode_value(Buffer *buffer, PyObject *value);

int read_integer(Reader *reader, int64_t *value);     /* 1; 0 where it is no int of 64 bits; -1 where cut short */
int read_key(Reader *reader, Key *key, KeyRoom *room); /* 1; 0 where the core does not take it; -1 where cut short */
int skip_value(Reader *reader);                       /* 1; 0 for a value with parts; -1 where cut short */
PyObject *value_object(const char *bytes, size_t length);

/* -- frame.c: frames of sorted entries, as gomr/job/frames.py describes them --------------------------------------- */

enum { HEADER_BYTES = 9, VALUES_PER_FRAME = 4096, FRAME_BYTES_MAX = 512 * 1024 };
enum { PLAIN_FLAT, PLAIN_LISTS, PACKED_FLAT, PACKED_LISTS, CODEC_MASK = 3, KEY_KIND_SHIFT = 2, RECORDS = 0x80 };

/* Gathers entries of one kind of key, and writes a frame when it is full. */
typedef struct {
    PyObject *write; /* called with the bytes of each frame; borrowed */
    Buffer keys, values;
    Buffer parts; /* a Part for each entry */
    uint64_t entries, all_values;
    int kind;
} FrameWriter;

PyObject *frame_of(size_t length); /* bytes for a header and a payload of so many bytes; OverflowError above 4 GiB */
int frame_write(PyObject *write, PyObject *frame, unsigned char codec); /* with its header filled in; takes `frame`; 0 or -1 */
int frame_begin(FrameWriter *writer, const Key *key, uint64_t values); /* an entry of so many values to come */
int frame_values(FrameWriter *writer, const Key *key, Reader values, uint64_t count);
int frame_integer(FrameWriter *writer, const Key *key, int64_t value); /* an entry of one value, whole */
int frame_flush(FrameWriter *writer);
void frame_clear(FrameWriter *writer);

/* Reads the entries of a block, one after the other. */
typedef struct {
    char *path;
    int64_t offset, end; /* of what is not read yet */
    Buffer payload;
    Reader keys, values; /* within the payload */
    uint32_t left;       /* entries of this frame */
    bool flat;
    Key key; /* of the entry in hand */
    KeyRoom room;
    uint32_t count;       /* its values ... */
    Reader entry_values; /* ... which start here */
} Cursor;

extern PyObject *zlib_crc32; /* Python's zlib.crc32, which knows this processor's fastest way */

/* Reads the frame at `*offset` of a block that ends at `end`, and checks it; moves `*offset` behind it. 0 or -1. */
int load_frame(const char *path, int64_t *offset, int64_t end, Buffer *payload, unsigned char *codec);
char *path_copy(const char *path); /* NULL with MemoryError set */
int cursor_open(Cursor *cursor, const char *path, int64_t offset, int64_t length);
int cursor_next(Cursor *cursor); /* 1: an entry is in hand; 0: the end; -1: an exception is set */
void cursor_close(Cursor *cursor);
PyObject *scan_block(PyObject *module, PyObject *arguments);

/* -- sort.c --------------------------------------------------------------------------------------------------------- */

/* What is sorted in place of keys of one kind: the first 16 bytes tell nearly all of them apart. */
typedef struct {
    uint64_t prefix, next; /* eight bytes each, big-endian */
    const void *entry;
} SortItem;

/* The order of items whose first 16 bytes are the same. */
typedef struct {
    bool (*is_less)(const SortItem *left, const SortItem *right, const void *context);
    const void *context;
} Order;

void sort_items(SortItem *items, SortItem *room, size_t count, const Order *order); /* stable; `room` is for all of them */

/* -- records.c ------------------------------------------------------------------------------------------------------ */

extern PyType_Spec record_sort_spec, record_merge_spec;

/* -- table.c, merge.c, text.c: what Python sees --------------------------------------------------------------------- */

extern PyType_Spec table_spec, merge_spec, values_spec, stream_spec;
extern PyTypeObject *values_type, *stream_type;

/* 1: appended; 0: this is for Python; -1: an exception is set. */
int text_key(Buffer *buffer, const Key *key);
int text_number(Buffer *buffer, int64_t value); /* with the tab before and the newline after it */
int text_of_python(Buffer *buffer, PyObject *function, PyObject *pair); /* the line that `function` makes; 1 or -1 */
PyObject *write_text(PyObject *module, PyObject *arguments);

/* What Table.add returns. */
enum { ADDED_ALL, IS_FULL, IS_REFUSED };

/* What becomes of a key's values: they are kept one by one, or folded into one int of 64 bits. */
typedef enum { KEEP, TOTAL, LARGEST, SMALLEST, FIRST, FOLDS } Fold;
static inline int fold(Fold how, int64_t *so_far, int64_t value) /* 0; -1 where the sum takes more than 64 bits */
{
    int64_t sum;
    if (how == TOTAL && __builtin_add_overflow(*so_far, value, &sum))
        return -1;
    if (how == TOTAL)
        *so_far = sum;
    if ((how == LARGEST && value > *so_far) || (how == SMALLEST && value < *so_far))
        *so_far = value;
    return 0;
}

#endif
