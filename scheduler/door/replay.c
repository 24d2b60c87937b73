#include "scheduler/door/replay.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/http.h"
#include "scheduler/door/position.h"
#include "scheduler/door/resume.h"
#include "scheduler/door/screen.h"
#include "scheduler/door/shape.h"
#include "scheduler/state/session.h"

#include "base/buf.h"

#include <string.h>

/* What every choice of the answer says. */
struct said {
    const char *text;
    size_t size;
    const char *finish;
    bool has_tokens; // it was computed once
};

struct replay {
    struct http_request *request;
    uint32_t choices;
    struct buf line;
    struct mark mark;
    struct position at;
    bool has_ids;
};

static void send_line(struct replay *replay)
{
    char id[POSITION_TEXT_MAX];
    http_stream_event(replay->request,
                      replay->has_ids ? position_write(&replay->at, replay->choices, id) : NULL,
                      replay->line.data, replay->line.size);
    buf_clear(&replay->line);
}

static void stream_choice(struct replay *replay, const struct shape *shape, const struct said *said,
                          uint32_t index)
{
    struct position_place *place = &replay->at.places[index];
    struct shape_piece role = {.index = index, .text = ""};
    struct shape_piece rest = {
        .index = index, .text = said->text + place->bytes, .size = said->size - place->bytes};
    if (!place->began) {
        place->began = true;
        shape_text_chunk(&replay->line, shape, &role, true);
        send_line(replay);
    }
    place->bytes = (uint32_t)said->size;
    if (rest.size > 0) {
        shape_text_chunk(&replay->line, shape, &rest, false);
        send_line(replay);
    }
    if (!place->ended) {
        place->ended = true;
        shape_final_chunk(&replay->line, shape, index, said->finish);
        send_line(replay);
    }
}

static void stream(struct replay *replay, const struct shape *shape, const struct said *said)
{
    struct shape_usage usage = {0};
    http_stream_begin(replay->request);
    for (uint32_t i = 0; i < replay->choices; i++)
        stream_choice(replay, shape, said, i);
    if (shape->include_usage && !replay->at.usage) {
        replay->at.usage = true;
        shape_usage_chunk(&replay->line, shape, &usage);
        send_line(replay);
    }
    http_stream_event(replay->request, NULL, "[DONE]", 6);
    http_stream_end(replay->request);
}

static void send_body(struct replay *replay, const struct shape *shape, const struct said *said)
{
    struct shape_usage usage = {0};
    shape_body_begin(&replay->line, shape);
    for (uint32_t i = 0; i < replay->choices; i++) {
        struct shape_piece piece = {.index = i, .text = said->text, .size = said->size};
        shape_body_choice(&replay->line, shape, &piece, said->finish);
    }
    shape_body_end(&replay->line, shape, &usage);
    http_reply_json(replay->request, 200, replay->line.data, replay->line.size);
}

/* Is it in this text that the reader stopped? */
static bool is_place(const struct replay *replay, const struct said *said)
{
    for (uint32_t i = 0; i < replay->choices; i++) {
        const struct position_place *place = &replay->at.places[i];
        if (place->bytes > said->size || (place->tokens > 0 && !said->has_tokens)) return false;
    }
    return true;
}

static void send_said(const struct replay_order *order, const struct said *said)
{
    struct replay replay = {.request = order->request, .choices = order->ask->choice_count};
    struct shape shape;
    shape_init(&shape, order->ask->kind, order->model->name, &order->model->model);
    shape.include_usage = order->ask->include_usage;
    shape.session = order->told;
    const struct position *position = order->resume ? resume_position(order->resume) : NULL;
    replay.has_ids = position != NULL;
    if (position) replay.at = *position;
    if (order->resume) resume_sign(order->resume, &shape);
    if (!is_place(&replay, said)) {
        http_reply_error(order->request,
                         &(struct http_error){.err = position_wrong(), .message = err_text()});
        return;
    }
    mark_begin(&replay.mark, order->door, &order->mark, &shape);
    for (uint32_t i = 0; i < replay.choices; i++)
        mark_add(&replay.mark, i, said->text, said->size);
    mark_end(&replay.mark, &shape, replay.choices);
    mark_set_header(&replay.mark, order->request);
    if (order->ask->stream)
        stream(&replay, &shape, said);
    else
        send_body(&replay, &shape, said);
    mark_fini(&replay.mark);
    buf_fini(&replay.line);
}

void replay_send(const struct replay_order *order, const struct session_turn *turn)
{
    struct said said = {.text = turn->content,
                        .size = turn->content_size,
                        .finish = turn->cut ? "length" : "stop",
                        .has_tokens = true};
    send_said(order, &said);
}

void replay_refusal(const struct replay_order *order, const char *text)
{
    struct said said = {.text = text, .size = strlen(text), .finish = SCREEN_FINISH};
    send_said(order, &said);
}
