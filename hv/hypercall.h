/* VMCALL and VMMCALL: see guest-api/pmuvisor.h for what a guest may ask. */
#ifndef HV_HYPERCALL_H
#define HV_HYPERCALL_H

#include "exit.h"

#define HYPERCALLS_PER_MS 256

enum verdict hypercall(struct cpu *cpu);

#endif
