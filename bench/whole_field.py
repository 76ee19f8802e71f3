#!/usr/bin/python3
"""(e) A whole field as one npy reply, over and over on 1 and 2 connections, against nginx's sendfile of the same bytes."""
import urllib.request

import common as c


def main():
    folder = c.scratch("whole")
    frames, atoms = (2000, 3000) if c.QUICK else (14000, 3000)  # 500 MB
    c.import_file(folder / "store", "r", c.h5md(folder / "in.h5", frames, atoms))
    files = folder / "files"
    files.mkdir()
    path = "/api/rooms/r/frames?data=positions&format=npy"
    c.header("Whole-field throughput", "bytes", "connections", "zn-server GB/s", "nginx GB/s", "ratio")
    with c.zn_server(folder / "store") as zn, c.nginx(files, folder) as peer:
        body = urllib.request.urlopen(f"http://127.0.0.1:{zn}{path}").read()
        (files / "field").write_bytes(body)
        size = len(body)
        del body
        for connections in (1, 2):
            def measure(port, what):
                result = c.load(port, what, 1, 2 * connections, "sequential", connections)
                return result["bytes"] / result["seconds"] / 1e9
            measure(zn, path), measure(peer, "/field")
            ours, theirs = c.in_turn(lambda: measure(zn, path), lambda: measure(peer, "/field"))
            c.row(f"{size:,}", connections, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}")


if __name__ == "__main__":
    main()
