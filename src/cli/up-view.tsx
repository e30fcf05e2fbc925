/**
 * A rollout on a terminal: a line a service with what is ready, and below it the containers that
 * are on their way. Drawn on stderr; when it ends, the last picture stays.
 */
import { Box, render, Text } from 'ink';
import type { ReactElement } from 'react';
import type { Snapshot } from '../model/snapshot.ts';
import type { ContainerView } from '../model/view.ts';
import type { RolloutStatus, ServiceStatus } from '../plan/rollout-status.ts';
import type { FollowedRollout, RolloutView } from './follow.ts';
import { machineName } from './ps-rows.ts';
import { shortName, stateText } from './rollout-lines.ts';

/** 12: containers shown below a service; the rest is a number. */
const maxContainerCount = 12;

interface UpViewProps {
  readonly rollout: FollowedRollout;
  readonly snapshot: Snapshot;
  readonly status: RolloutStatus;
  readonly note: string;
}

/** Draws until `end`; Ctrl-C is left to the command. */
export function upView(rollout: FollowedRollout): RolloutView {
  let props: UpViewProps = {
    rollout,
    snapshot: rollout.before,
    status: { state: 'progressing', lines: [], failures: [] },
    note: '',
  };
  const screen = render(<UpView {...props} />, {
    stdout: process.stderr,
    exitOnCtrlC: false,
    patchConsole: false,
  });
  const draw = (change: Partial<UpViewProps>): void => {
    props = { ...props, ...change };
    screen.rerender(<UpView {...props} />);
  };
  return {
    update: (snapshot, status) => draw({ snapshot, status }),
    note: (note) => draw({ note }),
    end: () => screen.unmount(),
  };
}

function UpView({ rollout, snapshot, status, note }: UpViewProps): ReactElement {
  return (
    <Box flexDirection="column">
      {status.lines.map((line) => (
        <ServiceRow key={line.service} line={line} snapshot={snapshot} project={rollout.project} />
      ))}
      {note === '' ? null : <Text color="yellow">{note}</Text>}
    </Box>
  );
}

interface ServiceRowProps {
  readonly line: ServiceStatus;
  readonly snapshot: Snapshot;
  readonly project: string;
}

function ServiceRow({ line, snapshot, project }: ServiceRowProps): ReactElement {
  const colour = { ready: 'green', failed: 'red', progressing: 'yellow' }[line.state];
  const mark = { ready: '✔', failed: '✘', progressing: '…' }[line.state];
  const containers = snapshot.containers.filter(
    (container) => container.project === project && container.service === line.service,
  );
  return (
    <Box flexDirection="column">
      <Text>
        <Text color={colour}>{mark}</Text> {line.service.padEnd(20)}{' '}
        <Text color={colour}>{`${line.ready}/${line.wanted}`.padEnd(7)}</Text>{' '}
        <Text dimColor>{line.why}</Text>
      </Text>
      {line.state === 'ready'
        ? null
        : containers
            .slice(0, maxContainerCount)
            .map((container) => (
              <ContainerRow
                key={`${container.machine}/${container.id}`}
                container={container}
                snapshot={snapshot}
                project={project}
              />
            ))}
      {line.state !== 'ready' && containers.length > maxContainerCount ? (
        <Text dimColor>{`    and ${containers.length - maxContainerCount} more`}</Text>
      ) : null}
    </Box>
  );
}

interface ContainerRowProps {
  readonly container: ContainerView;
  readonly snapshot: Snapshot;
  readonly project: string;
}

function ContainerRow({ container, snapshot, project }: ContainerRowProps): ReactElement {
  const [text, tone] = stateText(container);
  return (
    <Text>
      {'    '}
      {shortName(container.name, project).padEnd(18)}{' '}
      <Text dimColor>{machineName(snapshot, container.machine).padEnd(12)}</Text>{' '}
      {tone === 'plain' ? (
        <Text>{text}</Text>
      ) : (
        <Text color={tone === 'good' ? 'green' : 'red'}>{text}</Text>
      )}
    </Text>
  );
}
