#include "base/ledger.h"

#include "base/buf.h"
#include "base/must.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHECK_SIZE = 4,
    CHECK_DIGITS = 2 * CHECK_SIZE,
    WORDS_AHEAD = 4, // chain, seq, time, class
    NAME_SIZE = 96   // of a record in notes
};

// ---- hashes ------------------------------------------------------------------------------------

struct ledger_hash ledger_hash_of(const void *bytes, size_t size)
{
    struct ledger_hash hash;
    must(crypto_generichash(hash.bytes, sizeof hash.bytes, bytes, size, NULL, 0) == 0);
    return hash;
}

/* Of two pieces, one behind the other. */
static struct ledger_hash hash_pair(const void *a, size_t a_size, const void *b, size_t b_size)
{
    struct ledger_hash hash;
    crypto_generichash_state state;
    must(crypto_generichash_init(&state, NULL, 0, sizeof hash.bytes) == 0);
    must(crypto_generichash_update(&state, a, a_size) == 0);
    must(crypto_generichash_update(&state, b, b_size) == 0);
    must(crypto_generichash_final(&state, hash.bytes, sizeof hash.bytes) == 0);
    return hash;
}

bool ledger_hash_equal(const struct ledger_hash *a, const struct ledger_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

char *ledger_hash_text(const struct ledger_hash *hash, char text[LEDGER_HASH_TEXT_SIZE])
{
    return sodium_bin2hex(text, LEDGER_HASH_TEXT_SIZE, hash->bytes, sizeof hash->bytes);
}

static bool is_hex(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

static int hex_value(char digit)
{
    return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

bool ledger_hash_parse(struct ledger_hash *out, const char *text, size_t size)
{
    if (size != LEDGER_HASH_TEXT_SIZE - 1 || !is_hex(text, size)) return false;
    for (size_t i = 0; i < sizeof out->bytes; i++)
        out->bytes[i] = (uint8_t)(hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]));
    return true;
}

struct ledger_hash ledger_leaf(const void *bytes, size_t size)
{
    return hash_pair("", 1, bytes, size);
}

struct ledger_hash ledger_root(struct ledger_hash *hashes, size_t count)
{
    must(count > 0);
    // Level by level; one that is left over goes up as it is, which gives RFC 6962's tree.
    for (; count > 1; count = (count + 1) / 2) {
        for (size_t i = 0; i < count / 2; i++) {
            unsigned char pair[1 + 2 * LEDGER_HASH_SIZE] = {1};
            memcpy(pair + 1, hashes[2 * i].bytes, LEDGER_HASH_SIZE);
            memcpy(pair + 1 + LEDGER_HASH_SIZE, hashes[2 * i + 1].bytes, LEDGER_HASH_SIZE);
            hashes[i] = ledger_hash_of(pair, sizeof pair);
        }
        if (count % 2 == 1) hashes[count / 2] = hashes[count - 1];
    }
    return hashes[0];
}

// ---- writing -----------------------------------------------------------------------------------

bool ledger_is_chain(const char *text, size_t size)
{
    return size == LEDGER_CHAIN_SIZE && is_hex(text, size);
}

void ledger_chain_begin(struct ledger_chain *chain, const char *id)
{
    static const char head[] = "qiao chain 1\n";
    must(ledger_is_chain(id, strlen(id)));
    *chain = (struct ledger_chain){0};
    memcpy(chain->id, id, LEDGER_CHAIN_SIZE);
    chain->head = hash_pair(head, sizeof head - 1, id, LEDGER_CHAIN_SIZE);
}

static void write_value(struct buf *out, const char *value)
{
    for (size_t i = 0; value[i] && i < LEDGER_VALUE_MAX; i++) {
        unsigned char byte = (unsigned char)value[i];
        if (byte > ' ' && byte <= '~' && byte != '%')
            buf_add_byte(out, byte);
        else
            buf_addf(out, "%%%02X", byte);
    }
}

void ledger_write_body(struct buf *out, int64_t time_ms, const char *class,
                       const struct ledger_field *fields, size_t count)
{
    must(count <= LEDGER_FIELDS_MAX);
    buf_addf(out, "%" PRId64 " %s", time_ms, class);
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, " %s=", fields[i].name);
        write_value(out, fields[i].value);
    }
}

