"""Which frames, fields and atoms of them one gets: the selections of api.md against the real server."""
import json
import random
import unittest
from urllib.parse import quote

import numpy as np

from support.reading import Api


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


if __name__ == "__main__":
    unittest.main()
