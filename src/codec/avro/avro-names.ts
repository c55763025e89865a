/**
 * Avro's names are `[A-Za-z_][A-Za-z0-9_]*`, Postgres's are anything: what does not fit becomes `_`, as with Debezium's
 * adjustment mode `avro`.
 */
export function avroName(name: string): string {
  const fitting = name.replaceAll(/[^A-Za-z0-9_]/gu, '_');
  return /^[A-Za-z_]/.test(fitting) ? fitting : `_${fitting}`;
}

/** Names for all columns of a table, in order; a name that another column has already gets a number behind it. */
export function fieldNames(columns: readonly { readonly name: string }[]): readonly string[] {
  // A column whose name is Avro's already keeps it, whatever stands before it.
  const taken = new Set(columns.map(({ name }) => name).filter((name) => avroName(name) === name));
  return columns.map(({ name }) => {
    const wanted = avroName(name);
    if (wanted === name) return name;
    let free = wanted;
    for (let n = 2; taken.has(free); n++) free = `${wanted}_${n}`;
    taken.add(free);
    return free;
  });
}

/** `shop.public.orders` as a namespace. */
export function namespaceOf(topic: string): string {
  return topic.split('.').map(avroName).join('.');
}
