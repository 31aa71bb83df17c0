import { StandinEngine } from '../fakes/standin-engine.js';
import { type ServiceSettings, TestService } from './service.js';
import { SocketGate } from './socket-gate.js';

const IMAGE = 'registry.test/triton:1';

/** The whole service on the docker launcher, over an Engine whose containers run the stand-in for Triton. */
export class DockerTestService {
  private constructor(
    readonly service: TestService,
    readonly engine: StandinEngine,
    /** The service's way to the Engine. */
    readonly gate: SocketGate,
  ) {}

  static async boot(settings: ServiceSettings = {}): Promise<DockerTestService> {
    const engine = await StandinEngine.start(IMAGE);
    const gate = new SocketGate(`${engine.fake.socketPath}.gate`, engine.fake.socketPath);
    await gate.open();
    const service = await TestService.create({
      ...settings,
      triton: { launcher: 'docker', image_name: IMAGE, command: ['tritonserver'], ...settings.triton },
      config: {
        restart: { initial_delay_ms: 100, max_delay_ms: 500 },
        ...settings.config,
        launchers: { docker: { socket_path: gate.path, request_timeout_seconds: 10 } },
      },
    });
    await service.boot();
    return new DockerTestService(service, engine, gate);
  }

  async dispose(): Promise<void> {
    await this.service.dispose();
    await this.gate.shut();
    await this.engine.stop();
  }

  /** How far a start is, in the words of the status. */
  async progressOf(model: string): Promise<string> {
    const { body } = await this.service.get<{ progress?: string }[]>(`/api/v1/models/status/${model}`);
    return Array.isArray(body) ? (body[0]?.progress ?? '') : '';
  }
}
