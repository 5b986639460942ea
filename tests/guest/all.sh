#!/bin/bash
# tests/guest/all.sh: every guest, bare and under pmuvisor in both modes, and the configurations that press hardest; on
# the other processors those that know what differs there; then the table and the figures, which also go to
# build/tests/guest/results.txt. Fails if anything failed.
set -eu

out=build/tests/guest/out
results=build/tests/guest/results.txt
pebs="metrics pebs pebs_counters pebs_ds pebs_memory pebs_hostile"
guests="library count reserved partition aliases overflow nmi pmi pmi_lvt pmi_x2apic memory misc uncore deviations api"
guests="$guests $pebs triple_fault returns"
models="sapphire_rapids arrow_lake"
amd_models="zen3 zen4"
amd_shared="count partition overflow nmi pmi pmi_lvt pmi_x2apic"
amd_guests="library lbr_v2 memory misc $amd_shared"
model_guests="count reserved partition aliases overflow nmi pmi deviations $pebs"
# Host counters that overflow every few instructions, so that both owners' PMIs meet at every place.
dense="'event = instructions:guest period=311' 'event = branches:guest period=97'"
# And ones that overflow in pmuvisor itself, while it answers the guest.
inside="'event = instructions period=10000' 'event = branches:host period=10007'"
# No dump in between: its serial output costs exits.
quiet="'dump = 3600s'"

