/* VMCALL: see guest-api/pmuvisor.h for what a guest may ask. */
#ifndef HV_HYPERCALL_H
#define HV_HYPERCALL_H

#include "exit.h"

enum verdict hypercall(struct cpu *cpu);

#endif
