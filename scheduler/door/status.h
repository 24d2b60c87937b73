/* scheduler/door/status.h -- what is served and how it fares: /health, /ready, /metrics,
 * /v1/models.
 *
 * /health and /ready are open to all and name no one. /metrics needs an admin's key where there
 * are keys. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_STATUS_H
#define SCHEDULER_DOOR_STATUS_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct door;
struct fleet_model;
struct http_request;

void status_health(struct door *door, struct http_request *request);
void status_ready(struct door *door, struct http_request *request);
void status_metrics(struct door *door, struct http_request *request);
void status_models(struct door *door, struct http_request *request);
void status_model(struct door *door, struct http_request *request);

/* Whether a client can ask it now: current, served by a ready node, its text pack open. */
bool status_is_served(const struct door *door, const struct fleet_model *model);
/* The served models' names, parted by ", "; how many there are. */
size_t status_list_models(const struct door *door, struct buf *out);

#endif
