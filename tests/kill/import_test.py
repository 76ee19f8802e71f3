#!/usr/bin/python3
"""zn-import killed (SIGKILL) at many points of its run. Afterwards the store opens, holds none or all of the import and all
that was there before, and a second run completes and reads back right. A user who loses this loses a store to a power
button, a full queue or an impatient Ctrl-\\.

Half of the points are system calls that make files or make them durable, one by one, by strace's fault injection; the
others, and all where strace cannot trace, are moments in time. ZN_KILLS (200) is how many; ZN_SEED chooses them.
"""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))
from support import zn  # noqa: E402

KILLS = int(os.environ.get("ZN_KILLS", 200))
SEED = int(os.environ.get("ZN_SEED", 1))
CALLS = "write,pwrite64,writev,pwritev,pwritev2,fdatasync,fsync,sync_file_range,msync,ftruncate,fallocate,rename,renameat,renameat2," \
        "link,linkat,unlink,unlinkat,mkdir,mkdirat,copy_file_range,openat,close"


def plain(frames):
    """Frames as values that compare with ==, bytes and dtypes of arrays included."""
    return [{key: (value.dtype.str, value.shape, value.tobytes()) if hasattr(value, "tobytes") else value
             for key, value in frame.items()} for frame in frames]


class Killed(zn.StoreCase):
    """Three imports: into a new room of a store, into an existing room, and into no store yet."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.file = zn.DATA / "molecules.xyz"
        cls.base = Path(cls.folder.name) / "base"
        code, output = zn.import_file(cls.base, "kept", zn.DATA / "strained_crystal.xyz")
        assert code == 0, output
        reference = Path(cls.folder.name) / "reference"
        code, output = zn.import_file(reference, "new", cls.file)
        assert code == 0, output
        with zn.Server(reference) as server:
            cls.new = plain(server.room("new", "/frames").frames())
            cls.new_frames = server.room("new").json()["frameCount"]
        with zn.Server(cls.base) as server:
            cls.kept = plain(server.room("kept", "/frames").frames())
            cls.kept_frames = server.room("kept").json()["frameCount"]

    def fresh(self, case):
        shutil.rmtree(self.store, ignore_errors=True)
        if case != "no store":
            shutil.copytree(self.base, self.store)
        return "kept" if case == "existing room" else "new"

    def command(self, room):
        return [str(zn.BIN / "zn-import"), str(self.file), "--store", str(self.store), "--room", room]

    def check(self, case, most):
        """The store after a kill: how often the import is in it."""
        times = 0
        try:
            server = zn.Server(self.store)
        except RuntimeError:
            # Killed before there was a store: the only case in which nothing opens.
            if case != "no store":
                raise
            server = None
        if server:
            with server:
                rooms = {model["id"]: model["frameCount"] for model in server.get("/api/rooms?hidden=true").json()}
                times = self.verify(server, case, rooms, most)
        return times

    def verify(self, server, case, rooms, most):
        """How often the import is in the store, whole: at most `most` times."""
        if case != "no store":
            frames = server.room("kept", "/frames", indices=f"0:{self.kept_frames}").frames()
            self.assertTrue(plain(frames) == self.kept, "frames from before the import changed")
        self.assertLessEqual(set(rooms), {"kept", "new"})
        room, before = ("kept", self.kept_frames) if case == "existing room" else ("new", 0)
        if room not in rooms:
            return 0
        times, rest = divmod(rooms[room] - before, self.new_frames)
        self.assertEqual(rest, 0, f"a part of an import: {rooms[room]} frames")
        self.assertLessEqual(times, most)
        if room == "new":  # an empty room would be half of an import
            self.assertGreater(times, 0, "a room without its frames was left behind")
        for k in range(times):
            begin = before + k * self.new_frames
            frames = server.room(room, "/frames", indices=f"{begin}:{begin + self.new_frames}").frames()
            self.assertTrue(plain(frames) == self.new, "the import does not read back right")
        return times

    def after(self, case, room):
        """True when the killed import is in the store for readers, with nothing more done."""
        seen = self.check(case, 1)
        if not seen:
            done = subprocess.run(self.command(room), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, f"the second run failed: {done.stdout[-500:]}")
            # A commit that was whole in the log, though nobody had been told, is found by the next writer: then both are in.
            times = self.check(case, 2)
            self.assertGreater(times, 0, "the second run did not complete the import")
            self.found += times == 2
        return bool(seen)

    def system_calls(self, case):
        """How often each thread's call of a kind happens in an undisturbed run: {name: largest count}; {} without strace."""
        room = self.fresh(case)
        with tempfile.NamedTemporaryFile() as log:
            try:
                done = subprocess.run(["strace", "-f", "-o", log.name, "-e", f"trace={CALLS}", *self.command(room)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
            except OSError:
                return {}
            if done.returncode:
                return {}
            counts = defaultdict(Counter)
            for thread, name in re.findall(r"^(\d+) +(\w+)\(", Path(log.name).read_text(errors="replace"), re.M):
                counts[name][thread] += 1
        return {name: max(threads.values()) for name, threads in counts.items()}

    def test_killed_at_system_calls(self):
        rng = random.Random(SEED)
        points = []
        for case in ("new room", "existing room", "no store"):
            for name, count in self.system_calls(case).items():
                # Opening and closing happen mostly while the program is loaded: those are not what this is about.
                weight = 0.2 if name in ("openat", "close") else 1.0
                points += [(case, name, n) for n in range(1, count + 1) if rng.random() < weight]
        if not points:
            self.skipTest("strace cannot trace here: all kills are by time")
        rng.shuffle(points)
        ends, self.found = Counter(), 0
        chosen = points[:KILLS // 2]
        for case, name, n in chosen:
            with self.subTest(case=case, call=name, number=n):
                room = self.fresh(case)
                subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e",
                                f"inject={name}:signal=KILL:when={n}", *self.command(room)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
                ends[self.after(case, room)] += 1
        print(f"{len(chosen)} kills at system calls: {ends[True]} after the import was whole, {ends[False]} before "
              f"({self.found} of these were found whole by the second run)", file=sys.stderr)
        self.assertGreater(ends[False], len(chosen) // 10, "the kills came too late to show anything")

    def test_killed_at_moments(self):
        rng = random.Random(SEED + 1)
        lengths = {}
        for case in ("new room", "existing room", "no store"):
            room = self.fresh(case)
            begin = time.monotonic()
            subprocess.run(self.command(room), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            lengths[case] = time.monotonic() - begin
        count = KILLS // 2 if shutil.which("strace") and self.system_calls("new room") else KILLS
        ends, self.found = Counter(), 0
        for number in range(count):
            case = ("new room", "existing room", "no store")[number % 3]
            wait = rng.uniform(0, lengths[case] * 1.1)
            with self.subTest(case=case, wait=wait):
                room = self.fresh(case)
                process = subprocess.Popen(self.command(room), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(wait)
                process.send_signal(signal.SIGKILL)
                process.wait()
                ends[self.after(case, room)] += 1
        print(f"{count} kills at moments: {ends[True]} after the import was whole, {ends[False]} before", file=sys.stderr)
        self.assertGreater(ends[False], count // 10, "the kills came too late to show anything")


if __name__ == "__main__":
    unittest.main()
