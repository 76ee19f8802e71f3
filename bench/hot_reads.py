#!/usr/bin/python3
"""(b) One frame's positions over HTTP, hot, keep-alive: zn-server against nginx serving the same bytes from files with
open_file_cache, in turn, random frames, wrk."""
import urllib.request

import common as c

QUERY = "?data=positions&format=npy"


def main():
    folder = c.scratch("hot")
    seconds = 2 if c.QUICK else 3
    c.header("Hot single-frame single-field reads", "atoms", "reply", "connections", "zn-server /s", "nginx /s", "ratio",
             "p99 zn ms", "p99 nginx ms")
    for atoms, frames in ((9, 1000), (200, 1000), (3000, 1000), (100000, 64)):
        store, files = folder / f"store{atoms}", folder / f"files{atoms}"
        files.mkdir()
        c.import_file(store, "r", c.h5md(folder / "in.h5", frames, atoms))
        with c.zn_server(store) as zn, c.nginx(files, folder) as peer:
            size = 0
            for i in range(frames):
                body = urllib.request.urlopen(f"http://127.0.0.1:{zn}/api/rooms/r/frames/{i}{QUERY}").read()
                (files / str(i)).write_bytes(body)
                size = len(body)
            for connections in (1, 32, 256):
                tails = [[], []]

                def measure(which, port, path):
                    rate, p99 = c.wrk(port, path, frames, connections, seconds)
                    tails[which].append(p99)
                    return rate
                for port, path in ((zn, "/api/rooms/r/frames/{}" + QUERY), (peer, "/{}")):
                    c.wrk(port, path, frames, connections, 1)  # warm
                ours, theirs = c.in_turn(lambda: measure(0, zn, "/api/rooms/r/frames/{}" + QUERY),
                                         lambda: measure(1, peer, "/{}"))
                c.row(atoms, f"{size} B", connections, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}",
                      f"{sorted(tails[0])[len(tails[0]) // 2]:.2f}", f"{sorted(tails[1])[len(tails[1]) // 2]:.2f}")


if __name__ == "__main__":
    main()
