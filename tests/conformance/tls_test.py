"""TLS as Python's ssl, python-socketio and plain sockets see it: what everybody beyond the server's own machine relies on."""
import json
import signal
import socket
import ssl
import subprocess
import time
import unittest
import warnings
from pathlib import Path

import requests
import socketio

from support.zn import BIN, DATA, Client, Server, StoreCase, import_file, run


def make_certificate(folder, name, days=30):
    """(certificate, key): PEM files of a certificate for 127.0.0.1 that signs itself."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days),
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


def trusting(*certificates):
    context = ssl.create_default_context()
    for certificate in certificates:
        context.load_verify_locations(certificate)
    return context


def common_name(port, context):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as s:
        return dict(item[0] for item in s.getpeercert()["subject"])["commonName"]


class Tls(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = Path(cls.folder.name)
        code, text = import_file(cls.store, "md", DATA / "molecules.xyz")
        assert code == 0, text
        cls.certificate, cls.key = make_certificate(folder, "first")
        cls.tls = trusting(cls.certificate)
        cls.server = Server(cls.store, "--tls-cert", cls.certificate, "--tls-key", cls.key, "--header-timeout", "1", tls=cls.tls)
        cls.port = cls.server.port

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def connect(self, context=None, **options):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self.addCleanup(raw.close)
        wrapped = (context or self.tls).wrap_socket(raw, server_hostname="127.0.0.1", **options)
        self.addCleanup(wrapped.close)
        return wrapped

    def test_versions(self):
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = trusting(self.certificate)
            context.minimum_version = context.maximum_version = version
            self.assertEqual(self.connect(context).version(), name)
            client = Client(self.port, context)
            self.assertEqual(client.get("/api/rooms/md").status, 200)
            client.close()
        old = trusting(self.certificate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises(ssl.SSLError) as refused:
            self.connect(old)
        self.assertIn("alert", str(refused.exception).lower(), "the server says no; it is not this client that cannot")

    def test_http_1_1_is_chosen_of_what_a_browser_offers(self):
        context = trusting(self.certificate)
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.assertEqual(self.connect(context).selected_alpn_protocol(), "http/1.1")

    def test_replies_are_those_of_the_plain_server(self):
        with Server(self.store, "--read-only") as plain:
            for path in ("/frames?format=npz", "/frames/3?data=positions&format=npy", "/frames?format=json", "/fields"):
                secure, open_ = self.server.room("md", path), plain.room("md", path)
                self.assertEqual(secure.body, open_.body)
                self.assertEqual(secure.headers["ETag"], open_.headers["ETag"])

    def test_long_bodies_both_ways(self):
        # 24 MiB of positions up, in more than memory takes at once, and down again.
        count = 1 << 20
        body = b'[{"arrays.numbers":[' + b",".join([b"1"] * count) + b'],"arrays.positions":[' + \
            b",".join([b"[0.25,1,2]"] * count) + b"]}]"
        made = self.server.request("POST", "/api/rooms/default/frames", body, {"Content-Type": "application/json"})
        self.assertEqual(made.status, 201, made.body[:300])
        positions = self.server.room("default", "/frames/0", data="positions", format="npy").npy()
        self.assertEqual(positions.shape, (count, 3))
        self.assertTrue((positions == [0.25, 1, 2]).all())

    def test_a_client_that_reads_slowly_gets_every_byte(self):
        wanted = self.server.room("md", "/frames?format=npz").body
        s = self.connect()
        s.sendall(b"GET /api/rooms/md/frames?format=npz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 40 +
                  b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        time.sleep(0.5)  # until the socket is full
        got = b""
        while part := s.recv(1 << 16):
            got += part
        self.assertEqual(got.count(b"HTTP/1.1 200"), 41)
        self.assertEqual(got.count(wanted), 40)

    def test_the_end_is_told_from_a_cut(self):
        s = self.connect(suppress_ragged_eofs=False)
        s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        while s.recv(1 << 16):
            pass  # an end without close_notify raises

    def test_a_handshake_must_come_in_time(self):
        for sent in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as raw:
                raw.sendall(sent)
                began = time.monotonic()
                self.assertEqual(raw.recv(100), b"")
                self.assertLess(time.monotonic() - began, 3)
        self.assertEqual(self.server.get("/healthz").status, 200)

    def test_plain_http_is_told_so(self):
        got, closed = self.server.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        self.assertTrue(closed)
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)
        self.assertIn(b"HTTPS", got)
        self.assertRegex(self.server.get("/metrics").body.decode(), r"zn_tls_failures_total [1-9]")

    def test_noise_is_closed(self):
        got, closed = self.server.raw(bytes(range(256)) * 8)
        self.assertTrue(closed)
        self.assertNotIn(b"HTTP", got)

    def test_event_streams(self):
        s = self.connect()
        s.sendall(b"GET /api/rooms/md/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        stream = s.makefile("rb")
        while not stream.readline().startswith(b"id:"):
            pass
        frame = self.server.request("POST", "/api/rooms/md/frames", json.dumps(
            [{"arrays.positions": [[0.0, 0.0, 0.0]], "arrays.numbers": [1]}]), {"Content-Type": "application/json"})
        self.assertEqual(frame.status, 201)
        while not (line := stream.readline()).startswith(b"data:"):
            self.assertTrue(line)
        self.assertEqual(json.loads(line[5:])["operation"], "append")

    def test_socketio_by_polling_and_wss(self):
        for transports in (["polling"], ["websocket"], None):
            with self.subTest(transports):
                session = requests.Session()
                session.verify = str(self.certificate)
                session.trust_env = False  # REQUESTS_CA_BUNDLE would go before it
                client = socketio.Client(reconnection=False, http_session=session)
                client.connect(f"https://127.0.0.1:{self.port}", transports=transports)
                try:
                    answer = client.call("join:room", {"roomId": "md"}, timeout=10)
                    self.assertEqual(answer["status"], "joined")
                    self.assertEqual(client.transport(), transports[0] if transports else "websocket")
                finally:
                    client.disconnect()


class Certificates(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pem = Path(cls.folder.name)
        code, text = import_file(cls.store, "md", DATA / "molecules.xyz")
        assert code == 0, text

    def test_sighup_takes_the_new_certificate_and_keeps_the_old_when_it_is_bad(self):
        first, second = make_certificate(self.pem, "one"), make_certificate(self.pem, "two")
        certificate, key = self.pem / "live.pem", self.pem / "live.key"

        def install(pair):
            certificate.write_bytes(pair[0].read_bytes())
            key.write_bytes(pair[1].read_bytes())

        def reload(server, said):
            before = server.logged().count(said)
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 5
            while server.logged().count(said) == before and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertEqual(server.logged().count(said), before + 1)

        context = trusting(first[0], second[0])
        install(first)
        with Server(self.store, "--tls-cert", certificate, "--tls-key", key, tls=context) as server:
            self.assertEqual(common_name(server.port, context), "one")
            kept = Client(server.port, context)
            self.assertEqual(kept.get("/healthz").status, 200)
            install(second)
            reload(server, "certificate reloaded")
            self.assertEqual(common_name(server.port, context), "two")
            connection = kept.connection
            self.assertEqual(kept.get("/healthz").status, 200)
            self.assertIs(kept.connection, connection, "a reload ends no connection")
            kept.close()
            for bad in ((first[0], second[1]), (second[1], second[1]), (first[0], first[0])):
                install(bad)
                reload(server, "the new certificate is not used")
                self.assertEqual(common_name(server.port, context), "two")
            certificate.unlink()
            reload(server, "the new certificate is not used")
            self.assertIn("live.pem", server.logged())
            self.assertEqual(common_name(server.port, context), "two")
            install(first)
            reload(server, "certificate reloaded")
            self.assertEqual(common_name(server.port, context), "one")

    def test_a_start_with_wrong_files_says_which(self):
        certificate, key = make_certificate(self.pem, "good")
        other = make_certificate(self.pem, "other")[1]
        locked = self.pem / "locked.key"
        subprocess.run(["openssl", "ec", "-in", key, "-out", locked, "-aes128", "-passout", "pass:secret"], check=True, capture_output=True)
        empty = self.pem / "empty.pem"
        empty.touch()
        for code, options, words in (
                (2, ["--tls-cert", certificate], ["--tls-cert", "--tls-key"]),
                (2, ["--tls-key", key], ["--tls-cert", "--tls-key"]),
                (1, ["--tls-cert", self.pem / "none.pem", "--tls-key", key], ["none.pem", "No such file"]),
                (1, ["--tls-cert", empty, "--tls-key", key], ["empty.pem", "empty"]),
                (1, ["--tls-cert", key, "--tls-key", key], ["good.key", "not a PEM certificate"]),
                (1, ["--tls-cert", certificate, "--tls-key", certificate], ["good.pem", "not a PEM key"]),
                (1, ["--tls-cert", certificate, "--tls-key", locked], ["locked.key", "passphrase"]),
                (1, ["--tls-cert", certificate, "--tls-key", other], ["other.key", "is not the key of"])):
            ended, text = run([BIN / "zn-server", "--store", self.store, "--port", "0", *options], seconds=10)
            self.assertEqual(ended, code, text)
            for word in words:
                self.assertIn(word, text)
            self.assertNotIn("BEGIN", text)

    def test_other_addresses_need_tls_or_a_word_that_they_may_go_without(self):
        certificate, key = make_certificate(self.pem, "any")
        code, text = run([BIN / "zn-server", "--store", self.store, "--address", "0.0.0.0", "--port", "0"], seconds=10)
        self.assertEqual(code, 2)
        self.assertIn("--tls-cert", text)
        with Server(self.store, "--address", "0.0.0.0", "--tls-cert", certificate, "--tls-key", key, tls=trusting(certificate)) as server:
            self.assertEqual(server.get("/api/rooms").status, 200)


if __name__ == "__main__":
    unittest.main()
