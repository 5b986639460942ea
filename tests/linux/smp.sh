#!/bin/busybox sh
# Several processors: sourced by /init.

SMP_TURNS=20000

# cpus_in FILE: how many a list such as "0-2,5" names.
cpus_in() {
	tr , '\n' <"$1" | awk -F - '{ n += NF == 2 ? $2 - $1 + 1 : 1 } END { print n }'
}

# interrupts_of LINE CPU, of /proc/interrupts.
interrupts_of() {
	awk -v line="$1:" -v column=$(($2 + 2)) '$1 == line { print $column }' /proc/interrupts
}

# on CPU COMMAND...: on that processor alone.
on() {
	local cpu=$1
	shift
	taskset -c "$cpu" "$@"
}

# Where perf itself runs while it watches CPU.
beside() {
	echo $((($1 + 1) % cpus))
}

# All that runs in user mode on one processor while the program does: perf is elsewhere. AMD's counter has the IRETs of
# interrupts in it, and the SYSRETs.
count_on() {
	local far=""
	[ "$vendor" = Intel ] || far=,r00c6:u
	on "$(beside "$1")" perf stat -x , -o /tmp/stat -C "$1" -e instructions:u,branches:u$far \
		taskset -c "$1" count run plain $SMP_TURNS
	stat_value /tmp/stat instructions:u
}

# The same without them: equal in every run.
program_on() {
	local all
	all=$(count_on "$1")
	[ "$vendor" = Intel ] || all=$((all - $(stat_value /tmp/stat r00c6:u)))
	echo "$all"
}

# The same while another processor samples as fast as it may: what belongs to whom.
sample_on() {
	local cpu=$1 period=1000 before taken
	before=$(interrupts_of PMI "$cpu")
	on "$(beside "$cpu")" perf record -q -N -B -o /tmp/data -C "$cpu" -e instructions:u -c $period \
		taskset -c "$cpu" count run plain $SMP_TURNS
	perf report -i /tmp/data --stats >/tmp/report
	taken=$(awk '/SAMPLE events:/ { print $3; exit }' /tmp/report)
	check "smp_cpu${cpu}_samples" equal "$taken" $(($(count_on "$cpu") / period))
	check "smp_cpu${cpu}_interrupts" equal $(($(interrupts_of PMI "$cpu") - before)) "$taken"
	check "smp_cpu${cpu}_no_loss" sh -c "! grep -q LOST /tmp/report"
}

# Each processor is asked by NMI where it is; the one that asks looks itself.
backtraces() {
	dmesg -c >/tmp/none
	echo l >/proc/sysrq-trigger
	dmesg | grep -c 'NMI backtrace for cpu'
}

scenario_smp() {
	local cpu counted
	check smp_online equal "$(cpus_in /sys/devices/system/cpu/online)" "$cpus"
	check smp_io_apic grep -q 'IO-APIC.*acpi' /proc/interrupts
	check smp_clock equal "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" tsc
	for cpu in $(seq 0 $((cpus - 1))); do
		counted=$(program_on "$cpu")
		echo "figure smp_cpu${cpu}_instructions_user $counted"
		echo "figure smp_cpu${cpu}_branches_user $(stat_value /tmp/stat branches:u)"
		sample_on "$cpu"
	done
	check smp_backtraces equal "$(backtraces)" "$cpus"
	for cpu in $(seq "${rounds:-1}" | sed "s/.*/$(seq -s ' ' 1 $((cpus - 1)))/"); do
		echo 0 >/sys/devices/system/cpu/cpu$cpu/online
		check "smp_cpu${cpu}_offline" equal "$(cpus_in /sys/devices/system/cpu/online)" $((cpus - 1))
		echo 1 >/sys/devices/system/cpu/cpu$cpu/online
		check "smp_cpu${cpu}_online" equal "$(cpus_in /sys/devices/system/cpu/online)" "$cpus"
		check "smp_cpu${cpu}_again" equal "$(program_on "$cpu")" "$(program_on 0)"
	done
	check smp_backtraces_again equal "$(backtraces)" "$cpus"
}
