import { setTimeout as pause } from 'node:timers/promises';
import { NvmlCode, type Nvml, type NvmlDevice, type NvmlEventSet } from './nvml.js';
import type { GpuXid } from './nvml-messages.js';

/** One wait for an Xid error, ms. */
const WAIT_MS = 1000;
/** A GPU can report more than anybody wants to know. */
const MAX_KEPT = 256;

/**
 * Hears of Xid errors as they come. NVML keeps only the last one of several that nobody has waited for, so that somebody
 * always waits, in a thread of its own.
 */
export class XidWatch {
  private set: NvmlEventSet | undefined;
  private isDone = false;
  private readonly idOf = new Map<NvmlDevice, number>();
  private kept: GpuXid[] = [];
  private note: string | undefined;

  constructor(
    private readonly nvml: Nvml,
    private readonly waitMs = WAIT_MS,
  ) {}

  /** Watches all GPUs from the first call on; those that it watches already once. */
  watch(count: number): void {
    if (this.isDone) return;
    const set = this.set ?? this.open();
    if (set === undefined) return;
    for (let id = 0; id < count; id += 1) {
      const device = this.nvml.device(id);
      if (!device.ok || this.idOf.has(device.value)) continue;
      const code = this.nvml.registerXids(device.value, set);
      // One that has none of these events is no news; nor is one that is lost, which its readings tell.
      if (code === NvmlCode.SUCCESS || code === NvmlCode.NOT_SUPPORTED) this.idOf.set(device.value, id);
      else if (code === NvmlCode.FUNCTION_NOT_FOUND) this.giveUp(code);
    }
  }

  /** What was heard since the call before, and once, why nothing can be heard. */
  heard(): { readonly xids?: readonly GpuXid[]; readonly note?: string } {
    const { kept, note } = this;
    this.kept = [];
    this.note = undefined;
    return { ...(kept.length > 0 && { xids: kept }), ...(note !== undefined && { note }) };
  }

  private open(): NvmlEventSet | undefined {
    const set = this.nvml.createEventSet();
    if (!set.ok) {
      this.giveUp(set.code);
      return undefined;
    }
    this.set = set.value;
    void this.listen(set.value);
    return set.value;
  }

  /** For as long as the process lives. */
  private async listen(set: NvmlEventSet): Promise<void> {
    while (!this.isDone) {
      const next = await this.nvml.nextXid(set, this.waitMs);
      if (next.ok) this.keep(next.value.device, next.value.xid);
      else if (next.code === NvmlCode.FUNCTION_NOT_FOUND) this.giveUp(next.code);
      // The next reading says so, too, and this process is replaced.
      else if (next.code === NvmlCode.UNINITIALIZED) this.isDone = true;
      // A lost GPU has every wait fail at once.
      else if (next.code !== NvmlCode.TIMEOUT) await pause(this.waitMs);
    }
  }

  private keep(device: NvmlDevice, xid: number): void {
    const id = this.idOf.get(device);
    if (id !== undefined && this.kept.length < MAX_KEPT) this.kept.push({ id, xid });
  }

  private giveUp(code: number): void {
    this.isDone = true;
    this.note ??= `Xid errors of the GPUs cannot be watched with this driver: ${this.nvml.errorString(code)}`;
  }
}
