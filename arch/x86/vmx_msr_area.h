/*
 * The three lists of MSRs that VM exits and entries store and load. SDM Vol. 3C, "VM-Exit Controls for MSRs" and
 * "VM-Entry Controls for MSRs". Each entry costs its time at every exit or entry: a list holds only what is needed.
 */
#ifndef ARCH_X86_VMX_MSR_AREA_H
#define ARCH_X86_VMX_MSR_AREA_H

#include "vmcs.h"

#define VMX_MSR_LIST_MAX 4

struct vmx_msr_list {
	enum vmcs_field count_field;
	unsigned count;
	_Alignas(16) struct vmx_msr_entry entries[VMX_MSR_LIST_MAX]; /* "MSR Areas": 16-byte aligned */
};

struct vmx_msr_area {
	struct vmx_msr_list exit_store, exit_load, entry_load;
};

/* Empty lists; their addresses and counts go into the current VMCS. */
void vmx_msr_area_init(struct vmx_msr_area *area);
/*
 * Adds an entry. `msr` isn't in the list yet, and is none of those that such lists may not hold: x2APIC's, and FS and
 * GS base.
 */
void vmx_msr_list_add(struct vmx_msr_list *list, uint32_t msr, uint64_t data);
/* The same, as entries[0] until another comes first. */
void vmx_msr_list_add_first(struct vmx_msr_list *list, uint32_t msr, uint64_t data);
void vmx_msr_list_remove(struct vmx_msr_list *list, uint32_t msr);

/* What an exit has stored, or an entry or exit is to load, of an MSR that is in the list. */
static inline uint64_t *vmx_msr_list_data(struct vmx_msr_list *list, uint32_t msr)
{
	struct vmx_msr_entry *entry = list->entries;

	while (entry->index != msr)
		entry++;
	return &entry->data;
}

#endif
