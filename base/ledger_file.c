/* The reading of sealed files: every byte has something that it must agree with. */
#include "base/buf.h"
#include "base/ledger_lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORDS_MAX = 6,
    GAP_SIZE = 160,
    NUMBER_DIGITS = 20
};

/* A file, line by line. */
struct reading {
    const char *name;
    const char *text, *at, *end;
    const char *line; // the current one
    size_t size;
    size_t number; // of the line
    const struct ledger_seal *before;
    const struct ledger_reader *reader;
    struct ledger_seal seal;
    char gap[GAP_SIZE]; // the first one; "": none
    uint64_t first_damaged;
};

/* The words of a line that has a check. */
struct words {
    const char *at[WORDS_MAX];
    size_t size[WORDS_MAX];
    size_t count;
};

static enum err wrong(const struct reading *reading, const char *what)
{
    return err_note(ERR_FORMAT, "%s, line %zu: %s", reading->name, reading->number, what);
}

/* With the name of the file before what err_text() says. */
static enum err wrong_record(const struct reading *reading)
{
    char note[ERR_NOTE_MAX];
    snprintf(note, sizeof note, "%s", err_text());
    return wrong(reading, note);
}

static bool next_line(struct reading *reading)
{
    if (reading->at >= reading->end) return false;
    const char *newline = memchr(reading->at, '\n', (size_t)(reading->end - reading->at));
    reading->line = reading->at;
    reading->size = (size_t)((newline ? newline : reading->end) - reading->at);
    reading->at = newline ? newline + 1 : reading->end;
    reading->number++;
    return true;
}

static bool begins(const struct reading *reading, const char *word)
{
    size_t size = strlen(word);
    return reading->size > size && memcmp(reading->line, word, size) == 0 &&
           reading->line[size] == ' ';
}

static enum err changed(const struct reading *reading, const char *word)
{
    char what[64];
    snprintf(what, sizeof what, "the line '%s' was changed", word);
    return wrong(reading, what);
}

static bool has_newline(const struct reading *reading)
{
    return reading->line + reading->size < reading->end;
}

/* The line of this word and `count` others; its check agrees. */
static enum err take_line(const struct reading *reading, const char *word, size_t count,
                          struct words *out)
{
    char digits[LEDGER_CHECK_SIZE + 1];
    *out = (struct words){0};
    if (!begins(reading, word) || reading->size < LEDGER_CHECK_SIZE + 1 || !has_newline(reading))
        return changed(reading, word);
    size_t body = reading->size - LEDGER_CHECK_SIZE - 1;
    ledger_line_check(reading->line, body, digits);
    if (reading->line[body] != ' ' ||
        memcmp(digits, reading->line + body + 1, LEDGER_CHECK_SIZE) != 0)
        return changed(reading, word);
    const char *at = reading->line + strlen(word) + 1, *end = reading->line + body;
    while (at < end && out->count < WORDS_MAX) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        out->at[out->count] = at;
        out->size[out->count++] = (size_t)((space ? space : end) - at);
        at = space ? space + 1 : end;
    }
    return out->count == count ? ERR_OK : changed(reading, word);
}

