#include "node/engine/pace.h"

#include "base/must.h"

static const uint32_t knot_rows[PACE_KNOTS] = {
    1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096, 6144, 8192};

/* Before anything is known: reading the weights costs as much as computing 16 rows, the head is a quarter of the
 * body, and at 4096 positions attention costs half as much as the products. The unit is set by measuring. */
#define FIRST_ROWS  16.0
#define FIRST_HEAD  0.25
#define FIRST_DEPTH (0.5 / (FIRST_ROWS * 4096))

#define LEAST_MS     1e-6 // nothing costs nothing: a part of 0 could not grow again
#define ERROR_CUT    0.25 // of the prediction: a larger error counts as this
#define SHAPE_RATE   (1.0 / 8)
#define DRIFT_RATE   (1.0 / 32)
#define ERROR_RATE   (1.0 / 64)
#define LEARN_COARSE 8 // the first steps set the scale: their errors are not cut so much

static double clamp(double value, double low, double high)
{
    if (value < low) return low;
    return value > high ? high : value;
}

void pace_init(struct pace *pace, const struct pace_options *options)
{
    must(options->stretch_percent >= PACE_STRETCH_MIN);
    *pace =
        (struct pace){.options = *options, .narrow = FIRST_DEPTH, .wide = FIRST_DEPTH, .drift = 1};
    for (uint32_t i = 0; i < PACE_KNOTS; i++) {
        pace->body[i] = 1 + (double)knot_rows[i] / FIRST_ROWS;
        pace->head[i] = FIRST_HEAD * pace->body[i];
    }
}

void pace_add(struct pace_step *step, uint32_t position, uint32_t count, uint32_t logits)
{
    uint64_t depth = (uint64_t)count * position + (uint64_t)count * (count + 1) / 2;
    step->rows += count;
    step->logits += logits;
    if (count <= PACE_NARROW_ROWS)
        step->narrow_depth += depth;
    else
        step->wide_depth += depth;
}

/* Where `rows` lies between two knots: value = (1 - part) * knots[at] + part * knots[at + 1]. */
struct place {
    uint32_t at;
    double part;
};

static struct place place_of(uint32_t rows)
{
    uint32_t at = 0;
    while (at + 2 < PACE_KNOTS && knot_rows[at + 1] <= rows)
        at++;
    double span = knot_rows[at + 1] - knot_rows[at];
    return (struct place){at, clamp((rows - knot_rows[at]) / span, 0, 1)};
}

static double value_at(const double *knots, uint32_t rows)
{
    if (rows == 0) return 0;
    struct place place = place_of(rows);
    return (1 - place.part) * knots[place.at] + place.part * knots[place.at + 1];
}

/* Before drift. */
static double shape_of(const struct pace *pace, const struct pace_step *step)
{
    return value_at(pace->body, step->rows) + value_at(pace->head, step->logits) +
           pace->narrow * (double)step->narrow_depth + pace->wide * (double)step->wide_depth;
}

double pace_predict(const struct pace *pace, const struct pace_step *step)
{
    return pace->drift * shape_of(pace, step);
}

/* Outwards from knot `from`: more rows cost no less, and no more by the row. */
static void keep_order(double *knots, uint32_t from)
{
    for (uint32_t i = from + 1; i < PACE_KNOTS; i++) {
        double by_row = knots[i - 1] * knot_rows[i] / knot_rows[i - 1];
        knots[i] = clamp(knots[i], knots[i - 1], by_row);
    }
    for (uint32_t i = from; i-- > 0;) {
        double by_row = knots[i + 1] * knot_rows[i] / knot_rows[i + 1];
        knots[i] = clamp(knots[i], by_row, knots[i + 1]);
    }
}

static double square(double share)
{
    return share * share;
}

static double knots_weight(const double *knots, uint32_t rows, double whole)
{
    if (rows == 0) return 0;
    struct place place = place_of(rows);
    return square((1 - place.part) * knots[place.at] / whole) +
           square(place.part * knots[place.at + 1] / whole);
}

static void move_knots(double *knots, uint32_t rows, double whole, double move)
{
    if (rows == 0) return;
    struct place place = place_of(rows);
    double low = (1 - place.part) * knots[place.at] / whole;
    double high = place.part * knots[place.at + 1] / whole;
    knots[place.at] *= 1 + move * low;
    knots[place.at + 1] *= 1 + move * high;
    keep_order(knots, place.part < 0.5 ? place.at : place.at + 1);
}

/* Each number moves by its share, all of them together so that the prediction moves by SHAPE_RATE * error. */
static void move_shape(struct pace *pace, const struct pace_step *step, double error)
{
    double whole = shape_of(pace, step);
    double narrow = pace->narrow * (double)step->narrow_depth / whole;
    double wide = pace->wide * (double)step->wide_depth / whole;
    double weight = knots_weight(pace->body, step->rows, whole) +
                    knots_weight(pace->head, step->logits, whole) + square(narrow) + square(wide);
    double move = SHAPE_RATE * error / weight;
    move_knots(pace->body, step->rows, whole, move);
    move_knots(pace->head, step->logits, whole, move);
    pace->narrow *= 1 + move * narrow;
    pace->wide *= 1 + move * wide;
}

