/**
 * Splits a command line into words the way Compose does for `command` and `entrypoint` given as
 * text: quotes and backslashes as in a shell, no variables, no globs, and nothing is executed.
 * An unquoted `;`, `&`, `|`, `<` or `>` ends the line: the rest is ignored. `$(…)` and backquotes
 * are kept together as one word and otherwise passed on as text.
 */

/**
 * @returns the words, or undefined when a quote, a bracket or an escape is left open
 */
export function splitWords(line: string): string[] | undefined {
  const words: string[] = [];
  let word = '';
  let hasWord = false;
  let escaped = false;
  let quote: '"' | "'" | undefined;
  let backquoted = false;
  let bracketed = false;

  for (const char of line) {
    if (escaped) {
      word += char;
      escaped = false;
      hasWord = true;
      continue;
    }
    if (char === '\\') {
      if (quote === "'") word += char;
      else escaped = true;
      continue;
    }
    if (char === ' ' || char === '\t' || char === '\r' || char === '\n') {
      if (quote !== undefined || backquoted || bracketed) word += char;
      else if (hasWord) {
        words.push(word);
        word = '';
        hasWord = false;
      }
      continue;
    }
    if (char === '`' && quote === undefined && !bracketed) {
      backquoted = !backquoted;
    } else if (char === ')' && quote === undefined && !backquoted) {
      bracketed = !bracketed;
    } else if (char === '(' && quote === undefined && !backquoted) {
      if (bracketed || !word.endsWith('$')) return undefined;
      bracketed = true;
      word += char;
      continue;
    } else if ((char === '"' || char === "'") && !bracketed) {
      if (quote === char) {
        quote = undefined;
        hasWord = true;
        continue;
      }
      if (quote === undefined) {
        quote = char;
        continue;
      }
    } else if (';&|<>'.includes(char) && quote === undefined && !backquoted && !bracketed) {
      if (char === '>' && /^\d/.test(word)) hasWord = false;
      break;
    }
    hasWord = true;
    word += char;
  }

  if (hasWord) words.push(word);
  if (escaped || quote !== undefined || backquoted || bracketed) return undefined;
  return words;
}
