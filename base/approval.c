#include "base/approval.h"

#include "base/buf.h"

#include <sodium.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

enum {
    PARTS_MAX = 8 // numbers of a version
};

static enum err check_name(const char *field, const char *name)
{
    size_t size = strlen(name);
    if (size > 0 && strspn(name, NAME_BYTES) == size) return ERR_OK;
    return err_note(ERR_INVALID, "%s must be 1 to %d letters, digits, '-', '_' or '.'", field,
                    APPROVAL_NAME_MAX);
}

/* "18.4.1": numbers parted by points. The count of them; 0: it is none. */
static size_t read_version(const char *text, unsigned long parts[PARTS_MAX])
{
    for (size_t count = 0; count < PARTS_MAX;) {
        char *end;
        if (*text < '0' || *text > '9') return 0;
        errno = 0;
        parts[count++] = strtoul(text, &end, 10);
        if (errno) return 0;
        if (!*end) return count;
        if (*end != '.') return 0;
        text = end + 1;
    }
    return 0;
}

static enum err check_system(const char *system)
{
    unsigned long parts[PARTS_MAX];
    const char *slash = strrchr(system, '/');
    bool good = slash && slash > system && read_version(slash + 1, parts) > 0;
    for (const char *at = system; good && at < slash; at++)
        good = strchr(NAME_BYTES " /", *at) != NULL;
    if (good) return ERR_OK;
    return err_note(ERR_INVALID, "os must be a name and its least version, such as 'AcmeOS/18.4'");
}

static enum err check_evidence(const struct approval_evidence *evidence)
{
    TRY(check_name("evidence type", evidence->type));
    size_t size = strlen(evidence->reference);
    bool good = size > 0 && evidence->reference[0] != ' ' && evidence->reference[size - 1] != ' ';
    for (size_t i = 0; good && i < size; i++)
        good = (unsigned char)evidence->reference[i] >= 0x20 && evidence->reference[i] != 0x7f;
    if (!good)
        return err_note(ERR_INVALID,
                        "evidence %s: reference must be 1 to %d bytes without line ends and "
                        "without spaces around it",
                        evidence->type, APPROVAL_REFERENCE_MAX);
    if (evidence->from_ms < 0 || evidence->until_ms < 0 ||
        (evidence->until_ms > 0 && evidence->until_ms <= evidence->from_ms))
        return err_note(ERR_INVALID, "evidence %s: until must come after its beginning",
                        evidence->type);
    return ERR_OK;
}

enum err approval_check(const struct approval *approval)
{
    TRY(check_name("feature", approval->feature));
    TRY(check_name("region", approval->region));
    if (approval->model_count > APPROVAL_MODELS_MAX ||
        approval->system_count > APPROVAL_SYSTEMS_MAX ||
        approval->evidence_count > APPROVAL_EVIDENCE_MAX)
        return err_note(ERR_INVALID, "an approval has at most %d models, %d systems, %d evidences",
                        APPROVAL_MODELS_MAX, APPROVAL_SYSTEMS_MAX, APPROVAL_EVIDENCE_MAX);
    for (size_t i = 0; i < approval->system_count; i++)
        TRY(check_system(approval->systems[i]));
    for (size_t i = 0; i < approval->evidence_count; i++)
        TRY(check_evidence(&approval->evidence[i]));
    return ERR_OK;
}

void approval_write(struct buf *out, const struct approval *approval)
{
    char hex[DIGEST_TEXT_SIZE], hash[2 * APPROVAL_HASH_SIZE + 1];
    buf_addf(out, "feature %s\nregion %s\nserial %" PRIu64 "\npolicy %s\n", approval->feature,
             approval->region, approval->serial, digest_text(&approval->policy, hex));
    for (size_t i = 0; i < approval->system_count; i++)
        buf_addf(out, "os %s\n", approval->systems[i]);
    for (size_t i = 0; i < approval->model_count; i++)
        buf_addf(out, "model %s\n", digest_text(&approval->models[i], hex));
    for (size_t i = 0; i < approval->evidence_count; i++) {
        const struct approval_evidence *evidence = &approval->evidence[i];
        buf_addf(out, "evidence %s %s %" PRId64 " %" PRId64 " %s\n", evidence->type,
                 sodium_bin2hex(hash, sizeof hash, evidence->hash, sizeof evidence->hash),
                 evidence->from_ms, evidence->until_ms, evidence->reference);
    }
}

enum approval_system approval_system(const char *minimum, const char *told)
{
    unsigned long least[PARTS_MAX] = {0}, has[PARTS_MAX] = {0};
    const char *slash = strrchr(minimum, '/'), *other = strrchr(told, '/');
    if (!slash || !other || slash - minimum != other - told ||
        strncasecmp(minimum, told, (size_t)(slash - minimum)) != 0 ||
        read_version(slash + 1, least) == 0 || read_version(other + 1, has) == 0)
        return APPROVAL_SYSTEM_OTHER;
    for (size_t i = 0; i < PARTS_MAX; i++)
        if (least[i] != has[i])
            return has[i] > least[i] ? APPROVAL_SYSTEM_GOOD : APPROVAL_SYSTEM_OLD;
    return APPROVAL_SYSTEM_GOOD;
}
