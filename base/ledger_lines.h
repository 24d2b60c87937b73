/* base/ledger_lines.h -- what the writer and the reader of sealed files share (ledger_file.h). */
#ifndef BASE_LEDGER_LINES_H
#define BASE_LEDGER_LINES_H

#include "base/ledger_file.h"

enum {
    LEDGER_CHECK_SIZE = 8 // digits of a line's last word
};

extern const char ledger_first_line[];
extern const char *const ledger_state_names[3];

/* Its digits, of a line. */
void ledger_line_check(const char *line, size_t size, char digits[LEDGER_CHECK_SIZE + 1]);
/* The head of a chain, made where there is none: `seq` 0. NULL: there are LEDGER_CHAINS_MAX. */
struct ledger_head *ledger_seal_take(struct ledger_seal *seal, const char *chain);
/* What a record does to its chain's head and to the sums. */
void ledger_seal_count(struct ledger_seal *seal, struct ledger_head *head,
                       const struct ledger_record *record);
/* The Merkle root over `size` bytes of a file and its head lines, which they end with (total's line behind them). */
struct ledger_hash ledger_seal_root(const char *text, size_t size);

#endif
