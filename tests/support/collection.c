#include "tests/support/collection.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

#include <jansson.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_file(const char *folder, const char *name)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    must(file != NULL);
    return file;
}

static void add_text(char ***texts, size_t *count, char *text)
{
    *texts = mem_resize(*texts, *count + 1, sizeof **texts);
    (*texts)[(*count)++] = text;
}

/* Everything between the line of a number and the one that ends the record, but for lines of tags: a title's end is no word of a
 * query. */
static void read_trec(FILE *file, const char *begin, const char *end, char ***texts, size_t *count)
{
    char line[4096];
    struct buf text = {0};
    bool inside = false;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, begin, strlen(begin)) == 0) {
            inside = true;
        } else if (strncmp(line, end, strlen(end)) == 0) {
            add_text(texts, count, buf_take(&text));
            inside = false;
        } else if (inside && line[0] != '<') {
            buf_add_text(&text, line);
        }
    }
    buf_fini(&text);
    fclose(file);
}

static void want(struct collection_query *query, uint32_t document)
{
    query->wanted = mem_resize(query->wanted, query->wanted_count + 1, sizeof *query->wanted);
    query->wanted[query->wanted_count++] = document;
}

void collection_read_vaswani(struct collection *out, const char *folder)
{
    char **texts = NULL, line[256];
    size_t count = 0;
    *out = (struct collection){0};
    read_trec(open_file(folder, "docs.trec"), "<DOCNO>", "</DOC>", &out->documents, &out->count);
    read_trec(open_file(folder, "queries.trec"), "<num>", "</top>", &texts, &count);
    out->queries = mem_new(count, sizeof *out->queries);
    out->query_count = count;
    for (size_t i = 0; i < count; i++)
        out->queries[i].text = texts[i];
    mem_free(texts);
    FILE *file = open_file(folder, "qrels");
    unsigned query, document;
    while (fscanf(file, "%u %*u %u %*u", &query, &document) == 2)
        want(&out->queries[query - 1], document - 1);
    fclose(file);
    file = open_file(folder, "stopwords.txt");
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        add_text(&out->stops, &out->stop_count, mem_copy_text(line));
    }
    fclose(file);
}

static void read_passage(struct collection *out, const json_t *paragraph)
{
    size_t at;
    json_t *question;
    uint32_t document = (uint32_t)out->count;
    add_text(&out->documents, &out->count,
             mem_copy_text(json_string_value(json_object_get(paragraph, "context"))));
    json_array_foreach(json_object_get(paragraph, "qas"), at, question)
    {
        out->queries = mem_resize(out->queries, out->query_count + 1, sizeof *out->queries);
        struct collection_query *query = &out->queries[out->query_count++];
        *query = (struct collection_query){
            .text = mem_copy_text(json_string_value(json_object_get(question, "question")))};
        want(query, document);
    }
}

void collection_read_cmrc(struct collection *out, const char *folder)
{
    json_error_t error;
    FILE *file = open_file(folder, "dev.json");
    json_t *root = json_loadf(file, 0, &error), *article, *paragraph;
    size_t i, j;
    must(root != NULL);
    fclose(file);
    *out = (struct collection){0};
    json_array_foreach(json_object_get(root, "data"), i, article)
    {
        json_array_foreach(json_object_get(article, "paragraphs"), j, paragraph)
            read_passage(out, paragraph);
    }
    json_decref(root);
}

void collection_fini(struct collection *collection)
{
    for (size_t i = 0; i < collection->count; i++)
        mem_free(collection->documents[i]);
    for (size_t i = 0; i < collection->query_count; i++) {
        mem_free(collection->queries[i].text);
        mem_free(collection->queries[i].wanted);
    }
    for (size_t i = 0; i < collection->stop_count; i++)
        mem_free(collection->stops[i]);
    mem_free(collection->documents);
    mem_free(collection->queries);
    mem_free(collection->stops);
}

static bool is_wanted(const struct collection_query *query, uint32_t document)
{
    for (size_t i = 0; i < query->wanted_count; i++)
        if (query->wanted[i] == document) return true;
    return false;
}

double collection_average_precision(const struct collection_query *query, const uint32_t *ranking,
                                    size_t count)
{
    double sum = 0;
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        if (is_wanted(query, ranking[i])) sum += (double)++found / (double)(i + 1);
    return query->wanted_count ? sum / (double)query->wanted_count : 0;
}

double collection_ndcg(const struct collection_query *query, const uint32_t *ranking, size_t count)
{
    double gain = 0, ideal = 0;
    for (size_t i = 0; i < count; i++)
        if (is_wanted(query, ranking[i])) gain += 1 / log2((double)i + 2);
    for (size_t i = 0; i < query->wanted_count; i++)
        ideal += 1 / log2((double)i + 2);
    return ideal > 0 ? gain / ideal : 0;
}

double collection_reciprocal_rank(const struct collection_query *query, const uint32_t *ranking,
                                  size_t count, size_t depth)
{
    for (size_t i = 0; i < count && i < depth; i++)
        if (is_wanted(query, ranking[i])) return 1 / (double)(i + 1);
    return 0;
}
