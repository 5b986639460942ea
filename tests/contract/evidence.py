"""What a run of the tests has left in the build directory, and whether it bears out a reference."""
import re

MODES = ("bare", "direct", "shared")
UNDER_PMUVISOR = ("direct", "shared")
# What a run is called after: a processor, but for the first; several of it; or a kernel that starts another.
MACHINES = ("icelake", "sapphire_rapids", "arrow_lake", "cpus2", "cpus4", "zen3", "zen4", "zen4-cpus2", "kexec", "crash")
# Make targets whose recipe runs under tests/record.
RECORDED = ("bad-config", "demo-test", "profile-test", "qemu-test", "refinement", "round-trip", "serial-grammar")
GUEST_SOURCES = ("tests/guest", "tests/bench", "tests/machine/vmx")
FIGURES = ("results/*.txt", "tests/guest/results.txt", "linux/results.txt")
LIMIT = re.compile(r"(\w+) (=|<=) (\d+(?:\.\d+)?)$")
GOOD = re.compile(r"^(?:\w+: )?(?:ok|found)\b", re.MULTILINE)
BAD = re.compile(r"^(?:\w+: )?not (?:ok|found)\b", re.MULTILINE | re.IGNORECASE)


class Evidence:
    """Each kind of reference is a method that returns what is wrong with it, an empty list if nothing is.

    What is older than build/logs/began, the beginning of the last `make test`, is of another run and doesn't count.
    """

    def __init__(self, root, build):
        self.root, self.build = root, build
        began = build / "logs/began"
        self.since = began.stat().st_mtime if began.exists() else 0

    def complaints(self, kind, name, words):
        judge = {"guest": self.guest, "unit": self.unit, "linux": self.linux, "figure": self.figure}.get(kind)
        if kind in RECORDED and name is None:
            return self.recorded(kind, words)
        return judge(name, words) if judge and name else [f"there is no reference of the form [{kind} {name}]"]

    def fresh(self, path):
        return path.is_file() and path.stat().st_mtime >= self.since

    def read(self, path):
        return path.read_text(errors="replace").replace("\r", "") if self.fresh(path) else ""

    def guest(self, name, words):
        """All runs of tests/guest/NAME.c passed, among them one of each mode or tag or of several at once; of both modes if none is named."""
        if not any((self.root / source / f"{name}.c").exists() for source in GUEST_SOURCES):
            return [f"there is no guest {name}"]
        runs = {}
        for directory in (self.build / "tests/guest/out").glob("*"):
            mode, _, rest = directory.name.partition("-")
            if rest.split("-")[0] == name and self.fresh(directory / "verdict"):
                runs[directory.name] = ({mode, *rest.split("-")[1:]}, self.read(directory / "verdict"))
        wrong = [f"guest {run} failed" for run, (_, verdict) in sorted(runs.items()) if not verdict.startswith("ok ")]
        for word in words or UNDER_PMUVISOR:
            if not any(marks.issuperset(word.split()) for marks, _ in runs.values()):
                wrong.append(f"no run {word} of guest {name}")
        return wrong

    def unit(self, name, words):
        """tests/unit/test_NAME.c passed, and ran the tests that are named."""
        if not (self.root / "tests/unit" / f"test_{name}.c").exists():
            return [f"there is no unit test {name}"]
        log = self.read(self.build / "tests/unit" / f"test_{name}.log")
        if not re.search(r"^\[  PASSED  \] [1-9]", log, re.MULTILINE) or not log.endswith("status 0\n"):
            return [f"unit test {name} " + ("failed" if log else "did not run")]
        passed = re.findall(r"^\[       OK \] (\S+)$", log, re.MULTILINE)
        return [f"unit test {name} did not run {word}" for word in words if word not in passed]

    def linux_run(self, directory, name, checks):
        """What is wrong with the scenario in this run; None if it wasn't in it."""
        console, verdict = self.read(directory / "console"), self.read(directory / "verdict.txt")
        lines = console.split("\n")
        if f"done {name}" not in lines:
            return None
        wrong = [f"Linux {directory.name} has no check {check}" for check in checks if f"ok {check}" not in lines]
        if BAD.search(console) or not verdict.startswith("0 "):
            wrong.append(f"Linux {directory.name} failed")
        return wrong

    def linux(self, name, words):
        """The scenario ended well wherever it ran, in every mode on each machine named, with the checks named."""
        scripts = (path.read_text() for path in (self.root / "tests/linux").glob("*") if path.suffix in ("", ".sh"))
        if not any(re.search(rf"^scenario_{re.escape(name)}\(\)", script, re.MULTILINE) for script in scripts):
            return [f"there is no Linux scenario {name}"]
        modes, machines = ([word for word in words if word in known] for known in (MODES, MACHINES))
        checks = [word for word in words if word not in MODES + MACHINES]
        runs = {}
        for console in sorted((self.build / "linux").glob("*/console")):
            machine, _, mode = console.parent.name.rpartition("-")
            wrong = self.linux_run(console.parent, name, checks if mode in (modes or MODES) else [])
            if wrong is not None:
                runs[machine or MACHINES[0], mode] = wrong
        missing = [f"Linux {mode} on {machine} did not run {name}" for machine in machines or MACHINES[:1]
                   for mode in modes or MODES if (machine, mode) not in runs]
        return sum(runs.values(), missing)

    def recorded(self, name, words):
        """The step ended well, and one of its good lines has each of the words."""
        record = self.read(self.build / "records" / name)
        good = [line for line in record.split("\n") if GOOD.match(line)]
        if not good or BAD.search(record) or not record.endswith("status 0\n"):
            return [f"{name} " + ("failed" if record else "did not run")]
        return [f"{name} has not checked {word}" for word in words if not any(word in line for line in good)]

    def figure(self, name, _):
        limit = LIMIT.match(name)
        if not limit:
            return [f"{name!r} is no figure with a limit"]
        lines = [line.split() for pattern in FIGURES for path in self.build.glob(pattern)
                 for line in self.read(path).split("\n")]
        values = [float(line[1]) for line in lines if len(line) == 2 and line[0] == limit[1]]
        if not values:
            return [f"no figure {limit[1]} was measured"]
        bound = float(limit[3])
        return [f"{limit[1]} is {value:g}, not {limit[2]} {limit[3]}" for value in values
                if value != bound and (limit[2] == "=" or value > bound)]
