/**
 * Writes docs/compose-support.md: what the cluster does with each key of a Compose file, from the
 * table that `check` and `up` go by, and how many real files (the golden cases) hold a key that is
 * not simply honoured. Without the cases the figures stay as they are.
 * `--check` writes nothing and exits 1 when the table of the document is not the one of the code.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { checkSupport, loadProject } from '../src/compose/index.ts';
import { supportTable, type Verdict } from '../src/compose/support-table.ts';
import { CaseReader, loadOptionsOf } from '../test/conformance/case-project.ts';
import { casesDirectory, readCases } from '../test/conformance/compose-cases.ts';

const file = new URL('../docs/compose-support.md', import.meta.url);
const figuresTitle = '## In real files\n';

const introduction = [
  '# What the cluster does with each key of a Compose file\n',
  'Written by `node scripts/compose-support.ts` from `src/compose/support-table.ts`, the table that `tsc-compose check`',
  'and `tsc-compose up` go by. **Honoured**: does what Compose says. **Translated**: reaches the same end by other means;',
  '`up` notes it once. **Refused**: stops `up` before anything changes, unless `--ignore KEY` is given. A key that no line',
  'names is refused; `x-…` keys that are not listed are kept as they are. Editors complete and check a file that begins',
  'with `# yaml-language-server: $schema=node_modules/tsc-compose/schemas/compose.json`.\n',
].join('\n');

function table(): string {
  const rows: string[] = [];
  const honoured: string[] = [];
  for (const [path, rules] of Object.entries(supportTable)) {
    if (rules === 'members') continue;
    const isWhole = rules.length === 1 && rules[0]?.when === undefined;
    for (const { verdict, note, when } of rules) {
      if (verdict === 'honoured') {
        honoured.push(when === undefined && isWhole ? code(path) : `${code(path)} (some values)`);
        continue;
      }
      rows.push(
        `| ${code(path)} | ${verdict}${when === undefined ? '' : ', some values'} | ${note ?? ''} |`,
      );
    }
  }
  return [
    '## Translated and refused\n',
    '| key | verdict | why, and what instead |',
    '| --- | --- | --- |',
    ...rows.sort(),
    '\n## Honoured\n',
    `${[...new Set(honoured)].sort().join(', ')}.\n`,
  ].join('\n');
}

function code(path: string): string {
  return `\`${path}\``;
}

/** How many real files hold a key that is not simply honoured. */
function figures(directory: string): string {
  const files = readCases(directory, 1).filter(
    ({ group, expect: { exit } }) => group === 'a-real' && exit === 0,
  );
  const counts = new Map<string, number>();
  let refusedFileCount = 0;
  for (const real of files) {
    const { project, positions } = loadProject(loadOptionsOf(real), new CaseReader(real));
    const found = new Set<string>();
    let isRefused = false;
    for (const { keyPath, verdict } of checkSupport(project, positions)) {
      if (verdict === 'honoured') continue;
      if (verdict === 'refused') isRefused = true;
      const pattern = keyPath.map((part, i) => (i === 1 || typeof part === 'number' ? '*' : part));
      found.add(`${verdict} ${pattern.join('.')}`);
    }
    if (isRefused) refusedFileCount += 1;
    for (const key of found) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const rows = [...counts].sort(([a, left], [b, right]) => right - left || (a < b ? -1 : 1));
  const share = ((refusedFileCount / files.length) * 100).toFixed(1);
  const lines = (wanted: Verdict): readonly string[] =>
    rows.flatMap(([key, count]) => {
      const [verdict, path = ''] = key.split(' ');
      return verdict === wanted ? [`| ${count} | ${verdict} | ${code(path)} |`] : [];
    });
  return [
    figuresTitle,
    `Of ${files.length} real files that Docker Compose accepts, ${refusedFileCount} (${share} %) hold a refused key.\n`,
    '| files | verdict | key |',
    '| --- | --- | --- |',
    ...lines('refused'),
    ...lines('translated'),
    '',
  ].join('\n');
}

const before = readFileSync(file, 'utf8');
const written = `${introduction}\n${table()}\n`;
if (process.argv.includes('--check')) {
  if (before.startsWith(written)) process.exit(0);
  process.stderr.write(
    'docs/compose-support.md is out of date: run node scripts/compose-support.ts\n',
  );
  process.exit(1);
}
const directory = casesDirectory();
const old = before.slice(Math.max(0, before.indexOf(figuresTitle)));
const shown = directory === undefined ? old : figures(directory);
writeFileSync(file, written + shown);
process.stdout.write(shown);
