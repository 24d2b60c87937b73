/* bench-redact TEXT... : what the search for identifiers costs, and in how many lines of a text it finds some.
 *
 * One thread. A text is its lines, as many prompts; all of them are looked through until a second has passed, and the best
 * run counts. */
#include "text/redact.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static bool read_text(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    char bytes[1 << 16];
    size_t count;
    if (!file) {
        perror(path);
        return false;
    }
    while ((count = fread(bytes, 1, sizeof bytes, file)) > 0)
        buf_add(out, bytes, count);
    fclose(file);
    return true;
}

/* Lines with something in them; `hits` of them have something found. */
static size_t look_through(const struct buf *text, size_t *hits)
{
    struct buf out = {0};
    size_t lines = 0;
    *hits = 0;
    for (size_t at = 0; at < text->size;) {
        const char *end = memchr(text->data + at, '\n', text->size - at);
        size_t size = end ? (size_t)(end - text->data) - at : text->size - at;
        buf_clear(&out);
        lines += size > 0;
        *hits += redact_text((1u << REDACT_KINDS) - 1, text->data + at, size, &out, NULL) > 0;
        at += size + 1;
    }
    buf_fini(&out);
    return lines;
}

int main(int count, char **words)
{
    for (int i = 1; i < count; i++) {
        struct buf text = {0};
        size_t lines = 0, hits = 0;
        uint64_t best_ns = UINT64_MAX, end_ns = clock_now_ns() + CLOCK_SECOND;
        if (!read_text(words[i], &text)) return 1;
        do {
            uint64_t start_ns = clock_now_ns();
            lines = look_through(&text, &hits);
            uint64_t took_ns = clock_now_ns() - start_ns;
            if (took_ns < best_ns) best_ns = took_ns;
        } while (clock_now_ns() < end_ns);
        printf("%s: %zu bytes, %zu lines, %zu with something found (%.2f %%), %.2f ns a byte\n",
               words[i], text.size, lines, hits, 100.0 * (double)hits / (double)(lines ? lines : 1),
               (double)best_ns / (double)(text.size ? text.size : 1));
        buf_fini(&text);
    }
    return 0;
}
