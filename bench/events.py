#!/usr/bin/python3
"""(o) One event to many Socket.IO clients, against a python-socketio server that does the same; and what an idle
connection costs. The clients are zn-bench-sockets for both servers."""
import json
import statistics
import subprocess
import sys
import time

import common as c

PEER = """
import sys, socketio
from aiohttp import web
sio = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")
app = web.Application()
sio.attach(app)
@sio.on("join:room")
async def join(sid, data):
    sio.enter_room(sid, data["roomId"])
    return {"ok": True, "status": "joined", "room": data["roomId"], "position": "1:0"}
@sio.on("request_presenter_token")
async def request(sid, data):
    return {"ok": True}
@sio.on("renew_presenter_token")
async def renew(sid, data):
    return {"ok": True}
@sio.on("set_room_frame")
async def frame(sid, data):
    await sio.emit("frame_update", {"frame": data["frame"]}, room="bench")
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


def server(name):
    """A context manager of the running server; its port."""
    port = c.free_port()
    if name == "zn-server":
        folder = c.scratch("events")
        c.import_file(folder / "store", "bench", c.SOURCE / "data/molecules.xyz")
        command = [c.BIN / "zn-server", "--store", folder / "store", "--port", port, "--max-connections", "20000"]
    else:
        command = ["/usr/bin/python3", "-c", PEER, port]
    return c.process(command, port), port


def memory(pid):
    """Anonymous memory in KiB."""
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Anonymous:"))


def latency(name, clients):
    running, port = server(name)
    with running:
        events = 50 if c.QUICK or clients >= 1000 else 200
        out = c.run([c.BIN / "zn-bench-sockets", "--port", port, "--clients", clients, "--events", events], timeout=120)
        return json.loads(out.splitlines()[-1])


def idle(name, clients):
    running, port = server(name)
    with running as process:
        before = memory(process.pid)
        crowd = subprocess.Popen([c.BIN / "zn-bench-sockets", "--port", str(port), "--clients", str(clients), "--idle"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if crowd.stdout.readline().strip() != "ready":
            sys.exit(f"{name}: the clients did not all connect")
        time.sleep(2)
        after = memory(process.pid)
        crowd.stdin.write("\n")
        crowd.stdin.close()
        crowd.wait(30)
        return (after - before) / clients


def main():
    c.header("One event to many clients: from the sender's socket to each receiver's", "clients", "server", "p50 µs",
             "p99 µs", "of the peer's p50", "of the peer's p99")
    for clients in (10, 100, 1000):
        rounds = {"zn-server": [], "python-socketio": []}
        for _ in range(1 if c.QUICK else 3):
            for name, results in rounds.items():
                results.append(latency(name, clients))
        median = {name: {key: statistics.median(r[key] for r in results) for key in ("p50_us", "p99_us")}
                  for name, results in rounds.items()}
        peer = median["python-socketio"]
        for name, r in median.items():
            c.row(clients, name, f"{r['p50_us']:.0f}", f"{r['p99_us']:.0f}", f"{r['p50_us'] / peer['p50_us']:.2f}",
                  f"{r['p99_us'] / peer['p99_us']:.2f}")
    clients = 1000 if c.QUICK else 10_000
    print()
    c.header("Idle Socket.IO connections over WebSocket, one room joined", "connections", "server",
             "KiB of anonymous memory each")
    for name in ("zn-server", "python-socketio"):
        c.row(f"{clients:,}", name, f"{idle(name, clients):.1f}")


if __name__ == "__main__":
    main()
