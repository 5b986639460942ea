/*
 * What a guest may ask of pmuvisor. This file may be taken by anyone, for any purpose.
 *
 * CPUID leaf 0x40000000: EAX = highest hypervisor leaf, EBX:ECX:EDX = "pmuv" "isor" 0.
 *
 * VMCALL at CPL 0 with RAX = PMUVISOR_CALL_MAGIC and RCX = the operation. Any other VMCALL is #UD.
 */
#ifndef PMUVISOR_H
#define PMUVISOR_H

#define PMUVISOR_CPUID_LEAF 0x40000000u
#define PMUVISOR_CPUID_EBX  0x76756d70u /* "pmuv" */
#define PMUVISOR_CPUID_ECX  0x726f7369u /* "isor" */
#define PMUVISOR_CPUID_EDX  0u

#define PMUVISOR_CALL_MAGIC 0x726f736976756d70ull /* "pmuvisor" */
/*
 * Start a dump of the host's counters on the serial console, unless one is under way.
 * Returns in RAX the number of bytes not yet sent, 0 when all is out. Never waits.
 */
#define PMUVISOR_CALL_DUMP 1u
/* The same, without starting one: how many bytes are still to be sent? */
#define PMUVISOR_CALL_PENDING 2u

#endif
