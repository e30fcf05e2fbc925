/** The agent's log: logfmt on stderr, one line an event. Journald or the engine adds the rest. */

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log under the name of a part of the agent. */
  part(name: string): Log;
}

const levels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof levels)[number];

/** Bare when it is one plain word, else a JSON string; errors show message and code, no stack. */
function logValue(value: unknown): string {
  const text =
    value instanceof Error
      ? value.message
      : typeof value === 'string'
        ? value
        : (JSON.stringify(value) ?? 'undefined');
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

/**
 * @param write takes one line with its newline
 * @param level lines below it are dropped
 */
export function createLog(
  write: (line: string) => void,
  level: LogLevel = 'info',
  part = 'agent',
): Log {
  const log =
    (at: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (levels.indexOf(at) < levels.indexOf(level)) return;
      const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${logValue(value)}`);
      write(`${new Date().toISOString()} ${at} ${part} ${logValue(message)}${pairs.join('')}\n`);
    };
  return {
    debug: log('debug'),
    info: log('info'),
    warn: log('warn'),
    error: log('error'),
    part: (name) => createLog(write, level, name),
  };
}
