#include "base/sign.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ID_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

_Static_assert(SIGN_KEY_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(SIGN_SECRET_SIZE == crypto_sign_SECRETKEYBYTES, "Ed25519");
_Static_assert(SIGN_SIZE == crypto_sign_BYTES, "Ed25519");
_Static_assert(SIGN_TEXT_SIZE ==
                   sodium_base64_ENCODED_LEN(SIGN_SIZE, sodium_base64_VARIANT_ORIGINAL),
               "base64");

bool sign_is_id(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= SIGN_ID_MAX && strspn(text, ID_BYTES) == size;
}

// ---- keys and signatures -----------------------------------------------------------------------

enum err sign_make_key(struct sign_secret *out, const char *id)
{
    unsigned char key[SIGN_KEY_SIZE];
    if (!sign_is_id(id))
        return err_note(ERR_INVALID,
                        "a key's name must be 1 to %d letters, digits, '-', '_' or '.'",
                        SIGN_ID_MAX);
    *out = (struct sign_secret){0};
    memcpy(out->id, id, strlen(id) + 1);
    crypto_sign_keypair(key, out->secret);
    return ERR_OK;
}

void sign_public_of(struct sign_public *out, const struct sign_secret *secret)
{
    *out = (struct sign_public){0};
    memcpy(out->id, secret->id, sizeof out->id);
    crypto_sign_ed25519_sk_to_pk(out->key, secret->secret);
}

void sign_fini(struct sign_secret *secret)
{
    sodium_memzero(secret, sizeof *secret);
}

/* The purpose, a newline, the bytes. */
static void write_signed(struct buf *out, const char *purpose, const void *bytes, size_t size)
{
    buf_add_text(out, purpose);
    buf_add_byte(out, '\n');
    buf_add(out, bytes, size);
}

void sign_bytes(unsigned char out[SIGN_SIZE], const struct sign_secret *secret, const char *purpose,
                const void *bytes, size_t size)
{
    struct buf text = {0};
    write_signed(&text, purpose, bytes, size);
    crypto_sign_detached(out, NULL, (const unsigned char *)text.data, text.size, secret->secret);
    buf_fini(&text);
}

bool sign_check(const unsigned char key[SIGN_KEY_SIZE], const char *purpose, const void *bytes,
                size_t size, const unsigned char signature[SIGN_SIZE])
{
    struct buf text = {0};
    write_signed(&text, purpose, bytes, size);
    int wrong =
        crypto_sign_verify_detached(signature, (const unsigned char *)text.data, text.size, key);
    buf_fini(&text);
    return wrong == 0;
}

const struct sign_public *sign_find(const struct sign_keys *keys, const char *id)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->keys[i].id, id) == 0) return &keys->keys[i];
    return NULL;
}

const char *sign_text(char out[SIGN_TEXT_SIZE], const unsigned char signature[SIGN_SIZE])
{
    return sodium_bin2base64(out, SIGN_TEXT_SIZE, signature, SIGN_SIZE,
                             sodium_base64_VARIANT_ORIGINAL);
}

const char *sign_key_text(char out[SIGN_KEY_TEXT_SIZE], const unsigned char key[SIGN_KEY_SIZE])
{
    return sodium_bin2base64(out, SIGN_KEY_TEXT_SIZE, key, SIGN_KEY_SIZE,
                             sodium_base64_VARIANT_ORIGINAL);
}

bool sign_decode(const char *text, unsigned char *out, size_t size)
{
    static const int variants[] = {
        sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
        sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    for (const char *at = text; *at; at++) // which the decoder takes for '+', '/' or '_'
        if ((unsigned char)*at > '~') return false;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        size_t got = 0;
        if (sodium_base642bin(out, size, text, strlen(text), "\r\n", &got, NULL, variants[i]) ==
                0 &&
            got == size)
            return true;
    }
    return false;
}

// ---- the files ---------------------------------------------------------------------------------

enum kind {
    KIND_SECRET,
    KIND_PUBLIC,
    KIND_SIGNATURE
};

