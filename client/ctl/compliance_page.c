/* compliance: the pack as a page that needs nothing else: no script, no font, no link to fetch. */
#include "client/ctl/call.h"
#include "client/ctl/compliance.h"

#include <stdlib.h>
#include <string.h>

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>\n"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 "
    "1rem;color:#1d2430}\n"
    "h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}\n"
    ".sum{display:flex;gap:.5rem;margin:1rem 0;flex-wrap:wrap}\n"
    ".tag{border-radius:1rem;padding:.1rem .7rem;font-size:.85rem;white-space:nowrap;border:1px "
    "solid}\n"
    ".pass{color:#12643a;background:#e5f6ec}.fail{color:#9b1c1c;background:#fdeaea}\n"
    ".na{color:#555;background:#f1f2f4}.blocked{color:#8a5200;background:#fff3df}\n"
    "table{border-collapse:collapse;width:100%}td,th{border-top:1px solid #dde1e7;padding:.55rem "
    ".6rem;"
    "text-align:left;vertical-align:top}\n"
    "th{font-size:.8rem;color:#5a6472;font-weight:600}code{font:12px/1.4 ui-monospace,monospace;"
    "overflow-wrap:anywhere}\n"
    ".small{font-size:.82rem;color:#5a6472}ul{margin:.2rem 0;padding-left:1.1rem}\n"
    "@media print{body{margin:0;max-width:none}tr{break-inside:avoid}}\n"
    "</style>\n";

/* Text between tags, or in an attribute's quotes. */
static void add(struct buf *out, const char *text)
{
    for (const char *at = text ? text : ""; *at; at++) {
        switch (*at) {
        case '&': buf_add_text(out, "&amp;"); break;
        case '<': buf_add_text(out, "&lt;"); break;
        case '>': buf_add_text(out, "&gt;"); break;
        case '"': buf_add_text(out, "&quot;"); break;
        default: buf_add_byte(out, (unsigned char)*at);
        }
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* A value as JSON, a text without its quotes. */
static void add_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        add(out, json_string_value(value));
        return;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    add(out, text);
    free(text); // jansson's
}

static const char *class_of(const char *result)
{
    return strcmp(result, "pass") == 0      ? "pass"
           : strcmp(result, "fail") == 0    ? "fail"
           : strcmp(result, "blocked") == 0 ? "blocked"
                                            : "na";
}

// ---- a row -------------------------------------------------------------------------------------

static void add_duties(struct buf *out, const json_t *row)
{
    size_t i;
    json_t *one, *duties = json_object_get(row, "duty");
    if (json_array_size(duties) == 0) {
        buf_add_text(out, "<span class=\"small\">the documents name no provision for ");
        add(out, text_of(row, "rule"));
        buf_add_text(out, "</span>");
        return;
    }
    buf_add_text(out, "<ul>");
    json_array_foreach(duties, i, one)
    {
        buf_add_text(out, "<li>");
        add(out, text_of(one, "law"));
        if (*text_of(one, "article")) {
            buf_add_text(out, ", art. ");
            add(out, text_of(one, "article"));
        }
        if (*text_of(one, "note")) {
            buf_add_text(out, " <span class=\"small\">");
            add(out, text_of(one, "note"));
            buf_add_text(out, "</span>");
        }
        buf_add_text(out, "</li>");
    }
    buf_add_text(out, "</ul>");
}

static void add_figures(struct buf *out, const json_t *figures)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)figures, name, value)
    {
        buf_add_text(out, "<div><span class=\"small\">");
        add(out, name);
        buf_add_text(out, "</span> <code>");
        add_value(out, value);
        buf_add_text(out, "</code></div>");
    }
}

