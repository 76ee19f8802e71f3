// A client of other people's making, driven by lines on standard input; everything it hears goes to standard output, a JSON
// array a line: [event, data], ["#ack", number, answer], ["#open"], ["#closed", reason], ["#error", message].
//   node follow.mjs socketio URL [AUTH] [msgpack]     socket.io-client with default options; lines: {"emit": [name, argument], "ack": number}
//   node follow.mjs sse URL [LAST_EVENT_ID]           eventsource, as browsers have it
import { createInterface } from "node:readline";

const [kind, url, extra, parser] = process.argv.slice(2);
const say = (...line) => process.stdout.write(JSON.stringify(line) + "\n");

if (kind === "sse") {
  const { default: EventSource } = await import("eventsource");
  const source = new EventSource(url, extra ? { headers: { "Last-Event-ID": extra } } : {});
  source.onopen = () => say("#open");
  source.onerror = (error) => say("#error", error.message ?? `${error.status ?? ""}`);
  const names = ["frame_updated", "frames:invalidate", "room:update", "room:delete", "lock:update", "state:update", "frame_update",
    "presence", "resync", "dropped"];
  for (const name of names) source.addEventListener(name, (e) => say(name, JSON.parse(e.data), e.lastEventId));
} else {
  const { io } = await import("socket.io-client");
  const options = {};
  if (extra && extra !== "-") options.auth = JSON.parse(extra);
  if (parser === "msgpack") {
    options.path = "/socket.io-msgpack/";
    options.parser = (await import("socket.io-msgpack-parser")).default;
  }
  const socket = io(url, options);
  socket.on("connect", () => say("#open", socket.id));
  socket.on("disconnect", (reason) => say("#closed", reason));
  socket.on("connect_error", (error) => say("#error", error.message));
  socket.io.on("open", () => socket.io.engine.on("upgrade", (transport) => say("#upgrade", transport.name)));
  socket.onAny((name, data) => say(name, data));
  for await (const line of createInterface({ input: process.stdin })) {
    const { emit, ack, close } = JSON.parse(line);
    if (close) break;
    socket.emit(...emit, (answer) => say("#ack", ack, answer));
  }
  socket.close();
  process.exit(0);
}
