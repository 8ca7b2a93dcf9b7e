// The official client, unmodified, against the edge. Prints one JSON line per step; exits 0 when all is done.
import { io } from "socket.io-client";
import msgpackParser from "socket.io-msgpack-parser";

// Arguments: URL, transports ("default" or names joined by commas), parser ("default" or "msgpack").
const [url, transports, parser] = process.argv.slice(2);
const options = { reconnection: false, forceNew: false };
if (parser === "msgpack") options.parser = msgpackParser;
if (transports !== "default") options.transports = transports.split(",");
const say = (step, facts) => console.log(JSON.stringify({ step, ...facts }));
const once = (socket, event) => new Promise((resolve) => socket.once(event, resolve));

const root = io(url, { ...options, auth: { token: "user:mina" } });
const chat = io(`${url}/chat`, { ...options, auth: { token: "user:mina" } });
const guest = io(`${url}/streaming`, { ...options, forceNew: true });
const nowhere = io(`${url}/nowhere`, { ...options, forceNew: true });
const stolen = io(url, { ...options, forceNew: true, auth: { token: "stolen" } });

const isUpgraded = transports === "default" ? once(root.io.engine, "upgrade") : null;
const [, , , lost, refused] = await Promise.all([
  once(root, "connect"),
  once(chat, "connect"),
  once(guest, "connect"),
  once(nowhere, "connect_error"),
  once(stolen, "connect_error"),
]);
if (isUpgraded) await isUpgraded;
nowhere.disconnect();
stolen.disconnect();
say("connected", {
  transport: root.io.engine.transport.name,
  shared: root.io === chat.io,
  distinct: root.id !== chat.id,
  lost: lost.message,
  refused: refused.data,
});

const joined = await root.timeout(5000).emitWithAck("join:stream", { streamKey: "demo-stream" });
say("joined", joined);
await chat.timeout(5000).emitWithAck("chat:join-room", { liveId: "demo-stream" });

const heard = [];
chat.on("chat:message", (message) => heard.push(message.message));
for (const text of ["하나", "two", "😀", "x".repeat(70000)]) {
  const sent = once(chat, "chat:message");
  const answer = await chat.timeout(5000).emitWithAck("chat:send-message", { liveId: "demo-stream", message: text });
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  await sent;
}
say("chatted", { heard: heard.map((text) => (text.length > 100 ? text.length : text)) });
say("refused", await guest.timeout(5000).emitWithAck("user-only", {}));
say("unknown", await root.timeout(5000).emitWithAck("no:such-event", {}));
say("bytes", await root.timeout(5000).emitWithAck("bytes", { data: Buffer.from([1, 2, 3]) }));

const bytes = (value) => (value instanceof ArrayBuffer ? Buffer.from(value) : value).toString("latin1");
const mirrored = once(root, "mirrored");
const copy = await root.timeout(5000).emitWithAck("mirror", { data: Buffer.from("mirror") });
say("mirror", { heard: bytes((await mirrored).data), answer: bytes(copy.data.data) });

// heartbeats are answered by the client itself; the server's interval is 100 ms in this test
let pings = 0;
await new Promise((resolve) => root.io.on("ping", () => ++pings === 3 && resolve()));
say("alive", { connected: root.connected && chat.connected && guest.connected });

chat.disconnect();
say("left", await root.timeout(5000).emitWithAck("wait-for-leave", {}));

const gone = Promise.all([once(root, "disconnect"), once(guest, "disconnect")]);
say("ready", {});
say("gone", { reasons: await gone });
