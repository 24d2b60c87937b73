#include "scheduler/door/prompt.h"

#include <stdio.h>

size_t prompt_size(const struct prompt *prompt)
{
    size_t size = prompt->text_size;
    for (size_t i = 0; i < prompt->message_count; i++)
        size += prompt->messages[i].content_size;
    return size;
}

void prompt_encode(struct prompt *prompt)
{
    if (prompt->template)
        prompt->err = template_encode(prompt->template, prompt->tokenizer, prompt->messages,
                                      prompt->message_count, &prompt->options, &prompt->ids);
    else
        prompt->err = tokenizer_encode(prompt->tokenizer, prompt->text, prompt->text_size,
                                       TOKENIZER_ADD_BOS | TOKENIZER_PARSE_SPECIAL, &prompt->ids);
    if (prompt->err) snprintf(prompt->note, sizeof prompt->note, "%s", err_text());
}
