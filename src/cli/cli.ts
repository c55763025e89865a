import { Command, CommanderError } from 'commander';
import { exitCodeFor, TailraceError } from '../runtime/errors.ts';
import type { CliContext, DefineCommand } from './context.ts';
import { errorText, unforeseenText } from './terminal.ts';

interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<DefineCommand>;
}

/** The commands, in the order of the help. Each file is loaded when its command is asked for: `--help` needs none of them. */
const commands: readonly Entry[] = [
  { name: 'run', summary: 'run pipelines until a signal', load: () => import('./run.ts').then((file) => file.defineRun) },
  { name: 'check', summary: 'find every problem with config, source, log and sinks; changes nothing', load: () => import('./check.ts').then((file) => file.defineCheck) },
  { name: 'status', summary: 'where each pipeline and sink stands', load: () => import('./status.ts').then((file) => file.defineStatus) },
  { name: 'verify', summary: 'compare each replica with the source, row by row where it must', load: () => import('./verify.ts').then((file) => file.defineVerify) },
  { name: 'topics', summary: 'list, describe, make, change and delete topics', load: () => import('./topics.ts').then((file) => file.defineTopics) },
  { name: 'produce', summary: 'append records to a topic of your own', load: () => import('./produce.ts').then((file) => file.defineProduce) },
  { name: 'consume', summary: 'print events as they come', load: () => import('./consume.ts').then((file) => file.defineConsume) },
  { name: 'groups', summary: 'where consumer groups stand, and put them elsewhere', load: () => import('./groups.ts').then((file) => file.defineGroups) },
  { name: 'replay', summary: 'build a replica from the log alone, as of a point in the past', load: () => import('./replay.ts').then((file) => file.defineReplay) },
  { name: 'snapshot', summary: 'copy tables anew while the daemon runs', load: () => import('./snapshot.ts').then((file) => file.defineSnapshot) },
  { name: 'sinks', summary: 'end a sink', load: () => import('./sinks.ts').then((file) => file.defineSinks) },
  { name: 'streams', summary: 'begin a stream anew, or keep its state behind a change of its module', load: () => import('./streams.ts').then((file) => file.defineStreams) },
  { name: 'teardown', summary: 'drop the slot and publication that Tailrace made', load: () => import('./teardown.ts').then((file) => file.defineTeardown) },
  { name: 'schema', summary: 'print the JSON Schema of connector files', load: () => import('./schema.ts').then((file) => file.defineSchema) },
  { name: 'demo', summary: 'a real Postgres, live traffic, two replicas, proof that they are equal', load: () => import('./demo.ts').then((file) => file.defineDemo) },
];

/** The whole command line with every command filled in: for the reference in docs/. */
export async function wholeProgram(context: CliContext): Promise<Command> {
  return program(context, commands.map(({ name }) => name));
}

/** Parses and runs; resolves with the exit code (DESIGN: 0, 1, 2, 3, 4). */
export async function runCli(args: readonly string[], context: CliContext): Promise<number> {
  const { terminal } = context;
  try {
    process.exitCode = undefined;
    // The first word that is no option; none of our options in front of a command takes a value.
    const asked = args.find((arg) => !arg.startsWith('-'));
    const wanted = asked === 'help' ? args.slice(args.indexOf('help') + 1) : [asked];
    const cli = await program(context, commands.filter(({ name }) => wanted.includes(name)).map(({ name }) => name));
    if (args.length === 0) {
      terminal.err(cli.helpInformation());
      return 2;
    }
    await cli.parseAsync(args, { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    terminal.err(error instanceof TailraceError ? errorText(error, terminal.style) : unforeseenText(error));
    return exitCodeFor(error);
  }
}

async function program(context: CliContext, filled: readonly string[]): Promise<Command> {
  const { terminal } = context;
  const cli = new Command('tailrace')
    .description('Change data capture for Postgres: an append-only log of every row change, and replicas that are provably equal to the source.')
    .version(context.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help, also for each command')
    .helpCommand('help [command]', 'print help for a command')
    .showHelpAfterError('See tailrace --help.')
    .configureOutput({ writeOut: (text) => terminal.out(text.trimEnd()), writeErr: (text) => terminal.err(text.trimEnd()), getOutHelpWidth: () => terminal.width, getErrHelpWidth: () => terminal.width })
    // Commander's own bound gives up wrapping on windows of less than 65 columns.
    .configureHelp({ minWidthToWrap: 12 })
    .exitOverride()
    .addHelpText('after', '\nStart with: tailrace check, then tailrace run. Files in connectors/ are read by default.\nExit codes: 0 ok, 1 failed while running, 2 wrong usage or config, 3 environment, 4 data.');
  for (const { name, summary, load } of commands) {
    const command = cli.command(name).summary(summary).description(`${summary[0]?.toUpperCase()}${summary.slice(1)}.`);
    if (!filled.includes(name)) continue;
    command.showHelpAfterError(`See tailrace ${name} --help.`);
    (await load())(command, context);
    for (const below of command.commands) below.showHelpAfterError(`See tailrace ${name} ${below.name()} --help.`);
  }
  return cli;
}