static void check_of(const char *word, size_t size, char digits[CHECK_DIGITS + 1])
{
    struct ledger_hash hash = ledger_hash_of(word, size);
    sodium_bin2hex(digits, CHECK_DIGITS + 1, hash.bytes, CHECK_SIZE);
}

/* The checks of all words of a text. */
static void write_checks(struct buf *out, const char *text, size_t size)
{
    for (size_t at = 0; at <= size;) {
        const char *space = memchr(text + at, ' ', size - at);
        size_t end = space ? (size_t)(space - text) : size;
        char digits[CHECK_DIGITS + 1];
        check_of(text + at, end - at, digits);
        buf_add_text(out, digits);
        at = end + 1;
    }
}

void ledger_write_record(struct buf *out, struct ledger_chain *chain, const char *body)
{
    char text[LEDGER_HASH_TEXT_SIZE];
    struct buf line = {0};
    buf_addf(&line, "%s %" PRIu64 " %s", chain->id, ++chain->seq, body);
    struct buf checks = {0};
    write_checks(&checks, line.data, line.size);
    buf_addf(&line, " %s ", buf_text(&checks));
    chain->head = hash_pair(chain->head.bytes, sizeof chain->head.bytes, line.data, line.size);
    buf_add_text(&line, ledger_hash_text(&chain->head, text));
    buf_add(out, line.data, line.size);
    buf_fini(&checks);
    buf_fini(&line);
}

// ---- reading -----------------------------------------------------------------------------------

/* What was changed may be any byte, and a note is for people. */
static void make_plain(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~') *text = '?';
}

/* "record 7 of chain …", as far as the line says it. */
static void name_record(char out[NAME_SIZE], const char *line, size_t size)
{
    const char *end = line + size, *first = memchr(line, ' ', size);
    const char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
    if (!second || first - line > 24 || second - first > 24)
        snprintf(out, NAME_SIZE, "a record");
    else
        snprintf(out, NAME_SIZE, "record %.*s of chain %.*s", (int)(second - first - 1), first + 1,
                 (int)(first - line), line);
    make_plain(out);
}

static enum err is_no_record(const char *line, size_t size, const char *why)
{
    char name[NAME_SIZE];
    name_record(name, line, size);
    return err_note(ERR_FORMAT, "%s: %s", name, why);
}

static enum err word_changed(const char *line, size_t size, size_t index, const char *word,
                             size_t word_size)
{
    static const char *const names[WORDS_AHEAD] = {"chain", "number", "time", "class"};
    char name[NAME_SIZE];
    name_record(name, line, size);
    if (index < WORDS_AHEAD)
        return err_note(ERR_FORMAT, "%s: its %s was changed", name, names[index]);
    const char *equals = memchr(word, '=', word_size);
    size_t shown = equals ? (size_t)(equals - word) : word_size;
    char field[LEDGER_NAME_MAX + 1];
    snprintf(field, sizeof field, "%.*s", (int)(shown < LEDGER_NAME_MAX ? shown : LEDGER_NAME_MAX),
             word);
    make_plain(field);
    return err_note(ERR_FORMAT, "%s: its field '%s' was changed", name, field);
}

/* Each word against its check. */
static enum err check_words(struct ledger_record *record, const char *checks, size_t check_count)
{
    size_t index = 0;
    for (size_t at = 0; at <= record->body_end; index++) {
        const char *word = record->line + at;
        const char *space = memchr(word, ' ', record->body_end - at);
        size_t size = space ? (size_t)(space - word) : record->body_end - at;
        char digits[CHECK_DIGITS + 1];
        check_of(word, size, digits);
        if (index >= check_count ||
            memcmp(digits, checks + index * CHECK_DIGITS, CHECK_DIGITS) != 0)
            return word_changed(record->line, record->size, index, word, size);
        at += size + 1;
    }
    record->words = index;
    if (index == check_count) return ERR_OK;
    return is_no_record(record->line, record->size, "a field was taken out");
}

/* A number of digits alone; moves `*at` behind it and the space. */
static bool take_number(const char **at, uint64_t *out)
{
    char *end;
    if (**at < '0' || **at > '9') return false;
    *out = strtoull(*at, &end, 10);
    if (*end != ' ') return false;
    *at = end + 1;
    return true;
}

