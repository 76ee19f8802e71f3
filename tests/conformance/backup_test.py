#!/usr/bin/python3
"""zn-backup against the real programs: backups while a server is written to restore to states that existed, with all that was
acknowledged; kills lose nothing; frames, fields and Zarr directories come back; passwords stay secret."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

import numpy as np
import zarr

from support.zn import BIN, DATA, Client, Server, import_file, run
from support.writing import pack

CLIENTS = 16
KILLS = int(os.environ.get("ZN_KILLS", "25"))
SLOW = bool(os.environ.get("ZN_SANITIZE"))


def backup(*arguments, password=None, seconds=300):
    """(exit code, everything it said)."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ZN_BACKUP")}
    if password is not None:
        env["ZN_BACKUP_PASSWORD"] = password
    return run([BIN / "zn-backup", *arguments], env=env, seconds=seconds)


def tree(folder):
    """Every file below a folder with the hash of its bytes."""
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(folder).rglob("*") if p.is_file()}


class BackupCase(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="zn-backup-"))
        self.store, self.repo = self.folder / "store", self.folder / "repo"

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def ok(self, *arguments, **kwargs):
        code, text = backup(*arguments, "--repo", self.repo, **kwargs)
        self.assertEqual(code, 0, text)
        return text

    def create(self, source=None, *options, **kwargs):
        text = self.ok("create", source or self.store, "--json", *options, **kwargs)
        return json.loads(text.splitlines()[-1])

    def sound(self, store):
        code, text = run([BIN / "zn-fsck", store, "--deep"])
        self.assertEqual(code, 0, text)


class Live(BackupCase):
    def test_snapshots_amid_writes_are_states_that_existed(self):
        """Each client counts: an append, and an edit of its own frame to the same number. So a state is one that existed when
        for each client appends and edit are equal, or the append is one ahead; and it is recent enough when it has at least
        what was acknowledged before the backup began."""
        server = Server(self.store, "--create")
        frames = [{"positions": np.zeros((300, 3), "<f8")} for _ in range(CLIENTS)]
        self.assertEqual(server.request("POST", "/api/rooms", b'{"id": "r"}', {"Content-Type": "application/json"}).status, 201)
        self.assertEqual(server.request("POST", "/api/rooms/r/frames", pack(frames), {"Content-Type": "application/msgpack"}).status, 201)
        acknowledged, stop, broken = [0] * CLIENTS, threading.Event(), []

        def write(n):
            client, rng = Client(server.port), np.random.default_rng(n)
            number = 0
            while not stop.is_set():
                number += 1
                positions = rng.normal(0, 5, (300, 3))
                positions[0] = number
                mark = {"positions": positions, "info.mark": f"{n}/{number}"}
                kind = {"Content-Type": "application/msgpack"}
                one = client.request("POST", "/api/rooms/r/frames", pack(mark), kind)
                two = client.request("PATCH", f"/api/rooms/r/frames/id:{n}?base_version={number}", pack({"delta": {"positions": positions}}), kind)
                three = client.request("PUT", f"/api/rooms/r/state/settings/c{n}/number?base_version={number - 1}",
                                       json.dumps({"value": number}))
                if one.status != 201 or two.status != 200 or three.status not in (200, 201):
                    broken.append((one.status, one.body[:200], two.status, two.body[:200], three.status, three.body[:200]))
                    return
                acknowledged[n] = number

        threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        snapshots = []
        for i in range(3 if SLOW else 8):
            time.sleep(random.uniform(0, 0.3))
            before = list(acknowledged)
            made = self.create(None, *(["--init"] if i == 0 else []), *(["--read-all"] if i == 4 else []))
            self.assertEqual(made["damaged"], 0)
            snapshots.append((made["id"], before, list(acknowledged)))
        stop.set()
        for thread in threads:
            thread.join(60)
        self.assertEqual(broken, [])
        server.stop()
        self.assertGreater(min(acknowledged), 0)
        for i, (snapshot, before, after) in enumerate(snapshots):
            target = self.folder / f"restored{i}"
            self.ok("restore", snapshot, "--to", target)
            self.sound(target)
            with Server(target) as restored:
                got = restored.room("r", "/frames").frames()
                marks = [f["info.mark"].split("/") for f in got if "info.mark" in f]
                for n in range(CLIENTS):
                    appended = [int(number) for who, number in marks if int(who) == n]
                    self.assertEqual(appended, list(range(1, len(appended) + 1)))
                    edited = int(got[n]["arrays.positions"][0][0])
                    record = restored.get(f"/api/rooms/r/state/settings/c{n}/number")
                    stated = record.json()["value"] if record.status == 200 else 0
                    self.assertGreaterEqual(edited, before[n])
                    self.assertGreaterEqual(stated, before[n])
                    self.assertIn(len(appended) - edited, (0, 1))
                    self.assertIn(edited - stated, (0, 1))
                # It goes on as any store.
                self.assertEqual(restored.request("POST", "/api/rooms/r/frames", pack(frames[0]),
                                                  {"Content-Type": "application/msgpack"}).status, 201)
        self.ok("verify", "--read-data")

    def test_fences_and_tokens_come_along(self):
        code, text = import_file(self.store, "r", DATA / "molecules.xyz")
        self.assertEqual(code, 0, text)
        code, text = run([BIN / "zn-server", "token", "create", "--name", "ben", "--scopes", "read,write,lock", "--store", self.store])
        self.assertEqual(code, 0, text)
        with Server(self.store) as server:
            grant = server.request("PUT", "/api/rooms/r/locks/frame:0", b'{"ttl_ms": 60000}').json()
            edit = {"Content-Type": "application/json", "Lock-Token": grant["lock_token"]}
            reply = server.request("PATCH", "/api/rooms/r/frames/0?base_version=1", b'{"delta": {"energy": 1.5}}', edit)
            self.assertEqual(reply.status, 200, reply.body)
            self.create(None, "--init")
        self.ok("restore", "latest", "--to", self.folder / "restored")
        code, listed = run([BIN / "zn-server", "token", "list", "--store", self.folder / "restored"])
        self.assertEqual(code, 0, listed)
        self.assertIn("ben", listed)
        with Server(self.folder / "restored") as restored:
            self.assertEqual(restored.room("r", "/frames/0").frame()["calc.energy"], 1.5)
            # A writer that slept through loss and restore holds a lock that nobody knows here.
            stale = restored.request("PATCH", "/api/rooms/r/frames/0?base_version=2", b'{"delta": {"energy": 2.5}}', edit)
            self.assertEqual(stale.status, 409, stale.body)
            again = restored.request("PUT", "/api/rooms/r/locks/frame:0", b"{}").json()
            self.assertGreater(again["fence"], grant["fence"])
            edit["Lock-Token"] = again["lock_token"]
            reply = restored.request("PATCH", "/api/rooms/r/frames/0?base_version=2", b'{"delta": {"energy": 3.5}}', edit)
            self.assertEqual(reply.status, 200, reply.body)


