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
}

# program_events EVENT: of what was counted so, without them: equal in every run.
program_events() {
	local far
	far=$(stat_value /tmp/stat r00c6:u)
	echo $(($(stat_value /tmp/stat "$1:u") - ${far:-0}))
}

# sample_on CPU INSTRUCTIONS: the same while another processor samples as fast as it may: what belongs to whom.
sample_on() {
	local cpu=$1 period=1000 before taken
	before=$(interrupts_of PMI "$cpu")
	on "$(beside "$cpu")" perf record -q -N -B -o /tmp/data -C "$cpu" -e instructions:u -c $period \
		taskset -c "$cpu" count run plain $SMP_TURNS
	perf report -i /tmp/data --stats >/tmp/report
	taken=$(awk '/SAMPLE events:/ { print $3; exit }' /tmp/report)
	check "smp_cpu${cpu}_samples" equal "$taken" $(($2 / period))
	check "smp_cpu${cpu}_interrupts" equal $(($(interrupts_of PMI "$cpu") - before)) "$taken"
	check "smp_cpu${cpu}_no_loss" sh -c "! grep -q LOST /tmp/report"
}

# All at a time, and perf counts on all of them. The first processor's count has perf's own waiting in it, which takes as
# many instructions as it takes: what the program itself counts there, count_on says.
all_at_once() {
	local cpu event far=""
	[ "$vendor" = Intel ] || far=,r00c6:u
	on 0 perf stat -x , -o /tmp/stat -a -A -e instructions:u,branches:u$far each "$cpus" $SMP_TURNS
	for cpu in $(seq $((cpus - 1))); do
		for event in instructions branches; do
			echo "figure smp_all_cpu${cpu}_${event}_user" $(($(all_value "$cpu" $event:u) - $(all_value "$cpu" r00c6:u)))
		done
	done
}

# all_value CPU EVENT: of `perf stat -x , -A`; 0 for an event that was not counted.
all_value() {
	awk -F , -v cpu="CPU$1" -v event="$2" '$1 == cpu && $4 == event { value = $2 } END { print value + 0 }' /tmp/stat
}

# All but the first, as many times as there are rounds.
other_cpus() {
	seq "${rounds:-1}" | sed "s/.*/$(seq -s ' ' 1 $((cpus - 1)))/"
}

# set_online CPU 0|1
set_online() {
	echo "$2" >/sys/devices/system/cpu/cpu$1/online
}

scenario_smp() {
	local cpu counted first
	check smp_online equal "$(cpus_in /sys/devices/system/cpu/online)" "$cpus"
	check smp_io_apic grep -q 'IO-APIC.*acpi' /proc/interrupts
	check smp_clock equal "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" tsc
	for cpu in $(seq 0 $((cpus - 1))); do
		count_on "$cpu"
		counted=$(program_events instructions)
		echo "figure smp_cpu${cpu}_instructions_user $counted"
		echo "figure smp_cpu${cpu}_branches_user $(program_events branches)"
		sample_on "$cpu" "$(stat_value /tmp/stat instructions:u)"
		first=${first:-$counted}
	done
	all_at_once
	for cpu in $(other_cpus); do
		set_online "$cpu" 0
		check "smp_cpu${cpu}_offline" equal "$(cpus_in /sys/devices/system/cpu/online)" $((cpus - 1))
		set_online "$cpu" 1
		check "smp_cpu${cpu}_online" equal "$(cpus_in /sys/devices/system/cpu/online)" "$cpus"
		count_on "$cpu"
		check "smp_cpu${cpu}_again" equal "$(program_events instructions)" "$first"
	done
}
