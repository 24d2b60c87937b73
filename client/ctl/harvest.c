/* recommender export: the histories of those who agreed, and the catalogue, as models/recommender/train.py reads them.
 *
 *      pages of /admin/histories --> spool (a file without a name) --> events.ndjson, without rare items and short histories
 *      pages of /admin/catalogue --> items.ndjson
 *
 * Users get random numbers, that nothing leads back from. */
#include "client/ctl/call.h"

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>
#include <sodium.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SALT_SIZE = 16,
    DAY_MS = 86400000,
    NUMBER_BITS = 53 // of a user's number: JSON's readers hold it
};

/* Numbers that were seen; 0 is none of them. */
struct set {
    uint64_t *slots; // [capacity], a power of two
    size_t capacity, count;
};

struct harvest {
    const struct ctl_conf *conf;
    struct qiao *qiao;
    FILE *spool;      // a history a line, as it came
    struct set tags;  // of histories that came
    struct set users; // numbers that were given
    json_t *users_of; // item: how many users had it
    bool withheld;    // of some, events of a region whose data may not go to the one that was named
    long long histories, kept, events, rare, short_ones, items;
};

// ---- a set of numbers --------------------------------------------------------------------------

static bool set_add(struct set *set, uint64_t number)
{
    number += number == 0;
    if (2 * set->count >= set->capacity) {
        struct set larger = {.capacity = set->capacity ? 2 * set->capacity : 1024};
        larger.slots = mem_new(larger.capacity, sizeof *larger.slots);
        for (size_t i = 0; i < set->capacity; i++)
            if (set->slots[i]) (void)set_add(&larger, set->slots[i]);
        mem_free(set->slots);
        *set = larger;
    }
    size_t at = (size_t)(number * UINT64_C(0x9e3779b97f4a7c15)) & (set->capacity - 1);
    for (; set->slots[at]; at = (at + 1) & (set->capacity - 1))
        if (set->slots[at] == number) return false;
    set->slots[at] = number;
    set->count++;
    return true;
}

static uint64_t draw_user(struct harvest *harvest)
{
    uint64_t number;
    do {
        randombytes_buf(&number, sizeof number);
        number >>= 64 - NUMBER_BITS;
    } while (!set_add(&harvest->users, number));
    return number;
}

// ---- what comes --------------------------------------------------------------------------------

static bool is_wanted(const struct ctl_conf *conf, const char *type)
{
    if (conf->types.count == 0) return true;
    for (size_t i = 0; i < conf->types.count; i++)
        if (strcmp(conf->types.items[i], type) == 0) return true;
    return false;
}

/* Each item once a user, however often it was seen. */
static void count_items(struct harvest *harvest, const json_t *items)
{
    json_t *seen = json_object();
    for (size_t i = 0; i < json_array_size(items); i++) {
        const char *item = json_string_value(json_array_get(items, i));
        if (!item || json_object_get(seen, item)) continue;
        json_object_set_new(seen, item, json_true());
        long long before = call_count(harvest->users_of, item);
        json_object_set_new(harvest->users_of, item, json_integer(before + 1));
    }
    json_decref(seen);
}

static json_t *choose(const struct harvest *harvest, const json_t *history)
{
    const json_t *items = json_object_get(history, "items"),
                 *times = json_object_get(history, "times"),
                 *types = json_object_get(history, "types");
    json_t *out_items = json_array(), *out_times = json_array();
    for (size_t i = 0; i < json_array_size(items); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || !is_wanted(harvest->conf, type)) continue;
        json_array_append(out_items, json_array_get(items, i));
        json_array_append(out_times, json_array_get(times, i));
    }
    return json_pack("{s:o, s:o}", "items", out_items, "times", out_times);
}

