#!/usr/bin/python3
"""Backup and restore of a store against cp -r + sync and restic, with what reading, hashing and writing alone allow; a backup of
one million objects when nothing has changed; and how far backups slow down the readers of a server.

Sources are in the page cache, for all alike; each measure ends with its bytes on the disk."""
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import common as c

ZN = c.BIN / "zn-backup"
ENV = {**os.environ, "RESTIC_PASSWORD": "bench", "ZN_BACKUP_PASSWORD": "bench"}
restic = shutil.which("restic")


def size(folder):
    return sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    c.sync()


def timed(command, folder):
    begin = time.monotonic()
    c.run(command, env=ENV)
    c.run(["sync", "-f", folder])
    return time.monotonic() - begin


def read_rate(files):
    begin, total = time.monotonic(), 0
    buffer = bytearray(8 << 20)
    for path in files:
        with open(path, "rb", buffering=0) as f:
            while n := f.readinto(buffer):
                total += n
    return total / (time.monotonic() - begin)


def hash_rate():
    """SHA-256 on all cores; hashlib gives up the interpreter's lock."""
    data, rounds = os.urandom(64 << 20), 4
    threads = [threading.Thread(target=lambda: [hashlib.sha256(data) for _ in range(rounds)]) for _ in range(os.cpu_count())]
    begin = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return len(data) * rounds * len(threads) / (time.monotonic() - begin)


def write_rate(folder, total):
    data = os.urandom(8 << 20)
    path = folder / "written"
    begin = time.monotonic()
    with open(path, "wb", buffering=0) as f:
        for _ in range(total // len(data)):
            f.write(data)
        os.fsync(f.fileno())
    seconds = time.monotonic() - begin
    path.unlink()
    return total // len(data) * len(data) / seconds


def main():
    folder = c.scratch("backup")
    store, repo, target = folder / "store", folder / "repo", folder / "restored"
    path = c.h5md(folder / "in.h5", 2500 if c.QUICK else 25000, 3000)
    c.import_file(store, "r", path)
    path.unlink()
    c.sync()
    total = size(store / "packs") + size(store / "log")
    files = [p for p in store.rglob("*") if p.is_file()]
    read_rate(files)

    def backup(*options, keep=False):
        def measure():
            if not keep:
                fresh(repo)
            return timed([ZN, "create", store, "--repo", repo, *([] if keep else ["--init"]), *options], folder)
        return measure

    def restore():
        fresh(target)
        return timed([ZN, "restore", "latest", "--repo", repo, "--to", target], folder)

    def copy():
        fresh(target)
        return timed(["cp", "-r", "--reflink=never", store, target], folder)

    def restic_backup(*, keep=False):
        def measure():
            if not keep:
                fresh(repo)
                c.run([restic, "init", "-r", repo], env=ENV)
            return timed([restic, "backup", "-q", "--compression", "off", "-r", repo, store], folder)
        return measure

    def restic_restore():
        fresh(target)
        return timed([restic, "restore", "latest", "-q", "-r", repo, "--target", target], folder)

    def alone():
        return total / min(read_rate(files), hash_rate(), write_rate(folder, total))

    c.header("Backup and restore", "what", "MB", "seconds", "MB/s", "of the slowest of reading, hashing, writing")
    read, hashed, written = c.in_turn(lambda: read_rate(files), hash_rate, lambda: write_rate(folder, total))
    bound = min(read, hashed, written)
    for name, rate in (("reading alone", read), ("SHA-256 alone, all cores", hashed), ("writing and syncing alone", written)):
        c.row(name, f"{total / 1e6:,.0f}", f"{total / rate:.2f}", f"{rate / 1e6:,.0f}", "")
    first, copied, limit = c.in_turn(backup(), copy, alone)
    again, restored = c.in_turn(backup(keep=True), restore)
    encrypted, _ = c.in_turn(backup("--encrypt"), copy)
    encrypted_again, encrypted_restored = c.in_turn(backup(keep=True), restore)
    rows = [("cp -r + sync", copied), ("zn-backup create, first", first), ("zn-backup create, nothing new", again),
            ("zn-backup restore", restored), ("zn-backup create, first, encrypted", encrypted),
            ("zn-backup create, nothing new, encrypted", encrypted_again), ("zn-backup restore, encrypted", encrypted_restored)]
    if restic:
        theirs, = c.in_turn(restic_backup())
        theirs_again, theirs_restored = c.in_turn(restic_backup(keep=True), restic_restore)
        rows += [("restic backup, first (no compression, encrypted)", theirs), ("restic backup, nothing new", theirs_again),
                 ("restic restore", theirs_restored)]
    for name, seconds in rows:
        moved = "nothing new" not in name
        c.row(name, f"{total / 1e6:,.0f}", f"{seconds:.2f}", f"{total / seconds / 1e6:,.0f}" if moved else "",
              f"{limit / seconds:.2f}" if moved else "")

    # Readers of a server while backups run.
    fresh(repo)
    with c.zn_server(store) as port:
        def reads():
            return c.load(port, "/api/rooms/r/frames/{}?data=positions&format=npy", 200, 20000, "random", 16)
        reads()
        calm = reads()
        stop = threading.Event()

        def loop():
            c.run([ZN, "create", store, "--repo", repo, "--init"])
            while not stop.is_set():
                subprocess.run([ZN, "create", store, "--repo", repo, "--read-all"], stdout=subprocess.DEVNULL, check=True)
        thread = threading.Thread(target=loop)
        thread.start()
        busy = reads()
        stop.set()
        thread.join()
    print(f"\nA server's hot reads (36 kB, 16 connections): {calm} alone, {busy} while backups run.\n")

    # One million objects.
    shutil.rmtree(store)
    fresh(repo)
    fresh(target)
    frames = 50_000 if c.QUICK else 1_000_000
    path = c.h5md(folder / "many.h5", frames, 9)
    c.import_file(store, "r", path, "--chunk", "1", "--codec", "none")
    path.unlink()
    c.header("Many objects", "what", "objects", "MB", "seconds")
    seconds = backup()()
    made = c.run([ZN, "list", "--repo", repo, "--json"])
    objects = json.loads(made.splitlines()[-1])["new_objects"]
    total = size(store / "packs") + size(store / "log")
    rows = [("zn-backup create, first", seconds), ("zn-backup create, nothing new", min(backup(keep=True)() for _ in range(3))),
            ("zn-backup create --read-all, nothing new", backup("--read-all", keep=True)()), ("zn-backup restore", restore()),
            ("cp -r + sync", copy())]
    for name, seconds in rows:
        c.row(name, f"{objects:,}", f"{total / 1e6:,.0f}", f"{seconds:.2f}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
