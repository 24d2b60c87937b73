/* label verify: whether an answer has the label that it was made with, checked without the cluster; label waive, unwaive: agreements. */
#include "client/ctl/answer.h"
#include "client/ctl/call.h"

#include "base/aigc.h"
#include "base/mem.h"

#include <jansson.h>
#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    ANSWER_MAX = 16 << 20,
    AGREEMENT_MAX = 64 << 20
};

// ---- verify ------------------------------------------------------------------------------------

static enum ctl_exit say(const struct ctl_conf *conf, const char *path, enum aigc_wrong found,
                         const struct answer *answer, const struct aigc_code *code)
{
    const char *part = aigc_wrong_part(found), *text = aigc_wrong_text(found, code);
    if (conf->json)
        call_print_json(json_pack("{s:b, s:s?, s:s, s:s, s:s}", "valid", found == AIGC_VALID,
                                  "wrong", part, "message", text, "producer", answer->aigc.producer,
                                  "answer", answer->aigc.produce_id));
    else if (found)
        (void)call_wrong(path, text);
    else
        printf("%s: %s; made by %s, signed by %s\n", answer->aigc.produce_id, text,
               answer->aigc.producer, code->key);
    return found ? CTL_FAILED : CTL_GOOD;
}

enum ctl_exit ctl_label_verify(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct sign_keys keys;
    struct answer *answer;
    struct aigc_code code = {0};
    size_t size;
    (void)qiao;
    enum ctl_exit exit = call_read_keys(conf, &keys);
    if (exit) return exit;
    char *text = call_read_file(path, ANSWER_MAX, &size);
    if (!text) return CTL_FAILED;
    answer = mem_new(1, sizeof *answer);
    if (answer_read(answer, text, size))
        exit = say(conf, path, answer_check(answer, &keys, &code), answer, &code);
    else
        exit = call_wrong(path,
                          "has no answer with metadata in it: a body, or the events of a stream");
    answer_fini(answer);
    mem_free(answer);
    mem_free(text);
    return exit;
}

// ---- agreements --------------------------------------------------------------------------------

/* `agreement` NULL: what is on record ends. */
static enum ctl_exit put(const struct ctl_conf *conf, struct qiao *qiao, const char *agreement)
{
    json_t *reply;
    if (!*conf->user) return call_wrong("--user", "must name the user whose agreement it is");
    json_t *ask = json_pack("{s:s, s:I}", "user", conf->user, "days",
                            agreement ? (json_int_t)conf->days : (json_int_t)0);
    if (agreement) json_object_set_new(ask, "agreement", json_string(agreement));
    enum ctl_exit code = call_post_json(conf, qiao, "/admin/waivers", ask, NULL, &reply);
    if (code) return code;
    if (conf->json)
        call_print_json(json_incref(reply));
    else if (agreement)
        printf("the agreement %s is on record for %llu days\n", agreement,
               (unsigned long long)conf->days);
    else
        printf("no agreement is on record any more\n");
    json_decref(reply);
    return CTL_GOOD;
}

enum ctl_exit ctl_label_waive(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    size_t size;
    char *text = call_read_file(path, AGREEMENT_MAX, &size);
    if (!text) return CTL_FAILED;
    crypto_hash_sha256(hash, (const unsigned char *)text, size);
    mem_free(text);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return put(conf, qiao, hex);
}

enum ctl_exit ctl_label_unwaive(const struct ctl_conf *conf, struct qiao *qiao)
{
    return put(conf, qiao, NULL);
}