static void take_history(struct harvest *harvest, const json_t *history)
{
    const char *tag = json_string_value(json_object_get(history, "tag"));
    char head[17];
    if (!tag || strlen(tag) < sizeof head) return;
    memcpy(head, tag, sizeof head - 1);
    head[sizeof head - 1] = '\0';
    if (!set_add(&harvest->tags, strtoull(head, NULL, 16))) return; // it came before
    json_t *chosen = choose(harvest, history);
    harvest->histories++;
    count_items(harvest, json_object_get(chosen, "items"));
    json_dumpf(chosen, harvest->spool, JSON_COMPACT);
    fputc('\n', harvest->spool);
    json_decref(chosen);
}

static enum ctl_exit take_histories(struct harvest *harvest)
{
    unsigned char salt[SALT_SIZE];
    char hex[2 * SALT_SIZE + 1], cursor[32] = "0";
    randombytes_buf(salt, sizeof salt);
    sodium_bin2hex(hex, sizeof hex, salt, sizeof salt);
    do {
        json_t *answer = NULL, *ask = json_pack("{s:s, s:s}", "cursor", cursor, "salt", hex);
        enum ctl_exit code =
            call_post_json(harvest->conf, harvest->qiao, "/admin/histories", ask, NULL, &answer);
        if (code) return code;
        const json_t *data = json_object_get(answer, "data");
        for (size_t i = 0; i < json_array_size(data); i++)
            take_history(harvest, json_array_get(data, i));
        harvest->withheld |= json_object_get(answer, "withheld") != NULL;
        const char *next = json_string_value(json_object_get(answer, "cursor"));
        snprintf(cursor, sizeof cursor, "%s", next ? next : "0");
        json_decref(answer);
        if (strcmp(cursor, "0") != 0)
            call_progress("histories", harvest->histories, harvest->histories + 1);
    } while (strcmp(cursor, "0") != 0);
    call_progress("histories", harvest->histories, harvest->histories);
    return CTL_GOOD;
}

// ---- what is written ---------------------------------------------------------------------------

/* A history without rare items; false: too short, nothing is written. */
static bool write_history(struct harvest *harvest, FILE *out, const json_t *history)
{
    const struct ctl_conf *conf = harvest->conf;
    const json_t *items = json_object_get(history, "items"),
                 *times = json_object_get(history, "times");
    json_t *kept_items = json_array(), *kept_times = json_array();
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        json_int_t time = json_integer_value(json_array_get(times, i));
        if (call_count(harvest->users_of, json_string_value(item)) < (long long)conf->least_users)
            continue;
        json_array_append(kept_items, item);
        json_array_append_new(kept_times,
                              json_integer(conf->exact_times ? time : time - time % DAY_MS));
    }
    size_t count = json_array_size(kept_items);
    bool good = count >= conf->least_events;
    json_t *line = json_pack("{s:I, s:o, s:o}", "user", (json_int_t)(good ? draw_user(harvest) : 0),
                             "items", kept_items, "times", kept_times);
    if (good) {
        json_dumpf(line, out, JSON_COMPACT);
        fputc('\n', out);
        harvest->events += (long long)count;
    }
    json_decref(line);
    return good;
}

static enum ctl_exit write_events(struct harvest *harvest, FILE *out)
{
    char *line = NULL;
    size_t capacity = 0;
    const char *name;
    json_t *users;
    rewind(harvest->spool);
    for (ssize_t size; (size = getline(&line, &capacity, harvest->spool)) > 0;) {
        json_t *history = json_loadb(line, (size_t)size, 0, NULL);
        if (write_history(harvest, out, history))
            harvest->kept++;
        else
            harvest->short_ones++;
        json_decref(history);
    }
    free(line); // getline's
    json_object_foreach(harvest->users_of, name, users) harvest->rare +=
        json_integer_value(users) < (json_int_t)harvest->conf->least_users;
    return ferror(harvest->spool) ? call_wrong("the spool", strerror(errno)) : CTL_GOOD;
}

