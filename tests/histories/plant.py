#!/usr/bin/python3
"""Makes the source of a server with a planted bug: `plant.py NAME ROOT OUT`. The program as shipped knows nothing of this.

What is replaced must be there exactly once, so that no planted bug goes away unnoticed when the source changes.
"""
import sys
from pathlib import Path

# Locks whose memory lies: every token that ever held a target holds it still, as after a pause of its holder, or in a
# process that does not know of another's grants. The store's fences are what is left.
LYING = [
    ("/// The guard of one write.\n",
     """// Planted: every grant there ever was, by token.
std::map<std::string, EmbeddedControl::Held, std::less<>>& EveryGrant() {
  static std::map<std::string, EmbeddedControl::Held, std::less<>> grants;
  return grants;
}

/// The guard of one write.
"""),
    ("  Remember(room, owner.connection);\n  LookAt(room, granted.ends_ms);\n",
     "  EveryGrant()[token] = {target, granted.fence, std::nullopt};\n"
     "  Remember(room, owner.connection);\n  LookAt(room, granted.ends_ms);\n"),
    ("    const Lock* found = Live(*room, target);\n    if (!found) return;\n",
     "    const Lock* found = Live(*room, target);\n"
     "    if (const auto old = EveryGrant().find(token); old != EveryGrant().end() && old->second.target == target &&\n"
     "        (!found || !EqualInConstantTime(found->token, token)))\n"
     "      return held.push_back(old->second);\n"
     "    if (!found) return;\n"),
]
PLANTS = {
    "no_version_check": ("engine/src/room/room_edits.cc", [
        ("    return !bases.empty() && bases[i].version && *bases[i].version != newest;\n",
         "    return (void)newest, (void)i, false;\n")]),
    "lying_locks": ("server/src/control/embedded_control.cc", LYING),
    "no_fence_check": ("server/src/control/embedded_control.cc", LYING + [
        ("      if (highest && *highest > lock.fence) return Refuse(LockLost(lock.target));\n", "")]),
}


def main():
    name, root, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    path, changes = PLANTS[name]
    text = (root / path).read_text()
    for old, new in changes:
        if text.count(old) != 1:
            sys.exit(f"plant.py: {path} has these lines {text.count(old)} times, not once; plant '{name}' anew:\n{old}")
        text = text.replace(old, new)
    out.write_text(f'// Made by tests/histories/plant.py from {path}, with the bug {name}.\n' + text)


if __name__ == "__main__":
    main()
