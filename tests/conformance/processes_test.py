"""The server as a process: beside imports, on a port in use, at its end, with wrong arguments."""
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

from support import zn


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

    def test_no_thread_takes_a_signal_to_end_with_it(self):
        # One thread waits for them; another in which they were not blocked would now and then be the one that ends the process.
        with zn.Server(self.store) as server:
            threads = sorted(Path(f"/proc/{server.process.pid}/task").iterdir())
            self.assertGreater(len(threads), 3)
            for thread in threads[1:]:  # the first is the one that waits
                status = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
                for wanted in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    self.assertTrue(int(status["SigBlk"], 16) >> (wanted - 1) & 1, f"{wanted!r} in thread {status['Name']}")

    def test_a_hangup_does_not_end_it(self):
        with zn.Server(self.store, "--create") as server:
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 5
            while "SIGHUP" not in server.logged() and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertIn("nothing to reload", server.logged())
            self.assertEqual(server.get("/healthz").status, 200)

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
