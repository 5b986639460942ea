# shellcheck shell=sh
# The guest API as perf sees it, through guest-api/linux's module. Sourced by init.

pmuvisor=/sys/bus/event_source/devices/pmuvisor

# asked COMMAND...: perf stat with the events in $events; their values are what stat_value finds in /tmp/stat.
asked() {
	perf stat -x , -o /tmp/stat -e "$events" "$@"
}

pmuvisor_value() {
	stat_value /tmp/stat "pmuvisor/$1/$2"
}

# All that there are.
samples() {
	while grep . $pmuvisor/samples; do :; done
}

scenario_api() {
	local turns=20000 plain name
	insmod /bin/pmuvisor.ko
	check module [ -d $pmuvisor/events ]
	perf list pmuvisor 2>/dev/null >/tmp/list
	for name in exits root-cycles exits-cpuid host-instructions; do
		check "list_$name" grep -q "pmuvisor/$name/" /tmp/list
	done

	events=pmuvisor/exits/,pmuvisor/root-cycles/,pmuvisor/cycles/,pmuvisor/exits-cpuid/
	asked count run cpuid $turns
	check exits_cpuid equal "$(pmuvisor_value exits-cpuid)" $turns
	check exits [ "$(pmuvisor_value exits)" -ge $turns ]
	check root_cycles [ "$(pmuvisor_value root-cycles)" -gt $turns ]
	check cycles [ "$(pmuvisor_value cycles)" -gt "$(pmuvisor_value root-cycles)" ]
	echo "figure api_linux_exits $(pmuvisor_value exits)"
	echo "figure api_linux_root_cycles $(pmuvisor_value root-cycles)"

	# A host counter and one of the guest's own count the same program; but the former lacks what exits.
	events=pmuvisor/guest-instructions/u,instructions:u
	asked count run plain 100000
	plain=$(pmuvisor_value guest-instructions u)
	check instructions equal "$(pmuvisor_value guest-instructions u)" "$(stat_value /tmp/stat instructions:u)"
	asked count run cpuid $turns
	check instructions_cpuid equal "$(pmuvisor_value guest-instructions u)" \
		$(($(stat_value /tmp/stat instructions:u) - turns))
	events=pmuvisor/host-instructions/k
	asked count run cpuid $turns
	check host_instructions [ "$(pmuvisor_value host-instructions k)" -gt $((turns * 50)) ]
	echo "figure api_linux_host_instructions $(pmuvisor_value host-instructions k)"

	# More than there are counters: the others say so.
	events=pmuvisor/guest-instructions/u,pmuvisor/guest-branches/u,pmuvisor/guest-cpu-cycles/u
	asked count run plain 100000
	check instructions_of_three equal "$(pmuvisor_value guest-instructions u)" "$plain"
	check not_counted equal "$(pmuvisor_value guest-cpu-cycles u)" '<not counted>'

	# Whatever has been taken so far is out of the way; then all there are.
	samples >/dev/null
	events=pmuvisor/samples/,pmuvisor/samples-lost/
	asked -a count run plain 1000000
	samples >/tmp/samples
	check samples [ "$(pmuvisor_value samples)" -gt 10 ]
	check samples_lost equal "$(pmuvisor_value samples-lost)" 0
	check samples_read [ "$(wc -l </tmp/samples)" -ge "$(pmuvisor_value samples)" ]
	check samples_user equal "$(grep -c ' 301$' /tmp/samples)" "$(wc -l </tmp/samples)"

	# Between two dumps: tests/linux/dumped compares. What starts a shell has CPUIDs of its own, nothing else has.
	events=pmuvisor/exits-cpuid/,pmuvisor/exits/,pmuvisor/root-cycles/,pmuvisor/windows/
	asked -a sh -c :
	echo "figure api_dumped_start $(pmuvisor_value exits-cpuid)"
	asked -a sh -c "pass() { i=0; while [ \$i -lt 30000 ]; do i=\$((i + 1)); done; }
		echo 1 >$pmuvisor/dump; pass; count run cpuid $turns; echo 1 >$pmuvisor/dump; pass"
	for name in exits-cpuid exits root-cycles windows; do
		echo "figure api_dumped_$name $(pmuvisor_value $name)"
	done
	rmmod pmuvisor
	check module_gone [ ! -d $pmuvisor ]
}
