/* mutate.c -- libFuzzer's own changes, then the right checksums: without them most inputs would end there. */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed) {
  size = LLVMFuzzerMutate(bytes, size, room);
  if (fuzz_tested.repair && seed % 16) fuzz_tested.repair(bytes, size);
  return size;
}
