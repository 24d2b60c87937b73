/* The messages of a chat as the parts of a prompt: the other half of text/template.h. */
#include "text/template.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A piece of text, somebody else's. */
struct view {
    const char *text;
    size_t size;
};

static struct view view_of(const char *text)
{
    return (struct view){text, strlen(text)};
}

/* The prompt as parts: the template's own words, in which control pieces count, and what users
 * wrote, in which they do not. */
struct script {
    const struct template *template;
    const struct chat_message *messages;
    size_t message_count;
    const struct template_options *options;
    struct view bos, eos;
    struct token_part *parts;
    size_t count, capacity;
    char date[32];
};

static void add(struct script *script, struct view view, bool ours)
{
    if (view.size == 0) return;
    if (script->count == script->capacity) {
        script->capacity = script->capacity ? script->capacity * 2 : 32;
        script->parts = mem_resize(script->parts, script->capacity, sizeof *script->parts);
    }
    script->parts[script->count++] =
        (struct token_part){.text = view.text, .size = view.size, .parse_special = ours};
}

static void say(struct script *script, const char *text)
{
    add(script, view_of(text), true);
}

static bool is_role(const struct chat_message *message, const char *role)
{
    return message->role_size == strlen(role) &&
           memcmp(message->role, role, message->role_size) == 0;
}

/* The role as our own words; the roles were checked. */
static const char *role_of(const struct chat_message *message)
{
    return is_role(message, "system") ? "system" : is_role(message, "user") ? "user" : "assistant";
}

static enum err check_roles(const struct script *script)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    for (size_t i = 0; i < script->message_count; i++) {
        const struct chat_message *message = &script->messages[i];
        bool known = false;
        for (size_t j = 0; j < 3; j++)
            known = known || is_role(message, roles[j]);
        if (!known)
            return err_note(
                ERR_INVALID, "messages[%zu].role '%.*s' is not one of system, user, assistant", i,
                (int)(message->role_size < 64 ? message->role_size : 64), message->role);
    }
    return ERR_OK;
}

/* Without white space (str.strip() in Python: White_Space and the separators 1C..1F) at the asked
 * ends. */
static bool is_stripped(int32_t code)
{
    return utf8_is_space(code) || (code >= 0x1C && code <= 0x1F);
}

static struct view trim_left(struct view view)
{
    while (view.size > 0) {
        int32_t code;
        size_t step = utf8_next(view.text, view.size, &code);
        if (!is_stripped(code)) break;
        view.text += step;
        view.size -= step;
    }
    return view;
}

static struct view trim_right(struct view view)
{
    while (view.size > 0) {
        size_t start = view.size - 1;
        while (start > 0 && view.size - start < UTF8_CHARACTER_MAX &&
               ((uint8_t)view.text[start] & 0xC0) == 0x80)
            start--;
        int32_t code;
        size_t step = utf8_next(view.text + start, view.size - start, &code);
        if (step != view.size - start || !is_stripped(code)) break;
        view.size = start;
    }
    return view;
}

static struct view content_of(const struct script *script, size_t index)
{
    struct view view = {script->messages[index].content, script->messages[index].content_size};
    return script->template->trims ? trim_right(trim_left(view)) : view;
}

static struct view trim_newlines(struct view view, bool left, bool right)
{
    while (left && view.size > 0 && view.text[0] == '\n') {
        view.text++;
        view.size--;
    }
    while (right && view.size > 0 && view.text[view.size - 1] == '\n')
        view.size--;
    return view;
}

/* What stands before the first, and what behind the last `mark` in `view`; false when there is
 * none. */
static bool split(struct view view, const char *mark, struct view *before, struct view *behind)
{
    size_t size = strlen(mark);
    const char *first = view.size > 0 ? memmem(view.text, view.size, mark, size) : NULL;
    if (!first) return false;
    const char *end = view.text + view.size, *last = first, *next;
    while ((next = memmem(last + size, (size_t)(end - last) - size, mark, size)) != NULL)
        last = next;
    *before = (struct view){view.text, (size_t)(first - view.text)};
    *behind = (struct view){last + size, (size_t)(end - last) - size};
    return true;
}

