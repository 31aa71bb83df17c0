import { Controller, Get, Inject } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiErrors } from '../common/http/api-errors.js';
import { type Attribution, toGpuInfo } from './gpu-info.js';
import type { GpuSample } from './gpu-provider.js';
import { type GpuOccupant, GpuOccupants } from './gpu-occupants.js';
import { GpuInfo } from './gpus.dto.js';
import { GpuHealth } from './health/gpu-health.js';
import { GpusService } from './gpus.service.js';
import { ProcessOwners } from './process-owners.js';
import { nearestAncestor } from '../host/process-parent.js';

@ApiTags('gpus')
@Controller('api/v1/gpus')
export class GpusController {
  constructor(
    private readonly gpus: GpusService,
    private readonly occupants: GpuOccupants,
    private readonly owners: ProcessOwners,
    @Inject(GpuHealth) private readonly health: Pick<GpuHealth, 'of'>,
  ) {}

  @Get()
  @ApiOperation({
    operationId: 'listGpus',
    summary: 'State of every GPU 获取所有GPU的状态信息',
    description: 'State of all GPUs of this host, by id.',
  })
  @ApiOkResponse({ type: [GpuInfo] })
  @ApiErrors({
    500: [
      '获取GPU信息失败 The GPUs cannot be read: driver not loaded, no permission, or no answer in time.',
      'GPU_READ_FAILED',
      'INTERNAL_ERROR',
    ],
    501: ["未安装NVML NVIDIA's management library is not on this host.", 'NVML_NOT_INSTALLED'],
  })
  async list(): Promise<GpuInfo[]> {
    const samples = await this.gpus.list();
    const occupants = this.occupants.list();
    const owners = await this.attribute(samples, occupants);
    return samples.map((sample) => toGpuInfo(sample, occupants, owners, this.health.of(sample)));
  }

  private async attribute(
    samples: readonly GpuSample[],
    occupants: readonly GpuOccupant[],
  ): Promise<Map<number, Attribution>> {
    const roots = new Set(occupants.flatMap(({ pid }) => (pid === null ? [] : [pid])));
    const pids = new Set(samples.flatMap((sample) => sample.processes.map((process) => process.pid)));
    const found = await Promise.all(
      [...pids].map(async (pid): Promise<[number, Attribution]> => {
        const [owner, serverPid] = await Promise.all([this.owners.of(pid), nearestAncestor(pid, roots)]);
        return [pid, { ...owner, serverPid: serverPid ?? null }];
      }),
    );
    return new Map(found);
  }
}
