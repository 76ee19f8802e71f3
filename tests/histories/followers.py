"""Clients that follow a room's events and keep a picture of it, over connections that break."""
import asyncio
import json

from wire import EventStream, Http, Lost, Socket


def generation(commit):
    """Commits of a room are numbered: "17-1f2e3d4c5b6a7988" is its 17th."""
    return int(commit.split("-")[0])


class Fresh:
    """What a reader sees who was not there before: frames as (id, version) in order, locked targets, records."""

    @staticmethod
    async def read(http, room):
        fresh = Fresh()
        path = f"/api/rooms/{room}"
        status, headers, body = await http.get(f"{path}/frames/meta")
        assert status == 200, body
        # The place was taken before the frames were read: what comes from there on may be in them already.
        fresh.place, fresh.generation = headers["zn-position"], generation(headers["zn-commit"])
        fresh.frames = [(m["id"], m["version"]) for m in json.loads(body)]
        _, _, body = await http.get(f"{path}/locks")
        fresh.locks = {(lock["id"] if lock["id"] is not None else "meta") for lock in json.loads(body)}
        _, _, body = await http.get(f"{path}/state?limit=1000")
        fresh.records = {r["key"]: (r["version"], r["value"]) for r in json.loads(body)}
        return fresh


class Follower:
    def __init__(self, world, kind, dice):
        self.world, self.kind, self.dice = world, kind, dice
        self.findings, self.heard, self.resumed, self.resynced = [], 0, 0, 0
        self.place = None

    def look(self, fresh):
        self.place, self.read_to = fresh.place, fresh.generation
        self.frames, self.locks, self.records = list(fresh.frames), set(fresh.locks), dict(fresh.records)

    def apply(self, name, data):
        """What happened, told by an event: an inserted frame is known by its commit and place until it is read."""
        if "commit" in data and "roomId" in data and generation(data["commit"]) <= self.read_to:
            return  # the frames were read after it
        if name == "frame_updated":
            frame, now = data["frame"], (data["id"], data["version"])
            was = self.frames[frame] if frame < len(self.frames) else None
            if was is None:
                self.findings.append(("picture", f"an event of frame {frame} of {len(self.frames)}"))
                return
            if was[0] != "new" and was != (now[0], now[1] - 1):
                self.findings.append(("picture", f"{data} came when frame {frame} was {was}"))
            self.frames[frame] = now
        elif name == "frames:invalidate":
            at, count = data["from"], data["count"]
            if data["operation"] == "delete":
                del self.frames[at:at + count]
            elif data["operation"] in ("append", "insert"):
                made = generation(data["commit"])
                self.frames[at:at] = [("new", made, at + k) for k in range(count)]
            else:
                self.findings.append(("picture", f"unexpected {data}"))
            if len(self.frames) != data["frameCount"]:
                self.findings.append(("picture", f"{len(self.frames)} frames after {data}"))
        elif name == "lock:update":
            target = "meta" if data["id"] is None else data["id"]
            (self.locks.discard if data["holder"] is None else self.locks.add)(target)
        elif name == "state:update" and data["version"] > self.records.get(data["key"], (0,))[0]:
            self.records[data["key"]] = (data["version"], data["value"])

    async def take(self, http, name, data):
        if name == "resync":
            self.resynced += 1
            self.look(await Fresh.read(http, self.world.room))
            self.place = data["position"]  # the stream goes on from there
            return
        if "position" in data:
            epoch, sequence = map(int, data["position"].split(":"))
            last_epoch, last = map(int, self.place.split(":"))
            if (epoch, sequence) != (last_epoch, last + 1):
                self.findings.append(("events", f"{data['position']} came after {self.place} ({name})"))
            self.place = data["position"]
        self.heard += 1
        self.apply(name, data)

    async def run(self):
        http = Http(self.world)
        self.look(await Fresh.read(http, self.world.room))
        while True:
            wire = EventStream() if self.kind == "sse" else Socket()
            left = self.dice.randrange(5, 60)  # events until the connection breaks
            try:
                await wire.open(self.world.port, self.world.room, self.place)
                while left or self.world.calm:
                    await self.take(http, *await wire.next())
                    left = max(0, left - 1)
            except (OSError, EOFError, Lost):
                pass
            finally:
                wire.close()
            self.resumed += 1
            await asyncio.sleep(self.dice.random() * 0.02)
