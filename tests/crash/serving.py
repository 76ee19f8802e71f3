"""A server that is killed, fails or loses its power while clients import and edit; what it replied to is what was acknowledged."""
import functools
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from workloads import BIN, SECONDS, SOURCE, Broken, Import, Workload, dump, fsck, must

MOLECULES = SOURCE / "data/molecules.xyz"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Refused(Exception):
    """A reply that is no success, or none."""


class Client:
    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, kind="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body=body, headers={"Content-Type": kind} if body else {})
            reply = connection.getresponse()
            data = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise Refused(str(error)) from None
        finally:
            connection.close()
        if reply.status >= 300:
            raise Refused(f"{reply.status} {data[:200]!r}")
        return json.loads(data) if data else None

    def upload(self, room):
        job = self.ask("POST", f"/api/rooms/{room}/import", MOLECULES.read_bytes(), "application/octet-stream")
        while job["state"] in ("queued", "running"):
            time.sleep(0.005)
            job = self.ask("GET", f"/api/jobs/{job['id']}")
        if job["state"] != "done":
            raise Refused(f"the job is {job['state']}: {job.get('error')}")

    def edit(self, frame, version, note):
        self.ask("PATCH", f"/api/rooms/kept/frames/{frame}?base_version={version}", json.dumps({"delta": {"info.note": note}}))


class Serving(Workload):
    name = "server"
    codes = (0, 1, 3, 4, 5)  # it says at its start what it cannot open
    kinds = ("kill", "fail", "image")  # those that can wait for its clients
    steps = (lambda client: client.edit(1, 1, "one"), lambda client: client.upload("new"), lambda client: client.edit(1, 2, "two"),
             lambda client: client.ask("POST", "/api/rooms/kept/frames/1/undo"), lambda client: client.upload("kept"))

    def prepare(self, folder, seed):
        must(Import.importing(folder, "kept", "strained_crystal.xyz"), "the base")

    def command(self, folder, seed):
        return [BIN / "zn-server", "--store", folder / "store", "--threads", 2]

    def execute(self, folder, seed, prefix=(), env=None, steps=None):
        """`steps`: so many, each of which must succeed."""
        port = free_port()
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen([str(part) for part in (*prefix, *self.command(folder, seed), "--port", port)],
                                       stdout=log, stderr=log, env={**os.environ, **(env or {})}, start_new_session=True)
        client = Client(port)
        try:
            if self.ready(process, client):
                for number, step in enumerate(self.steps if steps is None else self.steps[:steps]):
                    step(client)
                    with open(folder / "acks", "a") as acks:
                        acks.write(f"0 {number}\n")
        except Refused as refused:
            if steps is not None:
                raise Broken(f"the server refuses undisturbed: {refused}") from None
        finally:
            code = self.stop(process, bool(prefix))
        return code, (folder / "log").read_text(errors="replace")

    @staticmethod
    def ready(process, client):
        begin = time.monotonic()
        while process.poll() is None and time.monotonic() - begin < SECONDS / 4:
            try:
                client.ask("GET", "/readyz")
                return True
            except Refused:
                time.sleep(0.005)
        return False

    @staticmethod
    def stop(process, traced):
        """Its exit code; a tracer's child is the server."""
        if process.poll() is None:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            try:
                ends = [int(child) for child in children.read_text().split()] if traced else [process.pid]
                for pid in ends:
                    os.kill(pid, signal.SIGTERM)
            except (OSError, ValueError):
                pass  # it has just ended
        try:
            return process.wait(timeout=SECONDS / 2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None

    @functools.lru_cache(maxsize=1)
    def states(self, root):
        """What the store has after each step."""
        folder, found = Path(root) / f"states-{os.getpid()}", []
        for steps in range(len(self.steps) + 1):
            self.fresh(root, folder, 0)
            code, output = self.execute(folder, 0, steps=steps)
            if code != 0:
                raise Broken(f"the server does not run undisturbed: {code}: {output[-300:]}")
            found.append(dump(folder / "store"))
            shutil.rmtree(folder)
        return found

    def judge(self, folder, seed, code, power=False):
        states = self.states(str(folder.parent))
        acks = folder / "acks"
        known = len(acks.read_text().splitlines()) if acks.exists() else 0
        found = dump(folder / "store")
        fsck(folder / "store")
        possible = states[known:known + 2]
        if power:  # nobody knows when, but for its end
            possible = states[-1:] if code == 0 else states
        if found not in possible:
            raise Broken(f"after {known} acknowledged changes: {({room: len(frames) for room, frames in found.items()})}")
