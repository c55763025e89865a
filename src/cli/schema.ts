import { configJsonSchema } from '../config/json-schema.ts';
import { action, examples, type DefineCommand } from './context.ts';

export const defineSchema: DefineCommand = (command, { terminal }) => {
  command
    .description('Print the JSON Schema of connector files, for editors that complete and check YAML.')
    .addHelpText('after', examples('schema > tailrace.schema.json') + '\nThen begin a connector file with: # yaml-language-server: $schema=./tailrace.schema.json')
    .action(
      action(() => {
        terminal.out(configJsonSchema());
        return 0;
      }),
    );
};
