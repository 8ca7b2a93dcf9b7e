// The peer of `bench fanout`: Socket.IO on Node with one chat room, as its documentation would have it written.
// It says the same to its viewers as Dorami's chat does, without what that also does (history, rate, order numbers).
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });

io.of("/chat").on("connection", (socket) => {
  socket.on("chat:join-room", ({ liveId }, answer) => {
    socket.join(liveId);
    answer?.({ ok: true });
  });
  let seq = 0;
  socket.on("chat:send-message", ({ liveId, message }, answer) => {
    io.of("/chat").to(liveId).emit("chat:message", {
      id: randomUUID(), liveId, userId: randomUUID(), displayName: "bench", role: "ADMIN", message,
      timestamp: new Date().toISOString(), seq: ++seq, epoch: "0123456789abcdef",
    });
    answer?.({ ok: true });
  });
});

http.listen(0, "127.0.0.1", () => console.log(`ready http://127.0.0.1:${http.address().port}`));
