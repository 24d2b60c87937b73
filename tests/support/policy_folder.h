/* tests/support/policy_folder.h -- a folder of policy documents, signed by a key that was made for it. */
#ifndef TESTS_SUPPORT_POLICY_FOLDER_H
#define TESTS_SUPPORT_POLICY_FOLDER_H

#include "base/sign.h"

#include <stddef.h>

struct policy_folder {
    char root[32], folder[64], keys[64]; // `keys`: the file of the public key
    struct sign_secret secret;
};

void policy_folder_init(struct policy_folder *out);
/* Write NAME.json, and its signature by the folder's key. */
void policy_folder_put(const struct policy_folder *folder, const char *name, const char *text);
/* The document alone: a signature that is there stays. */
void policy_folder_write(const struct policy_folder *folder, const char *name, const void *bytes,
                         size_t size);
void policy_folder_sign(const struct policy_folder *folder, const char *name, const char *text,
                        const struct sign_secret *secret, const char *purpose);
void policy_folder_remove(const struct policy_folder *folder, const char *name);
void policy_folder_fini(struct policy_folder *folder);

/* A document of this head, with more members ("" or "\"extends\":\"base\",") and rules. borrowed until the next call. */
const char *policy_document(const char *kind, const char *name, const char *more,
                            const char *rules);

#endif
