#include "text/template.h"

#include "text/utf8.h"

#include <string.h>

#define OVERRIDE "give --chat-template chatml|llama3|llama2"

static bool has(const char *text, size_t size, const char *mark)
{
    return memmem(text, size, mark, strlen(mark)) != NULL;
}

/* The system prompt that a ChatML template falls back to stands in it as
 * '<|im_start|>system\nYou are ...<|im_end|>', with the line end written out or as \n. */
static void find_default_system(struct template *template, const char *text, size_t text_size)
{
    static const char mark[] = "<|im_start|>system";
    const char *at = text, *end = text + text_size;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL) {
        at += sizeof mark - 1;
        if (at < end && *at == '\n')
            at += 1;
        else if (end - at >= 2 && at[0] == '\\' && at[1] == 'n')
            at += 2;
        else
            continue;
        size_t size = 0;
        while (size < (size_t)(end - at) && size < TEMPLATE_SYSTEM_MAX &&
               !memchr("'\"{}\\<", at[size], 6))
            size++;
        static const char close[] = "<|im_end|>";
        if (size == 0 || size >= TEMPLATE_SYSTEM_MAX || !utf8_valid(at, size)) continue;
        if ((size_t)(end - at) - size < sizeof close - 1) continue;
        if (memcmp(at + size, close, sizeof close - 1) != 0) continue;
        memcpy(template->system, at, size);
        template->system[size] = '\0';
        return;
    }
}

/* Words that are in the prompts of some ChatML models whatever the messages say. We do not render
 * them, and a prompt without them would be silently another. */
static bool is_beyond_us(const char *text, size_t text_size)
{
    if (has(text, text_size, "<think>") && !has(text, text_size, "last_query_index"))
        return true; // QwQ
    return has(text, text_size, "reasoning_mode") ||
           has(text, text_size, "function calling AI model");
}

enum err template_read(struct template *out, const char *text, size_t size)
{
    struct template template = {0};
    if (size == 0)
        return err_note(ERR_UNSUPPORTED, "the model has no tokenizer.chat_template; " OVERRIDE);
    if (has(text, size, "<|im_start|>") && has(text, size, "<|im_end|>")) {
        if (is_beyond_us(text, size))
            return err_note(ERR_UNSUPPORTED,
                            "the model's chat template is of the ChatML family but adds words that "
                            "are not rendered; " OVERRIDE " to do without them");
        template.kind = TEMPLATE_CHATML;
        template.strips_think = has(text, size, "last_query_index");
        template.opens_bos = has(text, size, "bos_token");
        find_default_system(&template, text, size);
    } else if (has(text, size, "<|start_header_id|>") && has(text, size, "<|eot_id|>")) {
        template.kind = TEMPLATE_LLAMA3;
        template.trims = has(text, size, "trim");
        template.dated = has(text, size, "Cutting Knowledge Date");
        template.dated_today = template.dated &&has(text, size, "strftime_now");
    } else if (has(text, size, "[INST]") && has(text, size, "<<SYS>>")) {
        template.kind = TEMPLATE_LLAMA2;
        template.trims = true;
    } else {
        return err_note(
            ERR_UNSUPPORTED,
            "the model's chat template is none of ChatML, Llama-3 and Llama-2; " OVERRIDE);
    }
    *out = template;
    return ERR_OK;
}

static const char *const names[] = {[TEMPLATE_NONE] = "none",
                                    [TEMPLATE_CHATML] = "chatml",
                                    [TEMPLATE_LLAMA3] = "llama3",
                                    [TEMPLATE_LLAMA2] = "llama2"};

enum err template_parse_name(struct template *out, const char *name)
{
    for (int kind = TEMPLATE_CHATML; kind <= TEMPLATE_LLAMA2; kind++) {
        if (strcmp(name, names[kind]) != 0) continue;
        *out =
            (struct template){.kind = (enum template_kind)kind, .trims = kind != TEMPLATE_CHATML};
        return ERR_OK;
    }
    return err_note(ERR_INVALID,
                    "no chat template is named '%.64s'; there are chatml, llama3, llama2", name);
}

const char *template_name(const struct template *template)
{
    return names[template->kind];
}
