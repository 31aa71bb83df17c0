import { Logger } from '@nestjs/common';
import type { Container, ContainerInspectInfo } from 'dockerode';
import { messageOf } from '../../common/errors.js';
import { inOrder } from '../../common/in-order.js';
import { BindAddressError } from '../bind-address.js';
import { HostPathMissingError } from '../host-paths.js';
import { CommandMissingError, ImageMissingError, LaunchFailedError, type LaunchSpec } from '../launcher.js';
import { containerOptions } from './container-options.js';
import type { ContainerStop } from './container-stop.js';
import type { Containers } from './containers.js';
import { portInUse } from './docker-ports.js';
import type { Engine } from './engine.js';
import { engineWords, statusOf } from './engine-errors.js';

const PORT_TAKEN = /:(\d+)(?: failed)?: (?:port is already allocated|bind: address already in use)/;
const NO_GPU_SUPPORT = 'could not select device driver';
const NO_SUCH_GPU = /nvidia-container-cli|unknown device|CDI device/i;
const NO_SUCH_ADDRESS = 'cannot assign requested address';
/** What the Engine has against a mount. Source: moby, `errBindSourceDoesNotExist`. */
const NO_SUCH_SOURCE = /bind source path does not exist: (.+)/;
const NO_SUCH_PROGRAM = 'executable file not found';
const CANNOT_EXECUTE = ['exec: ', /no such file or directory|permission denied/] as const;

/** Runs containers, and makes sure that one that did not start leaves nothing behind. */
export class ContainerStart {
  private readonly logger = new Logger('DockerLauncher');

  constructor(
    private readonly engine: Engine,
    private readonly containers: Containers,
    private readonly stops: ContainerStop,
    private readonly owner: string,
  ) {}

  /**
   * Creates and starts the container of `spec`; its name must be free. Returns its id.
   * @param imageVariables names of the variables that the image sets
   * @throws PortInUseError, CommandMissingError, ImageMissingError, LaunchFailedError, HostPathMissingError,
   * EngineUnavailableError
   */
  async run(
    spec: LaunchSpec,
    image: string,
    imageVariables: readonly string[],
    signal: AbortSignal,
  ): Promise<string> {
    let container: Container;
    try {
      container = await this.engine.call(signal, (docker, abortSignal) =>
        docker.createContainer({
          ...containerOptions(spec, image, imageVariables, this.owner),
          abortSignal,
        }),
      );
    } catch (error) {
      // Without an answer the Engine may have made it all the same.
      if (statusOf(error) === undefined)
        await this.discard((own) => this.containers.findOurs(spec.name, own));
      throw await this.explained(error, spec, signal);
    }
    try {
      await this.engine.call(signal, (docker, abortSignal) =>
        docker.getContainer(container.id).start({ abortSignal }),
      );
      return container.id;
    } catch (error) {
      await this.discard((own) => this.containers.findById(container.id, own));
      throw await this.explained(error, spec, signal);
    }
  }

  /** The caller's signal may have aborted by now: the clearing has a deadline of its own. */
  private async discard(
    find: (signal: AbortSignal) => Promise<ContainerInspectInfo | undefined>,
  ): Promise<void> {
    const { signal } = new AbortController();
    try {
      const found = await find(signal);
      if (found && !found.State.Running) await this.stops.remove(found.Id, signal);
    } catch (error) {
      this.logger.warn(`What is left of a container that did not start stays: ${messageOf(error)}`);
    }
  }

  private async explained(error: unknown, spec: LaunchSpec, signal: AbortSignal): Promise<unknown> {
    if (statusOf(error) === undefined) return error;
    const words = engineWords(error);
    const { name } = spec;
    const facts = { name, engine: words };
    const port = PORT_TAKEN.exec(words)?.[1];
    if (port !== undefined) return portInUse(this.engine, spec, Number(port), signal);
    if (words.includes(NO_SUCH_ADDRESS)) return new BindAddressError(spec);
    const source = NO_SUCH_SOURCE.exec(words)?.[1];
    const missing = spec.hostPaths?.find(({ path }) => path === source);
    if (missing) return new HostPathMissingError(missing, undefined, { cause: error });
    if (words.includes(NO_GPU_SUPPORT)) {
      const remedy =
        'install the NVIDIA Container Toolkit, run `nvidia-ctk runtime configure --runtime=docker` and restart Docker';
      return new LaunchFailedError(
        `CUDA device not found: Docker can't give GPUs to ${name} (${words}); ${remedy}`,
        facts,
      );
    }
    if (NO_SUCH_GPU.test(words)) {
      const remedy = 'compare the configured GPUs with `nvidia-smi -L`';
      return new LaunchFailedError(
        `CUDA device not found: ${name} did not get its GPUs (${words}); ${remedy}`,
        facts,
      );
    }
    if (words.includes(NO_SUCH_PROGRAM) || inOrder(words, ...CANNOT_EXECUTE)) {
      const program = (spec.entrypoint ?? spec.command)[0] ?? '';
      const remedy = `correct ${spec.programSetting ?? 'the command'} or the image`;
      return new CommandMissingError(
        `Command not found: ${program} is not in image ${spec.image ?? ''} (${words}); ${remedy}`,
        facts,
      );
    }
    if (statusOf(error) === 404 && /no such image/i.test(words)) {
      const image = spec.image ?? '';
      return new ImageMissingError(
        `Image ${image} is no longer on this host: run \`docker pull ${image}\``,
        facts,
      );
    }
    return new LaunchFailedError(`${name} could not be started: ${words}`, facts, { cause: error });
  }
}