static enum ctl_exit write_items(struct harvest *harvest, FILE *out)
{
    long long from = 0, changes = -1, count = 0;
    for (bool ended = false; !ended;) {
        json_t *answer = NULL, *ask = json_pack("{s:I}", "from", (json_int_t)from);
        enum ctl_exit code =
            call_post_json(harvest->conf, harvest->qiao, "/admin/catalogue", ask, NULL, &answer);
        if (code) return code;
        if (changes >= 0 && changes != call_count(answer, "changes") && from > 0) {
            json_decref(answer); // rows may be others' now
            if (fseek(out, 0, SEEK_SET) != 0 || ftruncate(fileno(out), 0) != 0)
                return call_wrong("items.ndjson", strerror(errno));
            from = count = 0;
            changes = -1;
            continue;
        }
        const json_t *data = json_object_get(answer, "data"),
                     *next = json_object_get(answer, "next");
        for (size_t i = 0; i < json_array_size(data); i++, count++) {
            json_dumpf(json_array_get(data, i), out, JSON_COMPACT);
            fputc('\n', out);
        }
        changes = call_count(answer, "changes");
        ended = !json_is_integer(next);
        from = json_integer_value(next);
        call_progress("items", count, ended ? count : call_count(answer, "count"));
        json_decref(answer);
    }
    harvest->items = count;
    return CTL_GOOD;
}

/* The file is there whole, or not at all. */
static enum ctl_exit write_file(struct harvest *harvest, const char *name,
                                enum ctl_exit (*write)(struct harvest *harvest, FILE *out))
{
    struct buf path = {0}, draft = {0};
    buf_addf(&path, "%s/%s", harvest->conf->out, name);
    buf_addf(&draft, "%s.part", buf_text(&path));
    FILE *out = fopen(buf_text(&draft), "w+e");
    enum ctl_exit code = out ? write(harvest, out) : call_wrong(buf_text(&draft), strerror(errno));
    if (out) {
        bool failed = ferror(out) != 0;
        failed |= fclose(out) != 0;
        if (!code && (failed || rename(buf_text(&draft), buf_text(&path)) != 0))
            code = call_wrong(buf_text(&path), strerror(errno));
        if (code) remove(buf_text(&draft));
    }
    buf_fini(&path);
    buf_fini(&draft);
    return code;
}

static void tell_end(const struct harvest *harvest)
{
    const struct ctl_conf *conf = harvest->conf;
    if (harvest->withheld)
        fprintf(stderr,
                "qiaoctl: events of regions whose data may not be used %s%s are left out: "
                "export each region by itself (--region)\n",
                *conf->region ? "in region " : "everywhere", conf->region);
    if (conf->json)
        call_print_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I}", "out", conf->out, "users", (json_int_t)harvest->kept,
            "short", (json_int_t)harvest->short_ones, "events", (json_int_t)harvest->events,
            "rare_items", (json_int_t)harvest->rare, "items", (json_int_t)harvest->items));
    else
        printf("%s: %lld users with %lld events, %lld items of the catalogue; left out: %lld items "
               "that fewer than %" PRIu64 " users had, %lld users with fewer than %" PRIu64
               " events\n",
               conf->out, harvest->kept, harvest->events, harvest->items, harvest->rare,
               conf->least_users, harvest->short_ones, conf->least_events);
}

enum ctl_exit ctl_export(const struct ctl_conf *conf, struct qiao *qiao)
{
    struct harvest harvest = {.conf = conf, .qiao = qiao};
    if (!*conf->out) return call_wrong("--out", "must name a directory"), CTL_USAGE;
    if (mkdir(conf->out, 0700) != 0 && errno != EEXIST)
        return call_wrong(conf->out, strerror(errno));
    umask(077); // what users did is nobody else's to read
    harvest.users_of = json_object();
    harvest.spool = tmpfile();
    enum ctl_exit code =
        harvest.spool ? take_histories(&harvest) : call_wrong("the spool", strerror(errno));
    if (!code) code = write_file(&harvest, "events.ndjson", write_events);
    if (!code) code = write_file(&harvest, "items.ndjson", write_items);
    if (!code) tell_end(&harvest);
    if (harvest.spool) fclose(harvest.spool);
    json_decref(harvest.users_of);
    mem_free(harvest.tags.slots);
    mem_free(harvest.users.slots);
    return code;
}
