/* bench/audit.c -- what a record and a receipt cost the loop, and what checking them costs an auditor.
 *
 *      bench-audit [RECORDS]
 *
 * One line each: a record as an answer has one (five fields), a receipt signed, a sealed file of all records written and checked. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/ledger_file.h"
#include "base/must.h"
#include "base/receipt.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>

enum {
    RECORDS = 20000,
    RECEIPTS = 2000
};

static double us_since(uint64_t begin_ns)
{
    return (double)(clock_now_ns() - begin_ns) / 1e3;
}

static void write_records(struct buf *lines, size_t count)
{
    struct ledger_chain chain;
    const struct ledger_field fields[] = {{"answer", "chatcmpl-0123456789abcdef0123456789abcdef"},
                                          {"region", "cn"},
                                          {"feature", "assistant"},
                                          {"visible", "start"},
                                          {"metadata", "yes"}};
    ledger_chain_begin(&chain, "0123456789abcdef");
    for (size_t i = 0; i < count; i++) {
        struct buf body = {0};
        ledger_write_body(&body, clock_wall_ms(), "LABEL", fields, 5);
        ledger_write_record(lines, &chain, buf_text(&body));
        buf_add_byte(lines, '\n');
        buf_fini(&body);
    }
}

static void sign_receipts(void)
{
    struct sign_secret secret;
    struct receipt receipt = {.answer = "chatcmpl-0123456789abcdef",
                              .build = "0",
                              .region = "cn",
                              .feature = "assistant",
                              .label = "chatcmpl-0123456789abcdef"};
    must(sign_make_key(&secret, "bench") == ERR_OK);
    uint64_t begin_ns = clock_now_ns();
    for (int i = 0; i < RECEIPTS; i++) {
        receipt.time_ms = i;
        receipt_sign(&receipt, &secret);
    }
    printf("receipt  signed: %.1f us each\n", us_since(begin_ns) / RECEIPTS);
}

int main(int argc, char **argv)
{
    static const struct ledger_seal none;
    static const struct ledger_reader quiet;
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : RECORDS;
    struct buf lines = {0}, file = {0};
    struct ledger_seal seal, again;
    must(sodium_init() >= 0 && count > 0);
    uint64_t begin_ns = clock_now_ns();
    write_records(&lines, count);
    printf("record   written: %.1f us each, %.0f bytes\n", us_since(begin_ns) / (double)count,
           (double)lines.size / (double)count);
    sign_receipts();
    const struct ledger_sealing sealing = {
        .before = &none, .lines = lines.data, .size = lines.size};
    begin_ns = clock_now_ns();
    must(ledger_seal_write(&file, &seal, &sealing) == ERR_OK);
    printf("file     of %zu records written: %.1f ms\n", count, us_since(begin_ns) / 1e3);
    begin_ns = clock_now_ns();
    must(ledger_file_check(&again, "file", file.data, file.size, &none, &quiet) == ERR_OK);
    printf("file     checked: %.1f ms\n", us_since(begin_ns) / 1e3);
    ledger_seal_fini(&seal);
    ledger_seal_fini(&again);
    buf_fini(&lines);
    buf_fini(&file);
    return 0;
}
