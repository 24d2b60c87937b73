#include "scheduler/state/meter.h"

#include "scheduler/state/store.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/rand.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*      KEYS  the hash: "r<slot>" requests, "t<slot>" tokens, "d<hour>" tokens of a day's slot,
 *            "s<scheduler>" streams, ms until which they count, number of the latest call
 *      ARGV   1 scheduler, 2 number of the call, 3 ms of a minute's slot, 4 of a day's, 5 that streams count
 *             6 requests a minute, 7 tokens a minute, 8 tokens a day, 9 streams at once (0: no limit)
 *            10 what comes back: "slot:requests:tokens ..."
 *            11 streams that this scheduler has (-1: as it stands), 12 less so many
 *            13 to 21 least, most, want of requests, tokens, streams
 *      gives struct meter_answer, in its order
 *
 * What is not limited is not counted: should its rule get a limit, it begins with nothing spent. A call that overtook
 * a later one (Redis had forgotten the script, or moved the slot) may not say how many streams there are. */
static const char script_text[] =
    "local call, max, min, floor = redis.call, math.max, math.min, math.floor\n"
    "local t = call('TIME')\n"
    "local now = t[1] * 1000 + floor(t[2] / 1000)\n"
    "local function arg(i) return tonumber(ARGV[i]) end\n"
    "local function text(n) return string.format('%.0f', n) end\n"
    "local who, turn, none = 's' .. ARGV[1], arg(2), 2 ^ 52\n"
    "local size = {r = arg(3), t = arg(3), d = arg(4)}\n"
    "local count = {r = 30, t = 30, d = 24}\n"
    "local limit = {r = arg(6), t = arg(7), d = arg(8)}\n"
    "local slot, used, spent, changed, over = {}, {}, {}, {}, {}\n"
    "for kind in pairs(size) do slot[kind], used[kind] = floor(now / size[kind]), 0 end\n"
    "local mine, others, seen = 0, 0, 0\n"
    "local all = call('HGETALL', KEYS[1])\n"
    "for i = 1, #all, 2 do\n"
    "  local field, kind = all[i], all[i]:sub(1, 1)\n"
    "  if kind == 's' then\n"
    "    local n, till, last = all[i + 1]:match('^(%d+) (%d+) (%d+)$')\n"
    "    if tonumber(till) <= now then over[#over + 1] = field\n"
    "    elseif field == who then mine, seen = tonumber(n), tonumber(last)\n"
    "    else others = others + tonumber(n) end\n"
    "  elseif tonumber(field:sub(2)) < slot[kind] - count[kind] then over[#over + 1] = field\n"
    "  else spent[field] = tonumber(all[i + 1]) end\n"
    "end\n"
    "local function add(field, n)\n"
    "  spent[field] = max(0, (spent[field] or 0) + n)\n"
    "  changed[field] = true\n"
    "end\n"
    "local function at(kind, i) return spent[kind .. text(i)] or 0 end\n"
    "local function back(field, n) if spent[field] then add(field, -tonumber(n)) end end\n"
    "for i, requests, tokens in ARGV[10]:gmatch('(%d+):(%d+):(%d+)') do\n"
    "  back('r' .. i, requests)\n"
    "  back('t' .. i, tokens)\n"
    "  back('d' .. text(floor(tonumber(i) * size.t / size.d)), tokens)\n"
    "end\n"
    "for field, n in pairs(spent) do\n"
    "  local kind = field:sub(1, 1)\n"
    "  used[kind] = used[kind] + n\n"
    "end\n"
    "local left = {}\n"
    "for kind, most in pairs(limit) do\n"
    "  left[kind] = most == 0 and none or max(0, most - used[kind])\n"
    "end\n"
    "if arg(11) < 0 or turn < seen then mine = max(0, mine - arg(12))\n"
    "else mine = arg(11) end\n"
    "left.s = arg(9) == 0 and none or max(0, arg(9) - others - mine)\n"
    "local function grant(room, i)\n"
    "  if room < arg(i) then return nil end\n"
    "  return min(room, max(arg(i + 1), min(arg(i + 2), floor(room / 4))))\n"
    "end\n"
    "local requests, streams = grant(left.r, 13), grant(left.s, 19)\n"
    "local tokens = grant(min(left.t, left.d), 16)\n"
    "local verdict, wait = 0, 0\n"
    "local function refuse(code, ms) if ms > wait then verdict, wait = code, ms end end\n"
    "local function ends(kind, i) return (i + count[kind] + 1) * size[kind] - now end\n"
    "local function until_free(kind, lacking)\n"
    "  for i = slot[kind] - count[kind], slot[kind] do\n"
    "    lacking = lacking - at(kind, i)\n"
    "    if lacking <= 0 then return ends(kind, i) end\n"
    "  end\n"
    "  return (count[kind] + 1) * size[kind]\n"
    "end\n"
    "if not streams then refuse(4, 1000) end\n"
    "if not requests then refuse(1, until_free('r', arg(13) - left.r)) end\n"
    "if left.t < arg(16) then refuse(2, until_free('t', arg(16) - left.t)) end\n"
    "if left.d < arg(16) then refuse(3, until_free('d', arg(16) - left.d)) end\n"
    "if verdict == 0 then\n"
    "  for kind, n in pairs({r = requests, t = tokens, d = tokens}) do\n"
    "    if limit[kind] > 0 and n > 0 then add(kind .. text(slot[kind]), n) end\n"
    "    left[kind] = left[kind] - n\n"
    "  end\n"
    "  mine, left.s = mine + streams, left.s - streams\n"
    "else requests, tokens, streams = 0, 0, 0 end\n"
    "for field in pairs(changed) do\n"
    "  if spent[field] == 0 then over[#over + 1] = field\n"
    "  else call('HSET', KEYS[1], field, text(spent[field])) end\n"
    "end\n"
    "if mine > 0 and arg(9) > 0 then\n"
    "  local till = text(now + arg(5))\n"
    "  call('HSET', KEYS[1], who, text(mine) .. ' ' .. till .. ' ' .. text(max(turn, seen)))\n"
    "elseif seen > 0 then over[#over + 1] = who end\n"
    "if #over > 0 then call('HDEL', KEYS[1], unpack(over)) end\n"
    "local life = max(arg(5), (count.r + 2) * size.r)\n"
    "if limit.d + used.d > 0 then life = max(life, (count.d + 2) * size.d) end\n"
    "call('PEXPIRE', KEYS[1], text(life))\n"
    "local function reset(kind)\n"
    "  if limit[kind] == 0 then return 0 end\n"
    "  for i = slot[kind], slot[kind] - count[kind], -1 do\n"
    "    if at(kind, i) > 0 then return ends(kind, i) end\n"
    "  end\n"
    "  return 0\n"
    "end\n"
    "return {verdict, slot.t, (slot.t + 1) * size.t - now, requests, tokens, streams,\n"
    "        left.r, left.t, left.d, left.s, wait, reset('r'), reset('t'), reset('d')}\n";

