/* client/ctl/call.h -- calls of the admin API in JSON, that try again where that helps.
 *
 * Thread: one. */
#ifndef CLIENT_CTL_CALL_H
#define CLIENT_CTL_CALL_H

#include "client/ctl/ctl.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

struct sign_keys;

enum {
    CALL_TRIES = 20 // while the cluster cannot be reached, or says that it will be able to
};

/* POST `text`; the answer's object in *out, to be json_decref()ed. A failure has been said. `http_status` (or NULL) is what a
 * refusal had, and that is not said when it is 409. */
enum ctl_exit call_post(const struct ctl_conf *conf, struct qiao *qiao, const char *path,
                        const char *text, int *http_status, json_t **out);
/* The same of an object, which is given away. */
enum ctl_exit call_post_json(const struct ctl_conf *conf, struct qiao *qiao, const char *path,
                             json_t *object, int *http_status, json_t **out);
/* Say what is wrong with a file, a flag or an answer, or what err_text() says; CTL_FAILED. */
enum ctl_exit call_wrong(const char *what, const char *why);
enum ctl_exit call_wrong_err(void);
/* The public keys of --keys, for what is checked without the cluster. What is wrong has been said. */
enum ctl_exit call_read_keys(const struct ctl_conf *conf, struct sign_keys *keys);
long long call_count(const json_t *object, const char *name);

/* A line on a terminal's stderr that the next one covers; of other stderrs nothing until `total` is reached. */
void call_progress(const char *what, long long done, long long total);
/* One line of JSON on stdout; gives the object away. */
void call_print_json(json_t *object);
/* A file of at most `most` bytes with a NUL behind it; NULL: it was said why not. mem_free() it. */
char *call_read_file(const char *path, size_t most, size_t *size);

#endif
