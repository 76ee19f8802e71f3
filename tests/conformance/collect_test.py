"""Space comes back while the server runs: retention and 410, collection under load with readers in two processes and
kill -9 in its midst, full disks, disks that cannot be written."""
import http.client
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

import numpy as np

from support.writing import ADMIN_ENV, admin_of, pack
from support.zn import BIN, Client, Server, StoreCase, run

KILLS = int(os.environ.get("ZN_KILLS", "4"))
JSON = {"Content-Type": "application/json"}
MSGPACK = {"Content-Type": "application/msgpack"}
EAGER = ("--collect-every", "0.1", "--collect-rate", "2GB")


class Collecting(Server):
    """With an admin, whom deleting rooms and setting retention takes."""

    def __init__(self, store, *options):
        super().__init__(store, *options, env=ADMIN_ENV)
        self.admin = admin_of(self)

    def delete_room(self, room, client=None):
        return (client or self).request("DELETE", f"/api/rooms/{room}", headers=self.admin).status


def metric(server, name):
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def wait_for(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def make_room(client, name, frames, body=None):
    reply = client.request("POST", "/api/rooms", json.dumps({"id": name, **(body or {})}), JSON)
    if reply.status != 201:
        return reply
    return client.request("POST", f"/api/rooms/{name}/frames", pack(frames), MSGPACK)


def positions(seed, frames=2, atoms=40000):
    """Incompressible, and large enough that its chunks go to packs."""
    return np.random.default_rng(seed).random((frames, atoms, 3), np.float32)


def frames_of(seed, **shape):
    return [{"positions": frame} for frame in positions(seed, **shape)]


def usage(store):
    return sum(path.stat().st_blocks * 512 for part in ("log", "packs") for path in (Path(store) / part).iterdir())


class Retention(StoreCase):
    def test_old_commits_and_versions_are_410(self):
        with Collecting(self.store, "--create", "--keep", "4", *EAGER) as server:
            make_room(server, "r", [{"positions": np.zeros((2, 3), "<f4")}])
            commits = []
            for value in range(1, 11):
                reply = server.request("PATCH", f"/api/rooms/r/frames/0?base_version={value}",
                                       json.dumps({"delta": {"energy": value}}), JSON)
                self.assertEqual(reply.status, 200, reply.body)
                commits.append(reply.headers["Zn-Commit"])
            wait_for("commits are let go", lambda: metric(server, "zn_commits_pruned_total") >= 8)
            self.assertEqual(server.get(f"/api/rooms/r/frames/0?at={commits[0]}").status, 410)
            gone = server.get("/api/rooms/r/frames/0?version=2")
            self.assertEqual(gone.status, 410)
            self.assertEqual(gone.headers["Content-Type"], "application/problem+json")
            for i in (6, 7, 8, 9):  # the newest four
                frame = server.get(f"/api/rooms/r/frames/0?at={commits[i]}&format=json").json()
                self.assertEqual(frame["calc.energy"], i + 1)
            self.assertEqual(len(server.room("r", "/commits").json()), 4)
            # A room of its own mind, which from now on lets nothing go. Undo reaches what is kept and no further.
            self.assertEqual(server.request("PATCH", "/api/rooms/r", json.dumps({"retention": "all"}), JSON).status, 403)
            as_admin = {**JSON, **server.admin}
            set_all = server.request("PATCH", "/api/rooms/r", json.dumps({"retention": "all"}), as_admin)
            self.assertEqual(set_all.json()["retention"], "all")
            for value in (9, 8, 7):
                self.assertEqual(server.request("POST", "/api/rooms/r/frames/0/undo").status, 200)
                self.assertEqual(server.room("r", "/frames/0", format="json").json()["calc.energy"], value)
            self.assertEqual(server.request("POST", "/api/rooms/r/frames/0/undo").status, 410)
            wrong = server.request("PATCH", "/api/rooms/r", json.dumps({"retention": "some"}), as_admin)
            self.assertEqual(wrong.status, 400)
        with Server(self.store) as server:
            self.assertEqual(server.get(f"/api/rooms/r/frames/0?at={commits[0]}").status, 410)
            self.assertEqual(server.room("r", "/frames/0", format="json").json()["calc.energy"], 7)


class UnderLoad(StoreCase):
    """Rooms of a content that follows from their name come and go."""

    def churn(self, server, stop):
        client, number = Client(server.port), 0
        try:
            while not stop.is_set():
                name = f"c{random.getrandbits(40)}"
                if make_room(client, name, frames_of(int(name[1:]))).status != 201:
                    continue
                with self.lock:
                    self.rooms.append(name)
                    old = self.rooms.pop(0) if len(self.rooms) > 4 else None
                    if old:
                        self.deleting.add(old)
                if old:
                    status = server.delete_room(old, client)
                    assert status == 204, status
                number += 1
        except (http.client.HTTPException, OSError):
            pass  # the server was killed
        except AssertionError as error:
            self.broken.append(error)

    def edit(self, port, stop):
        client = Client(port)
        try:
            while not stop.is_set():
                value = self.edited + 1
                reply = client.request("PATCH", f"/api/rooms/kept/frames/0?base_version={value}",
                                       pack({"delta": {"positions": positions(value, 1)[0]}}), MSGPACK)
                if reply.status == 409 and reply.json().get("latest", {}).get("version") == value + 1:
                    self.edited = value  # committed as the server was killed
                    continue
                assert reply.status == 200, reply.body
                self.edited = value
        except (http.client.HTTPException, OSError):
            pass
        except AssertionError as error:
            self.broken.append(error)

    def read(self, port, stop):
        client = Client(port)
        try:
            while not stop.is_set():
                with self.lock:
                    name = random.choice(self.rooms) if self.rooms else None
                if name is None:
                    time.sleep(0.01)
                    continue
                reply = client.get(f"/api/rooms/{name}/frames?data=positions&format=npy")
                if reply.status == 404:  # deleted just now, or not yet seen by the other process
                    continue
                assert reply.status == 200, (reply.status, reply.body)
                assert np.array_equal(reply.npy(), positions(int(name[1:]))), name
                self.reads += 1
        except (http.client.HTTPException, OSError):
            pass
        except AssertionError as error:
            self.broken.append(error)

    def test_kill_amid_collections(self):
        self.lock, self.rooms, self.deleting, self.broken = threading.Lock(), [], set(), []
        self.edited, self.reads = 0, 0
        collected = 0
        server = Collecting(self.store, "--create", "--keep", "3", *EAGER)
        self.assertEqual(make_room(server, "kept", frames_of(0, frames=1)).status, 201)
        reader = Server(self.store, "--read-only")
        for kill in range(KILLS + 1):
            stop = threading.Event()
            threads = [threading.Thread(target=self.churn, args=(server, stop)),
                       threading.Thread(target=self.edit, args=(server.port, stop)),
                       threading.Thread(target=self.read, args=(server.port, stop)),
                       threading.Thread(target=self.read, args=(reader.port, stop))]
            for thread in threads:
                thread.start()
            time.sleep(random.uniform(1.0, 3.0))
            if kill == KILLS:  # and once to a good end
                stop.set()
            else:
                collected += metric(server, "zn_collected_bytes_total")
                server.process.kill()
                server.process.wait()
                stop.set()
            for thread in threads:
                thread.join(60)
            self.assertEqual(self.broken, [])
            if kill < KILLS:
                server.stop()
                server = Collecting(self.store, "--keep", "3", *EAGER)
            # Everything that was acknowledged is there.
            names = {room["id"] for room in server.get("/api/rooms?limit=1000").json()}
            self.assertLessEqual({"kept", *self.rooms}, names)
            for name in self.rooms:
                shown = server.room(name, "/frames", data="positions", format="npy").npy()
                self.assertTrue(np.array_equal(shown, positions(int(name[1:]))), name)
            version = int(server.get("/api/rooms/kept/frames/0?data=positions&format=npy").headers["Frame-Version"])
            self.assertIn(version, (self.edited + 1, self.edited + 2))
            self.edited = version - 1
            newest = server.room("kept", "/frames/0", data="positions", format="npy").npy()
            self.assertTrue(np.array_equal(newest, positions(self.edited, 1)[0]))
        collected += metric(server, "zn_collected_bytes_total")
        self.assertEqual(metric(server, "zn_collections_failed_total"), 0)
        self.assertGreater(self.reads, 10)
        self.assertGreater(collected, 0, "nothing was collected while the servers ran")
        reader.stop()
        server.stop()
        code, said = run([BIN / "zn-fsck", self.store, "--deep"])
        self.assertEqual(code, 0, said)
        code, said = run([BIN / "zn-collect", self.store, "--json"])
        self.assertEqual(code, 0, said)
        summary = json.loads(said)
        live = summary["pack_live_bytes"] + summary["log_live_bytes"]
        self.assertLess(usage(self.store), 3 * live + (160 << 20), said)
        code, said = run([BIN / "zn-fsck", self.store, "--deep"])
        self.assertEqual(code, 0, said)


class Offline(StoreCase):
    def test_a_deleted_room_gives_its_space_back(self):
        with Collecting(self.store, "--create", "--collect-rate", "0") as server:
            for seed, name in enumerate(("gone", "kept")):
                self.assertEqual(make_room(server, name, frames_of(seed, frames=8)).status, 201)
            self.assertEqual(server.delete_room("gone"), 204)
        before = usage(self.store)
        code, said = run([BIN / "zn-collect", self.store, "--dry-run", "--json"])
        self.assertEqual(code, 0, said)
        self.assertEqual(usage(self.store), before, "a dry run changes nothing")
        code, said = run([BIN / "zn-collect", self.store])
        self.assertEqual(code, 0, said)
        code, said = run([BIN / "zn-fsck", self.store, "--deep"])
        self.assertEqual(code, 0, said)
        with Server(self.store) as server:
            shown = server.room("kept", "/frames", data="positions", format="npy").npy()
            self.assertTrue(np.array_equal(shown, positions(1, frames=8)))

    def test_exit_codes(self):
        self.assertEqual(run([BIN / "zn-collect", f"{self.store}-nowhere"])[0], 3)
        self.assertEqual(run([BIN / "zn-collect"])[0], 2)
        with Server(self.store, "--create"):
            code, said = run([BIN / "zn-collect", self.store])
            self.assertEqual(code, 4, said)
            self.assertEqual(run([BIN / "zn-collect", self.store, "--dry-run"])[0], 0)
        code, said = run([BIN / "zn-collect", self.store, "--keep", "nosuch=3"])
        self.assertEqual(code, 3, said)
        self.assertEqual(run([BIN / "zn-collect", self.store, "--keep", "r=some"])[0], 2)


class SmallDisk:
    """A file system of its own; None where none can be mounted."""

    def __init__(self, kind, mib):
        self.folder = tempfile.mkdtemp(prefix="zn-disk-")
        self.point = os.path.join(self.folder, "disk")
        os.mkdir(self.point)
        if kind == "tmpfs":
            command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", self.point]
        else:
            image = os.path.join(self.folder, "image")
            with open(image, "wb") as file:
                file.truncate(mib << 20)
            made = subprocess.run(["mkfs." + kind, "-q", image], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if made.returncode != 0:
                raise unittest.SkipTest(f"no mkfs.{kind}")
            command = ["mount", "-o", "loop", image, self.point]
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            shutil.rmtree(self.folder)
            raise unittest.SkipTest(f"cannot mount {kind} here")

    def remount(self, options):
        subprocess.run(["mount", "-o", "remount," + options, self.point], check=True)

    def close(self):
        subprocess.run(["umount", "-l", self.point], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class FullDisk(unittest.TestCase):
    def fill(self, kind):
        disk = SmallDisk(kind, 320)
        self.addCleanup(disk.close)
        store = os.path.join(disk.point, "store")
        with Collecting(store, "--create", "--reserve", "64MB", "--cache-gib", "0", "--collect-every", "0.2",
                    "--collect-rate", "2GB") as server:
            self.assertEqual(make_room(server, "edited", [{"positions": np.zeros((2, 3), "<f4")}] * 2).status, 201)
            self.assertEqual(server.request("PATCH", "/api/rooms/edited/frames/0?base_version=1",
                                            json.dumps({"delta": {"energy": 1}}), JSON).status, 200)
            rooms = []
            while len(rooms) < 1000:
                reply = make_room(server, f"f{len(rooms)}", frames_of(len(rooms), frames=6))
                if reply.status != 201:
                    break
                rooms.append(f"f{len(rooms)}")
            self.assertEqual(reply.status, 507, reply.body)
            self.assertEqual(reply.headers["Content-Type"], "application/problem+json")
            self.assertGreater(len(rooms), 10)
            self.assertGreater(shutil.disk_usage(disk.point).free, 32 << 20, "the reserve is not touched by writes")
            # What is smaller still fits, until others on the disk take of the reserve: then nothing does but what takes things back.
            free = shutil.disk_usage(disk.point).free
            with open(os.path.join(disk.point, "others"), "wb") as others:
                os.posix_fallocate(others.fileno(), 0, free - (40 << 20))
            time.sleep(0.1)
            patch = pack({"delta": {"positions": positions(8, 1, 2)[0]}})
            refused = server.request("PATCH", "/api/rooms/edited/frames/0?base_version=2", patch, MSGPACK)
            self.assertEqual(refused.status, 507, refused.body)
            self.assertEqual(make_room(server, "no", frames_of(1)).status, 507)
            undone = server.request("POST", "/api/rooms/edited/frames/0/undo")
            self.assertEqual(undone.status, 200, undone.body)
            self.assertEqual(server.request("DELETE", "/api/rooms/edited/frames/1?base_version=1").status, 200)
            # An import of another process ends as cleanly: by its exit code, with the store as it was.
            for room in rooms[:1]:
                shown = server.room(room, "/frames", data="positions", format="npy").npy()
                self.assertTrue(np.array_equal(shown, positions(0, frames=6)))
            for room in rooms[:-2]:
                self.assertEqual(server.delete_room(room), 204)
            wait_for("space comes back", lambda: metric(server, "zn_disk_free_bytes") > 60 << 20)
            wait_for("writes are taken again", lambda: make_room(server, f"n{time.monotonic_ns()}", frames_of(1)).status == 201)
            for i, room in enumerate(rooms):
                if i < len(rooms) - 2:
                    continue
                shown = server.room(room, "/frames", data="positions", format="npy").npy()
                self.assertTrue(np.array_equal(shown, positions(i, frames=6)), room)
        code, said = run([BIN / "zn-fsck", store, "--deep"])
        self.assertEqual(code, 0, said)
        # Reading goes on where nothing can be written.
        disk.remount("ro")
        with Server(store, "--read-only", "--cache-gib", "0") as server:
            shown = server.room(rooms[-1], "/frames", data="positions", format="npy").npy()
            self.assertTrue(np.array_equal(shown, positions(len(rooms) - 1, frames=6)))
        with self.assertRaisesRegex(RuntimeError, "cannot be written.*--read-only"):
            Server(store)
        disk.remount("rw")

    def test_tmpfs(self):
        self.fill("tmpfs")

    def test_ext4(self):
        self.fill("ext4")


if __name__ == "__main__":
    unittest.main()
