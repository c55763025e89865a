/**
 * SQL for what a type is made of, where it is not one of the server's own (their oids lie below 16384), with everything that it
 * is made of in turn: `public.mood enum; public.pair (a integer, m public.mood)`. Two servers whose types have one name and one
 * such text write the same values in the same texts. The labels of an enum are left out: one more label bends no value.
 */
export function typeDefinition(oid: string): string {
  return `CASE WHEN ${oid} >= 16384 THEN (
    WITH RECURSIVE used(oid) AS (
      SELECT ${oid}
      UNION SELECT part.oid FROM used u JOIN pg_catalog.pg_type t ON t.oid = u.oid CROSS JOIN LATERAL (
        SELECT t.typelem UNION ALL SELECT t.typbasetype
        UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
      ) part(oid) WHERE part.oid >= 16384)
    SELECT pg_catalog.string_agg(pg_catalog.format_type(t.oid, NULL) || ' ' || CASE t.typtype
        WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain over ' || pg_catalog.format_type(t.typbasetype, t.typtypmod)
        WHEN 'r' THEN 'range of ' || (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
        WHEN 'm' THEN 'multirange of ' || (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid)
        WHEN 'c' THEN '(' || (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) || ')'
        ELSE 'base' END, '; ' ORDER BY pg_catalog.format_type(t.oid, NULL) COLLATE "C")
    FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid) END`;
}
