"""Judges a run: what the clients did and were told, against the room commit by commit, as a reader sees it afterwards.

Every commit must be one client's write, done wholly, once, on what that write was based on; every acknowledged write must be
such a commit, every refused one none, and a write without a reply one or none. A finding is (class, what), of the classes
  lost         an acknowledged write is not there           twice       a write is there more than once
  ghost        a commit, or a part of one, is nobody's      torn        a write is there in part
  refused      a refused write is there                     gap         versions do not count 1, 2, ...
  stale-base   written onto another version than named      stale-fence written after a write with a higher fence
  lock-broken  another's write while a lock was held        fence-back  a fence is not greater than one before it
  order        a write took effect before one that had been acknowledged when it began
  picture      who followed events sees another room than who reads it now
  events       a follower missed an event, or got one twice
  records      state records: an acknowledged one is lost, or a version was given twice
  status       a reply that no request of these should get
"""
from collections import defaultdict
from dataclasses import dataclass, field

EXPECTED = {"edit": {200, 404, 409, 412, 423}, "insert": {201, 404, 409, 423}, "delete": {200, 404, 409, 423},
            "travel": {200, 404, 409, 423}, "record": {200, 201, 409}}


@dataclass
class State:
    """The room at a commit: ids in order, and of each its version and the marks of its values (one, unless it is torn)."""
    commit: str
    operation: str
    order: list
    frames: dict


@dataclass
class History:
    states: list            # of every commit, oldest first; the first is the room as it was before the run
    ops: list
    grants: list
    kills: list             # when the server was killed
    fresh: object           # followers.Fresh at the end
    followers: list
    versions: dict = field(default_factory=dict)  # id -> {version: mark} as the versions of a frame are read at the end


