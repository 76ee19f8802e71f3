"""Clients that write at random and remember what they did: which request, when, what it was based on, what came back."""
import asyncio
import json
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import quote

from wire import Http, Lost

KEYS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")  # of state records
RUSH = 4                           # frames that everybody wants to lock
ATOMS = 2


@dataclass
class Op:
    client: int
    kind: str                       # edit, insert, delete, travel (undo, redo), record
    begin: float
    end: float = 0.0
    outcome: str = "lost"           # ok: a 2xx was received; refused: a 4xx; lost: nobody knows
    status: int = 0
    frame: Optional[int] = None     # its id; of an insert with before=id:...: that one's
    base: Optional[int] = None      # the version that the write names
    marks: list = field(default_factory=list)  # what its frames hold, unlike those of any other write
    fence: Optional[str] = None     # of the lock whose token it carried
    meta: bool = False              # that lock is trajectory:meta
    key: Optional[str] = None       # record
    attempts: int = 1
    reply: dict = field(default_factory=dict)


@dataclass
class Grant:
    target: object                  # frame id, or "meta"
    fence: str
    asked: float
    had: float
    until: float                    # at the latest: it runs out, or its holder asks to release it


def frame(mark):
    """A frame that is a write's own: a torn one would hold two marks."""
    return {"positions": [[float(mark)] * 3] * ATOMS, "info.w": mark}


