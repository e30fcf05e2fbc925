// Written by scripts/generate-schemas.ts. Do not edit.
export interface SchemaError {
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly keyword: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly message?: string;
  /** The schema that holds the keyword: its "properties" are the keys that would have been right. */
  readonly parentSchema?: { readonly properties?: Readonly<Record<string, unknown>> };
}
export declare const validate: {
  (data: unknown): boolean;
  readonly errors?: readonly SchemaError[] | null;
};
