/**
 * TLS of a whole Gateway (`spec.tls`).
 *
 *   frontend: [default, perPort] -> CAs -> what HTTPS listeners of a port ask of clients
 *   backend:  [clientCertificateRef] -> the certificate that its proxies show to backends
 */
import type { ClientValidation } from '../ir/listener.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { Ctx } from '../krt/index.ts';
import type { FrontendTLSValidation, GatewayTLSConfig } from '../kube/types/gateway-api.ts';
import { type CaInputs, type CaProblem, type CaRef, resolveCaBundle } from './ca-certificate.ts';
import { gatewayGroup, gateway as condition, listener as listenerCondition } from './conditions.ts';
import { type CertificateInputs, resolveCertificates } from './listener-certificate.ts';

/** What HTTPS listeners of a port ask of clients. */
export interface FrontendValidation {
  /** Absent: there is no usable CA, and the listeners cannot be programmed. */
  readonly clients?: ClientValidation;
  /** The condition `ResolvedRefs`, when a CA cannot be used. */
  readonly problem?: ConditionIntent;
}

/** By port; undefined: nothing is asked of clients. */
export type FrontendValidations = (port: number) => FrontendValidation | undefined;

function configurations(
  tls: GatewayTLSConfig | undefined,
): readonly { readonly field: string; readonly validation: FrontendTLSValidation }[] {
  const { default: everywhere, perPort = [] } = tls?.frontend ?? {};
  return [
    { field: 'spec.tls.frontend.default', validation: everywhere?.validation },
    ...perPort.map((p, i) => ({ field: `spec.tls.frontend.perPort[${i}].tls`, validation: p.tls.validation })),
  ].flatMap(({ field, validation }) => (validation ? [{ field: `${field}.validation`, validation }] : []));
}

/** All references to CAs of clients. */
export function frontendCaRefs(tls: GatewayTLSConfig | undefined): readonly CaRef[] {
  return configurations(tls).flatMap((c) => c.validation.caCertificateRefs);
}

/** Resolves `spec.tls.frontend` of a Gateway in `namespace`: a port has its own configuration, or the default one. */
export function frontendValidations(ctx: Ctx, inputs: CaInputs, namespace: string, tls: GatewayTLSConfig | undefined): FrontendValidations {
  const { default: everywhere, perPort = [] } = tls?.frontend ?? {};
  const resolve = (validation: FrontendTLSValidation | undefined, field: string): FrontendValidation | undefined => {
    if (!validation) return undefined;
    const from = { group: gatewayGroup, kind: 'Gateway', namespace };
    const { pem, problems } = resolveCaBundle(ctx, inputs, from, validation.caCertificateRefs, `${field}.validation.caCertificateRefs`);
    return {
      ...(pem !== '' && { clients: { pem, required: validation.mode !== 'AllowInsecureFallback' } }),
      ...(problems.length > 0 && { problem: problemCondition(problems) }),
    };
  };
  const byDefault = resolve(everywhere?.validation, 'spec.tls.frontend.default');
  const ofPort = new Map(perPort.map((p, i) => [p.port, resolve(p.tls.validation, `spec.tls.frontend.perPort[${i}].tls`)]));
  return (port) => (ofPort.has(port) ? ofPort.get(port) : byDefault);
}

function problemCondition(problems: readonly CaProblem[]): ConditionIntent {
  const why = problems.map((p) => p.message).join('; ');
  switch (problems[0]?.reason) {
    case 'kind':
      return listenerCondition.invalidCaKind(why);
    case 'not permitted':
      return listenerCondition.refNotPermitted(why);
    default:
      return listenerCondition.invalidCaRef(why);
  }
}

/** A warning on the Gateway where clients without a valid certificate are let in. */
export function insecureFrontend(tls: GatewayTLSConfig | undefined): ConditionIntent | undefined {
  const fields = configurations(tls).filter((c) => c.validation.mode === 'AllowInsecureFallback');
  return fields.length === 0 ? undefined : condition.insecureFrontendValidation(fields.map((c) => c.field).join(', '));
}

/** The certificate that proxies of the Gateway show to backends: key of its Secret, or the condition that says why there is none. */
export function backendClientCertificate(
  ctx: Ctx,
  inputs: CertificateInputs,
  namespace: string,
  tls: GatewayTLSConfig | undefined,
): { readonly secret?: string; readonly problem?: ConditionIntent } {
  const ref = tls?.backend?.clientCertificateRef;
  if (!ref) return {};
  const { secrets, problem } = resolveCertificates(ctx, inputs, { group: gatewayGroup, kind: 'Gateway', namespace }, [ref]);
  const [secret] = secrets;
  const why = `spec.tls.backend.clientCertificateRef: ${problem?.message}`;
  const refused =
    problem?.reason === 'RefNotPermitted' ? condition.clientCertificateNotPermitted(why) : condition.invalidClientCertificate(why);
  return { ...(secret !== undefined && { secret }), ...(problem && { problem: refused }) };
}