void pace_learn(struct pace *pace, const struct pace_step *step, double took_ms)
{
    if (step->rows == 0 || took_ms <= 0) return;
    double error = took_ms / pace_predict(pace, step) - 1;
    pace->learned++;
    if (pace->learned <= LEARN_COARSE) {
        // a mean of ratios, so that a strange first step is outvoted by the next
        pace->drift *= 1 + clamp(error, -0.9, 1e6) / (double)pace->learned;
        return;
    }
    error = clamp(error, -ERROR_CUT, ERROR_CUT);
    pace->error += ERROR_RATE * ((error < 0 ? -error : error) - pace->error);
    pace->drift = clamp(pace->drift * (1 + DRIFT_RATE * error), LEAST_MS, 1 / LEAST_MS);
    move_shape(pace, step, error);
}

static void set_knot(double *knots, uint32_t rows, double value)
{
    uint32_t at = 0;
    while (at + 1 < PACE_KNOTS && knot_rows[at + 1] <= rows)
        at++;
    double by_row = value / knot_rows[at];
    knots[at] = value;
    for (uint32_t i = at + 1; i < PACE_KNOTS; i++)
        knots[i] = by_row * knot_rows[i]; // until it is measured
    keep_order(knots, at);
}

/* Turn the first shape into milliseconds, so that what is never measured is of the right size. */
static void take_unit(struct pace *pace, const struct pace_step *step, double took_ms)
{
    double unit = took_ms / shape_of(pace, step);
    for (uint32_t i = 0; i < PACE_KNOTS; i++) {
        pace->body[i] *= unit;
        pace->head[i] *= unit;
    }
    pace->narrow *= unit;
    pace->wide *= unit;
    pace->drift = 1;
    pace->learned = LEARN_COARSE; // the scale is known
}

void pace_calibrate(struct pace *pace, enum pace_part part, const struct pace_step *step,
                    double took_ms)
{
    if (pace->learned < LEARN_COARSE) take_unit(pace, step, took_ms);
    double body = value_at(pace->body, step->rows);
    double head = value_at(pace->head, step->logits);
    double narrow = pace->narrow * (double)step->narrow_depth;
    double wide = pace->wide * (double)step->wide_depth;
    switch (part) {
    case PACE_BODY:
        set_knot(pace->body, step->rows, clamp(took_ms - head - narrow - wide, LEAST_MS, took_ms));
        break;
    case PACE_HEAD:
        set_knot(pace->head, step->logits,
                 clamp(took_ms - body - narrow - wide, LEAST_MS, took_ms));
        break;
    case PACE_NARROW:
        pace->narrow =
            clamp(took_ms - body - head - wide, LEAST_MS, took_ms) / (double)step->narrow_depth;
        break;
    case PACE_WIDE:
        pace->wide =
            clamp(took_ms - body - head - narrow, LEAST_MS, took_ms) / (double)step->wide_depth;
        break;
    }
}

double pace_budget(const struct pace *pace, const struct pace_step *decodes, uint32_t prompts)
{
    if (decodes->rows == 0) return PACE_ALONE_MS;
    if (pace->options.step_ms > 0) return pace->options.step_ms;
    uint32_t crowd = prompts < PACE_CROWD_MAX ? prompts : PACE_CROWD_MAX;
    double extra = (pace->options.stretch_percent - PACE_STRETCH_MIN) / 100.0;
    return pace_predict(pace, decodes) * (1 + extra * (crowd > 0 ? crowd : 1));
}

static double with_rows(const struct pace *pace, const struct pace_step *step,
                        const struct pace_ask *ask, uint32_t rows)
{
    struct pace_step more = *step;
    pace_add(&more, ask->position, rows, 0);
    return pace_predict(pace, &more);
}

/* The most rows within the budget; costs rise with rows but for the small step where a slice becomes wide. */
static uint32_t rows_within(const struct pace *pace, const struct pace_step *step, double budget_ms,
                            const struct pace_ask *ask)
{
    uint32_t low = 0;
    uint32_t high = ask->most;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (with_rows(pace, step, ask, middle) <= budget_ms)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

uint32_t pace_rows(const struct pace *pace, const struct pace_step *step, double budget_ms,
                   const struct pace_ask *ask)
{
    uint32_t rows = rows_within(pace, step, budget_ms, ask);
    uint32_t least = ask->decoding ? PACE_ROWS_LEAST : PACE_ALONE_ROWS;
    if (ask->first && rows < least) rows = least < ask->most ? least : ask->most;
    uint32_t over = (step->rows + rows) % PACE_TILE;
    // the whole step in whole tiles, unless the chunk is the prompt's end or less than a tile would stay
    if (rows < ask->most && rows >= over + PACE_TILE) rows -= over;
    return rows;
}
