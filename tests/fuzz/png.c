/* PNG files. */
#include "fuzz.h"

const fuzz_target fuzz_tested = { fuzz_picture, fuzz_repair_png };
