#include "scheduler/door/replay.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/http.h"
#include "scheduler/door/position.h"
#include "scheduler/door/resume.h"
#include "scheduler/door/shape.h"
#include "scheduler/state/session.h"

#include "base/buf.h"

struct replay {
    struct http_request *request;
    struct buf line;
    struct position at;
    bool has_ids;
};

static void send_line(struct replay *replay)
{
    char id[POSITION_TEXT_MAX];
    http_stream_event(replay->request, replay->has_ids ? position_write(&replay->at, 1, id) : NULL,
                      replay->line.data, replay->line.size);
    buf_clear(&replay->line);
}

static void stream(struct replay *replay, const struct shape *shape,
                   const struct session_turn *turn)
{
    struct position_place *place = &replay->at.places[0];
    struct shape_piece role = {.text = ""};
    struct shape_piece rest = {.text = turn->content + place->bytes,
                               .size = turn->content_size - place->bytes};
    struct shape_usage usage = {0};
    http_stream_begin(replay->request);
    if (!place->began) {
        place->began = true;
        shape_text_chunk(&replay->line, shape, &role, true);
        send_line(replay);
    }
    place->bytes = (uint32_t)turn->content_size;
    if (rest.size > 0) {
        shape_text_chunk(&replay->line, shape, &rest, false);
        send_line(replay);
    }
    if (!place->ended) {
        place->ended = true;
        shape_final_chunk(&replay->line, shape, 0, turn->cut ? "length" : "stop");
        send_line(replay);
    }
    if (shape->include_usage && !replay->at.usage) {
        replay->at.usage = true;
        shape_usage_chunk(&replay->line, shape, &usage);
        send_line(replay);
    }
    http_stream_event(replay->request, NULL, "[DONE]", 6);
    http_stream_end(replay->request);
}

void replay_send(struct http_request *request, const struct ask *ask,
                 const struct fleet_model *model, const struct session_turn *turn, const char *told,
                 const struct resume *resume)
{
    struct replay replay = {.request = request};
    struct shape shape;
    shape_init(&shape, ask->kind, model->name, &model->model);
    shape.include_usage = ask->include_usage;
    shape.session = told;
    const struct position *position = resume ? resume_position(resume) : NULL;
    replay.has_ids = position != NULL;
    if (position) replay.at = *position;
    if (resume) resume_sign(resume, &shape);
    if (replay.at.places[0].bytes > turn->content_size) {
        http_reply_error(request,
                         &(struct http_error){.err = position_wrong(), .message = err_text()});
    } else if (ask->stream) {
        stream(&replay, &shape, turn);
    } else {
        struct shape_piece piece = {.text = turn->content, .size = turn->content_size};
        struct shape_usage usage = {0};
        shape_body_begin(&replay.line, &shape);
        shape_body_choice(&replay.line, &shape, &piece, turn->cut ? "length" : "stop");
        shape_body_end(&replay.line, &shape, &usage);
        http_reply_json(request, 200, replay.line.data, replay.line.size);
    }
    buf_fini(&replay.line);
}
