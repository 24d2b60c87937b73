#include "text/pretokenize.h"

#include "text/utf8.h"

#include "base/must.h"

#include <utf8proc.h>

#include <stdbool.h>

enum class {
    CLASS_END, // behind the text
    CLASS_LETTER,
    CLASS_NUMBER,
    CLASS_SPACE,
    CLASS_NEWLINE, // \r or \n: a space too
    CLASS_OTHER
};

/* One character: its class, its code, its bytes. */
struct mark {
    enum class class;
    int32_t code;
    size_t size;
};

static enum class class_of(int32_t code) {
    if (code < 0x80){
        if ((code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z')) return CLASS_LETTER;
        if (code == '\r' || code == '\n') return CLASS_NEWLINE;
        if (code == ' ' || (code >= '\t' && code <= '\r')) return CLASS_SPACE;
        return code >= '0' && code <= '9' ? CLASS_NUMBER : CLASS_OTHER;
}
if (code >= 0x4E00 && code <= 0x9FFF) return CLASS_LETTER;
if (utf8_is_space(code)) return CLASS_SPACE;

switch (utf8proc_category(code)) {
case UTF8PROC_CATEGORY_LU:
case UTF8PROC_CATEGORY_LL:
case UTF8PROC_CATEGORY_LT:
case UTF8PROC_CATEGORY_LM:
case UTF8PROC_CATEGORY_LO: return CLASS_LETTER;
case UTF8PROC_CATEGORY_ND:
case UTF8PROC_CATEGORY_NL:
case UTF8PROC_CATEGORY_NO: return CLASS_NUMBER;
default: return CLASS_OTHER;
}
}

static struct mark mark_at(const char *text, size_t size, size_t at)
{
    if (at >= size) return (struct mark){.class = CLASS_END};
    struct mark mark;
    mark.size = utf8_next(text + at, size - at, &mark.code);
    if (mark.code == UTF8_INCOMPLETE) mark.size = 1;
    mark.class = mark.code < 0 ? CLASS_OTHER : class_of(mark.code);
    return mark;
}

/* The end of the run of `class` that begins at `at`, of at most `most` characters. */
static size_t run_end(const char *text, size_t size, size_t at, enum class class, size_t most)
{
    for (struct mark mark; most > 0 && (mark = mark_at(text, size, at)).class == class; most--)
        at += mark.size;
    return at;
}

/* 's 't 'm 'd 're 've 'll at the start of the text: bytes, 0 when none. */
static size_t contraction(const char *text, size_t size, bool any_case)
{
    if (size < 2 || text[0] != '\'') return 0;
    char fold = any_case ? 0x20 : 0; // all of these are ASCII letters, or not among them
    char first = (char)(text[1] | fold);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if (size < 3) return 0;
    char second = (char)(text[2] | fold);
    bool pair = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                (first == 'l' && second == 'l');
    return pair ? 3 : 0;
}

/* White space at the start: to the last line end in it (where `to_newline`), else all but the
 * character before a word, else all. */
static size_t space_run(const char *text, size_t size, bool to_newline)
{
    size_t at = 0, newline_end = 0, last_start = 0;
    struct mark mark;
    while ((mark = mark_at(text, size, at)).class == CLASS_SPACE || mark.class == CLASS_NEWLINE) {
        last_start = at;
        at += mark.size;
        if (mark.class == CLASS_NEWLINE) newline_end = at;
    }
    must(at > 0);
    if (to_newline && newline_end > 0) return newline_end;
    if (at == size || last_start == 0) return at;
    return last_start;
}

static size_t next_gpt2(const char *text, size_t size)
{
    size_t short_form = contraction(text, size, false);
    if (short_form > 0) return short_form;
    size_t at = text[0] == ' ' ? 1 : 0;
    enum class class = mark_at(text, size, at).class;
    if (class == CLASS_LETTER || class == CLASS_NUMBER || class == CLASS_OTHER)
        return run_end(text, size, at, class, SIZE_MAX);
    return space_run(text, size, false);
}

/* llama-bpe and qwen2, which differ in how many digits stay together. */
static size_t next_modern(const char *text, size_t size, size_t digits_max)
{
    size_t short_form = contraction(text, size, true);
    if (short_form > 0) return short_form;
    struct mark first = mark_at(text, size, 0);
    if (first.class == CLASS_LETTER) return run_end(text, size, 0, CLASS_LETTER, SIZE_MAX);
    if (first.class == CLASS_NUMBER) return run_end(text, size, 0, CLASS_NUMBER, digits_max);
    struct mark second = mark_at(text, size, first.size);
    if (second.class == CLASS_LETTER && first.class != CLASS_NEWLINE)
        return run_end(text, size, first.size, CLASS_LETTER, SIZE_MAX);
    if (first.class == CLASS_OTHER || (first.code == ' ' && second.class == CLASS_OTHER)) {
        size_t at = run_end(text, size, first.size, CLASS_OTHER, SIZE_MAX);
        return run_end(text, size, at, CLASS_NEWLINE, SIZE_MAX);
    }
    return space_run(text, size, true);
}

size_t pretokenize_next(enum vocab_pre pre, const char *text, size_t size)
{
    must(size > 0);
    switch (pre) {
    case VOCAB_PRE_GPT2: return next_gpt2(text, size);
    case VOCAB_PRE_LLAMA3: return next_modern(text, size, 3);
    case VOCAB_PRE_QWEN2: return next_modern(text, size, 1);
    }
    must(!"a pre-tokenizer");
    return size;
}