cases() {
	# The long ones first, so that the last core doesn't wait for them.
	echo "TAG=long GUEST_ARGS=pmis=100000 tests/guest/run.sh shared pmi" \
		"'event = instructions:guest:user period=199' $quiet"
	echo "TAG=long GUEST_ARGS=records=100000 tests/guest/run.sh shared pebs_cost 'event = instructions'" \
		"'event = branches:guest:user period=199' $quiet"
	for model in $amd_models; do
		echo "MODEL=$model TAG=long GUEST_ARGS=pmis=100000 tests/guest/run.sh shared pmi" \
			"'event = instructions:guest:user period=199' $quiet"
	done
	for mode in bare direct shared; do
		for guest in $guests; do
			echo "tests/guest/run.sh $mode $guest"
		done
	done
	for mode in direct shared; do
		echo "tests/guest/run.sh $mode hidden 'lbr = host' 'pebs = off' 'host-fixed = 3'"
		echo "TAG=hidden GUEST_ARGS=metrics=0 tests/guest/run.sh $mode metrics 'host-fixed = 3'"
	done
	for cpus in 2 4; do
		echo "CPUS=$cpus tests/guest/run.sh bare smp"
		for mode in direct shared; do
			echo "CPUS=$cpus GUEST_ARGS=dump=1 tests/guest/run.sh $mode smp"
		done
	done
	for mode in direct shared; do
		echo "CPUS=2 tests/guest/run.sh $mode triple_fault"
	done
	# Far more samples than the serial line takes.
	echo "CPUS=2 TAG=dense-overload GUEST_ARGS=dump=1 tests/guest/run.sh shared smp $dense 'samples = serial'"
	echo "CPUS=2 TAG=inside GUEST_ARGS=dump=1 tests/guest/run.sh shared smp $inside"
	for mode in bare direct shared; do
		echo "CPUS=2 tests/guest/run.sh $mode init"
	done
	for mode in direct shared; do
		echo "CPUS=2 MODEL=zen4 tests/guest/run.sh $mode init"
	done
	echo "CPUS=2 MODEL=zen3 tests/guest/run.sh shared init"
	# A second processor waits for its start: the APIC's page is trapped.
	echo "CPUS=2 MODEL=zen4 tests/guest/run.sh direct ipi"
	echo "CPUS=2 TAG=dense tests/guest/run.sh shared init $dense"
	echo "CPUS=2 TAG=inside tests/guest/run.sh shared init $inside"
	# Everything at once; tests/guest/storms.py compares what was sent with what arrived.
	for mode in bare direct; do
		echo "CPUS=4 tests/guest/run.sh $mode stress"
	done
	echo "CPUS=4 TAG=dense tests/guest/run.sh shared stress $dense"
	echo "CPUS=4 TAG=inside tests/guest/run.sh shared stress $inside"
	for guest in lbr lbr_xsaves; do
		for model in icelake $models; do
			for mode in bare direct shared; do
				echo "MODEL=$model tests/guest/run.sh $mode $guest"
			done
		done
	done
	# The host samples the guest and pmuvisor; the LBRs are the guest's everywhere, or the host's in pmuvisor.
	for model in icelake $models; do
		for guest in lbr lbr_xsaves; do
			echo "MODEL=$model TAG=dense tests/guest/run.sh shared $guest $dense"
			echo "MODEL=$model TAG=inside tests/guest/run.sh shared $guest $inside"
			echo "MODEL=$model TAG=both-dense tests/guest/run.sh shared $guest 'lbr = both' $dense"
			echo "MODEL=$model TAG=both-inside GUEST_ARGS='switched=1 dump=1' tests/guest/run.sh shared $guest" \
				"'lbr = both' $inside"
		done
		echo "MODEL=$model tests/guest/run.sh shared lbr_host 'lbr = host' 'event = instructions:guest:user period=997'" \
			"'samples = serial' 'sample-branches = 4'"
		echo "MODEL=$model TAG=inside tests/guest/run.sh shared lbr_host 'lbr = host'" \
			"'event = instructions:guest:user period=997' 'event = branches:host period=10007'"
	done
	echo "MODEL=zen4 TAG=dense tests/guest/run.sh shared lbr_v2 $dense"
	echo "MODEL=zen4 TAG=both-inside tests/guest/run.sh shared lbr_v2 'lbr = both' $inside"
	echo "MODEL=zen4 tests/guest/run.sh shared lbr_host 'lbr = host' 'event = instructions:guest:user period=997'" \
		"'samples = serial' 'sample-branches = 4'"
	echo "MODEL=zen4 TAG=inside tests/guest/run.sh shared lbr_host 'lbr = host'" \
		"'event = instructions:guest:user period=997' 'event = branches:host period=10007'"
	for guest in library count overflow nmi pmi pmi_lvt pmi_x2apic partition $pebs; do
		echo "TAG=dense tests/guest/run.sh shared $guest $dense"
	done
	for guest in count pmi partition reserved $pebs; do
		echo "TAG=inside tests/guest/run.sh shared $guest $inside"
	done
	for model in $models; do
		for mode in bare direct shared; do
			for guest in $model_guests; do
				echo "MODEL=$model tests/guest/run.sh $mode $guest"
			done
		done
		echo "MODEL=$model TAG=dense tests/guest/run.sh shared pmi $dense"
		# Of a processor with ten counters the guest then has nine: one that only the newer registers reach.
		for guest in aliases pebs; do
			echo "MODEL=$model TAG=nine tests/guest/run.sh shared $guest 'host-counters = 1' 'event = instructions'"
		done
	done
	echo "tests/guest/run.sh direct exits 'event = instructions:host' $quiet"
	echo "tests/guest/run.sh shared exits 'event = instructions' $quiet"
	echo "CPUS=2 tests/guest/run.sh direct smp_cost 'event = instructions:host' $quiet"
	echo "CPUS=2 tests/guest/run.sh shared smp_cost 'event = instructions:guest period=1000000000000' $quiet"
	for mode in direct shared; do
		[ $mode = direct ] && event="'event = instructions:host'" || event="'event = instructions'"
		echo "tests/guest/run.sh $mode pebs_cost $event $quiet"
		echo "TAG=off GUEST_ARGS=pebs=0 tests/guest/run.sh $mode pebs_cost 'pebs = off' $event $quiet"
	done
	# The host samples root mode too, rarely: only so has it to record there.
	event="'event = branches period=10000019'"
	for model in icelake sapphire_rapids; do
		echo "MODEL=$model tests/guest/run.sh shared lbr_cost $event $quiet"
		echo "MODEL=$model TAG=host GUEST_ARGS=lbr=0 tests/guest/run.sh shared lbr_cost 'lbr = host' $event $quiet"
		echo "MODEL=$model TAG=both tests/guest/run.sh shared lbr_cost 'lbr = both' $event $quiet"
		# It samples the guest alone, and counts what root mode does.
		echo "MODEL=$model TAG=both-outside tests/guest/run.sh shared lbr_cost 'lbr = both'" \
			"'event = branches:guest period=10000019' 'event = instructions:host' $quiet"
	done
	# Cores of two kinds.
	for guest in hybrid smp; do
		echo "MODEL=arrow_lake,arrow_lake_e CPUS=4 tests/guest/run.sh bare $guest"
	done
	# Under pmuvisor each has a partition of its own.
	for mode in direct shared; do
		echo "MODEL=arrow_lake,arrow_lake_e CPUS=4 GUEST_ARGS=host-counters=2 tests/guest/run.sh $mode hybrid"
		echo "MODEL=arrow_lake,arrow_lake_e CPUS=4 GUEST_ARGS=dump=1 tests/guest/run.sh $mode smp"
	done
	for model in $amd_models; do
		for mode in bare direct; do
			for guest in $amd_guests; do
				echo "MODEL=$model tests/guest/run.sh $mode $guest"
			done
		done
		for guest in $amd_shared; do
			echo "MODEL=$model tests/guest/run.sh shared $guest"
		done
		echo "MODEL=$model tests/guest/run.sh direct exits 'event = instructions:host' $quiet"
		echo "MODEL=$model tests/guest/run.sh shared exits 'event = instructions' $quiet"
		echo "MODEL=$model TAG=dense tests/guest/run.sh shared pmi $dense"
	done
	# In xAPIC mode the guest's change of LVTPC isn't seen at once: deviation 3 of the contract, so no pmi_lvt.
	for guest in nmi overflow pmi_x2apic; do
		echo "MODEL=zen4 TAG=dense tests/guest/run.sh shared $guest $dense"
	done
	echo "MODEL=zen4 TAG=inside tests/guest/run.sh shared pmi $inside"
	# Dumps and samples all the time: SVM has no timer, so they fall between other exits and the entry.
	echo "MODEL=zen4 TAG=chatty tests/guest/run.sh shared pmi 'event = branches:guest period=3989' 'dump = 100ms'"
	echo "MODEL=zen4 tests/guest/run.sh direct api"
	for machine in "CPUS=2 MODEL=zen3" "CPUS=4 MODEL=zen4"; do
		echo "$machine tests/guest/run.sh bare smp"
		for mode in direct shared; do
			echo "$machine GUEST_ARGS=dump=1 tests/guest/run.sh $mode smp"
		done
	done
	# Late interrupts. Those that come when their overflow has been handled are nobody's, as for Linux.
	echo "SKID=4 TAG=skid GUEST_ARGS=skid=1 MODEL=zen4 tests/guest/run.sh bare pmi"
	echo "SKID=4 TAG=skid GUEST_ARGS=skid=1 MODEL=zen4 tests/guest/run.sh shared pmi_x2apic"
	echo "SKID=4 TAG=skid GUEST_ARGS=skid=1 MODEL=zen3 tests/guest/run.sh shared pmi_lvt"
	for guest in count overflow nmi lbr_v2; do
		echo "SKID=4 TAG=skid MODEL=zen4 tests/guest/run.sh bare $guest"
	done
	# No dump at all; and as many as the serial line takes.
	echo "TAG=mute tests/guest/run.sh shared count 'event = instructions' 'dump = off'"
	echo "TAG=chatty GUEST_ARGS=pmis=20000 tests/guest/run.sh direct pmi 'event = instructions:host' 'dump = 100ms'"
	echo "TAG=silent GUEST_ARGS=announced=0 tests/guest/run.sh direct library 'hypervisor-bit = off'"
	echo "TAG=samples tests/guest/run.sh shared count 'event = instructions:guest period=997' 'samples = serial'"
	echo "TAG=rdpmc tests/guest/run.sh shared count 'rdpmc = direct'"
	echo "TAG=rdpmc GUEST_ARGS=rdpmc=1 tests/guest/run.sh shared deviations 'rdpmc = direct'"
	for mode in direct shared; do
		echo "TAG=nolbr GUEST_ARGS=lbr=1 tests/guest/run.sh $mode deviations 'lbr = host'"
	done
	# The guest's own events: with no counter left for them, and on what the host's don't use.
	echo "tests/guest/run.sh shared api_events"
	echo "CPUS=2 TAG=left GUEST_ARGS=counters=3 tests/guest/run.sh direct api_events 'host-counters = 4'"
	echo "TAG=left GUEST_ARGS=counters=2 tests/guest/run.sh shared api_events 'host-counters = 4'"
	echo "CPUS=2 MODEL=zen4 TAG=left GUEST_ARGS=counters=1 tests/guest/run.sh direct api_events 'host-counters = 2'"
	echo "CPUS=2 tests/guest/run.sh direct api_page 'host-counters = 4'"
	echo "tests/guest/run.sh shared api_page 'host-counters = 4'"
	echo "MODEL=zen4 TAG=rdpmc GUEST_ARGS=rdpmc=1 tests/guest/run.sh shared api_page 'host-counters = 4' 'rdpmc = direct'"
	echo "tests/guest/run.sh shared api_storm 'host-counters = 4' 'samples = guest'"
	echo "MODEL=zen4 tests/guest/run.sh shared api_storm 'event = instructions'"
	# The host's samples, with branches and without.
	echo "tests/guest/run.sh shared api_samples 'event = instructions:guest:user period=1009' 'samples = guest'"
	echo "MODEL=zen4 TAG=branches GUEST_ARGS=branches=5 tests/guest/run.sh shared api_samples" \
		"'event = instructions:guest:user period=1009' 'samples = guest' 'lbr = host' 'sample-branches = 5'"
	echo "TAG=small GUEST_ARGS='counters=4 fixed=3' tests/guest/run.sh shared partition" \
		"'host-counters = 4' 'host-fixed = 3'"
}