/* The latest question: what was thought before it is no longer shown to the model. A user's turn
 * that only carries a tool's response is no question. */
static size_t last_query(const struct script *script)
{
    static const char open[] = "<tool_response>", close[] = "</tool_response>";
    for (size_t i = script->message_count; i-- > 0;) {
        if (!is_role(&script->messages[i], "user")) continue;
        struct view view = content_of(script, i);
        bool opens = view.size >= sizeof open - 1 && memcmp(view.text, open, sizeof open - 1) == 0;
        bool closes =
            view.size >= sizeof close - 1 &&
            memcmp(view.text + view.size - (sizeof close - 1), close, sizeof close - 1) == 0;
        if (!opens || !closes) return i;
    }
    return script->message_count - 1;
}

/* Qwen3's rules for an assistant's turn. */
static void say_thought_and_answer(struct script *script, size_t index, size_t query)
{
    struct view content = content_of(script, index), thought = {"", 0}, before, behind, ignored;
    if (split(content, "</think>", &before, &behind)) {
        thought = trim_newlines(before, false, true);
        if (!split(thought, "<think>", &ignored, &thought)) thought = before;
        thought = trim_newlines(thought, true, true);
        content = trim_newlines(behind, true, false);
    }
    if (index > query && (index + 1 == script->message_count || thought.size > 0)) {
        say(script, "<think>\n");
        add(script, thought, false);
        say(script, "\n</think>\n\n");
        content = trim_newlines(content, true, false);
    }
    add(script, content, false);
}

static void script_chatml(struct script *script)
{
    const struct template *template = script->template;
    if (template->opens_bos) add(script, script->bos, true);
    if (template->system[0] && !is_role(&script->messages[0], "system")) {
        say(script, "<|im_start|>system\n");
        say(script, template->system);
        say(script, "<|im_end|>\n");
    }
    size_t query = template->strips_think ? last_query(script) : 0;
    for (size_t i = 0; i < script->message_count; i++) {
        say(script, "<|im_start|>");
        say(script, role_of(&script->messages[i]));
        say(script, "\n");
        if (template->strips_think && is_role(&script->messages[i], "assistant"))
            say_thought_and_answer(script, i, query);
        else
            add(script, content_of(script, i), false);
        say(script, "<|im_end|>\n");
    }
    if (!script->options->add_generation_prompt) return;
    say(script, "<|im_start|>assistant\n");
    if (template->strips_think && script->options->thinking_off)
        say(script, "<think>\n\n</think>\n\n");
}

static void say_header(struct script *script, const char *role)
{
    say(script, "<|start_header_id|>");
    say(script, role);
    say(script, "<|end_header_id|>\n\n");
}

/* "02 Jan 2026"; Llama-3.1 was published with a fixed one. */
static const char *date_of(struct script *script)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(script->options->wall_ms / 1000);
    struct tm tm;
    if (!script->template->dated_today || !gmtime_r(&seconds, &tm)) return "26 Jul 2024";
    snprintf(script->date, sizeof script->date, "%02d %s %d", tm.tm_mday, months[tm.tm_mon],
             tm.tm_year + 1900);
    return script->date;
}

static void script_llama3(struct script *script)
{
    size_t first = 0;
    add(script, script->bos, true);
    if (script->template->dated) {
        say_header(script, "system");
        say(script, "Cutting Knowledge Date: December 2023\nToday Date: ");
        say(script, date_of(script));
        say(script, "\n\n");
        if (is_role(&script->messages[0], "system"))
            add(script, content_of(script, first++), false);
        say(script, "<|eot_id|>");
    }
    for (size_t i = first; i < script->message_count; i++) {
        say_header(script, role_of(&script->messages[i]));
        add(script, content_of(script, i), false);
        say(script, "<|eot_id|>");
    }
    if (script->options->add_generation_prompt) say_header(script, "assistant");
}

