#!/bin/busybox sh
# One kernel after the other: sourced by /init. The processors that the first one has stopped are the second one's to
# start, by INIT and SIPI; what they were doing is over.

# start reboot|panic: the same kernel and files again, for the scenario `again`.
start() {
	local word line="" rsdp place=0x4000000-0xfffffff
	for word in $(cat /proc/cmdline); do
		case $word in
		initrd=* | crashkernel=* | test=*) ;;
		*) line="$line $word" ;;
		esac
	done
	rsdp=$(sed -n 's/^ACPI20=//p' /sys/firmware/efi/systab)
	[ "$1" = reboot ] || place=$(sed -n 's/ *\([0-9a-f]*\)-\([0-9a-f]*\) : Crash kernel/0x\1-0x\2/p' /proc/iomem)
	kexec "$1" $((${place%-*})) $((${place#*-} + 1)) $((rsdp)) /vmlinuz /initrd.img "${line# } test=again"
}

scenario_kexec() {
	echo "done kexec"
	sleep 1
	start reboot
}

# They are stopped by NMI, in its handler, and in the middle of their PMIs.
scenario_crash() {
	start panic || return
	sampling_begins
	each "$cpus" 100000
	echo "done crash"
	sleep 1
	on 0 sh -c 'echo c >/proc/sysrq-trigger'
}

scenario_again() {
	local cpu
	check again_online equal "$(cpus_in /sys/devices/system/cpu/online)" "$cpus"
	check again_counters equal "$(dmesg | awk '/generic registers:/ { print $NF }')" "$expected"
	for cpu in $(seq 0 $((cpus - 1))); do
		count_on "$cpu"
		echo "figure again_cpu${cpu}_instructions_user $(program_events instructions)"
		sample_on "$cpu" "$(stat_value /tmp/stat instructions:u)"
	done
	check again_backtraces equal "$(backtraces)" "$cpus"
}