static void add_row(struct buf *out, const json_t *row)
{
    const char *result = text_of(row, "result");
    buf_addf(out, "<tr><td><span class=\"tag %s\">", class_of(result));
    add(out, result);
    buf_add_text(out, "</span></td><td><b>");
    add(out, text_of(row, "title"));
    buf_add_text(out, "</b><br><code>");
    add(out, text_of(row, "control"));
    buf_add_text(out, "</code></td><td>");
    add_duties(out, row);
    buf_add_text(out, "</td><td>");
    add(out, text_of(row, "test"));
    buf_add_text(out, "<br><b>");
    add(out, text_of(row, "note"));
    buf_add_text(out, "</b></td><td>");
    add_figures(out, json_object_get(row, "figures"));
    buf_add_text(out, "<span class=\"small\">");
    add(out, text_of(row, "time"));
    buf_add_text(out, "</span></td></tr>\n");
}

// ---- what was looked at ------------------------------------------------------------------------

static void add_fact(struct buf *out, const char *name, const json_t *value)
{
    buf_addf(out, "<tr><th>%s</th><td><code>", name);
    add_value(out, value);
    buf_add_text(out, "</code></td></tr>\n");
}

static void add_list(struct buf *out, const char *what, const json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        buf_addf(out, "<tr><th>%s ", what);
        add(out, text_of(one, name));
        buf_add_text(out, "</th><td><code>");
        add(out, text_of(one, "digest"));
        buf_add_text(out, "</code>");
        if (json_object_get(one, "signers")) {
            buf_add_text(out, " <span class=\"small\">signed by ");
            add_value(out, json_object_get(one, "signers"));
            buf_add_text(out, "</span>");
        }
        buf_add_text(out, "</td></tr>\n");
    }
}

static void add_subject(struct buf *out, const json_t *pack)
{
    const json_t *subject = json_object_get(pack, "subject");
    buf_add_text(out, "<h2>What was looked at</h2>\n<table>\n");
    add_fact(out, "cluster", json_object_get(pack, "cluster"));
    add_fact(out, "began, ended", json_object_get(pack, "began"));
    add_fact(out, "build", json_object_get(subject, "build"));
    add_fact(out, "rules of the region", json_object_get(subject, "rules"));
    add_list(out, "document", json_object_get(subject, "documents"), "file");
    add_list(out, "model", json_object_get(subject, "models"), "name");
    add_fact(out, "audit", json_object_get(subject, "audit"));
    add_fact(out, "public keys", json_object_get(pack, "keys"));
    add_fact(out, "signed by", json_object_get(json_object_get(pack, "signer"), "id"));
    add_fact(out, "whose key is", json_object_get(json_object_get(pack, "signer"), "whose"));
    buf_add_text(out, "</table>\n");
}

static void add_sum(struct buf *out, const json_t *counts)
{
    static const char *const names[][3] = {{"pass", "pass", "pass"},
                                           {"fail", "fail", "fail"},
                                           {"not_applicable", "na", "not applicable"},
                                           {"blocked", "blocked", "blocked"}};
    buf_add_text(out, "<div class=\"sum\">");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        buf_addf(out, "<span class=\"tag %s\">%lld %s</span>", names[i][1],
                 call_count(counts, names[i][0]), names[i][2]);
    buf_add_text(out, "</div>\n");
}

void compliance_page(struct buf *out, const json_t *pack)
{
    size_t i;
    json_t *row;
    buf_add_text(out, head);
    buf_add_text(out, "<title>Controls of region ");
    add(out, text_of(pack, "region"));
    buf_add_text(out, "</title></head><body>\n<h1>Controls of region ");
    add(out, text_of(pack, "region"));
    buf_add_text(out, "</h1>\n");
    add_sum(out, json_object_get(pack, "counts"));
    buf_add_text(out, "<p class=\"small\">Provisions are those that the policy documents in force "
                      "name. This is orientation that needs counsel, "
                      "and no legal advice. The file compliance.html.sig signs this page; "
                      "compliance.json has the same.</p>\n"
                      "<table>\n<tr><th>result</th><th>control</th><th>duty</th><th>test, and what "
                      "was found</th><th>figures</th></tr>\n");
    json_array_foreach(json_object_get(pack, "controls"), i, row) add_row(out, row);
    buf_add_text(out, "</table>\n");
    add_subject(out, pack);
    buf_add_text(out, "</body></html>\n");
}
