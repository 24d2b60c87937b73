#include "scheduler/program.h"

#include "scheduler/core/fleet.h"
#include "scheduler/core/flight.h"
#include "scheduler/door/context.h"
#include "scheduler/door/errand.h"
#include "scheduler/door/folders.h"
#include "scheduler/door/http.h"
#include "scheduler/door/note.h"
#include "scheduler/door/openings.h"
#include "scheduler/door/partners.h"
#include "scheduler/door/wait.h"
#include "scheduler/features/catalogue.h"
#include "scheduler/features/collection.h"
#include "scheduler/features/consent.h"
#include "scheduler/features/erase.h"
#include "scheduler/features/events.h"
#include "scheduler/features/feed.h"
#include "scheduler/features/forget.h"
#include "scheduler/features/history.h"
#include "scheduler/features/popular.h"
#include "scheduler/features/pseudonym.h"
#include "scheduler/features/search/indexes.h"
#include "scheduler/features/search/vectors.h"
#include "scheduler/features/sold.h"
#include "scheduler/features/tags.h"
#include "scheduler/lexicon.h"
#include "scheduler/master.h"
#include "scheduler/policy/audit.h"
#include "scheduler/policy/bundle.h"
#include "scheduler/policy/gate.h"
#include "scheduler/policy/label.h"
#include "scheduler/policy/policy.h"
#include "scheduler/policy/sealer.h"
#include "scheduler/policy/strikes.h"
#include "scheduler/policy/waivers.h"
#include "scheduler/scribe.h"
#include "scheduler/state/durable.h"
#include "scheduler/state/idem.h"
#include "scheduler/state/limit.h"
#include "scheduler/state/peers.h"
#include "scheduler/state/session.h"
#include "scheduler/state/store.h"
#include "scheduler/uplink.h"

#include "text/analyze.h"
#include "text/pinyin.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/private.h"
#include "base/rand.h"

#include <event2/event.h>
#include <sodium.h>

#include <string.h>

static size_t read_addresses(const char *setting, const struct conf_list *list,
                             struct store_address addresses[STORE_ADDRESSES_MAX])
{
    for (size_t i = 0; i < list->count; i++)
        must(!settings_address(setting, list->items[i], addresses[i].host, &addresses[i].port));
    return list->count; // settings_check() has seen them
}

enum {
    IDEM_SLACK_MS = 10000 // for what comes before and after an answer's flight: Redis, a worker
};

/* What runs is looked at again, and nodes are told from now on. */
static void on_gate(void *owner)
{
    struct door *door = owner;
    if (door->flights) flights_set_gate_epoch(door->flights, gate_epoch(door->gate));
    if (door->http) http_look(door->http);
}

/* On a connection of its own, which WAIT blocks. */
static void build_gate(struct program *program, const struct store_options *store)
{
    struct door *door = &program->door;
    struct store_options own = *store;
    unsigned char key[GATE_KEY_SIZE];
    own.timeout_ms += GATES_WAIT_MS;
    crypto_kdf_derive_from_key(key, sizeof key, 5, "qiaogate", program->master.root);
    door->gate =
        gate_new(&(struct gate_options){.base = door->base,
                                        .store = store_new(door->base, &own),
                                        .replicas = (uint32_t)program->settings.gate_replicas,
                                        .key = key,
                                        .changed = on_gate,
                                        .owner = door});
    sodium_memzero(key, sizeof key);
}

