/**
 * One text for a whole row, the same wherever it is made: Postgres's own text of the array of its values' texts, as
 * `ARRAY['7', 'two words', NULL]::text` gives it: `{7,"two words",NULL}` (array_out in the server's arrayfuncs.c). Quoting
 * tells NULL from 'NULL' and from the empty text, and no separator inside a value can be taken for one between two. Unlike
 * the text of a ROW it does not depend on the server's locale.
 */
export function rowText(values: readonly (string | null)[]): string {
  let text = '{';
  for (let i = 0; i < values.length; i++) {
    if (i > 0) text += ',';
    const value = values[i] as string | null;
    if (value === null) text += 'NULL';
    else text += needsQuotes.test(value) ? `"${value.replace(escaped, '\\$&')}"` : value;
  }
  return `${text}}`;
}

/** Empty, `NULL` in any case, or with a character that means something: white space is ASCII's alone. */
// oxlint-disable-next-line no-control-regex -- vertical tab is one of array_isspace's
const needsQuotes = /^$|^null$|["\\{},\t\n\u000b\f\r ]/i;
const escaped = /["\\]/g;
