// Headless Chromium talks to echo servers, and a line of figures is printed for each thing that holds.
//
//     node browser.mjs '{"chromium": PROGRAM, "profile": FOLDER, "pagePort": N, "allowing": N, "own": N, "tls": N}'
//
// Pages come from http://localhost:pagePort. The server on port `allowing` allows that origin, `own` allows none but
// its own pages, and `tls` speaks TLS.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

const { chromium: executablePath, profile, pagePort, allowing, own, tls } = JSON.parse(process.argv[2]);

/** Runs in the page: everything it does with WebSockets. */
function talk() {
  const MIB = 1 << 20;
  const patience = (promise, what) => Promise.race([
    promise,
    new Promise((_, fail) => setTimeout(() => fail(new Error(`${what}: nothing for 10 s`)), 10_000)),
  ]);
  const next = (socket, event) => {
    const fired = new Promise((resolve) => socket.addEventListener(event, resolve, { once: true }));
    return patience(fired, event);
  };

  window.connect = async (url) => {
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    const opened = await Promise.race([next(socket, 'open'), next(socket, 'close')]);
    return opened.type === 'open' ? socket : opened;
  };

  window.echoes = async (url) => {
    const socket = await connect(url);
    if (!(socket instanceof WebSocket)) throw new Error(`not open: ${socket.code}`);
    const noise = new Uint8Array(MIB);
    for (let at = 0; at < MIB; at += 65536) crypto.getRandomValues(noise.subarray(at, at + 65536));
    const sizes = [125, 126, 65535, 65536];
    const texts = ['hi', '', 'naïve – 潮汐 🌊 \u{10ffff}', 'é'.repeat(MIB / 2), ...sizes.map((n) => 'x'.repeat(n))];
    const binaries = [[], [255, 254, 0]].map((bytes) => new Uint8Array(bytes));
    binaries.push(noise, ...sizes.map((n) => noise.subarray(0, n)));
    for (const text of texts) {
      socket.send(text);
      const { data } = await next(socket, 'message');
      if (data !== text) throw new Error(`not the same text: ${String(data).slice(0, 20)}`);
    }
    for (const binary of [...binaries, new Blob([noise])]) {
      socket.send(binary);
      const { data } = await next(socket, 'message');
      const expected = binary instanceof Blob ? noise : binary;
      const same = data instanceof ArrayBuffer && data.byteLength === expected.length
        && new Uint8Array(data).every((byte, at) => byte === expected[at]);
      if (!same) throw new Error(`not the same ${expected.length} bytes`);
    }
    socket.close();
    const { wasClean } = await next(socket, 'close');
    if (!wasClean) throw new Error('the close was not clean');
    return { count: texts.length + binaries.length + 1, extensions: socket.extensions };
  };

  window.close_with = async (url, code, reason) => {
    const socket = await connect(url);
    socket.close(code, reason);
    const event = await next(socket, 'close');
    return { code: event.code, wasClean: event.wasClean };
  };

  window.eight = async (url) => {
    const began = performance.now();
    const sockets = await Promise.all(Array.from({ length: 8 }, () => connect(url)));
    await Promise.all(sockets.map(async (socket, n) => {
      socket.send(`number ${n}`);
      if ((await next(socket, 'message')).data !== `number ${n}`) throw new Error('not its own');
      socket.close(1000);
      await next(socket, 'close');
    }));
    return Math.round(performance.now() - began);
  };

  window.await_end = async (url) => {
    const socket = await connect(url);
    window.ended = next(socket, 'close').then(({ code, reason, wasClean }) => ({ code, reason, wasClean }));
  };
}

async function refused(page, url) {
  const predicate = (message) => message.text().includes('WebSocket');
  const told = page.waitForEvent('console', { predicate, timeout: 5000 });
  const event = await page.evaluate(async (url) => {
    const { type, code } = await connect(url);
    return { type, code };
  }, url);
  assert.deepEqual(event, { type: 'close', code: 1006 });
  const text = (await told).text();
  assert.match(text, /\b403\b/);
  return `from ${new URL(page.url()).origin}: 403`;
}

async function visit(page, url) {
  const response = await page.goto(url);
  assert.equal(response.status(), 200, url);
  await page.evaluate(talk);
}

async function run(page) {
  const gateway = `ws://127.0.0.1:${allowing}/any/path`;
  await visit(page, `http://localhost:${pagePort}/`);
  const { count, extensions } = await page.evaluate((url) => echoes(url), gateway);
  assert.match(extensions, /^permessage-deflate\b/);
  console.log(`Chromium ${page.context().browser()?.version() ?? ''}: ${count} messages came back, ${extensions}`);
  console.log(`8 at once were answered in ${await page.evaluate((url) => eight(url), gateway)} ms`);

  const asked = [[1000, 'done'], [3000, ''], [4999, '再见'.repeat(20)]];
  for (const [code, reason] of asked) {
    const answer = await page.evaluate((args) => close_with(...args), [gateway, code, reason]);
    assert.deepEqual(answer, { code, wasClean: true });
  }
  console.log(`its closes ${asked.map(([code]) => code).join(' ')} were answered, clean`);

  const refusals = [await refused(page, `ws://127.0.0.1:${own}/`)];
  await visit(page, `http://127.0.0.1:${pagePort}/`);
  refusals.push(await refused(page, gateway));
  console.log(`foreign origins are refused: ${refusals.join(', ')}`);
  await visit(page, `http://127.0.0.1:${own}/health`);
  await page.evaluate((url) => echoes(url), `ws://127.0.0.1:${own}/`);
  console.log('its own page is not');

  await visit(page, `https://localhost:${tls}/health`);
  const through = await page.evaluate((url) => echoes(url), `wss://localhost:${tls}/`);
  console.log(`wss: ${through.count} messages came back`);

  await visit(page, `http://localhost:${pagePort}/`);
  await page.evaluate((url) => await_end(url), gateway);
  console.log('open');
  const { code, reason, wasClean } = await page.evaluate(() => window.ended);
  assert.deepEqual([code, wasClean], [3001, true]);
  assert.match(reason, /shutting down/);
  console.log(`SIGTERM: ${code} '${reason}', clean`);
}

const pages = createServer((_, response) => {
  response.writeHead(200, { 'Content-Type': 'text/html' });
  response.end('<!doctype html><link rel="icon" href="data:,"><title>tide</title>');
});
await new Promise((listening) => pages.listen(pagePort, listening));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  ignoreHTTPSErrors: true,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-proxy-server',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});
try {
  await run(context.pages()[0] ?? await context.newPage());
} catch (error) {
  console.log(`FAILED: ${error.stack.split('\n').slice(0, 6).join(' ')}`);
  process.exitCode = 1;
} finally {
  await context.close();
  pages.close();
}
