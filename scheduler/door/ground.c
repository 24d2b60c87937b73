#include "scheduler/door/ground.h"

#include "scheduler/door/ask.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/ground_search.h"
#include "scheduler/door/json.h"
#include "scheduler/door/residence.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/history.h"
#include "scheduler/features/search/indexes.h"
#include "scheduler/settings.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/must.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

_Static_assert((int)ASK_CONTEXT_MAX == (int)GROUND_SOURCES_MAX, "every source has its place");
_Static_assert((int)ASK_CONTEXT_NAME_MAX == (int)GROUND_NAME_MAX, "and its name");

/* One source on its way. */
struct quest {
    struct grounding *grounding;
    size_t source;
    struct ground_search *search; // NULL: none is under way
};

struct grounding {
    struct grounding_options options;
    struct ground ground;
    struct history_ticket *history; // NULL: none is under way
    struct quest quests[GROUND_SOURCES_MAX];
    size_t left;         // sources under way
    struct event *later; // the end, outside of everybody's calls; or time is up
    uint64_t start_ns, wait_ms;
    size_t budget;
    struct digest digest;
    enum err err; // the first one, with its note and the entry that it is about
    char note[ERR_NOTE_MAX];
    char param[JSON_PARAM_MAX];
    struct buf text, told;         // the part; what the answer says of it
    struct chat_message *messages; // the prompt's, with the part
};

// ---- the end -----------------------------------------------------------------------------------

static void count(const struct grounding *grounding)
{
    struct metrics *metrics = grounding->options.door->metrics;
    for (size_t i = 0; i < grounding->ground.source_count; i++) {
        const struct ground_source *source = &grounding->ground.sources[i];
        metric_add(metrics, M_grounds_total,
                   ground_index(&grounding->ground, i) ? "search" : "history",
                   source->skipped ? source->skipped : "added", 1);
    }
    metric_observe(metrics, M_ground_seconds, NULL, NULL,
                   (double)(clock_now_ns() - grounding->start_ns) / (double)CLOCK_SECOND);
}

static void end_later(struct grounding *grounding)
{
    event_active(grounding->later, EV_TIMEOUT, 0);
}

static void skip(struct quest *quest, const char *reason)
{
    quest->grounding->ground.sources[quest->source].skipped = reason;
}

static void is_done(struct quest *quest)
{
    struct grounding *grounding = quest->grounding;
    grounding->left--;
    if (grounding->left == 0 || grounding->err) end_later(grounding);
}

/* Who is not there yet is left out. */
static void give_up(struct grounding *grounding)
{
    for (size_t i = 0; i < grounding->ground.source_count; i++) {
        struct quest *quest = &grounding->quests[i];
        bool is_history = !ground_index(&grounding->ground, i);
        if (quest->search) {
            ground_search_drop(quest->search);
            quest->search = NULL;
            skip(quest, "too late");
        }
        if (is_history && grounding->history) {
            history_drop(grounding->history);
            grounding->history = NULL;
            skip(quest, "too late");
        }
    }
    grounding->left = 0;
}

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    struct grounding *grounding = argument;
    const struct grounding_options *options = &grounding->options;
    (void)fd, (void)what;
    event_del(grounding->later);
    give_up(grounding);
    json_param_clear();
    if (grounding->err) {
        err_note(grounding->err, "%s", grounding->note);
        json_set_param(grounding->param);
    } else {
        ground_fit(&grounding->ground, options->tokenizer, grounding->budget);
        grounding->digest = ground_digest(&grounding->ground);
        count(grounding);
    }
    options->done(options->owner, grounding->err);
}

static void fail(struct quest *quest, enum err err)
{
    struct grounding *grounding = quest->grounding;
    if (grounding->err) return;
    grounding->err = err;
    snprintf(grounding->note, sizeof grounding->note, "%s", err_text());
    snprintf(grounding->param, sizeof grounding->param, "context[%zu]", quest->source);
}

// ---- the history -------------------------------------------------------------------------------

static const char *title_of(void *argument, const char *id, const char *language)
{
    struct grounding *grounding = argument;
    const char *tenant = grounding->options.context->key->tenant;
    struct catalogue *catalogue = catalogue_of(grounding->options.door->catalogues, tenant);
    struct catalogue_item item;
    uint32_t row = catalogue ? catalogue_find(catalogue, id) : CATALOGUE_NONE;
    if (row == CATALOGUE_NONE || !catalogue_item(catalogue, row, &item)) return NULL;
    return catalogue_title(&item, language);
}

static void on_history(void *argument, enum err err, const struct history *history)
{
    struct quest *quest = argument;
    struct grounding *grounding = quest->grounding;
    size_t before = grounding->ground.count;
    grounding->history = NULL;
    if (err)
        skip(quest, "unavailable");
    else if (!history->allowed)
        skip(quest, "no consent");
    else
        ground_add_history(&grounding->ground, quest->source, history, grounding->options.until_ms,
                           title_of, grounding);
    if (!err && history->allowed && grounding->ground.count == before)
        skip(quest, history->withheld > 0 ? "of another region" : "nothing found");
    is_done(quest);
}

static void read_history(struct quest *quest)
{
    struct grounding *grounding = quest->grounding;
    const struct context *context = grounding->options.context;
    const struct door *door = grounding->options.door;
    struct history_scope scope;
    residence_scope(&scope, door, context->key->tenant, context->region);
    grounding->history = history_read(door->histories, context->key->tenant, context->user,
                                      CONSENT_ASSISTANT, &scope, on_history, quest);
    grounding->left++;
}

// ---- searches ----------------------------------------------------------------------------------

static const char *reason_of(enum err err)
{
    switch (err) {
    case ERR_UNAVAILABLE: return "not ready";
    case ERR_TIMEOUT: return "too late";
    case ERR_BUSY: return "busy";
    default: return "failed";
    }
}

