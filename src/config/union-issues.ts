import type { z } from 'zod';
import { valueAt } from './schema-walk.ts';
import type { Path } from './yaml-tree.ts';

type Issue = z.core.$ZodIssue;

/**
 * Where a value may be a name or a map (`format: json`), zod says what is wrong with it as either. What was meant is plain from
 * the value: the issues of that alone are kept, with their paths from the root.
 */
export function meantIssues(issues: readonly Issue[], root: unknown): readonly Issue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || !('errors' in issue) || issue.errors.length === 0) return [issue];
    const value = valueAt(root, issue.path as Path);
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
    const meant = issue.errors.at(isMap ? -1 : 0) ?? [];
    return meantIssues(meant.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })), root);
  });
}
