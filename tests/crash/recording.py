"""What a program did to the files of a folder, as shim.cc recorded it, and the disks that a power cut may leave of it.

A disk keeps what was synced: a file's bytes by fsync or fdatasync of the file, a name by fsync of its directory. Of the rest
any part may be there: writes, in any order and each torn at 512 bytes; sizes without the bytes; names.
"""
import os
import shutil
import struct
from pathlib import Path

WRITE, TRUNCATE, EXTEND, SYNC_BEGIN, SYNC_END, CREATE, RENAME, LINK, UNLINK, MAKE_DIRECTORY, MAPPED, ACKNOWLEDGE = range(1, 13)
HEAD = struct.Struct("<IIIIQQQ")
SECTOR = 512


class Recording:
    """The events, and the tree before them."""

    def __init__(self, folder):
        self.tree = {}  # inode -> {name: inode} of a directory, bytes of a file
        self.root = os.stat(folder).st_ino
        self.scan(Path(folder))
        self.events, self.code = [], None

    def scan(self, folder):
        entries = self.tree[os.stat(folder).st_ino] = {}
        for entry in os.scandir(folder):
            entries[entry.name] = entry.inode()
            if entry.is_dir(follow_symlinks=False):
                self.scan(Path(entry.path))
            else:
                self.tree[entry.inode()] = Path(entry.path).read_bytes()

    def read(self, path):
        data, at = Path(path).read_bytes(), 0
        while at < len(data):
            event, first, second, size, file, other, offset = HEAD.unpack_from(data, at)
            at += HEAD.size
            names = data[at:at + first].decode(), data[at + first:at + first + second].decode()
            at += first + second
            self.events.append((event, file, other, offset, names, data[at:at + size]))
            at += size


class File:
    def __init__(self, data=b""):
        self.durable, self.pending = bytearray(data), []


class Disk:
    """The state of a disk after some of the events: what is durable, and what may be."""

    def __init__(self, recording):
        self.files, self.directories = {}, {}
        # Inodes are used again: what a number stands for today.
        self.today = {inode: inode for inode in recording.tree}
        for inode, node in recording.tree.items():
            if isinstance(node, dict):
                self.directories[inode] = dict(node)
            else:
                self.files[inode] = File(node)
        self.root, self.made = recording.root, 0
        self.names = []  # changes of names that may not be durable: (event, {(directory, name): node or None})
        self.now = {key: dict(entries) for key, entries in self.directories.items()}  # as a running system sees them
        self.syncs = {}
        self.acks = []

    def new(self, inode):
        self.made += 1
        self.today[inode] = node = (inode, self.made)
        return node

    def change(self, event, entries):
        self.names.append((event, entries))
        for (directory, name), node in entries.items():
            if node is None:
                self.now[directory].pop(name, None)
            else:
                self.now[directory][name] = node

    def apply(self, number, event):
        kind, inode, other, offset, (name, second), data = event
        if kind == ACKNOWLEDGE:
            self.acks.append(name)
            return
        node = self.today.get(inode)
        if node is None:
            return
        if kind in (WRITE, MAPPED, TRUNCATE, EXTEND):
            if node in self.files:  # not one without a name
                self.files[node].pending.append((number, kind, offset, data))
        elif kind == SYNC_BEGIN:
            self.syncs[offset] = number
        elif kind == SYNC_END:
            self.sync(node, self.syncs.pop(offset))
        elif kind == CREATE:
            made = self.new(other)
            self.files[made] = File()
            self.change(number, {(node, name): made})
        elif kind == MAKE_DIRECTORY:
            made = self.new(other)
            self.directories[made], self.now[made] = {}, {}
            self.change(number, {(node, name): made})
        elif kind == LINK:
            self.change(number, {(node, name): self.today[other]})
        elif kind == UNLINK:
            self.change(number, {(node, name): None})
        elif kind == RENAME:
            to, moved = self.today[other], self.now[node][name]
            entries = {(node, name): None, (to, second): moved}
            if offset == 2:  # RENAME_EXCHANGE
                entries[node, name] = self.now[to][second]
            self.change(number, entries)

    def sync(self, node, begun):
        if node in self.files:
            file = self.files[node]
            for change in file.pending:
                if change[0] < begun:
                    put(file.durable, change)
            file.pending = [change for change in file.pending if change[0] > begun]
            return
        keep, entries = [], {}
        wanted = [number < begun and any(directory == node for directory, _ in changed) for number, changed in self.names]
        # A change of a name brings those of the same name before it.
        for at in range(len(wanted) - 1, -1, -1):
            if wanted[at]:
                for before in range(at):
                    wanted[before] |= not self.names[before][1].keys().isdisjoint(self.names[at][1])
        for change, durable in zip(self.names, wanted):
            if durable:
                entries.update(change[1])
            else:
                keep.append(change)
        self.names = keep
        set_names(self.directories, entries)

    def image(self, folder, rng):
        """Makes one of the disks that may be left: `folder` must not be there."""
        style = rng.choice(("nothing", "names", "data", "everything", "some", "some", "some", "torn", "torn", "torn"))
        part = rng.choice((0.1, 0.5, 0.9))
        keeps_name = {"nothing": 0, "data": 0, "names": 1, "everything": 1}.get(style, part)
        directories = {key: dict(entries) for key, entries in self.directories.items()}
        left_out = set()
        for _, entries in self.names:
            # Changes of one name stay in their order; of several names, any may be missing.
            if left_out.isdisjoint(entries) and rng.random() < keeps_name:
                set_names(directories, entries)
            else:
                left_out.update(entries)
        self.lay_out(Path(folder), self.root, directories, lambda file: bytes_of(file, style, part, rng))
        return style

    def lay_out(self, path, node, directories, content):
        path.mkdir()
        for name, child in directories[node].items():
            if child in directories:
                self.lay_out(path / name, child, directories, content)
            else:
                (path / name).write_bytes(content(self.files[child]))


def set_names(directories, entries):
    for (directory, name), node in entries.items():
        if node is None:
            directories[directory].pop(name, None)
        else:
            directories[directory][name] = node


def put(data, change):
    _, kind, offset, content = change
    if kind == TRUNCATE:
        del data[offset:]
    if kind in (TRUNCATE, EXTEND):
        data.extend(bytes(max(0, offset - len(data))))
        return
    data.extend(bytes(max(0, offset - len(data))))
    data[offset:offset + len(content)] = content


def bytes_of(file, style, part, rng):
    if not file.pending or style in ("nothing", "names"):
        return file.durable
    data = bytearray(file.durable)
    if style in ("data", "everything"):
        for change in file.pending:
            put(data, change)
        return data
    chosen = []
    for change in file.pending:
        number, kind, offset, content = change
        if style == "torn" and kind in (WRITE, MAPPED):
            # Sectors are whole; they lie at multiples of 512 of the file.
            at = 0
            while at < len(content):
                end = min(len(content), (offset + at) // SECTOR * SECTOR + SECTOR - offset)
                if rng.random() < part:
                    chosen.append((number, kind, offset + at, content[at:end]))
                at = end
        elif rng.random() < part:
            chosen.append(change)
    if all(kind in (WRITE, MAPPED) for _, kind, _, _ in file.pending):
        rng.shuffle(chosen)
    for change in chosen:
        put(data, change)
    if rng.random() < 0.3:  # the size came through, not the bytes
        whole = bytearray(file.durable)
        for change in file.pending:
            put(whole, change)
        data.extend(bytes(max(0, len(whole) - len(data))))
    return data


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
