#include "scheduler/door/admin.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/door/context.h"
#include "scheduler/door/door.h"
#include "scheduler/door/http.h"
#include "scheduler/door/json.h"
#include "scheduler/settings.h"
#include "scheduler/state/peers.h"
#include "scheduler/state/store.h"
#include "scheduler/uplink.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/metric.h"

#include <inttypes.h>
#include <string.h>

static void write_served(struct buf *out, const struct served *models, size_t count)
{
    char hex[DIGEST_TEXT_SIZE];
    buf_add_text(out, ",\"serves\":[");
    for (size_t i = 0; i < count; i++) {
        buf_add_text(out, i ? ",{\"name\":" : "{\"name\":");
        json_write_string(out, models[i].name);
        buf_addf(out, ",\"digest\":\"%s\"}", digest_text(&models[i].model, hex));
    }
    buf_add_byte(out, ']');
}

static void write_node(struct buf *out, const struct fleet_node *node, const struct served *models,
                       uint64_t now_ns)
{
    buf_add_text(out, "{\"name\":");
    json_write_string(out, node->name);
    buf_add_text(out, ",\"region\":");
    json_write_string(out, node->region);
    write_served(out, models, node->model_count);
    buf_addf(out,
             ",\"state\":\"%s\",\"arriving\":%s,\"uptime_seconds\":%" PRIu64
             ",\"heard_ms\":%" PRIu64
             ",\"models\":%u,\"threads\":%u,\"credits\":%u,\"in_flight\":%u,\"running\":%u,"
             "\"waiting\":%u,\"waiting_tokens\":%" PRIu64 ",\"kv_blocks_used\":%u,\"kv_blocks\":%u,"
             "\"kv_blocks_cached\":%u,\"kv_evictions\":%" PRIu64 ",\"prefix_hit_tokens\":%" PRIu64
             ",\"prefill_tokens\":%" PRIu64 ",\"preemptions\":%" PRIu64 ","
             "\"step_us\":%u,\"step_age_ms\":%u,\"prefill_tokens_per_second\":%.1f,"
             "\"decode_tokens_per_second\":%.1f}",
             node->state == FLEET_DRAINING ? "draining" : "ready",
             node->replaces != 0 ? "true" : "false", (now_ns - node->since_ns) / CLOCK_SECOND,
             (now_ns - node->heard_ns) / CLOCK_MS, node->model_count, node->threads, node->credits,
             node->in_air, node->load.running, node->load.waiting, node->load.waiting_tokens,
             node->load.kv_blocks_used, node->load.kv_blocks, node->load.kv_blocks_cached,
             node->load.kv_evictions, node->load.prefix_hit_tokens, node->load.prefill_tokens,
             node->load.preemptions, node->load.step_us, node->step_age_ms,
             (double)node->load.prefill_rate, (double)node->load.decode_rate);
}

static void write_nodes(struct buf *out, const struct door *door)
{
    uint64_t now_ns = clock_now_ns();
    buf_add_byte(out, '[');
    for (size_t i = 0; i < fleet_node_count(door->fleet); i++) {
        if (i) buf_add_byte(out, ',');
        write_node(out, fleet_node_at(door->fleet, i), fleet_node_models(door->fleet, i), now_ns);
    }
    buf_add_byte(out, ']');
}