static void on_found(void *argument, enum err err, const struct ground_hit *hits, size_t found)
{
    struct quest *quest = argument;
    struct ground *ground = &quest->grounding->ground;
    quest->search = NULL;
    if (err == ERR_NOT_FOUND) {
        err_note(err, "context[%zu] names the index '%s', and there is none", quest->source,
                 ground_index(ground, quest->source));
        fail(quest, err);
    } else if (err) {
        skip(quest, reason_of(err));
    } else if (found == 0) {
        skip(quest, "nothing found");
    }
    for (size_t i = 0; !err && i < found; i++)
        ground_add(ground, quest->source, hits[i].id, hits[i].title, hits[i].text);
    is_done(quest);
}

/* The last of the user's messages; NULL: there is none. */
static const struct chat_message *question_of(const struct ask *ask)
{
    for (size_t i = ask->message_count; i-- > 0;)
        if (strncmp(ask->messages[i].role, "user", 4) == 0 && ask->messages[i].content_size > 0)
            return &ask->messages[i];
    return NULL;
}

static void search(struct quest *quest)
{
    struct grounding *grounding = quest->grounding;
    const struct grounding_options *options = &grounding->options;
    const char *index = ground_index(&grounding->ground, quest->source);
    const struct chat_message *message = question_of(options->ask);
    char collection[COLLECTION_NAME_MAX + 1];
    enum err err = indexes_collection(collection, sizeof collection, options->context->key->tenant,
                                      index, strlen(index));
    if (err) {
        fail(quest, err);
        return;
    }
    if (!message) {
        skip(quest, "no question");
        return;
    }
    struct ground_question question = {.door = options->door,
                                       .context = options->context,
                                       .collection = collection,
                                       .question = message->content,
                                       .size = message->content_size,
                                       .language = ground_language_tag(grounding->ground.language),
                                       .words_alone = options->is_repeatable,
                                       .wait_ms = grounding->wait_ms * 3 / 4,
                                       .done = on_found,
                                       .argument = quest};
    err = ground_search_start(&quest->search, &question);
    if (err)
        skip(quest, reason_of(err));
    else
        grounding->left++;
}

// ---- life --------------------------------------------------------------------------------------

static void find_language(struct grounding *grounding)
{
    const struct chat_message *question = question_of(grounding->options.ask);
    if (question)
        grounding->ground.language = ground_language_of(question->content, question->content_size);
}

struct grounding *grounding_start(const struct grounding_options *options)
{
    struct grounding *grounding = mem_new(1, sizeof *grounding);
    const struct ask_context *asked = &options->ask->context;
    grounding->options = *options;
    grounding->start_ns = clock_now_ns();
    grounding->wait_ms = options->wait_ms < GROUNDING_MS ? options->wait_ms : GROUNDING_MS;
    struct timeval most = {.tv_sec = (time_t)(grounding->wait_ms / 1000),
                           .tv_usec = (suseconds_t)(grounding->wait_ms % 1000 * 1000)};
    grounding->budget = ground_budget(options->context_length);
    grounding->later = evtimer_new(options->door->base, on_later, grounding);
    must(grounding->later && evtimer_add(grounding->later, &most) == 0);
    find_language(grounding);
    for (size_t i = 0; i < asked->count; i++) {
        size_t source = ground_add_source(&grounding->ground, asked->names[i]);
        struct quest *quest = &grounding->quests[source];
        *quest = (struct quest){.grounding = grounding, .source = source};
        if (ground_index(&grounding->ground, source))
            search(quest);
        else
            read_history(quest);
    }
    if (grounding->left == 0 || grounding->err) end_later(grounding);
    return grounding;
}

void grounding_free(struct grounding *grounding)
{
    if (!grounding) return;
    give_up(grounding);
    event_free(grounding->later);
    ground_fini(&grounding->ground);
    buf_fini(&grounding->text);
    buf_fini(&grounding->told);
    mem_free(grounding->messages);
    mem_free(grounding);
}

// ---- the prompt --------------------------------------------------------------------------------

const struct chat_message *grounding_messages(struct grounding *grounding,
                                              const struct chat_message *messages, size_t *count)
{
    struct buf *text = &grounding->text;
    if (grounding->ground.count == 0) return messages;
    bool has_system = *count > 0 && strncmp(messages[0].role, "system", 6) == 0;
    buf_clear(text);
    if (has_system) {
        buf_add(text, messages[0].content, messages[0].content_size);
        buf_add_text(text, "\n\n");
        messages++;
        --*count;
    }
    ground_write(&grounding->ground, text);
    grounding->messages = mem_resize(grounding->messages, *count + 1, sizeof *grounding->messages);
    grounding->messages[0] = (struct chat_message){"system", 6, text->data, text->size};
    memcpy(grounding->messages + 1, messages, *count * sizeof *messages);
    ++*count;
    return grounding->messages;
}

bool grounding_shrink(struct grounding *grounding, size_t tokens, uint32_t wanted)
{
    uint32_t context = grounding->options.context_length;
    uint32_t room = wanted < context / 4 ? wanted : context / 4;
    if (grounding->ground.count == 0 || tokens + room <= context) return false;
    grounding->budget /= 2;
    ground_fit(&grounding->ground, grounding->options.tokenizer, grounding->budget);
    return true;
}

struct digest grounding_digest(const struct grounding *grounding)
{
    return grounding->digest;
}

const char *grounding_tell(struct grounding *grounding, const struct ground_answer *answers,
                           size_t answer_count)
{
    buf_clear(&grounding->told);
    ground_tell(&grounding->ground, answers, answer_count, &grounding->told);
    return buf_text(&grounding->told);
}
