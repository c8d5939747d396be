/* NumPy's archives of arrays. */
#include "fuzz.h"

const fuzz_target fuzz_tested = { fuzz_checkpoint, fuzz_repair_archive };