void admin_nodes(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    if (!door_admit(door, request, true, &context)) return;
    buf_add_text(&body, "{\"nodes\":");
    write_nodes(&body, door);
    buf_add_byte(&body, '}');
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

void admin_schedulers(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    const char *urls[PEERS_MAX];
    if (!door_admit(door, request, true, &context)) return;
    buf_add_text(&body, "{\"schedulers\":[{\"url\":");
    json_write_string(&body, peers_own(door->peers));
    buf_add_text(&body, ",\"self\":true}");
    for (size_t i = 0, count = peers_list(door->peers, urls); i < count; i++) {
        buf_add_text(&body, ",{\"url\":");
        json_write_string(&body, urls[i]);
        buf_add_text(&body, ",\"self\":false}");
    }
    buf_add_text(&body, "]}");
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

static void write_models(struct buf *out, const struct door *door)
{
    char hex[DIGEST_TEXT_SIZE];
    buf_add_byte(out, '[');
    for (size_t i = 0; i < fleet_model_count(door->fleet); i++) {
        const struct fleet_model *model = fleet_model_at(door->fleet, i);
        buf_addf(out, "%s{\"name\":", i ? "," : "");
        json_write_string(out, model->name);
        buf_addf(out, ",\"current\":%s,\"nodes\":%u,\"context_length\":%u,\"digest\":\"%s\"",
                 model->current ? "true" : "false", model->node_count, model->context_length,
                 digest_text(&model->model, hex));
        buf_addf(out, ",\"pack\":\"%s\"", digest_text(&model->pack, hex));
        buf_addf(out, ",\"numerics\":\"%s\"}", digest_text(&model->numerics, hex));
    }
    buf_add_byte(out, ']');
}

void admin_status(struct door *door, struct http_request *request)
{
    struct context context;
    struct buf body = {0};
    if (!door_admit(door, request, true, &context)) return;
    const struct flights_stats *flights = flights_stats(door->flights);
    const struct http_stats *http = http_stats(door->http);
    buf_addf(&body,
             "{\"version\":\"%s\",\"uptime_seconds\":%" PRIu64
             ",\"draining\":%s,\"redis\":\"%s\",\"limits_when_away\":\"%s\",\"connections\":%zu,"
             "\"requests\":%zu,\"in_flight\":%zu,\"flights\":{\"started\":%" PRIu64
             ",\"ended\":%" PRIu64 ",\"retried\":%" PRIu64 ",\"busy\":%" PRIu64
             ",\"duplicates\":%" PRIu64 ",\"contradictions\":%" PRIu64 ",\"lost_nodes\":%" PRIu64
             "},\"models\":",
             QIAO_VERSION, (clock_now_ns() - door->start_ns) / CLOCK_SECOND,
             door->draining ? "true" : "false", store_is_up(door->store) ? "up" : "away",
             door->settings->limits_when_away, http->connections, http->requests,
             flights_count(door->flights), flights->started, flights->ended, flights->retried,
             flights->busy, flights->duplicates, flights->contradictions, flights->lost_nodes);
    write_models(&body, door);
    buf_add_text(&body, ",\"nodes\":");
    write_nodes(&body, door);
    buf_add_byte(&body, '}');
    http_reply_json(request, 200, body.data, body.size);
    buf_fini(&body);
}

enum order {
    ORDER_DRAIN,
    ORDER_UNDRAIN,
    ORDER_RELOAD
};

static enum err give_order(struct door *door, struct http_request *request, enum order order)
{
    size_t size;
    json_t *root;
    const char *node = NULL;
    const char *text = http_body(request, &size);
    TRY(json_read(&root, text, size));
    enum err err = json_take_text(root, "node", 1, WIRE_NAME_MAX, &node);
    if (!err && !node) err = json_wrong("node", "must be given: GET /admin/nodes lists them");
    if (!err) http_set_subject(request, node);
    if (!err && order == ORDER_RELOAD)
        err = uplink_reload(door->uplink, node);
    else if (!err)
        err = uplink_drain(door->uplink, node, order == ORDER_DRAIN);
    json_decref(root);
    return err;
}

static void obey(struct door *door, struct http_request *request, enum order order)
{
    static const char *const answers[] = {[ORDER_DRAIN] = "{\"draining\":true}",
                                          [ORDER_UNDRAIN] = "{\"draining\":false}",
                                          [ORDER_RELOAD] = "{\"reloading\":true}"};
    struct context context;
    if (!door_admit(door, request, true, &context)) return;
    enum err err = give_order(door, request, order);
    if (err)
        door_refuse(request, err);
    else
        http_reply_json(request, 200, answers[order], strlen(answers[order]));
}

void admin_drain(struct door *door, struct http_request *request)
{
    obey(door, request, ORDER_DRAIN);
}

void admin_undrain(struct door *door, struct http_request *request)
{
    obey(door, request, ORDER_UNDRAIN);
}

void admin_reload(struct door *door, struct http_request *request)
{
    obey(door, request, ORDER_RELOAD);
}