/* [INST] turns, in pairs; a system message goes into the first of them. */
static enum err script_llama2(struct script *script)
{
    size_t first = is_role(&script->messages[0], "system") ? 1 : 0;
    if (first == script->message_count)
        return err_note(ERR_INVALID,
                        "messages[0].role 'system' must be followed by 'user' (llama2)");
    for (size_t i = first; i < script->message_count; i++) {
        const char *want = (i - first) % 2 == 0 ? "user" : "assistant";
        if (!is_role(&script->messages[i], want))
            return err_note(ERR_INVALID,
                            "messages[%zu].role '%s' must be '%s': user and assistant alternate "
                            "(llama2)",
                            i, role_of(&script->messages[i]), want);
        struct view content = content_of(script, i);
        if ((i - first) % 2 == 1) {
            say(script, " ");
            add(script, content, false);
            say(script, " ");
            add(script, script->eos, true);
            continue;
        }
        add(script, script->bos, true);
        say(script, "[INST] ");
        if (i == 1 && first == 1) { // system and question are trimmed as one text
            struct view question = {script->messages[1].content, script->messages[1].content_size};
            content = trim_right(question);
            say(script, "<<SYS>>\n");
            add(script,
                (struct view){script->messages[0].content, script->messages[0].content_size},
                false);
            say(script, content.size > 0 ? "\n<</SYS>>\n\n" : "\n<</SYS>>");
        }
        add(script, content, false);
        say(script, " [/INST]");
    }
    return ERR_OK;
}

static enum err script_write(struct script *script)
{
    if (script->message_count == 0) return err_note(ERR_INVALID, "messages is empty");
    if (script->message_count > TEMPLATE_MESSAGES_MAX)
        return err_note(ERR_TOO_LARGE, "there are %zu messages; at most %d are taken",
                        script->message_count, TEMPLATE_MESSAGES_MAX);
    TRY(check_roles(script));
    switch (script->template->kind) {
    case TEMPLATE_CHATML: script_chatml(script); return ERR_OK;
    case TEMPLATE_LLAMA3: script_llama3(script); return ERR_OK;
    case TEMPLATE_LLAMA2: return script_llama2(script);
    case TEMPLATE_NONE: break;
    }
    return err_note(ERR_UNSUPPORTED, "the model has no chat template that is supported; give "
                                     "--chat-template chatml|llama3|llama2");
}

enum err template_render(const struct template *template, const struct chat_message *messages,
                         size_t count, const struct template_options *options, const char *bos,
                         const char *eos, struct buf *out)
{
    struct script script = {.template = template,
                            .messages = messages,
                            .message_count = count,
                            .options = options,
                            .bos = view_of(bos),
                            .eos = view_of(eos)};
    enum err err = script_write(&script);
    for (size_t i = 0; i < script.count && err == ERR_OK; i++)
        buf_add(out, script.parts[i].text, script.parts[i].size);
    mem_free(script.parts);
    return err;
}

static struct view piece_of(const struct tokenizer *tokenizer, int32_t id)
{
    struct view view;
    view.text = tokenizer_piece(tokenizer, id, &view.size);
    return view;
}

enum err template_encode(const struct template *template, const struct tokenizer *tokenizer,
                         const struct chat_message *messages, size_t count,
                         const struct template_options *options, struct token_ids *out)
{
    struct script script = {.template = template,
                            .messages = messages,
                            .message_count = count,
                            .options = options,
                            .bos = piece_of(tokenizer, tokenizer_bos(tokenizer)),
                            .eos = piece_of(tokenizer, tokenizer_eos(tokenizer))};
    enum err err = script_write(&script);
    if (err == ERR_OK) {
        bool has_bos = script.bos.size > 0 && script.parts[0].text == script.bos.text;
        err = tokenizer_encode_parts(tokenizer, script.parts, script.count, !has_bos, out);
    }
    mem_free(script.parts);
    return err;
}
