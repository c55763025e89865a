import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where what tests fetch is kept from one run to the next: it need not be there, and may be removed. */
export function testCache(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tailrace');
}
