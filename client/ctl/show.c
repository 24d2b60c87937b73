/* Answers as tables and lines for people, or as they came for scripts. */
#include "client/ctl/ctl.h"

#include "base/buf.h"
#include "base/mem.h"

#include <jansson.h>
#include <utf8proc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COLUMNS_MAX = 16
};

/* How wide a text is on a terminal: Chinese characters take two places. */
static int width_of(const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    int width = 0;
    while (*at) {
        utf8proc_int32_t character;
        utf8proc_ssize_t size = utf8proc_iterate(at, -1, &character);
        if (size <= 0) return width;
        width += utf8proc_charwidth(character);
        at += size;
    }
    return width;
}

long long ctl_left(const json_t *node)
{
    long long reported = json_integer_value(json_object_get(node, "running")) +
                         json_integer_value(json_object_get(node, "waiting"));
    long long ours = json_integer_value(json_object_get(node, "in_flight"));
    return reported > ours ? reported : ours;
}

/* "node-1", or "node-1 (draining, 3 left)". */
static void add_state(struct buf *out, const json_t *object)
{
    const char *state = json_string_value(json_object_get(object, "state"));
    if (state && strcmp(state, "draining") == 0)
        buf_addf(out, " (draining, %lld left)", ctl_left(object));
}

/* A value in one cell: an array as its values with commas, an object's name or id. */
static void add_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        buf_add_text(out, json_string_value(value));
    } else if (json_is_integer(value)) {
        buf_addf(out, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        buf_addf(out, "%.4g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        buf_add_text(out, json_is_true(value) ? "yes" : "no");
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i) buf_add_text(out, ",");
            add_value(out, json_array_get(value, i));
        }
    } else if (json_is_object(value)) {
        const json_t *name = json_object_get(value, "name");
        add_value(out, name ? name : json_object_get(value, "id"));
        add_state(out, value);
    }
    if (out->size == 0) buf_add_text(out, "-");
}

static void print_padded(const char *text, int width, bool last)
{
    fputs(text, stdout);
    for (int i = width_of(text); !last && i < width + 2; i++)
        putchar(' ');
}

static void print_table(const json_t *list, const char *const *columns)
{
    size_t count = json_array_size(list), shown = 0;
    const char *names[COLUMNS_MAX];
    int widths[COLUMNS_MAX];
    for (size_t c = 0; columns[c] && shown < COLUMNS_MAX; c++) {
        if (count > 0 && !json_object_get(json_array_get(list, 0), columns[c])) continue;
        names[shown] = columns[c];
        widths[shown++] = width_of(columns[c]);
    }
    for (int pass = 0; pass < 2; pass++) { // measure, then print
        for (size_t c = 0; pass == 1 && c < shown; c++)
            print_padded(names[c], widths[c], c + 1 == shown);
        if (pass == 1) putchar('\n');
        for (size_t r = 0; r < count; r++) {
            for (size_t c = 0; c < shown; c++) {
                struct buf cell = {0};
                add_value(&cell, json_object_get(json_array_get(list, r), names[c]));
                int width = width_of(buf_text(&cell));
                if (pass == 0 && width > widths[c]) widths[c] = width;
                if (pass == 1) print_padded(buf_text(&cell), widths[c], c + 1 == shown);
                buf_fini(&cell);
            }
            if (pass == 1) putchar('\n');
        }
    }
    if (count == 0) puts("none");
}

static void print_line(const char *name, const json_t *value)
{
    struct buf cell = {0};
    if (json_is_object(value)) {
        const char *inner;
        json_t *part;
        json_object_foreach((json_t *)(uintptr_t)value, inner, part)
        {
            struct buf text = {0};
            add_value(&text, part);
            buf_addf(&cell, "%s%s=%s", cell.size ? " " : "", inner, buf_text(&text));
            buf_fini(&text);
        }
    } else {
        add_value(&cell, value);
    }
    printf("%-16s %s\n", name, buf_text(&cell));
    buf_fini(&cell);
}

static bool is_nameless(const json_t *value)
{
    return json_is_object(value) && !json_object_get(value, "name") &&
           !json_object_get(value, "id");
}

/* A list of objects that have no name is a line for each. */
static void print_lines(const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!is_nameless(json_array_get(value, 0))) print_line(name, value);
        for (size_t i = 0; is_nameless(json_array_get(value, i)); i++)
            print_line(name, json_array_get(value, i));
    }
}

enum ctl_exit ctl_show(const struct ctl_conf *conf, struct qiao *qiao, const char *path,
                       const char *list, const char *const *columns)
{
    char *body = NULL;
    if (qiao_request(qiao, "GET", path, NULL, &body)) return ctl_fail(conf, qiao);
    enum ctl_exit code = CTL_GOOD;
    json_t *root = json_loads(body, 0, NULL);
    const json_t *rows = list ? json_object_get(root, list) : root;
    if (conf->json) {
        puts(body);
    } else if (!rows) {
        fprintf(stderr, "qiaoctl: the server's answer to %s is not what it should be\n", path);
        code = CTL_FAILED;
    } else if (list) {
        print_table(rows, columns);
    } else {
        print_lines(rows);
    }
    json_decref(root);
    qiao_free_text(body);
    return code;
}
