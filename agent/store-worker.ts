/**
 * The thread that owns the record file (SQLite). It commits everything that has come in since the
 * last commit as one transaction; only batches with durable records are flushed to the disk. A
 * file that is damaged is moved aside, what can still be read is handed out (the replica checks
 * every signature), and peers repair the rest. A disk that is full is no damage: the file stays where
 * it is, whatever fails. A second small file, `machines.json`, keeps the
 * machine records: with them an agent whose record file was lost, or is an old copy, still knows its
 * cluster and finds its peers.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { ReplicatedRecord } from '../src/model/record.ts';
import type { StoreCommand, StoreOpened, StoreReply } from './store.ts';

interface Row {
  readonly key: string;
  readonly origin: string;
  readonly hlc: number;
  readonly schema: number;
  readonly body: Uint8Array | null;
  readonly signature: Uint8Array;
}

const tables = `
  CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY, origin TEXT NOT NULL, hlc INTEGER NOT NULL, schema INTEGER NOT NULL,
    body BLOB, signature BLOB NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
`;
const upsert = `INSERT INTO records (key, origin, hlc, schema, body, signature)
  VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET origin = excluded.origin,
  hlc = excluded.hlc, schema = excluded.schema, body = excluded.body,
  signature = excluded.signature`;
const setLastHlc = `INSERT INTO meta (name, value) VALUES ('lastHlc', ?)
  ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)`;

/** SQLite's results for a file whose content is not what was written. */
const damageCodes: ReadonlySet<number> = new Set([
  11, // CORRUPT
  26, // NOTADB
  266, // IOERR_READ: a bad sector
  522, // IOERR_SHORT_READ
  8202, // IOERR_DATA: a checksum of the file system
  8458, // IOERR_CORRUPTFS
]);
/** A page that cannot be read although SQLite says no more about it. */
class Damage extends Error {}

function isDamage(error: unknown): boolean {
  if (error instanceof Damage) return true;
  const code = sqliteCode(error);
  // All kinds of CORRUPT have it in their last byte.
  return code !== undefined && (damageCodes.has(code) || (code & 0xff) === 11);
}

/** No room for the file that SQLite keeps beside the database while it is open. */
function isFull(error: unknown): boolean {
  const code = sqliteCode(error);
  // FULL, and the kinds of IOERR for a write and for the shared index (SHMSIZE, SHMOPEN).
  return code === 13 || code === 778 || code === 4874 || code === 4618;
}

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

class RecordFile {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #upsert: StatementSync;
  readonly #delete: StatementSync;
  readonly #setLastHlc: StatementSync;

  /** @param isAlone keeps the index in memory instead of beside the file, and others out */
  constructor(path: string, isAlone = false) {
    this.#path = path;
    this.#database = new DatabaseSync(path);
    try {
      if (isAlone) this.#database.exec('PRAGMA locking_mode = EXCLUSIVE;');
      this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 2000;');
      this.#database.exec(tables);
    } catch (error) {
      this.#database.close();
      throw error;
    }
    this.#upsert = this.#database.prepare(upsert);
    this.#delete = this.#database.prepare('DELETE FROM records WHERE key = ?');
    this.#setLastHlc = this.#database.prepare(setLastHlc);
  }

  /** @throws when any page is damaged */
  check(): void {
    const result = this.#database.prepare('PRAGMA quick_check(1)').get();
    if (result?.['quick_check'] !== 'ok') {
      throw new Damage(`damaged: ${String(result?.['quick_check'])}`);
    }
  }

  /** Rows as far as they can be read. */
  rows(where = ''): { readonly rows: readonly Row[]; readonly isComplete: boolean } {
    const rows: Row[] = [];
    try {
      const statement = this.#database.prepare(
        `SELECT key, origin, hlc, schema, body, signature FROM records ${where}`,
      );
      // The columns are typed by the table; each record's signature is checked by the replica.
      for (const row of statement.iterate()) rows.push(row as unknown as Row);
      return { rows, isComplete: true };
    } catch (error) {
      if (!isDamage(error)) throw error;
      // A damaged page ends the reading; the caller reports that the file is damaged.
      return { rows, isComplete: false };
    }
  }

  lastHlc(): number {
    const row = this.#database.prepare("SELECT value FROM meta WHERE name = 'lastHlc'").get();
    return Number(row?.['value'] ?? 0);
  }

  commit(commands: readonly StoreCommand[]): void {
    const isDurable = commands.some((command) => command.isDurable);
    // FULL flushes the write-ahead log at each commit, NORMAL only at checkpoints.
    this.#database.exec(`PRAGMA synchronous = ${isDurable ? 'FULL' : 'NORMAL'}`);
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      for (const { records, forgotten, lastHlc } of commands) {
        for (const { key, origin, hlc, schema, body, signature } of records) {
          this.#upsert.run(key, origin, hlc, schema, body, signature);
        }
        for (const key of forgotten) this.#delete.run(key);
        this.#setLastHlc.run(lastHlc);
      }
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
    const isRoot = (record: ReplicatedRecord): boolean => /^[mx]\//.test(record.key);
    if (commands.some(({ records }) => records.some(isRoot))) this.#writeRoots();
  }

  #writeRoots(): void {
    const { rows } = this.rows("WHERE key GLOB 'm/*' OR key GLOB 'x/*'");
    const text = JSON.stringify(
      rows.map((row) => ({
        ...row,
        body: row.body && Buffer.from(row.body).toString('base64'),
        signature: Buffer.from(row.signature).toString('base64'),
      })),
    );
    const path = rootsPath(this.#path);
    const temporary = `${path}.new`;
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  }

  /** Takes rows that are newer than what is there, in one commit. */
  restore(rows: readonly Row[]): void {
    const known = new Map(this.rows().rows.map(({ key, hlc }) => [key, hlc]));
    const records = rows.filter(({ key, hlc }) => hlc > (known.get(key) ?? 0));
    if (records.length === 0) return;
    const lastHlc = Math.max(this.lastHlc(), ...records.map(({ hlc }) => hlc));
    this.#database.exec('BEGIN IMMEDIATE');
    for (const { key, origin, hlc, schema, body, signature } of records) {
      this.#upsert.run(key, origin, hlc, schema, body, signature);
    }
    this.#setLastHlc.run(lastHlc);
    this.#database.exec('COMMIT');
  }

  close(): void {
    this.#database.close();
  }
}