enum {
    ANSWER_FIELDS = 14,
    NUMBER_SIZE = 24,
    SPANS = 3,
    WORDS = 1 + 12 + 3 * SPANS // the hash's name, then ARGV
};

struct meter {
    struct store *store;
    struct store_script *script;
    char who[17]; // this scheduler, in 16 hexadecimal digits
    uint64_t turn;
    uint32_t minute_slot_ms, day_slot_ms, stream_ms;
};

struct pending {
    meter_fn *done;
    void *argument;
};

struct meter *meter_new(struct store *store, uint32_t minute_ms, uint32_t day_ms,
                        uint32_t stream_ms)
{
    struct meter *meter = mem_new(1, sizeof *meter);
    meter->store = store;
    meter->script = store_add_script(store, script_text);
    meter->minute_slot_ms = minute_ms / METER_MINUTE_SLOTS;
    meter->day_slot_ms = day_ms / METER_DAY_SLOTS;
    meter->stream_ms = stream_ms;
    must(meter->minute_slot_ms > 0 && meter->day_slot_ms % meter->minute_slot_ms == 0);
    snprintf(meter->who, sizeof meter->who, "%016" PRIx64, rand_entropy());
    return meter;
}

void meter_free(struct meter *meter)
{
    mem_free(meter);
}

