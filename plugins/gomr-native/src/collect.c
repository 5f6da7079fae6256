/* Pairs by key: a hash table whose keys and values lie in an arena. */
#include "table.h"

#include <stddef.h>
#include <string.h>

enum { SLOTS_MIN = 1024, PIECE_VALUE_BYTES_MIN = 16, PIECE_VALUE_BYTES_MAX = 4096 };

size_t table_used_bytes(const Table *table)
{
    size_t sorting = (2 * sizeof(SortItem) + sizeof(uint32_t)) * table->entry_count; /* what `deal` is going to take */
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

static bool is_of(const Entry *entry, const Key *key)
{
    return entry->prefix == key->prefix && entry->length == key->length && entry->kind == key->kind
           && (key->length <= 8 || memcmp(entry->key + 8, key->bytes + 8, key->length - 8) == 0);
}

/* Returns the entry of a key, a new one with no values where there is none. */
static Entry *entry_of(Table *table, const Key *key, uint64_t hash)
{
    if (table->entry_count * 2 >= table->slot_count && grow_slots(table) < 0)
        return NULL;
    size_t at = hash & (table->slot_count - 1);
    for (Entry *entry; (entry = table->slots[at].entry) != NULL; at = (at + 1) & (table->slot_count - 1))
        if (table->slots[at].hash == hash && is_of(entry, key))
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

int table_fold(Table *table, const Key *key, uint64_t hash, int64_t number)
{
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

int table_append(Table *table, const Key *key, uint64_t hash, const char *value, size_t length)
{
    Entry *entry = entry_of(table, key, hash);
    return entry == NULL || append_value(table, entry, value, length) < 0 ? -1 : 1;
}
