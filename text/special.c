#include "text/special.h"

#include "text/vocab.h"

#include "base/mem.h"

static uint32_t node_new(struct special *special, uint8_t byte)
{
    if (special->count == special->capacity) {
        special->capacity = special->capacity ? special->capacity * 2 : 1024;
        special->nodes = mem_resize(special->nodes, special->capacity, sizeof *special->nodes);
    }
    special->nodes[special->count] =
        (struct special_node){.user = VOCAB_NONE, .control = VOCAB_NONE, .byte = byte};
    return (uint32_t)special->count++;
}

static uint32_t child_of(const struct special *special, uint32_t parent, uint8_t byte)
{
    uint32_t at = special->nodes[parent].child;
    while (at != 0 && special->nodes[at].byte != byte)
        at = special->nodes[at].sibling;
    return at;
}

static void insert(struct special *special, const char *text, size_t size, int32_t id, bool control)
{
    uint32_t at = special->roots[(uint8_t)text[0]];
    if (at == 0) {
        at = node_new(special, (uint8_t)text[0]);
        special->roots[(uint8_t)text[0]] = at;
    }
    for (size_t i = 1; i < size; i++) {
        uint32_t next = child_of(special, at, (uint8_t)text[i]);
        if (next == 0) {
            next = node_new(special, (uint8_t)text[i]);
            special->nodes[next].sibling = special->nodes[at].child;
            special->nodes[at].child = next;
        }
        at = next;
    }
    int32_t *end = control ? &special->nodes[at].control : &special->nodes[at].user;
    if (*end == VOCAB_NONE) *end = id;
}

enum err special_init(struct special *out, const struct vocab *vocab)
{
    struct special special = {0};
    node_new(&special, 0);
    for (int32_t id = 0; id < vocab->size; id++) {
        uint8_t type = vocab->types[id];
        if (type != VOCAB_CONTROL && type != VOCAB_USER && type != VOCAB_UNKNOWN) continue;
        size_t size;
        const char *text = vocab_piece(vocab, id, &size);
        if (size == 0) continue;
        if (special.count + size > SPECIAL_NODES_MAX) {
            special_fini(&special);
            return err_note(ERR_TOO_LARGE,
                            "tokenizer.ggml.tokens: the control and user-defined pieces are too "
                            "many or too long (more than %d different beginnings)",
                            SPECIAL_NODES_MAX);
        }
        insert(&special, text, size, id, type != VOCAB_USER);
    }
    *out = special;
    return ERR_OK;
}

void special_fini(struct special *special)
{
    mem_free(special->nodes);
    *special = (struct special){0};
}

size_t special_match(const struct special *special, const char *text, size_t size,
                     size_t control_size, int32_t *id)
{
    size_t best = 0;
    if (size == 0) return 0;
    uint32_t at = special->roots[(uint8_t)text[0]];
    for (size_t i = 1; at != 0; i++) {
        const struct special_node *node = &special->nodes[at];
        if (node->control != VOCAB_NONE && i <= control_size) {
            best = i;
            *id = node->control;
        } else if (node->user != VOCAB_NONE) {
            best = i;
            *id = node->user;
        }
        at = i < size ? child_of(special, at, (uint8_t)text[i]) : 0;
    }
    return best;
}