static const struct {
    const char *head, *field, *what;
    size_t size; // of the field's bytes
} kinds[] = {
    [KIND_SECRET] = {"qiao signing key 1", "secret", "signing key", crypto_sign_SEEDBYTES},
    [KIND_PUBLIC] = {"qiao public key 1", "key", "public key", SIGN_KEY_SIZE},
    [KIND_SIGNATURE] = {"qiao signature 1", "signature", "signature", SIGN_SIZE},
};

enum {
    LINE_MAX_SIZE = 128
};

/* A text by lines. */
struct reading {
    const char *name, *at, *end;
    size_t line;
    char text[LINE_MAX_SIZE + 1];
};

struct record {
    char id[SIGN_ID_MAX + 1];
    unsigned char bytes[SIGN_SIZE];
};

/* The next line that says something; false: there is none. One that is too long is cut, and then no line that is known. */
static bool next_line(struct reading *reading)
{
    while (reading->at < reading->end) {
        const char *newline = memchr(reading->at, '\n', (size_t)(reading->end - reading->at));
        const char *end = newline ? newline : reading->end;
        size_t size = (size_t)(end - reading->at);
        if (size > 0 && reading->at[size - 1] == '\r') size--;
        if (size > LINE_MAX_SIZE) size = LINE_MAX_SIZE;
        memcpy(reading->text, reading->at, size);
        reading->text[size] = '\0';
        reading->at = newline ? newline + 1 : reading->end;
        reading->line++;
        if (size > 0 && reading->text[0] != '#') return true;
    }
    return false;
}

static enum err bad_line(const struct reading *reading, const char *wanted)
{
    return err_note(ERR_FORMAT, "%s:%zu: must be '%s'", reading->name, reading->line, wanted);
}

/* What follows the word and a space; NULL: the line is another. */
static const char *value_of(const struct reading *reading, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(reading->text, word, size) != 0 || reading->text[size] != ' ') return NULL;
    return reading->text + size + 1;
}

/* The record that begins with the current line. */
static enum err read_record(struct record *out, struct reading *reading, enum kind kind)
{
    char wanted[64] = "id NAME";
    *out = (struct record){0};
    if (strcmp(reading->text, kinds[kind].head) != 0) return bad_line(reading, kinds[kind].head);
    const char *id = next_line(reading) ? value_of(reading, "id") : NULL;
    if (!id || !sign_is_id(id)) return bad_line(reading, wanted);
    memcpy(out->id, id, strlen(id) + 1);
    snprintf(wanted, sizeof wanted, "%s BASE64", kinds[kind].field);
    const char *value = next_line(reading) ? value_of(reading, kinds[kind].field) : NULL;
    if (!value || !sign_decode(value, out->bytes, kinds[kind].size))
        return err_note(ERR_FORMAT, "%s:%zu: must be '%s', of %zu bytes", reading->name,
                        reading->line, wanted, kinds[kind].size);
    return ERR_OK;
}

/* Up to `most` records; ERR_FORMAT where there is none. */
static enum err read_records(struct record *out, size_t most, size_t *count, enum kind kind,
                             struct reading *reading)
{
    *count = 0;
    while (next_line(reading)) {
        if (*count == most)
            return err_note(ERR_FORMAT, "%s:%zu: more than %zu of '%s'", reading->name,
                            reading->line, most, kinds[kind].head);
        TRY(read_record(&out[(*count)++], reading, kind));
    }
    if (*count == 0)
        return err_note(ERR_FORMAT, "%s: holds no %s: its first line must be '%s'", reading->name,
                        kinds[kind].what, kinds[kind].head);
    return ERR_OK;
}

enum err sign_parse_secret(struct sign_secret *out, const char *name, const char *text, size_t size)
{
    struct record record;
    unsigned char key[SIGN_KEY_SIZE];
    size_t count;
    struct reading reading = {.name = name, .at = text, .end = text + size};
    enum err err = read_records(&record, 1, &count, KIND_SECRET, &reading);
    if (!err) {
        *out = (struct sign_secret){0};
        memcpy(out->id, record.id, sizeof out->id);
        crypto_sign_seed_keypair(key, out->secret, record.bytes);
    }
    sodium_memzero(&record, sizeof record);
    sodium_memzero(&reading, sizeof reading);
    return err;
}

