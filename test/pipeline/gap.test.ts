import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndRecord, StartRecord } from '../../src/pipeline/control-records.ts';
import { findGap } from '../../src/pipeline/gap.ts';
import type { SourceServer } from '../../src/source/source.ts';

const server: SourceServer = {
  systemIdentifier: '7', timeline: 3, timelineSwitch: 0x500n, slot: 'tailrace_shop', confirmedFlush: 0x1000n, walFlushed: 0x2000n, slotCreated: false, database: 'shop',
};
const start: StartRecord = {
  type: 'start', logId: 'x', epoch: 4, startId: 'aa', systemIdentifier: '7', timeline: 3, slot: 'tailrace_shop', tables: [], continues: null, gap: null,
};
const place = { epoch: 4, commitLsn: 0xfd0n };
const end: EndRecord = { type: 'end', startId: 'aa', ...place, endLsn: 0x1000n, commitTime: 0n, previous: place, parts: [], snapshot: null };

interface Case {
  readonly server?: Partial<SourceServer>;
  readonly start?: Partial<StartRecord> | null;
  readonly end?: Partial<EndRecord> | null;
  readonly gap: RegExp | null;
}

const cases: Record<string, Case> = {
  'a slot that stands where the last END ends goes on': { gap: null },
  'a slot that stands before the last END goes on: what is sent again is passed over': { server: { confirmedFlush: 0x10n }, gap: null },
  'a log without a START has nothing that could be missing': { server: { confirmedFlush: 0x9000n }, start: null, end: null, gap: null },
  'a log without an END has nothing that could be missing': { server: { confirmedFlush: 0x9000n }, end: null, gap: null },
  'a slot one byte past the last END is a gap of one byte': { server: { confirmedFlush: 0x1001n }, gap: /advanced or made anew by somebody else: it starts at 0\/1001, the log ends at 0\/1000, so 1 bytes of WAL/ },
  'a slot that had to be made anew is a gap, and says so': { server: { confirmedFlush: 0x1800n, slotCreated: true }, gap: /was missing and has been made anew.* 2048 bytes/ },
  'another slot than the one before is named where it starts later': { server: { slot: 'theirs', confirmedFlush: 0x1800n }, gap: /written from the slot tailrace_shop, this is the slot theirs: it starts at .* 2048 bytes/ },
  'another slot than the one before that starts early enough goes on': { server: { slot: 'theirs', confirmedFlush: 0x800n }, gap: null },
  'another system identifier is a gap, however the LSNs stand': { server: { systemIdentifier: '8', confirmedFlush: 0x10n }, gap: /system identifier 7, this one is 8/ },
  'an older timeline is a gap': { server: { timeline: 2 }, gap: /on timeline 2, the log has seen timeline 3/ },
  'a server whose WAL ends before the last END was set back': { server: { walFlushed: 0xfffn }, gap: /WAL ends at 0\/FFF, before the log's last position 0\/1000/ },
  'a server whose WAL ends with the last END is none': { server: { walFlushed: 0x1000n }, gap: null },
  'a newer timeline that branched off behind the last commit goes on': { server: { timeline: 4, timelineSwitch: 0xfe0n, confirmedFlush: 0xfd0n }, gap: null },
  'a newer timeline that branched off behind the last END goes on': { server: { timeline: 4, timelineSwitch: 0x1400n }, gap: null },
  'after a change of timeline the commit LSN is compared, not the end LSN: neither the slot nor the WAL need reach the old end':
    { server: { timeline: 4, timelineSwitch: 0xfe0n, confirmedFlush: 0xfe0n, walFlushed: 0xff0n }, gap: null },
  'a newer timeline that branched off before the last commit is a gap': { server: { timeline: 4, timelineSwitch: 0xfc0n }, gap: /timeline 4 at 0\/FC0.*committed at 0\/FD0/ },
  'a commit record that begins at the branch is not on the new timeline': { server: { timeline: 4, timelineSwitch: 0xfd0n }, gap: /timeline 4 at 0\/FD0/ },
  'a slot past the branch has passed over what the new timeline has there': { server: { timeline: 4, timelineSwitch: 0xfe0n, confirmedFlush: 0xff0n }, gap: /starts at 0\/FF0, the log ends at 0\/FE0/ },
  'a newer timeline that does not say where it branched off is a gap: nobody can tell what it has': { server: { timeline: 4, timelineSwitch: undefined }, gap: /timeline 4/ },
  'a START behind a gap that never got its END is that gap still': { start: { gap: 'something was missing', startId: 'bb' }, gap: /something was missing/ },
  'a START behind a gap that has its END is over it': { start: { gap: 'something was missing' }, gap: null },
};

for (const [title, { gap, ...given }] of Object.entries(cases)) {
  test(`gap: ${title}`, () => {
    const found = findGap(
      { ...server, ...given.server },
      given.start === null ? null : { ...start, ...given.start },
      given.end === null ? null : { ...end, ...given.end },
    );
    if (gap === null) assert.equal(found, null);
    else assert.match(found ?? 'no gap', gap);
  });
}
