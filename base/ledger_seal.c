/* The writing of sealed files. */
#include "base/buf.h"
#include "base/ledger_lines.h"
#include "base/mem.h"
#include "base/must.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char ledger_first_line[] = "qiao audit 1\n";
const char *const ledger_state_names[3] = {"open", "ended", "lost"};

void ledger_seal_fini(struct ledger_seal *seal)
{
    mem_free(seal->heads);
    *seal = (struct ledger_seal){0};
}

/* The place of a chain's name among the heads: where it is, or where it would stand. */
static size_t place_of(const struct ledger_seal *seal, const char *chain)
{
    size_t low = 0, high = seal->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(seal->heads[middle].chain.id, chain, LEDGER_CHAIN_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct ledger_head *ledger_seal_find(const struct ledger_seal *seal, const char *chain,
                                           size_t size)
{
    if (size != LEDGER_CHAIN_SIZE) return NULL;
    size_t place = place_of(seal, chain);
    bool found =
        place < seal->count && memcmp(seal->heads[place].chain.id, chain, LEDGER_CHAIN_SIZE) == 0;
    return found ? &seal->heads[place] : NULL;
}

struct ledger_head *ledger_seal_take(struct ledger_seal *seal, const char *chain)
{
    size_t place = place_of(seal, chain);
    if (!seal->heads) seal->heads = mem_new(LEDGER_CHAINS_MAX, sizeof *seal->heads);
    struct ledger_head *head = &seal->heads[place];
    if (place < seal->count && memcmp(head->chain.id, chain, LEDGER_CHAIN_SIZE) == 0) return head;
    if (seal->count == LEDGER_CHAINS_MAX) return NULL;
    memmove(head + 1, head, (seal->count++ - place) * sizeof *head);
    head->state = LEDGER_OPEN;
    ledger_chain_begin(&head->chain, chain);
    return head;
}

void ledger_seal_count(struct ledger_seal *seal, struct ledger_head *head,
                       const struct ledger_record *record)
{
    bool first = seal->records++ == 0;
    head->chain = record->chain;
    head->state = record->class_size == 3 && memcmp(record->class, "END", 3) == 0 ? LEDGER_ENDED
                                                                                  : LEDGER_OPEN;
    if (first || record->time_ms < seal->first_ms) seal->first_ms = record->time_ms;
    if (first || record->time_ms > seal->last_ms) seal->last_ms = record->time_ms;
}

void ledger_line_check(const char *line, size_t size, char digits[LEDGER_CHECK_SIZE + 1])
{
    struct ledger_hash hash = ledger_hash_of(line, size);
    sodium_bin2hex(digits, LEDGER_CHECK_SIZE + 1, hash.bytes, LEDGER_CHECK_SIZE / 2);
}

struct ledger_hash ledger_seal_root(const char *text, size_t size)
{
    static const char mark[] = "\nhead ";
    struct ledger_hash *leaves = mem_new(LEDGER_CHAINS_MAX + 1, sizeof *leaves);
    size_t count = 0;
    const char *at = text, *end = text + size;
    leaves[count++] = ledger_leaf(text, size);
    while (count <= LEDGER_CHAINS_MAX &&
           (at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL) {
        const char *line = ++at, *newline = memchr(line, '\n', (size_t)(end - line));
        leaves[count++] = ledger_leaf(line, (size_t)((newline ? newline : end) - line));
    }
    struct ledger_hash root = ledger_root(leaves, count);
    mem_free(leaves);
    return root;
}

// ---- writing -----------------------------------------------------------------------------------

static void add_line(struct buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_line(struct buf *out, const char *format, ...)
{
    va_list arguments;
    char digits[LEDGER_CHECK_SIZE + 1];
    size_t begin = out->size;
    va_start(arguments, format);
    buf_addv(out, format, arguments);
    va_end(arguments);
    ledger_line_check(out->data + begin, out->size - begin, digits);
    buf_addf(out, " %s\n", digits);
}

/* A lost chain of the file before is open again when its writer was heard of after all. */
static bool goes_on(const struct ledger_head *head, const struct ledger_sealing *sealing)
{
    char mark[LEDGER_CHAIN_SIZE + 3];
    snprintf(mark, sizeof mark, "\n%s ", head->chain.id);
    if (head->state == LEDGER_OPEN) return true;
    if (head->state == LEDGER_ENDED || sealing->size < LEDGER_CHAIN_SIZE) return false;
    return memcmp(sealing->lines, mark + 1, LEDGER_CHAIN_SIZE + 1) == 0 ||
           memmem(sealing->lines, sealing->size, mark, LEDGER_CHAIN_SIZE + 2) != NULL;
}

static void write_chains(struct buf *out, struct ledger_seal *seal,
                         const struct ledger_sealing *sealing)
{
    char text[LEDGER_HASH_TEXT_SIZE];
    for (size_t i = 0; i < sealing->before->count; i++) {
        const struct ledger_head *before = &sealing->before->heads[i];
        if (!goes_on(before, sealing)) continue;
        struct ledger_head *head = ledger_seal_take(seal, before->chain.id);
        must(head != NULL);
        *head = (struct ledger_head){before->chain, LEDGER_OPEN};
        add_line(out, "chain %s %" PRIu64 " %s", head->chain.id, head->chain.seq,
                 ledger_hash_text(&head->chain.head, text));
    }
}

static enum err write_record(struct buf *out, struct ledger_seal *seal,
                             const struct ledger_seal *before, const char *line, size_t size)
{
    struct ledger_record record;
    char text[LEDGER_HASH_TEXT_SIZE];
    if (ledger_parse(&record, line, size)) {
        struct ledger_hash hash = ledger_hash_of(line, size);
        add_line(out, "damaged %s", ledger_hash_text(&hash, text));
        seal->damaged++;
        return ERR_OK;
    }
    const struct ledger_head *sealed = ledger_seal_find(before, record.chain.id, LEDGER_CHAIN_SIZE);
    if (sealed && record.chain.seq <= sealed->chain.seq) return ERR_OK;
    struct ledger_head *head = ledger_seal_take(seal, record.chain.id);
    if (!head)
        return err_note(ERR_TOO_LARGE, "more than %d chains of records are open",
                        LEDGER_CHAINS_MAX);
    if (record.chain.seq <= head->chain.seq) return ERR_OK;
    ledger_seal_count(seal, head, &record);
    buf_add(out, line, size);
    buf_add_byte(out, '\n');
    return ERR_OK;
}

static bool is_lost(const struct ledger_sealing *sealing, const char *chain)
{
    for (size_t i = 0; i < sealing->lost_count; i++)
        if (strcmp(sealing->lost[i], chain) == 0) return true;
    return false;
}

static void write_heads(struct buf *out, struct ledger_seal *seal,
                        const struct ledger_sealing *sealing)
{
    char text[LEDGER_HASH_TEXT_SIZE];
    for (size_t i = 0; i < seal->count; i++) {
        struct ledger_head *head = &seal->heads[i];
        if (head->state == LEDGER_OPEN && is_lost(sealing, head->chain.id))
            head->state = LEDGER_LOST;
        add_line(out, "head %s %" PRIu64 " %s %s", head->chain.id, head->chain.seq,
                 ledger_hash_text(&head->chain.head, text), ledger_state_names[head->state]);
    }
}

static void write_root(struct buf *out, struct ledger_seal *seal, const struct sign_secret *key,
                       size_t begin)
{
    char text[LEDGER_HASH_TEXT_SIZE], base64[SIGN_TEXT_SIZE];
    unsigned char signature[SIGN_SIZE];
    seal->root = ledger_seal_root(out->data + begin, out->size - begin);
    ledger_hash_text(&seal->root, text);
    add_line(out, "root %s", text);
    if (!key) return;
    sign_bytes(signature, key, LEDGER_PURPOSE, text, strlen(text));
    sign_text(base64, signature);
    add_line(out, "signature %s %s", key->id, base64);
}

enum err ledger_seal_write(struct buf *out, struct ledger_seal *seal,
                           const struct ledger_sealing *sealing)
{
    char text[LEDGER_HASH_TEXT_SIZE];
    struct ledger_seal now = {.number = sealing->before->number + 1};
    size_t begin = out->size;
    enum err err = ERR_OK;
    buf_add_text(out, ledger_first_line);
    add_line(out, "file %" PRIu64, now.number);
    add_line(out, "previous %s", ledger_hash_text(&sealing->before->root, text));
    write_chains(out, &now, sealing);
    const char *at = sealing->lines, *end = sealing->lines + sealing->size;
    while (!err && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline ? newline : end;
        err = write_record(out, &now, sealing->before, at, (size_t)(line_end - at));
        at = newline ? newline + 1 : end;
    }
    if (err) {
        ledger_seal_fini(&now);
        return err;
    }
    write_heads(out, &now, sealing);
    add_line(out, "total %" PRIu64 " %" PRId64 " %" PRId64, now.records, now.first_ms, now.last_ms);
    write_root(out, &now, sealing->key, begin);
    *seal = now;
    return ERR_OK;
}
