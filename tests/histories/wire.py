"""HTTP, event streams and Socket.IO over asyncio, by hand: 64 clients in one thread, and connections that break where the test
says so. Shares no code with the server."""
import asyncio
import base64
import json
import os
import struct


class Lost(Exception):
    """The connection ended before the reply was whole: the request may have been done, or not."""


class Http:
    """One kept connection, opened when it is needed."""

    def __init__(self, world):
        self.world, self.reader, self.writer = world, None, None

    def drop(self):
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def open(self):
        """Until there is a server: one that is being started again is waited for."""
        while True:
            try:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.world.port)
                return
            except OSError:
                await asyncio.sleep(0.01)

    async def ask(self, method, path, body=None, headers=None, cut=None):
        """(status, headers, body). `cut`: "half" breaks off amid the request, "whole" after it; both raise Lost."""
        if self.writer is None:
            await self.open()
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        for name, value in (headers or {}).items():
            head += f"{name}: {value}\r\n"
        message = head.encode() + b"\r\n" + data
        try:
            self.writer.write(message if cut != "half" else message[:len(message) * 2 // 3])
            if cut:
                await self.writer.drain()
                await asyncio.sleep(self.world.dice.random() * 0.004)
                raise Lost()
            return await self.reply()
        except (OSError, EOFError, asyncio.LimitOverrunError, Lost):
            self.drop()
            raise Lost() from None

    async def reply(self):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        size = int(headers.get("content-length", 0))
        return int(lines[0].split()[1]), headers, await self.reader.readexactly(size) if size else b""

    async def get(self, path):
        """A read, as often as it takes."""
        while True:
            try:
                return await self.ask("GET", path)
            except Lost:
                await asyncio.sleep(0.005)


class Wire:
    reader = writer = None

    def close(self):
        if self.writer:
            self.writer.transport.abort()


class EventStream(Wire):
    """Server-Sent Events of a room from a place on."""

    async def open(self, port, room, since):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(f"GET /api/rooms/{room}/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {since}\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise Lost()

    async def next(self):
        """(name, data)"""
        name = data = None
        while True:
            line = (await self.reader.readline()).decode()
            if not line:
                raise Lost()
            if line.startswith("event: "):
                name = line[7:-1]
            elif line.startswith("data: "):
                data = line[6:-1]
            elif line == "\n":
                if data is not None:
                    return name, json.loads(data)
                name = None


class Socket(Wire):
    """Socket.IO over a WebSocket, joined to a room from a place on."""

    async def open(self, port, room, since):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        self.writer.write(("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                           f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise Lost()
        self.say("40" + json.dumps({"resume": {room: since}}))

    def say(self, text):
        data = text.encode()
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
        self.writer.write(b"\x81" + size + b"\0\0\0\0" + data)  # a mask of zeros

    async def message(self):
        kind, size = await self.reader.readexactly(2)
        if size == 126:
            size, = struct.unpack(">H", await self.reader.readexactly(2))
        elif size == 127:
            size, = struct.unpack(">Q", await self.reader.readexactly(8))
        data = await self.reader.readexactly(size)
        if kind & 0x0f == 8:
            raise Lost()
        return data.decode()

    async def next(self):
        while True:
            text = await self.message()
            if text == "2":
                self.say("3")
            elif text.startswith("42["):
                name, data = json.loads(text[2:])
                if name != "session":
                    return name, data
            elif text[:2] in ("41", "44", "1"):
                raise Lost()
