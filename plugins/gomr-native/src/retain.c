/* Retains the memory that Python's objects let go for those that come next, in huge pages where the system has them.

A mapper over chunks makes and drops some hundred thousand strings a call. Python gives their memory back to the system in
between, which must clear every page of it anew: a tenth of such a task. */
#include "core.h"

#if defined(__linux__)
#include <sys/mman.h>

enum {
    PIECE_BYTES = 1024 * 1024, /* what Python asks for since 3.10; another size is mapped as Python itself does */
    HUGE_PAGE_BYTES = 2 * 1024 * 1024,
    REGION_BYTES = 16 * HUGE_PAGE_BYTES,   /* asked of the system at a time */
    RETAINED_BYTES_MAX = 64 * 1024 * 1024, /* more than the strings of a few chunks take; beyond it pages are given back */
};

typedef struct Piece {
    struct Piece *next;
} Piece;

static Piece *retained;
static size_t retained_count;
static char *region;
static size_t region_left_bytes;

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int map_region(void)
{
    char *start = map(REGION_BYTES + HUGE_PAGE_BYTES);
    if (start == NULL)
        return -1;
    region = start + -(uintptr_t)start % HUGE_PAGE_BYTES; /* a huge page starts at a multiple of its size */
    region_left_bytes = REGION_BYTES;
    madvise(region, REGION_BYTES, MADV_HUGEPAGE); /* where it fails the pages are small, and all the rest as it was */
    return 0;
}

static void *take_piece(void *Py_UNUSED(context), size_t bytes)
{
    if (bytes != PIECE_BYTES)
        return map(bytes);
    if (retained != NULL) {
        Piece *piece = retained;
        retained = piece->next;
        retained_count--;
        return piece;
    }
    if (region_left_bytes < bytes && map_region() < 0)
        return NULL;
    char *fresh = region;
    region += bytes;
    region_left_bytes -= bytes;
    return fresh;
}

static void let_go_piece(void *Py_UNUSED(context), void *memory, size_t bytes)
{
    if (bytes != PIECE_BYTES) {
        munmap(memory, bytes);
        return;
    }
    if (retained_count * PIECE_BYTES >= RETAINED_BYTES_MAX)
        madvise(memory, bytes, MADV_DONTNEED);
    Piece *piece = memory;
    *piece = (Piece){.next = retained};
    retained = piece;
    retained_count++;
}

PyObject *retain_memory(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(nothing))
{
    PyObjectArenaAllocator allocator = {.alloc = take_piece, .free = let_go_piece};
    PyObject_SetArenaAllocator(&allocator); /* pieces from before are let go to it, too: Python mapped them the same way */
    Py_RETURN_NONE;
}
#else
PyObject *retain_memory(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(nothing))
{
    Py_RETURN_NONE;
}
#endif
