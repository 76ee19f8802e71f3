"""Bodies of frames in every format, and where they are put: by a client that shares no code with the server."""
import base64
import hashlib
import io
import unittest

import msgpack
import numpy as np

from support.writing import COLUMNS, WriteCase, molecule, pack, pack_array, pack_columns


class Bodies(WriteCase):
    def test_msgpack_with_either_kind_of_key(self):
        path = self.new_room()
        frames = [molecule(3), molecule(5, **{"calc.energy": np.float64(-1.25)})]
        reply = self.send("POST", f"{path}/frames", pack(frames), 201).json()
        self.assertEqual((reply["indices"], reply["ids"], reply["versions"]), ([0, 1], [0, 1], [1, 1]))
        text_keys = [{k: pack_array(v, str) for k, v in frame.items()} for frame in frames]
        self.send("POST", f"{path}/frames", msgpack.packb(text_keys), 201)
        # The old raw format: everything is raw bytes.
        raw = [{k.encode(): pack_array(v) for k, v in frame.items()} for frame in frames]
        self.send("POST", f"{path}/frames", msgpack.packb(raw, use_bin_type=False), 201)
        for i in range(6):
            self.assert_frame(path, i, frames[i % 2])
        hashes = [m["hash"] for m in self.meta(path)]
        self.assertEqual(hashes[:2], hashes[2:4])
        self.assertEqual(hashes[:2], hashes[4:])

    def test_columns(self):
        path = self.new_room()
        frames = [molecule(n) for n in (4, 0, 7)]
        self.send("POST", f"{path}/frames", pack_columns(frames), 201, COLUMNS)
        for i, frame in enumerate(frames):
            self.assert_frame(path, i, frame)
        # What a room says about itself has no place in new frames.
        self.send("POST", f"{path}/frames", pack_columns(frames, ids=[1, 2, 3]), 400, COLUMNS)

    def test_json(self):
        path = self.new_room()
        self.send("POST", f"{path}/frames", [{"positions": [[0, 0, 0.5], [1, 2, 3]], "species": ["O", "H"], "energy": -1.5,
                                              "info.note": {"a": [1, None]}}, {"positions": [[1, 1, 1]], "energy": "NaN"}], 201)
        first, second = self.frame(path, 0), self.frame(path, 1)
        np.testing.assert_array_equal(first["arrays.numbers"], [8, 1])
        self.assertEqual(first["arrays.positions"].dtype, np.float64)
        self.assertEqual(first["info.note"], {"a": [1, None]})
        self.assertTrue(np.isnan(second["calc.energy"]))

    def test_one_npy_field(self):
        path = self.new_room()
        array = np.arange(24, dtype="<f4").reshape(2, 4, 3)
        for data in (array, np.asfortranarray(array)):
            npy = io.BytesIO()
            np.save(npy, data)
            self.send("POST", f"{path}/frames?data=positions", npy.getvalue(), 201, "application/x-npy")
        np.testing.assert_array_equal(self.frame(path, 3)["arrays.positions"], array[1])
        npy = io.BytesIO()
        np.save(npy, array[0] + 1)
        self.send("PATCH", f"{path}/frames/1?data=positions&base_version=1", npy.getvalue(), 200, "application/x-npy")
        np.testing.assert_array_equal(self.frame(path, 1)["arrays.positions"], array[0] + 1)
        self.send("POST", f"{path}/frames", npy.getvalue(), 400, "application/x-npy")  # which field?

    def test_what_is_read_can_be_written_back(self):
        path = self.new_room([molecule(4, **{"calc.energy": np.float32(0.1), "info.tag": "x"}), molecule(2)])
        before = self.meta(path)
        for form, kind in (("json", "application/json"), ("msgpack", "application/msgpack")):
            for i in (0, 1):
                body = self.server.get(f"{path}/frames/{i}?format={form}").body
                reply = self.send("PUT", f"{path}/frames/{i}?base_version=1", body, 200, kind).json()
                self.assertFalse(reply["changed"], form)
        self.assertEqual(self.meta(path), before)

    def test_refused_bodies(self):
        path = self.new_room([molecule(2)])
        post = f"{path}/frames"
        self.send("POST", post, b"\xc1", 400)
        self.send("POST", post, b"", 400)
        self.send("POST", post, b"<xml/>", 415, "text/xml")
        self.send("POST", post, pack([{"positions": np.zeros((2, 3)), "species": np.zeros(3, int)}]), 400)
        self.send("POST", post, pack([{"positions": np.zeros((2, 4), "<f4")}]), 422)
        self.send("POST", post, pack([{"positions": np.full((1, 3), 0.1)}]), 422)  # float64 into float32
        self.send("POST", post + "?cast=true", pack([{"positions": np.full((1, 3), 0.1)}]), 201)
        self.send("POST", post, [{"positions": [[0.1, 0.2, 0.3]]}], 201)  # decimals are read as the field's
        self.send("POST", post, [{"positions": [[0.123456789012345, 0, 0]]}], 422)
        self.send("POST", post + "?befor=1", pack([molecule(1)]), 400)
        self.send("POST", "/api/rooms/nowhere/frames", pack([molecule(1)]), 404)
        good, digest = pack([molecule(1)]), lambda b: f"sha-256=:{base64.b64encode(hashlib.sha256(b).digest()).decode()}:"
        self.send("POST", post, good, 201, Content_Digest=digest(good))
        self.send("POST", post, good, 422, Content_Digest=digest(b"another"))
        self.send("POST", post, good, 400, Content_Digest="sha-256=:short:")

    def test_all_or_nothing(self):
        path = self.new_room([molecule(2)])
        commit = self.server.get(path).json()["commit"]
        self.send("POST", f"{path}/frames", pack([molecule(1)] * 50 + [{"positions": np.zeros(3)}]), 422)
        self.assertEqual(self.server.get(path).json()["commit"], commit)

    def test_long_bodies_are_one_commit(self):
        path = self.new_room()
        frames = [molecule(200, i) for i in range(3000)]
        body = pack(frames)
        self.assertGreater(len(body), 11 << 20)
        reply = self.send("POST", f"{path}/frames", body, 201).json()
        self.assertEqual(reply["indices"], list(range(3000)))
        self.assertEqual(len(self.server.get(f"{path}/commits").json()), 2)
        for i in (0, 1, 1500, 2999):
            self.assert_frame(path, i, frames[i])
        reply = self.send("POST", f"{path}/frames?before=1", body, 201).json()
        self.assertEqual(reply["indices"][0], 1)
        self.assert_frame(path, 2, frames[1])
        self.assert_frame(path, 3001, frames[1])


