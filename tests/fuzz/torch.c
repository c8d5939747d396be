/* torch.save's files that are archives: zip, and the older tar. */
#include "fuzz.h"

const fuzz_target fuzz_tested = { fuzz_checkpoint, fuzz_repair_archive };
