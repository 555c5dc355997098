#!/usr/bin/env python3
"""Counts the instructions of the hot paths and compares them with the figures in instructions.json.

    benches/instructions.py                     compares; fails where something takes 3 % more than it did
    benches/instructions.py --update            takes the figures anew, to be committed with what changed them
    benches/instructions.py --against REVISION  compares with the tree of a revision, counted now
    benches/instructions.py --profile echo.text_64   which functions the instructions are in

Figures are instructions of an operation: a message, a delivery, a connection. They depend on the compiler and on the C
library, so those are noted with them. Where the ones here are others, the commit that wrote the figures is counted anew
and takes their place; that is said, and so is it where that commit can't be had and nothing can be compared.

What it needs: valgrind. gungraun-runner is installed below target/ in the version that Cargo.lock names.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "benches/instructions.json"
TARGET = ROOT / "target"
WORK = TARGET / "instructions"
# A change of less is not worth a word; it can come from how the compiler lays out what nobody has touched.
LIMIT = 0.03
# Two counts of one program differ by less: the keys of hash maps are drawn anew in each run.
STEADY = 0.002


class Counted(NamedTuple):
    """A case: instructions of all it did, how many operations that were, and where callgrind's own file is."""

    instructions: int
    operations: int
    profile: Path

    @property
    def each(self):
        return self.instructions / self.operations


def main():
    options = read_options()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is needed: apt-get install valgrind")
    if options.profile:
        return print_profile(options.profile, options.top)
    if options.update:
        return update()
    if options.against:
        commit = commit_of(options.against) or sys.exit(f"git knows no revision {options.against!r} here")
        return compare(figures(count_commit(commit)), figures(count()), options.against)
    return check()


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--update", action="store_true", help="write instructions.json anew")
    what.add_argument("--against", metavar="REVISION", help="compare with this revision, counted now")
    what.add_argument("--profile", metavar="CASE", help="self instructions of each function, an operation")
    parser.add_argument("--top", type=int, default=30, help="so many functions of a profile (default 30)")
    return parser.parse_args()


def check():
    committed = json.loads(FIGURES.read_text())
    here, there = environment(), {key: value for key, value in committed["measured"].items() if key != "date"}
    now = figures(count())
    if here == there:
        return compare(committed["instructions"], now, f"figures of {committed['measured']['date']}")
    differences = [f"    {key}: {there.get(key)}, here {here[key]}" for key in here if here[key] != there.get(key)]
    shout("the figures were counted with other tools than are here:", *differences)
    commit = commit_of("HEAD", FIGURES)
    if commit is None:
        shout("NOTHING IS COMPARED: the commit that wrote them is not here either (a shallow clone?).")
        return print_table(committed["instructions"], now)
    shout(f"so {commit[:12]}, which wrote them, is counted anew, and this is compared with that.")
    compare(figures(count_commit(commit)), now, commit[:12])


def update():
    first, second = figures(count()), figures(count())
    wobbling = {name: (first[name], second[name]) for name in first if abs(change(first[name], second[name])) > STEADY}
    if wobbling:
        sys.exit("not written: two counts of the same program differ\n" + "\n".join(f"    {name}: {pair}" for name, pair in wobbling.items()))
    if FIGURES.exists():
        print_table(json.loads(FIGURES.read_text())["instructions"], first)
    measured = {"date": datetime.date.today().isoformat(), **environment()}
    FIGURES.write_text(json.dumps({"measured": measured, "instructions": first}, indent=2) + "\n")
    unsteadiest = max(abs(change(first[name], second[name])) for name in first)
    print(f"\n{FIGURES.relative_to(ROOT)} is written; a second count differed by {unsteadiest:.4%} at most")


def compare(before, now, whose):
    print(f"\ninstructions of an operation, {whose} and now")
    print_table(before, now)
    both = [name for name in now if name in before]
    worse = [name for name in both if change(before[name], now[name]) > LIMIT]
    better = [name for name in both if change(before[name], now[name]) < -LIMIT]
    new, gone = [name for name in now if name not in before], [name for name in before if name not in now]
    if better:
        print(f"\nbetter by more than {LIMIT:.0%}: {', '.join(better)}")
    for names, what in ((new, "has no figure"), (gone, "has a figure and is not counted any more")):
        for name in names:
            print(f"{name} {what}")
    if better or new or gone:
        print("commit the new figures: benches/instructions.py --update")
    for name in worse:
        print(f"WORSE by more than {LIMIT:.0%}: {name} took {before[name]:,.1f} instructions and takes {now[name]:,.1f}")
    if worse:
        print("where they are: benches/instructions.py --profile " + worse[0])
        print("where that is the price of something: benches/instructions.py --update")
    if worse or ((new or gone) and whose.startswith("figures")):
        sys.exit(1)


def print_table(before, now):
    for name, figure in now.items():
        old = before.get(name)
        told = f"{old:>12,.1f} {figure:>12,.1f} {change(old, figure):>+8.2%}" if old else f"{'':>12} {figure:>12,.1f}"
        print(f"  {name:<40}{told}")


def change(before, now):
    return now / before - 1


