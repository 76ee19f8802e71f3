"""What the scripts of this folder share: scratch space, sample files, servers, rounds in turn, and tables."""
import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
BIN = Path(os.environ.get("ZN_BIN", SOURCE / "build/release/bin"))
SCRATCH = Path(os.environ.get("ZN_BENCH_DIR", SOURCE / "build/bench"))
# A first look, not a measurement: smaller files and shorter rounds.
QUICK = bool(os.environ.get("ZN_BENCH_QUICK")) or "--quick" in sys.argv
ROUNDS = 2 if QUICK else 3


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal"))) / 2**20
    commit = subprocess.run(["git", "-C", SOURCE, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout.strip()
    return (f"{os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release()}, "
            f"{time.strftime('%Y-%m-%d', time.gmtime())}, {commit}")


def scratch(name):
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run(command, **kwargs):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def timed(command, **kwargs):
    begin = time.monotonic()
    run(command, **kwargs)
    return time.monotonic() - begin


def sync():
    os.sync()


def drop_page_cache():
    """False where this may not be done."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
        return True
    except OSError:
        return False


def import_file(store, room, path, *options):
    return timed([BIN / "zn-import", path, "--store", store, "--room", room, *options])


def h5md(path, frames, atoms, gzip=None):
    """An H5MD file of `frames` frames of `atoms` atoms in float32: make_h5md.py's."""
    layout = ["--layout", "gzip", "--level", str(gzip)] if gzip else []
    run(["/usr/bin/python3", SOURCE / "bench/make_h5md.py", path, "--frames", frames, "--atoms", atoms, *layout])
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def process(command, port, log=None):
    child = subprocess.Popen([str(c) for c in command], stdout=log or subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            if child.poll() is not None:
                sys.exit(f"{command[0]} ended at its start")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            sys.exit(f"{command[0]} does not listen")
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def zn_server(store, *options):
    port = free_port()
    with process([BIN / "zn-server", "--store", store, "--port", port, *options], port):
        yield port


@contextlib.contextmanager
def nginx(root, folder):
    """nginx as its manual tunes it for small static files, two workers, serving `root`."""
    port = free_port()
    config = Path(folder) / "nginx.conf"
    config.write_text(f"""
        daemon off; worker_processes {os.cpu_count()}; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
        events {{ worker_connections 4096; multi_accept on; }}
        http {{
          access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
          keepalive_requests 100000000; keepalive_timeout 300s;
          open_file_cache max=200000 inactive=600s; open_file_cache_valid 600s; open_file_cache_min_uses 1;
          types {{ }} default_type application/x-npy; etag on;
          client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
          uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
          server {{ listen 127.0.0.1:{port} reuseport; root {root}; }}
        }}""")
    with process(["/usr/sbin/nginx", "-p", folder, "-c", config], port):
        yield port


def wrk(port, path, count, connections, seconds):
    """Requests a second of random numbers below `count` in place of {} of the path, and the p99 in milliseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        begin, end = path.split("{}")
        script.write(f"""
            local thread_id = 0
            function setup(thread) thread:set("seed", thread_id); thread_id = thread_id + 1 end
            function init() math.randomseed(seed + 1) ; requests = {{}}
              for i = 0, {count - 1} do requests[i] = wrk.format("GET", "{begin}" .. i .. "{end}") end end
            function request() return requests[math.random(0, {count - 1})] end
            function done(summary, latency) io.write(string.format("JSON %d %d %d %f\\n", summary.requests, summary.duration,
              summary.errors.status + summary.errors.read + summary.errors.connect + summary.errors.timeout,
              latency:percentile(99) / 1000)) end
        """)
        script.flush()
        threads = min(2, connections)
        out = run(["wrk", "-t", threads, "-c", connections, "-d", f"{seconds}s", "-s", script.name, f"http://127.0.0.1:{port}/"])
    requests, micros, errors, p99 = next(line for line in out.splitlines() if line.startswith("JSON")).split()[1:]
    if int(errors):
        sys.exit(f"{errors} errors from port {port}: {out}")
    return int(requests) / (int(micros) / 1e6), float(p99)


def load(port, path, count, requests, order, connections, threads=2):
    return json.loads(run([BIN / "zn-bench-load", "--port", port, "--path", path, "--count", count, "--requests", requests,
                           "--order", order, "--connections", connections, "--threads", threads]))


def in_turn(*measures, rounds=ROUNDS):
    """The median of each measure, taken in turn so that a slow minute of the machine hits all alike."""
    results = [[] for _ in measures]
    for _ in range(rounds):
        for measure, result in zip(measures, results):
            result.append(measure())
    return [statistics.median(r) for r in results]


def header(title, *columns):
    print(f"### {title}\n\n{machine()}\n\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)