# The machine's own tests run beside these.
mkdir -p "$out"
find "$out" -mindepth 1 -maxdepth 1 ! -name '*-machine_*' -exec rm -rf {} +
rm -f "$results"
failed=0
cases | xargs -d '\n' -n 1 -P "$(nproc)" tests/pool sh -c || failed=1
{
	tests/guest/table.py "$out" || failed=1
	tests/bench/figures.py "$out/direct-exits" "$out/shared-exits" || failed=1
	tests/bench/pmis.py "$out/shared-pmi-long" || failed=1
	# What Zen 4 and Zen 3 differ in has both their figures.
	tests/bench/figures.py "$out/direct-exits-zen4" "$out/shared-exits-zen4" amd_ || failed=1
	tests/bench/pmis.py "$out/shared-pmi-zen4-long" amd_ || failed=1
	tests/bench/figures.py "$out/direct-exits-zen3" "$out/shared-exits-zen3" amd_zen3_ || failed=1
	tests/bench/pmis.py "$out/shared-pmi-zen3-long" amd_zen3_ || failed=1
	tests/bench/records.py "$out" || failed=1
	tests/bench/smp.py "$out/direct-smp_cost-cpus2" "$out/shared-smp_cost-cpus2" || failed=1
	tests/guest/storms.py smp_stress "$out"/*-stress-* || failed=1
	grep -h ^api_storm_ "$out/shared-api_storm/figures" || failed=1
	grep -h ^api_stop_ "$out/shared-api_events-left/figures" || failed=1
	grep -h ^api_read_ "$out/direct-api_page-cpus2/figures" || failed=1
	echo "guest_runs $(cases | wc -l)"
} > "$results"
cat "$results"
exit $failed
