"""Cases for the loader, all in one boot: driver.efi starts pmuvisor.efi once for each and says what it returned.

A case is name: (pmuvisor.conf or None, command line, (lines printed, status)).
"""
import re
import subprocess


def refused(sentence, status):
    return [f"pmuvisor: {sentence}"], status


def invalid(sentence):
    return refused(sentence, "Invalid Parameter")


def build_image(cases, pmuvisor, driver, work, name):
    files = [(driver, "/EFI/BOOT/BOOTX64.EFI"), (driver, "/driver.efi")]
    lines = []
    for case, (conf, options, _) in cases.items():
        if case.startswith("!"):
            lines.append(f"{case} {options}\n")
            continue
        if conf is not None:
            path = work / f"{case}.conf"
            path.write_bytes(conf.encode())
            files.append((path, f"/{case}/pmuvisor.conf"))
        files.append((pmuvisor, f"/{case}/pmuvisor.efi"))
        lines.append(f"\\{case}\\pmuvisor.efi {options}".strip() + "\n")
    (work / f"{name}.txt").write_text("".join(lines))
    files.append((work / f"{name}.txt", "/cases.txt"))
    image = work / f"{name}.img"
    subprocess.run(["tools/image.sh", image] + [f"{source}:{target}" for source, target in files], check=True)
    return image


def verdict(good, name, *details):
    print(f"{'ok' if good else 'not ok'} {name}")
    for detail in () if good else details:
        print(f"# {detail}")
    return good


def console(raw):
    """What a terminal would show, as far as it matters here."""
    return re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", raw.decode(errors="replace")).replace("\r", "")


def judge(cases, name, output):
    """What the loader said between the driver's two lines, for each case; and whether the driver got to its end."""
    results = []
    for case, (_, _, expected) in cases.items():
        path = case if case.startswith("!") else rf"\{case}\pmuvisor.efi"
        found = re.search(rf"\[begin {re.escape(path)}\]\n(.*?)\[end (.*?)\]\n", output, re.DOTALL)
        said = found and (found[1].splitlines(), found[2])
        results.append(verdict(said == expected, f"{name} {case}", f"expected {expected}", f"got {said}"))
    results.append(verdict("[firmware alive]" in output, f"{name} firmware-alive"))
    return bool(cases) and all(results)
