#!/usr/bin/env python3
"""table.py OUT: the guests' figures bare, in direct and in shared mode side by side, and how far they are apart.

OUT holds a directory `MODE-NAME` or `MODE-NAME-PROCESSOR` with a file `figures` for each run. Prints the table as
comments, then the errors as `name value` lines: each the sum of what a mode differs from bare by. A figure that not every
mode has is an error.
"""
import pathlib
import sys

MODES = ("bare", "direct", "shared")
MODELS = ("sapphire_rapids", "arrow_lake")
AMD = ("zen3", "zen4")  # their errors are figures of their own
# What must be equal, by the beginning of the figure's name, and what the sum of the differences is called.
ERRORS = {"count_instructions_": "count_error_instructions", "count_branches_": "count_error_branches",
          "pmi_": "pmi_error_figures", "guest_pmis_": "pmi_error_guest"}


def read(out):
    """figures[name][mode]; runs with another tag are other configurations and not compared here."""
    figures = {}
    for path in sorted(out.glob("*-*/figures")):
        mode, _, rest = path.parent.name.partition("-")
        _, _, tag = rest.partition("-")
        if tag and tag not in MODELS + AMD:
            continue
        for line in path.read_text().splitlines():
            name, value = line.split()
            figures.setdefault(f"{name} {tag}".rstrip(), {})[mode] = int(value)
    return figures


def main():
    figures = read(pathlib.Path(sys.argv[1]))
    names = [prefix + error for prefix in ("", "amd_") for error in ERRORS.values()]
    errors = dict.fromkeys(names, 0)
    compared = dict.fromkeys(names, 0)
    print("# " + "".join(f"{column:>15}" for column in MODES) + "  figure")
    for name, values in figures.items():
        print("# " + "".join(f"{values.get(mode, '-'):>15}" for mode in MODES) + f"  {name}")
        prefix = "amd_" if name.endswith(AMD) else ""
        for beginning, error in ERRORS.items():
            error = prefix + error
            if name.startswith(beginning):
                if set(values) != set(MODES):
                    sys.exit(f"{sys.argv[0]}: {name} was not measured in every mode")
                errors[error] += sum(abs(values[mode] - values["bare"]) for mode in MODES)
                compared[error] += 1
    for error, value in errors.items():
        if not compared[error]:
            sys.exit(f"{sys.argv[0]}: nothing was measured for {error}")
        print(error, value)
    return any(errors.values())


sys.exit(main())
