"""What is run when the crash comes: a folder as it was before, a command, and what must be in the folder afterwards.

Most are plans of zn-crash-driver, whose judge knows every byte; the others are the real programs, judged by a reference
that an undisturbed run made.
"""
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("ZN_BIN", SOURCE / "build/release/bin"))
DRIVER = BIN / "zn-crash-driver"
SHIM = BIN / "libzn-crash-shim.so"
SECONDS = 60  # more than anything here takes, by far


@contextlib.contextmanager
def another_boot(root):
    """Programs believe that the machine was started again, as after a power cut."""
    path = Path(root) / f"boot-{os.getpid()}"
    path.write_text(f"{uuid.uuid4()}\n")
    os.environ.update(LD_PRELOAD=str(SHIM), ZN_CRASH_BOOT=str(path))
    try:
        yield
    finally:
        del os.environ["LD_PRELOAD"], os.environ["ZN_CRASH_BOOT"]


class Broken(Exception):
    """What the judge found; the message says it."""


def run(command, **options):
    """Exit code (124: it did not end) and output of a program that is not disturbed."""
    try:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=SECONDS, **options)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as end:
        return 124, (end.stdout or b"").decode(errors="replace") + "\ndid not end"


def spawn(command, env=None):
    """Exit code, negative: the signal; None: it had to be ended; and output."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True, env={**os.environ, **(env or {})})
    try:
        output, _ = process.communicate(timeout=SECONDS)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        code = None
    return code, output.decode(errors="replace")


def must(command, what, codes=(0,)):
    code, output = run(command)
    if code not in codes:
        raise Broken(f"{what}: exit code {code}: {output.strip()[-600:]}")
    return output


def fsck(store):
    must([BIN / "zn-fsck", "--level", "deep", "--threads", 1, store], "zn-fsck --level deep")


def dump(store):
    """Room -> hash and version of every frame; by opening the store for writing, as after any crash."""
    return json.loads(must([DRIVER, "dump", store], "opening it"))


class Workload:
    """`folder` is one case's own. `seed` varies what is done."""
    name = ""
    # Programs that may be killed and refused without harm end with these exit codes; any other is a bug of theirs.
    codes = (0,)
    done = 0  # the one that says that all is done
    kinds = ("kill", "fail", "image", "cut")  # of crash that it can have

    def prepare(self, folder, seed):
        """Makes the folder as it is before: once for a seed, and copied for each case."""

    def command(self, folder, seed):
        raise NotImplementedError

    def execute(self, folder, seed, prefix=(), env=None):
        """Runs it to its end, behind `prefix` (a tracer): exit code, None if it had to be ended, and output."""
        return spawn([*prefix, *self.command(folder, seed)], env)

    def judge(self, folder, seed, code, power=False):
        """Raises Broken. `code`: of the program if it ended by itself; None if it did not. `power`: the power was cut."""
        raise NotImplementedError

    @functools.lru_cache(maxsize=64)
    def base(self, root, seed):
        folder = Path(root) / "bases" / f"{self.name}-{seed}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.prepare(folder, seed)
        return folder

    def fresh(self, root, folder, seed):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.base(str(root), seed), folder, symlinks=True)


class Planned(Workload):
    """Steps of zn-crash-driver."""
    codes = (0, 3)

    def __init__(self, name, before, steps, options=()):
        self.name, self.before, self.steps, self.options = name, before, steps, list(options)

    def prepare(self, folder, seed):
        if self.before:
            must([DRIVER, "run", self.name, folder / "store", seed, 0, self.before, folder / "base.acks"], "the base")
            (folder / "base.acks").unlink()

    def command(self, folder, seed):
        return [DRIVER, "run", self.name, folder / "store", seed, self.before, self.steps, folder / "acks", *self.options]

    def judge(self, folder, seed, code, power=False):
        must([DRIVER, "judge", self.name, folder / "store", seed, self.before, self.steps, folder / "acks",
              *folder.glob("acks.later")], "judge")
        fsck(folder / "store")


class TornTail(Planned):
    """The same after a crash: the log ends with a part of a group, and nobody has recovered it yet."""

    def prepare(self, folder, seed):
        super().prepare(folder, seed)
        log = folder / "store/log/000001.log"
        with log.open("ab") as out:
            out.write(log.read_bytes()[:2048 + 64 * (seed % 20)])
        (folder / "store/head").unlink()


