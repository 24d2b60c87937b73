#include "tests/kernels/check.h"

#include "kernels/cpu.h"
#include "kernels/pack.h"
#include "kernels/quant.h"
#include "kernels/select.h"

#include "base/clock.h"
#include "base/gguf.h"
#include "base/must.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PAGE = 4096,
    SLACK = 0xA5,
    REPORTS_MAX = 5 // failures of one kernel that are told in full
};

static const struct check_entry *const lists[] = {check_gemms, check_rows, check_attentions,
                                                   check_scans};

void *check_memory(struct check *check, size_t size, size_t align)
{
    must(check->buffer_count < CHECK_BUFFERS_MAX);
    struct check_buffer *buffer = &check->buffers[check->buffer_count++];
    size_t inner = (size + align + PAGE - 1) / PAGE * PAGE;
    buffer->map_size = inner + 2 * PAGE;
    buffer->map = mmap(NULL, buffer->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(buffer->map != MAP_FAILED);
    must(mprotect(buffer->map + PAGE, inner, PROT_READ | PROT_WRITE) == 0);
    memset(buffer->map + PAGE, SLACK, inner);
    uintptr_t end = (uintptr_t)buffer->map + PAGE + inner;
    buffer->bytes = buffer->map + ((end - size) / align * align - (uintptr_t)buffer->map);
    buffer->size = size;
    memset(buffer->bytes, 0, size);
    return buffer->bytes;
}

static bool slack_is_whole(const struct check_buffer *buffer)
{
    const unsigned char *end = buffer->map + buffer->map_size - PAGE;
    for (const unsigned char *at = buffer->map + PAGE; at < buffer->bytes; at++)
        if (*at != SLACK) return false;
    for (const unsigned char *at = buffer->bytes + buffer->size; at < end; at++)
        if (*at != SLACK) return false;
    return true;
}

void check_release(struct check *check)
{
    for (size_t i = 0; i < check->buffer_count; i++) {
        struct check_buffer *buffer = &check->buffers[i];
        if (!slack_is_whole(buffer)) {
            check->failures++;
            printf("FAIL %s: wrote outside of a buffer of %zu bytes\n", check->kernel,
                   buffer->size);
        }
        munmap(buffer->map, buffer->map_size);
    }
    check->buffer_count = 0;
}

size_t check_below(struct check *check, size_t bound)
{
    return (size_t)rand_below(&check->rand, bound);
}

const char *check_recipe_name(enum check_recipe recipe)
{
    static const char *const names[] = {"plain", "wide", "denormal", "zero", "peak", "broken"};
    return names[recipe];
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float plain(struct check *check)
{
    return (float)(rand_unit(rand_next(&check->rand)) * 4 - 2);
}

float check_float(struct check *check, enum check_recipe recipe)
{
    uint32_t bits = (uint32_t)rand_next(&check->rand);
    switch (recipe) {
    case CHECK_PLAIN: return plain(check);
    case CHECK_WIDE: {
        float value = float_of(bits);
        return isfinite(value) ? value : plain(check);
    }
    case CHECK_DENORMAL: return float_of(bits & ((bits >> 30 & 1) ? 0x807FFFFF : 0x800000FF));
    case CHECK_PEAK: return bits & 1 ? 127.0f : -127.0f;
    case CHECK_BROKEN: {
        static const float broken[] = {NAN, INFINITY, -INFINITY};
        return bits % 37 < 3 ? broken[bits % 37] : plain(check);
    }
    case CHECK_ZERO:
    default: return bits & 1 ? 0.0f : -0.0f;
    }
}

float *check_floats(struct check *check, size_t count, enum check_recipe recipe)
{
    float *out = check_memory(check, count * sizeof *out, sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = check_float(check, recipe);
    return out;
}

static void report(struct check *check, const char *where, const char *format, va_list arguments)
{
    if (check->failures++ >= REPORTS_MAX) return;
    printf("FAIL %s on %s: ", check->kernel, check->got->name);
    vprintf(format, arguments);
    printf(": %s (replay: --kernel %s --seed %llu)\n", where, check->kernel,
           (unsigned long long)check->seed);
}

void check_same_floats(struct check *check, const float *want, const float *got, size_t count,
                       const char *format, ...)
{
    check->cases++;
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&want[i], &got[i], sizeof *want) == 0) continue;
        if (isnan(want[i]) && isnan(got[i])) continue;
        char where[128];
        snprintf(where, sizeof where, "at %zu want %a got %a", i, (double)want[i], (double)got[i]);
        va_list arguments;
        va_start(arguments, format);
        report(check, where, format, arguments);
        va_end(arguments);
        return;
    }
}

