import type * as z from 'zod';

/** The TCP ports, both ends included, that one key of a section gives to servers. */
export interface PortClaim {
  readonly key: string;
  readonly from: number;
  readonly to: number;
}

/** The key of a section with settings of the models that its `supported_models` lists. */
export interface ModelSettings {
  readonly key: string;
  /** An entry that stands for all models. */
  readonly defaultEntry?: string;
}

/** What the configuration has to know of a backend. */
export interface BackendSection<Name extends string = string, Section extends z.ZodType = z.ZodType> {
  /** The key of the section under `runners`. */
  readonly name: Name;
  readonly section: Section;
  readonly modelSettings?: ModelSettings | undefined;
  /** The ports of a section that may have faults; what is not valid is left out. Default: the range of its key `ports`. */
  readonly portsOf?: ((section: unknown) => readonly PortClaim[]) | undefined;
}

/** The sections by their names. */
export type SectionsOf<Backends extends readonly BackendSection[]> = {
  [Backend in Backends[number] as Backend['name']]: Backend['section'];
};
