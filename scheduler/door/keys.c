#include "scheduler/door/keys.h"

#include "scheduler/door/json.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

enum {
    KEYS_FILE_MAX = 4 << 20,
    KEY_SIZE_MIN = 16,
    KEY_SIZE_MAX = 512
};

struct entry {
    struct digest hash;
    struct key key;
};

struct keys {
    struct entry *entries;
    size_t count;
    struct key open;
    unsigned char secret[CONTEXT_SECRET_SIZE]; // of salts; a subkey of the one that was given
};

const struct key *keys_find(const struct keys *keys, const char *text, size_t size)
{
    const struct key *found = NULL;
    if (size == 0 || size > KEY_SIZE_MAX) return NULL;
    struct digest hash = digest_of(text, size);
    for (size_t i = 0; i < keys->count; i++) {
        if (sodium_memcmp(hash.bytes, keys->entries[i].hash.bytes, DIGEST_SIZE) == 0)
            found = &keys->entries[i].key;
    }
    return found;
}

const struct key *keys_open(const struct keys *keys)
{
    return &keys->open;
}

void keys_set_secret(struct keys *keys, const unsigned char secret[CONTEXT_SECRET_SIZE])
{
    _Static_assert(CONTEXT_SECRET_SIZE == crypto_kdf_KEYBYTES, "a key of libsodium");
    crypto_kdf_derive_from_key(keys->secret, sizeof keys->secret, 3, "qiaosalt", secret);
}

uint64_t keys_salt(const struct keys *keys, const char *tenant)
{
    unsigned char hash[crypto_generichash_BYTES_MIN];
    uint64_t salt;
    crypto_generichash(hash, sizeof hash, (const unsigned char *)tenant, strlen(tenant),
                       keys->secret, sizeof keys->secret);
    memcpy(&salt, hash, sizeof salt);
    return salt;
}

uint64_t keys_user_salt(const struct keys *keys, const char *tenant, const char *user)
{
    unsigned char hash[crypto_generichash_BYTES_MIN];
    crypto_generichash_state state;
    uint64_t salt;
    if (!*user) return keys_salt(keys, tenant);
    crypto_generichash_init(&state, keys->secret, sizeof keys->secret, sizeof hash);
    crypto_generichash_update(&state, (const unsigned char *)tenant,
                              strlen(tenant) + 1); // a NUL between them
    crypto_generichash_update(&state, (const unsigned char *)user, strlen(user));
    crypto_generichash_final(&state, hash, sizeof hash);
    memcpy(&salt, hash, sizeof salt);
    return salt ? salt : 1; // 0 shares nothing
}

size_t keys_count(const struct keys *keys)
{
    return keys->count;
}

static enum err copy_name(const json_t *object, const char *field, char out[CONTEXT_NAME_MAX + 1])
{
    const char *text = NULL;
    TRY(json_take_text(object, field, 1, CONTEXT_NAME_MAX, &text));
    if (!text) return ERR_OK;
    for (const char *at = text; *at; at++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *at))
            return json_wrong(field, "must be letters, digits, '-', '_' or '.'");
    }
    snprintf(out, CONTEXT_NAME_MAX + 1, "%s", text);
    return ERR_OK;
}

static enum err read_hash(const json_t *object, struct digest *out)
{
    const char *plain = NULL, *hash = NULL;
    TRY(json_take_text(object, "key", KEY_SIZE_MIN, KEY_SIZE_MAX, &plain));
    TRY(json_take_text(object, "key_hash", DIGEST_SIZE * 2, DIGEST_SIZE * 2, &hash));
    if (!plain == !hash) return json_wrong("key_hash", "or key must be given, and not both");
    if (plain) {
        *out = digest_of(plain, strlen(plain));
        return ERR_OK;
    }
    if (!hex_read(out->bytes, sizeof out->bytes, hash))
        return json_wrong("key_hash", "must be %d hexadecimal digits", DIGEST_SIZE * 2);
    return ERR_OK;
}

static enum err read_regions(const json_t *object, struct key *key)
{
    const json_t *list = json_find(object, "regions");
    if (!list) return ERR_OK;
    if (!json_is_array(list) || json_array_size(list) > CONTEXT_REGIONS_MAX)
        return json_wrong("regions", "must be a list of at most %d names", CONTEXT_REGIONS_MAX);
    key->regions = mem_new(json_array_size(list) + 1, sizeof *key->regions);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !*text || strlen(text) > CONTEXT_LABEL_MAX)
            return json_wrong("regions", "must hold names of 1 to %d bytes", CONTEXT_LABEL_MAX);
        if (strcmp(text, "*") == 0)
            key->any_region = true;
        else
            snprintf(key->regions[key->region_count++], CONTEXT_LABEL_MAX + 1, "%s", text);
    }
    return ERR_OK;
}

