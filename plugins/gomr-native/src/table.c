/* Table: collects (key, value) pairs by key within a budget, and writes them as frames, keys in order. */
#include "core.h"

#include <stddef.h>
#include <string.h>

enum { SLOTS_MIN = 1024, PIECE_VALUE_BYTES_MIN = 16, PIECE_VALUE_BYTES_MAX = 4096, WRITE_AHEAD = 8, BATCH = 16 };

/* Encoded values of one key, in the order in which they were added. */
typedef struct ValuePiece {
    struct ValuePiece *next;
    uint32_t used, size, count;
    char bytes[];
} ValuePiece;

typedef struct {
    uint64_t count; /* of values added */
    union {
        int64_t folded;
        struct {
            ValuePiece *first, *last;
        };
    };
    uint64_t prefix; /* of the key */
    uint32_t length;
    uint8_t kind;
    char key[];
} Entry;

typedef struct {
    uint64_t hash; /* most other keys are told apart by it, without a look at their entry */
    Entry *entry;  /* NULL: free */
} Slot;

typedef struct {
    PyObject_HEAD
    Fold fold;
    uint64_t seed;
    size_t budget_bytes;
    Arena arena;
    Slot *slots; /* open addressing, linear probing, at most half full */
    size_t slot_count;
    Entry **entries; /* in the order in which their keys came */
    size_t entry_count, entry_room;
    SortItem *items; /* after `deal`: the entries by partition, kind of key, and key */
    size_t *starts;  /* where each partition's entries of a kind start in `items`; one more, for the end */
    uint32_t partitions;
    unsigned long long pairs;
    PyObject *refused;
} Table;

static Key key_of_entry(const Entry *entry)
{
    return (Key){.bytes = entry->key, .prefix = entry->prefix, .length = entry->length, .kind = entry->kind};
}

static size_t used_bytes(const Table *table)
{
    size_t sorting = 2 * sizeof(SortItem) * table->entry_count; /* what `deal` is going to take */
    return table->arena.total_bytes + table->slot_count * sizeof(Slot) + table->entry_room * sizeof(Entry *) + sorting;
}

static void forget_order(Table *table)
{
    core_free(table->items);
    core_free(table->starts);
    table->items = NULL;
    table->starts = NULL;
    table->partitions = 0;
}

static void table_empty(Table *table)
{
    forget_order(table);
    arena_clear(&table->arena);
    core_free(table->slots);
    core_free(table->entries);
    table->slots = NULL;
    table->entries = NULL;
    table->slot_count = table->entry_count = table->entry_room = 0;
}

static int grow_slots(Table *table)
{
    size_t count = table->slot_count ? table->slot_count * 2 : SLOTS_MIN;
    Slot *slots = core_realloc(NULL, count * sizeof *slots);
    if (slots == NULL)
        return -1;
    memset(slots, 0, count * sizeof *slots);
    for (const Slot *old = table->slots; old < table->slots + table->slot_count; old++) {
        if (old->entry == NULL)
            continue;
        size_t at = old->hash & (count - 1);
        while (slots[at].entry != NULL)
            at = (at + 1) & (count - 1);
        slots[at] = *old;
    }
    core_free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    return 0;
}

static int grow_entries(Table *table)
{
    size_t room = table->entry_room ? table->entry_room * 2 : SLOTS_MIN;
    Entry **entries = core_realloc(table->entries, room * sizeof *entries);
    if (entries == NULL)
        return -1;
    table->entries = entries;
    table->entry_room = room;
    return 0;
}

/* Returns the entry of a key, a new one with no values where there is none. */
static Entry *entry_of(Table *table, const Key *key, uint64_t hash)
{
    if (table->entry_count * 2 >= table->slot_count && grow_slots(table) < 0)
        return NULL;
    size_t at = hash & (table->slot_count - 1);
    for (Entry *entry; (entry = table->slots[at].entry) != NULL; at = (at + 1) & (table->slot_count - 1))
        if (table->slots[at].hash == hash && entry->prefix == key->prefix && entry->length == key->length
            && entry->kind == key->kind && memcmp(entry->key, key->bytes, key->length) == 0)
            return entry;
    if (table->entry_count == table->entry_room && grow_entries(table) < 0)
        return NULL;
    Entry *entry = arena_take(&table->arena, offsetof(Entry, key) + key->length);
    if (entry == NULL)
        return NULL;
    memset(entry, 0, offsetof(Entry, key));
    entry->prefix = key->prefix;
    entry->length = key->length;
    entry->kind = key->kind;
    memcpy(entry->key, key->bytes, key->length);
    table->slots[at] = (Slot){hash, entry};
    table->entries[table->entry_count++] = entry;
    return entry;
}

