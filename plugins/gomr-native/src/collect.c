/* Collects pairs by key: a hash table whose keys and values lie in an arena, within a budget. */
#include "table.h"

#include <stddef.h>
#include <string.h>

enum { SLOTS_MIN = 1024, PIECE_VALUE_BYTES_MIN = 16, PIECE_VALUE_BYTES_MAX = 4096, BATCH = 16 };

size_t table_used_bytes(const Table *table)
{
    size_t sorting = 2 * sizeof(SortItem) * table->entry_count; /* what `deal` is going to take */
    return table->arena.total_bytes + table->slot_count * sizeof(Slot) + table->entry_room * sizeof(Entry *) + sorting;
}

void table_forget_order(Table *table)
{
    core_free(table->items);
    core_free(table->starts);
    table->items = NULL;
    table->starts = NULL;
    table->partitions = 0;
}

void table_empty(Table *table)
{
    table_forget_order(table);
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

PyObject *table_add(Table *table, PyObject *iterator)
{
    iternextfunc next = Py_TYPE(iterator)->tp_iternext;
    if (next == NULL)
        return PyErr_Format(PyExc_TypeError, "add() takes an iterator, not %.100s", Py_TYPE(iterator)->tp_name);
    table_forget_order(table);
    Buffer encoded = {0};
    int result = 1;
    bool full = false;
    PyObject *pair;
    while (result == 1 && !full && (pair = next(iterator)) != NULL) {
        result = add_pair(table, pair, &encoded);
        if (result == 0)
            Py_XSETREF(table->refused, Py_NewRef(pair));
        Py_DECREF(pair);
        full = table_used_bytes(table) > table->budget_bytes;
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
PyObject *table_add_dict(Table *table, PyObject *arguments)
{
    PyObject *dict;
    Py_ssize_t skip, place = 0, done = 0;
    if (!PyArg_ParseTuple(arguments, "O!n:add_dict", &PyDict_Type, &dict, &skip))
        return NULL;
    table_forget_order(table);
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
                full = table_used_bytes(table) > table->budget_bytes;
            }
            Py_XDECREF(pending[i].room.encoded);
        }
        if (next_result < 0 || (result == 1 && !full))
            result = result < 0 ? result : next_result;
    } while (count == BATCH && result == 1 && !full);
    buffer_clear(&encoded);
    return result < 0 ? NULL : Py_BuildValue("(in)", result == 0 ? IS_REFUSED : full ? IS_FULL : ADDED_ALL, done);
}

