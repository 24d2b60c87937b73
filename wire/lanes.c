#include "wire/lanes.h"

#include "wire/frame.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"

struct parcel {
    struct parcel *next;
    char *bytes;
    size_t size;
};

void lanes_init(struct lanes *lanes, size_t limit)
{
    *lanes = (struct lanes){.limit = limit};
}

static struct parcel *pop(struct lanes *lanes, enum lane lane)
{
    struct parcel *parcel = lanes->first[lane];
    lanes->first[lane] = parcel->next;
    if (!parcel->next) lanes->last[lane] = NULL;
    lanes->bytes -= parcel->size;
    return parcel;
}

static void parcel_free(struct parcel *parcel)
{
    mem_free(parcel->bytes);
    mem_free(parcel);
}

void lanes_fini(struct lanes *lanes)
{
    for (enum lane lane = LANE_URGENT; lane < LANE_COUNT; lane++)
        while (lanes->first[lane])
            parcel_free(pop(lanes, lane));
}

bool lanes_put(struct lanes *lanes, enum lane lane, struct buf *frame)
{
    must(lane < LANE_COUNT && frame->size >= FRAME_HEADER_SIZE);
    if (frame->size > lanes->limit - lanes->bytes) return false;
    struct parcel *parcel = mem_new(1, sizeof *parcel);
    parcel->size = frame->size;
    parcel->bytes = buf_take(frame);
    if (lanes->last[lane])
        lanes->last[lane]->next = parcel;
    else
        lanes->first[lane] = parcel;
    lanes->last[lane] = parcel;
    lanes->bytes += parcel->size;
    return true;
}

static enum lane next_lane(const struct lanes *lanes)
{
    enum lane lane = LANE_URGENT;
    while (lane < LANE_COUNT && !lanes->first[lane])
        lane++;
    return lane;
}

void lanes_take(struct lanes *lanes, struct buf *out)
{
    size_t taken = 0;
    for (;;) {
        enum lane lane = next_lane(lanes);
        if (lane == LANE_COUNT) return;
        size_t size = lanes->first[lane]->size;
        if (taken > 0 && taken + size > LANES_BATCH_BYTES) return;
        struct parcel *parcel = pop(lanes, lane);
        frame_number((uint8_t *)parcel->bytes, lanes->sequence++);
        buf_add(out, parcel->bytes, parcel->size);
        parcel_free(parcel);
        taken += size;
    }
}
