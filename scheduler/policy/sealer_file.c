/* A sealed file in the making: a draft, its number in Redis, its name, and the stream without its records. */
#include "scheduler/policy/audit.h"
#include "scheduler/policy/audit_files.h"
#include "scheduler/policy/sealer_parts.h"
#include "scheduler/scribe.h"
#include "scheduler/state/store.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SWEPT_MAX = 24,        // chains that one commit takes out of Redis
    COMMIT_WORDS_AHEAD = 8 // keys and arguments before them
};

#define DAY_MS INT64_C(86400000)

/*      KEYS  sealed, chains
 *      ARGV  the number that was seen, number, root, records, last, served, then chains, each with what was seen of it ("": whatever)
 *      gives 1: it is done; 0: another number is there */
const char sealer_commit_text[] =
    "local has = redis.call('HGET', KEYS[1], 'number') or '0'\n"
    "if has ~= ARGV[1] then return 0 end\n"
    "local time = redis.call('TIME')\n"
    "redis.call('HSET', KEYS[1], 'number', ARGV[2], 'root', ARGV[3], 'records', ARGV[4], "
    "'last', ARGV[5], 'served', ARGV[6], 'sealed', "
    "string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))\n"
    "for i = 7, #ARGV, 2 do\n"
    "    if ARGV[i + 1] == '' or redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[i + 1] then\n"
    "        redis.call('HDEL', KEYS[2], ARGV[i])\n"
    "    end\n"
    "end\n"
    "return 1\n";

// ---- the last steps: the file, and the stream --------------------------------------------------

/* One behind the entry, which is the oldest that stays. */
static void next_entry(char out[SEALER_ENTRY_SIZE + 4], const char *entry)
{
    char *end;
    unsigned long long time = strtoull(entry, &end, 10);
    unsigned long long number = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    snprintf(out, SEALER_ENTRY_SIZE + 4, "%llu-%llu", time, number + 1);
}

static void trim_stream(struct sealer *sealer)
{
    char entry[SEALER_ENTRY_SIZE + 4];
    if (!*sealer->run.last) return;
    next_entry(entry, sealer->run.last);
    const char *const words[] = {"XTRIM", AUDIT_RECORDS_KEY, "MINID", entry};
    store_command(sealer->options.store, NULL, NULL, 4, words, NULL);
}

static void note_seal(struct sealer *sealer)
{
    const struct ledger_seal *seal = &sealer->run.seal;
    char number[24], records[24], damaged[24], removed[24], root[LEDGER_HASH_TEXT_SIZE];
    snprintf(number, sizeof number, "%" PRIu64, seal->number);
    snprintf(records, sizeof records, "%" PRIu64, seal->records);
    snprintf(damaged, sizeof damaged, "%" PRIu64, seal->damaged);
    snprintf(removed, sizeof removed, "%zu", sealer->run.removed);
    ledger_hash_text(&seal->root, root);
    const struct audit_field fields[] = {{"file", number},
                                         {"root", root},
                                         {"records", records},
                                         {"damaged", damaged},
                                         {"removed", removed}};
    audit_note(sealer->options.audit, AUDIT_SEAL, fields, 5);
    log_info("audit_sealed", "file=%s records=%s damaged=%s removed=%s", number, records, damaged,
             removed);
}

static void work_settle(void *argument)
{
    struct sealer *sealer = argument;
    struct sealer_run *run = &sealer->run;
    const char *folder = sealer->options.folder;
    sealer_keep_err(sealer, audit_files_settle(folder, &run->seal));
    if (run->err || run->before_ms == 0) return;
    run->removed = audit_files_remove(folder, run->before_ms, run->seal.number);
}

static void on_settled(void *argument)
{
    struct sealer *sealer = argument;
    struct sealer_run *run = &sealer->run;
    if (!sealer_goes_on(sealer, run->err, run->note)) return;
    trim_stream(sealer);
    note_seal(sealer);
    ledger_seal_fini(&sealer->newest);
    sealer->newest = run->seal;
    sealer->rest_until_ns = 0; // seen as it is now, at once
    run->seal = (struct ledger_seal){0};
    sealer->failure[0] = '\0';
    sealer_end_run(sealer);
}

