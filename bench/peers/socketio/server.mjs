// The peer: Socket.IO on Node with one chat room and one broadcast, as its documentation would have it written.
// It says the same to its viewers as Dorami does, without what that also does (history, rate, order numbers).
// Environment: BENCH_SNAPSHOT, what `join:stream` is answered with (JSON); BENCH_RECOVERY=1, with connection state
// recovery as long as Dorami's.
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { Server } from "socket.io";

const snapshot = JSON.parse(process.env.BENCH_SNAPSHOT ?? "{}");
const recovery = { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } };

const http = createServer();
const io = new Server(http, { perMessageDeflate: false, ...(process.env.BENCH_RECOVERY === "1" ? recovery : {}) });

io.on("connection", (socket) => {
  socket.on("join:stream", ({ streamKey }, answer) => {
    socket.join(streamKey);
    answer?.({ ok: true, data: snapshot });
  });
});

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
