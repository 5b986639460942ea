#!/bin/busybox sh
# Scenarios of /init: what perf makes of the PMU's records, PEBS and LBR. Each profile goes whole to the host, where
# tests/linux/profiles compares it to the bare machine's. The programs take one path only, and count in user mode alone.

# The programs have a real-time priority: whenever they are scheduled again, the kernel makes of a period's last event
# two. They may use up all the time.
echo -1 >/proc/sys/kernel/sched_rt_runtime_us

# profile NAME FIELDS COMMAND...: `perf record` with these words, or `perf mem record`; the named fields of each sample.
profile() {
	local name=$1 fields=$2
	shift 2
	"$@" >/tmp/record 2>&1 || cat /tmp/record
	perf report --stats >/tmp/report 2>/dev/null
	check "${name}_taken" grep -q 'SAMPLE events:' /tmp/report
	check "${name}_no_loss" sh -c "! grep -q LOST /tmp/report"
	perf script -F "$fields" 2>/dev/null | machine send "$name"
	echo "figure linux_${name}_samples $(awk '/SAMPLE events:/ { print $3; exit }' /tmp/report)"
	rm -f perf.data
}

RECORD="-q -N -B -m 4M"

# The event of the second and third profile can't be in the fixed counter of instructions.
scenario_pebs() {
	check pebs_format sh -c "dmesg | grep -q 'PEBS fmt4+-baseline'"
	profile pebs_instructions ip perf record $RECORD -e instructions:upp -c 500 count run plain 200000
	profile pebs_instructions_ppp ip perf record $RECORD -e instructions:uppp -c 1009 count run plain 200000
	profile pebs_branches ip perf record $RECORD -e branches:upp -c 997 path branches 50000
	profile pebs_groups ip,iregs,brstack perf record $RECORD -b -e branches:upp -c 4999 \
		--intr-regs=ip,flags,ax,bx,cx,dx,si,di,bp,sp,r8,r9,r10,r11,r12,r13,r14,r15,xmm0,xmm15 path branches 50000
}

scenario_mem() {
	profile mem_loads ip,addr,data_src,weight perf mem record -t load --ldlat 1 --all-user $RECORD -c 96 path loads 20000
	profile mem_stores ip,addr,data_src perf mem record -t store --all-user $RECORD -c 100 path loads 20000
}

# lbr_branches DEPTH EVENT EVENT
lbr_branches() {
	check lbr_depth sh -c "dmesg | grep -q '$1-deep LBR'"
	profile lbr_any ip,brstack perf record $RECORD -b -e "$2" -c 4999 path branches 50000
	profile lbr_calls_returns ip,brstack perf record $RECORD -j any_call,any_ret,u -e "$3" -c 4999 \
		path branches 50000
}

# AMD's has no call-stack mode; and of its events conditional branches have nothing of interrupts in them.
scenario_lbr_v2() {
	lbr_branches 16 r00d1:u r00d1:u
}

scenario_lbr() {
	lbr_branches 32 instructions:u branches:u
	profile lbr_chain ip,sym perf record $RECORD --call-graph lbr -e instructions:u -c 4999 path calls 20000
}

# send_counts NAME FILE: what `perf stat -x ,` counted, without how long.
send_counts() {
	sed -e '/^#/d' -e '/^$/d' -e 's/,[0-9]*,100\.00//' "$2" | machine send "$1"
}

# The metrics are fractions of the slots, and the slots ten for each instruction: two cycles of five.
scenario_topdown() {
	perf stat -x , -o /tmp/stat --all-user -M TopdownL1 count run plain 200000
	perf stat -x , -o /tmp/group --all-user -e instructions -e \
		'{slots,topdown-retiring,topdown-bad-spec,topdown-fe-bound,topdown-be-bound}' count run plain 200000
	check topdown_metrics grep -q tma_retiring /tmp/stat
	check topdown_slots equal "$(stat_value /tmp/group slots)" $((10 * $(stat_value /tmp/group instructions)))
	check topdown_retiring [ "$(stat_value /tmp/group topdown-retiring)" -gt 0 ]
	send_counts topdown_metrics /tmp/stat
	send_counts topdown_group /tmp/group
}
