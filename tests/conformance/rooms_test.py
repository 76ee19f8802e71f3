"""Rooms as they are listed, described and paged; paths, methods and names that are none."""
import json
import unittest

from support.reading import Api


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


if __name__ == "__main__":
    unittest.main()
