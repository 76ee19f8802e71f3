"""Power cuts of real file systems: ext4 and xfs on a loop device lose everything that is not in their journal or in place, by
the shutdown ioctl, while a process writes; they are mounted again, which replays their journal, and judged.

A point is FS:ack:N, the cut comes when the Nth acknowledgement is seen or the process has ended, or FS:time:SECONDS after
its start.
"""
import atexit
import ctypes
import fcntl
import functools
import multiprocessing.util
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workloads import SECONDS, SHIM, Broken, another_boot, must

SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = struct.pack("I", 2)
# The smallest that mkfs.xfs makes, and one in which ext4 has a journal.
FILE_SYSTEMS = {"ext4": (64 << 20, ["mkfs.ext4", "-q", "-F"]), "xfs": (300 << 20, ["mkfs.xfs", "-q", "-f"])}
WHY = "no root, loop devices, mkfs.ext4 and mkfs.xfs here: no power cuts of file systems"
ALL_DONE = 99
LONGEST = 0.08  # seconds; about what an undisturbed run takes


class Disk:
    """A file system on a loop device, made once and cut off from power often."""

    def __init__(self, root, kind):
        size, make = FILE_SYSTEMS[kind]
        self.kind, self.image, self.path = kind, Path(root) / f"{kind}-{os.getpid()}.img", Path(root) / f"{kind}-{os.getpid()}"
        with open(self.image, "wb") as image:
            image.truncate(size)
        must([*make, self.image], make[0])
        self.path.mkdir(exist_ok=True)
        self.mounted, self.device = False, must(["losetup", "-f", "--show", self.image], "losetup").strip()
        # In whichever way the process ends; a worker of a pool knows only the third.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        atexit.register(self.close)
        multiprocessing.util.Finalize(self, Disk.close, args=(self,), exitpriority=10)
        self.mount()

    def mount(self):
        must(["mount", "-t", self.kind, self.device, self.path], f"mounting {self.kind}")
        self.mounted = True

    def unmount(self):
        for _ in range(100):  # a process that has just been killed may still be leaving
            if subprocess.run(["umount", self.path], stderr=subprocess.DEVNULL).returncode == 0:
                self.mounted = False
                return
            time.sleep(0.02)
        raise Broken(f"{self.path} cannot be unmounted")

    def sync(self):
        with directory(self.path) as descriptor:
            ctypes.CDLL(None, use_errno=True).syncfs(descriptor)

    def cut(self):
        with directory(self.path) as descriptor:
            fcntl.ioctl(descriptor, SHUTDOWN, NO_LOG_FLUSH)

    def close(self):
        if not self.device:
            return
        if self.mounted:
            subprocess.run(["umount", "-l", self.path], stderr=subprocess.DEVNULL)
        subprocess.run(["losetup", "-d", self.device], stderr=subprocess.DEVNULL)
        self.device = ""
        self.image.unlink(missing_ok=True)


class directory:
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        return self.descriptor

    def __exit__(self, *_):
        os.close(self.descriptor)


@functools.lru_cache(maxsize=4)
def disk_of(root, kind):
    return Disk(root, kind)


@functools.lru_cache(maxsize=1)
def possible():
    if os.geteuid() != 0 or not all(shutil.which(make[0]) for _, make in FILE_SYSTEMS.values()):
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            for kind in FILE_SYSTEMS:
                disk = Disk(folder, kind)
                disk.cut()
                disk.unmount()
                disk.close()
        except (Broken, OSError):
            return False
    return True


def points(workload, root, folder, seed):
    rng = random.Random(seed)
    found = []
    for kind in FILE_SYSTEMS:
        found += [f"{kind}:ack:{n}" for n in (*range(1, getattr(workload, "steps", 0) - getattr(workload, "before", 0) + 2), ALL_DONE)]
        found += [f"{kind}:time:{rng.uniform(0, LONGEST):.4f}" for _ in range(8)]
    return found


def wait_for(process, acks, what, value):
    """Until the moment of the cut; the exit code if the process ended before."""
    begin = time.monotonic()
    while process.poll() is None and time.monotonic() - begin < SECONDS:
        if what == "time" and time.monotonic() - begin >= float(value):
            return None
        if what == "ack" and acks.exists() and acks.read_bytes().count(b"\n") >= int(value):
            return None
        time.sleep(0.0002)
    return process.returncode


def run_case(workload, root, folder, seed, point, plant=""):
    kind, what, value = point.split(":")
    disk = disk_of(str(root), kind)
    there, acks = disk.path / "case", Path(root) / f"acks-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(workload.base(str(root), seed), there, symlinks=True)
    # What was acknowledged is known elsewhere.
    acks.unlink(missing_ok=True)
    (there / "acks").symlink_to(acks)
    disk.sync()
    environment = {"LD_PRELOAD": str(SHIM), "ZN_CRASH_ROOT": str(disk.path), "ZN_CRASH_PLANT": plant} if plant else {}
    process = subprocess.Popen([str(part) for part in workload.command(there, seed)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env={**os.environ, **environment})
    code = wait_for(process, acks, what, value)
    known = acks.read_bytes() if acks.exists() else b""
    disk.cut()
    process.kill()
    process.wait()
    # What came between may be there. It need not: a sync that was under way when the file system went down may succeed, which
    # after a real power cut nobody would hear of.
    later = acks.read_bytes() if acks.exists() else b""
    disk.unmount()
    disk.mount()
    shutil.copytree(there, folder, symlinks=True)
    (folder / "acks").unlink(missing_ok=True)
    (folder / "acks").write_bytes(known)
    (folder / "acks.later").write_bytes(later)
    with another_boot(root):
        workload.judge(folder, seed, code, power=True)
