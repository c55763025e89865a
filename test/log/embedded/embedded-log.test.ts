import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import { logContract } from '../../contract/log.ts';
import { tempDirectory } from '../../support/temp.ts';

// Small segments and a small journal, so that every test rolls and rotates.
logContract('the embedded log', async (scope) =>
  openEmbeddedLog({ directory: await tempDirectory(scope), segmentSize: 64 * 1024, journalSize: 128 * 1024 }));
