import { tableName } from '../event/table.ts';

/**
 * The topics of one pipeline (PROTOCOL, Topics). A pipeline's name has no dot, so no two pipelines share a topic. A character that Kafka
 * does not take in a topic's name is written as `_x` and its code point, whatever the log: a pipeline may move from one to the other.
 */
export interface TopicNames {
  readonly transaction: string;
  readonly schema: string;
  /** The source's logical messages; a table's topic has a dot more. */
  readonly message: string;
  events(table: { readonly schema: string; readonly name: string }): string;
  sink(sink: string): string;
  deadLetter(sink: string): string;
  /** What became of each run of a job. */
  job(job: string): string;
  /** The rows of a job whose result goes to a topic. */
  jobRows(job: string): string;
  /** Shapes of tables of other logs whose events were merged into a topic of this one. */
  readonly mergedShapes: string;
}

export function topicNames(pipeline: string): TopicNames {
  return {
    transaction: `${pipeline}.transaction`,
    schema: `${pipeline}.schema`,
    message: `${pipeline}.message`,
    events: (table) => `${pipeline}.${topicPart(tableName(table))}`,
    sink: (sink) => `${pipeline}.sink.${sink}`,
    deadLetter: (sink) => `${pipeline}.dead-letter.${sink}`,
    job: (job) => `${pipeline}.job.${job}`,
    jobRows: (job) => `${pipeline}.job.${job}.rows`,
    mergedShapes: `${pipeline}.merged-shapes`,
  };
}

/** Apart for names that differ in such characters alone, as `é` and `ü`; should two meet all the same, `topicClashes` names them. */
function topicPart(name: string): string {
  return name.replaceAll(/[^a-zA-Z0-9._-]/gu, (character) => `_x${(character.codePointAt(0) as number).toString(16)}`);
}

/** The topics that a stream writes, beside those of the sinks of its pipeline, which may replay it. */
export function streamTopics(pipeline: string, stream: string): TopicNames {
  const own = topicNames(pipeline);
  return { ...topicNames(`${pipeline}.stream.${stream}`), sink: (sink) => own.sink(sink), deadLetter: (sink) => own.deadLetter(sink) };
}

/** What a stream that is spread over workers keeps for itself, by task: a shard's number, or `results`. No stream has a name that begins so. */
export function taskTopics(pipeline: string, stream: string, task: string): TopicNames {
  return topicNames(`${pipeline}.stream._${task}.${stream}`);
}

/** Whose topic it is, if it is one of those. */
export function streamOfTask(pipeline: string, topic: string): { readonly task: string; readonly stream: string } | undefined {
  const prefix = `${pipeline}.stream._`;
  const [task, stream, ...rest] = topic.startsWith(prefix) ? topic.slice(prefix.length).split('.') : [];
  return task === undefined || stream === undefined || rest.length === 0 ? undefined : { task, stream };
}

/** Whose names the topics around this one have: `shop`, or `shop.stream.sales` for what a stream writes. */
export function writerOf(pipeline: string, topic: string): string {
  const streams = `${pipeline}.stream.`;
  const end = topic.startsWith(streams) ? topic.indexOf('.', streams.length) : -1;
  if (end < 0) return pipeline;
  // Of a task of the stream whose name comes next.
  const task = topic[streams.length] === '_' ? topic.indexOf('.', end + 1) : end;
  return topic.slice(0, task < 0 ? topic.length : task);
}

/** Whether a topic is one that people make and produce to. A table's topic has a dot behind its schema, so that no table can ever meet one. */
export function isProduced(topic: string): boolean {
  return /^[^.]+\.(?!(?:transaction|schema|message|merged-shapes)$)[^.]+$/.test(topic);
}

/** What every part of a pipeline finds there from the first moment on: its own topics, those of its tables aside. */
export function ownTopics(of: { readonly pipeline: string; readonly sinks: readonly string[]; readonly streams?: readonly { readonly name: string; readonly sinks: readonly string[] }[]; readonly jobs?: readonly string[] }): readonly string[] {
  const topics = topicNames(of.pipeline);
  const streams = of.streams ?? [];
  // A sink of a stream may look at it before it has computed anything.
  const ofStreams = streams.map(({ name }) => streamTopics(of.pipeline, name)).flatMap(({ transaction, schema }) => [transaction, schema]);
  const ofJobs = (of.jobs ?? []).flatMap((job) => [topics.job(job), topics.jobRows(job)]);
  const ofSinks = [...of.sinks, ...streams.flatMap((stream) => stream.sinks)].flatMap((sink) => [topics.sink(sink), topics.deadLetter(sink)]);
  return [topics.transaction, topics.schema, ...ofStreams, ...ofJobs, ...ofSinks];
}

export const clashRemedy = 'Exclude all but one of them under source.tables.exclude, or rename one.';

/**
 * Two tables whose topics would be one (`a.b`.`c` and `a`.`b.c`), or a table whose topic would be one of the pipeline's own
 * (`sink.reporting`): named before anything is written, because a topic has one table for good.
 */
export function topicClashes(
  pipeline: string,
  tables: readonly { readonly schema: string; readonly name: string }[],
): readonly string[] {
  const taken = new Map<string, string>();
  const clashes: string[] = [];
  for (const table of tables) {
    const topic = topicNames(pipeline).events(table);
    const label = `"${table.schema}"."${table.name}"`;
    const other = taken.get(topic);
    if (other !== undefined) clashes.push(`${label} and ${other} would share the topic ${topic}`);
    else if (/^[^.]*\.(sink|dead-letter|stream|job)\./.test(topic)) clashes.push(`${label} would take the topic ${topic}, which Tailrace uses itself`);
    taken.set(topic, label);
  }
  return clashes;
}