static void build_state(struct program *program)
{
    struct door *door = &program->door;
    const struct settings *settings = &program->settings;
    struct store_options store = {.host = settings->redis_host,
                                  .port = (uint16_t)settings->redis_port,
                                  .password = settings->redis_password,
                                  .timeout_ms = (uint32_t)settings->redis_timeout_ms,
                                  .master = settings->redis_master};
    struct store_address sentinels[STORE_ADDRESSES_MAX], seeds[STORE_ADDRESSES_MAX];
    store.sentinels = sentinels;
    store.sentinel_count = read_addresses("redis_sentinel", &settings->redis_sentinel, sentinels);
    store.seeds = seeds;
    store.seed_count = read_addresses("redis_cluster", &settings->redis_cluster, seeds);
    door->store = store_new(door->base, &store);
    if (door->policies) build_gate(program, &store);
    // Each WAIT blocks its connection, which is another one than everybody's.
    store.timeout_ms += (uint32_t)settings->session_wait_ms;
    if (settings->session_replicas > 0)
        program->durables =
            durables_new(&(struct durable_options){.store = store_new(door->base, &store),
                                                   .replicas = (uint32_t)settings->session_replicas,
                                                   .wait_ms = (uint32_t)settings->session_wait_ms});
    struct session_options sessions = {.store = door->store,
                                       .keys = &program->master,
                                       .ttl_seconds = (uint32_t)settings->session_ttl_seconds,
                                       .bytes_max = settings->session_bytes,
                                       .durables = program->durables};
    door->sessions = sessions_new(&sessions);
    unsigned char secret[IDEM_SECRET_SIZE];
    crypto_kdf_derive_from_key(secret, sizeof secret, 4, "qiaoidem", program->master.root);
    struct idem_options idems = {.base = door->base,
                                 .store = door->store,
                                 .secret = secret,
                                 .ttl_seconds = (uint32_t)settings->idempotency_seconds,
                                 .run_ms = settings->deadline_ms + IDEM_SLACK_MS};
    door->idems = idems_new(&idems);
    sodium_memzero(secret, sizeof secret);
    struct limit_options limits = {.base = door->base,
                                   .store = door->store,
                                   .root = program->master.root,
                                   .open_when_away =
                                       strcmp(settings->limits_when_away, "open") == 0};
    door->limits = limits_new(&limits);
    door->strikes = strikes_new(door->store, program->master.root);
    door->waivers = waivers_new(door->store, program->master.root);
}

enum {
    SECONDS_OF_DAY = 86400
};

static void build_features(struct program *program)
{
    struct door *door = &program->door;
    door->consents = consents_new(door->store, program->master.root);
    door->erasures = erasures_new(door->store, program->durables, door->consents, &program->master);
    door->collections = collections_new(door->base, door->store);
    door->catalogues = catalogues_new(door->collections, program->settings.catalogue_items);
    door->events = events_new(door->store, &program->master,
                              (uint32_t)program->settings.history_days * SECONDS_OF_DAY);
    door->histories = histories_new(door->store, consents_owner_key(door->consents),
                                    &program->master, door->catalogues);
    door->tags = tags_new(door->store, consents_owner_key(door->consents), &program->master);
    door->forgets = forgets_new(door->store, consents_owner_key(door->consents), &program->master);
    door->popular = popular_new(door->store);
    door->solds = solds_new(door->base);
    door->pseudonyms = pseudonyms_new(door->store, door->consents);
    door->feeds = feeds_new(door->store);
}

/* The Redis servers of indexes with `backend: redisearch`. */
static enum err read_places(struct program *program)
{
    const struct settings *settings = &program->settings;
    for (size_t i = 0; i < settings->search_redisearch.count; i++) {
        struct redisearch_place *out = &program->places[i];
        struct settings_place place;
        TRY(settings_place(&place, settings->search_redisearch.items[i]));
        TRY(indexes_collection(program->place_names[i], sizeof program->place_names[i],
                               place.tenant, place.index, strlen(place.index)));
        out->collection = program->place_names[i];
        out->password = settings->search_redisearch_password;
        out->address.port = place.port;
        memcpy(out->address.host, place.host, sizeof place.host);
    }
    return ERR_OK;
}

/* A thread for each of them: whoever waits for one keeps nobody else waiting. */
static size_t count_waiters(const struct settings *settings)
{
    return settings->search_redisearch.count ? settings->search_redisearch.count : 1;
}