class Checker:
    def __init__(self, history):
        self.h, self.findings = history, []
        self.done = {}                     # id(op) -> index of its commit
        self.by_mark = {mark: op for op in history.ops for mark in op.marks}
        self.by_commit = {op.reply["commit"]: op for op in history.ops
                          if op.outcome == "ok" and op.kind != "record" and op.reply.get("changed", True)}
        self.fences = {}                   # target -> highest committed
        self.contents = defaultdict(dict)  # id -> {version: mark}
        self.next_id = 0

    def find(self, what, text):
        self.findings.append((what, text))

    def check(self):
        for op in self.h.ops:
            if op.outcome != "lost" and op.status not in EXPECTED[op.kind]:
                self.find("status", f"{op}")
        first = self.h.states[0]
        for frame, (version, marks) in first.frames.items():
            self.contents[frame][version] = marks[0]
        self.next_id = max(first.order, default=-1) + 1
        for index in range(1, len(self.h.states)):
            self.step(index, self.h.states[index - 1], self.h.states[index])
        for op in self.h.ops:
            if op.outcome == "ok" and op.kind != "record" and id(op) not in self.done:
                if op.reply.get("changed", True) or op.attempts == 1:
                    self.find("lost", f"{op}")
        self.real_time()
        self.exclusion()
        self.records()
        self.pictures()
        for frame, versions in self.h.versions.items():
            if versions != self.contents[frame]:
                self.find("gap", f"frame id {frame} has versions {versions}, its commits made {self.contents[frame]}")
        return self.findings

    # One commit: what it changed, whose it was, and whether that was right.

    def step(self, index, before, now):
        added = [frame for frame in now.order if frame not in before.frames]
        gone = [frame for frame in before.order if frame not in now.frames]
        changed = [frame for frame in now.order if frame in before.frames and now.frames[frame] != before.frames[frame]]
        rest = [frame for frame in now.order if frame in before.frames]
        if rest != [frame for frame in before.order if frame in now.frames]:
            self.find("ghost", f"{now.commit} put frames into another order")
        for frame in added + changed:
            if len(now.frames[frame][1]) != 1:
                self.find("torn", f"{now.commit}: frame id {frame} holds {now.frames[frame][1]}")
        if bool(added) + bool(gone) + bool(changed) != 1 or len(gone) > 1 or len(changed) > 1:
            if added or gone or changed or now.operation not in ("maintenance", "create", "compact"):
                self.find("ghost", f"{now.commit} ({now.operation}) added {added}, removed {gone}, changed {changed}")
            return
        if added:
            self.inserted(index, before, now, added)
        elif gone:
            self.removed(index, before, now, gone[0])
        else:
            self.edited(index, before, now, changed[0])

    def own(self, index, op, now, frame):
        """This commit is this op's."""
        if id(op) in self.done:
            self.find("twice", f"{op} is in {self.h.states[self.done[id(op)]].commit} and in {now.commit}")
        self.done[id(op)] = index
        if op.outcome == "refused":
            self.find("refused", f"{op} is in {now.commit}")
        if op.outcome == "ok" and op.reply.get("commit") != now.commit:
            self.find("lost", f"{op} is not in the commit that it was told, but in {now.commit}")
        if op.fence:
            target = "meta" if op.meta else frame
            if self.fences.get(target, "") > op.fence:
                self.find("stale-fence", f"{op} was written after fence {self.fences[target]}")
            self.fences[target] = max(op.fence, self.fences.get(target, ""))

    def lost_op(self, kind, frame, base=None):
        """A write without a reply that may have been this one."""
        for op in self.h.ops:
            if op.kind == kind and op.frame == frame and op.outcome == "lost" and id(op) not in self.done and base in (None, op.base):
                return op
        return None

    def inserted(self, index, before, now, added):
        marks = [now.frames[frame][1][0] for frame in added]
        op = self.by_mark.get(marks[0])
        for frame, mark in zip(added, marks):
            if now.frames[frame][0] != 1 or frame < self.next_id:
                self.find("gap", f"{now.commit}: new frame id {frame} has version {now.frames[frame][0]}; ids up to {self.next_id} were given")
            self.contents[frame][1] = mark
        self.next_id = max(added) + 1
        if op is None or op.kind != "insert":
            return self.find("ghost", f"{now.commit} inserted {marks}")
        if marks != op.marks:
            self.find("torn", f"{now.commit} inserted {marks} of {op}")
        at = now.order.index(added[0])
        behind = now.order[at + len(added)] if at + len(added) < len(now.order) else None
        if now.order[at:at + len(added)] != added or behind != op.frame:
            self.find("ghost", f"{now.commit} inserted {added} before {behind}, not as {op} said")
        self.own(index, op, now, None)

    def removed(self, index, before, now, frame):
        version = before.frames[frame][0]
        op = self.by_commit.get(now.commit) or self.lost_op("delete", frame, version)
        if op is None or op.kind != "delete" or op.frame != frame:
            return self.find("ghost", f"{now.commit} removed frame id {frame}: {op}")
        if op.base != version:
            self.find("stale-base", f"{op} removed version {version}")
        self.own(index, op, now, frame)

    def edited(self, index, before, now, frame):
        (was, _), (version, marks) = before.frames[frame], now.frames[frame]
        if version != was + 1:
            self.find("gap", f"{now.commit}: frame id {frame} went from version {was} to {version}")
        op = self.by_mark.get(marks[0])
        travelled = now.operation in ("undo", "redo")
        if travelled:
            op = self.by_commit.get(now.commit) or self.lost_op("travel", frame)
            if marks[0] not in self.contents[frame].values():
                self.find("ghost", f"{now.commit}: {now.operation} of frame id {frame} to {marks[0]}, which it never was")
        self.contents[frame][version] = marks[0]
        if op is None or op.frame != frame or op.kind != ("travel" if travelled else "edit"):
            return self.find("ghost", f"{now.commit} changed frame id {frame}: {op}")
        if op.outcome == "ok" and op.reply.get("version") != version:
            self.find("lost", f"{op} was told version {op.reply.get('version')}, and made {version}")
        if op.base is not None and op.base != was:
            self.find("stale-base", f"{op} was written onto version {was}")
        self.own(index, op, now, frame)

    # What clients saw of each other.

    def real_time(self):
        """Acknowledged writes in the order in which they could be known to have happened."""
        acknowledged = [op for op in self.h.ops if op.outcome == "ok" and id(op) in self.done]
        ended = sorted(acknowledged, key=lambda op: op.end)
        latest, at = None, 0
        for op in sorted((op for op in self.h.ops if id(op) in self.done), key=lambda op: op.begin):
            while at < len(ended) and ended[at].end < op.begin:
                if latest is None or self.done[id(ended[at])] > self.done[id(latest)]:
                    latest = ended[at]
                at += 1
            if latest is not None and latest is not op and self.done[id(latest)] > self.done[id(op)]:
                self.find("order", f"{op} came before {latest}")

    def exclusion(self):
        by_target = defaultdict(list)
        for grant in self.h.grants:
            by_target[grant.target].append(grant)
        for target, grants in by_target.items():
            for op in self.h.ops:
                touches = op.kind in ("insert", "delete") if target == "meta" else op.frame == target and op.kind != "insert"
                if not touches or op.outcome != "ok" or id(op) not in self.done:
                    continue
                for grant in grants:
                    until = min([grant.until] + [kill for kill in self.h.kills if kill > grant.asked])
                    if grant.had <= op.begin and op.end <= until and op.fence != grant.fence:
                        self.find("lock-broken", f"{op} was done while {grant} was held")
            for grant in grants:
                for other in grants:
                    if other.had < grant.asked and other.fence >= grant.fence:
                        self.find("fence-back", f"{grant} after {other}")

    def records(self):
        by_key = defaultdict(list)
        for op in self.h.ops:
            if op.kind == "record":
                by_key[op.key].append(op)
        for key, ops in by_key.items():
            kept = [op for op in ops if op.outcome == "ok"]
            versions = [op.reply["version"] for op in kept]
            version, value = self.h.fresh.records.get(key, (0, None))
            if len(set(versions)) != len(versions):
                self.find("records", f"{key}: versions {sorted(versions)} were acknowledged")
            for op in kept:
                if op.reply["version"] != op.base + 1:
                    self.find("stale-base", f"{op}")
            if version < max(versions, default=0):
                self.find("records", f"{key} is at version {version}; {max(versions)} was acknowledged")
            nobodys = set(range(1, version + 1)) - set(versions)
            if len(nobodys) > sum(op.outcome == "lost" for op in ops):
                self.find("records", f"{key}: versions {sorted(nobodys)} are nobody's")
            for op in kept:
                if op.reply["version"] == version and value != {"w": op.marks[0]}:
                    self.find("records", f"{key} holds {value}, not {op}")
            if version and version not in versions and value["w"] not in {op.marks[0] for op in ops if op.outcome == "lost"}:
                self.find("records", f"{key} holds {value}, which was refused")

    def pictures(self):
        last = self.h.states[-1]
        places = {int(state.commit.split("-")[0]): state for state in self.h.states}
        fresh = [(frame, last.frames[frame][0]) for frame in last.order]
        if self.h.fresh.frames != fresh:
            self.find("picture", f"a fresh reader sees {self.h.fresh.frames}, the last commit is {fresh}")
        for follower in self.h.followers:
            self.findings += follower.findings
            seen = []
            for frame in follower.frames:
                if frame[0] == "new" and frame[1] in places:
                    made = places[frame[1]]
                    frame = (made.order[frame[2]], made.frames[made.order[frame[2]]][0])
                seen.append(frame)
            if seen != fresh:
                self.find("picture", f"a follower ({follower.kind}) sees {seen}, the room is {fresh}")
            for what in ("locks", "records"):
                if getattr(follower, what) != getattr(self.h.fresh, what):
                    self.find("picture", f"a follower ({follower.kind}) sees {what} {getattr(follower, what)}, not {getattr(self.h.fresh, what)}")
