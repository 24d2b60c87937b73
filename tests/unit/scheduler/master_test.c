#include "scheduler/master.h"
#include "tests/test.h"

#include <string.h>
#include <sys/stat.h>

static void a_missing_key_is_made_for_its_owner_alone_and_read_again(void **state)
{
    (void)state;
    struct keyring first, again;
    struct stat status;
    char path[] = "/tmp/qiao-master-XXXXXX";
    close(mkstemp(path));
    unlink(path);
    assert_int_equal(master_read(&first, path), ERR_OK);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(master_read(&again, path), ERR_OK);
    assert_memory_equal(&first, &again, sizeof first);
    chmod(path, 0644);
    assert_int_equal(master_read(&again, path), ERR_INVALID);
    assert_non_null(strstr(err_text(), path));
    chmod(path, 0600);
    assert_int_equal(truncate(path, 5), 0);
    assert_int_equal(master_read(&again, path), ERR_INVALID);
    assert_int_equal(truncate(path, 5000), 0);
    assert_int_equal(master_read(&again, path), ERR_INVALID);
    unlink(path);
    assert_int_equal(master_read(&again, "/nonexistent/key"), ERR_IO);
}

static void a_file_of_32_bytes_is_root_and_key_0(void **state)
{
    (void)state;
    const char bytes[] = "0123456789abcdef0123456789abcdef";
    char path[] = "/tmp/qiao-master-XXXXXX";
    struct keyring ring;
    int file = mkstemp(path);
    assert_int_equal(write(file, bytes, 32), 32);
    close(file);
    assert_int_equal(master_read(&ring, path), ERR_OK);
    unlink(path);
    assert_int_equal(ring.count, 1);
    assert_int_equal(ring.keys[0].id, 0);
    assert_memory_equal(ring.root, bytes, 32);
    assert_memory_equal(ring.keys[0].secret, bytes, 32);
}

static void without_a_file_the_key_is_new_each_time(void **state)
{
    (void)state;
    struct keyring first, again;
    assert_int_equal(master_read(&first, ""), ERR_OK);
    assert_int_equal(master_read(&again, ""), ERR_OK);
    assert_memory_not_equal(first.root, again.root, sizeof first.root);
    assert_memory_not_equal(first.keys[0].secret, again.keys[0].secret, sizeof first.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_key_is_made_for_its_owner_alone_and_read_again),
        cmocka_unit_test(a_file_of_32_bytes_is_root_and_key_0),
        cmocka_unit_test(without_a_file_the_key_is_new_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