static enum err build_search(struct program *program)
{
    struct door *door = &program->door;
    TRY(analyzer_new(&program->analyzer));
    TRY(read_places(program));
    program->pinyin = pinyin_new();
    door->searchers = scribe_new(door->base, program->settings.searchers);
    door->waiters = scribe_new(door->base, count_waiters(&program->settings));
    struct indexes_options options = {
        .base = door->base,
        .collections = door->collections,
        .scribe = door->searchers,
        .waiters = door->waiters,
        .places = {program->places, program->settings.search_redisearch.count},
        .tools = {program->analyzer, program->pinyin},
        .told = vectors_told,
        .owner = door->vectors};
    door->indexes = indexes_new(&options);
    return ERR_OK;
}

static void build_vectors(struct program *program)
{
    struct door *door = &program->door;
    struct vectors_options options = {.base = door->base,
                                      .collections = door->collections,
                                      .fleet = door->fleet,
                                      .flights = door->flights,
                                      .lexicon = door->lexicon,
                                      .scribe = door->scribe,
                                      .metrics = door->metrics,
                                      .owner = door->uplink,
                                      .send = uplink_send,
                                      .backlog = uplink_backlog};
    door->vectors = vectors_new(&options);
}

static enum err build_nodes_side(struct program *program)
{
    struct door *door = &program->door;
    char url[WIRE_URL_MAX];
    struct fleet_options fleet = {.seed = rand_entropy(),
                                  .index_blocks = program->settings.index_blocks};
    TRY(route_policy_parse(program->settings.route, &fleet.policy));
    door->fleet = fleet_new(&fleet);
    door->uplink = uplink_new(
        &(struct uplink_options){door->base, door->metrics, door->fleet, program->silence_ms});
    struct flights_seams seams = {door->uplink, uplink_send, uplink_quarantine};
    door->flights = flights_new(door->fleet, &seams, program->settings.flights);
    door->scribe = scribe_new(door->base, program->settings.workers);
    struct lexicon_options lexicon = {
        .scribe = door->scribe,
        .metrics = door->metrics,
        .template = *program->settings.chat_template ? &program->template : NULL,
        .owner = door->uplink,
        .send = uplink_send};
    door->lexicon = lexicon_new(&lexicon);
    TRY(uplink_start(door->uplink, &program->settings.listen_nodes, door->flights, door->lexicon,
                     url));
    const char *told = *program->settings.advertise ? program->settings.advertise : url;
    door->peers = peers_new(door->base, door->store, told);
    uplink_set_peers(door->uplink, door->peers);
    log_info("listen_nodes", "url=%s advertise=%s", url, told);
    return ERR_OK;
}

/* Where something is governed, and where somebody wants to have it recorded. */
static enum err build_audit(struct program *program)
{
    struct door *door = &program->door;
    const struct settings *settings = &program->settings;
    if (!*settings->policy && !*settings->audit_dir) return ERR_OK;
    door->audit = audit_new(&(struct audit_options){.base = door->base,
                                                    .store = door->store,
                                                    .metrics = door->metrics,
                                                    .records_max = settings->audit_records});
    struct sealer_options options = {.base = door->base,
                                     .store = door->store,
                                     .scribe = door->scribe,
                                     .audit = door->audit,
                                     .folder = settings->audit_dir,
                                     .key = labeller_secret(door->labeller),
                                     .seconds = settings->audit_seal_seconds,
                                     .days = (uint32_t)settings->audit_days};
    TRY(sealer_new(&door->sealer, &options));
    note_start(door);
    return ERR_OK;
}

static enum err build_clients_side(struct program *program)
{
    const struct settings *settings = &program->settings;
    char host[256];
    struct http_options options = {.base = program->door.base,
                                   .host = host,
                                   .body_bytes = settings->body_bytes,
                                   .unsent_bytes = settings->unsent_bytes,
                                   .connections = settings->connections,
                                   .timeout_seconds = (uint32_t)settings->client_timeout_seconds,
                                   .owner = &program->door,
                                   .handler = door_handle,
                                   .ended = door_ended};
    program->door.waits = waits_new(&program->door, &program->waits);
    program->door.errands = errands_new();
    program->door.openings = openings_new();
    TRY(settings_address("listen", settings->listen, host, &options.port));
    TRY(http_new(&program->door.http, &options));
    log_info("listen", "address=%s port=%u keys=%zu", host, http_port(program->door.http),
             keys_count(program->door.keys));
    return ERR_OK;
}

