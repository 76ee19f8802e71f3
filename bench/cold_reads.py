#!/usr/bin/python3
"""(c) One frame's positions over HTTP, cold: the server just started, its cache empty, the pack in the page cache; every
frame asked for once, in order or in a random order; against the same frames hot."""
import shutil
import statistics

import common as c

PATH = "/api/rooms/r/frames/{}?data=positions&format=npy"


def main():
    folder = c.scratch("cold")
    c.header("Cold single-frame single-field reads", "atoms", "frames", "order", "cold /s", "hot /s", "ratio", "p99 cold µs")
    for atoms, frames in ((9, 200000), (200, 50000), (3000, 8000)):
        if c.QUICK:
            frames //= 10
        store = folder / f"store{atoms}"
        c.import_file(store, "r", c.h5md(folder / "in.h5", frames, atoms))
        for order in ("permutation", "sequential"):
            cold, hot, tail = [], [], []
            for _ in range(c.ROUNDS):
                shutil.rmtree(store / "cache", ignore_errors=True)
                with c.zn_server(store) as port:
                    first = c.load(port, PATH, frames, frames, order, 32)
                    # As hot as it gets: what was promoted to files is mapped by now.
                    c.load(port, PATH, frames, frames, order, 32)
                    c.load(port, PATH, frames, frames, order, 32)
                    again = c.load(port, PATH, frames, frames, order, 32)
                cold.append(first["rate"])
                tail.append(first["p99"])
                hot.append(again["rate"])
            ours, best = statistics.median(cold), statistics.median(hot)
            c.row(atoms, frames, "random" if order == "permutation" else order, f"{ours:,.0f}", f"{best:,.0f}",
                  f"{ours / best:.2f}", f"{statistics.median(tail):,.0f}")
        shutil.rmtree(store)


if __name__ == "__main__":
    main()
