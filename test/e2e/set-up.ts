/** Before each file: labs that commands of ours make in it (`lab up`, the demo) end with this process. */
import { labOwner } from '../lab/state.ts';

process.env[labOwner] = `${process.pid}`;
