/* Bytes that grow at their end, and are read from their start: what a merge calls for each of its entries, inline. */
#ifndef GOMR_BUFFER_H
#define GOMR_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    char *bytes;
    size_t length, size;
} Buffer;

int buffer_grow(Buffer *buffer, size_t bytes); /* makes room for so many more; 0, or -1 with MemoryError set */
void buffer_clear(Buffer *buffer);

/* Returns where so many new bytes go; NULL with MemoryError set. */
static inline char *buffer_extend(Buffer *buffer, size_t bytes)
{
    if ((buffer->bytes == NULL || buffer->size - buffer->length < bytes) && buffer_grow(buffer, bytes) < 0)
        return NULL;
    char *start = buffer->bytes + buffer->length;
    buffer->length += bytes;
    return start;
}

static inline int buffer_add(Buffer *buffer, const void *bytes, size_t length) /* 0 or -1 */
{
    char *start = buffer_extend(buffer, length);
    if (start == NULL)
        return -1;
    memcpy(start, bytes, length);
    return 0;
}

/* Four bytes, little-endian, as marshal counts. */
static inline void put_number(char *at, uint32_t number)
{
    at[0] = (char)number;
    at[1] = (char)(number >> 8);
    at[2] = (char)(number >> 16);
    at[3] = (char)(number >> 24);
}

static inline uint32_t number_at(const char *at)
{
    const unsigned char *byte = (const unsigned char *)at;
    return byte[0] | byte[1] << 8 | byte[2] << 16 | (uint32_t)byte[3] << 24;
}

/* What is left to read of some bytes. */
typedef struct {
    const char *at, *end;
} Reader;

static inline int read_tag(Reader *reader, char tag) /* 0, or -1 where another byte or none comes */
{
    if (reader->at >= reader->end || *reader->at != tag)
        return -1;
    reader->at++;
    return 0;
}

static inline int read_count(Reader *reader, uint32_t *count) /* 0, or -1 */
{
    if (reader->end - reader->at < 4)
        return -1;
    *count = number_at(reader->at);
    reader->at += 4;
    return *count > INT32_MAX ? -1 : 0;
}

#endif
