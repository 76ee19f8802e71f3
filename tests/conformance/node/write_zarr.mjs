// Writes a Zarr v3 hierarchy with zarrita: one array for each codec list that it writes.
//
//   node write_zarr.mjs OUT JOBS.json
//
// JOBS is a list of {name, dtype, shape, chunks, codecs (absent: zarrita's own), separator}. Element i of an array, in C order, is i % 97.
import {readFileSync} from "node:fs";
import {FileSystemStore} from "@zarrita/storage";
import * as zarr from "zarrita";

const [out, jobsPath] = process.argv.slice(2);
const root = zarr.root(new FileSystemStore(out));
await zarr.create(root, {attributes: {made: "by zarrita"}});

const ARRAYS = {
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array,
  uint64: BigUint64Array, float32: Float32Array, float64: Float64Array,
};

for (const {name, dtype, shape, chunks, codecs, separator} of JSON.parse(readFileSync(jobsPath, "utf8"))) {
  const array = await zarr.create(root.resolve(name), {dtype, shape, chunkShape: chunks, codecs, chunkSeparator: separator});
  const size = shape.reduce((a, b) => a * b, 1);
  const big = dtype.endsWith("int64");
  const data = ARRAYS[dtype].from({length: size}, (_, i) => (big ? BigInt(i % 97) : i % 97));
  const stride = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  await zarr.set(array, null, {data, shape, stride});
}
