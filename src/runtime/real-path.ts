import { realpathSync } from 'node:fs';
import { dirname, join, resolve, basename } from 'node:path';

/** The absolute path without symbolic links, also of what does not exist yet: two names of one place become equal. */
export function realPath(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch {
    const parent = dirname(absolute);
    return parent === absolute ? absolute : join(realPath(parent), basename(absolute));
  }
}
