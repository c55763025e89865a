import type { Command } from 'commander';
import { test } from 'node:test';
import { wholeProgram } from '../../src/cli/cli.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import { metricNames } from '../../src/runtime/metric-names.ts';
import { fillBlock, holdFile } from '../support/held-file.ts';

test('docs/cli.md has every command with the help that it prints', async () => {
  const { stdin, stdout, stderr } = process;
  const terminal = { ...createTerminal({ stdin, stdout, stderr, environment: {} }), width: 100 };
  const program = await wholeProgram({ terminal, environment: {}, version: '0', takeSignals: () => new AbortController().signal });
  holdFile('docs/cli.md', (page) => fillBlock(page, 'commands', sections(program, '').join('\n\n')));
});

test('docs/cli.md has every metric', () => {
  const rows = Object.values(metricNames).map(({ name, help }) => `| \`${name}\` | ${help} |`);
  holdFile('docs/cli.md', (page) => fillBlock(page, 'metrics', `| metric | |\n|---|---|\n${rows.join('\n')}`));
});

/** A section for each command that does something itself. */
function sections(command: Command, prefix: string): readonly string[] {
  return command.commands.filter((sub) => sub.name() !== 'help').flatMap((sub) => {
    const name = `${prefix}${sub.name()}`;
    if (sub.commands.length > 0) return sections(sub, `${name} `);
    let help = '';
    sub.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => 100, getOutHasColors: () => false });
    sub.outputHelp();
    return [`## ${name}\n\n\`\`\`text\n${help.trim()}\n\`\`\``];
  });
}
