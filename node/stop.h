/* node/stop.h -- SIGTERM and SIGINT as something to poll for; SIGPIPE ignored. */
#ifndef NODE_STOP_H
#define NODE_STOP_H

#include "base/err.h"

/* *bell becomes readable at each signal, without blocking; it stays open as long as the process. ERR_IO. */
enum err stop_open(int *bell);

#endif
