import { UsageError } from './flags.js';
import { glog } from './log.js';
import { parseOptions, type ServerOptions } from './options.js';
import { realPace } from './pace.js';
import { StandinServer, StartError, type Surroundings } from './standin-server.js';
import { defaultSettings } from './standin-settings.js';
import { visibleGpus } from './visible-gpus.js';

const USAGE = `Usage: node tritonserver.js --model-repository=<path> --model-control-mode=explicit [options]
This is the stand-in for tritonserver of the demo, not NVIDIA Triton. It takes the flags of tritonserver;
docs of the demo: demo/model_repository/README.md.`;

const log = glog((line) => {
  process.stdout.write(`${line}\n`);
});
// Like Triton, it outlives whoever reads its log.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
process.exitCode = await run();

/** Returns once the server listens; the exit code is that of a start that failed. */
async function run(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2));
    const surroundings = fromEnvironment();
    introduce(options, surroundings);
    const server = new StandinServer(options, surroundings);
    await server.start();
    endOnSignal(server);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) console.error(`${error.message}\n${USAGE}`);
    else console.error(error instanceof StartError ? error.message : error);
    // Ports that were opened before the failure would keep the process alive.
    process.exit(1);
  }
}

function fromEnvironment(): Surroundings {
  try {
    return {
      visibleGpus: visibleGpus(process.env),
      defaults: defaultSettings(process.env),
      pace: realPace,
      log,
    };
  } catch (error) {
    throw new StartError(error instanceof Error ? error.message : String(error));
  }
}

function introduce(options: ServerOptions, { visibleGpus: gpus }: Surroundings): void {
  const say = (text: string): void => {
    log.info('standin.ts:1', text);
  };
  say('This is NOT NVIDIA Triton: it is the stand-in for tritonserver that the demo brings along.');
  say('It speaks the HTTP protocol of Triton, loads nothing, and needs no GPU.');
  say(`It plays a host with ${gpus.length} GPUs; model repositories: ${options.repositories.join(', ')}`);
  const ignored = options.withoutEffect.map((name) => `--${name}`).join(' ');
  if (ignored) log.warning('standin.ts:1', `without effect in the stand-in: ${ignored}`);
}

function endOnSignal(server: StandinServer): void {
  let stopping = false;
  const stop = (name: string, number: number): void => {
    console.log(`Signal (${number}) received.`);
    if (name === 'SIGTERM' && server.lifecycle.ignoresSigterm) {
      log.warning('standin.ts:1', 'a standin.json says exit_ignore_sigterm: going on');
      return;
    }
    if (stopping) return;
    stopping = true;
    void server.stop().then((code) => process.exit(code));
  };
  process.on('SIGTERM', () => {
    stop('SIGTERM', 15);
  });
  process.on('SIGINT', () => {
    stop('SIGINT', 2);
  });
}
