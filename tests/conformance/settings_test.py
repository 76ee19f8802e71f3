"""Settings by flag, environment and file, and the limits they set: what an operator would trip over."""
import json
import os
import socket
import time
import unittest
from pathlib import Path

import socketio

from support.zn import BIN, DATA, Server, StoreCase, import_file, run


class SettingsCase(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, text = import_file(cls.store, "md", DATA / "molecules.xyz")
        assert code == 0, text
        cls.pem = Path(cls.folder.name)

    def file(self, text, name="zn.toml"):
        path = self.pem / name
        path.write_text(text)
        return path

    def printed(self, *options, env=None):
        """What --print-config says: {name: (value, where it comes from)}."""
        code, text = run([BIN / "zn-server", "--print-config", *options], env=dict(os.environ, **(env or {})), seconds=10)
        self.assertEqual(code, 0, text)
        settings = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, rest = line.split(" = ", 1)
                settings[name] = tuple(rest.rsplit("  # ", 1))
        return settings

    def refused(self, *options, env=None, code=2):
        ended, text = run([BIN / "zn-server", "--store", self.store, "--port", "0", *options],
                          env=dict(os.environ, **(env or {})), seconds=10)
        self.assertEqual(ended, code, text)
        return text


class Settings(SettingsCase):
    def test_a_flag_wins_over_the_environment_and_that_over_the_file(self):
        config = self.file("# of this machine\nmax-reply = 7\nidle-timeout = 8\nheader-timeout = 9\n"
                           'allow-host = ["a.example", "b.example"]\nread-only = true\nstore = "x \\"y#z\\\\"  # with a blank\nupload-temp = /tmp\n')
        env = {"ZNDRAW_MAX_REPLY": "17", "ZNDRAW_IDLE_TIMEOUT": "18"}
        got = self.printed("--config", config, "--max-reply", "27", env=env)
        self.assertEqual(got["max-reply"], ("27", "flag"))
        self.assertEqual(got["idle-timeout"], ("18", "ZNDRAW_IDLE_TIMEOUT"))
        self.assertEqual(got["header-timeout"], ("9", f"{config}:4"))
        self.assertEqual(got["write-timeout"], ("30", "default"))
        self.assertEqual(got["allow-host"], ('["a.example", "b.example"]', f"{config}:5"))
        self.assertEqual(got["read-only"], ("true", f"{config}:6"))
        self.assertEqual(got["store"], ('"x \\"y#z\\\\"', f"{config}:7"))
        self.assertEqual(got["upload-temp"], ('"/tmp"', f"{config}:8"))

    def test_what_is_printed_can_be_read_again(self):
        config = self.file("max-reply = 7\nallow-host = \"a.example\"\naccess-log = true\n")
        _, text = run([BIN / "zn-server", "--print-config", "--config", config], seconds=10)
        again = self.file(text, "again.toml")
        got = self.printed("--config", again)
        self.assertEqual(got["max-reply"][0], "7")
        self.assertEqual(got["access-log"][0], "true")
        self.assertEqual({name: value for name, (value, _) in got.items()},
                         {name: value for name, (value, _) in self.printed("--config", config).items()})

    def test_every_flag_has_a_variable(self):
        _, text = run([BIN / "zn-server", "--help"])
        flags = [line.split()[0].split(",")[0] for line in text.splitlines() if line.strip().startswith("--")]
        self.assertGreater(len(flags), 30)
        for name in self.printed():
            self.assertIn("--" + name, flags)
        got = self.printed(env={"ZNDRAW_NO_ANONYMOUS": "true", "ZNDRAW_ALLOW_ORIGIN": "https://a.example,https://b.example",
                                "ZNDRAW_STORAGE_PATH": "/s", "ZNDRAW_MAX_UPLOAD_MB": "3"})
        self.assertEqual(got["no-anonymous"], ("true", "ZNDRAW_NO_ANONYMOUS"))
        self.assertEqual(got["allow-origin"][0], '["https://a.example", "https://b.example"]')
        self.assertEqual(got["store"], ('"/s"', "ZNDRAW_STORAGE_PATH"))
        self.assertEqual(got["max-upload"], ("3", "ZNDRAW_MAX_UPLOAD_MB"))

    def test_what_the_file_says_holds(self):
        config = self.file(f'store = "{self.store}"\nread-only = true\nno-anonymous = true\n')
        with Server(self.store, "--config", config) as server:
            self.assertEqual(server.get("/api/rooms").status, 401)
        env = dict(os.environ, ZNDRAW_NO_ANONYMOUS="false")
        with Server(self.store, "--config", config, env=env) as server:
            self.assertEqual(server.get("/api/rooms").status, 200)
            self.assertEqual(server.request("POST", "/api/rooms", "{}").status, 403)

    def test_mistakes_name_file_and_line(self):
        for text, words in (("max-reply = 7\nmax-replay = 8\n", [":2:", "max-replay", "did you mean 'max-reply'"]),
                            ("\n\nmax-reply = many\n", [":3:", "max-reply", "many"]),
                            ("header-timeout = 0\n", [":1:", "header-timeout"]),
                            ("max-reply = 1\nmax-reply = 2\n", [":2:", "already", ":1"]),
                            ("[server]\nport = 1\n", [":1:", "section"]),
                            ("max-reply\n", [":1:", "name = value"]),
                            ("max-reply =\n", [":1:", "missing"]),
                            ("max-reply = [1, 2]\n", [":1:", "no list"]),
                            ("allow-host = [\n\"a\"]\n", [":1:"]),
                            ("store = \"/a\n", [":1:", "not closed"]),
                            ("store = /a b\n", [":1:", "quotes"]),
                            ("help = true\n", [":1:", "help"]),
                            ("admin-password = \"x\"\n", [":1:", "admin-password"])):
            with self.subTest(text):
                said = self.refused("--config", self.file(text))
                for word in words + ["zn.toml"]:
                    self.assertIn(word, said)
        self.assertIn("none.toml", self.refused("--config", self.pem / "none.toml"))
        self.assertIn("--address", self.refused("--address", "nowhere"))
        self.assertIn("header-timeout", self.refused(env={"ZNDRAW_HEADER_TIMEOUT": "0"}))

    def test_secrets_are_in_the_environment_or_in_files(self):
        secret = self.file("right horse\n", "password")
        env = dict(os.environ, ZNDRAW_ADMIN_USERNAME="root", ZNDRAW_ADMIN_PASSWORD="wrong horse", FLASK_SECRET_KEY="s3cret key")
        options = ["--admin-password-file", secret]
        code, text = run([BIN / "zn-server", "--print-config", *options], env=env, seconds=10)
        self.assertEqual(code, 0)
        with Server(self.store, *options, env=env) as server:
            def login(password):
                return server.request("POST", "/api/login", json.dumps({"username": "root", "password": password})).status
            self.assertEqual((login("right horse"), login("wrong horse")), (200, 401), "a flag wins")
            self.assertNotIn("s3cret", server.logged())
        for said in (text, run([BIN / "zn-server", "--help"], env=env)[1]):
            for word in ("horse", "s3cret"):
                self.assertNotIn(word, said)
        self.assertIn("none", self.refused("--admin-password-file", self.pem / "none"))


class Limits(SettingsCase):
    def test_requests_beyond_the_rate_are_429_and_say_when(self):
        token = run([BIN / "zn-server", "token", "create", "--name", "ann", "--scopes", "read", "--store", self.store])[1].strip()
        other = run([BIN / "zn-server", "token", "create", "--name", "ben", "--scopes", "read", "--store", self.store])[1].strip()
        with Server(self.store, "--rate-limit", "2", "--rate-burst", "10") as server:
            path = "/api/rooms/md/frames/0?data=positions&format=npy"

            def ask(token):
                return server.get(path, {"Authorization": f"Bearer {token}"})

            replies = [ask(token) for _ in range(12)]
            self.assertEqual([reply.status for reply in replies], [200] * 10 + [429] * 2)
            refused = replies[-1]
            self.assertEqual(refused.headers["Content-Type"], "application/problem+json")
            self.assertEqual(refused.headers["Retry-After"], "1")
            self.assertLessEqual(refused.json()["retry_after_ms"], 500)
            self.assertEqual(ask(other).status, 200, "another token has requests of its own")
            self.assertEqual(server.get("/healthz").status, 200)
            time.sleep(refused.json()["retry_after_ms"] / 1000)
            self.assertEqual(ask(token).status, 200)
            # Tokens that somebody made up count for the address, whatever they are.
            statuses = [ask(f"{n:064x}").status for n in range(12)]
            self.assertEqual(statuses[0], 401)
            self.assertEqual(statuses[-1], 429)
            self.assertEqual(ask(other).status, 200)

    def test_a_pipeline_is_answered_in_order(self):
        with Server(self.store, "--rate-limit", "0.01", "--rate-burst", "3") as server:
            request = b"GET /api/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            got, _ = server.raw(request * 300 + b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            statuses = [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]]
            self.assertEqual(statuses, [b"200"] * 3 + [b"429"] * 297 + [b"200"])
            # With a body that is not taken, the connection ends.
            got, closed = server.raw(b"POST /api/rooms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}" + request)
            self.assertTrue(closed)
            self.assertEqual(got.count(b"HTTP/1.1 429"), 1)

    def test_events_of_socketio_count_too(self):
        with Server(self.store, "--rate-limit", "0.01", "--rate-burst", "6") as server:
            client = socketio.Client(reconnection=False)
            client.connect(f"http://127.0.0.1:{server.port}", transports=["websocket"])
            try:
                answers = [client.call("join:room", {"roomId": "md"}, timeout=10) for _ in range(8)]
            finally:
                client.disconnect()
            self.assertTrue(answers[0]["ok"])
            self.assertEqual(answers[-1]["error"]["status"], 429)
            self.assertIn("retry_after_ms", answers[-1]["error"])

    def test_logins_that_fail_are_slowed_down(self):
        env = dict(os.environ, ZNDRAW_ADMIN_USERNAME="root", ZNDRAW_ADMIN_PASSWORD="pass")
        with Server(self.store, env=env) as server:
            def login(password):
                return server.request("POST", "/api/login", json.dumps({"username": "root", "password": password}))
            self.assertEqual([login("x").status for _ in range(11)], [401] * 10 + [429])
            refused = login("pass")
            self.assertEqual(refused.status, 429)
            self.assertIn("Retry-After", refused.headers)
            time.sleep(2.1)
            self.assertEqual(login("pass").status, 200)

    def test_loopback_has_no_limit_by_default(self):
        with Server(self.store) as server:
            got, _ = server.raw(b"GET /api/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3000 +
                                b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            self.assertEqual(got.count(b"HTTP/1.1 200"), 3001)

    def test_connections_beyond_the_limit_are_told(self):
        with Server(self.store, "--max-connections", "4") as server:
            server.close()
            time.sleep(0.2)
            held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
            for s in held:
                s.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                self.assertIn(b" 200 ", s.recv(4096))
            for _ in range(5):
                got, closed = server.raw(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                self.assertTrue(closed)
                head, body = got.split(b"\r\n\r\n", 1)
                self.assertTrue(head.startswith(b"HTTP/1.1 503 "), got)
                self.assertIn(b"Retry-After: 1", head)
                self.assertEqual(json.loads(body)["type"], "urn:znstore:problem:too-many-connections")
            for s in held:
                s.close()
            deadline = time.monotonic() + 5
            while server.raw(b"GET /healthz HTTP/1.0\r\n\r\n")[0].startswith(b"HTTP/1.1 503") and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertEqual(server.get("/healthz").status, 200)


if __name__ == "__main__":
    unittest.main()
