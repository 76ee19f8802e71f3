#!/usr/bin/python3
"""Readers over HTTP while imports commit to the same rooms: every reply is one commit's, whole, and none is ever wrong. A user
who loses this trains on half of an append."""
import os
import threading
import unittest

import numpy as np

from support import zn

IMPORTS = 12 if os.environ.get("ZN_SANITIZE") else 40


class Concurrent(zn.StoreCase):
    def test_readers_during_commits(self):
        code, output = zn.import_file(self.store, "growing", zn.DATA / "strained_crystal.xyz")
        self.assertEqual(code, 0, output)
        wrong, done, replies = [], threading.Event(), [0]

        with zn.Server(self.store, "--read-only") as server:
            first = server.room("growing", "/frames").frames()
            size = len(first)

            def reader(number):
                client = zn.Client(server.port)
                at = {}  # commit -> frames: the same commit never has two
                while not done.is_set():
                    kind = number % 3
                    query = ("?format=columns&data=positions,energy", "?data=forces&format=npy", "/-1?data=positions,energy")[kind]
                    reply = client.get("/api/rooms/growing/frames" + query)
                    replies[0] += 1
                    if reply.status != 200:
                        wrong.append((query, reply.status, reply.body[:200]))
                        break
                    commit = reply.headers["Zn-Commit"]
                    if kind == 0:
                        columns = reply.columns()
                        count = columns.n_frames
                        for k, row in enumerate(columns.rows("arrays.positions")):
                            if not np.array_equal(row, first[k % size]["arrays.positions"]):
                                wrong.append(("positions", k, commit))
                        energies = columns.rows("calc.energy")
                        if len(energies) != count:
                            wrong.append(("energies", len(energies), count))
                    elif kind == 1:
                        forces = reply.npy()
                        count = len(forces)
                        if not np.array_equal(forces[-1], first[-1]["calc.forces"]):
                            wrong.append(("forces", count, commit))
                    else:
                        count = int(reply.headers["Frame-Id"]) + 1
                        if not np.array_equal(reply.frame()["arrays.positions"], first[-1]["arrays.positions"]):
                            wrong.append(("last", count, commit))
                    if count % size or at.setdefault(commit, count) != count:
                        wrong.append(("a part of an import", count, commit))
                    if count < max(at.values()):
                        wrong.append(("went back", count, commit))
                client.close()

            threads = [threading.Thread(target=reader, args=(n,)) for n in range(6)]
            for thread in threads:
                thread.start()
            try:
                for k in range(IMPORTS):
                    code, output = zn.import_file(self.store, "growing", zn.DATA / "strained_crystal.xyz")
                    self.assertEqual(code, 0, output)
                    if k % 4 == 0:
                        code, output = zn.import_file(self.store, f"other{k}", zn.DATA / "molecules.xyz")
                        self.assertEqual(code, 0, output)
            finally:
                done.set()
                for thread in threads:
                    thread.join()
            self.assertEqual(wrong[:5], [])
            self.assertGreater(replies[0], IMPORTS)
            self.assertEqual(len(server.room("growing", "/frames", data="energy").frames()), size * (IMPORTS + 1))
            self.assertEqual(server.stop(), 0)  # a sanitizer's report would end it otherwise


if __name__ == "__main__":
    unittest.main()
