/* base/conf.h -- one table a program: struct, file, environment, flags, --help and documentation.
 *
 * A program keeps its settings in `<program>.conf.def`, one row a setting:
 *
 *      CONF(type, name, preset, min, max, unit, text)
 *      CONF(count, kv_blocks, "2048", 16, 1048576, "blocks", "size of the key/value pool")
 *
 *      type     field            what is accepted
 *      string   char *           text of min to max bytes
 *      count    uint64_t         a whole number, min to max; K, M, G (2^10…) may follow if unit is "bytes"
 *      real     double           a number from min to max
 *      flag     bool             true/false, yes/no, on/off, 1/0; --NAME alone: true; --no-NAME: false
 *      list     struct conf_list comma-separated, and a flag may be repeated; max is the most items
 *
 * and includes it twice: with CONF_FIELD in the struct, with CONF_ROW in the table (see scheduler/
 * or node/ for the two lines). Precedence: preset < file (--config FILE: `name = value`, `#` begins
 * a comment) < environment (QIAO_NAME) < flags (--kv-blocks 5, --kv-blocks=5). Where flags write
 * `-`, the table, file and variables write `_`. Thread: main's, before others start. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
    CONF_LIST_MAX = 256,
    CONF_FILE_MAX = 1 << 20
};

enum conf_type {
    CONF_string,
    CONF_count,
    CONF_real,
    CONF_flag,
    CONF_list
};

struct conf_list {
    char **items; // owned by the conf
    size_t count;
};

#define CONF_FIELD_string char *
#define CONF_FIELD_count  uint64_t
#define CONF_FIELD_real   double
#define CONF_FIELD_flag   bool
#define CONF_FIELD_list   struct conf_list
/* In a struct: `#define CONF(type, name, ...) CONF_FIELD_##type name;` */
#define CONF_ROW(owner, type, name, preset, min, max, unit, text) \
    {#name, CONF_##type, offsetof(owner, name), preset, (double)(min), (double)(max), unit, text},

struct conf_row {
    const char *name;
    enum conf_type type;
    size_t offset;
    const char *preset;
    double min, max;
    const char *unit;
    const char *text;
};

struct conf_table {
    const char *program;
    const char *summary; // one line
    const char *usage;   // what stands behind the program's name in --help
    const struct conf_row *rows;
    size_t row_count;
};

/* What the caller should do after conf_load() went well. */
enum conf_next {
    CONF_GO,
    CONF_EXIT // --help, --help-markdown or --version was printed on stdout
};

/* Fill `*conf` (a zeroed struct of the program's). `argv` is reordered: *rest gets the index of the
 * first positional argument (argc when there is none); `--` ends the flags. ERR_INVALID, ERR_IO:
 * the note names the source (file:line, variable or flag), the value and what would be right. */
enum err conf_load(const struct conf_table *table, void *conf, int argc, char **argv, int *rest,
                   enum conf_next *next);
/* Free what conf_load() made. */
void conf_fini(const struct conf_table *table, void *conf);

void conf_help(const struct conf_table *table, struct buf *out);
/* The rows as a Markdown table, for docs/. */
void conf_markdown(const struct conf_table *table, struct buf *out);

#endif
