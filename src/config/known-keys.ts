import { z } from 'zod';
import { nearest } from '../common/nearest.js';

/** Nodes of a JSON schema that lead from a path to its keys. */
interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly anyOf?: readonly SchemaNode[];
  readonly allOf?: readonly SchemaNode[];
  readonly items?: SchemaNode | boolean;
}

/** The keys that a schema knows. */
export class KnownKeys {
  private readonly root: SchemaNode;

  constructor(schema: z.ZodType) {
    this.root = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode;
  }

  /** The known key under `path` that is most like `key`; `undefined` where none is like it. */
  nearest(path: readonly PropertyKey[], key: string): string | undefined {
    const known = this.at(path).flatMap((node) => Object.keys(node.properties ?? {}));
    return nearest(key, known);
  }

  private at(path: readonly PropertyKey[]): SchemaNode[] {
    let nodes = alternatives(this.root);
    for (const step of path) {
      nodes = nodes.flatMap(({ properties, additionalProperties, items }) => {
        const next = properties?.[String(step)] ?? additionalProperties ?? items;
        return typeof next === 'object' ? alternatives(next) : [];
      });
    }
    return nodes;
  }
}

function alternatives(node: SchemaNode): SchemaNode[] {
  const parts = [...(node.anyOf ?? []), ...(node.allOf ?? [])];
  return [node, ...parts.flatMap(alternatives)];
}
