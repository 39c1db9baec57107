// A tablet: a real PouchDB that holds documents and replicates them to its site database.
//
// Reads one JSON object from standard input, does what it says, prints one JSON object. Members:
//   url       the site database, login inside
//   files     NDJSON files (.gz or not) of documents to save before replicating
//   docs      documents to save: without `_rev` new ones, with `_rev` changes of saved ones
//   steps     what to do after that, in order: "push", "pull", "sync" (both ways at once), "save" (saves
//             `later`), "remove" (deletes `ids`), "get" (reads `ids`), "leaves" (every leaf of every document)
//   edits     replicated edits (with `_revisions`) to save before replicating
//   options   of the replications: `doc_ids`, `selector`, `checkpoint`, …
//   later     documents to save at the step "save"; `_rev` is taken from the tablet's own copy
//   store     a directory where the tablet keeps its documents from one run to the next; without it nowhere
//   attempts  how often a replication that fails is started again (a server may be killed meanwhile), each
//             time after a `pause` in milliseconds
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';

PouchDB.plugin(memory);

const read = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
};

async function* documents(file) {
  const raw = createReadStream(file);
  const input = file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw;
  for await (const line of createInterface({ input })) if (line.trim()) yield JSON.parse(line);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function replicate(start, attempts, denied) {
  for (let attempt = 1; ; attempt++) {
    const replication = start();
    try {
      replication.on('denied', ({ id, reason }) => denied.push({ id, reason }));
      const done = await replication;
      return { written: done.docs_written, failures: done.doc_write_failures, attempts: attempt };
    } catch (error) {
      // PouchDB goes on with one that has failed, in the background: it may set the checkpoint past documents
      // whose batch was given up, and the next attempt would begin behind them.
      replication.cancel();
      if (attempt >= attempts) throw error;
      await pause(job.pause ?? 500);
    }
  }
}

const job = JSON.parse(await read(process.stdin));
const local = job.store ? new PouchDB(job.store) : new PouchDB('tablet', { adapter: 'memory' });
const remote = new PouchDB(job.url, { skip_setup: true });
const result = { steps: [], denied: [] };

const save = async (docs) => {
  for (const row of await local.bulkDocs(docs)) if (row.error) throw new Error(`${row.id}: ${row.reason}`);
};
for (const file of job.files ?? []) {
  let batch = [];
  for await (const doc of documents(file)) {
    batch.push(doc);
    if (batch.length >= 50) { await save(batch); batch = []; }
  }
  if (batch.length) await save(batch);
}
if (job.docs?.length) await save(job.docs);
if (job.edits?.length) await local.bulkDocs(job.edits, { new_edits: false });

const everyLeaf = async () => {
  const leaves = {};
  for (const { id } of (await local.changes({ style: 'all_docs' })).results) {
    const rows = await local.get(id, { open_revs: 'all', revs: true });
    leaves[id] = [];
    for (const { ok } of rows) {
      // PouchDB inlines attachments of one revision, not of all.
      const whole = ok._attachments && !ok._deleted
        ? await local.get(id, { rev: ok._rev, revs: true, attachments: true }) : ok;
      leaves[id].push(whole);
    }
    leaves[id].sort((a, b) => (a._rev < b._rev ? -1 : 1));
  }
  return leaves;
};

const options = { batch_size: job.batch_size ?? 25, batches_limit: 2, ...job.options };
for (const step of job.steps ?? ['push']) {
  if (step === 'push') {
    const start = () => local.replicate.to(remote, options);
    result.steps.push(await replicate(start, job.attempts ?? 1, result.denied));
  } else if (step === 'pull') {
    const start = () => local.replicate.from(remote, options);
    result.steps.push(await replicate(start, job.attempts ?? 1, result.denied));
  } else if (step === 'sync') {
    const done = await local.sync(remote, options);
    result.steps.push({ pushed: done.push.docs_written, pulled: done.pull.docs_written });
  } else if (step === 'remove') {
    for (const id of job.ids) await local.remove(await local.get(id));
  } else if (step === 'leaves') {
    result.leaves = await everyLeaf();
  } else if (step === 'save') {
    const docs = [];
    for (const doc of job.later) docs.push({ ...doc, _rev: (await local.get(doc._id))._rev });
    await save(docs);
  } else if (step === 'get') {
    result.docs = [];
    for (const id of job.ids) result.docs.push(await local.get(id, { conflicts: true, attachments: true }));
  }
}
const rows = (await local.allDocs()).rows;
result.revs = Object.fromEntries(rows.map((row) => [row.id, row.value.rev]));
// A pipe takes a long answer in pieces: leave only when the last one is out.
process.stdout.write(JSON.stringify(result), () => process.exit(0));
