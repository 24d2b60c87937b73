/* node/stop.h -- SIGTERM and SIGINT as something to poll for, SIGHUP as another; SIGPIPE ignored. */
#ifndef NODE_STOP_H
#define NODE_STOP_H

#include "base/err.h"

#include <stdbool.h>

/* *bell becomes readable at each SIGTERM or SIGINT, without blocking, *reload at each SIGHUP; they stay open as long as the
 * process. ERR_IO. */
enum err stop_open(int *bell, int *reload);
/* A SIGTERM or SIGINT has come. */
bool stop_asked(void);

#endif
