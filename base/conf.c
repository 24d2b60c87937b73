#include "base/conf.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_MAX_SIZE = 96 // of a name in a message, dashes included
};

/* A value on its way into the struct, with the words that name its source in an error. */
struct entry {
    const struct conf_row *row;
    const char *source; // "--threads", "QIAO_THREADS", "node.conf:3"
    const char *text;
};

static void *field_of(const struct conf_row *row, void *conf)
{
    return (char *)conf + row->offset;
}

static enum err wrong(const struct entry *entry, const char *right)
{
    return err_note(ERR_INVALID, "%s: '%s' is not right: must be %s", entry->source, entry->text,
                    right);
}

static enum err set_string(const struct entry *entry, char **field)
{
    size_t size = strlen(entry->text);
    if ((double)size < entry->row->min || (double)size > entry->row->max) {
        char right[64];
        snprintf(right, sizeof right, "%.0f to %.0f bytes of text", entry->row->min,
                 entry->row->max);
        return wrong(entry, right);
    }
    mem_free(*field);
    *field = mem_copy_text(entry->text);
    return ERR_OK;
}

/* 1, 1024, … for the suffix at `end`; 0 for anything else. */
static uint64_t suffix_factor(const struct conf_row *row, const char *end)
{
    if (*end == '\0') return 1;
    if (strcmp(row->unit, "bytes") != 0 || end[1] != '\0') return 0;
    switch (toupper((unsigned char)*end)) {
    case 'K': return UINT64_C(1) << 10;
    case 'M': return UINT64_C(1) << 20;
    case 'G': return UINT64_C(1) << 30;
    default: return 0;
    }
}

static enum err set_count(const struct entry *entry, uint64_t *field)
{
    char right[128];
    const struct conf_row *row = entry->row;
    snprintf(right, sizeof right, "a whole number from %.0f to %.0f%s", row->min, row->max,
             strcmp(row->unit, "bytes") == 0 ? ", K, M or G may follow" : "");
    char *end;
    errno = 0;
    uint64_t value = strtoull(entry->text, &end, 10);
    if (!isdigit((unsigned char)entry->text[0]) || errno) return wrong(entry, right);
    uint64_t factor = suffix_factor(row, end);
    if (factor == 0 || value > UINT64_MAX / factor) return wrong(entry, right);
    value *= factor;
    if ((double)value < row->min || (double)value > row->max) return wrong(entry, right);
    *field = value;
    return ERR_OK;
}

static enum err set_real(const struct entry *entry, double *field)
{
    char right[96];
    snprintf(right, sizeof right, "a number from %g to %g", entry->row->min, entry->row->max);
    char *end;
    double value = strtod(entry->text, &end);
    if (end == entry->text || *end || !isfinite(value)) return wrong(entry, right);
    if (value < entry->row->min || value > entry->row->max) return wrong(entry, right);
    *field = value;
    return ERR_OK;
}

static enum err set_flag(const struct entry *entry, bool *field)
{
    static const char *const words[] = {"true", "yes", "on", "1", "false", "no", "off", "0"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(entry->text, words[i]) == 0) {
            *field = i < 4;
            return ERR_OK;
        }
    }
    return wrong(entry, "true or false");
}

static void clear_list(struct conf_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->items[i]);
    mem_free(list->items);
    *list = (struct conf_list){0};
}

static enum err set_list(const struct entry *entry, struct conf_list *field)
{
    const char *at = entry->text;
    while (*at) {
        at += strspn(at, " \t");
        size_t whole = strcspn(at, ","), size = whole;
        while (size > 0 && isspace((unsigned char)at[size - 1]))
            size--;
        if (size > 0) {
            if ((double)field->count >= entry->row->max || field->count >= CONF_LIST_MAX)
                return err_note(ERR_INVALID, "%s: more than %.0f items", entry->source,
                                entry->row->max);
            field->items = mem_resize(field->items, field->count + 1, sizeof *field->items);
            field->items[field->count++] = mem_text(at, size);
        }
        at += whole + (at[whole] == ',');
    }
    return ERR_OK;
}

