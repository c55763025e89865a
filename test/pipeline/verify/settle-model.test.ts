import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { settle } from '../../../src/pipeline/verify/settle.ts';
import { seeded } from '../../support/workload.ts';
import { idOf, World, type Row } from './world.ts';

const names = ['a', 'b', 'c', 'd', 'e', 'f'];
/** The ones that nobody writes while they are looked at. */
const still = ['x', 'y', 'z'];
const rows: readonly Row[] = [...names, ...still].map((id) => [id, 'v0', 'L0']);

interface Drawn {
  readonly world: World;
  readonly random: () => number;
}

function draw(seed: number, keyed: boolean): Drawn {
  const random = seeded(seed);
  const options = { keyed, random, heat: 1 + Math.floor(random() * 12), slowCommits: random() < 0.5 ? 0 : random(), written: names };
  return { world: new World(options, rows), random };
}

/** Every row that there may be, and one that there never is. */
function suspects(keyed: boolean): string[] {
  const values = [null, 'v0', 'v1', 'v2', 'v3'];
  const all = [...names, ...still, 'nobody'].flatMap((id) => values.flatMap((value) => ['L0', 'L1', 'L2', 'bent'].map((large): Row => [id, value, large])));
  return [...new Set(all.map((row) => idOf(row, keyed)))];
}

const runs = 2500;

for (const keyed of [true, false]) {
  describe(`suspects ${keyed ? 'with a key' : 'without a key'}`, () => {
    test('no row of a replica that only lags is ever called different, whatever is written meanwhile', async () => {
      const sum = { commits: 0, invisibleLooks: 0 };
      for (let seed = 1; seed <= runs; seed++) {
        const { world } = draw(seed, keyed);
        const { different } = await settle(world.parts(4), suspects(keyed));
        assert.deepEqual([...different], [], `seed ${seed}`);
        sum.commits += world.counts.commits;
        sum.invisibleLooks += world.counts.invisibleLooks;
      }
      // Otherwise it was about nothing.
      assert.ok(sum.commits > 5000, `${sum.commits} commits`);
      assert.ok(sum.invisibleLooks > 500, `${sum.invisibleLooks} looks at a source that did not show yet what the replica had`);
    });

    test('a row that was bent, lost or added by hand is called different as soon as the source rests', async () => {
      for (let seed = 1; seed <= 300; seed++) {
        const { world, random } = draw(seed, keyed);
        await settle(world.parts(2), suspects(keyed));
        world.rest();
        const bent: Row = ['x', 'v0', 'bent'];
        const added: Row = ['nobody', 'v1', 'L0'];
        const kind = Math.floor(random() * 3);
        world.tamper((replica) => {
          if (kind === 2) replica.push(added);
          else replica.splice(replica.findIndex(([id]) => id === 'x'), 1, ...(kind === 0 ? [bent] : []));
        });
        const expected = kind === 2 ? [added] : kind === 1 ? [rows[6] as Row] : [rows[6] as Row, bent];
        const { different } = await settle(world.parts(1), suspects(keyed));
        assert.deepEqual([...different.keys()].toSorted(), [...new Set(expected.map((row) => idOf(row, keyed)))].toSorted(), `seed ${seed}`);
      }
    });

    test('among rows that never rest, one that was bent by hand and is not written is found and no other', async () => {
      let found = 0;
      for (let seed = 1; seed <= 300; seed++) {
        const { world } = draw(seed, keyed);
        const bent: Row = ['y', 'v0', 'bent'];
        world.tamper((replica) => void replica.splice(replica.findIndex(([id]) => id === 'y'), 1, bent));
        const { different, stuck, changing } = await settle(world.parts(8), suspects(keyed));
        const expected = [...new Set([rows[7] as Row, bent].map((row) => idOf(row, keyed)))];
        for (const id of different.keys()) assert.ok(expected.includes(id), `seed ${seed}`);
        for (const id of expected) assert.ok(different.has(id) || stuck.includes(id) || changing.includes(id), `seed ${seed}: called equal`);
        if (different.size === expected.length) found++;
      }
      assert.ok(found > 60, `${found} of 300 were found although transactions hung`);
    });
  });
}
