#!/usr/bin/python3
"""(m) Durable edits of one frame over HTTP, 1 to 512 clients, against one fdatasync's rate in the same folder; and how far hot
reads fall while 64 clients edit."""
import os
import tempfile
import threading
import time

import common as c

FRAMES, ATOMS, BODIES = 1000, 20, 256
EDIT = """
  local ffi = require("ffi")
  local counter = 0
  function setup(thread) thread:set("seed", counter); counter = counter + 1 end
  function init()
    math.randomseed(seed + 1)
    bodies = {{}}
    -- {{"delta": {{"arrays.positions": array}}}} in MessagePack, other values each.
    local key = function(k) return string.char(0xc4, #k) .. k end
    local text = function(t) return string.char(0xa0 + #t) .. t end
    local values = ffi.new("float[?]", {atoms} * 3)
    for b = 1, {bodies} do
      for i = 0, {atoms} * 3 - 1 do values[i] = math.random() end
      local data = ffi.string(values, {atoms} * 12)
      bodies[b] = string.char(0x81) .. text("delta") .. string.char(0x81) .. text("arrays.positions") .. string.char(0x85) ..
        key("nd") .. string.char(0xc3) .. key("type") .. text("<f4") .. key("kind") .. string.char(0xc4, 0) ..
        key("shape") .. string.char(0x92, {atoms}, 3) .. key("data") .. string.char(0xc4, #data) .. data
    end
  end
  local headers = {{ ["Content-Type"] = "application/msgpack", ["If-Match"] = "*" }}
  function request()
    return wrk.format("PATCH", "/api/rooms/r/frames/" .. math.random(0, {frames} - 1), headers, bodies[math.random(1, {bodies})])
  end
  function done(summary, latency) io.write(string.format("JSON %d %d %d %f %f\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.read + summary.errors.connect + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000)) end
"""


def edits(port, connections, seconds):
    """Edits a second, median and p99 in milliseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(EDIT.format(atoms=ATOMS, bodies=BODIES, frames=FRAMES))
        script.flush()
        out = c.run(["wrk", "-t", min(2, connections), "-c", connections, "-d", f"{seconds}s", "-s", script.name,
                     f"http://127.0.0.1:{port}/"])
    requests, micros, errors, p50, p99 = next(line for line in out.splitlines() if line.startswith("JSON")).split()[1:]
    if int(errors):
        raise SystemExit(f"{errors} errors: {out}")
    return int(requests) / (int(micros) / 1e6), float(p50), float(p99)


def syncs(folder, seconds):
    """Appends of 4 KiB a second, each followed by fdatasync: what one client could have at best without a server."""
    file = os.open(folder / "syncs", os.O_CREAT | os.O_WRONLY, 0o600)
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        os.write(file, b"x" * 4096)
        os.fdatasync(file)
        done += 1
    os.close(file)
    return done / seconds


def main():
    seconds = 2 if c.QUICK else 5
    folder = c.scratch("http_edits")
    c.import_file(folder / "store", "r", c.h5md(folder / "r.h5", FRAMES, ATOMS))
    with c.zn_server(folder / "store") as port:
        c.header("Durable edits over HTTP", "clients", "edits/s", "fdatasync/s", "×", "p50 ms", "p99 ms")
        for connections in (1, 8, 64, 512):
            rounds = [(edits(port, connections, seconds), syncs(folder, min(2, seconds))) for _ in range(c.ROUNDS)]
            rounds.sort(key=lambda r: r[0][0] / r[1])
            (rate, p50, p99), sync = rounds[len(rounds) // 2]
            c.row(connections, f"{rate:,.0f}", f"{sync:,.0f}", f"{rate / sync:.2f}", f"{p50:.2f}", f"{p99:.2f}")
        path = "/api/rooms/r/frames/{}?data=positions&format=npy"
        alone, _ = c.wrk(port, path, FRAMES, 32, seconds)
        stop = threading.Event()
        rates = []

        def keep_editing():
            while not stop.is_set():
                rates.append(edits(port, 64, seconds)[0])

        editing = threading.Thread(target=keep_editing)
        editing.start()
        time.sleep(0.5)
        during, p99 = c.wrk(port, path, FRAMES, 32, seconds)
        stop.set()
        editing.join()
        print()
        c.header("Hot reads while 64 clients edit", "reads/s alone", "reads/s during edits", "share", "p99 ms during", "edits/s meanwhile")
        c.row(f"{alone:,.0f}", f"{during:,.0f}", f"{during / alone:.2f}", f"{p99:.2f}", f"{rates[0]:,.0f}")


if __name__ == "__main__":
    main()