class Places(WriteCase):
    def test_insert(self):
        path = self.new_room([molecule(n) for n in (1, 2, 3)])
        self.assertEqual(self.send("POST", f"{path}/frames?before=1", pack(molecule(9)), 201).json()["indices"], [1])
        self.assertEqual(self.send("POST", f"{path}/frames?before=4", pack(molecule(8)), 201).json()["indices"], [4])
        for before in ("-1", "6", "x"):
            self.send("POST", f"{path}/frames?before={before}", pack(molecule(1)), 400)
        reply = self.send("POST", f"{path}/frames?before=id:2", pack([molecule(6), molecule(7)]), 201).json()
        self.assertEqual(reply["indices"], [3, 4])
        self.assertEqual([m["id"] for m in self.meta(path)], [0, 3, 1, 5, 6, 2, 4])
        self.send("POST", f"{path}/frames?before=id:99", pack(molecule(1)), 404)

    def test_base_commit(self):
        path = self.new_room([molecule(1)])
        commit = self.server.get(path).json()["commit"]
        self.send("POST", f"{path}/frames?before=0&base_commit={commit}", pack(molecule(2)), 201)
        stale = self.send("POST", f"{path}/frames?before=0&base_commit={commit}", pack(molecule(3)), 409)
        self.assertEqual(stale.json()["latest"]["commit"], self.server.get(path).json()["commit"])
        self.send("POST", f"{path}/frames?base_commit=nonsense", pack(molecule(3)), 400)

    def test_copy(self):
        source = self.new_room([molecule(n) for n in (1, 2, 3, 4)])
        commit = self.server.get(source).json()["commit"]
        self.send("PATCH", f"{source}/frames/1?base_version=1", {"delta": {"species": [7, 7]}}, 200)
        path = self.new_room([molecule(5)])
        name = source.rsplit("/", 1)[1]
        reply = self.send("POST", f"{path}/frames", {"copy_from": f"{name}@{commit}", "indices": [3, 1], "before": 0}, 201)
        self.assertEqual(reply.json()["indices"], [0, 1])
        self.assert_frame(path, 0, molecule(4))
        self.assert_frame(path, 1, molecule(2))
        self.send("POST", f"{path}/frames", {"copy_from": name, "indices": "1:2"}, 201)
        np.testing.assert_array_equal(self.frame(path, 3)["arrays.numbers"], [7, 7])
        self.send("POST", f"{path}/frames", {"copy_from": name, "indices": [9]}, 404)
        self.send("POST", f"{path}/frames", {"copy_from": name, "indices": [-1]}, 400)
        self.send("POST", f"{path}/frames", {"copy_from": name, "indices": [1, 1]}, 400)
        self.send("POST", f"{path}/frames", {"copy_from": "nowhere", "indices": [1]}, 404)
        self.send("POST", f"{path}/frames", {"copy_from": f"{name}@1-0000000000000000", "indices": [1]}, 404)


if __name__ == "__main__":
    unittest.main()
