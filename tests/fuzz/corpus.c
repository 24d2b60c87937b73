/* A fuzzer's corpus as a plain test: `corpus DIRECTORY COUNT` runs every file of the directory
 * whole, cut short, and in COUNT seeded mutations, all of them through the same entry as
 * libFuzzer's. Each input is a block of exactly its size, so that ASan sees a read behind it. */
#include "base/buf.h"
#include "base/must.h"
#include "base/rand.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILES_MAX = 256,
    INPUT_MAX = 1 << 20,
    CUTS = 64,
    EDITS_MAX = 6
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf files[FILES_MAX];
static size_t file_count;

static void run(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); // not a buf, which keeps a NUL behind its bytes
    must(copy);
    if (size) memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* In the order of their names: the run is the same everywhere. */
static void read_files(const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, by_name);
    if (count < 0) {
        perror(directory);
        exit(1);
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        FILE *file = entries[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
        free(entries[i]);
        if (!file) continue;
        must(file_count < FILES_MAX);
        void *room = buf_grow(&files[file_count], INPUT_MAX);
        size_t size = fread(room, 1, INPUT_MAX, file);
        files[file_count++].size = size;
        fclose(file);
    }
    free(entries);
}

/* One change such as a broken disk, a bad program or a clever person makes. */
static void edit(struct buf *input, struct rand *rand)
{
    static const uint64_t extremes[] = {0,          1,          0x7F,          0x80,
                                        0xFF,       0xFFFF,     INT32_MAX,     INT64_MAX,
                                        UINT32_MAX, UINT64_MAX, INT64_MIN,     1 << 24,
                                        1 << 16,    65537,      (1 << 24) + 1, UINT64_MAX - 31};
    if (input->size < 16) return;
    size_t at = (size_t)rand_below(rand, input->size - 8);
    size_t size = 1 + (size_t)rand_below(rand, 64);
    uint64_t value;
    switch (rand_below(rand, 6)) {
    case 0: input->data[at] = (char)rand_next(rand); break;
    case 1: input->data[at] ^= (char)(1 << rand_below(rand, 8)); break;
    case 2: // a count, a length or an offset that is extreme
        value = extremes[rand_below(rand, sizeof extremes / sizeof *extremes)];
        memcpy(input->data + at, &value, rand_below(rand, 2) ? 4 : 8);
        break;
    case 3: // one that is a little off
        memcpy(&value, input->data + at, sizeof value);
        value += rand_below(rand, 17) - 8;
        memcpy(input->data + at, &value, sizeof value);
        break;
    case 4: // a piece goes missing
        if (size > input->size - at) size = input->size - at;
        memmove(input->data + at, input->data + at + size, input->size - at - size);
        input->size -= size;
        break;
    default: { // a piece of another file
        const struct buf *other = &files[rand_below(rand, file_count)];
        if (other->size <= size || input->size - at < size) break;
        memcpy(input->data + at, other->data + rand_below(rand, other->size - size), size);
        break;
    }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s DIRECTORY COUNT\n", argv[0]);
        return 2;
    }
    read_files(argv[1]);
    if (file_count == 0) {
        fprintf(stderr, "%s: there is no corpus\n", argv[1]);
        return 1;
    }
    uint64_t runs = 0, count = strtoull(argv[2], NULL, 10);
    for (size_t i = 0; i < file_count; i++) {
        for (size_t cut = 0; cut <= CUTS; cut++, runs++)
            run(files[i].data, files[i].size * cut / CUTS);
    }
    struct rand rand;
    rand_init(&rand, 42);
    struct buf input = {0};
    for (uint64_t i = 0; i < count; i++, runs++) {
        const struct buf *file = &files[i % file_count];
        buf_clear(&input);
        buf_add(&input, file->data, file->size);
        for (uint64_t edits = 1 + rand_below(&rand, EDITS_MAX); edits > 0; edits--)
            edit(&input, &rand);
        run(input.data, input.size);
    }
    buf_fini(&input);
    for (size_t i = 0; i < file_count; i++)
        buf_fini(&files[i]);
    printf("%zu files, %llu runs\n", file_count, (unsigned long long)runs);
    return 0;
}