/* evhttp stops and starts to read with each request: the kernel is told of what is left of that at the end of a turn. */
static struct event_base *make_loop(void)
{
    struct event_config *config = event_config_new();
    must(config && event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0);
    struct event_base *base = event_base_new_with_config(config);
    must(base != NULL);
    event_config_free(config);
    return base;
}

enum err program_build(struct program *program)
{
    struct settings *settings = &program->settings;
    TRY(settings_check(settings));
    log_set_level((enum log_level)log_level_parse(settings->log_level));
    TRY(private_lock(settings->swap));
    settings_make_room(settings);
    if (*settings->chat_template)
        TRY(template_parse_name(&program->template, settings->chat_template));
    TRY(keys_new(&program->door.keys, settings->keys));
    TRY(partners_new(&program->door.partners, settings->partners));
    if (*settings->policy)
        TRY(policies_new(&program->door.policies, settings->policy, settings->policy_keys));
    TRY(labeller_new(&program->door.labeller, settings->label_key, settings->label_keys));
    if (*settings->terms)
        TRY(bundles_new(&program->door.bundles, settings->terms, settings->policy_keys));
    TRY(master_read(&program->master, settings->session_key));
    keys_set_secret(program->door.keys, program->master.root);
    program->door.settings = settings;
    program->door.start_ns = clock_now_ns();
    program->door.metrics = metrics_new(settings_metrics, METRIC_COUNT);
    program->door.base = make_loop();
    build_state(program);
    build_features(program);
    TRY(build_nodes_side(program));
    build_vectors(program);
    TRY(build_search(program));
    TRY(build_audit(program));
    TRY(build_clients_side(program));
    program->folders = folders_new(&program->door);
    return ERR_OK;
}

/* The clients first: their answers let go of flights, packs, tickets. */
void program_tear_down(struct program *program)
{
    struct door *door = &program->door;
    folders_free(program->folders);
    http_free(door->http);
    waits_free(door->waits);
    sealer_stop(door->sealer);
    indexes_stop(door->indexes);
    vectors_stop(door->vectors);
    scribe_free(door->searchers);
    scribe_free(door->waiters);
    indexes_free(door->indexes);
    door->indexes = NULL; // Redis' last answers come after it
    scribe_free(door->scribe);
    vectors_free(door->vectors);
    openings_free(door->openings);
    errands_free(door->errands); // what a worker had of them is given back
    peers_free(door->peers);
    uplink_free(door->uplink);
    if (door->flights) flights_free(door->flights);
    lexicon_free(door->lexicon);
    if (door->fleet) fleet_free(door->fleet);
    catalogues_free(door->catalogues);
    if (door->limits) limits_leave(door->limits);
    gate_free(door->gate);
    durables_free(program->durables);
    audit_leave(door->audit);
    if (door->store) store_free(door->store);
    sealer_free(door->sealer);
    audit_free(door->audit);
    strikes_free(door->strikes);
    waivers_free(door->waivers);
    popular_free(door->popular);
    pseudonyms_free(door->pseudonyms);
    feeds_free(door->feeds);
    solds_free(door->solds);
    histories_free(door->histories);
    tags_free(door->tags);
    forgets_free(door->forgets);
    events_free(door->events);
    erasures_free(door->erasures);
    consents_free(door->consents);
    collections_free(door->collections);
    analyzer_free(program->analyzer);
    pinyin_free(program->pinyin);
    idems_free(door->idems);
    sessions_free(door->sessions);
    if (door->limits) limits_free(door->limits);
    if (door->base) event_base_free(door->base);
    metrics_free(door->metrics);
    keys_free(door->keys);
    partners_free(door->partners);
    policies_free(door->policies);
    labeller_free(door->labeller);
    bundles_free(door->bundles);
    keyring_fini(&program->master);
    conf_fini(&settings_table, &program->settings);
}
