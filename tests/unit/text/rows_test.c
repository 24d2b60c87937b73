#include "tests/test.h"

#include "text/pack.h"
#include "text/rows.h"

#include "base/buf.h"
#include "base/gguf.h"

#include <stdint.h>
#include <string.h>

/* A recommender's pack with `count` ids; NULL: none. */
static void given_pack(struct buf *out, const char *const *ids, const size_t *sizes, size_t count)
{
    struct gguf_writer *writer = gguf_writer_new();
    gguf_write_string(writer, "general.architecture", "sasrec");
    gguf_write_string(writer, "general.name", "shop");
    gguf_write_u32(writer, "sasrec.context_length", 50);
    if (ids) gguf_write_strings(writer, "sasrec.item_ids", ids, sizes, count);
    gguf_writer_finish(writer, out);
    gguf_writer_free(writer);
}

static enum err when_opened(struct text_pack **pack, const char *const *ids, size_t count)
{
    struct buf bytes = {0};
    size_t sizes[8];
    for (size_t i = 0; i < count; i++)
        sizes[i] = strlen(ids[i]);
    given_pack(&bytes, ids, sizes, count);
    enum err err = text_pack_open(pack, bytes.data, bytes.size);
    buf_fini(&bytes);
    return err;
}

static void a_recommenders_pack_names_its_rows(void **state)
{
    (void)state;
    static const char *const ids[] = {"", "mate-60", "手机", "p70"};
    struct text_pack *pack;
    char number[ROWS_NUMBER_SIZE];
    size_t size;
    assert_int_equal(when_opened(&pack, ids, 4), ERR_OK);
    assert_null(pack->tokenizer);
    assert_non_null(pack->rows);
    assert_int_equal(rows_find(pack->rows, "mate-60", 7, 4), 1);
    assert_int_equal(rows_find(pack->rows, "手机", strlen("手机"), 4), 2);
    assert_int_equal(rows_find(pack->rows, "p70", 3, 3), ROWS_NONE); // beyond what the node has
    assert_int_equal(rows_find(pack->rows, "2", 1, 4), ROWS_NONE);
    assert_int_equal(rows_find(pack->rows, "", 0, 4), ROWS_NONE);
    const char *id = rows_id(pack->rows, 2, number, &size);
    assert_int_equal(size, strlen("手机"));
    assert_memory_equal(id, "手机", size);
    text_pack_close(pack);
}

static void rows_without_names_are_their_numbers(void **state)
{
    (void)state;
    struct text_pack *pack;
    char number[ROWS_NUMBER_SIZE];
    size_t size;
    assert_int_equal(when_opened(&pack, NULL, 0), ERR_OK);
    assert_null(pack->rows);
    assert_int_equal(rows_find(NULL, "12102", 5, 12103), 12102);
    static const char *const wrong[] = {"12103", "-1", "007", "1x", "", "99999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(rows_find(NULL, wrong[i], strlen(wrong[i]), 12103), ROWS_NONE);
    assert_string_equal(rows_id(NULL, 77, number, &size), "77");
    assert_int_equal(size, 2);
    text_pack_close(pack);
}

static void wrong_names_are_said(void **state)
{
    (void)state;
    struct text_pack *pack;
    static const char *const twice[] = {"", "a", "b", "a"};
    assert_int_equal(when_opened(&pack, twice, 4), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "sasrec.item_ids[3] stands there twice"));
    static const char *const empty[] = {"", "a", ""};
    assert_int_equal(when_opened(&pack, empty, 3), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "sasrec.item_ids[2] must be 1 to 128 bytes"));
    static const char *const control[] = {"", "a\nb"};
    assert_int_equal(when_opened(&pack, control, 2), ERR_FORMAT);
    assert_non_null(strstr(err_text(), "control character"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recommenders_pack_names_its_rows),
        cmocka_unit_test(rows_without_names_are_their_numbers),
        cmocka_unit_test(wrong_names_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
