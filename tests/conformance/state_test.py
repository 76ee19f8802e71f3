"""State records and presence against the real server, also when it is killed in the middle of writing."""
import json
import signal
import threading
import unittest

from support.zn import Client, RoomCase, Server


def put(client, path, value, **headers):
    return client.ask("PUT", path, {"value": value}, **headers)


class State(RoomCase):
    def test_records_have_versions_and_conflicts(self):
        with Server(self.store) as server:
            path = "/api/rooms/r/state/settings/camera/zoom"
            self.assertEqual(put(server, path, 1.5, If_None_Match="*").status, 201)
            self.assertEqual(put(server, path, 2).status, 428)
            stale = put(server, path, 2, If_Match='"9"')
            self.assertEqual(stale.status, 412)
            self.assertEqual(stale.json()["latest"]["value"], 1.5)
            self.assertEqual(put(server, path, {"x": [1, None, "é"]}, If_Match='"1"').status, 200)
            record = server.get(path).json()
            self.assertEqual((record["value"], record["version"]), ({"x": [1, None, "é"]}, 2))
            self.assertEqual(server.request("DELETE", path, headers={"If-Match": "2"}).status, 200)
            self.assertEqual(server.get(path).status, 404)
            again = put(server, path, 3, If_None_Match="*")
            self.assertEqual(again.json()["version"], 4, "versions go on after DELETE")

    def test_what_was_acknowledged_survives_a_kill(self):
        acknowledged = {}
        for start in range(3):
            server = Server(self.store)
            stop = threading.Event()

            def write(name):
                client = Client(server.port)
                path = f"/api/rooms/r/state/labels/all/{name}"
                try:
                    while not stop.is_set():
                        base = acknowledged.get(name, (0, None))[0]
                        value = f"{name} {base} {start}"
                        reply = client.request("PUT", f"{path}?base_version={base}", json.dumps({"value": value}))
                        if reply.status in (200, 201):
                            acknowledged[name] = (reply.json()["version"], value)
                        elif reply.status == 409:
                            # A write that was durable, but not acknowledged before the kill.
                            latest = reply.json()["latest"]
                            acknowledged[name] = (latest["version"], latest["value"])
                except OSError:
                    pass
                finally:
                    client.close()

            writers = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(4)]
            for writer in writers:
                writer.start()
            writers[0].join(0.5)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            stop.set()
            for writer in writers:
                writer.join()
            server.stop()
            with Server(self.store) as after:
                for name, (version, value) in acknowledged.items():
                    found = after.get(f"/api/rooms/r/state/labels/all/{name}").json()
                    self.assertGreaterEqual(found["version"], version, f"start {start}: a record is lost")
                    self.assertLessEqual(found["version"], version + 1)
                    if found["version"] == version:
                        self.assertEqual(found["value"], value)
                    acknowledged[name] = (found["version"], found["value"])
        self.assertEqual(len(acknowledged), 4)

    def test_a_batch_is_all_or_nothing(self):
        with Server(self.store) as server:
            batch = [{"scope": "marks", "target": "t", "key": f"k{i}", "value": i} for i in range(1000)]
            self.assertEqual(server.request("POST", "/api/rooms/r/state", json.dumps(batch)).status, 200)
            batch = [dict(item, value=0, base_version=1) for item in batch]
            batch[-1]["base_version"] = 5
            self.assertEqual(server.request("POST", "/api/rooms/r/state", json.dumps(batch)).status, 409)
            page = server.get("/api/rooms/r/state?scope=marks&limit=600")
            self.assertEqual(len(page.json()), 600)
            self.assertIn('rel="next"', page.headers["Link"])
            rest = server.get(page.headers["Link"].split(">")[0][1:]).json()
            records = page.json() + rest
            self.assertEqual(sorted(record["value"] for record in records), list(range(1000)))

    def test_presence_counts_clients(self):
        with Server(self.store) as server:
            for client, status in (("a", "viewing"), ("b", "editing"), ("a", "editing")):
                counts = server.request("POST", "/api/rooms/r/presence",
                                        json.dumps({"client_id": client, "status": status})).json()
            self.assertEqual((counts["viewers"], counts["editors"]), (0, 2))
            self.assertEqual(server.request("POST", "/api/rooms/r/presence", "{}").status, 400)


if __name__ == "__main__":
    unittest.main()
