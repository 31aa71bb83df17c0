import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const STANDIN = join(process.cwd(), 'test/fakes/comfyui');

/** How the stand-in behaves: keys of its `standin.json`. */
export type ComfyuiBehaviour = Record<string, unknown>;

/** A "checkout" of ComfyUI whose Python is the stand-in. */
export class ComfyuiStandin {
  private constructor(readonly directory: string) {}

  static async create(parent: string): Promise<ComfyuiStandin> {
    const standin = new ComfyuiStandin(join(parent, 'ComfyUI'));
    await cp(STANDIN, standin.directory, { recursive: true });
    await writeFile(join(standin.directory, 'main.py'), '# The stand-in takes the place of this file.\n');
    await mkdir(standin.outputDir);
    return standin;
  }

  get outputDir(): string {
    return join(this.directory, 'output');
  }

  /** Where to find it, for `runners.comfyui`. */
  get location(): { comfyui_path: string; python: string } {
    return { comfyui_path: this.directory, python: join(this.directory, 'python') };
  }

  /** From the next prompt or launch on; of the servers of one model, or of all. */
  async behave(behaviour: ComfyuiBehaviour, model?: string): Promise<void> {
    const directory = model === undefined ? this.directory : this.workflowDir(model);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'standin.json'), JSON.stringify(behaviour));
  }

  workflowDir(model: string): string {
    return join(this.directory, 'workflows', model);
  }
}

/** The smallest workflow with an image at its end. */
export const EMPTY_IMAGE = {
  1: { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 1, color: 255 } },
  2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'test' } },
};
