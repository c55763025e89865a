import type { Finding } from '../../../runtime/finding.ts';
import type { Survey } from '../prepare.ts';
import { objectChecks } from './objects.ts';
import { rightsChecks } from './rights.ts';
import { serverChecks } from './server.ts';

/** Every check on what was found, and every problem at once; `check` and start-up run the same list. */
export function runChecks(found: Survey): readonly Finding[] {
  const findings = [...serverChecks, ...rightsChecks, ...objectChecks].flatMap((check) => check(found) ?? []);
  return [...findings, ...found.selection.findings];
}
