"""Random histories of 64 clients over HTTP against a model, kill -9 of the server amid them, and the proof that the judge can
find what it looks for: in recorded histories that are tampered with, and in servers with planted bugs.

ZN_HISTORIES and ZN_KILLS say how many (docs/testing.md has the long runs)."""
import asyncio
import copy
import os
import tempfile
import unittest
from pathlib import Path

from checker import Checker
from history import Server, play
from run import run

RUNS = int(os.environ.get("ZN_HISTORIES", "16"))
KILLS = int(os.environ.get("ZN_KILLS", "30"))
KILLS_A_RUN = 5
PLANTED_RUNS = 16  # a planted bug is found within


class Histories(unittest.TestCase):
    def test_histories(self):
        findings, totals = run(1, RUNS)
        self.assertEqual(findings, [], dict(totals))
        # There was something to be found.
        for what in ("commits", "grants", "events", "reconnects", "lost", "refused", "retried", "stale tokens", "resyncs"):
            self.assertGreaterEqual(totals[what], RUNS, (what, dict(totals)))

    def test_kills(self):
        runs = max(1, KILLS // KILLS_A_RUN)
        findings, totals = run(10_000, runs, kills=KILLS_A_RUN, steps=12)
        self.assertEqual(findings, [], dict(totals))
        self.assertEqual(totals["kills"], runs * KILLS_A_RUN)
        self.assertGreater(totals["resyncs"], totals["kills"])


class PlantedBugs(unittest.TestCase):
    """Servers that differ from the real one in a few lines (plant.py)."""

    def test_without_the_version_check(self):
        findings, totals = run(20_000, PLANTED_RUNS, "zn-server-no-version-check", until="stale-base")
        self.assertIn("stale-base", {finding[1] for finding in findings}, dict(totals))

    def test_without_the_fence_check(self):
        """Locks that lie let stale writers in, unless the store looks at fences."""
        findings, totals = run(30_000, PLANTED_RUNS, "zn-server-no-fence-check", until="stale-fence")
        self.assertIn("stale-fence", {finding[1] for finding in findings}, dict(totals))
        findings, totals = run(30_000, min(totals["runs"], 8), "zn-server-lying-locks")
        self.assertNotIn("stale-fence", {finding[1] for finding in findings})
        # Nothing else is wrong, but that the locks lie, and that whom they deceive has no base (428).
        self.assertLessEqual({finding[1] for finding in findings}, {"lock-broken", "status"})
        self.assertGreater(totals["stale tokens"], 0)


class Judge(unittest.TestCase):
    """What the checker says of one sound history after each kind of damage to it."""

    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory(prefix="zn-histories-") as folder:
            server = Server(Path(folder) / "store", "--create")
            try:
                cls.sound, findings, server = asyncio.run(play(server, Path(folder) / "store", 7))
            finally:
                server.stop()
        assert findings == [], findings

    def damaged(self, damage):
        history = copy.copy(self.sound)
        history.states, history.ops = copy.deepcopy(self.sound.states), copy.deepcopy(self.sound.ops)
        history.followers, history.fresh = copy.copy(self.sound.followers), copy.deepcopy(self.sound.fresh)
        damage(history)
        return {finding[0] for finding in Checker(history).check()}

    @staticmethod
    def acknowledged(history, kind):
        return next(op for op in history.ops if op.kind == kind and op.outcome == "ok" and (kind != "edit" or op.base))

    def commit_of(self, history, op):
        return next(i for i, state in enumerate(history.states) if state.commit == op.reply["commit"])

    def test_a_sound_history(self):
        self.assertEqual(self.damaged(lambda history: None), set())

    def test_a_lost_edit(self):
        def damage(history):
            del history.states[self.commit_of(history, self.acknowledged(history, "edit"))]
        self.assertIn("lost", self.damaged(damage))

    def test_a_lost_last_commit(self):
        def damage(history):
            while history.states[-1].commit not in {op.reply.get("commit") for op in history.ops if op.outcome == "ok"}:
                history.states.pop()
            history.states.pop()
        self.assertLessEqual({"lost", "picture"}, self.damaged(damage))

    def test_a_write_that_is_there_twice(self):
        def damage(history):
            op = self.acknowledged(history, "insert")
            state = history.states[-1]
            later = copy.deepcopy(state)
            later.commit, later.operation = "999999-0000000000000000", "append"
            marks = op.marks
            for k, mark in enumerate(marks):
                later.order.append(900_000 + k)
                later.frames[900_000 + k] = (1, [float(mark)])
            history.states.append(later)
        self.assertIn("twice", self.damaged(damage))

    def test_a_torn_write(self):
        def damage(history):
            op = self.acknowledged(history, "edit")
            state = history.states[self.commit_of(history, op)]
            version, marks = state.frames[op.frame]
            state.frames[op.frame] = (version, marks + [0.0])
        self.assertIn("torn", self.damaged(damage))

    def test_a_stale_base(self):
        def damage(history):
            self.acknowledged(history, "edit").base -= 1
        self.assertIn("stale-base", self.damaged(damage))

    def test_a_gap(self):
        def damage(history):
            op = self.acknowledged(history, "edit")
            for state in history.states[self.commit_of(history, op):]:
                if op.frame in state.frames:
                    version, marks = state.frames[op.frame]
                    state.frames[op.frame] = (version + 1, marks)
        self.assertIn("gap", self.damaged(damage))

    def test_a_refused_write_that_got_in(self):
        def damage(history):
            op = self.acknowledged(history, "edit")
            op.outcome, op.status = "refused", 409
        self.assertIn("refused", self.damaged(damage))

    def test_a_write_of_nobody(self):
        def damage(history):
            history.ops.remove(self.acknowledged(history, "edit"))
        self.assertIn("ghost", self.damaged(damage))

    def test_a_write_before_what_was_known(self):
        def damage(history):
            ops = [op for op in history.ops if op.kind == "edit" and op.outcome == "ok"]
            ops[-1].begin, ops[-1].end = ops[0].begin - 2, ops[0].begin - 1
        self.assertIn("order", self.damaged(damage))

    def test_a_stale_fence(self):
        def damage(history):
            by_frame = {}
            for op in sorted((op for op in history.ops if op.kind == "edit" and op.outcome == "ok"), key=lambda op: self.commit_of(history, op)):
                by_frame.setdefault(op.frame, []).append(op)
            first, *_, last = max(by_frame.values(), key=len)
            first.fence, last.fence = "99999999.2", "99999999.1"
        self.assertIn("stale-fence", self.damaged(damage))

    def test_a_follower_that_missed_something(self):
        def damage(history):
            follower = copy.copy(history.followers[0])
            follower.frames = follower.frames[:-1]
            history.followers = [follower] + history.followers[1:]
        self.assertIn("picture", self.damaged(damage))

    def test_a_lost_record(self):
        def damage(history):
            key = self.acknowledged(history, "record").key
            history.fresh.records.pop(key)
        self.assertIn("records", self.damaged(damage))


if __name__ == "__main__":
    unittest.main()
