/* Checkpoints in safetensors. */
#include "fuzz.h"

const fuzz_target fuzz_tested = { fuzz_checkpoint, NULL };
