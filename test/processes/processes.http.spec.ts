import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { ErrorFilter } from '../../src/common/http/error-filter.js';
import { CONFIG } from '../../src/config/config.module.js';
import { isAlive, processIdentity } from '../../src/host/process-identity.js';
import { ProcessesController } from '../../src/processes/processes.controller.js';
import { ProcessesService } from '../../src/processes/processes.service.js';
import { Children, SCRIPTS } from './children.js';
import { guarded, rig, type SentSignal } from './rig.js';

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

describe('DELETE /api/v1/processes/{pid}', () => {
  const children = new Children();
  const sent: SentSignal[] = [];
  let app: NestExpressApplication;
  let port: number;
  let occupants: ReturnType<typeof rig>['occupants'];

  beforeAll(async () => {
    const made = rig(
      guarded((pid) => children.has(pid), sent),
      { term_grace_seconds: 0.2 },
    );
    occupants = made.occupants;
    const module = await Test.createTestingModule({
      controllers: [ProcessesController],
      providers: [
        { provide: ProcessesService, useValue: made.service },
        { provide: CONFIG, useValue: made.config },
      ],
    }).compile();
    app = module.createNestApplication<NestExpressApplication>({ logger: false });
    app.useGlobalFilters(new ErrorFilter(made.logger));
    await app.listen(0, '127.0.0.1');
    port = (app.getHttpServer().address() as AddressInfo).port;
  });

  afterAll(async () => {
    await app.close();
    await children.endAll();
  });

  /** The path goes out as it stands: fetch would tidy it up. */
  function remove(path: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({ port, host: '127.0.0.1', method: 'DELETE', path }, (response) => {
        response.setEncoding('utf8');
        let text = '';
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            body: JSON.parse(text) as Record<string, unknown>,
          });
        });
      });
      request.on('error', reject);
      request.end();
    });
  }

  const end = (pid: string | number): Promise<Answer> => remove(`/api/v1/processes/${pid}`);

  it.each([
    '',
    '0',
    '-1',
    '-5',
    '+5',
    '%2B5',
    '%205',
    '5%20',
    '%20',
    '05',
    '1.5',
    '1e3',
    '0x10',
    '1,2',
    '1%2F2',
    '5%00',
    '%00',
    '5%0A',
    '%EF%BC%95',
    'abc',
    'null',
    'NaN',
    'Infinity',
    '__proto__',
    '..%2F1',
    '4194305',
    '99999999999999999999',
    '9'.repeat(5000),
    '1e309',
  ])('400 for %j, and nobody is signalled', async (text) => {
    const before = sent.length;
    const { status, body } = await end(text);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'PID_INVALID' });
    expect(Object.keys(body).sort()).toEqual(['code', 'detail']);
    expect(String(body.detail).length).toBeLessThan(200);
    expect(sent).toHaveLength(before);
  });

  it('400 for what is no text', async () => {
    await expect(end('%zz')).resolves.toMatchObject({ status: 400 });
  });

  it('404 where there is none, 403 for what is never ended', async () => {
    await expect(end(4_194_304)).resolves.toMatchObject({ status: 404, body: { code: 'PROCESS_NOT_FOUND' } });
    for (const pid of [1, process.pid, process.ppid]) {
      await expect(end(pid)).resolves.toMatchObject({ status: 403, body: { code: 'PROCESS_FORBIDDEN' } });
    }
  });

  it('200 when it is gone, in the words of the contract', async () => {
    const { pid, ended } = await children.start(SCRIPTS.polite);
    await expect(end(pid)).resolves.toEqual({ status: 200, body: { pid, status: 'killed' } });
    await ended;
    await expect(end(pid)).resolves.toMatchObject({ status: 404 });
  });

  it('says what else there is to know', async () => {
    const { pid } = await children.start(SCRIPTS.stubborn);
    expect((await end(pid)).body).toEqual({
      pid,
      status: 'killed',
      message: 'It did not end on SIGTERM within 0.2 s, and was ended by SIGKILL.',
    });
  });

  it('names what its server served, and says that it stays down', async () => {
    const { pid } = await children.start(SCRIPTS.polite);
    occupants.replace(
      [0, 1].map((gpuId) => ({
        modelName: 'MAM',
        gpuId,
        placement: `MAM@${gpuId}`,
        pid,
        serverName: 'triton',
        instances: 1,
      })),
    );
    const foreseen = await remove(`/api/v1/processes/${pid}?dry_run=true`);
    const { body } = await end(pid);
    occupants.replace([]);
    expect(foreseen).toEqual({
      status: 200,
      body: {
        pid,
        status: 'dry_run',
        message:
          'The server triton would be ended by force; MAM@0, MAM@1 would be in ERROR and not restarted.',
        placements: ['MAM@0', 'MAM@1'],
        processes: [{ pid, name: 'sleep' }],
        container: null,
        owner: null,
      },
    });
    expect(body).toEqual({
      pid,
      status: 'killed',
      message:
        'The server triton was ended by force. MAM@0, MAM@1: in ERROR (ENDED_OVER_API) and not restarted; start it again, or stop it.',
      placements: ['MAM@0', 'MAM@1'],
    });
  });

  it.each(['yes', '1', 'TRUE', '', 'true%00', 'true&dry_run=false'])(
    '400 for dry_run=%s, and nobody is signalled: what was to be tried must not be done',
    async (text) => {
      const { pid } = await children.start(SCRIPTS.polite);
      const before = sent.length;
      await expect(remove(`/api/v1/processes/${pid}?dry_run=${text}`)).resolves.toMatchObject({
        status: 400,
        body: { code: 'DRY_RUN_INVALID' },
      });
      expect(sent).toHaveLength(before);
    },
  );

  it('goes on when the client hangs up', async () => {
    const { pid, ended } = await children.start(SCRIPTS.stubborn);
    const identity = await processIdentity(pid);
    if (!identity) throw new Error('not started');
    const request = httpRequest({
      port,
      host: '127.0.0.1',
      method: 'DELETE',
      path: `/api/v1/processes/${pid}`,
    });
    request.on('error', () => undefined);
    request.end();
    while (!sent.some((each) => each.pid === pid)) await new Promise((resolve) => setImmediate(resolve));
    request.destroy();
    await expect(ended).resolves.toEqual([null, 'SIGKILL']);
    await expect(isAlive(identity)).resolves.toBe(false);
  });

  it('answers each of several at once', async () => {
    const { pid } = await children.start(SCRIPTS.stubborn);
    const before = sent.length;
    const statuses = (await Promise.all([end(pid), end(pid), end(pid)])).map((answer) => answer.status);
    for (const status of statuses) expect([200, 404]).toContain(status);
    expect(statuses).toContain(200);
    expect(sent.length - before).toBe(2);
  });
});
