import * as z from 'zod';
import { nearest } from '../common/nearest.js';

/** Nodes of a JSON schema that lead from a path to its keys. */
interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  /** Of a mapping whose keys are an operator's: those that the service names itself are the examples. */
  readonly propertyNames?: { readonly examples?: readonly string[] };
  readonly const?: unknown;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
  readonly allOf?: readonly SchemaNode[];
  readonly items?: SchemaNode | boolean;
}

/** The keys that a schema knows. */
export class KnownKeys {
  private readonly root: SchemaNode;

  constructor(schema: z.ZodType) {
    this.root = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode;
  }

  /**
   * The known key under `path` that is most like `key`; `undefined` where none is like it.
   * @param given what is at `path`: of alternatives that a key tells apart (`type`), the one that it names counts
   */
  nearest(path: readonly PropertyKey[], key: string, given: unknown): string | undefined {
    const known = this.at(path)
      .filter((node) => suits(node, given))
      .flatMap(({ properties, propertyNames }) => [
        ...Object.keys(properties ?? {}),
        ...(propertyNames?.examples ?? []),
      ]);
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

/** Whether each key that has one value alone has it. */
function suits({ properties = {} }: SchemaNode, given: unknown): boolean {
  return Object.entries(properties).every(
    ([key, { const: only }]) => only === undefined || valueAt(given, [key]) === only,
  );
}

/** What a tree of mappings and lists has at `path`; `undefined` where that is not there. */
export function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (node, step) => (node as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[step],
    tree,
  );
}

function alternatives(node: SchemaNode): SchemaNode[] {
  const parts = [...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.allOf ?? [])];
  return [node, ...parts.flatMap(alternatives)];
}
