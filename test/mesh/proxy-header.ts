/** The header (PROXY protocol, version 2) with which ztunnel passes a connection on to a waypoint in its Pod. */
import { isIPv6 } from 'node:net';

export interface ProxyHeader {
  readonly source: { readonly address: string; readonly port: number };
  /** What the client asked for: address and port of a Service. */
  readonly destination: { readonly address: string; readonly port: number };
  /** SPIFFE identity of the client; a client outside of the mesh has none. */
  readonly principal?: string;
}

const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const principalType = 0xd0;

/** Its bytes. For source and destination of different families it has no addresses, as that of ztunnel. */
export function proxyHeader({ source, destination, principal }: ProxyHeader): Buffer {
  const v6 = isIPv6(destination.address);
  const isMixed = v6 !== isIPv6(source.address);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  const tlv =
    principal === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([principalType]), lengthOf(principal), Buffer.from(principal)]);
  const addresses = isMixed ? [] : [addressBytes(source.address), addressBytes(destination.address), ports];
  const body = Buffer.concat([...addresses, tlv]);
  return Buffer.concat([signature, Buffer.from([0x21, isMixed ? 0x01 : v6 ? 0x21 : 0x11]), lengthOf(body), body]);
}

function lengthOf({ length }: { readonly length: number }): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(length);
  return bytes;
}

function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const before = groups(head);
  const after = groups(tail ?? '');
  const all = tail === undefined ? before : [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
  const bytes = Buffer.alloc(16);
  for (const [i, group] of all.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2);
  return bytes;
}