enum err sign_parse_keys(struct sign_keys *out, const char *name, const char *text, size_t size)
{
    struct record *records = mem_new(SIGN_KEYS_MAX, sizeof *records);
    struct sign_keys *keys = mem_new(1, sizeof *keys);
    size_t count;
    struct reading reading = {.name = name, .at = text, .end = text + size};
    enum err err = read_records(records, SIGN_KEYS_MAX, &count, KIND_PUBLIC, &reading);
    for (size_t i = 0; !err && i < count; i++) {
        if (sign_find(keys, records[i].id))
            err = err_note(ERR_FORMAT, "%s: the key '%s' is there twice", name, records[i].id);
        struct sign_public *key = &keys->keys[keys->count++];
        memcpy(key->id, records[i].id, sizeof key->id);
        memcpy(key->key, records[i].bytes, sizeof key->key);
    }
    if (!err) *out = *keys;
    mem_free(keys);
    mem_free(records);
    return err;
}

enum err sign_parse_signatures(struct sign_signatures *out, const char *name, const char *text,
                               size_t size)
{
    struct record *records = mem_new(SIGN_KEYS_MAX, sizeof *records);
    size_t count;
    struct reading reading = {.name = name, .at = text, .end = text + size};
    enum err err = read_records(records, SIGN_KEYS_MAX, &count, KIND_SIGNATURE, &reading);
    if (!err) out->count = count;
    for (size_t i = 0; !err && i < count; i++) {
        memcpy(out->list[i].id, records[i].id, sizeof records[i].id);
        memcpy(out->list[i].bytes, records[i].bytes, SIGN_SIZE);
    }
    mem_free(records);
    return err;
}

/* A secret that others can read is none. */
static enum err check_mode(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return err_note(ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    if (status.st_mode & (S_IRWXG | S_IRWXO))
        return err_note(ERR_FORBIDDEN,
                        "'%s' holds a secret and may be read by others than its owner: chmod 600",
                        path);
    return ERR_OK;
}

enum err sign_read_secret(struct sign_secret *out, const char *path)
{
    char *text;
    size_t size;
    TRY(check_mode(path));
    TRY(file_read(&text, &size, path, SIGN_FILE_MAX));
    enum err err = sign_parse_secret(out, path, text, size);
    sodium_memzero(text, size);
    mem_free(text);
    return err;
}

enum err sign_read_keys(struct sign_keys *out, const char *path)
{
    char *text;
    size_t size;
    TRY(file_read(&text, &size, path, SIGN_FILE_MAX));
    enum err err = sign_parse_keys(out, path, text, size);
    mem_free(text);
    return err;
}

enum err sign_read_signatures(struct sign_signatures *out, const char *path)
{
    char *text;
    size_t size;
    TRY(file_read(&text, &size, path, SIGN_FILE_MAX));
    enum err err = sign_parse_signatures(out, path, text, size);
    mem_free(text);
    return err;
}

static void write_record(struct buf *out, enum kind kind, const char *id,
                         const unsigned char *bytes)
{
    char text[SIGN_TEXT_SIZE];
    sodium_bin2base64(text, sizeof text, bytes, kinds[kind].size, sodium_base64_VARIANT_ORIGINAL);
    buf_addf(out, "%s\nid %s\n%s %s\n", kinds[kind].head, id, kinds[kind].field, text);
    sodium_memzero(text, sizeof text);
}

void sign_write_secret(struct buf *out, const struct sign_secret *secret)
{
    write_record(out, KIND_SECRET, secret->id, secret->secret); // the seed is its first half
}

void sign_write_public(struct buf *out, const struct sign_public *key)
{
    write_record(out, KIND_PUBLIC, key->id, key->key);
}

void sign_write_signature(struct buf *out, const struct sign_signature *signature)
{
    write_record(out, KIND_SIGNATURE, signature->id, signature->bytes);
}
