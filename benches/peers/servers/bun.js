// uWebSockets as Bun brings it: `bun servers/bun.js echo|broadcast PORT`.
//
// Bun's WebSocket server is uWebSockets with a JavaScript callback for each message. A broadcast is its publish(), which
// leaves out the sender. No compression, no idle timeout, room for slow receivers; Bun sets TCP_NODELAY by itself.
const [app, port] = process.argv.slice(2);

const handlers = {
  echo: { message: (socket, message) => void socket.send(message) },
  broadcast: {
    open: (socket) => socket.subscribe('all'),
    message: (socket, message) => void socket.publish('all', message),
  },
};

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response('WebSocket only', { status: 426 })),
  websocket: {
    ...handlers[app],
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,
    maxPayloadLength: 1 << 20,
    backpressureLimit: 16 << 20,
  },
});
