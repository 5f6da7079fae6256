/* A binary heap of pointers, the least first. Inline, so that the compiler sees the comparison. */
#ifndef GOMR_HEAP_H
#define GOMR_HEAP_H

#include <stdbool.h>
#include <stddef.h>

typedef bool (*IsBefore)(const void *left, const void *right);

/* Moves what is at `at` down to its place. */
static inline void heap_sift_down(void **heap, size_t count, size_t at, IsBefore is_before)
{
    void *moved = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_before(heap[child + 1], heap[child]))
            child++;
        if (!is_before(heap[child], moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static inline void heap_build(void **heap, size_t count, IsBefore is_before)
{
    for (size_t i = count; i-- > 0;)
        heap_sift_down(heap, count, i, is_before);
}

#endif
