#include "scheduler/door/status.h"

#include "scheduler/core/fleet.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/lexicon.h"
#include "scheduler/policy/gate.h"
#include "scheduler/settings.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/metric.h"

#include <inttypes.h>
#include <string.h>

/* What a model does for clients, as /v1/models says it; shards are no model's. */
static const char *const capabilities[] = {[WIRE_GENERATE] = "generate",
                                           [WIRE_EMBED] = "embed",
                                           [WIRE_SCORE] = "score",
                                           [WIRE_RECOMMEND] = "recommend"};

static bool does(const struct fleet_model *model, size_t kind)
{
    return capabilities[kind] && model->kinds & 1u << kind;
}

static bool does_any(const struct fleet_model *model)
{
    for (size_t kind = 0; kind < sizeof capabilities / sizeof *capabilities; kind++)
        if (does(model, kind)) return true;
    return false;
}

bool status_is_served(const struct door *door, const struct fleet_model *model)
{
    struct lexicon_pack *pack;
    return model->current && model->node_count > 0 && does_any(model) &&
           lexicon_find(door->lexicon, &model->pack, &pack) == ERR_OK;
}

size_t status_list_models(const struct door *door, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++) {
        const struct fleet_model *model = fleet_model_at(door->fleet, i);
        if (!status_is_served(door, model)) continue;
        buf_addf(out, "%s%s", count++ ? ", " : "", model->name);
    }
    return count;
}

void status_health(struct door *door, struct http_request *request)
{
    static const char body[] = "{\"status\":\"ok\"}";
    (void)door;
    http_reply_json(request, 200, body, sizeof body - 1);
}

void status_ready(struct door *door, struct http_request *request)
{
    struct buf body = {0}, models = {0};
    size_t nodes = 0, count = 0;
    for (size_t i = 0; i < fleet_node_count(door->fleet); i++)
        nodes += fleet_node_at(door->fleet, i)->state == FLEET_READY;
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++) {
        const struct fleet_model *model = fleet_model_at(door->fleet, i);
        if (!status_is_served(door, model)) continue;
        if (count++) buf_add_byte(&models, ',');
        json_write_string(&models, model->name);
    }
    bool ready = count > 0 && !door->draining;
    buf_addf(&body,
             "{\"ready\":%s,\"draining\":%s,\"nodes\":%zu,\"models\":[%s],\"redis\":\"%s\","
             "\"sessions\":\"%s\",\"limits_when_away\":\"%s\"}",
             ready ? "true" : "false", door->draining ? "true" : "false", nodes, buf_text(&models),
             store_is_up(door->store) ? "up" : "away",
             store_is_up(door->store) ? "available" : "unavailable",
             door->settings->limits_when_away);
    http_reply_json(request, ready ? 200 : 503, body.data, body.size);
    buf_fini(&body);
    buf_fini(&models);
}

static void count_gate(const struct door *door, const struct http_stats *http)
{
    bool leads = gate_has_lease(door->gate, clock_now_ns());
    metric_set(door->metrics, M_gate_lease, NULL, NULL, leads ? 1 : 0);
    metric_set(door->metrics, M_gate_epoch, NULL, NULL, (double)gate_epoch(door->gate));
    metric_set(door->metrics, M_gate_held_total, NULL, NULL, (double)http->held);
    metric_set(door->metrics, M_gate_cut_total, NULL, NULL, (double)http->cut);
}

void status_metrics(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    struct buf body = {0};
    const struct http_stats *http = http_stats(door->http);
    metric_set(door->metrics, M_connections, NULL, NULL, (double)http->connections);
    metric_set(door->metrics, M_connections_refused_total, NULL, NULL, (double)http->refused);
    metric_set(door->metrics, M_slow_readers_total, NULL, NULL, (double)http->slow);
    metric_set(door->metrics, M_store_up, NULL, NULL, store_is_up(door->store) ? 1 : 0);
    if (door->gate) count_gate(door, http);
    metrics_render(door->metrics, &body);
    http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", body.data, body.size);
    buf_fini(&body);
}

static void write_model(struct buf *out, const struct fleet_model *model)
{
    char hex[DIGEST_TEXT_SIZE];
    buf_add_text(out, "{\"id\":");
    json_write_string(out, model->name);
    buf_addf(out,
             ",\"object\":\"model\",\"created\":0,\"owned_by\":\"qiao\",\"context_length\":%u,"
             "\"nodes\":%u,\"digest\":\"%s\",\"capabilities\":[",
             model->context_length, model->node_count, digest_text(&model->model, hex));
    for (size_t kind = 0, count = 0; kind < sizeof capabilities / sizeof *capabilities; kind++)
        if (does(model, kind)) buf_addf(out, "%s\"%s\"", count++ ? "," : "", capabilities[kind]);
    buf_add_byte(out, ']');
    if (does(model, WIRE_EMBED)) buf_addf(out, ",\"dimensions\":%u", model->vector_size);
    buf_add_byte(out, '}');
}

/* Those that generate, or the others; how many there are now. */
static size_t write_models(const struct door *door, struct buf *out, bool generate, size_t count)
{
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++) {
        const struct fleet_model *model = fleet_model_at(door->fleet, i);
        if (does(model, WIRE_GENERATE) != generate || !status_is_served(door, model)) continue;
        if (count++) buf_add_byte(out, ',');
        write_model(out, model);
    }
    return count;
}

void status_models(struct door *door, struct http_request *request)
{
    struct context context;
    if (!door_admit(door, request, false, &context)) return;
    struct buf body = {0};
    buf_add_text(&body, "{\"object\":\"list\",\"data\":[");
    // Clients that chat take the first of the list.
    size_t count = write_models(door, &body, true, 0);
    write_models(door, &body, false, count);
    buf_add_text(&body, "]}");
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

void status_model(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    if (!door_admit(door, request, false, &context)) return;
    const char *name = http_path(request) + strlen("/v1/models/");
    const struct fleet_model *model = fleet_find_model(door->fleet, name, strlen(name));
    if (model && status_is_served(door, model)) {
        write_model(&body, model);
        http_reply_json(request, 200, body.data, body.size);
    } else {
        status_list_models(door, &body);
        err_note(ERR_NOT_FOUND, "there is no such model; served are: %s",
                 body.size ? body.data : "none");
        http_reply_error(request, &(struct http_error){.err = ERR_NOT_FOUND,
                                                       .message = err_text(),
                                                       .param = "model",
                                                       .code = "model_not_found"});
    }
    buf_fini(&body);
}
