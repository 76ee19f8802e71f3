"""Writes Zarr v3 by the words of its specification, sharding_indexed too; compressors are numcodecs'."""
import itertools
import json
import struct
from pathlib import Path

import numcodecs
import numpy as np


def crc32c(data):
    table = crc32c.table
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _table():
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        yield i


crc32c.table = list(_table())

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
NAMES = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}


def type_name(dtype):
    return "bool" if dtype.kind == "b" else f"{NAMES[dtype.kind]}{dtype.itemsize * 8}"


def encode(chunk, codecs, fill):
    """One chunk's bytes."""
    value = chunk
    for codec in codecs:
        name, c = (codec, {}) if isinstance(codec, str) else (codec["name"], codec.get("configuration", {}))
        if name == "transpose":
            value = value.transpose(c["order"])
        elif name == "bytes":
            value = np.ascontiguousarray(value).astype(value.dtype.newbyteorder(">" if c.get("endian") == "big" else "<")).tobytes()
        elif name == "vlen-utf8":
            texts = [text.encode() for text in value.ravel()]
            value = struct.pack("<I", len(texts)) + b"".join(struct.pack("<I", len(t)) + t for t in texts)
        elif name == "sharding_indexed":
            value = shard(value, c, fill)
        elif name == "crc32c":
            value += struct.pack("<I", crc32c(value))
        elif name == "gzip":
            value = bytes(numcodecs.GZip(c.get("level", 5)).encode(value))
        elif name == "zstd":
            value = bytes(numcodecs.Zstd(c.get("level", 3)).encode(value))
        elif name == "blosc":
            shuffle = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}[c["shuffle"]]
            codec = numcodecs.Blosc(c["cname"], c["clevel"], shuffle, c.get("blocksize", 0))
            value = bytes(codec.encode(np.frombuffer(value, f"V{c['typesize']}")))
        else:
            raise ValueError(name)
    return value


def shard(array, configuration, fill):
    inner = configuration["chunk_shape"]
    at_end = configuration.get("index_location", "end") == "end"
    grid = [n // c for n, c in zip(array.shape, inner)]
    index, body = np.full(grid + [2], 2**64 - 1, "u8"), b""
    index_bytes = int(np.prod(grid)) * 16 + 4 * sum("crc32c" in str(c) for c in configuration["index_codecs"])
    # Not in the order of the index, which need not be theirs.
    for at in reversed(list(itertools.product(*map(range, grid)))):
        part = array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(at, inner))]
        if part.dtype.kind != "O" and np.array_equal(part, np.full_like(part, fill), equal_nan=part.dtype.kind in "fc"):
            continue
        data = encode(part, configuration["codecs"], fill)
        index[at] = len(body) + (0 if at_end else index_bytes), len(data)
        body += data
    encoded = encode(index, configuration["index_codecs"], None)
    assert len(encoded) == index_bytes
    return body + encoded if at_end else encoded + body


def write_group(folder, attributes=None):
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes or {}}))


def write_array(folder, array, chunks, codecs=(LITTLE,), fill=0, keys=("default", "/"), attributes=None, dimensions=None,
                skip_fill=True, **more):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = array.dtype.kind == "O"
    document = {
        "zarr_format": 3, "node_type": "array", "shape": list(array.shape),
        "data_type": "string" if text else type_name(array.dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": keys[0], "configuration": {"separator": keys[1]}},
        "fill_value": ("NaN" if fill != fill else fill), "codecs": list(codecs), "attributes": attributes or {}, **more}
    if dimensions:
        document["dimension_names"] = dimensions
    (folder / "zarr.json").write_text(json.dumps(document))
    for at in itertools.product(*(range(-(-n // c)) for n, c in zip(array.shape, chunks))):
        chunk = np.full(chunks, fill, array.dtype)
        part = array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(at, chunks))]
        chunk[tuple(slice(n) for n in part.shape)] = part
        if skip_fill and not text and np.array_equal(chunk, np.full_like(chunk, fill), equal_nan=array.dtype.kind in "fc"):
            continue
        key = keys[1].join(([] if keys[0] == "v2" else ["c"]) + [str(i) for i in at]) or "0"
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(chunk, codecs, fill))


def sharding(inner, codecs, index=(LITTLE, "crc32c"), location="end"):
    return {"name": "sharding_indexed", "configuration": {"chunk_shape": list(inner), "codecs": list(codecs),
                                                          "index_codecs": list(index), "index_location": location}}
