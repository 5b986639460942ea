/*
 * What the test machine has beside what CPUID, PCI and the other tables tell: the way to switch it off (PIIX4: sleep type
 * 0), and where the PCI bus is. Stock OVMF puts memory of PCI devices between 2 GiB and the I/O APIC.
 */
DefinitionBlock ("", "DSDT", 2, "PMUVIS", "MACHINE ", 1)
{
	Name (\_S5, Package () { 0, 0, 0, 0 })

	Device (\_SB.PCI0)
	{
		Name (_HID, EisaId ("PNP0A03"))
		Name (_UID, 0)
		Name (_CRS, ResourceTemplate ()
		{
			WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
				0, 0x00, 0xff, 0, 0x100)
			IO (Decode16, 0xcf8, 0xcf8, 1, 8)
			WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
				0, 0x0000, 0x0cf7, 0, 0x0cf8)
			WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
				0, 0x0d00, 0xffff, 0, 0xf300)
			DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
				0, 0x000a0000, 0x000bffff, 0, 0x00020000)
			DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
				0, 0x80000000, 0xfebfffff, 0, 0x7ec00000)
		})
	}
}