static enum err set(const struct entry *entry, void *conf)
{
    void *field = field_of(entry->row, conf);
    switch (entry->row->type) {
    case CONF_string: return set_string(entry, field);
    case CONF_count: return set_count(entry, field);
    case CONF_real: return set_real(entry, field);
    case CONF_flag: return set_flag(entry, field);
    case CONF_list: return set_list(entry, field);
    }
    return ERR_OK;
}

/* A list from a later source replaces that of an earlier one; within a source it grows. `seen` has
 * a place for every row, false until the source has named it. */
static void begin_row(const struct conf_table *table, const struct conf_row *row, bool *seen,
                      void *conf)
{
    bool *first = &seen[row - table->rows];
    if (!*first && row->type == CONF_list) clear_list(field_of(row, conf));
    *first = true;
}

static bool same_name(const char *name, const char *text, size_t size)
{
    if (strlen(name) != size) return false;
    for (size_t i = 0; i < size; i++)
        if (name[i] != (text[i] == '-' ? '_' : text[i])) return false;
    return true;
}

static const struct conf_row *find_row(const struct conf_table *table, const char *text,
                                       size_t size)
{
    for (size_t i = 0; i < table->row_count; i++)
        if (same_name(table->rows[i].name, text, size)) return &table->rows[i];
    return NULL;
}

/* Edit distance (Levenshtein), for the hint behind an unknown name; texts are cut at 32 bytes. */
static size_t distance(const char *a, const char *b)
{
    enum {
        MOST = 32
    };

    size_t row[MOST + 1];
    size_t a_size = strnlen(a, MOST), b_size = strnlen(b, MOST);
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            size_t insert = row[j - 1] + 1, drop = row[j] + 1;
            row[j] = change < insert ? change : insert;
            if (drop < row[j]) row[j] = drop;
        }
    }
    return row[b_size];
}

/* A name as the command line writes it ("--kv-bytes") or as the file does ("kv_bytes"). */
static const char *spell(const char *name, bool as_flag, char out[NAME_MAX_SIZE])
{
    snprintf(out, NAME_MAX_SIZE, "%s%s", as_flag ? "--" : "", name);
    for (char *at = out; *at; at++)
        if (*at == '-' || *at == '_') *at = as_flag ? '-' : '_';
    return out;
}

/* The first `size` bytes of `text` name no row. `source` is NULL for the command line. */
static enum err unknown(const struct conf_table *table, const char *source, const char *text,
                        size_t size)
{
    char name[NAME_MAX_SIZE], plain[NAME_MAX_SIZE], near[NAME_MAX_SIZE];
    snprintf(name, sizeof name, "%.*s", (int)(size < 64 ? size : 64), text);
    spell(name, false, plain);
    const char *nearest = NULL;
    size_t least = 4;
    for (size_t i = 0; i < table->row_count; i++) {
        size_t far = distance(plain, table->rows[i].name);
        if (far < least) {
            least = far;
            nearest = table->rows[i].name;
        }
    }
    const char *before = source ? source : "command line", *dashes = source ? "" : "--";
    if (!nearest)
        return err_note(ERR_INVALID, "%s: there is no setting '%s%s'; --help lists them", before,
                        dashes, name);
    return err_note(ERR_INVALID, "%s: there is no setting '%s%s'; did you mean '%s'?", before,
                    dashes, name, spell(nearest, source == NULL, near));
}

static enum err load_presets(const struct conf_table *table, void *conf)
{
    for (size_t i = 0; i < table->row_count; i++) {
        const struct conf_row *row = &table->rows[i];
        struct entry entry = {.row = row, .source = row->name, .text = row->preset};
        // A preset may be empty where a given value may not: "not set".
        if (row->type == CONF_string) {
            *(char **)field_of(row, conf) = mem_copy_text(row->preset);
            continue;
        }
        TRY(set(&entry, conf));
    }
    return ERR_OK;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        text[--size] = '\0';
    return text;
}

static enum err load_line(const struct conf_table *table, void *conf, bool *seen,
                          const char *source, char *line)
{
    char *comment = strchr(line, '#');
    if (comment) *comment = '\0';
    line = trim(line);
    if (!*line) return ERR_OK;
    char *equals = strchr(line, '=');
    if (!equals)
        return err_note(ERR_INVALID, "%s: '%s' is not right: must be name = value", source, line);
    *equals = '\0';
    char *name = trim(line);
    const struct conf_row *row = find_row(table, name, strlen(name));
    if (!row) return unknown(table, source, name, strlen(name));
    begin_row(table, row, seen, conf);
    struct entry entry = {.row = row, .source = source, .text = trim(equals + 1)};
    return set(&entry, conf);
}

