import { checkPipeline, type CheckedPart } from '../app/check.ts';
import { configError, loadPipelines } from '../config/load.ts';
import type { Finding } from '../runtime/finding.ts';
import { silentLogger } from '../runtime/logger.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { errorText, type Style } from './terminal.ts';

interface CheckedPipeline {
  readonly pipeline: string;
  readonly file: string;
  readonly parts: readonly CheckedPart[];
}

export const defineCheck: DefineCommand = (command, context) => {
  command
    .description('Find every problem with config, source, log and sinks at once, each with its remedy. Changes nothing. Exits with 0 when there is no error.')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('check connectors/shop.yaml', 'check --json'))
    .action(action((paths: string[], options: { json?: boolean }) => check(paths, options.json === true, context)));
};

async function check(paths: readonly string[], json: boolean, { terminal, environment }: CliContext): Promise<number> {
  const { pipelines, problems } = loadPipelines(paths, environment);
  // The right files are looked at although others are wrong: every problem at once.
  const checked = await Promise.all(
    pipelines.map(async ({ config, file }): Promise<CheckedPipeline> => ({ pipeline: config.name, file: file.name, parts: await checkPipeline(config, silentLogger) })),
  );
  const failed = checked.some(({ parts }) => parts.some(({ findings }) => findings.some(({ severity }) => severity === 'error')));
  if (json) terminal.out(JSON.stringify({ config: problems, pipelines: checked }, null, 2));
  else {
    for (const pipeline of checked) terminal.out(render(pipeline, terminal.style));
    if (problems.length > 0) terminal.err(errorText(configError(problems), terminal.style));
  }
  return problems.length > 0 ? 2 : failed ? 3 : 0;
}

function render({ pipeline, file, parts }: CheckedPipeline, style: Style): string {
  const lines = parts.flatMap(({ part, findings }) => [
    `  ${part.padEnd(18)}${findings.every(({ severity }) => severity === 'note') ? style.green('ok') : ''}`.trimEnd(),
    ...findings.flatMap(({ severity, message, remedy }) => [
      `    ${marked(severity, style)}  ${printable(message)}`,
      ...(remedy === '' ? [] : remedy.split('\n').map((line) => `      → ${printable(line)}`)),
    ]),
  ]);
  return `${style.bold(pipeline)} (${file})\n${lines.join('\n')}`;
}

function marked(severity: Finding['severity'], style: Style): string {
  if (severity === 'note') return severity;
  return severity === 'error' ? style.red(severity) : style.yellow(severity);
}
