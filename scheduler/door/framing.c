#include "scheduler/door/framing.h"

#include <event2/event.h>
#include <event2/keyvalq_struct.h>

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define TOKEN_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

const char *framing_wrong(const struct evkeyvalq *headers)
{
    size_t lengths = 0, codings = 0;
    for (const struct evkeyval *header = headers->tqh_first; header;
         header = header->next.tqe_next) {
        const char *key = header->key;
        if (!*key || key[strspn(key, TOKEN_BYTES)])
            return "a header's name has a byte that names may not have";
        if (strcasecmp(key, "Content-Length") == 0) lengths++;
        if (strcasecmp(key, "Transfer-Encoding") != 0) continue;
        codings++;
        if (strcasecmp(header->value, "chunked") != 0)
            return "Transfer-Encoding must be chunked: no other coding is taken";
    }
    if (lengths > 1) return "Content-Length must not be given twice";
    if (codings > 1) return "Transfer-Encoding must not be given twice";
    return NULL;
}