def shout(*lines):
    print("\n".join(["", "!" * 100, *lines, "!" * 100]), flush=True)


def figures(counted):
    return {name: round(case.each, 1) for name, case in counted.items()}


def environment():
    """What the figures hang on besides the source. Valgrind shows programs a processor of its own, up to AVX2."""
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    rustc, host = version.splitlines()[0], re.search(r"host: (.*)", version)[1]
    features = Path("/proc/cpuinfo").read_text()
    vectors = next((name for name in ("avx2", "avx", "ssse3") if f" {name} " in features), "none")
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"rustc": rustc, "target": host, "libc": " ".join(platform.libc_ver()), "valgrind": valgrind, "vectors": vectors}


def count(tree=ROOT, cases=None):
    """Builds the benchmarks of a tree and runs them below callgrind."""
    home, target = (WORK / "out", TARGET) if tree == ROOT else (WORK / "before-out", WORK / "before-target")
    path = os.pathsep.join([str(install_runner(tree)), os.environ["PATH"]])
    command = ["cargo", "bench", "--locked", "--bench", "instructions", "--"]
    command += ["--output-format=json", "--truncate-description=no", f"--home={home}"] + ([cases] if cases else [])
    env = {**os.environ, "PATH": path, "CARGO_TARGET_DIR": str(target)}
    done = subprocess.run(command, cwd=tree, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed in {tree}")
    return dict(read_case(json.loads(line), tree) for line in done.stdout.splitlines() if line.startswith("{"))


def read_case(said, tree):
    times, at_once = (int(number.replace("_", "")) for number in re.search(r",\s*([\d_]+),\s*([\d_]+)\)$", said["description"]).groups())
    instructions = said["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"]
    profile = next((tree / said["output_dir"]).glob("callgrind.*.out"))
    return f"{said['function_name']}.{said['id']}", Counted(instructions, times * at_once, profile)


def count_commit(commit):
    """Counts the tree of a commit, in a place and a build of its own: cargo tells trees in one build by their times alone.
    For the same reason its files are as old as their unpacking."""
    tree = WORK / "before"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "xm"], cwd=tree, input=archive, check=True)
    return count(tree)


def commit_of(revision, file=None):
    """The commit itself, or the last one up to it that changed a file; `None` where there is none."""
    ask = ["log", "-1", "--format=%H", revision, "--"] + ([str(file)] if file else [])
    done = subprocess.run(["git", *ask], cwd=ROOT, capture_output=True, text=True)
    commit = done.stdout.strip()
    return commit if done.returncode == 0 and commit and (file is None or commit not in edges()) else None


def edges():
    """Commits whose parents are not here, as the clone is shallow: they seem to have changed every file."""
    place = subprocess.run(["git", "rev-parse", "--git-path", "shallow"], cwd=ROOT, capture_output=True, text=True)
    file = ROOT / place.stdout.strip()
    return file.read_text().split() if place.returncode == 0 and file.is_file() else []


def install_runner(tree):
    """The folder of the gungraun-runner that the library of this tree talks with."""
    version = re.search(r'name = "gungraun"\nversion = "(.*?)"', (tree / "Cargo.lock").read_text())[1]
    folder = TARGET / "tools" / f"gungraun-runner-{version}"
    if not (folder / "bin/gungraun-runner").exists():
        print(f"installing gungraun-runner {version} into {folder}", file=sys.stderr)
        install = ["cargo", "install", "--quiet", "--locked", "--root", str(folder), "--version", version, "gungraun-runner"]
        subprocess.run(install, check=True)
    return folder / "bin"


def print_profile(name, top):
    function, _, case = name.partition(".")
    counted = count(cases=f"*::{function}::{case}")
    if name not in counted:
        sys.exit(f"there is no case {name!r}; benches/instructions.rs lists them")
    operations, profile = counted[name].operations, counted[name].profile
    by_function, files = read_profile(profile)
    print(f"{name}: {counted[name].each:,.1f} instructions, of them each function itself, and in which files")
    for function, cost in by_function.most_common(top):
        parts = ", ".join(f"{short(file)} {part / operations:.0f}" for file, part in files[function].most_common(4))
        print(f"{cost / operations:10,.1f} {cost / counted[name].instructions:6.1%}  {function}  [{parts}]")
    print(f"by line: callgrind_annotate --auto=yes {profile.relative_to(ROOT)}")


def read_profile(path):
    """Self instructions by function, and of each by file (of what was inlined), from a file of callgrind."""
    by_function, files = Counter(), defaultdict(Counter)
    function = file = None
    is_call = False
    for line in path.read_text().splitlines():
        kind, _, name = line.partition("=")
        if kind == "fn":
            function = name
        elif kind in ("fl", "fi", "fe"):
            file = name
        elif kind == "calls":
            is_call = True
        elif record := re.match(r"\d+ (\d+)$", line):
            # What stands behind a call is what the called function took.
            if not is_call:
                by_function[function] += int(record[1])
                files[function][file] += int(record[1])
            is_call = False
    return by_function, files


def short(file):
    return re.sub(r"^.*/(?:registry/src/[^/]+|library|src)/", "", file)


if __name__ == "__main__":
    main()
