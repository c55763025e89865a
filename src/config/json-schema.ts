import { z } from 'zod';
import { pipelineSchema } from './pipeline-schema.ts';

/** The JSON Schema of what one writes, from the same source as the checks. Draft 7: what editors' YAML support knows. */
export function configJsonSchema(): string {
  const schema = z.toJSONSchema(pipelineSchema, { io: 'input', target: 'draft-07', reused: 'inline' });
  return JSON.stringify({ ...schema, title: 'Tailrace pipeline' }, null, 2);
}