function rootsPath(path: string): string {
  return join(dirname(path), 'machines.json');
}

function readRoots(path: string): Row[] {
  if (!existsSync(rootsPath(path))) return [];
  try {
    const rows = JSON.parse(readFileSync(rootsPath(path), 'utf8')) as (Omit<
      Row,
      'body' | 'signature'
    > & { readonly body: string | null; readonly signature: string })[];
    return rows.map((row) => ({
      ...row,
      body: row.body === null ? null : new Uint8Array(Buffer.from(row.body, 'base64')),
      signature: new Uint8Array(Buffer.from(row.signature, 'base64')),
    }));
  } catch {
    // Damaged as well: then there is no memory, and the agent says that it is in no cluster.
    return [];
  }
}

/** A full disk has no room for the shared index: without one the records can be read all the same. */
function openFile(path: string): RecordFile {
  try {
    return new RecordFile(path);
  } catch (error) {
    if (!isFull(error)) throw error;
    return new RecordFile(path, true);
  }
}

function open(path: string): { readonly file: RecordFile; readonly opened: StoreOpened } {
  let salvaged: readonly Row[] = [];
  const roots = readRoots(path);
  try {
    const file = openFile(path);
    try {
      const { rows, isComplete } = file.rows();
      salvaged = rows;
      if (!isComplete) throw new Damage('a page cannot be read');
      file.check();
      file.restore(roots);
      const isLost = rows.length === 0 && roots.length > 0;
      const problem = isLost ? `${path} was missing or empty: peers will repair it` : undefined;
      return { file, opened: openedFrom(file.rows().rows, file.lastHlc(), problem) };
    } catch (error) {
      file.close();
      throw error;
    }
  } catch (error) {
    const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() === true;
    if (!isFile || !isDamage(error)) throw error;
    const aside = `${path}.damaged-${Date.now()}`;
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(`${path}${suffix}`)) renameSync(`${path}${suffix}`, `${aside}${suffix}`);
    }
    const file = new RecordFile(path);
    const why = error instanceof Error ? error.message : String(error);
    const problem = `the record file was damaged (${why}) and was moved to ${aside}`;
    file.restore([...roots, ...salvaged]);
    return { file, opened: openedFrom(file.rows().rows, file.lastHlc(), problem) };
  }
}

function openedFrom(
  rows: readonly Row[],
  lastHlc: number,
  problem: string | undefined,
): StoreOpened {
  // Rows have the shape of records; ids are checked together with the signatures.
  return { type: 'opened', records: rows as readonly ReplicatedRecord[], lastHlc, problem };
}

function run(): void {
  const port = parentPort;
  if (port === null) throw new Error('the store runs as a worker thread only');
  const { path } = workerData as { readonly path: string };
  const { file, opened } = open(path);
  port.postMessage(opened);
  port.on('message', (first: StoreCommand) => {
    const commands = [first];
    for (;;) {
      const next = receiveMessageOnPort(port) as { readonly message: StoreCommand } | undefined;
      if (next === undefined) break;
      commands.push(next.message);
    }
    let failure: string | undefined;
    try {
      file.commit(commands);
    } catch (error) {
      // Told to whoever waits for the commit; the replica decides what follows.
      failure = error instanceof Error ? error.message : String(error);
    }
    const isLast = commands.some((command) => command.isLast);
    // Closed before it is said: whoever waits may look at the file.
    if (isLast) file.close();
    for (const { id } of commands)
      port.postMessage({ type: 'done', id, failure } satisfies StoreReply);
    if (isLast) port.close();
  });
}

run();
