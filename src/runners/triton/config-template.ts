import { type Message, parseTextFormat, TextFormatError } from './text-format.js';

/** What a template says that this service has to know. */
export interface TemplateFacts {
  /** Names of the top-level fields, each as often as it comes. */
  readonly topLevel: readonly string[];
  readonly platform: string | undefined;
  /** Models that it is made of, by its ensemble scheduling, each once; `undefined`: it has none. */
  readonly steps: readonly string[] | undefined;
}

/** @throws SyntaxError that says what is wrong, and where */
export function readTemplate(text: string): TemplateFacts {
  const template = parsed(text);
  const scheduling = template.filter(({ name }) => name === 'ensemble_scheduling');
  const steps = scheduling.flatMap(({ value }) =>
    messagesOf(messageOf(value), 'step').flatMap((step) => textsOf(step, 'model_name')),
  );
  return {
    topLevel: template.map(({ name }) => name),
    platform: textsOf(template, 'platform').at(-1),
    steps: scheduling.length > 0 ? [...new Set(steps)] : undefined,
  };
}

function parsed(text: string): Message {
  try {
    return parseTextFormat(text);
  } catch (error) {
    if (!(error instanceof TextFormatError) || error.open === undefined) throw error;
    const { line, column } = error.at;
    throw new SyntaxError(`${error.open} is not closed, at ${line}:${column}`, { cause: error });
  }
}

function messageOf(value: Message[number]['value']): Message {
  return value.kind === 'message' ? value.message : [];
}

function messagesOf(message: Message, field: string): Message[] {
  return message.filter(({ name }) => name === field).map(({ value }) => messageOf(value));
}

function textsOf(message: Message, field: string): string[] {
  return message.flatMap(({ name, value }) =>
    name === field && value.kind === 'string' ? [value.text] : [],
  );
}
