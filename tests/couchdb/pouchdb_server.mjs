// pouchdb-server's application (express-pouchdb) on PouchDBs in memory, on a free port of the loopback interface.
//
// Prints the port. Ends with its standard input. pouchdb-server itself adds a command line, a log and a database
// on disk, for which it compiles SQLite.
import http from 'node:http';
import { createRequire } from 'node:module';

// The packages are installed for the interoperability tests.
const require = createRequire(new URL('../interop/package.json', import.meta.url));
const express = require('express');
const expressPouchDB = require('express-pouchdb');
const PouchDB = require('pouchdb');
PouchDB.plugin(require('pouchdb-adapter-memory'));

const Memory = PouchDB.defaults({ adapter: 'memory' });
const app = express();

// It knows no feeds filtered by a selector; the PouchDB below it does.
app.post('/:db/_changes', express.json({ limit: '64mb' }), async (request, response, next) => {
  if (request.query.filter !== '_selector') return next();
  const { feed = 'normal', since = '0', limit, style, timeout = '60000', include_docs } = request.query;
  const db = new Memory(request.params.db);
  const options = {
    since: since === 'now' ? 'now' : Number(since),
    style,
    include_docs: include_docs === 'true',
    selector: request.body.selector,
    ...(limit ? { limit: Number(limit) } : {}),
  };
  const found = await db.changes(options);
  if (feed !== 'longpoll' || found.results.length) return response.json(found);
  response.writeHead(200, { 'Content-Type': 'application/json' });
  const live = db.changes({ ...options, since: found.last_seq, live: true });
  let ended = false;
  const end = (results, last_seq) => {
    if (ended) return;
    ended = true;
    live.cancel();
    clearTimeout(timer);
    response.end(JSON.stringify({ results, last_seq }));
  };
  const timer = setTimeout(() => end([], found.last_seq), Number(timeout));
  live.on('change', (row) => end([row], row.seq));
  request.on('close', () => end([], found.last_seq));
});
app.use('/', expressPouchDB(Memory, { inMemoryConfig: true, mode: 'minimumForPouchDB' }));

const server = http.createServer(app);
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
process.stdin.resume().on('end', () => process.exit(0));
