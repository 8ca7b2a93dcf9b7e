// A viewer with the official client: joins, chats, sees the count and a product change, and puts it into a cart.
// Arguments: edge address, stream key, token, product id. Prints one JSON line.
import { io } from "socket.io-client";

const [edge, streamKey, token, productId] = process.argv.slice(2);
const options = { auth: { token }, forceNew: true, reconnection: false };
const seen = { joined: null, history: null, messages: [], counts: [], updates: [], activity: [], refused: null };

const once = (socket, event) =>
  new Promise((resolve, reject) => {
    socket.once(event, resolve);
    socket.once("connect_error", (error) => reject(new Error(`${event}: ${error.message}`)));
    setTimeout(() => reject(new Error(`no ${event} within 10 s`)), 10_000).unref();
  });

const root = io(`${edge}/`, options);
const chat = io(`${edge}/chat`, options);
const streaming = io(`${edge}/streaming`, options);
root.on("live:product:updated", (product) => seen.updates.push(product));
root.on("cart:activity", (activity) => seen.activity.push(activity));
chat.on("chat:message", (message) => seen.messages.push(message));
streaming.on("stream:viewer:update", (update) => seen.counts.push(update));
await Promise.all([once(root, "connect"), once(chat, "connect"), once(streaming, "connect")]);

const history = once(chat, "chat:history");
const counted = once(streaming, "stream:viewer:update");
seen.joined = await root.timeout(5000).emitWithAck("join:stream", { streamKey });
await chat.timeout(5000).emitWithAck("chat:join-room", { liveId: streamKey });
seen.history = await history;
await streaming.timeout(5000).emitWithAck("stream:viewer:join", { streamKey });
await counted;

const heard = once(chat, "chat:message");
const first = await chat.timeout(5000).emitWithAck("chat:send-message", { liveId: streamKey, message: "3 < 5 <3", clientId: "c1" });
const again = await chat.timeout(5000).emitWithAck("chat:send-message", { liveId: streamKey, message: "3 < 5 <3", clientId: "c1" });
await heard;
seen.sent = first;
seen.again = again;

const updated = once(root, "live:product:updated");
const active = once(root, "cart:activity");
seen.added = await root.timeout(5000).emitWithAck("cart:add", { productId, quantity: 1, clientId: "a1" });
await Promise.all([updated, active]);
seen.refused = await root.timeout(5000).emitWithAck("cart:add", { productId, quantity: 0 });
seen.unknown = await root.timeout(5000).emitWithAck("cart:steal", {});

for (const socket of [root, chat, streaming]) socket.disconnect();
console.log(JSON.stringify(seen));
