/* Any bytes as a sealed audit file. What is accepted has as many records as it says, each with fields that can be read, and is accepted
 * again; no byte of it can be taken off its end. Built with libFuzzer, or with tests/fuzz/corpus.c. */
#include "base/ledger_file.h"
#include "base/must.h"

#include <sodium.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_record(void *argument, const struct ledger_record *record)
{
    char name[LEDGER_NAME_MAX + 1], value[LEDGER_VALUE_MAX + 1];
    size_t count = 0;
    while (ledger_field_at(record, count, name, value))
        count++;
    must(count <= LEDGER_FIELDS_MAX);
    ++*(uint64_t *)argument;
}

static void on_gap(void *argument, const char *text)
{
    (void)argument;
    must(strlen(text) > 0);
}

static enum err check(const char *text, size_t size, uint64_t *records)
{
    struct ledger_seal seal;
    const struct ledger_reader reader = {on_record, on_gap, records, NULL};
    *records = 0;
    enum err err = ledger_file_check(&seal, "file", text, size, NULL, &reader);
    must(err == ERR_OK || err == ERR_FORMAT);
    if (err) return err;
    must(seal.records == *records);
    ledger_seal_fini(&seal);
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct ledger_record record;
    uint64_t records = 0, again;
    must(sodium_init() >= 0);
    if (!ledger_parse(&record, text, size)) on_record(&records, &record);
    if (check(text, size, &records)) return 0;
    must(check(text, size, &again) == ERR_OK && again == records);
    must(check(text, size - 1, &again) == ERR_FORMAT);
    return 0;
}
