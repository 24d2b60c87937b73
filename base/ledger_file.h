/* base/ledger_file.h -- records of many chains, sealed into a file.
 *
 *      qiao audit 1
 *      file NUMBER                             1, 2, 3, …                           K
 *      previous ROOT                           of the file before; 64 zeros: of none K
 *      chain CHAIN SEQ HASH                    where each open chain stood, by name  K  (any number)
 *      record …                                ledger.h, in the order of each chain     (any number)
 *      damaged HASH                            a line that came and was no record    K  (among the records)
 *      head CHAIN SEQ HASH STATE               where each stands now, by name        K  (any number)
 *      total RECORDS FIRST LAST                how many, their earliest and latest time K
 *      root ROOT                                                                     K
 *      signature KEY SIGNATURE                 of ROOT's digits, with the purpose "qiao audit 1"; where there is a key  K
 *
 *      K      a last word: 4 bytes of the BLAKE2b of the line before it, in hexadecimal, so that a change is named
 *      STATE  open; ended (its last record is END); lost: its writer was not heard of any more and never said END, so that what it
 *             noted last may be missing. A chain that is not open has no line in the next file
 *      ROOT   of the Merkle tree (ledger_root()) over the bytes before the line "root", and each line "head"
 *
 * A number that is skipped within a chain is a gap: what stood there never came. It is told, and is no failure: the file says what it was
 * sealed with. Everything else that does not fit is ERR_FORMAT, with a note that names the file, the line, the record, the word.
 *
 * Pure. Thread: any, after sodium_init(). */
#ifndef BASE_LEDGER_FILE_H
#define BASE_LEDGER_FILE_H

#include "base/ledger.h"
#include "base/sign.h"

enum {
    LEDGER_CHAINS_MAX = 1024, // open at once
    LEDGER_FILE_MAX = 256 << 20
};

#define LEDGER_PURPOSE "qiao audit 1"

enum ledger_state {
    LEDGER_OPEN,
    LEDGER_ENDED,
    LEDGER_LOST
};

struct ledger_head {
    struct ledger_chain chain;
    enum ledger_state state;
};

/* What a file says in sum. */
struct ledger_seal {
    uint64_t number; // 0: there is no file yet
    struct ledger_hash root;
    uint64_t records, damaged;
    int64_t first_ms, last_ms; // 0: it has no record
    struct ledger_head *heads; // by name; freed by ledger_seal_fini()
    size_t count;
};

void ledger_seal_fini(struct ledger_seal *seal);
/* The head of a chain; NULL: it has none. */
const struct ledger_head *ledger_seal_find(const struct ledger_seal *seal, const char *chain,
                                           size_t size);

/* What is sealed. */
struct ledger_sealing {
    const struct ledger_seal *before; // the file before
    const char *lines;                // records, each with a newline
    size_t size;
    const char *const *lost; // chains whose writers are not heard of any more
    size_t lost_count;
    const struct sign_secret *key; // NULL: the file is not signed
};

/* Write the file behind `before`: what is in that one already is left out. ERR_TOO_LARGE: too many chains. */
enum err ledger_seal_write(struct buf *out, struct ledger_seal *seal,
                           const struct ledger_sealing *sealing);

/* Told while a file is read. Either may be NULL. */
struct ledger_reader {
    void (*on_record)(void *argument, const struct ledger_record *record);
    void (*on_gap)(void *argument, const char *text);
    void *argument;
    const struct sign_keys *keys; // that count; NULL: signatures are not checked
};

/* Check a file, from its first byte to its last. `before`: the file before; NULL: it is not there, and this one is taken at its word
 * about it. */
enum err ledger_file_check(struct ledger_seal *out, const char *name, const char *text, size_t size,
                           const struct ledger_seal *before, const struct ledger_reader *reader);

#endif
