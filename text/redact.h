/* text/redact.h -- what names a person in a text, put out of sight: phone numbers, identity cards, bank cards, email, addresses.
 *
 *      "call 138-0013-8000"  ->  "call [PHONE]"
 *
 *      [PHONE]     mobile and fixed lines of mainland China, with or without +86; numbers that begin with '+'; 415-555-2671
 *      [ID]        identity cards of mainland China: 18 digits whose date and check digit are right, or the older 15 with a date
 *      [CARD]      bank cards: 13 to 19 digits, alone or by fours, whose Luhn sum is right
 *      [EMAIL]     mailboxes with ASCII names
 *      [ADDRESS]   …路 or …街 with a number, …小区 with a house; "221B Baker Street"
 *
 * Digits and signs of full width count as the plain ones; a number may have single spaces, hyphens or dots between its groups. It is made
 * to miss little: a number that looks like one of these is taken for it, whatever it was meant as. Names of people are not looked for.
 *
 * Formats: GB 11643 (identity cards), ISO/IEC 7812 (bank cards), E.164, RFC 5321. Time is linear in the text. Thread: any. */
#ifndef TEXT_REDACT_H
#define TEXT_REDACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum redact_kind {
    REDACT_PHONE,
    REDACT_IDENTITY,
    REDACT_CARD,
    REDACT_EMAIL,
    REDACT_ADDRESS,
    REDACT_KINDS
};

/* "PHONE", …: what stands in the placeholder. */
const char *redact_name(enum redact_kind kind);

/* How many were found of `kinds` (bits 1 << kind). With any, the text that is to be used instead is added to `out`; with none nothing
 * is, and the text stays as it is. `counts` (may be NULL) gets how many of each kind. */
size_t redact_text(uint32_t kinds, const char *text, size_t size, struct buf *out,
                   uint32_t counts[REDACT_KINDS]);

#endif
