/* events import: a partner's feed, checked against its signed manifest, brought line by line; events forget. */
#include "client/ctl/call.h"

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>
#include <sodium.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    MANIFEST_MAX = 4096,
    SIGNATURE_MAX = 256, // bytes of its file, as text or as it is
    CHUNK_LINES = 1000,
    CHUNK_BYTES = 1 << 20,
    LINE_SENT_MAX = 16 << 10, // of a line that is too long anyway, so that the server says so
    ERRORS_SHOWN = 100,
    BLOCK = 64 << 10
};

struct import {
    const struct ctl_conf *conf;
    struct qiao *qiao;
    const char *path;
    FILE *file;
    struct stat status;         // when it was read for its digest
    char *manifest, *signature; // the text, and base64
    json_t *facts;              // the manifest
    const char *source;
    long long number, lines, done;
    unsigned long long wrong; // lines that were told
    char *line;               // getline()'s
    size_t line_capacity;
};

// ---- the manifest ------------------------------------------------------------------------------

/* The raw 64 bytes, or their base64. */
static enum ctl_exit read_signature(struct import *import, const char *path)
{
    size_t size;
    char *bytes = call_read_file(path, SIGNATURE_MAX, &size);
    if (!bytes) return CTL_FAILED;
    if (size != crypto_sign_BYTES) {
        import->signature = bytes;
        bytes[strcspn(bytes, " \t\r\n")] = '\0';
        return CTL_GOOD;
    }
    import->signature = mem_new(SIGNATURE_MAX, 1);
    sodium_bin2base64(import->signature, SIGNATURE_MAX, (const unsigned char *)bytes, size,
                      sodium_base64_VARIANT_ORIGINAL);
    mem_free(bytes);
    return CTL_GOOD;
}

static enum ctl_exit read_manifest(struct import *import)
{
    struct buf path = {0};
    size_t size;
    const char *name = strrchr(import->path, '/');
    buf_addf(&path, "%s.manifest", import->path);
    import->manifest = call_read_file(buf_text(&path), MANIFEST_MAX, &size);
    buf_add_text(&path, ".sig");
    enum ctl_exit code = import->manifest ? read_signature(import, buf_text(&path)) : CTL_FAILED;
    buf_fini(&path);
    if (code) return code;
    import->facts = json_loads(import->manifest, 0, NULL);
    import->source = json_string_value(json_object_get(import->facts, "source"));
    const char *file = json_string_value(json_object_get(import->facts, "file"));
    if (!import->source || !file)
        return call_wrong("the manifest", "it must have 'source' and 'file'");
    if (strcmp(import->source, import->conf->source) != 0)
        return call_wrong("the manifest's source is not the one of --source", import->source);
    if (strcmp(file, name ? name + 1 : import->path) != 0)
        return call_wrong("the manifest is of another file", file);
    return CTL_GOOD;
}

/* The file is what the manifest says: its bytes, lines, digest. */
static enum ctl_exit check_file(struct import *import)
{
    crypto_hash_sha256_state state;
    unsigned char hash[crypto_hash_sha256_BYTES], *block = mem_new(BLOCK, 1);
    char hex[2 * sizeof hash + 1];
    long long bytes = 0, lines = 0, total;
    unsigned char last = '\n';
    crypto_hash_sha256_init(&state);
    total = (long long)import->status.st_size;
    for (size_t got; (got = fread(block, 1, BLOCK, import->file)) > 0; bytes += (long long)got) {
        crypto_hash_sha256_update(&state, block, got);
        for (size_t i = 0; i < got; i++)
            lines += block[i] == '\n';
        last = block[got - 1];
        if ((bytes >> 24) != ((bytes + (long long)got) >> 24) && bytes + (long long)got < total)
            call_progress("checked", bytes, total);
    }
    lines += last != '\n';
    mem_free(block);
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    const char *told = json_string_value(json_object_get(import->facts, "sha256"));
    if (bytes != call_count(import->facts, "bytes"))
        return call_wrong(import->path, "it has not as many bytes as its manifest says");
    if (lines != call_count(import->facts, "lines"))
        return call_wrong(import->path, "it has not as many lines as its manifest says");
    if (!told || strcmp(told, hex) != 0)
        return call_wrong(import->path, "its SHA-256 is not the one of its manifest");
    return CTL_GOOD;
}

// ---- the lines ---------------------------------------------------------------------------------

/* Where the cluster is with this feed: from there it goes on. */
static enum ctl_exit begin(struct import *import)
{
    json_t *answer = NULL;
    json_t *ask = json_pack("{s:s, s:s, s:b}", "manifest", import->manifest, "signature",
                            import->signature, "skip", import->conf->skip);
    enum ctl_exit code =
        call_post_json(import->conf, import->qiao, "/admin/feeds", ask, NULL, &answer);
    if (code) return code;
    import->number = call_count(answer, "number");
    import->lines = call_count(answer, "lines");
    import->done = call_count(answer, "done");
    json_decref(answer);
    rewind(import->file);
    for (long long i = 0; i < import->done; i++)
        if (getline(&import->line, &import->line_capacity, import->file) < 0)
            return call_wrong(import->path, "it has become shorter");
    return CTL_GOOD;
}

static bool is_changed(const struct import *import)
{
    struct stat now;
    return fstat(fileno(import->file), &now) != 0 || now.st_size != import->status.st_size ||
           now.st_mtim.tv_sec != import->status.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != import->status.st_mtim.tv_nsec;
}

