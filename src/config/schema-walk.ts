import { z } from 'zod';
import type { Path } from './yaml-tree.ts';

/** One key of the configuration, for messages and for the reference in docs/: `sinks[].on_error`. */
export interface SchemaKey {
  readonly path: string;
  readonly name: string;
  readonly schema: z.ZodType;
  /** Which `type` of source, log or sink has it; undefined where there is no such choice. */
  readonly type: string | undefined;
}

/** The schema below defaults, options and transformations. */
function bare(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodReadonly) {
    return bare(schema.unwrap() as z.ZodType);
  }
  if (schema instanceof z.ZodPipe) return bare(schema.in as z.ZodType);
  return schema;
}

/** The objects that a value at this schema may be: one, or one a type. */
function objects(schema: z.ZodType): readonly z.ZodObject[] {
  const inner = bare(schema);
  if (inner instanceof z.ZodObject) return [inner];
  if (inner instanceof z.ZodUnion) return inner.options.flatMap((option) => objects(option as z.ZodType));
  return [];
}

function typeOf(object: z.ZodObject): string | undefined {
  const { type } = object.shape as { type?: z.ZodType };
  return type instanceof z.ZodLiteral ? String(type.value) : undefined;
}

/** Every key that a configuration may hold, in the order of the schema. */
export function schemaKeys(schema: z.ZodType, prefix = '', ofType?: string): readonly SchemaKey[] {
  return objects(schema).flatMap((object) => {
    const type = typeOf(object) ?? ofType;
    return Object.entries(object.shape).flatMap(([name, value]) => {
      const path = prefix === '' ? name : `${prefix}.${name}`;
      const child = bare(value as z.ZodType);
      const below =
        child instanceof z.ZodArray
          ? schemaKeys(child.element as z.ZodType, `${path}[]`, type)
          : child instanceof z.ZodRecord
            ? schemaKeys(child.valueType as z.ZodType, `${path}.<table>`, type)
            : schemaKeys(child, path, type);
      return [{ path, name, schema: value as z.ZodType, type }, ...below];
    });
  });
}

/** The schema of a place in an actual value, whose `type` decides where there is a choice: one, or none when it fits nothing. */
export function schemaAt(schema: z.ZodType, value: unknown, path: Path): z.ZodType | undefined {
  const [step, ...rest] = path;
  const inner = bare(schema);
  if (step === undefined) return schema;
  if (inner instanceof z.ZodArray) return typeof step === 'number' ? schemaAt(inner.element as z.ZodType, field(value, step), rest) : undefined;
  if (inner instanceof z.ZodRecord) return schemaAt(inner.valueType as z.ZodType, field(value, step), rest);
  const next = field(fitting(inner, value)?.shape, step) as z.ZodType | undefined;
  return next === undefined ? undefined : schemaAt(next, field(value, step), rest);
}

/** The keys allowed at a place of an actual value. */
export function keysAt(schema: z.ZodType, value: unknown, path: Path): readonly string[] {
  const here = schemaAt(schema, value, path);
  return here === undefined ? [] : Object.keys(fitting(here, valueAt(value, path))?.shape ?? {});
}

function fitting(schema: z.ZodType, value: unknown): z.ZodObject | undefined {
  const candidates = objects(schema);
  return candidates.length === 1 ? candidates[0] : candidates.find((object) => typeOf(object) === field(value, 'type'));
}

/** What one would write there: `.meta({ examples: ['7d'] })` in the schema, else the only or first of its values. */
export function exampleOf(schema: z.ZodType | undefined): string | undefined {
  if (schema === undefined) return undefined;
  const inner = bare(schema);
  const examples = [schema.meta()?.['examples'], inner.meta()?.['examples']].find((found) => Array.isArray(found)) as unknown[] | undefined;
  const [first] = examples ?? [];
  return typeof first === 'string' ? first : undefined;
}

/** What is written above a key in the schema (`describe`), wherever in the wrappers it stands. */
export function descriptionOf(schema: z.ZodType): string | undefined {
  return schema.description ?? (bare(schema) === schema ? undefined : bare(schema).description);
}

export function field(value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string | number, unknown>)[key] : undefined;
}

export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, step) => field(at, step), value);
}
