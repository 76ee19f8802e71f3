"""Crashes at system calls: a process killed at any one of those that make files or make them durable, or any one of them
failing, once or from then on. strace does both; short writes, which it could only pretend, are the shim's.

A point is CALL:N: the Nth such call of a thread. So many threads do the same in another order each time, and still every
call of every thread is some point.
"""
import re
import signal
import subprocess
import time
from collections import defaultdict

from workloads import SHIM, Broken

CALLS = "write,pwrite64,writev,pwritev,pwritev2,fdatasync,fsync,sync_file_range,msync,ftruncate,fallocate,rename,renameat,renameat2," \
        "link,linkat,unlink,unlinkat,mkdir,mkdirat,copy_file_range,open,openat,creat"
ERRORS = ("EIO", "ENOSPC", "EINTR", "EMFILE", "EROFS")
# No system interrupts one call for ever, and the engine rightly tries again for ever.
INTERRUPTIONS = 20


def strace(*options, output="/dev/null"):
    return ["strace", "-f", "-qq", "-o", output, *options]


def points(workload, root, folder, seed):
    """All (call, number) of an undisturbed run that touch the case's folder."""
    workload.fresh(root, folder, seed)
    trace = folder.with_suffix(".trace")
    code, output = workload.execute(folder, seed, strace("-y", "-e", f"trace={CALLS}", "-s", "0", output=str(trace)))
    if code != workload.done:
        raise Broken(f"{workload.name} does not run undisturbed: {code}: {output[-300:]}")
    counts, found = defaultdict(int), set()
    for line in trace.read_text(errors="replace").splitlines():
        called = re.match(r"(\d+) +(\w+)\((.*)", line)
        if not called:
            continue
        thread, call, rest = called.groups()
        counts[thread, call] += 1
        if str(folder) in rest:
            found.add((call, counts[thread, call]))
    trace.unlink()
    return sorted(found)


def kill_points(workload, root, folder, seed):
    return [f"{call}:{n}" for call, n in points(workload, root, folder, seed)]


def fail_points(workload, root, folder, seed):
    found = []
    for call, n in points(workload, root, folder, seed):
        found += [f"{call}:{n}{more}:{error}" for error in ERRORS for more in ("", "+")]
        # Written a part and then no more: as a full disk does it, or as any write may.
        if call in ("write", "pwrite64", "pwritev", "writev"):
            found += [f"short:{n}", f"short:{n}+", f"short:{n}:ENOSPC"]
    return sorted(set(found))


def kill(workload, folder, seed, point):
    """Runs the command and kills it at the point. Its code when it ended before, else None."""
    if point.startswith("time:"):
        command = workload.command(folder, seed)
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(float(point[5:]))
        process.kill()
        code = process.wait()
    else:
        call, n = point.split(":")
        code, _ = workload.execute(folder, seed, strace("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}"))
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return None
    if code not in workload.codes:
        raise Broken(f"it was to be killed, and ended with {code}")
    return code


def fail(workload, folder, seed, point):
    """Runs the command with a call that fails; it must end by itself, and not by a bug."""
    call, n, *error = point.split(":")
    if call == "short":
        code, output = workload.execute(folder, seed, env={
            "LD_PRELOAD": str(SHIM), "ZN_CRASH_ROOT": str(folder), "ZN_CRASH_SHORT": point[6:], "ZN_CRASH_ACKS": str(folder / "acks")})
    else:
        when = n if error[0] != "EINTR" or not n.endswith("+") else f"{n[:-1]}..{int(n[:-1]) + INTERRUPTIONS}"
        code, output = workload.execute(folder, seed, strace("-e", f"trace={call}", "-e", f"inject={call}:error={error[0]}:when={when}"))
    if code is None:
        raise Broken(f"it did not end: {output.strip()[-300:]}")
    # 127: the loader itself met the failing call.
    if code not in (*workload.codes, 127):
        raise Broken(f"it ended with {code}: {output.strip()[-600:]}")
    return code