static int append_value(Table *table, Entry *entry, const char *bytes, size_t length)
{
    ValuePiece *last = entry->last;
    if (last == NULL || last->size - last->used < length) {
        size_t size = last == NULL ? PIECE_VALUE_BYTES_MIN : 2 * (size_t)last->size;
        size = size > PIECE_VALUE_BYTES_MAX ? PIECE_VALUE_BYTES_MAX : size;
        size = size < length ? length : size;
        ValuePiece *piece = arena_take(&table->arena, offsetof(ValuePiece, bytes) + size);
        if (piece == NULL)
            return -1;
        *piece = (ValuePiece){.size = (uint32_t)size};
        *(last == NULL ? &entry->first : &last->next) = piece;
        entry->last = last = piece;
    }
    memcpy(last->bytes + last->used, bytes, length);
    last->used += (uint32_t)length;
    last->count++;
    entry->count++;
    return 0;
}

/* The add functions: 1 when added, 0 when refused, -1 with an exception. */

static int add_folded(Table *table, const Key *key, uint64_t hash, PyObject *value)
{
    if (!PyLong_CheckExact(value))
        return 0;
    int overflow;
    int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow)
        return 0;
    Entry *entry = entry_of(table, key, hash);
    if (entry == NULL)
        return -1;
    if (entry->count == 0)
        entry->folded = number;
    else if (fold(table->fold, &entry->folded, number) < 0)
        return 0;
    entry->count++;
    return 1;
}

static int add_kept(Table *table, const Key *key, uint64_t hash, PyObject *value, Buffer *encoded)
{
    encoded->length = 0;
    int result = encode_value(encoded, value);
    if (result != 1 || encoded->length > INT32_MAX)
        return result < 0 ? -1 : 0;
    Entry *entry = entry_of(table, key, hash);
    if (entry == NULL || append_value(table, entry, encoded->bytes, encoded->length) < 0)
        return -1;
    return 1;
}

static int add_value(Table *table, const Key *key, uint64_t hash, PyObject *value, Buffer *encoded)
{
    int result = table->fold == KEEP ? add_kept(table, key, hash, value, encoded) : add_folded(table, key, hash, value);
    table->pairs += result == 1;
    return result;
}

static int add_pair(Table *table, PyObject *pair, Buffer *encoded)
{
    PyObject *object, *value;
    if (PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2) {
        object = PyTuple_GET_ITEM(pair, 0);
        value = PyTuple_GET_ITEM(pair, 1);
    } else if (PyList_CheckExact(pair) && PyList_GET_SIZE(pair) == 2) {
        object = PyList_GET_ITEM(pair, 0);
        value = PyList_GET_ITEM(pair, 1);
    } else {
        return 0;
    }
    Key key;
    KeyRoom room = {0};
    int result = key_of_object(object, &key, &room);
    if (result == 1)
        result = add_value(table, &key, key_hash(&key, table->seed), value, encoded);
    Py_XDECREF(room.encoded);
    return result;
}

static PyObject *table_add(Table *table, PyObject *iterator)
{
    iternextfunc next = Py_TYPE(iterator)->tp_iternext;
    if (next == NULL)
        return PyErr_Format(PyExc_TypeError, "add() takes an iterator, not %.100s", Py_TYPE(iterator)->tp_name);
    forget_order(table);
    Buffer encoded = {0};
    int result = 1;
    bool full = false;
    PyObject *pair;
    while (result == 1 && !full && (pair = next(iterator)) != NULL) {
        result = add_pair(table, pair, &encoded);
        if (result == 0)
            Py_XSETREF(table->refused, Py_NewRef(pair));
        Py_DECREF(pair);
        full = used_bytes(table) > table->budget_bytes;
    }
    buffer_clear(&encoded);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_StopIteration))
            return NULL;
        PyErr_Clear();
    }
    return PyLong_FromLong(result == 0 ? IS_REFUSED : full ? IS_FULL : ADDED_ALL);
}

