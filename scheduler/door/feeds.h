/* scheduler/door/feeds.h -- feeds of second parties, for operators' tools (`qiaoctl events`); keys need `admin`.
 *
 *      POST /admin/feeds                       {"manifest": TEXT, "signature": BASE64, "skip": false}: begin, or go on
 *      GET  /admin/feeds/SOURCE                how far the latest one is
 *      POST /admin/feeds/SOURCE/NUMBER/FIRST   the next lines, NDJSON, at most 1,000 (FIRST: lines that were taken before)
 *      POST /admin/forget                      {"source": NAME, "user": U or "cursor": TEXT}: delete that source's events
 *
 * The manifest's signature is checked here, with the keys of --partners; that the lines are those of the manifest's file is
 * checked by the tool, which has the file. The tenant is the key's. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_FEEDS_H
#define SCHEDULER_DOOR_FEEDS_H

struct buf;
struct door;
struct feed;
struct http_request;

void feeds_post(struct door *door, struct http_request *request);
void feeds_show(struct door *door, struct http_request *request);
void feeds_post_lines(struct door *door, struct http_request *request); // feed_lines.c
void feeds_forget(struct door *door, struct http_request *request);     // feed_forget.c

/* Members of a feed's answer, without braces. */
void feeds_write(struct buf *out, const char *source, const struct feed *feed);

#endif
