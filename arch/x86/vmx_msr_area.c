#include "vmx.h"

static void list_init(struct vmx_msr_list *list, enum vmcs_field address, enum vmcs_field count)
{
	list->count_field = count;
	list->count = 0;
	vmcs_write(address, hv_pa(list->entries));
	vmcs_write(count, 0);
}

void vmx_msr_area_init(struct vmx_msr_area *area)
{
	list_init(&area->exit_store, VMCS_EXIT_MSR_STORE_ADDRESS, VMCS_EXIT_MSR_STORE_COUNT);
	list_init(&area->exit_load, VMCS_EXIT_MSR_LOAD_ADDRESS, VMCS_EXIT_MSR_LOAD_COUNT);
	list_init(&area->entry_load, VMCS_ENTRY_MSR_LOAD_ADDRESS, VMCS_ENTRY_MSR_LOAD_COUNT);
}

void vmx_msr_list_add(struct vmx_msr_list *list, uint32_t msr, uint64_t data)
{
	if (list->count == VMX_MSR_LIST_MAX)
		vmx_access_failed("no room in the MSR list with the count in field", list->count_field);
	list->entries[list->count++] = (struct vmx_msr_entry){ .index = msr, .data = data };
	vmcs_write(list->count_field, list->count);
}

void vmx_msr_list_add_first(struct vmx_msr_list *list, uint32_t msr, uint64_t data)
{
	vmx_msr_list_add(list, msr, data);
	list->entries[list->count - 1] = list->entries[0];
	list->entries[0] = (struct vmx_msr_entry){ .index = msr, .data = data };
}

/* The others move up: the first stays so. */
void vmx_msr_list_remove(struct vmx_msr_list *list, uint32_t msr)
{
	struct vmx_msr_entry *entry = list->entries;

	while (entry->index != msr)
		entry++;
	for (list->count--; entry < list->entries + list->count; entry++)
		*entry = entry[1];
	vmcs_write(list->count_field, list->count);
}
