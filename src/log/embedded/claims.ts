import type { Claim } from '../../runtime/claim.ts';
import { realPath } from '../../runtime/real-path.ts';

/** A folder holds one log, and a log has one writer. */
export function embeddedLogClaims({ directory }: { readonly directory: string }): readonly Claim[] {
  return [{ identity: `directory ${realPath(directory)}`, what: `the log directory ${directory}`, key: 'directory', remedy: 'give each pipeline a directory of its own' }];
}
