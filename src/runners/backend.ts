import type * as z from 'zod';
import type { BackendSection } from '../config/backend-section.js';
import type { Runner } from './runner.js';
import type { RunnerHost } from './runner-host.js';

/** One row of `backends.ts`: what the rest of the service knows of a backend. */
export interface Backend<
  Name extends string = string,
  Section extends z.ZodType = z.ZodType,
> extends BackendSection<Name, Section> {
  /** `StartRequest.config` of its models, for the API's document; left out: each model has options of its own. */
  readonly options?: z.ZodObject | undefined;
  /** Variables that servers of this backend inherit from nowhere; processes of the other backends do not inherit them either. */
  readonly withheld?: readonly string[] | undefined;
  /** The runner of a backend that the configuration offers, with its own section; `undefined` of another. */
  createRunner(runners: Readonly<Record<Name, z.output<Section>>>, host: RunnerHost): Runner | undefined;
  /** The runner of a backend that is not offered: without models, for what is left of those it had. */
  createFormerRunner(runners: Readonly<Record<Name, z.output<Section>>>, host: RunnerHost): Runner;
}

/** A row. The compiler checks that the runner takes what the section gives, and has the name of the row. */
export function backend<
  const Name extends string,
  Section extends z.ZodType<{ enabled: boolean; supported_models: readonly string[] }>,
>({
  runner: BackendRunner,
  ...row
}: Pick<Backend<Name, Section>, 'name' | 'section' | 'options' | 'modelSettings' | 'portsOf' | 'withheld'> & {
  readonly runner: new (
    config: z.output<Section>,
    host: RunnerHost,
  ) => Runner & { readonly backend: NoInfer<Name> };
}): Backend<Name, Section> {
  return {
    ...row,
    createRunner: (runners, host) => {
      const config = runners[row.name];
      return config.enabled ? new BackendRunner(config, host) : undefined;
    },
    createFormerRunner: (runners, host) =>
      new BackendRunner({ ...runners[row.name], supported_models: [] }, host),
  };
}
