/* scheduler/door/me_export.h -- everything that is kept of a user, for the user to take along: one JSON object a line.
 *
 *      {"object":"export","created":…}
 *      {"object":"consent","purpose":"history","since":…}          and "personalization"
 *      {"object":"limits",…}
 *      {"object":"tag",…}        {"object":"event","source":"", …}
 *      {"object":"session","id":…,"turn_count":…}, {"object":"turn","session":…,"role":…,"content":…} …
 *      {"object":"end","complete":true,"lines":…}
 *
 * It is read a part at a time, the next one when the client has taken the last: a scheduler holds one session's text of an export, of at
 * most ME_EXPORTS_MAX at once. What does not open has an "error" in its place, and the rest comes. An export without the last line, or with "complete":false, is not whole. It asks for no consent: the user may
 * see what is kept. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_ME_EXPORT_H
#define SCHEDULER_DOOR_ME_EXPORT_H

struct door;
struct http_request;

enum {
    ME_EXPORTS_MAX = 16
};

/* GET /v1/me/export */
void me_export(struct door *door, struct http_request *request);

#endif