static bool is_class(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < 'A' || text[i] > 'Z') return false;
    return size > 0 && size <= LEDGER_CLASS_MAX;
}

/* The words before the fields. */
static enum err read_head(struct ledger_record *record)
{
    const char *at = record->line + LEDGER_CHAIN_SIZE + 1, *end = record->line + record->body_end;
    uint64_t time_ms;
    if (record->body_end <= LEDGER_CHAIN_SIZE || record->line[LEDGER_CHAIN_SIZE] != ' ' ||
        !ledger_is_chain(record->line, LEDGER_CHAIN_SIZE))
        return is_no_record(record->line, record->size, "it does not begin with a chain's name");
    memcpy(record->chain.id, record->line, LEDGER_CHAIN_SIZE);
    if (!take_number(&at, &record->chain.seq) || !take_number(&at, &time_ms) || at > end)
        return is_no_record(record->line, record->size, "it has no number or no time");
    record->time_ms = (int64_t)time_ms;
    const char *space = memchr(at, ' ', (size_t)(end - at));
    record->class = at;
    record->class_size = (size_t)((space ? space : end) - at);
    if (!is_class(at, record->class_size))
        return is_no_record(record->line, record->size, "it has no class");
    return ERR_OK;
}

enum err ledger_parse(struct ledger_record *out, const char *line, size_t size)
{
    static const size_t hash_digits = LEDGER_HASH_TEXT_SIZE - 1;
    struct ledger_record record = {.line = line, .size = size};
    if (size > LEDGER_LINE_MAX || size < hash_digits + 1 || memchr(line, '\0', size))
        return is_no_record(line, size < 64 ? size : 64, "the line is no record");
    record.hash_at = size - hash_digits;
    if (line[record.hash_at - 1] != ' ' ||
        !ledger_hash_parse(&record.chain.head, line + record.hash_at, hash_digits))
        return is_no_record(line, size, "its hash was changed");
    const char *checks = memrchr(line, ' ', record.hash_at - 1);
    size_t digits = checks ? (size_t)(line + record.hash_at - 1 - (checks + 1)) : 0;
    if (!checks || digits % CHECK_DIGITS != 0 || !is_hex(checks + 1, digits))
        return is_no_record(line, size, "the checks of its words were changed");
    record.body_end = (size_t)(checks - line);
    TRY(check_words(&record, checks + 1, digits / CHECK_DIGITS));
    TRY(read_head(&record));
    if (record.words > WORDS_AHEAD + LEDGER_FIELDS_MAX)
        return is_no_record(line, size, "it has too many fields");
    *out = record;
    return ERR_OK;
}

enum err ledger_check_hash(const struct ledger_record *record, const struct ledger_hash *before)
{
    struct ledger_hash hash =
        hash_pair(before->bytes, sizeof before->bytes, record->line, record->hash_at);
    if (ledger_hash_equal(&hash, &record->chain.head)) return ERR_OK;
    return is_no_record(record->line, record->size,
                        "its hash is not the one of its words and of the record before");
}

static bool unescape(const char *text, size_t size, char value[LEDGER_VALUE_MAX + 1])
{
    size_t count = 0;
    for (size_t i = 0; i < size && count < LEDGER_VALUE_MAX; i++) {
        unsigned high, low;
        value[count++] = text[i];
        if (text[i] != '%') continue;
        if (size - i < 3 || sscanf(text + i + 1, "%1X%1X", &high, &low) != 2) return false;
        value[count - 1] = (char)(high * 16 + low);
        i += 2;
    }
    value[count] = '\0';
    return true;
}

bool ledger_field_at(const struct ledger_record *record, size_t index,
                     char name[LEDGER_NAME_MAX + 1], char value[LEDGER_VALUE_MAX + 1])
{
    const char *at = record->class + record->class_size, *end = record->line + record->body_end;
    for (; at < end; index--) { // a space stands here
        const char *word = at + 1, *space = memchr(word, ' ', (size_t)(end - word));
        at = space ? space : end;
        if (index > 0) continue;
        const char *equals = memchr(word, '=', (size_t)(at - word));
        if (!equals || equals - word > LEDGER_NAME_MAX) return false;
        memcpy(name, word, (size_t)(equals - word));
        name[equals - word] = '\0';
        return unescape(equals + 1, (size_t)(at - equals - 1), value);
    }
    return false;
}
