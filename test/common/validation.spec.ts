import { validationPipe } from '../../src/common/http/validation.js';
import { StartRequest } from '../../src/models/api/start-request.dto.js';

const check = (body: object): Promise<unknown> =>
  validationPipe().transform(body, { type: 'body', metatype: StartRequest }) as Promise<unknown>;

describe('a request that is not valid', () => {
  it('is told what is missing in one sentence each', async () => {
    await expect(check({})).rejects.toThrow(/^Invalid request: model_name is missing; gpu_id is missing\.$/);
    await expect(check({ model_name: 'MAM' })).rejects.toThrow(/^Invalid request: gpu_id is missing\.$/);
  });

  it('is told all that is wrong with what it has', async () => {
    await expect(check({ model_name: null, gpu_id: 0 })).rejects.toThrow(/model_name must be a string/);
    await expect(check({ model_name: 'MAM', gpu_id: 'x' })).rejects.toThrow(/gpu_id must be an integer/);
  });
});
