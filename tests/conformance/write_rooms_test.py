"""Making and changing rooms, rule by rule of the contract."""
import json
import unittest
import uuid

from support.writing import WriteCase, molecule, pack


class Rooms(WriteCase):
    def test_create_and_fork(self):
        room = self.send("POST", "/api/rooms", {"description": "d"}, 201)
        model = room.json()
        self.assertEqual(room.headers["Location"], f"/api/rooms/{model['id']}")
        self.assertEqual(set(model), {"id", "description", "frameCount", "locked", "hidden", "isDefault", "metadataLocked",
                                      "presenterSid", "base", "commit"})
        self.assertEqual((model["frameCount"], model["base"], model["description"]), (0, None, "d"))
        self.send("POST", "/api/rooms", {"id": model["id"]}, 409)
        for bad in (".hidden", "zarr.json", "a/b", "", "x" * 129, "ü"):
            self.send("POST", "/api/rooms", {"id": bad}, 400)
        self.send("POST", "/api/rooms", {"id": 7}, 400)
        self.send("POST", "/api/rooms", {"name": "x"}, 400)
        path = self.new_room([molecule(1), molecule(2)])
        name, commit = path.rsplit("/", 1)[1], self.server.get(path).json()["commit"]
        self.send("PUT", f"{path}/frames/0?base_version=1", pack(molecule(1, 5)), 200)
        fork = self.send("POST", "/api/rooms", {"base": f"{name}@{commit}"}, 201).json()
        self.assertEqual((fork["frameCount"], fork["base"]), (2, f"{name}@{commit}"))
        self.assert_frame(f"/api/rooms/{fork['id']}", 0, molecule(1))
        self.send("POST", "/api/rooms", {"base": "nowhere"}, 404)
        self.send("POST", "/api/rooms", {"base": f"{name}@1-0123456789abcdef"}, 404)
        self.send("POST", "/api/rooms", {"base": f"{name}@x"}, 400)
        # Forks live on.
        self.send("DELETE", path, None, 403)  # an admin's
        self.send("DELETE", path, None, 204, **self.admin)
        self.send("GET", path, None, 404)
        self.assert_frame(f"/api/rooms/{fork['id']}", 1, molecule(2))

    def test_describe_hide_lock(self):
        path = self.new_room([molecule(1)])
        name = path.rsplit("/", 1)[1]
        model = self.send("PATCH", path, {"description": "new", "hidden": True}, 200).json()
        self.assertEqual((model["description"], model["hidden"]), ("new", True))
        listed = lambda query: name in [r["id"] for r in self.server.get(f"/api/rooms?limit=1000{query}").json()]
        self.assertFalse(listed(""))
        self.assertTrue(listed("&hidden=true"))
        for bad in ({"description": 1}, {"locked": "yes"}, {"hiden": True}, {"description": "x" * 5000}):
            self.send("PATCH", path, bad, 400)
        self.send("PATCH", path, {"locked": True}, 200)
        for method, where, body in (("POST", "/frames", pack(molecule(1))), ("PUT", "/frames/0?base_version=1", pack(molecule(1))),
                                    ("DELETE", "/frames/0?base_version=1", None), ("POST", "/frames/0/undo", None),
                                    ("PATCH", "", {"description": "no"}), ("PATCH", "/metadata", {"a": 1})):
            self.send(method, path + where, body, 403)
        self.assertEqual(self.server.get(path).json()["description"], "new")
        self.send("POST", "/api/rooms", {"base": name}, 201)  # forking goes on
        self.send("PATCH", path, {"locked": False}, 403)
        self.send("PATCH", path, {"locked": False}, 200, **self.admin)
        self.send("POST", f"{path}/frames", pack(molecule(1)), 201)

    def test_default_room(self):
        path = self.new_room([molecule(1)])
        name = path.rsplit("/", 1)[1]
        self.assertTrue(self.send("PATCH", path, {"isDefault": True}, 200).json()["isDefault"])
        self.assertEqual([r["id"] for r in self.server.get("/api/rooms?limit=1000").json() if r["isDefault"]], [name])
        self.send("DELETE", path, None, 409, **self.admin)
        self.send("PATCH", path, {"isDefault": False}, 400)
        other = self.new_room()
        self.send("PATCH", other, {"isDefault": True}, 200)
        self.send("DELETE", path, None, 204, **self.admin)

    def test_metadata(self):
        path = self.new_room()
        self.assertEqual(self.server.get(f"{path}/metadata").json(), {})
        patch = lambda body, status=200: self.server.request("PATCH", f"{path}/metadata", json.dumps(body).encode(),
                                                             {"Content-Type": "application/merge-patch+json"})
        self.assertEqual(patch({"a": {"b": 1, "c": 2}, "d": [1]}).json(), {"a": {"b": 1, "c": 2}, "d": [1]})
        self.assertEqual(patch({"a": {"b": None}, "d": "x"}).json(), {"a": {"c": 2}, "d": "x"})
        self.assertEqual(patch({"big": "x" * 70000}).status, 413)
        self.assertEqual(patch([1]).status, 400)
        self.assertEqual(self.server.get(f"{path}/metadata").json(), {"a": {"c": 2}, "d": "x"})
        deep = b'{"a":' + b"[" * 50000 + b"]" * 50000 + b"}"
        self.assertEqual(self.server.request("PATCH", f"{path}/metadata", deep, {"Content-Type": "application/json"}).status, 400)

    def replayed(self, method, path, body, status, **headers):
        """Done once, replayed the second time, 422 with another body."""
        key = {"Idempotency_Key": uuid.uuid4().hex, **headers}
        first = self.send(method, path, body, status, **key)
        again = self.send(method, path, body, status, **key)
        self.assertNotIn("Idempotency-Replayed", first.headers)
        self.assertEqual(again.headers["Idempotency-Replayed"], "true")
        self.assertEqual(again.body, first.body)
        self.send(method, path, {"description": "another"}, 422, **key)
        return key

    def test_keys_of_requests_that_change_rooms(self):
        path = self.new_room([molecule(1)])
        key = self.replayed("PATCH", path, {"description": "one", "hidden": True}, 200)
        self.send("PATCH", path, {"description": "two"}, 200)
        self.send("PATCH", path, {"description": "one", "hidden": True}, 200, **key)
        self.assertEqual(self.server.get(path).json()["description"], "two", "a replay changes nothing")
        self.replayed("PATCH", f"{path}/metadata", {"a": 1}, 200)
        self.replayed("PATCH", path, {"isDefault": True}, 200)
        self.replayed("PATCH", path, {"isDefault": True, "description": "three"}, 200)
        other = self.new_room()
        key = self.replayed("PATCH", other, {"isDefault": True}, 200)
        self.send("PATCH", path, {"isDefault": True}, 200)
        self.send("PATCH", other, {"isDefault": True}, 200, **key)
        self.assertTrue(self.server.get(path).json()["isDefault"])
        # A refused request is not kept.
        key = {"Idempotency_Key": uuid.uuid4().hex}
        self.send("PATCH", path, {"locked": True}, 200)
        self.send("PATCH", path, {"description": "four"}, 403, **key)
        self.send("PATCH", path, {"locked": False}, 200, **self.admin)
        self.send("PATCH", path, {"description": "four"}, 200, **key)

    def test_a_room_is_deleted_once_for_a_key(self):
        path = self.new_room([molecule(1)])
        key = {"Idempotency_Key": uuid.uuid4().hex, **self.admin}
        self.send("DELETE", path, None, 204, **key)
        again = self.send("DELETE", path, None, 204, **key)
        self.assertEqual((again.headers["Idempotency-Replayed"], again.body), ("true", b""))
        self.send("DELETE", path, None, 404, **self.admin)
        self.send("POST", "/api/rooms", {"id": path.rsplit("/", 1)[1]}, 201)
        self.send("DELETE", path, None, 204, **key)
        self.assertEqual(self.server.get(path).status, 200, "the new one is another")
        self.assertEqual(self.server.stop(), 0)
        self.start()
        self.send("DELETE", path, None, 204, **{**key, **self.admin})
        self.assertEqual(self.server.get(path).status, 200, "kept over a restart")

    def test_empty_rooms_survive_a_restart(self):
        name = self.new_room().rsplit("/", 1)[1]
        self.assertEqual(self.server.stop(), 0)
        self.start()
        model = self.server.get(f"/api/rooms/{name}").json()
        self.assertEqual((model["frameCount"], model["base"]), (0, None))


if __name__ == "__main__":
    unittest.main()