void check_same_bytes(struct check *check, const void *want, const void *got, size_t size,
                      const char *format, ...)
{
    check->cases++;
    const unsigned char *a = want;
    const unsigned char *b = got;
    for (size_t i = 0; i < size; i++) {
        if (a[i] == b[i]) continue;
        char where[128];
        snprintf(where, sizeof where, "byte %zu want %02x got %02x", i, a[i], b[i]);
        va_list arguments;
        va_start(arguments, format);
        report(check, where, format, arguments);
        va_end(arguments);
        return;
    }
}

/* Where the f16 scales of a block lie; the second of K types and of _1 types is the min's. */
static size_t scale_offset(uint32_t type, size_t index)
{
    bool has_min = type == GGUF_TENSOR_Q4_1 || type == GGUF_TENSOR_Q5_1 ||
                   type == GGUF_TENSOR_Q4_K || type == GGUF_TENSOR_Q5_K;
    if (type == GGUF_TENSOR_Q6_K) return 208;
    return has_min ? 2 * index : 0;
}

static void put_scale(struct check *check, unsigned char *at, bool peak)
{
    uint16_t scale = (uint16_t)(0x1800 + check_below(check, 0x2000));
    size_t chance = check_below(check, 16);
    if (chance == 0) scale = (uint16_t)check_below(check, 0x400); // denormal or zero
    if (chance == 1) scale |= 0x8000;
    if (chance == 2 && peak) scale = 0x7BFF; // the largest
    at[0] = (unsigned char)(scale & 255);
    at[1] = (unsigned char)(scale >> 8);
}

/* A block of any bytes (values that our quantiser never makes, too) with scales of any finite f16. At the peak all
 * codes are the lowest or the highest, and Q6_K's scales -128. */
static void draw_block(struct check *check, uint32_t type, unsigned char *block, size_t size,
                       bool peak)
{
    unsigned char same = check_below(check, 2) ? 0xFF : 0x00;
    if (type == GGUF_TENSOR_Q8_0) same = 0x80;
    for (size_t i = 0; i < size; i++)
        block[i] = peak ? same : (unsigned char)check_below(check, 256);
    if (type == GGUF_TENSOR_Q6_K && peak) memset(block + 192, 0x80, 16);
    put_scale(check, block + scale_offset(type, 0), peak);
    if (scale_offset(type, 1) != scale_offset(type, 0))
        put_scale(check, block + scale_offset(type, 1), peak);
}

static bool is_float(uint32_t type)
{
    return type == GGUF_TENSOR_F32 || type == GGUF_TENSOR_F16 || type == GGUF_TENSOR_BF16;
}

static void draw_value(struct check *check, uint32_t type, unsigned char *at, bool peak)
{
    float value = check_float(check, peak ? CHECK_PEAK : CHECK_PLAIN);
    bool small = !peak && check_below(check, 8) == 0;
    if (type == GGUF_TENSOR_F32) {
        memcpy(at, &value, sizeof value);
        return;
    }
    uint16_t half = quant_f32_to_f16(value);
    if (type == GGUF_TENSOR_BF16) half = quant_f32_to_bf16(value);
    if (small) // denormal f16; bf16 from denormal to where products leave the normal range
        half = (uint16_t)check_below(check, type == GGUF_TENSOR_BF16 ? 0x2000 : 0x400);
    memcpy(at, &half, sizeof half);
}

struct packed *check_packed(struct check *check, uint32_t type, size_t rows, size_t cols, bool peak)
{
    size_t row_size = quant_row_size(type, cols);
    unsigned char *source = check_memory(check, rows * row_size, 1);
    size_t step = 1; // columns of a block
    if (!is_float(type))
        step = quant_check(type, QUANT_BLOCK) == ERR_OK ? QUANT_BLOCK : QUANT_SUPER;
    size_t size = row_size / (cols / step);
    for (size_t i = 0; i < rows * (cols / step); i++) {
        if (is_float(type))
            draw_value(check, type, source + i * size, peak);
        else
            draw_block(check, type, source + i * size, size, peak);
    }
    enum packed_kind kind = packed_kind_of(type, FLOAT_GEMM_EXACT);
    struct packed *packed = check_memory(check, sizeof *packed, 64);
    packed_init(packed, kind, rows, cols,
                check_memory(check, packed_size(kind, rows, cols), PACK_ALIGN));
    pack_rows(packed, type, source, 0, packed_tiles(packed));
    return packed;
}

