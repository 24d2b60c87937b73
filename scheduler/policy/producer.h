/* scheduler/policy/producer.h -- a service provider's code, as it stands in ContentProducer and ContentPropagator.
 *
 *      00  1  1  91110000000000000E  1  0001
 *      |   |  |  |                   |  +-- the model or application, as the provider numbers them; 0000 with kind 0
 *      |   |  |  |                   +----- 0: not said, 1: generation, 2: propagation
 *      |   |  |  +------------------------- of an organisation its unified social credit code (GB 32100-2015), with its check character
 *      |   |  +---------------------------- what kind of number that is; 1: the above, of an organisation
 *      |   +------------------------------- 1: an organisation, 2: a person
 *      +----------------------------------- reserved
 *
 * That is the form that published metadata of such services has; of the numbers only the credit code's check character is known here. A code
 * is given to a provider, and configured: nothing makes one up.
 *
 * Pure. Thread: any. */
#ifndef SCHEDULER_POLICY_PRODUCER_H
#define SCHEDULER_POLICY_PRODUCER_H

/* NULL: the code is right; else what is wrong with it, a literal that goes on from "with …". */
const char *producer_wrong(const char *code);

#endif