uint64_t meter_hour(const struct meter *meter, uint64_t slot)
{
    return slot / (meter->day_slot_ms / meter->minute_slot_ms);
}

static bool read_answer(struct meter_answer *out, const redisReply *reply)
{
    uint64_t values[ANSWER_FIELDS];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != ANSWER_FIELDS) return false;
    for (size_t i = 0; i < ANSWER_FIELDS; i++) {
        const redisReply *one = reply->element[i];
        if (one->type != REDIS_REPLY_INTEGER || one->integer < 0) return false;
        values[i] = (uint64_t)one->integer;
    }
    if (values[0] >= METER_VERDICTS) return false;
    *out = (struct meter_answer){.verdict = (enum meter_verdict)values[0],
                                 .slot = values[1],
                                 .slot_left_ms = (uint32_t)values[2],
                                 .requests = values[3],
                                 .tokens = values[4],
                                 .streams = values[5],
                                 .requests_left = values[6],
                                 .minute_left = values[7],
                                 .day_left = values[8],
                                 .streams_left = values[9],
                                 .wait_ms = (uint32_t)values[10],
                                 .requests_reset_ms = (uint32_t)values[11],
                                 .minute_reset_ms = (uint32_t)values[12],
                                 .day_reset_ms = (uint32_t)values[13]};
    return true;
}

static void on_reply(void *argument, enum err err, const redisReply *reply)
{
    struct pending pending = *(struct pending *)argument;
    struct meter_answer answer = {0};
    mem_free(argument);
    if (!err && !read_answer(&answer, reply))
        err = err_note(ERR_INTERNAL, "the limit's script gave an unknown answer");
    pending.done(pending.argument, err, &answer);
}

static void write_backs(struct buf *out, const struct meter_call *call)
{
    must(call->back_count <= METER_BACKS_MAX);
    for (size_t i = 0; i < call->back_count; i++)
        buf_addf(out, "%" PRIu64 ":%" PRIu64 ":%" PRIu64 " ", call->backs[i].slot,
                 call->backs[i].requests, call->backs[i].tokens);
}

void meter_call(struct meter *meter, const char *key, const struct meter_call *call, meter_fn *done,
                void *argument)
{
    const struct meter_span *spans[SPANS] = {&call->requests, &call->tokens, &call->streams};
    const uint64_t head[] = {++meter->turn,
                             meter->minute_slot_ms,
                             meter->day_slot_ms,
                             meter->stream_ms,
                             call->rule.requests_per_minute,
                             call->rule.tokens_per_minute,
                             call->rule.tokens_per_day,
                             call->rule.streams};
    char numbers[WORDS][NUMBER_SIZE];
    const char *words[WORDS] = {key, meter->who};
    size_t count = 2;
    struct buf backs = {0};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++, count++)
        snprintf(numbers[count], NUMBER_SIZE, "%" PRIu64, head[i]);
    write_backs(&backs, call);
    size_t backs_at = count++;
    snprintf(numbers[count++], NUMBER_SIZE, "%" PRId64, call->streams_held);
    snprintf(numbers[count++], NUMBER_SIZE, "%" PRIu32, call->streams_back);
    for (size_t i = 0; i < SPANS; i++) {
        snprintf(numbers[count++], NUMBER_SIZE, "%" PRIu64, spans[i]->least);
        snprintf(numbers[count++], NUMBER_SIZE, "%" PRIu64, spans[i]->most);
        snprintf(numbers[count++], NUMBER_SIZE, "%" PRIu64, spans[i]->want);
    }
    must(count == WORDS);
    for (size_t i = 2; i < WORDS; i++)
        words[i] = i == backs_at ? buf_text(&backs) : numbers[i];
    struct pending *pending = done ? mem_new(1, sizeof *pending) : NULL;
    if (done) *pending = (struct pending){done, argument};
    store_eval(meter->store, meter->script, done ? on_reply : NULL, pending, 1, WORDS, words, NULL);
    buf_fini(&backs);
}
