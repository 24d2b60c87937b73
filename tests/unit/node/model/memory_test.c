/* What a model costs in memory: never more than its packed form and a little. The process measures itself by the
 * kernel's own account (/proc/self/status): RssAnon, RssFile and VmHWM, the peak of their sum. */
#include "node/engine/kv.h"
#include "node/probe/decoder.h"
#include "tests/support/tiny_model.h"
#include "tests/test.h"

#include "kernels/team.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/gguf.h"
#include "base/mem.h"
#include "base/must.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A vocabulary of a real size, so that the embedding is most of the file, as it is of a small model's. */
enum {
    VOCAB = 151936,
    DIM = 768,
    HEADS = 12,
    FFN = 1024,
    LAYERS = 4,
    BLOCK_SIZE = 34,
    SEQUENCES = 16,
    ROWS = 256,
    CONTEXT = 512
};

/* A model's memory may be 1.15 times its file and this. */
#define SLACK (UINT64_C(64) << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitised = true;
#else
static const bool sanitised = false;
#endif

static void add_matrix(struct gguf_writer *writer, const char *name, uint64_t cols, uint64_t rows)
{
    uint64_t dims[2] = {cols, rows};
    size_t size = (size_t)(cols * rows / 32 * BLOCK_SIZE);
    unsigned char *bytes = mem_new(size, 1);
    for (size_t at = 0; at < size; at += BLOCK_SIZE) {
        bytes[at + 1] = 0x10; // a scale of 2^-11
        for (size_t i = 2; i < BLOCK_SIZE; i++)
            bytes[at + i] = (unsigned char)((at / BLOCK_SIZE * 37 + i * 11) % 251);
    }
    gguf_write_tensor(writer, name, GGUF_TENSOR_Q8_0, dims, 2, bytes, size);
    mem_free(bytes);
}

static void add_ones(struct gguf_writer *writer, const char *name, uint64_t size)
{
    float *values = mem_new(size, sizeof *values);
    for (size_t i = 0; i < size; i++)
        values[i] = 1;
    gguf_write_tensor(writer, name, GGUF_TENSOR_F32, &size, 1, values, size * sizeof *values);
    mem_free(values);
}

static void add_layer(struct gguf_writer *writer, unsigned layer)
{
    static const struct {
        const char *name;
        uint64_t cols, rows;
    } tensors[] = {
        {"attn_norm.weight", DIM, 0},     {"attn_q.weight", DIM, DIM},
        {"attn_k.weight", DIM, DIM / 6},  {"attn_v.weight", DIM, DIM / 6},
        {"attn_output.weight", DIM, DIM}, {"ffn_norm.weight", DIM, 0},
        {"ffn_gate.weight", DIM, FFN},    {"ffn_up.weight", DIM, FFN},
        {"ffn_down.weight", FFN, DIM},
    };

    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.%s", layer, tensors[i].name);
        if (tensors[i].rows > 0)
            add_matrix(writer, name, tensors[i].cols, tensors[i].rows);
        else
            add_ones(writer, name, tensors[i].cols);
    }
}

static void write_model(const char *path)
{
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "llama");
    gguf_write_u32(writer, "llama.context_length", CONTEXT);
    gguf_write_u32(writer, "llama.embedding_length", DIM);
    gguf_write_u32(writer, "llama.block_count", LAYERS);
    gguf_write_u32(writer, "llama.feed_forward_length", FFN);
    gguf_write_u32(writer, "llama.attention.head_count", HEADS);
    gguf_write_u32(writer, "llama.attention.head_count_kv", HEADS / 6);
    gguf_write_f32(writer, "llama.attention.layer_norm_rms_epsilon", 1e-6F);
    add_matrix(writer, "token_embd.weight", DIM, VOCAB);
    add_ones(writer, "output_norm.weight", DIM);
    for (unsigned layer = 0; layer < LAYERS; layer++)
        add_layer(writer, layer);
    struct buf image = {0};
    gguf_writer_finish(writer, &image);
    gguf_writer_free(writer);
    FILE *file = fopen(path, "wb");
    must(file && fwrite(image.data, 1, image.size, file) == image.size && fclose(file) == 0);
    buf_fini(&image);
}

/* Another process writes the file, so that its making is not in this one's account. */
static void given_large_model(char path[TINY_MODEL_PATH_MAX])
{
    tiny_model_file_bytes(path, "", 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_model(path);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A field of /proc/self/status in bytes; it is written in kB. */
static uint64_t account(const char *field)
{
    char line[256];
    uint64_t kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        size_t size = strlen(field);
        if (strncmp(line, field, size) == 0 && line[size] == ':')
            kilobytes = strtoull(line + size + 1, NULL, 10);
    }
    fclose(file);
    assert_true(kilobytes > 0);
    return kilobytes << 10;
}

static void forget_peak(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY);
    if (file < 0) return; // then the peak is the process's whole life's: a harder test
    (void)!write(file, "5", 1);
    close(file);
}

/* A full chunk of prefill, then a token of every sequence with its logits. */
static void run_steps(struct decoder *d)
{
    static int32_t ids[ROWS];
    struct kv_table tables[SEQUENCES];
    struct forward_slice slices[SEQUENCES];
    for (int i = 0; i < ROWS; i++)
        ids[i] = i * 500;
    for (size_t i = 0; i < SEQUENCES; i++)
        kv_table_init(&tables[i], CONTEXT);
    assert_int_equal(decoder_extend(d, &tables[0], ids, ROWS, 0), ERR_OK);
    for (size_t i = 0; i < SEQUENCES; i++) {
        slices[i] = (struct forward_slice){&ids[i], 1, tables[i].token_count, &tables[i], 1, false};
        assert_int_equal(kv_extend(d->pool, &tables[i], 1), ERR_OK);
    }
    forward_step(d->forward, slices, SEQUENCES);
    for (size_t i = 0; i < SEQUENCES; i++)
        kv_table_fini(d->pool, &tables[i]);
}

struct told {
    uint64_t done, total, times;
};

static struct told told;

static void take_progress(void *argument, uint64_t done, uint64_t total)
{
    (void)argument;
    assert_true(done >= told.done && done <= total);
    told = (struct told){done, total, told.times + 1};
}

static void a_model_is_resident_once_at_its_peak_and_after(void **state)
{
    (void)state;
    if (sanitised) {
        print_message("skipped: a sanitizer's shadow is in the account\n");
        skip();
    }
    char path[TINY_MODEL_PATH_MAX];
    given_large_model(path);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    uint64_t bound = (uint64_t)status.st_size / 100 * 115 + SLACK;

    forget_peak();
    struct decoder_options options = {.model = path,
                                      .threads = 2,
                                      .rows_max = ROWS,
                                      .sequences_max = SEQUENCES,
                                      .progress = take_progress};
    struct decoder *decoder;
    assert_int_equal(decoder_new(&decoder, &options), ERR_OK);
    run_steps(
        decoder); // the arena's blocks that this fills are in the account: the bound is a harder one
    uint64_t now = account("RssAnon") + account("RssFile");
    uint64_t peak = account("VmHWM");
    print_message("file %.1f MiB, resident %.1f, peak %.1f, bound %.1f\n",
                  (double)status.st_size / 0x1p20, (double)now / 0x1p20, (double)peak / 0x1p20,
                  (double)bound / 0x1p20);
    assert_true(now <= bound);
    assert_true(peak <= bound);
    assert_true(told.times > 10 && told.done == (uint64_t)status.st_size);
    decoder_free(decoder);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_resident_once_at_its_peak_and_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
