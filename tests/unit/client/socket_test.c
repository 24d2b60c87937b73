#include "client/socket.h"
#include "tests/test.h"

#include <string.h>

static void check(const char *url, const char *host, const char *port)
{
    struct address address;
    assert_int_equal(address_parse(&address, url), ERR_OK);
    assert_string_equal(address.host, host);
    assert_string_equal(address.port, port);
}

static void a_url_is_a_host_and_a_port(void **state)
{
    (void)state;
    check("http://127.0.0.1:8080", "127.0.0.1", "8080");
    check("http://localhost", "localhost", "80");
    check("http://localhost/", "localhost", "80");
    check("http://a.example:1/", "a.example", "1");
    check("http://[::1]:8080", "::1", "8080");
    check("http://[fe80::1]/", "fe80::1", "80");
}

static void anything_else_is_refused_and_leaves_the_address_alone(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "localhost:8080",
        "https://a",
        "http://",
        "http://:80",
        "http:///x",
        "http://a:",
        "http://a:x",
        "http://a:123456",
        "http://a:65536", // the C library would take it for port 0
        "http://a/v1",
        "http://a:80/v1",
        "http://a:80x",
        "http://[]:80",
        "http://[::1]x",
        "HTTP",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct address address = {.host = "before"};
        if (address_parse(&address, wrong[i]) != ERR_INVALID) fail_msg("'%s' passed", wrong[i]);
        assert_string_equal(address.host, "before");
    }
    char large[400] = "http://";
    memset(large + 7, 'a', 300);
    struct address address;
    assert_int_equal(address_parse(&address, large), ERR_INVALID);
    large[7] = '[';
    memset(large + 8, 'a', 300);
    assert_int_equal(address_parse(&address, large), ERR_INVALID);
}

static void a_bracket_that_is_never_closed_is_refused(void **state)
{
    (void)state;
    struct address address;
    assert_int_equal(address_parse(&address, "http://[::1"), ERR_INVALID);
    assert_int_equal(address_parse(&address, "http://["), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_a_host_and_a_port),
        cmocka_unit_test(anything_else_is_refused_and_leaves_the_address_alone),
        cmocka_unit_test(a_bracket_that_is_never_closed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
