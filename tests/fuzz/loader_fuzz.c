/* Any bytes as the head of a GGUF file of an encoder or a recommender, with enough numbers behind it. What loads is asked once: each
 * answer is finite, or says that it is not. Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "node/model/bert.h"
#include "node/model/sasrec.h"

#include "kernels/cpu.h"
#include "kernels/ops.h"
#include "kernels/select.h"
#include "kernels/team.h"

#include "base/must.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    NUMBERS_SIZE = 256 << 10, // bytes behind the head
    WORK_MAX = 1 << 16        // context × width of what is asked
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ops ops;
static struct team *team;

static void ask_bert(const char *path)
{
    struct bert *bert;
    struct bert_run *run;
    struct bert_options options = {.ops = &ops, .team = team, .context_max = 64};
    if (bert_load(&bert, path, &options)) return;
    const struct bert_shape *shape = bert_shape(bert);
    const int32_t ids[2] = {0, (int32_t)shape->vocab_size - 1};
    const struct bert_text text = {
        .ids = ids, .count = shape->context_length > 1 ? 2 : 1, .scores = shape->scores};
    const struct bert_limits limits = {.rows_max = 64, .texts_max = 1};
    if (bert_run_new(&run, bert, team, &limits) == ERR_OK) {
        bert_step(run, &text, 1);
        (void)isfinite((double)bert_answer(run, 0)[0]);
        bert_run_free(run);
    }
    bert_free(bert);
}

static void ask_sasrec(const char *path)
{
    struct sasrec *model;
    struct sasrec_runner *runner;
    if (sasrec_load(&model, path, &ops, team)) return;
    const struct sasrec_shape *shape = sasrec_shape(model);
    const int32_t ids[2] = {0, (int32_t)shape->item_count - 1};
    struct sasrec_request request = {.ids = ids,
                                     .id_count = 2,
                                     .query = {.row_end = shape->item_count, .top_count = 4},
                                     .explain = true};
    const struct sasrec_limits limits = {.requests_max = 1, .top_max = 4, .ids_max = 8};
    bool is_small = (uint64_t)shape->context_length * (shape->dim + shape->ffn_dim) <= WORK_MAX;
    if (is_small && sasrec_runner_new(&runner, model, team, &limits) == ERR_OK) {
        sasrec_run(runner, &request, 1);
        const struct sasrec_answer *answer = sasrec_answer(runner, 0);
        must(answer->broken ? answer->hit_count == 0 : answer->hit_count <= 4);
        for (uint32_t i = 0; i < answer->hit_count; i++)
            must(answer->hits[i].row >= 0 && (uint32_t)answer->hits[i].row < shape->item_count);
        sasrec_runner_free(runner);
    }
    sasrec_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char numbers[NUMBERS_SIZE];
    static int file = -1;
    char path[64];
    if (file < 0) {
        ops_select(&ops, cpu_features());
        must(team_new(&team, 1) == ERR_OK);
        memset(numbers, 0x3D,
               sizeof numbers); // 0.0462 as floats, and a scale that is no infinity as halves
        file = memfd_create("loader", MFD_CLOEXEC);
        must(file >= 0);
    }
    must(ftruncate(file, (off_t)(size + sizeof numbers)) == 0);
    must(pwrite(file, data, size, 0) == (ssize_t)size);
    must(pwrite(file, numbers, sizeof numbers, (off_t)size) == (ssize_t)sizeof numbers);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    ask_bert(path);
    if (sasrec_is(path)) ask_sasrec(path);
    return 0;
}
