/* tests/support/policy_folder.h -- a folder of policy documents, signed by a key that was made for it. */
#ifndef TESTS_SUPPORT_POLICY_FOLDER_H
#define TESTS_SUPPORT_POLICY_FOLDER_H

#include "base/sign.h"

#include <stddef.h>

struct policy_folder {
    char root[32], folder[64], keys[64]; // `keys`: the file of the public key
    char label_key[64];                  // where policy_folder_add_label_key() puts it
    struct sign_secret secret;
};

void policy_folder_init(struct policy_folder *out);
/* Write NAME.json, and its signature by the folder's key. */
void policy_folder_put(const struct policy_folder *folder, const char *name, const char *text);
/* Put a base, or a region that stands on it, that holds for a hundred years, whatever the clock says. */
void policy_folder_put_base(const struct policy_folder *folder, const char *rules);
void policy_folder_put_region(const struct policy_folder *folder, const char *name,
                              const char *rules);
/* A key of labels and receipts, as --label-key takes it; its public half, alone, into `keys`. */
void policy_folder_add_label_key(const struct policy_folder *folder, struct sign_keys *keys);
/* The document alone: a signature that is there stays. */
void policy_folder_write(const struct policy_folder *folder, const char *name, const void *bytes,
                         size_t size);
void policy_folder_sign(const struct policy_folder *folder, const char *name, const char *text,
                        const struct sign_secret *secret, const char *purpose);
void policy_folder_remove(const struct policy_folder *folder, const char *name);
/* With all files that lie in it, and beside it in its root. */
void policy_folder_fini(struct policy_folder *folder);

/* A document of this head, with more members ("" or "\"extends\":\"base\",") and rules, of the year 2026: for tests that bring
 * their own clock. Borrowed until the next call. */
const char *policy_document(const char *kind, const char *name, const char *more,
                            const char *rules);

#endif
