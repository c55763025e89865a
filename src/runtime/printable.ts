/**
 * Text that came from outside (a table's name, a row's value, a line of a file), safe to print: control characters, which
 * a terminal would obey, and the marks that turn text around are written as escapes.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g, (char) => {
    const known = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[char];
    return known ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** `printable`, and no longer than `length` characters. */
export function shortened(text: string, length: number): string {
  const safe = printable(text);
  // Not in the middle of a surrogate pair.
  return safe.length <= length ? safe : `${safe.slice(0, Math.max(0, length - 1)).replace(/[\ud800-\udbff]$/, '')}…`;
}
