/** A name as SQLite reads it back, whatever stands in it. Postgres names hold no NUL, the one thing that could not be quoted. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