/* The next lines, each with its newline. */
static size_t read_chunk(struct import *import, struct buf *out)
{
    size_t count = 0;
    while (count < CHUNK_LINES && out->size < CHUNK_BYTES) {
        ssize_t size = getline(&import->line, &import->line_capacity, import->file);
        if (size < 0) break;
        size_t kept = (size_t)size;
        while (kept > 0 && import->line[kept - 1] == '\n')
            kept--;
        for (size_t i = 0; i < kept; i++)
            if (!import->line[i])
                import->line[i] = '\x01'; // no JSON either, and no end of our text
        buf_add(out, import->line, kept < LINE_SENT_MAX ? kept : LINE_SENT_MAX);
        buf_add_byte(out, '\n');
        count++;
    }
    return count;
}

static void tell_errors(struct import *import, const json_t *answer)
{
    const json_t *errors = json_object_get(answer, "errors");
    for (size_t i = 0; i < json_array_size(errors); i++, import->wrong++) {
        const json_t *one = json_array_get(errors, i);
        const char *text =
            json_string_value(json_object_get(json_object_get(one, "error"), "message"));
        if (import->wrong < ERRORS_SHOWN)
            fprintf(stderr, "%s:%lld: %s\n", import->path, call_count(one, "line"),
                    text ? text : "is wrong");
        else if (import->wrong == ERRORS_SHOWN)
            fprintf(stderr, "more lines are wrong; the count at the end has them all\n");
    }
}

static enum ctl_exit send_chunk(struct import *import)
{
    struct buf path = {0}, body = {0};
    json_t *answer = NULL;
    int status = 0;
    if (is_changed(import)) return call_wrong(import->path, "it has changed since it was checked");
    size_t count = read_chunk(import, &body);
    if (count == 0) return call_wrong(import->path, "it has become shorter");
    buf_addf(&path, "/admin/feeds/%s/%lld/%lld", import->source, import->number, import->done);
    enum ctl_exit code =
        call_post(import->conf, import->qiao, buf_text(&path), buf_text(&body), &status, &answer);
    if (!code) {
        tell_errors(import, answer);
        import->done = call_count(answer, "done");
    }
    json_decref(answer);
    buf_fini(&path);
    buf_fini(&body);
    // An answer that was lost: the lines were taken, and the feed is elsewhere than we believe.
    if (status != 409) return code;
    long long before = import->done;
    code = begin(import);
    if (code || import->done > before) return code;
    return call_wrong(import->path, "the cluster does not take the next lines of it");
}

static enum ctl_exit tell_end(struct import *import)
{
    char path[128];
    char *body = NULL;
    snprintf(path, sizeof path, "/admin/feeds/%s", import->source);
    if (qiao_request(import->qiao, "GET", path, NULL, &body))
        return ctl_fail(import->conf, import->qiao);
    json_t *feed = json_loads(body, 0, NULL);
    if (import->conf->json)
        puts(body);
    else
        printf(
            "feed %lld of %s is complete: %lld lines, %lld stored, %lld repeated, %lld of nobody "
            "here, %lld without consent, %lld wrong\n",
            import->number, import->source, import->lines, call_count(feed, "stored"),
            call_count(feed, "repeated"), call_count(feed, "unlinked"), call_count(feed, "refused"),
            call_count(feed, "wrong"));
    json_decref(feed);
    qiao_free_text(body);
    return CTL_GOOD;
}

static enum ctl_exit run(struct import *import)
{
    enum ctl_exit code = read_manifest(import);
    if (code) return code;
    import->file = fopen(import->path, "re");
    if (!import->file || fstat(fileno(import->file), &import->status) != 0)
        return call_wrong(import->path, strerror(errno));
    code = check_file(import);
    if (!code) code = begin(import);
    if (!code && import->done > 0 && import->done < import->lines)
        fprintf(stderr, "goes on after line %lld\n", import->done);
    if (!code && import->done == import->lines)
        fprintf(stderr, "feed %lld was taken before: nothing is done\n", import->number);
    while (!code && import->done < import->lines) {
        code = send_chunk(import);
        if (!code) call_progress("lines", import->done, import->lines);
    }
    return code ? code : tell_end(import);
}

enum ctl_exit ctl_import(const struct ctl_conf *conf, struct qiao *qiao, const char *path)
{
    struct import import = {.conf = conf, .qiao = qiao, .path = path};
    if (!*conf->source) return call_wrong("--source", "must name the partner"), CTL_USAGE;
    enum ctl_exit code = run(&import);
    if (import.file) fclose(import.file);
    free(import.line); // getline's
    json_decref(import.facts);
    mem_free(import.manifest);
    mem_free(import.signature);
    return code;
}

// ---- forget ------------------------------------------------------------------------------------

enum ctl_exit ctl_forget(const struct ctl_conf *conf, struct qiao *qiao)
{
    char cursor[32] = "0";
    long long histories = 0;
    if (!*conf->source) return call_wrong("--source", "must name the partner"), CTL_USAGE;
    do {
        json_t *answer = NULL;
        json_t *ask = json_pack("{s:s, s:s}", "source", conf->source, "cursor", cursor);
        if (*conf->user) json_object_set_new(ask, "user", json_string(conf->user));
        enum ctl_exit code = call_post_json(conf, qiao, "/admin/forget", ask, NULL, &answer);
        if (code) return code;
        const char *next = json_string_value(json_object_get(answer, "cursor"));
        histories += call_count(answer, "histories");
        snprintf(cursor, sizeof cursor, "%s", next ? next : "0");
        json_decref(answer);
    } while (strcmp(cursor, "0") != 0);
    if (conf->json)
        call_print_json(
            json_pack("{s:s, s:I}", "source", conf->source, "histories", (json_int_t)histories));
    else
        printf("the events of %s are deleted: %lld histories\n", conf->source, histories);
    return CTL_GOOD;
}