static void on_committed(void *argument, enum err err, const redisReply *reply)
{
    struct sealer *sealer = argument;
    struct sealer_run *run = &sealer->run;
    if (!sealer_goes_on(sealer, err, err ? err_text() : ""))
        return; // a draft that counts is found again
    sealer->knows_newest = false;
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1) {
        audit_files_drop(sealer->options.folder, &run->seal);
        sealer_fail(sealer, ERR_CONFLICT, "another scheduler has made a file meanwhile");
        return;
    }
    uint32_t days = sealer_days(sealer);
    run->before_ms = days > 0 ? run->facts.now_ms - days * DAY_MS : 0;
    sealer->knows_newest = sealer_submit(sealer, work_settle, on_settled);
}

// ---- the draft ---------------------------------------------------------------------------------

/* Chains that are over: their last words are in the file, or they never come. */
static size_t add_swept(const struct sealer_run *run, const char **words)
{
    size_t count = 0;
    for (size_t i = 0; i < run->lost_count && count < SWEPT_MAX; i++, count++) {
        words[2 * count] = run->lost[i].chain;
        words[2 * count + 1] = run->lost[i].seen;
    }
    for (size_t i = 0; i < run->seal.count && count < SWEPT_MAX; i++) {
        if (run->seal.heads[i].state != LEDGER_ENDED) continue;
        words[2 * count] = run->seal.heads[i].chain.id;
        words[2 * count++ + 1] = "";
    }
    return 2 * count;
}

static void commit(struct sealer *sealer)
{
    struct sealer_run *run = &sealer->run;
    const char *words[COMMIT_WORDS_AHEAD + 2 * SWEPT_MAX];
    char seen[24], number[24], records[24], served[24], root[LEDGER_HASH_TEXT_SIZE];
    snprintf(seen, sizeof seen, "%" PRIu64, run->facts.state.number);
    snprintf(number, sizeof number, "%" PRIu64, run->seal.number);
    snprintf(records, sizeof records, "%" PRIu64, run->seal.records);
    snprintf(served, sizeof served, "%" PRIu64, run->partial ? run->facts.served : run->facts.asks);
    const char *const ahead[COMMIT_WORDS_AHEAD] = {SEALER_KEY,
                                                   AUDIT_CHAINS_KEY,
                                                   seen,
                                                   number,
                                                   ledger_hash_text(&run->seal.root, root),
                                                   records,
                                                   *run->last ? run->last : run->facts.last,
                                                   served};
    memcpy(words, ahead, sizeof ahead);
    size_t count = COMMIT_WORDS_AHEAD + add_swept(run, words + COMMIT_WORDS_AHEAD);
    store_eval(sealer->options.store, sealer->commit, on_committed, sealer, 2, count, words, NULL);
}

static void work_draft(void *argument)
{
    struct sealer *sealer = argument;
    struct sealer_run *run = &sealer->run;
    struct buf file = {.limit = LEDGER_FILE_MAX};
    const char **lost = mem_new(run->lost_count + 1, sizeof *lost);
    for (size_t i = 0; i < run->lost_count; i++)
        lost[i] = run->lost[i].chain;
    const struct ledger_sealing sealing = {.before = &sealer->newest,
                                           .lines = buf_text(&run->lines),
                                           .size = run->lines.size,
                                           .lost = lost,
                                           .lost_count = run->lost_count,
                                           .key = sealer->options.key};
    enum err err = ledger_seal_write(&file, &run->seal, &sealing);
    if (!err) err = audit_files_draft(sealer->options.folder, &run->seal, file.data, file.size);
    sealer_keep_err(sealer, err);
    mem_free(lost);
    buf_fini(&file);
}

static void on_drafted(void *argument)
{
    struct sealer *sealer = argument;
    if (sealer_goes_on(sealer, sealer->run.err, sealer->run.note)) commit(sealer);
}

void sealer_make_file(struct sealer *sealer)
{
    (void)sealer_submit(sealer, work_draft, on_drafted);
}
