#include "scheduler/door/prompt.h"

#include <stdio.h>

size_t prompt_size(const struct prompt *prompt)
{
    size_t size = prompt->text_size;
    for (size_t i = 0; i < prompt->message_count; i++)
        size += prompt->messages[i].content_size;
    return size;
}

/* The ids with which the prompt and the opening alone both begin: no word of a user has a part in them. An opening that its template
 * does not speak without a question shares nothing. */
static size_t count_opening(const struct prompt *prompt)
{
    const struct chat_message opening = {"system", 6, prompt->opening, prompt->opening_size};
    struct template_options options = prompt->options;
    struct token_ids alone = {0};
    size_t count = 0;
    options.add_generation_prompt = false;
    if (template_encode(prompt->template, prompt->tokenizer, &opening, 1, &options, &alone) ==
        ERR_OK)
        while (count < alone.count && count < prompt->ids.count &&
               alone.ids[count] == prompt->ids.ids[count])
            count++;
    token_ids_fini(&alone);
    return count;
}

void prompt_encode(struct prompt *prompt)
{
    prompt->opening_ids = 0;
    if (prompt->template)
        prompt->err = template_encode(prompt->template, prompt->tokenizer, prompt->messages,
                                      prompt->message_count, &prompt->options, &prompt->ids);
    else
        prompt->err = tokenizer_encode(prompt->tokenizer, prompt->text, prompt->text_size,
                                       TOKENIZER_ADD_BOS | TOKENIZER_PARSE_SPECIAL, &prompt->ids);
    if (!prompt->err && prompt->template && prompt->opening)
        prompt->opening_ids = count_opening(prompt);
    if (prompt->err) snprintf(prompt->note, sizeof prompt->note, "%s", err_text());
}
