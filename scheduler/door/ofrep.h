/* scheduler/door/ofrep.h -- which features are open to somebody, for any SDK of OpenFeature: the OpenFeature Remote Evaluation Protocol
 * (openfeature.dev, OFREP 0.2: flags are booleans named as the features are).
 *
 *      context.targetingKey   the user, as X-Qiao-User says it; context.region and context.os as their headers say them
 *
 * It answers what a request of the user would meet (hurdles.h), but for its language, its model and the user's strikes, and denies nothing
 * itself. Thread: the loop's. */
#ifndef SCHEDULER_DOOR_OFREP_H
#define SCHEDULER_DOOR_OFREP_H

struct door;
struct http_request;

/* POST /ofrep/v1/evaluate/flags, /ofrep/v1/evaluate/flags/KEY */
void ofrep_all(struct door *door, struct http_request *request);
void ofrep_one(struct door *door, struct http_request *request);

#endif
