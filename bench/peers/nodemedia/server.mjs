// The peer: node-media-server as its documentation starts it, without its console and without a log line per viewer.
// Environment: BENCH_DATA, a folder for what it keeps.
import { createServer } from "node:net";
import { once } from "node:events";
import NodeMediaServer from "node-media-server";

const say = console.log.bind(console);
console.log = () => {};

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

const [http, rtmp] = [await freePort(), await freePort()];
const server = new NodeMediaServer({
  bind: "127.0.0.1",
  store: { path: process.env.BENCH_DATA },
  http: { port: http },
  rtmp: { port: rtmp },
  webadmin: { enable: false },
});
const listening = [once(server.httpServer.httpServer, "listening"), once(server.rtmpServer.tcpServer, "listening")];
server.run();
await Promise.all(listening);
say(`ready http://127.0.0.1:${http} rtmp://127.0.0.1:${rtmp}/live`);