class Kills(BackupCase):
    def test_create_restore_and_prune_are_finished_after_kills(self):
        """Killed at any moment, the repository is whole, and doing the same again completes it."""
        for room in range(4):
            frames = [{"positions": np.random.default_rng(room * 100 + i).normal(0, 5, (2000, 3))} for i in range(40)]
            with Server(self.store, "--create") as server:
                server.request("POST", "/api/rooms", json.dumps({"id": f"r{room}"}), {"Content-Type": "application/json"})
                self.assertEqual(server.request("POST", f"/api/rooms/r{room}/frames", pack(frames),
                                                {"Content-Type": "application/msgpack"}).status, 201)
        self.create(None, "--init")  # so that --init itself is not what is killed
        begin = time.monotonic()
        self.create(None, "--read-all")
        length = time.monotonic() - begin
        killed = {"create": 0, "restore": 0, "prune": 0}

        def kill_amid(name, *arguments, after):
            process = subprocess.Popen([str(a) for a in (BIN / "zn-backup", *arguments, "--repo", self.repo)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed[name] += 1
                process.wait()

        for i in range(KILLS):
            # A fresh repository each time: otherwise there would be little to do.
            if i % 5 == 0:
                shutil.rmtree(self.repo)
                subprocess.run([BIN / "zn-backup", "create", self.store, "--repo", self.repo, "--init"], check=True,
                               stdout=subprocess.DEVNULL)
                shutil.rmtree(self.repo / "data")
                shutil.rmtree(self.repo / "index")
                for name in ("data", "index"):
                    (self.repo / name).mkdir()
                for snapshot in (self.repo / "snapshots").iterdir():
                    snapshot.unlink()
            kill_amid("create", "create", self.store, after=random.uniform(0.005, length))
            made = self.create()
            self.ok("verify")
            target = self.folder / "restored"
            kill_amid("restore", "restore", made["id"], "--to", target, after=random.uniform(0.005, length))
            if not target.exists():
                self.ok("restore", made["id"], "--to", target)
            self.sound(target)
            shutil.rmtree(target)
            kill_amid("prune", "prune", "--keep-last", 1, "--max-unused", 0, after=random.uniform(0.002, 0.05))
            self.ok("prune", "--keep-last", 1, "--max-unused", 0)
            self.ok("verify", "--read-data")
            listed = [json.loads(line) for line in self.ok("list", "--json").splitlines()]
            self.assertEqual([s["id"] for s in listed], [made["id"]])
        self.assertGreater(sum(killed.values()), KILLS // 2, killed)
        self.assertEqual(list((self.repo / "tmp").iterdir()), [])
        self.assertEqual(list((self.repo / "locks").iterdir()), [])


class Parts(BackupCase):
    def setUp(self):
        super().setUp()
        for room in ("alloy_md", "molecules"):
            code, text = import_file(self.store, room, DATA / f"{room}.xyz")
            self.assertEqual(code, 0, text)
        self.create(None, "--init")

    def test_a_room_frames_and_fields(self):
        to = self.folder / "part"
        self.ok("restore", "latest", "--to", to, "--room", "alloy_md")
        self.ok("restore", "latest", "--to", to, "--room", "alloy_md", "--as", "some", "--frames", "10:0:-3", "--fields", "positions,energy")
        self.sound(to)
        with Server(self.store) as source:
            whole = source.room("alloy_md", "/frames").frames()
        with Server(to) as part:
            rooms = {room["id"] for room in part.get("/api/rooms").json()}
            self.assertEqual(rooms, {"alloy_md", "some"})
            for got, want in zip(part.room("alloy_md", "/frames").frames(), whole, strict=True):
                self.assertEqual(got.keys(), want.keys())
                for name in want:
                    np.testing.assert_array_equal(got[name], want[name], name)
            some = part.room("some", "/frames").frames()
            self.assertEqual(len(some), 4)
            for got, want in zip(some, whole[10:0:-3], strict=True):
                self.assertEqual(set(got), {"arrays.positions", "calc.energy"})
                np.testing.assert_array_equal(got["arrays.positions"], want["arrays.positions"])
                self.assertEqual(got["calc.energy"], want["calc.energy"])
        self.assertEqual([p.name for p in self.folder.iterdir() if "restoring" in p.name], [])

    def test_what_makes_no_sense_is_told(self):
        to = self.folder / "part"
        for arguments, code, word in [
            (("restore", "latest", "--to", to, "--room", "nowhere"), 2, "nowhere"),
            (("restore", "latest", "--to", to, "--room", "molecules", "--fields", "positons"), 2, "positions"),
            (("restore", "latest", "--to", to, "--frames", "0:10"), 2, "--room"),
            (("restore", "ffffffff", "--to", to), 1, "ffffffff"),
            (("restore", "latest", "--to", self.store), 1, "already"),
            (("create", self.folder / "nothing"), 1, "neither"),
            (("verify", "--subset", "1/7"), 2, "--read-data"),
            (("create", self.store, "--encrypt"), 2, "--init"),
        ]:
            got, text = backup(*arguments, "--repo", self.repo)
            self.assertEqual(got, code, (arguments, text))
            self.assertIn(word, text)
        self.assertEqual(backup("list", "--repo", self.folder / "none")[0], 10)
        self.assertFalse((self.folder / "none").exists())

    def test_locks(self):
        slow = subprocess.Popen([str(a) for a in (BIN / "zn-backup", "create", self.store, "--read-all", "--bwlimit", "20KB", "--repo", self.repo)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while not list((self.repo / "locks").glob("*.lock")) and time.monotonic() < deadline:
            time.sleep(0.01)
        code, text = backup("prune", "--keep-last", 1, "--repo", self.repo)
        self.assertEqual(code, 11, text)
        self.assertIn(f"process {slow.pid}", text)
        self.create()  # another create is no hindrance
        slow.kill()
        slow.communicate()
        code, text = backup("prune", "--keep-last", 1, "--repo", self.repo)
        self.assertEqual(code, 0, text)
        self.assertIn("stale lock", text)
        self.assertIn(f"process {slow.pid}", text)

    def test_a_damaged_repository_is_told_and_the_rest_restored(self):
        bundle = max((self.repo / "data").rglob("*.bundle"), key=lambda p: p.stat().st_size)
        data = bytearray(bundle.read_bytes())
        data[len(data) // 2] ^= 1
        bundle.write_bytes(data)
        self.assertEqual(backup("verify", "--repo", self.repo)[0], 0, "data is not read")
        code, text = backup("verify", "--read-data", "--repo", self.repo)
        self.assertEqual(code, 1, text)
        self.assertIn(bundle.name, text)
        parts = [backup("verify", "--read-data", "--subset", f"{k}/5", "--repo", self.repo)[0] for k in range(1, 6)]
        self.assertEqual(sorted(parts), [0, 0, 0, 0, 1])
        code, text = backup("restore", "latest", "--to", self.folder / "r", "--repo", self.repo)
        self.assertEqual(code, 1, text)
        self.assertFalse((self.folder / "r").exists())


class Encrypted(BackupCase):
    def test_password_by_file_or_environment(self):
        code, text = import_file(self.store, "r", DATA / "molecules.xyz")
        self.assertEqual(code, 0, text)
        secret = "correct horse battery"
        file = self.folder / "password"
        file.write_text(secret + "\n")
        self.assertEqual(backup("create", self.store, "--repo", self.repo, "--init", "--encrypt")[0], 12, "no password, no repository")
        self.assertFalse((self.repo / "config").exists())
        self.create(None, "--init", "--encrypt", "--password-file", file)
        for password, code in ((None, 12), ("wrong", 12), (secret, 0)):
            got, text = backup("list", "--repo", self.repo, password=password)
            self.assertEqual(got, code, text)
            self.assertNotIn("battery", text)
        text = self.ok("create", self.store, password=secret)
        self.assertNotIn("battery", text)
        self.ok("verify", "--read-data", password=secret)
        self.ok("restore", "latest", "--to", self.folder / "restored", password=secret)
        self.sound(self.folder / "restored")
        with Server(self.store) as a, Server(self.folder / "restored") as b:
            self.assertEqual(a.digest(), b.digest())
        stored = b"".join(p.read_bytes() for p in self.repo.rglob("*") if p.is_file())
        self.assertNotIn(b"molecules", stored)
        self.assertNotIn(b"battery", stored)


class Directory(BackupCase):
    def test_a_zarr_directory_comes_back_as_it_was(self):
        source = self.folder / "data.zarr"
        group = zarr.open(str(source), mode="w")
        rng = np.random.default_rng(1)
        group["positions"] = rng.normal(0, 1, (200, 50, 3))
        group.create_group("deep").create_dataset("counts", data=np.arange(1000), chunks=7)
        (source / "empty").mkdir()
        (source / "deep" / "notes.txt").write_bytes(b"")
        time.sleep(1.1)  # what changed within the last second is read again
        first = self.create(source, "--init")
        again = self.create(source)
        self.assertEqual((first["kind"], again["parent"]), ("directory", first["id"]))
        self.assertEqual(again["new_objects"], 0)
        before = tree(source)
        group["positions"][3] = 7
        group["more"] = np.zeros(3)
        (source / "deep" / "notes.txt").unlink()
        third = self.create(source)
        self.assertGreater(third["new_objects"], 0)
        for snapshot, want in ((first["id"], before), (third["id"], tree(source))):
            target = self.folder / snapshot
            self.ok("restore", snapshot, "--to", target)
            self.assertEqual(tree(target), want)
            self.assertTrue((target / "empty").is_dir())
        back = zarr.open(str(self.folder / third["id"]), mode="r")
        np.testing.assert_array_equal(back["positions"][:], group["positions"][:])
        self.assertEqual((source / ".zgroup").stat().st_mtime_ns, (self.folder / third["id"] / ".zgroup").stat().st_mtime_ns)


class Prune(BackupCase):
    def test_keep_rules_and_dry_run(self):
        code, text = import_file(self.store, "r", DATA / "molecules.xyz")
        self.assertEqual(code, 0, text)
        ids = []
        for i in range(4):
            with Server(self.store) as server:
                reply = server.request("PATCH", f"/api/rooms/r/frames/0?base_version={i + 1}", json.dumps({"delta": {"info.note": f"{i}"}}),
                                       {"Content-Type": "application/json"})
                self.assertEqual(reply.status, 200, reply.body)
            ids.append(self.create(None, "--init", *(["--tag", "keep"] if i == 0 else []))["id"])
        self.ok("prune", "--keep-last", 1, "--dry-run")
        self.assertEqual(len(self.ok("list", "--json").splitlines()), 4)
        text = self.ok("prune", "--keep-last", 1, "--keep-tag", "keep", "--json")
        pruned = json.loads(text.splitlines()[-1])
        self.assertEqual([s["id"] for s in pruned["kept"]], [ids[0], ids[3]])
        self.assertEqual([json.loads(line)["id"] for line in self.ok("list", "--json").splitlines()], [ids[0], ids[3]])
        self.ok("verify", "--read-data")
        for i in (0, 3):
            target = self.folder / f"r{i}"
            self.ok("restore", ids[i][:8], "--to", target)
            with Server(target) as server:
                self.assertEqual(server.room("r", "/frames/0").frame()["info.note"], f"{i}")


if __name__ == "__main__":
    unittest.main()
