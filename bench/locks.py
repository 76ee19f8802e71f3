#!/usr/bin/python3
"""(n) Locks taken and released a second over HTTP, beside SET NX PX and DEL of a Redis server on the same machine.

Both are asked by the same number of client processes over loopback, each with one kept connection and one request at a
time, written with raw sockets so that neither client library is measured. A lock of ours is two HTTP requests (PUT with a
new target each time, DELETE with its token), Redis' is SET key token NX PX 60000 and DEL key. Redis (Debian's
redis-server) is started without persistence, which is how it is used for locks.
"""
import json
import multiprocessing
import shutil
import socket
import statistics
import sys
import time

import common as c

CLIENTS = (1, 8, 32)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def line(self):
        while b"\r\n" not in self.buffer:
            part = self.socket.recv(65536)
            assert part, "the server closed the connection"
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def exactly(self, size):
        while len(self.buffer) < size:
            part = self.socket.recv(65536)
            assert part, "the server closed the connection"
            self.buffer += part
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data


def http(connection, method, path, headers=""):
    connection.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
    status, length = int(connection.line().split()[1]), 0
    while line := connection.line():
        if line[:15].lower() == b"content-length:":
            length = int(line[15:])
    return status, connection.exactly(length)


def znstore(port, number, seconds):
    connection, count = Connection(port), 0
    # Each client has frames of its own: contention is not what is measured.
    path = f"/api/rooms/r/locks/frame:{number}"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status, body = http(connection, "PUT", path)
        assert status == 200, (status, body)
        status, body = http(connection, "DELETE", path, f"Lock-Token: {json.loads(body)['lock_token']}\r\n")
        assert status == 204, (status, body)
        count += 1
    return count


def redis(port, number, seconds):
    connection, count = Connection(port), 0
    key = f"lock:r:{number}"
    token = "0" * 64

    def ask(*words):
        connection.socket.sendall(b"".join([f"*{len(words)}\r\n".encode()] +
                                           [f"${len(word)}\r\n{word}\r\n".encode() for word in words]))
        return connection.line()

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert ask("SET", key, token, "NX", "PX", "60000") == b"+OK"
        assert ask("DEL", key) == b":1"
        count += 1
    return count


def rate(client, port, clients, seconds):
    with multiprocessing.Pool(clients) as pool:
        counts = pool.starmap(client, [(port, number, seconds) for number in range(clients)])
    return sum(counts) / seconds


def main():
    seconds = 1 if c.QUICK else 3
    if not shutil.which("redis-server"):
        sys.exit("redis-server is not installed (tools/deps names it)")
    folder = c.scratch("locks")
    xyz = folder / "r.xyz"
    xyz.write_text("".join(f"1\nProperties=species:S:1:pos:R:3\nH 0 0 {i}\n" for i in range(max(CLIENTS))))
    c.import_file(folder / "store", "r", xyz)
    redis_port = c.free_port()
    command = ["redis-server", "--port", redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
    with c.zn_server(folder / "store") as port, c.process(command, redis_port):
        c.header("Locks taken and released (two round trips each)", "clients", "zn-server /s", "Redis /s", "ratio")
        for clients in CLIENTS:
            rounds = [(rate(znstore, port, clients, seconds), rate(redis, redis_port, clients, seconds)) for _ in range(c.ROUNDS)]
            ours, theirs = (statistics.median(r[side] for r in rounds) for side in (0, 1))
            c.row(clients, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}")


if __name__ == "__main__":
    main()
