#!/bin/busybox sh
# NMIs between processors: sourced by /init. Meanwhile all of them take PMIs, as perf samples the whole machine.

# What the kernel has said so far is put aside.
put_messages_aside() {
	dmesg -c >>/tmp/messages
}

# backtraces_in FILE: of how many processors. Any NMI has one answer, also a PMI, which in the wrong moment does it again.
backtraces_in() {
	sed -n 's/.*NMI backtrace for //p' "$1" | sort -u | wc -l
}

# Each processor is asked by NMI where it is; the one that asks looks itself.
backtraces() {
	put_messages_aside
	echo l >/proc/sysrq-trigger
	dmesg >/tmp/asked
	backtraces_in /tmp/asked
}

sampling_begins() {
	on 0 perf record -q -a -N -B -m 1M -o /tmp/all -e instructions -c 20011 sleep 3600 &
	sampler=$!
	until pidof sleep >/tmp/none; do :; done
}

sampling_ends() {
	killall sleep
	wait $sampler
	perf report -i /tmp/all --stats >/tmp/report 2>/dev/null
	check nmi_sampled grep -q 'SAMPLE events:' /tmp/report
	check nmi_no_loss sh -c "! grep -q LOST /tmp/report"
	echo "figure nmi_samples $(awk '/SAMPLE events:/ { print $3; exit }' /tmp/report)"
}

# watchdog SECONDS 0|1: both detectors, of hard and soft lockups.
watchdog() {
	echo "$1" >/proc/sys/kernel/watchdog_thresh
	echo "$2" >/proc/sys/kernel/watchdog
	echo "$2" >/proc/sys/kernel/nmi_watchdog
}

# Busy for seconds, not locked up: a counter's NMI has each processor looked at, and there is nothing to say.
busy() {
	local cpu
	for cpu in $(seq 0 $((cpus - 1))); do
		interrupts_of NMI "$cpu" >/tmp/nmis$cpu
	done
	put_messages_aside
	each "$cpus" 12000000
	for cpu in $(seq 0 $((cpus - 1))); do
		check "nmi_watchdog_looks_at_cpu$cpu" [ $(($(interrupts_of NMI "$cpu") - $(cat /tmp/nmis$cpu))) -ge 2 ]
	done
	check nmi_watchdog_is_quiet sh -c '! dmesg | grep -i lockup'
}

# With its interrupts off for seconds a processor is found out, and has all others asked by NMI where they are.
lockup() {
	local cpu=$((cpus - 1))
	put_messages_aside
	on $cpu insmod /bin/lockup.ko
	dmesg >/tmp/lockup
	check nmi_lockup_found equal "$(grep 'hard LOCKUP' /tmp/lockup | sed 's/.*] //')" \
		"NMI watchdog: Watchdog detected hard LOCKUP on cpu $cpu"
	check nmi_lockup_others equal "$(backtraces_in /tmp/lockup)" $((cpus - 1))
}

# No INIT and SIPI, but an NMI brings the first processor back, which waits with its interrupts off. Linux lets only one
# of Intel's go.
first_cpu() {
	if [ "$vendor" != Intel ]; then
		check nmi_cpu0_stays [ ! -e /sys/devices/system/cpu/cpu0/online ]
		return
	fi
	set_online 0 0
	check nmi_cpu0_offline equal "$(backtraces)" $((cpus - 1))
	set_online 0 1
	check nmi_cpu0_online equal "$(backtraces)" "$cpus"
}

scenario_nmi() {
	local cpu
	echo 1 >/proc/sys/kernel/hardlockup_all_cpu_backtrace
	dmesg -n 1
	check nmi_alone equal "$(backtraces)" "$cpus"
	watchdog 1 1
	busy
	sampling_begins
	check nmi_backtraces equal "$(backtraces)" "$cpus"
	for cpu in $(other_cpus); do
		set_online "$cpu" 0
		check "nmi_backtraces_without_cpu$cpu" equal "$(backtraces)" $((cpus - 1))
		set_online "$cpu" 1
		check "nmi_backtraces_with_cpu$cpu" equal "$(backtraces)" "$cpus"
	done
	lockup
	sampling_ends
	watchdog 10 0
	first_cpu
	put_messages_aside
	check nmi_reasons_known sh -c '! grep -e "unknown reason" -e Dazed /tmp/messages'
}
