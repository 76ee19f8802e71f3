"""The formats of frames, their validators and ranges, against readers that share no code with the server."""
import gzip
import random
import threading
import unittest

import msgpack
import numpy as np

from support import zn
from support.reading import Api


class Formats(Api):
    def test_content_types(self):
        for name, kind in (("msgpack", "application/msgpack"), ("columns", "application/vnd.zn.columns+msgpack"),
                           ("npz", None), ("json", "application/json"), ("extxyz", "chemical/x-extxyz")):
            reply = self.server.room("alloy", "/frames", indices="0:2", format=name)
            if kind:
                self.assertEqual(reply.headers["Content-Type"].split(";")[0], kind)
            self.assertEqual(int(reply.headers["Content-Length"]), len(reply.body))
        reply = self.server.room("alloy", "/frames", indices="0:2", data="forces", format="npy")
        self.assertEqual(reply.headers["Content-Type"], "application/x-npy")

    def test_accept_is_used_and_format_beats_it(self):
        reply = self.get("/api/rooms/alloy/frames/0?data=energy", Accept="application/json")
        self.assertEqual(reply.json(), {"calc.energy": self.alloy[0]["calc.energy"]})
        reply = self.get("/api/rooms/alloy/frames/0?data=energy&format=msgpack", Accept="application/json")
        self.assertEqual(reply.frame(), {"calc.energy": self.alloy[0]["calc.energy"]})
        reply = self.get("/api/rooms/alloy/frames/0?data=energy", Accept="text/html, application/json;q=0.5, */*;q=0.1")
        self.assertEqual(reply.json(), {"calc.energy": self.alloy[0]["calc.energy"]})
        self.problem(self.get("/api/rooms/alloy/frames/0", Accept="text/html"), 406)
        self.problem(self.get("/api/rooms/alloy/frames/0?format=pdf"), 400)

    def test_msgpack_numpy_decodes_it_either_way(self):
        body = self.server.room("alloy", "/frames/0", data="positions,energy,pbc").body
        for raw in (False, True):
            frame = msgpack.unpackb(body, raw=raw, strict_map_key=False)
            array = frame[b"arrays.positions" if raw else "arrays.positions"]
            self.assertEqual(set(array), {b"nd", b"type", b"kind", b"shape", b"data"})
            self.assertIs(array[b"nd"], True)
            energy = frame[b"calc.energy" if raw else "calc.energy"]
            self.assertIs(energy[b"nd"], False)
            self.assertEqual(np.frombuffer(energy[b"data"], energy[b"type"])[0], self.alloy[0]["calc.energy"])

    def test_array_keys_str(self):
        body = self.server.room("alloy", "/frames/0", data="positions", array_keys="str").body
        array = msgpack.unpackb(body, raw=False)["arrays.positions"]
        self.assertEqual(np.frombuffer(array["data"], array["type"]).reshape(array["shape"]).tobytes(),
                         self.alloy[0]["arrays.positions"].tobytes())

    def test_columns(self):
        columns = self.server.room("molecules", "/frames", indices="10:0:-3", format="columns").columns()
        self.assertEqual(columns.indices.tolist(), [10, 7, 4, 1])
        self.assertEqual(columns.indices.dtype, "<i8")
        self.assertEqual(columns.n_atoms.dtype, "<i4")
        self.assertEqual(columns.versions.tolist(), [1] * 4)
        for field in columns.fields:
            for row, k in zip(columns.rows(field), columns.indices):
                if row is None:
                    self.assertNotIn(field, self.molecules[k])
                else:
                    np.testing.assert_array_equal(row, self.molecules[k][field])
        self.assertEqual(columns.fields["arrays.positions"]["kind"], "atom")
        self.assertEqual(columns.fields["pbc"]["kind"], "frame")

    def test_npz(self):
        members = self.server.room("molecules", "/frames", indices="0:30", data="positions,energy,numbers", format="npz").npz()
        counts = [len(f["arrays.numbers"]) for f in self.molecules[:30]]
        self.assertEqual(members["n_atoms"].tolist(), counts)
        self.assertEqual(members["arrays.positions"].shape, (30, max(counts), 3))
        present = members["calc.energy.present"].astype(bool)
        self.assertEqual(present.tolist(), ["calc.energy" in f for f in self.molecules[:30]])
        for k, n in enumerate(counts):
            np.testing.assert_array_equal(members["arrays.positions"][k, :n], self.molecules[k]["arrays.positions"])
            self.assertTrue(np.isnan(members["arrays.positions"][k, n:]).all())
            self.assertFalse(members["arrays.numbers"][k, n:].any())

    def test_one_frame_npy(self):
        array = self.server.room("alloy", "/frames/7", data="forces", format="npy").npy()
        np.testing.assert_array_equal(array, self.alloy[7]["calc.forces"])
        self.problem(self.get("/api/rooms/alloy/frames/7?data=forces,energy&format=npy"), 400)
        self.problem(self.get("/api/rooms/alloy/frames/7?format=npy"), 400)

    def test_compression_when_asked_for(self):
        plain = self.server.room("alloy", "/frames", format="json")
        packed = self.get("/api/rooms/alloy/frames?format=json", Accept_Encoding="gzip")
        self.assertIn("Accept-Encoding", plain.headers.get("Vary", ""))
        if packed.headers.get("Content-Encoding") == "gzip":
            self.assertLess(len(packed.body), len(plain.body))
            self.assertEqual(gzip.decompress(packed.body), plain.body)
        else:
            self.fail("a megabyte of text was not compressed")
        refused = self.get("/api/rooms/alloy/frames?format=json", Accept_Encoding="gzip;q=0, identity")
        self.assertIsNone(refused.headers.get("Content-Encoding"))

    def test_concurrent_readers_get_the_same_bytes(self):
        paths = [f"/api/rooms/{room}/frames?indices={s}&format={f}" for room in ("molecules", "alloy")
                 for s in ("0:20", "::-1", "5") for f in ("msgpack", "columns", "json")]
        want = {path: self.get(path).body for path in paths}
        wrong = []

        def reader(seed):
            rng = random.Random(seed)
            client = zn.Client(self.server.port)
            for _ in range(60):
                path = rng.choice(paths)
                if client.request("GET", path).body != want[path]:
                    wrong.append(path)
            client.close()

        threads = [threading.Thread(target=reader, args=(s,)) for s in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])


