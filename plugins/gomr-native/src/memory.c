/* Memory: counted, bounded by its users, and with an end that tests can bring about. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1024 * 1024, BUFFER_BYTES_MIN = 256 };

#ifdef GOMR_FAILING_ALLOCATIONS
/* Tests set how many allocations succeed before one fails; negative: all do. */
long core_allocations_left = -1;
#endif

void *core_realloc(void *old, size_t bytes)
{
#ifdef GOMR_FAILING_ALLOCATIONS
    if (core_allocations_left == 0) {
        PyErr_NoMemory();
        return NULL;
    }
    if (core_allocations_left > 0)
        core_allocations_left--;
#endif
    void *memory = realloc(old, bytes ? bytes : 1);
    if (memory == NULL)
        PyErr_NoMemory();
    return memory;
}

void core_free(void *memory)
{
    free(memory);
}

void *arena_take(Arena *arena, size_t bytes)
{
    bytes = (bytes + 7) & ~(size_t)7;
    ArenaPiece *piece = arena->pieces;
    if (piece == NULL || piece->size - piece->used < bytes) {
        size_t size = bytes > PIECE_BYTES ? bytes : PIECE_BYTES;
        piece = core_realloc(NULL, sizeof(ArenaPiece) + size);
        if (piece == NULL)
            return NULL;
        *piece = (ArenaPiece){.next = arena->pieces, .size = size};
        arena->pieces = piece;
        arena->total_bytes += sizeof(ArenaPiece) + size;
    }
    void *taken = piece->bytes + piece->used;
    piece->used += bytes;
    return taken;
}

void arena_clear(Arena *arena)
{
    while (arena->pieces != NULL) {
        ArenaPiece *piece = arena->pieces;
        arena->pieces = piece->next;
        core_free(piece);
    }
    arena->total_bytes = 0;
}

int buffer_grow(Buffer *buffer, size_t bytes)
{
    size_t size = buffer->size * 2;
    if (size < buffer->length + bytes)
        size = buffer->length + bytes;
    if (size < BUFFER_BYTES_MIN)
        size = BUFFER_BYTES_MIN;
    char *grown = core_realloc(buffer->bytes, size);
    if (grown == NULL)
        return -1;
    buffer->bytes = grown;
    buffer->size = size;
    return 0;
}

void buffer_clear(Buffer *buffer)
{
    core_free(buffer->bytes);
    *buffer = (Buffer){0};
}