def planned():
    lines = must([DRIVER, "list"], "zn-crash-driver list").splitlines()
    return [(TornTail if name == "recover" else Planned)(name, int(before), int(steps))
            for name, before, steps in map(str.split, lines)]


class Import(Workload):
    """zn-import of one file: the room has all of it or none, and what was there before is as it was."""
    codes = (0, 3, 5)

    def __init__(self, name, room, existing):
        self.name, self.room, self.existing = name, room, existing

    def prepare(self, folder, seed):
        if self.existing:
            must(self.importing(folder, "kept", "strained_crystal.xyz"), "the base")

    @staticmethod
    def importing(folder, room, file, *options):
        return [BIN / "zn-import", SOURCE / "data" / file, "--store", folder / "store", "--room", room, "--threads", 2, *options]

    def command(self, folder, seed):
        # Not the same frames every time, nor as many chunks.
        return self.importing(folder, self.room, "molecules.xyz", "--start", seed % 7, "--chunk", 16 + seed % 5)

    @functools.lru_cache(maxsize=64)
    def expected(self, root, seed):
        folder = Path(root) / "references" / f"{self.name}-{seed}-{os.getpid()}"
        self.fresh(root, folder, seed)
        before = dump(folder / "store") if self.existing else {}
        must(self.command(folder, seed), "an undisturbed import")
        after = dump(folder / "store")
        shutil.rmtree(folder)
        return before, after

    def judge(self, folder, seed, code, power=False):
        before, after = self.expected(str(folder.parent), seed)
        there = (folder / "store/superblock").exists()
        if not there and (self.existing or code == 0):
            raise Broken("the store is gone")
        found = dump(folder / "store") if there else {}
        if found != after and (found != before or code == 0):
            raise Broken(f"neither what was there nor with the import: {({room: len(f) for room, f in found.items()})}")
        if there:
            fsck(folder / "store")
        if found == before:
            must(self.command(folder, seed), "the import, once more")
            if dump(folder / "store") != after:
                raise Broken("the import, once more, is not in the store")
            fsck(folder / "store")


class Backup(Workload):
    """zn-backup: the repository is whole, every snapshot that was there restores, and doing it again completes it."""
    codes = (0, 1, 3)
    first = 10  # steps that the first snapshot has

    def prepare(self, folder, seed):
        self.write(folder, seed, 0, self.first)

    @staticmethod
    def write(folder, seed, begin, end):
        must([DRIVER, "run", "packs", folder / "store", seed, begin, end, folder / "base.acks"], "the base")
        (folder / "base.acks").unlink()

    @staticmethod
    def backup(folder, *arguments):
        return [BIN / "zn-backup", *arguments, "--repo", folder / "repo", "--threads", 2]

    def snapshots(self, folder):
        reply = must([*self.backup(folder, "list")[:4], "--json"], "zn-backup list")
        return json.loads(reply.splitlines()[-1])

    def verify(self, folder):
        must(self.backup(folder, "verify", "--read-data"), "zn-backup verify")

    def restored(self, folder, snapshot="latest"):
        target = folder / "restored"
        shutil.rmtree(target, ignore_errors=True)
        must(self.backup(folder, "restore", snapshot, "--to", target), f"restoring {snapshot}")
        fsck(target)
        return dump(target)


class BackupCreate(Backup):
    name = "backup"

    def command(self, folder, seed):
        return self.backup(folder, "create", folder / "store", "--init")

    def judge(self, folder, seed, code, power=False):
        wanted = dump(folder / "store")
        fsck(folder / "store")
        if code == 0 and self.restored(folder) != wanted:
            raise Broken("the snapshot does not restore to what the store had")
        if (folder / "repo/config").exists():
            self.verify(folder)
        must(self.command(folder, seed), "the backup, once more")
        self.verify(folder)
        if self.restored(folder) != wanted:
            raise Broken("the backup, once more, does not restore to what the store has")


