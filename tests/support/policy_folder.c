#include "tests/support/policy_folder.h"

#include "tests/test.h"

#include "base/buf.h"
#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void policy_folder_init(struct policy_folder *out)
{
    struct sign_public key;
    struct buf text = {0};
    *out = (struct policy_folder){.root = "/tmp/qiao-policy-XXXXXX"};
    assert_non_null(mkdtemp(out->root));
    snprintf(out->folder, sizeof out->folder, "%s/documents", out->root);
    snprintf(out->keys, sizeof out->keys, "%s/keys.pub", out->root);
    snprintf(out->label_key, sizeof out->label_key, "%s/label.key", out->root);
    assert_int_equal(mkdir(out->folder, 0700), 0);
    assert_int_equal(sign_make_key(&out->secret, "tester"), ERR_OK);
    sign_public_of(&key, &out->secret);
    sign_write_public(&text, &key);
    write_file(out->keys, text.data, text.size);
    buf_fini(&text);
}

void policy_folder_write(const struct policy_folder *folder, const char *name, const void *bytes,
                         size_t size)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s.json", folder->folder, name);
    write_file(path, bytes, size);
}

void policy_folder_sign(const struct policy_folder *folder, const char *name, const char *text,
                        const struct sign_secret *secret, const char *purpose)
{
    char path[160];
    struct buf record = {0};
    struct sign_signature signature = {0};
    memcpy(signature.id, secret->id, sizeof signature.id);
    sign_bytes(signature.bytes, secret, purpose, text, strlen(text));
    sign_write_signature(&record, &signature);
    snprintf(path, sizeof path, "%s/%s.json.sig", folder->folder, name);
    write_file(path, record.data, record.size);
    buf_fini(&record);
}

void policy_folder_put(const struct policy_folder *folder, const char *name, const char *text)
{
    policy_folder_write(folder, name, text, strlen(text));
    policy_folder_sign(folder, name, text, &folder->secret, "qiao policy 1");
}

void policy_folder_remove(const struct policy_folder *folder, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s.json", folder->folder, name);
    assert_int_equal(unlink(path), 0);
}

static void remove_files(const char *folder)
{
    char path[64 + 256 + 2];
    const struct dirent *entry;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (*entry->d_name != '.') unlink(path);
    }
    closedir(directory);
}

void policy_folder_fini(struct policy_folder *folder)
{
    remove_files(folder->folder);
    assert_int_equal(rmdir(folder->folder), 0);
    remove_files(folder->root);
    assert_int_equal(rmdir(folder->root), 0);
    sign_fini(&folder->secret);
}

static const char *write_document(const char *kind, const char *name, const char *more,
                                  const char *rules, const char *times)
{
    static char text[16384];
    int size = snprintf(text, sizeof text,
                        "{\"format\":\"qiao policy 1\",\"kind\":\"%s\",\"name\":\"%s\",%s"
                        "\"serial\":5,%s,\"rules\":%s}",
                        kind, name, more, times, rules);
    assert_true(size > 0 && (size_t)size < sizeof text);
    return text;
}

const char *policy_document(const char *kind, const char *name, const char *more, const char *rules)
{
    return write_document(kind, name, more, rules,
                          "\"valid_from\":\"2026-01-01T00:00:00Z\","
                          "\"valid_until\":\"2027-01-01T00:00:00Z\"");
}

static const char a_century[] =
    "\"valid_from\":\"2020-01-01T00:00:00Z\",\"valid_until\":\"2120-01-01T00:00:00Z\"";

void policy_folder_put_base(const struct policy_folder *folder, const char *rules)
{
    policy_folder_put(folder, "base", write_document("base", "base", "", rules, a_century));
}

void policy_folder_put_region(const struct policy_folder *folder, const char *name,
                              const char *rules)
{
    policy_folder_put(folder, name,
                      write_document("region", name, "\"extends\":\"base\",", rules, a_century));
}

void policy_folder_add_label_key(const struct policy_folder *folder, struct sign_keys *keys)
{
    struct sign_secret secret;
    struct buf text = {0};
    assert_int_equal(sign_make_key(&secret, "labels-1"), ERR_OK);
    sign_write_secret(&text, &secret);
    assert_int_equal(file_create(folder->label_key, 0600, text.data, text.size), ERR_OK);
    sign_public_of(&keys->keys[0], &secret);
    keys->count = 1;
    sign_fini(&secret);
    buf_fini(&text);
}
