// Many viewers with the official client and its default options: polling first, then upgrade. Each joins, asks, leaves.
// Arguments: edge address, stream key, how many, transports ("default" or names joined by commas). Prints one JSON line.
import { io } from "socket.io-client";

const [edge, streamKey, count, transports] = process.argv.slice(2);
const options = { forceNew: true, reconnection: false };
if (transports !== "default") options.transports = transports.split(",");

async function view() {
  const socket = io(`${edge}/`, options);
  const upgraded = new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", (error) => reject(new Error(`${error.message}: ${error.description ?? ""}`)));
    setTimeout(() => reject(new Error("no connection within 20 s")), 20_000).unref();
  });
  const lost = new Promise((_, reject) => socket.once("disconnect", (reason) => reject(new Error(reason))));
  lost.catch(() => {});
  const asks = async () => {
    for (let n = 0; n < 3; n++) {
      const answer = await socket.timeout(10_000).emitWithAck("join:stream", { streamKey });
      if (!answer.ok) throw new Error(JSON.stringify(answer));
    }
    if (transports === "default") await upgraded;
    return (await socket.timeout(10_000).emitWithAck("join:stream", { streamKey })).ok;
  };
  const ok = await Promise.race([asks(), lost]);
  const facts = { ok, transport: socket.io.engine.transport.name, process: socket.io.engine.id.split(".")[0] };
  socket.disconnect();
  return facts;
}

const seen = await Promise.all(Array.from({ length: Number(count) }, view));
console.log(JSON.stringify(seen));
