"""Power cuts in user space: a run is recorded with every byte it wrote, and disks are made of the record that keep what was
synced and some of the rest, torn at 512 bytes and in any order; each is judged as after any crash.

A point is a number: of the moment, and of what the disk keeps. Runs of several threads are not the same twice, so there a
number names another disk each time; the folder of what was found has the disk itself.
"""
import functools
import os
import random
from pathlib import Path

from recording import ACKNOWLEDGE, Disk, Recording, remove
from workloads import SHIM, Broken, another_boot

IMAGES = 40  # of one recording
SYNC_MICROSECONDS = 200


def points(workload, root, folder, seed):
    return [str(n) for n in range(IMAGES)]


@functools.lru_cache(maxsize=32)
def record(workload, root, seed, plant=""):
    folder = Path(root) / f"recorded-{os.getpid()}"
    workload.fresh(root, folder, seed)
    recording = Recording(folder)
    events = folder.with_suffix(".events")
    events.unlink(missing_ok=True)
    environment = {"LD_PRELOAD": str(SHIM), "ZN_CRASH_ROOT": str(folder), "ZN_CRASH_RECORD": str(events),
                   "ZN_CRASH_ACKS": str(folder / "acks"), "ZN_CRASH_SYNC": str(SYNC_MICROSECONDS), "ZN_CRASH_PLANT": plant}
    code, output = workload.execute(folder, seed, env=environment)
    if code != workload.done:
        raise Broken(f"{workload.name} does not run undisturbed: {code}: {output[-300:]}")
    recording.read(events)
    recording.code = code
    events.unlink()
    remove(folder)
    return recording


def make(recording, folder, rng):
    """Makes a disk; the program's exit code as far as anybody knew it at that moment, and words about the disk."""
    acknowledged = [at + 1 for at, event in enumerate(recording.events) if event[0] == ACKNOWLEDGE] or [len(recording.events)]
    # What was acknowledged a moment ago is what is lost most easily.
    end = rng.choice(acknowledged) if rng.random() < 0.5 else rng.randrange(1, len(recording.events) + 1)
    disk = Disk(recording)
    for number, event in enumerate(recording.events[:end]):
        disk.apply(number, event)
    remove(folder)
    style = disk.image(folder, rng)
    (folder / "acks").write_text("".join(disk.acks))
    return recording.code if end == len(recording.events) else None, f"after event {end} of {len(recording.events)}, kept: {style}"


def run_case(workload, root, folder, seed, point, plant=""):
    recording = record(workload, str(root), seed, plant)
    code, words = make(recording, folder, random.Random(f"{workload.name}/{seed}/{point}"))
    try:
        with another_boot(root):
            workload.judge(folder, seed, code, power=True)
    except Broken as found:
        raise Broken(f"{words}: {found}") from None
