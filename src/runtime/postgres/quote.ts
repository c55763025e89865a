/**
 * An SQL identifier: any name stays that name, whatever it holds (`select "; drop table x; --` is a legal column name).
 * Throws a `RangeError` for what Postgres has no name for.
 */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0')) throw new RangeError('an identifier is not empty and holds no NUL');
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteQualified(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** An SQL string constant; our sessions pin `standard_conforming_strings`, so that a backslash is only a backslash. */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new RangeError('a text holds no NUL in Postgres');
  return `'${text.replaceAll("'", "''")}'`;
}

/** pgoutput's `publication_names`: identifiers with commas between them, inside a string constant. */
export function quotePublicationNames(names: readonly string[]): string {
  return quoteLiteral(names.map(quoteIdentifier).join(','));
}