class BackupIncrement(Backup):
    name = "backup-increment"

    def prepare(self, folder, seed):
        super().prepare(folder, seed)
        must(self.backup(folder, "create", folder / "store", "--init"), "the base")
        (folder / "first.json").write_text(json.dumps(dump(folder / "store")))
        self.write(folder, seed, self.first, self.first + 4)

    def command(self, folder, seed):
        return self.backup(folder, "create", folder / "store")

    def judge(self, folder, seed, code, power=False):
        first, second = json.loads((folder / "first.json").read_text()), dump(folder / "store")
        fsck(folder / "store")
        self.verify(folder)
        found = self.restored(folder)
        if found != second and (found != first or code == 0):
            raise Broken("the newest snapshot is neither the new one nor the one before")
        must(self.command(folder, seed), "the backup, once more")
        if self.restored(folder) != second:
            raise Broken("the backup, once more, does not restore to what the store has")


class Restore(Backup):
    name = "restore"

    def prepare(self, folder, seed):
        super().prepare(folder, seed)
        must(self.backup(folder, "create", folder / "store", "--init"), "the base")

    def command(self, folder, seed):
        return self.backup(folder, "restore", "latest", "--to", folder / "target")

    def judge(self, folder, seed, code, power=False):
        wanted = dump(folder / "store")
        if code == 0 and not (folder / "target").exists():
            raise Broken("the restored store is gone")
        if not (folder / "target").exists():
            must(self.command(folder, seed), "the restore, once more")
        fsck(folder / "target")
        if dump(folder / "target") != wanted:
            raise Broken("what was restored is not what the store had")
        self.verify(folder)


class Prune(Backup):
    name = "prune"

    def prepare(self, folder, seed):
        super().prepare(folder, seed)
        must(self.backup(folder, "create", folder / "store", "--init"), "the base")
        self.write(folder, seed, self.first, self.first + 4)
        must(self.backup(folder, "create", folder / "store"), "the base")

    def command(self, folder, seed):
        return self.backup(folder, "prune", "--keep-last", "1", "--max-unused", "0")

    def judge(self, folder, seed, code, power=False):
        self.verify(folder)
        if self.restored(folder) != dump(folder / "store"):
            raise Broken("the snapshot that is kept does not restore to what the store has")
        must(self.command(folder, seed), "the prune, once more")
        self.verify(folder)
        if self.restored(folder) != dump(folder / "store"):
            raise Broken("the snapshot that is kept does not restore to what the store has, after pruning once more")


class Repair(Backup):
    """zn-fsck --repair of a store with a damaged chunk and without an index, which a backup has: whatever happens to it, the
    next one heals all of it."""
    name = "repair"
    codes = (0, 1, 4, 8)
    done = 1

    def prepare(self, folder, seed):
        super().prepare(folder, seed)
        must(self.backup(folder, "create", folder / "store", "--init"), "the base")
        (folder / "sound.json").write_text(json.dumps(dump(folder / "store")))
        packs = sorted((folder / "store/packs").glob("*.pack"))
        data = bytearray(packs[0].read_bytes())
        at = len(data) * (3 + seed % 5) // 10
        data[at] ^= 0x10
        packs[0].write_bytes(data)
        packs[-1].with_suffix(".idx").unlink()
        must([BIN / "zn-fsck", "--level", "deep", folder / "store"], "the damage", codes=(4,))

    def command(self, folder, seed):
        return [BIN / "zn-fsck", folder / "store", "--repair", "--from-backup", folder / "repo", "--threads", 2]

    def judge(self, folder, seed, code, power=False):
        # A second run finds nothing to do; but head is never synced, and after a power cut there may be none.
        must(self.command(folder, seed), "the repair, once more", codes=(0,) if code in (0, 1) and not power else (0, 1))
        fsck(folder / "store")
        if dump(folder / "store") != json.loads((folder / "sound.json").read_text()):
            raise Broken("what was repaired is not what the store had")
        self.verify(folder)


@functools.lru_cache(maxsize=1)
def every():
    """Name -> workload."""
    from serving import Serving  # which is one of these, made of what is here
    found = [Serving(), *planned(), Import("import", "new", True), Import("import-more", "kept", True), Import("import-first", "new", False),
             BackupCreate(), BackupIncrement(), Restore(), Prune(), Repair()]
    return {workload.name: workload for workload in found}
