// [descriptor.json] -> [protobufjs Root]: built on first use; code for a type is generated when it is first encoded.
import protobuf from 'protobufjs/light.js';
import type { Root, Type } from 'protobufjs/light.js';
import descriptor from './descriptor.json' with { type: 'json' };
import type { MessageTypes } from './types.ts';

/** Full name of a message that the descriptors cover. */
export type MessageName = keyof MessageTypes;

const prefix = 'type.googleapis.com/';
const types = new Map<string, Type>();
let loaded: Root | undefined;
let jsonNamed = false;

function messagesIn(namespace: protobuf.NamespaceBase): Type[] {
  return namespace.nestedArray.flatMap((o) => [
    ...(o instanceof protobuf.Type ? [o] : []),
    ...(o instanceof protobuf.Namespace ? messagesIn(o) : []),
  ]);
}

/** The messages that we can encode and decode. */
export const registry = {
  /** protobufjs' reflection of all messages. */
  get root(): Root {
    return (loaded ??= protobuf.Root.fromJSON(descriptor));
  },
  /** Reflection of one message. Throws for a name that the descriptors do not cover. */
  type(name: string): Type {
    let type = types.get(name);
    if (type === undefined) {
      try {
        type = registry.root.lookupType(name);
      } catch (error) {
        throw new Error(`no message ${name}. Next step: add it to generator/roots.ts and run generate.ts.`, { cause: error });
      }
      types.set(name, type);
    }
    return type;
  },
  /**
   * Like `type`, prepared for ProtoJSON: Envoy's documentation and config_dump use the names of the .proto files, so those are written;
   * both forms are read. Visits every field once, therefore apart from `type`.
   */
  jsonType(name: string): Type {
    const type = registry.type(name);
    if (!jsonNamed) {
      for (const field of messagesIn(registry.root).flatMap((t) => t.fieldsArray)) {
        Object.assign(field, { jsonName: field.name, protoName: protobuf.util.jsonName(field.name) });
      }
      nameValueKinds(registry.type('google.protobuf.Value'));
      jsonNamed = true;
    }
    return type;
  },
  /** Whether the descriptors cover the message. */
  has(name: string): name is MessageName {
    return types.has(name) || registry.root.lookup(name, protobuf.Type) !== null;
  },
  /** Full names of all messages. */
  names(): readonly MessageName[] {
    return messagesIn(registry.root).map((t) => t.fullName.slice(1) as MessageName);
  },
};

/** protobufjs' ProtoJSON knows the members of google.protobuf.Value by their camelCase names alone: without them, any Struct would print as nulls. */
function nameValueKinds(value: Type): void {
  value.setup();
  const decode = value.decode.bind(value);
  value.decode = (...input: Parameters<Type['decode']>) => {
    const message = decode(...input);
    for (const [name, kind] of Object.entries(message)) {
      Object.defineProperty(message, protobuf.util.jsonName(name), { value: kind });
    }
    return message;
  };
}

/** `type.googleapis.com/<name>`, the form that Envoy expects in an Any and in xDS requests. */
export function typeUrlOf<N extends MessageName>(name: N): `type.googleapis.com/${N}` {
  return `${prefix}${name}` as const;
}

/** The message name in a type URL: what follows the last slash. */
export function messageNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}
