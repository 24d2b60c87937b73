#include "scheduler/door/replay.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/ask.h"
#include "scheduler/door/http.h"
#include "scheduler/door/shape.h"
#include "scheduler/state/session.h"

#include "base/buf.h"

static void send_line(struct http_request *request, struct buf *line)
{
    http_stream_event(request, line->data, line->size);
    buf_clear(line);
}

void replay_send(struct http_request *request, const struct ask *ask,
                 const struct fleet_model *model, const struct session_turn *turn, const char *told)
{
    struct shape shape;
    struct shape_usage usage = {0};
    struct buf line = {0};
    const char *finish = turn->cut ? "length" : "stop";
    struct shape_piece role = {.text = ""};
    struct shape_piece piece = {.text = turn->content, .size = turn->content_size};
    shape_init(&shape, ask->kind, model->name, &model->model);
    shape.include_usage = ask->include_usage;
    shape.session = told;
    if (!ask->stream) {
        shape_body_begin(&line, &shape);
        shape_body_choice(&line, &shape, &piece, finish);
        shape_body_end(&line, &shape, &usage);
        http_reply_json(request, 200, line.data, line.size);
        buf_fini(&line);
        return;
    }
    http_stream_begin(request);
    shape_text_chunk(&line, &shape, &role, true);
    send_line(request, &line);
    shape_text_chunk(&line, &shape, &piece, false);
    send_line(request, &line);
    shape_final_chunk(&line, &shape, 0, finish);
    send_line(request, &line);
    if (shape.include_usage) {
        shape_usage_chunk(&line, &shape, &usage);
        send_line(request, &line);
    }
    http_stream_event(request, "[DONE]", 6);
    http_stream_end(request);
    buf_fini(&line);
}