/* Pairs of a dict that are on their way into the table: memory is asked for the slots of all, then for each entry. */
typedef struct {
    Key key;
    KeyRoom room;
    uint64_t hash;
    PyObject *value;
} Pending;

/* Takes the next pairs of a dict; returns how many. `*result` is that of the key after them: 0 where it is refused. */
static int gather(Table *table, PyObject *dict, Py_ssize_t *place, Pending *pending, int *result)
{
    int count = 0;
    PyObject *object;
    *result = 1;
    while (count < BATCH && PyDict_Next(dict, place, &object, &pending[count].value)) {
        Pending *one = &pending[count];
        one->room = (KeyRoom){0};
        *result = key_of_object(object, &one->key, &one->room);
        if (*result != 1) {
            Py_XDECREF(one->room.encoded);
            break;
        }
        one->hash = key_hash(&one->key, table->seed);
        if (table->slot_count > 0)
            __builtin_prefetch(&table->slots[one->hash & (table->slot_count - 1)]);
        count++;
    }
    for (int i = 0; i < count && table->slot_count > 0; i++)
        __builtin_prefetch(table->slots[pending[i].hash & (table->slot_count - 1)].entry);
    return count;
}

/* add_dict(dict, skip) -> (what `add` returns, how many of its pairs are in the table, the skipped ones included). */
static PyObject *table_add_dict(Table *table, PyObject *arguments)
{
    PyObject *dict;
    Py_ssize_t skip, place = 0, done = 0;
    if (!PyArg_ParseTuple(arguments, "O!n:add_dict", &PyDict_Type, &dict, &skip))
        return NULL;
    forget_order(table);
    while (done < skip && PyDict_Next(dict, &place, NULL, NULL))
        done++;
    Buffer encoded = {0};
    Pending pending[BATCH];
    int count, result = 1;
    bool full = false;
    do {
        int next_result;
        count = gather(table, dict, &place, pending, &next_result);
        for (int i = 0; i < count; i++) {
            if (result == 1 && !full) {
                result = add_value(table, &pending[i].key, pending[i].hash, pending[i].value, &encoded);
                done += result == 1;
                full = used_bytes(table) > table->budget_bytes;
            }
            Py_XDECREF(pending[i].room.encoded);
        }
        if (result == 1 && !full)
            result = next_result;
    } while (count == BATCH && result == 1 && !full);
    buffer_clear(&encoded);
    return result < 0 ? NULL : Py_BuildValue("(in)", result == 0 ? IS_REFUSED : full ? IS_FULL : ADDED_ALL, done);
}

static bool is_less(const SortItem *left, const SortItem *right)
{
    Key one = key_of_entry(left->entry), other = key_of_entry(right->entry);
    return key_compare(&one, &other) < 0;
}

/* Returns the partition of an entry, by the job's function where it has one; -1 with an exception. */
static int64_t partition_of(const Entry *entry, uint32_t partitions, PyObject *partitioner)
{
    Key key = key_of_entry(entry);
    if (partitioner == Py_None)
        return key_partition(&key, partitions);
    PyObject *object = key_object(&key);
    PyObject *answer = object == NULL ? NULL : PyObject_CallOneArg(partitioner, object);
    Py_XDECREF(object);
    if (answer == NULL)
        return -1;
    long number = PyLong_AsLong(answer);
    Py_DECREF(answer);
    if (!PyErr_Occurred() && (number < 0 || (unsigned long)number >= partitions))
        PyErr_SetString(PyExc_ValueError, "deal(): a partition out of range");
    return PyErr_Occurred() ? -1 : number;
}

/* Fills `items` bucket by bucket: a counting sort by partition and kind of key. `buckets` is each entry's. */
static void fill_buckets(Table *table, const uint32_t *buckets, size_t bucket_count)
{
    for (size_t i = 0; i < table->entry_count; i++)
        table->starts[buckets[i] + 1]++;
    for (size_t i = 0; i < bucket_count; i++)
        table->starts[i + 1] += table->starts[i];
    for (size_t i = 0; i < table->entry_count; i++) { /* `starts[b]` runs to the end of bucket b ... */
        Entry *entry = table->entries[i];
        uint64_t next = entry->length > 8 ? prefix_of(entry->key + 8, entry->length - 8) : 0;
        table->items[table->starts[buckets[i]]++] = (SortItem){entry->prefix, next, entry};
    }
    memmove(table->starts + 1, table->starts, bucket_count * sizeof *table->starts); /* ... which is the next one's start */
    table->starts[0] = 0;
}

