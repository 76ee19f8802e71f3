#!/usr/bin/python3
"""zn-fsck against reading the files and SHA-256 on all cores; references a second of a quick check; memory with many objects."""
import json
import subprocess
import time
from pathlib import Path

import backup as b
import common as c

FSCK = c.BIN / "zn-fsck"


def cat(files):
    begin = time.monotonic()
    subprocess.run(["cat", *map(str, files)], stdout=subprocess.DEVNULL, check=True)
    return sum(p.stat().st_size for p in files) / (time.monotonic() - begin)


def fsck(store, *options):
    """The summary, seconds, and the most memory that it had, without what is of the page cache."""
    begin = time.monotonic()
    child = subprocess.Popen([str(FSCK), str(store), "--json", *options], stdout=subprocess.PIPE, text=True)
    most = 0
    while child.poll() is None:
        try:
            for line in open(f"/proc/{child.pid}/status"):
                if line.startswith("RssAnon"):
                    most = max(most, int(line.split()[1]))
        except OSError:
            break
        time.sleep(0.01)
    out = child.communicate()[0]
    if child.returncode != 0:
        raise SystemExit(f"zn-fsck: exit {child.returncode}\n{out[-1000:]}")
    return json.loads(out.splitlines()[-1])["summary"], time.monotonic() - begin, most * 1024


def main():
    folder = c.scratch("fsck")
    store = folder / "store"
    path = c.h5md(folder / "in.h5", 2500 if c.QUICK else 25000, 3000)
    c.import_file(store, "r", path)
    path.unlink()
    c.sync()
    files = [p for p in Path(store).rglob("*") if p.is_file() and p.suffix in (".pack", ".log")]
    total = sum(p.stat().st_size for p in files)
    cat(files)
    c.header("zn-fsck --level full", "what", "MB", "MB/s", "of the lesser of reading and hashing")
    read, hashed, full = c.in_turn(lambda: cat(files), b.hash_rate, lambda: total / fsck(store)[1])
    bound = min(read, hashed)
    for name, rate in (("cat, from the page cache", read), ("SHA-256 alone, all cores", hashed), ("zn-fsck", full)):
        c.row(name, f"{total / 1e6:,.0f}", f"{rate / 1e6:,.0f}", f"{rate / bound:.2f}")
    if c.drop_page_cache():
        device = cat(files)
        c.drop_page_cache()
        full = total / fsck(store)[1]
        c.row("cat, from the disk", f"{total / 1e6:,.0f}", f"{device / 1e6:,.0f}", "")
        c.row("zn-fsck, from the disk", f"{total / 1e6:,.0f}", f"{full / 1e6:,.0f}", f"{full / min(device, hashed):.2f}")
    subprocess.run(["rm", "-rf", str(store)], check=True)

    frames = 50_000 if c.QUICK else 1_000_000
    path = c.h5md(folder / "many.h5", frames, 9)
    c.import_file(store, "r", path, "--chunk", "1", "--codec", "none")
    path.unlink()
    c.sync()
    c.header("Many objects", "level", "objects", "references", "seconds", "references/s", "memory, MiB")
    for level in ("quick", "full", "deep"):
        summary, seconds, memory = fsck(store, "--level", level)
        c.row(level, f"{summary['records']:,}", f"{summary['references']:,}", f"{seconds:.2f}",
              f"{summary['references'] / seconds:,.0f}", f"{memory / 2**20:,.0f}")
    subprocess.run(["rm", "-rf", str(folder)], check=True)


if __name__ == "__main__":
    main()
