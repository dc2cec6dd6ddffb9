// Templates over requests and responses, parsed and checked: text of a user is data here and stays data as far as Envoy.
//   [TrafficPolicy.transformation] -> lexer, parser, checker (policy/transformation) -> [Transformation] -> xds/filters

/** A template: its parts are rendered one after the other. */
export type Template = readonly TemplateNode[];

export type TemplateNode =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'print'; readonly value: Expression }
  | { readonly type: 'if'; readonly branches: readonly Branch[]; readonly otherwise: Template }
  /** `names`: one for items or keys, two for keys and values. */
  | {
      readonly type: 'for';
      readonly names: readonly string[];
      readonly over: Expression;
      readonly body: Template;
      readonly otherwise: Template;
    }
  | { readonly type: 'set'; readonly name: string; readonly value: Expression };

export interface Branch {
  readonly condition: Expression;
  readonly body: Template;
}

export type BinaryOperator = 'or' | 'and' | 'in' | '==' | '!=' | '<' | '<=' | '>' | '>=' | '+' | '-' | '*' | '/' | '//' | '%' | '~';

export type Expression =
  | { readonly type: 'literal'; readonly value: string | number | boolean | null }
  | { readonly type: 'variable'; readonly name: string }
  | { readonly type: 'index'; readonly of: Expression; readonly key: Expression }
  /** `name` is a row of the table of functions and filters. */
  | { readonly type: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | { readonly type: 'binary'; readonly operator: BinaryOperator; readonly left: Expression; readonly right: Expression }
  | { readonly type: 'not' | 'negative'; readonly value: Expression }
  | { readonly type: 'choice'; readonly condition: Expression; readonly value: Expression; readonly otherwise: Expression }
  | { readonly type: 'test'; readonly test: TemplateTest; readonly value: Expression }
  | { readonly type: 'list'; readonly items: readonly Expression[] };

export type TemplateTest = 'defined' | 'none' | 'string' | 'number' | 'boolean' | 'mapping' | 'sequence';

export interface HeaderTemplate {
  /** Lower case; `:path`, `:method` and `:authority` of requests, `:status` of responses too. */
  readonly name: string;
  readonly value: Template;
}

export interface MetadataTemplate {
  readonly namespace: string;
  readonly key: string;
  readonly value: Template;
}

/** What a template sees of the body: its text, its fields as variables, or nothing. */
export type BodyParsing = 'text' | 'json' | 'none';

/** Of requests, or of responses. All templates see the message as it arrived; what they come to is applied in the order of the fields. */
export interface MessageTransformation {
  /** An empty result removes the header. */
  readonly set: readonly HeaderTemplate[];
  /** An empty result adds nothing. */
  readonly add: readonly HeaderTemplate[];
  readonly remove: readonly string[];
  readonly body?: Template;
  readonly parseAs: BodyParsing;
  /** The body must be read whole first. */
  readonly buffered: boolean;
  readonly metadata: readonly MetadataTemplate[];
  /** Names of request headers that templates of a response ask for. */
  readonly requestHeaders: readonly string[];
}

export interface Transformation {
  readonly request?: MessageTransformation;
  readonly response?: MessageTransformation;
}

/**
 * What the transformation of one message may use, whatever its body and templates are. Beyond it the message is refused.
 *   bodyBytes: of bodies that are read whole, and of new ones   depth, values: of a JSON body   bytes: strings made on the way
 *   operations: rendered nodes, and work in units of 64 bytes
 */
export const limits = {
  bodyBytes: 1 << 20,
  headerBytes: 32_768,
  depth: 64,
  values: 131_072,
  operations: 250_000,
  bytes: 16 << 20,
} as const;

/** Of dynamic metadata: what the runtime remembers of a request. Templates may not write there. */
export const runtimeNamespace = 'dev.kgateway.transformation';