class Validators(Api):
    def test_etag_gives_304(self):
        for path in ("/api/rooms/alloy/frames/3", "/api/rooms/alloy/frames/3?data=forces&format=npy",
                     "/api/rooms/alloy/frames?indices=0:5", "/api/rooms/molecules/frames?format=columns"):
            first = self.get(path)
            tag = first.headers["ETag"]
            self.assertRegex(tag, r'^(W/)?"[^"]+"$')
            for value in (tag, f'"other", {tag}', "*"):
                again = self.get(path, If_None_Match=value)
                self.assertEqual((again.status, again.body), (304, b""), f"{path} {value}")
                self.assertEqual(again.headers["ETag"], tag)
            self.assertEqual(self.get(path, If_None_Match='"other"').status, 200)

    def test_etags_differ_where_the_bytes_do(self):
        tags = {self.get(f"/api/rooms/alloy/frames/3?{q}").headers["ETag"] for q in
                ("", "format=json", "data=forces", "data=positions", "format=extxyz", "data=forces&atoms=0:3", "unless=2",
                 "array_keys=str")}
        tags.add(self.get("/api/rooms/alloy/frames/4").headers["ETag"])
        self.assertEqual(len(tags), 9)

    def test_etag_names_id_and_version(self):
        reply = self.get("/api/rooms/alloy/frames/3")
        self.assertRegex(reply.headers["ETag"], r'^"[0-9a-f]{16}\.%s\.%s-' % (reply.headers["Frame-Id"], reply.headers["Frame-Version"]))

    def test_head_says_what_get_says(self):
        for path in ("/api/rooms", "/api/rooms/alloy", "/api/rooms/alloy/fields", "/api/rooms/alloy/frames/3",
                     "/api/rooms/alloy/frames?indices=0:9", "/healthz"):
            get, head = self.get(path), self.server.request("HEAD", path)
            self.assertEqual((head.status, head.body), (200, b""), path)
            for name in ("Content-Length", "Content-Type", "ETag"):
                self.assertEqual(head.headers.get(name), get.headers.get(name), f"{path} {name}")

    def test_ranges_of_npy_and_columns(self):
        for path in ("/api/rooms/alloy/frames?data=forces&format=npy", "/api/rooms/alloy/frames?indices=0:9&format=columns"):
            whole = self.get(path).body
            n = len(whole)
            for text, part in (("bytes=0-99", slice(0, 100)), ("bytes=100-", slice(100, None)), ("bytes=-50", slice(-50, None)),
                               (f"bytes=10-{n + 100}", slice(10, None)), (f"bytes={n - 1}-{n - 1}", slice(n - 1, n))):
                reply = self.get(path, Range=text)
                self.assertEqual(reply.status, 206, text)
                self.assertEqual(reply.body, whole[part], text)
                begin, end, _ = part.indices(n)
                self.assertEqual(reply.headers["Content-Range"], f"bytes {begin}-{end - 1}/{n}")
            reply = self.get(path, Range=f"bytes={n}-")
            self.assertEqual(reply.status, 416)
            self.assertEqual(reply.headers["Content-Range"], f"bytes */{n}")
            for text in ("bytes=x-y", "lines=1-2", "bytes=5-2"):  # to be ignored: RFC 9110, 14.2
                self.assertIn(self.get(path, Range=text).status, (200, 416), text)

    def test_position_and_commit_headers(self):
        commit = self.server.room("alloy").json()["commit"]
        for path in ("/api/rooms/alloy", "/api/rooms/alloy/frames/0", "/api/rooms/alloy/frames?indices=0:2"):
            reply = self.get(path)
            self.assertEqual(reply.headers["Zn-Commit"], commit)
            self.assertRegex(reply.headers["Zn-Position"], r"^\d+:\d+$")


if __name__ == "__main__":
    unittest.main()
