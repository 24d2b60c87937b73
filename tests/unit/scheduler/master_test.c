#include "scheduler/master.h"
#include "tests/test.h"

#include <string.h>
#include <sys/stat.h>

static void a_missing_key_is_made_for_its_owner_alone_and_read_again(void **state)
{
    (void)state;
    unsigned char first[SESSION_KEY_SIZE], again[SESSION_KEY_SIZE];
    struct stat status;
    char path[] = "/tmp/qiao-master-XXXXXX";
    close(mkstemp(path));
    unlink(path);
    assert_int_equal(master_read(first, path), ERR_OK);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_size, SESSION_KEY_SIZE);
    assert_int_equal(master_read(again, path), ERR_OK);
    assert_memory_equal(first, again, SESSION_KEY_SIZE);
    chmod(path, 0644);
    assert_int_equal(master_read(again, path), ERR_INVALID);
    assert_non_null(strstr(err_text(), path));
    chmod(path, 0600);
    assert_int_equal(truncate(path, 5), 0);
    assert_int_equal(master_read(again, path), ERR_INVALID);
    unlink(path);
    assert_int_equal(master_read(again, "/nonexistent/key"), ERR_IO);
}

static void without_a_file_the_key_is_new_each_time(void **state)
{
    (void)state;
    unsigned char first[SESSION_KEY_SIZE], again[SESSION_KEY_SIZE];
    assert_int_equal(master_read(first, ""), ERR_OK);
    assert_int_equal(master_read(again, ""), ERR_OK);
    assert_memory_not_equal(first, again, SESSION_KEY_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_key_is_made_for_its_owner_alone_and_read_again),
        cmocka_unit_test(without_a_file_the_key_is_new_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
