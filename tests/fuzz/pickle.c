/* torch.save's files that are pickles one after the other. */
#include "fuzz.h"

const fuzz_target fuzz_tested = { fuzz_checkpoint, NULL };
