"""Ten thousand connections that trickle bytes: others are served meanwhile, and who goes on like that is dropped."""
import resource
import select
import socket
import time
import unittest

from support.zn import DATA, Client, Server, StoreCase, import_file

CROWD = 10_000
HEAD_SECONDS = 2


class Trickle(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, text = import_file(cls.store, "md", DATA / "molecules.xyz")
        assert code == 0, text

    def crowd(self, port, count, first):
        sockets = []
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", port), timeout=10)
            s.setblocking(False)
            s.send(first)
            sockets.append(s)
        return sockets

    @staticmethod
    def drip(sockets):
        """A byte over each connection that is still open; returns those."""
        still = []
        for s in sockets:
            try:
                if s.recv(4096):  # an answer: it is over
                    s.close()
                    continue
            except BlockingIOError:
                pass
            except OSError:
                s.close()
                continue
            else:
                s.close()
                continue
            try:
                s.send(b"x")
                still.append(s)
            except OSError:
                s.close()
        return still

    def serve(self, client, requests=50):
        """The slowest of some reads and a write, in seconds."""
        slowest = 0
        for i in range(requests):
            begin = time.monotonic()
            reply = client.get(f"/api/rooms/md/frames/{i % 10}?data=positions&format=npy")
            self.assertEqual(reply.status, 200)
            slowest = max(slowest, time.monotonic() - begin)
        self.assertEqual(client.request("PATCH", "/api/rooms/md", b'{"description": "%d"}' % time.monotonic_ns(),
                                        {"Content-Type": "application/json"}).status, 200)
        return slowest

    def test_others_are_served(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        crowd = min(CROWD, hard - 500)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if crowd < CROWD:
            print(f"only {hard} descriptors are allowed: {crowd} connections instead of {CROWD}")
        with Server(self.store, "--max-connections", crowd + 100, "--header-timeout", HEAD_SECONDS) as server:
            heads = self.crowd(server.port, crowd // 2, b"GET /api/rooms HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
            bodies = self.crowd(server.port, crowd - crowd // 2,
                                b"POST /api/rooms/md/frames HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                b"Content-Length: 100000\r\n\r\n[")
            newcomer, kept = Client(server.port), Client(server.port)
            begin, slowest = time.monotonic(), 0
            while (heads or bodies) and time.monotonic() - begin < 30:
                heads, bodies = self.drip(heads), self.drip(bodies)
                slowest = max(slowest, self.serve(kept), self.serve(newcomer, 5))
                newcomer.close()
                time.sleep(HEAD_SECONDS / 4)
            # Each byte came in time, and yet none of them was let stay.
            self.assertEqual((len(heads), len(bodies)), (0, 0))
            self.assertLess(slowest, 1.0)
            metrics = server.get("/metrics").body.decode()
            timeouts = next(line for line in metrics.splitlines() if "timeouts" in line and not line.startswith("#"))
            self.assertGreaterEqual(int(timeouts.split()[-1]), crowd, timeouts)

    def test_beyond_its_connections_the_server_comes_back(self):
        """Who fills the server up keeps others out for no longer than a head may take."""
        with Server(self.store, "--max-connections", 200, "--header-timeout", HEAD_SECONDS) as server:
            server.close()
            crowd = self.crowd(server.port, 400, b"GET / HTTP/1.1\r\n")
            begin, status = time.monotonic(), None
            while time.monotonic() - begin < 10 and status != 200:
                client = Client(server.port)
                try:
                    status = client.get("/healthz").status
                except OSError:
                    pass
                client.close()
                time.sleep(0.1)
            self.assertEqual(status, 200)
            self.assertLess(time.monotonic() - begin, HEAD_SECONDS + 3)
            for s in crowd:
                s.close()

    def test_a_body_that_comes_steadily_may_take_long(self):
        with Server(self.store, "--header-timeout", 1) as server:
            body = b'{"description": "' + b"y" * 3900 + b'"}'
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as s:
                s.sendall(b"PATCH /api/rooms/md HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
                for at in range(0, len(body), 600):
                    s.sendall(body[at:at + 600])
                    time.sleep(0.5)
                self.assertTrue(select.select([s], [], [], 5)[0])
                self.assertIn(b" 200 ", s.recv(4096).split(b"\r\n")[0])


if __name__ == "__main__":
    unittest.main()
