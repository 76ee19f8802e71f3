"""One run: a room, its writers and followers, perhaps kills of the server, and what a reader finds afterwards."""
import asyncio
import json
import random
import sys
import time
from pathlib import Path

import msgpack
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))
from checker import Checker, History, State
from followers import Follower, Fresh
from support.zn import Server
from wire import Http
from writers import Writer, frame

FRAMES = 32
SAMPLES = 24  # frames' versions that are read one by one at the end


class World:
    """What the clients of a run share."""

    def __init__(self, server, room, seed):
        self.server, self.room, self.dice = server, room, random.Random(f"{seed} breaks")
        self.ops, self.grants, self.kills = [], [], []
        self.calm = False  # followers stay connected
        self.marks = 0

    @property
    def port(self):
        return self.server.port

    def mark(self):
        self.marks += 1
        return self.marks

    @staticmethod
    def now():
        return time.monotonic()

    async def kill(self, store):
        """kill -9, and a new server over what is on disk."""
        loop = asyncio.get_running_loop()
        self.server.process.kill()
        self.kills.append(self.now())
        await loop.run_in_executor(None, self.server.process.wait)
        self.server.stop()
        self.server = await loop.run_in_executor(None, lambda: Server(store, *self.server.options, program=self.server.program))


def columns(body):
    """Of a `columns` reply: ids in order, and id -> (version, the marks in its values)."""
    raw = msgpack.unpackb(body, raw=False)

    def array(part):
        return np.frombuffer(part["data"], part["dtype"]).reshape(part["shape"])

    ids, versions, counts = (array(raw[name]).tolist() for name in ("ids", "versions", "n_atoms"))
    marks = array(raw["fields"]["info.w"]).tolist()
    rows = array(raw["fields"]["arrays.positions"]) if "arrays.positions" in raw["fields"] else np.zeros((0, 3))
    frames, at = {}, 0
    for frame_id, version, count, mark in zip(ids, versions, counts, marks):
        frames[frame_id] = (version, sorted({float(mark), *rows[at:at + count].ravel().tolist()}))
        at += count
    return ids, frames


async def read_states(http, room, first):
    """The room at every commit from `first` (a generation) on."""
    path, commits, after = f"/api/rooms/{room}", [], ""
    while True:
        _, _, body = await http.get(f"{path}/commits?limit=1000{after}")
        page = json.loads(body)
        commits += page
        if len(page) < 1000:
            break
        after = f"&after={page[-1]['commit']}"
    states = []
    for commit in reversed(commits):
        if int(commit["commit"].split("-")[0]) < first:
            continue
        status, _, body = await http.get(f"{path}/frames?at={commit['commit']}&data=positions,info.w&format=columns")
        assert status == 200, body
        states.append(State(commit["commit"], commit["operation"], *columns(body)))
    return states


async def read_versions(http, room, fresh, dice):
    """Of some frames every version that can be read: id -> {version: mark}."""
    versions = {}
    for frame_id, _ in dice.sample(fresh.frames, min(SAMPLES, len(fresh.frames))):
        _, _, body = await http.get(f"/api/rooms/{room}/frames/id:{frame_id}/versions?limit=1000")
        versions[frame_id] = {}
        for entry in json.loads(body):
            status, _, body = await http.get(f"/api/rooms/{room}/frames/id:{frame_id}?version={entry['version']}&data=info.w&format=json")
            assert status == 200, body
            versions[frame_id][entry["version"]] = float(json.loads(body)["info.w"])
    return versions


async def settle(world, http, followers):
    """Until no lock is held and everybody has heard of everything. Findings of who does not."""
    world.calm = True
    deadline = time.monotonic() + 20
    while True:
        fresh = await Fresh.read(http, world.room)
        late = [f for f in followers if f.place != fresh.place or f.locks]
        if not late and not fresh.locks:
            return fresh, []
        if time.monotonic() > deadline:
            return fresh, [("events", f"a follower ({f.kind}) is at {f.place} with locks {f.locks}; the room is at {fresh.place}") for f in late]
        await asyncio.sleep(0.01)


async def play(server, store, seed, clients=64, steps=8, followers=8, kills=0):
    """A run. Returns its history, its findings, and the server, which may be another one after kills."""
    room = f"h{seed}"
    world = World(server, room, seed)
    http = Http(world)
    status, _, body = await http.ask("POST", "/api/rooms", {"id": room})
    assert status == 201, body
    status, headers, body = await http.ask("POST", f"/api/rooms/{room}/frames", [frame(world.mark()) for _ in range(FRAMES)])
    assert status == 201, body
    first = int(headers["zn-commit"].split("-")[0])
    crowd = [Follower(world, ("sse", "socketio")[n % 2], random.Random(f"{seed} follower {n}")) for n in range(followers)]
    following = [asyncio.create_task(follower.run()) for follower in crowd]
    while any(follower.place is None for follower in crowd):
        await asyncio.sleep(0.005)
    writers = [Writer(world, n, random.Random(f"{seed} writer {n}")) for n in range(clients)]
    writing = [asyncio.create_task(writer.run(steps)) for writer in writers]
    for _ in range(kills):
        await asyncio.sleep(0.05 + world.dice.random() * 0.25)
        await world.kill(store)
    await asyncio.gather(*writing)
    fresh, late = await settle(world, http, crowd)
    for task in following:
        task.cancel()
    done = await asyncio.gather(*following, return_exceptions=True)
    broken = [error for error in done if not isinstance(error, asyncio.CancelledError)]
    if broken:
        raise broken[0]
    states = await read_states(http, room, first)
    history = History(states, world.ops, world.grants, world.kills, fresh, crowd,
                      await read_versions(http, room, fresh, world.dice))
    http.drop()
    findings = late + Checker(history).check()
    return history, findings, world.server
