// Talks to an echo server through npm's `ws` and prints a line of figures for each check that its arguments name.
//
//     node ws.mjs URL CHECK...

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import WebSocket from 'ws';

const MIB = 1 << 20;
const SIZES = [125, 126, 65535, 65536];
const TEXTS = ['hi', '', '\0', 'naïve – 潮汐 🌊 \u{10ffff}', 'é'.repeat(MIB / 2), ...SIZES.map((n) => 'x'.repeat(n))];
const BINARIES = [Buffer.alloc(0), Buffer.from([255, 254, 0]), randomBytes(MIB), ...SIZES.map((n) => randomBytes(n))];
const FRAGMENTS = [['a', '', 'ü', '🌊', ''], Array(100).fill('x'.repeat(1000)), Array(10).fill('')];
const CLOSES = [[1000, 'done'], [1001, 'leaving – 再见'], [3000, ''], [4999, 'r'.repeat(123)]];
const PATIENCE = 10_000;

const [url, ...checks] = process.argv.slice(2);
const ca = process.env.AUTHORITY && readFileSync(process.env.AUTHORITY);

/** An open connection, which knows the header of extensions that it was answered with. */
async function connect(options = {}) {
  const usual = { perMessageDeflate: false, ca, maxPayload: 64 * MIB, handshakeTimeout: 5000 };
  const socket = new WebSocket(url, { ...usual, ...options });
  socket.on('upgrade', (response) => {
    socket.agreed = response.headers['sec-websocket-extensions'] ?? '';
  });
  await once(socket, 'open');
  return socket;
}

const within = (milliseconds) => ({ signal: AbortSignal.timeout(milliseconds) });

async function echo(socket, message, send = () => socket.send(message)) {
  const answered = once(socket, 'message', within(PATIENCE));
  send();
  const [data, isBinary] = await answered;
  assert.equal(isBinary, typeof message !== 'string', 'text comes back as text, binary as binary');
  assert.ok(Buffer.from(message).equals(data), `not the same: ${String(message).slice(0, 20)}`);
}

function inFragments(socket, parts) {
  parts.forEach((part, at) => socket.send(part, { fin: at === parts.length - 1 }));
}

async function echoes(socket) {
  for (const message of [...TEXTS, ...BINARIES]) await echo(socket, message);
  for (const parts of FRAGMENTS) await echo(socket, parts.join(''), () => inFragments(socket, parts));
  return TEXTS.length + BINARIES.length + FRAGMENTS.length;
}

async function close(socket, code, reason) {
  const closed = once(socket, 'close', within(PATIENCE));
  socket.close(code, reason);
  const [answer] = await closed;
  // A close without a code is answered by one without (which `ws` tells as 1005), or by 1000.
  const fits = answer === code || (code === undefined && [1000, 1005].includes(answer));
  assert.ok(fits, `${code} was answered by ${answer}`);
}

async function messages() {
  const socket = await connect();
  const count = await echoes(socket);
  await close(socket);
  return `${count} messages came back`;
}

async function pings() {
  const socket = await connect();
  for (const payload of ['', Buffer.from([0, 255]), 'p'.repeat(125)]) {
    const answered = once(socket, 'pong', within(PATIENCE));
    socket.ping(payload);
    assert.ok(Buffer.from(payload).equals((await answered)[0]));
  }
  await close(socket, 1000);
  return '3 pings were answered';
}

async function closes() {
  for (const [code, reason] of CLOSES) await close(await connect(), code, reason);
  return `closes answered: ${CLOSES.map(([code]) => code).join(' ')}`;
}

/** Bytes that came for the echo of `message`. */
async function cost(socket, message) {
  const before = socket._socket.bytesRead;
  await echo(socket, message);
  return socket._socket.bytesRead - before;
}

/** Every offer that `ws` can make; it checks by itself that the answer fits, and fails the connection else. */
async function deflate(mode) {
  const offers = [
    true,
    { threshold: 0 },
    { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    { threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
    { threshold: 0, serverMaxWindowBits: 12, clientMaxWindowBits: 10, clientNoContextTakeover: true },
    { threshold: 0, serverMaxWindowBits: 15, clientMaxWindowBits: 15 },
  ];
  const far = randomBytes(700).toString('hex').repeat(30); // its repeats are further apart than a window of 9 bits
  const agreed = new Set();
  let least = Infinity;
  for (const perMessageDeflate of offers) {
    const socket = await connect({ perMessageDeflate });
    const asked = perMessageDeflate.serverMaxWindowBits;
    assert.equal(socket.agreed === '', mode === 'off', `agreed: ${socket.agreed}`);
    const bits = Number(/server_max_window_bits=(\d+)/.exec(socket.agreed)?.[1]);
    if (socket.agreed && asked) assert.ok(bits <= asked, `asked for ${asked} bits: ${socket.agreed}`);
    if (mode === 'on') assert.match(socket.agreed, /server_no_context_takeover/);
    await echoes(socket);
    for (let turn = 0; turn < 3; turn++) await echo(socket, far);
    least = Math.min(least, await cost(socket, 'the same again and again '.repeat(MIB / 25)));
    await close(socket, 1000);
    agreed.add(socket.agreed);
  }
  assert.equal(least < MIB / 20, mode !== 'off');
  return `deflate ${mode}: ${agreed.size} answers to ${offers.length} offers, 1 MiB of text took ${least} bytes`;
}

async function hundred() {
  const began = performance.now();
  const sockets = await Promise.all(Array.from({ length: 100 }, () => connect()));
  await Promise.all(sockets.map(async (socket, n) => {
    for (let turn = 0; turn < 10; turn++) await echo(socket, `${n} ${turn}`);
    await close(socket, 1000);
  }));
  return `100 at once had 10 answers each in ${Math.round(performance.now() - began)} ms`;
}

/** TLS with the authority given, and without. */
async function trust() {
  const socket = await connect();
  const count = await echoes(socket);
  const version = socket._socket.getProtocol();
  await close(socket, 1000);
  const refused = await connect({ ca: undefined }).then(() => assert.fail('trusted'), (error) => error.code);
  return `wss: ${count} messages came back over ${version}; without the authority: ${refused}`;
}

/** Says that it is open, and waits for the server to end it. */
async function drain() {
  const socket = await connect();
  const closed = once(socket, 'close', within(PATIENCE));
  console.log('open');
  const [code, reason] = await closed;
  assert.equal(code, 3001);
  assert.match(String(reason), /shutting down/);
  return `SIGTERM: ${code} '${reason}'`;
}

const known = { messages, pings, closes, deflate, hundred, trust, drain };
try {
  for (const check of checks) {
    const [name, argument] = check.split(':');
    console.log(await known[name](argument));
  }
} catch (error) {
  console.error(`${error.stack}`.split('\n').slice(0, 4).join(' '));
  process.exit(1);
}
