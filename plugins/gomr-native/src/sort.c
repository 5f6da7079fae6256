/* A stable sort: many items are dealt by one byte after the other, few are merged; whole keys are asked for only where
   their first 16 bytes are the same. */
#include "core.h"

#include <string.h>

enum { SHORT_RUN = 16, DEALT_MIN = 512, PREFIX_BYTES = 16 };

static inline bool is_before(const SortItem *left, const SortItem *right, const Order *order)
{
    if (left->prefix != right->prefix)
        return left->prefix < right->prefix;
    return left->next != right->next ? left->next < right->next : order->is_less(left, right, order->context);
}

static void sort_short(SortItem *items, size_t count, const Order *order)
{
    for (size_t i = 1; i < count; i++) {
        SortItem item = items[i];
        size_t at = i;
        for (; at > 0 && is_before(&item, &items[at - 1], order); at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

static void sort_by_merging(SortItem *items, SortItem *room, size_t count, const Order *order)
{
    if (count <= SHORT_RUN) {
        sort_short(items, count, order);
        return;
    }
    size_t half = count / 2;
    sort_by_merging(items, room, half, order);
    sort_by_merging(items + half, room, count - half, order);
    if (!is_before(&items[half], &items[half - 1], order))
        return;
    memcpy(room, items, half * sizeof *items);
    SortItem *left = room, *left_end = room + half, *right = items + half, *right_end = items + count, *out = items;
    while (left < left_end && right < right_end)
        *out++ = is_before(right, left, order) ? *right++ : *left++;
    memcpy(out, left, (size_t)(left_end - left) * sizeof *items);
}

static inline unsigned byte_of(const SortItem *item, unsigned place)
{
    return (place < 8 ? item->prefix : item->next) >> (56 - 8 * (place & 7)) & 0xFF;
}

/* Sorts items whose first `same` bytes are alike. */
static void sort_from(SortItem *items, SortItem *room, size_t count, unsigned same, const Order *order)
{
    if (count < DEALT_MIN || same == PREFIX_BYTES) {
        sort_by_merging(items, room, count, order);
        return;
    }
    size_t counts[256] = {0}, next[256], start = 0;
    for (size_t i = 0; i < count; i++)
        counts[byte_of(&items[i], same)]++;
    if (counts[byte_of(items, same)] < count) {
        for (unsigned byte = 0; byte < 256; start += counts[byte++])
            next[byte] = start;
        for (size_t i = 0; i < count; i++)
            room[next[byte_of(&items[i], same)]++] = items[i];
        memcpy(items, room, count * sizeof *items);
    }
    for (unsigned byte = 0; byte < 256; items += counts[byte++])
        sort_from(items, room, counts[byte], same + 1, order);
}

void sort_items(SortItem *items, SortItem *room, size_t count, const Order *order)
{
    sort_from(items, room, count, 0, order);
}
