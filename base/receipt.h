/* base/receipt.h -- what an answer was made with, signed: a receipt that anybody with the public key can check.
 *
 * What is signed, with the purpose "qiao receipt 1", is a line for each field, "NAME VALUE\n", in this order:
 *
 *      answer    the answer's id
 *      build     the scheduler's version
 *      model     digest of the model's file, 32 hexadecimal digits; zeros: of none
 *      policy    digest of the policy documents that held
 *      epoch     of the approval gate
 *      region    whose rules held
 *      feature   "assistant", …
 *      label     id of the AIGC label (ProduceID); "" where there is none
 *      time      ms since 1970, UTC
 *      key       id of the signing key (base/sign.h)
 *
 * As JSON it is an object of these members and `signature` (base64); epoch and time are numbers.
 *
 * Pure. Thread: any, after sodium_init(). */
#ifndef BASE_RECEIPT_H
#define BASE_RECEIPT_H

#include "base/digest.h"
#include "base/err.h"
#include "base/sign.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;

enum {
    RECEIPT_TEXT_MAX = 96 // bytes of a text: ASCII from '!' to '~' but '"' and '\'
};

struct receipt {
    char answer[RECEIPT_TEXT_MAX + 1];
    char build[RECEIPT_TEXT_MAX + 1];
    struct digest model, policy;
    uint64_t epoch;
    char region[RECEIPT_TEXT_MAX + 1];
    char feature[RECEIPT_TEXT_MAX + 1];
    char label[RECEIPT_TEXT_MAX + 1];
    int64_t time_ms;
    char key[SIGN_ID_MAX + 1];
    unsigned char signature[SIGN_SIZE];
};

/* Texts that may not stand in a receipt become "-". */
void receipt_sign(struct receipt *receipt, const struct sign_secret *secret);
/* ERR_FORMAT: a text may not stand there; ERR_NOT_FOUND: the key is none of these; ERR_FORBIDDEN: it did not sign this. */
enum err receipt_check(const struct receipt *receipt, const struct sign_keys *keys);
void receipt_write(struct buf *out, const struct receipt *receipt);

#endif
