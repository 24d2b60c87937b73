/* client/ctl/answer.h -- an answer of a governed cluster as somebody saved it, a body or the events of a stream: its texts, its label, its
 * metadata; and what its receipt and a gate's record say, read into the structs that are checked.
 *
 * Thread: one, after sodium_init(). */
#ifndef CLIENT_CTL_ANSWER_H
#define CLIENT_CTL_ANSWER_H

#include "base/aigc.h"
#include "base/buf.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

enum {
    ANSWER_CHOICES_MAX = 128
};

/* A zeroed one is empty. */
struct answer {
    struct buf texts[ANSWER_CHOICES_MAX]; // with the visible label
    size_t count;
    json_t *label; // the latest that was said; NULL: none
    struct aigc aigc;
    bool has_aigc;
};

void answer_fini(struct answer *answer);
/* False: there is no answer with metadata in it. */
bool answer_read(struct answer *answer, const char *text, size_t size);
/* Whether the content is the one that the metadata was signed over. `code` gets what ReservedCode1 says. */
enum aigc_wrong answer_check(const struct answer *answer, const struct sign_keys *keys,
                             struct aigc_code *code);

/* The receipt of a body, or the last one of a stream, to be json_decref()ed; NULL: there is none. */
struct receipt;
json_t *answer_find_receipt(const char *text, size_t size);
/* False: it lacks a member, or has one of another kind. */
bool answer_read_receipt(struct receipt *out, const json_t *object);

/* What a gate's approvers signed, of its record as the server tells it. False: it is not what it should be. */
struct approval;
bool answer_read_approval(struct approval *out, const json_t *gate);

#endif
