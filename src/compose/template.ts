/**
 * Variables in text: `$NAME`, `${NAME}`, `${NAME:-default}`, `:+`, `:?` and their forms without
 * the colon; `$$` is a dollar. Any other dollar is literal, only `${` can be wrong. The words after
 * an operator are templates themselves. Some answers look odd (`${A-x}b}`, the operator is looked
 * for in the whole match); they are those of the reference implementation, and files rely on them.
 */

import { maxTemplateLength, maxTextLength, tooLarge } from './limits.ts';

export type Lookup = (name: string) => string | undefined;

export interface TemplateOptions {
  readonly lookup: Lookup;
  /** Called for each plain variable that is not set. */
  readonly onUnset?: (name: string) => void;
}

/** A `${` that starts no valid expression. */
export class InvalidTemplate extends Error {
  readonly template: string;

  constructor(template: string) {
    super(`Invalid template: ${JSON.stringify(template)}`);
    this.template = template;
  }
}

/** `${NAME:?words}` without a value for NAME. */
export class MissingVariable extends Error {
  readonly variable: string;

  constructor(variable: string, reason: string) {
    const tail = reason === '' ? '' : `: ${reason}`;
    super(`required variable ${variable} is missing a value${tail}`);
    this.variable = variable;
  }
}

const name = '[_a-z][_a-z0-9]*';
/** The braced form is greedy on purpose: where it ends is decided by counting braces. */
const expression = new RegExp(
  `\\$(?:(?<escaped>\\$)|(?<named>${name})|\\{(?:(?<braced>${name}(?::?[-+?][^\\n]*)?)\\}|(?<invalid>)))`,
  'gi',
);
const operators = [':?', '?', ':-', '-', ':+', '+'] as const;
type Operator = (typeof operators)[number];

/**
 * Replaces the variables of a text.
 * @throws InvalidTemplate or MissingVariable
 */
export function substitute(template: string, options: TemplateOptions): string {
  if (!template.includes('$')) return template;
  if (template.length > maxTemplateLength) {
    throw tooLarge(`a text with variables has more than ${maxTemplateLength} characters`);
  }
  let length = template.length;
  return template.replace(expression, (match) => {
    const value = replaceOne(match, template, options);
    length += value.length;
    if (length > maxTextLength + template.length) {
      throw tooLarge(`a text grows by its variables to more than ${maxTextLength} characters`);
    }
    return value;
  });
}

function replaceOne(match: string, template: string, options: TemplateOptions): string {
  const operator = firstOperator(match);
  const close = closingBrace(match);
  const rest = close < 0 ? '' : match.slice(close + 1);
  const single = close < 0 ? match : match.slice(0, close + 1);
  const groups = new RegExp(expression.source, 'i').exec(single)?.groups ?? {};
  if (groups.escaped !== undefined) return '$';
  const braced = groups.braced;
  const content = groups.named ?? braced;
  if (content === undefined) throw new InvalidTemplate(template);
  if (braced !== undefined) {
    const value = applyOperator(operator, braced, options);
    if (value !== undefined) return value + substitute(rest, options);
  }
  const value = options.lookup(content);
  if (value === undefined) options.onUnset?.(content);
  return value ?? '';
}

/** @returns the text, or undefined when the operator does not occur in the content */
function applyOperator(
  operator: Operator,
  content: string,
  options: TemplateOptions,
): string | undefined {
  const at = content.indexOf(operator);
  if (at < 0) return undefined;
  const variable = content.slice(0, at);
  const words = substitute(content.slice(at + operator.length), options);
  const value = options.lookup(variable);
  const isPresent = operator.startsWith(':')
    ? value !== undefined && value !== ''
    : value !== undefined;
  switch (operator) {
    case ':-':
    case '-':
      return isPresent ? value : words;
    case ':+':
    case '+':
      return isPresent ? words : (value ?? '');
    case ':?':
    case '?':
      if (!isPresent) throw new MissingVariable(variable, words);
      return value;
  }
}

/** The operator that occurs first in the text; `:?` when there is none, which then applies to none. */
function firstOperator(text: string): Operator {
  let first: Operator = ':?';
  let at = Number.POSITIVE_INFINITY;
  for (const operator of operators) {
    const index = text.indexOf(operator);
    if (index >= 0 && index < at) {
      first = operator;
      at = index;
    }
  }
  return first;
}

function closingBrace(text: string): number {
  let open = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '}' && --open === 0) return i;
    if (text[i] === '{') {
      open++;
      i++;
    }
  }
  return -1;
}

export interface TemplateVariable {
  readonly Name: string;
  readonly DefaultValue: string;
  readonly PresenceValue: string;
  readonly Required: boolean;
}

/** The variables that a text mentions, with their defaults; nested ones follow the outer one. */
export function variablesOf(text: string): TemplateVariable[] {
  const found: TemplateVariable[] = [];
  for (const match of text.matchAll(expression)) {
    const groups = match.groups ?? {};
    if (groups.escaped !== undefined) continue;
    let content = groups.named;
    if (content === undefined) {
      content = groups.braced ?? '';
      const close = closingBrace(match[0]);
      if (close > 0) {
        content = match[0].slice(2, close);
        found.push(...variablesOf(match[0].slice(close + 1)));
      }
    }
    found.push(...describe(content));
  }
  return found;
}

function describe(content: string): TemplateVariable[] {
  const [, variable = content, operator = '', words = ''] =
    /^([A-Za-z0-9_]+)(:?[-+?])?([^]*)$/.exec(content) ?? [];
  const DefaultValue = operator.endsWith('-') ? words : '';
  const PresenceValue = operator.endsWith('+') ? words : '';
  const Required = operator.endsWith('?');
  return [
    { Name: variable, DefaultValue, PresenceValue, Required },
    ...variablesOf(DefaultValue),
    ...variablesOf(PresenceValue),
  ];
}
