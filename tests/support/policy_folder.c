#include "tests/support/policy_folder.h"

#include "tests/test.h"

#include "base/buf.h"

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

void policy_folder_fini(struct policy_folder *folder)
{
    char path[sizeof folder->folder + 256];
    const struct dirent *entry;
    DIR *directory = opendir(folder->folder);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", folder->folder, entry->d_name);
        if (*entry->d_name != '.') unlink(path);
    }
    closedir(directory);
    assert_int_equal(rmdir(folder->folder), 0);
    assert_int_equal(unlink(folder->keys), 0);
    assert_int_equal(rmdir(folder->root), 0);
    sign_fini(&folder->secret);
}

const char *policy_document(const char *kind, const char *name, const char *more, const char *rules)
{
    static char text[16384];
    int size = snprintf(text, sizeof text,
                        "{\"format\":\"qiao policy 1\",\"kind\":\"%s\",\"name\":\"%s\",%s"
                        "\"serial\":5,\"valid_from\":\"2026-01-01T00:00:00Z\","
                        "\"valid_until\":\"2027-01-01T00:00:00Z\",\"rules\":%s}",
                        kind, name, more, rules);
    assert_true(size > 0 && (size_t)size < sizeof text);
    return text;
}
