/* compliance: the safety filter: whether its terms are in force, and whether it acts on the one that is there for trying it. */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/terms.h"

#include <string.h>

static const json_t *find_bundle(const json_t *answer, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(answer, "bundles"), i, one)
    {
        const char *text = json_string_value(json_object_get(one, "name"));
        if (text && strcmp(text, name) == 0) return one;
    }
    return NULL;
}

static enum verdict check_bundle(struct trial *trial, const json_t *bundle, const char *name)
{
    const json_t *limit = trial_rule(trial, "/filter/max_age_days");
    const char *signer = json_string_value(json_object_get(bundle, "signer"));
    long long most = limit ? json_integer_value(limit) : 1; // the preset
    long long age = (clock_wall_ms() / 1000 - call_count(bundle, "made")) / 86400;
    trial_count(trial, "terms", call_count(bundle, "terms"));
    trial_count(trial, "serial", call_count(bundle, "serial"));
    trial_count(trial, "age_days", age);
    trial_text(trial, "digest", json_string_value(json_object_get(bundle, "digest")));
    if (!signer || !*signer) return trial_say(trial, VERDICT_FAIL, "nobody signed '%s'", name);
    if (most > 0 && age > most)
        return trial_say(trial, VERDICT_FAIL, "'%s' is %lld days old; at most %lld are allowed",
                         name, age, most);
    return trial_say(trial, VERDICT_PASS, "'%s', serial %lld, %lld terms, signed by %s", name,
                     call_count(bundle, "serial"), call_count(bundle, "terms"), signer);
}

enum verdict control_filter_ready(struct trial *trial)
{
    const char *name = json_string_value(trial_rule(trial, "/filter/bundle"));
    bool required = trial_flag(trial, "/filter/required", true);
    if (!required && !name)
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules ask for no filter");
    json_t *answer = trial_call(trial, "GET", "/admin/terms", NULL);
    const json_t *bundle = name ? find_bundle(answer, name) : NULL;
    trial->has_terms = bundle != NULL;
    enum verdict verdict =
        bundle ? check_bundle(trial, bundle, name)
        : required
            ? trial_say(trial, VERDICT_FAIL, "the bundle '%s' is not in force", name ? name : "")
            : trial_say(trial, VERDICT_NOT_APPLICABLE,
                        "the rules do not require '%s', and it is not in force", name);
    json_decref(answer);
    return verdict;
}

/* The first term of the category `test`, as it is and with signs in it; false: it was said why not. */
static bool read_test_term(struct trial *trial, char out[TERMS_TEXT_MAX],
                           char spread[2 * TERMS_TEXT_MAX])
{
    struct terms *terms;
    char *text;
    size_t size;
    bool found = false;
    if (file_read(&text, &size, trial->conf->terms_file, TERMS_FILE_MAX)) return false;
    enum err err = terms_parse(&terms, trial->conf->terms_file, text, size);
    mem_free(text);
    if (err) return false;
    for (size_t i = 0; i < terms->count && !found; i++) {
        const struct terms_entry *entry = &terms->entries[i];
        const struct terms_category *category = &terms->categories[entry->category];
        found = entry->kind != TERMS_PATTERN && strcmp(category->name, "test") == 0 &&
                category->input >= TERMS_REFUSE && entry->size < TERMS_TEXT_MAX;
        if (!found) continue;
        memcpy(out, entry->text, entry->size);
        out[entry->size] = '\0';
    }
    terms_free(terms);
    if (!found)
        err_note(ERR_NOT_FOUND, "%s has no term in a category `test` whose prompts are refused",
                 trial->conf->terms_file);
    size_t at = 0;
    for (size_t i = 0; found && out[i]; i++) { // a hyphen behind each character but the last
        spread[at++] = out[i];
        if (out[i + 1] && ((unsigned char)out[i + 1] & 0xc0) != 0x80) spread[at++] = '-';
    }
    spread[at] = '\0';
    return found;
}

/* The refusal of the rules in one of their languages, and its reason. */
static bool is_refused(const struct trial *trial, const char *body)
{
    const json_t *texts = trial_rule(trial, "/filter/refusal");
    json_t *root = json_loads(body, 0, NULL), *text;
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const char *finish = json_string_value(json_object_get(choice, "finish_reason")),
               *content = json_string_value(
                   json_object_get(json_object_get(choice, "message"), "content"));
    bool known = json_object_size(texts) == 0;
    const char *language;
    json_object_foreach((json_t *)(uintptr_t)texts, language, text) known |=
        content && strstr(content, json_string_value(text)) != NULL;
    bool good = finish && strcmp(finish, "content_filter") == 0 && known;
    json_decref(root);
    return good;
}

enum verdict control_filter_acts(struct trial *trial)
{
    char term[TERMS_TEXT_MAX], spread[2 * TERMS_TEXT_MAX];
    enum verdict verdict;
    if (!trial_flag(trial, "/filter/required", true) && !trial->has_terms)
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "the rules require no filter");
    if (!*trial->conf->terms_file)
        return trial_say(trial, VERDICT_NOT_APPLICABLE,
                         "no term is known here: --terms-file was not given");
    if (!read_test_term(trial, term, spread))
        return trial_say(trial, VERDICT_NOT_APPLICABLE, "%s", err_text());
    if (!trial_has_answer(trial, &verdict)) return verdict;
    verdict = VERDICT_PASS;
    for (int i = 0; i < 2; i++) {
        trial_new_user(trial, NULL);
        char *body = trial_chat(trial, i ? spread : term, NULL, false);
        if (!body || !is_refused(trial, body))
            verdict = trial_say(trial, VERDICT_FAIL, "the test term %swas not refused%s%s",
                                i ? "with hyphens in it " : "", body ? "" : ": ",
                                body ? "" : qiao_error(trial->qiao));
        qiao_free_text(body);
    }
    return verdict == VERDICT_PASS
               ? trial_say(trial, verdict,
                           "refused as it is, and with hyphens in it; the bundle's "
                           "category `test` has it")
               : verdict;
}
