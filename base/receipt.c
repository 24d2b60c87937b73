#include "base/receipt.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PURPOSE "qiao receipt 1"

static bool is_text(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || *text == '"' || *text == '\\') return false;
    return true;
}

static void make_text(char *text)
{
    if (!is_text(text)) snprintf(text, 2, "-");
}

/* What is signed. */
static void write_text(struct buf *out, const struct receipt *receipt)
{
    char model[DIGEST_TEXT_SIZE], policy[DIGEST_TEXT_SIZE];
    buf_addf(out,
             "answer %s\nbuild %s\nmodel %s\npolicy %s\nepoch %" PRIu64
             "\nregion %s\nfeature %s\nlabel %s\ntime %" PRId64 "\nkey %s\n",
             receipt->answer, receipt->build, digest_text(&receipt->model, model),
             digest_text(&receipt->policy, policy), receipt->epoch, receipt->region,
             receipt->feature, receipt->label, receipt->time_ms, receipt->key);
}

void receipt_sign(struct receipt *receipt, const struct sign_secret *secret)
{
    struct buf text = {0};
    make_text(receipt->answer);
    make_text(receipt->build);
    make_text(receipt->region);
    make_text(receipt->feature);
    make_text(receipt->label);
    memcpy(receipt->key, secret->id, sizeof receipt->key);
    write_text(&text, receipt);
    sign_bytes(receipt->signature, secret, PURPOSE, text.data, text.size);
    buf_fini(&text);
}

enum err receipt_check(const struct receipt *receipt, const struct sign_keys *keys)
{
    struct buf text = {0};
    if (!is_text(receipt->answer) || !is_text(receipt->build) || !is_text(receipt->region) ||
        !is_text(receipt->feature) || !is_text(receipt->label) || !sign_is_id(receipt->key))
        return err_note(ERR_FORMAT, "a receipt has no such texts");
    const struct sign_public *key = sign_find(keys, receipt->key);
    if (!key)
        return err_note(ERR_NOT_FOUND,
                        "the receipt is signed with the key '%s', which is not "
                        "among those given",
                        receipt->key);
    write_text(&text, receipt);
    bool good = sign_check(key->key, PURPOSE, text.data, text.size, receipt->signature);
    buf_fini(&text);
    if (good) return ERR_OK;
    return err_note(ERR_FORBIDDEN, "the receipt is not as the key '%s' signed it", receipt->key);
}

void receipt_write(struct buf *out, const struct receipt *receipt)
{
    char model[DIGEST_TEXT_SIZE], policy[DIGEST_TEXT_SIZE], signature[SIGN_TEXT_SIZE];
    sign_text(signature, receipt->signature);
    buf_addf(out,
             "{\"answer\":\"%s\",\"build\":\"%s\",\"model\":\"%s\",\"policy\":\"%s\","
             "\"epoch\":%" PRIu64 ",\"region\":\"%s\",\"feature\":\"%s\",\"label\":\"%s\","
             "\"time\":%" PRId64 ",\"key\":\"%s\",\"signature\":\"%s\"}",
             receipt->answer, receipt->build, digest_text(&receipt->model, model),
             digest_text(&receipt->policy, policy), receipt->epoch, receipt->region,
             receipt->feature, receipt->label, receipt->time_ms, receipt->key, signature);
}
