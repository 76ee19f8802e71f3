// Reads arrays of Zarr hierarchies with zarrita and writes their values for the test to compare.
//
//   node read_zarr.mjs JOBS.json OUT
//
// JOBS is a list of {url (http: or file:), format: "v2" | "v3", arrays: [name], consolidated}. For array k of job j, OUT/j.k.json holds
// {shape, dtype, chunks} and OUT/j.k.bin the elements in C order (texts: a JSON list); where zarrita has no
// such data type, {skipped: why}.
import {readFileSync, writeFileSync} from "node:fs";
import {fileURLToPath} from "node:url";
import {FileSystemStore} from "@zarrita/storage";
import * as zarr from "zarrita";

const [jobsPath, out] = process.argv.slice(2);
const jobs = JSON.parse(readFileSync(jobsPath, "utf8"));

// What zarrita 0.7 has no arrays for.
const UNKNOWN = /^(complex64|complex128)$/;

function bytesOf(data) {
  if (Array.isArray(data)) return Buffer.from(JSON.stringify(data));
  if (data instanceof zarr.BoolArray) return Buffer.from(Uint8Array.from(data, Number));
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

for (const [j, job] of jobs.entries()) {
  let store = job.url.startsWith("file:") ? new FileSystemStore(fileURLToPath(job.url)) : new zarr.FetchStore(job.url);
  if (job.consolidated) store = await zarr.withConsolidatedMetadata(store, {format: job.format});
  const root = zarr.root(store);
  for (const [k, name] of job.arrays.entries()) {
    const base = `${out}/${j}.${k}`;
    let described;
    try {
      const array = await zarr.open[job.format](root.resolve(name), {kind: "array"});
      described = {shape: array.shape, dtype: array.dtype, chunks: array.chunks};
      const whole = await zarr.get(array);
      writeFileSync(`${base}.bin`, bytesOf(whole.data));
    } catch (error) {
      const dtype = described?.dtype ?? /(complex64|complex128|<c8|<c16)/.exec(String(error))?.[1];
      if (!dtype || !(UNKNOWN.test(dtype) || dtype.startsWith("<c"))) {
        throw new Error(`${job.url} ${job.format} ${name}: ${error.stack}`, {cause: error});
      }
      described = {skipped: `zarrita has no ${dtype}`};
    }
    writeFileSync(`${base}.json`, JSON.stringify(described));
  }
}
