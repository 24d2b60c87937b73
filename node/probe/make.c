/* qiao-probe synth: a file of a published model's shape with random weights. */
#include "node/probe/probe.h"
#include "node/probe/synth.h"

#include <string.h>

enum err probe_synth(const struct probe_conf *conf)
{
    if (!*conf->out) return err_note(ERR_INVALID, "--out FILE is missing: where to?");
    const struct synth_shape *shape = synth_shapes();
    while (shape->name && strcmp(shape->name, conf->shape) != 0)
        shape++;
    if (!shape->name) {
        return err_note(ERR_INVALID,
                        "--shape '%.40s': not one of qwen2.5-0.5b, qwen2.5-1.5b, qwen3-0.6b, tiny",
                        conf->shape);
    }
    return synth_write(conf->out, shape, conf->type, conf->seed);
}
