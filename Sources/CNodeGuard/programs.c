#include "casa_guard.h"

/* Written by `make bpf` from bpf/guard.bpf.c. */
const unsigned char casa_programs[] __attribute__((aligned(8))) = {
#embed "guard.bpf.o"
};
const size_t casa_programs_size = sizeof(casa_programs);

const unsigned char casa_programs_bounded[] __attribute__((aligned(8))) = {
#embed "guard-bounded.bpf.o"
};
const size_t casa_programs_bounded_size = sizeof(casa_programs_bounded);
