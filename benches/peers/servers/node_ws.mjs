// npm's ws on Node: `node servers/node_ws.mjs echo|broadcast PORT`.
//
// No compression; ws sets TCP_NODELAY by itself. A broadcast walks the server's set of clients, as its documentation does.
import { WebSocket, WebSocketServer } from 'ws';

const [app, port] = process.argv.slice(2);
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(port),
  backlog: 4096,
  perMessageDeflate: false,
  maxPayload: 1 << 20,
});

const handlers = {
  echo: (socket, message, binary) => socket.send(message, { binary }),
  broadcast: (socket, message, binary) => {
    for (const other of server.clients)
      if (other !== socket && other.readyState === WebSocket.OPEN) other.send(message, { binary });
  },
};

server.on('connection', (socket) => {
  socket.on('error', () => {}); // a reset by the load
  socket.on('message', (message, binary) => handlers[app](socket, message, binary));
});