static bool read_number(const struct words *words, size_t index, uint64_t *out)
{
    char digits[NUMBER_DIGITS + 1], *end;
    size_t size = words->size[index];
    if (size == 0 || size > NUMBER_DIGITS || words->at[index][0] < '0' || words->at[index][0] > '9')
        return false;
    memcpy(digits, words->at[index], size);
    digits[size] = '\0';
    errno = 0;
    *out = strtoull(digits, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool read_chain(const struct words *words, struct ledger_chain *out)
{
    if (!ledger_is_chain(words->at[0], words->size[0])) return false;
    *out = (struct ledger_chain){0};
    memcpy(out->id, words->at[0], LEDGER_CHAIN_SIZE);
    return read_number(words, 1, &out->seq) &&
           ledger_hash_parse(&out->head, words->at[2], words->size[2]);
}

static bool same_chain(const struct ledger_chain *a, const struct ledger_chain *b)
{
    return a->seq == b->seq && ledger_hash_equal(&a->head, &b->head);
}

// ---- what comes before the records -------------------------------------------------------------

static enum err read_begin(struct reading *reading)
{
    struct words words;
    struct ledger_hash previous;
    size_t first = strlen(ledger_first_line);
    if (!next_line(reading) || reading->size != first - 1 || !has_newline(reading) ||
        memcmp(reading->line, ledger_first_line, first - 1) != 0)
        return wrong(reading, "must be 'qiao audit 1'");
    next_line(reading);
    TRY(take_line(reading, "file", 1, &words));
    if (!read_number(&words, 0, &reading->seal.number)) return changed(reading, "file");
    if (reading->before && reading->seal.number != reading->before->number + 1)
        return wrong(reading, "it is not the file that follows on the one before");
    next_line(reading);
    TRY(take_line(reading, "previous", 1, &words));
    if (!ledger_hash_parse(&previous, words.at[0], words.size[0]))
        return changed(reading, "previous");
    if (reading->before && !ledger_hash_equal(&previous, &reading->before->root))
        return wrong(reading, "the file before is not the one that this one follows on");
    return ERR_OK;
}

static enum err read_opened(struct reading *reading)
{
    struct words words;
    struct ledger_chain chain;
    TRY(take_line(reading, "chain", 3, &words));
    if (!read_chain(&words, &chain)) return changed(reading, "chain");
    if (ledger_seal_find(&reading->seal, chain.id, LEDGER_CHAIN_SIZE))
        return wrong(reading, "the chain stands twice");
    if (reading->before) {
        const struct ledger_head *before =
            ledger_seal_find(reading->before, chain.id, LEDGER_CHAIN_SIZE);
        if (!before || before->state == LEDGER_ENDED || !same_chain(&before->chain, &chain))
            return wrong(reading, "the chain does not go on from where the file before left it");
    }
    struct ledger_head *head = ledger_seal_take(&reading->seal, chain.id);
    if (!head) return wrong(reading, "too many chains");
    head->chain = chain;
    return ERR_OK;
}

/* Every chain that was open is still there. */
static enum err check_opened(const struct reading *reading)
{
    char what[80];
    for (size_t i = 0; reading->before && i < reading->before->count; i++) {
        const struct ledger_head *before = &reading->before->heads[i];
        if (before->state != LEDGER_OPEN ||
            ledger_seal_find(&reading->seal, before->chain.id, LEDGER_CHAIN_SIZE))
            continue;
        snprintf(what, sizeof what, "the chain %s of the file before is missing", before->chain.id);
        return wrong(reading, what);
    }
    return ERR_OK;
}

// ---- the records -------------------------------------------------------------------------------

static void tell_gap(struct reading *reading, const char *chain, uint64_t from, uint64_t to)
{
    char text[GAP_SIZE];
    if (from == to)
        snprintf(text, sizeof text, "record %" PRIu64 " of chain %s is missing", from, chain);
    else
        snprintf(text, sizeof text, "records %" PRIu64 " to %" PRIu64 " of chain %s are missing",
                 from, to, chain);
    if (!*reading->gap) snprintf(reading->gap, sizeof reading->gap, "%s", text);
    if (reading->reader->on_gap) reading->reader->on_gap(reading->reader->argument, text);
}

static enum err read_record(struct reading *reading)
{
    struct ledger_record record;
    if (!has_newline(reading)) return wrong(reading, "the file ends within a record");
    if (ledger_parse(&record, reading->line, reading->size)) return wrong_record(reading);
    struct ledger_head *head = ledger_seal_take(&reading->seal, record.chain.id);
    if (!head) return wrong(reading, "too many chains");
    uint64_t expected = head->chain.seq + 1;
    if (record.chain.seq < expected) return wrong(reading, "the record is not in its place");
    if (record.chain.seq > expected)
        tell_gap(reading, record.chain.id, expected, record.chain.seq - 1);
    else if (ledger_check_hash(&record, &head->chain.head))
        return wrong_record(reading);
    ledger_seal_count(&reading->seal, head, &record);
    if (reading->reader->on_record) reading->reader->on_record(reading->reader->argument, &record);
    return ERR_OK;
}

static enum err read_damaged(struct reading *reading)
{
    struct words words;
    struct ledger_hash hash;
    TRY(take_line(reading, "damaged", 1, &words));
    if (!ledger_hash_parse(&hash, words.at[0], words.size[0])) return changed(reading, "damaged");
    if (reading->seal.damaged++ == 0) reading->first_damaged = reading->number;
    return ERR_OK;
}

// ---- what comes behind them --------------------------------------------------------------------

static enum err read_state(const struct reading *reading, const struct words *words,
                           struct ledger_head *head)
{
    for (int i = 0; i < 3; i++) {
        const char *name = ledger_state_names[i];
        if (strlen(name) != words->size[3] || memcmp(name, words->at[3], words->size[3]) != 0)
            continue;
        if ((head->state == LEDGER_ENDED) != (i == LEDGER_ENDED)) break;
        head->state = (enum ledger_state)i;
        return ERR_OK;
    }
    return wrong(reading, "a chain has ended when its last record is END, and only then");
}

static enum err read_heads(struct reading *reading)
{
    struct words words;
    struct ledger_chain chain;
    char text[GAP_SIZE];
    for (size_t i = 0; i < reading->seal.count; i++, next_line(reading)) {
        struct ledger_head *head = &reading->seal.heads[i];
        TRY(take_line(reading, "head", 4, &words));
        if (!read_chain(&words, &chain)) return changed(reading, "head");
        if (strcmp(chain.id, head->chain.id) != 0 || !same_chain(&chain, &head->chain)) {
            snprintf(text, sizeof text, "the head of chain %s is not its last record",
                     head->chain.id);
            return wrong(reading, text);
        }
        TRY(read_state(reading, &words, head));
        if (head->state != LEDGER_LOST || !reading->reader->on_gap) continue;
        snprintf(text, sizeof text,
                 "chain %s has no END: what its scheduler noted after record %" PRIu64
                 " may be missing",
                 head->chain.id, head->chain.seq);
        reading->reader->on_gap(reading->reader->argument, text);
    }
    return ERR_OK;
}

/* The sums do not agree: where a record is missing, it was taken out. */
static enum err taken_out(const struct reading *reading, const char *otherwise)
{
    char what[GAP_SIZE + 64];
    if (!*reading->gap) return wrong(reading, otherwise);
    snprintf(what, sizeof what, "%s, and was not when the file was sealed", reading->gap);
    return wrong(reading, what);
}

static enum err read_total(struct reading *reading)
{
    struct words words;
    uint64_t records, first, last;
    TRY(take_line(reading, "total", 3, &words));
    if (!read_number(&words, 0, &records) || !read_number(&words, 1, &first) ||
        !read_number(&words, 2, &last))
        return changed(reading, "total");
    if (records != reading->seal.records || (int64_t)first != reading->seal.first_ms ||
        (int64_t)last != reading->seal.last_ms)
        return taken_out(reading, "the total is not the one of the records");
    return ERR_OK;
}

static enum err read_root(struct reading *reading)
{
    struct words words;
    size_t size = (size_t)(reading->line - reading->text);
    struct ledger_hash root = ledger_seal_root(reading->text, size);
    TRY(take_line(reading, "root", 1, &words));
    if (!ledger_hash_parse(&reading->seal.root, words.at[0], words.size[0]))
        return changed(reading, "root");
    if (!ledger_hash_equal(&root, &reading->seal.root))
        return taken_out(reading, "the root is not the one of the lines");
    return ERR_OK;
}

static enum err read_signature(struct reading *reading)
{
    struct words words;
    char id[SIGN_ID_MAX + 1], base64[SIGN_TEXT_SIZE], text[LEDGER_HASH_TEXT_SIZE];
    unsigned char signature[SIGN_SIZE];
    const struct sign_keys *keys = reading->reader->keys;
    if (!next_line(reading)) return keys ? wrong(reading, "the file is not signed") : ERR_OK;
    TRY(take_line(reading, "signature", 2, &words));
    if (words.size[0] > SIGN_ID_MAX || words.size[1] >= sizeof base64)
        return changed(reading, "signature");
    snprintf(id, sizeof id, "%.*s", (int)words.size[0], words.at[0]);
    snprintf(base64, sizeof base64, "%.*s", (int)words.size[1], words.at[1]);
    if (!sign_decode(base64, signature, sizeof signature)) return changed(reading, "signature");
    if (!keys) return ERR_OK;
    const struct sign_public *key = sign_find(keys, id);
    if (!key) return wrong(reading, "the file is signed with a key that is not among those given");
    ledger_hash_text(&reading->seal.root, text);
    if (sign_check(key->key, LEDGER_PURPOSE, text, strlen(text), signature)) return ERR_OK;
    return wrong(reading, "the signature is not one of this root");
}

static enum err read_file(struct reading *reading)
{
    bool more;
    TRY(read_begin(reading));
    while ((more = next_line(reading)) && begins(reading, "chain"))
        TRY(read_opened(reading));
    TRY(check_opened(reading));
    for (; more && !begins(reading, "head") && !begins(reading, "total"); more = next_line(reading))
        TRY(begins(reading, "damaged") ? read_damaged(reading) : read_record(reading));
    if (!more) return wrong(reading, "the file ends before its heads");
    TRY(read_heads(reading));
    TRY(read_total(reading));
    if (!next_line(reading)) return wrong(reading, "the file ends before its root");
    TRY(read_root(reading));
    TRY(read_signature(reading));
    if (next_line(reading)) return wrong(reading, "something stands behind the end");
    if (reading->seal.damaged == 0) return ERR_OK;
    reading->number = reading->first_damaged;
    return wrong(reading, "a record had been changed before the file was sealed");
}

enum err ledger_file_check(struct ledger_seal *out, const char *name, const char *text, size_t size,
                           const struct ledger_seal *before, const struct ledger_reader *reader)
{
    struct reading reading = {.name = name,
                              .text = text,
                              .at = text,
                              .end = text + size,
                              .line = text,
                              .before = before,
                              .reader = reader};
    enum err err = read_file(&reading);
    if (err)
        ledger_seal_fini(&reading.seal);
    else
        *out = reading.seal;
    return err;
}
