#!/usr/bin/python3
"""The reading half of api.md against the real server: selections, formats, validators, errors, limits, hostile requests."""
import gzip
import json
import random
import re
import socket
import subprocess
import threading
import time
import unittest
from pathlib import Path
from urllib.parse import quote

import msgpack
import numpy as np

from support import zn


class Api(zn.StoreCase):
    """Rooms `molecules` (162 frames of many sizes, fields absent from some) and `alloy` (100 frames of 108 atoms)."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for room, file in (("molecules", "molecules.xyz"), ("alloy", "alloy_md.xyz"), ("crystal", "strained_crystal.xyz")):
            code, output = zn.import_file(cls.store, room, zn.DATA / file)
            assert code == 0, output
        cls.server = zn.Server(cls.store)
        cls.molecules = cls.server.room("molecules", "/frames").frames()
        cls.alloy = cls.server.room("alloy", "/frames").frames()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def get(self, path, **headers):
        return self.server.get(path, {key.replace("_", "-"): value for key, value in headers.items()})

    def problem(self, reply, status):
        """api.md: RFC 9457, every error."""
        self.assertEqual(reply.status, status, reply.body[:300])
        self.assertTrue(reply.headers["Content-Type"].startswith("application/problem+json"), reply.headers)
        body = reply.json()
        for key in ("type", "title", "status", "detail", "instance"):
            self.assertIn(key, body)
        self.assertEqual(body["status"], status)
        return body

    def equal_frames(self, got, want):
        self.assertEqual(len(got), len(want))
        for g, w in zip(got, want):
            self.assertEqual(set(g), set(w))
            for field in w:
                np.testing.assert_array_equal(g[field], w[field])

    def indices(self, selection, room="molecules"):
        return self.server.room(room, "/frames", indices=selection, data="energy", format="columns").columns().indices.tolist()


class Selections(Api):
    def test_slices_are_python_s(self):
        # 1,000 random slices of 162 frames; a user would get other frames than they asked for.
        rng = random.Random(1)
        n = len(self.molecules)
        for _ in range(1000):
            start, stop = (rng.choice([None, rng.randint(-n - 30, n + 30)]) for _ in range(2))
            step = rng.choice([None, rng.choice([-200, -7, -1, 1, 2, 13, 500])])
            text = ":".join("" if x is None else str(x) for x in (start, stop))
            if step is not None or rng.random() < 0.3:
                text += ":" + ("" if step is None else str(step))
            self.assertEqual(self.indices(text), list(range(n))[slice(start, stop, step)], text)

    def test_lists_keep_order_and_duplicates(self):
        n = len(self.molecules)
        for text, want in (("7", [7]), ("0,5,9", [0, 5, 9]), ("-1", [n - 1]), ("-1,0,-1", [n - 1, 0, n - 1]),
                           ("3,3,3", [3, 3, 3]), ("9:6:-1,0:2,5", [9, 8, 7, 0, 1, 5]), (":", list(range(n))),
                           ("::-1", list(range(n))[::-1]), ("5:5", []), ("1000:2000", [])):
            self.assertEqual(self.indices(text), want, text)

    def test_absent_is_all_and_empty_is_nothing(self):
        self.assertEqual(len(self.server.room("molecules", "/frames", data="energy").frames()), len(self.molecules))
        self.assertEqual(self.server.get("/api/rooms/molecules/frames?indices=").frames(), [])
        self.assertEqual(self.server.get("/api/rooms/molecules/frames?indices=&format=json").json(), [])

    def test_a_single_index_out_of_range_is_404(self):
        n = len(self.molecules)
        for text in (str(n), str(-n - 1), f"0,{n}", "99999999999", f"0:3,{n}"):
            self.problem(self.get(f"/api/rooms/molecules/frames?indices={text}"), 404)
        self.problem(self.get(f"/api/rooms/molecules/frames/{n}"), 404)
        self.problem(self.get(f"/api/rooms/molecules/frames/{-n - 1}"), 404)

    def test_nonsense_is_400_and_named(self):
        for text in ("a", "1:2:3:4", "1..2", "0x10", "1e3", "::0", "5:1:0", "1,,2", ",", "1 2", "--1", "1;2", "%00", "1.5",
                     "9" * 40, "0:" + "9" * 40, "\u0661"):
            body = self.problem(self.get(f"/api/rooms/molecules/frames?indices={quote(text, safe=':,%')}"), 400)
            self.assertIn("ind", body["detail"].lower() + body["title"].lower(), text)

    def test_one_frame_is_a_map(self):
        for i in (0, 5, len(self.molecules) - 1):
            self.equal_frames([self.server.room("molecules", f"/frames/{i}").frame()], [self.molecules[i]])
        self.equal_frames([self.server.room("molecules", "/frames/-1").frame()], [self.molecules[-1]])

    def test_select_takes_long_lists(self):
        rng = random.Random(2)
        chosen = [rng.randrange(len(self.molecules)) for _ in range(20000)]
        reply = self.server.request("POST", "/api/rooms/molecules/frames/select",
                                    json.dumps({"indices": chosen, "data": ["numbers"], "format": "columns"}),
                                    {"Content-Type": "application/json"})
        self.assertEqual(reply.status, 200, reply.body[:300])
        columns = reply.columns()
        self.assertEqual(columns.indices.tolist(), chosen)
        rows = columns.rows("arrays.numbers")
        for row, i in zip(rows, chosen):
            self.assertEqual(row.tolist(), self.molecules[i]["arrays.numbers"].tolist())

    def test_select_refuses_what_is_not_a_selection(self):
        for body in ("", "{", "[]", '{"indices": 1.5}', '{"indices": ["x"]}', '{"indices": [0], "data": 7}',
                     '{"indices": [0], "format": "pdf"}', '{"indices": {"a": 1}}'):
            reply = self.server.request("POST", "/api/rooms/molecules/frames/select", body, {"Content-Type": "application/json"})
            self.problem(reply, 400)

    def test_fields_by_name_and_alias(self):
        for name in ("arrays.positions", "positions", "pos"):
            frame = self.server.room("molecules", "/frames/3", data=name).frame()
            self.assertEqual(list(frame), ["arrays.positions"])
        frame = self.server.room("alloy", "/frames/3", data="energy,box,species").frame()
        self.assertEqual(set(frame), {"calc.energy", "cell", "arrays.numbers"})
        frame = self.server.room("alloy", "/frames/3", keys="temperature").frame()
        self.assertEqual(list(frame), ["info.temperature"])

    def test_species_as_symbols(self):
        frame = self.server.room("alloy", "/frames/0", data="species:symbol", format="json").json()
        (symbols,) = frame.values()
        numbers = {29: "Cu", 79: "Au"}
        self.assertEqual(symbols, [numbers[z] for z in self.alloy[0]["arrays.numbers"].tolist()])

    def test_absent_fields_are_left_out(self):
        frames = self.server.room("molecules", "/frames", data="energy,forces").frames()
        have = [k for k, f in enumerate(self.molecules) if "calc.energy" in f]
        self.assertTrue(0 < len(have) < len(frames))
        self.assertEqual([k for k, f in enumerate(frames) if "calc.energy" in f], have)
        self.assertEqual([f for f in frames if not f], [{}] * (len(frames) - len(have)))

    def test_npy_of_an_absent_field_is_400_naming_the_first_frame(self):
        first = next(k for k, f in enumerate(self.molecules) if "calc.energy" not in f)
        body = self.problem(self.get("/api/rooms/molecules/frames?data=energy&format=npy"), 400)
        self.assertIn(str(first), body["detail"])

    def test_unknown_field_is_404_with_near_misses(self):
        body = self.problem(self.get("/api/rooms/alloy/frames?data=enrgy"), 404)
        self.assertIn("energy", json.dumps(body))
        self.problem(self.get("/api/rooms/alloy/frames?data=positions,qqqqqqqq"), 404)

    def test_atoms(self):
        for text, part in (("0:3", slice(0, 3)), ("1:", slice(1, None)), ("0:1000", slice(0, 1000)), ("0:8:3", slice(0, 8, 3)),
                           ("-2:", slice(-2, None))):
            frames = self.server.room("molecules", "/frames", indices="0:40", data="positions,numbers,name", atoms=text).frames()
            for frame, want in zip(frames, self.molecules):
                np.testing.assert_array_equal(frame["arrays.positions"], want["arrays.positions"][part], text)
                np.testing.assert_array_equal(frame["arrays.numbers"], want["arrays.numbers"][part])
                self.assertEqual(frame["info.name"], want["info.name"])
        self.problem(self.get("/api/rooms/alloy/frames?atoms=x"), 400)
        self.problem(self.get("/api/rooms/alloy/frames?atoms=0:3:0"), 400)

    def test_by_id(self):
        meta = self.server.room("molecules", "/frames/meta", indices="0:5").json()
        for entry in meta:
            reply = self.server.room("molecules", f"/frames/id:{entry['id']}")
            self.equal_frames([reply.frame()], [self.molecules[entry["frame"]]])
        self.problem(self.get("/api/rooms/molecules/frames/id:999999"), 404)
        self.problem(self.get("/api/rooms/molecules/frames/id:x"), 400)

    def test_meta_agrees_with_the_frame_s_headers(self):
        meta = self.server.room("molecules", "/frames/meta", indices="0,7,-1").json()
        self.assertEqual([m["frame"] for m in meta], [0, 7, len(self.molecules) - 1])
        for entry in meta:
            reply = self.server.room("molecules", f"/frames/{entry['frame']}")
            self.assertEqual(reply.headers["Frame-Id"], str(entry["id"]))
            self.assertEqual(reply.headers["Frame-Version"], str(entry["version"]))
            self.assertEqual(reply.headers["Frame-Hash"], entry["hash"])
            self.assertRegex(entry["hash"], r"^sha256:[0-9a-f]{64}$")

    def test_version(self):
        self.equal_frames([self.server.room("alloy", "/frames/4", version=1).frame()], [self.alloy[4]])
        self.problem(self.get("/api/rooms/alloy/frames/4?version=2"), 404)
        self.problem(self.get("/api/rooms/alloy/frames/4?version=0"), 400)
        self.problem(self.get("/api/rooms/alloy/frames/4?version=x"), 400)

    def test_at_a_commit(self):
        commit = self.server.room("alloy").json()["commit"]
        self.equal_frames(self.server.room("alloy", "/frames", indices="0:3", at=commit).frames(), self.alloy[:3])
        self.problem(self.get("/api/rooms/alloy/frames?at=9-0000000000000000"), 404)
        self.problem(self.get("/api/rooms/alloy/frames?at=yesterday"), 400)

    def test_unless_leaves_out_what_is_equal(self):
        reply = self.server.room("alloy", "/frames/1", unless="0")
        frame = reply.frame()
        unchanged = {name.strip() for name in reply.headers["Zn-Unchanged"].split(",")}
        want = {f for f in self.alloy[1] if np.array_equal(self.alloy[1][f], self.alloy[0].get(f))}
        self.assertEqual(unchanged, want)
        self.assertIn("cell", unchanged)
        self.assertEqual(set(frame), set(self.alloy[1]) - want)
        self.problem(self.get("/api/rooms/alloy/frames/1?unless=100000"), 404)


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


class Rooms(Api):
    def rooms(self, query=""):
        reply = self.get("/api/rooms" + query)
        self.assertEqual(reply.status, 200)
        return reply, reply.json()

    def test_list_and_model(self):
        _, rooms = self.rooms()
        self.assertEqual([r["id"] for r in rooms], ["alloy", "crystal", "molecules"])
        room = self.get("/api/rooms/alloy").json()
        self.assertEqual(room, rooms[0])
        for key in ("id", "description", "frameCount", "locked", "hidden", "isDefault", "metadataLocked", "presenterSid",
                    "base", "commit"):
            self.assertIn(key, room)
        self.assertEqual((room["id"], room["frameCount"], room["locked"], room["hidden"]), ("alloy", 100, False, False))
        self.assertIsNone(room["presenterSid"])

    def test_pages(self):
        reply, rooms = self.rooms("?limit=2")
        self.assertEqual([r["id"] for r in rooms], ["alloy", "crystal"])
        self.assertIn('rel="next"', reply.headers["Link"])
        target = reply.headers["Link"].split(">")[0].lstrip("<")
        self.assertIn("after=", target)
        self.assertEqual([r["id"] for r in self.get(target).json()], ["molecules"])
        for query in ("?limit=0", "?limit=1001", "?limit=x", "?limit=-1"):
            self.problem(self.get("/api/rooms" + query), 400)

    def test_search(self):
        _, rooms = self.rooms("?search=cryst")
        self.assertEqual([r["id"] for r in rooms], ["crystal"])

    def test_fields(self):
        fields = {f["name"]: f for f in self.server.fields("alloy")}
        self.assertEqual(set(fields), set().union(*self.alloy))
        positions = fields["arrays.positions"]
        self.assertEqual((positions["kind"], positions["unit"]), ("atom", "Å"))
        self.assertIn(positions["dtype"], ("<f8", "float64"))
        self.assertEqual(fields["calc.energy"]["unit"], "eV")
        some = {f["name"]: f for f in self.server.fields("molecules")}["calc.energy"]
        self.assertEqual(some["frames"], sum("calc.energy" in f for f in self.molecules))

    def test_unknown_room_is_404_with_near_misses(self):
        body = self.problem(self.get("/api/rooms/aloy"), 404)
        self.assertIn("alloy", json.dumps(body))
        self.problem(self.get("/api/rooms/aloy/frames/0"), 404)
        self.problem(self.get("/api/rooms/zzzzzzzzzzzz"), 404)

    def test_names_that_cannot_be(self):
        for name in ("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", ".hidden", "a%00b", "a%20b", "x" * 129, "%ff", "a%2fb"):
            self.assertIn(self.get(f"/api/rooms/{name}").status, (400, 404), name)
            self.assertIn(self.get(f"/api/rooms/{name}/frames/0").status, (400, 404), name)

    def test_unknown_paths_and_methods(self):
        for path in ("/", "/api", "/api/nothing", "/api/rooms/alloy/nothing", "/api/rooms/alloy/frames/0/nothing"):
            reply = self.get(path)
            self.assertIn(reply.status, (200, 404) if path in ("/", "/api") else (404,), path)
        reply = self.server.request("PUT", "/healthz")
        self.problem(reply, 405)
        self.assertIn("GET", reply.headers["Allow"])
        self.assertIn(self.server.request("BREW", "/api/rooms").status, (400, 405, 501))

    def test_health(self):
        for path in ("/healthz", "/readyz", "/api/version"):
            self.assertEqual(self.get(path).status, 200)
        metrics = self.get("/metrics")
        self.assertEqual(metrics.status, 200)
        self.assertTrue(metrics.headers["Content-Type"].startswith("text/plain"))
        lines = [line for line in metrics.body.decode().splitlines() if line and not line.startswith("#")]
        self.assertGreater(len(lines), 5)
        for line in lines:
            float(line.rsplit(" ", 1)[1])


class Hostile(Api):
    def alive(self):
        self.assertEqual(self.get("/healthz").status, 200)

    def raw(self, data):
        return self.server.raw(data if isinstance(data, bytes) else data.encode())

    def test_smuggling_is_400_and_closed(self):
        # A proxy before the server must never see another request boundary than it does.
        head = f"Host: 127.0.0.1:{self.server.port}\r\n"
        attacks = {
            "length and chunked": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "two lengths": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            "two equal lengths": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            "a list of lengths": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 2, 2\r\n\r\n{}",
            "a negative length": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: -1\r\n\r\n",
            "a signed length": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: +2\r\n\r\n{}",
            "a length that overflows": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 99999999999999999999999\r\n\r\n",
            "space before colon": "GET /api/rooms HTTP/1.1\r\n" + head + "Content-Length : 0\r\n\r\n",
            "folded header": "GET /api/rooms HTTP/1.1\r\n" + head + "X-A: b\r\n c\r\n\r\n",
            "bare LF": "GET /api/rooms HTTP/1.1\n" + head.replace("\r", "") + "\n",
            "bare LF in a header": "GET /api/rooms HTTP/1.1\r\n" + head + "X-A: b\nX-B: c\r\n\r\n",
            "bare CR in a header": "GET /api/rooms HTTP/1.1\r\n" + head + "X-A: b\rX-B: c\r\n\r\n",
            "NUL in a header": "GET /api/rooms HTTP/1.1\r\n" + head + "X-A: b\0c\r\n\r\n",
            "unknown transfer coding": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "xchunked": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "a chunk size that is none": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
            "chunked in HTTP/1.0": "POST /api/rooms/alloy/frames/select HTTP/1.0\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "no Host": "GET /api/rooms HTTP/1.1\r\n\r\n",
            "two Hosts": "GET /api/rooms HTTP/1.1\r\n" + head + head + "\r\n",
            "no version": "GET /api/rooms\r\n\r\n",
            "version 3": "GET /api/rooms HTTP/3.0\r\n" + head + "\r\n",
            "not HTTP": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "control character in the target": "GET /api/\x01rooms HTTP/1.1\r\n" + head + "\r\n",
        }
        for name, attack in attacks.items():
            with self.subTest(name):
                follow = f"GET /api/version HTTP/1.1\r\n{head}\r\n"
                got, closed = self.raw(attack.encode("latin-1") + (b"" if name == "not HTTP" else follow.encode()))
                self.assertTrue(closed, f"left open after {got[:100]!r}")
                if got:
                    self.assertRegex(got.split(b"\r\n")[0], rb"^HTTP/1\.[01] (4\d\d|501|505) ")
                self.assertLessEqual(len(re.findall(rb"HTTP/1\.[01] \d\d\d ", got)), 1, "a second request was answered")
        self.alive()

    def test_foreign_host_and_origin(self):
        got, _ = self.raw("GET /api/rooms HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 403"), got[:80])
        self.problem(self.get("/api/rooms", Origin="http://evil.example"), 403)
        for host in (f"localhost:{self.server.port}", f"127.0.0.1:{self.server.port}"):
            got, _ = self.raw(f"GET /api/version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            self.assertTrue(got.startswith(b"HTTP/1.1 200"), got[:80])

    def test_sizes(self):
        self.assertIn(self.get("/api/rooms/alloy", X_A="a" * 200000).status, (400, 413, 431))
        self.server.connection = None
        self.assertIn(self.get("/api/rooms?search=" + "a" * 200000).status, (400, 413, 414, 431))
        self.server.connection = None
        many = "".join(f"X-{i}: y\r\n" for i in range(100000))
        got, closed = self.raw(f"GET /api/rooms HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n{many}\r\n")
        self.assertTrue(closed)
        self.assertNotIn(b" 200 ", got.split(b"\r\n")[0])
        self.alive()

    def test_a_selection_of_a_million_indices_is_bounded(self):
        body = json.dumps({"indices": [0] * 3_000_000, "format": "msgpack"})
        reply = self.server.request("POST", "/api/rooms/alloy/frames/select", body, {"Content-Type": "application/json"})
        self.assertIn(reply.status, (400, 413), reply.status)
        self.alive()

    def test_replies_have_a_bound(self):
        store = self.store.parent / "bounded"
        code, output = zn.import_file(store, "alloy", zn.DATA / "alloy_md.xyz")
        self.assertEqual(code, 0, output)
        with zn.Server(store, "--max-reply", "1") as server:  # MiB
            self.assertEqual(server.get("/api/rooms/alloy/frames?indices=0:2").status, 200)
            for kind in ("msgpack", "columns", "json", "extxyz", "npz"):
                reply = server.get(f"/api/rooms/alloy/frames?indices=:,:,:&format={kind}")
                self.problem(reply, 400)

    def test_pipelined_requests_are_answered_in_order(self):
        head = f"Host: 127.0.0.1:{self.server.port}\r\n"
        got, _ = self.raw("".join(f"GET /api/rooms/alloy/frames/{i}?data=step&format=json HTTP/1.1\r\n{head}\r\n" for i in range(9)) +
                          f"GET /healthz HTTP/1.1\r\n{head}Connection: close\r\n\r\n")
        steps = [int(n) for n in re.findall(rb'\{"info.step":(\d+)\}', got)]
        self.assertEqual(steps, [2 * i for i in range(9)])

    def test_percent_encoding(self):
        for path in ("/api/rooms/alloy/frames?data=%zz", "/api/rooms/alloy/frames?data=%", "/api/rooms/%zz",
                     "/api/rooms/alloy/frames?data=%ff%fe"):
            self.assertIn(self.get(path).status, (400, 404), path)
        self.assertEqual(self.get("/api/rooms/alloy/frames/0?data=arrays%2Epositions").status, 200)
        self.assertEqual(self.get("/api/rooms/alloy/frames?indices=0%3A2%2C5&data=step").status, 200)

    def test_random_bytes(self):
        rng = random.Random(3)
        plain = f"GET /api/rooms/alloy/frames/3?data=energy HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\nConnection: close\r\n\r\n".encode()
        for _ in range(400):
            data = bytearray(plain)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=5) as s:
                s.sendall(bytes(data))
                s.shutdown(socket.SHUT_WR)
                try:
                    while s.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
        self.alive()

    def test_half_requests_do_not_hold_others(self):
        held = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(300)]
        for s in held:
            s.sendall(b"GET /api/rooms HTTP/1.1\r\nHost: 127")
        self.alive()
        for s in held:
            s.close()


class Processes(zn.StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, output = zn.import_file(cls.store, "crystal", zn.DATA / "strained_crystal.xyz")
        assert code == 0, output

    def test_a_server_follows_imports(self):
        # With --read-only it reads beside the writer: what an import commits is seen without a restart, and all at once.
        with zn.Server(self.store, "--read-only") as server:
            before = server.room("crystal", "/frames").body
            code, output = zn.import_file(self.store, "more", zn.DATA / "molecules.xyz", seconds=60)
            self.assertEqual(code, 0, output)
            deadline = time.monotonic() + 5
            while server.get("/api/rooms/more").status == 404 and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(server.room("more").json()["frameCount"], 162)
            self.assertEqual(server.room("crystal", "/frames").body, before)

    def test_an_import_into_a_served_store_says_so(self):
        with zn.Server(self.store) as server:
            before = server.room("crystal", "/frames").body
            code, output = zn.import_file(self.store, "second", zn.DATA / "molecules.xyz", seconds=60)
            self.assertGreater(code, 0)
            self.assertRegex(output, r"in use by another process")
            self.assertEqual(server.get("/api/rooms/second").status, 404)
            self.assertEqual(server.room("crystal", "/frames").body, before)

    def test_an_import_into_a_store_in_use_says_so(self):
        large = self.store.parent / "large.xyz"
        large.write_bytes((zn.DATA / "alloy_md.xyz").read_bytes() * 60)
        lock = f":{(self.store / 'lock').stat().st_ino} "
        first = subprocess.Popen([zn.BIN / "zn-import", large, "--store", self.store, "--room", "large"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while lock not in Path("/proc/locks").read_text() and first.poll() is None:
            time.sleep(0.001)
        code, output = zn.import_file(self.store, "second", zn.DATA / "strained_crystal.xyz", seconds=60)
        first.wait()
        self.assertGreater(code, 0, "two writers of one store, or the first ended before the second began")
        self.assertRegex(output, r"(?i)in use|another process|busy|held")
        self.assertIn(str(self.store), output)
        self.assertEqual(first.returncode, 0)

    def test_a_second_server_of_a_port_ends(self):
        other = self.store.parent / "other"
        self.assertEqual(zn.import_file(other, "crystal", zn.DATA / "strained_crystal.xyz")[0], 0)
        with zn.Server(self.store) as server:
            code, output = zn.run([zn.BIN / "zn-server", "--store", other, "--port", server.port], seconds=10)
            self.assertNotEqual(code, 124, "a second server on the port ran on: half of the requests would go to it")
            self.assertGreater(code, 0)

    def test_stops_gracefully_with_idle_connections(self):
        server = zn.Server(self.store)
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        self.assertEqual(server.stop(), 0)
        for s in idle:
            s.close()

    def test_a_store_that_is_none_is_an_error(self):
        for path in (self.store.parent / "missing", "/dev/null"):
            code, output = zn.run([zn.BIN / "zn-server", "--store", path, "--port", 1], seconds=30)
            self.assertGreater(code, 0)
            self.assertNotEqual(code, 124)
            self.assertIn(str(path), output)

    def test_redis_is_an_error_until_it_is_supported(self):
        import os
        code, output = zn.run([zn.BIN / "zn-server", "--store", self.store, "--port", 1], seconds=30,
                              env={**os.environ, "ZNDRAW_REDIS_URL": "redis://127.0.0.1"})
        self.assertGreater(code, 0)
        self.assertIn("ZNDRAW_REDIS_URL", output)

    def test_other_addresses_need_an_explicit_flag(self):
        code, output = zn.run([zn.BIN / "zn-server", "--store", self.store, "--port", 1, "--address", "0.0.0.0"], seconds=30)
        self.assertGreater(code, 0)
        self.assertNotEqual(code, 124)

    def test_bad_arguments_are_named(self):
        for program, rest in (("zn-import", [zn.DATA / "molecules.xyz", "--room", "r"]), ("zn-server", [])):
            code, output = zn.run([zn.BIN / program, "--store", self.store, *rest, "--no-such-option"], seconds=30)
            self.assertGreater(code, 0)
            self.assertIn("no-such-option", output)
            code, output = zn.run([zn.BIN / program, "--help"], seconds=30)
            self.assertEqual(code, 0)
            self.assertIn("--store", output)


if __name__ == "__main__":
    unittest.main()
