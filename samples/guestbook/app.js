// The guestbook's web server: counts visits and keeps entries in redis, found by its service name.
// Plain Node without packages, so that the sample needs no build.
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');

const greeting = process.env.GREETING ?? 'Hello';

/** Sends one command in redis' own protocol and gives the parsed reply. */
function redis(...words) {
  return new Promise((done, failed) => {
    const socket = net.connect({ host: process.env.REDIS_HOST ?? 'redis', port: 6379 });
    let text = '';
    socket.setTimeout(2000, () => socket.destroy(new Error('redis does not answer')));
    socket.on('error', failed);
    socket.on('data', (data) => {
      text += data;
      const reply = parse(text);
      if (reply === undefined) return;
      socket.end();
      done(reply.value);
    });
    socket.write(
      `*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join('')}`,
    );
  });
}

/** Parses a reply that is a status, a number, a string or a flat list; undefined while incomplete. */
function parse(text) {
  const end = text.indexOf('\r\n');
  if (end < 0) return undefined;
  const head = text.slice(1, end);
  const rest = text.slice(end + 2);
  if (text[0] === '+') return { value: head, rest };
  if (text[0] === '-') return { value: new Error(head), rest };
  if (text[0] === ':') return { value: Number(head), rest };
  if (text[0] === '$') {
    const length = Number(head);
    if (length < 0) return { value: null, rest };
    if (rest.length < length + 2) return undefined;
    return { value: rest.slice(0, length), rest: rest.slice(length + 2) };
  }
  const values = [];
  let left = rest;
  for (let i = 0; i < Number(head); i++) {
    const item = parse(left);
    if (item === undefined) return undefined;
    values.push(item.value);
    left = item.rest;
  }
  return { value: values, rest: left };
}

async function answer(request) {
  const url = new URL(request.url, 'http://guestbook');
  if (url.pathname === '/healthz') return { ok: true };
  if (request.method === 'POST' && url.searchParams.has('entry')) {
    await redis('RPUSH', 'entries', url.searchParams.get('entry'));
  }
  const visits = await redis('INCR', 'visits');
  const entries = await redis('LRANGE', 'entries', '0', '-1');
  return { greeting, replica: os.hostname(), visits, entries };
}

const server = http.createServer((request, response) => {
  answer(request).then(
    (body) => {
      response.setHeader('content-type', 'application/json');
      response.end(`${JSON.stringify(body)}\n`);
    },
    (error) => {
      response.statusCode = 502;
      response.end(`${error.message}\n`);
    },
  );
});
server.listen(8000);
// As process 1 a program gets no default signal handling: without this, every stop takes 10 s.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
