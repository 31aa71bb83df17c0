import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { glog } from '../../standin/tritonserver/log.js';
import { parseOptions } from '../../standin/tritonserver/options.js';
import { realPace } from '../../standin/tritonserver/pace.js';
import { StandinServer, type Ports } from '../../standin/tritonserver/standin-server.js';
import { defaultSettings } from '../../standin/tritonserver/standin-settings.js';
import { ModelDirectory } from './model-directory.js';

const FLAGS = [
  ...['--model-control-mode=explicit', '--http-address=127.0.0.1', '--grpc-address=127.0.0.1'],
  ...['--metrics-address=127.0.0.1', '--exit-timeout-secs=1'],
];

/** A body that MAM takes. */
export const INPUT = { name: 'INPUT', shape: [4], datatype: 'FP32', data: [1, 2, 3, 4.5] };

/** A stand-in that listens, with one model, MAM, in its repository. */
export class ServerRig {
  readonly lines: string[] = [];
  readonly server: StandinServer;
  ports: Ports = { http: undefined, grpc: undefined, metrics: undefined };

  private constructor(readonly models: ModelDirectory) {
    this.server = this.another('--http-port=0', '--grpc-port=0', '--metrics-port=0');
  }

  static async create(): Promise<ServerRig> {
    const rig = new ServerRig(await ModelDirectory.create());
    await rig.models.write('MAM');
    rig.ports = await rig.server.start();
    return rig;
  }

  /** One more, of the same models; it does not run yet. */
  another(...flags: string[]): StandinServer {
    return new StandinServer(parseOptions([...FLAGS, `--model-repository=${this.models.path}`, ...flags]), {
      visibleGpus: [0, 1],
      defaults: defaultSettings({}),
      pace: realPace,
      log: glog((line) => this.lines.push(line)),
    });
  }

  /** A request on a connection of its own: `[status, JSON or text]`. */
  async call(method: string, path: string, body?: unknown): Promise<[number, unknown]> {
    const sent = request({
      ...{ host: '127.0.0.1', port: this.ports.http, path, method },
      agent: new Agent({ keepAlive: false }),
    });
    sent.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response) text += String(chunk);
    const json = response.headers['content-type'] === 'application/json' && text;
    return [response.statusCode ?? 0, json ? JSON.parse(text) : text];
  }

  load(name: string): Promise<[number, unknown]> {
    return this.call('POST', `/v2/repository/models/${name}/load`);
  }

  async index(): Promise<unknown> {
    return (await this.call('POST', '/v2/repository/index'))[1];
  }

  async dispose(): Promise<void> {
    await this.server.stop();
    await this.models.remove();
  }
}
