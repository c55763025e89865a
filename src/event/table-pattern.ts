/**
 * `schema.table` patterns, as `tables.include` and `tables.exclude` have them: `*` stands for any run of characters, `?` for
 * one, everything else for itself (`_` and `%` too). A part in double quotes is taken as it stands, with `""` for a quote.
 * Names are compared exactly, capitals included.
 */
export interface TableFilter {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** Whether a table is included and not excluded. */
export function matchesFilter(filter: TableFilter, table: { readonly schema: string; readonly name: string }): boolean {
  const matches = (pattern: string): boolean => matchesPattern(pattern, table);
  return filter.include.some(matches) && !filter.exclude.some(matches);
}

export function matchesPattern(pattern: string, table: { readonly schema: string; readonly name: string }): boolean {
  const parts = splitPattern(pattern);
  if (parts === null) return false;
  return like(parts.schema, table.schema) && like(parts.table, table.name);
}

/** Whether a text that is no table's name fits a pattern of its own: `*` and `?`, everything else for itself. */
export function matchesText(pattern: string, text: string): boolean {
  return like(Array.from(pattern, (character) => (character === '*' ? 'any' : character === '?' ? 'one' : { text: character })), text);
}

/** A pattern's part: characters, or a wildcard. */
type Piece = { readonly text: string } | 'any' | 'one';

/** Takes a pattern apart; null when it is not `schema.table`. */
export function splitPattern(pattern: string): { readonly schema: readonly Piece[]; readonly table: readonly Piece[] } | null {
  const parts: Piece[][] = [[]];
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i] as string;
    const part = parts.at(-1) as Piece[];
    if (character === '"') {
      const end = closingQuote(pattern, i);
      if (end < 0) return null;
      part.push({ text: pattern.slice(i + 1, end).replaceAll('""', '"') });
      i = end;
    } else if (character === '.') parts.push([]);
    else if (character === '*') part.push('any');
    else if (character === '?') part.push('one');
    else part.push({ text: character });
  }
  const [schema, table] = parts;
  if (parts.length !== 2 || !schema?.length || !table?.length) return null;
  return { schema, table };
}

function closingQuote(pattern: string, open: number): number {
  for (let i = open + 1; i < pattern.length; i++) {
    if (pattern[i] !== '"') continue;
    if (pattern[i + 1] !== '"') return i;
    i++;
  }
  return -1;
}

/** Greedy matching with one point to return to: linear in practice, never exponential as a regular expression can be. */
function like(pieces: readonly Piece[], name: string): boolean {
  let piece = 0;
  let at = 0;
  let returnPiece = -1;
  let returnAt = 0;
  while (at < name.length || piece < pieces.length) {
    const current = pieces[piece];
    if (current === 'any') {
      returnPiece = piece++;
      returnAt = at;
      continue;
    }
    if (current === 'one' && at < name.length) {
      piece++;
      at += (name.codePointAt(at) as number) > 0xffff ? 2 : 1;
      continue;
    }
    if (typeof current === 'object' && name.startsWith(current.text, at)) {
      piece++;
      at += current.text.length;
      continue;
    }
    if (returnPiece < 0 || returnAt >= name.length) return false;
    piece = returnPiece + 1;
    at = ++returnAt;
  }
  return true;
}
