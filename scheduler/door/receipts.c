#include "scheduler/door/receipts.h"

#include "scheduler/door/door.h"
#include "scheduler/door/govern.h"
#include "scheduler/door/http.h"
#include "scheduler/policy/gate.h"
#include "scheduler/policy/label.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/receipt.h"

#include <stdio.h>

bool receipts_write(struct buf *out, const struct receipts_order *order)
{
    const struct rules *rules = order->governed ? order->governed->rules : NULL;
    const struct sign_secret *secret = labeller_secret(order->door->labeller);
    if (!rules || !secret) return false;
    struct receipt receipt = {.build = QIAO_VERSION,
                              .policy = rules->digest,
                              .epoch = order->door->gate ? gate_epoch(order->door->gate) : 0,
                              .time_ms = order->time_ms};
    if (order->model) receipt.model = *order->model;
    snprintf(receipt.answer, sizeof receipt.answer, "%s", order->answer);
    snprintf(receipt.label, sizeof receipt.label, "%s", order->label);
    snprintf(receipt.region, sizeof receipt.region, "%s", rules->region);
    snprintf(receipt.feature, sizeof receipt.feature, "%s", feature_name(order->governed->feature));
    receipt_sign(&receipt, secret);
    receipt_write(out, &receipt);
    return true;
}

void receipts_set_header(const struct door *door, struct http_request *request,
                         const struct governed *governed, const struct digest *model)
{
    struct buf text = {0};
    const struct receipts_order order = {.door = door,
                                         .governed = governed,
                                         .model = model,
                                         .answer = http_id(request),
                                         .label = "",
                                         .time_ms = clock_wall_ms()};
    if (receipts_write(&text, &order)) http_set_header(request, "X-Qiao-Receipt", text.data);
    buf_fini(&text);
}
