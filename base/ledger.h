/* base/ledger.h -- records in chains: each one says what came before it, so that one that is changed, moved or taken out shows.
 *
 * A record is a line of words, parted by a space each (docs/audit.md):
 *
 *      CHAIN SEQ TIME CLASS NAME=VALUE … CHECKS HASH
 *
 *      CHAIN     16 hexadecimal digits, random: one life of one writer
 *      SEQ       1, 2, 3, … of the chain
 *      TIME      ms since 1970, UTC
 *      CLASS     upper-case letters
 *      NAME      lower-case letters, digits, '_';  VALUE  bytes from '!' to '~' as they are but for '%', all others as %XX
 *      CHECKS    of each word before it 4 bytes of its BLAKE2b, in hexadecimal: they tell which word was changed. They prove nothing
 *      HASH      BLAKE2b (256 bits) of the hash of the record before and of the line up to and with the space before HASH
 *
 * The hash before the first record is the one of "qiao chain 1\n" and CHAIN.
 *
 * Pure. Thread: any, after sodium_init(). */
#ifndef BASE_LEDGER_H
#define BASE_LEDGER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    LEDGER_HASH_SIZE = 32,
    LEDGER_HASH_TEXT_SIZE = 2 * LEDGER_HASH_SIZE + 1,
    LEDGER_CHAIN_SIZE = 16, // digits
    LEDGER_CLASS_MAX = 16,
    LEDGER_FIELDS_MAX = 16,
    LEDGER_NAME_MAX = 32,
    LEDGER_VALUE_MAX = 256, // bytes, before they are escaped
    LEDGER_LINE_MAX = 16384
};

struct ledger_hash {
    uint8_t bytes[LEDGER_HASH_SIZE];
};

struct ledger_field {
    const char *name, *value;
};

/* A chain, up to its record `seq`, whose hash is `head`. */
struct ledger_chain {
    char id[LEDGER_CHAIN_SIZE + 1];
    uint64_t seq;
    struct ledger_hash head;
};

struct ledger_hash ledger_hash_of(const void *bytes, size_t size);
bool ledger_hash_equal(const struct ledger_hash *a, const struct ledger_hash *b);
char *ledger_hash_text(const struct ledger_hash *hash, char text[LEDGER_HASH_TEXT_SIZE]);
/* False: not 64 hexadecimal digits in lower case. */
bool ledger_hash_parse(struct ledger_hash *out, const char *text, size_t size);

bool ledger_is_chain(const char *text, size_t size);
void ledger_chain_begin(struct ledger_chain *chain, const char *id);

/* "TIME CLASS NAME=VALUE …": what a record says, of whatever chain. Names are ours; values are cut at LEDGER_VALUE_MAX. */
void ledger_write_body(struct buf *out, int64_t time_ms, const char *class,
                       const struct ledger_field *fields, size_t count);
/* Append the chain's next record, without a newline; `body` as ledger_write_body() made it. */
void ledger_write_record(struct buf *out, struct ledger_chain *chain, const char *body);

/* A record that was read. The texts are borrowed from the line. */
struct ledger_record {
    const char *line;
    size_t size;               // without a newline
    size_t words;              // CHECKS and HASH left out
    size_t body_end;           // bytes before CHECKS
    size_t hash_at;            // where HASH stands
    struct ledger_chain chain; // id, seq and hash as the line says
    int64_t time_ms;
    const char *class;
    size_t class_size;
};

/* Take a line apart. ERR_FORMAT: it is no record, or a word is not the one that was written; the note names the word ("time",
 * "field 'reason'") and begins with the record's name where that stands. */
enum err ledger_parse(struct ledger_record *out, const char *line, size_t size);
/* The record's hash follows from the one before. ERR_FORMAT names the record, and says whether its hash or what it is of was changed. */
enum err ledger_check_hash(const struct ledger_record *record, const struct ledger_hash *before);
/* The `index`-th field, unescaped; false: there are fewer. */
bool ledger_field_at(const struct ledger_record *record, size_t index,
                     char name[LEDGER_NAME_MAX + 1], char value[LEDGER_VALUE_MAX + 1]);

/* The root of a Merkle tree as RFC 6962 builds it, with BLAKE2b: a leaf is hashed behind a byte 0, two nodes behind a byte 1. `hashes` are
 * those of leaves, at least one; they are overwritten. */
struct ledger_hash ledger_leaf(const void *bytes, size_t size);
struct ledger_hash ledger_root(struct ledger_hash *hashes, size_t count);

#endif
