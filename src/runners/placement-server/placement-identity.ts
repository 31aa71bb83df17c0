import type { Launcher, LaunchSpec, ServerInfo } from '../../launchers/launcher.js';
import { canonicalJson } from '../../common/canonical-json.js';
import { type Aspect, ASPECTS } from '../aspects.js';
import { launchedAs } from '../launched-as.js';
import { outdatedAspects } from '../launch-aspects.js';
import type { GpuRef } from '../deployment.js';
import { serverUrl } from '../server-url.js';
import type { PlacementServerConfig } from './placement-server-section.js';
import type { PlacementBackend, PlacementRole, RunningServer, Wanted } from './placement-backend.js';
import { placementLaunchSpec } from './placement-launch-spec.js';
import { isServerOf, labelled } from './server-labels.js';
import { MAIN_PORT, portsByName, type ServerPorts } from './server-ports.js';
import type { ServedPlacement, ServerSettings } from './served-placement.js';

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

  /** How many ports it is launched with. */
  get portCount(): number {
    return 1 + this.portNames.length;
  }

  private get portNames(): readonly string[] {
    return this.backend.portNamesOf(this.role.modelName);
  }

  /** To be launched, on as many ports as it needs. */
  planned(wanted: Wanted, ports: readonly number[]): ServedPlacement {
    return this.placement(wanted, portsByName(this.portNames, ports), this.configured);
  }

  /** What a launch of now is launched with. */
  private get configured(): ServerSettings {
    const { modelName } = this.role;
    return {
      ...this.backend.settingsOf(modelName),
      bind_address: this.config.bind_address,
      device: this.backend.deviceOf(modelName),
    };
  }

  private placement(
    { options, gpus }: Wanted,
    ports: ServerPorts,
    settings: ServerSettings,
  ): ServedPlacement {
    const { modelName, gpuId } = this.role;
    const port = ports.get(MAIN_PORT) ?? 0;
    const { bind_address: bindAddress } = settings;
    return {
      modelName,
      gpuId,
      gpuIds: gpus.map(({ id }) => id),
      gpus,
      options: this.backend.readOptions(modelName, options),
      port,
      ports,
      settings,
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
      launcher: this.launcherKind,
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
    const settings = launchedAs(info.labels, this.configured);
    return { info, placement: this.placement(found, found.ports, settings) };
  }

  /** In what it is not what is wanted, in words; `undefined`: it is. */
  misfit({ placement }: RunningServer, { options, gpus }: Wanted): string | undefined {
    const wanted = this.backend.readOptions(this.role.modelName, options);
    if (canonicalJson(placement.options) !== canonicalJson(wanted)) return 'with other options';
    return areOthers(placement.gpus, gpus) ? `on other GPUs: ${uuidsOf(placement.gpus)}` : undefined;
  }

  /** In what it is not what would be launched now. */
  outdated({ info, placement }: RunningServer): readonly Aspect[] {
    const { portNames } = this;
    // A port that it lacks has no number: what is given that number is launched otherwise, whichever it will be.
    const numbers = portNames.map((name) => placement.ports.get(name) ?? 0);
    const ports = portsByName(portNames, [placement.port, ...numbers]);
    const hasOthers = String([...ports.keys()].sort()) !== String([...placement.ports.keys()].sort());
    try {
      const others = outdatedAspects(
        info.labels,
        this.spec(this.placement(placement, ports, this.configured)),
      );
      return ASPECTS.filter((aspect) => others.includes(aspect) || (hasOthers && aspect === 'args'));
    } catch {
      return []; // the configuration has no program for it any more
    }
  }
}

/** UUIDs that are not known are taken for the same. */
function areOthers(held: readonly GpuRef[], wanted: readonly GpuRef[]): boolean {
  const [ours, theirs] = [held, wanted].map((gpus) => gpus.map(({ uuid }) => uuid).sort());
  if (!ours || !theirs || [...ours, ...theirs].includes(null)) return false;
  return ours.join() !== theirs.join();
}

function uuidsOf(gpus: readonly GpuRef[]): string {
  return gpus.map(({ uuid }) => uuid).join(', ');
}
