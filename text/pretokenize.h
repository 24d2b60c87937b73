/* text/pretokenize.h -- where a text is parted before byte pairs are merged.
 *
 * The rules are the regular expressions that the models were trained with (their tokenizer.json),
 * as llama.cpp names them in tokenizer.ggml.pre. They are few and need one character of lookahead,
 * so a scanner walks them in one pass over the Unicode categories of utf8proc: always linear, and
 * with no match limit that a long text could meet (PCRE2 would need one).
 *
 *   gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *              | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *   qwen2      as llama-bpe, with \p{N} for \p{N}{1,3}
 *
 * Bytes that are not UTF-8 are neither letter, number nor space. Thread: any. */
#ifndef TEXT_PRETOKENIZE_H
#define TEXT_PRETOKENIZE_H

#include "text/vocab.h"

#include <stddef.h>

/* How many bytes the first word of `text` (size > 0) has: at least 1. */
size_t pretokenize_next(enum vocab_pre pre, const char *text, size_t size);

#endif
