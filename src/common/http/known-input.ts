import { type CanActivate, type ExecutionContext, Injectable, type Type } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { getMetadataStorage } from 'class-validator';
import type { Request } from 'express';
import { nearest } from '../nearest.js';
import { ValidationFailedError } from './validation.js';

const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Longest part of a name that an answer repeats, characters. */
const SHOWN_LENGTH = 40;
/** Names that one answer tells. */
const SHOWN_NAMES = 3;

type Place = 'query parameter' | 'field of the body';
interface Unknown {
  readonly place: Place;
  readonly name: string;
}
type Known = Readonly<Record<Place, readonly string[]>>;

/**
 * Refuses a write with a query parameter or a field that its handler does not read: what is misspelt (`dryrun`) would be
 * done without it. What a handler reads is what its `@Query` and `@Body` name. Reads ignore what they do not know.
 */
@Injectable()
export class KnownInput implements CanActivate {
  /** @throws ValidationFailedError */
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<Request>();
    if (READS.has(request.method)) return true;
    const known = knownTo(context.getClass(), context.getHandler().name);
    const unknown = [
      ...unknownOf('query parameter', queryOf(request), known),
      ...unknownOf('field of the body', fieldsOf(request.body), known),
    ];
    if (unknown.length > 0) throw new ValidationFailedError(`Invalid request: ${inWords(unknown, known)}`);
    if (known['field of the body'].length === 0 && Array.isArray(request.body))
      throw new ValidationFailedError('Invalid request: it takes no body.');
    return true;
  }
}

/** Names, each once; read from the URL itself, since parsers differ in what `name[]` is. */
function queryOf({ originalUrl }: Request): string[] {
  const at = originalUrl.indexOf('?');
  return at < 0 ? [] : [...new Set(new URLSearchParams(originalUrl.slice(at + 1)).keys())];
}

function fieldsOf(body: unknown): string[] {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? Object.keys(body) : [];
}

function unknownOf(place: Place, names: readonly string[], known: Known): Unknown[] {
  return names.filter((name) => !known[place].includes(name)).map((name) => ({ place, name }));
}

function inWords(unknown: readonly Unknown[], known: Known): string {
  const faults = unknown.slice(0, SHOWN_NAMES).map(({ place, name }) => {
    const shown = name.length > SHOWN_LENGTH ? `${name.slice(0, SHOWN_LENGTH)}…` : name;
    return `${shown || '""'} is no ${place} of this request: ${instead(place, shown, known)}`;
  });
  const more = unknown.length - faults.length;
  const text = [...faults, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
  return text.endsWith('?') ? text : `${text}.`;
}

function instead(place: Place, name: string, known: Known): string {
  const other: Place = place === 'query parameter' ? 'field of the body' : 'query parameter';
  const here = nearest(name, known[place]);
  if (here !== undefined) return `is ${here} meant?`;
  const there = nearest(name, known[other]);
  if (there !== undefined) return `is the ${other} ${there} meant?`;
  return `it takes ${known[place].join(', ') || 'none'}`;
}

/** What a handler of a controller reads, by what its decorators say. */
function knownTo(controller: Type, handler: string): Known {
  const types = (Reflect.getMetadata('design:paramtypes', controller.prototype as object, handler) ??
    []) as readonly Type[];
  const args = Object.entries(
    (Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, handler) ?? {}) as Readonly<
      Record<string, { readonly index: number; readonly data?: unknown }>
    >,
  );
  const namesOf = (kind: RouteParamtypes): string[] =>
    args
      .filter(([key]) => key.startsWith(`${kind}:`))
      .flatMap(([, { index, data }]) => (typeof data === 'string' ? [data] : propertiesOf(types[index])));
  return {
    'query parameter': namesOf(RouteParamtypes.QUERY),
    'field of the body': namesOf(RouteParamtypes.BODY),
  };
}

/** Those that are validated: the validation drops all others. */
function propertiesOf(dto: Type | undefined): string[] {
  if (dto === undefined) return [];
  const rules = getMetadataStorage().getTargetValidationMetadatas(dto, '', true, false);
  return [...new Set(rules.map(({ propertyName }) => propertyName))];
}
