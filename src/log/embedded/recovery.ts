import { closeSync, fdatasyncSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { syncDirectory, syncPaths, writeAll } from './durable-files.ts';
import { damaged } from './fs-errors.ts';
import { Journal, removeJournal } from './journal.ts';
import { FrameWriter, frameSeed, readFrame, readReplace, readTable, writeTable, type PartitionState } from './journal-format.ts';
import { forEachFrame, scanJournals, type JournalScan } from './journal-scan.ts';
import { UNFINISHED, journalName, journalsPath, numberOf, topicsPath } from './layout.ts';
import { entries, readTopics } from './manifest.ts';
import { checkState } from './recovery-check.ts';
import { TopicFiles } from './recovery-redo.ts';
import { isMarkedDeleted, removeTopic, unmarkDeleted } from './topic-files.ts';

/** What opening a log for writing found and did. */
export interface RecoveryReport {
  /** Groups that were written to the topic files again. */
  readonly redone: number;
  /** Bytes of a group at the journal's end that was never acknowledged, and is gone. */
  readonly dropped: number;
  /** Bytes in topic files behind what the journal knows, that are gone. */
  readonly cut: number;
}

export interface Recovered {
  readonly journal: Journal;
  readonly states: readonly PartitionState[];
  readonly report: RecoveryReport;
}

/**
 * Brings the topic files to where the journal says they are. First everything is read and checked, and only then anything
 * is changed: damage leaves the folder as it was. Whole frames are done again; a torn one at the end is dropped; whatever a
 * topic file has beyond is cut. Then the files are synced and a new journal is begun.
 */
export async function recover(directory: string, logId: string): Promise<Recovered> {
  await removeUnfinished(directory);
  const journals = journalsPath(directory);
  const seed = frameSeed(logId);
  const files = entries(journals)
    .map((name) => numberOf(name, '.journal'))
    .filter((number) => number !== undefined)
    .toSorted((a, b) => a - b);
  const topics = new TopicFiles(directory, [...readTopics(directory).values()]);
  try {
    if (files.length === 0) return { journal: await firstJournal(directory, seed, topics), states: [], report: { redone: 0, dropped: 0, cut: 0 } };
    const scan = scanJournals(journals, files, seed);
    forEachFrame(scan.frames.slice(0, 1), seed, (frame) => topics.begin(readTable(frame.payload)));
    forEachFrame(scan.frames.filter(({ kind }) => kind === 'trim'), seed, (frame) => topics.expectTrim(frame));
    forEachFrame(scan.frames.filter(({ kind }) => kind === 'replace'), seed, (frame) => topics.replacements.expect(readReplace(frame.payload)));
    topics.replacements.check();
    for (const state of topics.states) if (topics.isKept(state)) checkState(directory, logId, state);
    return await redo({ directory, journals, seed, scan, topics });
  } finally {
    topics.close();
  }
}

interface Redo {
  readonly directory: string;
  readonly journals: string;
  readonly seed: number;
  readonly scan: JournalScan;
  readonly topics: TopicFiles;
}

async function redo({ directory, journals, seed, scan, topics }: Redo): Promise<Recovered> {
  settleLastFrame(journals, scan, seed);
  const frames = scan.frames.filter(({ kind }) => kind !== 'table');
  forEachFrame(frames, seed, (frame, at) => topics.redo(frame, at));
  topics.finish();
  await settleDeletions(directory, topics);
  const number = scan.files.at(-1) ?? 0;
  const report = { redone: frames.length, dropped: scan.tornBytes, cut: topics.cutBytes };
  if (frames.length === 0 && scan.files.length === 1 && topics.touched.size === 0) {
    const journal = new Journal(journals, { number, size: scan.end, sequence: scan.sequence });
    return { journal, states: topics.states, report };
  }
  await syncPaths(topics.touched);
  const table = writeTable(new FrameWriter(seed), topics.states, scan.sequence);
  const journal = await Journal.create(journals, number + 1, { frame: table, sequence: scan.sequence });
  for (const old of scan.files) await removeJournal(journals, join(journals, journalName(old)));
  return { journal, states: topics.states, report };
}

/**
 * Cuts a torn frame off and makes sure that the last whole one is on the disk before a reader may see it: the process may
 * have died between its write and its sync. It is written once more, because after a failed sync the page cache holds pages
 * as clean that never reached the disk, and syncing them again would succeed without doing anything.
 */
function settleLastFrame(journals: string, scan: JournalScan, seed: number): void {
  const last = scan.frames.at(-1);
  if (last === undefined || (last.kind === 'table' && scan.tornBytes === 0)) return;
  const path = join(journals, journalName(scan.files.at(-1) ?? 0));
  const fd = openSync(path, 'r+');
  try {
    ftruncateSync(fd, scan.end);
    if (last.kind !== 'table') rewrite(fd, last.at, scan.end);
    fdatasyncSync(fd);
    const frame = readFrame({ fd, path, seed, fileSize: scan.end }, last.at);
    if (typeof frame === 'string') throw damaged(path, last.at, frame);
  } finally {
    closeSync(fd);
  }
}

function rewrite(fd: number, from: number, to: number): void {
  const bytes = Buffer.allocUnsafeSlow(to - from);
  readSync(fd, bytes, 0, bytes.length, from);
  writeAll(fd, bytes, from);
}

async function firstJournal(directory: string, seed: number, topics: TopicFiles): Promise<Journal> {
  const leftover = topics.anySegment();
  // Without the journal nobody can tell what was durable.
  if (leftover !== undefined) throw damaged(journalsPath(directory), 0, `there is no journal, but ${leftover} has records`);
  await syncDirectory(directory);
  return Journal.create(journalsPath(directory), 0, { frame: writeTable(new FrameWriter(seed), [], 0), sequence: 0 });
}

/** A topic that was being deleted goes once the journal knows nothing of it; else its deletion had not got that far, and comes to nothing. */
async function settleDeletions(directory: string, topics: TopicFiles): Promise<void> {
  const known = new Set(topics.states.map(({ topic }) => topic));
  for (const { topic } of readTopics(directory).values()) {
    if (!isMarkedDeleted(directory, topic)) continue;
    if (known.has(topic)) await unmarkDeleted(directory, topic);
    else await removeTopic(directory, topic);
  }
}

/** Files and topics that a crash left half made. */
async function removeUnfinished(directory: string): Promise<void> {
  for (const parent of [directory, journalsPath(directory), topicsPath(directory)]) {
    for (const name of entries(parent)) {
      if (name.startsWith(UNFINISHED)) await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