class Writer:
    def __init__(self, world, number, dice):
        self.world, self.number, self.dice = world, number, dice
        self.http, self.path = Http(world), f"/api/rooms/{world.room}"
        self.known, self.records = {}, {}   # versions as this client knows them, which others outdate

    def pick(self, among=None):
        ids = sorted(self.known)[:among]
        return self.dice.choice(ids) if ids else None

    async def look(self):
        status, _, body = await self.http.get(f"{self.path}/frames/meta")
        if status == 200:
            self.known = {m["id"]: m["version"] for m in json.loads(body)}

    async def write(self, op, method, path, body=None, **headers):
        """Sends it, at times over a connection that breaks; most of those ask again with the same Idempotency-Key."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        keyed = op.kind != "record" and self.dice.random() < 0.4
        if keyed:
            headers["Idempotency-Key"] = f"{self.number}-{self.world.mark()}"
        op.begin = self.world.now()
        self.world.ops.append(op)
        cut = self.dice.choice(("half", "whole")) if self.dice.random() < 0.12 else None
        while True:
            try:
                op.status, _, reply = await self.http.ask(method, path, body, headers, cut)
            except Lost:
                cut = None
                if not keyed or op.attempts > 20:
                    op.end = self.world.now()
                    return op  # nobody knows
                op.attempts += 1
                continue
            op.reply = json.loads(reply) if reply else {}
            problem = op.reply.get("type", "").split(":")[-1] if isinstance(op.reply, dict) else ""
            if keyed and problem in ("still-running", "already-exists"):
                op.attempts += 1
                await asyncio.sleep(0.005)
                continue
            break
        op.end = self.world.now()
        # A refused retry says nothing of the attempt before it, which the server may come to only now.
        op.outcome = "ok" if op.status < 300 else "refused" if op.attempts == 1 else "lost"
        if op.outcome == "ok" and op.kind in ("edit", "travel"):
            self.known[op.frame] = op.reply["version"]
        latest = op.reply.get("latest")
        if latest and op.frame is not None and "version" in latest:
            self.known[op.frame] = latest["version"]
        if op.status == 404 and op.frame is not None:
            self.known.pop(op.frame, None)
        return op

    async def edit(self, target=None, lock=None, release=False, any_version=False):
        target = self.pick() if target is None else target
        if target is None:
            return None
        mark = self.world.mark()
        op = Op(self.number, "edit", 0, frame=target, marks=[mark])
        body, headers, query = {"delta": frame(mark)}, {}, []
        if lock:
            op.fence = lock.fence
            headers["Lock_Token"] = lock.token
            if release:
                query.append("release=true")
        if any_version:
            headers["If_Match"] = "*"
        elif not lock:
            op.base = self.known[target]
            if self.dice.random() < 0.5:
                headers["If_Match"] = f'"{target}.{op.base}"'
            else:
                body["base_version"] = op.base
        path = f"{self.path}/frames/id:{target}" + ("?" + "&".join(query) if query else "")
        return await self.write(op, "PATCH", path, body, **headers)

    async def insert(self, lock=None):
        marks = [self.world.mark() for _ in range(self.dice.choice((1, 1, 2, 3)))]
        before = self.pick() if self.dice.random() < 0.6 else None
        op = Op(self.number, "insert", 0, frame=before, marks=marks, fence=lock and lock.fence, meta=bool(lock))
        headers = {"Lock_Token": lock.token} if lock else {}
        await self.write(op, "POST", f"{self.path}/frames" + (f"?before=id:{before}" if before is not None else ""),
                         [frame(mark) for mark in marks], **headers)
        if op.outcome == "ok":
            self.known.update(zip(op.reply["ids"], op.reply["versions"]))

    async def delete(self):
        target = self.pick()
        if target is None or len(self.known) < 8:
            return
        op = Op(self.number, "delete", 0, frame=target, base=self.known[target])
        await self.write(op, "DELETE", f"{self.path}/frames/id:{target}?base_version={op.base}")
        if op.outcome == "ok":
            self.known.pop(target, None)

    async def travel(self):
        target = self.pick()
        if target is None:
            return
        op = Op(self.number, "travel", 0, frame=target)
        await self.write(op, "POST", f"{self.path}/frames/id:{target}/{self.dice.choice(('undo', 'undo', 'redo'))}")

    async def record(self):
        key = self.dice.choice(KEYS)
        op = Op(self.number, "record", 0, key=key, base=self.records.get(key, 0), marks=[self.world.mark()])
        await self.write(op, "PUT", f"{self.path}/state/settings/all/{quote(key)}",
                         {"value": {"w": op.marks[0]}, "base_version": op.base})
        if op.outcome == "ok":
            self.records[key] = op.reply["version"]
        elif op.reply.get("latest"):
            self.records[key] = op.reply["latest"]["version"]

    async def locked(self):
        """Takes a lock that does not last long and writes with it: in time, late, and much too late."""
        target = "meta" if self.dice.random() < 0.06 else self.pick(RUSH)
        if target is None:
            return
        path = f"{self.path}/locks/" + ("trajectory:meta" if target == "meta" else f"frame:id:{target}")
        ttl = self.dice.choice((20, 40, 80))
        asked = self.world.now()
        try:
            status, _, body = await self.http.ask("PUT", path, {"ttl_ms": ttl})
        except Lost:
            return
        if status != 200:
            return
        grant = json.loads(body)
        lock = Grant(target, grant["fence"], asked, self.world.now(), asked + ttl / 1000)
        lock.token = grant["lock_token"]
        self.world.grants.append(lock)
        for _ in range(self.dice.choice((1, 2))):
            await asyncio.sleep(self.dice.random() * self.dice.choice((0, 1.5)) * ttl / 1000)
            if target == "meta":
                await self.insert(lock)
            else:
                await self.edit(target, lock, any_version=self.dice.random() < 0.5)
        end = self.dice.random()
        if end < 0.4:
            lock.until = min(lock.until, self.world.now())
            try:
                await self.http.ask("DELETE", path, headers={"Lock-Token": lock.token})
            except Lost:
                pass
        elif end < 0.55 and target != "meta":
            lock.until = min(lock.until, self.world.now())
            await self.edit(target, lock, release=True)
        elif target != "meta":
            # Who slept through the end of the lock, and does not look at what is there.
            await asyncio.sleep(ttl / 1000 + self.dice.random() * 0.1)
            await self.edit(target, lock, any_version=True)

    async def run(self, steps):
        await self.look()
        things = [self.edit, self.insert, self.delete, self.travel, self.record, self.locked, self.look,
                  lambda: self.edit(any_version=True)]
        for _ in range(steps):
            await self.dice.choices(things, (34, 10, 7, 6, 12, 14, 8, 4))[0]()
            await asyncio.sleep(self.dice.random() * 0.02)
        self.http.drop()
