"""Files uploaded to be imported: jobs and their states, both ways to send a file, limits, cancelling, restarts; and that the
program which reads them is shut in."""
import json
import struct
import subprocess
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

from support.zn import BIN, DATA, Server, StoreCase


def wait(server, job, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = server.get(f"/api/jobs/{job['id']}").json()
        if state["state"] not in ("queued", "running"):
            return state
        time.sleep(0.05)
    raise AssertionError(f"the job is not over after {seconds} s: {state}")


def upload(server, room, body, query="", kind="application/octet-stream"):
    return server.request("POST", f"/api/rooms/{room}/import{query}", body, {"Content-Type": kind})


class Uploads(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.store, "--create", "--max-upload", "4")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def test_a_raw_body_becomes_a_room_in_one_commit(self):
        reply = upload(self.server, "raw", (DATA / "molecules.xyz").read_bytes(), "?message=mine")
        self.assertEqual(reply.status, 202, reply.body)
        job = wait(self.server, reply.json())
        self.assertEqual((job["state"], job["percent"], job["error"]), ("done", 100, None), job)
        room = self.server.get("/api/rooms/raw").json()
        self.assertEqual((room["frameCount"], room["commit"]), (162, job["commit"]))
        commits = self.server.get("/api/rooms/raw/commits").json()
        self.assertEqual([c["operation"] for c in commits][-1:], ["import"])
        self.assertEqual(commits[-1]["message"], "mine")
        self.assertIn(job["id"], [j["id"] for j in self.server.get("/api/jobs").json()])

    def test_multipart_and_options(self):
        file = (DATA / "molecules.xyz").read_bytes()
        body = (b'--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
                b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="m.xyz"\r\nContent-Type: chemical/x-xyz\r\n\r\n'
                + file + b"\r\n--xyz--\r\n")
        reply = upload(self.server, "multi", body, "?start=10&stop=30&step=2", 'multipart/form-data; boundary="xyz"')
        job = wait(self.server, reply.json())
        self.assertEqual(job["state"], "done", job)
        self.assertEqual(self.server.get("/api/rooms/multi").json()["frameCount"], 10)
        for bad in (body.replace(b'"file"', b'"fil"'), b"--xyz\r\nnonsense", b""):
            self.assertIn(upload(self.server, "multi", bad, "", "multipart/form-data; boundary=xyz").status, (400, 404))

    def test_what_cannot_be_read_leaves_nothing(self):
        for name, content in (("empty-text", b"not a trajectory at all\n" * 10), ("torn", (DATA / "molecules.xyz").read_bytes()[:-500])):
            job = wait(self.server, upload(self.server, name, content).json())
            self.assertEqual(job["state"], "failed", job)
            self.assertTrue(job["error"])
            self.assertNotIn("/proc", job["error"])
            self.assertEqual(self.server.get(f"/api/rooms/{name}").status, 404)
        self.assertEqual(upload(self.server, "x", b"").status, 400)
        self.assertEqual(upload(self.server, "x", b"1\n\nH 0 0 0\n", "?sart=1").status, 400)
        self.assertEqual(upload(self.server, "x", b"1\n\nH 0 0 0\n", "?chunk=0").status, 400)
        self.assertEqual(upload(self.server, ".x", b"1\n\nH 0 0 0\n").status, 400)
        self.assertEqual(self.server.get("/api/jobs/none").status, 404)

    def test_too_large_is_refused_before_it_is_sent(self):
        # The body is never sent: the head alone is answered.
        got, _ = self.server.raw(b"POST /api/rooms/big/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 413"), got[:100])
        got, _ = self.server.raw(b"POST /api/rooms/nowhere/frames HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 b"ffffffff\r\n" + b"x" * 100, seconds=1)
        self.assertEqual(got, b"")  # it waits for the body, which may be that long

    def test_a_chunked_body_is_kept_on_disk(self):
        frame = b"200\nProperties=species:S:1:pos:R:3\n" + b"H 0.125 0.25 0.5\n" * 200
        frames = 800
        pieces = [frame] * frames
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        connection.request("POST", "/api/rooms/chunked/import", iter(pieces), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        reply = connection.getresponse()
        body = reply.read()
        self.assertEqual(reply.status, 202, body)
        job = wait(self.server, json.loads(body))
        self.assertEqual(job["state"], "done", job)
        self.assertEqual(self.server.get("/api/rooms/chunked").json()["frameCount"], frames)

    def test_external_links_lead_nowhere(self):
        secret = self.store.parent / "secret.h5"
        with h5py.File(secret, "w") as f:
            f["value"] = np.full((3, 4, 3), 7.0)
        path = self.store.parent / "evil.h5"
        with h5py.File(path, "w") as f:
            f.create_group("h5md").attrs["version"] = [1, 1]
            particles = f.create_group("particles/all")
            particles.create_group("box").attrs["dimension"] = 3
            particles["box"].attrs["boundary"] = np.array([b"none"] * 3)
            position = particles.create_group("position")
            position["step"] = np.arange(3)
            position["value"] = h5py.ExternalLink(str(secret), "/value")
        job = wait(self.server, upload(self.server, "evil", path.read_bytes()).json())
        if job["state"] == "done":  # read without what the link names
            self.assertNotIn(b"7.0", self.server.get("/api/rooms/evil/frames?format=json").body)
        else:
            self.assertEqual(job["state"], "failed", job)


class Restarts(StoreCase):
    def test_cancel_and_restart(self):
        server = Server(self.store, "--create")
        frame = b"1000\nProperties=species:S:1:pos:R:3\n" + b"H 0.125 0.25 0.5\n" * 1000
        big = frame * 4000  # 70 MB: long enough to be met while it runs
        jobs = [upload(server, f"r{i}", big).json() for i in range(3)]
        self.assertEqual(server.request("DELETE", f"/api/jobs/{jobs[2]['id']}").status, 202)
        self.assertEqual(wait(server, jobs[2])["state"], "cancelled")
        cancelled = server.request("DELETE", f"/api/jobs/{jobs[0]['id']}").status  # 409: it was done while the others were sent
        self.assertIn(cancelled, (202, 409))
        self.assertIn(wait(server, jobs[0])["state"], ("cancelled", "done") if cancelled == 202 else ("done",))
        server.process.kill()
        server.process.wait()
        server.stop()
        server = Server(self.store)
        states = {j["id"]: j["state"] for j in server.get("/api/jobs").json()}
        self.assertEqual(states[jobs[2]["id"]], "cancelled")
        self.assertIn(states[jobs[1]["id"]], ("failed", "done"))
        self.assertEqual(server.get("/api/rooms/r1").status, 200 if states[jobs[1]["id"]] == "done" else 404)
        self.assertEqual(server.request("DELETE", f"/api/jobs/{jobs[1]['id']}").status, 409)
        server.stop()


class Sandbox(unittest.TestCase):
    """The program itself, as the server starts it."""

    def stream(self, path, *options):
        done = subprocess.run([str(BIN / "zn-import"), str(path), "--stream", *options], stdout=subprocess.PIPE, timeout=60)
        kinds, at = [], 0
        while at < len(done.stdout):
            kind, length = struct.unpack_from("<BQ", done.stdout, at)
            kinds.append((kind, done.stdout[at + 9:at + 9 + length]))
            at += 9 + length
        return done.returncode, kinds

    def test_the_stream_is_the_same_inside_and_outside(self):
        for file in ("molecules.xyz", "alloy_md.xyz"):
            outside, inside = self.stream(DATA / file), self.stream(DATA / file, "--sandbox")
            self.assertEqual(outside[0], 0)
            self.assertEqual(outside, inside)
            self.assertEqual(inside[1][-1], (5, b""))

    def test_memory_is_bounded(self):
        code, kinds = self.stream(DATA / "alloy_md.xyz", "--sandbox", f"--max-memory={40 << 20}")
        self.assertTrue(code != 0 or kinds[-1][0] == 5)  # it ends, one way or the other


if __name__ == "__main__":
    unittest.main()