static enum err read_priority(const json_t *object, struct key *key)
{
    static const char *const names[] = {
        [WIRE_INTERACTIVE] = "interactive", [WIRE_DEFAULT] = "default", [WIRE_BATCH] = "batch"};
    const char *text = NULL;
    key->priority = WIRE_DEFAULT;
    TRY(json_take_text(object, "priority", 1, 16, &text));
    if (!text) return ERR_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            key->priority = (enum wire_priority)i;
            return ERR_OK;
        }
    }
    return json_wrong("priority", "must be interactive, default or batch");
}

static enum err read_limits(const json_t *object, struct key *key)
{
    const struct {
        const char *name;
        int64_t most;
        uint64_t *out;
    } rows[] = {
        {"requests_per_minute", INT32_MAX, &key->rule.requests_per_minute},
        {"tokens_per_minute", LIMIT_TOKENS_MAX, &key->rule.tokens_per_minute},
        {"tokens_per_day", LIMIT_TOKENS_MAX, &key->rule.tokens_per_day},
        {"streams", INT32_MAX, &key->rule.streams},
        {"user_requests_per_minute", INT32_MAX, &key->user_rule.requests_per_minute},
        {"user_tokens_per_minute", LIMIT_TOKENS_MAX, &key->user_rule.tokens_per_minute},
        {"user_tokens_per_day", LIMIT_TOKENS_MAX, &key->user_rule.tokens_per_day},
        {"user_streams", INT32_MAX, &key->user_rule.streams},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t value = 0;
        TRY(json_take_integer(object, rows[i].name, 0, rows[i].most, &value));
        *rows[i].out = (uint64_t)value;
    }
    return ERR_OK;
}

static enum err read_entry(const json_t *object, struct entry *entry)
{
    struct key *key = &entry->key;
    int64_t weight = 1;
    if (!json_is_object(object)) return json_wrong("it", "must be an object");
    TRY(read_hash(object, &entry->hash));
    TRY(copy_name(object, "id", key->id));
    if (!*key->id) return json_wrong("id", "must be given");
    memcpy(key->tenant, key->id, sizeof key->tenant);
    TRY(copy_name(object, "tenant", key->tenant));
    TRY(json_take_integer(object, "weight", 1, 1000, &weight));
    key->weight = (uint32_t)weight;
    TRY(read_limits(object, key));
    TRY(read_priority(object, key));
    TRY(read_regions(object, key));
    TRY(json_take_flag(object, "may_assert_user", NULL, &key->may_assert_user));
    TRY(json_take_flag(object, "data", NULL, &key->data));
    TRY(json_take_flag(object, "admin", NULL, &key->admin));
    key->data |= key->admin;
    return ERR_OK;
}

static enum err read_entries(struct keys *keys, const char *name, const json_t *list)
{
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > CONTEXT_KEYS_MAX)
        return err_note(ERR_INVALID, "%s: must be a list of 1 to %d keys", name, CONTEXT_KEYS_MAX);
    keys->entries = mem_new(json_array_size(list), sizeof *keys->entries);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct entry *entry = &keys->entries[keys->count++];
        if (read_entry(json_array_get(list, i), entry)) {
            char note[ERR_NOTE_MAX];
            snprintf(note, sizeof note, "%s", err_text());
            return err_note(ERR_INVALID, "%s: key %zu: %s", name, i + 1, note);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(keys->entries[j].key.id, entry->key.id) == 0)
                return err_note(ERR_INVALID, "%s: key %zu: the id '%s' is there twice", name, i + 1,
                                entry->key.id);
        }
    }
    return ERR_OK;
}

enum err keys_parse(struct keys **out, const char *name, const char *text, size_t size)
{
    json_error_t error;
    json_t *list = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!list)
        return err_note(ERR_INVALID, "%s: not valid JSON at line %d, column %d", name, error.line,
                        error.column);
    struct keys *keys = mem_new(1, sizeof *keys);
    enum err err = read_entries(keys, name, list);
    json_decref(list);
    if (err) {
        keys_free(keys);
        return err;
    }
    *out = keys;
    return ERR_OK;
}

enum err keys_new(struct keys **out, const char *path)
{
    if (!*path) {
        struct keys *keys = mem_new(1, sizeof *keys);
        keys->open = (struct key){.id = "local",
                                  .tenant = "local",
                                  .weight = 1,
                                  .priority = WIRE_DEFAULT,
                                  .any_region = true,
                                  .may_assert_user = true,
                                  .data = true,
                                  .admin = true};
        *out = keys;
        return ERR_OK;
    }
    char *text;
    size_t size;
    TRY(file_read(&text, &size, path, KEYS_FILE_MAX));
    enum err err = keys_parse(out, path, text, size);
    sodium_memzero(text, size);
    mem_free(text);
    return err;
}

void keys_free(struct keys *keys)
{
    if (!keys) return;
    for (size_t i = 0; i < keys->count; i++)
        mem_free(keys->entries[i].key.regions);
    mem_free(keys->entries);
    mem_free(keys);
}