static enum err load_file(const struct conf_table *table, void *conf, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) return err_note(ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    bool *seen = mem_new(table->row_count, sizeof *seen);
    char *line = NULL;
    size_t capacity = 0, total = 0;
    enum err err = ERR_OK;
    for (int number = 1; !err; number++) {
        ssize_t size = getline(&line, &capacity, file);
        if (size < 0) break;
        total += (size_t)size;
        char source[512];
        snprintf(source, sizeof source, "%s:%d", path, number);
        if (total > CONF_FILE_MAX)
            err = err_note(ERR_INVALID, "%s: more than %d bytes", source, CONF_FILE_MAX);
        else
            err = load_line(table, conf, seen, source, line);
    }
    free(line); // getline's
    mem_free(seen);
    fclose(file);
    return err;
}

static enum err load_environment(const struct conf_table *table, void *conf)
{
    for (size_t i = 0; i < table->row_count; i++) {
        char name[128] = "QIAO_";
        size_t size = strlen(name);
        for (const char *at = table->rows[i].name; *at && size + 1 < sizeof name; at++)
            name[size++] = (char)toupper((unsigned char)*at);
        name[size] = '\0';
        const char *text = getenv(name);
        if (!text) continue;
        if (table->rows[i].type == CONF_list) clear_list(field_of(&table->rows[i], conf));
        struct entry entry = {.row = &table->rows[i], .source = name, .text = text};
        TRY(set(&entry, conf));
    }
    return ERR_OK;
}

/* One flag of the command line, taken apart. */
struct flag {
    const struct conf_row *row;
    const char *text; // NULL for a bare flag
    bool negated;
    int used; // arguments, 1 or 2
};

static enum err read_flag(const struct conf_table *table, int argc, char **argv, int at,
                          struct flag *out)
{
    const char *name = argv[at] + 2;
    size_t size = strcspn(name, "=");
    struct flag flag = {.used = 1, .text = name[size] ? name + size + 1 : NULL};
    flag.row = find_row(table, name, size);
    if (!flag.row && strncmp(name, "no-", 3) == 0) {
        flag.row = find_row(table, name + 3, size - 3);
        if (flag.row && flag.row->type != CONF_flag) flag.row = NULL;
        flag.negated = flag.row != NULL;
    }
    if (!flag.row) return unknown(table, NULL, name, size);
    if (!flag.text && flag.row->type != CONF_flag) {
        if (at + 1 >= argc) return err_note(ERR_INVALID, "%s: a value must follow", argv[at]);
        flag.text = argv[at + 1];
        flag.used = 2;
    }
    if (!flag.text) flag.text = flag.negated ? "false" : "true";
    *out = flag;
    return ERR_OK;
}

static enum err load_flags(const struct conf_table *table, void *conf, int argc, char **argv,
                           int *rest)
{
    bool *seen = mem_new(table->row_count, sizeof *seen);
    int kept = 1; // positional arguments are moved to argv[1..kept) and then to the end
    enum err err = ERR_OK;
    for (int at = 1; at < argc && !err;) {
        if (strcmp(argv[at], "--") == 0) {
            for (at++; at < argc; at++)
                argv[kept++] = argv[at];
            break;
        }
        if (strncmp(argv[at], "--", 2) != 0) {
            argv[kept++] = argv[at++];
            continue;
        }
        if (strncmp(argv[at], "--config", 8) == 0 && (argv[at][8] == '=' || !argv[at][8])) {
            at += argv[at][8] ? 1 : 2; // was read before
            continue;
        }
        struct flag flag = {0};
        err = read_flag(table, argc, argv, at, &flag);
        if (err) break;
        begin_row(table, flag.row, seen, conf);
        char source[128];
        snprintf(source, sizeof source, "--%.*s", (int)strcspn(argv[at] + 2, "="), argv[at] + 2);
        struct entry entry = {.row = flag.row, .source = source, .text = flag.text};
        err = set(&entry, conf);
        at += flag.used;
    }
    mem_free(seen);
    for (int i = kept - 1, to = argc - 1; i >= 1; i--, to--)
        argv[to] = argv[i];
    *rest = argc - (kept - 1);
    return err;
}

