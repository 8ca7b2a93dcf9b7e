// The clients of `bench reconnect --client node`: the official client, unmodified, losing its connection once.
// A plan comes as a JSON line on stdin, then {"lose": [from, to]} in seconds from then, then {"finish": true}.
// Says {"joined"}, {"took", "recovered"} for each that came back, {"done"} once all have all, and at the end {"lists"}.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const say = (facts) => process.stdout.write(JSON.stringify(facts) + "\n");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const plan = JSON.parse((await lines.next()).value);

let state = plan.seed >>> 0;
function draw() { // mulberry32
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

const clients = plan.guestTokens.map((guestToken) => {
  const auth = guestToken ? { guestToken } : {};
  const socket = io(`${plan.edge}/chat`, { auth, forceNew: true, reconnection: false, transports: ["websocket"] });
  const client = { socket, numbers: [], began: 0, isJoined: false };
  const read = ({ message }) => {
    const found = /^bench:(\d+):/.exec(message);
    return found && Number(found[1]);
  };
  socket.on("chat:message", (message) => {
    const number = read(message);
    if (number !== null) client.numbers.push(number);
    if (isDone()) tellDone();
  });
  socket.on("chat:history", (messages) => {
    const known = new Set(client.numbers);
    for (const number of messages.map(read)) if (number !== null && !known.has(number)) client.numbers.push(number);
  });
  socket.on("connect", async () => {
    const isBack = client.isJoined;
    if (isBack) say({ took: (performance.now() - client.began) / 1000, recovered: Boolean(socket.recovered) });
    if (isBack && socket.recovered) return;
    const answer = await socket.timeout(10_000).emitWithAck("chat:join-room", { liveId: plan.stream });
    if (!answer.ok) throw new Error(JSON.stringify(answer));
    client.isJoined = true;
    if (!isBack && clients.every((each) => each.isJoined)) say({ joined: clients.length });
  });
  socket.on("connect_error", (error) => {
    process.stderr.write(`${error.message}\n`);
    setTimeout(() => socket.connect(), 1000);
  });
  return client;
});

let hasToldDone = false;
const isDone = () => clients.every(({ numbers }) => numbers.length >= plan.messages);
function tellDone() {
  if (!hasToldDone) say({ done: true });
  hasToldDone = true;
}

const [from, to] = JSON.parse((await lines.next()).value).lose;
clients.forEach((client, index) => {
  setTimeout(() => {
    const { engine } = client.socket.io;
    // every other one says goodbye to the transport; the rest lose it beneath their feet
    if (index % 2) engine.close();
    else engine.transport.ws._socket.destroy();
    setTimeout(() => {
      client.began = performance.now();
      client.socket.connect();
    }, plan.gapS * 1000);
  }, (from + draw() * (to - from)) * 1000);
});

await lines.next();
say({ lists: clients.map(({ numbers }) => numbers) });
for (const { socket } of clients) socket.disconnect();
process.stdin.destroy();
