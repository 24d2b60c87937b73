/* qiao.h -- libqiao: talk to a qiao cluster from C.
 *
 *      struct qiao *q = qiao_new("http://127.0.0.1:8080", NULL);
 *      struct qiao_message m = {.role = "user", .content = "你好"};
 *      if (qiao_chat(q, &m, 1, NULL, print_delta, stdout, NULL) != QIAO_OK)
 *          fprintf(stderr, "%s\n", qiao_error(q));
 *      qiao_free(q);
 *
 * Calls block. A handle belongs to one thread at a time; different handles are independent. Texts are UTF-8. This
 * header needs nothing but C99. */
#ifndef QIAO_H
#define QIAO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum qiao_status {
    QIAO_OK = 0,
    QIAO_INVALID,     /* an argument is not right; nothing was sent */
    QIAO_UNREACHABLE, /* no connection could be made */
    QIAO_BROKEN,      /* the connection ended before the answer did */
    QIAO_REFUSED      /* the API answered with an error: qiao_http_status(), qiao_code() */
};

struct qiao;

/* `url`: http://HOST:PORT (port 80 when there is none); `key`: an API key or NULL. Never NULL; a wrong URL is told by the first
 * call. */
struct qiao *qiao_new(const char *url, const char *key);
void qiao_free(struct qiao *qiao);
/* Seconds without a byte after which a call gives up; 120 until set. */
void qiao_set_timeout(struct qiao *qiao, unsigned seconds);
/* The end user that a back end speaks for (header X-Qiao-User); NULL: none. */
void qiao_set_user(struct qiao *qiao, const char *user);
/* The region that the calls are made in (header X-Qiao-Region), by whose policy they are served; NULL: none is said. */
void qiao_set_region(struct qiao *qiao, const char *region);
/* The language that is asked for (Accept-Language), and the device's system such as "AcmeOS/18.4" (X-Qiao-OS); NULL: none is said. */
void qiao_set_language(struct qiao *qiao, const char *language);
void qiao_set_system(struct qiao *qiao, const char *system);

/* About the latest failure of this handle: a line for people, the HTTP status (0: none), the API's code ("" : none), and
 * after how many seconds to come again (0: not said). Borrowed until the next call. */
const char *qiao_error(const struct qiao *qiao);
int qiao_http_status(const struct qiao *qiao);
const char *qiao_code(const struct qiao *qiao);
unsigned qiao_retry_after(const struct qiao *qiao);

/* One request; *body gets the answer's text (with QIAO_OK), to be freed with qiao_free_text(). `json` is NULL for none.
 * `method`: "GET", "POST", "PUT" or "DELETE". */
enum qiao_status qiao_request(struct qiao *qiao, const char *method, const char *path,
                              const char *json, char **body);
void qiao_free_text(char *text);

struct qiao_message {
    const char *role; /* "system", "user", "assistant" */
    const char *content;
};

struct qiao_chat_options {
    const char *model;   /* NULL: the cluster's first */
    const char *session; /* NULL: none; else the cluster keeps the conversation under this id */
    long max_tokens;     /* 0: the cluster's preset */
    double temperature;  /* negative: the cluster's preset */
    int has_seed;
    uint64_t seed;
};

struct qiao_usage {
    uint32_t prompt_tokens, cached_tokens, completion_tokens;
    char finish_reason[16];
};

/* The next piece of the answer: `size` bytes, whole characters, not NUL-terminated. */
typedef void qiao_delta_fn(void *argument, const char *text, size_t size);

/* Ask, and hand on the answer as it streams. `options` and `usage` may be NULL. */
enum qiao_status qiao_chat(struct qiao *qiao, const struct qiao_message *messages, size_t count,
                           const struct qiao_chat_options *options, qiao_delta_fn *delta,
                           void *argument, struct qiao_usage *usage);

#ifdef __cplusplus
}
#endif

#endif