/* What must be known before anything is loaded: --help, --version, --config. */
static enum err read_early(const struct conf_table *table, int argc, char **argv, const char **file,
                           enum conf_next *next)
{
    *next = CONF_GO;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        bool markdown = strcmp(argv[i], "--help-markdown") == 0;
        if (markdown || strcmp(argv[i], "--help") == 0) {
            struct buf help = {0};
            if (markdown)
                conf_markdown(table, &help);
            else
                conf_help(table, &help);
            fputs(buf_text(&help), stdout);
            buf_fini(&help);
            *next = CONF_EXIT;
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", table->program, QIAO_VERSION);
            *next = CONF_EXIT;
        } else if (strcmp(argv[i], "--config") == 0) {
            if (i + 1 >= argc) return err_note(ERR_INVALID, "--config: a file must follow");
            *file = argv[++i];
        } else if (strncmp(argv[i], "--config=", 9) == 0) {
            *file = argv[i] + 9;
        }
    }
    return ERR_OK;
}

enum err conf_load(const struct conf_table *table, void *conf, int argc, char **argv, int *rest,
                   enum conf_next *next)
{
    const char *file = NULL;
    TRY(read_early(table, argc, argv, &file, next));
    if (*next == CONF_EXIT) return ERR_OK;
    enum err err = load_presets(table, conf);
    if (!err && file) err = load_file(table, conf, file);
    if (!err) err = load_environment(table, conf);
    if (!err) err = load_flags(table, conf, argc, argv, rest);
    if (err) conf_fini(table, conf);
    return err;
}

void conf_fini(const struct conf_table *table, void *conf)
{
    for (size_t i = 0; i < table->row_count; i++) {
        const struct conf_row *row = &table->rows[i];
        if (row->type == CONF_list) clear_list(field_of(row, conf));
        if (row->type == CONF_string) {
            char **text = field_of(row, conf);
            mem_free(*text);
            *text = NULL;
        }
    }
}

static void add_flag_name(const struct conf_row *row, struct buf *out)
{
    buf_add_text(out, "--");
    for (const char *at = row->name; *at; at++)
        buf_add_byte(out, *at == '_' ? '-' : (unsigned char)*at);
}

void conf_help(const struct conf_table *table, struct buf *out)
{
    buf_addf(out, "%s: %s\n\nusage: %s %s\n\n", table->program, table->summary, table->program,
             table->usage);
    for (size_t i = 0; i < table->row_count; i++) {
        const struct conf_row *row = &table->rows[i];
        size_t start = out->size;
        buf_add_text(out, "  ");
        add_flag_name(row, out);
        if (row->type != CONF_flag) buf_addf(out, " %s", *row->unit ? row->unit : "VALUE");
        while (out->size - start < 30)
            buf_add_byte(out, ' ');
        buf_addf(out, " %s", row->text);
        if (*row->preset) buf_addf(out, " (%s)", row->preset);
        buf_add_byte(out, '\n');
    }
    buf_add_text(out,
                 "  --config FILE                read settings from a file: name = value\n"
                 "  --help, --version\n\n"
                 "Every setting is also a variable: QIAO_ and its name in capitals with _ for -.\n"
                 "A file gives way to variables, and variables to flags.\n");
}

void conf_markdown(const struct conf_table *table, struct buf *out)
{
    buf_add_text(out, "| flag | preset | range | unit | what |\n| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < table->row_count; i++) {
        const struct conf_row *row = &table->rows[i];
        buf_add_text(out, "| `");
        add_flag_name(row, out);
        buf_addf(out, "` | %s | ", *row->preset ? row->preset : "—");
        if (row->type == CONF_count || row->type == CONF_real)
            buf_addf(out, "%.15g to %.15g", row->min, row->max);
        else
            buf_add_text(out, row->type == CONF_flag ? "true, false" : "—");
        buf_addf(out, " | %s | %s |\n", *row->unit ? row->unit : "—", row->text);
    }
}
