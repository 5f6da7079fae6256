/* Lines of the `text` output format: key, tab, number; see gomr/job/outputs.py for the rules. */
#include "core.h"

#include <stdio.h>
#include <string.h>

/* What a backslash comes before, and as which letter; 0 for bytes that stand as they are. */
static const char escapes[256] = {['\\'] = '\\', ['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r'};

/* A lone surrogate in UTF-8 is ED, then A0 or more. */
static bool has_surrogate(const char *bytes, size_t length)
{
    const char *end = bytes + length, *at = bytes;
    while ((at = memchr(at, 0xED, (size_t)(end - at))) != NULL) {
        if (at + 1 < end && (unsigned char)at[1] >= 0xA0)
            return true;
        at++;
    }
    return false;
}

static int add_escaped(Buffer *buffer, const char *bytes, size_t length)
{
    char *out = buffer_extend(buffer, 2 * length);
    if (out == NULL)
        return -1;
    char *start = out;
    for (size_t i = 0; i < length; i++) {
        char letter = escapes[(unsigned char)bytes[i]];
        if (letter != 0)
            *out++ = '\\';
        *out++ = letter != 0 ? letter : bytes[i];
    }
    buffer->length -= 2 * length - (size_t)(out - start);
    return 0;
}

int text_line(Buffer *buffer, const Key *key, int64_t value)
{
    char number[24];
    if (key->kind == KEY_STR && has_surrogate(key->bytes, key->length))
        return 0;
    if (key->kind == KEY_INT) {
        int length = snprintf(number, sizeof number, "%lld", (long long)key_number(key));
        if (buffer_add(buffer, number, (size_t)length) < 0)
            return -1;
    } else if (add_escaped(buffer, key->bytes, key->length) < 0) {
        return -1;
    }
    int length = snprintf(number, sizeof number, "\t%lld\n", (long long)value);
    return buffer_add(buffer, number, (size_t)length) < 0 ? -1 : 1;
}
