#include "node/probe/peak.h"

#include "node/probe/peak_loops.h"

#include "kernels/team.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    RUN_MS = 60,
    RUNS = 5,
    READ_BYTES = 1 << 30,
    READ_STEP = 4096,
    WARM_ROUNDS = 1000
};

/* The ladder of loops; `usable` is asked once. `operations` of one round, two a product. */
struct way {
    enum peak_kind kind;
    const char *name;
    bool (*usable)(void);
    peak_loop *loop;
    double operations;
};

static _Thread_local volatile float scalar_sink;

void peak_scalar_f32(uint64_t rounds)
{
    float sums[4] = {1, 2, 3, 4};
    for (uint64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < 4; i++)
            sums[i] = sums[i] * 0.5F + 0.25F;
    }
    scalar_sink = sums[0] + sums[1] + sums[2] + sums[3];
}

void peak_scalar_read(const void *bytes, size_t size)
{
    const uint64_t *at = bytes;
    uint64_t sums[4] = {0};
    for (size_t i = 0; i < size / sizeof *at; i += 4) {
        for (size_t j = 0; j < 4; j++)
            sums[j] ^= at[i + j];
    }
    scalar_sink = (float)(sums[0] ^ sums[1] ^ sums[2] ^ sums[3]);
}

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

static bool has_vnni(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

static bool has_bf16(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
}

static bool has_amx_bf16(void)
{
    return peak_amx_usable() && peak_amx_has_bf16();
}

static peak_reader *best_reader(void)
{
    return has_avx512() ? peak_avx512_read : has_avx2() ? peak_avx2_read : peak_scalar_read;
}
#else
static peak_reader *best_reader(void)
{
    return peak_scalar_read;
}
#endif

static const struct way ways[] = {
    // clang-format off
    {PEAK_F32,  "scalar",      always,          peak_scalar_f32,  4 * 2},
#if defined(__x86_64__)
    {PEAK_F32,  "avx2",        has_avx2,        peak_avx2_f32,    PEAK_CHAINS * 8 * 2},
    {PEAK_F32,  "avx512",      has_avx512,      peak_avx512_f32,  PEAK_CHAINS * 16 * 2},
    {PEAK_BF16, "avx512-bf16", has_bf16,        peak_avx512_bf16, PEAK_CHAINS * 32 * 2},
    {PEAK_BF16, "amx-bf16",    has_amx_bf16,    peak_amx_bf16,    PEAK_TILES * 16 * 16 * 32 * 2},
    {PEAK_INT8, "avx2",        has_avx2,        peak_avx2_int8,   PEAK_CHAINS * 32 * 2},
    {PEAK_INT8, "avx512-vnni", has_vnni,        peak_avx512_int8, PEAK_CHAINS * 64 * 2},
    {PEAK_INT8, "amx-int8",    peak_amx_usable, peak_amx_int8,    PEAK_TILES * 16 * 16 * 64 * 2},
#endif
    // clang-format on
};

/* One job of the team: each part runs the loop, or reads its share of the buffer. */
struct job {
    peak_loop *loop;
    uint64_t rounds;
    peak_reader *reader;
    const char *bytes;
    size_t share;
};

static void run_part(void *argument, size_t part, size_t lane)
{
    const struct job *job = argument;
    (void)lane;
    if (job->loop)
        job->loop(job->rounds);
    else
        job->reader(job->bytes + part * job->share, job->share);
}

static double seconds_of(struct team *team, struct job *job)
{
    uint64_t start_ns = clock_now_ns();
    team_run(team, team_size(team), run_part, job);
    uint64_t spent_ns = clock_now_ns() - start_ns;
    return (double)(spent_ns ? spent_ns : 1) * 1e-9;
}

static void add_way(struct peaks *peaks, enum peak_kind kind, const char *name, double per_second)
{
    peaks->ways[peaks->way_count++] = (struct peak_way){kind, name, per_second};
    if (per_second > peaks->best[kind]) peaks->best[kind] = per_second;
}

static void measure_way(struct peaks *peaks, const struct way *way, struct team *team,
                        const struct peak_options *options)
{
    struct job job = {.loop = way->loop, .rounds = WARM_ROUNDS};
    while (seconds_of(team, &job) * 1000 < options->run_ms)
        job.rounds *= 2;
    double best = 0;
    for (uint32_t run = 0; run < options->runs; run++) {
        double operations = way->operations * (double)job.rounds * team_size(team);
        double per_second = operations / seconds_of(team, &job);
        if (per_second > best) best = per_second;
    }
    add_way(peaks, way->kind, way->name, best);
}

/* Pages get their memory when they are first written: by one thread, as a loader does. */
static enum err measure_read(struct peaks *peaks, struct team *team, bool huge,
                             const struct peak_options *options)
{
    size_t share = options->read_bytes / team_size(team) / READ_STEP * READ_STEP;
    size_t size = share * team_size(team);
    char *bytes = mem_map(size);
    if (!bytes)
        return err_note(ERR_NO_MEMORY, "machine: no buffer of %" PRIu64 " bytes", (uint64_t)size);
    if (!huge) madvise(bytes, size, MADV_NOHUGEPAGE);
    memset(bytes, 1, size);
    struct job job = {.reader = best_reader(), .bytes = bytes, .share = share};
    double best = 0;
    for (uint32_t run = 0; run < options->runs; run++) {
        double per_second = (double)size / seconds_of(team, &job);
        if (per_second > best) best = per_second;
    }
    mem_unmap(bytes, size);
    add_way(peaks, PEAK_READ, huge ? "huge pages" : "small pages", best);
    return ERR_OK;
}

static uint64_t buffer_size(void)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return memory / 8 < READ_BYTES ? memory / 8 : READ_BYTES;
}

enum err peak_measure(struct peaks *out, const struct peak_options *asked)
{
    struct peak_options options = *asked;
    if (!options.threads) options.threads = team_cores();
    if (!options.read_bytes) options.read_bytes = buffer_size();
    if (!options.run_ms) options.run_ms = RUN_MS;
    if (!options.runs) options.runs = RUNS;
    struct team *team;
    TRY(team_new(&team, options.threads));
    struct peaks peaks = {.threads = options.threads};
    enum err err = measure_read(&peaks, team, false, &options);
    if (!err) err = measure_read(&peaks, team, true, &options);
    for (size_t i = 0; i < sizeof ways / sizeof *ways && !err; i++)
        if (ways[i].usable()) measure_way(&peaks, &ways[i], team, &options);
    team_free(team);
    if (!err) *out = peaks;
    return err;
}

const char *peak_kind_name(enum peak_kind kind)
{
    static const char *const names[PEAK_KIND_COUNT] = {"read", "int8", "bf16", "float32"};
    return names[kind];
}