static bool wanted(const struct check_entry *entry, const char *kernel)
{
    return !kernel || strncmp(entry->kernel, kernel, strlen(kernel)) == 0;
}

static size_t run_rung(const struct cpu_rung *rung, const char *kernel, uint64_t seed)
{
    struct ops scalar;
    struct ops column;
    ops_select(&scalar, 0);
    ops_select(&column, rung->features);
    size_t cases = 0;
    size_t failures = 0;
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
        for (const struct check_entry *entry = lists[l]; entry->kernel; entry++) {
            if (!entry->check || !wanted(entry, kernel)) continue;
            static struct check check;
            check = (struct check){
                .want = &scalar, .got = &column, .kernel = entry->kernel, .seed = seed};
            rand_init(&check.rand, seed);
            entry->check(&check);
            check_release(&check);
            cases += check.cases;
            failures += check.failures;
        }
    }
    printf("%s: %zu cases, %zu failures\n", rung->name, cases, failures);
    return failures + (cases == 0);
}

size_t check_run(const char *rung, const char *kernel, uint64_t seed)
{
    size_t failures = 0;
    size_t ran = 0;
    printf("seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < cpu_rung_count(); i++) {
        const struct cpu_rung *candidate = cpu_rung_at(i);
        if (rung && strcmp(rung, candidate->name) != 0) continue;
        if (!candidate->built) {
            printf("%s: not in this build\n", candidate->name);
        } else if (!cpu_rung_usable(candidate)) {
            printf("%s: NOT CHECKED, this machine does not have it\n", candidate->name);
        } else {
            failures += run_rung(candidate, kernel, seed);
        }
        ran++;
    }
    return failures + (ran == 0);
}

void check_time(struct check_bench *bench, const char *shape, void (*call)(void *argument),
                void *argument, double bytes, double operations)
{
    call(argument);
    uint64_t best = UINT64_MAX;
    uint64_t began = clock_now_ns();
    for (size_t rounds = 0; rounds < 5 || clock_now_ns() - began < CLOCK_SECOND / 2; rounds++) {
        size_t repeats = 1;
        uint64_t start = clock_now_ns();
        call(argument);
        while (clock_now_ns() - start < CLOCK_MS)
            call(argument), repeats++;
        uint64_t taken = (clock_now_ns() - start) / repeats;
        if (taken < best) best = taken;
    }
    double ns = best > 0 ? (double)best : 1;
    printf("%-16s %-10s %-34s %12.2f us", bench->check.kernel, bench->rung, shape, ns / 1000);
    if (bytes > 0) printf(" %8.2f GB/s", bytes / ns);
    if (operations > 0) printf(" %9.2f GOP/s", operations / ns);
    printf("\n");
    fflush(stdout);
}

void check_run_bench(const char *rung, const char *kernel, size_t threads)
{
    struct ops scalar;
    struct ops column;
    ops_select(&scalar, 0);
    for (size_t i = 0; i < cpu_rung_count(); i++) {
        const struct cpu_rung *candidate = cpu_rung_at(i);
        if (!cpu_rung_usable(candidate)) continue;
        // The specification is not made to be fast: it is timed when asked for by name.
        if (rung ? strcmp(rung, candidate->name) != 0 : candidate->features == 0) continue;
        ops_select(&column, candidate->features);
        for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
            for (const struct check_entry *entry = lists[l]; entry->kernel; entry++) {
                if (!entry->bench || !wanted(entry, kernel)) continue;
                static struct check_bench bench;
                bench = (struct check_bench){.rung = candidate->name, .threads = threads};
                bench.check.want = &scalar;
                bench.check.got = &column;
                bench.check.kernel = entry->kernel;
                rand_init(&bench.check.rand, 1);
                entry->bench(&bench);
                check_release(&bench.check);
            }
        }
    }
}