static int deal(Table *table, uint32_t partitions, PyObject *partitioner)
{
    size_t bucket_count = (size_t)partitions * KEY_KINDS, count = table->entry_count;
    uint32_t *buckets = core_realloc(NULL, count * sizeof *buckets);
    table->items = core_realloc(NULL, count * sizeof *table->items);
    table->starts = core_realloc(NULL, (bucket_count + 1) * sizeof *table->starts);
    SortItem *room = core_realloc(NULL, (count / 2 + 1) * sizeof *room);
    bool failed = buckets == NULL || table->items == NULL || table->starts == NULL || room == NULL;
    for (size_t i = 0; i < count && !failed; i++) {
        int64_t partition = partition_of(table->entries[i], partitions, partitioner);
        failed = partition < 0;
        buckets[i] = (uint32_t)partition * KEY_KINDS + table->entries[i]->kind;
    }
    if (!failed) {
        memset(table->starts, 0, (bucket_count + 1) * sizeof *table->starts);
        fill_buckets(table, buckets, bucket_count);
        for (size_t i = 0; i < bucket_count; i++)
            sort_items(table->items + table->starts[i], room, table->starts[i + 1] - table->starts[i], is_less);
        table->partitions = partitions;
    }
    core_free(buckets);
    core_free(room);
    return failed ? -1 : 0;
}

static PyObject *table_deal(Table *table, PyObject *arguments)
{
    unsigned int partitions;
    PyObject *partitioner;
    if (!PyArg_ParseTuple(arguments, "IO:deal", &partitions, &partitioner))
        return NULL;
    if (partitions == 0 || partitions > INT32_MAX / KEY_KINDS)
        return PyErr_Format(PyExc_ValueError, "deal(): %u partitions", partitions);
    forget_order(table);
    if (deal(table, partitions, partitioner) < 0) {
        forget_order(table);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Finds the entries of a partition in `items`; -1 with an exception where there is none such. */
static int find_partition(Table *table, unsigned int partition, size_t *start, size_t *end)
{
    if (partition >= table->partitions) {
        PyErr_Format(PyExc_IndexError, "partition %u of %u", partition, table->partitions);
        return -1;
    }
    *start = table->starts[partition * KEY_KINDS];
    *end = table->starts[(partition + 1) * KEY_KINDS];
    return 0;
}

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

static PyObject *table_write(Table *table, PyObject *arguments)
{
    unsigned int partition;
    PyObject *write, *combine;
    size_t start, end;
    if (!PyArg_ParseTuple(arguments, "IOO:write", &partition, &write, &combine))
        return NULL;
    if (find_partition(table, partition, &start, &end) < 0)
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

static PyObject *table_entries(Table *table, PyObject *arguments)
{
    unsigned int partition;
    Py_ssize_t skip;
    size_t start, end;
    if (!PyArg_ParseTuple(arguments, "In:entries", &partition, &skip))
        return NULL;
    if (find_partition(table, partition, &start, &end) < 0)
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

static PyObject *table_drain(Table *table, PyObject *Py_UNUSED(nothing))
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

static PyObject *table_clear_method(Table *table, PyObject *Py_UNUSED(nothing))
{
    table_empty(table);
    Py_RETURN_NONE;
}

static PyObject *table_used_bytes(Table *table, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(used_bytes(table));
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
    {"clear", (PyCFunction)table_clear_method, METH_NOARGS, "Empty the table."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"pairs", T_ULONGLONG, offsetof(Table, pairs), READONLY, "How many pairs were added, all in all."},
    {"refused", T_OBJECT, offsetof(Table, refused), READONLY, "The pair that was refused last."},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *table_keys(Table *table, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(table->entry_count);
}

static PyGetSetDef properties[] = {
    {"keys", (getter)table_keys, NULL, "How many keys the table holds.", NULL},
    {"used_bytes", (getter)table_used_bytes, NULL, "The memory that the table holds, and needs to sort itself.", NULL},
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
