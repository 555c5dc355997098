// Talks to a hub through npm's `centrifuge` and prints a line of figures for each check that its arguments name. All of
// them run at once, each with channels and users of its own.
//
//     node hub.mjs '{"ws": URL, "api": URL, "port": N, "secret": S, "key": K}' CHECK...
//
// `restart` prints "kill", and goes on when it reads a line: by then another hub listens on the same port.

import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect as dial, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const CLIENT_EVENTS = ['connecting', 'connected', 'disconnected', 'subscribed', 'subscribing', 'unsubscribed'];
const SUBSCRIPTION_EVENTS = ['subscribing', 'subscribed', 'unsubscribed', 'join', 'leave', 'error'];

const [settings, ...names] = process.argv.slice(2);
const at = JSON.parse(settings);
const made = [];

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

async function until(predicate, what, milliseconds = 10_000) {
  const end = performance.now() + milliseconds;
  while (!await predicate()) {
    if (performance.now() > end) throw new Error(`${what}: not within ${milliseconds} ms`);
    await sleep(5);
  }
}

/** A JWT that lives for `ttl` seconds. */
function token(sub, { ttl = 3600, secret = at.secret, header = {}, ...claims } = {}) {
  const parts = [{ alg: 'HS256', typ: 'JWT', ...header }, { sub, exp: Math.floor(Date.now() / 1000) + ttl, ...claims }];
  const head = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`;
}

async function api(method, request) {
  const headers = { 'Content-Type': 'application/json', 'X-API-Key': at.key };
  const response = await fetch(`${at.api}/${method}`, { method: 'POST', headers, body: JSON.stringify(request) });
  const text = await response.text();
  const { result } = response.ok ? JSON.parse(text) : {};
  if (!result) throw new Error(`${method} ${JSON.stringify(request)} got ${response.status} ${text}`);
  return result;
}

const publish = (channel, data, more) => api('publish', { channel, data, ...more });

/** A client with a log of what happened to it: `[event, context]`. */
function client(user, { url = at.ws, ...options } = {}) {
  const usual = { websocket: WebSocket, minReconnectDelay: 10, maxReconnectDelay: 100, token: token(user) };
  const peer = new Centrifuge(url, { ...usual, ...options });
  peer.log = [];
  peer.got = [];
  for (const event of CLIENT_EVENTS) peer.on(event, (context) => peer.log.push([event, context]));
  peer.on('publication', (context) => peer.got.push(context));
  peer.on('error', () => {});
  made.push(peer);
  return peer;
}

async function connected(...args) {
  const peer = client(...args);
  peer.connect();
  await peer.ready();
  return peer;
}

/** A subscription with a log, and with what it got. */
function subscription(peer, channel, options = {}) {
  const sub = peer.newSubscription(channel, { minResubscribeDelay: 10, maxResubscribeDelay: 100, ...options });
  sub.log = [];
  sub.got = [];
  for (const event of SUBSCRIPTION_EVENTS) sub.on(event, (context) => sub.log.push([event, context]));
  sub.on('publication', (context) => sub.got.push(context));
  sub.subscribe();
  return sub;
}

async function subscribed(...args) {
  const sub = subscription(...args);
  await sub.ready();
  return sub;
}

const all = (log, event) => log.filter(([name]) => name === event).map(([, context]) => context);
const count = (log, event) => all(log, event).length;

/** The context of the `nth` such event, when it has happened. */
async function event(log, name, nth = 1, milliseconds = 10_000) {
  await until(() => count(log, name) >= nth, `${name} number ${nth}`, milliseconds);
  return all(log, name)[nth - 1];
}

/** The code of the error that a call ends with. */
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return error.code;
  }
  throw new Error('it was not refused');
}

/** A proxy before the hub. `cut` lets half of what comes next through, and then hangs up on everybody. */
async function proxy() {
  const pairs = new Set();
  const server = createServer((down) => {
    const up = dial(at.port, '127.0.0.1');
    const pair = { up, down, cutting: false, end: () => { up.destroy(); down.destroy(); pairs.delete(pair); } };
    pairs.add(pair);
    for (const socket of [up, down]) {
      socket.setNoDelay(true);
      socket.on('error', pair.end).on('close', pair.end);
    }
    down.on('data', (part) => up.write(part));
    up.on('data', (part) => {
      if (!pair.cutting) return down.write(part);
      return down.write(part.subarray(0, part.length / 2), pair.end);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = async () => {
    const caught = [...pairs];
    for (const pair of caught) pair.cutting = true;
    await sleep(20);
    for (const pair of caught) pair.end();
    return caught.length;
  };
  return { cut, server, url: at.ws.replace(/:\d+\//, `:${server.address().port}/`) };
}

const checks = {
  async tokens() {
    const info = { name: 'Ada', '🌊': [1, 2.5, null] };
    const peer = await connected('', { token: token('42', { info }) });
    const [{ client: id }] = all(peer.log, 'connected');
    assert.match(id, UUID);
    const sub = await subscribed(peer, 'tokens');
    const { [id]: own } = (await sub.presence()).clients;
    assert.deepEqual([own.client, own.user, own.connInfo], [id, '42', info]);
    const forged = { header: { alg: 'none' } };
    const cases = [
      ['', 101],
      ['not.a.token', 3500],
      [token('42', { secret: 'another' }), 3500],
      [token('42', forged), 3500],
      [token('42', forged).replace(/[^.]*$/, ''), 3500],
      [token('42', { header: { alg: 'RS256' } }), 3500],
      [token('42').replace(/\.[^.]*\./, `.${token('1').split('.')[1]}.`), 3500],
      [token('42', { nbf: Math.floor(Date.now() / 1000) + 60 }), 3500],
    ];
    const told = await Promise.all(cases.map(async ([text]) => {
      const refused = client('', { token: text });
      refused.connect();
      return (await event(refused.log, 'disconnected')).code;
    }));
    assert.deepEqual(told, cases.map(([, code]) => code));
    return `a token names the user; ${cases.length} that do not hold are refused (${[...new Set(told)].join(', ')})`;
  },

  async made() {
    const peer = await connected('', { token: at.made });
    const [info] = Object.values((await (await subscribed(peer, 'made')).presence()).clients);
    assert.equal(info.user, 'from the program');
    const other = await subscribed(peer, 'shut:made', { token: at.madeForChannel });
    assert.equal(count(other.log, 'subscribed'), 1);
    return 'tokens that `tidegate token` made are taken';
  },

  async expired() {
    const late = token('late', { ttl: -10 });
    const helpless = client('', { token: late });
    helpless.connect();
    assert.equal((await event(helpless.log, 'disconnected')).reason, 'unauthorized');
    const helped = client('', { token: late, getToken: async () => token('late') });
    helped.connect();
    await event(helped.log, 'connected');

    const ending = await connected('', { token: token('ending', { ttl: 2 }) });
    assert.equal((await event(ending.log, 'disconnected')).reason, 'unauthorized');
    return 'an expired token is replaced by the callback, or is the end';
  },

  async refresh() {
    let asked = 0;
    let askedForChannel = 0;
    const peer = await connected('', { getToken: async () => token('fresh', { ttl: 2, run: asked++ }), token: '' });
    const getToken = async ({ channel }) => token('fresh', { channel, ttl: 2, run: askedForChannel++ });
    const sub = await subscribed(peer, 'shut:fresh', { getToken });
    await sleep(7000);
    await publish('shut:fresh', 'still here');
    await until(() => sub.got.length === 1, 'a publication after refreshing');
    assert(asked >= 3 && askedForChannel >= 3, `asked ${asked} and ${askedForChannel} times`);
    assert.deepEqual([count(peer.log, 'connecting'), count(sub.log, 'subscribing')], [1, 1]);
    return `tokens of 2 s: ${asked} and ${askedForChannel} were asked for in 7 s, nothing was cut`;
  },

  async subscribing() {
    const peer = await connected('42');
    const options = (channel, sub = '42', more = {}) => ({ token: token(sub, { channel, ...more }) });
    const allowed = [
      ['a room', {}], ['shut:1', options('shut:1')], ['room#42', {}], ['room#7,42', {}], ['anyone:1', {}],
      ['é🌊', {}], ['x'.repeat(255), {}],
    ];
    for (const [channel, more] of allowed) await subscribed(peer, channel, more);
    const refused = [
      ['shut:2', {}, 103],
      ['shut:3', options('shut:1'), 103],
      ['shut:4', options('shut:4', '43'), 103],
      ['shut:5', options('shut:5', '42', { secret: 'another' }), 103],
      ['room#43', {}, 103],
      ['room#421', {}, 103],
      ['nowhere:1', {}, 102],
      ['x'.repeat(256), {}, 107],
    ];
    const told = await Promise.all(refused.map(async ([channel, more]) => {
      const sub = subscription(peer, channel, more);
      return (await event(sub.log, 'unsubscribed')).code;
    }));
    assert.deepEqual(told, refused.map(([, , code]) => code));
    await subscribed(await connected('first'), 'few:1');
    const second = subscription(await connected('second'), 'few:1');
    assert.equal((await event(second.log, 'unsubscribed')).code, 106);
    const codes = [...new Set(told)].join(', ');
    return `${allowed.length} channels with and without token; ${refused.length} refused by ${codes}`;
  },

  async publishing() {
    const peer = await connected('writer', { token: token('writer', { info: { n: 1 } }) });
    assert.equal(await refusal(peer.publish('publishing', 1)), 103);
    assert.equal(await refusal(peer.publish('heard:publishing', 1)), 103);
    const sub = await subscribed(peer, 'heard:publishing');
    await sub.publish({ said: true });
    await until(() => sub.got.length === 1, 'its own publication');
    const [{ client: id }] = all(peer.log, 'connected');
    const [{ data, info, offset }] = sub.got;
    assert.deepEqual([data, offset], [{ said: true }, 1]);
    assert.deepEqual([info.client, info.user, info.connInfo], [id, 'writer', { n: 1 }]);

    const open = await subscribed(peer, 'open:publishing');
    const texts = ['', 'é\u2028\0"\\\n', '🌊'.repeat(5000)];
    const values = [null, 0, -1.5e-7, true, [], {}, { a: { b: [1, { c: null }] } }, ...texts];
    for (const value of values) await peer.publish('open:publishing', value);
    await publish('open:publishing', values, { tags: { tide: 'high' } });
    await until(() => open.got.length === values.length + 1, 'all values');
    const last = open.got.pop();
    assert.deepEqual(open.got.map((each) => each.data), values);
    assert.deepEqual([last.data, last.tags, last.info], [values, { tide: 'high' }, undefined]);
    assert.equal(last.offset, values.length + 1);
    const bare = await subscribed(peer, 'bare:publishing');
    await bare.publish('no history');
    await until(() => bare.got.length === 1, 'one without history');
    assert(!bare.got[0].offset);
    return `103 unless the namespace allows it; ${values.length} values came back as they went, tags and info too`;
  },

  async presence() {
    const users = ['a', 'a', 'b'];
    const visit = async (user) => subscribed(await connected(user), 'door:p', { joinLeave: true });
    const subs = await Promise.all(users.map(visit));
    const { clients } = await subs[0].presence();
    assert.deepEqual(Object.values(clients).map(({ user }) => user).sort(), users);
    for (const [id, info] of Object.entries(clients)) assert.equal(info.client, id);
    assert.deepEqual(await subs[2].presenceStats(), { numClients: 3, numUsers: 2 });
    (await visit('c')).unsubscribe();
    const users_of = (kind) => all(subs[0].log, kind).map(({ info }) => info.user);
    await until(() => users_of('leave').includes('c'), 'a leave');
    assert(users_of('join').includes('c'));
    assert.deepEqual(await subs[0].presenceStats(), { numClients: 3, numUsers: 2 });
    const bare = await subscribed(await connected('d'), 'bare:p');
    assert.equal(await refusal(bare.presence()), 108);
    assert.equal(await refusal(bare.presenceStats()), 108);
    return 'presence of 3 clients of 2 users, joins and leaves; 108 where there is none';
  },

  async history() {
    const sub = await subscribed(await connected('reader'), 'history');
    for (const n of numbers(1, 10)) await publish('history', n);
    const read = async (options) => {
      const { publications, offset } = await sub.history(options);
      assert.equal(offset, 10);
      for (const each of publications) assert.equal(each.offset, each.data);
      return publications.map(({ data }) => data);
    };
    const { epoch } = await sub.history({ limit: 0 });
    assert(epoch.length > 0);
    const cases = [
      [{ limit: 0 }, []],
      [{ limit: -1 }, numbers(1, 10)],
      [{ limit: 3 }, [1, 2, 3]],
      [{ limit: 3, reverse: true }, [10, 9, 8]],
      [{ limit: 3, since: { offset: 5, epoch } }, [6, 7, 8]],
      [{ limit: -1, since: { offset: 10, epoch } }, []],
      [{ limit: 2, since: { offset: 5, epoch }, reverse: true }, [4, 3]],
    ];
    for (const [options, expected] of cases) assert.deepEqual(await read(options), expected, JSON.stringify(options));
    const gone = { limit: 3, since: { offset: 5, epoch: 'of another life' } };
    assert.equal(await refusal(sub.history(gone)), 112);
    const bare = await subscribed(await connected('reader'), 'bare:history');
    assert.equal(await refusal(bare.history({ limit: 1 })), 108);
    return `history in ${cases.length} ways; 112 of another epoch, 108 where there is none`;
  },

  async recovery() {
    const total = 2000;
    const between = await proxy();
    const peers = [];
    for (const n of numbers(1, 5)) peers.push(await connected(`recovery ${n}`, { url: between.url }));
    const subs = await Promise.all(peers.map((peer) => subscribed(peer, 'long:recovery')));
    const granted = token('served', { channels: ['long:recovery'] });
    const own = await connected('served', { url: between.url, token: granted });
    let sent = 0;
    let cuts = 0;
    const publisher = (async () => {
      while (sent < total) await publish('long:recovery', ++sent);
    })();
    const cutter = (async () => {
      while (sent < total) {
        await sleep(120);
        cuts += await between.cut() > 0;
      }
    })();
    await Promise.all([publisher, cutter]);
    const expected = numbers(1, total);
    for (const got of [...subs.map((sub) => sub.got), own.got]) {
      await until(() => got.at(-1)?.data === total, `${got.length} of ${total}`);
      assert.deepEqual(got.map(({ data }) => data), expected);
      assert.deepEqual(got.map(({ offset }) => offset), expected);
    }
    for (const sub of subs) {
      const [first, ...later] = all(sub.log, 'subscribed');
      assert.equal(first.wasRecovering, false);
      assert(later.length > 3, `cut only ${later.length} times`);
      assert(later.every(({ wasRecovering, recovered }) => wasRecovering && recovered));
    }
    between.server.close();
    const returns = subs.map((sub) => count(sub.log, 'subscribed') - 1);
    const told = `${total} publications to 6 clients through ${cuts} cuts (${returns.join(', ')} returns)`;
    return `${told}: each once, in order`;
  },

  async trimmed() {
    const peer = await connected('trimmed');
    const sub = await subscribed(peer, 'small:trimmed');
    await publish('small:trimmed', 0);
    await until(() => sub.got.length === 1, 'the first');
    const away = async (missed) => {
      peer.disconnect();
      for (const n of missed) await publish('small:trimmed', n);
      peer.connect();
      const told = await event(sub.log, 'subscribed', count(sub.log, 'subscribed') + 1);
      return [told.wasRecovering, told.recovered, told.streamPosition.offset];
    };
    assert.deepEqual(await away([1, 2]), [true, true, 1]);
    assert.deepEqual(await away([3, 4, 5]), [true, false, 6]);
    await publish('small:trimmed', 6);
    await until(() => sub.got.at(-1).data === 6, 'the one after');
    assert.deepEqual(sub.got.map(({ data }) => data), [0, 1, 2, 6]);
    assert.deepEqual(await away([]), [true, true, 7]);
    const since = subscription(peer, 'small:trimmed elsewhere', { since: { offset: 3, epoch: 'of another life' } });
    assert.equal((await event(since.log, 'subscribed')).recovered, false);
    return '2 missed of a history of 2 came back, of 3 missed it was told that they are gone';
  },

  async restart() {
    const peer = await connected('restarted');
    const sub = await subscribed(peer, 'long:restart');
    for (const n of [1, 2, 3]) await publish('long:restart', n);
    await until(() => sub.got.length === 3, 'three');
    const { epoch } = await sub.history({ limit: 0 });
    console.log('kill');
    await once(createInterface({ input: process.stdin }), 'line');
    const { recovered, wasRecovering, streamPosition } = await event(sub.log, 'subscribed', 2, 20_000);
    assert.deepEqual([wasRecovering, recovered], [true, false]);
    assert.notEqual(streamPosition.epoch, epoch);
    await publish('long:restart', 4);
    await until(() => sub.got.length === 4, 'the first of the new life');
    assert.deepEqual([sub.got[3].data, sub.got[3].offset], [4, 1]);
    return 'SIGKILL and a new start: a new epoch, told as not recovered';
  },

  async batch() {
    const frames = { sent: 0, received: 0 };
    class Counting extends WebSocket {
      constructor(...args) {
        super(...args);
        this.on('message', () => frames.received++);
      }

      send(...args) {
        frames.sent++;
        super.send(...args);
      }
    }
    const peer = await connected('many', { websocket: Counting });
    Object.assign(frames, { sent: 0, received: 0 });
    peer.startBatching();
    const subs = numbers(1, 100).map((n) => subscription(peer, `batch ${n}`));
    peer.stopBatching();
    await Promise.all(subs.map((sub) => sub.ready()));
    const first = { ...frames };
    assert.equal(first.sent, 1);
    assert(first.received <= 10, `${first.received} frames`);
    peer.disconnect();
    Object.assign(frames, { sent: 0, received: 0 });
    peer.connect();
    await Promise.all(subs.map((sub) => event(sub.log, 'subscribed', 2)));
    assert(subs.every((sub) => all(sub.log, 'subscribed')[1].recovered));
    const together = frames.sent;
    assert(together <= 3, `${together} frames`);
    const more = numbers(101, 128).map((n) => subscription(peer, `batch ${n}`));
    await Promise.all(more.map((sub) => sub.ready()));
    const beyond = subscription(peer, 'batch 129');
    assert.equal((await event(beyond.log, 'unsubscribed')).code, 106);
    const told = `100 subscriptions in one frame were answered in ${first.received}`;
    return `${told}, anew with a connect in ${together} sent; the 129th: 106`;
  },

  async loops() {
    const peer = await connected('loops');
    const sub = await subscribed(peer, 'loops');
    for (let n = 0; n < 200; n++) {
      sub.unsubscribe();
      sub.subscribe();
    }
    await sub.ready();
    for (let n = 0; n < 200; n++) {
      sub.unsubscribe();
      sub.subscribe();
      await sub.ready();
    }
    await publish('loops', 'once');
    await until(() => sub.got.length > 0, 'a publication');
    await sleep(100);
    assert.equal(sub.got.length, 1);
    assert.deepEqual(await sub.presenceStats(), { numClients: 1, numUsers: 1 });
    assert.equal(count(peer.log, 'connecting'), 1);
    for (let n = 0; n < 50; n++) {
      peer.disconnect();
      peer.connect();
    }
    await peer.ready();
    await sub.ready();
    await publish('loops', 'twice');
    await until(() => sub.got.length === 2, 'a publication to the last connection');
    await until(async () => (await sub.presenceStats()).numClients === 1, 'one presence');
    return '400 times unsubscribed and subscribed, 50 times disconnected: one subscription';
  },

  async rpc() {
    const peer = await connected('caller');
    assert.equal(await refusal(peer.rpc('anything', { a: 1 })), 108);
    await peer.send({ anything: true });
    assert.equal(await refusal(peer.presence('')), 107);
    assert.equal(count(peer.log, 'connecting'), 1);
    return 'rpc: 108';
  },

  async served() {
    const between = await proxy();
    const channels = ['long:served 1', 'long:served 2'];
    const peer = await connected('served user', { url: between.url, token: token('served user', { channels }) });
    await event(peer.log, 'subscribed', 2);
    for (const channel of channels) await publish(channel, channel);
    await until(() => peer.got.length === 2, 'both');
    await api('subscribe', { user: 'served user', channel: 'long:served 3' });
    assert.equal((await event(peer.log, 'subscribed', 3)).channel, 'long:served 3');
    await publish('long:served 3', 'long:served 3');
    await until(() => peer.got.length === 3, 'the third');
    assert(peer.got.every(({ channel, data }) => channel === data));

    await between.cut();
    await publish(channels[0], 'missed');
    await until(() => peer.got.length >= 4, 'what was missed');
    const returned = ({ channel, wasRecovering }) => channel === channels[0] && wasRecovering;
    const later = all(peer.log, 'subscribed').filter(returned);
    assert(later.length === 1 && later[0].recovered);

    await api('unsubscribe', { user: 'served user', channel: channels[1] });
    await until(() => all(peer.log, 'unsubscribed').some(({ channel }) => channel === channels[1]), 'an end by API');
    await publish(channels[1], 'unheard');
    const sub = await subscribed(peer, 'plain');
    await api('unsubscribe', { user: 'served user', channel: 'plain' });
    assert.equal((await event(sub.log, 'unsubscribed')).code, 2000);
    await publish('plain', 'unheard');
    await sleep(100);
    assert.deepEqual([peer.got.length, sub.got.length], [4, 0]);
    between.server.close();
    return 'server-side subscriptions by token and by API, recovered after a cut, and ended by API (2000)';
  },

  async disconnects() {
    const cases = [[3100, true], [3600, false], [4100, true], [4600, false]];
    for (const [code, returns] of cases) {
      const user = `sent away ${code}`;
      const peer = await connected(user);
      await api('disconnect', { user, disconnect: { code, reason: `go: ${code}` } });
      const told = await event(peer.log, returns ? 'connecting' : 'disconnected', returns ? 2 : 1);
      assert.deepEqual(told, { code, reason: `go: ${code}` });
      if (returns) await event(peer.log, 'connected', 2);
      else await sleep(200);
      assert.equal(count(peer.log, 'connected'), returns ? 2 : 1);
    }
    const twins = [await connected('twin'), await connected('twin'), await connected('twin')];
    const ids = twins.map((peer) => all(peer.log, 'connected')[0].client);
    await api('disconnect', { user: 'twin', client: ids[0] });
    assert.equal((await event(twins[0].log, 'disconnected')).code, 3503);
    await api('disconnect', { user: 'twin', whitelist: [ids[1]] });
    assert.equal((await event(twins[2].log, 'disconnected')).code, 3503);
    assert.equal(twins[1].state, 'connected');
    const expiring = await connected('expiring');
    await api('refresh', { user: 'expiring', expired: true });
    assert.equal((await event(expiring.log, 'connecting', 2)).code, 3005);
    return `sent away: ${cases.map(([code, returns]) => `${code} ${returns ? 'returns' : 'stays away'}`).join(', ')}`;
  },
};

async function run(name) {
  try {
    console.log(await checks[name]());
  } catch (error) {
    const where = [...error.stack.matchAll(/hub\.mjs:(\d+)/g)].map(([, line]) => line).join(' < ');
    console.error(`${name} (line ${where}): ${error.message.split('\n').slice(0, 12).join(' ')}`);
    process.exitCode = 1;
  }
}

await Promise.all(names.map(run));
for (const peer of made) peer.disconnect();
process.exit();
