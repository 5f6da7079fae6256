/* A stable merge sort that asks for the whole keys only where their first 16 bytes are the same. */
#include "core.h"

#include <string.h>

enum { SHORT_RUN = 16 };

static inline bool is_before(const SortItem *left, const SortItem *right, IsLess is_less)
{
    if (left->prefix != right->prefix)
        return left->prefix < right->prefix;
    return left->next != right->next ? left->next < right->next : is_less(left, right);
}

static void sort_short(SortItem *items, size_t count, IsLess is_less)
{
    for (size_t i = 1; i < count; i++) {
        SortItem item = items[i];
        size_t at = i;
        for (; at > 0 && is_before(&item, &items[at - 1], is_less); at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

void sort_items(SortItem *items, SortItem *room, size_t count, IsLess is_less)
{
    if (count <= SHORT_RUN) {
        sort_short(items, count, is_less);
        return;
    }
    size_t half = count / 2;
    sort_items(items, room, half, is_less);
    sort_items(items + half, room, count - half, is_less);
    if (!is_before(&items[half], &items[half - 1], is_less))
        return;
    memcpy(room, items, half * sizeof *items);
    SortItem *left = room, *left_end = room + half, *right = items + half, *right_end = items + count, *out = items;
    while (left < left_end && right < right_end)
        *out++ = is_before(right, left, is_less) ? *right++ : *left++;
    memcpy(out, left, (size_t)(left_end - left) * sizeof *items);
}
