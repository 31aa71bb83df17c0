/** A GPU that a placement holds. */
export interface HeldGpu {
  /** NVML index, as last seen. */
  readonly id: number;
  /** `null`: not known, and it is found by its index. */
  readonly uuid: string | null;
}

/** The GPUs of one placement, the one it was started on first: who they are, and where they were last seen. */
export class HeldGpus {
  private gone: readonly HeldGpu[] = [];
  private isUnsaved = false;

  constructor(private held: readonly HeldGpu[]) {}

  get all(): readonly HeldGpu[] {
    return this.held;
  }

  /** Those that the host does not have any more; their indices may be others' by now. */
  get missing(): readonly HeldGpu[] {
    return this.gone;
  }

  get present(): readonly HeldGpu[] {
    return this.held.filter((gpu) => !this.gone.includes(gpu));
  }

  get presentIds(): readonly number[] {
    return this.present.map(({ id }) => id);
  }

  /**
   * The host was seen with these GPUs: indices follow UUIDs.
   * @returns whether an index has changed
   */
  locate(gpus: readonly HeldGpu[]): boolean {
    const before = this.held;
    this.held = before.map(({ id, uuid }) => {
      const found = uuid === null ? undefined : gpus.find((gpu) => gpu.uuid === uuid);
      return { id: found?.id ?? id, uuid };
    });
    this.gone = this.held.filter(({ uuid }) => uuid !== null && !gpus.some((gpu) => gpu.uuid === uuid));
    return this.noted(this.held.some(({ id }, at) => id !== before[at]?.id));
  }

  /**
   * Where UUIDs are not known yet, these are they, in the same order; `null` leaves one open.
   * @returns whether there is something new
   */
  identify(uuids: readonly (string | null)[]): boolean {
    const before = this.held;
    this.held = before.map((gpu, at) => ({ ...gpu, uuid: gpu.uuid ?? uuids[at] ?? null }));
    return this.noted(this.held.some(({ uuid }, at) => uuid !== before[at]?.uuid));
  }

  /** Whether they are known better than on disk; once told, they count as written. */
  takeUnsaved(): boolean {
    const { isUnsaved } = this;
    this.isUnsaved = false;
    return isUnsaved;
  }

  private noted(isNew: boolean): boolean {
    this.isUnsaved ||= isNew;
    return isNew;
  }
}
