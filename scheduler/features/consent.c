#include "scheduler/features/consent.h"

#include "scheduler/features/home.h"
#include "scheduler/features/pack.h"
#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Give (true), withdraw (false) or set, in this order; what is withdrawn takes its events with it.
 *      KEYS  consent, events, event_ids, event_key, event_homes
 *      ARGV  [field, true, false or text, …] in msgpack, most partners
 *      gives 0 when there would be too many; or the links that lead nowhere now, and the whole hash */
static const char change_text[] =
    "local changes = cmsgpack.unpack(ARGV[1])\n" HOMES_LUA "local partners = {}\n"
    "local count = 0\n"
    "local function add(field)\n"
    "  if string.sub(field, 1, 8) == 'partner:' and not partners[field] then\n"
    "    partners[field] = true\n"
    "    count = count + 1\n"
    "  end\n"
    "end\n"
    "for n = 1, #changes, 2 do\n"
    "  if changes[n + 1] == true then add(changes[n]) end\n"
    "end\n"
    "if count > 0 then\n"
    "  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do add(field) end\n"
    "  if count > tonumber(ARGV[2]) then return 0 end\n"
    "end\n"
    "local time = redis.call('TIME')\n"
    "local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))\n"
    "local gone = {}\n"
    "local function unlink(source, new)\n"
    "  local old = redis.call('HGET', KEYS[1], 'link:' .. source)\n"
    "  if old and old ~= new then gone[#gone + 1] = old end\n"
    "end\n"
    "local function forget(base)\n"
    "  for _, tail in ipairs(homes_of(KEYS[5], base)) do\n"
    "    for k = 2, 4 do redis.call('UNLINK', KEYS[k] .. tail) end\n"
    "    redis.call('HDEL', KEYS[5], tail)\n"
    "  end\n"
    "end\n"
    "for n = 1, #changes, 2 do\n"
    "  local field, value = changes[n], changes[n + 1]\n"
    "  if value == true then\n"
    "    redis.call('HSETNX', KEYS[1], field, now)\n"
    "  elseif value == false then\n"
    "    redis.call('HDEL', KEYS[1], field)\n"
    "    local source = string.match(field, '^partner:(.+)$')\n"
    "    if field == 'history' then forget('') end\n"
    "    if source then\n"
    "      forget(':' .. source)\n"
    "      unlink(source)\n"
    "      redis.call('HDEL', KEYS[1], 'link:' .. source)\n"
    "    end\n"
    "  else\n"
    "    local source = string.match(field, '^link:(.+)$')\n"
    "    if source then unlink(source, value) end\n"
    "    redis.call('HSET', KEYS[1], field, value)\n"
    "  end\n"
    "end\n"
    "return {gone, redis.call('HGETALL', KEYS[1])}\n";

/* A link is its user's to take away.
 *      KEYS  the link   ARGV  OWNER */
