// A PouchDB that pulls a whole database into memory: `node pull.mjs <directory with node_modules> <url>`.
// Prints {"docs": …, "seconds": …}.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [, , installed, url] = process.argv;
const require = createRequire(join(installed, 'package.json'));
const PouchDB = require('pouchdb');
PouchDB.plugin(require('pouchdb-adapter-memory'));

const local = new PouchDB('bench', { adapter: 'memory' });
const started = performance.now();
const done = await local.replicate.from(url, { batch_size: 500 });
const seconds = (performance.now() - started) / 1000;
if (done.docs_written === 0) throw new Error('nothing was pulled');
console.log(JSON.stringify({ docs: done.docs_written, seconds }));
process.exit(0);
