import type { Claim } from '../../runtime/claim.ts';
import { realPath } from '../../runtime/real-path.ts';

/** Two sinks could take turns in one file, but each would wait for the other, and their tables could meet. */
export function sqliteSinkClaims({ path }: { readonly path: string }): readonly Claim[] {
  return [{ identity: `file ${realPath(path)}`, what: `the SQLite file ${path}`, key: 'path', remedy: 'give each sink a file of its own: SQLite takes one writer at a time' }];
}