static const char unlink_text[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end\n"
    "return 0\n";

enum {
    LINK_SIZE = 16,
    LINK_KEY_HEAD = 8 // bytes of "qiao:{p:"
};

struct consents {
    struct store *store;
    struct owner_key owner_key;
    unsigned char link_key[crypto_kdf_KEYBYTES];
    struct store_script *change, *unlink;
};

struct consent_ticket {
    struct consents *consents;
    consent_fn *done; // NULL: nobody asks any more
    void *argument;
    char owner[OWNER_TEXT_SIZE];
    struct buf changes; // of a change, until its links are set
    size_t waits;       // links that Redis has not answered yet
    enum err err;       // of one of them
};

static const char *const names[CONSENT_PURPOSES] = {[CONSENT_HISTORY] = "history",
                                                    [CONSENT_RECOMMENDATIONS] = "recommendations",
                                                    [CONSENT_SEARCH] = "search",
                                                    [CONSENT_ASSISTANT] = "assistant"};

const char *consent_name(enum consent_purpose purpose)
{
    must(purpose < CONSENT_PURPOSES);
    return names[purpose];
}

bool consent_find(const char *name, enum consent_purpose *out)
{
    for (size_t i = 0; i < CONSENT_PURPOSES; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *out = (enum consent_purpose)i;
        return true;
    }
    return false;
}

bool consent_is_source(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= CONSENT_SOURCE_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == size;
}

bool consent_holds(const struct consent_state *state, enum consent_purpose purpose)
{
    return state->personalization && state->since_ms[purpose] > 0;
}

struct consents *consents_new(struct store *store, const unsigned char root[OWNER_ROOT_SIZE])
{
    struct consents *consents = mem_new(1, sizeof *consents);
    consents->store = store;
    owner_key_init(&consents->owner_key, root);
    crypto_kdf_derive_from_key(consents->link_key, sizeof consents->link_key, 5, "qiaolink", root);
    consents->change = store_add_script(store, change_text);
    consents->unlink = store_add_script(store, unlink_text);
    return consents;
}

void consents_free(struct consents *consents)
{
    if (!consents) return;
    sodium_memzero(consents, sizeof *consents);
    mem_free(consents);
}

const struct owner_key *consents_owner_key(const struct consents *consents)
{
    return &consents->owner_key;
}

void consent_link_key(const struct consents *consents, const char *tenant, const char *source,
                      const char *pseudonym, char out[CONSENT_KEY_SIZE])
{
    unsigned char hash[LINK_SIZE];
    char text[CONSENT_LINK_SIZE];
    crypto_generichash_state state;
    crypto_generichash_init(&state, consents->link_key, sizeof consents->link_key, LINK_SIZE);
    // The NULs of the first two part the names.
    crypto_generichash_update(&state, (const unsigned char *)tenant, strlen(tenant) + 1);
    crypto_generichash_update(&state, (const unsigned char *)source, strlen(source) + 1);
    crypto_generichash_update(&state, (const unsigned char *)pseudonym, strlen(pseudonym));
    crypto_generichash_final(&state, hash, LINK_SIZE);
    snprintf(out, CONSENT_KEY_SIZE, "qiao:{p:%s}",
             sodium_bin2hex(text, sizeof text, hash, sizeof hash));
}

// ---- tickets -----------------------------------------------------------------------------------

static struct consent_ticket *new_ticket(struct consents *consents, const char *tenant,
                                         const char *user, consent_fn *done, void *argument)
{
    struct consent_ticket *ticket = mem_new(1, sizeof *ticket);
    ticket->consents = consents;
    ticket->done = done;
    ticket->argument = argument;
    owner_write(ticket->owner, &consents->owner_key, tenant, user);
    return ticket;
}

void consent_drop(struct consent_ticket *ticket)
{
    ticket->done = NULL;
}

static void finish(struct consent_ticket *ticket, enum err err, const struct consent_state *state)
{
    if (ticket->done) ticket->done(ticket->argument, err, err ? NULL : state);
    buf_fini(&ticket->changes);
    mem_free(ticket);
}

static enum err away(enum err err)
{
    if (err != ERR_STORE_AWAY && err != ERR_TIMEOUT) return err;
    return err_note(ERR_STORE_AWAY, "consents cannot be read: Redis is away");
}

static void read_field(struct consent_state *state, const char *field, const char *value)
{
    static const char head[] = "partner:";
    enum consent_purpose purpose;
    if (consent_find(field, &purpose)) {
        state->since_ms[purpose] = strtoll(value, NULL, 10);
    } else if (strcmp(field, "personalization") == 0) {
        state->personalization = strcmp(value, "0") != 0;
    } else if (strncmp(field, head, sizeof head - 1) == 0 &&
               state->partner_count < CONSENT_PARTNERS_MAX) {
        struct consent_partner *partner = &state->partners[state->partner_count++];
        snprintf(partner->source, sizeof partner->source, "%s", field + sizeof head - 1);
        partner->since_ms = strtoll(value, NULL, 10);
    }
}

static enum err read_state(struct consent_state *state, const redisReply *fields)
{
    *state = (struct consent_state){.personalization = true};
    if (fields->type != REDIS_REPLY_ARRAY)
        return err_note(ERR_INTERNAL, "the consents' hash is none");
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING)
            read_field(state, fields->element[i]->str, fields->element[i + 1]->str);
    }
    return ERR_OK;
}

static void on_read(void *argument, enum err err, const redisReply *reply)
{
    struct consent_state state;
    err = err ? away(err) : read_state(&state, reply);
    finish(argument, err, &state);
}

struct consent_ticket *consent_read(struct consents *consents, const char *tenant, const char *user,
                                    consent_fn *done, void *argument)
{
    struct consent_ticket *ticket = new_ticket(consents, tenant, user, done, argument);
    char key[CONSENT_KEY_SIZE];
    snprintf(key, sizeof key, "qiao:{u:%s}:consent", ticket->owner);
    const char *const words[] = {"HGETALL", key};
    store_command(consents->store, on_read, ticket, 2, words, NULL);
    return ticket;
}

// ---- changes -----------------------------------------------------------------------------------

void consent_unlink(const struct consents *consents, const char *owner, const char *link,
                    store_reply_fn *done, void *argument)
{
    char key[CONSENT_KEY_SIZE];
    snprintf(key, sizeof key, "qiao:{p:%.*s}", CONSENT_LINK_SIZE - 1, link);
    const char *const words[] = {key, owner};
    store_eval(consents->store, consents->unlink, done, argument, 1, 2, words, NULL);
}

static void unlink_gone(const struct consent_ticket *ticket, const redisReply *links)
{
    for (size_t i = 0; i < links->elements; i++)
        if (links->element[i]->type == REDIS_REPLY_STRING)
            consent_unlink(ticket->consents, ticket->owner, links->element[i]->str, NULL, NULL);
}

