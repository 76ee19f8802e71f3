#!/usr/bin/python3
"""(h) A room read as Zarr over HTTP: whole and by random frames, by zarr-python and zarrita, against the same hierarchy as files
behind nginx; and over a link of 50 ms round trip, where shards are to save trips. Once from chunks that are sent as they are stored, once
from chunks of zn.rounded, which the view encodes anew."""
import asyncio
import contextlib
import json
import random
import subprocess
import threading
import time
import urllib.request

import common as c

NODE = c.SOURCE / "tests/conformance/node"
FIELD = "arrays.positions"


def save(base, files, sharded=False):
    """The hierarchy as files, key by key, as any server of files would have it."""
    def get(key):
        try:
            return urllib.request.urlopen(f"{base}/{key}").read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
    metadata = json.loads(get("zarr.json"))
    keys = ["zarr.json"] if sharded else ["zarr.json", ".zgroup", ".zattrs", ".zmetadata"]
    for name, array in metadata["consolidated_metadata"]["metadata"].items():
        keys += [f"{name}/{document}" for document in (["zarr.json"] if sharded else ["zarr.json", ".zarray", ".zattrs"])]
        grid = [-(-s // n) for s, n in zip(array["shape"], array["chunk_grid"]["configuration"]["chunk_shape"])]
        indices = [()]
        for extent in grid:
            indices = [i + (k,) for i in indices for k in range(extent)]
        keys += [f"{name}/" + ".".join(map(str, i)) for i in indices]
    for key in keys:
        body = get(key)
        if body is not None:
            path = files / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)


# Each reader is a process of its own, measured inside: what it loads at its start is not counted.
ZARR_PYTHON = """
import sys, time, json, zarr, fsspec
url, field, frames = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
array = zarr.open_consolidated(fsspec.get_mapper(url), mode="r")[field]
array[0]
begin = time.monotonic()
if frames is None:
    array[...]
else:
    for frame in frames: array[frame]
print(time.monotonic() - begin)
"""
ZARRITA = """
import * as zarr from "zarrita";
const [url, field, framesText] = process.argv.slice(-3), frames = JSON.parse(framesText);
const suffix = new zarr.FetchStore(url, {useSuffixRequest: true});
const array = await zarr.open.v3(zarr.root(suffix).resolve(field), {kind: "array"});
const begin = performance.now();
if (frames === null) await zarr.get(array);
else for (const frame of frames) await zarr.get(array, [frame, null, null]);
console.log((performance.now() - begin) / 1000);
"""


def read(reader, url, frames):
    """Seconds to read the field: whole (None) or frame by frame."""
    if reader == "zarr-python":
        command = ["/usr/bin/python3", "-c", ZARR_PYTHON]
    else:
        command = ["node", "--input-type=module", "-e", ZARRITA, "--"]
    return float(c.run([*command, url, FIELD, json.dumps(frames)], cwd=NODE))


@contextlib.contextmanager
def slow_link(port, round_trip):
    """A proxy that holds back every packet for half a round trip, in both directions; it does not limit the rate."""
    loop, listening, ready = asyncio.new_event_loop(), [], threading.Event()

    async def pump(reader, writer):
        async def later(when, data):
            await asyncio.sleep(max(0, when - loop.time()))
            writer.write(data) if data else writer.close()
        queue = asyncio.Queue()

        async def send():
            while (item := await queue.get()) is not None:
                await later(*item)
        sender = asyncio.ensure_future(send())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await queue.put((loop.time() + round_trip / 2, data))
        await queue.put((loop.time() + round_trip / 2, b""))
        await queue.put(None)
        await sender

    async def serve(reader, writer):
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        listening.append(server.sockets[0].getsockname()[1])
        ready.set()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()
    task = loop.create_task(run())
    thread = threading.Thread(target=lambda: loop.run_until_complete(task))
    thread.start()
    ready.wait()
    try:
        yield listening[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def compare(room, zn, peer, files, frames, some, megabytes):
    for reader in ("zarr-python", "zarrita"):
        for what, wanted in (("whole", None), (f"{len(some)} random frames", some)):
            ours, theirs = c.in_turn(lambda: read(reader, f"http://127.0.0.1:{zn}/zarr/{room}", wanted),
                                     lambda: read(reader, f"http://127.0.0.1:{peer}/{room}", wanted))
            unit, amount = ("MB/s", megabytes) if wanted is None else ("frames/s", len(wanted))
            c.row(room, reader, what, f"{amount / ours:,.0f} {unit}", f"{amount / theirs:,.0f} {unit}", f"{theirs / ours:.2f}")
    array = json.loads((files / room / FIELD / ".zarray").read_text())
    count = array["shape"][0] // array["chunks"][0]
    size = (files / room / FIELD / "0.0.0").stat().st_size
    for connections in (1, 32):
        ours, theirs = c.in_turn(lambda: c.wrk(zn, f"/zarr/{room}/{FIELD}/{{}}.0.0", count, connections, 2)[0],
                                 lambda: c.wrk(peer, f"/{room}/{FIELD}/{{}}.0.0", count, connections, 2)[0])
        c.row(room, f"wrk, {connections} connections", f"random chunks of {size / 1e3:,.0f} kB", f"{ours:,.0f} /s", f"{theirs:,.0f} /s",
              f"{ours / theirs:.2f}")


def main():
    folder = c.scratch("zarr_view")
    frames, atoms = (2000, 1000) if c.QUICK else (20000, 1000)
    some = random.Random(1).sample(range(frames), 50 if c.QUICK else 200)
    store, files = folder / "store", folder / "files"
    source = c.h5md(folder / "in.h5", frames, atoms)
    for room, options in (("plain", ["--codec", "default"]), ("rounded", [])):
        (files / room).mkdir(parents=True)
        c.import_file(store, room, source, *options)
    (files / "sharded").mkdir()
    with c.zn_server(store) as zn, c.nginx(files, folder) as peer:
        for room in ("plain", "rounded"):
            save(f"http://127.0.0.1:{zn}/zarr/{room}", files / room)
        save(f"http://127.0.0.1:{zn}/zarr-sharded/plain", files / "sharded", sharded=True)
        megabytes = frames * atoms * 12 / 1e6
        c.header(f"A room of {frames} frames of {atoms} atoms read as Zarr, one field of {megabytes:.0f} MB", "room", "reader", "what",
                 "zn-server", "nginx", "ratio")
        for room in ("plain", "rounded"):
            compare(room, zn, peer, files, frames, some, megabytes)
        print()
        c.header("Over a link of 50 ms round trip, zarrita", "view", "what", "zn-server", "nginx", "ratio")
        with slow_link(zn, 0.05) as far, slow_link(peer, 0.05) as far_peer:
            for view, ours_path, theirs_path in (("chunks", "zarr/plain", "plain"), ("shards", "zarr-sharded/plain", "sharded")):
                for what, wanted in (("10 random frames, one after another", some[:10]), ("whole", None)):
                    ours, theirs = c.in_turn(lambda: read("zarrita", f"http://127.0.0.1:{far}/{ours_path}", wanted),
                                             lambda: read("zarrita", f"http://127.0.0.1:{far_peer}/{theirs_path}", wanted))
                    c.row(view, what, f"{ours:.2f} s", f"{theirs:.2f} s", f"{theirs / ours:.2f}")


if __name__ == "__main__":
    main()
