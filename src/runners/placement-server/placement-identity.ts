import type { Launcher, LaunchSpec, ServerInfo } from '../../launchers/launcher.js';
import { canonicalJson } from '../../common/canonical-json.js';
import type { DeploymentOptions } from '../runner.js';
import { serverUrl } from '../server-url.js';
import type { PlacementServerConfig } from './placement-server-section.js';
import type { PlacementBackend, PlacementRole, RunningServer, Wanted } from './placement-backend.js';
import { placementLaunchSpec } from './placement-launch-spec.js';
import { isServerOf, labelled } from './server-labels.js';
import type { ServedPlacement } from './served-placement.js';

/** What the server of one placement is launched as, and how it is known again. */
export class PlacementIdentity {
  constructor(
    readonly role: PlacementRole,
    private readonly launcherKind: Launcher['kind'],
    private readonly config: PlacementServerConfig,
    private readonly backend: PlacementBackend,
  ) {}

  get startTimeoutMs(): number {
    return this.backend.startTimeoutSecondsOf(this.role.modelName) * 1000;
  }

  get stopGraceSeconds(): number {
    return this.backend.stopGraceSecondsOf(this.role.modelName);
  }

  placement({ options, gpus }: Wanted, port: number): ServedPlacement {
    const { modelName, gpuId } = this.role;
    const { bind_address: bindAddress } = this.config;
    return {
      modelName,
      gpuId,
      gpuIds: gpus.map(({ id }) => id),
      gpus,
      options: this.backend.readOptions(modelName, options),
      port,
      // The Engine publishes the port on bind_address alone; inside, the container has a network of its own.
      listenAddress: this.launcherKind === 'docker' ? '0.0.0.0' : bindAddress,
      baseUrl: serverUrl(bindAddress, port),
    };
  }

  spec(placement: ServedPlacement): LaunchSpec {
    const { backend, stopGraceSeconds } = this;
    const frame = {
      name: this.role.name,
      backend: backend.backend,
      placement,
      device: backend.deviceOf(placement.modelName),
      stopGraceSeconds,
      stopSignal: backend.stopSignal,
      withheld: backend.withheld,
    };
    return placementLaunchSpec(this.config, frame, backend.program(placement));
  }

  /** `undefined` where it does not run, or is for something else. */
  running(info: ServerInfo | undefined): RunningServer | undefined {
    const found = info?.running ? labelled(info.labels) : undefined;
    const { backend } = this.backend;
    if (!info || !found || !isServerOf(info.labels, { backend, ...this.role })) return undefined;
    return { info, placement: this.placement(found, found.port) };
  }

  /** It runs with these options. */
  fits({ placement }: RunningServer, options: DeploymentOptions): boolean {
    const wanted = this.backend.readOptions(this.role.modelName, options);
    return canonicalJson(placement.options) === canonicalJson(wanted);
  }
}