static void on_changed(void *argument, enum err err, const redisReply *reply)
{
    struct consent_ticket *ticket = argument;
    struct consent_state state;
    if (err) {
        finish(ticket, away(err), NULL);
        return;
    }
    if (reply->type == REDIS_REPLY_INTEGER) {
        err = err_note(ERR_TOO_LARGE, "a user has at most %d partners", CONSENT_PARTNERS_MAX);
    } else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
               reply->element[0]->type != REDIS_REPLY_ARRAY) {
        err = err_note(ERR_INTERNAL, "the consents' script gave an unknown answer");
    } else {
        unlink_gone(ticket, reply->element[0]);
        err = read_state(&state, reply->element[1]);
    }
    finish(ticket, err, &state);
}

static void send_change(struct consent_ticket *ticket)
{
    char keys[5][CONSENT_KEY_SIZE], most[16];
    static const char *const kinds[] = {"consent", "events", "event_ids", "event_key",
                                        "event_homes"};
    for (size_t i = 0; i < 5; i++)
        snprintf(keys[i], sizeof keys[i], "qiao:{u:%s}:%s", ticket->owner, kinds[i]);
    snprintf(most, sizeof most, "%d", CONSENT_PARTNERS_MAX);
    const char *const words[] = {keys[0], keys[1], keys[2], keys[3], keys[4], ticket->changes.data,
                                 most};
    const size_t sizes[] = {strlen(keys[0]), strlen(keys[1]),      strlen(keys[2]), strlen(keys[3]),
                            strlen(keys[4]), ticket->changes.size, strlen(most)};
    store_eval(ticket->consents->store, ticket->consents->change, on_changed, ticket, 5, 7, words,
               sizes);
}

static void on_linked(void *argument, enum err err, const redisReply *reply)
{
    struct consent_ticket *ticket = argument;
    (void)reply;
    if (err) ticket->err = away(err);
    if (--ticket->waits > 0) return;
    if (ticket->err)
        finish(ticket, ticket->err, NULL); // links alone let nothing in
    else
        send_change(ticket);
}

static size_t pack_wish(struct buf *out, const char *field, enum consent_wish wish)
{
    if (wish == CONSENT_KEEP) return 0;
    pack_text(out, field);
    pack_flag(out, wish == CONSENT_GIVE);
    return 2;
}

/* The partner's fields; `link` gets the key of its link, or is "". */
static size_t pack_partner(struct consent_ticket *ticket, struct buf *out, const char *tenant,
                           const struct consent_change *change, size_t index,
                           char link[CONSENT_KEY_SIZE])
{
    char field[CONSENT_SOURCE_MAX + 16];
    const char *source = change->partners[index].source;
    must(consent_is_source(source));
    link[0] = '\0';
    snprintf(field, sizeof field, "partner:%s", source);
    size_t count = pack_wish(out, field, change->partners[index].wish);
    if (change->partners[index].wish != CONSENT_GIVE) return count;
    must(change->partners[index].pseudonym);
    consent_link_key(ticket->consents, tenant, source, change->partners[index].pseudonym, link);
    snprintf(field, sizeof field, "link:%s", source);
    pack_text(out, field);
    pack_bytes(out, link + LINK_KEY_HEAD, CONSENT_LINK_SIZE - 1);
    return count + 2;
}

static size_t pack_switch(struct buf *out, enum consent_wish wish)
{
    if (wish == CONSENT_KEEP) return 0;
    pack_text(out, "personalization");
    if (wish == CONSENT_GIVE)
        pack_flag(out, false); // on is what it is where nothing stands
    else
        pack_text(out, "0");
    return 2;
}

struct consent_ticket *consent_change(struct consents *consents, const char *tenant,
                                      const char *user, const struct consent_change *change,
                                      consent_fn *done, void *argument)
{
    struct consent_ticket *ticket = new_ticket(consents, tenant, user, done, argument);
    struct buf fields = {0};
    char links[CONSENT_PARTNERS_MAX][CONSENT_KEY_SIZE];
    size_t count = pack_switch(&fields, change->personalization);
    must(change->partner_count <= CONSENT_PARTNERS_MAX);
    for (size_t i = 0; i < CONSENT_PURPOSES; i++)
        count += pack_wish(&fields, names[i], change->purposes[i]);
    for (size_t i = 0; i < change->partner_count; i++)
        count += pack_partner(ticket, &fields, tenant, change, i, links[i]);
    pack_list(&ticket->changes, count);
    buf_add(&ticket->changes, buf_text(&fields), fields.size);
    buf_fini(&fields);
    for (size_t i = 0; i < change->partner_count; i++) {
        const char *const words[] = {"SET", links[i], ticket->owner};
        if (!links[i][0]) continue;
        ticket->waits++;
        store_command(consents->store, on_linked, ticket, 3, words, NULL);
    }
    if (ticket->waits == 0) send_change(ticket);
    return ticket;
}
