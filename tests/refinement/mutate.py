#!/usr/bin/env python3
"""mutate.py LIST BUILD COMPILE...: builds the refinement test with each line of LIST changed and expects a difference.

COMPILE is the compiler with its flags; BUILD has the test's objects. Prints one line a mutant and the two figures.
"""
import os
import subprocess
import sys

STEPS = "1000000"
TIMEOUT = 120


def parse(path):
    """Blocks set apart by blank lines: 'file: title', '-old line', '+new line'."""
    with open(path) as file:
        lines = [line for line in file.read().split("\n") if not line.startswith("#")]
    for block in "\n".join(lines).split("\n\n"):
        block = block.strip("\n")
        if not block:
            continue
        head, old, new = block.split("\n")
        if not (old.startswith("-") and new.startswith("+") and ": " in head):
            sys.exit(f"{path}: not a mutant: {head}")
        source, title = head.split(": ", 1)
        yield source, title, old[1:], new[1:]


def change(source, old, new, target):
    with open(source) as file:
        lines = file.read().split("\n")
    if lines.count(old) != 1:
        sys.exit(f"mutants: {source} has this line {lines.count(old)} times, not once: {old.strip()}")
    lines[lines.index(old)] = new
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w") as file:
        file.write("\n".join(lines))


def build(source, target, objects, compiler):
    replaced = source.removesuffix(".c") + ".o"
    others = [path for path in objects if not path.endswith("/" + replaced)]
    if len(others) != len(objects) - 1:
        sys.exit(f"mutants: {source} is no part of the refinement test")
    program = target + ".run"
    # A line less may leave a function or a variable without use: no reason not to try it.
    subprocess.run(compiler + ["-Wno-unused", "-iquote", os.path.dirname(source), "-o", program, target] + others,
                   check=True)
    return program


def found(program):
    try:
        run = subprocess.run([program, "--steps", STEPS], capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 1 and "\nthen: " in run.stdout


def main():
    listed, directory, compiler = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(os.path.join(directory, "objects")) as file:
        objects = file.read().split()
    mutants = list(parse(listed))
    count = 0
    targets = [os.path.join(directory, f"mutant-{number}", mutant[0]) for number, mutant in enumerate(mutants, 1)]
    for (source, _, old, new), target in zip(mutants, targets):
        change(source, old, new, target)
    for (source, title, _, _), target in zip(mutants, targets):
        hit = found(build(source, target, objects, compiler))
        count += hit
        print(f"{'found' if hit else 'NOT FOUND':9} {source}: {title}", flush=True)
    print(f"refinement_mutants {len(mutants)}\nrefinement_mutants_found {count}")
    sys.exit(count != len(mutants) or not mutants)


main()
